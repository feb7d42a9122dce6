// A small part of YAML: `key: value`, and one level of maps below a key; comments; plain, 'single' or "double" quoted texts.

#include "config.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "facts.h"
#include "failure.h"

namespace csot {
namespace {

constexpr size_t kLargestConfig = 1 << 20;
constexpr int kMostThreads = 64;
const char *const kModelFacts = "model";  // for people; the library takes them from models.xbin

struct Line {
    int number;
    bool is_indented;
    std::string key, value;

    [[noreturn]] void fail(const std::string &what) const {
        throw Failure(CSOT_E_CONFIG, "config.yaml, line " + std::to_string(number) + ": " + what);
    }
};

std::string trimmed(const std::string &text) {
    const char *const blanks = " \t\r";
    const size_t first = text.find_first_not_of(blanks);
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// Takes a quoted or plain text from the front of `rest`; a plain one ends before `end` or a comment.
std::string take_text(std::string &rest, const char *end, const Line &line) {
    rest = trimmed(rest);
    if (!rest.empty() && (rest[0] == '"' || rest[0] == '\'')) {
        const char quote = rest[0];
        std::string text;
        for (size_t i = 1; i < rest.size(); i++) {
            if (quote == '"' && rest[i] == '\\' && i + 1 < rest.size() && (rest[i + 1] == '"' || rest[i + 1] == '\\')) {
                text += rest[++i];
            } else if (quote == '\'' && rest[i] == quote && i + 1 < rest.size() && rest[i + 1] == quote) {
                text += rest[++i];  // YAML doubles a single quote inside single quotes
            } else if (quote == '"' && rest[i] == '\\') {
                line.fail("only \\\" and \\\\ are known after a backslash");
            } else if (rest[i] == quote) {
                rest = trimmed(rest.substr(i + 1));
                return text;
            } else {
                text += rest[i];
            }
        }
        line.fail("a quotation mark is missing");
    }
    size_t length = 0;
    while (length < rest.size() && rest.compare(length, strlen(end), end) != 0 &&
           !(rest[length] == '#' && (length == 0 || rest[length - 1] == ' ')))
        length++;
    const std::string text = trimmed(rest.substr(0, length));
    rest = trimmed(rest.substr(length));
    return text;
}

void parse_pair(std::string rest, Line &line) {
    line.key = take_text(rest, ":", line);
    if (line.key.empty() || rest.empty() || rest[0] != ':') line.fail("expected “key: value”");
    if (rest.size() > 1 && rest[1] != ' ' && rest[1] != '\t') line.fail("a space is missing behind the colon");
    rest = trimmed(rest.substr(1));
    if (rest.empty() || rest[0] == '#') return;
    line.value = take_text(rest, "\n", line);
    if (!rest.empty() && rest[0] != '#') line.fail("something stands behind the value");
}

bool parse_bool(const Line &line) {
    if (line.value == "true") return true;
    if (line.value == "false") return false;
    line.fail(line.key + " must be true or false");
}

/// Digits with or without a decimal point, whatever the locale of the program around us.
float parse_share(const Line &line) {
    double whole = 0, part = 0, scale = 1;
    size_t i = 0, digits = 0;
    const std::string &text = line.value;
    for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; i++, digits++) whole = whole * 10 + (text[i] - '0');
    if (i < text.size() && text[i] == '.')
        for (i++; i < text.size() && text[i] >= '0' && text[i] <= '9'; i++, digits++) {
            part = part * 10 + (text[i] - '0');
            scale *= 10;
        }
    const double value = whole + part / scale;
    if (digits == 0 || digits > 20 || i != text.size() || !(value >= 0 && value <= 1)) line.fail(line.key + " must be a number of 0 to 1");
    return float(value);
}

int parse_threads(const Line &line) {
    int threads = 0;
    for (const char digit : line.value)
        threads = digit >= '0' && digit <= '9' && threads <= kMostThreads ? threads * 10 + (digit - '0') : kMostThreads + 1;
    if (threads < 1 || threads > kMostThreads) line.fail("threads must be 1 to " + std::to_string(kMostThreads));
    return threads;
}

void apply(const Line &line, Config &config) {
    const std::string &key = line.key;
    if (key == "threads") {
        config.threads = parse_threads(line);
    } else if (key == "min_confidence") {
        config.min_confidence = parse_share(line);
    } else if (key == "unknown_code") {
        if (line.value.empty() || line.value.size() > size_t(kLongestCode))
            line.fail("unknown_code must have 1 to " + std::to_string(kLongestCode) + " bytes");
        config.unknown_code = line.value;
    } else if (key == "resolution_screening") {
        config.resolution_screening = parse_bool(line);
    } else if (key == "segmentation") {
        config.segmentation = parse_bool(line);
    } else if (key == "instruction_set") {
        config.instruction_set = line.value;
    } else {
        line.fail("the key “" + key + "” is unknown");
    }
}

}  // namespace

float Config::threshold(const std::string &code) const {
    const auto own = code_confidence.find(code);
    return own == code_confidence.end() ? min_confidence : own->second;
}

Config parse_config(const std::string &text) {
    Config config;
    std::string map;  // the key whose map the indented lines belong to
    int number = 0;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        const std::string raw = text.substr(begin, end - begin);
        begin = end + 1;
        Line line{++number, !raw.empty() && (raw[0] == ' ' || raw[0] == '\t'), "", ""};
        const std::string content = trimmed(raw);
        if (content.empty() || content[0] == '#' || content == "---") continue;
        if (line.is_indented && map == kModelFacts) continue;
        if (raw[0] == '\t') line.fail("indent with spaces");
        parse_pair(content, line);
        if (line.is_indented) {
            if (map.empty()) line.fail("is indented, but belongs to no key");
            if (!config.code_confidence.emplace(line.key, parse_share(line)).second) line.fail("“" + line.key + "” is there twice");
            continue;
        }
        const bool opens_map = line.key == kModelFacts || line.key == "code_confidence";
        if (opens_map && !line.value.empty() && line.value != "{}") line.fail(line.key + " must be a map on lines of its own");
        map = opens_map && line.value.empty() ? line.key : "";
        if (!opens_map) apply(line, config);
    }
    return config;
}

Config read_config(const char *path) {
    const std::unique_ptr<FILE, int (*)(FILE *)> file(fopen(path, "rb"), fclose);
    if (!file) throw Failure(CSOT_E_IO, std::string(path) + " cannot be opened: " + strerror(errno));
    std::string text(kLargestConfig + 1, '\0');
    text.resize(fread(&text[0], 1, text.size(), file.get()));
    if (ferror(file.get())) throw Failure(CSOT_E_IO, std::string(path) + " cannot be read");
    if (text.size() > kLargestConfig) throw Failure(CSOT_E_CONFIG, "config.yaml is larger than 1 MiB");
    return parse_config(text);
}

}  // namespace csot
