/* test-gradients.c - losses, gradients and steps of every variant against the published code
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-error.h"
#include "switti-gradients-private.h"
#include "switti-optimizer-private.h"
#include "switti-tokenizer-private.h"

#include <math.h>
#include <string.h>

#define BATCH 2
#define POSITIONS 30 /* of the scales 1 2 3 4 */
#define VOCAB 256
#define LATENT 32
#define CONTEXT 2048
#define POOLED 1280
#define STEPS 4

/* tests/fixtures/README.md, "How close". */
#define LOSS_TOLERANCE 1e-5
#define PROBE_TOLERANCE 1e-3
/* Below this norm a gradient is what rounding leaves of zero. */
#define NO_GRADIENT 1e-6
/* The bar of bf16: losses within 1% of float32's. */
#define BF16_LOSS_TOLERANCE 0.01

typedef struct
{
  float *x, *context, *pooled;
  gint32 *codes;
  int n_valid[BATCH];
  SwittiTrainingBatch batch;
} Inputs;

static void
inputs_init (Inputs *inputs, SwittiSafetensors *file)
{
  static const int heights[BATCH] = { 512, 480 }, widths[BATCH] = { 512, 640 };
  gsize count;
  g_autofree float *mask = fixture_f32 (file, "ctx_mask", &count);

  g_assert_cmpuint (count, ==, BATCH * SWITTI_TEXT_LENGTH);
  inputs->x = fixture_input ("in/x", 1, BATCH * (POSITIONS - 1) * LATENT);
  inputs->context = fixture_input ("in/ctx", 1.7f, BATCH * SWITTI_TEXT_LENGTH * CONTEXT);
  inputs->pooled = fixture_input ("in/pool", 1.7f, BATCH * POOLED);
  inputs->codes = fixture_i32 (file, "gt", &count);
  g_assert_cmpuint (count, ==, BATCH * POSITIONS);
  for (int b = 0; b < BATCH; b++)
    {
      inputs->n_valid[b] = 0;
      for (int t = 0; t < SWITTI_TEXT_LENGTH; t++)
        inputs->n_valid[b] += mask[b * SWITTI_TEXT_LENGTH + t] == 1.0f;
    }
  inputs->batch = (SwittiTrainingBatch){ inputs->x, inputs->codes, inputs->n_valid, heights, widths };
}

static void
inputs_clear (Inputs *inputs)
{
  g_free (inputs->x);
  g_free (inputs->context);
  g_free (inputs->pooled);
  g_free (inputs->codes);
}

/* A model with all that trains it. */
typedef struct
{
  SwittiDevice *device;
  SwittiParameters *parameters;
  SwittiGradients *gradients;
  SwittiOptimizer *optimizer;
} Trainer;

typedef struct
{
  SwittiDtype dtype;
  int n_threads;
  gboolean recompute;
  int loss_rows;
  double smoothing;
  gboolean drops_branches;
} Setting;

static const Setting plain = { SWITTI_DTYPE_F32, 2, FALSE, 0, 0 };

static Trainer
trainer_new (const char *variant, const Setting *setting, const Inputs *inputs)
{
  const SwittiGradientsOptions options = { .batch = BATCH, .recompute = setting->recompute,
                                           .smoothing = setting->smoothing, .loss_rows = setting->loss_rows,
                                           .drops_branches = setting->drops_branches };
  const SwittiOptimizerOptions adamw = { .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .clip = 1 };
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("switti.", SWITTI_DTYPE_F32);
  g_autoptr (GError) error = NULL;
  SwittiTransformerConfig config;
  const SwittiKernels *kernels;
  Trainer trainer = { .device = fixture_device (setting->n_threads) };

  fixture_tiny_transformer (variant, &config);
  trainer.parameters = switti_transformer_parameters_new (trainer.device, &config, setting->dtype, &error);
  g_assert_no_error (error);
  g_assert_true (switti_parameters_load (trainer.parameters, weights, &error));
  trainer.gradients = switti_gradients_new (trainer.parameters, &config, &options, &error);
  g_assert_no_error (error);
  trainer.optimizer = switti_optimizer_new (trainer.parameters, &adamw, &error);
  g_assert_no_error (error);
  kernels = switti_device_get_kernels (trainer.device);
  kernels->upload (switti_device_get_context (trainer.device), switti_gradients_get_context (trainer.gradients),
                   inputs->context, BATCH * SWITTI_TEXT_LENGTH * CONTEXT * sizeof (float));
  kernels->upload (switti_device_get_context (trainer.device), switti_gradients_get_pooled (trainer.gradients),
                   inputs->pooled, BATCH * POOLED * sizeof (float));
  return trainer;
}

