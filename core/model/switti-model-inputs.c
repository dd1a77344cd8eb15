/* switti-model-inputs.c - what the files and folders are that a model is to be imported from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-model-import-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_CONFIG_BYTES ((guint64) 1 << 20)
#define CLIP_VOCABULARY "bpe_simple_vocab_16e6.txt.gz"

static void
free_input (gpointer data)
{
  SwittiModelInput *input = data;

  g_free (input->weights);
  g_free (input->config);
  g_free (input->tokenizer);
  g_free (input->model_index);
  g_free (input->readme);
  g_free (input);
}

/* The path of a file in a folder where there is one, or NULL. */
static char *
existing (const char *folder, const char *name)
{
  char *path = g_build_filename (folder, name, NULL);

  if (g_file_test (path, G_FILE_TEST_IS_REGULAR))
    return path;
  g_free (path);
  return NULL;
}

/* -- Hugging Face's cache ----------------------------------------------------------------------------------- */

static char *
cache_folder (void)
{
  const char *cache = g_getenv ("HF_HUB_CACHE"), *home = g_getenv ("HF_HOME");

  if (cache != NULL && *cache != '\0')
    return g_strdup (cache);
  if (home != NULL && *home != '\0')
    return g_build_filename (home, "hub", NULL);
  return g_build_filename (g_get_user_cache_dir (), "huggingface", "hub", NULL);
}

/* The snapshot that "main" is, or else the only one. */
static char *
find_snapshot (const char *repository_folder)
{
  g_autofree char *reference = g_build_filename (repository_folder, "refs", "main", NULL);
  g_autofree char *snapshots = g_build_filename (repository_folder, "snapshots", NULL);
  g_autofree char *commit = NULL;
  g_autofree char *found = NULL;
  g_autoptr (GDir) entries = g_dir_open (snapshots, 0, NULL);
  const char *name;
  guint n = 0;

  if (entries == NULL)
    return NULL;
  if (g_file_get_contents (reference, &commit, NULL, NULL) && strchr (g_strstrip (commit), '/') == NULL)
    {
      g_autofree char *path = g_build_filename (snapshots, commit, NULL);

      if (*commit != '\0' && g_file_test (path, G_FILE_TEST_IS_DIR))
        return g_steal_pointer (&path);
    }
  while ((name = g_dir_read_name (entries)) != NULL)
    if (n++ == 0)
      found = g_build_filename (snapshots, name, NULL);
  return n == 1 ? g_steal_pointer (&found) : NULL;
}

char *
switti_hub_cache_find (const char *repository)
{
  g_auto (GStrv) words = g_strsplit (repository, "/", 3);
  g_autofree char *cache = cache_folder ();
  g_autofree char *name = NULL;
  g_autofree char *folder = NULL;

  if (g_strv_length (words) != 2 || *words[0] == '\0' || *words[1] == '\0')
    return NULL;
  name = g_strdup_printf ("models--%s--%s", words[0], words[1]);
  folder = g_build_filename (cache, name, NULL);
  return find_snapshot (folder);
}

/* -- folders ------------------------------------------------------------------------------------------------ */

static gboolean
is_tokenizer_folder (const char *folder)
{
  g_autofree char *vocab = existing (folder, "vocab.json");
  g_autofree char *merges = existing (folder, "merges.txt");
  g_autofree char *json = existing (folder, "tokenizer.json");

  return (vocab != NULL && merges != NULL) || json != NULL;
}

static char *
find_tokenizer (const char *folder)
{
  return is_tokenizer_folder (folder) ? g_strdup (folder) : existing (folder, CLIP_VOCABULARY);
}

/* The text of config.json in the folder, or NULL. */
static gboolean
read_config (const char *folder, char **text, GError **error)
{
  g_autofree char *path = existing (folder, "config.json");
  g_autoptr (SwittiByteSource) source = NULL;
  guint64 size;

  *text = NULL;
  if (path == NULL)
    return TRUE;
  source = switti_byte_source_open_file (path, error);
  if (source == NULL)
    return FALSE;
  size = switti_byte_source_get_size (source);
  if (size > MAX_CONFIG_BYTES)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("“%s” is too large to be a configuration."),
                   path);
      return FALSE;
    }
  *text = g_malloc0 ((gsize) size + 1);
  return switti_byte_source_read (source, 0, *text, (gsize) size, NULL, error);
}

