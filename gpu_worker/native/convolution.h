// A convolution of a network, its filters packed for the kernels.
#pragma once

#include <memory>

#include "graph.h"
#include "kernels.h"
#include "maps.h"
#include "thread_pool.h"

namespace csot {

class Convolution {
  public:
    virtual ~Convolution() = default;

    /// `residual` is null where nothing is added. `scratch` has `scratch_size()` floats for each worker of the pool.
    virtual void run(const Maps &input, const Maps &output, const Maps *residual, int images, ThreadPool &pool,
                     float *scratch) const = 0;

    /// For at most that many images at once.
    virtual size_t scratch_size(int) const { return 0; }
};

/// Chooses the faster way that its shapes allow.
std::unique_ptr<Convolution> make_convolution(const Operation &operation, const Layout &input, const Layout &output,
                                              const Kernels &kernels);

}  // namespace csot