static void
trainer_clear (Trainer *trainer)
{
  switti_optimizer_free (trainer->optimizer);
  switti_gradients_free (trainer->gradients);
  switti_parameters_free (trainer->parameters);
  g_assert_cmpuint (switti_device_get_allocated_bytes (trainer->device), ==, 0);
  g_object_unref (trainer->device);
}

static SwittiTrainingLoss
add_batch (Trainer *trainer, const Inputs *inputs, double scale)
{
  g_autoptr (GError) error = NULL;
  SwittiTrainingLoss loss;

  switti_gradients_add (trainer->gradients, &inputs->batch, scale, &loss, &error);
  g_assert_no_error (error);
  return loss;
}

/* Gradients of one batch, then a step. */
static SwittiTrainingLoss
take_step (Trainer *trainer, const Inputs *inputs, double *norm)
{
  g_autoptr (GError) error = NULL;
  const float *values = switti_gradients_get_values (trainer->gradients);
  SwittiTrainingLoss loss;

  g_assert_true (switti_gradients_clear (trainer->gradients, &error));
  loss = add_batch (trainer, inputs, 1);
  switti_optimizer_measure (trainer->optimizer, values, norm, &error);
  g_assert_no_error (error);
  switti_optimizer_step (trainer->optimizer, values, *norm, 1e-3, 0.05, &error);
  g_assert_no_error (error);
  return loss;
}

/* (transfer full): a flat array of the trainer's device. */
static float *
download_flat (Trainer *trainer, const float *flat)
{
  return fixture_download (trainer->device, flat, switti_parameters_get_size (trainer->parameters) * sizeof (float));
}

/* -- against the published code -------------------------------------------------------------------------------- */

/* Compares the probes of all tensors that the fixture has under "<variant>/<kind>/". */
static void
compare_probes (SwittiSafetensors *file, const char *variant, const char *kind, Trainer *trainer, const float *flat)
{
  g_autofree char *prefix = g_strdup_printf ("%s/%s/", variant, kind);
  int n_compared = 0;
  double worst = 0;

  for (const char *const *name = switti_safetensors_list (file); *name != NULL; name++)
    {
      const char *bare = *name + strlen (prefix);
      const SwittiParameter *parameter;
      SwittiTensor tensor;
      const double *expected;
      double probe[5], error = 0;

      if (!g_str_has_prefix (*name, prefix))
        continue;
      parameter = switti_parameters_find (trainer->parameters, bare);
      g_assert_nonnull (parameter);
      g_assert_true (switti_safetensors_lookup (file, *name, &tensor));
      g_assert_cmpint (tensor.dtype, ==, SWITTI_DTYPE_F64);
      g_autofree double *values = g_memdup2 (tensor.data, 5 * sizeof (double));
      expected = values;
      fixture_probe (bare, flat + parameter->offset, parameter->count, probe);
      n_compared++;
      if (expected[4] < NO_GRADIENT)
        {
          g_assert_cmpfloat (probe[4], <, NO_GRADIENT);
          continue;
        }
      for (int i = 0; i < 5; i++)
        error = MAX (error, fabs (probe[i] - expected[i]) / expected[4]);
      worst = MAX (worst, error);
      if (!(error < PROBE_TOLERANCE))
        {
          g_test_message ("%s: off by %.3g of its norm", *name, error);
          g_test_fail ();
        }
    }
  g_test_message ("%s: %d tensors, the worst off by %.3g of its norm", prefix, n_compared, worst);
  /* All that the optimizer changes has a probe. */
  g_assert_cmpint (n_compared, >=, (int) switti_parameters_get_n (trainer->parameters) - 1);
}

