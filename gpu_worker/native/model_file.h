// The container models.xbin: sections with checksums. Its format is in MODELS_XBIN.md.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "sha256.h"

namespace csot {

/// An open file whose header and table of sections are sound.
class ModelFile {
  public:
    explicit ModelFile(const char *path);

    bool has(const std::string &name) const;

    /// The bytes of a section, held against its checksum. They belong to the caller, so that no two sections are in memory at once.
    std::vector<uint8_t> read(const std::string &name);

    /// Holds the sections that nobody read against their checksums, too.
    void check_unread();

  private:
    struct Section {
        std::string name;
        uint64_t offset, size;
        Digest checksum;
        bool was_read;
    };
    struct Closes {
        void operator()(FILE *file) const { fclose(file); }
    };

    void read_bytes(uint8_t *target, size_t count);
    void seek(uint64_t offset);
    void check(const Section &section, const Digest &found) const;

    std::string path_;
    std::unique_ptr<FILE, Closes> file_;
    std::vector<Section> sections_;
};

}  // namespace csot
