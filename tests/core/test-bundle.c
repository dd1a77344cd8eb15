/* test-bundle.c - model folders: finding, opening, refusing
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-bundle-folder-private.h"
#include "switti-error.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static const char *const part_names[] = {
  "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "transformer", "vae",
};

static char *
icons_path (void)
{
  return g_test_build_filename (G_TEST_DIST, "..", "data", "models", "icons", NULL);
}

/* A folder for models, which is the first of SWITTI_MODEL_PATH. */
typedef struct
{
  char *folder;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->folder = g_dir_make_tmp ("switti-bundle-XXXXXX", NULL);
  g_assert_nonnull (fixture->folder);
  g_setenv ("SWITTI_MODEL_PATH", fixture->folder, TRUE);
}

static void
remove_tree (const char *path)
{
  if (g_file_test (path, G_FILE_TEST_IS_DIR) && !g_file_test (path, G_FILE_TEST_IS_SYMLINK))
    {
      g_autoptr (GDir) entries = g_dir_open (path, 0, NULL);
      const char *name;

      while ((name = g_dir_read_name (entries)) != NULL)
        {
          g_autofree char *child = g_build_filename (path, name, NULL);

          remove_tree (child);
        }
    }
  g_remove (path);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  remove_tree (fixture->folder);
  g_free (fixture->folder);
}

static void
link_files (const char *from, const char *to)
{
  g_autoptr (GDir) entries = g_dir_open (from, 0, NULL);
  const char *name;

  g_assert_cmpint (g_mkdir_with_parents (to, 0777), ==, 0);
  while ((name = g_dir_read_name (entries)) != NULL)
    {
      g_autofree char *source = g_build_filename (from, name, NULL);
      g_autofree char *link = g_build_filename (to, name, NULL);

      if (!g_file_test (source, G_FILE_TEST_IS_DIR))
        g_assert_cmpint (symlink (source, link), ==, 0);
    }
}

/* The icons model under another name, of links, so that single files can be replaced. */
static char *
make_model (Fixture *fixture, const char *name)
{
  g_autofree char *icons = icons_path ();
  char *model = g_build_filename (fixture->folder, name, NULL);

  link_files (icons, model);
  for (guint i = 0; i < G_N_ELEMENTS (part_names); i++)
    {
      g_autofree char *from = g_build_filename (icons, part_names[i], NULL);
      g_autofree char *to = g_build_filename (model, part_names[i], NULL);

      link_files (from, to);
    }
  return model;
}

static void
replace_file (const char *model, const char *file, const char *contents, gssize length)
{
  g_autofree char *path = g_build_filename (model, file, NULL);

  g_unlink (path);
  g_assert_true (g_file_set_contents (path, contents, length, NULL));
}

/* Replaces `from` by `to` in a text file of the model; from must be there. */
static void
edit_file (const char *model, const char *file, const char *from, const char *to)
{
  g_autofree char *path = g_build_filename (model, file, NULL);
  g_autofree char *contents = NULL;
  g_autoptr (GString) text = NULL;

  g_assert_true (g_file_get_contents (path, &contents, NULL, NULL));
  text = g_string_new (contents);
  g_assert_cmpuint (g_string_replace (text, from, to, 0), >, 0);
  replace_file (model, file, text->str, -1);
}

/* -- finding ------------------------------------------------------------------------------------------------ */

static void
test_list (Fixture *fixture, gconstpointer data)
{
  g_autofree char *zebra = make_model (fixture, "zebra");
  g_autofree char *aardvark = make_model (fixture, "aardvark");
  g_autofree char *not_a_model = g_build_filename (fixture->folder, "mere-folder", NULL);
  g_auto (GStrv) names = NULL;
  g_auto (GStrv) folders = switti_bundle_get_search_path ();

  g_assert_cmpint (g_mkdir (not_a_model, 0777), ==, 0);
  g_assert_cmpstr (folders[0], ==, fixture->folder);
  names = switti_bundle_list ();
  /* The default first, although it is found last; then by name; each once. */
  g_assert_cmpuint (g_strv_length (names), >=, 3);
  g_assert_cmpstr (names[0], ==, "icons");
  g_assert_true (g_strv_contains ((const char *const *) names, "aardvark"));
  g_assert_true (g_strv_contains ((const char *const *) names, "zebra"));
  g_assert_false (g_strv_contains ((const char *const *) names, "mere-folder"));
  for (char **name = names + 1; *name != NULL && name[1] != NULL; name++)
    g_assert_cmpint (strcmp (name[0], name[1]), <, 0);
}

