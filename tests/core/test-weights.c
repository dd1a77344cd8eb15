/* test-weights.c - named tensors from files, shards and the synthetic rule
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-error.h"
#include "switti-safetensors-private.h"
#include "switti-weights-private.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

typedef struct
{
  char *folder;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->folder = g_dir_make_tmp ("switti-weights-XXXXXX", NULL);
  g_assert_nonnull (fixture->folder);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GDir) folder = g_dir_open (fixture->folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename (fixture->folder, name, NULL);

      g_unlink (path);
    }
  g_rmdir (fixture->folder);
  g_free (fixture->folder);
}

static void
write_text (Fixture *fixture, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (fixture->folder, name, NULL);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

/* One tensor `name` of shape (2, 3), counting up from `first`. */
static void
write_shard (Fixture *fixture, const char *file, const char *name, float first)
{
  g_autofree char *path = g_build_filename (fixture->folder, file, NULL);
  float values[6];
  SwittiTensor tensor = { SWITTI_DTYPE_F32, 2, { 2, 3 }, values };

  for (int i = 0; i < 6; i++)
    values[i] = first + (float) i;
  g_assert_true (switti_safetensors_save (path, &name, &tensor, 1, NULL, NULL));
}

static void
test_one_file (Fixture *fixture, gconstpointer data)
{
  g_autoptr (SwittiWeights) weights = NULL;
  g_auto (GStrv) names = NULL;
  g_auto (SwittiHostTensor) tensor = { 0 };
  g_autoptr (GError) error = NULL;
  const gint64 shape[] = { 2, 3 }, wrong[] = { 3, 2 };
  SwittiTensor stored;
  float values[6];

  write_shard (fixture, "model.safetensors", "a.weight", 10);
  weights = switti_weights_open_folder (fixture->folder, &error);
  g_assert_no_error (error);

  names = switti_weights_list (weights);
  g_assert_cmpstr (names[0], ==, "a.weight");
  g_assert_null (names[1]);
  g_assert_true (switti_weights_peek (weights, "a.weight", &stored));
  g_assert_cmpint (stored.n_dims, ==, 2);
  g_assert_cmpint (stored.dims[1], ==, 3);
  g_assert_false (switti_weights_peek (weights, "b.weight", &stored));

  g_assert_true (switti_weights_get (weights, "a.weight", 2, shape, &tensor, &error));
  g_assert_no_error (error);
  g_assert_true (((float *) tensor.tensor.data)[5] == 15.0f);
  g_assert_true (switti_weights_read_f32 (weights, "a.weight", 2, shape, values, &error));
  g_assert_true (values[0] == 10.0f && values[5] == 15.0f);

  g_assert_false (switti_weights_read_f32 (weights, "a.weight", 2, wrong, values, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_assert_nonnull (strstr (error->message, "(2, 3)"));
  g_assert_nonnull (strstr (error->message, "(3, 2)"));
  g_clear_error (&error);
  g_assert_false (switti_weights_read_f32 (weights, "a.bias", 1, shape, values, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_assert_nonnull (strstr (error->message, "a.bias"));
}

static void
test_other_name (Fixture *fixture, gconstpointer data)
{
  g_autoptr (SwittiWeights) weights = NULL;
  SwittiTensor stored;

  write_shard (fixture, "diffusion_pytorch_model.safetensors", "x", 0);
  weights = switti_weights_open_folder (fixture->folder, NULL);
  g_assert_nonnull (weights);
  g_assert_true (switti_weights_peek (weights, "x", &stored));
}

static void
test_shards (Fixture *fixture, gconstpointer data)
{
  g_autoptr (SwittiWeights) weights = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) names = NULL;
  const gint64 shape[] = { 2, 3 };
  float values[6];

  write_shard (fixture, "model-1.safetensors", "b", 100);
  write_shard (fixture, "model-2.safetensors", "a", 200);
  write_text (fixture, "model.safetensors.index.json",
              "{\"metadata\": {\"total_size\": 48},"
              " \"weight_map\": {\"b\": \"model-1.safetensors\", \"a\": \"model-2.safetensors\"}}");
  weights = switti_weights_open_folder (fixture->folder, &error);
  g_assert_no_error (error);

  names = switti_weights_list (weights);
  g_assert_cmpuint (g_strv_length (names), ==, 2);
  g_assert_cmpstr (names[0], ==, "a");
  g_assert_cmpstr (names[1], ==, "b");
  g_assert_true (switti_weights_read_f32 (weights, "a", 2, shape, values, &error));
  g_assert_true (values[0] == 200.0f);
  g_assert_true (switti_weights_read_f32 (weights, "b", 2, shape, values, &error));
  g_assert_true (values[0] == 100.0f);
}

static void
test_bad_index (Fixture *fixture, gconstpointer data)
{
  const char *const texts[] = {
    "{}",
    "{\"weight_map\": []}",
    "{\"weight_map\": {\"a\": 5}}",
    "{\"weight_map\": {\"a\": \"\"}}",
    "{\"weight_map\": {\"a\": \"..\"}}",
    "{\"weight_map\": {\"a\": \"../model-1.safetensors\"}}",
    "{\"weight_map\": {\"a\": \"/etc/passwd\"}}",
    "{\"weight_map\": {\"a\": \"model-1.safetensors\", \"a\": \"model-1.safetensors\"}}",
    "{\"weight_map\": {\"missing\": \"model-1.safetensors\"}}",
    "not JSON",
    "",
  };

  write_shard (fixture, "model-1.safetensors", "a", 0);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = NULL;

      write_text (fixture, "model.safetensors.index.json", texts[i]);
      g_assert_null (switti_weights_open_folder (fixture->folder, &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
    }
}

static void
test_missing (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (switti_weights_open_folder (fixture->folder, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND);
  g_clear_error (&error);

  write_text (fixture, "model.safetensors.index.json", "{\"weight_map\": {\"a\": \"gone.safetensors\"}}");
  g_assert_null (switti_weights_open_folder (fixture->folder, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
}

static void
test_prefix (Fixture *fixture, gconstpointer data)
{
  g_autoptr (SwittiWeights) base = NULL;
  g_autoptr (SwittiWeights) weights = NULL;
  g_auto (GStrv) names = NULL;
  g_autoptr (GError) error = NULL;
  const gint64 shape[] = { 2, 3 };
  float values[6];

  write_shard (fixture, "model.safetensors", "text_model.norm.weight", 3);
  base = switti_weights_open_folder (fixture->folder, &error);
  g_assert_no_error (error);
  weights = switti_weights_with_prefix (base, "text_model.");
  g_clear_pointer (&base, switti_weights_unref);

  names = switti_weights_list (weights);
  g_assert_cmpstr (names[0], ==, "norm.weight");
  g_assert_null (names[1]);
  g_assert_true (switti_weights_read_f32 (weights, "norm.weight", 2, shape, values, &error));
  g_assert_true (values[2] == 5.0f);
  g_assert_false (switti_weights_read_f32 (weights, "text_model.norm.weight", 2, shape, values, &error));
}

/* A tensor that begins at an odd address is handed out aligned. */
static void
test_unaligned (Fixture *fixture, gconstpointer data)
{
  static const char header[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                               "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]}}";
  g_autoptr (GByteArray) file = g_byte_array_new ();
  g_autofree char *path = g_build_filename (fixture->folder, "model.safetensors", NULL);
  g_autoptr (SwittiWeights) weights = NULL;
  g_auto (SwittiHostTensor) tensor = { 0 };
  g_autoptr (GError) error = NULL;
  guint64 length = GUINT64_TO_LE (sizeof header - 1);
  const float values[] = { 1.5f, -2.5f };
  const gint64 two = 2;
  float read[2];

  g_byte_array_append (file, (const guint8 *) &length, 8);
  g_byte_array_append (file, (const guint8 *) header, sizeof header - 1);
  g_byte_array_append (file, (const guint8 *) "", 1);
  g_byte_array_append (file, (const guint8 *) values, sizeof values);
  g_assert_true (g_file_set_contents (path, (const char *) file->data, file->len, NULL));

  weights = switti_weights_open_file (path, &error);
  g_assert_no_error (error);
  g_assert_true (switti_weights_get (weights, "b", 1, &two, &tensor, &error));
  g_assert_cmpuint ((guintptr) tensor.tensor.data % sizeof (float), ==, 0);
  g_assert_cmpmem (tensor.tensor.data, sizeof values, values, sizeof values);
  g_assert_true (switti_weights_read_f32 (weights, "b", 1, &two, read, &error));
  g_assert_cmpmem (read, sizeof read, values, sizeof values);
}

/* -- the synthetic rule, restated from fixtures/README.md ---------------------------------------------------- */

static double
rule_u (const char *name, guint64 i)
{
  guint64 hash = G_GUINT64_CONSTANT (0xcbf29ce484222325), z;

  for (; *name != '\0'; name++)
    {
      hash ^= (guint8) *name;
      hash *= G_GUINT64_CONSTANT (0x100000001b3);
    }
  z = hash + (i + 1) * G_GUINT64_CONSTANT (0x9E3779B97F4A7C15);
  z ^= z >> 30;
  z *= G_GUINT64_CONSTANT (0xBF58476D1CE4E5B9);
  z ^= z >> 27;
  z *= G_GUINT64_CONSTANT (0x94D049BB133111EB);
  z ^= z >> 31;
  return (double) (z >> 40) / 8388608.0 - 1.0;
}

static void
test_rule_values (void)
{
  /* fixtures/README.md states these three. */
  const double expected[] = { -0.6727547645568848, -0.4260319471359253, -0.9819275140762329 };
  float values[3], scaled[3];

  switti_synthetic_fill ("abc", 1.0f, 3, values);
  switti_synthetic_fill ("abc", 1.7f, 3, scaled);
  for (int i = 0; i < 3; i++)
    {
      g_assert_true ((double) values[i] == expected[i]);
      g_assert_true (rule_u ("abc", (guint64) i) == expected[i]);
      g_assert_true (scaled[i] == 1.7f * (float) expected[i]);
    }
}

static void
check_parameter (const char *prefix, const char *name, int n_dims, const gint64 *dims, double offset, double scale)
{
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic (prefix, SWITTI_DTYPE_F32);
  g_autofree char *full_name = g_strconcat (prefix, name, NULL);
  g_autoptr (GError) error = NULL;
  gsize count;
  g_autofree float *values = NULL;

  g_assert_true (switti_shape_count (n_dims, dims, &count));
  values = g_new (float, count);
  g_assert_true (switti_weights_read_f32 (weights, name, n_dims, dims, values, &error));
  for (gsize i = 0; i < count; i++)
    /* One rounding of the factor, one of the product and one of the sum, each 2^-24 of a value below 2. */
    g_assert_cmpfloat (fabs ((double) values[i] - (offset + scale * rule_u (full_name, i))), <, 4e-7);
}

static void
test_rule_parameters (void)
{
  const gint64 matrix[] = { 6, 32 }, conv[] = { 4, 3, 3, 3 }, vector[] = { 16 }, row[] = { 1, 64 };
  const gint64 start[] = { 1, 1, 48 }, positions[] = { 1, 30, 48 };

  check_parameter ("switti.", "word_embed.weight", 2, matrix, 0, sqrt (3.0 / 32));
  check_parameter ("vae.", "encoder.conv_in.weight", 4, conv, 0, sqrt (3.0 / 27));
  check_parameter ("switti.", "blocks.0.ffn_norm1.weight", 1, vector, 1, 0.1);
  check_parameter ("switti.", "head.bias", 1, vector, 0, 0.1);
  check_parameter ("switti.", "blocks.1.crop_cond_scales", 2, row, 0, 0.5);
  check_parameter ("switti.", "pos_start", 3, start, 0, sqrt (3.0 / 48));
  check_parameter ("switti.", "pos_1LC", 3, positions, 0, sqrt (3.0 / 48));
  check_parameter ("switti.", "lvl_embed.weight", 2, matrix, 0, sqrt (3.0 / 32));
}

/* Large enough that threads share it: every element is still the rule's, and bf16 is float32 rounded. */
static void
test_rule_large (void)
{
  const gint64 shape[] = { 1501, 2003 };
  gsize count = 1501 * 2003;
  g_autoptr (SwittiWeights) f32 = switti_weights_new_synthetic ("switti.", SWITTI_DTYPE_F32);
  g_autoptr (SwittiWeights) bf16 = switti_weights_new_synthetic ("switti.", SWITTI_DTYPE_BF16);
  g_auto (SwittiHostTensor) full = { 0 };
  g_auto (SwittiHostTensor) half = { 0 };
  g_autofree guint16 *rounded = g_new (guint16, count);
  float factor = (float) sqrt (3.0 / 2003);

  g_assert_true (switti_weights_get (f32, "head.weight", 2, shape, &full, NULL));
  g_assert_true (switti_weights_get (bf16, "head.weight", 2, shape, &half, NULL));
  g_assert_cmpint (half.tensor.dtype, ==, SWITTI_DTYPE_BF16);
  for (gsize i = 0; i < count; i += 997)
    g_assert_true (((float *) full.tensor.data)[i] == factor * (float) rule_u ("switti.head.weight", i));
  g_assert_true (switti_convert_elements (SWITTI_DTYPE_F32, full.tensor.data, SWITTI_DTYPE_BF16, rounded, count));
  g_assert_cmpint (memcmp (rounded, half.tensor.data, count * 2), ==, 0);
}

static void
test_rule_overflow (void)
{
  const gint64 shape[] = { G_GINT64_CONSTANT (1) << 40, G_GINT64_CONSTANT (1) << 40 };
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("", SWITTI_DTYPE_F32);
  g_auto (SwittiHostTensor) tensor = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_false (switti_weights_get (weights, "x.weight", 2, shape, &tensor, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
}

#define ADD(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/weights/one-file", test_one_file);
  ADD ("/weights/other-name", test_other_name);
  ADD ("/weights/shards", test_shards);
  ADD ("/weights/bad-index", test_bad_index);
  ADD ("/weights/missing", test_missing);
  ADD ("/weights/prefix", test_prefix);
  ADD ("/weights/unaligned", test_unaligned);
  g_test_add_func ("/weights/rule-values", test_rule_values);
  g_test_add_func ("/weights/rule-parameters", test_rule_parameters);
  g_test_add_func ("/weights/rule-large", test_rule_large);
  g_test_add_func ("/weights/rule-overflow", test_rule_overflow);
  return g_test_run ();
}
