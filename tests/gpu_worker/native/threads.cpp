// Many threads, each with models of its own and one that all share, under the thread sanitizer: threads MODEL CONFIG
// Prints nothing and returns 0 where every answer is that of a single thread.

#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "csot.h"

namespace {

constexpr int kWidth = 64, kHeight = 48, kImages = 3, kThreads = 4, kRounds = 3;

struct Answers {
    float probabilities[kImages][3];
    uint8_t masks[kImages][kWidth * kHeight];
};

bool predict(csot_model *model, Answers &answers) {
    static const std::vector<uint8_t> pixels = [] {
        std::vector<uint8_t> made(kImages * kWidth * kHeight * 3);
        for (size_t i = 0; i < made.size(); i++) made[i] = uint8_t(i * i / 97);
        return made;
    }();
    csot_image images[kImages];
    csot_result results[kImages] = {};
    uint8_t *masks[kImages];
    for (int i = 0; i < kImages; i++) {
        images[i] = {pixels.data() + i * kWidth * kHeight * 3, kWidth, kHeight, kWidth * 3, CSOT_RGB8};
        results[i].struct_size = sizeof(csot_result);
        masks[i] = answers.masks[i];
    }
    return csot_predict_batch(model, images, kImages, results, answers.probabilities[0], masks) == CSOT_OK;
}

}  // namespace

int main(int, char **arguments) {
    csot_model *shared = nullptr;
    if (csot_create(arguments[1], arguments[2], &shared) != CSOT_OK) {
        puts(csot_last_error());
        return 2;
    }
    static Answers expected;
    if (!predict(shared, expected)) return 2;
    std::vector<int> wrong(kThreads);
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; thread++) {
        threads.emplace_back([&, thread] {
            csot_model *own = nullptr;
            std::vector<Answers> answers(1);
            for (int round = 0; round < kRounds; round++) {
                wrong[thread] += csot_create(arguments[1], arguments[2], &own) != CSOT_OK;
                for (csot_model *model : {own, shared})
                    wrong[thread] += !predict(model, answers[0]) || memcmp(&answers[0], &expected, sizeof expected) != 0;
                csot_destroy(own);
                // An error is this thread's own.
                wrong[thread] += csot_create("no such file", nullptr, &own) != CSOT_E_IO || !strstr(csot_last_error(), "no such file");
            }
        });
    }
    for (std::thread &thread : threads) thread.join();
    csot_destroy(shared);
    for (int count : wrong)
        if (count) return 1;
    return 0;
}
