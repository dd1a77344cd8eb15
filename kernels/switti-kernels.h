/* switti-kernels.h - the op table: arithmetic on raw pointers
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One table of C functions, filled once by kernels/cpu/ and once by kernels/cuda/.
 * Everything above this header (core/) is written once, against the table.
 *
 * Letters used for shapes, here and everywhere (kernels/README.md):
 *   B batch (images; prompt and null runs count separately), N queries (positions of a scale, pn*pn),
 *   M keys, L all positions of all scales, C model width, H heads, d = C/H, F FFN hidden width,
 *   V codebook size, Z latent channels (32), T text length (77).
 *
 * Contracts that hold for every op:
 *   - Pointers are memory of the context's device (host memory for the CPU). They are 64-byte aligned at the
 *     start of each tensor. Row-major, the last index is contiguous; images and feature maps are NHWC.
 *   - A `const` pointer is read only; outputs never alias inputs unless the op says so.
 *   - An op writes with `=` unless its name or comment says `+=`.
 *   - Ops never allocate, never print, never exit. What must be made ahead (primitives, packed weights) is made by
 *     the *_plan, *_pack and context functions.
 *   - Ops are enqueued in order on the context's selected stream; the CPU runs them before it returns.
 *   - One context is used by one thread at a time.
 *   - Reproducible: the bits of an output row depend on that image's own inputs alone, not on the number of images
 *     in the call and not on the number of threads.
 *   - The caller has checked shapes (core/). An op that meets a shape or dtype it does not take returns
 *     SWITTI_KERNEL_INVALID and writes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever the layout of SwittiKernels or of a descriptor changes. */
#define SWITTI_KERNELS_VERSION 6

typedef enum
{
  SWITTI_DTYPE_F32,
  SWITTI_DTYPE_BF16,
  SWITTI_DTYPE_F16,
  SWITTI_DTYPE_F8_E4M3, /* in files only */
  SWITTI_DTYPE_F64,     /* in files only */
  SWITTI_DTYPE_I32,
  SWITTI_DTYPE_I64, /* in files only */
  SWITTI_DTYPE_U8,
  SWITTI_DTYPE_BOOL, /* in files only */
} SwittiDtype;

typedef enum
{
  SWITTI_KERNEL_OK = 0,
  SWITTI_KERNEL_INVALID,       /* a shape, dtype or pointer outside the op's contract: a bug of the caller */
  SWITTI_KERNEL_OUT_OF_MEMORY, /* device or host memory; the context stays usable */
  SWITTI_KERNEL_DEVICE,        /* the device or its library failed; error_message() has its words */
} SwittiKernelStatus;

typedef enum
{
  SWITTI_ACTIVATION_NONE,
  SWITTI_ACTIVATION_SILU,       /* x * sigmoid(x) */
  SWITTI_ACTIVATION_QUICK_GELU, /* x * sigmoid(1.702 x), CLIP ViT-L */
  SWITTI_ACTIVATION_GELU_ERF,   /* x * (1 + erf(x / sqrt 2)) / 2, OpenCLIP bigG */
  SWITTI_ACTIVATION_GELU_TANH,  /* the tanh approximation, Switti's fc1 */
} SwittiActivation;

typedef struct SwittiKernelContext SwittiKernelContext;
typedef struct SwittiGemmPlan SwittiGemmPlan;
typedef struct SwittiConvPlan SwittiConvPlan;
typedef struct SwittiConvBackwardPlan SwittiConvBackwardPlan;
typedef struct SwittiOptimizerPlan SwittiOptimizerPlan;
typedef struct SwittiKernelEvent SwittiKernelEvent;
typedef struct SwittiKernelGraph SwittiKernelGraph;

/* What is enqueued on one of them is done in order; between two of them events make the order. */
typedef enum
{
  SWITTI_STREAM_MAIN,
  SWITTI_STREAM_PREVIEW, /* decoding of what is not finished, beside what goes on */
  SWITTI_STREAM_COPY,    /* weights on their way to the device */
  SWITTI_N_STREAMS
} SwittiKernelStream;

/* What a context has enqueued since it was made; the CPU launches nothing. */
typedef struct
{
  uint64_t kernels;  /* of ours, or of a library in place of one of ours */
  uint64_t products; /* of the library's, each counted once */
  uint64_t graphs;   /* replays; what is in them is in the other counts */
  uint64_t others;   /* in replays: copies, cleared memory, and what a library makes of one call beyond one launch */
} SwittiKernelLaunches;

typedef struct
{
  int n_threads;     /* CPU: number of threads, 0 for all the process may use */
  int device_index;  /* CUDA: ordinal */
  const char *isa;   /* CPU: NULL for the best there is, or "generic", "avx2", "avx512" (tests) */
} SwittiKernelOptions;

