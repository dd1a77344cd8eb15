/* test-generator-fixtures.c - whole runs against the published code: pipe_tiny
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Every pipe/VARIANT/CASE of the file is run. A case is "base", or says what differs: "off2" (guidance ends at scale 2,
 * and the last temperature is 0.5), "on1" (guidance begins at scale 1).
 */
#include "fixture.h"
#include "switti-generator-private.h"
#include "switti-pyramid-private.h"
#include "switti-vae-private.h"

#include <math.h>
#include <string.h>

#define BATCH 2
#define START_ID 998
#define END_ID 999

typedef struct
{
  char *variant, *name;
  int guidance_start, guidance_end; /* -1: the default */
  gboolean last_temperature;
} Case;

static void
case_free (gpointer data)
{
  Case *fixture = data;

  g_free (fixture->variant);
  g_free (fixture->name);
  g_free (fixture);
}

/* Trace of one run: what the sampler was given, and drew. */
typedef struct
{
  float *logits[SWITTI_MAX_SCALES];
  gint32 *codes[SWITTI_MAX_SCALES];
  int n[SWITTI_MAX_SCALES];
  int batch, n_scales;
} Trace;

static void
trace_clear (Trace *trace)
{
  for (int s = 0; s < trace->n_scales; s++)
    {
      g_free (trace->logits[s]);
      g_free (trace->codes[s]);
    }
  *trace = (Trace) { 0 };
}

static void
on_scale (int scale, int batch, int n, const float *logits, const gint32 *codes, gpointer data)
{
  Trace *trace = data;
  gsize rows = (gsize) batch * (gsize) n;

  g_assert_cmpint (scale, ==, trace->n_scales);
  trace->batch = batch;
  trace->n_scales = scale + 1;
  trace->n[scale] = n;
  trace->logits[scale] = g_memdup2 (logits, rows * 256 * sizeof (float));
  trace->codes[scale] = g_memdup2 (codes, rows * sizeof (gint32));
}

/* -- the fixture's model and prompts ------------------------------------------------------------------------- */

static SwittiTextConfig
text_config (int width, int heads, int mlp, gboolean quick_gelu)
{
  return (SwittiTextConfig) {
    .layers = 1, .width = width, .heads = heads, .mlp = mlp, .vocab = 1000, .positions = SWITTI_TEXT_LENGTH,
    .quick_gelu = quick_gelu, .norm_eps = 1e-5, .bos_id = START_ID, .eos_id = END_ID, .pad_id = END_ID,
  };
}

static SwittiBundle *
make_bundle (const char *variant)
{
  SwittiBundleParts parts = {
    .text = { text_config (768, 12, 1024, TRUE), text_config (1280, 20, 1536, FALSE) },
    .transformer_weights = switti_weights_new_synthetic ("switti.", SWITTI_DTYPE_F32),
    .vae_weights = switti_weights_new_synthetic ("vae.", SWITTI_DTYPE_F32),
    .text_weights = { switti_weights_new_synthetic ("pipe_l.", SWITTI_DTYPE_F32),
                      switti_weights_new_synthetic ("pipe_g.", SWITTI_DTYPE_F32) },
  };

  fixture_tiny_transformer (variant, &parts.transformer);
  fixture_tiny_vae ("q4", &parts.vae);
  return switti_bundle_new_from_parts (variant, &parts);
}

/* start, the given ids, end, padding. Returns the number of valid ids. */
static int
put_ids (const char *text, gint32 ids[SWITTI_TEXT_LENGTH])
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  int n = 0;

  ids[n++] = START_ID;
  for (guint i = 0; words[i]; i++)
    ids[n++] = (gint32) g_ascii_strtoll (words[i], NULL, 10);
  ids[n++] = END_ID;
  for (int t = n; t < SWITTI_TEXT_LENGTH; t++)
    ids[t] = END_ID;
  return n;
}

static SwittiRequest *
make_request (SwittiBundle *bundle, const Case *fixture)
{
  SwittiRequest *request = switti_request_new (bundle);

  g_object_set (request, "guidance", 4.0, "top-k", 1, "top-p", 0.0, "smooth", FALSE, "guidance-start",
                MAX (fixture->guidance_start, 0), "guidance-end",
                fixture->guidance_end >= 0 ? fixture->guidance_end : switti_bundle_get_n_scales (bundle),
                "last-scale-temperature", fixture->last_temperature ? 0.5 : 0.0, NULL);
  return request;
}

