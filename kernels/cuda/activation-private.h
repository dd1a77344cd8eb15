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

__device__ __forceinline__ float
sigmoid (float x)
{
  return 1.0f / (1.0f + expf (-x));
}

/* d activation / dx. For x * s (u (x)), s the sigmoid: s + x s (1 - s) du/dx. */
__device__ __forceinline__ float
activation_slope (SwittiActivation activation, float x)
{
  float s;

  switch (activation)
    {
    case SWITTI_ACTIVATION_SILU:
      s = sigmoid (x);
      return s * (1.0f + x * (1.0f - s));
    case SWITTI_ACTIVATION_QUICK_GELU:
      s = sigmoid (1.702f * x);
      return s * (1.0f + x * (1.0f - s) * 1.702f);
    case SWITTI_ACTIVATION_GELU_ERF:
      /* the normal distribution's sum, and x times its density */
      return 0.5f * (1.0f + erff (x * 0.70710678f)) + x * 0.39894228f * expf (-0.5f * x * x);
    case SWITTI_ACTIVATION_GELU_TANH:
      s = sigmoid (1.5957691f * (x + 0.044715f * x * x * x));
      return s * (1.0f + x * (1.0f - s) * 1.5957691f * (1.0f + 0.134145f * x * x));
    case SWITTI_ACTIVATION_NONE:
      break;
    }
  return 1.0f;
}
