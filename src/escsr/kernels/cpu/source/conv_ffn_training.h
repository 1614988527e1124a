// ConvFFN with its gradients, for training: y = reduce(GELU(c) + h), c = depthwise(h), h = GELU(expand(x)).
//
// Nothing but x is kept for it. Backward makes h and c again, row by row in cache: one row of h, then the row of
// dc above it, then the row of dx above that, which needs three rows of dc.
//
// An item of backward is a fixed group of images with sums of its own: results do not depend on how many
// threads there are.
#pragma once

#include "conv_ffn.h"
#include "projection_training.h"

namespace escsr {

// As the network has them.
struct ConvFfnMatrices {
  const float* expand;  // [hidden][C]
  const float* expand_bias;
  const float* taps;  // [hidden][9]
  const float* taps_bias;
  const float* reduce;  // [C][hidden]
  const float* reduce_bias;
  int hidden;
};

// Depthwise taps, [9][hidden padded]; turned by 180 degrees where asked.
inline std::vector<float> taps_in_rows(const float* taps, int hidden, bool turned) {
  const int wide = padded(hidden);
  std::vector<float> rows(size_t(9) * wide);
  for (int channel = 0; channel < hidden; ++channel)
    for (int tap = 0; tap < 9; ++tap) rows[tap * wide + channel] = taps[channel * 9 + (turned ? 8 - tap : tap)];
  return rows;
}

inline std::vector<float> padded_to_vectors(const float* from, int count) {
  std::vector<float> wide(padded(count));
  std::memcpy(wide.data(), from, count * sizeof(float));
  return wide;
}

template <class Type>
bool conv_ffn_forward(const Map& x, const ConvFfnMatrices& m, const Map& out, int threads) {
  const int channels = x.channels, hidden = m.hidden, wide = padded(hidden);
  const PackedMatrix<Type> expand(m.expand, hidden, channels, channels, 1, m.expand_bias, channels);
  const PackedMatrix<Type> reduce(m.reduce, channels, hidden, hidden, 1, m.reduce_bias, wide);
  const std::vector<float> taps = taps_in_rows(m.taps, hidden, false), bias = padded_to_vectors(m.taps_bias, hidden);
  return conv_ffn(x, Margin{}, ConvFfn<Type>{{}, expand.view(), taps.data(), bias.data(), reduce.view(), wide}, out,
                  threads);
}

namespace conv_ffn_parts {

// sums[tap][c] += sum over pixels of rows[tap] * given; rows begin one pixel to the left.
inline void add_taps(const float* const (&rows)[3], const float* given, int width, int channels, float* sums) {
  for (int c = 0; c < channels; c += kLanes) {
    Vec total[9];
#pragma GCC unroll 9
    for (int tap = 0; tap < 9; ++tap) total[tap] = load(sums + tap * channels + c);
    for (int pixel = 0; pixel < width; ++pixel) {
      const Vec by = load(given + pixel * channels + c);
#pragma GCC unroll 9
      for (int tap = 0; tap < 9; ++tap) total[tap] += by * load(rows[tap / 3] + (pixel + tap % 3) * channels + c);
    }
#pragma GCC unroll 9
    for (int tap = 0; tap < 9; ++tap) store(sums + tap * channels + c, total[tap]);
  }
}

// Gradients of the weights, one behind the other.
struct Sums {
  float *expand, *expand_bias;  // [hidden padded][C]
  float *taps, *taps_bias;      // [9][hidden padded]
  float *reduce, *reduce_bias;  // [hidden padded][C]

  Sums(float* memory, int wide, int channels) {
    expand = memory;
    reduce = expand + size_t(wide) * channels;
    taps = reduce + size_t(wide) * channels;
    taps_bias = taps + 9 * wide;
    expand_bias = taps_bias + wide;
    reduce_bias = expand_bias + wide;
  }
  static size_t size(int wide, int channels) { return size_t(wide) * (2 * channels + 11) + channels; }
};

// The rows that are at work; those of h and dc begin one pixel to the left.
template <class Type>
struct Rows {
  using Value = typename Type::Value;
  using Word = typename Words<Type>::Word;

  Value* pixels;                // operands of a product
  Word *narrow_words, *wide_words;
  float *narrow, *wide;         // C and hidden channels
  float *a[3], *h[3], *dg[3], *dc[3], *zeros;
  int wide_channels, channels, width, even;

  Rows(int wide_channels, int channels, int width)
      : wide_channels(wide_channels), channels(channels), width(width), even(width + width % 2) {}

  size_t lay_out(Arena arena) {
    const size_t slack = kRowSlack + 2, larger = wide_channels > channels ? wide_channels : channels;
    pixels = arena.take<Value>((even + slack) * larger);
    narrow_words = arena.take<Word>(size_t(even) * channels);
    wide_words = arena.take<Word>(size_t(even) * wide_channels);
    narrow = arena.take<float>((even + slack) * channels);
    for (float** each : {&wide, &zeros}) *each = arena.take<float>((even + slack) * wide_channels);
    for (auto* ring : {&a, &h, &dg, &dc})
      for (float*& row : *ring) row = arena.take<float>((even + slack) * wide_channels);
    return arena.used();
  }
  size_t bytes() const { return (even + kRowSlack + 2) * size_t(wide_channels) * sizeof(float); }

