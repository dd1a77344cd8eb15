/* cudnn-private.h - cuDNN behind convolution and attention, where it is installed and quicker
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An op asks when it plans, with its own kernel as the rival that cuDNN must beat; what has won is kept with the
 * choices of products (choices.cu). When the op runs, it runs its own kernel wherever cuDNN has not made the result: it
 * was not chosen, it does not take these operands, or it failed.
 *
 * Nothing of NVIDIA's headers is here. Without them, cudnn-absent.cu stands for all of it.
 */
#pragma once

#include "runtime-private.h"

#include <functional>

struct SwittiCudnn;
struct SwittiCudnnPlan;

/* The op's own kernel, on operands that the timing has made: as the plan's run takes them. */
typedef std::function<SwittiKernelStatus (void *const *operands)> SwittiCudnnRival;

/* NULL where there is none, or it is switched off. Its version becomes part of what choices hold for. */
SwittiCudnn *switti_cuda_cudnn_new (SwittiKernelContext *context);
void switti_cuda_cudnn_free (SwittiCudnn *cudnn);

/* Operands of a convolution's rival, in the op's order; the residual is left out where the op has none. */
enum
{
  CUDNN_CONV_X,
  CUDNN_CONV_WEIGHT, /* packed */
  CUDNN_CONV_BIAS,
  CUDNN_CONV_D,
  CUDNN_CONV_RESIDUAL,
};

/* NULL where the own kernel shall do it. The plan is for single images. */
SwittiCudnnPlan *switti_cuda_cudnn_conv_plan (SwittiKernelContext *context, const SwittiConv *conv,
                                              const SwittiCudnnRival &rival);
void switti_cuda_cudnn_plan_free (SwittiCudnnPlan *plan);
/* FALSE where the own kernel must make d; plan may be NULL. */
bool switti_cuda_cudnn_conv (SwittiKernelContext *context, SwittiCudnnPlan *plan, const SwittiConv *conv,
                             const void *x, const void *packed, const float *bias, const void *residual, void *d);

/* Operands of attention's rival. */
enum
{
  CUDNN_ATTENTION_Q,
  CUDNN_ATTENTION_K,
  CUDNN_ATTENTION_V,
  CUDNN_ATTENTION_OUT,
};

/* Chooses for attention of this shape in any number of images, all of which read their own keys, without lengths. */
void switti_cuda_cudnn_attention_plan (SwittiKernelContext *context, const SwittiAttention *attention,
                                       const SwittiCudnnRival &rival);
/* FALSE where the own kernel must make out: always without a plan. */
bool switti_cuda_cudnn_attention (SwittiKernelContext *context, const SwittiAttention *attention, const void *q,
                                  const void *k, const void *v, void *out);
