#include "direct_convolution.h"

#include <algorithm>

namespace csot {
namespace {

constexpr size_t kFiltersAtOnce = 160 * 1024 / sizeof(float);  // they stay in the second-level cache beside the pixels
constexpr int kShortRow = 7;  // too few pixels to fill the registers, unless more blocks are computed together

}  // namespace

Buffer packed_bias(const Operation &operation, const Layout &output) {
    Buffer bias(size_t(output.blocks()) * output.lanes);
    std::fill_n(bias.data(), size_t(output.blocks()) * output.lanes, 0.0f);
    std::copy_n(operation.bias, operation.output_channels, bias.data());
    return bias;
}

int group_of(int blocks, int most) {
    while (blocks % most != 0) most /= 2;
    return most;
}

DirectConvolution::DirectConvolution(const Operation &operation, const Layout &input, const Layout &output, const Kernels &kernels)
    : kernels_(kernels),
      kernel_(operation.kernel),
      stride_(operation.stride),
      padding_(operation.padding),
      relu_(operation.relu),
      reads_image_(operation.input == 0),
      group_(group_of(output.blocks(), output.width <= kShortRow ? kernels.widest_group : 2)),
      bias_(packed_bias(operation, output)) {
    const int taps = kernel_ * kernel_, group_lanes = group_ * output.lanes;
    filters_per_block_ = size_t(taps) * input.lanes * group_lanes;
    const size_t total = filters_per_block_ * input.blocks() * (output.blocks() / group_);
    filters_ = Buffer(total);
    std::fill_n(filters_.data(), total, 0.0f);
    const float *weight = operation.weights;
    for (int out = 0; out < operation.output_channels; out++) {
        for (int in = 0; in < operation.input_channels; in++) {
            const size_t block = size_t(out / group_lanes) * input.blocks() + in / input.lanes;
            float *packed = filters_.data() + block * filters_per_block_ + size_t(in % input.lanes) * group_lanes + out % group_lanes;
            for (int tap = 0; tap < taps; tap++, packed += size_t(input.lanes) * group_lanes) *packed = *weight++;
        }
    }
}

void DirectConvolution::run(const Maps &input, const Maps &output, const Maps *residual, int images, ThreadPool &pool,
                            float *) const {
    const Layout &in = input.layout, &out = output.layout;
    const int groups = out.blocks() / group_;

    // Input blocks in chunks whose filters stay in the cache, all chunks of nearly the same length.
    const int most_blocks = int(std::clamp<size_t>(kFiltersAtOnce / filters_per_block_, 1, size_t(in.blocks())));
    const int chunks = (in.blocks() + most_blocks - 1) / most_blocks;
    const int chunk = (in.blocks() + chunks - 1) / chunks;

    // Filters in several chunks are used for all images before the next ones come; else images are parts of their own.
    const bool images_inside = chunks > 1;
    int bands = 1;  // parts of the rows
    while (pool.size() > 1 && groups * bands * images < 3 * pool.size() && out.height / bands > 4) bands *= 2;
    const int band = (out.height + bands - 1) / bands;

    pool.run(groups * bands * (images_inside ? 1 : images), [&](int, int part) {
        const int group = part % groups, first_row = part / groups % bands * band, own_image = part / groups / bands;
        ConvolutionRows rows;
        rows.tile.bias = bias_.data() + size_t(group) * group_ * out.lanes;
        rows.tile.kernel = kernel_;
        rows.tile.input_plane = in.plane();
        rows.tile.input_row = in.row();
        rows.tile.output_plane = out.plane();
        rows.tile.relu = relu_;
        rows.output_row = out.row();
        rows.width = out.width;
        rows.first_row = first_row;
        rows.end_row = std::min(out.height, first_row + band);
        rows.stride = stride_;
        rows.reads_image = reads_image_;
        rows.group = group_;
        for (int begin = 0; begin < in.blocks(); begin += chunk) {
            rows.tile.filters = filters_.data() + (size_t(group) * in.blocks() + begin) * filters_per_block_;
            rows.tile.input_blocks = std::min(chunk, in.blocks() - begin);
            rows.tile.begins = begin == 0;
            rows.tile.ends = begin + chunk >= in.blocks();
            for (int image = images_inside ? 0 : own_image; image < (images_inside ? images : own_image + 1); image++) {
                rows.input = input.at(image, begin) - padding_ * (in.row() + in.lanes);
                rows.output = output.at(image, group * group_);
                rows.residual = residual ? residual->at(image, group * group_) : nullptr;
                kernels_.convolve(rows);
            }
        }
    });
}

}  // namespace csot
