/* test-vae-gradients.c - the RQ-VAE's losses and gradients against the published code
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-optimizer-private.h"
#include "switti-vae-gradients-private.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#define BATCH 2
#define SIDE 64

/* tests/fixtures/README.md, "How close". */
#define LOSS_TOLERANCE 1e-5
#define PROBE_TOLERANCE 1e-3
/* Below this norm a gradient is what rounding leaves of zero. */
#define NO_GRADIENT 1e-6

typedef struct
{
  SwittiDevice *device;
  SwittiParameters *parameters;
  SwittiVaeGradients *gradients;
  float *images;
} Trainer;

static Trainer
trainer_new (const char *variant, int n_threads)
{
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("vae.", SWITTI_DTYPE_F32);
  g_autoptr (GError) error = NULL;
  g_autofree float *nchw = fixture_input ("in/img", 1, BATCH * 3 * SIDE * SIDE);
  Trainer trainer = { .device = fixture_device (n_threads) };
  SwittiVaeConfig config;

  fixture_tiny_vae (variant, &config);
  trainer.images = fixture_nchw_to_nhwc (nchw, BATCH, 3, SIDE * SIDE);
  trainer.parameters = switti_vae_parameters_new (trainer.device, &config, &error);
  g_assert_no_error (error);
  g_assert_true (switti_parameters_load (trainer.parameters, weights, &error));
  trainer.gradients = switti_vae_gradients_new (trainer.parameters, &config, BATCH, &error);
  g_assert_no_error (error);
  return trainer;
}

static void
trainer_clear (Trainer *trainer)
{
  switti_vae_gradients_free (trainer->gradients);
  switti_parameters_free (trainer->parameters);
  g_assert_cmpuint (switti_device_get_allocated_bytes (trainer->device), ==, 0);
  g_object_unref (trainer->device);
  g_free (trainer->images);
}

static SwittiVaeLoss
add_batch (Trainer *trainer)
{
  g_autoptr (GError) error = NULL;
  SwittiVaeLoss loss;

  switti_vae_gradients_add (trainer->gradients, trainer->images, 1, &loss, &error);
  g_assert_no_error (error);
  return loss;
}

static float *
download_flat (Trainer *trainer, const float *flat)
{
  return fixture_download (trainer->device, flat, switti_parameters_get_size (trainer->parameters) * sizeof (float));
}

static void
compare_probes (SwittiSafetensors *file, Trainer *trainer)
{
  const char *prefix = "train/grad/";
  g_autofree float *flat = download_flat (trainer, switti_vae_gradients_get_values (trainer->gradients));
  guint n_compared = 0;
  double worst = 0;

  for (const char *const *name = switti_safetensors_list (file); *name != NULL; name++)
    {
      const char *bare = *name + strlen (prefix);
      const SwittiParameter *parameter;
      SwittiTensor tensor;
      double expected[5], probe[5], error = 0;

      if (!g_str_has_prefix (*name, prefix))
        continue;
      parameter = switti_parameters_find (trainer->parameters, bare);
      g_assert_nonnull (parameter);
      g_assert_true (switti_safetensors_lookup (file, *name, &tensor));
      g_assert_cmpint (tensor.dtype, ==, SWITTI_DTYPE_F64);
      memcpy (expected, tensor.data, sizeof expected);
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
          g_test_message ("%s: off by %.3g of its norm %.3g", *name, error, expected[4]);
          g_test_fail ();
        }
    }
  g_test_message ("%u tensors, the worst off by %.3g of its norm", n_compared, worst);
  g_assert_cmpuint (n_compared, ==, switti_parameters_get_n (trainer->parameters));
}

