// Window attention around its projections: residual + out(gate * softmax(q k^T + bias) v), q, k, v from LN(x).
//
// Lanes are queries of one row of the window. For a key, the bias of such a row lies side by side in the
// flipped table (2w - 1)^2, which stays in cache: no bias matrix and no scores are written to memory.
#pragma once

#include "maps.h"
#include "parallel.h"
#include "words.h"

namespace escsr {

template <class Type>
struct WindowAttention {
  Norm norm;
  const Packed<Type>* qkv;  // one for each head: C -> (q, k, v), q scaled by log2(e) / sqrt(d)
  Packed<Type> out;         // C -> C
  const float* table;       // [heads][2w - 1][table_stride], flipped in both axes, times log2(e); or null
  const float* bias_query;  // [heads][w][rank][padded(w)], times log2(e); or null
  const float* bias_key;    // [heads][w * w][rank]
  int table_stride;
  int rank;
  int window;
  int heads;
  int head_dim;
};

namespace attention {

constexpr int kKeys = kRegisters == 32 ? 8 : 4;  // keys whose scores are in registers at once

// Whether products of a head are taken by tiles.
template <class Type>
constexpr bool takes_tiles(int window, int head_dim) {
  return kMayUseTiles<Type> && window % kTileRows == 0 && head_dim % kTileRows == 0;
}

#if defined(ESCSR_HAS_BFLOAT16)
// Two vectors as pairs of bfloat16, the first in the low halves.
ESCSR_INLINE BitVec pair_of(Vec low, Vec high) {
  return (((BitVec)low + 0x8000u) >> 16) | (((BitVec)high + 0x8000u) & 0xffff0000u);
}
#endif

// One head of one window: where its parts lie.
template <class Type>
struct Head;

template <>
struct Head<Float32> {
  float* q;  // [row][d][query of the row]
  float* k;  // [key][d]
  float* v;  // [key][d]

  template <class Take>
  static Head laid_out(Take&& take, int queries, int keys, int head_dim) {
    return {take(size_t(head_dim) * queries), take(size_t(keys) * head_dim), take(size_t(keys) * head_dim)};
  }
  // Takes the projections of a window row, [pixel][stride]: q, k, v side by side.
  void fill(const float* projected, int stride, int row, int window, int head_dim) const {
    for (int d = 0; d < head_dim; ++d)
      for (int x = 0; x < window; ++x) q[size_t(row * head_dim + d) * padded(window) + x] = projected[x * stride + d];
    for (int x = 0; x < window; ++x) {
      const float* from = projected + x * stride + head_dim;
      const size_t key = size_t(row * window + x) * head_dim;
      std::memcpy(k + key, from, head_dim * sizeof(float));
      std::memcpy(v + key, from + head_dim, head_dim * sizeof(float));
    }
  }
  template <int kWidth>
  ESCSR_INLINE void scores(Vec (&sums)[kKeys][kWidth], int row, int column, int window, int key, int head_dim) const {
    Words<Float32>::add(sums, q + row * head_dim * padded(window) + column, padded(window), k + key * head_dim, head_dim,
                        1, head_dim);
  }
  // Turns scores of two keys into probabilities in place.
  template <int kWidth>
  static ESCSR_INLINE void exponentiate(float* scores, const Vec (&largest)[kWidth], Vec (&total)[kWidth]) {
#pragma GCC unroll 2
    for (int key = 0; key < 2; ++key)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) {
        float* at = scores + (key * kWidth + n) * kLanes;
        const Vec p = exp2_of_nonpositive(load(at) - largest[n]);
        total[n] += p;
        store(at, p);
      }
  }
  template <int kWidth>
  ESCSR_INLINE void values(Vec (&sums)[kKeys][kWidth], const float* p, int first_key, int keys, int d,
                           int head_dim) const {
    Words<Float32>::add(sums, p, kWidth * kLanes, v + first_key * head_dim + d, 1, head_dim, keys);
  }
};

#if defined(ESCSR_HAS_BFLOAT16)
template <>
struct Head<BFloat16> {
  uint32_t* q;  // [row][d / 2][query of the row], pairs of channels
  uint32_t* k;  // [key][d / 2]
  uint32_t* v;  // [key / 2][d], pairs of keys; for tiles [key / 32][d][16 pairs]

