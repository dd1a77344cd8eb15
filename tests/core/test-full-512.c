/* test-full-512.c - the published sizes at 512: transformer, VAE and both text encoders
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * float32 at the fixtures' tolerances; bf16 within twice what the published code itself loses in bf16 (meta.json).
 * One part is in memory at a time: the transformer in float32 takes 10 GB.
 */
#include "fixture.h"
#include "switti-pyramid-private.h"
#include "switti-text-encoder-private.h"
#include "switti-transformer-private.h"
#include "switti-vae-private.h"

#include <math.h>
#include <string.h>

#define T SWITTI_TEXT_LENGTH
#define VOCAB 4096
#define LATENT 32
#define LENGTH 2240
#define CONTEXT 2048
#define POOLED 1280
#define VALID 30
#define SIDE 32
#define PIXELS 512
#define LOGIT_ROWS 8 /* of each scale in the fixture */

/* tests/fixtures/README.md: the published code evaluates its head in fp16 at these sizes. */
#define LOGITS_F32_TOLERANCE 1e-3
#define ARGMAX_MARGIN 0.01

#define GIB ((guint64) 1 << 30)

/* Tests that a small machine cannot run are skipped, and say so, rather than killed half-way. */
static gboolean
has_memory (guint64 bytes)
{
  g_autoptr (SwittiDevice) device = fixture_device (0);
  SwittiKernelProperties properties;

  switti_device_get_kernels (device)->properties (switti_device_get_context (device), &properties);
  if (properties.memory_free >= bytes)
    return TRUE;
  g_test_skip ("too little free memory for the published size");
  return FALSE;
}

/* -- transformer ---------------------------------------------------------------------------------------------- */

typedef struct
{
  double squared_error, squared_norm; /* of the logits' first rows, all scales */
  gsize compared, agreed;             /* argmax */
} Tally;

static SwittiTransformerConfig
published_config (void)
{
  SwittiTransformerConfig config = {
    .depth = 30,
    .width = 1920,
    .heads = 30,
    .ffn_hidden = 5120,
    .vocab = VOCAB,
    .latent = LATENT,
    .context_dim = CONTEXT,
    .pooled_dim = POOLED,
    .rope = TRUE,
    .swiglu = TRUE,
    .crop_cond = TRUE,
    .rope_theta = 10000,
    .rope_size = 128,
    .resolution = 512,
  };

  g_assert_true (switti_schedule_for_resolution (512, &config.schedule));
  return config;
}

static void
tally_logits (SwittiSafetensors *file, int scale, const float *logits, Tally *tally)
{
  g_autofree char *name = g_strdup_printf ("switti/logits%d_first%d", scale, LOGIT_ROWS);
  gsize count;
  g_autofree float *expected = fixture_f32 (file, name, &count);
  double squared_error = 0, squared_norm = 0;

  for (gsize i = 0; i < count; i++)
    {
      double difference = (double) logits[i] - expected[i];

      squared_error += difference * difference;
      squared_norm += (double) expected[i] * expected[i];
    }
  g_test_message ("%s: relative error %.3g", name, sqrt (squared_error / squared_norm));
  tally->squared_error += squared_error;
  tally->squared_norm += squared_norm;
}

/* Rows whose two largest logits are closer than `margin` have no argmax to agree on. */
static void
tally_argmax (SwittiSafetensors *file, int scale, gsize rows, const float *logits, double margin, Tally *tally)
{
  g_autofree char *name = g_strdup_printf ("switti/argmax%d", scale);
  g_autofree gint32 *expected = fixture_i32 (file, name, NULL);

  for (gsize row = 0; row < rows; row++)
    {
      const float *l = logits + row * VOCAB;
      int first = 0;
      float second = -INFINITY;

      for (int v = 1; v < VOCAB; v++)
        if (l[v] > l[first])
          {
            second = l[first];
            first = v;
          }
        else
          second = MAX (second, l[v]);
      if (l[first] - second <= margin)
        continue;
      tally->compared++;
      tally->agreed += first == expected[row];
    }
}

