// Compiled once for each instruction set, with CSOT_SET its name and CSOT_LANES the floats of its vectors. Nothing but the compiler's
// vectors is used: a library function instantiated here could be linked into code for older processors.

#include "kernels.h"

#include <string.h>

#define UNROLL _Pragma("GCC unroll 16")
#define CSOT_TEXT_OF(name) #name
#define CSOT_TEXT(name) CSOT_TEXT_OF(name)

namespace csot {
namespace CSOT_SET {
namespace {

constexpr int kLanes = CSOT_LANES;
constexpr int kImageLanes = 3;
// Accumulators, the filters of a step and one pixel must fit the registers: 32 of AVX-512, 16 of the others.
constexpr int kWidestTile = kLanes == 16 ? 14 : 6;
constexpr int kWidestGroup = kLanes == 16 ? 4 : 2;
constexpr int widest_tile(int group) { return group > 2 ? kWidestTile / 2 : kWidestTile; }

typedef float Vector __attribute__((vector_size(CSOT_LANES * 4)));

inline Vector load(const float *from) {
    Vector vector;
    __builtin_memcpy(&vector, from, sizeof vector);
    return vector;
}

inline void store(float *to, Vector vector) { __builtin_memcpy(to, &vector, sizeof vector); }

inline Vector larger(Vector one, Vector other) { return one > other ? one : other; }

/// kWidth pixels of kGroup blocks, all in registers.
template <int kWidth, int kGroup, int kStride, int kInputLanes>
void convolve_tile(const ConvolutionTile &tile, const float *input, float *output, const float *residual) {
    Vector sums[kGroup][kWidth];
    UNROLL for (int block = 0; block < kGroup; block++) {
        const Vector bias = load(tile.bias + block * kLanes);
        UNROLL for (int x = 0; x < kWidth; x++)
            sums[block][x] = tile.begins ? bias : load(output + block * tile.output_plane + x * kLanes);
    }
    const float *filter = tile.filters;
    for (int input_block = 0; input_block < tile.input_blocks; input_block++) {
        for (int row = 0; row < tile.kernel; row++) {
            const float *pixels = input + input_block * tile.input_plane + row * tile.input_row;
            for (int column = 0; column < tile.kernel; column++, pixels += kInputLanes) {
                for (int lane = 0; lane < kInputLanes; lane++, filter += kGroup * kLanes) {
                    Vector filters[kGroup];
                    UNROLL for (int block = 0; block < kGroup; block++) filters[block] = load(filter + block * kLanes);
                    UNROLL for (int x = 0; x < kWidth; x++) {
                        // Subtracting zero is folded into a broadcast; adding zero is not, because of -0.
                        const Vector pixel = pixels[x * kStride * kInputLanes + lane] - Vector{};
                        UNROLL for (int block = 0; block < kGroup; block++) sums[block][x] += filters[block] * pixel;
                    }
                }
            }
        }
    }
    UNROLL for (int block = 0; block < kGroup; block++) {
        UNROLL for (int x = 0; x < kWidth; x++) {
            const size_t at = block * tile.output_plane + x * kLanes;
            Vector sum = sums[block][x];
            if (tile.ends && residual) sum += load(residual + at);
            if (tile.ends && tile.relu) sum = larger(sum, Vector{});
            store(output + at, sum);
        }
    }
}

using TileFunction = void (*)(const ConvolutionTile &, const float *, float *, const float *);

/// The function for a width, found by counting down at compile time.
template <int kWidth, int kGroup, int kStride, int kInputLanes>
TileFunction tile_of_width(int width) {
    if constexpr (kWidth == 0) {
        return nullptr;
    } else {
        if (width == kWidth) return convolve_tile<kWidth, kGroup, kStride, kInputLanes>;
        return tile_of_width<kWidth - 1, kGroup, kStride, kInputLanes>(width);
    }
}

template <int kGroup>
TileFunction tile_of_group(int width, int stride, bool reads_image) {
    constexpr int kWidest = widest_tile(kGroup);
    if (reads_image)
        return stride == 1 ? tile_of_width<kWidest, kGroup, 1, kImageLanes>(width)
                           : tile_of_width<kWidest, kGroup, 2, kImageLanes>(width);
    return stride == 1 ? tile_of_width<kWidest, kGroup, 1, kLanes>(width) : tile_of_width<kWidest, kGroup, 2, kLanes>(width);
}

TileFunction tile_function(int group, int width, int stride, bool reads_image) {
    if constexpr (kWidestGroup == 4) {
        if (group == 4) return tile_of_group<4>(width, stride, reads_image);
    }
    return group == 2 ? tile_of_group<2>(width, stride, reads_image) : tile_of_group<1>(width, stride, reads_image);
}

void convolve(const ConvolutionRows &rows) {
    // Tiles of nearly the same width: a wide one and a narrow rest would leave registers idle.
    const int widest = widest_tile(rows.group);
    const int tile_count = (rows.width + widest - 1) / widest;
    const int narrow = rows.width / tile_count, wider_count = rows.width % tile_count;
    const TileFunction narrow_tile = tile_function(rows.group, narrow, rows.stride, rows.reads_image);
    const TileFunction wider_tile =
        wider_count ? tile_function(rows.group, narrow + 1, rows.stride, rows.reads_image) : narrow_tile;
    const size_t input_step = size_t(rows.stride) * (rows.reads_image ? kImageLanes : kLanes);
    for (int y = rows.first_row; y < rows.end_row; y++) {
        const float *input = rows.input + size_t(y) * rows.stride * rows.tile.input_row;
        float *output = rows.output + y * rows.output_row;
        const float *residual = rows.residual ? rows.residual + y * rows.output_row : nullptr;
        for (int i = 0; i < tile_count; i++) {
            const int width = narrow + (i < wider_count);
            (i < wider_count ? wider_tile : narrow_tile)(rows.tile, input, output, residual);
            input += width * input_step;
            output += width * kLanes;
            if (residual) residual += width * kLanes;
        }
    }
}

void max_pool(const float *input, size_t input_row, int input_height, int input_width, float *output, size_t output_row,
              int height, int width) {
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            Vector largest = load(input + 2 * y * input_row + 2 * x * kLanes);
            // The padding of a maximum is nothing, not zero, so it is left out.
            for (int row = y > 0 ? 2 * y - 1 : 0; row <= 2 * y + 1 && row < input_height; row++)
                for (int column = x > 0 ? 2 * x - 1 : 0; column <= 2 * x + 1 && column < input_width; column++)
                    largest = larger(largest, load(input + row * input_row + column * kLanes));
            store(output + y * output_row + x * kLanes, largest);
        }
    }
}

void average(const float *input, size_t input_row, int height, int width, float *output) {
    Vector sum = {};
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) sum += load(input + y * input_row + x * kLanes);
    store(output, sum * (1.0f / (float(height) * float(width))));
}