  template <class Take>
  static Head laid_out(Take&& take, int queries, int keys, int head_dim) {
    auto words = [&](size_t count) { return reinterpret_cast<uint32_t*>(take(count)); };
    const size_t half = head_dim / 2;
    return {words(half * queries), words(keys * half), words(size_t(keys) * half)};
  }
  void fill(const float* projected, int stride, int row, int window, int head_dim) const {
    auto pair = [](float low, float high) { return BFloat16::rounded(low) | uint32_t(BFloat16::rounded(high)) << 16; };
    for (int d = 0; d < head_dim; d += 2)
      for (int x = 0; x < window; ++x) {
        const float* from = projected + x * stride + d;
        q[size_t(row * head_dim + d) / 2 * padded(window) + x] = pair(from[0], from[1]);
      }
    for (int x = 0; x < window; ++x) {
      const float* from = projected + x * stride + head_dim;
      for (int d = 0; d < head_dim; d += 2)
        k[(size_t(row * window + x) * head_dim + d) / 2] = pair(from[d], from[d + 1]);
    }
    const bool is_tiled = takes_tiles<BFloat16>(window, head_dim);
    for (int x = 0; x < window; x += 2) {
      const float* from = projected + x * stride + 2 * head_dim;
      const size_t keys = size_t(row * window + x) / 2;  // the number of the pair
      uint32_t* to = v + (is_tiled ? keys / 16 * 16 * head_dim + keys % 16 : keys * head_dim);
      for (int d = 0; d < head_dim; ++d) to[is_tiled ? 16 * d : d] = pair(from[d], from[stride + d]);
    }
  }
  template <int kWidth>
  ESCSR_INLINE void scores(Vec (&sums)[kKeys][kWidth], int row, int column, int window, int key, int head_dim) const {
    const int half = head_dim / 2;
    Words<BFloat16>::add(sums, q + row * half * padded(window) + column, padded(window), k + key * half, half, 1, half);
  }
  // The probabilities of two keys take the place of the first one's scores.
  template <int kWidth>
  static ESCSR_INLINE void exponentiate(float* scores, const Vec (&largest)[kWidth], Vec (&total)[kWidth]) {
#pragma GCC unroll 4
    for (int n = 0; n < kWidth; ++n) {
      const Vec even = exp2_for_bfloat16(load(scores + n * kLanes) - largest[n]);
      const Vec odd = exp2_for_bfloat16(load(scores + (kWidth + n) * kLanes) - largest[n]);
      total[n] += even + odd;
      store(scores + n * kLanes, (Vec)pair_of(even, odd));
    }
  }
  template <int kWidth>
  ESCSR_INLINE void values(Vec (&sums)[kKeys][kWidth], const float* p, int first_key, int keys, int d,
                           int head_dim) const {
    Words<BFloat16>::add(sums, reinterpret_cast<const uint32_t*>(p), kWidth * kLanes * 2,
                         v + size_t(first_key / 2) * head_dim + d, 1, head_dim, keys / 2);
  }
};
#endif

constexpr int kChunk = 128;  // keys whose scores are kept before their exponentials are taken

// The scores of a chunk of keys, [key][query], and the largest so far of every query.
template <class Type, int kWidth>
ESCSR_INLINE void score(const WindowAttention<Type>& a, const Head<Type>& head, const float* table, int head_index,
                        int row, int column, int chunk, int keys, float* scores, Vec (&peak)[kWidth]) {
  const int w = a.window;
  for (int key = 0; key < keys; key += kKeys) {
    const int key_row = (chunk + key) / w, key_column = (chunk + key) % w;
    Vec sums[kKeys][kWidth];
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) {
        const int at = (row - key_row + w - 1) * a.table_stride + column - key_column - m + w - 1 + n * kLanes;
        sums[m][n] = table == nullptr ? Vec{} : load(table + at);
      }
    if (a.rank > 0)
      Words<Float32>::add(sums, a.bias_query + size_t(head_index * w + row) * a.rank * padded(w) + column, padded(w),
                          a.bias_key + (size_t(head_index) * w * w + chunk + key) * a.rank, a.rank, 1, a.rank);
    head.template scores<kWidth>(sums, row, column, w, chunk + key, a.head_dim);
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) {
        peak[n] = max_or_second(sums[m][n], peak[n]);
        store(scores + ((key + m) * kWidth + n) * kLanes, sums[m][n]);
      }
  }
}

