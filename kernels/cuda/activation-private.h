/* activation-private.h - the activations
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "device-private.h"
#include "switti-kernels.h"

__device__ __forceinline__ float
activate (SwittiActivation activation, float x)
{
  switch (activation)
    {
    case SWITTI_ACTIVATION_SILU:
      return silu (x);
    case SWITTI_ACTIVATION_QUICK_GELU:
      return x / (1.0f + expf (-1.702f * x));
    case SWITTI_ACTIVATION_GELU_ERF:
      return 0.5f * x * (1.0f + erff (x * 0.70710678f));
    case SWITTI_ACTIVATION_GELU_TANH:
      /* x + 0.044715 x^3, times 2 sqrt (2 / pi): (1 + tanh u) / 2 = 1 / (1 + exp (-2 u)). */
      return x / (1.0f + expf (-1.5957691f * (x + 0.044715f * x * x * x)));
    case SWITTI_ACTIVATION_NONE:
      break;
    }
  return x;
}
