/* activation-private.h - the activations and their slopes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "math-private.h"

/* erf x to 1.5e-7 (Abramowitz and Stegun, 7.1.26): the rounding of float32 next to 1. */
SWITTI_INLINE float
switti_erf (float x)
{
  const float z = fabsf (x);
  const float t = 1.0f / (1.0f + 0.3275911f * z);
  const float p
      = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
  const float value = 1.0f - p * switti_exp (-z * z);

  return x < 0.0f ? -value : value;
}

/* x + 0.044715 x^3, times 2 sqrt (2 / pi): (1 + tanh u) / 2 = 1 / (1 + exp (-2 u)). */
SWITTI_INLINE float
switti_gelu_tanh_argument (float x)
{
  return 1.5957691f * (x + 0.044715f * x * x * x);
}

SWITTI_INLINE float
switti_sigmoid (float x)
{
  return 1.0f / (1.0f + switti_exp (-x));
}

SWITTI_INLINE float
switti_activate (SwittiActivation activation, float x)
{
  switch (activation)
    {
    case SWITTI_ACTIVATION_SILU:
      return switti_silu (x);
    case SWITTI_ACTIVATION_QUICK_GELU:
      return x / (1.0f + switti_exp (-1.702f * x));
    case SWITTI_ACTIVATION_GELU_ERF:
      return 0.5f * x * (1.0f + switti_erf (x * 0.70710678f));
    case SWITTI_ACTIVATION_GELU_TANH:
      return x / (1.0f + switti_exp (-switti_gelu_tanh_argument (x)));
    case SWITTI_ACTIVATION_NONE:
      break;
    }
  return x;
}

/* d activation / dx. For x * s (u (x)), s the sigmoid: s + x s (1 - s) du/dx. */
SWITTI_INLINE float
switti_activation_slope (SwittiActivation activation, float x)
{
  float sigmoid;

  switch (activation)
    {
    case SWITTI_ACTIVATION_SILU:
      sigmoid = switti_sigmoid (x);
      return sigmoid * (1.0f + x * (1.0f - sigmoid));
    case SWITTI_ACTIVATION_QUICK_GELU:
      sigmoid = switti_sigmoid (1.702f * x);
      return sigmoid * (1.0f + x * (1.0f - sigmoid) * 1.702f);
    case SWITTI_ACTIVATION_GELU_ERF:
      /* the normal distribution's sum, and x times its density */
      return 0.5f * (1.0f + switti_erf (x * 0.70710678f)) + x * 0.39894228f * switti_exp (-0.5f * x * x);
    case SWITTI_ACTIVATION_GELU_TANH:
      sigmoid = switti_sigmoid (switti_gelu_tanh_argument (x));
      return sigmoid * (1.0f + x * (1.0f - sigmoid) * 1.5957691f * (1.0f + 0.134145f * x * x));
    case SWITTI_ACTIVATION_NONE:
      break;
    }
  return 1.0f;
}
