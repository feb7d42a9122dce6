// Which instruction sets this processor and its operating system offer.
#pragma once

#include <string>

#include "kernels.h"

namespace csot {

const Kernels &best_kernels();

/// The kernels of an instruction set by name, or the best ones for "auto".
const Kernels &kernels_named(const std::string &name);

}  // namespace csot
