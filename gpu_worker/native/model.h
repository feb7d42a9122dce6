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

class Model {
  public:
    Model(const char *models_xbin, const Config &config);

    const Facts &facts() const { return facts_; }
    const Config &config() const { return config_; }
    const Network &classifier() const { return *classifier_; }
    bool segments() const { return segmenter_ != nullptr; }

    /// Images must have passed `check_image`. `probabilities` and `masks` are as in csot_predict_batch.
    std::vector<Answer> predict(const csot_image *images, int count, float *probabilities, uint8_t *const *masks);

    /// Fails for an image that can never be predicted or, where that is asked for, does not comply.
    void check_image(const csot_image &image) const;

  private:
    struct Segmented {
        std::vector<uint8_t> labels;   // of each output: 0, or 1 + code
        std::vector<uint64_t> pixels;  // of each code, at the input size
    };

    std::unique_ptr<Network> load(ModelFile &file, const char *section);
    static void prepare(Network &network, const csot_image *images, int count);
    void classify(int image, float *probabilities, Answer &answer) const;
    Segmented segment(int image) const;
    int special_code(const Segmented &segmented) const;
    float mean_probability(const Segmented &segmented, int image, int code) const;
    void draw(const Segmented &segmented, int width, int height, uint8_t *mask) const;

    Config config_;
    Facts facts_;
    ThreadPool pool_;
    Workspace workspace_;
    std::unique_ptr<Network> classifier_, segmenter_;
    int repeats_ = 1;  // each output of the segmenter stands for so many pixels of its input, along either side
    std::mutex mutex_;
};

}  // namespace csot
