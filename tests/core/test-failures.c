/* test-failures.c - a device that fails at any point gives one error, leaks nothing and stays usable
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Each part of the model is made and run on a table whose n-th allocation, plan or op fails, for n = 0, 1, 2 … until
 * all goes well.
 */
#include "fixture.h"
#include "switti-bundle-private.h"
#include "switti-error.h"
#include "switti-generator.h"
#include "switti-pyramid-private.h"
#include "switti-text-encoder-private.h"
#include "switti-transformer-private.h"
#include "switti-vae-private.h"

#include <string.h>

static int calls_left; /* until the failure; never fails below 0 */

static gboolean
fails_now (void)
{
  return calls_left >= 0 && calls_left-- == 0;
}

static SwittiKernelStatus
failing_alloc (SwittiKernelContext *context, size_t bytes, void **memory)
{
  return fails_now () ? SWITTI_KERNEL_OUT_OF_MEMORY : switti_kernels_cpu ()->alloc (context, bytes, memory);
}

static SwittiKernelStatus
failing_upload (SwittiKernelContext *context, void *dst, const void *host, size_t bytes)
{
  return fails_now () ? SWITTI_KERNEL_DEVICE : switti_kernels_cpu ()->upload (context, dst, host, bytes);
}

static SwittiKernelStatus
failing_gemm_plan (SwittiKernelContext *context, const SwittiGemm *gemm, SwittiGemmPlan **plan)
{
  return fails_now () ? SWITTI_KERNEL_OUT_OF_MEMORY : switti_kernels_cpu ()->gemm_plan (context, gemm, plan);
}

static SwittiKernelStatus
failing_conv_plan (SwittiKernelContext *context, const SwittiConv *conv, SwittiConvPlan **plan)
{
  return fails_now () ? SWITTI_KERNEL_OUT_OF_MEMORY : switti_kernels_cpu ()->conv_plan (context, conv, plan);
}

static SwittiKernelStatus
failing_gemm (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a, const void *b,
              const float *bias, void *d)
{
  return fails_now () ? SWITTI_KERNEL_DEVICE : switti_kernels_cpu ()->gemm (context, plan, a, b, bias, d);
}

static SwittiKernelStatus
failing_conv (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x, const void *packed,
              const float *bias, const void *residual, void *d)
{
  return fails_now () ? SWITTI_KERNEL_DEVICE
                      : switti_kernels_cpu ()->conv (context, plan, x, packed, bias, residual, d);
}

static SwittiKernelStatus
failing_attention (SwittiKernelContext *context, const SwittiAttention *attention, const int32_t *group_index,
                   const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  return fails_now () ? SWITTI_KERNEL_DEVICE
                      : switti_kernels_cpu ()->attention (context, attention, group_index, key_length, q, k, v, out);
}

static SwittiKernelStatus
failing_blend_rows (SwittiKernelContext *context, int64_t batch, int64_t n, int64_t width, const float *weights,
                    const float *x, const float *y, float *out)
{
  return fails_now () ? SWITTI_KERNEL_DEVICE
                      : switti_kernels_cpu ()->blend_rows (context, batch, n, width, weights, x, y, out);
}

static SwittiKernelStatus
failing_download (SwittiKernelContext *context, void *host, const void *src, size_t bytes)
{
  return fails_now () ? SWITTI_KERNEL_DEVICE : switti_kernels_cpu ()->download (context, host, src, bytes);
}

/* One part's life: made, run once, freed. */
typedef gboolean (*Life) (SwittiDevice *device, GError **error);

static SwittiDevice *
new_failing_device (void)
{
  static SwittiKernels kernels;
  const SwittiKernelOptions options = { .n_threads = 1 };
  g_autoptr (GError) error = NULL;
  SwittiDevice *device;

  kernels = *switti_kernels_cpu ();
  kernels.alloc = failing_alloc;
  kernels.upload = failing_upload;
  kernels.gemm_plan = failing_gemm_plan;
  kernels.conv_plan = failing_conv_plan;
  kernels.gemm = failing_gemm;
  kernels.conv = failing_conv;
  kernels.attention = failing_attention;
  kernels.blend_rows = failing_blend_rows;
  kernels.download = failing_download;
  device = switti_device_new_for_kernels ("failing", &kernels, &options, &error);
  g_assert_no_error (error);
  return device;
}

static void
assert_failure (GError *error)
{
  g_assert_nonnull (error);
  g_assert_true (g_error_matches (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY)
                 || g_error_matches (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE));
  g_assert_nonnull (strstr (error->message, "failing"));
}

/* Fails at call 0, stride, 2 stride …; returns the number of failures seen. */
static int
check_life (Life life, int stride)
{
  g_autoptr (SwittiDevice) device = new_failing_device ();

  for (int failures = 0;; failures++)
    {
      g_autoptr (GError) error = NULL;
      gboolean ok;

      calls_left = failures * stride;
      ok = life (device, &error);
      g_assert_cmpuint (switti_device_get_allocated_bytes (device), ==, 0);
      if (ok)
        {
          g_assert_no_error (error);
          g_assert_cmpint (calls_left, >=, 0);
          g_test_message ("%d failures", failures);
          return failures;
        }
      assert_failure (error);
    }
}

