/* product-test.h - numbers, operands and comparison for the tests of products and convolutions
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-kernels.h"

#include <glib.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The same tests run on each op table: the CPU's with its instruction sets, as SwittiKernelOptions has them, and CUDA's
 * on the host (tests/cuda-on-host/), which has none to choose. */
#if defined(SWITTI_TEST_CUDA_ON_HOST)
#include "staged.h"
static const char *const test_isas[] = { "cuda" };
#define TEST_IS_CUDA TRUE
/* A thread is simulated in some nanoseconds an instruction: what is large for speed's sake alone is made smaller. */
#define TEST_SIMULATED TRUE
#else
#define TEST_SIMULATED FALSE
#define TEST_IS_CUDA FALSE
static const char *const test_isas[] = { "generic", "avx2", "avx512" };
#endif

static inline const SwittiKernels *
test_kernels (void)
{
#if defined(SWITTI_TEST_CUDA_ON_HOST)
  return switti_kernels_under_test ();
#else
  return switti_kernels_cpu ();
#endif
}

/* An operand: its elements as they are stored, and what they are worth. */
typedef struct
{
  SwittiDtype dtype;
  gsize count;
  void *data;
  double *value;
  void *mapping;
  gsize mapping_bytes;
} Operand;

static inline SwittiKernelContext *
test_context (const char *isa, int n_threads)
{
  SwittiKernelOptions options = { .n_threads = n_threads, .isa = isa };
  SwittiKernelContext *context = NULL;

  if (test_kernels ()->context_new (&options, &context) != SWITTI_KERNEL_OK)
    return NULL;
  return context;
}

static inline double
test_number (GRand *rand)
{
  return g_rand_double_range (rand, -1.0, 1.0);
}

/* Rounds to bf16 by the definition: the nearer of the two neighbours, the even one on a tie. */
static inline guint16
test_bf16_of (float value)
{
  guint32 bits, below;

  memcpy (&bits, &value, 4);
  below = bits >> 16;
  if ((bits & 0xffff) > 0x8000 || ((bits & 0xffff) == 0x8000 && (below & 1) == 1))
    below++;
  return (guint16) below;
}

static inline float
test_bf16_value (guint16 half)
{
  guint32 bits = (guint32) half << 16;
  float value;

  memcpy (&value, &bits, 4);
  return value;
}

/* The same of IEEE half precision, for numbers that it has a neighbour of. */
static inline guint16
test_f16_of (float value)
{
  const guint16 sign = value < 0 ? 0x8000 : 0;
  int exponent;
  const double mantissa = frexp (fabs ((double) value), &exponent);

  if (exponent < -13)
    return (guint16) (sign | (guint16) rint (ldexp (fabs ((double) value), 24)));
  return (guint16) (sign | (((exponent + 14) << 10) + (int) rint (ldexp (mantissa, 11)) - 1024));
}

static inline double
test_f16_value (guint16 half)
{
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  const double value = exponent == 0 ? ldexp (mantissa, -24) : ldexp (1024 + mantissa, exponent - 25);

  return half & 0x8000 ? -value : value;
}

static inline double
test_load (SwittiDtype dtype, const void *data, gsize i)
{
  if (dtype == SWITTI_DTYPE_F16)
    return test_f16_value (((const guint16 *) data)[i]);
  return dtype == SWITTI_DTYPE_F32 ? ((const float *) data)[i] : test_bf16_value (((const guint16 *) data)[i]);
}

/* Memory for `count` elements that ends where a page begins that cannot be touched: sanitizers do not see into
 * generated code, this does. */
static inline void
operand_map (Operand *operand, SwittiDtype dtype, gsize count)
{
  gsize page = (gsize) sysconf (_SC_PAGESIZE), bytes = count * switti_dtype_size (dtype);
  gsize usable = (bytes + page - 1) / page * page;

  operand->dtype = dtype;
  operand->count = count;
  operand->mapping_bytes = usable + page;
  operand->mapping = mmap (NULL, operand->mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g_assert_true (operand->mapping != MAP_FAILED);
  g_assert_cmpint (mprotect ((char *) operand->mapping + usable, page, PROT_NONE), ==, 0);
  operand->data = (char *) operand->mapping + usable - bytes;
}

/* `count` random elements. */
static inline Operand
operand_new (SwittiDtype dtype, gsize count, GRand *rand)
{
  Operand operand = { .value = g_new (double, count) };

  operand_map (&operand, dtype, count);
  for (gsize i = 0; i < count; i++)
    {
      float number = (float) test_number (rand);

      if (dtype == SWITTI_DTYPE_F32)
        ((float *) operand.data)[i] = number;
      else if (dtype == SWITTI_DTYPE_F16)
        ((guint16 *) operand.data)[i] = test_f16_of (number);
      else
        ((guint16 *) operand.data)[i] = test_bf16_of (number);
      operand.value[i] = test_load (dtype, operand.data, i);
    }
  return operand;
}

static inline void
operand_clear (Operand *operand)
{
  munmap (operand->mapping, operand->mapping_bytes);
  g_free (operand->value);
}

/* The most that a float32 sum of `terms` products, whose absolute values add up to `magnitude`, may be off: half a
 * unit in the last place of the running sum at each step (a whole one where bf16 pairs are summed, which rounds
 * twice); then the rounding of the stored result: bf16 keeps 8 bits, half a unit is 2^-8 of it at most. */
static inline double
test_bound (gsize terms, double magnitude, double result, SwittiDtype dtype)
{
  double bound = (double) (terms + 4) * 0x1p-23 * magnitude;

  if (dtype == SWITTI_DTYPE_BF16)
    bound += 0x1p-8 * (fabs (result) + bound);
  return bound;
}
