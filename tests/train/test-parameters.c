/* test-parameters.c - names, shapes, decay and first values of a transformer's parameters, and random numbers
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-optimizer-private.h"
#include "switti-parameters-private.h"
#include "switti-random-private.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

static SwittiParameters *
parameters_of (SwittiDevice *device, const char *variant)
{
  g_autoptr (GError) error = NULL;
  SwittiTransformerConfig config;
  SwittiParameters *parameters;

  fixture_tiny_transformer (variant, &config);
  parameters = switti_transformer_parameters_new (device, &config, SWITTI_DTYPE_F32, &error);
  g_assert_no_error (error);
  return parameters;
}

static float *
download (SwittiDevice *device, SwittiParameters *parameters, const char *name, gsize *count)
{
  const SwittiParameter *parameter = switti_parameters_find (parameters, name);

  g_assert_nonnull (parameter);
  *count = parameter->count;
  return fixture_download (device, switti_parameters_get_values (parameters) + parameter->offset,
                           parameter->count * sizeof (float));
}

/* -- names and shapes ------------------------------------------------------------------------------------------ */

static void
compare_shapes (JsonObject *published, SwittiParameters *parameters)
{
  g_assert_cmpuint (json_object_get_size (published), ==, switti_parameters_get_n (parameters));
  for (guint i = 0; i < switti_parameters_get_n (parameters); i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (parameters, i);
      JsonArray *shape;

      if (!json_object_has_member (published, parameter->name))
        g_error ("The published model has no “%s”", parameter->name);
      shape = json_object_get_array_member (published, parameter->name);
      g_assert_cmpint (parameter->n_dims, ==, (int) json_array_get_length (shape));
      for (int d = 0; d < parameter->n_dims; d++)
        g_assert_cmpint (parameter->dims[d], ==, json_array_get_int_element (shape, (guint) d));
      /* Nothing overlaps. */
      g_assert_cmpuint (parameter->offset + parameter->count, <=, switti_parameters_get_size (parameters));
      if (i > 0)
        {
          const SwittiParameter *before = switti_parameters_get (parameters, i - 1);

          g_assert_cmpuint (before->offset + before->count, <=, parameter->offset);
        }
    }
}

static void
test_shapes (void)
{
  static const char *const variants[] = { "nar", "ar", "abspos" };
  g_autoptr (GError) error = NULL;
  g_autofree char *path = fixture_path ("meta.json");
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (SwittiDevice) device = fixture_device (1);

  json_parser_load_from_file (parser, path, &error);
  g_assert_no_error (error);
  for (gsize i = 0; i < G_N_ELEMENTS (variants); i++)
    {
      g_autofree char *member = g_strdup_printf ("switti_%s_params", variants[i]);
      g_autoptr (SwittiParameters) parameters = parameters_of (device, variants[i]);

      compare_shapes (
          json_object_get_object_member (json_node_get_object (json_parser_get_root (parser)), member), parameters);
    }
}

/* The published size is the spec's: 2,470,518,256 parameters. */
static void
test_published_size (void)
{
  g_autoptr (SwittiDevice) device = fixture_device (1);
  g_autoptr (SwittiParameters) parameters = NULL;
  SwittiTransformerConfig config;
  guint64 total = 0;

  fixture_tiny_transformer ("nar", &config);
  config.width = 64 * 30;
  config.heads = 30;
  config.ffn_hidden = config.width * 8 / 3;
  config.vocab = 4096;
  g_assert_true (switti_schedule_for_resolution (512, &config.schedule));
  /* Blocks are alike: the count of thirty follows from those of one and two. */
  for (config.depth = 1; config.depth <= 2; config.depth++)
    {
      guint64 count = 0;

      parameters = switti_transformer_parameters_new (device, &config, SWITTI_DTYPE_F32, NULL);
      g_assert_nonnull (parameters);
      for (guint i = 0; i < switti_parameters_get_n (parameters); i++)
        count += switti_parameters_get (parameters, i)->count;
      g_clear_pointer (&parameters, switti_parameters_free);
      total = config.depth == 1 ? count : total + 29 * (count - total);
    }
  g_assert_cmpuint (total, ==, 2470518256);
}

static void
test_decay (void)
{
  static const struct
  {
    const char *variant, *name;
    gboolean decays, is_frozen;
  } expected[] = {
    { "nar", "word_embed.weight", TRUE, FALSE },
    { "nar", "word_embed.bias", FALSE, FALSE },
    { "nar", "pos_start", FALSE, FALSE },
    { "nar", "lvl_embed.weight", FALSE, FALSE },
    { "abspos", "pos_1LC", FALSE, FALSE },
    { "nar", "blocks.1.self_attention_norm1.weight", TRUE, FALSE },
    { "nar", "blocks.0.crop_cond_scales", TRUE, FALSE },
    { "nar", "blocks.0.attn.to_qkv.bias", FALSE, FALSE },
    { "nar", "crop_embed.weight", TRUE, TRUE },
    { "nar", "head.weight", TRUE, FALSE },
  };
  g_autoptr (SwittiDevice) device = fixture_device (1);

  for (gsize i = 0; i < G_N_ELEMENTS (expected); i++)
    {
      g_autoptr (SwittiParameters) parameters = parameters_of (device, expected[i].variant);
      const SwittiParameter *parameter = switti_parameters_find (parameters, expected[i].name);

      g_assert_nonnull (parameter);
      g_assert_cmpint (parameter->decays, ==, expected[i].decays);
      g_assert_cmpint (parameter->is_frozen, ==, expected[i].is_frozen);
    }
}

