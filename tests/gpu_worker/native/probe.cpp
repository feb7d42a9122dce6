// What the tests ask of the engine's parts, each by itself, past the C interface that a factory uses.

#include <cstring>
#include <string>
#include <vector>

#include "cpu.h"
#include "failure.h"
#include "graph.h"
#include "network.h"
#include "resize.h"
#include "sha256.h"

#define PROBE extern "C" __attribute__((visibility("default")))

namespace {
thread_local std::string problem;
}

PROBE const char *probe_problem() { return problem.c_str(); }

PROBE int probe_runs(const char *instruction_set) {
    try {
        csot::kernels_named(instruction_set);
        return 1;
    } catch (const csot::Failure &) {
        return 0;
    }
}

PROBE void probe_sha256(const uint8_t *bytes, size_t count, size_t part, uint8_t *digest) {
    csot::Sha256 sum;
    for (size_t at = 0; at < count; at += part) sum.add(bytes + at, std::min(part, count - at));
    memcpy(digest, sum.digest().data(), 32);
}

/// (height, width, 3) bytes.
PROBE void probe_resize(const uint8_t *pixels, int width, int height, int stride, int format, int to_width, int to_height,
                        uint8_t *result) {
    const std::vector<uint8_t> resized = csot::resized_rgb({pixels, width, height, stride, format}, to_width, to_height);
    memcpy(result, resized.data(), resized.size());
}

PROBE void probe_nearest(int source_count, int count, int *indices) {
    const std::vector<int> found = csot::nearest(source_count, count);
    memcpy(indices, found.data(), found.size() * sizeof(int));
}

/// Runs a network's section over `images` standardised images of (3, height, width) floats; the output is (channels, height, width)
/// of each. Returns the floats of one image's output, or 0 with a problem.
PROBE size_t probe_network(const uint8_t *section, size_t size, const char *instruction_set, int threads, const float *input,
                           int images, float *output, size_t capacity) {
    try {
        const std::vector<uint8_t> bytes(section, section + size);
        csot::Workspace workspace(threads);
        const csot::Network network(csot::parse_graph(bytes, "TEST"), csot::kernels_named(instruction_set));
        network.make_room(workspace);
        const csot::Layout &out = network.output_layout();
        const size_t plane = size_t(network.height()) * network.width(), per_image = size_t(out.channels) * out.height * out.width;
        if (images * per_image > capacity) throw csot::Failure(CSOT_E_ARG, "the output is larger than expected");
        for (int first = 0; first < images; first += network.most_images()) {
            const int some = std::min(network.most_images(), images - first);
            for (int i = 0; i < some; i++)
                for (int y = 0; y < network.height(); y++)
                    for (int x = 0; x < network.width(); x++)
                        for (int channel = 0; channel < 3; channel++)
                            network.input(workspace, i)[y * network.input_row() + 3 * x + channel] =
                                input[((first + i) * 3 + channel) * plane + y * network.width() + x];
            network.run(workspace, some);
            for (int i = 0; i < some; i++)
                for (int channel = 0; channel < out.channels; channel++)
                    for (int y = 0; y < out.height; y++)
                        for (int x = 0; x < out.width; x++)
                            *output++ = network.output(workspace, i)[network.output_index(channel, y, x)];
        }
        return per_image;
    } catch (const csot::Failure &failure) {
        problem = failure.what();
        return 0;
    }
}
