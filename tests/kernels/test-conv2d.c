/* test-conv2d.c - convolutions against sums in double precision
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "product-test.h"

typedef struct
{
  SwittiConv conv;
  gint64 out_height, out_width;
  Operand x, w, bias, residual, d;
} Case;

static gint64
out_size (gint64 size, const SwittiConv *conv, int before, int after)
{
  return ((conv->upsample ? 2 : 1) * size + before + after - conv->kernel) / conv->stride + 1;
}

static gsize
d_count (const Case *c)
{
  return (gsize) (c->conv.batch * c->out_height * c->out_width * c->conv.c_out);
}

static Case
case_new (const SwittiConv *conv, guint32 seed)
{
  g_autoptr (GRand) weights = g_rand_new_with_seed (seed + 1), maps = g_rand_new_with_seed (seed);
  Case c = { .conv = *conv };

  c.out_height = out_size (conv->height, conv, conv->pad_top, conv->pad_bottom);
  c.out_width = out_size (conv->width, conv, conv->pad_left, conv->pad_right);
  c.w = operand_new (conv->w_dtype, (gsize) (conv->c_out * conv->c_in * conv->kernel * conv->kernel), weights);
  c.bias = operand_new (SWITTI_DTYPE_F32, (gsize) conv->c_out, weights);
  c.x = operand_new (conv->x_dtype, (gsize) (conv->batch * conv->height * conv->width * conv->c_in), maps);
  c.residual = operand_new (conv->d_dtype, d_count (&c), maps);
  operand_map (&c.d, conv->d_dtype, d_count (&c));
  return c;
}

static void
case_clear (Case *c)
{
  operand_clear (&c->x);
  operand_clear (&c->w);
  operand_clear (&c->bias);
  operand_clear (&c->residual);
  operand_clear (&c->d);
}

static void
case_run_on (const SwittiKernels *kernels, SwittiKernelContext *context, Case *c, gboolean with_bias)
{
  SwittiConvPlan *plan = NULL;
  gsize bytes = kernels->conv_packed_bytes (context, &c->conv);
  Operand packed = { 0 };

  g_assert_cmpuint (bytes, >, 0);
  operand_map (&packed, c->conv.w_dtype, bytes / switti_dtype_size (c->conv.w_dtype));
  g_assert_cmpint (kernels->conv_pack (context, &c->conv, c->conv.w_dtype, c->w.data, packed.data), ==,
                   SWITTI_KERNEL_OK);
  g_assert_cmpint (kernels->conv_plan (context, &c->conv, &plan), ==, SWITTI_KERNEL_OK);
  memset (c->d.data, 0xff, d_count (c) * switti_dtype_size (c->conv.d_dtype)); /* NaN */
  g_assert_cmpint (kernels->conv (context, plan, c->x.data, packed.data, with_bias ? c->bias.data : NULL,
                                  c->conv.residual ? c->residual.data : NULL, c->d.data),
                   ==, SWITTI_KERNEL_OK);
  kernels->conv_plan_free (context, plan);
  operand_clear (&packed);
}

static void
case_run (SwittiKernelContext *context, Case *c, gboolean with_bias)
{
  case_run_on (test_kernels (), context, c, with_bias);
}

/* Output (b, y, x, o) by the definition, with the sum of absolute terms beside it. */
static double
expected_at (const Case *c, gint64 b, gint64 y, gint64 x, gint64 o, double *magnitude)
{
  const SwittiConv *v = &c->conv;
  gint64 zoom = v->upsample ? 2 : 1;
  double sum = 0.0;

  *magnitude = 0.0;
  for (gint64 ky = 0; ky < v->kernel; ky++)
    for (gint64 kx = 0; kx < v->kernel; kx++)
      {
        gint64 row = y * v->stride + ky - v->pad_top, column = x * v->stride + kx - v->pad_left;

        if (row < 0 || row >= zoom * v->height || column < 0 || column >= zoom * v->width)
          continue;
        for (gint64 i = 0; i < v->c_in; i++)
          {
            double term = c->x.value[((b * v->height + row / zoom) * v->width + column / zoom) * v->c_in + i]
                          * c->w.value[((o * v->c_in + i) * v->kernel + ky) * v->kernel + kx];

            sum += term;
            *magnitude += fabs (term);
          }
      }
  return sum;
}

