/* test-low-rank.c - what a LoRA adds, and its gradients, against sums written out in double
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-low-rank-private.h"

#include <math.h>
#include <string.h>

#define RANK 3
#define ALPHA 6.0

typedef struct
{
  SwittiDevice *device;
  SwittiParameters *target;
  SwittiLowRank *low_rank;
  float *base, *factors, *values, *gradients; /* on the host, flat */
} State;

static void
upload (State *state, float *to, const float *from, gsize count)
{
  const SwittiKernels *kernels = switti_device_get_kernels (state->device);

  g_assert_cmpint (kernels->upload (switti_device_get_context (state->device), to, from, count * sizeof (float)), ==,
                   SWITTI_KERNEL_OK);
}

static float *
download (State *state, SwittiParameters *parameters, const float *flat)
{
  return fixture_download (state->device, flat, switti_parameters_get_size (parameters) * sizeof (float));
}

/* A model with factors that are not 0, and gradients of its weights. */
static void
state_init (State *state)
{
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("switti.", SWITTI_DTYPE_F32);
  g_autoptr (GError) error = NULL;
  SwittiTransformerConfig config;
  SwittiParameters *factors;

  state->device = fixture_device (2);
  fixture_tiny_transformer ("nar", &config);
  state->target = switti_transformer_parameters_new (state->device, &config, SWITTI_DTYPE_F32, &error);
  g_assert_no_error (error);
  g_assert_true (switti_parameters_load (state->target, weights, &error));
  state->base = download (state, state->target, switti_parameters_get_values (state->target));
  state->low_rank = switti_low_rank_new (state->target, RANK, ALPHA, 5, &error);
  g_assert_no_error (error);
  factors = switti_low_rank_get_factors (state->low_rank);

  /* B is 0: the model is as it was. */
  g_assert_true (switti_low_rank_compose (state->low_rank, &error));
  state->values = download (state, state->target, switti_parameters_get_values (state->target));
  g_assert_cmpmem (state->values, switti_parameters_get_size (state->target) * sizeof (float), state->base,
                   switti_parameters_get_size (state->target) * sizeof (float));
  g_free (state->values);

  state->factors = fixture_input ("factors", 0.3f, switti_parameters_get_size (factors));
  upload (state, switti_parameters_get_values (factors), state->factors, switti_parameters_get_size (factors));
  g_assert_true (switti_low_rank_compose (state->low_rank, &error));
  state->values = download (state, state->target, switti_parameters_get_values (state->target));
  state->gradients = fixture_input ("gradients", 1, switti_parameters_get_size (state->target));
}

static void
state_clear (State *state)
{
  switti_low_rank_free (state->low_rank);
  switti_parameters_free (state->target);
  g_object_unref (state->device);
  g_free (state->base);
  g_free (state->factors);
  g_free (state->values);
  g_free (state->gradients);
}

/* The factor of a weight, or NULL where the weight has none. */
static const SwittiParameter *
find_factor (State *state, const SwittiParameter *weight, const char *which)
{
  g_autofree char *layer = g_strndup (weight->name, strlen (weight->name) - MIN (strlen (weight->name), 7));
  g_autofree char *name = g_strconcat ("transformer.", layer, which, NULL);

  return switti_parameters_find (switti_low_rank_get_factors (state->low_rank), name);
}

static void
check_close (const char *name, double got, double expected)
{
  /* float32 sums of up to 2048 products of up to 0.6. */
  if (!(fabs (got - expected) < 2e-4 * (1 + fabs (expected))))
    {
      g_test_message ("%s: %.9g where %.9g is expected", name, got, expected);
      g_test_fail ();
    }
}

static void
test_compose (void)
{
  State state;
  int n_adapted = 0;

  state_init (&state);
  for (guint i = 0; i < switti_parameters_get_n (state.target); i++)
    {
      const SwittiParameter *weight = switti_parameters_get (state.target, i);
      const SwittiParameter *a = find_factor (&state, weight, ".lora_A.weight");
      const SwittiParameter *b = find_factor (&state, weight, ".lora_B.weight");

      for (gsize j = 0; j < weight->count; j++)
        {
          double expected = state.base[weight->offset + j];

          for (gint64 r = 0; a != NULL && r < RANK; r++)
            expected += ALPHA / RANK * state.factors[b->offset + (j / (gsize) weight->dims[1]) * RANK + r]
                        * state.factors[a->offset + r * weight->dims[1] + j % (gsize) weight->dims[1]];
          check_close (weight->name, state.values[weight->offset + j], expected);
        }
      n_adapted += a != NULL;
    }
  g_test_message ("%d layers have a LoRA", n_adapted);
  g_assert_cmpint (n_adapted, ==, 2 * (5 + 3)); /* blocks of five layers of attention and three of SwiGLU */
  state_clear (&state);
}

static void
test_gradients (void)
{
  g_autoptr (GError) error = NULL;
  State state;

  state_init (&state);
  float *device = switti_device_alloc (state.device, switti_parameters_get_size (state.target) * sizeof (float),
                                       "gradients", &error);
  g_assert_no_error (error);
  upload (&state, device, state.gradients, switti_parameters_get_size (state.target));
  g_assert_true (switti_low_rank_backward (state.low_rank, device, &error));
  g_autofree float *got = download (&state, switti_low_rank_get_factors (state.low_rank),
                                    switti_low_rank_get_gradients (state.low_rank));

  for (guint i = 0; i < switti_parameters_get_n (state.target); i++)
    {
      const SwittiParameter *weight = switti_parameters_get (state.target, i);
      const SwittiParameter *a = find_factor (&state, weight, ".lora_A.weight");
      const SwittiParameter *b = find_factor (&state, weight, ".lora_B.weight");
      const gint64 n = weight->dims[0], k = weight->n_dims > 1 ? weight->dims[1] : 0;
      const float *g = state.gradients + weight->offset;

      for (gint64 r = 0; a != NULL && r < RANK; r++)
        {
          for (gint64 column = 0; column < k; column++)
            {
              double expected = 0;

              for (gint64 row = 0; row < n; row++)
                expected += ALPHA / RANK * state.factors[b->offset + row * RANK + r] * g[row * k + column];
              check_close (a->name, got[a->offset + r * k + column], expected);
            }
          for (gint64 row = 0; row < n; row++)
            {
              double expected = 0;

              for (gint64 column = 0; column < k; column++)
                expected += ALPHA / RANK * state.factors[a->offset + r * k + column] * g[row * k + column];
              check_close (b->name, got[b->offset + row * RANK + r], expected);
            }
        }
    }
  switti_device_free (state.device, device);
  state_clear (&state);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/low-rank/compose", test_compose);
  g_test_add_func ("/low-rank/gradients", test_gradients);
  return g_test_run ();
}
