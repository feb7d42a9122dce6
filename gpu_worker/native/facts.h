// What a model says of itself: its codes, and which images it was made for (section FACT).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace csot {

/// Which image sizes comply: one of the exact sizes, or within the range; without either every size does.
struct ResolutionRule {
    std::vector<std::pair<int, int>> exact_sizes;  ///< width, height
    bool has_range = false;
    int min_width = 0, min_height = 0, max_width = 0, max_height = 0;

    bool complies(int width, int height) const;
    std::string in_words() const;
};

struct Facts {
    std::vector<std::string> codes;  ///< the classes, and behind them the special codes
    int class_count = 0;
    ResolutionRule rule;
    uint32_t special_code_min_pixels = 0;  ///< a special code needs more than this, at the input size of the segmentation
};

constexpr int kLongestCode = 240;  ///< bytes: 60 characters, as many as the platform allows
constexpr int kLargestSide = 32768;  ///< of an image

Facts parse_facts(const std::vector<uint8_t> &section);

}  // namespace csot
