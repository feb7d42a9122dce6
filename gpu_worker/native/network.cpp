#include "network.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "failure.h"

namespace csot {
namespace {

constexpr int kImageChannels = 3;
constexpr size_t kWorkspace = (size_t(8) << 20) / sizeof(float);     // so many images at once that their maps stay in the caches
constexpr size_t kLargestImage = (size_t(1) << 30) / sizeof(float);  // maps of a single image
constexpr int kMostImages = 8;                                       // more would not be faster

/// For each operation the lowest address of weights that it or a later one reads.
std::vector<const float *> lowest_read(const Graph &graph) {
    std::vector<const float *> lowest(graph.operations.size());
    const float *so_far = reinterpret_cast<const float *>(UINTPTR_MAX);
    for (size_t i = lowest.size(); i-- > 0;) {
        const Operation &operation = graph.operations[i];
        if (operation.kind == OperationKind::kConvolution) so_far = std::min({so_far, operation.weights, operation.bias});
        lowest[i] = so_far;
    }
    return lowest;
}

/// Gives whole pages between two addresses back to the system; what they held is lost.
void give_back(const float *begin, const float *end) {
    const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE));
    const uintptr_t first = (reinterpret_cast<uintptr_t>(begin) + page - 1) / page * page;
    const uintptr_t last = reinterpret_cast<uintptr_t>(end) / page * page;
    if (first < last) madvise(reinterpret_cast<void *>(first), last - first, MADV_DONTNEED);
}

}  // namespace

void Workspace::need(const std::vector<size_t> &slot_sizes, size_t scratch_of_thread) {
    for (size_t i = 0; i < slot_sizes.size(); i++) {
        if (i == slots_.size()) {
            slots_.emplace_back();
            slot_sizes_.push_back(0);
        }
        if (slot_sizes[i] <= slot_sizes_[i]) continue;
        slots_[i] = Buffer();  // first, so that old and new are never there together
        slots_[i] = Buffer(slot_sizes[i]);
        slot_sizes_[i] = slot_sizes[i];
    }
    const size_t scratch_size = scratch_of_thread * size_t(pool_.size());
    if (scratch_size <= scratch_size_) return;
    scratch_ = Buffer();
    scratch_ = Buffer(scratch_size);
    scratch_size_ = scratch_size;
}

Network::Network(const Graph &graph, const Kernels &kernels) : kernels_(kernels), output_(graph.output) {
    std::copy_n(graph.mean, 3, mean_);
    std::copy_n(graph.deviation, 3, deviation_);
    lay_out(graph);
    slot_sizes_ = assign_slots(graph);
    size_t per_image = 0;
    for (size_t size : slot_sizes_) per_image += size;
    if (per_image > kLargestImage) throw Failure(CSOT_E_FORMAT, "models.xbin: a network needs more than 1 GiB for an image");
    most_images_ = int(std::clamp<size_t>(kWorkspace / per_image, 1, kMostImages));
    for (size_t &size : slot_sizes_) size *= size_t(most_images_);

    const std::vector<const float *> lowest = lowest_read(graph);
    for (size_t i = 0; i < graph.operations.size(); i++) {
        const Operation &operation = graph.operations[i];
        // Packed weights are larger than those in the file; keeping both to the end would add a quarter to the peak.
        if (i > 0 && lowest[i] != reinterpret_cast<const float *>(UINTPTR_MAX)) give_back(lowest[i - 1], lowest[i]);
        Step step{operation.kind, operation.input, operation.second, operation.output, nullptr};
        if (operation.kind == OperationKind::kConvolution) {
            step.convolution = make_convolution(operation, layouts_[size_t(operation.input)],
                                                layouts_[size_t(operation.output)], kernels);
            scratch_size_ = std::max(scratch_size_, step.convolution->scratch_size(most_images_));
        }
        steps_.push_back(std::move(step));
    }
}

void Network::lay_out(const Graph &graph) {
    // All maps but the image have the same halo, so that what is added to an output lies in memory as the output does.
    int image_halo = 0, halo = 0;
    for (const Operation &operation : graph.operations) {
        int &own = operation.input == 0 ? image_halo : halo;
        own = std::max(own, operation.padding);
    }
    for (const Shape &shape : graph.tensors) {
        const bool is_image = layouts_.empty();
        layouts_.push_back({shape.channels, shape.height, shape.width, is_image ? kImageChannels : kernels_.lanes,
                            is_image ? image_halo : halo});
    }
}

