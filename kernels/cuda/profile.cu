/* profile.cu - how long ops take: the time between two events on the op's stream
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Events are made as they are needed and used again after profile_reset(). Where one cannot be had, the call counts
 * without its time.
 */
#include "runtime-private.h"

#include <cstring>

static const char *const op_names[SWITTI_KERNEL_N_OPS] = {
  "gemm",       "conv",     "norm",     "qk_norm_rope", "attention",     "swiglu",    "elementwise",
  "group_norm", "resample", "quantize", "sample",       "cross_entropy", "optimizer",
};

/* The next free event, recorded on the stream; FALSE where that fails. */
static bool
record_event (SwittiCudaRuntime *runtime)
{
  if (runtime->n_events == runtime->events.size ())
    {
      cudaEvent_t event;

      if (cudaEventCreateWithFlags (&event, cudaEventDefault) != cudaSuccess)
        return false;
      runtime->events.push_back (event);
    }
  if (cudaEventRecord (runtime->events[runtime->n_events], runtime->stream) != cudaSuccess)
    return false;
  runtime->n_events++;
  return true;
}

double
switti_cuda_profile_start (SwittiKernelContext *context)
{
  return record_event (context->runtime) ? (double) (context->runtime->n_events - 1) : -1.0;
}

void
switti_cuda_profile_stop (SwittiKernelContext *context, SwittiKernelOp op, double start)
{
  SwittiCudaRuntime *runtime = context->runtime;

  if (start >= 0.0 && record_event (runtime))
    runtime->timings.push_back (SwittiCudaTiming{ op, (size_t) start });
}

void
switti_cuda_profile_reset (SwittiKernelContext *context, bool enable)
{
  context->profile_enabled = enable;
  context->runtime->n_events = 0;
  context->runtime->timings.clear ();
  memset (context->profile, 0, sizeof context->profile);
  for (int op = 0; op < SWITTI_KERNEL_N_OPS; op++)
    context->profile[op].name = op_names[op];
}

void
switti_cuda_profile_read (SwittiKernelContext *context, SwittiKernelProfile rows[SWITTI_KERNEL_N_OPS])
{
  SwittiCudaRuntime *runtime = context->runtime;

  if (switti_cuda_synchronize (context) == SWITTI_KERNEL_OK)
    for (const SwittiCudaTiming &timing : runtime->timings)
      {
        float milliseconds = 0.0f;

        if (cudaEventElapsedTime (&milliseconds, runtime->events[timing.start], runtime->events[timing.start + 1])
            == cudaSuccess)
          context->profile[timing.op].seconds += (double) milliseconds * 1e-3;
      }
  runtime->timings.clear ();
  runtime->n_events = 0;
  memcpy (rows, context->profile, sizeof context->profile);
}
