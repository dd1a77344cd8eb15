/* test-text-encoder.c - both kinds of CLIP text encoder against Hugging Face's numbers
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-error.h"
#include "switti-text-encoder-private.h"
#include "switti-tokenizer-private.h"

#include <string.h>

#define T SWITTI_TEXT_LENGTH
#define WIDTH 64

/* The encoders of pipe_tiny: tests/fixtures/README.md. */
static SwittiTextConfig
tiny_config (gboolean quick_gelu)
{
  return (SwittiTextConfig){
    .layers = 3,
    .width = WIDTH,
    .heads = 4,
    .mlp = 256,
    .vocab = 1000,
    .positions = T,
    .quick_gelu = quick_gelu,
    .norm_eps = 1e-5,
    .bos_id = 998,
    .eos_id = 999,
    .pad_id = 0,
  };
}

typedef struct
{
  int batch;
  gint32 *ids;
  int *n_valid;
} Prompts;

static void
prompts_init (Prompts *prompts, SwittiSafetensors *file)
{
  gsize count;
  g_autofree gint32 *mask = fixture_i32 (file, "mask", &count);

  prompts->ids = fixture_i32 (file, "ids", NULL);
  prompts->batch = (int) (count / T);
  prompts->n_valid = g_new0 (int, prompts->batch);
  for (gsize i = 0; i < count; i++)
    prompts->n_valid[i / T] += mask[i] != 0;
}

static void
prompts_clear (Prompts *prompts)
{
  g_free (prompts->ids);
  g_free (prompts->n_valid);
}

/* (batch, T, WIDTH) hidden and (batch, WIDTH) pooled states, through a wider matrix as the generator has it. */
static void
encode (const char *prefix, gboolean quick_gelu, SwittiDtype dtype, int n_threads, int batch, const gint32 *ids,
        const int *n_valid, float **hidden, float **pooled)
{
  const gsize stride = WIDTH + 7;
  const SwittiTextConfig config = tiny_config (quick_gelu);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = fixture_device (n_threads);
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic (prefix, SWITTI_DTYPE_F32);
  g_autoptr (SwittiTextEncoder) encoder = NULL;
  g_autofree float *wide = g_new (float, (gsize) batch * T * stride);
  float *device_hidden, *device_pooled = fixture_device_alloc (device, sizeof (float) * (gsize) batch * WIDTH);

  for (gsize i = 0; i < (gsize) batch * T * stride; i++)
    wide[i] = -7;
  device_hidden = fixture_upload (device, wide, sizeof (float) * (gsize) batch * T * stride);
  g_clear_pointer (&wide, g_free);
  encoder = switti_text_encoder_new (device, &config, weights, dtype, batch, &error);
  g_assert_no_error (error);
  switti_text_encoder_encode (encoder, batch, ids, n_valid, device_hidden, stride, device_pooled, &error);
  g_assert_no_error (error);

  wide = fixture_download (device, device_hidden, sizeof (float) * (gsize) batch * T * stride);
  *pooled = fixture_download (device, device_pooled, sizeof (float) * (gsize) batch * WIDTH);
  *hidden = g_new (float, (gsize) batch * T * WIDTH);
  for (gsize row = 0; row < (gsize) batch * T; row++)
    {
      memcpy (*hidden + row * WIDTH, wide + row * stride, sizeof (float) * WIDTH);
      for (gsize j = WIDTH; j < stride; j++)
        g_assert_cmpfloat (wide[row * stride + j], ==, -7);
    }
  switti_device_free (device, device_hidden);
  switti_device_free (device, device_pooled);
}

/* The reference's padding rows are what the encoder makes of pad tokens; ours are zeros. */
static void
compare_hidden (const char *name, const Prompts *prompts, const float *got, const float *expected, double tolerance)
{
  for (int b = 0; b < prompts->batch; b++)
    {
      g_autofree char *what = g_strdup_printf ("%s prompt %d", name, b);
      const gsize valid = (gsize) prompts->n_valid[b] * WIDTH, start = (gsize) b * T * WIDTH;

      fixture_assert_close (what, got + start, expected + start, valid, tolerance);
      for (gsize i = valid; i < T * WIDTH; i++)
        g_assert_cmpfloat (got[start + i], ==, 0);
    }
}

static void
test_states (SwittiDtype dtype, double tolerance)
{
  static const char *const names[] = { "l", "g" };
  g_autoptr (SwittiSafetensors) file = fixture_open ("pipe_tiny");
  Prompts prompts;

  prompts_init (&prompts, file);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *prefix = g_strdup_printf ("clip_%s.", names[i]);
      g_autofree char *hidden_name = g_strdup_printf ("%s/hidden", names[i]);
      g_autofree char *pooled_name = g_strdup_printf ("%s/pooled", names[i]);
      g_autofree float *hidden = NULL, *pooled = NULL;
      g_autofree float *expected_hidden = fixture_f32 (file, hidden_name, NULL);
      g_autofree float *expected_pooled = fixture_f32 (file, pooled_name, NULL);

      encode (prefix, i == 0, dtype, 0, prompts.batch, prompts.ids, prompts.n_valid, &hidden, &pooled);
      compare_hidden (hidden_name, &prompts, hidden, expected_hidden, tolerance);
      fixture_assert_close (pooled_name, pooled, expected_pooled, (gsize) prompts.batch * WIDTH, tolerance);
    }
  prompts_clear (&prompts);
}

