// Window attention of projected queries, keys and values, for training.
//
// Forward is that of window_attention.h and keeps the logarithm of every query's sum of exponentials.
// Backward makes the probabilities p of a row of queries and a row of keys again from it, and with them
// ds = p * (do v^T - sum(do * o)); then dq = ds k, dk = ds^T q, dv = p^T do. Gradients of the bias are
// summed by (row of query - row of key, key, query) first, where vectors lie straight, and turned into
// those of the table at the end.
//
// An item of work is one head of a fixed group of windows, with sums of its own: results do not depend on
// how many threads there are.
#pragma once

#include "window_attention.h"

namespace escsr {

struct AttentionShape {
  const float* table;  // as in WindowAttention
  int table_stride;
  int window;
  int heads;
  int head_dim;
};

namespace attention {

// A row of pixels of one head, [pixel][head_dim], times `scale`; zeros from `pixels` to `padded_pixels`.
inline void take_row(const float* from, int stride, int pixels, int padded_pixels, int head_dim, float scale, float* to) {
  for (int x = 0; x < pixels; ++x)
    for (int c = 0; c < head_dim; c += kLanes) store(to + x * head_dim + c, load(from + int64_t(x) * stride + c) * scale);
  std::memset(to + pixels * head_dim, 0, size_t(padded_pixels - pixels) * head_dim * sizeof(float));
}

// One head of one window, as the five products of backward take it.
template <class Type>
struct TrainingHead {
  using Word = typename Words<Type>::Word;
  static constexpr int kStep = Type::kStep;

  Word *q_lanes, *grad_lanes;    // [row][d / kStep][query of the row]
  Word *q_pixels, *grad_pixels;  // [row][query of the row / kStep][d]
  Word *k_channels, *v_channels;  // [key][d / kStep]
  Word* k_pixels;                // [key / kStep][d]; for tiles [row of keys][d][key of the row / kStep]
  float* log_sum;                // [row][query of the row]; where there is no query, large
  float* delta;                  // sum over channels of do * o; there 0
  float* grad_q;                 // [row][d][query of the row]
  int window, head_dim, queries;  // of a row, padded

  template <class Take>
  void lay_out(Take&& take) {
    const size_t row = size_t(queries) * head_dim / kStep, keys = size_t(window) * window * head_dim / kStep;
    for (Word** each : {&q_lanes, &grad_lanes, &q_pixels, &grad_pixels})
      *each = reinterpret_cast<Word*>(take(window * row));
    for (Word** each : {&k_channels, &v_channels, &k_pixels}) *each = reinterpret_cast<Word*>(take(keys));
    for (float** each : {&log_sum, &delta}) *each = take(size_t(window) * queries);
    grad_q = take(size_t(window) * queries * head_dim);
  }
  size_t row_at(int row) const { return size_t(row) * queries * head_dim / kStep; }

  void write_lanes(const float* pixels, Word* to) const {
    Word words[kMaxHeadDim];
    for (int x = 0; x < queries; ++x) {
      Words<Type>::write_channels(pixels + x * head_dim, head_dim, words);
      for (int d = 0; d < head_dim / kStep; ++d) to[d * queries + x] = words[d];
    }
  }
  void write_pixels(const float* pixels, int count, Word* to) const {
    for (int x = 0; x < count; x += kStep)
      Words<Type>::write_pixels(pixels + x * head_dim, head_dim, to + x / kStep * head_dim);
  }
  // Takes a row from its four maps; `row` is room for padded pixels.
  void fill(int y, const float* qkv, int qkv_stride, int channels, const float* out, const float* grad, int stride,
            const float* log_sums, float* row) const {
    take_row(qkv, qkv_stride, window, queries, head_dim, kLog2E / __builtin_sqrtf(head_dim), row);
    write_lanes(row, q_lanes + row_at(y));
    write_pixels(row, queries, q_pixels + row_at(y));
    take_row(grad, stride, window, queries, head_dim, 1.0f, row);
    write_lanes(row, grad_lanes + row_at(y));
    write_pixels(row, queries, grad_pixels + row_at(y));
    for (int x = 0; x < queries; ++x) {
      Vec sum{};
      for (int c = 0; x < window && c < head_dim; c += kLanes)
        sum += load(row + x * head_dim + c) * load(out + int64_t(x) * stride + c);
      delta[y * queries + x] = sum_of_lanes(sum);
      log_sum[y * queries + x] = x < window ? log_sums[y * queries + x] : 1e30f;
    }
    const size_t keys = size_t(y) * window * head_dim / kStep;
    take_row(qkv + channels, qkv_stride, window, window, head_dim, 1.0f, row);
    Words<Type>::write_channels(row, window * head_dim, k_channels + keys);
    if (takes_tiles<Type>(window, head_dim)) {
      auto* to = reinterpret_cast<typename Type::Value*>(k_pixels + keys);
      for (int d = 0; d < head_dim; ++d)
        for (int x = 0; x < window; ++x) to[d * window + x] = Type::rounded(row[x * head_dim + d]);
    } else {
      write_pixels(row, window, k_pixels + keys);
    }
    take_row(qkv + 2 * channels, qkv_stride, window, window, head_dim, 1.0f, row);
    Words<Type>::write_channels(row, window * head_dim, v_channels + keys);
  }