// Adds the values of a chunk of keys, weighted by what is left of their scores, to `result`, [d][query], which is
// multiplied by `shrink` first.
template <class Type, int kWidth>
ESCSR_INLINE void add_values(const Head<Type>& head, const float* scores, int chunk, int keys, int head_dim,
                             const Vec (&shrink)[kWidth], float* result) {
  for (int channel = 0; channel < head_dim; channel += kKeys) {
    Vec sums[kKeys][kWidth];
    float* at = result + channel * kWidth * kLanes;
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) sums[m][n] = load(at + (m * kWidth + n) * kLanes) * shrink[n];
    head.template values<kWidth>(sums, scores, chunk, keys, channel, head_dim);
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) store(at + (m * kWidth + n) * kLanes, sums[m][n]);
  }
}

#if defined(ESCSR_HAS_TILES)
struct TileRows {
  const float* first;
  ptrdiff_t stride;  // bytes
};

// Where the bias of 16 keys lies: in the table itself, in which the next key is one place to the left, or, of low
// rank or none, in `scores`, where it is written to.
template <int kWidth>
ESCSR_INLINE TileRows bias_for_tiles(const WindowAttention<BFloat16>& a, const float* table, int head_index, int row,
                                     int column, int key, float* scores) {
  const int w = a.window, key_row = key / w, key_column = key % w;
  if (a.rank == 0 && table != nullptr)
    return {table + (row - key_row + w - 1) * a.table_stride + column - key_column + w - 1, -4};
  for (int m = 0; m < kTileRows; m += kKeys) {
    Vec sums[kKeys][kWidth] = {};
    if (a.rank > 0)
      Words<Float32>::add(sums, a.bias_query + size_t(head_index * w + row) * a.rank * w + column, w,
                          a.bias_key + (size_t(head_index) * w * w + key + m) * a.rank, a.rank, 1, a.rank);
    std::memcpy(scores + m * kWidth * kLanes, sums, sizeof sums);
  }
  return {scores, kWidth * kLanes * 4};
}

template <int kWidth>
void score_in_tiles(const WindowAttention<BFloat16>& a, const Head<BFloat16>& head, const float* table, int head_index,
                    int row, int column, int chunk, int keys, float* scores, Vec (&peak)[kWidth]) {
  constexpr ptrdiff_t kRowBytes = kWidth * kLanes * 4;
  const int w = a.window, d = a.head_dim;
  const uint32_t* queries = head.q + row * d / 2 * w + column;
  for (int key = 0; key < keys; key += kTileRows) {
    float* at = scores + key * kWidth * kLanes;
    const TileRows bias = bias_for_tiles<kWidth>(a, table, head_index, row, column, chunk + key, at);
    tiles::for_each<kWidth>([&](auto n) { tiles::load<n>(bias.first + n * kLanes, bias.stride); });
    tiles::add_products<kWidth>(head.k + size_t(chunk + key) * d / 2, d * 2, queries, w * 4, d);
    tiles::for_each<kWidth>([&](auto n) { tiles::store<n>(at + n * kLanes, kRowBytes); });
  }
  Vec largest[kWidth];
  for (int n = 0; n < kWidth; ++n) largest[n] = peak[n];
  for (int key = 0; key < keys; ++key)
#pragma GCC unroll 4
    for (int n = 0; n < kWidth; ++n)
      largest[n] = max_or_second(escsr::load(scores + (key * kWidth + n) * kLanes), largest[n]);
  for (int n = 0; n < kWidth; ++n) peak[n] = largest[n];
}

