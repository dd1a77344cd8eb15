/* dispatch-private.h - what every entry of an op table does around the op
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * dispatch.c and dispatch-training.c are compiled once for each device, for CUDA with SWITTI_DISPATCH_CUDA: arguments
 * are checked, and bytes and operations counted, in the same way.
 */
#pragma once

#if defined(SWITTI_DISPATCH_CUDA)
#include "cuda/cuda-private.h"
#define DEVICE(name) switti_cuda_##name
#define DEVICE_KERNELS switti_kernels_cuda
#define DEVICE_NAME "cuda"
#define DEVICE_EXPORT __attribute__ ((visibility ("default"))) /* what core/ looks for in the module */
#else
#include "cpu/cpu-private.h"
#define DEVICE(name) switti_cpu_##name
#define DEVICE_KERNELS switti_kernels_cpu
#define DEVICE_NAME "cpu"
#define DEVICE_EXPORT
#endif

typedef struct
{
  SwittiKernelContext *context;
  const char *name;
  SwittiKernelOp op;
  double start; /* seconds */
} Call;

static inline Call
begin (SwittiKernelContext *context, SwittiKernelOp op, const char *name)
{
  Call call = { .context = context, .name = name, .op = op };

  context->error[0] = '\0';
  if (context->profile_enabled)
    call.start = DEVICE (profile_start) (context);
  return call;
}