  static constexpr int kMaxHeadDim = 128;
  static constexpr float kLog2E = 1.44269504088896340736f;
};

// Room for one row of queries and one row of keys.
template <class Type>
struct Tile {
  using Word = typename Words<Type>::Word;

  Word *p_queries, *ds_queries;  // [key of a block][query / kStep]
  Word* ds_keys;                 // [key / kStep][query]
  float *p_sums, *ds_sums;       // [key of a block][query]

  template <class Take>
  void lay_out(Take&& take, int window) {
    const size_t block = kTileRows * 2 * kLanes;
    for (Word** each : {&p_queries, &ds_queries}) *each = reinterpret_cast<Word*>(take(block));
    for (float** each : {&p_sums, &ds_sums}) *each = take(block);
    ds_keys = reinterpret_cast<Word*>(take(size_t(window) * 2 * kLanes));
  }
};

// grad[m][d] += sum over queries of words[m][query] * pixels[query][d], for the keys of a block
template <class Type, int kWidth>
ESCSR_INLINE void add_over_queries(const typename Words<Type>::Word* words, int queries,
                                   const typename Words<Type>::Word* pixels, int head_dim, float* grad) {
  for (int c = 0; c < head_dim; c += kWidth * kLanes) {
    Vec sums[kKeys][kWidth];
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) sums[m][n] = load(grad + m * head_dim + c + n * kLanes);
    Words<Type>::add(sums, pixels + c, head_dim, words, queries / Type::kStep, 1, queries / Type::kStep);
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) store(grad + m * head_dim + c + n * kLanes, sums[m][n]);
  }
}

// `backward_tile` by tiles; defined below, where there are any.
template <class Type, int kWidth>
void backward_in_tiles(const TrainingHead<Type>& head, const Tile<Type>& tile, const AttentionShape& a,
                       const float* table, int row, int column, int key_row, float* grad_k, float* grad_v, float* bias);

