// The large and the dynamic kernel on the first channels of a map, with their gradients, for training; the
// other channels pass.
//
// The spectrum of a tile of the output's gradient, zero around the pixels inside, serves twice: mixed by the
// transposed matrices and transformed back it is what the tile's input gets, and its products with the
// input's spectrum, summed over tiles, are the gradient of the kernel's spectrum.
//
// An item of backward is a fixed group of images, one tile after the other: results do not depend on how
// many threads there are.
#pragma once

#include "conv_attn.h"

namespace escsr {

constexpr int kMaxAttended = 64;

struct LargeKernelShape {
  const float* spectrum;    // [153][C][C], inputs in rows
  const float* transposed;  // the same, outputs in rows
  const float* small;       // [image][9][C], or null
  int attended;
  int size;
};

// out = [a * LK + a * DK, identity], a the attended channels of x
inline bool large_kernel(const Map& x, const LargeKernelShape& k, const Map& out, int threads) {
  constexpr int n = transform::kSide;
  const int channels = k.attended, radius = k.size / 2, side = n - 2 * radius, row_stride = n * channels;
  const Blocks blocks(out, side, side);
  auto work = [&](int index) {
    const Block block(blocks, out, index);
    float *square, *mixed;
    auto lay_out = [&](Arena arena) {
      square = arena.take<float>(size_t(n * n + kRowSlack) * channels);
      mixed = arena.take<float>(size_t(n * n + kRowSlack) * channels);
      return arena.used();
    };
    lay_out(Arena(scratch_of_thread().reserve(lay_out(Arena(nullptr)))));
    conv_attn_parts::gather(x, block.image, block.top - radius, block.left - radius, n, n, channels, square);
    std::memcpy(mixed, square, size_t(n) * row_stride * sizeof(float));
    conv_attn_parts::large_kernel(mixed, k.spectrum, channels, radius);
    const float* inside = mixed + radius * (row_stride + channels);
    const int rows = block.bottom - block.top, columns = block.width();
    if (k.small != nullptr)
      conv_attn_parts::depthwise(square + (radius - 1) * (row_stride + channels), row_stride, rows, columns, channels,
                                 k.small + size_t(block.image) * 9 * channels, 3, mixed + radius * (row_stride + channels),
                                 row_stride, true);
    for (int y = 0; y < rows; ++y)
      for (int column = 0; column < columns; ++column) {
        float* to = out.pixel(block.image, block.top + y, block.left + column);
        const float* own = x.pixel(block.image, block.top + y, block.left + column);
        std::memcpy(to, inside + y * row_stride + column * channels, channels * sizeof(float));
        std::memcpy(to + channels, own + channels, (x.channels - channels) * sizeof(float));
      }
  };
  return share_out(blocks.count(), threads, work);
}

namespace conv_attn_parts {

// grad[tap][c] += sum over pixels of x[pixel + tap][c] * grad_out[pixel][c]; both tiles [32][32][channels],
// the pixels at the same places, the first taps one row and one column before.
inline void add_depthwise_gradient(const float* x, const float* grad_out, int top, int left, int rows, int columns,
                                   int channels, float* grad) {
  constexpr int n = transform::kSide;
  for (int c = 0; c < channels; c += kLanes) {
    Vec sums[9];
#pragma GCC unroll 9
    for (int tap = 0; tap < 9; ++tap) sums[tap] = load(grad + tap * channels + c);
    for (int y = top; y < top + rows; ++y)
      for (int column = left; column < left + columns; ++column) {
        const Vec given = load(grad_out + (y * n + column) * channels + c);
#pragma GCC unroll 9
        for (int tap = 0; tap < 9; ++tap)
          sums[tap] += given * load(x + ((y + tap / 3 - 1) * n + column + tap % 3 - 1) * channels + c);
      }
#pragma GCC unroll 9
    for (int tap = 0; tap < 9; ++tap) store(grad + tap * channels + c, sums[tap]);
  }
}

// grad[matrix][in][out] += x[place][in] * grad_out[place][out], for every place of two spectra.
inline void add_spectrum_gradient(const float* x, const float* grad_out, int channels, float* grad) {
  for_each_frequency(channels, [&](int matrix, const auto& places) {
    float* rows = grad + size_t(matrix) * channels * channels;
    for (int c = 0; c < channels; c += kLanes)
      for (int k = 0; k < channels; ++k) {
        Vec sum = load(rows + k * channels + c);
        for (const int place : places) sum += x[place + k] * load(grad_out + place + c);
        store(rows + k * channels + c, sum);
      }
  });
}

// Adds the part of a tile that lies in the picture; `top` and `left` are the tile's first pixel.
inline void add_tile(const float* tile, int channels, int top, int left, int first, int last, const Map& to, int image) {
  constexpr int n = transform::kSide;
  for (int y = first; y < last; ++y)
    for (int x = first; x < last; ++x) {
      const int row = top + y, column = left + x;
      if (row < 0 || row >= to.height || column < 0 || column >= to.width) continue;
      float* at = to.pixel(image, row, column);
      for (int c = 0; c < channels; c += kLanes)
        store(at + c, load(at + c) + load(tile + (y * n + x) * channels + c));
    }
}

}  // namespace conv_attn_parts

// Gradients of `large_kernel`: of x; of the spectrum, in the first of [group][153][C][C]; and of the small
// kernels, [image][9][C].
inline bool large_kernel_backward(const Map& x, const LargeKernelShape& k, const Map& grad, const Map& grad_x,
                                  float* grad_spectra, float* grad_small, int groups, int threads) {
  constexpr int n = transform::kSide;
  const int channels = k.attended, radius = k.size / 2, side = n - 2 * radius, row_stride = n * channels;
  const size_t spectrum_size = size_t(n / 2 + 1) * (n / 2 + 2) / 2 * channels * channels;
  const Blocks blocks(x, side, side);
  const int tiles = blocks.down * blocks.across;
  auto work = [&](int group) {
    float *pixels, *given, *spread;
    auto lay_out = [&](Arena arena) {
      for (float** each : {&pixels, &given, &spread}) *each = arena.take<float>(size_t(n * n + kRowSlack) * channels);
      return arena.used();
    };
    lay_out(Arena(scratch_of_thread().reserve(lay_out(Arena(nullptr)))));
    float* grad_spectrum = grad_spectra + group * spectrum_size;
    std::memset(grad_spectrum, 0, spectrum_size * sizeof(float));

    const int first = int(int64_t(x.images) * group / groups), last = int(int64_t(x.images) * (group + 1) / groups);
    for (int image = first; image < last; ++image) {
      for (int y = 0; y < x.height; ++y)
        for (int column = 0; column < x.width; ++column) {
          float* to = grad_x.pixel(image, y, column);
          std::memset(to, 0, channels * sizeof(float));
          std::memcpy(to + channels, grad.pixel(image, y, column) + channels, (x.channels - channels) * sizeof(float));
        }
      float* grad_taps = grad_small + size_t(image) * 9 * channels;
      std::memset(grad_taps, 0, size_t(9) * channels * sizeof(float));
      for (int tile = 0; tile < tiles; ++tile) {
        const Block block(blocks, x, image * tiles + tile);
        const int top = block.top - radius, left = block.left - radius;
        const int rows = block.bottom - block.top, columns = block.width();
        conv_attn_parts::gather(x, image, top, left, n, n, channels, pixels);
        std::memset(given, 0, size_t(n) * row_stride * sizeof(float));
        for (int y = 0; y < rows; ++y)
          for (int column = 0; column < columns; ++column)
            std::memcpy(given + (radius + y) * row_stride + (radius + column) * channels,
                        grad.pixel(image, block.top + y, block.left + column), channels * sizeof(float));
        if (k.small != nullptr) {
          conv_attn_parts::add_depthwise_gradient(pixels, given, radius, radius, rows, columns, channels, grad_taps);
          float flipped[9 * kMaxAttended];
          for (int tap = 0; tap < 9; ++tap)
            std::memcpy(flipped + tap * channels, k.small + (size_t(image) * 9 + 8 - tap) * channels,
                        channels * sizeof(float));
          std::memset(spread, 0, size_t(n) * row_stride * sizeof(float));
          conv_attn_parts::depthwise(given + (radius - 2) * (row_stride + channels), row_stride, rows + 2, columns + 2,
                                     channels, flipped, 3, spread + (radius - 1) * (row_stride + channels), row_stride,
                                     false);
          conv_attn_parts::add_tile(spread, channels, top, left, radius - 1, n - radius + 1, grad_x, image);
        }
        conv_attn_parts::to_spectrum(pixels, channels, 0, n);
        conv_attn_parts::to_spectrum(given, channels, radius, radius + rows);
        conv_attn_parts::add_spectrum_gradient(pixels, given, channels, grad_spectrum);
        conv_attn_parts::mix_channels(given, k.transposed, channels);
        conv_attn_parts::from_spectrum(given, channels, 0, n);
        conv_attn_parts::add_tile(given, channels, top, left, 0, n, grad_x, image);
      }
    }
  };
  return share_out(groups, threads, work) && add_up(grad_spectra, spectrum_size, groups, threads);
}

}  // namespace escsr
