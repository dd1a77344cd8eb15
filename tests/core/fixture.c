/* fixture.c - the measured numbers of $SWITTI_FIXTURES or tests/fixtures, and what tests compare with them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"

#if defined(SWITTI_TEST_CUDA_ON_HOST)
#include "table-on-host.h"
#endif

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

char *
fixture_path (const char *file_name)
{
  const char *folder = g_getenv ("SWITTI_FIXTURES");

  if (folder == NULL)
    return g_test_build_filename (G_TEST_DIST, "fixtures", file_name, NULL);
  return g_build_filename (folder, file_name, NULL);
}

SwittiSafetensors *
fixture_open (const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *file_name = g_strconcat (name, ".safetensors", NULL);
  g_autofree char *path = fixture_path (file_name);
  SwittiSafetensors *file = switti_safetensors_open (path, &error);

  if (file == NULL)
    g_error ("%s", error->message);
  return file;
}

double
fixture_meta (const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = fixture_path ("meta.json");
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *object;

  if (!json_parser_load_from_file (parser, path, &error))
    g_error ("%s", error->message);
  object = json_node_get_object (json_parser_get_root (parser));
  if (!json_object_has_member (object, key))
    g_error ("%s: no member “%s”", path, key);
  return json_object_get_double_member (object, key);
}

GStrv
fixture_variants (SwittiSafetensors *file, const char *suffix)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  GStrv variants;

  for (const char *const *name = switti_safetensors_list (file); *name != NULL; name++)
    {
      const char *slash = strchr (*name, '/');

      if (slash != NULL && g_str_equal (slash, suffix))
        {
          g_autofree char *variant = g_strndup (*name, (gsize) (slash - *name));

          g_strv_builder_add (builder, variant);
        }
    }
  variants = g_strv_builder_end (builder);
  if (variants[0] == NULL)
    g_error ("The fixture holds no variant with “%s”", suffix);
  return variants;
}

static SwittiTensor
lookup (SwittiSafetensors *file, const char *name, SwittiDtype dtype, gsize *count)
{
  SwittiTensor tensor;

  if (!switti_safetensors_lookup (file, name, &tensor))
    g_error ("The fixture holds no tensor “%s”", name);
  g_assert_cmpint (tensor.dtype, ==, dtype);
  g_assert_true (switti_shape_count (tensor.n_dims, tensor.dims, count));
  return tensor;
}

float *
fixture_f32 (SwittiSafetensors *file, const char *name, gsize *count)
{
  gsize n;
  SwittiTensor tensor = lookup (file, name, SWITTI_DTYPE_F32, &n);

  if (count != NULL)
    *count = n;
  return g_memdup2 (tensor.data, n * sizeof (float));
}

gint32 *
fixture_i32 (SwittiSafetensors *file, const char *name, gsize *count)
{
  gsize n;
  SwittiTensor tensor = lookup (file, name, SWITTI_DTYPE_I32, &n);

  if (count != NULL)
    *count = n;
  return g_memdup2 (tensor.data, n * sizeof (gint32));
}

float *
fixture_input (const char *name, float scale, gsize count)
{
  float *values = g_new (float, count);

  switti_synthetic_fill (name, scale, count, values);
  return values;
}

gint32 *
fixture_integers (const char *name, int below, gsize count)
{
  g_autofree float *u = fixture_input (name, 1, count);
  gint32 *values = g_new (gint32, count);

  for (gsize i = 0; i < count; i++)
    values[i] = (gint32) floor (((double) u[i] + 1) / 2 * below);
  return values;
}

double
fixture_relative_error (const float *got, const float *expected, gsize count)
{
  double difference = 0, norm = 0;

  for (gsize i = 0; i < count; i++)
    {
      double d = (double) got[i] - expected[i];

      difference += d * d;
      norm += (double) expected[i] * expected[i];
    }
  return sqrt (difference / norm);
}

void
fixture_assert_close (const char *what, const float *got, const float *expected, gsize count, double tolerance)
{
  double error = fixture_relative_error (got, expected, count);

  g_test_message ("%s: relative error %.3g, allowed %.3g", what, error, tolerance);
  if (!(error < tolerance))
    {
      g_test_message ("%s is too far from the reference: %.3g", what, error);
      g_test_fail ();
    }
}

void
fixture_assert_codes (const char *what, const gint32 *got, const gint32 *expected, gsize count)
{
  gsize wrong = 0;

  for (gsize i = 0; i < count; i++)
    wrong += got[i] != expected[i];
  g_test_message ("%s: %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " codes differ", what, wrong, count);
  if (wrong > 0)
    g_test_fail ();
}

void
fixture_probe (const char *name, const float *t, gsize count, double probe[5])
{
  double norm = 0;

  for (int j = 0; j < 4; j++)
    {
      g_autofree char *probe_name = g_strdup_printf ("probe%d/%s", j, name);
      g_autofree float *u = fixture_input (probe_name, 1, count);

      probe[j] = 0;
      for (gsize i = 0; i < count; i++)
        probe[j] += (double) t[i] * u[i];
    }
  for (gsize i = 0; i < count; i++)
    norm += (double) t[i] * t[i];
  probe[4] = sqrt (norm);
}

float *
fixture_nchw_to_nhwc (const float *in, gsize batch, gsize channels, gsize positions)
{
  float *out = g_new (float, batch * channels * positions);

  for (gsize b = 0; b < batch; b++)
    for (gsize c = 0; c < channels; c++)
      for (gsize p = 0; p < positions; p++)
        out[(b * positions + p) * channels + c] = in[(b * channels + c) * positions + p];
  return out;
}

float *
fixture_nhwc_to_nchw (const float *in, gsize batch, gsize channels, gsize positions)
{
  float *out = g_new (float, batch * channels * positions);

  for (gsize b = 0; b < batch; b++)
    for (gsize c = 0; c < channels; c++)
      for (gsize p = 0; p < positions; p++)
        out[(b * channels + c) * positions + p] = in[(b * positions + p) * channels + c];
  return out;
}

SwittiDevice *
fixture_device (int n_threads)
{
  g_autoptr (GError) error = NULL;
#if defined(SWITTI_TEST_CUDA_ON_HOST)
  const SwittiKernelOptions options = { .n_threads = n_threads };
  const gboolean on_gpu = g_strcmp0 (g_getenv ("SWITTI_TEST_CUDA"), "module") == 0;
  SwittiDevice *device = on_gpu ? switti_device_new ("cuda", n_threads, &error)
                                : switti_device_new_for_kernels (
                                    "cuda:0", switti_kernels_cuda_shuffled ((guint64) n_threads), &options, &error);
#else
  SwittiDevice *device = switti_device_new ("cpu", n_threads, &error);
#endif

  g_assert_no_error (error);
#if defined(SWITTI_TEST_CUDA_ON_HOST)
  if (on_gpu)
    g_test_message ("on the CUDA module: %s", switti_device_get_description (device)); /* gpu-check.sh looks for it */