static void
case_check (const Case *c, gboolean with_bias)
{
  const SwittiConv *v = &c->conv;
  gsize at = 0;

  for (gint64 b = 0; b < v->batch; b++)
    for (gint64 y = 0; y < c->out_height; y++)
      for (gint64 x = 0; x < c->out_width; x++)
        for (gint64 o = 0; o < v->c_out; o++, at++)
          {
            double magnitude, expected = expected_at (c, b, y, x, o, &magnitude);
            double got = test_load (v->d_dtype, c->d.data, at), bound;

            /* Upsampled: taps that read the same pixel have one weight, their sum, which is rounded as stored: half a
             * unit of bf16 in each term. */
            bound = v->upsample && v->w_dtype == SWITTI_DTYPE_BF16 ? 0x1p-8 * magnitude : 0.0;
            if (with_bias)
              {
                expected += c->bias.value[o];
                magnitude += fabs (c->bias.value[o]);
              }
            if (v->residual)
              {
                expected += c->residual.value[at];
                magnitude += fabs (c->residual.value[at]);
              }
            bound += test_bound ((gsize) (v->c_in * v->kernel * v->kernel), magnitude, expected, v->d_dtype);
            if (!(fabs (got - expected) <= bound))
              g_error ("(%d, %d, %d, %d): %.9g instead of %.9g, off by more than %.3g", (int) b, (int) y, (int) x,
                       (int) o, got, expected, bound);
          }
}

static void
check_everywhere (const SwittiConv *conv, gboolean with_bias)
{
  for (gsize i = 0; i < G_N_ELEMENTS (test_isas); i++)
    {
      SwittiKernelContext *context = test_context (test_isas[i], 2);
      Case c;

      if (context == NULL)
        continue;
      c = case_new (conv, 5);
      case_run (context, &c, with_bias);
      case_check (&c, with_bias);
      case_clear (&c);
      test_kernels ()->context_free (context);
    }
}

static const SwittiDtype float_dtypes[] = { SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16 };

static SwittiConv
same (gint64 height, gint64 width, gint64 c_in, gint64 c_out, int kernel)
{
  SwittiConv conv = { .batch = 1, .height = height, .width = width, .c_in = c_in, .c_out = c_out, .kernel = kernel };

  conv.stride = 1;
  conv.pad_top = conv.pad_left = conv.pad_bottom = conv.pad_right = kernel / 2;
  return conv;
}

static void
check_dtypes (SwittiConv conv)
{
  for (int choice = 0; choice < 8; choice++)
    {
      conv.x_dtype = float_dtypes[choice & 1];
      conv.w_dtype = float_dtypes[choice >> 1 & 1];
      conv.d_dtype = float_dtypes[choice >> 2 & 1];
      conv.residual = choice % 3 != 0;
      check_everywhere (&conv, choice % 2 == 0);
    }
}

static void
test_sizes (void)
{
  check_dtypes (same (1, 1, 1, 1, 3));
  check_dtypes (same (1, 7, 3, 5, 3));
  check_dtypes (same (6, 1, 4, 65, 3));
  check_dtypes (same (2, 2, 32, 32, 3));
  check_dtypes (same (5, 9, 130, 70, 3));
  check_dtypes (same (40, 33, 6, 3, 3));
  check_dtypes (same (2, 600, 2, 2, 3));
  check_dtypes (same (3, 3, 300, 64, 3));
}