void doubled(const float *input, size_t input_row, int height, int width, float *output, size_t output_row) {
    for (int y = 0; y < height; y++) {
        float *first = output + 2 * y * output_row;
        for (int x = 0; x < width; x++) {
            const Vector pixel = load(input + y * input_row + x * kLanes);
            store(first + 2 * x * kLanes, pixel);
            store(first + (2 * x + 1) * kLanes, pixel);
        }
        memcpy(first + output_row, first, sizeof(float) * 2 * size_t(width) * kLanes);
    }
}

// Winograd's F(4x4, 3x3): 36 multiplications instead of 144 for 16 pixels, and F(2x2, 3x3): 16 instead of 36 for 4. The points are 0, ±1,
// ±2 and infinity, and 0, ±1 and infinity. Source: Lavin and Gray, “Fast Algorithms for Convolutional Neural Networks” (arXiv
// 1509.09308), section 4.

/// The input's transform of one column or row of a patch, in place.
template <int kTile>
inline void transform_input(Vector (&d)[kTile + 2]) {
    const Vector d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
    if constexpr (kTile == 2) {
        d[0] = d0 - d2;
        d[1] = d1 + d2;
        d[2] = d2 - d1;
        d[3] = d1 - d3;
    } else {
        const Vector d4 = d[4], d5 = d[5];
        const Vector even = d4 - 4.0f * d2, odd = d3 - 4.0f * d1;
        const Vector even_twice = d4 - d2, odd_twice = 2.0f * (d3 - d1);
        d[0] = 4.0f * d0 - 5.0f * d2 + d4;
        d[1] = even + odd;
        d[2] = even - odd;
        d[3] = even_twice + odd_twice;
        d[4] = even_twice - odd_twice;
        d[5] = 4.0f * d1 - 5.0f * d3 + d5;
    }
}

