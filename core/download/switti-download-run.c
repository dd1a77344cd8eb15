/* switti-download-run.c - fetches a model and puts it in its place
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The parts are written one after the other into .NAME.partial, which outlives the run: what the writer has noted as
 * being on the disk is not fetched again. download.json, which is written before the first of them, says which files of
 * which commits they are of; it stays in the model.
 */
#include "switti-build-config.h"

#include "switti-download-private.h"

#include "switti-bundle-folder-private.h"
#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>

#define MAX_STATE_BYTES (1 << 20)
#define MAX_TOKENIZER_BYTES (32 << 20)

/* -- looking up ------------------------------------------------------------------------------------------------ */

gboolean
switti_download_is_supported (void)
{
  return TRUE;
}

void
switti_download_forget (SwittiDownload *self)
{
  for (guint i = 0; i < SWITTI_CATALOGUE_N_PARTS; i++)
    g_clear_pointer (&self->parts[i], switti_download_part_free);
  g_clear_pointer (&self->http, switti_http_free);
}

static SwittiHttp *
open_hub (SwittiDownload *self, GError **error)
{
  const char *hub = self->hub;

  if (hub == NULL || *hub == '\0')
    hub = g_getenv ("HF_ENDPOINT");
  if (hub == NULL || *hub == '\0')
    hub = SWITTI_HUB_ENDPOINT;
  return switti_http_new (hub, g_getenv ("HF_TOKEN"), error);
}

/* What an earlier run has noted; NULL where there is nothing, or nothing of use. */
static JsonObject *
load_state (SwittiDownload *self)
{
  g_autofree char *path = switti_download_get_partial_path (self, SWITTI_DOWNLOAD_STATE);
  g_autoptr (JsonObject) root = NULL;
  JsonObject *parts;

  if (!g_file_test (path, G_FILE_TEST_IS_REGULAR))
    return NULL;
  root = switti_json_load_object (path, MAX_STATE_BYTES, NULL);
  parts = root != NULL ? switti_json_get_object (root, "parts") : NULL;
  return parts != NULL ? json_object_ref (parts) : NULL;
}

gboolean
switti_download_look_up (SwittiDownload *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (JsonObject) state = NULL;

  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), FALSE);

  switti_download_forget (self);
  state = load_state (self);
  self->http = open_hub (self, error);
  for (int i = 0; self->http != NULL && i < SWITTI_CATALOGUE_N_PARTS; i++)
    {
      JsonObject *noted = state != NULL ? switti_json_get_object (state, self->model->parts[i].folder) : NULL;

      self->parts[i] = switti_download_part_open (self->http, self->model, i, self->dtype, noted, cancellable, error);
      if (self->parts[i] == NULL)
        switti_download_forget (self);
    }
  if (self->http == NULL)
    return FALSE;
  g_mutex_lock (&self->mutex);
  self->is_known = TRUE;
  self->fetched_bytes = self->stored_bytes = 0;
  for (int i = 0; i < SWITTI_CATALOGUE_N_PARTS; i++)
    {
      self->fetched_bytes += switti_download_part_get_bytes (self->parts[i]);
      self->stored_bytes += self->parts[i]->plan->bytes;
      g_free (self->stated_licences[i]);
      self->stated_licences[i] = g_strdup (self->parts[i]->stated_licence);
    }
  g_mutex_unlock (&self->mutex);
  return TRUE;
}

/* -- running --------------------------------------------------------------------------------------------------- */

typedef struct
{
  SwittiDownload *download;
  SwittiModelWriter *writer;
  SwittiDownloadFunc progress;
  gpointer user_data;
  guint64 done, total;       /* bytes to fetch: of the parts before this one, and of all */
  guint64 part_bytes;        /* of this one */
  guint64 part_base;         /* of it, what was here when it began */
  guint64 received_before;   /* by then */
  guint64 shown;             /* the last done that was told */
  const char *part;
} Run;

static const char *const part_titles[SWITTI_CATALOGUE_N_PARTS] = {
  N_ ("transformer"),
  N_ ("VAE"),
  N_ ("first text encoder"),
  N_ ("second text encoder"),
};

/* -- progress -------------------------------------------------------------------------------------------------- */

static void
tell (Run *self, guint64 done, const char *words)
{
  /* Never backwards: the writer's count is late by what it holds in memory. */
  self->shown = MAX (self->shown, MIN (done, self->total));
  if (self->progress != NULL)
    self->progress (self->shown, self->total, words, self->user_data);
}

static void
on_arrival (gpointer data)
{
  Run *self = data;
  guint64 arrived = self->part_base + switti_http_get_received (self->download->http) - self->received_before;

  tell (self, self->done + MIN (arrived, self->part_bytes), self->part);
}

static void
on_notice (const char *words, gpointer data)
{
  Run *self = data;

  tell (self, self->shown, words);
}

static void
begin_part (Run *self, SwittiDownloadPart *part, guint64 kept)
{
  double share = part->plan->bytes > 0 ? (double) kept / (double) part->plan->bytes : 0;

  self->part = _ (part_titles[part->which]);
  self->part_bytes = switti_download_part_get_bytes (part);
  self->part_base = (guint64) (MIN (share, 1.0) * (double) self->part_bytes);
  self->received_before = switti_http_get_received (self->download->http);
  on_arrival (self);
}

/* -- small files ----------------------------------------------------------------------------------------------- */

