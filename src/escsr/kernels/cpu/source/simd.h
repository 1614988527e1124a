// Vectors of floats through compiler vector extensions: 16 lanes with AVX-512, 8 with AVX2, 4 elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX2__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC's own intrinsics, on purpose
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

namespace escsr {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kRegisters = 16;
#else
constexpr int kLanes = 4;
constexpr int kRegisters = 32;  // NEON
#endif

#define ESCSR_INLINE inline __attribute__((always_inline))

typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef int32_t IntVec __attribute__((vector_size(4 * kLanes)));
typedef uint32_t BitVec __attribute__((vector_size(4 * kLanes)));

ESCSR_INLINE Vec load(const float* from) {
  Vec v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

ESCSR_INLINE void store(float* to, Vec v) { std::memcpy(to, &v, sizeof v); }

ESCSR_INLINE Vec broadcast(float x) { return x - Vec{}; }

// The larger of two; b where either is NaN.
ESCSR_INLINE Vec max_or_second(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}

ESCSR_INLINE Vec min_or_second(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return a < b ? a : b;
#endif
}

ESCSR_INLINE float sum_of_lanes(Vec v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)v);
#else
  float sums[kLanes];
  store(sums, v);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  return sums[0];
#endif
}

constexpr int vectors_for(int floats) { return (floats + kLanes - 1) / kLanes; }
constexpr int padded(int floats) { return vectors_for(floats) * kLanes; }

// 2^x for x at most 0 (below -126 as -126), relative error below 2e-7; NaN gives NaN.
ESCSR_INLINE Vec exp2_of_nonpositive(Vec x) {
  x = max_or_second(broadcast(-126.0f), x);
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  Vec shifted = x + magic;
  Vec fraction = x - (shifted - magic);  // [-0.5, 0.5]
  Vec p = broadcast(1.32647269e-3f);
  p = p * fraction + 9.67151266e-3f;
  p = p * fraction + 5.55073374e-2f;
  p = p * fraction + 2.40222421e-1f;
  p = p * fraction + 6.93146978e-1f;
  p = p * fraction + 1.0f;
  return (Vec)((IntVec)p + ((IntVec)shifted << 23));
}

// 2^x for x at most 0, relative error below 1e-4, which products of bfloat16 round away; NaN gives NaN.
ESCSR_INLINE Vec exp2_for_bfloat16(Vec x) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
  const Vec fraction = (Vec)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);  // [0, 1)
  Vec p = broadcast(7.802452e-2f);
  p = p * fraction + 2.2606716e-1f;
  p = p * fraction + 6.9583354e-1f;
  p = p * fraction + 9.9992522e-1f;
  return (Vec)_mm512_scalef_ps((__m512)p, (__m512)x);
#else
  return exp2_of_nonpositive(x);
#endif
}

// erf(x / sqrt(2)) as x * P(x^2) / Q(x^2), fitted to |x| below 5.4; NaN gives NaN.
ESCSR_INLINE Vec erf_of_half_square(Vec x) {
  Vec z = max_or_second(broadcast(-5.4f), min_or_second(broadcast(5.4f), x));
  Vec t = z * z;
  Vec p = broadcast(1.35247707e-5f);
  p = p * t + 7.46165987e-4f;
  p = p * t + 1.18123946e-2f;
  p = p * t + 1.09796387e-1f;
  p = p * t + 7.97883429e-1f;
  Vec q = broadcast(5.63366618e-7f);
  q = q * t + 1.33874008e-4f;
  q = q * t + 3.04653399e-3f;
  q = q * t + 4.05322248e-2f;
  q = q * t + 3.04266976e-1f;
  q = q * t + 1.0f;
  return z * p / q;
}

// GELU(x) = x * Phi(x); absolute error below 4e-7 * max(1, |x|); NaN gives NaN.
ESCSR_INLINE Vec gelu(Vec x) {
  Vec half = x * 0.5f;
  return half + half * erf_of_half_square(x);
}

// GELU(x) and its slope Phi(x) + x * phi(x).
ESCSR_INLINE Vec gelu_and_slope(Vec x, Vec& slope) {
  const Vec phi = 0.5f + 0.5f * erf_of_half_square(x);
  const Vec density = exp2_of_nonpositive(x * x * -0.72134752f) * 0.39894228f;  // exp(-x^2 / 2) / sqrt(2 pi)
  slope = phi + x * density;
  return x * phi;
}

}  // namespace escsr
