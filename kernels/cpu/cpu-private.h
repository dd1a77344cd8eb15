/* cpu-private.h - what the files of kernels/cpu/ share
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Files listed as `cpu_isa_sources` in meson.build are compiled once for each instruction set, with SWITTI_CPU_ISA
 * defined to its name. Everything in them is static but for one function, SWITTI_CPU_SYMBOL (<file>_fill), that puts
 * the file's ops into a table. context.c picks a table when a context is made; ../dispatch.c calls through it,
 * checks the arguments and keeps the profile. The products and convolutions (gemm.c, conv2d.c) share out tiles that are
 * multiplied by oneDNN's micro-kernels (brgemm.c), which pick the instruction set themselves.
 */
#pragma once

#include "switti-kernels.h"

#define SWITTI_CPU_PASTE_(name, isa) switti_cpu_##name##_##isa
#define SWITTI_CPU_PASTE(name, isa) SWITTI_CPU_PASTE_ (name, isa)
#define SWITTI_CPU_SYMBOL(name) SWITTI_CPU_PASTE (name, SWITTI_CPU_ISA)

/* Floats of scratch that each thread has for its tiles. */
#define SWITTI_CPU_THREAD_SCRATCH ((size_t) 1 << 18)

/* Bytes of a cache line and of an AVX-512 register: what memory is aligned to. */
#define SWITTI_CPU_ALIGNMENT ((size_t) 64)

typedef struct SwittiBrgemmCache SwittiBrgemmCache;
typedef struct SwittiTileOps SwittiTileOps;

struct SwittiKernelContext
{
  SwittiKernels ops;          /* the chosen instruction set's ops; the rest is NULL */
  const SwittiTileOps *tiles; /* packing, widening and storing of product tiles: tile-private.h */
  SwittiBrgemmCache *brgemms; /* the micro-kernels made so far: brgemm-private.h */
  const char *isa;            /* "generic", "avx2" or "avx512" */
  bool has_avx512_bf16;
  int n_threads;
  float *thread_scratch; /* n_threads * SWITTI_CPU_THREAD_SCRATCH floats, 64-byte aligned */
  char error[256];
  bool profile_enabled;
  SwittiKernelProfile profile[SWITTI_KERNEL_N_OPS];
};

/* The scratch of the calling thread of a parallel region (omp_get_thread_num ()). */
static inline float *
switti_cpu_thread_scratch (SwittiKernelContext *context, int thread)
{
  return context->thread_scratch + (size_t) thread * SWITTI_CPU_THREAD_SCRATCH;
}

static inline float
switti_bf16_to_f32 (uint16_t bits)
{
  union
  {
    uint32_t u;
    float f;
  } v = { .u = (uint32_t) bits << 16 };
  return v.f;
}

/* Round to nearest, ties to even; NaN stays a (quiet) NaN. */
static inline uint16_t
switti_f32_to_bf16 (float value)
{
  union
  {
    float f;
    uint32_t u;
  } v = { .f = value };
  if ((v.u & 0x7fffffffu) > 0x7f800000u)
    return (uint16_t) ((v.u >> 16) | 0x40u);
  return (uint16_t) ((v.u + 0x7fffu + ((v.u >> 16) & 1u)) >> 16);
}

