// A 1x1 convolution with its gradients, for training, and what other kernels with gradients need for theirs.
//
// An item of backward is a fixed group of images with sums of its own: results do not depend on how many
// threads there are.
#pragma once

#include <vector>

#include "maps.h"
#include "parallel.h"
#include "words.h"

namespace escsr {

// A matrix in panels, as Python packs them; see gemm.h.
template <class Type>
class PackedMatrix {
 public:
  // Its element (output, input) is from[output * output_stride + input * input_stride]; inputs are filled up
  // to `depth` with zeros.
  PackedMatrix(const float* from, int outputs, int inputs, int output_stride, int input_stride, const float* bias,
               int depth) {
    const int vectors = vectors_for(outputs);
    packed_.panels = (vectors + kMaxWidth - 1) / kMaxWidth;
    packed_.width = (vectors + packed_.panels - 1) / packed_.panels;
    packed_.depth = depth;
    values_.resize(size_t(packed_.outputs()) * depth);
    bias_.resize(packed_.outputs());
    const int wide = packed_.width * kLanes;
    for (int output = 0; output < outputs; ++output) {
      const size_t panel = output / wide, lane = output % wide;
      for (int input = 0; input < inputs; ++input) {
        const size_t step = input / Type::kStep, part = input % Type::kStep;
        values_[((panel * (depth / Type::kStep) + step) * wide + lane) * Type::kStep + part] =
            Type::rounded(from[output * output_stride + input * input_stride]);
      }
      if (bias != nullptr) bias_[output] = bias[output];
    }
    packed_.values = values_.data();
    packed_.bias = bias_.data();
  }

  const Packed<Type>& view() const { return packed_; }

 private:
  std::vector<typename Type::Value> values_;
  std::vector<float> bias_;
  Packed<Type> packed_;
};

// sums[m][c] += sum over pixels of first[pixel][m] * second[pixel][c], from words of pixels.
template <class Type, int kWidth>
void add_columns(const typename Words<Type>::Word* first, int rows, const typename Words<Type>::Word* second,
                 int columns, int column, int steps, float* sums) {
  constexpr int kRows = 8;
  for (int m = 0; m < rows; m += kRows) {
    Vec block[kRows][kWidth];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) block[i][n] = load(sums + size_t(m + i) * columns + column + n * kLanes);
    Words<Type>::add(block, second + column, columns, first + m, 1, rows, steps);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int n = 0; n < kWidth; ++n) store(sums + size_t(m + i) * columns + column + n * kLanes, block[i][n]);
  }
}

#if defined(ESCSR_HAS_TILES)
// The same by tiles, for whole tiles of sums and of steps; `first` is transposed on the way.
template <int kCount>
ESCSR_INLINE void add_columns_in_tiles(const uint32_t* transposed, const uint32_t* second, int columns, float* sums) {
  tiles::for_each<kCount>([&](auto n) { tiles::load<n>(sums + n * kLanes, ptrdiff_t(columns) * 4); });
  tiles::add_products<kCount>(transposed, 64, second, ptrdiff_t(columns) * 4, kTileDepth);
  tiles::for_each<kCount>([&](auto n) { tiles::store<n>(sums + n * kLanes, ptrdiff_t(columns) * 4); });
}

inline void add_products_in_tiles(const uint32_t* first, int rows, const uint32_t* second, int columns, int steps,
                                  float* sums) {
  constexpr int kSteps = kTileDepth / 2;
  alignas(64) uint32_t transposed[kTileRows * kSteps];
  const __m512i places = _mm512_mullo_epi32(
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), _mm512_set1_epi32(rows));
  for (int m = 0; m < rows; m += kTileRows)
    for (int step = 0; step < steps; step += kSteps) {
      for (int i = 0; i < kTileRows; ++i)
        _mm512_store_si512(transposed + i * kSteps,
                           _mm512_i32gather_epi32(places, first + size_t(step) * rows + m + i, 4));
      for (int column = 0; column < columns; column += tiles::kSums * kLanes) {
        const uint32_t* from = second + size_t(step) * columns + column;
        float* to = sums + size_t(m) * columns + column;
        tiles::with_count((columns - column) / kLanes,
                          [&](auto count) { add_columns_in_tiles<count>(transposed, from, columns, to); });
      }
    }
}
#endif

template <class Type>
void add_products(const typename Words<Type>::Word* first, int rows, const typename Words<Type>::Word* second,
                  int columns, int steps, float* sums) {
  if constexpr (kMayUseTiles<Type>)
    if (rows % kTileRows == 0 && columns % kLanes == 0) {
      const int whole = steps / (kTileDepth / 2) * (kTileDepth / 2);
      add_products_in_tiles(first, rows, second, columns, whole, sums);
      first += size_t(whole) * rows;
      second += size_t(whole) * columns;
      steps -= whole;
    }
  int column = 0;
  for (; steps > 0 && column + 2 * kLanes <= columns; column += 2 * kLanes)
    add_columns<Type, 2>(first, rows, second, columns, column, steps, sums);
  if (steps > 0 && column < columns) add_columns<Type, 1>(first, rows, second, columns, column, steps, sums);
}