/* Prompts first .. first + n - 1 of the fixture, `batch` at once. */
static GPtrArray *
generate (SwittiGenerator *generator, const Case *fixture, int first, int n, int batch)
{
  static const char *const texts[BATCH] = { "11 22 33 44", "7 8 9" };
  gint32 prompts[BATCH][SWITTI_TEXT_LENGTH], null_prompt[SWITTI_TEXT_LENGTH];
  int n_valid[BATCH];
  int null_valid = put_ids ("5 6", null_prompt);
  g_autoptr (SwittiRequest) request = make_request (switti_generator_get_bundle (generator), fixture);
  g_autoptr (GError) error = NULL;
  GPtrArray *images;

  for (int b = 0; b < BATCH; b++)
    n_valid[b] = put_ids (texts[b], prompts[b]);
  g_object_set (request, "batch", batch, NULL);
  images = switti_generator_generate_ids (
    generator, request, n, (const gint32 *[2]) { prompts[first], prompts[first] },
    (const int *[2]) { &n_valid[first], &n_valid[first] }, (const gint32 *[2]) { null_prompt, null_prompt },
    (const int[2]) { null_valid, null_valid }, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (images->len, ==, n);
  return images;
}

/* -- comparing ----------------------------------------------------------------------------------------------- */

static void
compare_trace (SwittiSafetensors *file, const Case *fixture, const Trace *trace)
{
  for (int s = 0; s < trace->n_scales; s++)
    {
      g_autofree char *logits_name = g_strdup_printf ("pipe/%s/%s/logits%d", fixture->variant, fixture->name, s);
      g_autofree char *codes_name = g_strdup_printf ("pipe/%s/%s/idx%d", fixture->variant, fixture->name, s);
      gsize n_logits, n_codes;
      g_autofree float *logits = fixture_f32 (file, logits_name, &n_logits);
      g_autofree gint32 *codes = fixture_i32 (file, codes_name, &n_codes);

      g_assert_cmpuint (n_codes, ==, BATCH * trace->n[s]);
      fixture_assert_close (logits_name, trace->logits[s], logits, n_logits, FIXTURE_F32_TOLERANCE);
      fixture_assert_codes (codes_name, trace->codes[s], codes, n_codes);
    }
}

/* The picture in [0, 1] as the published code leaves it, channels first: the run's codes through pyramid and VAE. */
static float *
decode_codes (SwittiDevice *device, const SwittiBundleParts *parts, const Trace *trace)
{
  const SwittiSchedule *schedule = &parts->vae.schedule;
  int side = schedule->side[schedule->n_scales - 1];
  gsize pixels = (gsize) (16 * side) * (gsize) (16 * side);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiPyramid) pyramid = switti_pyramid_new (device, &parts->vae, parts->vae_weights, BATCH, &error);
  g_autoptr (SwittiVae) vae = switti_vae_new (device, &parts->vae, parts->vae_weights, SWITTI_DTYPE_F32, &error);
  float *image = fixture_device_alloc (device, BATCH * pixels * 3 * sizeof (float));
  g_autofree float *host = NULL;

  g_assert_no_error (error);
  g_assert_true (switti_pyramid_begin (pyramid, BATCH, &error));
  for (int s = 0; s < trace->n_scales; s++)
    {
      void *codes = fixture_upload (device, trace->codes[s], sizeof (gint32) * BATCH * (gsize) trace->n[s]);

      g_assert_true (switti_pyramid_add_codes (pyramid, s, codes, &error));
      switti_device_free (device, codes);
    }
  g_assert_true (
    switti_vae_decode (vae, BATCH, side, switti_pyramid_get_f_hat (pyramid), image, NULL, NULL, &error));
  g_assert_no_error (error);
  host = fixture_download (device, image, BATCH * pixels * 3 * sizeof (float));
  switti_device_free (device, image);
  for (gsize i = 0; i < BATCH * pixels * 3; i++)
    host[i] = (CLAMP (host[i], -1.0f, 1.0f) + 1) / 2;
  return fixture_nhwc_to_nchw (host, BATCH, 3, pixels);
}

/* The 8-bit pixels are the fixture's, cut off: below it by less than one step, but for the float's own tolerance. */
static void
compare_pixels (GPtrArray *images, const float *expected, gsize pixels)
{
  for (guint b = 0; b < images->len; b++)
    {
      gsize size;
      const guint8 *rgb = g_bytes_get_data (switti_image_get_pixels (g_ptr_array_index (images, b)), &size);

      g_assert_cmpuint (size, ==, pixels * 3);
      for (gsize p = 0; p < pixels; p++)
        for (gsize c = 0; c < 3; c++)
          {
            double reference = 255.0 * (double) expected[(b * 3 + c) * pixels + p];

            g_assert_cmpfloat (rgb[p * 3 + c], >, reference - 1 - 255 * FIXTURE_F32_TOLERANCE);
            g_assert_cmpfloat (rgb[p * 3 + c], <=, reference + 255 * FIXTURE_F32_TOLERANCE);
          }
    }
}

