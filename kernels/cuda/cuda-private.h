/* cuda-private.h - what the files of kernels/cuda/ share; C, for dispatch.c and the adapters
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct SwittiCudaRuntime SwittiCudaRuntime;

struct SwittiKernelContext
{
  SwittiKernels ops;          /* what the .cu files fill in; the rest is NULL */
  SwittiCudaRuntime *runtime; /* stream, staging, events: runtime-private.h */
  char error[256];
  bool profile_enabled;
  SwittiKernelProfile profile[SWITTI_KERNEL_N_OPS];
  SwittiKernelLaunches launches;
};

/* The table of this folder; never NULL. */
const SwittiKernels *switti_kernels_cuda (void);

/* Puts the words for error_message() and returns `status`. */
SwittiKernelStatus switti_cuda_fail (SwittiKernelContext *context, SwittiKernelStatus status, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/* -- context.cu ------------------------------------------------------------------------------------------------ */
SwittiKernelStatus switti_cuda_context_new (const SwittiKernelOptions *options, SwittiKernelContext **context);
void switti_cuda_context_free (SwittiKernelContext *context);
void switti_cuda_properties (SwittiKernelContext *context, SwittiKernelProperties *properties);
const char *switti_cuda_error_message (SwittiKernelContext *context);
SwittiKernelStatus switti_cuda_alloc (SwittiKernelContext *context, size_t bytes, void **memory);
void switti_cuda_free (SwittiKernelContext *context, void *memory);
SwittiKernelStatus switti_cuda_upload (SwittiKernelContext *context, void *dst, const void *host, size_t bytes);
SwittiKernelStatus switti_cuda_download (SwittiKernelContext *context, void *host, const void *src, size_t bytes);
SwittiKernelStatus switti_cuda_copy (SwittiKernelContext *context, void *dst, const void *src, size_t bytes);
SwittiKernelStatus switti_cuda_clear (SwittiKernelContext *context, void *dst, size_t bytes);
SwittiKernelStatus switti_cuda_synchronize (SwittiKernelContext *context);
void *switti_cuda_native_stream (SwittiKernelContext *context);

/* -- stream.cu ------------------------------------------------------------------------------------------------- */
SwittiKernelStatus switti_cuda_select_stream (SwittiKernelContext *context, SwittiKernelStream stream);
SwittiKernelStatus switti_cuda_event_new (SwittiKernelContext *context, SwittiKernelEvent **event);
void switti_cuda_event_free (SwittiKernelContext *context, SwittiKernelEvent *event);
SwittiKernelStatus switti_cuda_event_record (SwittiKernelContext *context, SwittiKernelEvent *event);
SwittiKernelStatus switti_cuda_event_wait (SwittiKernelContext *context, SwittiKernelEvent *event);
SwittiKernelStatus switti_cuda_event_synchronize (SwittiKernelContext *context, SwittiKernelEvent *event);
bool switti_cuda_wants_graphs (SwittiKernelContext *context);
SwittiKernelStatus switti_cuda_graph_begin (SwittiKernelContext *context);
SwittiKernelStatus switti_cuda_graph_end (SwittiKernelContext *context, SwittiKernelGraph **graph);
SwittiKernelStatus switti_cuda_graph_launch (SwittiKernelContext *context, const SwittiKernelGraph *graph);
void switti_cuda_graph_free (SwittiKernelContext *context, SwittiKernelGraph *graph);
void switti_cuda_count_launches (SwittiKernelContext *context, SwittiKernelLaunches *launches);

/* -- profile.cu: times between events on the stream ------------------------------------------------------------- */
double switti_cuda_profile_start (SwittiKernelContext *context);
void switti_cuda_profile_stop (SwittiKernelContext *context, SwittiKernelOp op, double start);
void switti_cuda_profile_reset (SwittiKernelContext *context, bool enable);
void switti_cuda_profile_read (SwittiKernelContext *context, SwittiKernelProfile rows[SWITTI_KERNEL_N_OPS]);

/* -- choices.cu: as the op table says ---------------------------------------------------------------------------- */
const char *switti_cuda_choices_identity (SwittiKernelContext *context);
size_t switti_cuda_choices_write (SwittiKernelContext *context, char *text, size_t size);
bool switti_cuda_choices_read (SwittiKernelContext *context, const char *text, size_t size);

/* -- gemm.cu, conv2d.cu: as the op table says; the descriptor is what a plan was made for ---------------------- */
size_t switti_cuda_gemm_packed_bytes (SwittiKernelContext *context, int64_t n, int64_t k, SwittiDtype b_dtype);
SwittiKernelStatus switti_cuda_gemm_pack (SwittiKernelContext *context, int64_t n, int64_t k, SwittiDtype b_dtype,
                                          SwittiDtype src_dtype, const void *src, int64_t ldb, void *packed);
SwittiKernelStatus switti_cuda_gemm_plan (SwittiKernelContext *context, const SwittiGemm *gemm, SwittiGemmPlan **plan);
void switti_cuda_gemm_plan_free (SwittiKernelContext *context, SwittiGemmPlan *plan);
const SwittiGemm *switti_cuda_gemm_descriptor (const SwittiGemmPlan *plan);
SwittiKernelStatus switti_cuda_gemm (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a,
                                     const void *b, const float *bias, void *d);
size_t switti_cuda_conv_packed_bytes (SwittiKernelContext *context, const SwittiConv *conv);
SwittiKernelStatus switti_cuda_conv_pack (SwittiKernelContext *context, const SwittiConv *conv, SwittiDtype src_dtype,
                                          const void *src, void *packed);
SwittiKernelStatus switti_cuda_conv_plan (SwittiKernelContext *context, const SwittiConv *conv, SwittiConvPlan **plan);
void switti_cuda_conv_plan_free (SwittiKernelContext *context, SwittiConvPlan *plan);
const SwittiConv *switti_cuda_conv_descriptor (const SwittiConvPlan *plan);
SwittiKernelStatus switti_cuda_conv (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x,
                                     const void *packed, const float *bias, const void *residual, void *d);
SwittiKernelStatus switti_cuda_conv_backward_plan (SwittiKernelContext *context, const SwittiConv *conv,
                                                   SwittiConvBackwardPlan **plan);
void switti_cuda_conv_backward_plan_free (SwittiKernelContext *context, SwittiConvBackwardPlan *plan);
const SwittiConv *switti_cuda_conv_backward_descriptor (const SwittiConvBackwardPlan *plan);
SwittiKernelStatus switti_cuda_conv_backward (SwittiKernelContext *context, const SwittiConvBackwardPlan *plan,
                                              const float *x, const float *weight, const float *dy, float *dx,
                                              float *d_weight, float *d_bias);

/* -- each file's ops into a table ------------------------------------------------------------------------------- */
void switti_cuda_attention_fill (SwittiKernels *ops);
void switti_cuda_attention_backward_fill (SwittiKernels *ops);
void switti_cuda_cross_entropy_fill (SwittiKernels *ops);
void switti_cuda_elementwise_fill (SwittiKernels *ops);
void switti_cuda_elementwise_backward_fill (SwittiKernels *ops);
void switti_cuda_group_norm_fill (SwittiKernels *ops);
void switti_cuda_group_norm_backward_fill (SwittiKernels *ops);
void switti_cuda_norm_fill (SwittiKernels *ops);
void switti_cuda_norm_backward_fill (SwittiKernels *ops);
void switti_cuda_optimizer_fill (SwittiKernels *ops);
void switti_cuda_quantize_fill (SwittiKernels *ops);
void switti_cuda_resample_fill (SwittiKernels *ops);
void switti_cuda_resample_backward_fill (SwittiKernels *ops);
void switti_cuda_rope_fill (SwittiKernels *ops);
void switti_cuda_rope_backward_fill (SwittiKernels *ops);
void switti_cuda_sample_fill (SwittiKernels *ops);
void switti_cuda_squared_difference_fill (SwittiKernels *ops);
void switti_cuda_token_embedding_fill (SwittiKernels *ops);

#ifdef __cplusplus
}
#endif
