#include "convolution.h"

#include "direct_convolution.h"
#include "winograd.h"

namespace csot {

std::unique_ptr<Convolution> make_convolution(const Operation &operation, const Layout &input, const Layout &output,
                                              const Kernels &kernels) {
    if (const int tile = WinogradConvolution::best_tile(operation, input, output))
        return std::make_unique<WinogradConvolution>(tile, operation, input, output, kernels);
    return std::make_unique<DirectConvolution>(operation, input, output, kernels);
}

}  // namespace csot