static void
test_states_f32 (void)
{
  test_states (SWITTI_DTYPE_F32, FIXTURE_F32_TOLERANCE);
}

/* Twice what the published code itself loses at full depth. */
static void
test_states_bf16 (void)
{
  test_states (SWITTI_DTYPE_BF16, 2 * fixture_meta ("full_clip_l_bf16_rel_err"));
}

/* One token, a full row, and lengths on either side of a padding step; each prompt alone gives the bits that it gives
 * in the batch. */
static void
test_reproducible (void)
{
  static const int lengths[] = { 1, 77, 16, 17, 16 };
  static const SwittiDtype dtypes[] = { SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16 };
  const int batch = G_N_ELEMENTS (lengths);
  g_autofree gint32 *ids = fixture_integers ("test/ids", 998, (gsize) batch * T);

  for (gsize d = 0; d < G_N_ELEMENTS (dtypes); d++)
    {
      g_autofree float *hidden = NULL, *pooled = NULL;

      encode ("clip_l.", TRUE, dtypes[d], 1, batch, ids, lengths, &hidden, &pooled);
      for (int b = 0; b < batch; b++)
        {
          g_autofree float *hidden_alone = NULL, *pooled_alone = NULL;

          encode ("clip_l.", TRUE, dtypes[d], 2, 1, ids + b * T, &lengths[b], &hidden_alone, &pooled_alone);
          g_assert_cmpmem (hidden_alone, sizeof (float) * T * WIDTH, hidden + b * T * WIDTH,
                           sizeof (float) * T * WIDTH);
          g_assert_cmpmem (pooled_alone, sizeof (float) * WIDTH, pooled + b * WIDTH, sizeof (float) * WIDTH);
        }
    }
}

/* The pooled state is the end token's: the first one, or the largest id where eos_token_id is 2. */
static void
test_pooled_position (void)
{
  static const struct
  {
    int eos_id;
    gint32 ids[6];
    int position;
  } cases[] = {
    { 999, { 998, 5, 999, 7, 999, 3 }, 2 },
    { 2, { 998, 5, 2, 999, 7, 999 }, 3 },
    { 2, { 998, 5, 2, 6, 7, 4 }, 0 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      SwittiTextConfig config = tiny_config (TRUE);
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiDevice) device = fixture_device (1);
      g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("clip_l.", SWITTI_DTYPE_F32);
      g_autoptr (SwittiTextEncoder) encoder = NULL;
      gint32 ids[T] = { 0 };
      const int n_valid = G_N_ELEMENTS (cases[i].ids);
      float *hidden = fixture_device_alloc (device, sizeof (float) * T * WIDTH);
      float *pooled = fixture_device_alloc (device, sizeof (float) * WIDTH);
      g_autofree float *host_hidden = NULL, *host_pooled = NULL;

      config.eos_id = cases[i].eos_id;
      memcpy (ids, cases[i].ids, sizeof cases[i].ids);
      encoder = switti_text_encoder_new (device, &config, weights, SWITTI_DTYPE_F32, 1, &error);
      g_assert_no_error (error);
      g_assert_true (switti_text_encoder_encode (encoder, 1, ids, &n_valid, hidden, WIDTH, pooled, &error));
      host_hidden = fixture_download (device, hidden, sizeof (float) * T * WIDTH);
      host_pooled = fixture_download (device, pooled, sizeof (float) * WIDTH);
      g_assert_cmpmem (host_pooled, sizeof (float) * WIDTH, host_hidden + cases[i].position * WIDTH,
                       sizeof (float) * WIDTH);
      switti_device_free (device, hidden);
      switti_device_free (device, pooled);
    }
}

static void
test_foreign_token (void)
{
  const SwittiTextConfig config = tiny_config (TRUE);
  static const gint32 foreign[] = { 1000, -1 };

  for (gsize i = 0; i < G_N_ELEMENTS (foreign); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiDevice) device = fixture_device (1);
      g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("clip_l.", SWITTI_DTYPE_F32);
      g_autoptr (SwittiTextEncoder) encoder
          = switti_text_encoder_new (device, &config, weights, SWITTI_DTYPE_F32, 1, &error);
      gint32 ids[T] = { 998, foreign[i], 999 };
      const int n_valid = 3;
      float *hidden = fixture_device_alloc (device, sizeof (float) * T * WIDTH);

      g_assert_false (switti_text_encoder_encode (encoder, 1, ids, &n_valid, hidden, WIDTH, NULL, &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
      switti_device_free (device, hidden);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/text-encoder/states/f32", test_states_f32);
  g_test_add_func ("/text-encoder/states/bf16", test_states_bf16);
  g_test_add_func ("/text-encoder/reproducible", test_reproducible);
  g_test_add_func ("/text-encoder/pooled-position", test_pooled_position);
  g_test_add_func ("/text-encoder/foreign-token", test_foreign_token);
  return g_test_run ();
}
