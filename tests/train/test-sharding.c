/* test-sharding.c - training on many ranks against training on one: whole on each, sharded, and hybrid
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "ranks-in-threads.h"
#include "switti-error.h"
#include "switti-gradients-private.h"
#include "switti-optimizer-private.h"
#include "switti-text-gradients-private.h"
#include "switti-tokenizer-private.h"

#include <math.h>
#include <string.h>

#define T SWITTI_TEXT_LENGTH
#define IMAGES 4 /* of a step, over all ranks */
#define POSITIONS 30
#define LATENT 32
#define WIDTH 64
#define STEPS 3
/* Sums of float32 in another order, through a few steps: the bar. */
#define TOLERANCE 1e-5

enum
{
  TRANSFORMER,
  TEXT,
  TEXT_2,
  N_PARTS
};

typedef struct
{
  SwittiDtype dtype;
  int n_replicas; /* 0: without sharding at all */
  gboolean recompute;
  int accumulate;
} Setting;

/* What a run ends with: rank 0's. */
typedef struct
{
  const Setting *setting;
  float *values[N_PARTS];
  gsize size[N_PARTS];
  double loss[STEPS], norm[STEPS];
  guint64 bytes; /* of device memory, of rank 0 */
} Result;

/* One rank's. */
typedef struct
{
  SwittiDevice *device;
  SwittiSharding *sharding;
  int rank, n_ranks, batch;
  SwittiParameters *parameters[N_PARTS];
  SwittiOptimizer *optimizers[N_PARTS];
  SwittiTextGradients *text[2];
  SwittiGradients *gradients;
} Model;

static float *
values_of (Model *model, int part)
{
  return part == TRANSFORMER ? switti_gradients_get_values (model->gradients)
                             : switti_text_gradients_get_values (model->text[part - TEXT]);
}

static void
make_parts (Model *model, const Setting *setting)
{
  static const char *const prefixes[N_PARTS] = { "switti.", "clip_l.", "clip_g." };
  const SwittiOptimizerOptions adamw
      = { .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .clip = 1, .average_decay = 0.9 };
  const SwittiGradientsOptions options
      = { .batch = model->batch, .recompute = setting->recompute, .text_gradients = TRUE };
  g_autoptr (GError) error = NULL;
  SwittiTransformerConfig config;
  SwittiTextConfig text = { .layers = 2, .width = WIDTH, .heads = 4, .mlp = 96, .vocab = 100, .positions = T,
                            .norm_eps = 1e-5, .bos_id = 98, .eos_id = 99 };

  fixture_tiny_transformer ("nar", &config);
  config.depth = 3;
  config.context_dim = 2 * WIDTH;
  config.pooled_dim = WIDTH;
  for (int i = 0; i < N_PARTS; i++)
    {
      g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic (prefixes[i], SWITTI_DTYPE_F32);

      text.quick_gelu = i == TEXT;
      model->parameters[i]
          = i == TRANSFORMER
                ? switti_transformer_parameters_new_sharded (model->device, &config, setting->dtype, model->sharding,
                                                             &error)
                : switti_text_parameters_new_sharded (model->device, &text, setting->dtype, model->sharding, &error);
      g_assert_no_error (error);
      g_assert_true (switti_parameters_load (model->parameters[i], weights, &error));
      model->optimizers[i] = switti_optimizer_new (model->parameters[i], &adamw, &error);
      if (i == TRANSFORMER)
        model->gradients = switti_gradients_new (model->parameters[i], &config, &options, &error);
      else
        model->text[i - TEXT] = switti_text_gradients_new (model->parameters[i], &text, model->batch, &error);
      g_assert_no_error (error);
    }
}

static void
model_clear (Model *model)
{
  switti_gradients_free (model->gradients);
  for (int i = 0; i < 2; i++)
    switti_text_gradients_free (model->text[i]);
  for (int i = 0; i < N_PARTS; i++)
    {
      switti_optimizer_free (model->optimizers[i]);
      switti_parameters_free (model->parameters[i]);
    }
  switti_sharding_unref (model->sharding);
  g_assert_cmpuint (switti_device_get_allocated_bytes (model->device), ==, 0);
  g_object_unref (model->device);
}

