// ConvAttn of a region: y + fuse([LK * a + DK * a, identity]), a the attended channels of z.
//
// The dense large kernel is averaged over flips and quarter turns (`average_symmetries`), so it is even in
// both axes and its spectrum is real, even and symmetric in u and v. Tiles of 32 x 32 are transformed by
// small cosine and sine matrices, folded by parity three times; mixing channels is then a real matrix for
// each (u, v); and the 32 - K + 1 pixels inside, which no circular wrap reaches, are transformed back.
#pragma once

#include "maps.h"
#include "parallel.h"

namespace escsr {

template <class Type>
struct ConvAttn {
  const float* spectrum;  // dense: [153][C_a][C_a], scaled; see `spectrum_of` in Python; or null
  const float* channel;   // decomposed: LK^c, [C_a in][C_a out]; or null
  const float* spatial;   // decomposed: LK^s + DK, [image][size * size][C_a]; else DK, [image][9][C_a]; or null
  Packed<Type> fuse;      // C -> C
  int attended;
  int size;               // of the large kernel
};

namespace transform {

constexpr int kSide = 32;

// cos(pi j n / 8) and the like: j, n <= 8.
struct Tables {
  float even[5][5], odd[4][4];          // cos of multiples of pi/4 and of odd multiples of pi/8
  float half_odd[8][8];                 // cos(pi (2j + 1) n / 16), n = 0..7
  float sine_odd[8][8];                 // sin(pi (2j + 1) n / 16), n = 1..8
  float sine_even[3][3], sine_half[4][4];  // of sin(pi j n / 8), j, n = 1..7
};

constexpr double cosine_first(int k) {  // cos(k pi / 16), k = 0..8
  constexpr double values[9] = {1.0,
                                0.98078528040323044913,
                                0.92387953251128675613,
                                0.83146961230254523708,
                                0.70710678118654752440,
                                0.55557023301960222474,
                                0.38268343236508977173,
                                0.19509032201612826785,
                                0.0};
  return values[k];
}

constexpr double cosine(int k) {  // cos(k pi / 16)
  k = (k % 32 + 32) % 32;
  if (k > 16) k = 32 - k;
  return k > 8 ? -cosine_first(16 - k) : cosine_first(k);
}

constexpr double sine(int k) { return cosine(k - 8); }

constexpr Tables tables() {
  Tables t{};
  for (int j = 0; j < 5; ++j)
    for (int n = 0; n < 5; ++n) t.even[j][n] = float(cosine(4 * j * n));
  for (int j = 0; j < 4; ++j)
    for (int n = 0; n < 4; ++n) t.odd[j][n] = float(cosine(2 * (2 * j + 1) * n));
  for (int j = 0; j < 8; ++j)
    for (int n = 0; n < 8; ++n) {
      t.half_odd[j][n] = float(cosine((2 * j + 1) * n));
      t.sine_odd[j][n] = float(sine((2 * j + 1) * (n + 1)));
    }
  for (int j = 0; j < 3; ++j)
    for (int n = 0; n < 3; ++n) t.sine_even[j][n] = float(sine(4 * (j + 1) * (n + 1)));
  for (int j = 0; j < 4; ++j)
    for (int n = 0; n < 4; ++n) t.sine_half[j][n] = float(sine(2 * (2 * j + 1) * (n + 1)));
  return t;
}

constexpr Tables kTables = tables();

// out[j] = sum over n of matrix[j][n] * in[n], or of matrix[n][j] where transposed.
template <int kSize, bool kTransposed>
ESCSR_INLINE void apply(const float (&matrix)[kSize][kSize], const Vec* in, Vec* out) {
#pragma GCC unroll 8
  for (int j = 0; j < kSize; ++j) {
    Vec sum = in[0] * (kTransposed ? matrix[0][j] : matrix[j][0]);
#pragma GCC unroll 8
    for (int n = 1; n < kSize; ++n) sum += in[n] * (kTransposed ? matrix[n][j] : matrix[j][n]);
    out[j] = sum;
  }
}

// x[0..31] -> cosine sums c[0..16] (places 0..16) and sine sums s[1..15] (places 17..31).
template <class Load, class Store>
ESCSR_INLINE void forward(Load&& x, Store&& put) {
  Vec e[17], o[17];
  e[0] = x(0);
  e[16] = x(16);
#pragma GCC unroll 16
  for (int n = 1; n < 16; ++n) {
    const Vec a = x(n), b = x(32 - n);
    e[n] = a + b;
    o[n] = a - b;
  }
  Vec folded[9], difference[8], outcome[8];
#pragma GCC unroll 8
  for (int n = 0; n < 8; ++n) {
    folded[n] = e[n] + e[16 - n];
    difference[n] = e[n] - e[16 - n];
  }
  folded[8] = e[8];
  apply<8, false>(kTables.half_odd, difference, outcome);
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) put(2 * j + 1, outcome[j]);
  Vec twice[5], rest[4];
#pragma GCC unroll 4
  for (int n = 0; n < 4; ++n) {
    twice[n] = folded[n] + folded[8 - n];
    rest[n] = folded[n] - folded[8 - n];
  }
  twice[4] = folded[4];
  apply<5, false>(kTables.even, twice, outcome);
#pragma GCC unroll 5
  for (int j = 0; j < 5; ++j) put(4 * j, outcome[j]);
  apply<4, false>(kTables.odd, rest, outcome);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) put(4 * j + 2, outcome[j]);

