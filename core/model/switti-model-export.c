/* switti-model-export.c - checkpoints from a model folder
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The published pipeline takes a folder with the transformer's config.json and model.safetensors; its other parts and
 * transformers' CLIPTextModel and CLIPTokenizer take the folders below it. CLIPTextModel's names begin with
 * "text_model.".
 */
#include "switti-model-import-private.h"

#include "switti-bundle-folder-private.h"
#include "switti-error.h"

#include <glib/gi18n-lib.h>

typedef struct
{
  const char *folder, *path;
  int dtype;
  SwittiModelWriter *writer;
  SwittiBytesFunc progress;
  gpointer progress_data;
  guint64 done, total;
  GCancellable *cancellable;
} Export;

typedef struct
{
  const char *name;
  const char *target; /* in the exported folder */
  const char *prefix; /* of the names */
} ExportedPart;

static const ExportedPart exported[] = {
  { "transformer", "", "" },
  { "vae", "vae", "" },
  { "text_encoder", "text_encoder", "text_model." },
  { "text_encoder_2", "text_encoder_2", "text_model." },
};

static void
on_bytes (guint64 done, guint64 total, const char *what, gpointer data)
{
  Export *self = data;

  if (self->progress != NULL)
    self->progress (self->done + done, self->total, what, self->progress_data);
}

/* Puts the prefix before the names of what is to be written. */
static void
rename_tensors (SwittiPartPlan *plan, const char *prefix)
{
  for (guint i = 0; i < plan->tensors->len; i++)
    {
      SwittiPlannedTensor *tensor = &g_array_index (plan->tensors, SwittiPlannedTensor, i);
      char *name = g_strconcat (prefix, tensor->name, NULL);

      g_free (tensor->name);
      tensor->name = name;
    }
}

/* Opens a part and plans it; writes it where that is asked for. */
static gboolean
export_part (Export *self, const ExportedPart *part, gboolean writes, GError **error)
{
  g_autofree char *folder = g_build_filename (self->folder, part->name, NULL);
  g_autofree char *config_path = g_build_filename (folder, "config.json", NULL);
  g_autofree char *config = NULL;
  g_autoptr (GError) read_error = NULL;
  g_autoptr (SwittiTensorSource) source = switti_tensor_source_open (folder, self->cancellable, error);
  g_autoptr (SwittiPartPlan) plan = NULL;

  if (source == NULL)
    return FALSE;
  if (!g_file_get_contents (config_path, &config, NULL, &read_error))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("A configuration of the model could not be read: %s."),
                   read_error->message);
      return FALSE;
    }
  plan = switti_part_plan_new (source, config, -1, NULL, self->dtype, self->cancellable, error);
  if (plan == NULL)
    return FALSE;
  if (!writes)
    {
      self->total += plan->bytes;
      return TRUE;
    }
  rename_tensors (plan, part->prefix);
  if (!switti_model_writer_add_part (self->writer, part->target, plan, FALSE, on_bytes, self, self->cancellable, error))
    return FALSE;
  self->done += plan->bytes;
  return TRUE;
}

static gboolean
export_tokenizer (Export *self, const char *name, GError **error)
{
  static const char *const files[] = { "vocab.json", "merges.txt", "tokenizer.json", "special_tokens_map.json",
                                       "tokenizer_config.json" };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *relative = g_build_filename (name, files[i], NULL);
      g_autofree char *path = g_build_filename (self->folder, relative, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_REGULAR) &&
          !switti_model_writer_add_file (self->writer, relative, path, self->cancellable, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
export_all (Export *self, GError **error)
{
  static const char *const others[] = { "README.md", "model_index.json" };

  for (guint i = 0; i < G_N_ELEMENTS (exported); i++)
    if (!export_part (self, &exported[i], FALSE, error))
      return FALSE;
  self->writer = switti_model_writer_new (self->path, FALSE, error);
  if (self->writer == NULL || !switti_model_writer_require (self->writer, self->total, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (exported); i++)
    if (!export_part (self, &exported[i], TRUE, error))
      return FALSE;
  if (!export_tokenizer (self, "tokenizer", error) || !export_tokenizer (self, "tokenizer_2", error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    {
      g_autofree char *path = g_build_filename (self->folder, others[i], NULL);

      if (g_file_test (path, G_FILE_TEST_IS_REGULAR) &&
          !switti_model_writer_add_file (self->writer, others[i], path, self->cancellable, error))
        return FALSE;
    }
  return switti_model_writer_finish (self->writer, self->cancellable, error);
}

gboolean
switti_model_export (const char *model_folder, const char *path, int dtype, SwittiBytesFunc progress, gpointer data,
                     GCancellable *cancellable, GError **error)
{
  Export self = { .folder = model_folder, .path = path, .dtype = dtype, .progress = progress, .progress_data = data,
                  .cancellable = cancellable };
  gboolean good = export_all (&self, error);

  switti_model_writer_free (self.writer);
  return good;
}