/* Images [first, first + batch) of the step. */
static double
add_images (Model *model, int step, int first, double scale)
{
  static const int n_valid[IMAGES] = { 6, 20, 1, 77 }, heights[IMAGES] = { 512, 480, 700, 512 };
  g_autofree char *name = g_strdup_printf ("step%d", step);
  g_autofree gint32 *ids = fixture_integers (name, 98, IMAGES * T);
  g_autofree gint32 *codes = fixture_integers (name, 256, IMAGES * POSITIONS);
  g_autofree float *latents = fixture_input (name, 1, IMAGES * (POSITIONS - 1) * LATENT);
  float *context = switti_gradients_get_context (model->gradients);
  const SwittiTrainingBatch batch
      = { latents + (gsize) first * (POSITIONS - 1) * LATENT, codes + first * POSITIONS, n_valid + first,
          heights + first, heights + first };
  g_autoptr (GError) error = NULL;
  SwittiTrainingLoss loss;

  for (int i = 0; i < 2; i++)
    switti_text_gradients_forward (model->text[i], ids + first * T, n_valid + first, context + i * WIDTH, 2 * WIDTH,
                                   i == 1 ? switti_gradients_get_pooled (model->gradients) : NULL, &error);
  g_assert_no_error (error);
  switti_gradients_add (model->gradients, &batch, scale, &loss, &error);
  g_assert_no_error (error);
  for (int i = 0; i < 2; i++)
    switti_text_gradients_backward (
        model->text[i], switti_gradients_get_context_gradient (model->gradients) + i * WIDTH, 2 * WIDTH,
        i == 1 ? switti_gradients_get_pooled_gradient (model->gradients) : NULL, &error);
  g_assert_no_error (error);
  return loss.loss;
}

static void
take_step (Model *model, const Setting *setting, int step, Result *result)
{
  const int parts = setting->accumulate * model->n_ranks;
  g_autoptr (GError) error = NULL;
  double loss = 0, squares = 0;

  for (int i = 0; i < N_PARTS; i++)
    g_assert_true (i == TRANSFORMER ? switti_gradients_clear (model->gradients, &error)
                                    : switti_text_gradients_clear (model->text[i - TEXT], &error));
  for (int a = 0; a < setting->accumulate; a++)
    loss += add_images (model, step, (model->rank * setting->accumulate + a) * model->batch, 1.0 / parts) / parts;
  for (int i = 0; i < N_PARTS; i++)
    {
      double norm;

      g_assert_true (i == TRANSFORMER ? switti_gradients_finish (model->gradients, &error)
                                      : switti_text_gradients_finish (model->text[i - TEXT], &error));
      switti_optimizer_measure (model->optimizers[i], values_of (model, i), &norm, &error);
      g_assert_no_error (error);
      squares += norm * norm;
    }
  for (int i = 0; i < N_PARTS; i++)
    switti_optimizer_step (model->optimizers[i], values_of (model, i), sqrt (squares), 1e-3, 0.05, &error);
  g_assert_no_error (error);
  if (model->sharding != NULL)
    g_assert_true (
        switti_collective_all_reduce (model->sharding->ranks, &loss, 1, SWITTI_DTYPE_F64, &error));
  if (model->rank == 0)
    {
      result->loss[step] = loss;
      result->norm[step] = sqrt (squares);
    }
}

/* The bias of k_proj has no gradient: it moves all weights of a query alike. AdamW makes steps of the learning rate of
 * the rounding that is left of it, so that no two orders of sums agree there. */
static void
leave_out_key_bias (SwittiParameters *parameters, float *whole)
{
  for (guint i = 0; i < switti_parameters_get_n (parameters); i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (parameters, i);

      if (g_str_has_suffix (parameter->name, "k_proj.bias"))
        memset (whole + parameter->offset, 0, parameter->count * sizeof (float));
    }
}

/* The parameters, then the moving average behind them. */
static void
gather (Model *model, int part, Result *result)
{
  const gsize size = switti_parameters_get_whole_size (model->parameters[part]);
  const float *sources[] = { switti_parameters_get_values (model->parameters[part]),
                             switti_optimizer_get_average (model->optimizers[part]) };
  g_autoptr (GError) error = NULL;

  if (model->rank == 0)
    {
      result->size[part] = 2 * size;
      result->values[part] = g_new0 (float, 2 * size);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (sources); i++)
    {
      float *whole = model->rank == 0 ? result->values[part] + i * size : NULL;

      switti_parameters_gather (model->parameters[part], sources[i], whole, &error);
      g_assert_no_error (error);
      if (whole != NULL)
        leave_out_key_bias (model->parameters[part], whole);
    }
}