  Vec sum[8], minus[7];
#pragma GCC unroll 7
  for (int n = 1; n < 8; ++n) {
    sum[n - 1] = o[n] + o[16 - n];
    minus[n - 1] = o[n] - o[16 - n];
  }
  sum[7] = o[8];
  apply<8, false>(kTables.sine_odd, sum, outcome);
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) put(16 + 2 * j + 1, outcome[j]);
  Vec sum_half[4], minus_half[3];
#pragma GCC unroll 3
  for (int n = 0; n < 3; ++n) {
    sum_half[n] = minus[n] + minus[6 - n];
    minus_half[n] = minus[n] - minus[6 - n];
  }
  sum_half[3] = minus[3];
  apply<4, false>(kTables.sine_half, sum_half, outcome);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) put(16 + 4 * j + 2, outcome[j]);
  apply<3, false>(kTables.sine_even, minus_half, outcome);
#pragma GCC unroll 3
  for (int j = 0; j < 3; ++j) put(16 + 4 * j + 4, outcome[j]);
}

// The transpose: x[n] = sum c[k] cos(2 pi k n / 32) + sum s[k] sin(2 pi k n / 32).
template <class Load, class Store>
ESCSR_INLINE void backward(Load&& coefficient, Store&& put) {
  Vec in[8], half[8], quarter[5], other[4];
#pragma GCC unroll 5
  for (int j = 0; j < 5; ++j) in[j] = coefficient(4 * j);
  apply<5, true>(kTables.even, in, quarter);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) in[j] = coefficient(4 * j + 2);
  apply<4, true>(kTables.odd, in, other);
  Vec a[9];
#pragma GCC unroll 4
  for (int n = 0; n < 4; ++n) {
    a[n] = quarter[n] + other[n];
    a[8 - n] = quarter[n] - other[n];
  }
  a[4] = quarter[4];
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) in[j] = coefficient(2 * j + 1);
  apply<8, true>(kTables.half_odd, in, half);
  Vec e[17], o[17];
#pragma GCC unroll 8
  for (int n = 0; n < 8; ++n) {
    e[n] = a[n] + half[n];
    e[16 - n] = a[n] - half[n];
  }
  e[8] = a[8];

  Vec p[8], even[3], odd[4];
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) in[j] = coefficient(16 + 2 * j + 1);
  apply<8, true>(kTables.sine_odd, in, p);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) in[j] = coefficient(16 + 4 * j + 2);
  apply<4, true>(kTables.sine_half, in, odd);
#pragma GCC unroll 3
  for (int j = 0; j < 3; ++j) in[j] = coefficient(16 + 4 * j + 4);
  apply<3, true>(kTables.sine_even, in, even);
  Vec q[7];
#pragma GCC unroll 3
  for (int n = 0; n < 3; ++n) {
    q[n] = odd[n] + even[n];
    q[6 - n] = odd[n] - even[n];
  }
  q[3] = odd[3];
#pragma GCC unroll 7
  for (int n = 1; n < 8; ++n) {
    o[n] = p[n - 1] + q[n - 1];
    o[16 - n] = p[n - 1] - q[n - 1];
  }
  o[8] = p[7];
  put(0, e[0]);
  put(16, e[16]);
#pragma GCC unroll 16
  for (int n = 1; n < 16; ++n) {
    put(n, e[n] + o[n]);
    put(32 - n, e[n] - o[n]);
  }
}

