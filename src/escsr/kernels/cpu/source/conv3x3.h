// Dense 3x3 convolutions of a region, padded with zeros at the picture's border: LN in front, a map added
// and LeakyReLU behind.
#pragma once

#include "maps.h"
#include "parallel.h"

namespace escsr {

template <class Type>
struct Conv3x3 {
  Norm norm;
  Packed<Type> weights;  // nine taps, row by row
  float slope;           // of LeakyReLU for negative results; 1 for none
};

// out = leaky(conv(LN(in))) + added; `out` may have fewer channels than the weights' panels.
template <class Type>
bool conv3x3(const Map& in, const Margin& margin, const Conv3x3<Type>& conv, const Map* added, const Map& out,
             int threads) {
  using Value = typename Type::Value;
  constexpr int kRows = 32, kColumns = 64;
  const int channels = in.channels, outputs = out.channels;
  const Blocks blocks(out, kRows, kColumns);
  auto work = [&](int index) {
    const Block block(blocks, out, index);
    const int width = block.width();
    const size_t row_size = size_t(kColumns + 2 + kRowSlack) * channels;
    Value *ring[3], *zeros;
    float* sums;
    auto lay_out = [&](Arena arena) {
      for (Value*& row : ring) row = arena.take<Value>(row_size);
      zeros = arena.take<Value>(row_size);
      sums = arena.take<float>(size_t(kColumns) * conv.weights.outputs());
      return arena.used();
    };
    lay_out(Arena(scratch_of_thread().reserve(lay_out(Arena(nullptr)))));
    std::memset(zeros, 0, row_size * sizeof(Value));

    const int left = block.left + margin.left - 1;
    const int first = left < 0 ? 0 : left, last = left + width + 2 < in.width ? left + width + 2 : in.width;
    auto prepare_row = [&](int row) -> const Value* {
      if (row < 0 || row >= in.height) return zeros;
      Value* to = ring[row % 3];
      if (first > left) std::memset(to, 0, channels * sizeof(Value));
      if (last < left + width + 2) std::memset(to + (width + 1) * channels, 0, channels * sizeof(Value));
      prepare_pixels<Type>(in.pixel(block.image, row, first), last - first, channels, conv.norm,
                           to + (first - left) * channels);
      return to;
    };
    int row = block.top + margin.top;
    const Value* above = prepare_row(row - 1);
    const Value* centre = prepare_row(row);
    for (int y = block.top; y < block.bottom; ++y, ++row) {
      const Value* below = prepare_row(row + 1);
      const Value* taps[9];
      for (int tap = 0; tap < 9; ++tap)
        taps[tap] = (tap < 3 ? above : tap < 6 ? centre : below) + tap % 3 * channels;
      float* to = out.pixel(block.image, y, block.left);
      const float* plus = added == nullptr ? nullptr : added->pixel(block.image, y, block.left);
      const int panels = conv.weights.outputs();
      multiply<Type, 9>(taps, channels, width, conv.weights, [&](int pixel, int channel, Vec sum) {
        if (conv.slope != 1.0f) sum = sum > Vec{} ? sum : sum * conv.slope;
        if (outputs % kLanes != 0) {
          store(sums + pixel * panels + channel, sum);
        } else if (channel < outputs) {
          const int64_t at = int64_t(pixel) * outputs + channel;
          store(to + at, plus == nullptr ? sum : sum + load(plus + at));
        }
      });
      if (outputs % kLanes != 0)
        for (int pixel = 0; pixel < width; ++pixel)
          for (int c = 0; c < outputs; ++c)
            to[pixel * outputs + c] = sums[pixel * panels + c] + (plus == nullptr ? 0 : plus[pixel * outputs + c]);
      above = centre;
      centre = below;
    }
  };
  return share_out(blocks.count(), threads, work);
}

}  // namespace escsr
