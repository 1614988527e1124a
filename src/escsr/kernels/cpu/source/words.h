// Numbers as sums over pixels or channels take them: a word is one float, or two neighbours in bfloat16.
#pragma once

#include "gemm.h"

namespace escsr {

template <class Type>
struct Words;

template <>
struct Words<Float32> {
  using Word = float;
  static ESCSR_INLINE void write_channels(const float* from, int channels, Word* to) {
    std::memcpy(to, from, channels * sizeof(float));
  }
  // kStep pixels that lie `channels` apart: to[channel] holds all of them.
  static ESCSR_INLINE void write_pixels(const float* from, int channels, Word* to) { write_channels(from, channels, to); }
  template <int kWidth>
  static ESCSR_INLINE void write_row(const Vec (&row)[kWidth], Word* to) {
#pragma GCC unroll 4
    for (int n = 0; n < kWidth; ++n) store(to + n * kLanes, row[n]);
  }
  template <int kWidth>
  static ESCSR_INLINE void write_two_rows(const Vec (&first)[kWidth], const Vec (&second)[kWidth], Word* to) {
    write_row(first, to);
    write_row(second, to + kWidth * kLanes);
  }
  // sums[m][n] += sum over steps of lanes[step][n] * scalars[m][step]
  template <int kRows, int kWidth>
  static ESCSR_INLINE void add(Vec (&sums)[kRows][kWidth], const Word* lanes, size_t lanes_stride, const Word* scalars,
                               size_t scalar_stride, size_t step_stride, int steps) {
    for (int step = 0; step < steps; ++step) {
      Vec x[kWidth];
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) x[n] = load(lanes + step * lanes_stride + n * kLanes);
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 4
        for (int n = 0; n < kWidth; ++n) sums[m][n] += x[n] * scalars[m * scalar_stride + step * step_stride];
    }
  }
};

#if defined(ESCSR_HAS_BFLOAT16)
template <>
struct Words<BFloat16> {
  using Word = uint32_t;
  // Both rounded, the first in the low halves.
  static ESCSR_INLINE void write_interleaved(Vec low, Vec high, Word* to) {
    const __m256bh first = _mm512_cvtneps_pbh((__m512)low), second = _mm512_cvtneps_pbh((__m512)high);
    const __m512i halves = _mm512_or_si512(_mm512_cvtepu16_epi32((__m256i)first),
                                           _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)second), 16));
    std::memcpy(to, &halves, sizeof halves);
  }
  static ESCSR_INLINE void write_channels(const float* from, int channels, Word* to) {
    for (int c = 0; c < channels; c += kLanes) BFloat16::write(reinterpret_cast<uint16_t*>(to) + c, load(from + c));
  }
  static ESCSR_INLINE void write_pixels(const float* from, int channels, Word* to) {
    for (int c = 0; c < channels; c += kLanes) write_interleaved(load(from + c), load(from + channels + c), to + c);
  }
  template <int kWidth>
  static ESCSR_INLINE void write_row(const Vec (&row)[kWidth], Word* to) {
#pragma GCC unroll 4
    for (int n = 0; n < kWidth; ++n) BFloat16::write(reinterpret_cast<uint16_t*>(to) + n * kLanes, row[n]);
  }
  template <int kWidth>
  static ESCSR_INLINE void write_two_rows(const Vec (&first)[kWidth], const Vec (&second)[kWidth], Word* to) {
#pragma GCC unroll 4
    for (int n = 0; n < kWidth; ++n) write_interleaved(first[n], second[n], to + n * kLanes);
  }
  template <int kRows, int kWidth>
  static ESCSR_INLINE void add(Vec (&sums)[kRows][kWidth], const Word* lanes, size_t lanes_stride, const Word* scalars,
                               size_t scalar_stride, size_t step_stride, int steps) {
    for (int step = 0; step < steps; ++step) {
      __m512bh x[kWidth];
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) x[n] = (__m512bh)_mm512_loadu_si512(lanes + step * lanes_stride + n * kLanes);
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m) {
        const __m512bh y = (__m512bh)_mm512_set1_epi32(int(scalars[m * scalar_stride + step * step_stride]));
#pragma GCC unroll 4
        for (int n = 0; n < kWidth; ++n) sums[m][n] = (Vec)_mm512_dpbf16_ps((__m512)sums[m][n], x[n], y);
      }
    }
  }
};
#endif

}  // namespace escsr