/// Gives each tensor a slot that no tensor still needed is in, and returns how large the slots must be for one image.
std::vector<size_t> Network::assign_slots(const Graph &graph) {
    const int kept = int(graph.operations.size());
    std::vector<int> last_reader(graph.tensors.size());
    for (int i = 0; i < kept; i++) {
        const Operation &operation = graph.operations[size_t(i)];
        last_reader[size_t(operation.output)] = i;
        for (int read : {operation.input, operation.second})
            if (read != kNone) last_reader[size_t(read)] = i;
    }
    last_reader[size_t(graph.output)] = kept;

    std::vector<size_t> sizes;
    std::vector<int> free;
    slots_.assign(graph.tensors.size(), kNone);
    const auto assign = [&](int tensor) {
        const size_t size = layouts_[size_t(tensor)].image();
        // The smallest slot that is large enough, else the largest one.
        const auto is_better = [&](int one, int other) {
            const size_t first = sizes[size_t(one)], second = sizes[size_t(other)];
            if ((first >= size) != (second >= size)) return first >= size;
            return first >= size ? first < second : first > second;
        };
        const auto best = std::min_element(free.begin(), free.end(), is_better);
        int slot = int(sizes.size());
        if (best == free.end()) {
            sizes.push_back(0);
        } else {
            slot = *best;
            free.erase(best);
        }
        sizes[size_t(slot)] = std::max(sizes[size_t(slot)], size);
        slots_[size_t(tensor)] = slot;
    };
    assign(0);
    for (int i = 0; i < kept; i++) {
        const Operation &operation = graph.operations[size_t(i)];
        assign(operation.output);
        for (int used : {operation.input, operation.second == operation.input ? kNone : operation.second, operation.output})
            if (used != kNone && last_reader[size_t(used)] == i) free.push_back(slots_[size_t(used)]);
    }
    return sizes;
}

void Network::run(Workspace &workspace, int images) const {
    ThreadPool &pool = workspace.pool();
    for (int image = 0; image < images; image++) maps(workspace, 0).clear_halo(image);
    for (const Step &step : steps_) {
        const Maps input = maps(workspace, step.input), output = maps(workspace, step.output);
        const Maps second = step.second == kNone ? Maps() : maps(workspace, step.second);
        const Layout &in = input.layout, &out = output.layout;
        // A slot held other maps before, so its halo is not zero.
        for (int image = 0; image < images; image++) output.clear_halo(image);
        const auto for_each_block = [&](const auto &compute) {
            const int blocks = out.blocks();
            pool.run(images * blocks, [&](int, int part) { compute(part / blocks, part % blocks); });
        };
        switch (step.kind) {
            case OperationKind::kConvolution:
                step.convolution->run(input, output, step.second == kNone ? nullptr : &second, images, pool, workspace.scratch());
                break;
            case OperationKind::kMaxPool:
                for_each_block([&](int image, int block) {
                    kernels_.max_pool(input.at(image, block), in.row(), in.height, in.width, output.at(image, block), out.row(),
                                      out.height, out.width);
                });
                break;
            case OperationKind::kAverage:
                for_each_block([&](int image, int block) {
                    kernels_.average(input.at(image, block), in.row(), in.height, in.width, output.at(image, block));
                });
                break;
            case OperationKind::kDoubling:
                for_each_block([&](int image, int block) {
                    kernels_.doubled(input.at(image, block), in.row(), in.height, in.width, output.at(image, block), out.row());
                });
                break;
            case OperationKind::kJoining:
                for_each_block([&](int image, int block) {
                    const bool is_first = block < in.blocks();
                    const float *from = is_first ? input.at(image, block) : second.at(image, block - in.blocks());
                    float *to = output.at(image, block);
                    for (int y = 0; y < out.height; y++)
                        std::copy_n(from + y * out.row(), size_t(out.width) * out.lanes, to + y * out.row());
                });
                break;
        }
    }
}

size_t Network::output_index(int channel, int y, int x) const {
    const Layout &out = output_layout();
    return channel / out.lanes * out.plane() + y * out.row() + size_t(x) * out.lanes + channel % out.lanes;
}

}  // namespace csot
