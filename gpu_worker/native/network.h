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

/// Memory for feature maps, shared by networks that run one after the other.
class Workspace {
  public:
    /// Makes room for what a network needs; what other networks need stays.
    void need(const std::vector<size_t> &slot_sizes, size_t scratch_size);
    float *slot(int number) const { return slots_[size_t(number)].data(); }
    float *scratch() const { return scratch_.data(); }

  private:
    std::vector<Buffer> slots_;
    std::vector<size_t> slot_sizes_;
    Buffer scratch_;
    size_t scratch_size_ = 0;
};

class Network {
  public:
    /// Packs the weights of `graph` and gives their memory back meanwhile: neither it nor its section can be used afterwards.
    Network(const Graph &graph, const Kernels &kernels, ThreadPool &pool, Workspace &workspace);

    int width() const { return layouts_[0].width; }
    int height() const { return layouts_[0].height; }
    int most_images() const { return most_images_; }  ///< at once
    const Layout &output_layout() const { return layouts_[size_t(output_)]; }

    /// Where (row, column, channel) values of an image go, red, green and blue beside each other; rows are `input_row()` apart.
    float *input(int image) const { return maps(0).at(image, 0); }
    size_t input_row() const { return layouts_[0].row(); }

    void run(int images);

    /// Of the last run: the value of a channel and pixel is `output(image)[output_index(…)]`.
    const float *output(int image) const { return maps(output_).at(image, 0); }
    size_t output_index(int channel, int y, int x) const;

    /// The network's input for a channel value of 0 to 255.
    float standardized(int channel, int value) const { return (float(value) / 255.0f - mean_[channel]) / deviation_[channel]; }

  private:
    struct Step {
        OperationKind kind;
        int input, second, output;
        std::unique_ptr<Convolution> convolution;
    };

    Maps maps(int tensor) const { return {layouts_[size_t(tensor)], workspace_.slot(slots_[size_t(tensor)])}; }
    void lay_out(const Graph &graph);
    std::vector<size_t> assign_slots(const Graph &graph);

    ThreadPool &pool_;
    Workspace &workspace_;
    const Kernels &kernels_;
    float mean_[3], deviation_[3];
    std::vector<Layout> layouts_;
    std::vector<int> slots_;  // of each tensor
    std::vector<Step> steps_;
    int output_;
    int most_images_ = 1;
};

}  // namespace csot
