/* switti-download-part.c - one part of a published model, at a hub
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-download-part-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_CONFIG_BYTES (1 << 20)
#define MAX_INDEX_BYTES (16 << 20)
#define MAX_CARD_BYTES (1 << 20)
#define MAX_SHARDS 1000
#define MAIN_REVISION "main"

/* -- small files ----------------------------------------------------------------------------------------------- */

static gboolean
fetch (SwittiHttp *http, const char *repository, const char *revision, const char *name, gsize max_bytes,
       GBytes **contents, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (SwittiRemoteFile) file = switti_remote_file_open (http, repository, revision, name, cancellable, &local);

  *contents = NULL;
  if (file == NULL && g_error_matches (local, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND))
    return TRUE;
  if (file == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  *contents = switti_remote_file_read_all (file, max_bytes, cancellable, error);
  return *contents != NULL;
}

gboolean
switti_download_part_fetch (SwittiDownloadPart *self, SwittiHttp *http, const char *name, gsize max_bytes,
                            GBytes **contents, GCancellable *cancellable, GError **error)
{
  return fetch (http, self->entry->repository, self->revision, name, max_bytes, contents, cancellable, error);
}

/* The licence that a model card states in the properties at its head; "" where there is none. */
static char *
read_licence (GBytes *card)
{
  gsize size;
  const char *text = g_bytes_get_data (card, &size);
  g_autofree char *valid = g_utf8_make_valid (text != NULL ? text : "", (gssize) size);
  g_auto (GStrv) lines = g_strsplit (valid, "\n", 200);

  if (lines[0] == NULL || strcmp (g_strstrip (lines[0]), "---") != 0)
    return g_strdup ("");
  for (guint i = 1; lines[i] != NULL && strcmp (g_strstrip (lines[i]), "---") != 0; i++)
    if (g_str_has_prefix (lines[i], "license:"))
      {
        g_autofree char *licence = g_strdup (g_strstrip (lines[i] + strlen ("license:")));

        g_strdelimit (licence, "\"'", ' ');
        return g_utf8_substring (g_strstrip (licence), 0, MIN (40, g_utf8_strlen (g_strstrip (licence), -1)));
      }
  return g_strdup ("");
}

/* -- weights --------------------------------------------------------------------------------------------------- */

/* Whether `name` is that of a file beside the index. */
static gboolean
is_shard_name (const char *name)
{
  return name != NULL && *name != '\0' && *name != '.' && strchr (name, '/') == NULL && strchr (name, '\\') == NULL;
}

/* The shards of an index, each once, sorted. */
static GPtrArray *
parse_index (SwittiRemoteFile *index, GBytes *contents, GError **error)
{
  gsize size;
  const char *text = g_bytes_get_data (contents, &size);
  g_autoptr (JsonObject) root = switti_json_parse_object (text != NULL ? text : "", (gssize) size,
                                                          switti_remote_file_get_description (index), error);
  JsonObject *map = root != NULL ? switti_json_get_object (root, "weight_map") : NULL;
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  JsonObjectIter iter;
  const char *tensor;
  gboolean good = map != NULL && json_object_get_size (map) > 0;

  if (root == NULL)
    return NULL;
  if (good)
    json_object_iter_init (&iter, map);
  while (good && json_object_iter_next (&iter, &tensor, NULL))
    {
      const char *name = switti_json_get_string (map, tensor);

      good = is_shard_name (name) && names->len <= MAX_SHARDS;
      if (good && g_hash_table_add (seen, (gpointer) name))
        g_ptr_array_add (names, g_strdup (name));
    }
  if (!good)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s does not say in which files beside it the weights are: try another mirror."),
                   switti_remote_file_get_description (index));
      return NULL;
    }
  g_ptr_array_sort_values (names, (GCompareFunc) strcmp);
  return g_steal_pointer (&names);
}

static gboolean
add_file (SwittiDownloadPart *self, SwittiHttp *http, const char *name, GCancellable *cancellable, GError **error)
{
  SwittiRemoteFile *file = switti_remote_file_open (http, self->entry->repository, self->revision, name, cancellable,
                                                    error);

  if (file == NULL)
    return FALSE;
  g_ptr_array_add (self->files, file);
  g_ptr_array_add (self->sources, switti_remote_file_as_source (file));
  return TRUE;
}

/* In place of the index that was opened first, its shards. */
static gboolean
open_shards (SwittiDownloadPart *self, SwittiHttp *http, GCancellable *cancellable, GError **error)
{
  SwittiRemoteFile *index = self->files->pdata[0];
  g_autoptr (GBytes) contents = switti_remote_file_read_all (index, MAX_INDEX_BYTES, cancellable, error);
  g_autoptr (GPtrArray) names = contents != NULL ? parse_index (index, contents, error) : NULL;

  if (names == NULL)
    return FALSE;
  g_ptr_array_set_size (self->sources, 0);
  g_ptr_array_set_size (self->files, 0);
  for (guint i = 0; i < names->len; i++)
    if (!add_file (self, http, names->pdata[i], cancellable, error))
      return FALSE;
  return TRUE;
}

