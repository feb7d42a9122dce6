#include "graph.h"

#include <cmath>

#include "bytes.h"

namespace csot {
namespace {

constexpr uint32_t kMostTensors = 4096, kSmallestInput = 1, kLargestInput = 4096;
constexpr int kMostChannels = 16384, kLargestKernel = 7;
constexpr uint64_t kMostValues = uint64_t(1) << 26;  // of one tensor: 256 MiB
constexpr int kJoinedChannelsStep = 16;              // the widest vector, so that joining moves whole blocks
constexpr float kSmallestDeviation = 1e-6f;

class GraphParser {
  public:
    GraphParser(const std::vector<uint8_t> &section, const std::string &name)
        : reader_(section.data(), section.size(), "section " + name) {}

    Graph parse() {
        parse_input();
        const uint32_t tensor_count = reader_.u32(), operation_count = reader_.u32();
        if (tensor_count < 2 || tensor_count > kMostTensors || operation_count != tensor_count - 1)
            reader_.fail("has an impossible number of tensors");
        graph_.tensors.resize(tensor_count);
        graph_.tensors[0] = {3, graph_.height, graph_.width};
        graph_.output = written_tensor_later(reader_.u32());
        reader_.align(64);
        for (uint32_t i = 0; i < operation_count; i++) parse_operation();
        reader_.align(64);
        place_weights();
        for (Operation &operation : graph_.operations) derive_shape(operation);
        return std::move(graph_);
    }

  private:
    struct Offsets {
        uint64_t weights, bias;
    };

    void parse_input() {
        const uint32_t width = reader_.u32(), height = reader_.u32();
        for (uint32_t side : {width, height})
            if (side < kSmallestInput || side > kLargestInput) reader_.fail("has an impossible input size");
        graph_.width = int(width), graph_.height = int(height);
        for (float &mean : graph_.mean) {
            mean = reader_.f32();
            if (!std::isfinite(mean)) reader_.fail("has a mean that is no number");
        }
        for (float &deviation : graph_.deviation) {
            deviation = reader_.f32();
            if (!std::isfinite(deviation) || deviation < kSmallestDeviation) reader_.fail("has an impossible deviation");
        }
    }

    int written_tensor_later(uint32_t number) {
        if (number < 1 || number >= graph_.tensors.size()) reader_.fail("names a tensor that does not exist");
        return int(number);
    }

    void parse_operation() {
        Operation operation;
        const uint32_t kind = reader_.u32();
        if (kind < uint32_t(OperationKind::kConvolution) || kind > uint32_t(OperationKind::kJoining))
            reader_.fail("has an unknown operation");
        operation.kind = OperationKind(kind);
        // Operation number n writes tensor n + 1, so what an operation reads must be lower: no cycle can be written down.
        operation.output = int(graph_.operations.size()) + 1;
        const auto earlier = [&](uint32_t number) {
            if (number >= uint32_t(operation.output)) reader_.fail("reads a tensor before it is written");
            return int(number);
        };
        operation.input = earlier(reader_.u32());
        const uint32_t second = reader_.u32();
        operation.second = second == UINT32_MAX ? kNone : earlier(second);
        if (operation.second == 0) reader_.fail("adds or joins the image");
        const auto small = [&](uint32_t most) {
            const uint32_t value = reader_.u32();
            if (value > most) reader_.fail("has an operation with an impossible number");
            return int(value);
        };
        operation.kernel = small(kLargestKernel);
        operation.stride = small(2);
        operation.padding = small(kLargestKernel / 2);
        operation.input_channels = small(kMostChannels);
        operation.output_channels = small(kMostChannels);
        operation.relu = small(1) != 0;
        reader_.take(12);  // reserved
        offsets_.push_back({reader_.u64(), reader_.u64()});
        graph_.operations.push_back(operation);
    }

    void place_weights() {
        const uint64_t count = reader_.left() / sizeof(float);
        const float *values = reinterpret_cast<const float *>(reader_.take(size_t(count) * sizeof(float)));
        const auto placed = [&](uint64_t offset, uint64_t needed) {
            if (offset > count || needed > count - offset) reader_.fail("has weights out of bounds");
            for (const float *value = values + offset; value < values + offset + needed; value++)
                if (!std::isfinite(*value)) reader_.fail("has a weight that is no number");
            return values + offset;
        };
        for (size_t i = 0; i < offsets_.size(); i++) {
            Operation &operation = graph_.operations[i];
            if (operation.kind != OperationKind::kConvolution) continue;
            const uint64_t filter = uint64_t(operation.input_channels) * uint64_t(operation.kernel * operation.kernel);
            operation.weights = placed(offsets_[i].weights, filter * uint64_t(operation.output_channels));
            operation.bias = placed(offsets_[i].bias, uint64_t(operation.output_channels));
        }
    }

    void derive_shape(const Operation &operation) {
        const Shape in = graph_.tensors[size_t(operation.input)];
        const bool has_second = operation.second != kNone;
        const Shape second = has_second ? graph_.tensors[size_t(operation.second)] : Shape();
        Shape &out = graph_.tensors[size_t(operation.output)];
        if (operation.kind != OperationKind::kConvolution && operation.input == 0) reader_.fail("begins without a convolution");
        switch (operation.kind) {
            case OperationKind::kConvolution: {
                if (operation.input_channels != in.channels || operation.output_channels < 1 || operation.kernel % 2 == 0 ||
                    operation.stride < 1 || operation.padding > operation.kernel / 2)
                    reader_.fail("has an impossible convolution");
                const int over = 2 * operation.padding - operation.kernel;
                if (in.height + over < 0 || in.width + over < 0) reader_.fail("has a kernel larger than its input");
                out = {operation.output_channels, (in.height + over) / operation.stride + 1,
                       (in.width + over) / operation.stride + 1};
                if (has_second &&
                    (second.channels != out.channels || second.height != out.height || second.width != out.width))
                    reader_.fail("adds tensors of different shapes");
                break;
            }
            case OperationKind::kMaxPool:
                out = {in.channels, (in.height - 1) / 2 + 1, (in.width - 1) / 2 + 1};
                break;
            case OperationKind::kAverage:
                out = {in.channels, 1, 1};
                break;
            case OperationKind::kDoubling:
                out = {in.channels, 2 * in.height, 2 * in.width};
                break;
            case OperationKind::kJoining:
                if (!has_second || in.height != second.height || in.width != second.width ||
                    in.channels % kJoinedChannelsStep != 0)
                    reader_.fail("joins tensors that do not fit");
                out = {in.channels + second.channels, in.height, in.width};
                break;
        }
        if (out.channels > kMostChannels || uint64_t(out.channels) * uint64_t(out.height) * uint64_t(out.width) > kMostValues)
            reader_.fail("has a tensor that is too large");
    }

    ByteReader reader_;
    Graph graph_;
    std::vector<Offsets> offsets_;
};

}  // namespace

Graph parse_graph(const std::vector<uint8_t> &section, const std::string &name) { return GraphParser(section, name).parse(); }

}  // namespace csot