/* Puts the words for error_message() and returns `status`. */
SwittiKernelStatus switti_cpu_fail (SwittiKernelContext *context, SwittiKernelStatus status, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/* -- context.c: one context, its memory and its profile ------------------------------------------------------- */
SwittiKernelStatus switti_cpu_context_new (const SwittiKernelOptions *options, SwittiKernelContext **context);
void switti_cpu_context_free (SwittiKernelContext *context);
void switti_cpu_properties (SwittiKernelContext *context, SwittiKernelProperties *properties);
const char *switti_cpu_error_message (SwittiKernelContext *context);
SwittiKernelStatus switti_cpu_alloc (SwittiKernelContext *context, size_t bytes, void **memory);
void switti_cpu_free (SwittiKernelContext *context, void *memory);
SwittiKernelStatus switti_cpu_copy (SwittiKernelContext *context, void *dst, const void *src, size_t bytes);
SwittiKernelStatus switti_cpu_clear (SwittiKernelContext *context, void *dst, size_t bytes);
SwittiKernelStatus switti_cpu_synchronize (SwittiKernelContext *context);
/* Host memory is the device's. */
#define switti_cpu_upload switti_cpu_copy
#define switti_cpu_download switti_cpu_copy
/* -- stream.c ------------------------------------------------------------------------------------------------- */
SwittiKernelStatus switti_cpu_select_stream (SwittiKernelContext *context, SwittiKernelStream stream);
SwittiKernelStatus switti_cpu_event_new (SwittiKernelContext *context, SwittiKernelEvent **event);
void switti_cpu_event_free (SwittiKernelContext *context, SwittiKernelEvent *event);
SwittiKernelStatus switti_cpu_event_record (SwittiKernelContext *context, SwittiKernelEvent *event);
SwittiKernelStatus switti_cpu_event_wait (SwittiKernelContext *context, SwittiKernelEvent *event);
SwittiKernelStatus switti_cpu_event_synchronize (SwittiKernelContext *context, SwittiKernelEvent *event);
bool switti_cpu_wants_graphs (SwittiKernelContext *context);
SwittiKernelStatus switti_cpu_graph_begin (SwittiKernelContext *context);
SwittiKernelStatus switti_cpu_graph_end (SwittiKernelContext *context, SwittiKernelGraph **graph);
SwittiKernelStatus switti_cpu_graph_launch (SwittiKernelContext *context, const SwittiKernelGraph *graph);
void switti_cpu_graph_free (SwittiKernelContext *context, SwittiKernelGraph *graph);
void switti_cpu_count_launches (SwittiKernelContext *context, SwittiKernelLaunches *launches);

/* Seconds on a clock, and adding what has passed since then to an op's row. */
double switti_cpu_profile_start (SwittiKernelContext *context);
void switti_cpu_profile_stop (SwittiKernelContext *context, SwittiKernelOp op, double start);
void switti_cpu_profile_reset (SwittiKernelContext *context, bool enable);
void switti_cpu_profile_read (SwittiKernelContext *context, SwittiKernelProfile rows[SWITTI_KERNEL_N_OPS]);

/* -- gemm.c, conv2d.c: as the op table says; the descriptor is what a plan was made for ------------------------ */
size_t switti_cpu_gemm_packed_bytes (SwittiKernelContext *context, int64_t n, int64_t k, SwittiDtype b_dtype);
SwittiKernelStatus switti_cpu_gemm_pack (SwittiKernelContext *context, int64_t n, int64_t k, SwittiDtype b_dtype,
                                         SwittiDtype src_dtype, const void *src, int64_t ldb, void *packed);
SwittiKernelStatus switti_cpu_gemm_plan (SwittiKernelContext *context, const SwittiGemm *gemm, SwittiGemmPlan **plan);
void switti_cpu_gemm_plan_free (SwittiKernelContext *context, SwittiGemmPlan *plan);
const SwittiGemm *switti_cpu_gemm_descriptor (const SwittiGemmPlan *plan);
SwittiKernelStatus switti_cpu_gemm (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a,
                                    const void *b, const float *bias, void *d);
size_t switti_cpu_conv_packed_bytes (SwittiKernelContext *context, const SwittiConv *conv);
SwittiKernelStatus switti_cpu_conv_pack (SwittiKernelContext *context, const SwittiConv *conv, SwittiDtype src_dtype,
                                         const void *src, void *packed);
SwittiKernelStatus switti_cpu_conv_plan (SwittiKernelContext *context, const SwittiConv *conv, SwittiConvPlan **plan);
void switti_cpu_conv_plan_free (SwittiKernelContext *context, SwittiConvPlan *plan);
const SwittiConv *switti_cpu_conv_descriptor (const SwittiConvPlan *plan);
SwittiKernelStatus switti_cpu_conv (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x,
                                    const void *packed, const float *bias, const void *residual, void *d);

/* -- conv2d-backward.c ------------------------------------------------------------------------------------------ */
SwittiKernelStatus switti_cpu_conv_backward_plan (SwittiKernelContext *context, const SwittiConv *conv,
                                                  SwittiConvBackwardPlan **plan);
void switti_cpu_conv_backward_plan_free (SwittiKernelContext *context, SwittiConvBackwardPlan *plan);
const SwittiConv *switti_cpu_conv_backward_descriptor (const SwittiConvBackwardPlan *plan);
SwittiKernelStatus switti_cpu_conv_backward (SwittiKernelContext *context, const SwittiConvBackwardPlan *plan,
                                             const float *x, const float *weight, const float *dy, float *dx,
                                             float *d_weight, float *d_bias);

/* -- the files that are compiled once for each instruction set -------------------------------------------------- */
#define SWITTI_CPU_DECLARE_FILLS(isa) \
  void SWITTI_CPU_PASTE (attention_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (elementwise_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (group_norm_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (norm_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (quantize_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (resample_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (rope_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (sample_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (adamw_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (attention_backward_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (cross_entropy_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (elementwise_backward_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (group_norm_backward_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (norm_backward_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (resample_backward_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (rope_backward_fill, isa) (SwittiKernels *ops); \
  void SWITTI_CPU_PASTE (token_embedding_fill, isa) (SwittiKernels *ops);

SWITTI_CPU_DECLARE_FILLS (generic)
SWITTI_CPU_DECLARE_FILLS (avx2)
SWITTI_CPU_DECLARE_FILLS (avx512)
