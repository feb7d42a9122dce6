// Images of any size and channel order to 8-bit RGB at the input size of a network.
#pragma once

#include <cstdint>
#include <vector>

#include "csot.h"

namespace csot {

/// (height, width, 3) pixels, bit for bit as Pillow's `resize((width, height), BILINEAR)` of the RGB image.
/// Source: Pillow, src/libImaging/Resample.c: two passes of a triangle filter that widens where the image shrinks, in fixed point.
std::vector<uint8_t> resized_rgb(const csot_image &image, int width, int height);

/// For each of `count` pixels the one of `source_count` that Pillow's NEAREST takes.
std::vector<int> nearest(int source_count, int count);

}  // namespace csot
