#include "winograd.h"

#include <algorithm>

#include "direct_convolution.h"

namespace csot {
namespace {

constexpr int kTilesAtOnce = 48;  // their values stay in the second-level cache
constexpr int kFewTiles = 16;     // too few to fill the registers, unless more blocks are computed together
constexpr int kFewestTiles = 12;  // with fewer, reading the larger filters takes longer than the multiplications saved
constexpr int kFewestChannels = 32;
constexpr size_t kLargestFilters = (16 << 20) / sizeof(float);  // bounds the memory of a model; larger ones leave the caches, too
constexpr int kLargestPatch = 6;

/// G of G g Gᵀ, for tiles of 4 and of 2. Source: as in kernels.cpp.
constexpr double kFilterTransform4[6][3] = {{1.0 / 4, 0, 0},
                                            {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                            {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                            {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                            {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                            {0, 0, 1}};
constexpr double kFilterTransform2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

/// The values of one 3 x 3 filter, each `distance` floats from the next.
void transform_filter(const double (*g)[3], int patch, const float *filter, float *transformed, size_t distance) {
    double halfway[kLargestPatch][3];
    for (int i = 0; i < patch; i++)
        for (int j = 0; j < 3; j++) halfway[i][j] = g[i][0] * filter[j] + g[i][1] * filter[3 + j] + g[i][2] * filter[6 + j];
    for (int i = 0; i < patch; i++)
        for (int j = 0; j < patch; j++, transformed += distance)
            *transformed = float(halfway[i][0] * g[j][0] + halfway[i][1] * g[j][1] + halfway[i][2] * g[j][2]);
}

int tiles_along(int pixels, int tile) { return (pixels + tile - 1) / tile; }

}  // namespace

int WinogradConvolution::best_tile(const Operation &operation, const Layout &input, const Layout &output) {
    if (operation.input == 0 || operation.kernel != 3 || operation.stride != 1 || operation.padding != 1 ||
        operation.input_channels < kFewestChannels)
        return 0;
    for (const int tile : {4, 2}) {
        const size_t filters = size_t(tile + 2) * (tile + 2) * input.blocks() * input.lanes * output.blocks() * output.lanes;
        if (filters <= kLargestFilters && tiles_along(output.height, tile) * tiles_along(output.width, tile) >= kFewestTiles)
            return tile;
    }
    return 0;
}

WinogradConvolution::WinogradConvolution(int tile, const Operation &operation, const Layout &input, const Layout &output,
                                         const Kernels &kernels)
    : kernels_(kernels),
      transforms_(tile == 4 ? kernels.winograd_4 : kernels.winograd_2),
      tile_(tile),
      patch_(tile + 2),
      products_(patch_ * patch_),
      relu_(operation.relu),
      input_blocks_(input.blocks()),
      output_blocks_(output.blocks()),
      group_(group_of(output.blocks(), tiles_along(output.height, tile) * tiles_along(output.width, tile) <= kFewTiles
                                           ? kernels.widest_group
                                           : 2)),
      tile_rows_(tiles_along(output.height, tile)),
      tile_columns_(tiles_along(output.width, tile)),
      bias_(packed_bias(operation, output)) {
    const int group_lanes = group_ * output.lanes;
    const size_t group_size = size_t(input_blocks_) * input.lanes * group_lanes;
    const size_t product_size = group_size * (output_blocks_ / group_);
    filters_ = Buffer(products_ * product_size);
    std::fill_n(filters_.data(), products_ * product_size, 0.0f);
    const float *weight = operation.weights;
    for (int out = 0; out < operation.output_channels; out++)
        for (int in = 0; in < operation.input_channels; in++, weight += 9)
            transform_filter(tile == 4 ? kFilterTransform4 : kFilterTransform2, patch_, weight,
                             filters_.data() + out / group_lanes * group_size + size_t(in) * group_lanes + out % group_lanes,
                             product_size);
}

size_t WinogradConvolution::scratch_size(int images) const {
    const size_t tiles = std::min(kTilesAtOnce, tile_rows_ * tile_columns_ * images);
    return products_ * tiles * kernels_.lanes * (input_blocks_ + output_blocks_);
}

WinogradConvolution::Tile WinogradConvolution::tile(int number) const {
    const int per_image = tile_rows_ * tile_columns_, within = number % per_image;
    return {number / per_image, within / tile_columns_ * tile_, within % tile_columns_ * tile_};
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
        float *products = transformed + size_t(products_) * input_blocks_ * count * kernels_.lanes;
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
        const int rows = std::min(patch_, in.height + 2 - at.y), columns = std::min(patch_, in.width + 2 - at.x);
        for (int block = 0; block < input_blocks_; block++) {
            const float *patch = input.at(at.image, block) + at.y * in.row() + at.x * lanes - in.row() - lanes;
            float *to = transformed + (size_t(block) * count + i) * lanes;
            if (rows == patch_ && columns == patch_) {
                transforms_.input(patch, in.row(), to, distance);
                continue;
            }
            alignas(64) float framed[kLargestPatch * kLargestPatch * kMostLanes] = {};  // the patch reaches beyond the halo
            for (int y = 0; y < rows; y++) std::copy_n(patch + y * in.row(), columns * lanes, framed + y * patch_ * lanes);
            transforms_.input(framed, patch_ * lanes, to, distance);
        }
    }
}

void WinogradConvolution::multiply(const float *transformed, int count, float *products) const {
    // Each of the products is a 1 x 1 convolution over a row that has a pixel for every tile.
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
    for (int product = 0; product < products_; product++) {
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
        const int rows = std::min(tile_, out.height - at.y), columns = std::min(tile_, out.width - at.x);
        const size_t offset = at.y * out.row() + at.x * lanes;
        for (int block = 0; block < output_blocks_; block++)
            transforms_.output(products + (size_t(block) * count + i) * lanes, distance, bias_.data() + block * lanes,
                               residual ? residual->at(at.image, block) + offset : nullptr, relu_,
                               output.at(at.image, block) + offset, out.row(), rows, columns);
    }
}

}  // namespace csot
