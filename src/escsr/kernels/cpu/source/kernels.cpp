// The plain C interface: contiguous buffers and structures of numbers and pointers, described in library.py.
#include <utility>

#include "attention_training.h"
#include "conv3x3.h"
#include "conv_attn_training.h"
#include "conv_ffn_training.h"
#include "perceptron.h"
#include "window_attention.h"

using namespace escsr;

#if defined(_WIN32)
#define ESCSR_EXPORT extern "C" __declspec(dllexport)
#else
#define ESCSR_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace {

// As passed from Python: the same for both types of values.
struct PackedWeights {
  const void* values;
  const float* bias;
  int depth;
  int panels;
  int width;

  template <class Type>
  Packed<Type> as() const {
    return {static_cast<const typename Type::Value*>(values), bias, depth, panels, width};
  }
};

struct ConvFfnWeights {
  Norm norm;
  PackedWeights expand;
  const float* taps;
  const float* bias;
  PackedWeights reduce;
  int hidden;
};

struct Conv3x3Weights {
  Norm norm;
  PackedWeights weights;
  float slope;
};

struct WindowAttentionWeights {
  Norm norm;
  const PackedWeights* qkv;
  PackedWeights out;
  const float* table;
  const float* bias_query;
  const float* bias_key;
  int table_stride;
  int rank;
  int window;
  int heads;
  int head_dim;
};

struct ConvAttnWeights {
  const float* spectrum;
  const float* channel;
  const float* spatial;
  PackedWeights fuse;
  int attended;
  int size;
};

constexpr int kMaxHeads = 64;
constexpr int kMaxLayers = 8;

template <class Type>
bool run(const Map& in, const Margin& margin, const ConvFfnWeights& w, const Map& out, int threads) {
  const ConvFfn<Type> ffn{w.norm, w.expand.as<Type>(), w.taps, w.bias, w.reduce.as<Type>(), w.hidden};
  return conv_ffn(in, margin, ffn, out, threads);
}

template <class Type>
bool run(const Map& in, const Margin& margin, const Conv3x3Weights& w, const Map* added, const Map& out, int threads) {
  return conv3x3(in, margin, Conv3x3<Type>{w.norm, w.weights.as<Type>(), w.slope}, added, out, threads);
}

template <class Type>
bool run(const Map& in, const Map& residual, const WindowAttentionWeights& w, const Map* gate, const Map& out,
         int threads) {
  Packed<Type> qkv[kMaxHeads];
  for (int h = 0; h < w.heads; ++h) qkv[h] = w.qkv[h].as<Type>();
  const WindowAttention<Type> attention{w.norm, qkv, w.out.as<Type>(), w.table, w.bias_query, w.bias_key,
                                        w.table_stride, w.rank, w.window, w.heads, w.head_dim};
  return window_attention(in, residual, attention, gate, out, threads);
}

template <class Type>
bool run(const Map& z, const Margin& margin, const ConvAttnWeights& w, const Map& y, const Map& out, int threads) {
  const ConvAttn<Type> attn{w.spectrum, w.channel, w.spatial, w.fuse.as<Type>(), w.attended, w.size};
  return conv_attn(z, margin, attn, y, out, threads);
}

template <class Type>
bool run(const float* in, int64_t rows, int width, const PackedWeights* layers, int count, float* out, int outputs,
         int threads) {
  Packed<Type> packed[kMaxLayers];
  for (int layer = 0; layer < count; ++layer) packed[layer] = layers[layer].as<Type>();
  return perceptron(in, rows, width, packed, count, out, outputs, threads);
}

template <class Type>
bool run(const Map& qkv, const AttentionShape& shape, const Map& out, float* log_sums, int threads) {
  return attend<Type>(qkv, shape, out, log_sums, threads);
}

template <class Type>
bool run(const Map& qkv, const AttentionShape& shape, const Map& out, const float* log_sums, const Map& grad,
         const Map& grad_qkv, float* grad_tables, int groups, int threads) {
  return attend_backward<Type>(qkv, shape, out, log_sums, grad, grad_qkv, grad_tables, groups, threads);
}

template <class Type>
bool run(const Map& x, const ProjectionMatrix& matrix, const Map& out, int threads) {
  return project<Type>(x, matrix, out, threads);
}

template <class Type>
bool run(const Map& x, const ProjectionMatrix& matrix, const Map& grad, const Map& grad_x, float* grad_weights,
         int groups, int threads) {
  return project_backward<Type>(x, matrix, grad, grad_x, grad_weights, groups, threads);
}

template <class Type>
bool run(const Map& x, const ConvFfnMatrices& weights, const Map& out, int threads) {
  return conv_ffn_forward<Type>(x, weights, out, threads);
}

template <class Type>
bool run(const Map& x, const ConvFfnMatrices& weights, const Map& grad, const Map& grad_x, float* grad_weights,
         int groups, int threads) {
  return conv_ffn_backward<Type>(x, weights, grad, grad_x, grad_weights, groups, threads);
}

}  // namespace

#if defined(ESCSR_HAS_BFLOAT16)
#define ESCSR_RUN(...) (bfloat16 ? run<BFloat16>(__VA_ARGS__) : run<Float32>(__VA_ARGS__))
#else
#define ESCSR_RUN(...) ((void)bfloat16, run<Float32>(__VA_ARGS__))
#endif

