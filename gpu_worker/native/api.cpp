// The C interface: checks arguments, and lets no exception out.

#include <chrono>
#include <cstring>
#include <new>
#include <string>

#include "cpu.h"
#include "csot.h"
#include "failure.h"
#include "model.h"

using csot::Answer;
using csot::Failure;
using csot::Model;

struct csot_model {
    Model model;
};

namespace {

// The sizes of the first structures of this interface; callers that were compiled with it pass nothing smaller.
constexpr size_t kSmallestResult = 280, kSmallestInfo = 44;
static_assert(sizeof(csot_result) >= kSmallestResult && sizeof(csot_info) >= kSmallestInfo, "structures only grow");
static_assert(sizeof(csot_result::code) > csot::kLongestCode, "no code is ever cut");

thread_local char last_error[512] = "";

/// As much of a UTF-8 text as fits, never part of a character.
template <size_t kCapacity>
void copy_text(const char *text, char (&to)[kCapacity]) {
    size_t length = strnlen(text, kCapacity - 1);
    while (length > 0 && (text[length] & 0xc0) == 0x80) length--;
    memcpy(to, text, length);
    to[length] = 0;
}

csot_status fail(csot_status status, const char *sentence) {
    copy_text(sentence, last_error);
    return status;
}

template <class Action>
csot_status guarded(const Action &action) {
    try {
        action();
        last_error[0] = 0;
        return CSOT_OK;
    } catch (const Failure &failure) {
        return fail(failure.status, failure.what());
    } catch (const std::bad_alloc &) {
        return fail(CSOT_E_MEMORY, "not enough memory");
    } catch (const std::exception &error) {
        return fail(CSOT_E_BACKEND, error.what());
    } catch (...) {
        return fail(CSOT_E_BACKEND, "an unknown error");
    }
}

void require(bool is_right, const char *sentence) {
    if (!is_right) throw Failure(CSOT_E_ARG, sentence);
}

void check_images(const Model &model, const csot_image *images, int32_t count) {
    require(count >= 1 && count <= csot::kMostImagesOfACall, "count must be 1 to 256");
    for (int32_t i = 0; i < count; i++) model.check_image(images[i]);
}

/// Only what the caller's structure, of an older or newer interface, has room for.
template <class Struct>
void hand_over(const Struct &answer, uint32_t struct_size, void *to) {
    const size_t size = struct_size < sizeof(Struct) ? struct_size : sizeof(Struct);
    memcpy(static_cast<char *>(to) + sizeof struct_size, reinterpret_cast<const char *>(&answer) + sizeof struct_size,
           size - sizeof struct_size);
}

csot_result result_of(const Answer &answer, const Model &model, float milliseconds) {
    const std::string &code = model.facts().codes[size_t(answer.code)];
    csot_result result = {};
    result.class_id = answer.code;
    result.confidence = answer.confidence;
    result.accepted = answer.confidence >= model.config().threshold(code);
    copy_text((result.accepted ? code : model.config().unknown_code).c_str(), result.code);
    result.defect_area = answer.defect_area;
    result.time_ms = milliseconds;
    return result;
}

}  // namespace

int32_t csot_abi_version(void) { return CSOT_ABI; }

const char *csot_version(void) {
    static const std::string version = std::string("libCsotArtifact 2.1.0 (") + csot::best_kernels().name + ")";
    return version.c_str();
}

const char *csot_last_error(void) { return last_error; }

csot_status csot_create(const char *models_xbin, const char *config_yaml, csot_model **model) {
    if (model) *model = nullptr;
    return guarded([&] {
        require(models_xbin && model, "models_xbin or model is NULL");
        const csot::Config config = config_yaml ? csot::read_config(config_yaml) : csot::Config();
        *model = new csot_model{{models_xbin, config}};
    });
}

csot_status csot_describe(const csot_model *model, csot_info *info) {
    return guarded([&] {
        require(model && info && info->struct_size >= kSmallestInfo,
                "model or info is NULL, or struct_size is not set, or csot.h is older than the library");
        const Model &described = model->model;
        const auto &sizes = described.facts().rule.exact_sizes;
        csot_info answer = {};
        answer.num_classes = described.facts().class_count;
        answer.input_width = described.classifier().width();
        answer.input_height = described.classifier().height();
        answer.has_segmentation = described.segments();
        answer.max_batch = csot::kMostImagesOfACall;
        answer.expect_width = sizes.size() == 1 ? sizes[0].first : 0;
        answer.expect_height = sizes.size() == 1 ? sizes[0].second : 0;
        answer.num_codes = int32_t(described.facts().codes.size());
        answer.segmentation_width = described.segments() ? described.segmenter().width() : 0;
        answer.segmentation_height = described.segments() ? described.segmenter().height() : 0;
        hand_over(answer, info->struct_size, info);
    });
}

csot_status csot_class_name(const csot_model *model, int32_t class_id, char *code, size_t capacity) {
    return guarded([&] {
        require(model && code, "model or code is NULL");
        const auto &codes = model->model.facts().codes;
        require(class_id >= 0 && size_t(class_id) < codes.size(), "there is no such class_id");
        const std::string &name = codes[size_t(class_id)];
        require(name.size() < capacity, "the capacity is too small for the code; 256 bytes always do");
        memcpy(code, name.c_str(), name.size() + 1);
    });
}

csot_status csot_predict(csot_model *model, const csot_image *image, csot_result *result, float *probs, uint8_t *mask) {
    return csot_predict_batch(model, image, 1, result, probs, &mask);
}

csot_status csot_predict_batch(csot_model *model, const csot_image *images, int32_t count, csot_result *results, float *probs,
                               uint8_t *const *masks) {
    return guarded([&] {
        require(model && images && results, "model, images or results is NULL");
        check_images(model->model, images, count);
        const uint32_t result_size = results->struct_size;
        require(result_size >= kSmallestResult, "struct_size of the first result is not set, or csot.h is older than the library");
        const auto started = std::chrono::steady_clock::now();
        const std::vector<Answer> answers = model->model.predict(images, count, probs, masks);
        const std::chrono::duration<float, std::milli> taken = std::chrono::steady_clock::now() - started;
        char *result = reinterpret_cast<char *>(results);
        for (const Answer &answer : answers) {
            hand_over(result_of(answer, model->model, taken.count() / float(count)), result_size, result);
            result += result_size;
        }
    });
}

csot_status csot_classify(csot_model *model, const csot_image *images, int32_t count, float *probs) {
    return guarded([&] {
        require(model && images && probs, "model, images or probs is NULL");
        check_images(model->model, images, count);
        model->model.classify(images, count, probs);
    });
}

csot_status csot_segment(csot_model *model, const csot_image *images, int32_t count, uint8_t *labels, float *shares) {
    return guarded([&] {
        require(model && images && labels, "model, images or labels is NULL");
        require(model->model.segments(), "the model has no segmentation, or config.yaml switches it off");
        check_images(model->model, images, count);
        model->model.segment(images, count, labels, shares);
    });
}

void csot_destroy(csot_model *model) { delete model; }
