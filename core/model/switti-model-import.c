/* switti-model-import.c - a model folder from checkpoints
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * First everything is planned and checked, from names, shapes and configurations; then the weights are written.
 */
#include "switti-model-import-private.h"

#include "switti-bundle-folder-private.h"
#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

enum
{
  PART_TRANSFORMER,
  PART_VAE,
  PART_TEXT,
  PART_TEXT_2,
  N_PARTS,
};

static const char *const part_folders[N_PARTS] = { "transformer", "vae", "text_encoder", "text_encoder_2" };
static const char *const tokenizer_folders[2] = { "tokenizer", "tokenizer_2" };

/* A part's checkpoint. */
typedef struct
{
  const SwittiModelInput *input;
  SwittiTensorSource *source;
  SwittiPartPlan *plan;
} Candidate;

typedef struct
{
  const SwittiImportOptions *options;
  GPtrArray *inputs;      /* SwittiModelInput */
  GArray *candidates;     /* Candidate */
  Candidate *parts[N_PARTS]; /* of candidates; NULL: from base */
  const char *tokenizers[2]; /* paths; NULL: from base */
  char *base;             /* folder, or NULL */
  SwittiBundleParts base_parts;
  SwittiModelWriter *writer;
  GCancellable *cancellable;

  SwittiBytesFunc progress;
  gpointer progress_data;
  guint64 done, total; /* bytes of the parts before this one, and of all */
} Import;

static void
clear_candidate (gpointer data)
{
  Candidate *candidate = data;

  g_clear_pointer (&candidate->plan, switti_part_plan_free);
  g_clear_pointer (&candidate->source, switti_tensor_source_free);
}

static void
import_clear (Import *self)
{
  g_clear_pointer (&self->writer, switti_model_writer_free);
  g_clear_pointer (&self->candidates, g_array_unref);
  g_clear_pointer (&self->inputs, g_ptr_array_unref);
  if (self->base != NULL)
    switti_bundle_parts_clear (&self->base_parts);
  g_free (self->base);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Import, import_clear)

/* -- planning ----------------------------------------------------------------------------------------------- */

static gboolean
plan_candidates (Import *self, GError **error)
{
  for (guint i = 0; i < self->inputs->len; i++)
    {
      const SwittiModelInput *input = self->inputs->pdata[i];
      Candidate *candidate;

      if (input->weights == NULL)
        continue;
      g_array_set_size (self->candidates, self->candidates->len + 1);
      candidate = &g_array_index (self->candidates, Candidate, self->candidates->len - 1);
      candidate->input = input;
      candidate->source = switti_tensor_source_open (input->weights, self->cancellable, error);
      if (candidate->source == NULL)
        return FALSE;
      candidate->plan = switti_part_plan_new (candidate->source, input->config, -1, &self->options->hints,
                                              self->options->dtype, self->cancellable, error);
      if (candidate->plan == NULL)
        return FALSE;
    }
  return TRUE;
}

static gboolean
take_part (Import *self, int part, Candidate *candidate, GError **error)
{
  if (self->parts[part] == NULL)
    {
      self->parts[part] = candidate;
      return TRUE;
    }
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("%s and %s are the same part of a model (%s); name one of them."),
               switti_tensor_source_get_description (self->parts[part]->source),
               switti_tensor_source_get_description (candidate->source), part_folders[part]);
  return FALSE;
}

static const SwittiTransformerConfig *
get_transformer (Import *self)
{
  if (self->parts[PART_TRANSFORMER] != NULL)
    return &self->parts[PART_TRANSFORMER]->plan->transformer;
  return self->base != NULL ? &self->base_parts.transformer : NULL;
}

/* The second text encoder is as wide as the transformer's pooled text. Where that does not tell, the order does. */
static int
which_encoder (Import *self, const Candidate *candidate)
{
  const SwittiTransformerConfig *transformer = get_transformer (self);
  int width = candidate->plan->text.width;
  gboolean is_first = transformer != NULL && width == transformer->context_dim - transformer->pooled_dim;
  gboolean is_second = transformer != NULL && width == transformer->pooled_dim;

  if (candidate->input->encoder != 0)
    return candidate->input->encoder == 1 ? PART_TEXT : PART_TEXT_2;
  if (is_first != is_second)
    return is_first ? PART_TEXT : PART_TEXT_2;
  return self->parts[PART_TEXT] == NULL ? PART_TEXT : PART_TEXT_2;
}