#endif
  return device;
}

void *
fixture_device_alloc (SwittiDevice *device, gsize bytes)
{
  g_autoptr (GError) error = NULL;
  void *memory = switti_device_alloc (device, bytes, "a test", &error);

  g_assert_no_error (error);
  return memory;
}

void *
fixture_upload (SwittiDevice *device, const void *host, gsize bytes)
{
  void *memory = fixture_device_alloc (device, bytes);

  g_assert_cmpint (
      switti_device_get_kernels (device)->upload (switti_device_get_context (device), memory, host, bytes), ==,
      SWITTI_KERNEL_OK);
  return memory;
}

void *
fixture_download (SwittiDevice *device, const void *memory, gsize bytes)
{
  void *host = g_malloc (bytes);

  g_assert_cmpint (
      switti_device_get_kernels (device)->download (switti_device_get_context (device), host, memory, bytes), ==,
      SWITTI_KERNEL_OK);
  return host;
}

void
fixture_tiny_transformer (const char *variant, SwittiTransformerConfig *config)
{
  const gboolean absolute = g_str_equal (variant, "abspos");

  *config = (SwittiTransformerConfig){
    .depth = 2,
    .width = 128,
    .heads = 2,
    .ffn_hidden = absolute ? 4 * 128 : 128 * 8 / 3,
    .vocab = 256,
    .latent = 32,
    .context_dim = 2048,
    .pooled_dim = 1280,
    .rope = !absolute,
    .swiglu = !absolute,
    .ar = g_str_equal (variant, "ar"),
    .crop_cond = !absolute,
    .rope_theta = 10000,
    .rope_size = 128,
    .resolution = 64,
    .schedule = { 4, { 1, 2, 3, 4 } },
  };
}

void
fixture_tiny_vae (const char *variant, SwittiVaeConfig *config)
{
  guint64 shared = 4;

  if (variant[0] == 'q')
    g_assert_true (g_ascii_string_to_unsigned (variant + 1, 10, 0, SWITTI_MAX_SCALES, &shared, NULL));
  *config = (SwittiVaeConfig){
    .ch = 32,
    .vocab = 256,
    .latent = 32,
    .share_quant_resi = (int) shared,
    .quant_resi = 0.5,
    .schedule = { 4, { 1, 2, 3, 4 } },
  };
}
