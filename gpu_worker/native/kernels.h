// What is computed in vectors: kernels.cpp, compiled once for each instruction set. No library type crosses this border, so that no
// code made for a newer processor is ever shared with an older one.
#pragma once

#include <stddef.h>

namespace csot {

/// A register tile of a convolution: some neighbouring pixels of one output row, for one group of output blocks.
/// All distances are in floats.
struct ConvolutionTile {
    const float *filters;  ///< [input block][row][column][input lane][output lane of the group]
    const float *bias;     ///< [output lane of the group]
    int input_blocks;
    int kernel;
    size_t input_plane, input_row, output_plane;
    bool begins;  ///< starts from the bias, else from what is in the output already
    bool ends;    ///< adds the residual and applies ReLU
    bool relu;
};

/// Some rows of the output of a convolution.
struct ConvolutionRows {
    ConvolutionTile tile;
    const float *input;  ///< the first value that the first output pixel of row 0 looks at, in the halo where there is padding
    float *output;       ///< the first pixel of row 0
    const float *residual;  ///< laid out as the output; null where nothing is added
    size_t output_row;
    int width, first_row, end_row;
    int stride;
    bool reads_image;  ///< three lanes an input block, else as many as a vector has
    int group;         ///< output blocks computed together
};

/// Winograd's transforms of one block, for tiles of t x t pixels and patches of (t + 2) x (t + 2).
struct WinogradTransforms {
    /// A patch to as many values, each `distance` floats from the next …
    void (*input)(const float *input, size_t input_row, float *transformed, size_t distance);
    /// … and values back to `height` x `width` pixels of a tile.
    void (*output)(const float *transformed, size_t distance, const float *bias, const float *residual, bool relu, float *output,
                   size_t output_row, int height, int width);
};

struct Kernels {
    const char *name;
    int lanes;         ///< floats of a vector, and channels of a block
    int widest_group;  ///< output blocks at once where rows are short
    void (*convolve)(const ConvolutionRows &rows);
    /// 3 x 3, stride 2, padding 1, over one block. `input` and `output` are first pixels.
    void (*max_pool)(const float *input, size_t input_row, int input_height, int input_width, float *output, size_t output_row,
                     int height, int width);
    void (*average)(const float *input, size_t input_row, int height, int width, float *output);
    void (*doubled)(const float *input, size_t input_row, int height, int width, float *output, size_t output_row);
    WinogradTransforms winograd_4, winograd_2;  ///< of tiles of 4 x 4 and of 2 x 2 pixels
};

constexpr int kMostLanes = 16;

namespace base {
extern const Kernels kKernels;
}
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}

}  // namespace csot