static gboolean
assign_parts (Import *self, GError **error)
{
  for (guint i = 0; i < self->candidates->len; i++)
    {
      Candidate *candidate = &g_array_index (self->candidates, Candidate, i);

      if ((candidate->plan->kind == SWITTI_PART_TRANSFORMER && !take_part (self, PART_TRANSFORMER, candidate, error)) ||
          (candidate->plan->kind == SWITTI_PART_VAE && !take_part (self, PART_VAE, candidate, error)))
        return FALSE;
    }
  for (guint i = 0; i < self->candidates->len; i++)
    {
      Candidate *candidate = &g_array_index (self->candidates, Candidate, i);

      if (candidate->plan->kind == SWITTI_PART_TEXT_ENCODER &&
          !take_part (self, which_encoder (self, candidate), candidate, error))
        return FALSE;
    }
  return TRUE;
}

/* An encoder's tokenizer is the one beside it; one that stands alone is both's. */
static void
assign_tokenizers (Import *self)
{
  for (int i = 0; i < 2; i++)
    if (self->parts[PART_TEXT + i] != NULL)
      self->tokenizers[i] = self->parts[PART_TEXT + i]->input->tokenizer;
  for (guint i = 0; i < self->inputs->len; i++)
    {
      const SwittiModelInput *input = self->inputs->pdata[i];

      for (int j = 0; input->weights == NULL && j < 2; j++)
        if (input->encoder == 0 || input->encoder == j + 1)
          self->tokenizers[j] = input->tokenizer;
    }
  /* CLIP's two have the same tokens. */
  for (int i = 0; i < 2 && self->base == NULL; i++)
    if (self->tokenizers[i] == NULL)
      self->tokenizers[i] = self->tokenizers[1 - i];
}

static gboolean
check_complete (Import *self, GError **error)
{
  static const char *const words[N_PARTS] = { N_ ("the transformer"), N_ ("the RQ-VAE"), N_ ("the first text encoder"),
                                              N_ ("the second text encoder") };
  g_autoptr (GString) missing = g_string_new (NULL);

  if (self->base != NULL)
    return TRUE;
  for (int i = 0; i < N_PARTS; i++)
    if (self->parts[i] == NULL)
      g_string_append_printf (missing, "%s%s", missing->len > 0 ? ", " : "", _ (words[i]));
  if (self->tokenizers[0] == NULL)
    g_string_append_printf (missing, "%s%s", missing->len > 0 ? ", " : "", _ ("a tokenizer"));
  if (missing->len == 0)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("A model also needs %s: name their files too, or a model that has them by --base."), missing->str);
  return FALSE;
}

static gboolean
load_base (Import *self, GError **error)
{
  JsonObject *index;

  if (self->options->base == NULL)
    return TRUE;
  self->base = switti_bundle_find_folder (self->options->base, error);
  if (self->base == NULL)
    return FALSE;
  if (!switti_bundle_parts_load (self->base, &self->base_parts, &index, error))
    {
      g_clear_pointer (&self->base, g_free);
      return FALSE;
    }
  json_object_unref (index);
  return TRUE;
}

/* -- checking that the parts fit ---------------------------------------------------------------------------- */

static SwittiTokenizer *
open_tokenizer (Import *self, int which, const SwittiTextConfig *config, GError **error)
{
  const char *path = self->tokenizers[which];
  gboolean has_ids = config->eos_id != 2; /* as in switti-bundle-folder.c */

  if (path == NULL)
    return switti_tokenizer_ref (self->base_parts.tokenizer[which]);
  if (!g_file_test (path, G_FILE_TEST_IS_DIR))
    return switti_tokenizer_open_bpe (path, error);
  return switti_tokenizer_open (path, has_ids ? config->bos_id : -1, has_ids ? config->eos_id : -1,
                                has_ids ? config->pad_id : -1, error);
}