static void
compare_variant (SwittiSafetensors *file, const char *variant, const Inputs *inputs)
{
  Trainer trainer = trainer_new (variant, &plain, inputs);
  g_autofree char *losses_name = g_strconcat (variant, "/losses", NULL);
  g_autofree char *norms_name = g_strconcat (variant, "/grad_norms", NULL);
  gsize count;
  g_autofree float *losses = fixture_f32 (file, losses_name, &count), *norms = fixture_f32 (file, norms_name, &count);
  g_autofree float *values = NULL;

  g_assert_cmpuint (count, ==, STEPS);
  for (int step = 0; step < STEPS; step++)
    {
      double norm;
      SwittiTrainingLoss loss = take_step (&trainer, inputs, &norm);

      g_test_message ("%s step %d: loss %.7g, %.3g off; norm %.6g, %.3g off", variant, step, loss.loss,
                      fabs (loss.loss - losses[step]) / losses[step], norm, fabs (norm - norms[step]) / norms[step]);
      g_assert_cmpfloat (fabs (loss.loss - losses[step]), <, LOSS_TOLERANCE * losses[step]);
      g_assert_cmpfloat (fabs (norm - norms[step]), <, PROBE_TOLERANCE * norms[step]);
      if (step == 0)
        {
          g_autofree float *gradients = download_flat (&trainer, switti_gradients_get_values (trainer.gradients));

          compare_probes (file, variant, "grad", &trainer, gradients);
        }
    }
  values = download_flat (&trainer, switti_parameters_get_values (trainer.parameters));
  compare_probes (file, variant, "after", &trainer, values);
  trainer_clear (&trainer);
}

static void
test_published (void)
{
  g_autoptr (SwittiSafetensors) file = fixture_open ("switti_tiny");
  g_auto (GStrv) variants = fixture_variants (file, "/losses");
  Inputs inputs;

  inputs_init (&inputs, file);
  for (char **variant = variants; *variant != NULL; variant++)
    compare_variant (file, *variant, &inputs);
  inputs_clear (&inputs);
}

/* The forward computation is the sampler's. */
static void
test_logits (void)
{
  g_autoptr (SwittiSafetensors) file = fixture_open ("switti_tiny");
  g_auto (GStrv) variants = fixture_variants (file, "/logits");
  Inputs inputs;

  inputs_init (&inputs, file);
  for (char **variant = variants; *variant != NULL; variant++)
    {
      Trainer trainer = trainer_new (*variant, &plain, &inputs);
      g_autofree char *name = g_strconcat (*variant, "/logits", NULL);
      gsize count;
      g_autofree float *expected = fixture_f32 (file, name, &count), *logits = g_new (float, count);
      g_autoptr (GError) error = NULL;
      SwittiTrainingLoss loss;

      g_assert_true (switti_gradients_evaluate (trainer.gradients, &inputs.batch, &loss, &error));
      g_assert_true (switti_gradients_get_logits (trainer.gradients, BATCH * POSITIONS, logits, &error));
      fixture_assert_close (name, logits, expected, count, FIXTURE_F32_TOLERANCE);
      trainer_clear (&trainer);
    }
  inputs_clear (&inputs);
}

/* -- bf16 ------------------------------------------------------------------------------------------------------ */

/* Forward and backward computation each lose what the published code's forward computation does: meta.json's number,
 * measured through thirty blocks. */