/* A folder of the path may be a model itself, several are separated by colons, and the first of a name wins. */
static void
test_search_path (Fixture *fixture, gconstpointer data)
{
  g_autofree char *first = g_build_filename (fixture->folder, "a", NULL);
  g_autofree char *second = g_build_filename (fixture->folder, "b", NULL);
  Fixture in_first = { first }, in_second = { second };
  g_autofree char *model_in_first = make_model (&in_first, "same");
  g_autofree char *model_in_second = make_model (&in_second, "same");
  g_autofree char *itself = make_model (fixture, "itself");
  g_autofree char *variable = g_strjoin (":", "", itself, first, second, "/nowhere", NULL);
  g_autoptr (SwittiBundle) same = NULL;
  g_autoptr (SwittiBundle) direct = NULL;
  g_autoptr (GError) error = NULL;

  g_setenv ("SWITTI_MODEL_PATH", variable, TRUE);
  same = switti_bundle_open ("same", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (switti_bundle_get_path (same), ==, model_in_first);
  direct = switti_bundle_open ("itself", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (switti_bundle_get_path (direct), ==, itself);
  g_assert_cmpstr (switti_bundle_get_name (direct), ==, "itself");
}

static void
test_default (Fixture *fixture, gconstpointer data)
{
  const char *const names[] = { NULL, "" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiBundle) bundle = switti_bundle_open (names[i], &error);

      g_assert_no_error (error);
      g_assert_cmpstr (switti_bundle_get_name (bundle), ==, "icons");
    }
}

static void
test_not_found (Fixture *fixture, gconstpointer data)
{
  const char *const names[] = { "no-such-model", "..", ".", "/nowhere/x", "./x", "../switti" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (switti_bundle_open (names[i], &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND);
      g_assert_nonnull (strstr (error->message, names[i]));
      if (strchr (names[i], '/') == NULL)
        g_assert_nonnull (strstr (error->message, "icons"));
    }
}

/* -- opening ------------------------------------------------------------------------------------------------ */

static void
test_icons (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = icons_path ();
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiBundle) bundle = switti_bundle_open (path, &error);
  const SwittiBundleParts *parts;
  g_autoptr (JsonParser) parser = json_parser_new ();
  guint64 stored = 0;

  g_assert_no_error (error);
  parts = switti_bundle_get_parts (bundle);
  g_assert_cmpint (switti_bundle_get_resolution (bundle), ==, 256);
  g_assert_cmpint (switti_bundle_get_n_scales (bundle), ==, 10);
  g_assert_nonnull (strstr (switti_bundle_get_description (bundle), "SUBJECT"));
  g_assert_null (strchr (switti_bundle_get_description (bundle), '#'));
  g_assert_null (strchr (switti_bundle_get_description (bundle), '`'));
  g_assert_nonnull (switti_bundle_get_default_sampling (bundle));
  g_assert_true (json_parser_load_from_data (parser, switti_bundle_get_info_json (bundle), -1, NULL));

  /* The number of parameters, which follows from the shapes, against what the files hold. */
  {
    SwittiWeights *weights[] = { parts->transformer_weights, parts->vae_weights, parts->text_weights[0],
                                 parts->text_weights[1] };

    for (guint i = 0; i < G_N_ELEMENTS (weights); i++)
      {
        g_auto (GStrv) names = switti_weights_list (weights[i]);

        for (char **name = names; *name != NULL; name++)
          {
            SwittiTensor shape;
            gsize count;

            g_assert_true (switti_weights_peek (weights[i], *name, &shape));
            g_assert_true (switti_shape_count (shape.n_dims, shape.dims, &count));
            stored += count;
          }
      }
  }
  g_assert_cmpuint (switti_bundle_get_n_parameters (bundle), ==, stored);
}

/* spec.md and fixtures/meta.json: the published numbers, and those of the tiny VAE. */
static void
test_parameter_counts (void)
{
  SwittiBundleParts parts = { 0 };

  g_assert_true (switti_synthetic_config_parse ("depth=30", &parts.transformer, &parts.vae, parts.text, NULL));
  g_assert_cmpuint (switti_transformer_config_count (&parts.transformer), ==, 2470518256);
  g_assert_cmpuint (switti_vae_config_count (&parts.vae), ==, 108948355);
}

/* Sums the sizes of a table of meta.json, NAME → shape. */
static guint64
count_meta (JsonObject *meta, const char *table)
{
  g_autoptr (GList) names = json_object_get_members (json_object_get_object_member (meta, table));
  guint64 total = 0;

  for (GList *name = names; name != NULL; name = name->next)
    {
      JsonArray *shape = json_object_get_array_member (json_object_get_object_member (meta, table), name->data);
      guint64 count = 1;

      for (guint i = 0; i < json_array_get_length (shape); i++)
        count *= (guint64) json_array_get_int_element (shape, i);
      total += count;
    }
  return total;
}

static void
test_fixture_counts (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "fixtures", "meta.json", NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  const char *const variants[][2] = {
    { "switti_nar_params", "" },
    { "switti_ar_params", ",ar" },
    { "switti_abspos_params", ",abspos,gelu,nocrop" },
  };
  SwittiBundleParts parts = { 0 };
  JsonObject *meta;

  g_assert_true (json_parser_load_from_file (parser, path, NULL));
  meta = json_node_get_object (json_parser_get_root (parser));
  for (guint i = 0; i < G_N_ELEMENTS (variants); i++)
    {
      g_autofree char *text = g_strconcat ("depth=2,width=128,vocab=256,scales=1-2-3-4,ch=32", variants[i][1], NULL);

      g_assert_true (switti_synthetic_config_parse (text, &parts.transformer, &parts.vae, parts.text, NULL));
      g_assert_cmpuint (switti_transformer_config_count (&parts.transformer), ==, count_meta (meta, variants[i][0]));
      g_assert_cmpuint (switti_vae_config_count (&parts.vae), ==, count_meta (meta, "vae_params"));
    }
  parts.text[0] = (SwittiTextConfig) { .layers = 3, .width = 64, .mlp = 256, .vocab = 1000, .positions = 77 };
  g_assert_cmpuint (switti_text_config_count (&parts.text[0]), ==, count_meta (meta, "clip_params"));
}

static void
test_description (Fixture *fixture, gconstpointer data)
{
  const char *const cases[][2] = {
    { "# Title\n\nOne\nparagraph with `code`.\n\n\n\nAnother *one*.\n\n## Next\n\nLeft out.\n",
      "One paragraph with “code”.\n\nAnother one." },
    { "[A sheet](../docs/a.png) of `a * [b](c)`, ![drawn](d.png) [thus] (so), [and](open",
      "A sheet of “a * [b](c)”, drawn [thus] (so), [and](open" },
    { "Not `closed", "Not “closed”" },
    { "---\nlicence: cc0\n# no heading\n---\n# Title\nText\n", "Text" },
    { "No heading\r\nat all", "No heading at all" },
    { "# Title alone", "" },
    { "", "" },
    { "bad \xff byte", "bad \xef\xbf\xbd byte" },
  };
  g_autofree char *none = switti_bundle_read_description ("/nowhere");

  g_assert_cmpstr (none, ==, "");
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *description = NULL;

      replace_file (fixture->folder, "README.md", cases[i][0], -1);
      description = switti_bundle_read_description (fixture->folder);
      g_assert_cmpstr (description, ==, cases[i][1]);
    }
}

