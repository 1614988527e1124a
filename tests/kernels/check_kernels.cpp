// Runs every native kernel on random maps of odd sizes, for builds with sanitizers:
//
//   g++ -std=c++17 -g -O1 -mavx2 -mfma -Wno-psabi -fsanitize=address,undefined -I src/escsr/kernels/cpu/source \
//       tests/kernels/check_kernels.cpp -o check && ./check
//
// With -fsanitize=thread -pthread it looks for data races; the threads are its own, because the sanitizer
// does not see those of OpenMP. Buffers are exactly as large as the kernels may touch. Prints a sum.
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "kernels.cpp"

namespace {

std::mt19937 random_numbers(0);
std::vector<std::unique_ptr<std::vector<float>>> kept;

float* numbers(size_t count, float scale = 0.3f) {
  auto values = std::make_unique<std::vector<float>>(count);
  std::normal_distribution<float> normal(0, scale);
  for (float& value : *values) value = normal(random_numbers);
  kept.push_back(std::move(values));
  return kept.back()->data();
}

void fork_threads(void (*work)(void*), void* argument, unsigned threads, unsigned) {
  std::vector<std::thread> team;
  for (unsigned i = 1; i < threads; ++i) team.emplace_back(work, argument);
  work(argument);
  for (std::thread& thread : team) thread.join();
}

Map a_map(int images, int height, int width, int channels) {
  const int64_t row = int64_t(width) * channels;
  return {numbers(size_t(images) * height * row), height * row, row, images, height, width, channels};
}

// Random weights in the layout of a type; what they are does not matter here.
PackedWeights packed(int outputs, int depth, int taps, bool bfloat16) {
  const int vectors = vectors_for(outputs), panels = (vectors + kMaxWidth - 1) / kMaxWidth;
  const int width = (vectors + panels - 1) / panels;
  const size_t count = size_t(panels) * width * kLanes * depth * taps;
  float* values = numbers(count);
#if defined(ESCSR_HAS_BFLOAT16)
  if (bfloat16) {
    auto* halves = reinterpret_cast<uint16_t*>(values);
    for (size_t i = 0; i < count; ++i) halves[i] = BFloat16::rounded(0.1f);
  }
#else
  (void)bfloat16;
#endif
  return {values, numbers(size_t(panels) * width * kLanes), depth, panels, width};
}

double sum_of(const Map& map) {
  double sum = 0;
  for (int image = 0; image < map.images; ++image)
    for (int row = 0; row < map.height; ++row)
      for (int i = 0; i < map.width * map.channels; ++i) sum += map.pixel(image, row, 0)[i];
  return sum;
}

double check(int height, int width, const Margin& margin, int window, int rank, int bfloat16, int threads) {
  const int channels = 48, heads = 3, head_dim = 16, attended = 16, images = 2;
  const int rows = height + margin.top + margin.bottom, columns = width + margin.left + margin.right;
  const Map region = a_map(images, rows, columns, channels), y = a_map(images, height, width, channels);
  const Map out = a_map(images, height, width, channels);
  const Norm norm{numbers(channels), numbers(channels)};
  double sum = 0;

  const int hidden = padded(60);
  const ConvFfnWeights ffn{norm, packed(60, channels, 1, bfloat16), numbers(9 * hidden), numbers(hidden),
                           packed(channels, hidden, 1, bfloat16), hidden};
  sum += escsr_conv_ffn(&region, &margin, &ffn, &out, bfloat16, threads) + sum_of(out);

  const Conv3x3Weights conv{norm, packed(channels, channels, 9, bfloat16), 0.2f};
  sum += escsr_conv3x3(&region, &margin, &conv, &y, &out, bfloat16, threads) + sum_of(out);
  const Map shuffled = a_map(images, height, width, 27);
  const Conv3x3Weights last{{nullptr, nullptr}, packed(27, channels, 9, bfloat16), 1.0f};
  sum += escsr_conv3x3(&region, &margin, &last, nullptr, &shuffled, bfloat16, threads) + sum_of(shuffled);

  std::vector<PackedWeights> qkv;
  for (int h = 0; h < heads; ++h) qkv.push_back(packed(3 * head_dim, channels, 1, bfloat16));
  const int side = 2 * window - 1, stride = side + (padded(window) - window) + kLanes;
  WindowAttentionWeights attention{norm, qkv.data(), packed(channels, channels, 1, bfloat16), nullptr, nullptr, nullptr,
                                   stride, rank, window, heads, head_dim};
  if (rank == 0) {
    attention.table = numbers(size_t(heads) * side * stride);
  } else {
    attention.bias_query = numbers(size_t(heads) * window * rank * padded(window));
    attention.bias_key = numbers(size_t(heads) * window * window * rank);
  }
  const Map gate = a_map(images, height, width, channels);
  for (const Map* each : {(const Map*)nullptr, &gate})
    sum += escsr_window_attention(&y, &y, &attention, each, &out, bfloat16, threads) + sum_of(out);

  const int size = 13;
  const ConvAttnWeights dense{numbers(size_t(153) * attended * attended, 0.01f), nullptr, numbers(images * 9 * attended),
                              packed(channels, channels, 1, bfloat16), attended, size};
  sum += escsr_conv_attn(&region, &margin, &dense, &y, &out, bfloat16, threads) + sum_of(out);
  const ConvAttnWeights decomposed{nullptr, numbers(attended * attended), numbers(size_t(images) * size * size * attended),
                                   packed(channels, channels, 1, bfloat16), attended, size};
  sum += escsr_conv_attn(&region, &margin, &decomposed, &y, &out, bfloat16, threads) + sum_of(out);

  const int count = height * width, wide = 64;
  const PackedWeights layers[] = {packed(wide, wide, 1, bfloat16), packed(wide, wide, 1, bfloat16),
                                  packed(3, wide, 1, bfloat16)};
  float* colours = numbers(size_t(count) * 3);
  sum += escsr_perceptron(numbers(size_t(count) * wide), count, wide, layers, 3, colours, 3, bfloat16, threads);
  for (int i = 0; i < 3 * count; ++i) sum += colours[i];
  kept.clear();
  return sum;
}

double check_training(int rows, int columns, int window, bool dynamic, int bfloat16, int threads) {
  const int channels = 48, heads = 3, hidden = 60, attended = 16, images = 3, groups = 2;
  const int height = rows * window - 3, width = columns * window - 5, side = 2 * window - 1;
  double sum = 0;

  const int stride = side + (padded(window) - window) + kLanes;
  const AttentionShape attention{numbers(size_t(heads) * side * stride), stride, window, heads, channels / heads};
  const Map qkv = a_map(images, rows * window, columns * window, 3 * channels);
  const Map grad_qkv = a_map(images, rows * window, columns * window, 3 * channels);
  const Map attended_map = a_map(images, rows * window, columns * window, channels);
  const Map grad_attended = a_map(images, rows * window, columns * window, channels);
  float* log_sums = numbers(size_t(images) * rows * columns * heads * window * padded(window));
  float* grad_tables = numbers(size_t(groups) * heads * side * side);
  sum += escsr_attend(&qkv, &attention, &attended_map, log_sums, bfloat16, threads) + sum_of(attended_map);
  sum += escsr_attend_backward(&qkv, &attention, &attended_map, log_sums, &grad_attended, &grad_qkv, grad_tables, groups,
                               bfloat16, threads);
  sum += sum_of(grad_qkv) + grad_tables[0];

  const Map x = a_map(images, height, width, channels), grad = a_map(images, height, width, channels);
  const Map out = a_map(images, height, width, channels), grad_x = a_map(images, height, width, channels);
  const size_t spectrum = size_t(153) * attended * attended;
  const float* small = dynamic ? numbers(images * 9 * attended) : nullptr;
  const LargeKernelShape kernel{numbers(spectrum, 0.01f), numbers(spectrum, 0.01f), small, attended, 13};
  float *grad_spectra = numbers(groups * spectrum), *grad_small = numbers(images * 9 * attended);
  sum += escsr_large_kernel(&x, &kernel, &out, threads) + sum_of(out);
  sum += escsr_large_kernel_backward(&x, &kernel, &grad, &grad_x, grad_spectra, grad_small, groups, threads);
  sum += sum_of(grad_x) + grad_spectra[0] + grad_small[0];

  const ConvFfnMatrices ffn{numbers(hidden * channels), numbers(hidden),   numbers(9 * hidden), numbers(hidden),
                            numbers(hidden * channels), numbers(channels), hidden};
  float* grad_weights = numbers(groups * (size_t(padded(hidden)) * (2 * channels + 11) + channels));
  sum += escsr_conv_ffn_forward(&x, &ffn, &out, bfloat16, threads) + sum_of(out);
  sum += escsr_conv_ffn_backward(&x, &ffn, &grad, &grad_x, grad_weights, groups, bfloat16, threads) + sum_of(grad_x);

  const ProjectionMatrix matrix{numbers(channels * channels), numbers(channels)};
  float* grad_matrix = numbers(groups * (channels * channels + channels));
  sum += escsr_project(&x, &matrix, &out, bfloat16, threads) + sum_of(out);
  sum += escsr_project_backward(&x, &matrix, &grad, &grad_x, grad_matrix, groups, bfloat16, threads) + sum_of(grad_x);
  sum += grad_weights[0] + grad_matrix[0];
  kept.clear();
  return sum;
}

}  // namespace

int main() {
  if (!escsr_is_supported()) return std::puts("this CPU lacks the instructions"), 0;
  escsr_use_openmp(reinterpret_cast<void*>(&fork_threads));
  double sum = 0;
  for (int bfloat16 = 0; bfloat16 <= escsr_has_bfloat16(); ++bfloat16)
    for (int threads : {1, 3}) {
      sum += check(1, 1, {0, 0, 0, 0}, 8, 0, bfloat16, threads);
      sum += check(33, 17, {6, 0, 0, 6}, 16, 5, bfloat16, threads);
      sum += check(41, 67, {0, 6, 1, 0}, 24, 0, bfloat16, threads);
      sum += check_training(1, 1, 8, true, bfloat16, threads);
      sum += check_training(2, 1, 24, false, bfloat16, threads);
    }
  std::printf("%g\n", sum);
  return sum == sum ? 0 : 1;
}