typedef struct
{
  char description[128]; /* e.g. "AMD EPYC, 2 threads, AVX-512 BF16" */
  int n_threads;
  bool fast_bf16;        /* bf16 products are faster than float32 ones: what --dtype auto asks */
  bool asynchronous;     /* ops are done after they have returned, and streams side by side */
  uint64_t memory_total; /* bytes of device memory (host memory for the CPU) */
  uint64_t memory_free; /* unused bytes; for the CPU without the page cache */
} SwittiKernelProperties;

/* Rows of a (B, rows, width) operand that may be a slice of something wider: element (b, r, j) is at
 * base[b * image_stride + r * row_stride + j]; strides in elements. */
typedef struct
{
  int64_t image_stride;
  int64_t row_stride;
} SwittiRows;

/* Bytes from a packed bias of n float32 values to the same in bf16: some libraries add a bias of D's dtype alone. */
#define SWITTI_BIAS_NARROW(n) (((size_t) (n) * 4 + 15) / 16 * 16)

/* D (m, n) = activation (A (m, k) . B^T + bias) [ + D when accumulate ]
 * B is stored (n, k), as PyTorch stores a Linear's weight, or (k, n) when b_is_kn; A is stored (m, k), or (k, m) when
 * a_is_km. Sums in float32. Reads (m k + n k) and writes m n elements, 2 m n k operations. */
typedef struct
{
  int64_t m, n, k;
  int64_t row_group;        /* m is a multiple; rows of one image. The bits of a row do not depend on m / row_group */
  int64_t lda, ldb, ldd;    /* elements; ldb is ignored when b_packed */
  SwittiDtype a_dtype;      /* F32 or BF16; or both operands F16, with a float32 D and without b_packed */
  SwittiDtype b_dtype;      /* F32, BF16 or F16 */
  SwittiDtype d_dtype;      /* F32 or BF16 */
  bool a_is_km, b_is_kn;
  bool b_packed;            /* B was made by gemm_pack for this n, k, b_dtype */
  bool bias_packed;         /* behind the bias, at SWITTI_BIAS_NARROW (n), it is once more, in bf16: for a bf16 D */
  bool accumulate;          /* D +=; only with d_dtype F32 and no activation */
  SwittiActivation activation;
} SwittiGemm;

/* 2-D convolution in NHWC: D (B, Ho, Wo, Co) = conv (X (B, Hi, Wi, Ci)) + bias [ + residual (B, Ho, Wo, Co) ].
 * kernel 1 or 3. With upsample, X is first enlarged by 2 (nearest); padding then counts in the enlarged map.
 * 2 B Ho Wo Co Ci kernel^2 operations. */
typedef struct
{
  int64_t batch, height, width; /* of X as stored, before upsample */
  int64_t c_in, c_out;
  int kernel, stride;
  int pad_top, pad_left, pad_bottom, pad_right;
  bool upsample;
  bool residual;
  SwittiDtype x_dtype, w_dtype, d_dtype; /* F32 or BF16; residual has d_dtype */
} SwittiConv;

/* x (B*N, C) float32 += gate[g] * RMS (y) * post_weight           (left out when y is NULL: x is not written)
 * h (B*N, C)          = RMS (x) * pre_weight * (1 + scale[g]) + shift[g]   (left out when h is NULL)
 * RMS (v) = v * rsqrt (mean v^2 + eps), statistics in float32. g = group of the row's image:
 * group_index ? group_index[image] : image. gate, scale, shift: rows of (groups, modulation_stride) float32, each may
 * be NULL (factor 1, 0, 0). Moves 8 B N C (x) + y + h bytes. */
typedef struct
{
  int64_t batch, n, c;
  float eps;
  SwittiDtype y_dtype, h_dtype;
  int64_t modulation_stride; /* elements between groups in gate, scale and shift */
} SwittiResidualNorm;

/* x (B*N, C) float32 += y                                          (left out when y is NULL)
 * h (B*N, C) = LN (x) [* weight + bias] * (1 + scale[g]) + shift[g] (left out when h is NULL)
 * LN over C with two-pass float32 statistics. weight/bias, scale/shift may be NULL. */
typedef SwittiResidualNorm SwittiLayerNorm;

/* Queries and keys of self-attention, or the queries of cross-attention:
 * q_out = RoPE (LN (q)), k_out = RoPE (LN (k)), v_out = v; LN over all C values, no weights.
 * k (and k_out) may be NULL, v (and v_out) may be NULL; q_out may be q, k_out may be k. rope (N, d/2, 2) float32 holds
 * (cos, sin) for each pair (2i, 2i+1) of a head, or is NULL. */
typedef struct
{
  int64_t batch, n, heads, d;
  float eps;
  SwittiDtype dtype; /* of q, k, v and the outputs */
  SwittiRows q, k, v, q_out, k_out, v_out;
} SwittiQkNormRope;

