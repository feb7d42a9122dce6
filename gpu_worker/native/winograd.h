// 3 x 3 convolutions with stride 1 by Winograd's F(4x4, 3x3): a quarter of the multiplications, four times the filters.
#pragma once

#include "convolution.h"

namespace csot {

class WinogradConvolution final : public Convolution {
  public:
    WinogradConvolution(const Operation &operation, const Layout &input, const Layout &output, const Kernels &kernels);

    /// Whether it can compute the operation, and is faster than the direct way.
    static bool pays(const Operation &operation, const Layout &input, const Layout &output);

    void run(const Maps &input, const Maps &output, const Maps *residual, int images, ThreadPool &pool,
             float *scratch) const override;
    size_t scratch_size(int images) const override;

  private:
    struct Tile {
        int image, y, x;
    };
    Tile tile(int number) const;
    void transform_input(const Maps &input, int first, int count, float *transformed) const;
    void multiply(const float *transformed, int count, float *products) const;
    void transform_output(const float *products, int first, int count, const Maps &output, const Maps *residual) const;

    const Kernels &kernels_;
    bool relu_;
    int input_blocks_, output_blocks_, group_;
    int tile_rows_, tile_columns_;
    Buffer filters_;  // [36][group][input channel][output lane of the group]
    Buffer bias_;
};

}  // namespace csot
