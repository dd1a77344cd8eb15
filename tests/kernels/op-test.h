/* op-test.h - what the tests of the ops other than products share
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Each test runs once for each instruction set. Oracles are float64 restatements of switti-kernels.h; where a bound
 * counts roundings, it takes into account that sums are made in four lanes at least, so n terms are n / 4 roundings
 * and a few.
 */
#pragma once

#include "product-test.h"

/* Half a unit in the last place of float32, relative. */
#define ROUNDING 0x1p-24

/* The context of a test, or NULL after marking the test as skipped where the processor lacks the instruction set. */
static inline SwittiKernelContext *
op_context (gconstpointer isa, int n_threads)
{
  SwittiKernelContext *context = test_context (isa, n_threads);

  if (context == NULL)
    g_test_skip ("the processor has no such instruction set");
  return context;
}

/* Registers "path/isa" for each instruction set; the test's data is the isa. */
static inline void
op_add (const char *path, GTestDataFunc func)
{
  for (gsize i = 0; i < G_N_ELEMENTS (test_isas); i++)
    {
      g_autofree char *full = g_strdup_printf ("%s/%s", path, test_isas[i]);

      g_test_add_data_func (full, test_isas[i], func);
    }
}

/* An output, filled with NaN: what an op leaves out fails every comparison. */
static inline Operand
output_new (SwittiDtype dtype, gsize count)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (0);
  Operand operand = operand_new (dtype, count, rand);

  memset (operand.data, 0xff, count * switti_dtype_size (dtype));
  return operand;
}

static inline float *
operand_f32 (const Operand *operand)
{
  g_assert_cmpint (operand->dtype, ==, SWITTI_DTYPE_F32);
  return operand->data;
}

/* Element i of an output against what it should be; `bound` is what the sums before the store may be off. */
static inline void
assert_element (const Operand *output, gsize i, double expected, double bound)
{
  const double got = test_load (output->dtype, output->data, i);
  /* The store itself: bf16 keeps 8 bits, float32 24; half a unit in the last place. */
  const double unit = output->dtype == SWITTI_DTYPE_BF16 ? 0x1p-8 : 0x1p-23;

  bound += unit * (fabs (expected) + bound);
  if (!(fabs (got - expected) <= bound))
    g_error ("element %zu is %.9g, not %.9g (bound %.3g)", i, got, expected, bound);
}

static inline void
assert_same_bytes (const Operand *a, const Operand *b)
{
  g_assert_cmpuint (a->count, ==, b->count);
  g_assert_cmpint (memcmp (a->data, b->data, a->count * switti_dtype_size (a->dtype)), ==, 0);
}

/* A file of $SWITTI_FIXTURES, or else of tests/fixtures; free with g_free(). */
static inline char *
fixture_path (const char *name)
{
  const char *chosen = g_getenv ("SWITTI_FIXTURES");

  if (chosen != NULL && *chosen != '\0')
    return g_build_filename (chosen, name, NULL);
  return g_test_build_filename (G_TEST_DIST, "fixtures", name, NULL);
}

#define assert_ok(call) g_assert_cmpint ((call), ==, SWITTI_KERNEL_OK)
#define assert_invalid(call) g_assert_cmpint ((call), ==, SWITTI_KERNEL_INVALID)
