// What goes wrong inside, on its way to the C interface.
#pragma once

#include <stdexcept>
#include <string>

#include "csot.h"

namespace csot {

/// A status of the C interface with the sentence for csot_last_error.
struct Failure : std::runtime_error {
    Failure(csot_status status, const std::string &sentence) : std::runtime_error(sentence), status(status) {}
    csot_status status;
};

}  // namespace csot
