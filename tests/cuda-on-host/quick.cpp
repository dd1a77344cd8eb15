/* quick.cpp - CUDA's op table whose slowest ops are the CPU's, enqueued: for tests of whole generations
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Such tests are about streams, graphs and errors; what a kernel computes is tested elsewhere. A convolution that is
 * done thread by thread would take them seconds.
 */
#include "table-on-host.h"

#include "cuda-on-host.h"
#include "cuda-private.h"
#include "runtime-private.h"

namespace
{
SwittiKernelContext *
cpu ()
{
  static SwittiKernelContext *context;
  const SwittiKernelOptions options = { 1, 0, nullptr };
  if (context == nullptr)
    switti_kernels_cpu ()->context_new (&options, &context);
  return context;
}

/* As a launch, with everything it needs copied. */
template <typename Op>
SwittiKernelStatus
enqueue (SwittiKernelContext *context, const char *name, Op op)
{
  context->launches.kernels++;
  return switti_cuda_check (context,
                            cuda_on_host::enqueue (context->runtime->stream,
                                                   [=] {
                                                     return cuda_on_host::is_dry () || op () == SWITTI_KERNEL_OK;
                                                   }),
                            name);
}

size_t
conv_packed_bytes (SwittiKernelContext *, const SwittiConv *conv)
{
  return switti_kernels_cpu ()->conv_packed_bytes (cpu (), conv);
}

SwittiKernelStatus
conv_pack (SwittiKernelContext *, const SwittiConv *conv, SwittiDtype src_dtype, const void *src, void *packed)
{
  if (cuda_on_host::is_dry ())
    return SWITTI_KERNEL_OK;
  return switti_kernels_cpu ()->conv_pack (cpu (), conv, src_dtype, src, packed);
}

SwittiKernelStatus
conv_plan (SwittiKernelContext *, const SwittiConv *conv, SwittiConvPlan **plan)
{
  return switti_kernels_cpu ()->conv_plan (cpu (), conv, plan);
}

void
conv_plan_free (SwittiKernelContext *context, SwittiConvPlan *plan)
{
  cuda_on_host::finish_all ();
  switti_kernels_cpu ()->conv_plan_free (cpu (), plan);
}

SwittiKernelStatus
conv (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x, const void *packed, const float *bias,
      const void *residual, void *d)
{
  return enqueue (context, "conv",
                  [=] { return switti_kernels_cpu ()->conv (cpu (), plan, x, packed, bias, residual, d); });
}

size_t
group_norm_scratch_bytes (SwittiKernelContext *, const SwittiGroupNorm *norm)
{
  return switti_kernels_cpu ()->group_norm_scratch_bytes (cpu (), norm);
}

SwittiKernelStatus
group_norm (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x, const float *weight,
            const float *bias, void *scratch, void *y)
{
  const SwittiGroupNorm copy = *norm;
  return enqueue (context, "group_norm", [=] {
    return switti_kernels_cpu ()->group_norm (cpu (), &copy, x, weight, bias, scratch, y);
  });
}

SwittiKernelStatus
attention (SwittiKernelContext *context, const SwittiAttention *attention, const int32_t *group_index,
           const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  const SwittiAttention copy = *attention;
  return enqueue (context, "attention", [=] {
    return switti_kernels_cpu ()->attention (cpu (), &copy, group_index, key_length, q, k, v, out);
  });
}
} // namespace

const SwittiKernels *
switti_kernels_cuda_quick (uint64_t seed)
{
  static SwittiKernels kernels;

  kernels = *switti_kernels_cuda_shuffled (seed);
  kernels.conv_packed_bytes = conv_packed_bytes;
  kernels.conv_pack = conv_pack;
  kernels.conv_plan = conv_plan;
  kernels.conv_plan_free = conv_plan_free;
  kernels.conv = conv;
  kernels.group_norm_scratch_bytes = group_norm_scratch_bytes;
  kernels.group_norm = group_norm;
  kernels.attention = attention;
  return &kernels;
}
