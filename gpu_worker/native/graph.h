// A network as models.xbin describes it (sections CLSF and SEGM): operations over numbered tensors, and their weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace csot {

enum class OperationKind : uint32_t {
    kConvolution = 1,  ///< with bias; optionally a second tensor is added, then optionally ReLU
    kMaxPool = 2,      ///< 3 x 3 with stride 2 and padding 1
    kAverage = 3,      ///< over the whole plane
    kDoubling = 4,     ///< every pixel becomes 2 x 2 equal ones
    kJoining = 5       ///< the channels of two tensors behind each other
};

constexpr int kNone = -1;

struct Operation {
    OperationKind kind;
    int input, second, output;  ///< tensors; `second` is kNone where there is none
    int kernel = 0, stride = 0, padding = 0;
    int input_channels = 0, output_channels = 0;
    bool relu = false;
    const float *weights = nullptr;  ///< [output channel][input channel][row][column], inside the section's bytes
    const float *bias = nullptr;     ///< [output channel]
};

struct Shape {
    int channels = 0, height = 0, width = 0;
};

/// Tensor 0 is the image. Every tensor is written once, by an operation that comes before all that read it.
struct Graph {
    int width = 0, height = 0;         ///< of the input
    float mean[3] = {}, deviation[3] = {};  ///< of red, green and blue, scaled to 0..1
    std::vector<Shape> tensors;
    std::vector<Operation> operations;
    int output = 0;
};

/// `section` must outlive the graph, which points into it. `name` is for messages.
Graph parse_graph(const std::vector<uint8_t> &section, const std::string &name);

}  // namespace csot