static gboolean
open_files (SwittiDownloadPart *self, SwittiHttp *http, GCancellable *cancellable, GError **error)
{
  for (char **name = self->entry->weights; *name != NULL; name++)
    {
      g_autoptr (GError) local = NULL;

      if (add_file (self, http, *name, cancellable, &local))
        return !g_str_has_suffix (*name, ".index.json") || open_shards (self, http, cancellable, error);
      if (g_error_matches (local, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND) && name[1] != NULL)
        continue;
      if (!g_error_matches (local, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
    }
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND,
               _ ("%s has no weights in %s: neither %s nor what else they might be called."),
               switti_http_get_endpoint (http), self->entry->repository, self->entry->weights[0]);
  return FALSE;
}

/* What else is fetched of the repository is of the same commit. */
static void
take_commit (SwittiDownloadPart *self)
{
  const char *commit = switti_remote_file_get_commit (self->files->pdata[0]);

  if (commit == NULL)
    return;
  g_free (self->revision);
  self->revision = g_strdup (commit);
}

/* At the commit that an earlier run has seen; a mirror that does not have it may have the same files all the same. */
static gboolean
open_noted_files (SwittiDownloadPart *self, SwittiHttp *http, gboolean is_noted, GCancellable *cancellable,
                  GError **error)
{
  g_autoptr (GError) local = NULL;

  if (!is_noted)
    return open_files (self, http, cancellable, error);
  if (open_files (self, http, cancellable, &local))
    return TRUE;
  if (!g_error_matches (local, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  g_free (self->revision);
  self->revision = g_strdup (MAIN_REVISION);
  g_ptr_array_set_size (self->sources, 0);
  g_ptr_array_set_size (self->files, 0);
  return open_files (self, http, cancellable, error);
}

static gboolean
open_source (SwittiDownloadPart *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) shards = g_ptr_array_new ();

  for (guint i = 0; i < self->sources->len; i++)
    {
      SwittiTensorSource *source = switti_tensor_source_new (self->sources->pdata[i], cancellable, error);

      if (source == NULL)
        {
          g_ptr_array_foreach (shards, (GFunc) (void (*) (void)) switti_tensor_source_free, NULL);
          return FALSE;
        }
      g_ptr_array_add (shards, source);
    }
  if (shards->len == 1)
    self->source = shards->pdata[0];
  else
    self->source = switti_tensor_source_new_joined (shards, self->entry->repository, error);
  return self->source != NULL;
}

/* -- what is needed of them ------------------------------------------------------------------------------------ */

typedef struct
{
  guint file;
  guint64 begin, end;
} Want;

static int
compare_wants (gconstpointer a, gconstpointer b)
{
  const Want *x = a, *y = b;

  if (x->file != y->file)
    return x->file < y->file ? -1 : 1;
  return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Tells the files which of their bytes will be read. */
static void
announce (SwittiDownloadPart *self)
{
  g_autoptr (GArray) wants = g_array_new (FALSE, FALSE, sizeof (Want));

  for (guint i = 0; i < self->plan->tensors->len; i++)
    {
      const SwittiPlannedTensor *tensor = &g_array_index (self->plan->tensors, SwittiPlannedTensor, i);
      gsize size = switti_dtype_size (tensor->stored->dtype);
      SwittiByteSource *bytes;
      guint64 begin, end;
      Want want = { 0 };

      if (!switti_tensor_source_locate (self->source, tensor->stored, &bytes, &begin, &end) ||
          !g_ptr_array_find (self->sources, bytes, &want.file))
        continue;
      want.begin = begin + tensor->first * size;
      want.end = want.begin + tensor->count * size;
      g_array_append_val (wants, want);
    }
  g_array_sort (wants, compare_wants);
  for (guint i = 0; i < wants->len; i++)
    {
      const Want *want = &g_array_index (wants, Want, i);

      switti_remote_file_want (self->files->pdata[want->file], want->begin, want->end);
    }
  for (guint i = 0; i < self->files->len; i++)
    switti_remote_file_want_done (self->files->pdata[i]);
}

static gboolean
plan (SwittiDownloadPart *self, SwittiHttp *http, const SwittiCatalogueModel *model, int which, int dtype,
      GCancellable *cancellable, GError **error)
{
  SwittiCheckpointHints hints = SWITTI_CHECKPOINT_NO_HINTS;
  g_autoptr (GBytes) config = NULL;
  const char *text = NULL;
  gsize length = 0;

  if (!switti_download_part_fetch (self, http, "config.json", MAX_CONFIG_BYTES, &config, cancellable, error))
    return FALSE;
  if (config != NULL)
    text = g_bytes_get_data (config, &length);
  if (which == SWITTI_CATALOGUE_TRANSFORMER)
    {
      hints.ar = model->ar;
      hints.resolution = model->resolution;
    }
  hints.activation = self->entry->activation;
  self->plan = switti_part_plan_new (self->source, text, (gssize) length, &hints, dtype, cancellable, error);
  if (self->plan == NULL)
    return FALSE;
  announce (self);
  return TRUE;
}

/* -- what an earlier run has noted ----------------------------------------------------------------------------- */

/* A name for the contents of all files. */
static void
add_versions (SwittiDownloadPart *self, JsonBuilder *builder)
{
  json_builder_begin_object (builder);
  for (guint i = 0; i < self->files->len; i++)
    {
      json_builder_set_member_name (builder, switti_remote_file_get_name (self->files->pdata[i]));
      json_builder_add_string_value (builder, switti_remote_file_get_version (self->files->pdata[i]));
    }
  json_builder_end_object (builder);
}

void
switti_download_part_build_state (SwittiDownloadPart *self, JsonBuilder *builder)
{
  json_builder_set_member_name (builder, self->entry->folder);
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "repository");
  json_builder_add_string_value (builder, self->entry->repository);
  json_builder_set_member_name (builder, "revision");
  json_builder_add_string_value (builder, self->revision);
  json_builder_set_member_name (builder, "files");
  add_versions (self, builder);
  json_builder_end_object (builder);
}

static gboolean
check_state (SwittiDownloadPart *self, JsonObject *state, GError **error)
{
  JsonObject *noted = state != NULL ? switti_json_get_object (state, "files") : NULL;

  if (noted == NULL)
    return TRUE;
  for (guint i = 0; i < self->files->len; i++)
    {
      SwittiRemoteFile *file = self->files->pdata[i];
      const char *version = switti_json_get_string (noted, switti_remote_file_get_name (file));

      if (version == NULL || strcmp (version, switti_remote_file_get_version (file)) != 0)
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                       _ ("%s has changed on the hub since its download began: restart the download."),
                       switti_remote_file_get_description (file));
          return FALSE;
        }
    }
  return TRUE;
}

