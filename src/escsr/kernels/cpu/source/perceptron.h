// A perceptron over rows of numbers, a block of rows at a time through all layers in cache: LTE's MLP.
#pragma once

#include "maps.h"
#include "parallel.h"

namespace escsr {

// out[row] = last(relu(... relu(first(in[row])))); all layers but the last have `width` inputs and outputs.
template <class Type>
bool perceptron(const float* in, int64_t rows, int width, const Packed<Type>* layers, int count, float* out, int outputs,
                int threads) {
  using Value = typename Type::Value;
  constexpr int kRows = 96;
  auto work = [&](int index) {
    Value *x, *y;
    float* sums;
    auto lay_out = [&](Arena arena) {
      x = arena.take<Value>(size_t(kRows + kRowSlack) * width);
      y = arena.take<Value>(size_t(kRows + kRowSlack) * width);
      sums = arena.take<float>(size_t(kRows) * layers[count - 1].outputs());
      return arena.used();
    };
    lay_out(Arena(scratch_of_thread().reserve(lay_out(Arena(nullptr)))));
    const int64_t first = int64_t(index) * kRows;
    const int here = rows - first < kRows ? int(rows - first) : kRows;
    prepare_pixels<Type>(in + first * width, here, width, Norm{nullptr, nullptr}, x);
    for (int layer = 0; layer + 1 < count; ++layer) {
      multiply(x, width, here, layers[layer], [&](int row, int channel, Vec sum) {
        if (channel < width) Type::write(y + row * width + channel, max_or_second(Vec{}, sum));
      });
      std::swap(x, y);
    }
    const int wide = layers[count - 1].outputs();
    multiply(x, width, here, layers[count - 1],
             [&](int row, int channel, Vec sum) { store(sums + row * wide + channel, sum); });
    for (int row = 0; row < here; ++row)
      std::memcpy(out + (first + row) * outputs, sums + row * wide, outputs * sizeof(float));
  };
  return share_out(int((rows + kRows - 1) / kRows), threads, work);
}

}  // namespace escsr
