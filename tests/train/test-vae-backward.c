/* test-vae-backward.c - gradients of convolution, GroupNorm, resizing and tables, against finite differences
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "backward-test.h"

#define START 0.5f /* what sums start from */

static void
assert_ok (SwittiKernelStatus status)
{
  g_assert_cmpint (status, ==, SWITTI_KERNEL_OK);
}

/* -- convolution ----------------------------------------------------------------------------------------------- */

enum
{
  X,
  WEIGHT,
  BIAS,
  DY,
  N_INPUTS
};

static int
conv_side (const SwittiConv *c, gint64 side, int pad)
{
  return (int) (((c->upsample ? 2 : 1) * side + pad - c->kernel) / c->stride + 1);
}

/* One output value. */
static double
conv_value (double *const *in, const SwittiConv *c, int b, int oy, int ox, int o)
{
  const int scale = c->upsample ? 2 : 1, k = c->kernel;
  double value = in[BIAS][o];

  for (int ky = 0; ky < k; ky++)
    for (int kx = 0; kx < k; kx++)
      {
        const int y = oy * c->stride + ky - c->pad_top, x = ox * c->stride + kx - c->pad_left;

        if (y < 0 || x < 0 || y >= scale * c->height || x >= scale * c->width)
          continue;
        for (int i = 0; i < c->c_in; i++)
          value += in[X][((b * c->height + y / scale) * c->width + x / scale) * c->c_in + i]
                   * in[WEIGHT][((o * c->c_in + i) * k + ky) * k + kx];
      }
  return value;
}

static double
conv_loss (double *const *in, const void *data)
{
  const SwittiConv *c = data;
  const int height = conv_side (c, c->height, c->pad_top + c->pad_bottom);
  const int width = conv_side (c, c->width, c->pad_left + c->pad_right);
  const double *weight = in[DY];
  double total = 0;

  for (int b = 0; b < c->batch; b++)
    for (int y = 0; y < height; y++)
      for (int x = 0; x < width; x++)
        for (int o = 0; o < c->c_out; o++)
          total += conv_value (in, c, b, y, x, o) * *weight++;
  return total;
}

static void
check_conv (const SwittiConv *c, SwittiKernelContext *context, float *bits)
{
  const SwittiKernels *kernels = test_kernels ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (12);
  const int height = conv_side (c, c->height, c->pad_top + c->pad_bottom);
  const int width = conv_side (c, c->width, c->pad_left + c->pad_right);
  const gsize counts[N_INPUTS] = { (gsize) (c->batch * c->height * c->width * c->c_in),
                                   (gsize) (c->c_out * c->c_in * c->kernel * c->kernel), (gsize) c->c_out,
                                   (gsize) (c->batch * height * width * c->c_out) };
  SwittiConvBackwardPlan *plan = NULL;
  Operand operands[N_INPUTS];
  double *in[N_INPUTS];
  float *dx = test_output (SWITTI_DTYPE_F32, counts[X]), *d_weight = test_sum (counts[WEIGHT], START);
  float *d_bias = test_sum (counts[BIAS], START);

  for (int i = 0; i < N_INPUTS; i++)
    {
      operands[i] = operand_new (SWITTI_DTYPE_F32, counts[i], rand);
      in[i] = test_values (&operands[i]);
    }
  assert_ok (kernels->conv_backward_plan (context, c, &plan));
  assert_ok (kernels->conv_backward (context, plan, operands[X].data, operands[WEIGHT].data, operands[DY].data, dx,
                                     d_weight, d_bias));
  if (bits != NULL)
    memcpy (bits, d_weight, counts[WEIGHT] * sizeof (float));
  else
    {
      test_gradient ("dx", conv_loss, in, c, X, counts[X], SWITTI_DTYPE_F32, dx, 0, TEST_F32_TOLERANCE);
      test_gradient ("d_weight", conv_loss, in, c, WEIGHT, counts[WEIGHT], SWITTI_DTYPE_F32, d_weight, START,
                     TEST_F32_TOLERANCE);
      test_gradient ("d_bias", conv_loss, in, c, BIAS, counts[BIAS], SWITTI_DTYPE_F32, d_bias, START,
                     TEST_F32_TOLERANCE);
      /* Without dx, the parameters' gradients again. */
      assert_ok (kernels->conv_backward (context, plan, operands[X].data, NULL, operands[DY].data, NULL, d_weight,
                                         d_bias));
      for (int i = 0; i < N_INPUTS; i++)
        for (gsize j = 0; i == DY && j < counts[DY]; j++)
          in[DY][j] *= 2;
      test_gradient ("twice d_weight", conv_loss, in, c, WEIGHT, counts[WEIGHT], SWITTI_DTYPE_F32, d_weight, START,
                     TEST_F32_TOLERANCE);
    }
  kernels->conv_backward_plan_free (context, plan);
  g_aligned_free (dx);
  g_aligned_free (d_weight);
  g_aligned_free (d_bias);
  for (int i = 0; i < N_INPUTS; i++)
    {
      operand_clear (&operands[i]);
      g_free (in[i]);
    }
}