/* Shared phi serve any schedule: the transformer's is taken. The second tokenizer may be left out. */
static void
test_tolerated (Fixture *fixture, gconstpointer data)
{
  g_autofree char *model = make_model (fixture, "model");
  g_autofree char *tokenizer_2 = g_build_filename (model, "tokenizer_2", NULL);
  g_autoptr (SwittiBundle) bundle = NULL;
  g_autoptr (GError) error = NULL;

  edit_file (model, "vae/config.json", "13,", "12,");
  edit_file (model, "text_encoder/config.json", "\"eos_token_id\": 2559", "\"eos_token_id\": 2");
  edit_file (model, "text_encoder/config.json", "\"bos_token_id\": 2558", "\"bos_token_id\": 0");
  replace_file (model, "model_index.json", "{}", -1);
  remove_tree (tokenizer_2);
  bundle = switti_bundle_open (model, &error);
  g_assert_no_error (error);
  g_assert_cmpint (switti_bundle_get_parts (bundle)->vae.schedule.side[8], ==, 13);
  g_assert_null (switti_bundle_get_default_sampling (bundle));
  {
    gint32 ids[SWITTI_TEXT_LENGTH];

    /* The tokenizer's own ids in place of the early configuration's. */
    g_assert_cmpint (switti_tokenizer_encode_padded (switti_bundle_get_parts (bundle)->tokenizer[0], "", ids), ==, 2);
    g_assert_cmpint (ids[0], ==, 2558);
    g_assert_cmpint (ids[1], ==, 2559);
  }
}