static inline SwittiKernelStatus
end (const Call *call, SwittiKernelStatus status, double flop, double bytes)
{
  SwittiKernelContext *context = call->context;

  if (status != SWITTI_KERNEL_OK && context->error[0] == '\0')
    return DEVICE (fail) (context, status, "%s: a shape, dtype or pointer outside its contract", call->name);
  if (status == SWITTI_KERNEL_OK && context->profile_enabled)
    {
      SwittiKernelProfile *row = &context->profile[call->op];

      DEVICE (profile_stop) (context, call->op, call->start);
      row->calls++;
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

/* Sizes beyond this are refused: products of a map's three sizes must not overflow. */
#define CONV_MAX_SIZE ((int64_t) 1 << 20)
#define CONV_MAX_KERNEL 3

static inline bool
conv_size_is_valid (int64_t size)
{
  return size >= 1 && size <= CONV_MAX_SIZE;
}

static inline bool
conv_pads_are_valid (const SwittiConv *c, int64_t size, int before, int after)
{
  return before >= 0 && before < CONV_MAX_KERNEL && after >= 0 && after < CONV_MAX_KERNEL
         && (c->upsample ? 2 : 1) * size + before + after >= c->kernel;
}

static inline bool
conv_is_valid (const SwittiConv *c)
{
  return c != NULL && conv_size_is_valid (c->batch) && conv_size_is_valid (c->height) && conv_size_is_valid (c->width)
         && conv_size_is_valid (c->c_in) && conv_size_is_valid (c->c_out) && (c->kernel == 1 || c->kernel == 3)
         && c->stride >= 1 && c->stride <= 2 && !(c->upsample && c->stride != 1)
         && conv_pads_are_valid (c, c->height, c->pad_top, c->pad_bottom)
         && conv_pads_are_valid (c, c->width, c->pad_left, c->pad_right) && is_float (c->x_dtype)
         && is_float (c->w_dtype) && is_float (c->d_dtype);
}

/* -- dispatch-training.c --------------------------------------------------------------------------------------- */
size_t DEVICE (dispatch_norm_backward_scratch_bytes) (SwittiKernelContext *context, const SwittiResidualNorm *norm);
SwittiKernelStatus DEVICE (dispatch_residual_norm_backward) (SwittiKernelContext *context,
                                                             const SwittiResidualNorm *norm,
                                                             const SwittiNormGradients *gradients, void *scratch);
SwittiKernelStatus DEVICE (dispatch_layer_norm_backward) (SwittiKernelContext *context, const SwittiLayerNorm *norm,
                                                          const SwittiNormGradients *gradients, void *scratch);
SwittiKernelStatus DEVICE (dispatch_qk_norm_rope_backward) (SwittiKernelContext *context,
                                                            const SwittiQkNormRope *op, const float *rope,
                                                            const void *q, const void *k, const void *dq_out,
                                                            const float *dk_out, const float *dv_out, void *dq,
                                                            void *dk, void *dv);
size_t DEVICE (dispatch_attention_backward_scratch_bytes) (SwittiKernelContext *context,
                                                           const SwittiAttentionBackward *backward);
SwittiKernelStatus DEVICE (dispatch_attention_backward) (SwittiKernelContext *context,
                                                         const SwittiAttentionBackward *backward,
                                                         const int32_t *key_length, const void *q, const void *k,
                                                         const void *v, const void *out, const void *dout, void *dq,
                                                         float *dk, float *dv, void *scratch);
SwittiKernelStatus DEVICE (dispatch_swiglu_backward) (SwittiKernelContext *context, int64_t rows, int64_t hidden,
                                                      SwittiDtype dtype, const void *gate_up, int64_t in_stride,
                                                      const void *d_out, int64_t out_stride, void *d_gate_up);
SwittiKernelStatus DEVICE (dispatch_activation) (SwittiKernelContext *context, SwittiActivation activation,
                                                 int64_t count, SwittiDtype dtype, const void *x, void *y);
SwittiKernelStatus DEVICE (dispatch_activation_backward) (SwittiKernelContext *context, SwittiActivation activation,
                                                          int64_t count, SwittiDtype dtype, const void *x,
                                                          const void *dy, void *dx);
SwittiKernelStatus DEVICE (dispatch_silu_condition_backward) (SwittiKernelContext *context, int64_t batch,
                                                              int64_t width, const float *c, const float *crop,
                                                              const float *crop_scales, const float *d_out,
                                                              float *dc, float *d_crop, float *d_crop_scales);
SwittiKernelStatus DEVICE (dispatch_token_embedding) (SwittiKernelContext *context,
                                                      const SwittiTokenEmbedding *embedding, const int32_t *level,
                                                      const float *levels, const float *positions,
                                                      const float *start, const float *word_bias, const float *c,
                                                      float *x);
SwittiKernelStatus DEVICE (dispatch_token_embedding_backward) (SwittiKernelContext *context,
                                                               const SwittiTokenEmbedding *embedding,
                                                               const int32_t *level, const float *dx,
                                                               float *d_levels, float *d_positions, float *d_start,
                                                               float *d_word_bias, float *dc);
SwittiKernelStatus DEVICE (dispatch_column_sum) (SwittiKernelContext *context, int64_t rows, int64_t width,
                                                 SwittiDtype dtype, const void *x, int64_t stride, float *sum);
SwittiKernelStatus DEVICE (dispatch_cross_entropy) (SwittiKernelContext *context,
                                                    const SwittiCrossEntropy *cross_entropy, const float *logits,
                                                    const int32_t *target, const float *weight, float *loss,
                                                    int32_t *rank, void *d_logits);
SwittiKernelStatus DEVICE (dispatch_optimizer_plan) (SwittiKernelContext *context, int64_t n_tensors,
                                                     const SwittiOptimizerTensor *tensors,
                                                     SwittiOptimizerPlan **plan);
void DEVICE (dispatch_optimizer_plan_free) (SwittiKernelContext *context, SwittiOptimizerPlan *plan);
SwittiKernelStatus DEVICE (dispatch_squared_norm) (SwittiKernelContext *context, const SwittiOptimizerPlan *plan,
                                                   double *sums);
SwittiKernelStatus DEVICE (dispatch_adamw) (SwittiKernelContext *context, const SwittiAdamw *adamw,
                                            const SwittiOptimizerPlan *plan);
SwittiKernelStatus DEVICE (dispatch_conv_backward_plan) (SwittiKernelContext *context, const SwittiConv *conv,
                                                         SwittiConvBackwardPlan **plan);
SwittiKernelStatus DEVICE (dispatch_conv_backward) (SwittiKernelContext *context,
                                                    const SwittiConvBackwardPlan *plan, const float *x,
                                                    const float *weight, const float *dy, float *dx,
                                                    float *d_weight, float *d_bias);
size_t DEVICE (dispatch_group_norm_backward_scratch_bytes) (SwittiKernelContext *context,
                                                            const SwittiGroupNorm *norm);
SwittiKernelStatus DEVICE (dispatch_group_norm_backward) (SwittiKernelContext *context, const SwittiGroupNorm *norm,
                                                          const void *x, const float *weight, const float *bias,
                                                          const void *dy, void *scratch, void *dx, float *d_weight,
                                                          float *d_bias);
SwittiKernelStatus DEVICE (dispatch_resample_backward) (SwittiKernelContext *context,
                                                        const SwittiResample *resample, const float *d_out,
                                                        float *d_in);
SwittiKernelStatus DEVICE (dispatch_embed_backward) (SwittiKernelContext *context, int64_t rows, int64_t width,
                                                     int64_t entries, const int32_t *ids, const float *dy,
                                                     float *d_table);
SwittiKernelStatus DEVICE (dispatch_squared_difference) (SwittiKernelContext *context, int64_t count,
                                                         const float *a, const float *b, double *sum);