// Mixes the channels of a transformed tile: up to four places share the matrix of one (u, v).
template <int kPlaces>
ESCSR_INLINE void mix(float* tile, const int (&places)[kPlaces], const float* matrix, int channels) {
  float before[kPlaces * 64];
  for (int place = 0; place < kPlaces; ++place)
    std::memcpy(before + place * channels, tile + places[place], channels * sizeof(float));
  for (int c = 0; c < channels; c += kLanes) {
    Vec sums[kPlaces][2] = {};
    for (int k = 0; k < channels; k += 2)
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const Vec weights = load(matrix + (k + half) * channels + c);
#pragma GCC unroll 4
        for (int place = 0; place < kPlaces; ++place)
          sums[place][half] += weights * before[place * channels + k + half];
      }
#pragma GCC unroll 4
    for (int place = 0; place < kPlaces; ++place) store(tile + places[place] + c, sums[place][0] + sums[place][1]);
  }
}

}  // namespace transform

namespace conv_attn_parts {

// A square of the attended channels, zeros where the region ends: [rows][columns][channels].
inline void gather(const Map& z, int image, int top, int left, int rows, int columns, int channels, float* to) {
  for (int y = 0; y < rows; ++y)
    for (int x = 0; x < columns; ++x, to += channels) {
      const int row = top + y, column = left + x;
      const bool is_outside = row < 0 || row >= z.height || column < 0 || column >= z.width;
      const float* from = is_outside ? nullptr : z.pixel(image, row, column);
      for (int c = 0; c < channels; c += kLanes) store(to + c, is_outside ? Vec{} : load(from + c));
    }
}

// Rows `first` to `last` of a tile [32][32][channels], the others being zero -> its spectrum, in place.
inline void to_spectrum(float* tile, int channels, int first, int last) {
  constexpr int n = transform::kSide;
  const int row_stride = n * channels;
  for (int c = 0; c < channels; c += kLanes) {
    for (int y = first; y < last; ++y) {
      float* row = tile + y * row_stride + c;
      transform::forward([&](int x) { return load(row + x * channels); },
                         [&](int place, Vec v) { store(row + place * channels, v); });
    }
    for (int x = 0; x < n; ++x) {
      float* column = tile + x * channels + c;
      transform::forward([&](int y) { return load(column + y * row_stride); },
                         [&](int place, Vec v) { store(column + place * row_stride, v); });
    }
  }
}

// The transpose of `to_spectrum`: spectrum -> pixels of the rows `first` to `last`, in place.
inline void from_spectrum(float* tile, int channels, int first, int last) {
  constexpr int n = transform::kSide;
  const int row_stride = n * channels;
  for (int c = 0; c < channels; c += kLanes) {
    for (int x = 0; x < n; ++x) {
      float* column = tile + x * channels + c;
      transform::backward([&](int place) { return load(column + place * row_stride); },
                          [&](int y, Vec v) { store(column + y * row_stride, v); });
    }
    for (int y = first; y < last; ++y) {
      float* row = tile + y * row_stride + c;
      transform::backward([&](int place) { return load(row + place * channels); },
                          [&](int x, Vec v) { store(row + x * channels, v); });
    }
  }
}

// Calls visit(matrix, places) for every (u, v) of a spectrum: which of the symmetric matrices mixes its
// channels, and where in the tile its products of cosines and sines lie, one, two or four of them.
template <class Visit>
ESCSR_INLINE void for_each_frequency(int channels, Visit&& visit) {
  constexpr int n = transform::kSide;
  auto at = [&](int row, int column) { return (row * n + column) * channels; };
  for (int u = 0; u <= n / 2; ++u)
    for (int v = 0; v <= n / 2; ++v) {
      const int larger = u > v ? u : v, smaller = u > v ? v : u;
      const int matrix = larger * (larger + 1) / 2 + smaller;
      const bool has_u = u % (n / 2) != 0, has_v = v % (n / 2) != 0;  // sines besides cosines
      if (has_u && has_v) {
        const int places[4] = {at(u, v), at(u, n / 2 + v), at(n / 2 + u, v), at(n / 2 + u, n / 2 + v)};
        visit(matrix, places);
      } else if (has_u || has_v) {
        const int places[2] = {at(u, v), has_u ? at(n / 2 + u, v) : at(u, n / 2 + v)};
        visit(matrix, places);
      } else {
        const int places[1] = {at(u, v)};
        visit(matrix, places);
      }
    }
}

inline void mix_channels(float* tile, const float* spectrum, int channels) {
  for_each_frequency(channels, [&](int matrix, const auto& places) {
    transform::mix(tile, places, spectrum + size_t(matrix) * channels * channels, channels);
  });
}

// tile [32][32][channels] -> the same convolved with the large kernel, in the rows and columns inside.
inline void large_kernel(float* tile, const float* spectrum, int channels, int radius) {
  to_spectrum(tile, channels, 0, transform::kSide);
  mix_channels(tile, spectrum, channels);
  from_spectrum(tile, channels, radius, transform::kSide - radius);
}

// sum (+)= depthwise size x size of a square; `from` is the top left tap of the first pixel.
inline void depthwise(const float* from, int row_stride, int rows, int columns, int channels, const float* kernel, int size,
                      float* to, int to_stride, bool adds) {
  for (int y = 0; y < rows; ++y)
    for (int c = 0; c < channels; c += kLanes) {
      constexpr int kPixels = 4;
      for (int first = 0; first < columns; first += kPixels) {
        Vec sums[kPixels] = {};
        for (int i = 0; i < size; ++i)
          for (int j = 0; j < size; ++j) {
            const Vec weight = load(kernel + (i * size + j) * channels + c);
            const float* x = from + (y + i) * row_stride + (first + j) * channels + c;
#pragma GCC unroll 4
            for (int p = 0; p < kPixels; ++p) sums[p] += weight * load(x + p * channels);
          }
        for (int p = 0; p < kPixels && first + p < columns; ++p) {
          float* at = to + y * to_stride + (first + p) * channels + c;
          store(at, adds ? load(at) + sums[p] : sums[p]);
        }
      }
    }
}

}  // namespace conv_attn_parts