  // Zeros around the pixels of a row that begins one to the left.
  void close(float* row) const {
    std::memset(row, 0, wide_channels * sizeof(float));
    std::memset(row + (width + 1) * wide_channels, 0, wide_channels * sizeof(float));
  }
  void write_words(float* row, int count, Word* to) const { write_row_words<Type>(row, width, count, to); }
  int steps() const { return (width + Type::kStep - 1) / Type::kStep; }
};

}  // namespace conv_ffn_parts

// Gradients of `conv_ffn_forward`: of x, and of the weights, in the first of [group][Sums].
template <class Type>
bool conv_ffn_backward(const Map& x, const ConvFfnMatrices& m, const Map& grad, const Map& grad_x, float* grad_weights,
                       int groups, int threads) {
  const int channels = x.channels, hidden = m.hidden, wide = padded(hidden), width = x.width, height = x.height;
  const PackedMatrix<Type> expand(m.expand, hidden, channels, channels, 1, m.expand_bias, channels);
  const PackedMatrix<Type> expand_back(m.expand, channels, hidden, 1, channels, nullptr, wide);
  const PackedMatrix<Type> reduce_back(m.reduce, hidden, channels, 1, hidden, nullptr, channels);
  const std::vector<float> taps = taps_in_rows(m.taps, hidden, false), turned = taps_in_rows(m.taps, hidden, true);
  const std::vector<float> bias = padded_to_vectors(m.taps_bias, hidden);
  auto work = [&](int group) {
    const size_t size = conv_ffn_parts::Sums::size(wide, channels);
    const conv_ffn_parts::Sums sums(grad_weights + group * size, wide, channels);
    std::memset(sums.expand, 0, size * sizeof(float));
    conv_ffn_parts::Rows<Type> at(wide, channels, width);
    at.lay_out(Arena(scratch_of_thread().reserve(at.lay_out(Arena(nullptr)))));
    std::memset(at.zeros, 0, at.bytes());
    auto row_of = [&](float* const (&ring)[3], int row) { return row < 0 || row >= height ? at.zeros : ring[row % 3]; };

    auto make_h = [&](int image, int row) {
      float *a = at.a[row % 3], *h = at.h[row % 3];
      prepare_pixels<Type>(x.pixel(image, row, 0), width, channels, Norm{}, at.pixels);
      multiply(at.pixels, channels, width, expand.view(), [&](int pixel, int channel, Vec sum) {
        if (channel >= wide) return;
        store(a + pixel * wide + channel, sum);
        store(h + (pixel + 1) * wide + channel, gelu(sum));
      });
      at.close(h);
    };
    auto make_dc = [&](int image, int row) {
      float *dg = at.dg[row % 3], *dc = at.dc[row % 3];
      std::memcpy(at.narrow, grad.pixel(image, row, 0), size_t(width) * channels * sizeof(float));
      at.write_words(at.narrow, channels, at.narrow_words);
      add_pixels(at.narrow, width, channels, sums.reduce_bias);
      prepare_pixels<Type>(at.narrow, width, channels, Norm{}, at.pixels);
      multiply(at.pixels, channels, width, reduce_back.view(), [&](int pixel, int channel, Vec sum) {
        if (channel < wide) store(dg + pixel * wide + channel, sum);
      });
      const float* rows[3] = {row_of(at.h, row - 1), row_of(at.h, row), row_of(at.h, row + 1)};
      depthwise_row(rows, width, taps.data(), bias.data(), wide, [&](int pixel, int channel, Vec sum, Vec centre) {
        Vec slope;
        store(at.wide + pixel * wide + channel, gelu_and_slope(sum, slope) + centre);
        store(dc + (pixel + 1) * wide + channel, load(dg + pixel * wide + channel) * slope);
      });
      at.close(dc);
      conv_ffn_parts::add_taps(rows, dc + wide, width, wide, sums.taps);
      add_pixels(dc + wide, width, wide, sums.taps_bias);
      at.write_words(at.wide, wide, at.wide_words);
      add_products<Type>(at.wide_words, wide, at.narrow_words, channels, at.steps(), sums.reduce);
    };
    auto make_dx = [&](int image, int row) {
      const float *a = at.a[row % 3], *dg = at.dg[row % 3];
      const float* rows[3] = {row_of(at.dc, row - 1), row_of(at.dc, row), row_of(at.dc, row + 1)};
      depthwise_row(rows, width, turned.data(), nullptr, wide, [&](int pixel, int channel, Vec sum, Vec) {
        const size_t place = size_t(pixel) * wide + channel;
        Vec slope;
        gelu_and_slope(load(a + place), slope);
        store(at.wide + place, (sum + load(dg + place)) * slope);
      });
      add_pixels(at.wide, width, wide, sums.expand_bias);
      at.write_words(at.wide, wide, at.wide_words);
      std::memcpy(at.narrow, x.pixel(image, row, 0), size_t(width) * channels * sizeof(float));
      at.write_words(at.narrow, channels, at.narrow_words);
      add_products<Type>(at.wide_words, wide, at.narrow_words, channels, at.steps(), sums.expand);
      prepare_pixels<Type>(at.wide, width, wide, Norm{}, at.pixels);
      float* to = grad_x.pixel(image, row, 0);
      multiply(at.pixels, wide, width, expand_back.view(), [&](int pixel, int channel, Vec sum) {
        if (channel < channels) store(to + pixel * channels + channel, sum);
      });
    };
    const int first = int(int64_t(x.images) * group / groups), last = int(int64_t(x.images) * (group + 1) / groups);
    for (int image = first; image < last; ++image)
      for (int row = 0; row < height + 2; ++row) {
        if (row < height) make_h(image, row);
        if (row >= 1 && row <= height) make_dc(image, row - 1);
        if (row >= 2) make_dx(image, row - 2);
      }
  };
  return share_out(groups, threads, work) &&
         add_up(grad_weights, conv_ffn_parts::Sums::size(wide, channels), groups, threads);
}

}  // namespace escsr
