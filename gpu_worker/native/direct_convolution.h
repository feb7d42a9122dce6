// Convolutions as they are written down, any kernel and stride.
#pragma once

#include "convolution.h"

namespace csot {

class DirectConvolution final : public Convolution {
  public:
    DirectConvolution(const Operation &operation, const Layout &input, const Layout &output, const Kernels &kernels);

    void run(const Maps &input, const Maps &output, const Maps *residual, int images, ThreadPool &pool,
             float *scratch) const override;

  private:
    const Kernels &kernels_;
    int kernel_, stride_, padding_;
    bool relu_, reads_image_;
    int group_;  // output blocks computed together
    size_t filters_per_block_;  // floats of a group's filters for one input block
    Buffer filters_, bias_;
};

/// [output channel] with zeros up to a whole block.
Buffer packed_bias(const Operation &operation, const Layout &output);

/// The most blocks that the kernels compute at once and that divide all blocks.
int group_of(int blocks, int most);

}  // namespace csot
