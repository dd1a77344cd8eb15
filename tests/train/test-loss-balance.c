/* test-loss-balance.c - how much the tokens of each scale weigh in the gradient, and the first scales alone
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-gradients-private.h"
#include "switti-random-private.h"
#include "switti-tokenizer-private.h"

#include <math.h>
#include <string.h>

#define BATCH 2
#define POSITIONS 14 /* of the scales 1 2 3 */
#define LATENT 32
#define N_SCALES 3

static const SwittiTransformerConfig config = {
  .depth = 1,
  .width = 32,
  .heads = 2,
  .ffn_hidden = 85,
  .vocab = 19,
  .latent = LATENT,
  .context_dim = 24,
  .pooled_dim = 16,
  .rope = TRUE,
  .swiglu = TRUE,
  .rope_theta = 10000,
  .rope_size = 128,
  .resolution = 48,
  .schedule = { N_SCALES, { 1, 2, 3 } },
};

typedef struct
{
  float latents[BATCH * (POSITIONS - 1) * LATENT];
  gint32 codes[BATCH * POSITIONS];
  int n_valid[BATCH];
} Inputs;

static void
inputs_init (Inputs *inputs)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);

  for (gsize i = 0; i < G_N_ELEMENTS (inputs->latents); i++)
    inputs->latents[i] = (float) g_rand_double_range (rand, -1, 1);
  for (gsize i = 0; i < G_N_ELEMENTS (inputs->codes); i++)
    inputs->codes[i] = g_rand_int_range (rand, 0, config.vocab);
  inputs->n_valid[0] = 5;
  inputs->n_valid[1] = 9;
}

static gboolean
write_or_fail (SwittiDevice *device, float *memory, const float *host, gsize bytes, GError **error)
{
  SWITTI_RUN (device, upload, memory, host, bytes);
  return TRUE;
}

static void
write_to (SwittiDevice *device, float *memory, const float *host, gsize count)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (write_or_fail (device, memory, host, count * sizeof (float), &error));
}

static void
fill_text (SwittiDevice *device, SwittiGradients *gradients)
{
  const gsize n_context = (gsize) (BATCH * SWITTI_TEXT_LENGTH * config.context_dim);
  g_autofree float *text = fixture_input ("in/ctx", 1, n_context);

  write_to (device, switti_gradients_get_context (gradients), text, n_context);
  write_to (device, switti_gradients_get_pooled (gradients), text, (gsize) (BATCH * config.pooled_dim));
}

/* The loss whose gradient is wanted: the scales' means, each by its tokens times their weight. */
static double
weighted_loss (const SwittiTrainingLoss *loss, double balance)
{
  double total = 0, weights = 0;

  for (int s = 0; s < N_SCALES; s++)
    {
      const double side = config.schedule.side[s], weight = side * side * pow (side, -2 * balance);

      total += weight * loss->scale_loss[s];
      weights += weight;
    }
  return total / weights;
}

/* Along the gradient itself, a step of t changes the loss by t |g|^2: the central difference of two losses in float32
 * keeps five digits of that, and its own error is of second order in t. */
static void
test_balance (gconstpointer data)
{
  const double balance = *(const double *) data;
  const SwittiGradientsOptions options = { .batch = BATCH, .loss_balance = balance };
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = fixture_device (1);
  g_autoptr (SwittiParameters) parameters
      = switti_transformer_parameters_new (device, &config, SWITTI_DTYPE_F32, &error);
  g_autoptr (SwittiGradients) gradients = NULL;
  g_autofree float *gradient = NULL, *values = NULL, *moved = NULL;
  const gsize size = switti_parameters_get_size (parameters);
  double squares = 0, losses[2], step;
  SwittiTrainingLoss loss;
  SwittiTrainingBatch batch;
  Inputs inputs;

  g_assert_no_error (error);
  inputs_init (&inputs);
  batch = (SwittiTrainingBatch){ .latents = inputs.latents, .codes = inputs.codes, .n_valid = inputs.n_valid };
  g_assert_true (switti_parameters_initialise (parameters, 5, 0.2, &error));
  gradients = switti_gradients_new (parameters, &config, &options, &error);
  g_assert_no_error (error);
  fill_text (device, gradients);
  g_assert_true (switti_gradients_add (gradients, &batch, 1, &loss, &error));
  gradient = fixture_download (device, switti_gradients_get_values (gradients), size * sizeof (float));
  values = fixture_download (device, switti_parameters_get_values (parameters), size * sizeof (float));
  for (gsize i = 0; i < size; i++)
    squares += (double) gradient[i] * gradient[i];
  g_assert_cmpfloat (squares, >, 1e-3);

  step = 5e-3 / sqrt (squares);
  moved = g_new (float, size);
  for (int side = 0; side < 2; side++)
    {
      for (gsize i = 0; i < size; i++)
        moved[i] = values[i] + (float) ((side == 0 ? -step : step) * gradient[i]);
      write_to (device, switti_parameters_get_values (parameters), moved, size);
      g_assert_true (switti_gradients_evaluate (gradients, &batch, &loss, &error));
      losses[side] = weighted_loss (&loss, balance);
    }
  g_assert_cmpfloat (fabs ((losses[1] - losses[0]) / (2 * step * squares) - 1), <, 2e-3);
}

