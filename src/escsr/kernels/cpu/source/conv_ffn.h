// ConvFFN of a region, row by row in cache: LN, 1x1, GELU, depthwise 3x3, GELU, sum, 1x1.
#pragma once

#include "maps.h"
#include "parallel.h"

namespace escsr {

template <class Type>
struct ConvFfn {
  Norm norm;
  Packed<Type> expand;   // C -> hidden
  const float* taps;     // [9][hidden], depthwise
  const float* bias;     // [hidden]
  Packed<Type> reduce;   // hidden -> C
  int hidden;            // padded to whole vectors; a multiple of both products' depths
};

// Depthwise 3x3 of a row, from the rows above, at and below, each of which begins one pixel to the left:
// finish(pixel, channel, sum, centre). It is called for up to three pixels more.
template <class Finish>
ESCSR_INLINE void depthwise_row(const float* const (&rows)[3], int width, const float* taps, const float* bias,
                                int hidden, Finish&& finish) {
  constexpr int kPixels = 4;
  for (int c = 0; c < hidden; c += kLanes) {
    Vec weights[9];
#pragma GCC unroll 9
    for (int tap = 0; tap < 9; ++tap) weights[tap] = load(taps + tap * hidden + c);
    const Vec start = bias == nullptr ? Vec{} : load(bias + c);
    for (int first = 0; first < width; first += kPixels) {
      Vec sums[kPixels], centre[kPixels];
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) sums[p] = start;
#pragma GCC unroll 3
      for (int row = 0; row < 3; ++row) {
        Vec x[kPixels + 2];
#pragma GCC unroll 6
        for (int p = 0; p < kPixels + 2; ++p) x[p] = load(rows[row] + (first + p) * hidden + c);
#pragma GCC unroll 4
        for (int p = 0; p < kPixels; ++p) {
          sums[p] += x[p] * weights[3 * row] + x[p + 1] * weights[3 * row + 1] + x[p + 2] * weights[3 * row + 2];
          if (row == 1) centre[p] = x[p + 1];
        }
      }
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) finish(first + p, c, sums[p], centre[p]);
    }
  }
}

template <class Type>
bool conv_ffn(const Map& in, const Margin& margin, const ConvFfn<Type>& ffn, const Map& out, int threads) {
  using Value = typename Type::Value;
  constexpr int kRows = 32, kColumns = 64;
  const int channels = in.channels, hidden = ffn.hidden;
  const Blocks blocks(out, kRows, kColumns);
  auto work = [&](int index) {
    const Block block(blocks, out, index);
    const int width = block.width(), slack = kRowSlack;
    Value *pixels, *gated;
    float *ring[3], *zeros;
    auto lay_out = [&](Arena arena) {
      pixels = arena.take<Value>((kColumns + 2 + slack) * channels);
      gated = arena.take<Value>((kColumns + slack) * hidden);
      for (float*& row : ring) row = arena.take<float>((kColumns + 2 + slack) * hidden);
      zeros = arena.take<float>((kColumns + 2 + slack) * hidden);
      return arena.used();
    };
    lay_out(Arena(scratch_of_thread().reserve(lay_out(Arena(nullptr)))));
    std::memset(zeros, 0, (kColumns + 2 + slack) * hidden * sizeof(float));

    const int left = block.left + margin.left - 1;  // column of the region that a row of h begins with
    const int first = left < 0 ? 0 : left, last = left + width + 2 < in.width ? left + width + 2 : in.width;
    auto expand_row = [&](int row) -> const float* {
      if (row < 0 || row >= in.height) return zeros;
      float* h = ring[row % 3];
      if (first > left) std::memset(h, 0, hidden * sizeof(float));
      if (last < left + width + 2) std::memset(h + (width + 1) * hidden, 0, hidden * sizeof(float));
      prepare_pixels<Type>(in.pixel(block.image, row, first), last - first, channels, ffn.norm, pixels);
      float* to = h + (first - left) * hidden;
      multiply(pixels, channels, last - first, ffn.expand,
               [&](int pixel, int channel, Vec sum) {
                 if (channel < hidden) store(to + pixel * hidden + channel, gelu(sum));
               });
      return h;
    };
    int row = block.top + margin.top;
    const float* above = expand_row(row - 1);
    const float* centre = expand_row(row);
    for (int y = block.top; y < block.bottom; ++y, ++row) {
      const float* below = expand_row(row + 1);
      const float* rows[3] = {above, centre, below};
      depthwise_row(rows, width, ffn.taps, ffn.bias, hidden, [&](int pixel, int channel, Vec sum, Vec centre) {
        Type::write(gated + pixel * hidden + channel, gelu(sum) + centre);
      });
      float* to = out.pixel(block.image, y, block.left);
      multiply(gated, hidden, width, ffn.reduce, [&](int pixel, int channel, Vec sum) {
        if (channel < channels) store(to + pixel * channels + channel, sum);
      });
      above = centre;
      centre = below;
    }
  };
  return share_out(blocks.count(), threads, work);
}

}  // namespace escsr