// Adds what kWidth vectors of queries of a row and a row of keys give to the gradients; `bias` is
// [key of the row][query of the row].
template <class Type, int kWidth>
void backward_tile(const TrainingHead<Type>& head, const Tile<Type>& tile, const AttentionShape& a, const float* table,
                   int row, int column, int key_row, float* grad_k, float* grad_v, float* bias) {
  if constexpr (kMayUseTiles<Type>)
    if (takes_tiles<Type>(a.window, a.head_dim))
      return backward_in_tiles<Type, kWidth>(head, tile, a, table, row, column, key_row, grad_k, grad_v, bias);
  constexpr int kStep = Type::kStep;
  const int w = a.window, d = a.head_dim, queries = kWidth * kLanes;
  const size_t lanes = head.row_at(row) + column, pixels = head.row_at(row) + size_t(column) * d / kStep;
  Vec log_sum[kWidth], delta[kWidth];
  for (int n = 0; n < kWidth; ++n) {
    log_sum[n] = load(head.log_sum + row * head.queries + column + n * kLanes);
    delta[n] = load(head.delta + row * head.queries + column + n * kLanes);
  }
  for (int key = 0; key < w; key += kKeys) {
    const size_t keys = (size_t(key_row) * w + key) * d / kStep;
    Vec p[kKeys][kWidth], ds[kKeys][kWidth];
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n)
        p[m][n] = load(table + (row - key_row + w - 1) * a.table_stride + column - key - m + w - 1 + n * kLanes);
    Words<Type>::add(p, head.q_lanes + lanes, head.queries, head.k_channels + keys, d / kStep, 1, d / kStep);
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m) {
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) p[m][n] = exp2_of_nonpositive(p[m][n] - log_sum[n]);
      Words<Type>::write_row(p[m], tile.p_queries + m * queries / kStep);
    }
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) ds[m][n] = -delta[n];
    Words<Type>::add(ds, head.grad_lanes + lanes, head.queries, head.v_channels + keys, d / kStep, 1, d / kStep);
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m) {
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) {
        ds[m][n] *= p[m][n];
        float* at = bias + size_t(key + m) * head.queries + column + n * kLanes;
        store(at, load(at) + ds[m][n]);
      }
      Words<Type>::write_row(ds[m], tile.ds_queries + m * queries / kStep);
      if (m % 2 == 1) Words<Type>::write_two_rows(ds[m - 1], ds[m], tile.ds_keys + (key + m - 1) / kStep * queries);
    }
    if (d % (2 * kLanes) == 0) {
      add_over_queries<Type, 2>(tile.p_queries, queries, head.grad_pixels + pixels, d, grad_v + key * d);
      add_over_queries<Type, 2>(tile.ds_queries, queries, head.q_pixels + pixels, d, grad_k + key * d);
    } else {
      add_over_queries<Type, 1>(tile.p_queries, queries, head.grad_pixels + pixels, d, grad_v + key * d);
      add_over_queries<Type, 1>(tile.ds_queries, queries, head.q_pixels + pixels, d, grad_k + key * d);
    }
  }
  const auto* k = head.k_pixels + size_t(key_row) * w * d / kStep;
  for (int channel = 0; channel < d; channel += kKeys) {
    float* at = head.grad_q + (size_t(row) * d + channel) * head.queries + column;
    Vec sums[kKeys][kWidth];
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) sums[m][n] = load(at + m * head.queries + n * kLanes);
    Words<Type>::add(sums, tile.ds_keys, queries, k + channel, 1, d, w / kStep);
#pragma GCC unroll 8
    for (int m = 0; m < kKeys; ++m)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) store(at + m * head.queries + n * kLanes, sums[m][n]);
  }
}

#if defined(ESCSR_HAS_TILES)
template <class Type, int kWidth>
void backward_in_tiles(const TrainingHead<Type>& head, const Tile<Type>& tile, const AttentionShape& a,
                       const float* table, int row, int column, int key_row, float* grad_k, float* grad_v,
                       float* bias) {
  const int w = a.window, d = a.head_dim, queries = kWidth * kLanes;
  const ptrdiff_t sums_bytes = queries * 4, pairs_bytes = queries * 2, row_bytes = head.queries * 4;
  const size_t lanes = head.row_at(row) + column, pixels = head.row_at(row) + size_t(column) * d / 2;
  Vec log_sum[kWidth], delta[kWidth];
  for (int n = 0; n < kWidth; ++n) {
    log_sum[n] = load(head.log_sum + row * head.queries + column + n * kLanes);
    delta[n] = load(head.delta + row * head.queries + column + n * kLanes);
  }
  for (int key = 0; key < w; key += kTileRows) {
    const size_t keys = (size_t(key_row) * w + key) * d / 2;
    const float* from = table + (row - key_row + w - 1) * a.table_stride + column - key + w - 1;
    tiles::for_each<kWidth>([&](auto n) { tiles::load<n>(from + n * kLanes, -4); });  // as in score_in_tiles
    tiles::add_products<kWidth>(head.k_channels + keys, d * 2, head.q_lanes + lanes, row_bytes, d);
    tiles::for_each<kWidth>([&](auto n) { tiles::store<n>(tile.p_sums + n * kLanes, sums_bytes); });
    tiles::for_each<kWidth>([&](auto n) { tiles::clear<n>(); });
    tiles::add_products<kWidth>(head.v_channels + keys, d * 2, head.grad_lanes + lanes, row_bytes, d);
    tiles::for_each<kWidth>([&](auto n) { tiles::store<n>(tile.ds_sums + n * kLanes, sums_bytes); });
    for (int m = 0; m < kTileRows; m += 2) {
      Vec p[2][kWidth], ds[2][kWidth];
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 4
        for (int n = 0; n < kWidth; ++n) {
          const int at = (m + i) * queries + n * kLanes;
          p[i][n] = exp2_for_bfloat16(load(tile.p_sums + at) - log_sum[n]);
          ds[i][n] = p[i][n] * (load(tile.ds_sums + at) - delta[n]);
          float* sum = bias + size_t(key + m + i) * head.queries + column + n * kLanes;
          store(sum, load(sum) + ds[i][n]);
        }
        Words<Type>::write_row(p[i], tile.p_queries + (m + i) * queries / 2);
        Words<Type>::write_row(ds[i], tile.ds_queries + (m + i) * queries / 2);
      }
      Words<Type>::write_two_rows(ds[0], ds[1], tile.ds_keys + (key + m) / 2 * queries);
    }
    for (int c = 0; c < d; c += kLanes) {
      float *to_v = grad_v + key * d + c, *to_k = grad_k + key * d + c;
      tiles::load<0>(to_v, d * 4);
      tiles::add_products<1>(tile.p_queries, pairs_bytes, head.grad_pixels + pixels + c, d * 4, queries);
      tiles::store<0>(to_v, d * 4);
      tiles::load<0>(to_k, d * 4);
      tiles::add_products<1>(tile.ds_queries, pairs_bytes, head.q_pixels + pixels + c, d * 4, queries);
      tiles::store<0>(to_k, d * 4);
    }
  }
  const auto* k = reinterpret_cast<const uint16_t*>(head.k_pixels + size_t(key_row) * w * d / 2);
  for (int channel = 0; channel < d; channel += kTileRows) {
    float* to = head.grad_q + (size_t(row) * d + channel) * head.queries + column;
    tiles::for_each<kWidth>([&](auto n) { tiles::load<n>(to + n * kLanes, row_bytes); });
    tiles::add_products<kWidth>(k + channel * w, w * 2, tile.ds_keys, queries * 4, w);
    tiles::for_each<kWidth>([&](auto n) { tiles::store<n>(to + n * kLanes, row_bytes); });
  }
}
#endif

}  // namespace attention