/* out = softmax (q . k^T * scale) . v for each image and head. Element (b, r, h, j) is at
 * base[b*image_stride + r*row_stride + h*d + j]. Keys at or past key_length[g] are masked (g as in group_index; NULL:
 * all M keys are valid). causal: query i sees keys <= i + M - N. group_index (B) maps an image to the image of k, v and
 * key_length that it reads (NULL: its own). Any d >= 1. Softmax in float32.
 * 4 B H N M d operations. Moves q, k, v, out once where they fit. */
typedef struct
{
  int64_t batch, heads, d;
  int64_t n, m; /* queries and keys an image */
  float scale;
  bool causal;
  SwittiDtype dtype; /* of q, k, v, out */
  SwittiRows q, k, v, out;
} SwittiAttention;

typedef enum
{
  SWITTI_RESAMPLE_NEAREST,
  SWITTI_RESAMPLE_BICUBIC, /* a = -0.75, half-pixel centres, clamped border, no antialiasing */
  SWITTI_RESAMPLE_BILINEAR, /* half-pixel centres (align_corners false), no antialiasing */
  SWITTI_RESAMPLE_AREA,    /* adaptive average: rows floor(i*Hi/Ho) .. ceil((i+1)*Hi/Ho) */
} SwittiResampleMode;

typedef struct
{
  SwittiResampleMode mode;
  int64_t batch, channels;
  int64_t in_height, in_width, out_height, out_width;
  SwittiDtype dtype; /* F32 or BF16 (BF16 for NEAREST alone) */
} SwittiResample;

/* GroupNorm over (H*W, C/groups) in NHWC, then SiLU when silu. Two-pass float32 statistics. */
typedef struct
{
  int64_t batch, positions, channels, groups;
  float eps;
  bool silu;
  SwittiDtype x_dtype, y_dtype;
} SwittiGroupNorm;

/* One scale's draw. Guided logits: l = (1 + t) * prompt - t * null, or prompt / temperature when null is NULL.
 * Random numbers: Philox 4x32-10, key = seed[b], counter = (code / 4, position, scale, 0), word code % 4. */
typedef struct
{
  int64_t batch, n, v;
  int scale_index;   /* s of the Philox counter */
  float guidance;    /* t = cfg * r */
  float temperature; /* 1 where none */
  int64_t top_k;     /* 0: no filter */
  float top_p;       /* 0: no filter */
  float gumbel_sharpness; /* smooth only: 1 + r */
  float gumbel_tau;       /* smooth only: max (0.27 (1 - 0.95 r), 0.005) */
  int64_t z;              /* smooth only: Z, width of the codebook */
} SwittiSample;

/* -- training -------------------------------------------------------------------------------------------------
 * dZ is the gradient of the loss for Z. Parameters' gradients are added to (+=), so that they accumulate over calls;
 * all others are written (=) unless said. g is the row's image: there is no group_index. */

/* Operands of the backward of residual_norm and layer_norm. x is what the forward op left in x; dx is the gradient for
 * that on entry and for the x that the op was given on return. dx may be NULL, where y is and only the parameters'
 * gradients are wanted. dh NULL: h was not made. y NULL: nothing was added. Reads x, y, dh and dx once, writes dx and
 * dy once. */
typedef struct
{
  const float *x;           /* (B*N, C); may be NULL where dh is */
  const void *y;            /* (B*N, C), y_dtype */
  const float *post_weight; /* (C), residual_norm alone, as gate */
  const float *gate;        /* rows modulation_stride apart, as scale */
  const float *weight;      /* (C): pre_weight, or layer_norm's weight */
  const float *bias;        /* (C), layer_norm alone */
  const float *scale;
  const void *dh;       /* (B*N, C), h_dtype */
  float *dx;            /* (B*N, C) */
  void *dy;             /* (B*N, C), y_dtype; NULL where y is */
  float *d_post_weight; /* (C) += , as d_weight and d_bias; each may be NULL */
  float *d_weight;
  float *d_bias;
  float *d_gate; /* rows modulation_stride apart, =, as d_scale and d_shift; each may be NULL */
  float *d_scale;
  float *d_shift;
} SwittiNormGradients;

/* Backward of attention. dq, of the attention's dtype, is written; dk and dv are float32 and added to: AR's scales add
 * theirs one after another. No group_index: an image reads its own keys. The weights are made again from q and k.
 * 10 B H N M d operations. Moves q, k, v, out, dout, dq once and dk, dv twice where they fit. */
typedef struct
{
  SwittiAttention attention;
  SwittiRows dout, dq, dk, dv;
} SwittiAttentionBackward;

/* Rows of tokens: x (B, L, C) += levels[level[t]] + positions[t] (unless NULL) + (t = 0 ? start + c[b] : word_bias),
 * float32. level (L) counts the scales, levels (S, C). */
typedef struct
{
  int64_t batch, length, width;
  int64_t n_levels; /* S */
} SwittiTokenEmbedding;