static void
train (SwittiCollective *ranks, gpointer data)
{
  Result *result = data;
  const Setting *setting = result->setting;
  g_autoptr (GError) error = NULL;
  Model model = { .device = fixture_device (1), .rank = switti_collective_get_rank (ranks),
                  .n_ranks = switti_collective_get_size (ranks) };

  model.batch = IMAGES / model.n_ranks / setting->accumulate;
  if (setting->n_replicas > 0)
    model.sharding = switti_sharding_new (ranks, setting->n_replicas, &error);
  g_assert_no_error (error);
  make_parts (&model, setting);
  for (int step = 0; step < STEPS; step++)
    take_step (&model, setting, step, result);
  if (model.rank == 0)
    result->bytes = switti_device_get_allocated_bytes (model.device);
  for (int i = 0; i < N_PARTS; i++)
    gather (&model, i, result);
  model_clear (&model);
}

static Result
run (int n_ranks, const Setting *setting)
{
  Result result = { .setting = setting };

  run_ranks (n_ranks, train, &result);
  return result;
}

static void
result_clear (Result *result)
{
  for (int i = 0; i < N_PARTS; i++)
    g_free (result->values[i]);
}

static void
compare (const char *what, const Result *got, const Result *expected, double tolerance)
{
  for (int step = 0; step < STEPS; step++)
    {
      g_assert_cmpfloat (fabs (got->loss[step] - expected->loss[step]), <=, tolerance * expected->loss[step]);
      g_assert_cmpfloat (fabs (got->norm[step] - expected->norm[step]), <=, 10 * tolerance * expected->norm[step]);
    }
  for (int i = 0; i < N_PARTS; i++)
    {
      g_autofree char *part = g_strdup_printf ("%s, part %d", what, i);

      g_assert_cmpuint (got->size[i], ==, expected->size[i]);
      if (tolerance > 0)
        fixture_assert_close (part, got->values[i], expected->values[i], got->size[i], tolerance);
      else
        g_assert_cmpmem (got->values[i], got->size[i] * sizeof (float), expected->values[i],
                         expected->size[i] * sizeof (float));
    }
}

static void
test_same_as_one (void)
{
  static const Setting one = { SWITTI_DTYPE_F32, 0, FALSE, 1 };
  static const struct
  {
    int n_ranks;
    Setting setting;
    const char *what;
  } cases[] = {
    { 1, { SWITTI_DTYPE_F32, 1, FALSE, 1 }, "one rank" },
    { 2, { SWITTI_DTYPE_F32, 2, FALSE, 1 }, "2 ranks, replicated" },
    { 2, { SWITTI_DTYPE_F32, 1, FALSE, 2 }, "2 ranks, sharded, accumulating" },
    { 4, { SWITTI_DTYPE_F32, 4, FALSE, 1 }, "4 ranks, replicated" },
    { 4, { SWITTI_DTYPE_F32, 1, FALSE, 1 }, "4 ranks, sharded" },
    { 4, { SWITTI_DTYPE_F32, 1, TRUE, 1 }, "4 ranks, sharded, recomputing" },
    { 4, { SWITTI_DTYPE_F32, 2, FALSE, 1 }, "4 ranks, hybrid" },
  };
  Result expected = run (1, &one);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Result got = run (cases[i].n_ranks, &cases[i].setting);

      compare (cases[i].what, &got, &expected, cases[i].n_ranks == 1 ? 0 : TOLERANCE);
      g_test_message ("%s: %.2f MB of device memory", cases[i].what, (double) got.bytes * 1e-6);
      result_clear (&got);
    }
  result_clear (&expected);
}

/* However the threads run. */
static void
test_same_bits (void)
{
  static const Setting hybrid = { SWITTI_DTYPE_F32, 2, FALSE, 1 };
  Result first = run (4, &hybrid), second = run (4, &hybrid);

  compare ("4 ranks, hybrid, again", &second, &first, 0);
  result_clear (&first);
  result_clear (&second);
}

