#include "model.h"

#include <algorithm>
#include <cmath>

#include "cpu.h"
#include "failure.h"
#include "resize.h"

namespace csot {
namespace {

constexpr size_t kMostMarkedCodes = 255;  // a byte of a mask holds 1 + the code

[[noreturn]] void wrong(const std::string &what) { throw Failure(CSOT_E_FORMAT, "models.xbin: " + what); }

}  // namespace

Model::Model(const char *models_xbin, const Config &config) : config_(config) {
    ModelFile file(models_xbin);
    facts_ = parse_facts(file.read("FACT"));
    for (const auto &own : config_.code_confidence)
        if (std::find(facts_.codes.begin(), facts_.codes.end(), own.first) == facts_.codes.end())
            throw Failure(CSOT_E_CONFIG, "config.yaml: code_confidence names “" + own.first + "”, which this model does not know");

    classifier_ = load(file, "CLSF");
    const Layout &scores = classifier_->output_layout();
    if (scores.channels != facts_.class_count || scores.height != 1 || scores.width != 1)
        wrong("the classifier's output does not fit the codes");
    if (file.has("SEGM") && config_.segmentation) {
        segmenter_ = load(file, "SEGM");
        const Layout &maps = segmenter_->output_layout();
        if (facts_.codes.size() > kMostMarkedCodes) wrong("it has more codes than a mask can tell apart");
        repeats_ = segmenter_->width() / maps.width;
        if (maps.channels != 1 + int(facts_.codes.size()) || repeats_ * maps.width != segmenter_->width() ||
            repeats_ * maps.height != segmenter_->height())
            wrong("the segmentation's output does not fit the codes or its input");
    } else if (!file.has("SEGM") && facts_.class_count != int(facts_.codes.size())) {
        wrong("it has special codes, but no segmentation that could find them");
    }
    file.check_unread();
    lent_workspace();  // so that what one call needs is missing now rather than then
}

std::unique_ptr<Network> Model::load(ModelFile &file, const char *section) const {
    const std::vector<uint8_t> bytes = file.read(section);
    return std::make_unique<Network>(parse_graph(bytes, section), kernels_named(config_.instruction_set));
}

Model::Lent Model::lent_workspace() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!idle_.empty()) {
            Workspace *workspace = idle_.back().release();
            idle_.pop_back();
            return {workspace, {this}};
        }
    }
    std::unique_ptr<Workspace> made = new_workspace();
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.reserve(workspace_count_ + 1);  // to take one back must not fail
    workspace_count_++;
    return {made.release(), {this}};
}

std::unique_ptr<Workspace> Model::new_workspace() const {
    auto workspace = std::make_unique<Workspace>(config_.threads);
    classifier_->make_room(*workspace);
    if (segmenter_) segmenter_->make_room(*workspace);
    return workspace;
}

void Model::take_back(Workspace *workspace) {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.emplace_back(workspace);
}

void Model::check_image(const csot_image &image) const {
    static const int kBytesPerPixel[] = {1, 3, 3, 4, 4};
    if (!image.data || image.format < CSOT_GRAY8 || image.format > CSOT_BGRA8 || image.width < 1 || image.height < 1 ||
        image.width > kLargestSide || image.height > kLargestSide || image.stride < image.width * kBytesPerPixel[image.format])
        throw Failure(CSOT_E_ARG, "the description of an image is impossible: " + std::to_string(image.width) + " x " +
                                      std::to_string(image.height) + ", stride " + std::to_string(image.stride) + ", format " +
                                      std::to_string(image.format));
    if (config_.resolution_screening && !facts_.rule.complies(image.width, image.height))
        throw Failure(CSOT_E_SIZE, "the image is " + std::to_string(image.width) + " x " + std::to_string(image.height) +
                                       " pixels, the model takes " + facts_.rule.in_words());
}

std::vector<Answer> Model::predict(const csot_image *images, int count, float *probabilities, uint8_t *const *masks) {
    const Lent workspace = lent_workspace();
    std::vector<Answer> answers(static_cast<size_t>(count));
    const int class_count = facts_.class_count;
    std::vector<float> own(static_cast<size_t>(class_count));
    run(*classifier_, *workspace, images, count, [&](int image, const float *scores) {
        float *of_image = probabilities ? probabilities + size_t(image) * class_count : own.data();
        softmax(scores, of_image);
        answers[image].code = int(std::max_element(of_image, of_image + class_count) - of_image);  // the first of equal ones
        answers[image].confidence = of_image[answers[image].code];
    });
    if (!segmenter_) {
        for (int i = 0; masks && i < count; i++)
            if (masks[i]) std::fill_n(masks[i], size_t(images[i].width) * images[i].height, uint8_t(0));
        return answers;
    }
    run(*segmenter_, *workspace, images, count, [&](int image, const float *scores) {
        const Segmented seen = segmented(scores);
        Answer &answer = answers[image];
        uint64_t defective = 0;
        for (uint64_t pixels : seen.pixels) defective += pixels;
        answer.defect_area = float(double(defective) / (double(segmenter_->width()) * segmenter_->height()));
        const int special = special_code(seen);
        if (special != kNone) {
            answer.code = special;
            answer.confidence = mean_probability(seen, scores, special);
        }
        if (masks && masks[image]) draw(seen, images[image].width, images[image].height, masks[image]);
    });
    return answers;
}

