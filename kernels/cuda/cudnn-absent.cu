/* cudnn-absent.cu - where the module is built without cuDNN's headers
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "cudnn-private.h"

SwittiCudnn *
switti_cuda_cudnn_new (SwittiKernelContext *)
{
  return nullptr;
}

void
switti_cuda_cudnn_free (SwittiCudnn *)
{
}

SwittiCudnnPlan *
switti_cuda_cudnn_conv_plan (SwittiKernelContext *, const SwittiConv *, const SwittiCudnnRival &)
{
  return nullptr;
}

void
switti_cuda_cudnn_plan_free (SwittiCudnnPlan *)
{
}

bool
switti_cuda_cudnn_conv (SwittiKernelContext *, SwittiCudnnPlan *, const SwittiConv *, const void *, const void *,
                        const float *, const void *, void *)
{
  return false;
}

void
switti_cuda_cudnn_attention_plan (SwittiKernelContext *, const SwittiAttention *, const SwittiCudnnRival &)
{
}

bool
switti_cuda_cudnn_attention (SwittiKernelContext *, const SwittiAttention *, const void *, const void *, const void *,
                             void *)
{
  return false;
}
