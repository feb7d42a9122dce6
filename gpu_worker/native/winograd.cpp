#include "winograd.h"

#include <algorithm>

#include "direct_convolution.h"

namespace csot {
namespace {

constexpr int kTile = 4, kPatch = 6, kProducts = kPatch * kPatch;
constexpr int kTilesAtOnce = 48;  // their values stay in the second-level cache
constexpr int kFewestTiles = 12;  // with fewer, reading the larger filters takes longer than the multiplications saved
constexpr int kFewestChannels = 32;
constexpr size_t kLargestFilters = (16 << 20) / sizeof(float);  // bounds the memory of a model; larger ones leave the caches, too

/// G of G g Gᵀ. Source: as in kernels.cpp.
constexpr double kFilterTransform[kPatch][3] = {{1.0 / 4, 0, 0},
                                                {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                                {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                                {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                                {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                                {0, 0, 1}};

/// The 36 values of one 3 x 3 filter, each `distance` floats from the next.
void transform_filter(const float *filter, float *transformed, size_t distance) {
    double halfway[kPatch][3];
    for (int i = 0; i < kPatch; i++)
        for (int j = 0; j < 3; j++)
            halfway[i][j] = kFilterTransform[i][0] * filter[j] + kFilterTransform[i][1] * filter[3 + j] +
                            kFilterTransform[i][2] * filter[6 + j];
    for (int i = 0; i < kPatch; i++)
        for (int j = 0; j < kPatch; j++, transformed += distance)
            *transformed = float(halfway[i][0] * kFilterTransform[j][0] + halfway[i][1] * kFilterTransform[j][1] +
                                 halfway[i][2] * kFilterTransform[j][2]);
}

int tiles_along(int pixels) { return (pixels + kTile - 1) / kTile; }

}  // namespace

bool WinogradConvolution::pays(const Operation &operation, const Layout &input, const Layout &output) {
    const size_t filters = size_t(kProducts) * input.blocks() * input.lanes * output.blocks() * output.lanes;
    return operation.input != 0 && operation.kernel == 3 && operation.stride == 1 && operation.padding == 1 &&
           operation.input_channels >= kFewestChannels && filters <= kLargestFilters &&
           tiles_along(output.height) * tiles_along(output.width) >= kFewestTiles;
}

WinogradConvolution::WinogradConvolution(const Operation &operation, const Layout &input, const Layout &output,
                                         const Kernels &kernels)
    : kernels_(kernels),
      relu_(operation.relu),
      input_blocks_(input.blocks()),
      output_blocks_(output.blocks()),
      group_(group_of(output.blocks(), 2)),
      tile_rows_(tiles_along(output.height)),
      tile_columns_(tiles_along(output.width)),
      bias_(packed_bias(operation, output)) {
    const int group_lanes = group_ * output.lanes;
    const size_t group_size = size_t(input_blocks_) * input.lanes * group_lanes;
    const size_t product_size = group_size * (output_blocks_ / group_);
    filters_ = Buffer(kProducts * product_size);
    std::fill_n(filters_.data(), kProducts * product_size, 0.0f);
    const float *weight = operation.weights;
    for (int out = 0; out < operation.output_channels; out++)
        for (int in = 0; in < operation.input_channels; in++, weight += 9)
            transform_filter(weight,
                             filters_.data() + out / group_lanes * group_size + size_t(in) * group_lanes + out % group_lanes,
                             product_size);
}

size_t WinogradConvolution::scratch_size(int images) const {
    const size_t tiles = std::min(kTilesAtOnce, tile_rows_ * tile_columns_ * images);
    return kProducts * tiles * kernels_.lanes * (input_blocks_ + output_blocks_);
}

WinogradConvolution::Tile WinogradConvolution::tile(int number) const {
    const int per_image = tile_rows_ * tile_columns_, within = number % per_image;
    return {number / per_image, within / tile_columns_ * kTile, within % tile_columns_ * kTile};
}

void WinogradConvolution::run(const Maps &input, const Maps &output, const Maps *residual, int images, ThreadPool &pool,
                              float *scratch) const {
    const int total = tile_rows_ * tile_columns_ * images;
    int parts = (total + kTilesAtOnce - 1) / kTilesAtOnce;
    if (pool.size() > 1) parts = (parts + pool.size() - 1) / pool.size() * pool.size();
    const int per_part = (total + parts - 1) / parts;
    parts = (total + per_part - 1) / per_part;
    const size_t scratch_size = this->scratch_size(images);
    pool.run(parts, [&](int worker, int part) {
        const int first = part * per_part, count = std::min(per_part, total - first);
        float *transformed = scratch + worker * scratch_size;
        float *products = transformed + size_t(kProducts) * input_blocks_ * count * kernels_.lanes;
        transform_input(input, first, count, transformed);
        multiply(transformed, count, products);
        transform_output(products, first, count, output, residual);
    });
}

void WinogradConvolution::transform_input(const Maps &input, int first, int count, float *transformed) const {
    const Layout &in = input.layout;
    const size_t lanes = size_t(in.lanes), distance = size_t(input_blocks_) * count * lanes;
    for (int i = 0; i < count; i++) {
        const Tile at = tile(first + i);
        const int rows = std::min(kPatch, in.height + 2 - at.y), columns = std::min(kPatch, in.width + 2 - at.x);
        for (int block = 0; block < input_blocks_; block++) {
            const float *patch = input.at(at.image, block) + at.y * in.row() + at.x * lanes - in.row() - lanes;
            float *to = transformed + (size_t(block) * count + i) * lanes;
            if (rows == kPatch && columns == kPatch) {
                kernels_.winograd_input(patch, in.row(), to, distance);
                continue;
            }
            alignas(64) float framed[kProducts * kMostLanes] = {};  // the patch reaches beyond the halo
            for (int y = 0; y < rows; y++) std::copy_n(patch + y * in.row(), columns * lanes, framed + y * kPatch * lanes);
            kernels_.winograd_input(framed, kPatch * lanes, to, distance);
        }
    }
}

void WinogradConvolution::multiply(const float *transformed, int count, float *products) const {
    // Each of the 36 products is a 1 x 1 convolution over a row that has a pixel for every tile.
    static const float kNoBias[4 * kMostLanes] = {};
    const size_t lanes = size_t(kernels_.lanes);
    const size_t filters = size_t(input_blocks_) * lanes * group_ * lanes;
    ConvolutionRows rows = {};
    rows.tile.bias = kNoBias;
    rows.tile.input_blocks = input_blocks_;
    rows.tile.kernel = 1;
    rows.tile.input_plane = rows.tile.input_row = rows.tile.output_plane = rows.output_row = count * lanes;
    rows.tile.begins = rows.tile.ends = true;
    rows.width = count;
    rows.end_row = 1;
    rows.stride = 1;
    rows.group = group_;
    rows.tile.filters = filters_.data();
    for (int product = 0; product < kProducts; product++) {
        rows.input = transformed + product * size_t(input_blocks_) * count * lanes;
        rows.output = products + product * size_t(output_blocks_) * count * lanes;
        for (int group = 0; group < output_blocks_ / group_; group++) {
            kernels_.convolve(rows);
            rows.tile.filters += filters;
            rows.output += size_t(group_) * count * lanes;
        }
    }
}

void WinogradConvolution::transform_output(const float *products, int first, int count, const Maps &output,
                                           const Maps *residual) const {
    const Layout &out = output.layout;
    const size_t lanes = size_t(out.lanes), distance = size_t(output_blocks_) * count * lanes;
    for (int i = 0; i < count; i++) {
        const Tile at = tile(first + i);
        const int rows = std::min(kTile, out.height - at.y), columns = std::min(kTile, out.width - at.x);
        const size_t offset = at.y * out.row() + at.x * lanes;
        for (int block = 0; block < output_blocks_; block++)
            kernels_.winograd_output(products + (size_t(block) * count + i) * lanes, distance, bias_.data() + block * lanes,
                                     residual ? residual->at(at.image, block) + offset : nullptr, relu_,
                                     output.at(at.image, block) + offset, out.row(), rows, columns);
    }
}

}  // namespace csot
