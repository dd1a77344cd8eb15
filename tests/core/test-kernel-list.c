/* test-kernel-list.c - the list of a work's op calls: complete, and counted as the op table counts
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "kernel-list.h"
#include "kernel-run.h"
#include "switti-error.h"
#include "switti-transformer-private.h"
#include "switti-vae-private.h"

#include <math.h>
#include <string.h>

/* On host CUDA a thread is simulated in some nanoseconds an instruction: what is larger is left out there. */
#if defined(SWITTI_TEST_CUDA_ON_HOST)
#define MOST_BYTES 5e4
#else
#define MOST_BYTES INFINITY
#endif

static GArray *
list (const char *name, BenchWork *work, SwittiDtype dtype)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (bench_work_parse (name, work, &error));
  g_assert_no_error (error);
  work->dtype = dtype;
  return bench_kernels_list (work);
}

/* Operations of products, convolutions and attention of one part. */
static double
sum_flop (const GArray *kernels, const char *part)
{
  double flop = 0;

  for (guint i = 0; i < kernels->len; i++)
    {
      const BenchKernel *kernel = &g_array_index (kernels, BenchKernel, i);

      if (g_str_equal (kernel->part, part))
        flop += kernel->flop * kernel->calls;
    }
  return flop;
}

/* A list has the operations that the model's own count has. */
static void
test_complete (void)
{
  static const struct
  {
    const char *name;
    int guided_from, guided_to; /* the scales that run for the null prompt, too */
  } works[] = { { "512", 2, 8 }, { "1024", 1, 11 }, { "ar", 0, 8 } };

  for (gsize i = 0; i < G_N_ELEMENTS (works); i++)
    {
      BenchWork work;
      g_autoptr (GArray) kernels = list (works[i].name, &work, SWITTI_DTYPE_BF16);
      const SwittiSchedule *schedule = &work.transformer.schedule;
      double expected = 0;

      for (int s = 0; s < schedule->n_scales; s++)
        expected += switti_transformer_scale_flop (&work.transformer, s)
                    * (s >= works[i].guided_from && s < works[i].guided_to ? 2 : 1);
      g_assert_cmpfloat_with_epsilon (sum_flop (kernels, "transformer") / expected, 1, 1e-9);
      expected = switti_vae_decode_flop (&work.vae, schedule->side[schedule->n_scales - 1]);
      g_assert_cmpfloat_with_epsilon (sum_flop (kernels, "vae") / expected, 1, 1e-9);
    }
}

/* Twice forward but for the last block and the head, which go once, and two products for each backward. */
static void
test_step (void)
{
  BenchWork work;
  g_autoptr (GArray) kernels = list ("train", &work, SWITTI_DTYPE_BF16);
  const SwittiTransformerConfig *config = &work.transformer;
  double forward = switti_transformer_condition_flop (config);

  for (int s = 0; s < config->schedule.n_scales; s++)
    forward += switti_transformer_scale_flop (config, s);
  forward *= work.images;
  /* Attention's backward counts two and a half times its forward, and is some hundredths of all. */
  g_assert_cmpfloat (sum_flop (kernels, "step"), >, 3.9 * forward);
  g_assert_cmpfloat (sum_flop (kernels, "step"), <, 4.1 * forward);
}

/* Each entry runs, and what the op table counts is what the list says. */
static void
test_counts (gconstpointer data)
{
  const char *name = data;
  g_autoptr (SwittiDevice) device = fixture_device (1);
  static const SwittiDtype dtypes[] = { SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16 };

  for (gsize d = 0; d < G_N_ELEMENTS (dtypes); d++)
    {
      BenchWork work;
      g_autoptr (GArray) kernels = list (name, &work, dtypes[d]);

      g_assert_cmpuint (kernels->len, >, 20);
      for (guint i = 0; i < kernels->len; i++)
        {
          const BenchKernel *kernel = &g_array_index (kernels, BenchKernel, i);
          g_autofree char *words = bench_kernel_describe (kernel);
          g_autoptr (GError) error = NULL;
          BenchTime time;

          if (kernel->bytes > MOST_BYTES)
            continue;
          g_test_message ("%s %s %s: %s", bench_kernel_get_op_name (kernel), kernel->part, kernel->role, words);
          if (!bench_kernel_time (kernel, device, 0, &time, &error))
            {
              /* An op that a device has not got yet, of training. */
              g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED);
              g_assert_true (work.training);
              continue;
            }
          g_assert_cmpfloat (time.seconds, >, 0);
          g_assert_cmpfloat_with_epsilon (time.flop, kernel->flop, 1e-9 * (kernel->flop + 1));
          g_assert_cmpfloat_with_epsilon (time.bytes, kernel->bytes, 1e-9 * kernel->bytes);
        }
    }
  g_assert_cmpuint (switti_device_get_allocated_bytes (device), ==, 0);
}

static void
test_unknown (void)
{
  g_autoptr (GError) error = NULL;
  BenchWork work;

  g_assert_false (bench_work_parse ("2048", &work, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "2048"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/kernel-list/complete", test_complete);
  g_test_add_func ("/kernel-list/step", test_step);
  g_test_add_data_func ("/kernel-list/counts/generation", "small", test_counts);
  g_test_add_data_func ("/kernel-list/counts/step", "small-train", test_counts);
  g_test_add_func ("/kernel-list/unknown", test_unknown);
  return g_test_run ();
}
