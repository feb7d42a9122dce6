#include "resize.h"

#include <cmath>
#include <cstring>

namespace csot {
namespace {

constexpr int kPrecision = 22;  // bits behind the point, as in Pillow
constexpr int kHalf = 1 << (kPrecision - 1);

/// How a format stores its channels.
struct Channels {
    int count, red, green, blue;
};
constexpr Channels kChannels[] = {{1, 0, 0, 0}, {3, 0, 1, 2}, {3, 2, 1, 0}, {4, 0, 1, 2}, {4, 2, 1, 0}};

/// For each pixel of one axis of the result: where its sum begins, how many pixels it takes, and with which weights.
struct Weights {
    int per_pixel;
    std::vector<int> first, count, values;

    Weights(int source, int target) {
        const double scale = double(source) / target;
        const double support = scale < 1 ? 1 : scale;
        per_pixel = int(std::ceil(support)) * 2 + 1;
        values.assign(size_t(target) * per_pixel, 0);
        std::vector<double> shares(per_pixel);
        for (int i = 0; i < target; i++) {
            const double centre = (i + 0.5) * scale;
            const int begin = std::max(0, int(centre - support + 0.5));
            const int end = std::min(source, int(centre + support + 0.5));
            double sum = 0;
            for (int k = 0; k < end - begin; k++) {
                const double distance = std::fabs((k + begin - centre + 0.5) * (1.0 / support));
                shares[k] = distance < 1 ? 1 - distance : 0;
                sum += shares[k];
            }
            for (int k = 0; k < end - begin; k++)
                values[size_t(i) * per_pixel + k] = int(0.5 + (sum != 0 ? shares[k] / sum : shares[k]) * (1 << kPrecision));
            first.push_back(begin);
            count.push_back(end - begin);
        }
    }

    const int *of(int pixel) const { return &values[size_t(pixel) * per_pixel]; }
};

uint8_t rounded(int sum) {
    const int value = sum >> kPrecision;
    return uint8_t(value < 0 ? 0 : value > 255 ? 255 : value);
}

void copy_row(const uint8_t *source, const Channels &channels, int width, uint8_t *target) {
    for (int x = 0; x < width; x++, source += channels.count, target += 3) {
        target[0] = source[channels.red];
        target[1] = source[channels.green];
        target[2] = source[channels.blue];
    }
}

void resize_row(const uint8_t *source, const Channels &channels, const Weights &weights, int width, uint8_t *target) {
    for (int x = 0; x < width; x++, target += 3) {
        const int *weight = weights.of(x);
        const uint8_t *pixel = source + size_t(weights.first[x]) * channels.count;
        int red = kHalf, green = kHalf, blue = kHalf;
        for (int k = 0; k < weights.count[x]; k++, pixel += channels.count) {
            red += pixel[channels.red] * weight[k];
            green += pixel[channels.green] * weight[k];
            blue += pixel[channels.blue] * weight[k];
        }
        target[0] = rounded(red), target[1] = rounded(green), target[2] = rounded(blue);
    }
}

struct Rgb {
    std::vector<uint8_t> pixels;
    int width, height;

    csot_image as_image() const { return {pixels.data(), width, height, 3 * width, CSOT_RGB8}; }
};

/// Also where the width stays: then only the channels are put in order.
Rgb with_width(const csot_image &image, int width) {
    const Channels &channels = kChannels[image.format];
    const size_t row = size_t(width) * 3;
    Rgb result{std::vector<uint8_t>(row * image.height), width, image.height};
    const Weights weights(image.width, width);
    for (int y = 0; y < image.height; y++) {
        const uint8_t *source = image.data + ptrdiff_t(y) * image.stride;
        if (width == image.width)
            copy_row(source, channels, width, &result.pixels[y * row]);
        else
            resize_row(source, channels, weights, width, &result.pixels[y * row]);
    }
    return result;
}

Rgb with_height(const csot_image &image, int height) {
    const Channels &channels = kChannels[image.format];
    const size_t row = size_t(image.width) * 3;
    Rgb result{std::vector<uint8_t>(row * height), image.width, height};
    const Weights weights(image.height, height);
    std::vector<int> sums(row);
    std::vector<uint8_t> line(row);
    for (int y = 0; y < height; y++) {
        std::fill(sums.begin(), sums.end(), kHalf);
        for (int k = 0; k < weights.count[y]; k++) {
            const int weight = weights.of(y)[k];
            copy_row(image.data + ptrdiff_t(weights.first[y] + k) * image.stride, channels, image.width, line.data());
            for (size_t i = 0; i < row; i++) sums[i] += line[i] * weight;
        }
        for (size_t i = 0; i < row; i++) result.pixels[y * row + i] = rounded(sums[i]);
    }
    return result;
}

/// Which pass comes first decides about the last bit, because what lies between is rounded. Pillow 13 chooses so.
bool begins_with_height(const csot_image &image, int width, int height) {
    return height < image.height && image.height - height > 2 * (image.width - width);
}

}  // namespace

std::vector<uint8_t> resized_rgb(const csot_image &image, int width, int height) {
    if (height == image.height) return with_width(image, width).pixels;
    if (begins_with_height(image, width, height)) return with_width(with_height(image, height).as_image(), width).pixels;
    return with_height(with_width(image, width).as_image(), height).pixels;
}

std::vector<int> nearest(int source_count, int count) {
    std::vector<int> indices(count);
    const double step = double(source_count) / count;
    double at = step * 0.5;  // summed up, not multiplied, because Pillow does so and rounds accordingly
    for (int &index : indices) {
        index = std::min(int(at), source_count - 1);
        at += step;
    }
    return indices;
}

}  // namespace csot