template <int kWidth>
void add_values_in_tiles(const Head<BFloat16>& head, const float* scores, int chunk, int keys, int head_dim,
                         const Vec (&shrink)[kWidth], float* result) {
  constexpr ptrdiff_t kRowBytes = kWidth * kLanes * 4;
  for (int channel = 0; channel < head_dim; channel += kTileRows) {
    float* at = result + channel * kWidth * kLanes;
    for (int m = 0; m < kTileRows; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) {
        float* sum = at + (m * kWidth + n) * kLanes;
        escsr::store(sum, escsr::load(sum) * shrink[n]);
      }
    tiles::for_each<kWidth>([&](auto n) { tiles::load<n>(at + n * kLanes, kRowBytes); });
    for (int key = 0; key < keys; key += kTileDepth)
      tiles::add_products<kWidth>(head.v + (size_t(chunk + key) / kTileDepth * head_dim + channel) * 16, 64,
                                  scores + key * kWidth * kLanes, 2 * kRowBytes, kTileDepth);
    tiles::for_each<kWidth>([&](auto n) { tiles::store<n>(at + n * kLanes, kRowBytes); });
  }
}
#endif

// Attention of kWidth vectors of queries of one window row; `result` is [d][kWidth * lanes]. Writes the
// logarithms of the sums of exponentials, in units of log2, where they are asked for.
template <class Type, int kWidth>
void attend_queries(const WindowAttention<Type>& a, const Head<Type>& head, int head_index, int row, int column,
                    float* scores, float* result, float* log_sums = nullptr) {
  const int w = a.window, d = a.head_dim;
  const bool is_tiled = takes_tiles<Type>(w, d);
  const float* table = a.table == nullptr ? nullptr : a.table + size_t(head_index) * (2 * w - 1) * a.table_stride;
  Vec largest[kWidth], total[kWidth];
  for (int n = 0; n < kWidth; ++n) {
    largest[n] = broadcast(-1e30f);
    total[n] = Vec{};
  }
  for (int i = 0; i < d * kWidth; ++i) store(result + i * kLanes, Vec{});

  for (int chunk = 0; chunk < w * w; chunk += kChunk) {
    const int keys = w * w - chunk < kChunk ? w * w - chunk : kChunk;
    Vec peak[kWidth];
    for (int n = 0; n < kWidth; ++n) peak[n] = largest[n];
    if constexpr (kMayUseTiles<Type>)
      if (is_tiled) score_in_tiles(a, head, table, head_index, row, column, chunk, keys, scores, peak);
    if (!is_tiled) score(a, head, table, head_index, row, column, chunk, keys, scores, peak);
    Vec shrink[kWidth];
    for (int n = 0; n < kWidth; ++n) {
      shrink[n] = exp2_of_nonpositive(largest[n] - peak[n]);
      total[n] *= shrink[n];
      largest[n] = peak[n];
    }
    for (int key = 0; key < keys; key += 2)
      Head<Type>::template exponentiate<kWidth>(scores + key * kWidth * kLanes, largest, total);
    if constexpr (kMayUseTiles<Type>)
      if (is_tiled) add_values_in_tiles(head, scores, chunk, keys, d, shrink, result);
    if (!is_tiled) add_values(head, scores, chunk, keys, d, shrink, result);
  }
  for (int n = 0; n < kWidth; ++n) {
    const Vec share = 1.0f / total[n];
    for (int channel = 0; channel < d; ++channel) {
      float* at = result + (channel * kWidth + n) * kLanes;
      store(at, load(at) * share);
    }
    for (int i = 0; log_sums != nullptr && i < kLanes; ++i)
      log_sums[n * kLanes + i] = largest[n][i] + __builtin_log2f(total[n][i]);
  }
}

inline int reflected(int position, int size) {
  const int period = size > 1 ? 2 * (size - 1) : 1;
  const int folded = position % period;
  return folded < period - folded ? folded : period - folded;
}

}  // namespace attention