static void
check_norms (SwittiSafetensors *file, int scale, gsize rows, const float *logits, double tolerance)
{
  g_autofree char *name = g_strdup_printf ("switti/norm%d", scale);
  g_autofree float *expected = fixture_f32 (file, name, NULL);
  g_autofree float *norms = g_new (float, rows);

  for (gsize row = 0; row < rows; row++)
    {
      double sum = 0;

      for (int v = 0; v < VOCAB; v++)
        sum += (double) logits[row * VOCAB + v] * logits[row * VOCAB + v];
      norms[row] = (float) sqrt (sum);
    }
  fixture_assert_close (name, norms, expected, rows, tolerance);
}

static void
set_conditions (SwittiTransformerRun *run, SwittiDevice *device)
{
  const SwittiKernels *kernels = switti_device_get_kernels (device);
  SwittiKernelContext *context = switti_device_get_context (device);
  g_autoptr (GError) error = NULL;
  g_autofree float *ctx = fixture_input ("full/ctx", 1.7f, T * CONTEXT);
  g_autofree float *pooled = fixture_input ("full/pool", 1.7f, POOLED);
  const int n_valid = VALID, side = 512;

  kernels->upload (context, switti_transformer_run_get_context (run), ctx, sizeof (float) * T * CONTEXT);
  kernels->upload (context, switti_transformer_run_get_pooled (run), pooled, sizeof (float) * POOLED);
  switti_transformer_run_set_conditions (run, 1, &n_valid, &side, &side, &error);
  g_assert_no_error (error);
}

static Tally
run_transformer (SwittiDtype dtype, double norm_tolerance, double margin)
{
  const SwittiTransformerConfig config = published_config ();
  g_autoptr (SwittiSafetensors) file = fixture_open ("full_512");
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = fixture_device (0);
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("switti.", SWITTI_DTYPE_F32);
  g_autoptr (GTimer) timer = g_timer_new ();
  g_autoptr (SwittiTransformer) model
      = switti_transformer_new (device, &config, weights, dtype, &error);
  g_autoptr (SwittiTransformerRun) run = NULL;
  g_autofree float *x = fixture_input ("full/x", 1, (LENGTH - 1) * LATENT);
  float *input = fixture_upload (device, x, sizeof (float) * (LENGTH - 1) * LATENT), *output;
  const gint32 zero = 0;
  Tally tally = { 0 };
  gsize begin = 0;

  g_assert_no_error (error);
  g_test_message ("weights made in %.1f s", g_timer_elapsed (timer, NULL));
  run = switti_transformer_run_new (model, 1, 1, &error);
  g_assert_no_error (error);
  output = fixture_device_alloc (device, sizeof (float) * SIDE * SIDE * VOCAB);
  g_timer_start (timer);
  set_conditions (run, device);
  for (int s = 0; s < config.schedule.n_scales; s++)
    {
      const gsize n = (gsize) config.schedule.side[s] * (gsize) config.schedule.side[s];
      g_autofree float *logits = NULL;

      switti_transformer_run_scale (run, s, 1, &zero, &zero, s > 0 ? input + (begin - 1) * LATENT : NULL, output,
                                    &error);
      g_assert_no_error (error);
      logits = fixture_download (device, output, sizeof (float) * n * VOCAB);
      tally_logits (file, s, logits, &tally);
      tally_argmax (file, s, n, logits, margin, &tally);
      check_norms (file, s, n, logits, norm_tolerance);
      begin += n;
    }
  g_test_message ("run in %.1f s, most memory %.2f GiB", g_timer_elapsed (timer, NULL),
                  (double) switti_device_get_peak_bytes (device) / (double) GIB);
  switti_device_free (device, input);
  switti_device_free (device, output);
  return tally;
}

static double
logits_error (const Tally *tally)
{
  double error = sqrt (tally->squared_error / tally->squared_norm);

  g_test_message ("logits of all scales: relative error %.3g; argmax agrees in %" G_GSIZE_FORMAT
                  " of %" G_GSIZE_FORMAT " rows",
                  error, tally->agreed, tally->compared);
  return error;
}

static void
test_transformer_f32 (void)
{
  Tally tally;

  if (!has_memory (12 * GIB))
    return;
  tally = run_transformer (SWITTI_DTYPE_F32, LOGITS_F32_TOLERANCE, ARGMAX_MARGIN);
  g_assert_cmpfloat (logits_error (&tally), <, LOGITS_F32_TOLERANCE);
  g_assert_cmpuint (tally.agreed, ==, tally.compared);
  g_assert_cmpuint (tally.compared, >, LENGTH / 2);
}

