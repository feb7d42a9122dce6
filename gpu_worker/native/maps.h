// How feature maps lie in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace csot {

/// Floats on a cache line's border, without content.
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(size_t count) : floats_(static_cast<float *>(std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64 + 64))) {
        if (!floats_) throw std::bad_alloc();
    }
    float *data() const { return floats_.get(); }

  private:
    struct Frees {
        void operator()(float *floats) const { std::free(floats); }
    };
    std::unique_ptr<float, Frees> floats_;
};

/// Channels in blocks of `lanes`: [block][row][column][lane], each plane framed by `halo` pixels of zero, so that no convolution
/// has to know where a border is. Lanes beyond the last channel are zero.
struct Layout {
    int channels = 0, height = 0, width = 0;
    int lanes = 1, halo = 0;

    int blocks() const { return (channels + lanes - 1) / lanes; }
    size_t row() const { return size_t(width + 2 * halo) * lanes; }
    size_t plane() const { return row() * (height + 2 * halo); }
    size_t image() const { return (plane() * blocks() + 15) / 16 * 16; }
};

/// The same maps of several images.
struct Maps {
    Layout layout;
    float *data = nullptr;

    /// The first pixel of a block, behind the halo.
    float *at(int image, int block) const {
        return data + image * layout.image() + block * layout.plane() + layout.halo * (layout.row() + layout.lanes);
    }
    void clear_halo(int image) const;
};

}  // namespace csot