static void
test_published (void)
{
  g_autoptr (SwittiSafetensors) file = fixture_open ("vae_tiny");
  Trainer trainer = trainer_new ("q4", 2);
  SwittiVaeLoss loss = add_batch (&trainer);
  gsize count;
  g_autofree float *expected = fixture_f32 (file, "train/loss", &count);
  g_autofree float *expected_vq = fixture_f32 (file, "train/vq_loss", &count);
  g_autofree float *expected_rec = fixture_f32 (file, "train/rec", &count);
  g_autofree float *nhwc = fixture_download (
      trainer.device, switti_vae_gradients_get_reconstruction (trainer.gradients), count * sizeof (float));
  g_autofree float *rec = fixture_nhwc_to_nchw (nhwc, BATCH, 3, SIDE * SIDE);

  g_assert_cmpuint (count, ==, BATCH * 3 * SIDE * SIDE);
  for (int s = 0; s < 4; s++)
    {
      g_autofree char *name = g_strdup_printf ("q4/idx%d", s);
      g_autofree gint32 *codes = fixture_i32 (file, name, &count);
      g_autofree gint32 *got = fixture_download (
          trainer.device, switti_vae_gradients_get_codes (trainer.gradients, s), count * sizeof (gint32));

      fixture_assert_codes (name, got, codes, count);
    }
  fixture_assert_close ("train/rec", rec, expected_rec, BATCH * 3 * SIDE * SIDE, FIXTURE_F32_TOLERANCE);
  g_test_message ("loss %.7g, vq_loss %.7g", loss.loss, loss.vq_loss);
  g_assert_cmpfloat (fabs (loss.loss - expected[0]), <, LOSS_TOLERANCE * expected[0]);
  g_assert_cmpfloat (fabs (loss.vq_loss - expected_vq[0]), <, LOSS_TOLERANCE * expected_vq[0]);
  compare_probes (file, &trainer);
  trainer_clear (&trainer);
}

/* One phi for all scales, and one for each. */
static void
test_other_phi (void)
{
  static const char *const variants[] = { "q1", "q0" };

  for (gsize i = 0; i < G_N_ELEMENTS (variants); i++)
    {
      Trainer trainer = trainer_new (variants[i], 2);
      SwittiVaeLoss loss = add_batch (&trainer);
      const SwittiOptimizerOptions options = { .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8 };
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiOptimizer) optimizer = switti_optimizer_new (trainer.parameters, &options, &error);
      double norm, before = loss.loss;

      /* A small step along the gradient lowers the loss. */
      g_assert_no_error (error);
      g_assert_true (switti_optimizer_measure (optimizer, switti_vae_gradients_get_values (trainer.gradients), &norm,
                                               &error));
      g_assert_true (switti_optimizer_step (optimizer, switti_vae_gradients_get_values (trainer.gradients), norm, 1e-4,
                                            0, &error));
      g_assert_true (switti_vae_gradients_clear (trainer.gradients, &error));
      loss = add_batch (&trainer);
      g_test_message ("%s: loss %.6g, after a step %.6g", variants[i], before, loss.loss);
      g_assert_cmpfloat (loss.loss, <, before);
      g_clear_pointer (&optimizer, switti_optimizer_free);
      trainer_clear (&trainer);
    }
}

static void
test_same_bits (void)
{
  Trainer one = trainer_new ("q4", 1), three = trainer_new ("q4", 3);
  SwittiVaeLoss loss = add_batch (&one), other = add_batch (&three);
  g_autofree float *a = download_flat (&one, switti_vae_gradients_get_values (one.gradients));
  g_autofree float *b = download_flat (&three, switti_vae_gradients_get_values (three.gradients));
  const gsize bytes = switti_parameters_get_size (one.parameters) * sizeof (float);

  g_assert_cmpmem (a, bytes, b, bytes);
  g_assert_cmpmem (&loss, sizeof loss, &other, sizeof other);
  trainer_clear (&one);
  trainer_clear (&three);
}

static void
test_shapes (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = fixture_path ("meta.json");
  g_autoptr (JsonParser) parser = json_parser_new ();
  Trainer trainer = trainer_new ("q4", 1);
  JsonObject *published;

  json_parser_load_from_file (parser, path, &error);
  g_assert_no_error (error);
  published = json_object_get_object_member (json_node_get_object (json_parser_get_root (parser)), "vae_params");
  g_assert_cmpuint (json_object_get_size (published), ==, switti_parameters_get_n (trainer.parameters));
  for (guint i = 0; i < switti_parameters_get_n (trainer.parameters); i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (trainer.parameters, i);
      JsonArray *shape;

      if (!json_object_has_member (published, parameter->name))
        g_error ("The published model has no “%s”", parameter->name);
      shape = json_object_get_array_member (published, parameter->name);
      g_assert_cmpint (parameter->n_dims, ==, (int) json_array_get_length (shape));
      for (int d = 0; d < parameter->n_dims; d++)
        g_assert_cmpint (parameter->dims[d], ==, json_array_get_int_element (shape, (guint) d));
    }
  trainer_clear (&trainer);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vae-gradients/shapes", test_shapes);
  g_test_add_func ("/vae-gradients/published", test_published);
  g_test_add_func ("/vae-gradients/other-phi", test_other_phi);
  g_test_add_func ("/vae-gradients/same-bits", test_same_bits);
  return g_test_run ();
}
