// 3 x 3 convolutions with stride 1 by Winograd's way: of tiles of 4 x 4 pixels a quarter of the multiplications with four times the
// filters, of tiles of 2 x 2 less than half of them with not quite twice the filters.
#pragma once

#include "convolution.h"

namespace csot {

class WinogradConvolution final : public Convolution {
  public:
    /// `tile` is 4 or 2.
    WinogradConvolution(int tile, const Operation &operation, const Layout &input, const Layout &output, const Kernels &kernels);

    /// The tile that computes the operation fastest; 0 where the direct way is faster, or the only one.
    static int best_tile(const Operation &operation, const Layout &input, const Layout &output);

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
    const WinogradTransforms &transforms_;
    int tile_, patch_, products_;  // sides of a tile and of its patch; values of a patch
    bool relu_;
    int input_blocks_, output_blocks_, group_;
    int tile_rows_, tile_columns_;
    Buffer filters_;  // [product][group][input channel][output lane of the group]
    Buffer bias_;
};

}  // namespace csot
