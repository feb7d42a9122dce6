// A model as the factory uses it: images in, codes out.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "config.h"
#include "csot.h"
#include "facts.h"
#include "model_file.h"
#include "network.h"

namespace csot {

constexpr int kMostImagesOfACall = 256;

/// What is said of one image.
struct Answer {
    int code = 0;  ///< index of the codes
    float confidence = 0;
    float defect_area = 0;
};

/// Calls at the same time share the weights; each has threads and memory of its own, which wait for the next call afterwards.
class Model {
  public:
    Model(const char *models_xbin, const Config &config);

    const Facts &facts() const { return facts_; }
    const Config &config() const { return config_; }
    const Network &classifier() const { return *classifier_; }
    const Network &segmenter() const { return *segmenter_; }  ///< only of a model that segments
    bool segments() const { return segmenter_ != nullptr; }

    /// Images must have passed `check_image`. `probabilities` and `masks` are as in csot_predict_batch.
    std::vector<Answer> predict(const csot_image *images, int count, float *probabilities, uint8_t *const *masks);

    /// As csot_classify and csot_segment, the latter of a model that segments. Images must have passed `check_image`.
    void classify(const csot_image *images, int count, float *probabilities);
    void segment(const csot_image *images, int count, uint8_t *labels, float *shares);

    /// Fails for an image that can never be predicted or, where that is asked for, does not comply.
    void check_image(const csot_image &image) const;

  private:
    struct Segmented {
        std::vector<uint8_t> labels;   // of each output: 0, or 1 + code
        std::vector<uint64_t> pixels;  // of each code, at the input size
    };

    struct GivesBack {
        Model *model;
        void operator()(Workspace *workspace) const { model->take_back(workspace); }
    };
    using Lent = std::unique_ptr<Workspace, GivesBack>;
    /// A workspace for one call: one that nobody uses, else a new one.
    Lent lent_workspace();
    std::unique_ptr<Workspace> new_workspace() const;
    void take_back(Workspace *workspace);

    std::unique_ptr<Network> load(ModelFile &file, const char *section) const;
    static void prepare(const Network &network, const Workspace &workspace, const csot_image *images, int count);
    void softmax(const float *scores, float *probabilities) const;
    /// Runs a network and calls `action(image, its output)` for each image.
    template <class Action>
    static void run(const Network &network, Workspace &workspace, const csot_image *images, int count, const Action &action);
    Segmented segmented(const float *scores) const;
    int special_code(const Segmented &segmented) const;
    float probability(const float *scores, int label, int y, int x) const;
    float mean_probability(const Segmented &segmented, const float *scores, int code) const;
    void draw(const Segmented &segmented, int width, int height, uint8_t *mask) const;

    Config config_;
    Facts facts_;
    std::unique_ptr<Network> classifier_, segmenter_;
    int repeats_ = 1;  // each output of the segmenter stands for so many pixels of its input, along either side
    std::mutex mutex_;  // guards the two below
    std::vector<std::unique_ptr<Workspace>> idle_;
    size_t workspace_count_ = 0;
};

}  // namespace csot