static void
test_transformer_bf16 (void)
{
  const double allowed = 2 * fixture_meta ("full_bf16_autocast_rel_err");
  const double disagreement = 2 * (1 - fixture_meta ("full_bf16_argmax_agree"));
  Tally tally;

  if (!has_memory (7 * GIB))
    return;
  tally = run_transformer (SWITTI_DTYPE_BF16, allowed, -1);
  g_assert_cmpfloat (logits_error (&tally), <, allowed);
  g_assert_cmpuint (tally.compared, ==, LENGTH);
  g_assert_cmpfloat ((double) (tally.compared - tally.agreed), <=, disagreement * LENGTH);
}

/* -- VAE ------------------------------------------------------------------------------------------------------ */

static SwittiVaeConfig
published_vae (void)
{
  SwittiVaeConfig config = { .ch = 160, .vocab = VOCAB, .latent = LATENT, .share_quant_resi = 4, .quant_resi = 0.5 };

  g_assert_true (switti_schedule_for_resolution (512, &config.schedule));
  return config;
}

/* Rows and columns 200 to 263, and the means of 16 x 16 pixels, as the fixture holds them: NCHW. */
static void
check_image (SwittiSafetensors *file, const float *image, double tolerance)
{
  const gsize first = 200, crop_side = 64, cells = 32, cell = 16;
  g_autofree float *expected_crop = fixture_f32 (file, "vae/image_crop", NULL);
  g_autofree float *expected_mean = fixture_f32 (file, "vae/image_mean16", NULL);
  g_autofree float *crop = g_new (float, 3 * crop_side * crop_side);
  g_autofree float *mean = g_new0 (float, 3 * cells * cells);

  for (gsize c = 0; c < 3; c++)
    {
      for (gsize y = 0; y < crop_side; y++)
        for (gsize x = 0; x < crop_side; x++)
          crop[(c * crop_side + y) * crop_side + x] = image[((first + y) * PIXELS + first + x) * 3 + c];
      for (gsize y = 0; y < PIXELS; y++)
        for (gsize x = 0; x < PIXELS; x++)
          mean[(c * cells + y / cell) * cells + x / cell] += image[(y * PIXELS + x) * 3 + c] / (float) (cell * cell);
    }
  fixture_assert_close ("vae/image_crop", crop, expected_crop, 3 * crop_side * crop_side, tolerance);
  fixture_assert_close ("vae/image_mean16", mean, expected_mean, 3 * cells * cells, tolerance);
}

static void
check_decode (SwittiSafetensors *file, SwittiDevice *device, SwittiVae *vae, double tolerance)
{
  const gsize count = (gsize) PIXELS * PIXELS * 3;
  g_autoptr (GError) error = NULL;
  g_autoptr (GTimer) timer = g_timer_new ();
  g_autofree float *fz = fixture_input ("full/fz", 1, LATENT * SIDE * SIDE);
  g_autofree float *f_hat = fixture_nchw_to_nhwc (fz, 1, LATENT, SIDE * SIDE);
  g_autofree float *image = NULL;
  float *device_f_hat = fixture_upload (device, f_hat, sizeof (float) * LATENT * SIDE * SIDE);
  float *device_image = fixture_device_alloc (device, sizeof (float) * count);

  switti_vae_decode (vae, 1, SIDE, device_f_hat, device_image, NULL, NULL, &error);
  g_assert_no_error (error);
  g_test_message ("decoded in %.1f s", g_timer_elapsed (timer, NULL));
  image = fixture_download (device, device_image, sizeof (float) * count);
  for (gsize i = 0; i < count; i++)
    image[i] = CLAMP (image[i], -1.0f, 1.0f);
  check_image (file, image, tolerance);
  switti_device_free (device, device_f_hat);
  switti_device_free (device, device_image);
}

