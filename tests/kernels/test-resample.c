/* test-resample.c - resample
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "op-test.h"

#include "switti-safetensors-private.h"

#include <stdio.h>

static const char *const mode_names[] = { "nearest", "bicubic", "bilinear", "area" };

/* The weight of input `source` in output `i` of one axis, by the definitions. */
static double
axis_weight (SwittiResampleMode mode, gint64 i, gint64 source, gint64 in_size, gint64 out_size)
{
  const double position = ((double) i + 0.5) * (double) in_size / (double) out_size - 0.5;
  const double a = -0.75;
  double weight = 0.0;

  if (mode == SWITTI_RESAMPLE_NEAREST)
    return source == i * in_size / out_size ? 1.0 : 0.0;
  if (mode == SWITTI_RESAMPLE_AREA)
    {
      const gint64 first = i * in_size / out_size, end = ((i + 1) * in_size + out_size - 1) / out_size;

      return source >= first && source < end ? 1.0 / (double) (end - first) : 0.0;
    }
  /* Every position of the plane that the border clamps to `source`. */
  for (gint64 x = (gint64) floor (position) - 2; x <= (gint64) floor (position) + 3; x++)
    {
      const double t = fabs (position - (double) x);

      if (CLAMP (x, 0, in_size - 1) != source)
        continue;
      if (mode == SWITTI_RESAMPLE_BILINEAR)
        weight += MAX (0.0, 1.0 - t);
      else if (t < 1.0)
        weight += (a + 2.0) * t * t * t - (a + 3.0) * t * t + 1.0;
      else if (t < 2.0)
        weight += a * t * t * t - 5.0 * a * t * t + 8.0 * a * t - 4.0 * a;
    }
  return weight;
}

static Operand
run (SwittiKernelContext *context, const SwittiResample *op, gconstpointer in)
{
  Operand out = output_new (op->dtype, (gsize) (op->batch * op->out_height * op->out_width * op->channels));

  assert_ok (test_kernels ()->resample (context, op, in, out.data));
  return out;
}

static void
check (const SwittiResample *op, const Operand *in, const Operand *out)
{
  for (gsize i = 0; i < out->count; i++)
    {
      const gint64 channel = (gint64) i % op->channels, column = (gint64) i / op->channels % op->out_width;
      const gint64 row = (gint64) i / op->channels / op->out_width % op->out_height;
      const gint64 image = (gint64) i / op->channels / op->out_width / op->out_height;
      const double terms = (double) (op->in_height * op->in_width);
      double expected = 0.0;

      for (gint64 y = 0; y < op->in_height; y++)
        for (gint64 x = 0; x < op->in_width; x++)
          expected += axis_weight (op->mode, row, y, op->in_height, op->out_height)
                      * axis_weight (op->mode, column, x, op->in_width, op->out_width)
                      * in->value[((image * op->in_height + y) * op->in_width + x) * op->channels + channel];
      /* The position is worked out in float32, on a scale of in_size; weights have a slope below 2, and 16 taps. */
      const double position = 4.0 * ROUNDING * (double) (op->in_height + op->in_width) * 2.0 * 16.0;
      assert_element (out, i, expected,
                      op->mode == SWITTI_RESAMPLE_NEAREST ? 0.0 : position + MIN (terms, 64.0) * ROUNDING * 2.0);
    }
}

static void
test_shapes (gconstpointer isa)
{
  static const gint64 shapes[][6] = {
    /* B, C, in height and width, out height and width */
    { 1, 1, 1, 1, 1, 1 },  { 2, 3, 1, 1, 4, 5 },   { 1, 32, 5, 5, 16, 16 }, { 2, 7, 3, 5, 8, 2 },
    { 1, 33, 9, 9, 9, 9 }, { 1, 4, 16, 13, 3, 7 }, { 3, 2, 2, 3, 7, 4 },
  };
  SwittiKernelContext *context = op_context (isa, 2);

  for (gsize s = 0; context != NULL && s < G_N_ELEMENTS (shapes); s++)
    for (int mode = 0; mode < 4; mode++)
      for (int bf16 = 0; bf16 <= (mode == SWITTI_RESAMPLE_NEAREST); bf16++)
        {
          g_autoptr (GRand) rand = g_rand_new_with_seed (9);
          const gint64 *shape = shapes[s];
          const SwittiResample op = { .mode = (SwittiResampleMode) mode, .batch = shape[0], .channels = shape[1],
                                      .in_height = shape[2], .in_width = shape[3], .out_height = shape[4],
                                      .out_width = shape[5], .dtype = bf16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32 };
          Operand in = operand_new (op.dtype, (gsize) (shape[0] * shape[1] * shape[2] * shape[3]), rand);
          Operand out = run (context, &op, in.data);

          check (&op, &in, &out);
          operand_clear (&in);
          operand_clear (&out);
        }
  test_kernels ()->context_free (context);
}