// out = residual + attention(LN(in)); maps begin on the window grid and the last windows are reflect-padded.
// Without a gate (null) what attention gives goes to the last projection as it is.
template <class Type>
bool window_attention(const Map& in, const Map& residual, const WindowAttention<Type>& a, const Map* gate,
                      const Map& out, int threads) {
  using Value = typename Type::Value;
  const int w = a.window, pixels = w * w, channels = in.channels, d = a.head_dim, row_queries = padded(w);
  const Blocks blocks(out, w, w);
  auto work = [&](int index) {
    const Block block(blocks, out, index);
    Value *normed, *merged;
    float *gathered, *projected, *scores, *result;
    attention::Head<Type> head;
    auto lay_out = [&](Arena arena) {
      normed = arena.take<Value>(size_t(pixels + kRowSlack) * channels);
      merged = arena.take<Value>(size_t(pixels + kRowSlack) * channels);
      gathered = arena.take<float>(size_t(w) * channels);
      projected = arena.take<float>(size_t(w) * a.qkv[0].outputs());
      scores = arena.take<float>(attention::kChunk * 2 * kLanes);
      result = arena.take<float>(size_t(d) * 2 * kLanes);
      head = attention::Head<Type>::laid_out([&](size_t n) { return arena.take<float>(n); }, w * row_queries, pixels, d);
      return arena.used();
    };
    lay_out(Arena(scratch_of_thread().reserve(lay_out(Arena(nullptr)))));

    for (int y = 0; y < w; ++y) {
      const int row = attention::reflected(block.top + y, in.height);
      const float* from = in.pixel(block.image, row, block.left);
      if (block.width() < w) {
        for (int x = 0; x < w; ++x)
          std::memcpy(gathered + x * channels, in.pixel(block.image, row, attention::reflected(block.left + x, in.width)),
                      channels * sizeof(float));
        from = gathered;
      }
      prepare_pixels<Type>(from, w, channels, a.norm, normed + size_t(y) * w * channels);
    }
    for (int h = 0; h < a.heads; ++h) {
      const int projections = a.qkv[h].outputs();
      for (int row = 0; row < w; ++row) {
        multiply(normed + size_t(row) * w * channels, channels, w, a.qkv[h],
                 [&](int pixel, int channel, Vec sum) { store(projected + pixel * projections + channel, sum); });
        head.fill(projected, projections, row, w, d);
      }
      for (int row = 0; row < w; ++row)
        for (int column = 0; column < w; column += 2 * kLanes) {
          const int vectors = vectors_for(w - column) < 2 ? 1 : 2;
          if (vectors == 1)
            attention::attend_queries<Type, 1>(a, head, h, row, column, scores, result);
          else
            attention::attend_queries<Type, 2>(a, head, h, row, column, scores, result);
          for (int x = column; x < w && x < column + vectors * kLanes; ++x) {
            Value* to = merged + size_t(row * w + x) * channels + h * d;
            const bool is_gated = gate != nullptr && block.top + row < block.bottom && x < block.width();
            const float* by = is_gated ? gate->pixel(block.image, block.top + row, block.left + x) + h * d : nullptr;
            for (int channel = 0; channel < d; ++channel) {
              const float value = result[channel * vectors * kLanes + x - column];
              to[channel] = Type::rounded(is_gated ? value * by[channel] : value);
            }
          }
        }
    }
    for (int y = block.top; y < block.bottom; ++y) {
      float* to = out.pixel(block.image, y, block.left);
      const float* plus = residual.pixel(block.image, y, block.left);
      multiply(merged + size_t(y - block.top) * w * channels, channels, block.width(), a.out,
               [&](int pixel, int channel, Vec sum) {
                 const int64_t at = int64_t(pixel) * channels + channel;
                 if (channel < channels) store(to + at, sum + load(plus + at));
               });
    }
  };
  return share_out(blocks.count(), threads, work);
}

}  // namespace escsr
