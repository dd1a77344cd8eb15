/* test-pyramid.c - the latent pyramid: codes to f_hat, f to codes, and which phi serves which scale
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-pyramid-private.h"

#include <math.h>
#include <string.h>

#define BATCH 2
#define LATENT 32
#define SIDE 4
#define SCALES 4
#define MAP (SIDE * SIDE * LATENT)

typedef struct
{
  SwittiVaeConfig config;
  SwittiDevice *device;
  SwittiPyramid *pyramid;
} Setup;

static void
setup_init (Setup *setup, const SwittiVaeConfig *config, int n_threads, int max_batch)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("vae.", SWITTI_DTYPE_F32);

  setup->config = *config;
  setup->device = fixture_device (n_threads);
  setup->pyramid = switti_pyramid_new (setup->device, config, weights, max_batch, &error);
  g_assert_no_error (error);
}

static void
setup_clear (Setup *setup)
{
  switti_pyramid_free (setup->pyramid);
  g_assert_cmpuint (switti_device_get_allocated_bytes (setup->device), ==, 0);
  g_object_unref (setup->device);
}

static int
positions (int scale)
{
  return (scale + 1) * (scale + 1);
}

/* The codes' pyramid against f_hat after each scale and the transformer's teacher-forced inputs. */
static void
check_reconstruction (SwittiSafetensors *file, const char *variant)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *input_name = g_strdup_printf ("%s/switti_input", variant);
  g_autofree float *expected_input = fixture_f32 (file, input_name, NULL);
  g_autofree float *input = g_new0 (float, BATCH * 29 * LATENT);
  SwittiVaeConfig config;
  Setup setup;
  int begin = 0;

  fixture_tiny_vae (variant, &config);
  setup_init (&setup, &config, 0, BATCH);
  g_assert_true (switti_pyramid_begin (setup.pyramid, BATCH, &error));
  for (int s = 0; s < SCALES; s++)
    {
      const int n = positions (s), next = positions (s + 1);
      g_autofree char *idx_name = g_strdup_printf ("%s/idx%d", variant, s);
      g_autofree char *f_hat_name = g_strdup_printf ("%s/fhat%d", variant, s);
      g_autofree gint32 *codes = fixture_i32 (file, idx_name, NULL);
      g_autofree float *nchw = fixture_f32 (file, f_hat_name, NULL);
      g_autofree float *expected = fixture_nchw_to_nhwc (nchw, BATCH, LATENT, SIDE * SIDE);
      g_autofree float *f_hat = NULL, *x = NULL;
      gint32 *device_codes = fixture_upload (setup.device, codes, sizeof (gint32) * BATCH * n);
      float *device_input = fixture_device_alloc (setup.device, sizeof (float) * BATCH * next * LATENT);

      g_assert_true (switti_pyramid_add_codes (setup.pyramid, s, device_codes, &error));
      f_hat = fixture_download (setup.device, switti_pyramid_get_f_hat (setup.pyramid), sizeof (float) * BATCH * MAP);
      fixture_assert_close (f_hat_name, f_hat, expected, BATCH * MAP, FIXTURE_F32_TOLERANCE);
      if (s + 1 < SCALES)
        {
          g_assert_true (switti_pyramid_next_input (setup.pyramid, s + 1, device_input, &error));
          x = fixture_download (setup.device, device_input, sizeof (float) * BATCH * next * LATENT);
          for (int b = 0; b < BATCH; b++)
            memcpy (input + (b * 29 + begin) * LATENT, x + b * next * LATENT, sizeof (float) * next * LATENT);
          begin += next;
        }
      switti_device_free (setup.device, device_codes);
      switti_device_free (setup.device, device_input);
    }
  fixture_assert_close (input_name, input, expected_input, BATCH * 29 * LATENT, FIXTURE_F32_TOLERANCE);
  setup_clear (&setup);
}