// sums[c] += sum over pixels
inline void add_pixels(const float* pixels, int count, int channels, float* sums) {
  for (int c = 0; c < channels; c += kLanes) {
    Vec sum = load(sums + c);
    for (int pixel = 0; pixel < count; ++pixel) sum += load(pixels + pixel * channels + c);
    store(sums + c, sum);
  }
}

// A row of pixels as words of pixels; a last one that stands alone is followed by zeros, which are written
// behind it.
template <class Type>
void write_row_words(float* row, int width, int channels, typename Words<Type>::Word* to) {
  if (width % 2 == 1) std::memset(row + width * channels, 0, channels * sizeof(float));
  for (int x = 0; x < width; x += Type::kStep)
    Words<Type>::write_pixels(row + x * channels, channels, to + x / Type::kStep * channels);
}

// As the network has it: weight [outputs][C] and bias.
struct ProjectionMatrix {
  const float* weight;
  const float* bias;
};

template <class Type>
bool project(const Map& x, const ProjectionMatrix& m, const Map& out, int threads) {
  using Value = typename Type::Value;
  const int channels = x.channels, outputs = out.channels, width = x.width;
  const PackedMatrix<Type> matrix(m.weight, outputs, channels, channels, 1, m.bias, channels);
  auto work = [&](int index) {
    const int image = index / x.height, row = index % x.height;
    auto lay_out = [&](Arena arena, Value*& pixels) {
      pixels = arena.take<Value>(size_t(width + kRowSlack) * channels);
      return arena.used();
    };
    Value* pixels;
    lay_out(Arena(scratch_of_thread().reserve(lay_out(Arena(nullptr), pixels))), pixels);
    prepare_pixels<Type>(x.pixel(image, row, 0), width, channels, Norm{}, pixels);
    float* to = out.pixel(image, row, 0);
    multiply(pixels, channels, width, matrix.view(), [&](int pixel, int channel, Vec sum) {
      if (channel < outputs) store(to + pixel * outputs + channel, sum);
    });
  };
  return share_out(x.images * x.height, threads, work);
}

// Gradients of `project`: of x, and of weight and bias, in the first of [group][outputs * C + outputs].
template <class Type>
bool project_backward(const Map& x, const ProjectionMatrix& m, const Map& grad, const Map& grad_x, float* grad_weights,
                      int groups, int threads) {
  using Value = typename Type::Value;
  using Word = typename Words<Type>::Word;
  const int channels = x.channels, outputs = grad.channels, width = x.width;
  const PackedMatrix<Type> transposed(m.weight, channels, outputs, 1, channels, nullptr, outputs);
  const size_t size = size_t(outputs) * channels + outputs;
  auto work = [&](int group) {
    float *row_x, *row_grad, *sums = grad_weights + group * size;
    Word *words_x, *words_grad;
    Value* pixels;
    auto lay_out = [&](Arena arena) {
      row_x = arena.take<float>(size_t(width + 1) * channels);
      row_grad = arena.take<float>(size_t(width + 1) * outputs);
      words_x = arena.take<Word>(size_t(width + 1) * channels);
      words_grad = arena.take<Word>(size_t(width + 1) * outputs);
      pixels = arena.take<Value>(size_t(width + kRowSlack) * outputs);
      return arena.used();
    };
    lay_out(Arena(scratch_of_thread().reserve(lay_out(Arena(nullptr)))));
    std::memset(sums, 0, size * sizeof(float));
    const int first = int(int64_t(x.images) * group / groups), last = int(int64_t(x.images) * (group + 1) / groups);
    for (int image = first; image < last; ++image)
      for (int row = 0; row < x.height; ++row) {
        std::memcpy(row_x, x.pixel(image, row, 0), size_t(width) * channels * sizeof(float));
        std::memcpy(row_grad, grad.pixel(image, row, 0), size_t(width) * outputs * sizeof(float));
        write_row_words<Type>(row_x, width, channels, words_x);
        write_row_words<Type>(row_grad, width, outputs, words_grad);
        add_products<Type>(words_grad, outputs, words_x, channels, (width + Type::kStep - 1) / Type::kStep, sums);
        add_pixels(row_grad, width, outputs, sums + size_t(outputs) * channels);
        prepare_pixels<Type>(row_grad, width, outputs, Norm{}, pixels);
        float* to = grad_x.pixel(image, row, 0);
        multiply(pixels, outputs, width, transposed.view(), [&](int pixel, int channel, Vec sum) {
          if (channel < channels) store(to + pixel * channels + channel, sum);
        });
      }
  };
  return share_out(groups, threads, work) && add_up(grad_weights, size, groups, threads);
}

}  // namespace escsr
