// A network that can be run.
#pragma once

#include <memory>
#include <vector>

#include "convolution.h"
#include "graph.h"
#include "kernels.h"
#include "maps.h"
#include "thread_pool.h"

namespace csot {

/// What one call works with: threads, and memory for feature maps. Networks that run one after the other share it.
class Workspace {
  public:
    explicit Workspace(int threads) : pool_(threads) {}

    ThreadPool &pool() { return pool_; }
    /// Makes room for what a network needs, of the scratch for each thread; what other networks need stays.
    void need(const std::vector<size_t> &slot_sizes, size_t scratch_of_thread);
    float *slot(int number) const { return slots_[size_t(number)].data(); }
    float *scratch() const { return scratch_.data(); }

  private:
    ThreadPool pool_;
    std::vector<Buffer> slots_;
    std::vector<size_t> slot_sizes_;
    Buffer scratch_;
    size_t scratch_size_ = 0;
};

/// Stays as it was made, so that calls at the same time share its weights, each with a workspace of its own.
class Network {
  public:
    /// Packs the weights of `graph` and gives their memory back meanwhile: neither it nor its section can be used afterwards.
    Network(const Graph &graph, const Kernels &kernels);

    int width() const { return layouts_[0].width; }
    int height() const { return layouts_[0].height; }
    int most_images() const { return most_images_; }  ///< at once
    const Layout &output_layout() const { return layouts_[size_t(output_)]; }

    /// Before anything else is asked of a workspace.
    void make_room(Workspace &workspace) const { workspace.need(slot_sizes_, scratch_size_); }

    /// Where (row, column, channel) values of an image go, red, green and blue beside each other; rows are `input_row()` apart.
    float *input(const Workspace &workspace, int image) const { return maps(workspace, 0).at(image, 0); }
    size_t input_row() const { return layouts_[0].row(); }

    void run(Workspace &workspace, int images) const;

    /// Of the last run in a workspace: the value of a channel and pixel is `output(workspace, image)[output_index(…)]`.
    const float *output(const Workspace &workspace, int image) const { return maps(workspace, output_).at(image, 0); }
    size_t output_index(int channel, int y, int x) const;

    /// The network's input for a channel value of 0 to 255.
    float standardized(int channel, int value) const { return (float(value) / 255.0f - mean_[channel]) / deviation_[channel]; }

  private:
    struct Step {
        OperationKind kind;
        int input, second, output;
        std::unique_ptr<Convolution> convolution;
    };

    Maps maps(const Workspace &workspace, int tensor) const {
        return {layouts_[size_t(tensor)], workspace.slot(slots_[size_t(tensor)])};
    }
    void lay_out(const Graph &graph);
    std::vector<size_t> assign_slots(const Graph &graph);

    const Kernels &kernels_;
    float mean_[3], deviation_[3];
    std::vector<Layout> layouts_;
    std::vector<int> slots_;  // of each tensor
    std::vector<size_t> slot_sizes_;
    size_t scratch_size_ = 0;  // of each thread
    std::vector<Step> steps_;
    int output_;
    int most_images_ = 1;
};

}  // namespace csot