/* Encodes `batch` maps; codes come one scale after another, each (batch, n). */
static void
encode (const SwittiVaeConfig *config, int n_threads, int batch, const float *f, gint32 *codes[SCALES], float **f_hat)
{
  g_autoptr (GError) error = NULL;
  gint32 *device_codes[SCALES];
  float *device_f;
  Setup setup;

  setup_init (&setup, config, n_threads, batch);
  device_f = fixture_upload (setup.device, f, sizeof (float) * batch * MAP);
  for (int s = 0; s < SCALES; s++)
    device_codes[s] = fixture_device_alloc (setup.device, sizeof (gint32) * batch * positions (s));
  g_assert_true (switti_pyramid_encode (setup.pyramid, batch, device_f, device_codes, &error));
  g_assert_no_error (error);
  for (int s = 0; s < SCALES; s++)
    {
      codes[s] = fixture_download (setup.device, device_codes[s], sizeof (gint32) * batch * positions (s));
      switti_device_free (setup.device, device_codes[s]);
    }
  *f_hat = fixture_download (setup.device, switti_pyramid_get_f_hat (setup.pyramid), sizeof (float) * batch * MAP);
  switti_device_free (setup.device, device_f);
  setup_clear (&setup);
}

static void
check_codes (SwittiSafetensors *file, const char *variant)
{
  g_autofree char *f_name = g_strdup_printf ("%s/f", variant);
  g_autofree char *last_name = g_strdup_printf ("%s/fhat%d", variant, SCALES - 1);
  g_autofree float *f_nchw = fixture_f32 (file, f_name, NULL);
  g_autofree float *f = fixture_nchw_to_nhwc (f_nchw, BATCH, LATENT, SIDE * SIDE);
  g_autofree float *last_nchw = fixture_f32 (file, last_name, NULL);
  g_autofree float *expected = fixture_nchw_to_nhwc (last_nchw, BATCH, LATENT, SIDE * SIDE);
  g_autofree float *f_hat = NULL;
  SwittiVaeConfig config;
  gint32 *codes[SCALES];

  fixture_tiny_vae (variant, &config);
  encode (&config, 0, BATCH, f, codes, &f_hat);
  for (int s = 0; s < SCALES; s++)
    {
      g_autofree char *idx_name = g_strdup_printf ("%s/idx%d", variant, s);
      g_autofree gint32 *expected_codes = fixture_i32 (file, idx_name, NULL);

      fixture_assert_codes (idx_name, codes[s], expected_codes, BATCH * positions (s));
      g_free (codes[s]);
    }
  fixture_assert_close (last_name, f_hat, expected, BATCH * MAP, FIXTURE_F32_TOLERANCE);
}

static void
for_each_variant (void (*check) (SwittiSafetensors *file, const char *variant))
{
  g_autoptr (SwittiSafetensors) file = fixture_open ("vae_tiny");
  g_auto (GStrv) variants = fixture_variants (file, "/switti_input");

  for (char **variant = variants; *variant != NULL; variant++)
    check (file, *variant);
}

static void
test_reconstruction (void)
{
  for_each_variant (check_reconstruction);
}

static void
test_codes (void)
{
  for_each_variant (check_codes);
}

/* Codes and f_hat of a map are the same bits alone and in a batch, on one thread and two. */
static void
test_reproducible (void)
{
  g_autofree float *f = fixture_input ("test/f", 1, BATCH * MAP);
  g_autofree float *f_hat = NULL, *f_hat_alone = NULL;
  gint32 *codes[SCALES], *codes_alone[SCALES];
  SwittiVaeConfig config;

  fixture_tiny_vae ("q4", &config);
  encode (&config, 1, BATCH, f, codes, &f_hat);
  encode (&config, 2, 1, f + MAP, codes_alone, &f_hat_alone);
  g_assert_cmpmem (f_hat + MAP, sizeof (float) * MAP, f_hat_alone, sizeof (float) * MAP);
  for (int s = 0; s < SCALES; s++)
    {
      const gsize n = (gsize) positions (s);

      g_assert_cmpmem (codes[s] + n, sizeof (gint32) * n, codes_alone[s], sizeof (gint32) * n);
      g_free (codes[s]);
      g_free (codes_alone[s]);
    }
}