static gboolean
run_tiny_transformer (SwittiDevice *device, gboolean ar, GError **error)
{
  const int n_valid = 3;
  const gint32 zero = 0;
  float input[4 * 32] = { 0 };
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("switti.", SWITTI_DTYPE_F32);
  g_autoptr (SwittiTransformer) model = NULL;
  g_autoptr (SwittiTransformerRun) run = NULL;
  SwittiTransformerConfig config;
  float *logits, *device_input;
  gboolean ok;

  fixture_tiny_transformer (ar ? "ar" : "abspos", &config);
  config.width = 32;
  config.ffn_hidden = 40;
  config.context_dim = 48;
  config.pooled_dim = 16;
  config.vocab = 24;
  config.schedule.n_scales = 2;
  model = switti_transformer_new (device, &config, weights, SWITTI_DTYPE_F32, error);
  if (model == NULL)
    return FALSE;
  run = switti_transformer_run_new (model, 1, 1, error);
  if (run == NULL)
    return FALSE;
  logits = switti_device_alloc (device, sizeof (float) * 4 * 24, "logits", error);
  if (logits == NULL)
    return FALSE;
  device_input = switti_device_alloc (device, sizeof input, "input", error);
  ok = device_input != NULL;
  if (ok)
    {
      memset (device_input, 0, sizeof input);
      memset (switti_transformer_run_get_context (run), 0, sizeof (float) * SWITTI_TEXT_LENGTH * 48);
      memset (switti_transformer_run_get_pooled (run), 0, sizeof (float) * 16);
      ok = switti_transformer_run_set_conditions (run, 1, &n_valid, NULL, NULL, error) &&
           switti_transformer_run_scale (run, 0, 1, &zero, &zero, NULL, logits, error) &&
           switti_transformer_run_scale (run, 1, 1, &zero, &zero, device_input, logits, error);
    }
  switti_device_free (device, logits);
  switti_device_free (device, device_input);
  return ok;
}

static gboolean
live_ar (SwittiDevice *device, GError **error)
{
  return run_tiny_transformer (device, TRUE, error);
}

static gboolean
live_abspos (SwittiDevice *device, GError **error)
{
  return run_tiny_transformer (device, FALSE, error);
}

static gboolean
live_text_encoder (SwittiDevice *device, GError **error)
{
  const SwittiTextConfig config = { 2, 32, 2, 48, 10, SWITTI_TEXT_LENGTH, TRUE, 1e-5, 8, 9, 0 };
  const gint32 ids[SWITTI_TEXT_LENGTH] = { 8, 1, 9 };
  const int n_valid = 3;
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("clip_l.", SWITTI_DTYPE_BF16);
  g_autoptr (SwittiTextEncoder) encoder
      = switti_text_encoder_new (device, &config, weights, SWITTI_DTYPE_F32, 1, error);
  float *hidden;
  gboolean ok;

  if (encoder == NULL)
    return FALSE;
  hidden = switti_device_alloc (device, sizeof (float) * SWITTI_TEXT_LENGTH * 32, "hidden", error);
  ok = hidden != NULL && switti_text_encoder_encode (encoder, 1, ids, &n_valid, hidden, 32, NULL, error);
  switti_device_free (device, hidden);
  return ok;
}

static gboolean
live_pyramid (SwittiDevice *device, GError **error)
{
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("vae.", SWITTI_DTYPE_F32);
  g_autoptr (SwittiPyramid) pyramid = NULL;
  SwittiVaeConfig config;
  gint32 *code;
  gboolean ok;

  fixture_tiny_vae ("q4", &config);
  pyramid = switti_pyramid_new (device, &config, weights, 2, error);
  if (pyramid == NULL)
    return FALSE;
  code = switti_device_alloc (device, sizeof *code, "a code", error);
  if (code == NULL)
    return FALSE;
  *code = 1;
  ok = switti_pyramid_begin (pyramid, 1, error) && switti_pyramid_add_codes (pyramid, 0, code, error);
  switti_device_free (device, code);
  return ok;
}

static gboolean
live_vae (SwittiDevice *device, GError **error)
{
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("vae.", SWITTI_DTYPE_F32);
  g_autoptr (SwittiVae) vae = NULL;
  SwittiVaeConfig config;
  float *f;
  guint8 *rgb;
  gboolean ok;

  fixture_tiny_vae ("q4", &config);
  config.latent = 8;
  vae = switti_vae_new (device, &config, weights, SWITTI_DTYPE_F32, error);
  if (vae == NULL)
    return FALSE;
  f = switti_device_alloc (device, sizeof (float) * 8, "f", error);
  if (f == NULL)
    return FALSE;
  memset (f, 0, sizeof (float) * 8);
  rgb = switti_device_alloc (device, 16 * 16 * 3, "bytes", error);
  ok = rgb != NULL && switti_vae_decode (vae, 1, 1, f, NULL, rgb, NULL, error);
  switti_device_free (device, f);
  switti_device_free (device, rgb);
  return ok;
}

