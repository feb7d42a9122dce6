#include "facts.h"

#include <algorithm>

#include "bytes.h"

namespace csot {
namespace {

constexpr uint32_t kMostCodes = 1000;
constexpr uint32_t kMostSizes = 1024;
constexpr uint32_t kLargestRule = 1 << 30;  // pixels; a rule may allow more than any image has
enum RuleKind : uint32_t { kEverySize = 0, kExactSizes = 1, kRange = 2 };

int side(ByteReader &reader, int least) {
    const uint32_t side = reader.u32();
    if (side < uint32_t(least) || side > kLargestRule) reader.fail("names an impossible size of images");
    return int(side);
}

ResolutionRule parse_rule(ByteReader &reader) {
    ResolutionRule rule;
    switch (reader.u32()) {
        case kEverySize:
            break;
        case kExactSizes: {
            const uint32_t count = reader.u32();
            if (count < 1 || count > kMostSizes) reader.fail("names no sizes of images, or too many");
            for (uint32_t i = 0; i < count; i++) {
                const int width = side(reader, 1);
                rule.exact_sizes.emplace_back(width, side(reader, 1));
            }
            break;
        }
        case kRange:
            rule.has_range = true;
            rule.min_width = side(reader, 0);
            rule.min_height = side(reader, 0);
            rule.max_width = side(reader, 0);
            rule.max_height = side(reader, 0);
            break;
        default:
            reader.fail("has an unknown resolution rule");
    }
    return rule;
}

std::string size_in_words(int width, int height) { return std::to_string(width) + " x " + std::to_string(height); }

}  // namespace

bool ResolutionRule::complies(int width, int height) const {
    if (!exact_sizes.empty())
        return std::find(exact_sizes.begin(), exact_sizes.end(), std::make_pair(width, height)) != exact_sizes.end();
    return !has_range || (min_width <= width && width <= max_width && min_height <= height && height <= max_height);
}

std::string ResolutionRule::in_words() const {
    if (has_range) return size_in_words(min_width, min_height) + " to " + size_in_words(max_width, max_height);
    std::string words;
    const size_t shown = std::min<size_t>(exact_sizes.size(), 4);
    for (size_t i = 0; i < shown; i++) words += (i ? ", " : "") + size_in_words(exact_sizes[i].first, exact_sizes[i].second);
    return words + (shown < exact_sizes.size() ? ", ..." : "");
}

Facts parse_facts(const std::vector<uint8_t> &section) {
    ByteReader reader(section.data(), section.size(), "section FACT");
    Facts facts;
    const uint32_t class_count = reader.u32(), code_count = reader.u32();
    if (class_count < 1 || code_count < class_count || code_count > kMostCodes) reader.fail("has an impossible number of codes");
    facts.class_count = int(class_count);
    for (uint32_t i = 0; i < code_count; i++) {
        facts.codes.push_back(reader.text(kLongestCode));
        if (std::find(facts.codes.begin(), facts.codes.end() - 1, facts.codes.back()) != facts.codes.end() - 1)
            reader.fail("names a code twice");
    }
    facts.rule = parse_rule(reader);
    facts.special_code_min_pixels = reader.u32();
    return facts;
}

}  // namespace csot
