// Little-endian values out of bytes that nobody vouches for.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "failure.h"

namespace csot {

/// Reads forward and never beyond the end.
class ByteReader {
  public:
    ByteReader(const uint8_t *bytes, size_t count, std::string name)
        : begin_(bytes), at_(bytes), end_(bytes + count), name_(std::move(name)) {}

    uint32_t u32() { return read<uint32_t>(); }
    uint64_t u64() { return read<uint64_t>(); }
    float f32() { return read<float>(); }

    std::string text(size_t longest) {
        const uint32_t length = u32();
        if (length == 0 || length > longest) fail("holds a text that is empty or too long");
        const uint8_t *bytes = take(length);
        if (std::memchr(bytes, 0, length)) fail("holds a text with a zero in it");
        return std::string(reinterpret_cast<const char *>(bytes), length);
    }

    const uint8_t *take(size_t count) {
        if (size_t(end_ - at_) < count) fail("is cut off");
        const uint8_t *taken = at_;
        at_ += count;
        return taken;
    }

    /// Goes on at the next multiple of `step` bytes from the beginning.
    void align(size_t step) { take((step - size_t(at_ - begin_) % step) % step); }

    size_t left() const { return size_t(end_ - at_); }

    [[noreturn]] void fail(const std::string &what) const { throw Failure(CSOT_E_FORMAT, "models.xbin: " + name_ + " " + what); }

  private:
    template <class T>
    T read() {
        T value;
        std::memcpy(&value, take(sizeof value), sizeof value);
        return value;
    }

    const uint8_t *begin_, *at_, *end_;
    std::string name_;
};

}  // namespace csot