/* -- refusing ----------------------------------------------------------------------------------------------- */

static void
assert_refused (const char *model, int code, const char *word)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (switti_bundle_open (model, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, SWITTI_ERROR, code);
  g_assert_nonnull (strstr (error->message, word));
}

static void
test_bad_edits (Fixture *fixture, gconstpointer data)
{
  const struct
  {
    const char *file, *from, *to, *word;
  } cases[] = {
    { "transformer/config.json", "\"vocab_size\": 1024", "\"vocab_size\": 1025", "head.weight" },
    { "transformer/config.json", "\"depth\": 6", "\"depth\": 7", "blocks.6" },
    { "transformer/config.json", "\"embed_dim\": 192", "\"embed_dim\": 96", "word_embed.weight" },
    { "transformer/config.json", "\"context_dim\": 192", "\"context_dim\": 256", "to_kv" },
    { "transformer/config.json", "\"pooled_dim\": 128", "\"pooled_dim\": 64", "text_pooler" },
    { "transformer/config.json", "\"use_crop_cond\": false", "\"use_crop_cond\": true", "crop_embed" },
    { "transformer/config.json", "\"use_swiglu_ffn\": true", "\"use_swiglu_ffn\": false", "fc1" },
    { "transformer/config.json", "\"rope\": true", "\"rope\": false", "pos_1LC" },
    { "transformer/config.json", "13,", "13, 14,", "lvl_embed" },
    { "transformer/config.json", "\"reso\": 256", "\"reso\": 512", "reso" },
    { "vae/config.json", "\"vocab_size\": 1024", "\"vocab_size\": 512", "quantize.embedding" },
    { "vae/config.json", "\"ch\": 32", "\"ch\": 64", "decoder" },
    { "vae/config.json", "{", "", "JSON" },
    { "text_encoder/config.json", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", "layers.3" },
    { "text_encoder/config.json", "\"hidden_size\": 64", "\"hidden_size\": 128", "token_embedding" },
    { "text_encoder_2/config.json", "\"vocab_size\": 2560", "\"vocab_size\": 5000", "token_embedding" },
    { "text_encoder/config.json", "\"max_position_embeddings\": 77", "\"max_position_embeddings\": 76", "position" },
    { "tokenizer/vocab.json", "\"!\": 0", "\"!\": 3000", "tokens" },
    { "tokenizer_2/merges.txt", "a c", "a", "merge" },
    { "model_index.json", "}", "", "JSON" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *model = make_model (fixture, "model");

      edit_file (model, cases[i].file, cases[i].from, cases[i].to);
      assert_refused (model, SWITTI_ERROR_MODEL_INVALID, cases[i].word);
      remove_tree (model);
    }
}

static void
test_mismatched_parts (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = icons_path ();
  g_autoptr (SwittiBundle) bundle = switti_bundle_open (path, NULL);
  SwittiBundleParts parts = *switti_bundle_get_parts (bundle);
  g_autoptr (GError) error = NULL;

#define ASSERT_MISMATCH(change, word)                                                                                 \
  G_STMT_START                                                                                                        \
  {                                                                                                                   \
    SwittiBundleParts saved = parts;                                                                                  \
    change;                                                                                                           \
    g_assert_false (switti_bundle_parts_check (&parts, "the case", &error));                                          \
    g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);                                                 \
    g_assert_nonnull (strstr (error->message, word));                                                                 \
    g_clear_error (&error);                                                                                           \
    parts = saved;                                                                                                    \
  }                                                                                                                   \
  G_STMT_END

  g_assert_true (switti_bundle_parts_check (&parts, "the case", &error));
  ASSERT_MISMATCH (parts.vae.vocab++, "codes");
  ASSERT_MISMATCH (parts.vae.latent++, "latent");
  ASSERT_MISMATCH (parts.text[0].width++, "context");
  ASSERT_MISMATCH ((parts.text[1].width++, parts.text[0].width--), "pooled");
  ASSERT_MISMATCH (parts.vae.schedule.n_scales--, "scales");
  ASSERT_MISMATCH (parts.vae.schedule.side[3]++, "scales");
  ASSERT_MISMATCH (parts.text[1].positions = 76, "positions");
  ASSERT_MISMATCH (parts.text[0].vocab = 2559, "tokenizer");
#undef ASSERT_MISMATCH
}

static void
test_missing_parts (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (part_names); i++)
    {
      g_autofree char *model = make_model (fixture, "model");
      g_autofree char *part = g_build_filename (model, part_names[i], NULL);

      if (strcmp (part_names[i], "tokenizer_2") != 0)
        {
          remove_tree (part);
          assert_refused (model, SWITTI_ERROR_MODEL_NOT_FOUND, part_names[i]);
        }
      remove_tree (model);
    }
}

