// The settings of config.yaml. What may stand in it is said in the file itself and in the guide of an export.
#pragma once

#include <map>
#include <string>

namespace csot {

struct Config {
    int threads = 1;
    float min_confidence = 0;
    std::map<std::string, float> code_confidence;  ///< by code; goes before min_confidence
    std::string unknown_code = "UNKNOWN";
    bool resolution_screening = true;  ///< whether an image that does not comply is refused
    bool segmentation = true;
    std::string instruction_set = "auto";

    float threshold(const std::string &code) const;
};

Config read_config(const char *path);
Config parse_config(const std::string &text);

}  // namespace csot