/* kernel 1 or 3, stride 1 or 2 (padded right and below alone), enlarged or not. */
static SwittiConv
describe (int batch, int height, int width, int c_in, int c_out, int kernel, int stride, gboolean upsample)
{
  const int pad = kernel / 2;

  return (SwittiConv){ .batch = batch, .height = height, .width = width, .c_in = c_in, .c_out = c_out,
                       .kernel = kernel, .stride = stride, .pad_top = stride == 1 ? pad : 0,
                       .pad_left = stride == 1 ? pad : 0, .pad_bottom = pad, .pad_right = pad, .upsample = upsample };
}

static void
test_conv (void)
{
  const SwittiConv convs[] = {
    describe (1, 1, 1, 1, 1, 1, 1, FALSE),  describe (1, 1, 1, 3, 2, 3, 1, FALSE),
    describe (2, 5, 4, 3, 7, 3, 1, FALSE),  describe (2, 6, 5, 18, 5, 1, 1, FALSE),
    describe (1, 6, 8, 5, 3, 3, 2, FALSE),  describe (2, 3, 2, 4, 6, 3, 1, TRUE),
  };

  for (gsize isa = 0; isa < G_N_ELEMENTS (test_isas); isa++)
    for (gsize i = 0; i < G_N_ELEMENTS (convs); i++)
      {
        SwittiKernelContext *context = test_context (test_isas[isa], 2);

        if (context == NULL)
          continue;
        check_conv (&convs[i], context, NULL);
        test_kernels ()->context_free (context);
      }
}

/* More columns than one chunk holds, and a last chunk that is smaller; the same bits from any number of threads. */
static void
test_conv_chunks (void)
{
  const SwittiConv conv
      = TEST_SIMULATED ? describe (1, 35, 33, 9, 2, 3, 1, FALSE) : describe (1, 49, 48, 128, 2, 3, 1, FALSE);
  const gsize count = (gsize) conv.c_in * 2 * 9;
  g_autofree float *one = g_new (float, count), *three = g_new (float, count);
  SwittiKernelContext *contexts[] = { test_context (NULL, 1), test_context (NULL, 3) };

  check_conv (&conv, contexts[1], NULL);
  check_conv (&conv, contexts[0], one);
  check_conv (&conv, contexts[1], three);
  g_assert_cmpmem (one, count * sizeof (float), three, count * sizeof (float));
  test_kernels ()->context_free (contexts[0]);
  test_kernels ()->context_free (contexts[1]);
}

static void
test_conv_refused (void)
{
  SwittiKernelContext *context = test_context (NULL, 1);
  SwittiConv convs[] = { describe (1, 4, 4, 3, 3, 3, 1, FALSE), describe (0, 4, 4, 3, 3, 3, 1, FALSE),
                         describe (1, 4, 4, 3, 3, 2, 1, FALSE) };
  SwittiConvBackwardPlan *plan = NULL;

  convs[0].x_dtype = SWITTI_DTYPE_BF16;
  for (gsize i = 0; i < G_N_ELEMENTS (convs); i++)
    g_assert_cmpint (test_kernels ()->conv_backward_plan (context, &convs[i], &plan), ==, SWITTI_KERNEL_INVALID);
  test_kernels ()->context_free (context);
}

/* -- GroupNorm ------------------------------------------------------------------------------------------------- */

static double
group_norm_loss (double *const *in, const void *data)
{
  const SwittiGroupNorm *s = data;
  const int c = (int) s->channels, width = c / (int) s->groups, n = (int) s->positions;
  double total = 0;

  for (int b = 0; b < s->batch; b++)
    for (int g = 0; g < s->groups; g++)
      {
        double mean = 0, variance = 0;

        for (int i = 0; i < n * width; i++)
          mean += in[X][(b * n + i / width) * c + g * width + i % width] / (n * width);
        for (int i = 0; i < n * width; i++)
          {
            double centred = in[X][(b * n + i / width) * c + g * width + i % width] - mean;

            variance += centred * centred / (n * width);
          }
        for (int i = 0; i < n * width; i++)
          {
            const int j = g * width + i % width, at = (b * n + i / width) * c + j;
            double z = (in[X][at] - mean) / sqrt (variance + s->eps) * in[WEIGHT][j] + in[BIAS][j];

            total += (s->silu ? z / (1 + exp (-z)) : z) * in[DY][at];
          }
      }
  return total;
}

