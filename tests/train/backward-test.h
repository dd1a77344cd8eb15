/* backward-test.h - gradients against finite differences of a naive forward computation in float64
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A test writes the forward computation down in float64, as a number: the sum over all outputs of output times a given
 * weight. What the op calls the gradient of its outputs are these weights; what it returns must be the number's
 * derivatives.
 */
#pragma once

#include "product-test.h"

/* Enough to meet every tile and chunk of the larger shapes, few enough to be quick. */
#define TEST_SAMPLES 48

/* Bits of float32 that a gradient may lose, relative to the tensor's largest: sums of some hundred terms, each good to
 * 2^-23, and exponentials good to 1.2e-7. */
#define TEST_F32_TOLERANCE 2e-5
/* bf16 keeps 8 bits: half of the last one in each of the inputs that the op made itself (the forward output), and in
 * what it stores. */
#define TEST_BF16_TOLERANCE 0x1p-7

typedef double (*TestLoss) (double *const *inputs, const void *shape);

static inline double
test_tolerance (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_F32 ? TEST_F32_TOLERANCE : TEST_BF16_TOLERANCE;
}

/* A copy of an operand in memory that the op writes to. */
static inline void *
test_output (SwittiDtype dtype, gsize count)
{
  void *data = g_aligned_alloc (count, switti_dtype_size (dtype), 64);

  memset (data, 0xff, count * switti_dtype_size (dtype)); /* NaN: what is not written shows */
  return data;
}

/* `bytes` of NaN, or NULL for none; free with g_free(). */
static inline void *
test_scratch (gsize bytes)
{
  void *data = g_malloc (bytes);

  if (bytes > 0)
    memset (data, 0xff, bytes);
  return data;
}

/* `count` floats of `value`: what a += starts from. */
static inline float *
test_sum (gsize count, float value)
{
  float *data = g_aligned_alloc (count, sizeof (float), 64);

  for (gsize i = 0; i < count; i++)
    data[i] = value;
  return data;
}

/* Element `start` + i of got - base is the derivative of loss for element i of inputs[which], i < count. */
static inline void
test_gradient (const char *what, TestLoss loss, double *const *inputs, const void *shape, int which, gsize count,
               SwittiDtype dtype, const void *got, double base, double tolerance)
{
  const double h = 1e-4; /* truncation h^2, rounding 1e-16 / h: both below 1e-7 */
  gsize step = MAX (1, count / TEST_SAMPLES);
  double largest = 0, worst = 0;

  if (step > 1)
    step |= 1; /* does not fall in step with even sizes */
  for (gsize i = 0; i < count; i += step)
    {
      double *element = &inputs[which][i], value = *element, up, expected, error;

      *element = value + h;
      up = loss (inputs, shape);
      *element = value - h;
      expected = (up - loss (inputs, shape)) / (2 * h);
      *element = value;
      error = fabs (test_load (dtype, got, i) - base - expected);
      largest = MAX (largest, fabs (expected));
      worst = error > worst || isnan (error) ? error : worst;
    }
  if (!(worst <= tolerance * MAX (largest, 1e-2)))
    {
      g_test_message ("%s: off by %.3g where the largest is %.3g", what, worst, largest);
      g_test_fail ();
    }
}

/* The values of an operand, for the loss to read; free with g_free(). */
static inline double *
test_values (const Operand *operand)
{
  return g_memdup2 (operand->value, operand->count * sizeof (double));
}