static void
compare_gradients (Trainer *narrow, Trainer *wide)
{
  g_autofree float *got = download_flat (narrow, switti_gradients_get_values (narrow->gradients));
  g_autofree float *expected = download_flat (wide, switti_gradients_get_values (wide->gradients));
  const double tolerance = 2 * fixture_meta ("full_bf16_autocast_rel_err");

  for (guint i = 0; i < switti_parameters_get_n (wide->parameters); i++)
    {
      const SwittiParameter *p = switti_parameters_get (wide->parameters, i);
      double error = fixture_relative_error (got + p->offset, expected + p->offset, p->count);

      if (!p->is_frozen && !(error < tolerance))
        {
          g_test_message ("%s: %.3g off in bf16, allowed %.3g", p->name, error, tolerance);
          g_test_fail ();
        }
    }
}

static void
test_bf16 (void)
{
  const Setting bf16 = { SWITTI_DTYPE_BF16, 2, FALSE, 0, 0 };
  g_autoptr (SwittiSafetensors) file = fixture_open ("switti_tiny");
  g_auto (GStrv) variants = fixture_variants (file, "/losses");
  Inputs inputs;

  inputs_init (&inputs, file);
  for (char **variant = variants; *variant != NULL; variant++)
    {
      Trainer narrow = trainer_new (*variant, &bf16, &inputs), wide = trainer_new (*variant, &plain, &inputs);

      for (int step = 0; step < STEPS; step++)
        {
          double norm, wide_norm;
          SwittiTrainingLoss got = take_step (&narrow, &inputs, &norm);
          SwittiTrainingLoss expected = take_step (&wide, &inputs, &wide_norm);

          g_test_message ("%s step %d: loss %.6g, in float32 %.6g; norm %.6g, in float32 %.6g", *variant, step,
                          got.loss, expected.loss, norm, wide_norm);
          g_assert_cmpfloat (fabs (got.loss - expected.loss), <, BF16_LOSS_TOLERANCE * expected.loss);
          if (step == 0)
            compare_gradients (&narrow, &wide);
        }
      trainer_clear (&narrow);
      trainer_clear (&wide);
    }
  inputs_clear (&inputs);
}

/* -- float16 --------------------------------------------------------------------------------------------------- */

#define LOSS_SCALE 2048.0 /* the published first one */

/* As take_step(), of a loss that is multiplied by `scale`. */
static SwittiTrainingLoss
take_scaled_step (Trainer *trainer, const Inputs *inputs, double scale, double *norm)
{
  g_autoptr (GError) error = NULL;
  const float *values = switti_gradients_get_values (trainer->gradients);
  SwittiTrainingLoss loss;

  switti_optimizer_set_loss_scale (trainer->optimizer, scale);
  g_assert_true (switti_gradients_clear (trainer->gradients, &error));
  loss = add_batch (trainer, inputs, scale);
  g_assert_true (switti_optimizer_measure (trainer->optimizer, values, norm, &error));
  if (isfinite (*norm))
    g_assert_true (switti_optimizer_step (trainer->optimizer, values, *norm, 1e-3, 0.05, &error));
  return loss;
}

/* A scale beyond float16 shows in the norm, and nowhere else. */
static void
check_overflow (Trainer *trainer, const Inputs *inputs)
{
  g_autofree float *before = download_flat (trainer, switti_parameters_get_values (trainer->parameters));
  g_autofree float *after = NULL;
  SwittiTrainingLoss loss;
  double norm;

  loss = take_scaled_step (trainer, inputs, 0x1p40, &norm);
  g_assert_false (isfinite (norm));
  g_assert_true (isfinite (loss.loss));
  after = download_flat (trainer, switti_parameters_get_values (trainer->parameters));
  g_assert_cmpmem (before, switti_parameters_get_size (trainer->parameters) * sizeof (float), after,
                   switti_parameters_get_size (trainer->parameters) * sizeof (float));
}