static void
check_group_norm (SwittiGroupNorm s, SwittiDtype dtype, SwittiKernelContext *context)
{
  const SwittiKernels *kernels = test_kernels ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (13);
  const gsize count = (gsize) (s.batch * s.positions * s.channels), vector = (gsize) s.channels;
  const gsize counts[N_INPUTS] = { count, vector, vector, count };
  float *d_weight = test_sum (vector, START), *d_bias = test_sum (vector, START);
  void *dx = test_output (dtype, count);
  g_autofree void *scratch = NULL;
  Operand operands[N_INPUTS];
  double *in[N_INPUTS];

  s.x_dtype = s.y_dtype = dtype;
  for (int i = 0; i < N_INPUTS; i++)
    {
      operands[i] = operand_new (i == X || i == DY ? dtype : SWITTI_DTYPE_F32, counts[i], rand);
      in[i] = test_values (&operands[i]);
    }
  scratch = g_malloc (kernels->group_norm_backward_scratch_bytes (context, &s));
  assert_ok (kernels->group_norm_backward (context, &s, operands[X].data, operands[WEIGHT].data, operands[BIAS].data,
                                           operands[DY].data, scratch, dx, d_weight, d_bias));
  test_gradient ("dx", group_norm_loss, in, &s, X, count, dtype, dx, 0, test_tolerance (dtype));
  test_gradient ("d_weight", group_norm_loss, in, &s, WEIGHT, vector, SWITTI_DTYPE_F32, d_weight, START,
                 TEST_F32_TOLERANCE);
  test_gradient ("d_bias", group_norm_loss, in, &s, BIAS, vector, SWITTI_DTYPE_F32, d_bias, START,
                 TEST_F32_TOLERANCE);
  g_aligned_free (d_weight);
  g_aligned_free (d_bias);
  g_aligned_free (dx);
  for (int i = 0; i < N_INPUTS; i++)
    {
      operand_clear (&operands[i]);
      g_free (in[i]);
    }
}

static void
test_group_norm (void)
{
  /* batch, positions, channels, groups; the last one takes several chunks */
  static const SwittiGroupNorm shapes[] = {
    { 1, 2, 1, 1, 1e-6f, true }, { 2, 9, 12, 4, 1e-6f, true }, { 2, 7, 33, 33, 1e-6f, false },
    { 1, 37, 2048, 32, 1e-6f, true },
  };

  for (gsize isa = 0; isa < G_N_ELEMENTS (test_isas); isa++)
    for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
      {
        SwittiKernelContext *context = test_context (test_isas[isa], 2);

        if (context == NULL)
          continue;
        check_group_norm (shapes[i], SWITTI_DTYPE_F32, context);
        check_group_norm (shapes[i], SWITTI_DTYPE_BF16, context);
        test_kernels ()->context_free (context);
      }
}

/* -- resizing -------------------------------------------------------------------------------------------------- */

/* The op is linear: <d_out, A x> must be <A^T d_out, x>, and A is the forward op, which test-resample knows. */
static void
check_resample (const SwittiResample *s, SwittiKernelContext *context)
{
  const SwittiKernels *kernels = test_kernels ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (14);
  const gsize in_count = (gsize) (s->batch * s->in_height * s->in_width * s->channels);
  const gsize out_count = (gsize) (s->batch * s->out_height * s->out_width * s->channels);
  Operand d_out = operand_new (SWITTI_DTYPE_F32, out_count, rand);
  float *d_in = test_output (SWITTI_DTYPE_F32, in_count), *unit = test_sum (in_count, 0);
  float *column = test_output (SWITTI_DTYPE_F32, out_count);

  assert_ok (kernels->resample_backward (context, s, d_out.data, d_in));
  for (gsize i = 0; i < in_count; i++)
    {
      double expected = 0;

      unit[i] = 1;
      assert_ok (kernels->resample (context, s, unit, column));
      unit[i] = 0;
      for (gsize j = 0; j < out_count; j++)
        expected += (double) column[j] * d_out.value[j];
      /* some dozens of terms below 1 */
      g_assert_cmpfloat (fabs (d_in[i] - expected), <, 1e-5);
    }
  g_aligned_free (d_in);
  g_aligned_free (unit);
  g_aligned_free (column);
  operand_clear (&d_out);
}