template <class Type>
bool conv_attn(const Map& z, const Margin& margin, const ConvAttn<Type>& attn, const Map& y, const Map& out, int threads) {
  using Value = typename Type::Value;
  constexpr int n = transform::kSide;
  const int radius = attn.size / 2, side = n - 2 * radius, attended = attn.attended, channels = z.channels;
  const int row_stride = n * attended;
  const Blocks blocks(out, side, side);
  auto work = [&](int index) {
    const Block block(blocks, out, index);
    float *square, *mixed;
    Value* pixels;
    auto lay_out = [&](Arena arena) {
      square = arena.take<float>(size_t(n * n + kRowSlack) * attended);
      mixed = arena.take<float>(size_t(n * n + kRowSlack) * attended);
      pixels = arena.take<Value>(size_t(side + kRowSlack) * channels);
      return arena.used();
    };
    lay_out(Arena(scratch_of_thread().reserve(lay_out(Arena(nullptr)))));

    const int rows = block.bottom - block.top, columns = block.width();
    conv_attn_parts::gather(z, block.image, block.top + margin.top - radius, block.left + margin.left - radius, n, n,
                            attended, square);
    float* inside = mixed + radius * row_stride + radius * attended;
    if (attn.spectrum != nullptr) {
      std::memcpy(mixed, square, size_t(n) * row_stride * sizeof(float));
      conv_attn_parts::large_kernel(mixed, attn.spectrum, attended, radius);
      if (attn.spatial != nullptr)
        conv_attn_parts::depthwise(square + (radius - 1) * (row_stride + attended), row_stride, rows, columns, attended,
                                   attn.spatial + size_t(block.image) * 9 * attended, 3, inside, row_stride, true);
    } else {
      for (int pixel = 0; pixel < n * n; ++pixel)
        for (int c = 0; c < attended; c += kLanes) {
          Vec sum{};
          for (int k = 0; k < attended; ++k)
            sum += load(attn.channel + k * attended + c) * square[pixel * attended + k];
          store(mixed + pixel * attended + c, sum);
        }
      std::swap(square, mixed);
      inside = mixed;
      conv_attn_parts::depthwise(square, row_stride, rows, columns, attended,
                                 attn.spatial + size_t(block.image) * attn.size * attn.size * attended, attn.size,
                                 inside, row_stride, false);
    }
    for (int row = 0; row < rows; ++row) {
      const float* own = z.pixel(block.image, block.top + margin.top + row, block.left + margin.left);
      for (int pixel = 0; pixel < columns; ++pixel) {
        Value* to = pixels + pixel * channels;
        for (int c = 0; c < channels; c += kLanes)
          Type::write(to + c, load(c < attended ? inside + row * row_stride + pixel * attended + c
                                                : own + pixel * channels + c));
      }
      float* to = out.pixel(block.image, block.top + row, block.left);
      const float* plus = y.pixel(block.image, block.top + row, block.left);
      multiply(pixels, channels, columns, attn.fuse, [&](int pixel, int channel, Vec sum) {
        const int64_t at = int64_t(pixel) * channels + channel;
        if (channel < channels) store(to + at, sum + load(plus + at));
      });
    }
  };
  return share_out(blocks.count(), threads, work);
}

}  // namespace escsr