/* -- first values ---------------------------------------------------------------------------------------------- */

/* Mean and deviation of values[start ...): of n normal numbers, the mean is off by deviation / sqrt n and the deviation
 * by deviation / sqrt 2n; five of these are allowed. */
static void
assert_normal (const float *values, gsize count, double deviation)
{
  double mean = 0, squares = 0;

  for (gsize i = 0; i < count; i++)
    mean += values[i] / (double) count;
  for (gsize i = 0; i < count; i++)
    squares += (values[i] - mean) * (values[i] - mean) / (double) count;
  g_assert_cmpfloat (fabs (mean), <, 5 * deviation / sqrt ((double) count));
  g_assert_cmpfloat (fabs (sqrt (squares) - deviation), <, 5 * deviation / sqrt (2.0 * (double) count));
}

static void
test_initial (void)
{
  const double base = sqrt (1.0 / (3 * 128));
  const struct
  {
    const char *variant, *name;
    gsize first;
    double deviation; /* negative: all are this constant's opposite */
  } expected[] = {
    { "nar", "word_embed.weight", 0, base },
    { "nar", "pos_start", 0, base },
    { "nar", "lvl_embed.weight", 0, base },
    { "abspos", "pos_1LC", 0, base },
    { "nar", "text_pooler.weight", 0, base },
    { "nar", "crop_proj.weight", 0, base },
    { "nar", "crop_embed.weight", 0, 1 },
    { "nar", "head.weight", 0, 0.02 * base },
    { "nar", "head_nm.ada_lin.1.weight", 0, 0.5 * base },
    { "nar", "blocks.1.attn.to_qkv.weight", 0, base },
    { "nar", "blocks.0.attn.proj.weight", 0, base / 2 }, /* sqrt (2 * depth 2) */
    { "nar", "blocks.0.cross_attn.proj.weight", 0, base / 2 },
    { "nar", "blocks.0.ffn.down_proj.weight", 0, base },
    { "abspos", "blocks.0.ffn.fc2.weight", 0, base / 2 },
    { "nar", "blocks.0.ada_lin.1.weight", 2 * 128 * 128, 0.5 * base },
    { "nar", "blocks.0.ada_lin.1.bias", 0, 0 },
    { "nar", "blocks.0.crop_cond_scales", 0, 0 },
    { "nar", "blocks.0.ffn_norm1.weight", 0, -1 },
  };
  g_autoptr (SwittiDevice) device = fixture_device (1);

  for (gsize i = 0; i < G_N_ELEMENTS (expected); i++)
    {
      g_autoptr (SwittiParameters) parameters = parameters_of (device, expected[i].variant);
      g_autofree float *values = NULL;
      gsize count;

      g_assert_true (switti_parameters_initialise (parameters, 17, 0, NULL));
      values = download (device, parameters, expected[i].name, &count);
      if (expected[i].deviation > 0)
        assert_normal (values + expected[i].first, count - expected[i].first, expected[i].deviation);
      else
        for (gsize j = 0; j < count; j++)
          g_assert_cmpfloat (values[j], ==, -expected[i].deviation);
      if (expected[i].first > 0) /* the gates' rows */
        assert_normal (values, expected[i].first, 1e-5 * base);
    }
}

/* A seed fixes the values; another one, or another name, gives others. */
static void
test_seed (void)
{
  g_autoptr (SwittiDevice) device = fixture_device (1);
  g_autoptr (SwittiParameters) a = parameters_of (device, "nar"), b = parameters_of (device, "ar");
  g_autofree float *first = NULL, *same = NULL, *other = NULL, *next = NULL;
  gsize count;

  g_assert_true (switti_parameters_initialise (a, 5, 0, NULL));
  g_assert_true (switti_parameters_initialise (b, 5, 0, NULL));
  first = download (device, a, "blocks.0.attn.proj.weight", &count);
  next = download (device, a, "blocks.1.attn.proj.weight", &count);
  same = download (device, b, "blocks.0.attn.proj.weight", &count);
  g_assert_true (switti_parameters_initialise (b, 6, 0, NULL));
  other = download (device, b, "blocks.0.attn.proj.weight", &count);
  g_assert_cmpmem (first, count * sizeof (float), same, count * sizeof (float));
  g_assert_cmpint (memcmp (first, other, count * sizeof (float)), !=, 0);
  g_assert_cmpint (memcmp (first, next, count * sizeof (float)), !=, 0);
}