static gboolean
check_fit (Import *self, GError **error)
{
  SwittiBundleParts parts = self->base_parts;
  gboolean good = TRUE;

  for (int i = 0; i < 2; i++)
    parts.tokenizer[i] = NULL;
  if (self->parts[PART_TRANSFORMER] != NULL)
    parts.transformer = self->parts[PART_TRANSFORMER]->plan->transformer;
  if (self->parts[PART_VAE] != NULL)
    parts.vae = self->parts[PART_VAE]->plan->vae;
  if (parts.vae.share_quant_resi > 0)
    parts.vae.schedule = parts.transformer.schedule;
  for (int i = 0; i < 2 && good; i++)
    {
      if (self->parts[PART_TEXT + i] != NULL)
        parts.text[i] = self->parts[PART_TEXT + i]->plan->text;
      parts.tokenizer[i] = open_tokenizer (self, i, &parts.text[i], error);
      good = parts.tokenizer[i] != NULL;
    }
  good = good && switti_bundle_parts_check (&parts, _ ("the model"), error);
  for (int i = 0; i < 2; i++)
    g_clear_pointer (&parts.tokenizer[i], switti_tokenizer_unref);
  return good;
}

/* -- writing ------------------------------------------------------------------------------------------------ */

static void
on_bytes (guint64 done, guint64 total, const char *what, gpointer data)
{
  Import *self = data;

  if (self->progress != NULL)
    self->progress (self->done + done, self->total, what, self->progress_data);
}