static void
test_same_bits (gconstpointer isa)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (10);
  Operand in = operand_new (SWITTI_DTYPE_F32, 3 * 5 * 5 * 32, rand);

  for (int mode = 0; mode < 4; mode++)
    {
      SwittiResample op = { .mode = (SwittiResampleMode) mode, .batch = 3, .channels = 32, .in_height = 5,
                            .in_width = 5, .out_height = 7, .out_width = 4, .dtype = SWITTI_DTYPE_F32 };
      Operand out[3] = { 0 };

      for (int threads = 1; threads <= 3; threads++)
        {
          SwittiKernelContext *context = op_context (isa, threads);

          if (context == NULL)
            break;
          op.batch = 3;
          out[threads - 1] = run (context, &op, in.data);
          assert_same_bytes (&out[0], &out[threads - 1]);
          op.batch = 1;
          Operand alone = run (context, &op, operand_f32 (&in) + 2 * 5 * 5 * 32);
          g_assert_cmpmem (alone.data, alone.count * 4, operand_f32 (&out[0]) + 2 * alone.count, alone.count * 4);
          operand_clear (&alone);
          test_kernels ()->context_free (context);
        }
      for (int i = 0; i < 3; i++)
        operand_clear (&out[i]);
    }
  operand_clear (&in);
}

static void
test_refused (gconstpointer isa)
{
  SwittiKernelContext *context = op_context (isa, 1);
  const SwittiResample op = { .mode = SWITTI_RESAMPLE_AREA, .batch = 1, .channels = 1, .in_height = 1, .in_width = 1,
                              .out_height = 1, .out_width = 1, .dtype = SWITTI_DTYPE_BF16 };
  guint16 in = 0, out = 7;

  if (context == NULL)
    return;
  assert_invalid (test_kernels ()->resample (context, &op, &in, &out));
  g_assert_cmpuint (out, ==, 7);
  test_kernels ()->context_free (context);
}

/* Element i of the fixtures' inputs. */
static double
synthetic (const char *name, guint64 i)
{
  guint64 z = 0xcbf29ce484222325;

  for (const char *c = name; *c != '\0'; c++)
    z = (z ^ (guchar) *c) * 0x100000001b3;
  z += (i + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  z ^= z >> 31;
  return (double) (z >> 40) * 0x1p-23 - 1.0;
}

/* One tensor MODE_IN_OUT of the fixture: (1, channels, out, out), planes where the op has pixels. */
static void
check_fixture (SwittiKernelContext *context, SwittiResampleMode mode, gint64 in_size, const SwittiTensor *expected)
{
  const gint64 channels = expected->dims[1], out_size = expected->dims[2];
  const SwittiResample op = { .mode = mode, .batch = 1, .channels = channels, .in_height = in_size,
                              .in_width = in_size, .out_height = out_size, .out_width = out_size,
                              .dtype = SWITTI_DTYPE_F32 };
  const char *input = mode == SWITTI_RESAMPLE_AREA ? "in/area" : "in/interp";
  const float *planes = expected->data;
  g_autofree float *in = g_new (float, (gsize) (channels * in_size * in_size));
  double error = 0.0, norm = 0.0;

  g_assert_cmpint (synthetic ("abc", 0) == -0.6727547645568848, ==, TRUE);
  for (gint64 i = 0; i < channels * in_size * in_size; i++)
    in[i % (in_size * in_size) * channels + i / (in_size * in_size)] = (float) synthetic (input, (guint64) i);
  Operand out = run (context, &op, in);
  for (gint64 i = 0; i < channels * out_size * out_size; i++)
    {
      const double got = operand_f32 (&out)[i % (out_size * out_size) * channels + i / (out_size * out_size)];

      error += (got - planes[i]) * (got - planes[i]);
      norm += (double) planes[i] * planes[i];
    }
  /* Both sides are float32 with some twenty roundings; the fixtures ask for 1e-4. */
  g_assert_cmpfloat (sqrt (error), <=, 1e-6 * sqrt (norm));
  operand_clear (&out);
}

static void
test_fixtures (gconstpointer isa)
{
  g_autofree char *path = fixture_path ("sampling.safetensors");
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiSafetensors) file = switti_safetensors_open (path, &error);
  SwittiKernelContext *context = op_context (isa, 2);
  guint found = 0;

  g_assert_no_error (error);
  for (const char *const *name = switti_safetensors_list (file); context != NULL && *name != NULL; name++)
    for (int mode = 0; mode < 4; mode++)
      {
        g_auto (GStrv) words = g_strsplit (*name, "_", -1);
        SwittiTensor expected;

        if (g_strv_length (words) != 3 || g_strcmp0 (words[0], mode_names[mode]) != 0)
          continue;
        g_assert_true (switti_safetensors_lookup (file, *name, &expected));
        check_fixture (context, (SwittiResampleMode) mode, g_ascii_strtoll (words[1], NULL, 10), &expected);
        found++;
      }
  if (context != NULL)
    g_assert_cmpuint (found, >, 0);
  test_kernels ()->context_free (context);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  op_add ("/resample/shapes", test_shapes);
  op_add ("/resample/same-bits", test_same_bits);
  op_add ("/resample/refused", test_refused);
  op_add ("/resample/fixtures", test_fixtures);
  return g_test_run ();
}
