/* test-vae-trainer.c - steps of an RQ-VAE's training: the use of its codes, and how unused ones come back
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-psnr-private.h"
#include "switti-vae-trainer-private.h"

#include <math.h>
#include <string.h>

#define SIDE 32 /* pixels, of --pn 1_2 */
#define N_VALUES (SIDE * SIDE * 3)

enum { VOCAB = 16, LATENT = 4, N_SCALES = 2 };

static void
set (SwittiTrainingOptions *options, const char *name, const char *text)
{
  g_autoptr (GError) error = NULL;

  switti_training_options_set (options, switti_training_options_find (name), text, &error);
  g_assert_no_error (error);
}

static void
make_options (SwittiTrainingOptions *options)
{
  switti_training_options_init (options);
  set (options, "vqvae-n-channels", "32");
  set (options, "vqvae-vocab-size", "16");
  set (options, "vqvae-channel-dim", "4");
  set (options, "pn", "1_2");
  set (options, "bs", "1");
  set (options, "tblr", "1e-3");
  set (options, "ema", "0.5");
  set (options, "max-iters", "20");
  set (options, "revive-iters", "2");
}

static void
step (SwittiVaeTrainer *trainer, const float *pixels, gint64 number, SwittiVaeReport *report)
{
  g_autoptr (GError) error = NULL;

  switti_vae_trainer_begin_step (trainer, &error);
  g_assert_no_error (error);
  switti_vae_trainer_add (trainer, pixels, &error);
  g_assert_no_error (error);
  switti_vae_trainer_finish_step (trainer, number, report, &error);
  g_assert_no_error (error);
}

/* The CPU's memory is the host's. */
static float *
values_of (SwittiTrainingModel *model, const char *name)
{
  SwittiParameters *parameters = model->parameters[0];

  return switti_parameters_get_values (parameters) + switti_parameters_find (parameters, name)->offset;
}

static gboolean
is_zero (const float *values, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (values[i] != 0)
      return FALSE;
  return TRUE;
}

static double
sum_up (const float *values, int n)
{
  double sum = 0;

  for (int i = 0; i < n; i++)
    sum += values[i];
  return sum;
}

/* The first step puts a new codebook to where the latents are; the fourth finds four codes unused, and moves them, and
 * them alone, to what the latent left at some place. */
static void
test_revival (void)
{
  g_auto (SwittiTrainingOptions) options = { 0 };
  g_autoptr (SwittiDevice) device = fixture_device (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiTrainingModel) model = NULL;
  g_autoptr (SwittiVaeTrainer) trainer = NULL;
  g_autofree float *pixels = fixture_input ("revival", 1, N_VALUES);
  float *codebook, *hits, *first, *second, *average, before[VOCAB][LATENT];
  double sums[N_SCALES];
  gsize offset;
  SwittiVaeReport report;

  make_options (&options);
  model = switti_training_model_new_vae (device, &options, &error);
  g_assert_no_error (error);
  trainer = switti_vae_trainer_new (model, &options, 1, &error);
  g_assert_no_error (error);
  codebook = values_of (model, "quantize.embedding.weight");
  hits = values_of (model, SWITTI_VAE_HITS);
  offset = (gsize) (codebook - switti_parameters_get_values (model->parameters[0]));
  first = switti_optimizer_get_first_moment (model->optimizers[0]) + offset;
  second = switti_optimizer_get_second_moment (model->optimizers[0]) + offset;
  average = switti_optimizer_get_average (model->optimizers[0]) + offset;

  g_assert_true (is_zero (hits, N_SCALES * VOCAB));
  step (trainer, pixels, 0, &report);
  /* Five places choose at most five codes. */
  g_assert_cmpint (report.n_revived, >=, VOCAB - 5);
  g_assert_cmpint (report.n_revived, <, VOCAB);
  g_assert_cmpfloat_with_epsilon (report.usage, 1 - report.n_revived / (double) VOCAB, 1e-9);
  for (int s = 0; s < N_SCALES; s++)
    sums[s] = sum_up (hits + s * VOCAB, VOCAB);
  step (trainer, pixels, 1, &report);
  g_assert_cmpint (report.n_revived, ==, 0);
  g_assert_cmpfloat (report.usage, ==, 1);
  for (int s = 0; s < N_SCALES; s++) /* an even share is 1 */
    g_assert_cmpfloat_with_epsilon (sum_up (hits + s * VOCAB, VOCAB), 0.98 * sums[s] + 0.02 * VOCAB, 1e-4);

  /* Four codes far from everything, which no scale has used for long. */
  for (int v = 0; v < 4; v++)
    for (int s = 0; s < N_SCALES; s++)
      hits[s * VOCAB + v] = 0.01f;
  for (int i = 0; i < 4 * LATENT; i++)
    codebook[i] = 1e4f;
  step (trainer, pixels, 2, &report); /* not at this step's end */
  g_assert_cmpint (report.n_revived, ==, 0);
  g_assert_cmpfloat (report.usage, ==, (VOCAB - 4) / (double) VOCAB);
  memcpy (before, codebook, sizeof before);
  step (trainer, pixels, 3, &report);
  g_assert_cmpint (report.n_revived, ==, 4);
  for (int v = 0; v < 4; v++)
    {
      /* A residual of a new encoder is of size 1. */
      for (int i = 0; i < LATENT; i++)
        g_assert_cmpfloat (fabsf (codebook[v * LATENT + i]), <, 100);
      g_assert_cmpmem (codebook + v * LATENT, sizeof (float) * LATENT, average + v * LATENT, sizeof (float) * LATENT);
      g_assert_true (is_zero (first + v * LATENT, LATENT) && is_zero (second + v * LATENT, LATENT));
      for (int s = 0; s < N_SCALES; s++)
        g_assert_cmpfloat (hits[s * VOCAB + v], ==, 1);
    }
  /* The others took an ordinary step of at most the learning rate; those that are used keep their moments. */
  for (int i = 4 * LATENT; i < VOCAB * LATENT; i++)
    g_assert_cmpfloat (fabsf (codebook[i] - ((float *) before)[i]), <, 5e-3);
  g_assert_false (is_zero (second + 4 * LATENT, (VOCAB - 4) * LATENT));
}

