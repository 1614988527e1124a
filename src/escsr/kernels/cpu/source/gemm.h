// Products of a few pixels with packed weights, in registers: the 1x1 and 3x3 convolutions.
//
// Weights are packed by Python in panels of `width` vectors: [panel][depth step][width * lanes].
// In bfloat16 a step is two neighbouring input channels, interleaved: [...][width * lanes][2].
#pragma once

#include "tiles.h"

namespace escsr {

struct Float32 {
  using Value = float;
  static constexpr int kStep = 1;

  struct Weight {
    Vec v;
  };
  static ESCSR_INLINE Weight weight(const Value* from) { return {load(from)}; }
  static ESCSR_INLINE Vec multiply_add(const Value* pixel, Weight w, Vec sum) { return w.v * *pixel + sum; }
  static ESCSR_INLINE void write(Value* to, Vec v) { store(to, v); }
  static ESCSR_INLINE Value rounded(float x) { return x; }
};

#if defined(__AVX512BF16__)
#define ESCSR_HAS_BFLOAT16 1
struct BFloat16 {
  using Value = uint16_t;
  static constexpr int kStep = 2;

  struct Weight {
    __m512bh v;
  };
  static ESCSR_INLINE Weight weight(const Value* from) { return {(__m512bh)_mm512_loadu_si512(from)}; }
  static ESCSR_INLINE Vec multiply_add(const Value* pixel, Weight w, Vec sum) {
    int32_t pair;
    std::memcpy(&pair, pixel, 4);
    return (Vec)_mm512_dpbf16_ps((__m512)sum, w.v, (__m512bh)_mm512_set1_epi32(pair));
  }
  static ESCSR_INLINE void write(Value* to, Vec v) {
    __m256bh half = _mm512_cvtneps_pbh((__m512)v);
    std::memcpy(to, &half, sizeof half);
  }
  static ESCSR_INLINE Value rounded(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return x != x ? 0x7fc0 : uint16_t((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
  }
};
#endif

// Whether its products may be taken by tiles.
#if defined(ESCSR_HAS_TILES)
template <class Type>
constexpr bool kMayUseTiles = Type::kStep == 2;
#else
template <class Type>
constexpr bool kMayUseTiles = false;
#endif

// Pixels at once for a panel of so many vectors: as many sums as registers hold.
constexpr int rows_for(int width) {
  if (kRegisters == 32) return width == 1 ? 16 : width == 2 ? 12 : width == 3 ? 8 : width == 4 ? 6 : 5;
  return width == 1 ? 8 : width == 2 ? 6 : 4;
}

constexpr int kMaxWidth = kRegisters == 32 ? 5 : 3;
constexpr int kRowSlack = 16;  // pixels that may be read, not written, behind the last one

// Adds the products of kRows pixels and one panel over `depth` channels to the sums.
template <class Type, int kRows, int kWidth>
ESCSR_INLINE const typename Type::Value* accumulate(Vec (&sums)[kRows][kWidth], const typename Type::Value* pixels,
                                                    ptrdiff_t pixel_stride, const typename Type::Value* weights,
                                                    int depth) {
  for (int k = 0; k < depth; k += Type::kStep) {
    typename Type::Weight w[kWidth];
#pragma GCC unroll 8
    for (int n = 0; n < kWidth; ++n) w[n] = Type::weight(weights + n * kLanes * Type::kStep);
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 8
      for (int n = 0; n < kWidth; ++n) sums[m][n] = Type::multiply_add(pixels + m * pixel_stride + k, w[n], sums[m][n]);
    weights += kWidth * kLanes * Type::kStep;
  }
  return weights;
}

// Weights as packed for `Type`.
template <class Type>
struct Packed {
  const typename Type::Value* values;
  const float* bias;  // padded to whole panels
  int depth;          // input channels, a multiple of 2
  int panels;
  int width;  // vectors of a panel

  int outputs() const { return panels * width * kLanes; }
};

// Products of `count` pixels: each tap begins at its own address and has `depth` channels.
// finish(pixel, first output channel, sum) takes every vector of the result.
template <class Type, int kWidth, int kTaps, class Finish>
ESCSR_INLINE void multiply_panels(const typename Type::Value* const (&taps)[kTaps], ptrdiff_t pixel_stride, int count,
                                  const Packed<Type>& weights, Finish&& finish) {
  constexpr int kRows = rows_for(kWidth);
  const size_t panel_size = size_t(kTaps) * weights.depth * kWidth * kLanes;
  for (int panel = 0; panel < weights.panels; ++panel) {
    const int first = panel * kWidth * kLanes;
    for (int row = 0; row < count; row += kRows) {
      Vec sums[kRows][kWidth];
#pragma GCC unroll 16
      for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 8
        for (int n = 0; n < kWidth; ++n) sums[m][n] = load(weights.bias + first + n * kLanes);
      const typename Type::Value* w = weights.values + panel * panel_size;
      for (int tap = 0; tap < kTaps; ++tap)
        w = accumulate<Type, kRows, kWidth>(sums, taps[tap] + row * pixel_stride, pixel_stride, w, weights.depth);
      const int rows = count - row < kRows ? count - row : kRows;
#pragma GCC unroll 16
      for (int m = 0; m < kRows; ++m) {
        if (m >= rows) break;
#pragma GCC unroll 8
        for (int n = 0; n < kWidth; ++n) finish(row + m, first + n * kLanes, sums[m][n]);
      }
    }
  }
}

#if defined(ESCSR_HAS_TILES)
// The same by tiles, for depths that are multiples of 16: kCount vectors of a panel from the first one on.
template <int kCount, int kTaps, class Finish>
ESCSR_INLINE void multiply_in_tiles(const uint16_t* const (&taps)[kTaps], ptrdiff_t pixel_stride, int count,
                                    const Packed<BFloat16>& weights, int panel, int first, Finish&& finish) {
  alignas(64) float sums[kTileRows * kCount * kLanes];
  const int wide = weights.width * kLanes, channel = panel * wide + first * kLanes;
  const size_t tap_size = size_t(weights.depth) * wide;
  const uint16_t* panel_values = weights.values + panel * kTaps * tap_size + first * kLanes * 2;
  for (int row = 0; row < count; row += kTileRows) {
    tiles::for_each<kCount>([&](auto n) { tiles::load<n>(weights.bias + channel + n * kLanes, 0); });
    for (int tap = 0; tap < kTaps; ++tap)
      tiles::add_products<kCount>(taps[tap] + row * pixel_stride, pixel_stride * 2, panel_values + tap * tap_size,
                                  ptrdiff_t(wide) * 4, weights.depth);
    tiles::for_each<kCount>([&](auto n) { tiles::store<n>(sums + n * kLanes, kCount * kLanes * 4); });
    const int rows = count - row < kTileRows ? count - row : kTileRows;
    for (int m = 0; m < rows; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kCount; ++n)
        finish(row + m, channel + n * kLanes, load(sums + (m * kCount + n) * kLanes));
  }
}

template <int kTaps, class Finish>
void multiply_in_tiles(const uint16_t* const (&taps)[kTaps], ptrdiff_t pixel_stride, int count,
                       const Packed<BFloat16>& weights, Finish&& finish) {
  for (int panel = 0; panel < weights.panels; ++panel)
    for (int first = 0; first < weights.width; first += tiles::kSums)
      tiles::with_count(weights.width - first, [&](auto count_here) {
        multiply_in_tiles<count_here>(taps, pixel_stride, count, weights, panel, first, finish);
      });
}
#endif

template <class Type, int kTaps, class Finish>
void multiply(const typename Type::Value* const (&taps)[kTaps], ptrdiff_t pixel_stride, int count,
              const Packed<Type>& weights, Finish&& finish) {
  if constexpr (kMayUseTiles<Type>)
    if (weights.depth % (kTileDepth / 2) == 0) return multiply_in_tiles(taps, pixel_stride, count, weights, finish);
  switch (weights.width) {
    case 1: return multiply_panels<Type, 1>(taps, pixel_stride, count, weights, finish);
    case 2: return multiply_panels<Type, 2>(taps, pixel_stride, count, weights, finish);
    case 3: return multiply_panels<Type, 3>(taps, pixel_stride, count, weights, finish);
#if !defined(__AVX2__) || defined(__AVX512F__)
    case 4: return multiply_panels<Type, 4>(taps, pixel_stride, count, weights, finish);
    case 5: return multiply_panels<Type, 5>(taps, pixel_stride, count, weights, finish);
#endif
  }
}

template <class Type, class Finish>
void multiply(const typename Type::Value* pixels, ptrdiff_t pixel_stride, int count, const Packed<Type>& weights,
              Finish&& finish) {
  const typename Type::Value* taps[1] = {pixels};
  multiply<Type, 1>(taps, pixel_stride, count, weights, finish);
}

}  // namespace escsr
