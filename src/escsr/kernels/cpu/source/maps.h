// Feature maps in channels-last order, LayerNorm, and rows of pixels made ready for products.
#pragma once

#include "gemm.h"

namespace escsr {

// A part of a map: `data` is its first pixel; pixels of a row follow each other, `channels` floats each.
struct Map {
  float* data;
  int64_t image_stride;  // floats
  int64_t row_stride;
  int images;
  int height;
  int width;
  int channels;

  float* pixel(int image, int row, int column) const {
    return data + image * image_stride + row * row_stride + int64_t(column) * channels;
  }
};

// LayerNorm over the channels of a pixel, eps 1e-6; without weights there is none.
struct Norm {
  const float* weight;
  const float* bias;
};

// Pixels of a region around the part whose result is wanted.
struct Margin {
  int left;
  int right;
  int top;
  int bottom;
};

// Writes `count` pixels, normalised where there is a norm, as values of `Type`.
template <class Type>
void prepare_pixels(const float* from, int count, int channels, const Norm& norm, typename Type::Value* to) {
  const float share = 1.0f / channels;
  for (int pixel = 0; pixel < count; ++pixel, from += channels, to += channels) {
    if (norm.weight == nullptr) {
      for (int c = 0; c < channels; c += kLanes) Type::write(to + c, load(from + c));
      continue;
    }
    Vec sum{};
    for (int c = 0; c < channels; c += kLanes) sum += load(from + c);
    const float mean = sum_of_lanes(sum) * share;
    Vec squares{};
    for (int c = 0; c < channels; c += kLanes) {
      const Vec centred = load(from + c) - mean;
      squares += centred * centred;
    }
    const float scale = 1.0f / __builtin_sqrtf(sum_of_lanes(squares) * share + 1e-6f);
    for (int c = 0; c < channels; c += kLanes) {
      const Vec centred = (load(from + c) - mean) * scale;
      Type::write(to + c, centred * load(norm.weight + c) + load(norm.bias + c));
    }
  }
}

// Work of a kernel over a part: blocks of rows and columns.
struct Blocks {
  int rows;
  int columns;
  int down;
  int across;
  int images;

  Blocks(const Map& out, int rows, int columns)
      : rows(rows), columns(columns), down((out.height + rows - 1) / rows),
        across((out.width + columns - 1) / columns), images(out.images) {}

  int count() const { return images * down * across; }
};

struct Block {
  int image;
  int top;
  int bottom;
  int left;
  int right;

  Block(const Blocks& blocks, const Map& out, int index) {
    image = index / (blocks.down * blocks.across);
    top = index / blocks.across % blocks.down * blocks.rows;
    left = index % blocks.across * blocks.columns;
    bottom = top + blocks.rows < out.height ? top + blocks.rows : out.height;
    right = left + blocks.columns < out.width ? left + blocks.columns : out.width;
  }

  int width() const { return right - left; }
};

}  // namespace escsr