static void
test_pointwise (void)
{
  check_dtypes (same (1, 1, 32, 64, 1));
  check_dtypes (same (9, 7, 65, 129, 1));
  check_dtypes (same (30, 40, 8, 6, 1));
}

/* The encoder's: the input padded right and bottom by 1. */
static void
test_stride (void)
{
  static const gint64 sizes[][2] = { { 8, 8 }, { 7, 9 }, { 2, 2 }, { 64, 34 } };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      SwittiConv conv = same (sizes[i][0], sizes[i][1], 12, 20, 3);

      conv.stride = 2;
      conv.pad_top = conv.pad_left = 0;
      check_dtypes (conv);
    }
}

static void
test_padding (void)
{
  for (int pads = 0; pads < 81; pads += 7)
    {
      SwittiConv conv = same (5, 4, 6, 9, 3);

      conv.pad_top = pads % 3;
      conv.pad_left = pads / 3 % 3;
      conv.pad_bottom = pads / 9 % 3;
      conv.pad_right = pads / 27 % 3;
      conv.x_dtype = conv.w_dtype = float_dtypes[pads % 2];
      check_everywhere (&conv, TRUE);
      conv.kernel = 1;
      check_everywhere (&conv, TRUE);
    }
}

static void
test_upsample (void)
{
  static const gint64 sizes[][2] = { { 1, 1 }, { 1, 5 }, { 4, 4 }, { 17, 6 } };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      SwittiConv conv = same (sizes[i][0], sizes[i][1], 10, 67, 3);

      conv.upsample = true;
      check_dtypes (conv);
      conv.pad_top = 0;
      conv.pad_left = 2;
      check_dtypes (conv);
      conv = same (sizes[i][0], sizes[i][1], 10, 67, 1);
      conv.upsample = true;
      check_dtypes (conv);
    }
}

/* Shapes for each of the tensor cores' tiles on CUDA: full ones and the last, partial ones; channels that fill no step,
 * or several; fewer outputs than a row of a tile. */