/* -- random numbers -------------------------------------------------------------------------------------------- */

/* Known answers of the authors' library (Random123): counter and key of zeros, and of ones. */
static void
test_philox (void)
{
  const SwittiRandom zeros = { 0, 0 }, ones = { G_MAXUINT64, G_MAXUINT64 };
  guint32 words[4];

  switti_random_words (&zeros, 0, 0, words);
  g_assert_cmphex (words[0], ==, 0x6627e8d5);
  g_assert_cmphex (words[1], ==, 0xe169c58d);
  g_assert_cmphex (words[2], ==, 0xbc57ac4c);
  g_assert_cmphex (words[3], ==, 0x9b00dbd8);
  switti_random_words (&ones, (G_GUINT64_CONSTANT (1) << 48) - 1, 0xffff, words);
  g_assert_cmphex (words[0], ==, 0x408f276d);
  g_assert_cmphex (words[1], ==, 0x41c83b0e);
  g_assert_cmphex (words[2], ==, 0xa20bc7c6);
  g_assert_cmphex (words[3], ==, 0x6d5451fd);
}

static void
test_truncation (void)
{
  const SwittiRandom random = switti_random_new (1, "truncation");
  const gsize count = 100001;
  g_autofree float *values = g_new (float, count);
  double squares = 0;

  switti_random_truncated_normal (&random, 1, 0.5, count, values);
  for (gsize i = 0; i < count; i++)
    {
      g_assert_cmpfloat (fabsf (values[i]), <=, 0.5f);
      squares += (double) values[i] * values[i] / (double) count;
    }
  /* Variance of a normal number within +-a: 1 - 2 a phi (a) / (2 Phi (a) - 1), 0.0806 for a = 1/2. */
  g_assert_cmpfloat_with_epsilon (squares, 1 - exp (-0.125) / sqrt (2 * G_PI) / erf (0.5 / G_SQRT2), 2e-3);
}

/* -- moving average -------------------------------------------------------------------------------------------- */

static void
test_average (void)
{
  const SwittiOptimizerOptions options = { .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .average_decay = 0.5 };
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = fixture_device (1);
  g_autoptr (SwittiParameters) parameters = parameters_of (device, "nar");
  const gsize size = switti_parameters_get_size (parameters);
  const SwittiParameter *head = switti_parameters_find (parameters, "head.weight");
  g_autofree float *gradient = g_new (float, size), *before = NULL, *after = NULL, *average = NULL;
  g_autoptr (SwittiOptimizer) optimizer = NULL;
  float *uploaded;
  double norm;

  for (gsize i = 0; i < size; i++)
    gradient[i] = 1;
  uploaded = fixture_upload (device, gradient, size * sizeof (float));
  g_assert_true (switti_parameters_initialise (parameters, 1, 0, &error));
  optimizer = switti_optimizer_new (parameters, &options, &error);
  g_assert_no_error (error);
  before = fixture_download (device, switti_parameters_get_values (parameters), size * sizeof (float));
  g_assert_true (switti_optimizer_measure (optimizer, uploaded, &norm, &error));
  g_assert_true (switti_optimizer_step (optimizer, uploaded, norm, 0.25, 0, &error));
  after = fixture_download (device, switti_parameters_get_values (parameters), size * sizeof (float));
  average = fixture_download (device, switti_optimizer_get_average (optimizer), size * sizeof (float));
  /* The first step is the rate, whatever the gradient; the average goes nine tenths of the way: it has no history. */
  for (gsize i = head->offset; i < head->offset + head->count; i++)
    {
      g_assert_cmpfloat_with_epsilon (after[i], before[i] - 0.25f, 1e-6);
      g_assert_cmpfloat_with_epsilon (average[i], before[i] - 0.9f * 0.25f, 1e-6);
    }
  /* Later steps go at least as far as the decay says. */
  switti_optimizer_set_n_steps (optimizer, 1000);
  g_assert_true (switti_optimizer_step (optimizer, uploaded, norm, 0, 0, &error));
  g_free (average);
  average = fixture_download (device, switti_optimizer_get_average (optimizer), size * sizeof (float));
  for (gsize i = head->offset; i < head->offset + head->count; i++)
    g_assert_cmpfloat_with_epsilon (average[i], 0.5f * (before[i] - 0.225f) + 0.5f * after[i], 1e-6);
  switti_device_free (device, uploaded);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/parameters/shapes", test_shapes);
  g_test_add_func ("/parameters/published-size", test_published_size);
  g_test_add_func ("/parameters/decay", test_decay);
  g_test_add_func ("/parameters/initial", test_initial);
  g_test_add_func ("/parameters/seed", test_seed);
  g_test_add_func ("/parameters/philox", test_philox);
  g_test_add_func ("/parameters/truncation", test_truncation);
  g_test_add_func ("/parameters/average", test_average);
  return g_test_run ();
}