// Whether this CPU, and the system on it, has the instructions that this file was compiled for.
ESCSR_EXPORT int escsr_is_supported() {
#if defined(ESCSR_HAS_TILES)
  if (!tiles::are_allowed()) return 0;
#endif
#if defined(__AVX512BF16__)
  if (!__builtin_cpu_supports("avx512bf16")) return 0;
#endif
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return 1;
#endif
}

// Counted up with every change of a function or structure; library.py has the same number.
ESCSR_EXPORT int escsr_interface() { return 2; }

ESCSR_EXPORT int escsr_lanes() { return kLanes; }

ESCSR_EXPORT int escsr_max_width() { return kMaxWidth; }

ESCSR_EXPORT int escsr_has_bfloat16() {
#if defined(ESCSR_HAS_BFLOAT16)
  return 1;
#else
  return 0;
#endif
}

// Takes the address of GOMP_parallel; without it kernels run on the calling thread.
ESCSR_EXPORT void escsr_use_openmp(void* gomp_parallel) { fork_team = reinterpret_cast<Fork>(gomp_parallel); }

// Each returns 1, or 0 where memory ran out.
ESCSR_EXPORT int escsr_conv_ffn(const Map* in, const Margin* margin, const ConvFfnWeights* weights, const Map* out,
                                int bfloat16, int threads) {
  return ESCSR_RUN(*in, *margin, *weights, *out, threads);
}

ESCSR_EXPORT int escsr_conv3x3(const Map* in, const Margin* margin, const Conv3x3Weights* weights, const Map* added,
                               const Map* out, int bfloat16, int threads) {
  return ESCSR_RUN(*in, *margin, *weights, added, *out, threads);
}

ESCSR_EXPORT int escsr_window_attention(const Map* in, const Map* residual, const WindowAttentionWeights* weights,
                                        const Map* gate, const Map* out, int bfloat16, int threads) {
  return ESCSR_RUN(*in, *residual, *weights, gate, *out, threads);
}

ESCSR_EXPORT int escsr_conv_attn(const Map* z, const Margin* margin, const ConvAttnWeights* weights, const Map* y,
                                 const Map* out, int bfloat16, int threads) {
  return ESCSR_RUN(*z, *margin, *weights, *y, *out, threads);
}

ESCSR_EXPORT int escsr_perceptron(const float* in, int64_t rows, int width, const PackedWeights* layers, int count,
                                  float* out, int outputs, int bfloat16, int threads) {
  return ESCSR_RUN(in, rows, width, layers, count, out, outputs, threads);
}

ESCSR_EXPORT int escsr_attend(const Map* qkv, const AttentionShape* shape, const Map* out, float* log_sums, int bfloat16,
                              int threads) {
  return ESCSR_RUN(*qkv, *shape, *out, log_sums, threads);
}

ESCSR_EXPORT int escsr_attend_backward(const Map* qkv, const AttentionShape* shape, const Map* out,
                                       const float* log_sums, const Map* grad, const Map* grad_qkv, float* grad_tables,
                                       int groups, int bfloat16, int threads) {
  return ESCSR_RUN(*qkv, *shape, *out, log_sums, *grad, *grad_qkv, grad_tables, groups, threads);
}

ESCSR_EXPORT int escsr_large_kernel(const Map* x, const LargeKernelShape* kernel, const Map* out, int threads) {
  return large_kernel(*x, *kernel, *out, threads);
}

ESCSR_EXPORT int escsr_large_kernel_backward(const Map* x, const LargeKernelShape* kernel, const Map* grad,
                                             const Map* grad_x, float* grad_spectra, float* grad_small, int groups,
                                             int threads) {
  return large_kernel_backward(*x, *kernel, *grad, *grad_x, grad_spectra, grad_small, groups, threads);
}

ESCSR_EXPORT int escsr_conv_ffn_forward(const Map* x, const ConvFfnMatrices* weights, const Map* out, int bfloat16,
                                        int threads) try {
  return ESCSR_RUN(*x, *weights, *out, threads);
} catch (const std::bad_alloc&) {
  return 0;
}

ESCSR_EXPORT int escsr_conv_ffn_backward(const Map* x, const ConvFfnMatrices* weights, const Map* grad,
                                         const Map* grad_x, float* grad_weights, int groups, int bfloat16,
                                         int threads) try {
  return ESCSR_RUN(*x, *weights, *grad, *grad_x, grad_weights, groups, threads);
} catch (const std::bad_alloc&) {
  return 0;
}

ESCSR_EXPORT int escsr_project(const Map* x, const ProjectionMatrix* matrix, const Map* out, int bfloat16,
                               int threads) try {
  return ESCSR_RUN(*x, *matrix, *out, threads);
} catch (const std::bad_alloc&) {
  return 0;
}

ESCSR_EXPORT int escsr_project_backward(const Map* x, const ProjectionMatrix* matrix, const Map* grad, const Map* grad_x,
                                        float* grad_weights, int groups, int bfloat16, int threads) try {
  return ESCSR_RUN(*x, *matrix, *grad, *grad_x, grad_weights, groups, threads);
} catch (const std::bad_alloc&) {
  return 0;
}