/* full/img, 32 x 32 in NCHW, bilinear to 512 x 512 with half-pixel centres, in NHWC. */
static float *
enlarged_image (void)
{
  g_autofree float *small = fixture_input ("full/img", 1, 3 * SIDE * SIDE);
  float *image = g_new (float, (gsize) PIXELS *PIXELS * 3);

  for (int y = 0; y < PIXELS; y++)
    for (int x = 0; x < PIXELS; x++)
      for (int c = 0; c < 3; c++)
        {
          const double sy = MAX ((y + 0.5) / 16 - 0.5, 0), sx = MAX ((x + 0.5) / 16 - 0.5, 0);
          const int y0 = (int) sy, x0 = (int) sx, y1 = MIN (y0 + 1, SIDE - 1), x1 = MIN (x0 + 1, SIDE - 1);
          const float *map = small + c * SIDE * SIDE;
          const double upper = map[y0 * SIDE + x0] * (1 - (sx - x0)) + map[y0 * SIDE + x1] * (sx - x0);
          const double lower = map[y1 * SIDE + x0] * (1 - (sx - x0)) + map[y1 * SIDE + x1] * (sx - x0);

          image[((gsize) y * PIXELS + (gsize) x) * 3 + (gsize) c]
              = (float) (upper * (1 - (sy - y0)) + lower * (sy - y0));
        }
  return image;
}

static void
check_codes (SwittiSafetensors *file, SwittiDevice *device, SwittiWeights *weights, const float *device_f)
{
  const SwittiVaeConfig config = published_vae ();
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiPyramid) pyramid = switti_pyramid_new (device, &config, weights, 1, &error);
  gint32 *codes[SWITTI_MAX_SCALES];

  g_assert_no_error (error);
  for (int s = 0; s < config.schedule.n_scales; s++)
    codes[s] = fixture_device_alloc (
        device, sizeof (gint32) * (gsize) config.schedule.side[s] * (gsize) config.schedule.side[s]);
  g_assert_true (switti_pyramid_encode (pyramid, 1, device_f, codes, &error));
  for (int s = 0; s < config.schedule.n_scales; s++)
    {
      g_autofree char *name = g_strdup_printf ("vae/idx%d", s);
      gsize count;
      g_autofree gint32 *expected = fixture_i32 (file, name, &count);
      g_autofree gint32 *got = fixture_download (device, codes[s], sizeof (gint32) * count);

      fixture_assert_codes (name, got, expected, count);
      switti_device_free (device, codes[s]);
    }
}

static void
check_encode (SwittiSafetensors *file, SwittiDevice *device, SwittiVae *vae, SwittiWeights *weights,
              SwittiDtype dtype, double tolerance)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GTimer) timer = g_timer_new ();
  g_autofree float *image = enlarged_image ();
  g_autofree float *f_nchw = fixture_f32 (file, "vae/f", NULL);
  g_autofree float *expected = fixture_nchw_to_nhwc (f_nchw, 1, LATENT, SIDE * SIDE);
  g_autofree float *f = NULL;
  float *device_image = fixture_upload (device, image, sizeof (float) * PIXELS * PIXELS * 3);
  float *device_f = fixture_device_alloc (device, sizeof (float) * LATENT * SIDE * SIDE);

  switti_vae_encode (vae, 1, SIDE, device_image, device_f, NULL, &error);
  g_assert_no_error (error);
  g_test_message ("encoder loaded and run in %.1f s", g_timer_elapsed (timer, NULL));
  f = fixture_download (device, device_f, sizeof (float) * LATENT * SIDE * SIDE);
  fixture_assert_close ("vae/f", f, expected, LATENT * SIDE * SIDE, tolerance);
  if (dtype == SWITTI_DTYPE_F32)
    check_codes (file, device, weights, device_f);
  switti_device_free (device, device_image);
  switti_device_free (device, device_f);
}

static void
check_vae (SwittiDtype dtype, double tolerance)
{
  const SwittiVaeConfig config = published_vae ();
  g_autoptr (SwittiSafetensors) file = fixture_open ("full_512");
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = fixture_device (0);
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("vae.", SWITTI_DTYPE_F32);
  g_autoptr (SwittiVae) vae = switti_vae_new (device, &config, weights, dtype, &error);

  g_assert_no_error (error);
  check_decode (file, device, vae, tolerance);
  check_encode (file, device, vae, weights, dtype, tolerance);
}

