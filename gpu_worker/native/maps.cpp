#include "maps.h"

#include <algorithm>

namespace csot {

void Maps::clear_halo(int image) const {
    if (layout.halo == 0) return;
    const size_t row = layout.row(), side = size_t(layout.halo) * layout.lanes, border = layout.halo * row;
    for (int block = 0; block < layout.blocks(); block++) {
        float *plane = data + image * layout.image() + block * layout.plane();
        std::fill_n(plane, border, 0.0f);
        for (int y = 0; y < layout.height; y++) {
            float *line = plane + border + y * row;
            std::fill_n(line, side, 0.0f);
            std::fill_n(line + row - side, side, 0.0f);
        }
        std::fill_n(plane + border + layout.height * row, border, 0.0f);
    }
}

}  // namespace csot