/* float16 keeps 11 bits where bf16 keeps 8: the bar of bf16's losses, and an eighth of its bar of gradients. */
static void
test_fp16 (void)
{
  const Setting fp16 = { SWITTI_DTYPE_F16, 2, FALSE, 0, 0 };
  const double tolerance = fixture_meta ("full_bf16_autocast_rel_err") / 4;
  g_autoptr (SwittiSafetensors) file = fixture_open ("switti_tiny");
  Inputs inputs;
  Trainer narrow, wide;

  inputs_init (&inputs, file);
  narrow = trainer_new ("nar", &fp16, &inputs);
  wide = trainer_new ("nar", &plain, &inputs);
  check_overflow (&narrow, &inputs);
  for (int step = 0; step < STEPS; step++)
    {
      double norm, wide_norm;
      SwittiTrainingLoss got = take_scaled_step (&narrow, &inputs, LOSS_SCALE, &norm);
      SwittiTrainingLoss expected = take_step (&wide, &inputs, &wide_norm);

      g_test_message ("step %d: loss %.6g, in float32 %.6g; norm %.6g, in float32 %.6g", step, got.loss, expected.loss,
                      norm, wide_norm);
      g_assert_cmpfloat (fabs (got.loss - expected.loss), <, BF16_LOSS_TOLERANCE * expected.loss);
      g_assert_cmpfloat (fabs (norm - wide_norm), <, tolerance * wide_norm);
    }
  trainer_clear (&narrow);
  trainer_clear (&wide);
  inputs_clear (&inputs);
}

/* -- the same bits --------------------------------------------------------------------------------------------- */

/* Gradients of one batch under `setting`. (transfer full) */
static float *
gradients_under (const char *variant, const Setting *setting, const Inputs *inputs, double scale, int n_batches,
                 gsize *count, SwittiTrainingLoss *loss)
{
  Trainer trainer = trainer_new (variant, setting, inputs);
  float *values;

  for (int i = 0; i < n_batches; i++)
    *loss = add_batch (&trainer, inputs, scale);
  *count = switti_parameters_get_size (trainer.parameters);
  values = download_flat (&trainer, switti_gradients_get_values (trainer.gradients));
  trainer_clear (&trainer);
  return values;
}

static void
test_same_bits (void)
{
  static const SwittiDtype dtypes[] = { SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16 };
  g_autoptr (SwittiSafetensors) file = fixture_open ("switti_tiny");
  g_auto (GStrv) variants = fixture_variants (file, "/losses");
  Inputs inputs;

  inputs_init (&inputs, file);
  for (char **variant = variants; *variant != NULL; variant++)
    for (gsize d = 0; d < G_N_ELEMENTS (dtypes); d++)
      {
        const Setting settings[] = {
          { dtypes[d], 1, FALSE, 0, 0 }, { dtypes[d], 1, TRUE, 0, 0 }, { dtypes[d], 2, FALSE, 0, 0 },
          { dtypes[d], 3, TRUE, 0, 0 },
        };
        SwittiTrainingLoss loss, other_loss;
        gsize count;
        g_autofree float *first = gradients_under (*variant, &settings[0], &inputs, 1, 1, &count, &loss);

        for (gsize i = 1; i < G_N_ELEMENTS (settings); i++)
          {
            g_autofree float *other = gradients_under (*variant, &settings[i], &inputs, 1, 1, &count, &other_loss);

            g_assert_cmpmem (first, count * sizeof (float), other, count * sizeof (float));
            g_assert_cmpmem (&loss, sizeof loss, &other_loss, sizeof other_loss);
          }
      }
  inputs_clear (&inputs);
}

/* Logits in pieces that do not divide the tokens, and a batch in two halves: sums in another order. */
static void
test_pieces (void)
{
  const Setting pieces = { SWITTI_DTYPE_F32, 2, FALSE, 7, 0 };
  g_autoptr (SwittiSafetensors) file = fixture_open ("switti_tiny");
  SwittiTrainingLoss loss, other_loss;
  Inputs inputs;
  gsize count;

  inputs_init (&inputs, file);
  g_autofree float *whole = gradients_under ("nar", &plain, &inputs, 1, 1, &count, &loss);
  g_autofree float *chunked = gradients_under ("nar", &pieces, &inputs, 1, 1, &count, &other_loss);
  g_autofree float *twice = gradients_under ("nar", &plain, &inputs, 0.5, 2, &count, &other_loss);

  g_assert_cmpfloat_with_epsilon (loss.loss, other_loss.loss, 1e-6);
  /* float32 sums over 60 tokens */
  fixture_assert_close ("logits in pieces", chunked, whole, count, 1e-6);
  fixture_assert_close ("two accumulated halves", twice, whole, count, 1e-6);
  inputs_clear (&inputs);
}