static void
test_tiles (void)
{
  static const struct
  {
    gint64 height, width, c_in, c_out;
    int kernel, stride;
    gboolean upsample;
  } shapes[] = {
    { 13, 39, 40, 160, 3, 1, FALSE }, { 13, 20, 8, 128, 3, 1, FALSE }, { 10, 10, 24, 80, 1, 1, FALSE },
    { 5, 21, 32, 64, 3, 1, FALSE },   { 1, 11, 160, 33, 3, 1, FALSE }, { 11, 1, 16, 3, 3, 1, FALSE },
    { 12, 13, 64, 3, 3, 1, FALSE },   { 17, 9, 24, 40, 3, 2, FALSE },  { 9, 12, 40, 5, 1, 2, FALSE },
    { 7, 5, 32, 24, 3, 1, TRUE },     { 1, 1, 8, 8, 3, 1, TRUE },      { 6, 7, 16, 70, 1, 1, TRUE },
    { 9, 17, 40, 8, 3, 1, FALSE },    { 10, 13, 3, 90, 3, 1, FALSE },  { 9, 8, 3, 20, 3, 2, FALSE },
    { 4, 3, 5, 17, 3, 1, TRUE },      { 3, 5, 30, 16, 1, 1, FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
    {
      SwittiConv conv = same (shapes[i].height, shapes[i].width, shapes[i].c_in, shapes[i].c_out, shapes[i].kernel);

      conv.stride = shapes[i].stride;
      conv.upsample = shapes[i].upsample;
      if (conv.stride == 2)
        conv.pad_top = conv.pad_left = 0;
      conv.x_dtype = conv.w_dtype = SWITTI_DTYPE_BF16;
      conv.d_dtype = float_dtypes[i % 2];
      conv.residual = i % 3 != 0;
      conv.batch = i % 4 == 1 ? 2 : 1;
      check_everywhere (&conv, i % 5 != 0);
    }
}

#if defined(SWITTI_TEST_CUDA_ON_HOST)
/* Root of the mean squared error against float64, and the largest difference from `twin` unless NULL, both relative to
 * the root of the mean square. */
static double
case_error (const Case *c, const double *twin, double *difference)
{
  const SwittiConv *v = &c->conv;
  double squares = 0.0, errors = 0.0, largest = 0.0;
  gsize at = 0;

  for (gint64 b = 0; b < v->batch; b++)
    for (gint64 y = 0; y < c->out_height; y++)
      for (gint64 x = 0; x < c->out_width; x++)
        for (gint64 o = 0; o < v->c_out; o++, at++)
          {
            double magnitude, got = test_load (v->d_dtype, c->d.data, at);
            double expected = expected_at (c, b, y, x, o, &magnitude) + c->bias.value[o] + c->residual.value[at];

            squares += expected * expected;
            errors += (got - expected) * (got - expected);
            largest = twin != NULL ? MAX (largest, fabs (got - twin[at])) : 0.0;
          }
  *difference = largest / sqrt (squares / (double) at);
  return sqrt (errors / squares);
}

/* float32 as near as 1e-5 to the CPU, and bf16 no more than twice as far as it from the truth. */
static void
test_twin (void)
{
  SwittiConv convs[] = { same (9, 11, 160, 40, 3), same (5, 6, 24, 160, 3), same (13, 7, 8, 24, 3),
                         same (6, 9, 40, 8, 1),    same (7, 5, 64, 40, 3),  same (12, 9, 40, 3, 3),
                         same (9, 14, 3, 40, 3) };
  SwittiKernelContext *context = test_context (NULL, 1), *twin_context = NULL;

  convs[4].upsample = true;
  convs[5].stride = 2;
  g_assert_cmpint (switti_kernels_cpu ()->context_new (NULL, &twin_context), ==, SWITTI_KERNEL_OK);
  for (gsize i = 0; i < 2 * G_N_ELEMENTS (convs); i++)
    {
      SwittiConv conv = convs[i / 2];
      double error, twin_error, difference;
      Case c;

      conv.x_dtype = conv.w_dtype = conv.d_dtype = float_dtypes[i % 2];
      conv.residual = true;
      c = case_new (&conv, 11);
      case_run_on (switti_kernels_cpu (), twin_context, &c, TRUE);
      g_autofree double *twin = g_new (double, d_count (&c));
      for (gsize j = 0; j < d_count (&c); j++)
        twin[j] = test_load (conv.d_dtype, c.d.data, j);
      twin_error = case_error (&c, NULL, &difference);
      case_run (context, &c, TRUE);
      error = case_error (&c, twin, &difference);
      g_test_message ("%zu: off by %.3g, the CPU by %.3g, largest difference %.3g", i, error, twin_error, difference);
      if (conv.d_dtype == SWITTI_DTYPE_F32)
        g_assert_cmpfloat (difference, <=, 1e-5);
      else
        g_assert_cmpfloat (error, <=, 2.0 * twin_error);
      case_clear (&c);
    }
  switti_kernels_cpu ()->context_free (twin_context);
  test_kernels ()->context_free (context);
}
#endif

/* Each image's map has the same bits alone and in a batch, with 1, 2 and 5 threads. */
static void
test_reproducible (void)
{
  static const int threads[] = { 1, 2, 5 };

  for (int choice = 0; choice < 8; choice++)
    {
      g_autofree void *reference = NULL;
      SwittiConv conv = TEST_SIMULATED ? same (8, 9, 19, 70, 3) : same (21, 13, 150, 80, 3);

      conv.x_dtype = float_dtypes[choice & 1];
      conv.w_dtype = float_dtypes[choice >> 1 & 1];
      conv.upsample = choice >> 2 & 1;
      for (int i = 0; i < 6; i++)
        {
          SwittiKernelContext *context = test_context (NULL, threads[i % 3]);
          gsize bytes;
          Case c;

          conv.batch = i < 3 ? 1 : 3;
          c = case_new (&conv, 9);
          bytes = d_count (&c) / (gsize) conv.batch * sizeof (float);
          case_run (context, &c, FALSE);
          if (reference == NULL)
            reference = g_memdup2 (c.d.data, bytes);
          else
            g_assert_cmpmem (reference, bytes, c.d.data, bytes);
          case_clear (&c);
          test_kernels ()->context_free (context);
        }
    }
}

static void
test_batch (void)
{
  SwittiConv conv = same (6, 5, 7, 4, 3);

  conv.batch = 3;
  check_dtypes (conv);
}

static void
test_invalid (void)
{
  const SwittiKernels *kernels = test_kernels ();
  SwittiKernelContext *context = test_context (NULL, 1);
  SwittiConv good = same (4, 4, 2, 2, 3), bad[10];
  float numbers[64] = { 0 }, packed[4096];
  SwittiConvPlan *plan = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    bad[i] = good;
  bad[0].batch = 0;
  bad[1].height = 0;
  bad[2].c_in = -3;
  bad[3].kernel = 5;
  bad[4].stride = 0;
  bad[5].stride = 2;
  bad[5].upsample = true;
  bad[6].pad_top = -1;
  bad[7].x_dtype = SWITTI_DTYPE_U8;
  bad[8].width = G_MAXINT64;
  bad[9].height = bad[9].width = 1;
  bad[9].pad_top = bad[9].pad_bottom = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_cmpuint (kernels->conv_packed_bytes (context, &bad[i]), ==, 0);
      g_assert_cmpint (kernels->conv_pack (context, &bad[i], SWITTI_DTYPE_F32, numbers, packed), ==,
                       SWITTI_KERNEL_INVALID);
      g_assert_cmpint (kernels->conv_plan (context, &bad[i], &plan), ==, SWITTI_KERNEL_INVALID);
      g_assert_null (plan);
      g_assert_cmpstr (kernels->error_message (context), !=, "");
    }
  g_assert_cmpuint (kernels->conv_packed_bytes (context, &good), <=, sizeof packed);
  g_assert_cmpint (kernels->conv_pack (context, &good, SWITTI_DTYPE_BOOL, numbers, packed), ==, SWITTI_KERNEL_INVALID);
  g_assert_cmpint (kernels->conv_pack (context, &good, SWITTI_DTYPE_F32, numbers, packed), ==, SWITTI_KERNEL_OK);
  g_assert_cmpint (kernels->conv_plan (context, &good, &plan), ==, SWITTI_KERNEL_OK);
  g_assert_cmpint (kernels->conv (context, plan, NULL, packed, NULL, NULL, numbers), ==, SWITTI_KERNEL_INVALID);
  /* A residual where the plan has none. */
  g_assert_cmpint (kernels->conv (context, plan, numbers, packed, NULL, numbers, numbers), ==, SWITTI_KERNEL_INVALID);
  kernels->conv_plan_free (context, plan);
  kernels->conv_plan_free (context, NULL);
  kernels->context_free (context);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/conv2d/sizes", test_sizes);
  g_test_add_func ("/conv2d/pointwise", test_pointwise);
  g_test_add_func ("/conv2d/stride", test_stride);
  g_test_add_func ("/conv2d/padding", test_padding);
  g_test_add_func ("/conv2d/upsample", test_upsample);
  g_test_add_func ("/conv2d/tiles", test_tiles);
#if defined(SWITTI_TEST_CUDA_ON_HOST)
  g_test_add_func ("/conv2d/twin", test_twin);
#endif
  g_test_add_func ("/conv2d/batch", test_batch);
  g_test_add_func ("/conv2d/reproducible", test_reproducible);
  g_test_add_func ("/conv2d/invalid", test_invalid);
  return g_test_run ();
}