// out = softmax(q k^T + bias) v of a map of (q, k, v) that is cut into whole windows; `log_sums` is
// [window][head][row][padded(w)], in units of log2.
template <class Type>
bool attend(const Map& qkv, const AttentionShape& a, const Map& out, float* log_sums, int threads) {
  const int w = a.window, d = a.head_dim, queries = padded(w);
  const WindowAttention<Type> attention{{},        nullptr, {}, a.table, nullptr, nullptr, a.table_stride, 0, w,
                                        a.heads, d};
  const Blocks blocks(out, w, w);
  auto work = [&](int index) {
    const Block block(blocks, out, index / a.heads);
    const int h = index % a.heads;
    float *projected, *scores, *result;
    attention::Head<Type> head;
    auto lay_out = [&](Arena arena) {
      projected = arena.take<float>(size_t(w) * 3 * d);
      scores = arena.take<float>(attention::kChunk * 2 * kLanes);
      result = arena.take<float>(size_t(d) * 2 * kLanes);
      head = attention::Head<Type>::laid_out([&](size_t n) { return arena.take<float>(n); }, w * queries, w * w, d);
      return arena.used();
    };
    lay_out(Arena(scratch_of_thread().reserve(lay_out(Arena(nullptr)))));

    const float scale = attention::TrainingHead<Type>::kLog2E / __builtin_sqrtf(d);
    for (int row = 0; row < w; ++row) {
      const float* from = qkv.pixel(block.image, block.top + row, block.left) + h * d;
      for (int x = 0; x < w; ++x)
        for (int part = 0; part < 3; ++part)
          for (int c = 0; c < d; c += kLanes)
            store(projected + (3 * x + part) * d + c,
                  load(from + int64_t(x) * qkv.channels + part * out.channels + c) * (part == 0 ? scale : 1.0f));
      head.fill(projected, 3 * d, row, w, d);
    }
    for (int row = 0; row < w; ++row)
      for (int column = 0; column < w; column += 2 * kLanes) {
        const int vectors = vectors_for(w - column) < 2 ? 1 : 2;
        float* sums = log_sums + (size_t(index) * w + row) * queries + column;
        if (vectors == 1)
          attention::attend_queries<Type, 1>(attention, head, h, row, column, scores, result, sums);
        else
          attention::attend_queries<Type, 2>(attention, head, h, row, column, scores, result, sums);
        for (int x = column; x < w && x < column + vectors * kLanes; ++x) {
          float* to = out.pixel(block.image, block.top + row, block.left + x) + h * d;
          for (int channel = 0; channel < d; ++channel) to[channel] = result[channel * vectors * kLanes + x - column];
        }
      }
  };
  return share_out(blocks.count() * a.heads, threads, work);
}