/* The same image, one at a time: equal logits to the bit, equal codes. */
static void
compare_alone (SwittiGenerator *generator, const Case *fixture, const Trace *both)
{
  for (int b = 0; b < BATCH; b++)
    {
      Trace alone = { 0 };
      g_autoptr (GPtrArray) images = NULL;

      switti_generator_set_trace (generator, on_scale, &alone);
      images = generate (generator, fixture, b, 1, 1);
      g_assert_cmpint (alone.n_scales, ==, both->n_scales);
      for (int s = 0; s < alone.n_scales; s++)
        {
          gsize logits = (gsize) alone.n[s] * 256, codes = (gsize) alone.n[s];

          g_assert_cmpmem (alone.logits[s], logits * sizeof (float), both->logits[s] + (gsize) b * logits,
                           logits * sizeof (float));
          g_assert_cmpmem (alone.codes[s], codes * sizeof (gint32), both->codes[s] + (gsize) b * codes,
                           codes * sizeof (gint32));
        }
      trace_clear (&alone);
    }
}

static void
test_case (gconstpointer data)
{
  const Case *fixture = data;
  g_autoptr (SwittiSafetensors) file = fixture_open ("pipe_tiny");
  g_autofree char *image_name = g_strdup_printf ("pipe/%s/%s/image", fixture->variant, fixture->name);
  g_autoptr (SwittiDevice) device = fixture_device (0);
  g_autoptr (SwittiBundle) bundle = make_bundle (fixture->variant);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiGenerator) generator
    = switti_generator_new (bundle, device, SWITTI_PRECISION_F32, NULL, &error);
  gsize count;
  g_autofree float *expected = fixture_f32 (file, image_name, &count);
  g_autofree float *image = NULL;
  g_autoptr (GPtrArray) images = NULL;
  Trace trace = { 0 };

  g_assert_no_error (error);
  switti_generator_set_trace (generator, on_scale, &trace);
  images = generate (generator, fixture, 0, BATCH, BATCH);
  g_assert_cmpint (trace.n_scales, ==, switti_bundle_get_n_scales (bundle));
  compare_trace (file, fixture, &trace);
  image = decode_codes (device, switti_bundle_get_parts (bundle), &trace);
  fixture_assert_close (image_name, image, expected, count, FIXTURE_F32_TOLERANCE);
  compare_pixels (images, expected, count / BATCH / 3);
  compare_alone (generator, fixture, &trace);
  trace_clear (&trace);
}

/* -- finding the cases --------------------------------------------------------------------------------------- */

/* The number behind `word`, or -1. */
static int
number_after (const char *name, const char *word)
{
  const char *at = strstr (name, word);

  return at && g_ascii_isdigit (at[strlen (word)]) ? (int) g_ascii_strtoll (at + strlen (word), NULL, 10) : -1;
}

static void
add_case (const char *variant, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/generator-fixtures/%s/%s", variant, name);
  Case *fixture = g_new0 (Case, 1);

  fixture->variant = g_strdup (variant);
  fixture->name = g_strdup (name);
  fixture->guidance_start = number_after (name, "on");
  fixture->guidance_end = number_after (name, "off");
  fixture->last_temperature = fixture->guidance_end >= 0;
  /* A name that says nothing of this sort would be run as "base", and fail for a reason that nobody sees. */
  if (!g_str_equal (name, "base") && fixture->guidance_start < 0 && fixture->guidance_end < 0)
    g_error ("pipe_tiny has a case “%s” that this test does not know.", name);
  g_test_add_data_func_full (path, fixture, test_case, case_free);
}

static void
add_cases (void)
{
  g_autoptr (SwittiSafetensors) file = fixture_open ("pipe_tiny");
  const char *const *names = switti_safetensors_list (file);
  guint n_cases = 0;

  for (guint i = 0; names[i]; i++)
    {
      g_auto (GStrv) words = g_strsplit (names[i], "/", -1);

      if (g_strv_length (words) != 4 || !g_str_equal (words[0], "pipe") || !g_str_equal (words[3], "image"))
        continue;
      add_case (words[1], words[2]);
      n_cases++;
    }
  if (n_cases == 0)
    g_error ("pipe_tiny has no whole run, pipe/VARIANT/CASE/image.");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_cases ();
  return g_test_run ();
}