static void
test_truncated_weights (Fixture *fixture, gconstpointer data)
{
  const char *const files[] = { "transformer/model.safetensors", "vae/model.safetensors",
                                "text_encoder_2/model.safetensors" };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *model = make_model (fixture, "model");
      g_autofree char *path = g_build_filename (model, files[i], NULL);
      g_autofree char *contents = NULL;
      gsize length;

      g_assert_true (g_file_get_contents (path, &contents, &length, NULL));
      replace_file (model, files[i], contents, (gssize) length - 1);
      assert_refused (model, SWITTI_ERROR_MODEL_INVALID, "cut short");
      replace_file (model, files[i], contents, 100);
      assert_refused (model, SWITTI_ERROR_MODEL_INVALID, "header");
      replace_file (model, files[i], "", 0);
      assert_refused (model, SWITTI_ERROR_MODEL_INVALID, "header");
      remove_tree (model);
    }
}

/* -- hash --------------------------------------------------------------------------------------------------- */

static char *
hash_model (const char *model)
{
  g_autoptr (SwittiBundle) bundle = switti_bundle_open (model, NULL);
  g_autofree char *hash = switti_bundle_hash (bundle, NULL, NULL);
  g_autofree char *again = switti_bundle_hash (bundle, NULL, NULL);

  g_assert_cmpuint (strlen (hash), ==, 64);
  g_assert_cmpstr (hash, ==, again);
  return g_steal_pointer (&hash);
}