/* Loss of a row: -log softmax (logits)[target], and with smoothing e: (1 - e) of that plus e / V times the sum of
 * -log softmax over all codes. */
typedef struct
{
  int64_t rows, v;
  float smoothing;
  float gradient_scale; /* of a row's loss in the whole: 1 / (rows of the batch), and what loss scaling asks */
  SwittiDtype d_dtype;  /* F32 or BF16: of d_logits */
} SwittiCrossEntropy;

/* One tensor of the optimizer's list; the list is host memory, what it points to is the device's. */
typedef struct
{
  int64_t count;
  float *parameter;
  const float *gradient;
  float *first_moment, *second_moment;
  float *average; /* moving average of the parameter, or NULL */
  void *copy;     /* the parameter in copy_dtype, for products; or NULL */
  bool decays;    /* takes part in the weight decay */
} SwittiOptimizerTensor;

/* AdamW, with decoupled decay: g = gradient_scale * gradient; m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2;
 * p = p (1 - rate decay) - rate / correction1 * m / (sqrt (v / correction2) + eps); average += (1 - average_decay)
 * (p - average). The decay is 0 for tensors that take no part in it. Moves 28 bytes an element, and those of the
 * average and the copy. */
typedef struct
{
  float rate, decay, beta1, beta2, eps;
  float correction1, correction2; /* 1 - beta^step */
  float gradient_scale;           /* clipping */
  float average_decay;
  SwittiDtype copy_dtype; /* BF16 or F16 */
} SwittiAdamw;

typedef enum
{
  SWITTI_KERNEL_OP_GEMM,
  SWITTI_KERNEL_OP_CONV,
  SWITTI_KERNEL_OP_NORM,
  SWITTI_KERNEL_OP_QK_NORM_ROPE,
  SWITTI_KERNEL_OP_ATTENTION,
  SWITTI_KERNEL_OP_SWIGLU,
  SWITTI_KERNEL_OP_ELEMENTWISE,
  SWITTI_KERNEL_OP_GROUP_NORM,
  SWITTI_KERNEL_OP_RESAMPLE,
  SWITTI_KERNEL_OP_QUANTIZE,
  SWITTI_KERNEL_OP_SAMPLE,
  SWITTI_KERNEL_OP_CROSS_ENTROPY,
  SWITTI_KERNEL_OP_OPTIMIZER,
  SWITTI_KERNEL_N_OPS
} SwittiKernelOp;

/* What the ops of one kind did since profile_reset(). */
typedef struct
{
  const char *name;
  uint64_t calls;
  uint64_t library_calls; /* of those, by a library that was chosen in place of an own kernel */
  double seconds;
  double flop;
  double bytes;
} SwittiKernelProfile;