/* With one phi a scale, and with none, the pyramid adds (1 - q) h + q conv (h), here naively at the last scale. */
static void
test_phi_kinds (void)
{
  static const struct
  {
    int share;
    double quant_resi;
    const char *name;
  } cases[] = { { 0, 0.5, "quantize.quant_resi.3" }, { 0, 0.25, "quantize.quant_resi.3" }, { 4, 0.0, NULL } };
  g_autofree float *h = fixture_input ("test/h", 1, MAP);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree float *weight = NULL, *bias = NULL, *f_hat = NULL, *expected = g_new (float, MAP);
      const double q = cases[i].quant_resi;
      SwittiVaeConfig config;
      float *device_h;
      Setup setup;

      if (cases[i].name != NULL)
        {
          g_autofree char *weight_name = g_strdup_printf ("vae.%s.weight", cases[i].name);
          g_autofree char *bias_name = g_strdup_printf ("vae.%s.bias", cases[i].name);

          weight = fixture_input (weight_name, 1 / sqrtf (LATENT * 9 / 3.0f), LATENT * LATENT * 9);
          bias = fixture_input (bias_name, 0.1f, LATENT);
        }
      for (int p = 0; p < SIDE * SIDE; p++)
        for (int o = 0; o < LATENT; o++)
          {
            double sum = bias != NULL ? bias[o] : 0;

            for (int tap = 0; weight != NULL && tap < 9; tap++)
              {
                int y = p / SIDE + tap / 3 - 1, x = p % SIDE + tap % 3 - 1;

                for (int c = 0; c < LATENT && y >= 0 && y < SIDE && x >= 0 && x < SIDE; c++)
                  sum += (double) h[(y * SIDE + x) * LATENT + c] * weight[(o * LATENT + c) * 9 + tap];
              }
            expected[p * LATENT + o] = (float) ((1 - q) * h[p * LATENT + o] + q * sum);
          }

      fixture_tiny_vae ("q4", &config);
      config.share_quant_resi = cases[i].share;
      config.quant_resi = q;
      setup_init (&setup, &config, 0, 1);
      device_h = fixture_upload (setup.device, h, sizeof (float) * MAP);
      g_assert_true (switti_pyramid_begin (setup.pyramid, 1, &error));
      g_assert_true (switti_pyramid_add (setup.pyramid, SCALES - 1, device_h, &error));
      f_hat = fixture_download (setup.device, switti_pyramid_get_f_hat (setup.pyramid), sizeof (float) * MAP);
      fixture_assert_close ("phi", f_hat, expected, MAP, FIXTURE_F32_TOLERANCE);
      switti_device_free (setup.device, device_h);
      setup_clear (&setup);
    }
}

/* The values of numpy's argmin over its linspace; 512 has two scales half-way between ticks, 2 and 7. */
static void
test_phi_index (void)
{
  static const struct
  {
    int share, n_scales;
    int phi[14];
  } cases[] = {
    { 4, 10, { 0, 0, 1, 1, 1, 2, 2, 3, 3, 3 } },
    { 4, 14, { 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3 } },
    { 4, 4, { 0, 1, 2, 3 } },
    { 1, 10, { 0 } },
    { 0, 4, { 0, 1, 2, 3 } },
    { 0, 10, { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 } },
    { 2, 3, { 0, 0, 1 } },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      SwittiVaeConfig config = { .share_quant_resi = cases[i].share, .schedule.n_scales = cases[i].n_scales };

      for (int s = 0; s < cases[i].n_scales; s++)
        g_assert_cmpint (switti_pyramid_phi_index (&config, s), ==, cases[i].phi[s]);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pyramid/reconstruction", test_reconstruction);
  g_test_add_func ("/pyramid/codes", test_codes);
  g_test_add_func ("/pyramid/reproducible", test_reproducible);
  g_test_add_func ("/pyramid/phi-kinds", test_phi_kinds);
  g_test_add_func ("/pyramid/phi-index", test_phi_index);
  return g_test_run ();
}