/* -- the whole ------------------------------------------------------------------------------------------------- */

SwittiDownloadPart *
switti_download_part_open (SwittiHttp *http, const SwittiCatalogueModel *model, int which, int dtype,
                           JsonObject *state, GCancellable *cancellable, GError **error)
{
  g_autoptr (SwittiDownloadPart) self = g_new0 (SwittiDownloadPart, 1);
  const char *revision = state != NULL ? switti_json_get_string (state, "revision") : NULL;
  g_autoptr (GBytes) card = NULL;

  self->entry = &model->parts[which];
  self->which = which;
  self->revision = g_strdup (revision != NULL ? revision : MAIN_REVISION);
  self->files = g_ptr_array_new_with_free_func ((GDestroyNotify) switti_remote_file_free);
  self->sources = g_ptr_array_new_with_free_func ((GDestroyNotify) switti_byte_source_unref);
  if (!open_noted_files (self, http, revision != NULL, cancellable, error) || !check_state (self, state, error))
    return NULL;
  take_commit (self);
  if (!open_source (self, cancellable, error) || !plan (self, http, model, which, dtype, cancellable, error) ||
      !switti_download_part_fetch (self, http, "README.md", MAX_CARD_BYTES, &card, cancellable, error))
    return NULL;
  self->stated_licence = card != NULL ? read_licence (card) : g_strdup ("");
  for (guint i = 0; i < self->files->len; i++)
    switti_remote_file_pause (self->files->pdata[i]); /* other parts come first, or a question to the user */
  return g_steal_pointer (&self);
}

void
switti_download_part_free (SwittiDownloadPart *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->plan, switti_part_plan_free);
  g_clear_pointer (&self->source, switti_tensor_source_free);
  g_ptr_array_unref (self->sources);
  g_ptr_array_unref (self->files);
  g_free (self->revision);
  g_free (self->stated_licence);
  g_free (self);
}

guint64
switti_download_part_get_bytes (SwittiDownloadPart *self)
{
  guint64 bytes = 0;

  for (guint i = 0; i < self->files->len; i++)
    bytes += switti_remote_file_count_wanted (self->files->pdata[i], 0);
  return bytes;
}

gboolean
switti_download_part_verify (SwittiDownloadPart *self, GCancellable *cancellable, GError **error)
{
  gboolean checked;

  for (guint i = 0; i < self->files->len; i++)
    {
      if (!switti_remote_file_verify (self->files->pdata[i], &checked, cancellable, error))
        return FALSE;
      switti_remote_file_pause (self->files->pdata[i]);
    }
  return TRUE;
}