typedef struct SwittiKernels
{
  uint32_t version; /* SWITTI_KERNELS_VERSION */
  const char *name; /* "cpu" or "cuda" */

  /* -- context and memory ------------------------------------------------------------------------------- */
  SwittiKernelStatus (*context_new) (const SwittiKernelOptions *options, SwittiKernelContext **context);
  void (*context_free) (SwittiKernelContext *context);
  void (*properties) (SwittiKernelContext *context, SwittiKernelProperties *properties);
  /* Words for the last status other than OK; never NULL; valid until the next call. */
  const char *(*error_message) (SwittiKernelContext *context);
  SwittiKernelStatus (*alloc) (SwittiKernelContext *context, size_t bytes, void **memory); /* 64-byte aligned */
  void (*free) (SwittiKernelContext *context, void *memory);
  SwittiKernelStatus (*upload) (SwittiKernelContext *context, void *dst, const void *host, size_t bytes);
  SwittiKernelStatus (*download) (SwittiKernelContext *context, void *host, const void *src, size_t bytes);
  SwittiKernelStatus (*copy) (SwittiKernelContext *context, void *dst, const void *src, size_t bytes);
  SwittiKernelStatus (*clear) (SwittiKernelContext *context, void *dst, size_t bytes);
  /* Waits for all streams. */
  SwittiKernelStatus (*synchronize) (SwittiKernelContext *context);
  /* The device's own name of the stream that ops go to, for libraries beside the table: a cudaStream_t. The
   * entry is NULL on the CPU. */
  void *(*native_stream) (SwittiKernelContext *context);
  void (*profile_reset) (SwittiKernelContext *context, bool enable);
  void (*profile_read) (SwittiKernelContext *context, SwittiKernelProfile rows[SWITTI_KERNEL_N_OPS]);
  /* What was chosen by timing (which algorithm makes a product), for the caller to keep and a later context to start
   * from; all NULL where nothing is. choices_identity: device, driver and library, which choices hold for; one line.
   * choices_write: puts them as text where it fits into `size` bytes, and returns the bytes of it; 0 where nothing was
   * chosen since the last read or write. choices_read: FALSE, and nothing is taken, where the text is damaged or of
   * something else. */
  const char *(*choices_identity) (SwittiKernelContext *context);
  size_t (*choices_write) (SwittiKernelContext *context, char *text, size_t size);
  bool (*choices_read) (SwittiKernelContext *context, const char *text, size_t size);

  /* -- streams and graphs: on the CPU, where every op is done when it returns, these have nothing to do --- */
  /* Where everything is enqueued from now on, uploads and downloads included; at first SWITTI_STREAM_MAIN. */
  SwittiKernelStatus (*select_stream) (SwittiKernelContext *context, SwittiKernelStream stream);
  SwittiKernelStatus (*event_new) (SwittiKernelContext *context, SwittiKernelEvent **event);
  void (*event_free) (SwittiKernelContext *context, SwittiKernelEvent *event);
  /* The event comes when what is enqueued on the selected stream so far is done. */
  SwittiKernelStatus (*event_record) (SwittiKernelContext *context, SwittiKernelEvent *event);
  /* What is enqueued on the selected stream from now on is done after the event; the host does not wait. An event that
   * was never recorded has come. */
  SwittiKernelStatus (*event_wait) (SwittiKernelContext *context, SwittiKernelEvent *event);
  /* The host waits. */
  SwittiKernelStatus (*event_synchronize) (SwittiKernelContext *context, SwittiKernelEvent *event);
  /* Whether graphs are of use: not on the CPU, nor while a profile is kept, which has the times of single ops. */
  bool (*wants_graphs) (SwittiKernelContext *context);
  /* The ops up to graph_end() are not done but recorded, with their pointers and all other arguments; memory, copies
   * to and from the host, streams and events are INVALID meanwhile. Only where graphs are of use. */
  SwittiKernelStatus (*graph_begin) (SwittiKernelContext *context);
  /* Ends recording, also where it fails. With graph NULL what was recorded is forgotten. */
  SwittiKernelStatus (*graph_end) (SwittiKernelContext *context, SwittiKernelGraph **graph);
  /* Enqueues what was recorded, as one thing. */
  SwittiKernelStatus (*graph_launch) (SwittiKernelContext *context, const SwittiKernelGraph *graph);
  void (*graph_free) (SwittiKernelContext *context, SwittiKernelGraph *graph);
  void (*count_launches) (SwittiKernelContext *context, SwittiKernelLaunches *launches);

  /* -- products ----------------------------------------------------------------------------------------- */
  /* Bytes of, and the making of, a packed B (n, k) with rows ldb apart from HOST memory of src_dtype (F32, BF16, F16);
   * `packed` is device memory. One packed B serves every m and every a_dtype. */
  size_t (*gemm_packed_bytes) (SwittiKernelContext *context, int64_t n, int64_t k, SwittiDtype b_dtype);
  SwittiKernelStatus (*gemm_pack) (SwittiKernelContext *context, int64_t n, int64_t k, SwittiDtype b_dtype,
                                   SwittiDtype src_dtype, const void *src, int64_t ldb, void *packed);
  SwittiKernelStatus (*gemm_plan) (SwittiKernelContext *context, const SwittiGemm *gemm, SwittiGemmPlan **plan);
  void (*gemm_plan_free) (SwittiKernelContext *context, SwittiGemmPlan *plan);
  /* bias (n) float32 or NULL. Where D is bf16, a device may round the bias to bf16 before it is added. */
  SwittiKernelStatus (*gemm) (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a, const void *b,
                              const float *bias, void *d);

  /* Weight (c_out, c_in, kernel, kernel) in HOST memory of src_dtype, as PyTorch stores it. */
  size_t (*conv_packed_bytes) (SwittiKernelContext *context, const SwittiConv *conv);
  SwittiKernelStatus (*conv_pack) (SwittiKernelContext *context, const SwittiConv *conv, SwittiDtype src_dtype,
                                   const void *src, void *packed);
  SwittiKernelStatus (*conv_plan) (SwittiKernelContext *context, const SwittiConv *conv, SwittiConvPlan **plan);
  void (*conv_plan_free) (SwittiKernelContext *context, SwittiConvPlan *plan);
  SwittiKernelStatus (*conv) (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x,
                              const void *packed, const float *bias, const void *residual, void *d);

  /* -- transformer -------------------------------------------------------------------------------------- */
  SwittiKernelStatus (*residual_norm) (SwittiKernelContext *context, const SwittiResidualNorm *norm,
                                       const int32_t *group_index, float *x, const void *y, const float *post_weight,
                                       const float *gate, const float *pre_weight, const float *scale,
                                       const float *shift, void *h);
  SwittiKernelStatus (*layer_norm) (SwittiKernelContext *context, const SwittiLayerNorm *norm,
                                    const int32_t *group_index, float *x, const void *y, const float *weight,
                                    const float *bias, const float *scale, const float *shift, void *h);
  SwittiKernelStatus (*qk_norm_rope) (SwittiKernelContext *context, const SwittiQkNormRope *op, const float *rope,
                                      const void *q, const void *k, const void *v, void *q_out, void *k_out,
                                      void *v_out);
  SwittiKernelStatus (*attention) (SwittiKernelContext *context, const SwittiAttention *attention,
                                   const int32_t *group_index, const int32_t *key_length, const void *q,
                                   const void *k, const void *v, void *out);
  /* Chooses how attention of this shape is done from now on where it has neither group_index nor key_length, by timing
   * what the device has for it; as plans do, not while a graph is captured. Attention that nobody has planned is done,
   * too. The entry is NULL where there is nothing to choose. */
  SwittiKernelStatus (*attention_plan) (SwittiKernelContext *context, const SwittiAttention *attention);
  /* out (rows, F) = SiLU (gate) * up, from gate_up (rows, 2F) = [gate | up] with row stride in_stride. */
  SwittiKernelStatus (*swiglu) (SwittiKernelContext *context, int64_t rows, int64_t hidden, SwittiDtype dtype,
                                const void *gate_up, int64_t in_stride, void *out, int64_t out_stride);
  /* out (B, C) = SiLU (c + crop_scales * crop); crop (B, C) and crop_scales (C) both NULL: SiLU (c). */
  SwittiKernelStatus (*silu_condition) (SwittiKernelContext *context, int64_t batch, int64_t width, const float *c,
                                        const float *crop, const float *crop_scales, SwittiDtype out_dtype,
                                        void *out);
  /* out (B, N, C) = x (B, N, C) + rows (N, C), float32; out may be x. x may be read with image stride 0
   * (x_image_stride in elements) to broadcast one image. */
  SwittiKernelStatus (*add_rows) (SwittiKernelContext *context, int64_t batch, int64_t n, int64_t width,
                                  const float *x, int64_t x_image_stride, const float *rows, float *out);
  /* out (rows, width) float32 = table[ids[r]] (+ positions[r mod period] unless NULL); table (entries, width). Ids
   * outside the table are INVALID on the CPU; the caller checks them. */
  SwittiKernelStatus (*embed) (SwittiKernelContext *context, int64_t rows, int64_t width, int64_t entries,
                               SwittiDtype table_dtype, const void *table, const int32_t *ids,
                               const float *positions, int64_t period, float *out);

  /* -- latent, VAE, images ------------------------------------------------------------------------------ */
  SwittiKernelStatus (*resample) (SwittiKernelContext *context, const SwittiResample *resample, const void *in,
                                  void *out);
  /* out += a * x + b * y, float32; y may be NULL. The pyramid's phi: f_hat += 0.5 h + 0.5 conv (h). */
  SwittiKernelStatus (*accumulate) (SwittiKernelContext *context, int64_t count, float a, const float *x, float b,
                                    const float *y, float *out);
  /* out (B, N, C) = weights[t] * x + (1 - weights[t]) * y, float32, for position t of every image; out may be x or y.
   * y NULL: 0. A weight of 1 gives x and one of 0 gives y to the bit, where both are finite. */
  SwittiKernelStatus (*blend_rows) (SwittiKernelContext *context, int64_t batch, int64_t n, int64_t width,
                                    const float *weights, const float *x, const float *y, float *out);
  size_t (*group_norm_scratch_bytes) (SwittiKernelContext *context, const SwittiGroupNorm *norm);
  SwittiKernelStatus (*group_norm) (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x,
                                    const float *weight, const float *bias, void *scratch, void *y);
  SwittiKernelStatus (*convert) (SwittiKernelContext *context, int64_t count, SwittiDtype in_dtype, const void *in,
                                 SwittiDtype out_dtype, void *out);
  /* (pixels, 3): u8 = truncate ((clamp (x, -1, 1) + 1) / 2 * 255), and x = u8 / 127.5 - 1. */
  SwittiKernelStatus (*image_to_rgb8) (SwittiKernelContext *context, int64_t pixels, SwittiDtype x_dtype,
                                       const void *x, uint8_t *rgb);
  SwittiKernelStatus (*rgb8_to_image) (SwittiKernelContext *context, int64_t pixels, const uint8_t *rgb,
                                       SwittiDtype x_dtype, void *x);
  /* codes (rows) = nearest of codebook (V, Z) to f (rows, Z): least Euclidean distance, or greatest cosine. The lower
   * code wins a tie. */
  SwittiKernelStatus (*nearest_code) (SwittiKernelContext *context, int64_t rows, int64_t v, int64_t z, bool cosine,
                                      const float *f, const float *codebook, int32_t *codes);

  /* -- sampling ----------------------------------------------------------------------------------------- */
  /* Keeps logits >= the k-th largest; then, with the softmax over what is left sorted ascending, drops those whose
   * running sum is <= 1 - p (never the largest); draws one code of what remains (the largest l + Gumbel).
   * prompt, null (B, N, V) float32; seeds (B). guided (B, N, V), unless NULL, receives the logits before filtering;
   * filtered (B, N, V), unless NULL, the logits with -inf where dropped (tests). */
  SwittiKernelStatus (*sample_filtered) (SwittiKernelContext *context, const SwittiSample *sample,
                                         const uint64_t *seeds, const float *prompt, const float *null_logits,
                                         float *guided, float *filtered, int32_t *codes);
  /* h (B, N, Z) = softmax ((l * sharpness + Gumbel) / tau) . codebook (V, Z); codes (B, N) receives the heaviest
   * weight's code. gumbel (B, N, V), unless NULL, replaces the random numbers (tests). */
  SwittiKernelStatus (*sample_smooth) (SwittiKernelContext *context, const SwittiSample *sample,
                                       const uint64_t *seeds, const float *prompt, const float *null_logits,
                                       const float *codebook, const float *gumbel, float *guided, float *h,
                                       int32_t *codes);

  /* -- training ----------------------------------------------------------------------------------------- */
  /* The backward of products is two products: dX (m, k) = dY (m, n) . W, with W (n, k) as b_is_kn; and dW (n, k) +=
   * dY^T . X, with a_is_km, b_is_kn and accumulate; and column_sum for the bias. */
  /* Scratch of both norms' backward. */
  size_t (*norm_backward_scratch_bytes) (SwittiKernelContext *context, const SwittiResidualNorm *norm);
  SwittiKernelStatus (*residual_norm_backward) (SwittiKernelContext *context, const SwittiResidualNorm *norm,
                                                const SwittiNormGradients *gradients, void *scratch);
  SwittiKernelStatus (*layer_norm_backward) (SwittiKernelContext *context, const SwittiLayerNorm *norm,
                                             const SwittiNormGradients *gradients, void *scratch);
  /* q, k: what the forward op was given. dq_out of op->dtype, dk_out and dv_out float32 are laid out as q_out, k_out
   * and v_out; dq, dk and dv of op->dtype as q, k and v. dq may be dq_out. Each of the three may be left out (NULL). */
  SwittiKernelStatus (*qk_norm_rope_backward) (SwittiKernelContext *context, const SwittiQkNormRope *op,
                                               const float *rope, const void *q, const void *k, const void *dq_out,
                                               const float *dk_out, const float *dv_out, void *dq, void *dk,
                                               void *dv);
  /* Scratch of attention's backward, which may be 0; more queries or images never take less. */
  size_t (*attention_backward_scratch_bytes) (SwittiKernelContext *context, const SwittiAttentionBackward *backward);
  SwittiKernelStatus (*attention_backward) (SwittiKernelContext *context, const SwittiAttentionBackward *backward,
                                            const int32_t *key_length, const void *q, const void *k, const void *v,
                                            const void *out, const void *dout, void *dq, float *dk, float *dv,
                                            void *scratch);
  /* d_gate_up (rows, 2F) with row stride in_stride from d_out (rows, F) with row stride out_stride. */
  SwittiKernelStatus (*swiglu_backward) (SwittiKernelContext *context, int64_t rows, int64_t hidden,
                                         SwittiDtype dtype, const void *gate_up, int64_t in_stride, const void *d_out,
                                         int64_t out_stride, void *d_gate_up);
  /* y = activation (x), as a product's epilogue does it; backward needs x, which the epilogue does not keep. */
  SwittiKernelStatus (*activation) (SwittiKernelContext *context, SwittiActivation activation, int64_t count,
                                    SwittiDtype dtype, const void *x, void *y);
  SwittiKernelStatus (*activation_backward) (SwittiKernelContext *context, SwittiActivation activation, int64_t count,
                                             SwittiDtype dtype, const void *x, const void *dy, void *dx);
  /* d_out (B, C) float32; dc (B, C) +=, d_crop (B, C) +=, d_crop_scales (C) +=. */
  SwittiKernelStatus (*silu_condition_backward) (SwittiKernelContext *context, int64_t batch, int64_t width,
                                                 const float *c, const float *crop, const float *crop_scales,
                                                 const float *d_out, float *dc, float *d_crop, float *d_crop_scales);
  SwittiKernelStatus (*token_embedding) (SwittiKernelContext *context, const SwittiTokenEmbedding *embedding,
                                         const int32_t *level, const float *levels, const float *positions,
                                         const float *start, const float *word_bias, const float *c, float *x);
  /* d_levels, d_positions (NULL without), d_start, d_word_bias +=; dc (B, C) +=. */
  SwittiKernelStatus (*token_embedding_backward) (SwittiKernelContext *context, const SwittiTokenEmbedding *embedding,
                                                  const int32_t *level, const float *dx, float *d_levels,
                                                  float *d_positions, float *d_start, float *d_word_bias, float *dc);
  /* sum (width) += sum over rows of x (rows, width) */
  SwittiKernelStatus (*column_sum) (SwittiKernelContext *context, int64_t rows, int64_t width, SwittiDtype dtype,
                                    const void *x, int64_t stride, float *sum);
  /* logits (rows, V) float32. loss (rows) = each row's loss; rank (rows) = how many logits come before the target's
   * (are larger, or as large and of a lower code): 0 is a right guess. d_logits (rows, V), unless NULL, =
   * gradient_scale * weight[row] * gradient; it may be logits where it is float32. weight (rows), NULL: 1; the loss is
   * without it. Targets outside the logits are INVALID on the CPU. */
  SwittiKernelStatus (*cross_entropy) (SwittiKernelContext *context, const SwittiCrossEntropy *cross_entropy,
                                       const float *logits, const int32_t *target, const float *weight,
                                       float *loss, int32_t *rank, void *d_logits);
  /* Takes the list of tensors for the two ops that follow, which then are one pass over all of them. For the norm alone
   * a tensor needs no more than count and gradient. */
  SwittiKernelStatus (*optimizer_plan) (SwittiKernelContext *context, int64_t n_tensors,
                                        const SwittiOptimizerTensor *tensors, SwittiOptimizerPlan **plan);
  void (*optimizer_plan_free) (SwittiKernelContext *context, SwittiOptimizerPlan *plan);
  /* sums (n_tensors) float64 = sum of squares of each tensor's gradient. */
  SwittiKernelStatus (*squared_norm) (SwittiKernelContext *context, const SwittiOptimizerPlan *plan, double *sums);
  SwittiKernelStatus (*adamw) (SwittiKernelContext *context, const SwittiAdamw *adamw,
                               const SwittiOptimizerPlan *plan);

  /* -- training the VAE --------------------------------------------------------------------------------- */
  /* Gradients of conv, float32 alone; the residual's is dy. weight and d_weight (c_out, c_in, kernel, kernel) are
   * device memory, as PyTorch stores them; d_weight and d_bias +=. dx (B, Hi, Wi, Ci) = , or NULL. 4 B Ho Wo Co Ci
   * kernel^2 operations, half of them without dx. Moves x, dy, dx and three times the weight. */
  SwittiKernelStatus (*conv_backward_plan) (SwittiKernelContext *context, const SwittiConv *conv,
                                            SwittiConvBackwardPlan **plan);
  void (*conv_backward_plan_free) (SwittiKernelContext *context, SwittiConvBackwardPlan *plan);
  SwittiKernelStatus (*conv_backward) (SwittiKernelContext *context, const SwittiConvBackwardPlan *plan,
                                       const float *x, const float *weight, const float *dy, float *dx,
                                       float *d_weight, float *d_bias);
  /* x_dtype and y_dtype must be one, which is that of dy and dx, too. d_weight, d_bias +=. */
  size_t (*group_norm_backward_scratch_bytes) (SwittiKernelContext *context, const SwittiGroupNorm *norm);
  SwittiKernelStatus (*group_norm_backward) (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x,
                                             const float *weight, const float *bias, const void *dy, void *scratch,
                                             void *dx, float *d_weight, float *d_bias);
  /* d_in from d_out of a resample in float32. */
  SwittiKernelStatus (*resample_backward) (SwittiKernelContext *context, const SwittiResample *resample,
                                           const float *d_out, float *d_in);
  /* d_table (entries, width) += dy (rows, width) at ids. Ids outside the table are INVALID on the CPU. */
  SwittiKernelStatus (*embed_backward) (SwittiKernelContext *context, int64_t rows, int64_t width, int64_t entries,
                                        const int32_t *ids, const float *dy, float *d_table);
  /* sum, float64, = sum of (a - b)^2 over count values */
  SwittiKernelStatus (*squared_difference) (SwittiKernelContext *context, int64_t count, const float *a,
                                            const float *b, double *sum);
} SwittiKernels;

/* The CPU's table; never NULL. */
const SwittiKernels *switti_kernels_cpu (void);

/* Bytes of one element; 0 for a value that is no dtype. */
static inline size_t
switti_dtype_size (SwittiDtype dtype)
{
  switch (dtype)
    {
    case SWITTI_DTYPE_F64:
    case SWITTI_DTYPE_I64:
      return 8;
    case SWITTI_DTYPE_F32:
    case SWITTI_DTYPE_I32:
      return 4;
    case SWITTI_DTYPE_BF16:
    case SWITTI_DTYPE_F16:
      return 2;
    case SWITTI_DTYPE_F8_E4M3:
    case SWITTI_DTYPE_U8:
    case SWITTI_DTYPE_BOOL:
      return 1;
    }
  return 0;
}

#ifdef __cplusplus
}
#endif