/* -- derivatives ----------------------------------------------------------------------------------------------- */

/* The whole chain: the loss along a line through the parameters, whose slope the gradient gives. */
static void
check_directions (SwittiSafetensors *file, const Setting *setting, const Inputs *inputs)
{
  g_auto (GStrv) variants = fixture_variants (file, "/losses");

  for (char **variant = variants; *variant != NULL; variant++)
    {
      Trainer trainer = trainer_new (*variant, setting, inputs);
      g_autoptr (GError) error = NULL;
      const gsize size = switti_parameters_get_size (trainer.parameters);
      const SwittiKernels *kernels = switti_device_get_kernels (trainer.device);
      SwittiKernelContext *context = switti_device_get_context (trainer.device);
      float *values = switti_parameters_get_values (trainer.parameters);
      g_autofree float *start = download_flat (&trainer, values), *gradients = NULL, *moved = g_new (float, size);
      double norm = 0, step, slope;
      SwittiTrainingLoss loss, ends[2];

      loss = add_batch (&trainer, inputs, 1);
      gradients = download_flat (&trainer, switti_gradients_get_values (trainer.gradients));
      for (gsize i = 0; i < size; i++)
        norm += (double) gradients[i] * gradients[i];
      norm = sqrt (norm);
      step = 1e-2 / norm;
      for (int end = 0; end < 2; end++)
        {
          for (gsize i = 0; i < size; i++)
            moved[i] = start[i] + (float) ((end == 0 ? -step : step) * gradients[i] / norm);
          g_assert_cmpint (kernels->upload (context, values, moved, size * sizeof (float)), ==, SWITTI_KERNEL_OK);
          g_assert_true (switti_gradients_evaluate (trainer.gradients, &inputs->batch, &ends[end], &error));
        }
      slope = (ends[1].loss - ends[0].loss) / (2 * step);
      g_test_message ("%s: loss %.6g, gradient's norm %.6g, slope along it %.6g", *variant, loss.loss, norm, slope);
      /* float32 losses leave 1e-7 * 6 of the 2e-2 that they differ by, and the curve its third derivative. */
      g_assert_cmpfloat (fabs (slope - norm), <, 2e-3 * norm);
      trainer_clear (&trainer);
    }
}

static void
test_directional (void)
{
  const Setting smoothed = { SWITTI_DTYPE_F32, 2, FALSE, 0, 0.1 };
  g_autoptr (SwittiSafetensors) file = fixture_open ("switti_tiny");
  Inputs inputs;

  inputs_init (&inputs, file);
  check_directions (file, &smoothed, &inputs);
  inputs_clear (&inputs);
}

/* -- stochastic depth -------------------------------------------------------------------------------------------- */

#define MAX_BRANCHES 64

/* Sets `inputs` to drop branches, or with `scale` 1 to keep all of them, in every block. */
static void
set_branches (Inputs *inputs, float scales[MAX_BRANCHES * BATCH], gboolean drops)
{
  for (int i = 0; i < MAX_BRANCHES * BATCH; i++)
    scales[i] = !drops ? 1.0f : i % 3 == 0 ? 0.0f : 1.25f;
  inputs->batch.branch_scales = scales;
}