/* A scale sees nothing of the finer ones: alone with the coarser ones it has the loss that it has among all. What
 * differs is how rows are shared out in products, so a few units in the last place. */
static void
test_first_scales (gconstpointer data)
{
  const gboolean ar = GPOINTER_TO_INT (data);
  const SwittiGradientsOptions options = { .batch = BATCH };
  const int kept = 2, positions = 1 + 4;
  SwittiTransformerConfig whole = config, first;
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = fixture_device (1);
  g_autoptr (SwittiParameters) parameters = NULL;
  g_autoptr (SwittiGradients) all = NULL, few = NULL;
  float latents[BATCH * (1 + 4 - 1) * LATENT];
  gint32 codes[BATCH * (1 + 4)];
  SwittiTrainingLoss all_loss, few_loss;
  SwittiTrainingBatch batch;
  Inputs inputs;

  whole.ar = ar;
  first = whole;
  first.schedule.n_scales = kept;
  inputs_init (&inputs);
  parameters = switti_transformer_parameters_new (device, &whole, SWITTI_DTYPE_F32, &error);
  g_assert_no_error (error);
  g_assert_true (switti_parameters_initialise (parameters, 5, 0.2, &error));
  all = switti_gradients_new (parameters, &whole, &options, &error);
  few = switti_gradients_new (parameters, &first, &options, &error);
  g_assert_no_error (error);
  fill_text (device, all);
  fill_text (device, few);
  batch = (SwittiTrainingBatch){ .latents = inputs.latents, .codes = inputs.codes, .n_valid = inputs.n_valid };
  g_assert_true (switti_gradients_evaluate (all, &batch, &all_loss, &error));
  for (int b = 0; b < BATCH; b++)
    {
      memcpy (latents + b * (positions - 1) * LATENT, inputs.latents + b * (POSITIONS - 1) * LATENT,
              (gsize) ((positions - 1) * LATENT) * sizeof (float));
      memcpy (codes + b * positions, inputs.codes + b * POSITIONS, (gsize) positions * sizeof (gint32));
    }
  batch.latents = latents;
  batch.codes = codes;
  g_assert_true (switti_gradients_add (few, &batch, 1, &few_loss, &error));
  for (int s = 0; s < kept; s++)
    g_assert_cmpfloat (fabs (few_loss.scale_loss[s] - all_loss.scale_loss[s]), <, 1e-5);
  g_assert_cmpfloat (few_loss.scale_loss[kept], ==, 0);
}

int
main (int argc, char **argv)
{
  static const double balances[] = { 0, 0.5, 1 };

  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/loss-balance/tokens-alike", &balances[0], test_balance);
  g_test_add_data_func ("/loss-balance/half", &balances[1], test_balance);
  g_test_add_data_func ("/loss-balance/scales-alike", &balances[2], test_balance);
  g_test_add_data_func ("/loss-balance/first-scales", GINT_TO_POINTER (FALSE), test_first_scales);
  g_test_add_data_func ("/loss-balance/first-scales-ar", GINT_TO_POINTER (TRUE), test_first_scales);
  return g_test_run ();
}