static void
test_vae_f32 (void)
{
  if (has_memory (3 * GIB))
    check_vae (SWITTI_DTYPE_F32, FIXTURE_F32_TOLERANCE);
}

static void
test_vae_bf16 (void)
{
  if (has_memory (2 * GIB))
    check_vae (SWITTI_DTYPE_BF16, 2 * fixture_meta ("full_vae_bf16_rel_err"));
}

/* -- text encoders -------------------------------------------------------------------------------------------- */

static void
check_text_encoder (const char *which, const SwittiTextConfig *config, SwittiDtype dtype, double tolerance)
{
  const int n_valid = 21;
  const gsize width = (gsize) config->width;
  g_autoptr (SwittiSafetensors) file = fixture_open ("full_512");
  g_autofree char *prefix = g_strdup_printf ("%s.", which);
  g_autofree char *hidden_name = g_strdup_printf ("%s/hidden%d", which, n_valid);
  g_autofree char *pooled_name = g_strdup_printf ("%s/pooled", which);
  g_autofree gint32 *ids = fixture_integers ("full/ids", 49000, T);
  g_autofree gint32 *expected_ids = fixture_i32 (file, "clip/ids", NULL);
  g_autofree float *expected_hidden = fixture_f32 (file, hidden_name, NULL);
  g_autofree float *expected_pooled = fixture_f32 (file, pooled_name, NULL);
  g_autofree float *hidden = NULL, *pooled = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = fixture_device (0);
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic (prefix, SWITTI_DTYPE_F32);
  g_autoptr (SwittiTextEncoder) encoder
      = switti_text_encoder_new (device, config, weights, dtype, 1, &error);
  float *device_hidden = fixture_device_alloc (device, sizeof (float) * T * width);
  float *device_pooled = fixture_device_alloc (device, sizeof (float) * width);

  g_assert_no_error (error);
  ids[0] = config->bos_id;
  for (int t = 20; t < T; t++)
    ids[t] = config->eos_id;
  fixture_assert_codes ("clip/ids", ids, expected_ids, T);
  switti_text_encoder_encode (encoder, 1, ids, &n_valid, device_hidden, config->width, device_pooled, &error);
  g_assert_no_error (error);
  hidden = fixture_download (device, device_hidden, sizeof (float) * T * width);
  pooled = fixture_download (device, device_pooled, sizeof (float) * width);
  fixture_assert_close (hidden_name, hidden, expected_hidden, (gsize) n_valid * width, tolerance);
  fixture_assert_close (pooled_name, pooled, expected_pooled, width, tolerance);
  switti_device_free (device, device_hidden);
  switti_device_free (device, device_pooled);
}

static const SwittiTextConfig clip_l = { 12, 768, 12, 3072, 49408, T, TRUE, 1e-5, 49406, 49407, 49407 };
static const SwittiTextConfig clip_g = { 32, 1280, 20, 5120, 49408, T, FALSE, 1e-5, 49406, 49407, 0 };

static void
test_text_f32 (void)
{
  if (!has_memory (4 * GIB))
    return;
  check_text_encoder ("clip_l", &clip_l, SWITTI_DTYPE_F32, FIXTURE_F32_TOLERANCE);
  check_text_encoder ("clip_g", &clip_g, SWITTI_DTYPE_F32, FIXTURE_F32_TOLERANCE);
}

static void
test_text_bf16 (void)
{
  if (!has_memory (3 * GIB))
    return;
  check_text_encoder ("clip_l", &clip_l, SWITTI_DTYPE_BF16, 2 * fixture_meta ("full_clip_l_bf16_rel_err"));
  check_text_encoder ("clip_g", &clip_g, SWITTI_DTYPE_BF16, 2 * fixture_meta ("full_clip_g_bf16_rel_err"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/full-512/f32/text", test_text_f32);
  g_test_add_func ("/full-512/f32/vae", test_vae_f32);
  g_test_add_func ("/full-512/f32/transformer", test_transformer_f32);
  g_test_add_func ("/full-512/bf16/text", test_text_bf16);
  g_test_add_func ("/full-512/bf16/vae", test_vae_bf16);
  g_test_add_func ("/full-512/bf16/transformer", test_transformer_bf16);
  return g_test_run ();
}
