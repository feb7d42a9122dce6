/* Predict one image: cc example.c -o example -L. -lCsotArtifact -Wl,-rpath,'$ORIGIN'
 *
 *   ./example WIDTH HEIGHT image.rgb [mask.gray]
 *
 * image.rgb holds WIDTH * HEIGHT pixels of three bytes (red, green, blue), as a camera or a decoder leaves them in memory. The mask is
 * written as WIDTH * HEIGHT bytes. models.xbin and config.yaml are looked for in the current folder.
 */
#include "csot.h"

#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, csot_last_error());
    return 1;
}

int main(int argument_count, char **arguments) {
    if (argument_count < 4) {
        fprintf(stderr, "usage: %s WIDTH HEIGHT image.rgb [mask.gray]\n", arguments[0]);
        return 2;
    }
    if (csot_abi_version() != CSOT_ABI) {
        fprintf(stderr, "csot.h and the library do not belong together\n");
        return 2;
    }

    /* Once, when the program starts: opening a model takes about a second. */
    csot_model *model;
    if (csot_create("models.xbin", "config.yaml", &model) != CSOT_OK) return fail("csot_create");
    csot_info info = {.struct_size = sizeof info};
    if (csot_describe(model, &info) != CSOT_OK) return fail("csot_describe");
    printf("%s, %d codes\n", csot_version(), (int)info.num_codes);

    /* For every image. */
    const int width = atoi(arguments[1]), height = atoi(arguments[2]);
    const size_t pixel_count = width > 0 && height > 0 ? (size_t)width * (size_t)height : 0;
    uint8_t *pixels = malloc(pixel_count * 3 + 1), *mask = malloc(pixel_count + 1);
    float *probabilities = malloc((size_t)info.num_classes * sizeof *probabilities);
    FILE *file = fopen(arguments[3], "rb");
    if (!pixels || !mask || !probabilities || !file || fread(pixels, 3, pixel_count, file) != pixel_count) {
        fprintf(stderr, "%s cannot be read, or is too short\n", arguments[3]);
        return 1;
    }
    fclose(file);

    const csot_image image = {pixels, width, height, width * 3, CSOT_RGB8};
    csot_result result = {.struct_size = sizeof result};
    const csot_status status = csot_predict(model, &image, &result, probabilities, mask);
    if (status == CSOT_E_SIZE) { /* an image of another kind, not a fault of the program */
        printf("does not comply: %s\n", csot_last_error());
        return 3;
    }
    if (status != CSOT_OK) return fail("csot_predict");

    printf("code %s, class %d, confidence %.6f, %s, defect area %.6f, %.1f ms\n", result.code, (int)result.class_id,
           result.confidence, result.accepted ? "accepted" : "not accepted", result.defect_area, result.time_ms);
    for (int32_t id = 0; id < info.num_classes; id++) {
        char code[256];
        if (csot_class_name(model, id, code, sizeof code) != CSOT_OK) return fail("csot_class_name");
        printf("probability %.8f %s\n", probabilities[id], code);
    }
    if (argument_count > 4) {
        FILE *written = fopen(arguments[4], "wb");
        if (!written || fwrite(mask, 1, pixel_count, written) != pixel_count || fclose(written) != 0) {
            fprintf(stderr, "%s cannot be written\n", arguments[4]);
            return 1;
        }
    }

    free(pixels);
    free(mask);
    free(probabilities);
    csot_destroy(model);
    return 0;
}