/* Two pictures, of which no code can stand for both: after 45 steps the reconstruction knows which is which. */
static void
test_learns (void)
{
  g_auto (SwittiTrainingOptions) options = { 0 };
  g_autoptr (SwittiDevice) device = fixture_device (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiTrainingModel) model = NULL;
  g_autoptr (SwittiVaeTrainer) trainer = NULL;
  g_autofree float *pixels = g_new (float, 2 * N_VALUES);
  SwittiVaeReport report = { 0 };
  double best = INFINITY;

  for (int i = 0; i < 2 * N_VALUES; i++)
    {
      const int image = i / N_VALUES, x = i / 3 % SIDE, y = i / 3 / SIDE % SIDE;

      pixels[i] = (image == 0 ? x < SIDE / 2 : y < SIDE / 2) ? 0.8f : -0.8f;
    }
  make_options (&options);
  set (&options, "bs", "2");
  set (&options, "tblr", "2e-3");
  set (&options, "max-iters", "1000");
  model = switti_training_model_new_vae (device, &options, &error);
  g_assert_no_error (error);
  trainer = switti_vae_trainer_new (model, &options, 2, &error);
  g_assert_no_error (error);
  for (int i = 0; i < 45; i++)
    {
      step (trainer, pixels, i, &report);
      /* Of several: a code that changes at its border gives a single step another picture. */
      if (i >= 35)
        best = MIN (best, report.loss.reconstruction);
    }
  /* The mean of both pictures has an error of 0.32; seen are 0.01. */
  g_assert_cmpfloat (best, <, 0.05);
}

/* A part twice is the same as it once; and what is evaluated is what was trained on. */
static void
test_parts (void)
{
  g_auto (SwittiTrainingOptions) options = { 0 };
  g_autoptr (SwittiDevice) device = fixture_device (1);
  g_autoptr (GError) error = NULL;
  g_autofree float *pixels = fixture_input ("parts", 1, N_VALUES);
  double norms[2];
  SwittiVaeLoss evaluated;

  for (int run = 0; run < 2; run++)
    {
      g_autoptr (SwittiTrainingModel) model = NULL;
      g_autoptr (SwittiVaeTrainer) trainer = NULL;
      SwittiVaeReport report;

      make_options (&options);
      set (&options, "grad-accum", run == 0 ? "1" : "2");
      model = switti_training_model_new_vae (device, &options, &error);
      g_assert_no_error (error);
      trainer = switti_vae_trainer_new (model, &options, 1, &error);
      g_assert_no_error (error);
      switti_vae_trainer_evaluate (trainer, pixels, &evaluated, &error);
      g_assert_no_error (error);
      switti_vae_trainer_begin_step (trainer, &error);
      for (int part = 0; part <= run; part++)
        switti_vae_trainer_add (trainer, pixels, &error);
      switti_vae_trainer_finish_step (trainer, 0, &report, &error);
      g_assert_no_error (error);
      g_assert_cmpfloat_with_epsilon (report.loss.loss, evaluated.loss, 1e-9 * evaluated.loss);
      g_assert_cmpfloat_with_epsilon (evaluated.loss, evaluated.reconstruction + evaluated.vq_loss, 1e-9);
      norms[run] = report.gradient_norm;
      switti_training_options_clear (&options);
    }
  g_assert_cmpfloat_with_epsilon (norms[0], norms[1], 1e-5 * norms[0]); /* float32 sums in another order */
}

static void
test_psnr (void)
{
  static const guint8 a[] = { 0, 10, 255 }, b[] = { 0, 10, 252 };
  const float values[] = { -1, 1, 0, -3, 3, 51 / 127.5f - 1 };
  static const guint8 expected[] = { 0, 255, 127, 0, 255, 51 };
  guint8 rgb[6];

  g_assert_cmpfloat_with_epsilon (switti_psnr (a, b, 3), 10 * log10 (255 * 255 / 3.0), 1e-9);
  g_assert_cmpfloat (switti_psnr (a, a, 3), ==, 100);
  switti_pixels_to_rgb (values, 6, rgb);
  g_assert_cmpmem (rgb, 6, expected, 6);
  /* 8 bits go to [-1, 1] and back. */
  for (int i = 0; i < 256; i++)
    {
      const float value = (float) i / 127.5f - 1;

      switti_pixels_to_rgb (&value, 1, rgb);
      g_assert_cmpint (rgb[0], ==, i);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vae-trainer/psnr", test_psnr);
  g_test_add_func ("/vae-trainer/parts", test_parts);
  g_test_add_func ("/vae-trainer/revival", test_revival);
  g_test_add_func ("/vae-trainer/learns", test_learns);
  return g_test_run ();
}