// Gradients of `attend`; that of the table is in the first of `grad_tables`, [group][head][2w - 1][2w - 1].
template <class Type>
bool attend_backward(const Map& qkv, const AttentionShape& a, const Map& out, const float* log_sums, const Map& grad,
                     const Map& grad_qkv, float* grad_tables, int groups, int threads) {
  const int w = a.window, d = a.head_dim, queries = padded(w), side = 2 * w - 1;
  const Blocks blocks(out, w, w);
  auto work = [&](int index) {
    const int group = index / a.heads, h = index % a.heads;
    const float* table = a.table + size_t(h) * side * a.table_stride;
    attention::TrainingHead<Type> head;
    head.window = w;
    head.head_dim = d;
    head.queries = queries;
    attention::Tile<Type> tile;
    float *pixels, *bias, *grad_k, *grad_v;
    auto lay_out = [&](Arena arena) {
      auto take = [&](size_t n) { return arena.take<float>(n); };
      head.lay_out(take);
      tile.lay_out(take, w);
      pixels = take(size_t(queries) * d);
      grad_k = take(size_t(w) * d);
      grad_v = take(size_t(w) * d);
      bias = take(size_t(side) * w * queries);
      return arena.used();
    };
    lay_out(Arena(scratch_of_thread().reserve(lay_out(Arena(nullptr)))));
    std::memset(bias, 0, size_t(side) * w * queries * sizeof(float));

    const int first = int(int64_t(blocks.count()) * group / groups);
    const int last = int(int64_t(blocks.count()) * (group + 1) / groups);
    for (int window = first; window < last; ++window) {
      const Block block(blocks, out, window);
      for (int y = 0; y < w; ++y)
        head.fill(y, qkv.pixel(block.image, block.top + y, block.left) + h * d, qkv.channels, out.channels,
                  out.pixel(block.image, block.top + y, block.left) + h * d,
                  grad.pixel(block.image, block.top + y, block.left) + h * d, out.channels,
                  log_sums + (size_t(window) * a.heads + h) * w * queries, pixels);
      std::memset(head.grad_q, 0, size_t(w) * queries * d * sizeof(float));
      for (int key_row = 0; key_row < w; ++key_row) {
        std::memset(grad_k, 0, size_t(w) * d * sizeof(float));
        std::memset(grad_v, 0, size_t(w) * d * sizeof(float));
        for (int row = 0; row < w; ++row)
          for (int column = 0; column < w; column += 2 * kLanes) {
            float* plane = bias + size_t(row - key_row + w - 1) * w * queries;
            if (vectors_for(w - column) < 2)
              attention::backward_tile<Type, 1>(head, tile, a, table, row, column, key_row, grad_k, grad_v, plane);
            else
              attention::backward_tile<Type, 2>(head, tile, a, table, row, column, key_row, grad_k, grad_v, plane);
          }
        float* to = grad_qkv.pixel(block.image, block.top + key_row, block.left) + h * d;
        for (int x = 0; x < w; ++x, to += grad_qkv.channels)
          for (int c = 0; c < d; c += kLanes) {
            store(to + out.channels + c, load(grad_k + x * d + c) / head.kLog2E);
            store(to + 2 * out.channels + c, load(grad_v + x * d + c));
          }
      }
      const float scale = 1.0f / __builtin_sqrtf(d);
      for (int y = 0; y < w; ++y) {
        float* to = grad_qkv.pixel(block.image, block.top + y, block.left) + h * d;
        for (int x = 0; x < w; ++x, to += grad_qkv.channels)
          for (int c = 0; c < d; ++c) to[c] = head.grad_q[(size_t(y) * d + c) * queries + x] * scale;
      }
    }
    float* to = grad_tables + size_t(index) * side * side;
    std::memset(to, 0, size_t(side) * side * sizeof(float));
    for (int plane = 0; plane < side; ++plane)  // the table's rows and columns run from key to query
      for (int key = 0; key < w; ++key)
        for (int x = 0; x < w; ++x)
          to[(side - 1 - plane) * side + (w - 1 - x + key)] += bias[(size_t(plane) * w + key) * queries + x];
  };
  return share_out(groups * a.heads, threads, work) &&
         add_up(grad_tables, size_t(a.heads) * side * side, groups, threads);
}

}  // namespace escsr