static gboolean
write_state (Run *self, GError **error)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "model");
  json_builder_add_string_value (builder, self->download->model->name);
  json_builder_set_member_name (builder, "hub");
  json_builder_add_string_value (builder, switti_http_get_endpoint (self->download->http));
  json_builder_set_member_name (builder, "parts");
  json_builder_begin_object (builder);
  for (guint i = 0; i < SWITTI_CATALOGUE_N_PARTS; i++)
    switti_download_part_build_state (self->download->parts[i], builder);
  json_builder_end_object (builder);
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  text = json_to_string (root, TRUE);
  return switti_model_writer_add_text (self->writer, SWITTI_DOWNLOAD_STATE, text, -1, error);
}

/* The model's page: what `switti models info` and the dialog show. */
static gboolean
write_card (Run *self, GError **error)
{
  SwittiDownload *download = self->download;
  g_autofree char *licence = switti_download_get_licence (download);
  g_auto (GStrv) lines = g_strsplit (licence, "\n", -1);
  g_autofree char *list = g_strjoinv ("\n\n", lines);
  g_autofree char *text = g_strdup_printf ("# %s\n\n%s, for pictures of %d×%d pixels.\n\n%s\n", download->model->name,
                                           download->model->title, download->model->resolution,
                                           download->model->resolution, list);

  return switti_model_writer_add_text (self->writer, "README.md", text, -1, error);
}

/* The files of the tokenizer that lie beside a text encoder's weights. */
static gboolean
fetch_tokenizer (Run *self, SwittiDownloadPart *part, GCancellable *cancellable, GError **error)
{
  static const char *const names[] = { "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json" };
  guint n_needed = 0;

  for (guint i = 0; i < G_N_ELEMENTS (names) + 1; i++)
    {
      const char *name = i < G_N_ELEMENTS (names) ? names[i] : "tokenizer.json";
      g_autofree char *relative = g_build_filename (part->entry->tokenizer, name, NULL);
      g_autoptr (GBytes) contents = NULL;

      /* It says the same as vocab.json and merges.txt. */
      if (i == G_N_ELEMENTS (names) && n_needed == 2)
        break;
      if (!switti_download_part_fetch (part, self->download->http, name, MAX_TOKENIZER_BYTES, &contents, cancellable,
                                       error))
        return FALSE;
      if (contents == NULL)
        continue;
      n_needed += i < 2;
      if (!switti_model_writer_add_text (self->writer, relative, g_bytes_get_data (contents, NULL),
                                         (gssize) g_bytes_get_size (contents), error))
        return FALSE;
    }
  return TRUE;
}

/* -- parts ----------------------------------------------------------------------------------------------------- */

static gboolean
fetch_part (Run *self, SwittiDownloadPart *part, GCancellable *cancellable, GError **error)
{
  begin_part (self, part, switti_download_count_kept (self->download, part->which));
  if (!switti_model_writer_add_part (self->writer, part->entry->folder, part->plan, TRUE, NULL, NULL, cancellable,
                                     error))
    return FALSE;
  if (!switti_download_part_verify (part, cancellable, error))
    {
      /* What is damaged must not be gone on from. */
      g_autofree char *weights = g_build_filename (switti_model_writer_get_folder (self->writer), part->entry->folder,
                                                   "model.safetensors", NULL);

      g_unlink (weights);
      return FALSE;
    }
  self->done += self->part_bytes;
  tell (self, self->done, self->part);
  return part->entry->tokenizer == NULL || fetch_tokenizer (self, part, cancellable, error);
}

/* That the parts fit together is known before an older model makes room. */
static gboolean
check_whole (Run *self, GError **error)
{
  SwittiBundleParts parts;
  g_autoptr (JsonObject) index = NULL;

  if (!switti_bundle_parts_load (switti_model_writer_get_folder (self->writer), &parts, &index, error))
    return FALSE;
  switti_bundle_parts_clear (&parts);
  return TRUE;
}

static gboolean
fetch_model (SwittiDownload *download, SwittiDownloadFunc progress, gpointer user_data, GCancellable *cancellable,
             GError **error)
{
  g_autofree char *path = switti_download_get_path (download);
  g_autoptr (SwittiModelWriter) writer = switti_model_writer_new (path, TRUE, error);
  Run self = {
    .download = download,
    .writer = writer,
    .progress = progress,
    .user_data = user_data,
    .total = download->fetched_bytes,
    .part = "",
  };
  guint64 kept = MIN (switti_download_get_kept_bytes (download), download->stored_bytes);
  gboolean good;

  if (writer == NULL ||
      !switti_model_writer_require (writer, download->stored_bytes - kept, error) ||
      !write_state (&self, error))
    return FALSE;
  switti_http_set_notice (download->http, on_notice, &self);
  switti_http_set_arrival (download->http, on_arrival, &self);
  good = TRUE;
  for (guint i = 0; good && i < SWITTI_CATALOGUE_N_PARTS; i++)
    good = fetch_part (&self, download->parts[i], cancellable, error);
  switti_http_set_notice (download->http, NULL, NULL);
  switti_http_set_arrival (download->http, NULL, NULL);
  return good && switti_model_writer_add_index (writer, error) && write_card (&self, error) &&
         check_whole (&self, error) && switti_model_writer_finish (writer, cancellable, error);
}

gboolean
switti_download_run (SwittiDownload *self, GCancellable *cancellable, SwittiDownloadFunc progress, gpointer user_data,
                     GError **error)
{
  gboolean good;

  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), FALSE);

  if (self->parts[0] == NULL && !switti_download_look_up (self, cancellable, error))
    return FALSE;
  good = fetch_model (self, progress, user_data, cancellable, error);
  /* Positions in the files, and perhaps the files, are others now. */
  switti_download_forget (self);
  return good;
}