template <int kTile>
void winograd_input(const float *input, size_t input_row, float *transformed, size_t distance) {
    constexpr int kPatch = kTile + 2;
    Vector halfway[kPatch][kPatch];
    UNROLL for (int x = 0; x < kPatch; x++) {
        Vector column[kPatch];
        UNROLL for (int y = 0; y < kPatch; y++) column[y] = load(input + y * input_row + x * kLanes);
        transform_input<kTile>(column);
        UNROLL for (int y = 0; y < kPatch; y++) halfway[y][x] = column[y];
    }
    UNROLL for (int y = 0; y < kPatch; y++) {
        transform_input<kTile>(halfway[y]);
        UNROLL for (int x = 0; x < kPatch; x++) store(transformed + (kPatch * y + x) * distance, halfway[y][x]);
    }
}

/// The output's transform of one column or row: a patch's values to those of a tile.
template <int kTile>
inline void transform_output(const Vector (&m)[kTile + 2], Vector (&to)[kTile]) {
    const Vector near_sum = m[1] + m[2], near_difference = m[1] - m[2];
    if constexpr (kTile == 2) {
        to[0] = m[0] + near_sum;
        to[1] = near_difference - m[3];
    } else {
        const Vector far_sum = m[3] + m[4], far_difference = m[3] - m[4];
        to[0] = m[0] + near_sum + far_sum;
        to[1] = near_difference + 2.0f * far_difference;
        to[2] = near_sum + 4.0f * far_sum;
        to[3] = near_difference + 8.0f * far_difference + m[5];
    }
}

template <int kTile>
void winograd_output(const float *transformed, size_t distance, const float *bias, const float *residual, bool relu, float *output,
                     size_t output_row, int height, int width) {
    constexpr int kPatch = kTile + 2;
    Vector halfway[kTile][kPatch];
    UNROLL for (int x = 0; x < kPatch; x++) {
        Vector column[kPatch], shorter[kTile];
        UNROLL for (int y = 0; y < kPatch; y++) column[y] = load(transformed + (kPatch * y + x) * distance);
        transform_output<kTile>(column, shorter);
        UNROLL for (int y = 0; y < kTile; y++) halfway[y][x] = shorter[y];
    }
    const Vector added = load(bias);
    for (int y = 0; y < height; y++) {
        Vector pixels[kTile];
        transform_output<kTile>(halfway[y], pixels);
        for (int x = 0; x < width; x++) {
            const size_t at = y * output_row + x * kLanes;
            Vector pixel = pixels[x] + added;
            if (residual) pixel += load(residual + at);
            if (relu) pixel = larger(pixel, Vector{});
            store(output + at, pixel);
        }
    }
}

}  // namespace

const Kernels kKernels = {CSOT_TEXT(CSOT_SET),
                          kLanes,
                          kWidestGroup,
                          convolve,
                          max_pool,
                          average,
                          doubled,
                          {winograd_input<4>, winograd_output<4>},
                          {winograd_input<2>, winograd_output<2>}};

}  // namespace CSOT_SET
}  // namespace csot