void Model::classify(const csot_image *images, int count, float *probabilities) {
    const Lent workspace = lent_workspace();
    run(*classifier_, *workspace, images, count,
        [&](int image, const float *scores) { softmax(scores, probabilities + size_t(image) * facts_.class_count); });
}

void Model::segment(const csot_image *images, int count, uint8_t *labels, float *shares) {
    const Lent workspace = lent_workspace();
    const int width = segmenter_->width(), height = segmenter_->height(), columns = width / repeats_;
    run(*segmenter_, *workspace, images, count, [&](int image, const float *scores) {
        const Segmented seen = segmented(scores);
        draw(seen, width, height, labels + size_t(image) * width * height);
        if (!shares) return;
        float *share = shares + size_t(image) * width * height;
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                const int row = y / repeats_, column = x / repeats_;
                *share++ = probability(scores, seen.labels[size_t(row) * columns + column], row, column);
            }
    });
}

template <class Action>
void Model::run(const Network &network, Workspace &workspace, const csot_image *images, int count, const Action &action) {
    for (int first = 0; first < count; first += network.most_images()) {
        const int some = std::min(network.most_images(), count - first);
        prepare(network, workspace, images + first, some);
        network.run(workspace, some);
        for (int i = 0; i < some; i++) action(first + i, network.output(workspace, i));
    }
}

void Model::prepare(const Network &network, const Workspace &workspace, const csot_image *images, int count) {
    float standardized[3][256];
    for (int channel = 0; channel < 3; channel++)
        for (int value = 0; value < 256; value++) standardized[channel][value] = network.standardized(channel, value);
    for (int image = 0; image < count; image++) {
        const std::vector<uint8_t> pixels = resized_rgb(images[image], network.width(), network.height());
        const uint8_t *pixel = pixels.data();
        for (int y = 0; y < network.height(); y++) {
            float *to = network.input(workspace, image) + y * network.input_row();
            for (int x = 0; x < network.width(); x++, pixel += 3, to += 3)
                for (int channel = 0; channel < 3; channel++) to[channel] = standardized[channel][pixel[channel]];
        }
    }
}

/// The probabilities of the classes.
void Model::softmax(const float *scores, float *probabilities) const {
    const int class_count = facts_.class_count;
    float largest = -INFINITY, sum = 0;
    for (int i = 0; i < class_count; i++) largest = std::max(largest, scores[classifier_->output_index(i, 0, 0)]);
    for (int i = 0; i < class_count; i++) sum += probabilities[i] = std::exp(scores[classifier_->output_index(i, 0, 0)] - largest);
    for (int i = 0; i < class_count; i++) probabilities[i] /= sum;
}

Model::Segmented Model::segmented(const float *scores) const {
    const Layout &maps = segmenter_->output_layout();
    Segmented segmented{std::vector<uint8_t>(size_t(maps.height) * maps.width), std::vector<uint64_t>(facts_.codes.size())};
    std::vector<size_t> channel_at(static_cast<size_t>(maps.channels));
    for (int channel = 0; channel < maps.channels; channel++) channel_at[channel] = segmenter_->output_index(channel, 0, 0);
    uint8_t *label = segmented.labels.data();
    for (int y = 0; y < maps.height; y++) {
        for (int x = 0; x < maps.width; x++, label++) {
            const float *pixel = scores + segmenter_->output_index(0, y, x);
            for (int channel = 1; channel < maps.channels; channel++)
                if (pixel[channel_at[channel]] > pixel[channel_at[*label]]) *label = uint8_t(channel);
            if (*label) segmented.pixels[*label - 1] += uint64_t(repeats_) * repeats_;
        }
    }
    return segmented;
}

/// The special code with more pixels than every other code before it and the minimum, or kNone: as the platform decides.
int Model::special_code(const Segmented &segmented) const {
    const auto most = std::max_element(segmented.pixels.begin(), segmented.pixels.end());
    const int code = int(most - segmented.pixels.begin());
    return code >= facts_.class_count && *most > facts_.special_code_min_pixels ? code : kNone;
}

/// Of a label, by softmax over the scores of its pixel; the label has the largest of them.
float Model::probability(const float *scores, int label, int y, int x) const {
    const float own = scores[segmenter_->output_index(label, y, x)];
    float sum = 0;
    for (int channel = 0; channel < segmenter_->output_layout().channels; channel++)
        sum += std::exp(scores[segmenter_->output_index(channel, y, x)] - own);
    return 1 / sum;
}

float Model::mean_probability(const Segmented &segmented, const float *scores, int code) const {
    const Layout &maps = segmenter_->output_layout();
    double total = 0;
    size_t count = 0;
    const uint8_t *label = segmented.labels.data();
    for (int y = 0; y < maps.height; y++) {
        for (int x = 0; x < maps.width; x++, label++) {
            if (*label != 1 + code) continue;
            total += probability(scores, *label, y, x);
            count++;
        }
    }
    return float(total / double(count));
}

void Model::draw(const Segmented &segmented, int width, int height, uint8_t *mask) const {
    const int columns = segmenter_->output_layout().width;
    const std::vector<int> xs = nearest(segmenter_->width(), width), ys = nearest(segmenter_->height(), height);
    for (int y = 0; y < height; y++) {
        const uint8_t *labels = &segmented.labels[size_t(ys[y] / repeats_) * columns];
        for (int x = 0; x < width; x++) *mask++ = labels[xs[x] / repeats_];
    }
}

}  // namespace csot