/* All plain files of a folder. */
static gboolean
add_files (Import *self, const char *from, const char *to, GError **error)
{
  g_autoptr (GDir) entries = g_dir_open (from, 0, NULL);
  const char *name;

  while (entries != NULL && (name = g_dir_read_name (entries)) != NULL)
    {
      g_autofree char *path = g_build_filename (from, name, NULL);
      g_autofree char *relative = g_build_filename (to, name, NULL);

      if (*name != '.' && g_file_test (path, G_FILE_TEST_IS_REGULAR) &&
          !switti_model_writer_add_file (self->writer, relative, path, self->cancellable, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
write_converted_tokenizer (Import *self, int which, GError **error)
{
  g_autofree char *vocab = NULL;
  g_autofree char *merges = NULL;
  g_autofree char *vocab_path = g_build_filename (tokenizer_folders[which], "vocab.json", NULL);
  g_autofree char *merges_path = g_build_filename (tokenizer_folders[which], "merges.txt", NULL);

  return switti_tokenizer_convert_bpe (self->tokenizers[which], &vocab, &merges, error) &&
         switti_model_writer_add_text (self->writer, vocab_path, vocab, -1, error) &&
         switti_model_writer_add_text (self->writer, merges_path, merges, -1, error);
}

/* The files that a tokenizer's folder has; a folder may hold a text encoder's, too. */
static gboolean
write_tokenizer (Import *self, int which, GError **error)
{
  static const char *const files[] = { "vocab.json", "merges.txt", "tokenizer.json", "special_tokens_map.json",
                                       "tokenizer_config.json" };
  g_autofree char *base = self->base != NULL ? g_build_filename (self->base, tokenizer_folders[which], NULL) : NULL;
  const char *from = self->tokenizers[which];

  if (from == NULL && !g_file_test (base, G_FILE_TEST_IS_DIR))
    return TRUE; /* a base without a second tokenizer */
  if (from == NULL)
    from = base;
  if (!g_file_test (from, G_FILE_TEST_IS_DIR))
    return write_converted_tokenizer (self, which, error);
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_build_filename (from, files[i], NULL);
      g_autofree char *relative = g_build_filename (tokenizer_folders[which], files[i], NULL);

      if (g_file_test (path, G_FILE_TEST_IS_REGULAR) &&
          !switti_model_writer_add_file (self->writer, relative, path, self->cancellable, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
write_part (Import *self, int part, GError **error)
{
  g_autofree char *base = NULL;

  if (self->parts[part] == NULL)
    {
      base = g_build_filename (self->base, part_folders[part], NULL);
      return add_files (self, base, part_folders[part], error);
    }
  if (!switti_model_writer_add_part (self->writer, part_folders[part], self->parts[part]->plan, FALSE, on_bytes, self,
                                     self->cancellable, error))
    return FALSE;
  self->done += self->parts[part]->plan->bytes;
  return TRUE;
}

/* The input's or the base's model_index.json: they say how to sample. */
static gboolean
write_index (Import *self, GError **error)
{
  g_autofree char *base_index = self->base != NULL ? g_build_filename (self->base, "model_index.json", NULL) : NULL;

  for (guint i = 0; i < self->inputs->len; i++)
    {
      const SwittiModelInput *input = self->inputs->pdata[i];

      if (input->model_index != NULL)
        return switti_model_writer_add_file (self->writer, "model_index.json", input->model_index, self->cancellable,
                                             error);
    }
  if (base_index != NULL && self->parts[PART_TRANSFORMER] == NULL)
    return switti_model_writer_add_file (self->writer, "model_index.json", base_index, self->cancellable, error);

  return switti_model_writer_add_index (self->writer, error);
}

/* The transformer's own README.md, which says what the model knows and under which terms; or where it is from. */
static gboolean
write_readme (Import *self, const char *path, GError **error)
{
  const Candidate *transformer = self->parts[PART_TRANSFORMER];
  g_autofree char *name = g_path_get_basename (path);
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < self->inputs->len; i++)
    {
      const SwittiModelInput *input = self->inputs->pdata[i];

      if (input->readme != NULL && (input->model_index != NULL || (transformer != NULL && transformer->input == input)))
        return switti_model_writer_add_file (self->writer, "README.md", input->readme, self->cancellable, error);
    }
  g_string_append_printf (text, "# %s\n\nImported from", name);
  for (guint i = 0; i < self->candidates->len; i++)
    {
      const char *weights = g_array_index (self->candidates, Candidate, i).input->weights;
      g_autofree char *file = g_path_get_basename (weights);
      g_autofree char *valid = g_utf8_make_valid (file, -1);

      g_string_append_printf (text, "%s `%s`", i > 0 ? "," : "", valid);
    }
  if (self->base != NULL)
    g_string_append_printf (text, "%s the model `%s`", self->candidates->len > 0 ? " and" : "", self->options->base);
  g_string_append (text, ".\n");
  return switti_model_writer_add_text (self->writer, "README.md", text->str, -1, error);
}

static gboolean
write_all (Import *self, const char *path, GError **error)
{
  for (guint i = 0; i < self->candidates->len; i++)
    self->total += g_array_index (self->candidates, Candidate, i).plan->bytes;
  self->writer = switti_model_writer_new (path, FALSE, error);
  if (self->writer == NULL || !switti_model_writer_require (self->writer, self->total, error))
    return FALSE;
  for (int i = 0; i < N_PARTS; i++)
    if (!write_part (self, i, error))
      return FALSE;
  for (int i = 0; i < 2; i++)
    if (!write_tokenizer (self, i, error))
      return FALSE;
  return write_readme (self, path, error) && write_index (self, error) &&
         switti_model_writer_finish (self->writer, self->cancellable, error);
}

gboolean
switti_model_import (const char *path, const SwittiImportOptions *options, SwittiBytesFunc progress, gpointer data,
                     GCancellable *cancellable, GError **error)
{
  g_auto (Import) self = { .options = options, .cancellable = cancellable, .progress = progress,
                           .progress_data = data };

  self.candidates = g_array_new (FALSE, TRUE, sizeof (Candidate));
  g_array_set_clear_func (self.candidates, clear_candidate);
  self.inputs = switti_model_inputs_find (options->inputs, error);
  if (self.inputs == NULL || !load_base (&self, error) || !plan_candidates (&self, error) ||
      !assign_parts (&self, error))
    return FALSE;
  assign_tokenizers (&self);
  return check_complete (&self, error) && check_fit (&self, error) && write_all (&self, path, error);
}