/* bf16's copies are made where units are put together: of the same numbers, in another order of the norm's sum. */
static void
test_bf16 (void)
{
  static const Setting replicated = { SWITTI_DTYPE_BF16, 2, FALSE, 1 }, sharded = { SWITTI_DTYPE_BF16, 1, FALSE, 1 };
  Result expected = run (2, &replicated), got = run (2, &sharded);

  compare ("bf16, sharded", &got, &expected, TOLERANCE);
  result_clear (&expected);
  result_clear (&got);
}

/* Parameters, gradients, two moments and the average, five arrays, are shared; activations are not. */
static void
test_memory (void)
{
  static const Setting replicated = { SWITTI_DTYPE_F32, 4, TRUE, 1 }, hybrid = { SWITTI_DTYPE_F32, 2, TRUE, 1 };
  static const Setting sharded = { SWITTI_DTYPE_F32, 1, TRUE, 1 };
  Result whole = run (4, &replicated), halves = run (4, &hybrid), quarters = run (4, &sharded);

  g_test_message ("device memory of a rank of 4: %.2f MB replicated, %.2f MB hybrid, %.2f MB sharded",
                  (double) whole.bytes * 1e-6, (double) halves.bytes * 1e-6, (double) quarters.bytes * 1e-6);
  g_assert_cmpuint (halves.bytes, <, whole.bytes);
  g_assert_cmpuint (quarters.bytes, <, halves.bytes);
  result_clear (&whole);
  result_clear (&halves);
  result_clear (&quarters);
}

static void
split_three (SwittiCollective *ranks, gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (switti_sharding_new (ranks, 2, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
}

static void
test_bad_groups (void)
{
  run_ranks (3, split_three, NULL);
}

/* Every element of every unit is somebody's, at one place. */
static void
look_at_pieces (SwittiCollective *ranks, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiSharding) sharding = switti_sharding_new (ranks, 1, &error);
  g_autoptr (SwittiUnits) units = switti_units_new (sharding);
  const gsize ends[] = { 32, 32 + 7, 39 + 4096, 4135 + 129 };
  gsize *owners = data; /* of all ranks: each adds its own */

  for (gsize i = 0; i < G_N_ELEMENTS (ends); i++)
    switti_units_begin (units, i == 0 ? 0 : ends[i - 1], i == 0);
  g_assert_true (switti_units_finish (units, ends[3]));
  for (gsize i = 0; i < G_N_ELEMENTS (ends); i++)
    {
      const gsize begin = i == 0 ? 0 : ends[i - 1];
      gsize first, n, local;

      g_assert_cmpuint (switti_units_find (units, begin), ==, i);
      g_assert_cmpuint (switti_units_find (units, ends[i] - 1), ==, i);
      switti_units_get_piece (units, begin, ends[i] - begin, &first, &n, &local);
      g_assert_cmpuint (local + n, <=, units->local_size);
      for (gsize j = first; j < first + n; j++)
        __atomic_add_fetch (&owners[begin + j], 1, __ATOMIC_RELAXED);
      /* Element by element the same places. */
      for (gsize j = 0; j < n; j += 31)
        {
          gsize one_first, one, one_local;

          switti_units_get_piece (units, begin + first + j, 1, &one_first, &one, &one_local);
          g_assert_cmpuint (one, ==, 1);
          g_assert_cmpuint (one_local, ==, local + j);
        }
    }
}

static void
test_pieces (void)
{
  for (int n = 1; n <= 5; n++)
    {
      g_autofree gsize *owners = g_new0 (gsize, 4264);

      run_ranks (n, look_at_pieces, owners);
      for (gsize i = 0; i < 4264; i++)
        g_assert_cmpuint (owners[i], ==, 1);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sharding/pieces", test_pieces);
  g_test_add_func ("/sharding/bad-groups", test_bad_groups);
  g_test_add_func ("/sharding/same-as-one", test_same_as_one);
  g_test_add_func ("/sharding/same-bits", test_same_bits);
  g_test_add_func ("/sharding/bf16", test_bf16);
  g_test_add_func ("/sharding/memory", test_memory);
  return g_test_run ();
}
