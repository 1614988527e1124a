// Products of bfloat16 by the tile registers of AMX, where a build has them.
//
// A tile is 16 rows of 64 bytes. `multiply` adds the product of A, 16 rows of 32 numbers of bfloat16, and B, 16
// rows of 16 pairs, to C, 16 rows of 16 floats: C[m][n] += sum over k of A[m][2k] B[k][n][0] + A[m][2k + 1] B[k][n][1].
// So B has the order of packed weights and of words (words.h).
#pragma once

#include "simd.h"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#define ESCSR_HAS_TILES 1
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace escsr {

constexpr int kTileRows = 16;
constexpr int kTileDepth = 32;  // products of one number of C, half of it for the half operands

#if defined(ESCSR_HAS_TILES)

namespace tiles {

constexpr int kSums = 4;  // tiles 0 to 3; then A and B, whole (4, 5) and of half the depth (6, 7)

struct Layout {
  uint8_t palette = 0;
  uint8_t first_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

inline Layout layout() {
  Layout all;
  all.palette = 1;
  for (int tile = 0; tile < 8; ++tile) {
    all.row_bytes[tile] = tile == 6 ? 32 : 64;
    all.rows[tile] = tile == 7 ? 8 : 16;
  }
  return all;
}

// Whether the CPU has tiles and the system lets this process use them, which it asks for.
inline bool are_allowed() {
  constexpr unsigned kBFloat16 = 1u << 22, kTiles = 1u << 24;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (kBFloat16 | kTiles)) != (kBFloat16 | kTiles)) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // of arch_prctl
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// Tiles as kernels take them, on this thread, as long as it lives; then as they were, for other libraries.
class Use {
 public:
  Use() {
    const Layout ours = layout();
    asm volatile("sttilecfg %0" : "=m"(before_));
    asm volatile("ldtilecfg %0" ::"m"(ours));
  }
  ~Use() { asm volatile("ldtilecfg %0" ::"m"(before_)); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  Layout before_;
};

template <int kTile>
ESCSR_INLINE void load(const void* from, ptrdiff_t row_bytes) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(row_bytes), "i"(kTile) : "memory");
}

template <int kTile>
ESCSR_INLINE void store(void* to, ptrdiff_t row_bytes) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(row_bytes), "i"(kTile) : "memory");
}

template <int kTile>
ESCSR_INLINE void clear() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}

template <int kSum, int kA, int kB>
ESCSR_INLINE void multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
}

// Calls visit(std::integral_constant<int, i>) for i below kCount.
template <int kCount, class Visit>
ESCSR_INLINE void for_each(Visit&& visit) {
  if constexpr (kCount > 0) {
    for_each<kCount - 1>(visit);
    visit(std::integral_constant<int, kCount - 1>());
  }
}

// Calls visit(std::integral_constant<int, n>) with as many tiles of sums as there are, at most as many as are left.
template <class Visit>
ESCSR_INLINE void with_count(int left, Visit&& visit) {
  switch (left) {
    case 1: return visit(std::integral_constant<int, 1>());
    case 2: return visit(std::integral_constant<int, 2>());
    case 3: return visit(std::integral_constant<int, 3>());
    default: return visit(std::integral_constant<int, kSums>());
  }
}

// Adds A [16 rows][depth] times B [depth / 2][kCount * 16 pairs] to the sums 0 to kCount - 1. The depth is a
// multiple of 16, in numbers; strides are in bytes.
template <int kCount>
ESCSR_INLINE void add_products(const void* a, ptrdiff_t a_stride, const void* b, ptrdiff_t b_stride, int depth) {
  const char *left = static_cast<const char*>(a), *right = static_cast<const char*>(b);
  int k = 0;
  for (; k + kTileDepth <= depth; k += kTileDepth) {
    load<4>(left + k * 2, a_stride);
    for_each<kCount>([&](auto n) {
      load<5>(right + k / 2 * b_stride + n * 64, b_stride);
      multiply<n, 4, 5>();
    });
  }
  if (k < depth) {
    load<6>(left + k * 2, a_stride);
    for_each<kCount>([&](auto n) {
      load<7>(right + k / 2 * b_stride + n * 64, b_stride);
      multiply<n, 6, 7>();
    });
  }
}

}  // namespace tiles

using TileUse = tiles::Use;

#else

struct TileUse {
  TileUse() {}
};

#endif

}  // namespace escsr