static void
test_hash (Fixture *fixture, gconstpointer data)
{
  g_autofree char *icons = icons_path ();
  g_autofree char *model = make_model (fixture, "model");
  g_autofree char *original = hash_model (icons);
  g_autofree char *copied = hash_model (model);
  g_autofree char *described = NULL;
  g_autofree char *edited = NULL;
  g_autoptr (SwittiBundle) bundle = switti_bundle_open (model, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *none = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpstr (original, ==, copied); /* the place is no part of it */
  replace_file (model, "README.md", "Other words", -1);
  described = hash_model (model);
  g_assert_cmpstr (described, ==, original);

  g_cancellable_cancel (cancellable);
  none = switti_bundle_hash (bundle, cancellable, &error);
  g_assert_null (none);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  edit_file (model, "vae/config.json", "\"quant_resi\": 0.5", "\"quant_resi\": 0.25");
  edited = hash_model (model);
  g_assert_cmpstr (edited, !=, original);
}

/* -- bundles that are no folder ----------------------------------------------------------------------------- */

static void
test_synthetic (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiBundle) bundle =
      switti_bundle_new_synthetic ("depth=2,width=128,reso=256,vocab=64,ch=32,clip=small", SWITTI_DTYPE_BF16, &error);
  const SwittiBundleParts *parts;
  g_auto (SwittiHostTensor) tensor = { 0 };
  const gint64 shape[] = { 64, 128 };
  gint32 ids[SWITTI_TEXT_LENGTH];
  g_autofree char *hash = NULL;

  g_assert_no_error (error);
  parts = switti_bundle_get_parts (bundle);
  g_assert_true (switti_bundle_parts_check (parts, "a synthetic model", &error));
  g_assert_cmpint (switti_bundle_get_resolution (bundle), ==, 256);
  g_assert_cmpstr (switti_bundle_get_name (bundle), ==, "synthetic");
  g_assert_true (switti_weights_get (parts->transformer_weights, "head.weight", 2, shape, &tensor, &error));
  g_assert_cmpint (tensor.tensor.dtype, ==, SWITTI_DTYPE_BF16);
  g_assert_cmpint (switti_tokenizer_encode_padded (parts->tokenizer[1], "cat", ids), ==, 5);
  g_assert_cmpint (ids[0], ==, parts->text[1].bos_id);
  g_assert_cmpint (ids[4], ==, parts->text[1].eos_id);
  hash = switti_bundle_hash (bundle, NULL, &error);
  g_assert_cmpuint (strlen (hash), ==, 64);

  g_assert_null (switti_bundle_new_synthetic ("depth=x", SWITTI_DTYPE_F32, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
}

static void
test_from_parts (void)
{
  SwittiBundleParts parts = { 0 };
  g_autoptr (SwittiBundle) bundle = NULL;
  SwittiWeights *weights = switti_weights_new_synthetic ("vae.", SWITTI_DTYPE_F32);

  g_assert_true (
      switti_synthetic_config_parse ("depth=2,clip=small", &parts.transformer, &parts.vae, parts.text, NULL));
  parts.vae_weights = weights;
  parts.transformer_weights = switti_weights_ref (weights);
  parts.text_weights[0] = switti_weights_ref (weights);
  parts.text_weights[1] = switti_weights_ref (weights);
  parts.tokenizer[0] = switti_tokenizer_new_bytes ();
  parts.tokenizer[1] = switti_tokenizer_ref (parts.tokenizer[0]);
  bundle = switti_bundle_new_from_parts ("mine", &parts);
  g_assert_null (parts.vae_weights);
  g_assert_cmpstr (switti_bundle_get_name (bundle), ==, "mine");
  g_assert_cmpstr (switti_bundle_get_path (bundle), ==, "");
  g_assert_true (switti_bundle_get_parts (bundle)->vae_weights == weights);
}

#define ADD(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  ADD ("/bundle/list", test_list);
  ADD ("/bundle/search-path", test_search_path);
  ADD ("/bundle/default", test_default);
  ADD ("/bundle/not-found", test_not_found);
  ADD ("/bundle/icons", test_icons);
  ADD ("/bundle/description", test_description);
  ADD ("/bundle/tolerated", test_tolerated);
  ADD ("/bundle/bad-edits", test_bad_edits);
  ADD ("/bundle/mismatched-parts", test_mismatched_parts);
  ADD ("/bundle/missing-parts", test_missing_parts);
  ADD ("/bundle/truncated-weights", test_truncated_weights);
  ADD ("/bundle/hash", test_hash);
  g_test_add_func ("/bundle/parameter-counts", test_parameter_counts);
  g_test_add_func ("/bundle/fixture-counts", test_fixture_counts);
  g_test_add_func ("/bundle/synthetic", test_synthetic);
  g_test_add_func ("/bundle/from-parts", test_from_parts);
  return g_test_run ();
}
