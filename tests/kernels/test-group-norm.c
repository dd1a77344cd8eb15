/* test-group-norm.c - group_norm
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "op-test.h"

typedef struct
{
  SwittiGroupNorm norm;
  Operand x, weight, bias;
} Case;

static void
case_init (Case *test, gint64 batch, gint64 positions, gint64 channels, gint64 groups, int variant)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32) (positions + channels));

  test->norm = (SwittiGroupNorm){ .batch = batch, .positions = positions, .channels = channels, .groups = groups,
                                  .eps = 1e-6f, .silu = variant & 1,
                                  .x_dtype = variant & 2 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32,
                                  .y_dtype = variant & 4 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32 };
  test->x = operand_new (test->norm.x_dtype, (gsize) (batch * positions * channels), rand);
  test->weight = operand_new (SWITTI_DTYPE_F32, (gsize) channels, rand);
  test->bias = operand_new (SWITTI_DTYPE_F32, (gsize) channels, rand);
}

static void
case_clear (Case *test)
{
  operand_clear (&test->x);
  operand_clear (&test->weight);
  operand_clear (&test->bias);
}

/* Images [first, first + batch). The scratch is as large as the op asks for and not a byte more. */
static Operand
run (SwittiKernelContext *context, const Case *test, gint64 first, gint64 batch)
{
  const SwittiKernels *kernels = test_kernels ();
  const gint64 image = test->norm.positions * test->norm.channels;
  SwittiGroupNorm norm = test->norm;
  Operand y = output_new (norm.y_dtype, (gsize) (batch * image));
  gpointer scratch;

  norm.batch = batch;
  scratch = g_aligned_alloc (kernels->group_norm_scratch_bytes (context, &norm), 1, 64);
  const char *x = (const char *) test->x.data + (gsize) (first * image) * switti_dtype_size (norm.x_dtype);
  assert_ok (kernels->group_norm (context, &norm, x, test->weight.data, test->bias.data, scratch, y.data));
  g_aligned_free (scratch);
  return y;
}

static void
check (const Case *test, const Operand *y)
{
  const SwittiGroupNorm *norm = &test->norm;
  const gint64 width = norm->channels / norm->groups, image = norm->positions * norm->channels;
  const double count = (double) (norm->positions * width);
  /* Sums of a chunk of at most 32768 elements of all groups: each has a lane for every channel. */
  const double roundings = 32768.0 / (double) norm->channels / 4.0 + (double) width + 16.0;

  for (gint64 b = 0; b < norm->batch; b++)
    for (gint64 g = 0; g < norm->groups; g++)
      {
        const gint64 base = b * image + g * width;
        double mean = 0.0, squares = 0.0;

        for (gint64 i = 0; i < norm->positions * width; i++)
          mean += test->x.value[base + i / width * norm->channels + i % width] / count;
        for (gint64 i = 0; i < norm->positions * width; i++)
          {
            const double centred = test->x.value[base + i / width * norm->channels + i % width] - mean;
            squares += centred * centred;
          }
        const double inverse = 1.0 / sqrt (squares / count + norm->eps);
        for (gint64 i = 0; i < norm->positions * width; i++)
          {
            const gint64 at = base + i / width * norm->channels + i % width, channel = g * width + i % width;
            const double factor = inverse * test->weight.value[channel];
            double value = (test->x.value[at] - mean) * factor + test->bias.value[channel];
            const double magnitude = (fabs (test->x.value[at]) + fabs (mean) + 1.0) * fabs (factor) + 1.0;

            if (norm->silu)
              value /= 1.0 + exp (-value);
            assert_element (y, (gsize) at, value, roundings * ROUNDING * magnitude);
          }
      }
}

static void
test_shapes (gconstpointer isa)
{
  static const gint64 shapes[][4] = {
    { 1, 1, 32, 32 }, { 2, 6, 12, 4 }, { 1, 500, 160, 32 }, { 2, 131, 640, 32 }, { 1, 1033, 64, 32 }, { 1, 9, 5, 1 },
  };
  SwittiKernelContext *context = op_context (isa, 2);

  for (gsize s = 0; context != NULL && s < G_N_ELEMENTS (shapes); s++)
    for (int variant = 0; variant < 8; variant++)
      {
        Case test;

        case_init (&test, shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3], variant);
        Operand y = run (context, &test, 0, test.norm.batch);
        check (&test, &y);
        operand_clear (&y);
        case_clear (&test);
      }
  test_kernels ()->context_free (context);
}

/* A mean a thousand times the deviation, over many chunks. */
static void
test_large_mean (gconstpointer isa)
{
  enum { POSITIONS = 3000, CHANNELS = 32 };
  SwittiKernelContext *context = op_context (isa, 2);
  Case test;

  if (context == NULL)
    return;
  case_init (&test, 1, POSITIONS, CHANNELS, 2, 0);
  for (gsize i = 0; i < POSITIONS * CHANNELS; i++)
    operand_f32 (&test.x)[i] = 1024.0f + (i / CHANNELS % 2 == 0 ? 1.0f : -1.0f);
  Operand y = run (context, &test, 0, 1);
  for (gsize i = 0; i < POSITIONS * CHANNELS; i++)
    {
      const double sign = i / CHANNELS % 2 == 0 ? 1.0 : -1.0;
      /* x * factor + offset takes the mean off in float32: 1024 roundings of 1. */
      assert_element (&y, i, sign * test.weight.value[i % CHANNELS] + test.bias.value[i % CHANNELS],
                      4.0 * 1024.0 * ROUNDING);
    }
  operand_clear (&y);
  case_clear (&test);
  test_kernels ()->context_free (context);
}

static void
test_same_bits (gconstpointer isa)
{
  const gint64 image = 700 * 96;
  Operand y[3] = { 0 };
  Case test;

  case_init (&test, 3, 700, 96, 32, 1);
  for (int threads = 1; threads <= 3; threads++)
    {
      SwittiKernelContext *context = op_context (isa, threads);

      if (context == NULL)
        break;
      y[threads - 1] = run (context, &test, 0, 3);
      assert_same_bytes (&y[0], &y[threads - 1]);
      Operand alone = run (context, &test, 2, 1);
      g_assert_cmpmem (alone.data, alone.count * 4, operand_f32 (&y[0]) + 2 * image, (gsize) image * 4);
      operand_clear (&alone);
      test_kernels ()->context_free (context);
    }
  for (int i = 0; i < 3; i++)
    operand_clear (&y[i]);
  case_clear (&test);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  op_add ("/group-norm/shapes", test_shapes);
  op_add ("/group-norm/large-mean", test_large_mean);
  op_add ("/group-norm/same-bits", test_same_bits);
  return g_test_run ();
}
