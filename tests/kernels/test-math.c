/* test-math.c - the CPU's exponential, logarithm and random numbers
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "cpu/philox-private.h"

#include <glib.h>

/* Bit patterns between two numbers that are tried: a prime, so that mantissas of all kinds come up. */
#define STEP 997

static void
test_exp (void)
{
  for (guint64 bits = 0; bits <= G_MAXUINT32; bits += STEP)
    {
      const float x = switti_float_from_bits ((guint32) bits), got = switti_exp (x);
      const double expected = exp ((double) x);

      if (isnan (x))
        g_assert_true (isnan (got));
      else if (x > 88.0f)
        g_assert_cmpfloat (got, >=, 1.6e38);
      else if (expected < 0x1p-126)
        /* What is no normal float32 may be 0. */
        g_assert_true (got >= 0.0f && got <= 0x1p-126f);
      else
        g_assert_cmpfloat (fabs (got - expected), <=, 1.3e-7 * expected);
    }
  g_assert_cmpfloat (switti_exp (-INFINITY), ==, 0.0f);
  g_assert_cmpfloat (switti_exp (0.0f), ==, 1.0f);
}

static void
test_log (void)
{
  for (guint32 bits = 1; bits < 0x7f800000u; bits += STEP)
    {
      const float x = switti_float_from_bits (bits), got = switti_log (x);
      const double expected = log ((double) x);

      g_assert_cmpfloat (fabs (got - expected), <=, 2e-7 * fabs (expected));
    }
  /* Near 1, where the logarithm is small and its relative accuracy is what counts. */
  for (int i = -4000; i <= 4000; i++)
    {
      const float x = 1.0f + (float) i * 0x1p-23f;

      g_assert_cmpfloat (fabs (switti_log (x) - log ((double) x)), <=, 2e-7 * fabs (log ((double) x)));
    }
  g_assert_cmpfloat (switti_log (0.0f), <, -87.0f);
}

/* All of the 2^24 draws. */
static void
test_gumbel (void)
{
  double mean = 0.0, square = 0.0;

  for (guint32 draw = 0; draw < 1u << 24; draw++)
    {
      const double u = ((double) draw + 0.5) * 0x1p-24;
      const double expected = -log (-log (u));
      const float got = switti_gumbel (draw << 8 | (draw & 0xffu));

      /* The inner logarithm's relative error is an absolute one of the outer. */
      if (!(fabs (got - expected) <= 3e-7 + 3e-7 * fabs (expected)))
        g_error ("draw %u gives %.9g, not %.9g", draw, got, expected);
      mean += got * 0x1p-24;
      square += (double) got * got * 0x1p-24;
    }
  /* Gumbel's distribution has Euler's constant as its mean and the variance pi^2 / 6; the grid cuts its tails. */
  g_assert_cmpfloat_with_epsilon (mean, 0.5772157, 1e-5);
  g_assert_cmpfloat_with_epsilon (square - mean * mean, G_PI * G_PI / 6.0, 1e-4);
}

/* The vectors that Random123 publishes for philox4x32-10. */
static void
test_philox (void)
{
  static const guint32 known[][10] = {
    { 0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
    { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
      0x6d5451fd },
    { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
      0x24126ea1 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (known); i++)
    {
      const guint32 *k = known[i];
      const SwittiPhiloxBlock counter = { { k[0], k[1], k[2], k[3] } };
      const SwittiPhiloxBlock block = switti_philox (counter, k[4], k[5]);

      for (int word = 0; word < 4; word++)
        g_assert_cmphex (block.word[word], ==, k[6 + word]);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/math/exp", test_exp);
  g_test_add_func ("/math/log", test_log);
  g_test_add_func ("/math/gumbel", test_gumbel);
  g_test_add_func ("/math/philox", test_philox);
  return g_test_run ();
}