static void
test_resample (void)
{
  static const SwittiResample shapes[] = {
    { SWITTI_RESAMPLE_NEAREST, 1, 3, 3, 2, 6, 4 },  { SWITTI_RESAMPLE_BICUBIC, 2, 5, 1, 1, 4, 4 },
    { SWITTI_RESAMPLE_BICUBIC, 1, 18, 3, 4, 7, 9 }, { SWITTI_RESAMPLE_BILINEAR, 1, 2, 3, 5, 8, 7 },
    { SWITTI_RESAMPLE_AREA, 2, 3, 7, 8, 3, 4 },     { SWITTI_RESAMPLE_AREA, 1, 17, 4, 4, 1, 1 },
  };

  for (gsize isa = 0; isa < G_N_ELEMENTS (test_isas); isa++)
    for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
      {
        SwittiKernelContext *context = test_context (test_isas[isa], 2);

        if (context == NULL)
          continue;
        check_resample (&shapes[i], context);
        test_kernels ()->context_free (context);
      }
}

/* -- tables and errors ----------------------------------------------------------------------------------------- */

static void
test_embed (void)
{
  static const gint32 ids[] = { 3, 0, 3, 1 }, outside[] = { 3, 0, 4, 1 };
  const int width = 70, entries = 4;
  SwittiKernelContext *context = test_context (NULL, 2);
  g_autoptr (GRand) rand = g_rand_new_with_seed (15);
  Operand dy = operand_new (SWITTI_DTYPE_F32, 4 * width, rand);
  float *table = test_sum (entries * width, START);

  assert_ok (test_kernels ()->embed_backward (context, 4, width, entries, ids, dy.data, table));
  for (int j = 0; j < width; j++)
    {
      g_assert_cmpfloat_with_epsilon (table[j], START + dy.value[width + j], 1e-6);
      g_assert_cmpfloat_with_epsilon (table[width + j], START + dy.value[3 * width + j], 1e-6);
      g_assert_cmpfloat (table[2 * width + j], ==, START);
      g_assert_cmpfloat_with_epsilon (table[3 * width + j], START + dy.value[j] + dy.value[2 * width + j], 1e-6);
    }
  if (!TEST_SIMULATED) /* CUDA cannot tell: the caller checks */
    g_assert_cmpint (test_kernels ()->embed_backward (context, 4, width, entries, outside, dy.data, table), ==,
                     SWITTI_KERNEL_INVALID);
  g_aligned_free (table);
  operand_clear (&dy);
  test_kernels ()->context_free (context);
}

static void
test_squared_difference (void)
{
  static const gsize counts[] = { 1, 300, 150001 };

  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      double sums[2], expected = 0;

      for (int j = 0; j < 2; j++)
        {
          SwittiKernelContext *context = test_context (NULL, 1 + 2 * j);
          g_autoptr (GRand) rand = g_rand_new_with_seed (16);
          Operand a = operand_new (SWITTI_DTYPE_F32, counts[i], rand);
          Operand b = operand_new (SWITTI_DTYPE_F32, counts[i], rand);

          assert_ok (test_kernels ()->squared_difference (context, (gint64) counts[i], a.data, b.data, &sums[j]));
          expected = 0;
          for (gsize k = 0; k < counts[i]; k++)
            expected += (a.value[k] - b.value[k]) * (a.value[k] - b.value[k]);
          /* 256 squares at a time in float32 */
          g_assert_cmpfloat (fabs (sums[j] - expected), <, 258 * 0x1p-24 * expected);
          operand_clear (&a);
          operand_clear (&b);
          test_kernels ()->context_free (context);
        }
      g_assert_cmpfloat (sums[0], ==, sums[1]);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vae-backward/conv", test_conv);
  g_test_add_func ("/vae-backward/conv-chunks", test_conv_chunks);
  g_test_add_func ("/vae-backward/conv-refused", test_conv_refused);
  g_test_add_func ("/vae-backward/group-norm", test_group_norm);
  g_test_add_func ("/vae-backward/resample", test_resample);
  g_test_add_func ("/vae-backward/embed", test_embed);
  g_test_add_func ("/vae-backward/squared-difference", test_squared_difference);
  return g_test_run ();
}