/* Branches that are all kept change no bit. */
static void
test_kept_branches (void)
{
  const Setting setting = { SWITTI_DTYPE_F32, 2, TRUE, 0, 0, TRUE };
  g_autoptr (SwittiSafetensors) file = fixture_open ("switti_tiny");
  g_auto (GStrv) variants = fixture_variants (file, "/losses");
  float scales[MAX_BRANCHES * BATCH];

  for (char **variant = variants; *variant != NULL; variant++)
    {
      SwittiTrainingLoss loss, other_loss;
      Inputs inputs;
      gsize count;

      inputs_init (&inputs, file);
      g_autofree float *expected = gradients_under (*variant, &plain, &inputs, 1, 1, &count, &loss);
      set_branches (&inputs, scales, FALSE);
      g_autofree float *got = gradients_under (*variant, &setting, &inputs, 1, 1, &count, &other_loss);
      g_assert_cmpmem (expected, count * sizeof (float), got, count * sizeof (float));
      set_branches (&inputs, scales, TRUE);
      g_autofree float *dropped = gradients_under (*variant, &setting, &inputs, 1, 1, &count, &other_loss);
      g_assert_cmpfloat (loss.loss, !=, other_loss.loss);
      inputs_clear (&inputs);
    }
}

static void
test_dropped_branches (void)
{
  const Setting setting = { SWITTI_DTYPE_F32, 2, FALSE, 0, 0, TRUE };
  float scales[MAX_BRANCHES * BATCH];
  g_autoptr (SwittiSafetensors) file = fixture_open ("switti_tiny");
  Inputs inputs;

  inputs_init (&inputs, file);
  set_branches (&inputs, scales, TRUE);
  check_directions (file, &setting, &inputs);
  inputs_clear (&inputs);
}

/* -- errors ---------------------------------------------------------------------------------------------------- */

static void
test_bad_code (void)
{
  g_autoptr (SwittiSafetensors) file = fixture_open ("switti_tiny");
  g_autoptr (GError) error = NULL;
  SwittiTrainingLoss loss;
  Inputs inputs;
  Trainer trainer;

  inputs_init (&inputs, file);
  trainer = trainer_new ("nar", &plain, &inputs);
  inputs.codes[POSITIONS + 3] = VOCAB;
  g_assert_false (switti_gradients_add (trainer.gradients, &inputs.batch, 1, &loss, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
  trainer_clear (&trainer);
  inputs_clear (&inputs);
}

/* A step whose gradients are not finite changes nothing. */
static void
test_diverged (void)
{
  g_autoptr (SwittiSafetensors) file = fixture_open ("switti_tiny");
  g_autoptr (GError) error = NULL;
  Inputs inputs;
  Trainer trainer;

  inputs_init (&inputs, file);
  trainer = trainer_new ("nar", &plain, &inputs);
  g_autofree float *before = download_flat (&trainer, switti_parameters_get_values (trainer.parameters));
  g_assert_false (switti_optimizer_step (trainer.optimizer, switti_gradients_get_values (trainer.gradients), NAN, 1e-3,
                                         0, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
  g_autofree float *after = download_flat (&trainer, switti_parameters_get_values (trainer.parameters));
  const gsize bytes = switti_parameters_get_size (trainer.parameters) * sizeof (float);
  g_assert_cmpmem (before, bytes, after, bytes);
  g_assert_cmpint (switti_optimizer_get_n_steps (trainer.optimizer), ==, 0);
  trainer_clear (&trainer);
  inputs_clear (&inputs);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/gradients/logits", test_logits);
  g_test_add_func ("/gradients/published", test_published);
  g_test_add_func ("/gradients/bf16", test_bf16);
  g_test_add_func ("/gradients/fp16", test_fp16);
  g_test_add_func ("/gradients/same-bits", test_same_bits);
  g_test_add_func ("/gradients/pieces", test_pieces);
  g_test_add_func ("/gradients/directional", test_directional);
  g_test_add_func ("/gradients/kept-branches", test_kept_branches);
  g_test_add_func ("/gradients/dropped-branches", test_dropped_branches);
  g_test_add_func ("/gradients/bad-code", test_bad_code);
  g_test_add_func ("/gradients/diverged", test_diverged);
  return g_test_run ();
}
