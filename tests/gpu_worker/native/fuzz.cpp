// Opens and uses files that were damaged on purpose, under the sanitizers: fuzz MODEL CONFIG ROUNDS SEED INSTRUCTION_SET SCRATCH_FILE
//
// Most damaged files get right checksums again, so that what lies behind the checksums is reached. Prints how often each status came.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "config.h"
#include "csot.h"
#include "failure.h"
#include "sha256.h"

namespace {

using Bytes = std::vector<uint8_t>;

Bytes read_file(const char *path) {
    std::ifstream file(path, std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(file), {});
}

void write_file(const std::string &path, const uint8_t *bytes, size_t count) {
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char *>(bytes), std::streamsize(count));
}

template <class T>
T value_at(const Bytes &bytes, size_t at) {
    T value;
    memcpy(&value, &bytes[at], sizeof value);
    return value;
}

size_t section_count(const Bytes &file) { return std::min<size_t>(value_at<uint32_t>(file, 16), (file.size() - 64) / 64); }

void write_digest(csot::Sha256 sum, uint8_t *to) {
    const csot::Digest digest = sum.digest();
    std::copy(digest.begin(), digest.end(), to);
}

void repair_checksums(Bytes &file) {
    for (size_t i = 0; i < section_count(file); i++) {
        const size_t entry = 64 + 64 * i;
        const auto offset = value_at<uint64_t>(file, entry + 8), size = value_at<uint64_t>(file, entry + 16);
        if (offset > file.size() || size > file.size() - offset) continue;
        csot::Sha256 sum;
        sum.add(file.data() + offset, size);
        write_digest(sum, &file[entry + 32]);
    }
    csot::Sha256 sum;
    sum.add(file.data(), 32);
    sum.add(file.data() + 64, section_count(file) * 64);
    write_digest(sum, &file[32]);
}

/// Somewhere in the header and the table, at the beginning of a section, or anywhere.
size_t place(const Bytes &file, std::mt19937 &random) {
    if (random() % 4 == 0) return random() % (64 + 64 * section_count(file));
    if (random() % 4 == 0 || section_count(file) == 0) return random() % file.size();
    const size_t entry = 64 + 64 * (random() % section_count(file));
    const auto offset = value_at<uint64_t>(file, entry + 8), size = value_at<uint64_t>(file, entry + 16);
    if (offset >= file.size() || size == 0) return random() % file.size();
    return std::min<size_t>(file.size() - 1, offset + random() % std::min<uint64_t>(size, 1024));
}

void damage(Bytes &file, std::mt19937 &random) {
    static const uint8_t kExtremes[] = {0, 1, 2, 0x7f, 0x80, 0xff};
    for (uint32_t i = 1 + random() % 4; i > 0; i--)
        file[place(file, random)] = random() % 2 ? uint8_t(random()) : kExtremes[random() % sizeof kExtremes];
}

}  // namespace

int main(int count, char **arguments) {
    if (count != 7) return 2;
    const Bytes model = read_file(arguments[1]), config = read_file(arguments[2]);
    const int rounds = atoi(arguments[3]);
    std::mt19937 random(uint32_t(atoi(arguments[4])));
    const std::string scratch = arguments[6], settings = scratch + ".yaml";
    const std::string chosen = std::string("resolution_screening: false\ninstruction_set: ") + arguments[5] + "\n";
    write_file(settings, reinterpret_cast<const uint8_t *>(chosen.data()), chosen.size());

    int statuses[10] = {};
    const int width = 64, height = 48;
    Bytes pixels(width * height * 3), mask(width * height);
    for (uint8_t &value : pixels) value = uint8_t(random());
    for (int round = 0; round < rounds; round++) {
        Bytes file = model;
        damage(file, random);
        if (random() % 8) repair_checksums(file);
        if (random() % 16 == 0) file.resize(random() % file.size());
        write_file(scratch, file.data(), file.size());
        csot_model *opened = nullptr;
        csot_status status = csot_create(scratch.c_str(), settings.c_str(), &opened);
        if (status == CSOT_OK) {
            const csot_image image = {pixels.data(), width, height, width * 3, CSOT_RGB8};
            csot_result result = {};
            result.struct_size = sizeof result;
            status = csot_predict(opened, &image, &result, nullptr, mask.data());
            csot_info info = {};
            info.struct_size = sizeof info;
            if (csot_describe(opened, &info) != CSOT_OK) return 4;
            const size_t seen = size_t(info.segmentation_width) * size_t(info.segmentation_height);
            std::vector<float> probabilities(size_t(info.num_classes)), shares(seen);
            Bytes labels(seen + 1);
            if (status == CSOT_OK && csot_classify(opened, &image, 1, probabilities.data()) != CSOT_OK) return 5;
            if (status == CSOT_OK && (csot_segment(opened, &image, 1, labels.data(), shares.data()) == CSOT_OK) != (seen > 0)) return 6;
        }
        csot_destroy(opened);
        statuses[status]++;

        Bytes text = config;
        for (int i = 0; i < 3; i++) text[random() % text.size()] = uint8_t(random());
        try {
            csot::parse_config(std::string(text.begin(), text.end()));
        } catch (const csot::Failure &failure) {
            if (failure.status != CSOT_E_CONFIG) return 3;
        }
    }
    for (int status = 0; status < 10; status++) printf("%d %d\n", status, statuses[status]);
    return 0;
}
