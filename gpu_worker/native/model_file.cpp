#include "model_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "bytes.h"

namespace csot {
namespace {

constexpr uint8_t kMagic[8] = {'C', 'S', 'O', 'T', 'X', '\r', '\n', 0x1a};
constexpr uint32_t kMajor = 1, kMostSections = 64, kRequired = 1, kSectionVersion = 1;
constexpr size_t kHeaderSize = 64, kEntrySize = 64, kAlignment = 64;
constexpr uint64_t kLargestFile = uint64_t(2) << 30;
const char *const kKnown[] = {"FACT", "CLSF", "SEGM", "NOTE"};

[[noreturn]] void wrong(const std::string &what) { throw Failure(CSOT_E_FORMAT, "models.xbin: " + what); }

Digest sha256_of(const std::vector<uint8_t> &bytes) {
    Sha256 sum;
    sum.add(bytes.data(), bytes.size());
    return sum.digest();
}

}  // namespace

ModelFile::ModelFile(const char *path) : path_(path), file_(fopen(path, "rb")) {
    if (!file_) throw Failure(CSOT_E_IO, path_ + " cannot be opened: " + strerror(errno));
    struct stat status;
    if (fstat(fileno(file_.get()), &status) != 0 || !S_ISREG(status.st_mode)) throw Failure(CSOT_E_IO, path_ + " is no file");
    const uint64_t size = uint64_t(status.st_size);
    if (size < kHeaderSize) wrong("too short to be a model file");
    if (size > kLargestFile) wrong("larger than 2 GiB");

    uint8_t header[kHeaderSize];
    read_bytes(header, sizeof header);
    if (memcmp(header, kMagic, sizeof kMagic) != 0) wrong("no model file, or damaged by a transfer as text");
    ByteReader fields(header + sizeof kMagic, kHeaderSize - sizeof kMagic, "header");
    const uint32_t major = fields.u32();
    fields.u32();  // the minor version: newer ones add what an older reader may ignore
    const uint32_t section_count = fields.u32();
    fields.u32();  // reserved
    if (major != kMajor) throw Failure(CSOT_E_VERSION, "models.xbin: format " + std::to_string(major) + " needs a newer library");
    if (fields.u64() != size) wrong("not as long as it should be, probably cut off");
    if (section_count < 1 || section_count > kMostSections || kHeaderSize + section_count * kEntrySize > size)
        wrong("the table of sections is out of bounds");

    std::vector<uint8_t> table(section_count * kEntrySize);
    read_bytes(table.data(), table.size());
    Sha256 sum;
    sum.add(header, 32);
    sum.add(table.data(), table.size());
    if (memcmp(sum.digest().data(), header + 32, 32) != 0)
        throw Failure(CSOT_E_CHECKSUM, "models.xbin: the header is not as it was written");

    uint64_t end = kHeaderSize + table.size();
    for (uint32_t i = 0; i < section_count; i++) {
        ByteReader entry(table.data() + i * kEntrySize, kEntrySize, "table");
        Section section;
        section.name.assign(reinterpret_cast<const char *>(entry.take(4)), 4);
        const uint32_t version = entry.u32();
        section.offset = entry.u64();
        section.size = entry.u64();
        const uint32_t flags = entry.u32();
        entry.u32();  // reserved
        memcpy(section.checksum.data(), entry.take(32), 32);
        section.was_read = false;
        if (section.offset % kAlignment || section.offset < end || section.offset > size || section.size > size - section.offset)
            wrong("section " + std::to_string(i) + " is out of bounds");
        end = section.offset + section.size;
        const bool is_known = std::find(std::begin(kKnown), std::end(kKnown), section.name) != std::end(kKnown);
        const bool is_readable = is_known && version == kSectionVersion;
        if (!is_readable && (flags & kRequired))
            throw Failure(CSOT_E_VERSION, "models.xbin: section " + std::to_string(i) + " needs a newer library");
        if (is_readable && has(section.name)) wrong("section " + section.name + " is there twice");
        if (!is_readable) section.name.clear();  // unknown and optional: only its checksum counts
        sections_.push_back(section);
    }
}

bool ModelFile::has(const std::string &name) const {
    return std::any_of(sections_.begin(), sections_.end(), [&](const Section &section) { return section.name == name; });
}

std::vector<uint8_t> ModelFile::read(const std::string &name) {
    const auto section =
        std::find_if(sections_.begin(), sections_.end(), [&](const Section &one) { return one.name == name; });
    if (section == sections_.end()) wrong("section " + name + " is missing");
    std::vector<uint8_t> bytes(section->size);
    seek(section->offset);
    read_bytes(bytes.data(), bytes.size());
    check(*section, sha256_of(bytes));
    section->was_read = true;
    return bytes;
}

void ModelFile::check_unread() {
    std::vector<uint8_t> part(1 << 20);
    for (const Section &section : sections_) {
        if (section.was_read) continue;
        seek(section.offset);
        Sha256 sum;
        for (uint64_t left = section.size; left > 0;) {
            const size_t count = size_t(std::min<uint64_t>(left, part.size()));
            read_bytes(part.data(), count);
            sum.add(part.data(), count);
            left -= count;
        }
        check(section, sum.digest());
    }
}

void ModelFile::check(const Section &section, const Digest &found) const {
    if (found != section.checksum)
        throw Failure(CSOT_E_CHECKSUM, "models.xbin: section " + (section.name.empty() ? "(unknown)" : section.name) +
                                           " is not as it was written");
}

void ModelFile::seek(uint64_t offset) {
    if (fseeko(file_.get(), off_t(offset), SEEK_SET) != 0) throw Failure(CSOT_E_IO, path_ + " cannot be read: " + strerror(errno));
}

void ModelFile::read_bytes(uint8_t *target, size_t count) {
    if (count && fread(target, 1, count, file_.get()) != count) throw Failure(CSOT_E_IO, path_ + " cannot be read to its end");
}

}  // namespace csot
