/* dispatch-private.h - what every entry of the CPU's op table does around the op
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "cpu-private.h"

#include <time.h>

typedef struct
{
  SwittiKernelContext *context;
  const char *name;
  SwittiKernelOp op;
  struct timespec start;
} Call;

static inline Call
begin (SwittiKernelContext *context, SwittiKernelOp op, const char *name)
{
  Call call = { .context = context, .name = name, .op = op };

  context->error[0] = '\0';
  if (context->profile_enabled)
    clock_gettime (CLOCK_MONOTONIC, &call.start);
  return call;
}

static inline SwittiKernelStatus
end (const Call *call, SwittiKernelStatus status, double flop, double bytes)
{
  SwittiKernelContext *context = call->context;

  if (status != SWITTI_KERNEL_OK && context->error[0] == '\0')
    return switti_cpu_fail (context, status, "%s: a shape, dtype or pointer outside its contract", call->name);
  if (status == SWITTI_KERNEL_OK && context->profile_enabled)
    {
      SwittiKernelProfile *row = &context->profile[call->op];
      struct timespec now;

      clock_gettime (CLOCK_MONOTONIC, &now);
      row->calls++;
      row->seconds += (double) (now.tv_sec - call->start.tv_sec) + 1e-9 * (double) (now.tv_nsec - call->start.tv_nsec);
      row->flop += flop;
      row->bytes += bytes;
    }
  return status;
}

static inline SwittiKernelStatus
invalid (const Call *call)
{
  return end (call, SWITTI_KERNEL_INVALID, 0.0, 0.0);
}

static inline bool
is_float (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16;
}

static inline double
size (SwittiDtype dtype)
{
  return (double) switti_dtype_size (dtype);
}

/* -- dispatch-training.c --------------------------------------------------------------------------------------- */
size_t switti_cpu_dispatch_norm_backward_scratch_bytes (SwittiKernelContext *context, const SwittiResidualNorm *norm);
SwittiKernelStatus switti_cpu_dispatch_residual_norm_backward (SwittiKernelContext *context,
                                                               const SwittiResidualNorm *norm,
                                                               const SwittiNormGradients *gradients, void *scratch);
SwittiKernelStatus switti_cpu_dispatch_layer_norm_backward (SwittiKernelContext *context, const SwittiLayerNorm *norm,
                                                            const SwittiNormGradients *gradients, void *scratch);
SwittiKernelStatus switti_cpu_dispatch_qk_norm_rope_backward (SwittiKernelContext *context,
                                                              const SwittiQkNormRope *op, const float *rope,
                                                              const void *q, const void *k, const void *dq_out,
                                                              const float *dk_out, const float *dv_out, void *dq,
                                                              void *dk, void *dv);
SwittiKernelStatus switti_cpu_dispatch_attention_backward (SwittiKernelContext *context,
                                                           const SwittiAttentionBackward *backward,
                                                           const int32_t *key_length, const void *q, const void *k,
                                                           const void *v, const void *out, const void *dout, void *dq,
                                                           float *dk, float *dv);
SwittiKernelStatus switti_cpu_dispatch_swiglu_backward (SwittiKernelContext *context, int64_t rows, int64_t hidden,
                                                        SwittiDtype dtype, const void *gate_up, int64_t in_stride,
                                                        const void *d_out, int64_t out_stride, void *d_gate_up);
SwittiKernelStatus switti_cpu_dispatch_activation (SwittiKernelContext *context, SwittiActivation activation,
                                                   int64_t count, SwittiDtype dtype, const void *x, void *y);
SwittiKernelStatus switti_cpu_dispatch_activation_backward (SwittiKernelContext *context, SwittiActivation activation,
                                                            int64_t count, SwittiDtype dtype, const void *x,
                                                            const void *dy, void *dx);
SwittiKernelStatus switti_cpu_dispatch_silu_condition_backward (SwittiKernelContext *context, int64_t batch,
                                                                int64_t width, const float *c, const float *crop,
                                                                const float *crop_scales, const float *d_out,
                                                                float *dc, float *d_crop, float *d_crop_scales);
SwittiKernelStatus switti_cpu_dispatch_token_embedding (SwittiKernelContext *context,
                                                        const SwittiTokenEmbedding *embedding, const int32_t *level,
                                                        const float *levels, const float *positions,
                                                        const float *start, const float *word_bias, const float *c,
                                                        float *x);
SwittiKernelStatus switti_cpu_dispatch_token_embedding_backward (SwittiKernelContext *context,
                                                                 const SwittiTokenEmbedding *embedding,
                                                                 const int32_t *level, const float *dx,
                                                                 float *d_levels, float *d_positions, float *d_start,
                                                                 float *d_word_bias, float *dc);
SwittiKernelStatus switti_cpu_dispatch_column_sum (SwittiKernelContext *context, int64_t rows, int64_t width,
                                                   SwittiDtype dtype, const void *x, int64_t stride, float *sum);
SwittiKernelStatus switti_cpu_dispatch_cross_entropy (SwittiKernelContext *context,
                                                      const SwittiCrossEntropy *cross_entropy, const float *logits,
                                                      const int32_t *target, float *loss, int32_t *rank,
                                                      void *d_logits);
SwittiKernelStatus switti_cpu_dispatch_squared_norm (SwittiKernelContext *context, int64_t n_tensors,
                                                     const SwittiOptimizerTensor *tensors, double *sums);
SwittiKernelStatus switti_cpu_dispatch_adamw (SwittiKernelContext *context, const SwittiAdamw *adamw,
                                              int64_t n_tensors, const SwittiOptimizerTensor *tensors);
SwittiKernelStatus switti_cpu_dispatch_conv_backward (SwittiKernelContext *context,
                                                      const SwittiConvBackwardPlan *plan, const float *x,
                                                      const float *weight, const float *dy, float *dx,
                                                      float *d_weight, float *d_bias);
size_t switti_cpu_dispatch_group_norm_backward_scratch_bytes (SwittiKernelContext *context,
                                                              const SwittiGroupNorm *norm);
SwittiKernelStatus switti_cpu_dispatch_group_norm_backward (SwittiKernelContext *context, const SwittiGroupNorm *norm,
                                                            const void *x, const float *weight, const float *bias,
                                                            const void *dy, void *scratch, void *dx, float *d_weight,
                                                            float *d_bias);
SwittiKernelStatus switti_cpu_dispatch_resample_backward (SwittiKernelContext *context,
                                                          const SwittiResample *resample, const float *d_out,
                                                          float *d_in);
SwittiKernelStatus switti_cpu_dispatch_embed_backward (SwittiKernelContext *context, int64_t rows, int64_t width,
                                                       int64_t entries, const int32_t *ids, const float *dy,
                                                       float *d_table);
SwittiKernelStatus switti_cpu_dispatch_squared_difference (SwittiKernelContext *context, int64_t count,
                                                           const float *a, const float *b, double *sum);
