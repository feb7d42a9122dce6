/* libCsotArtifact: predict with a model that was exported from Assay, from C, C++, C# or anything that can call C.
 *
 *   csot_model *model;
 *   if (csot_create("models.xbin", "config.yaml", &model) != CSOT_OK) puts(csot_last_error());
 *
 * Paths and codes are UTF-8. Nothing is kept between calls but what belongs to a model. Calls of several threads with one model work
 * side by side and share its weights, each with threads and some ten MiB of its own; csot_destroy must be the last call with a model.
 * Structures only grow at their ends: set `struct_size` before each call.
 */
#ifndef CSOT_H
#define CSOT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CSOT_API __attribute__((visibility("default")))
/* A program that was compiled with another number has to be compiled anew. 2: results hold every code whole. */
#define CSOT_ABI 2
#define CSOT_CODE_SIZE 256 /* every code fits: they have at most 240 bytes, 60 characters of UTF-8 */

typedef struct csot_model csot_model;

typedef enum csot_status {
    CSOT_OK = 0,
    CSOT_E_ARG = 1,      /* an argument that can never be right: a null pointer, a format that does not exist */
    CSOT_E_IO = 2,       /* a file cannot be read */
    CSOT_E_FORMAT = 3,   /* models.xbin is no such file, cut off, or contradicts itself */
    CSOT_E_CHECKSUM = 4, /* models.xbin is not as it was written */
    CSOT_E_VERSION = 5,  /* models.xbin needs a newer library */
    CSOT_E_CONFIG = 6,   /* config.yaml: the message names the line or the key */
    CSOT_E_MEMORY = 7,   /* not enough memory, or no further thread */
    CSOT_E_BACKEND = 8,  /* this processor lacks the instruction set that config.yaml asks for; or an unexpected error */
    CSOT_E_SIZE = 9      /* the image does not comply with the model's resolution rule; the message names both */
} csot_status;

typedef enum csot_pixel_format {
    CSOT_GRAY8 = 0,
    CSOT_RGB8 = 1,
    CSOT_BGR8 = 2,
    CSOT_RGBA8 = 3, /* the fourth channel is ignored, as the platform ignores it */
    CSOT_BGRA8 = 4
} csot_pixel_format;

typedef struct csot_image {
    const uint8_t *data;
    int32_t width, height; /* pixels, at most 32768 each */
    int32_t stride;        /* bytes from one row to the next */
    int32_t format;        /* a csot_pixel_format */
} csot_image;

typedef struct csot_result {
    uint32_t struct_size;      /* sizeof(csot_result), set by the caller, the same for all results of a batch */
    int32_t class_id;          /* which code the image shows; from num_classes on it is a special code, found by segmentation */
    float confidence;          /* of a class its probability; of a special code the mean probability over its pixels */
    int32_t accepted;          /* 0 where the confidence is below the threshold of config.yaml */
    char code[CSOT_CODE_SIZE]; /* the code where accepted, else unknown_code */
    float defect_area;         /* the share of the image in which the segmentation sees any code, 0..1 */
    float time_ms;             /* the time of the call divided by the images of the batch */
} csot_result;

typedef struct csot_info {
    uint32_t struct_size; /* sizeof(csot_info), set by the caller */
    int32_t num_classes;  /* codes that the classifier tells apart: the length of `probs` for each image */
    int32_t input_width, input_height;
    int32_t has_segmentation; /* 0 also where config.yaml switches it off */
    int32_t max_batch;
    int32_t expect_width, expect_height; /* the only size that complies; 0 where there is more than one */
    int32_t num_codes;                   /* the classes and, behind them, the special codes */
    int32_t segmentation_width, segmentation_height; /* of csot_segment; 0 without a segmentation */
} csot_info;

CSOT_API int32_t csot_abi_version(void); /* compare with CSOT_ABI */
CSOT_API const char *csot_version(void); /* of the library, and the best instruction set of this processor */
CSOT_API const char *csot_last_error(void); /* of this thread's last call, "" after a success; never NULL */

/* `config_yaml` may be NULL for the defaults. A model that was made is given back with csot_destroy. */
CSOT_API csot_status csot_create(const char *models_xbin, const char *config_yaml, csot_model **model);
CSOT_API csot_status csot_describe(const csot_model *model, csot_info *info);
CSOT_API csot_status csot_class_name(const csot_model *model, int32_t class_id, char *code, size_t capacity);

/* `probs`: NULL, or num_classes floats for each image. `mask`: NULL, or width * height bytes: 0 where no code is seen, else
 * 1 + class_id. Without a segmentation masks are filled with 0. */
CSOT_API csot_status csot_predict(csot_model *model, const csot_image *image, csot_result *result, float *probs,
                                  uint8_t *mask);
/* `masks`: NULL, or `count` masks, each of which may be NULL. Nothing is predicted unless all images can be. */
CSOT_API csot_status csot_predict_batch(csot_model *model, const csot_image *images, int32_t count, csot_result *results,
                                        float *probs, uint8_t *const *masks);

/* One network alone, before anything is decided. `probs`: num_classes floats for each image. `labels`: segmentation_width *
 * segmentation_height bytes for each image, as in a mask but at the input size of the segmentation; `shares`: NULL, or as many
 * floats: how probable the label of that pixel is. csot_segment answers CSOT_E_ARG where there is no segmentation. */
CSOT_API csot_status csot_classify(csot_model *model, const csot_image *images, int32_t count, float *probs);
CSOT_API csot_status csot_segment(csot_model *model, const csot_image *images, int32_t count, uint8_t *labels, float *shares);

CSOT_API void csot_destroy(csot_model *model); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
