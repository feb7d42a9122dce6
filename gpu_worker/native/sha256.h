// SHA-256. Source: FIPS 180-4.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace csot {

using Digest = std::array<uint8_t, 32>;

/// Takes bytes in parts of any length.
class Sha256 {
  public:
    void add(const uint8_t *bytes, size_t count);
    Digest digest();  ///< of everything added; nothing can be added afterwards

  private:
    void take_block(const uint8_t *block);

    std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<uint8_t, 64> waiting_ = {};
    size_t waiting_count_ = 0;
    uint64_t total_ = 0;
};

}  // namespace csot