/* The bounds are a little below what each part does now: a test that meets no failure tests nothing. */
static void
test_transformer (void)
{
  g_assert_cmpint (check_life (live_ar, 1), >, 150);
  g_assert_cmpint (check_life (live_abspos, 1), >, 150);
}

static void
test_text_encoder (void)
{
  g_assert_cmpint (check_life (live_text_encoder, 1), >, 50);
}

static void
test_pyramid (void)
{
  g_assert_cmpint (check_life (live_pyramid, 1), >, 15);
}

/* The VAE has hundreds of calls and millions of weights: every 17th call. */
static void
test_vae (void)
{
  g_assert_cmpint (check_life (live_vae, 17), >, 20);
}

/* -- in the middle of a filling -------------------------------------------------------------------------------- */

/* Encodes a grey square and fills its right half; the picture. */
static SwittiImage *
fill_half (SwittiGenerator *generator, gboolean from_recipe, GError **error)
{
  SwittiBundle *bundle = switti_generator_get_bundle (generator);
  gsize side = (gsize) switti_bundle_get_resolution (bundle);
  guint8 *half = g_malloc (side * side);
  g_autoptr (GBytes) grey = g_bytes_new_take (memset (g_malloc (side * side * 3), 128, side * side * 3),
                                              side * side * 3);
  g_autoptr (GBytes) mask = g_bytes_new_take (half, side * side);
  g_autoptr (SwittiRequest) request = switti_request_new (bundle);
  g_autoptr (SwittiImage) encoded
    = switti_generator_encode (generator, grey, (int) side, (int) side, NULL, error);
  g_autoptr (SwittiSource) source = NULL;
  g_autoptr (GPtrArray) images = NULL;

  if (encoded == NULL)
    return NULL;
  source = from_recipe ? switti_source_new_for_recipe ("{\"prompt\": \"a cat\", \"seed\": 2}", NULL)
                       : switti_source_new_for_codes (switti_image_get_codes (encoded));
  for (gsize i = 0; i < side * side; i++)
    half[i] = i % side < side / 2 ? 0 : 255;
  g_object_set (request, "prompt", "a fox", "seed", (guint64) 4, "source", source, "mask", mask, "keep-scales", 1,
                NULL);
  images = switti_generator_generate (generator, request, NULL, NULL, NULL, error);
  return images ? g_object_ref (g_ptr_array_index (images, 0)) : NULL;
}

/* Each failure is one error, after which the same generator fills the same. Hundreds of calls, so some of them: the
 * stride has no factor in common with what the scales repeat. */
static void
check_filling (gboolean from_recipe, int stride)
{
  g_autoptr (SwittiDevice) device = new_failing_device ();
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiBundle) bundle = switti_bundle_new_synthetic (
    "depth=1,width=32,heads=1,scales=1-2-3,ch=32,vocab=32,context=128,pooled=64,clip=small", SWITTI_DTYPE_F32, &error);
  g_autoptr (SwittiGenerator) generator = NULL;
  g_autoptr (SwittiImage) expected = NULL;
  int failures = 0;

  calls_left = -1;
  generator = switti_generator_new (bundle, device, SWITTI_PRECISION_F32, NULL, &error);
  g_assert_no_error (error);
  expected = fill_half (generator, from_recipe, &error);
  g_assert_no_error (error);
  for (;; failures++)
    {
      g_autoptr (GError) local = NULL;
      g_autoptr (SwittiImage) image = NULL;
      g_autoptr (SwittiImage) again = NULL;

      calls_left = failures * stride;
      image = fill_half (generator, from_recipe, &local);
      if (image)
        break;
      assert_failure (local);
      calls_left = -1;
      again = fill_half (generator, from_recipe, &error);
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (switti_image_get_pixels (again), switti_image_get_pixels (expected)));
    }
  g_test_message ("%d failures", failures);
  /* A little below what it is now. */
  g_assert_cmpint (failures, >, 5);
  calls_left = -1;
  g_clear_object (&generator);
  g_assert_cmpuint (switti_device_get_allocated_bytes (device), ==, 0);
}

static void
test_filling (void)
{
  check_filling (FALSE, 23);
  check_filling (TRUE, 23);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/failures/transformer", test_transformer);
  g_test_add_func ("/failures/text-encoder", test_text_encoder);
  g_test_add_func ("/failures/pyramid", test_pyramid);
  g_test_add_func ("/failures/vae", test_vae);
  g_test_add_func ("/failures/filling", test_filling);
  return g_test_run ();
}