/* Whether there is a file in the folder that could hold weights. */
static gboolean
has_weights (const char *folder)
{
  static const char *const suffixes[] = { ".safetensors", ".safetensors.index.json", ".bin", ".pt", ".pth", ".ckpt" };
  g_autoptr (GDir) entries = g_dir_open (folder, 0, NULL);
  const char *name;

  while (entries != NULL && (name = g_dir_read_name (entries)) != NULL)
    for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
      if (g_str_has_suffix (name, suffixes[i]))
        return TRUE;
  return FALSE;
}

/* A folder's own weights and tokenizer, if it has any. */
static gboolean
add_part (GPtrArray *found, const char *folder, int encoder, GError **error)
{
  SwittiModelInput *input;
  g_autofree char *tokenizer = find_tokenizer (folder);

  if (tokenizer == NULL && !has_weights (folder))
    return TRUE;
  input = g_new0 (SwittiModelInput, 1);
  g_ptr_array_add (found, input);
  input->tokenizer = g_steal_pointer (&tokenizer);
  input->encoder = encoder;
  input->readme = existing (folder, "README.md");
  if (!has_weights (folder))
    return TRUE;
  input->weights = g_strdup (folder);
  return read_config (folder, &input->config, error);
}

static gboolean
add_folder (GPtrArray *found, const char *folder, GError **error)
{
  static const struct
  {
    const char *name;
    int encoder;
  } parts[] = { { "transformer", 0 }, { "vae", 0 },       { "text_encoder", 1 }, { "text_encoder_2", 2 },
                { "tokenizer", 1 },   { "tokenizer_2", 2 } };
  guint before = found->len;
  g_autofree char *cached = find_snapshot (folder);
  char *index = existing (folder, "model_index.json");

  if (cached != NULL) /* models--ORG--NAME of the cache */
    {
      g_free (index);
      return add_folder (found, cached, error);
    }
  if (!add_part (found, folder, 0, error))
    {
      g_free (index);
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      g_autofree char *path = g_build_filename (folder, parts[i].name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR) && !add_part (found, path, parts[i].encoder, error))
        {
          g_free (index);
          return FALSE;
        }
    }
  if (found->len > before)
    {
      SwittiModelInput *first = found->pdata[before];

      first->model_index = index;
      if (first->readme == NULL)
        first->readme = existing (folder, "README.md");
      return TRUE;
    }
  g_free (index);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("“%s” holds neither weights nor a tokenizer; name the files or folders of a model's parts."), folder);
  return FALSE;
}

/* -- files -------------------------------------------------------------------------------------------------- */

static gboolean
add_file (GPtrArray *found, const char *path, GError **error)
{
  /* Beside a file of such a name lies its config.json; beside others it may be anything's. */
  static const char *const names[] = { "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                       "pytorch_model.bin.index.json", "diffusion_pytorch_model.safetensors", NULL };
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *folder = g_path_get_dirname (path);
  SwittiModelInput *input = g_new0 (SwittiModelInput, 1);

  g_ptr_array_add (found, input);
  if (g_str_has_suffix (name, ".txt.gz"))
    {
      input->tokenizer = g_strdup (path);
      return TRUE;
    }
  if (strcmp (name, "vocab.json") == 0 || strcmp (name, "merges.txt") == 0 || strcmp (name, "tokenizer.json") == 0)
    {
      input->tokenizer = g_strdup (folder);
      return TRUE;
    }
  input->weights = g_strdup (path);
  if (!g_strv_contains (names, name))
    return TRUE;
  if (is_tokenizer_folder (folder))
    input->tokenizer = g_strdup (folder);
  input->readme = existing (folder, "README.md");
  return read_config (folder, &input->config, error);
}

GPtrArray *
switti_model_inputs_find (const char *const *inputs, GError **error)
{
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func (free_input);

  for (; *inputs != NULL; inputs++)
    {
      g_autofree char *cached = NULL;
      gboolean good;

      if (!g_file_test (*inputs, G_FILE_TEST_EXISTS))
        cached = switti_hub_cache_find (*inputs);
      if (cached != NULL)
        good = add_folder (found, cached, error);
      else if (g_file_test (*inputs, G_FILE_TEST_IS_DIR))
        good = add_folder (found, *inputs, error);
      else if (g_file_test (*inputs, G_FILE_TEST_EXISTS))
        good = add_file (found, *inputs, error);
      else
        {
          good = FALSE;
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                       _ ("“%s” is neither a file, nor a folder, nor a repository in Hugging Face's cache."), *inputs);
        }
      if (!good)
        return NULL;
    }
  return g_steal_pointer (&found);
}
