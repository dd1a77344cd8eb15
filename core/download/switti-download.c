/* switti-download.c - published models, from a hub
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-download-private.h"

#include "switti-error.h"
#include "switti-observer-private.h"

#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>

G_DEFINE_FINAL_TYPE (SwittiDownload, switti_download, G_TYPE_OBJECT)

/* -- making ---------------------------------------------------------------------------------------------------- */

static void
switti_download_finalize (GObject *object)
{
  SwittiDownload *self = SWITTI_DOWNLOAD (object);

  switti_download_forget (self);
  for (guint i = 0; i < SWITTI_CATALOGUE_N_PARTS; i++)
    g_free (self->stated_licences[i]);
  switti_catalogue_model_free (self->model);
  g_free (self->hub);
  g_free (self->folder);
  g_mutex_clear (&self->mutex);
  G_OBJECT_CLASS (switti_download_parent_class)->finalize (object);
}

static void
switti_download_class_init (SwittiDownloadClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = switti_download_finalize;
}

static void
switti_download_init (SwittiDownload *self)
{
  self->dtype = SWITTI_DTYPE_BF16;
  g_mutex_init (&self->mutex);
}

char **
switti_download_list (void)
{
  return switti_catalogue_list ();
}

SwittiDownload *
switti_download_new (const char *name, GError **error)
{
  SwittiCatalogueModel *model;
  SwittiDownload *self;

  g_return_val_if_fail (name != NULL, NULL);

  model = switti_catalogue_find (name, error);
  if (model == NULL)
    return NULL;
  self = g_object_new (SWITTI_TYPE_DOWNLOAD, NULL);
  self->model = model;
  return self;
}

/* Another hub, or another dtype, has other numbers. */
static void
forget_all (SwittiDownload *self)
{
  switti_download_forget (self);
  g_mutex_lock (&self->mutex);
  self->is_known = FALSE;
  g_mutex_unlock (&self->mutex);
}

void
switti_download_set_hub (SwittiDownload *self, const char *address)
{
  g_return_if_fail (SWITTI_IS_DOWNLOAD (self));

  forget_all (self);
  g_free (self->hub);
  self->hub = g_strdup (address);
}

void
switti_download_set_folder (SwittiDownload *self, const char *folder)
{
  g_return_if_fail (SWITTI_IS_DOWNLOAD (self));

  switti_download_forget (self);
  g_free (self->folder);
  self->folder = folder != NULL ? g_canonicalize_filename (folder, NULL) : NULL;
}

gboolean
switti_download_set_dtype (SwittiDownload *self, const char *dtype, GError **error)
{
  static const struct
  {
    const char *name;
    int dtype;
  } dtypes[] = {
    { "bf16", SWITTI_DTYPE_BF16 },
    { "f16", SWITTI_DTYPE_F16 },
    { "f32", SWITTI_DTYPE_F32 },
    { "keep", SWITTI_PLAN_KEEP_DTYPE },
  };

  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), FALSE);
  g_return_val_if_fail (dtype != NULL, FALSE);

  for (guint i = 0; i < G_N_ELEMENTS (dtypes); i++)
    if (strcmp (dtype, dtypes[i].name) == 0)
      {
        forget_all (self);
        self->dtype = dtypes[i].dtype;
        return TRUE;
      }
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("Weights are stored as bf16, f16, f32 or keep, not “%s”."), dtype);
  return FALSE;
}

/* -- what it is ------------------------------------------------------------------------------------------------ */

const char *
switti_download_get_name (SwittiDownload *self)
{
  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), NULL);

  return self->model->name;
}

const char *
switti_download_get_title (SwittiDownload *self)
{
  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), NULL);

  return self->model->title;
}

int
switti_download_get_resolution (SwittiDownload *self)
{
  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), 0);

  return self->model->resolution;
}

char *
switti_download_get_path (SwittiDownload *self)
{
  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), NULL);

  if (self->folder != NULL)
    return g_build_filename (self->folder, self->model->name, NULL);
  return g_build_filename (g_get_user_data_dir (), "switti", "models", self->model->name, NULL);
}

char *
switti_download_get_partial_path (SwittiDownload *self, const char *relative)
{
  g_autofree char *path = switti_download_get_path (self);
  g_autofree char *parent = g_path_get_dirname (path);
  g_autofree char *name = g_strdup_printf (".%s.partial", self->model->name);

  return g_build_filename (parent, name, relative, NULL);
}

static guint64
count_parameters (SwittiDownload *self)
{
  guint64 parameters = 0;

  for (guint i = 0; i < SWITTI_CATALOGUE_N_PARTS; i++)
    parameters += self->model->parts[i].parameters;
  return parameters;
}

guint64
switti_download_get_fetched_bytes (SwittiDownload *self)
{
  g_autoptr (GMutexLocker) locker = NULL;

  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), 0);

  locker = g_mutex_locker_new (&self->mutex);
  /* All of them are published in float32. */
  return self->is_known ? self->fetched_bytes : 4 * count_parameters (self);
}

guint64
switti_download_get_stored_bytes (SwittiDownload *self)
{
  gboolean is_f32 = self->dtype == SWITTI_DTYPE_F32 || self->dtype == SWITTI_PLAN_KEEP_DTYPE;
  g_autoptr (GMutexLocker) locker = NULL;

  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), 0);

  locker = g_mutex_locker_new (&self->mutex);
  return self->is_known ? self->stored_bytes : (is_f32 ? 4 : 2) * count_parameters (self);
}

guint64
switti_download_count_kept (SwittiDownload *self, int part)
{
  g_autofree char *folder = switti_download_get_partial_path (self, self->model->parts[part].folder);
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  GStatBuf status;

  return g_stat (path, &status) == 0 ? (guint64) status.st_size : 0;
}

guint64
switti_download_get_kept_bytes (SwittiDownload *self)
{
  guint64 bytes = 0;

  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), 0);

  for (int i = 0; i < SWITTI_CATALOGUE_N_PARTS; i++)
    bytes += switti_download_count_kept (self, i);
  return bytes;
}

gboolean
switti_download_is_installed (SwittiDownload *self)
{
  g_autofree char *path = switti_download_get_path (self);
  g_autofree char *index = path != NULL ? g_build_filename (path, "model_index.json", NULL) : NULL;

  return index != NULL && g_file_test (index, G_FILE_TEST_IS_REGULAR);
}

char *
switti_download_get_licence (SwittiDownload *self)
{
  GString *text;
  g_autoptr (GMutexLocker) locker = NULL;

  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), NULL);

  text = g_string_new (NULL);
  locker = g_mutex_locker_new (&self->mutex);
  for (guint i = 0; i < SWITTI_CATALOGUE_N_PARTS; i++)
    {
      const SwittiCataloguePart *part = &self->model->parts[i];
      const char *stated = self->stated_licences[i] != NULL ? self->stated_licences[i] : "";
      const char *licence = *stated != '\0' ? stated : part->licence;

      if (text->len > 0)
        g_string_append_c (text, '\n');
      /* Translators: a part of a model, a repository, its authors, and a licence such as “MIT”. */
      if (*licence != '\0')
        g_string_append_printf (text, _ ("%s: %s, by %s; licence: %s"), part->folder, part->repository, part->by,
                                licence);
      else
        g_string_append_printf (text, _ ("%s: %s, by %s; its page states no licence, so ask its authors before you do "
                                         "more than try it out"),
                                part->folder, part->repository, part->by);
    }
  return g_string_free (text, FALSE);
}

/* -- discarding ----------------------------------------------------------------------------------------------- */

gboolean
switti_download_discard (SwittiDownload *self, GError **error)
{
  g_autofree char *path = NULL;
  g_autoptr (SwittiModelWriter) writer = NULL;

  g_return_val_if_fail (SWITTI_IS_DOWNLOAD (self), FALSE);

  switti_download_forget (self);
  if (switti_download_get_kept_bytes (self) == 0)
    {
      g_autofree char *partial = switti_download_get_partial_path (self, NULL);

      if (!g_file_test (partial, G_FILE_TEST_EXISTS))
        return TRUE;
    }
  /* A writer that keeps nothing removes what there is, under the lock that keeps two runs apart. */
  path = switti_download_get_path (self);
  writer = switti_model_writer_new (path, FALSE, error);
  return writer != NULL;
}

/* -- asynchronous ---------------------------------------------------------------------------------------------- */

/* Made and freed on the caller's main context, so that its destroy function runs there. */
typedef struct
{
  GTask *task;
  GMainContext *context;
  SwittiDownloadFunc progress;
  gpointer progress_data;
  GDestroyNotify progress_destroy;
  GError *error;
} AsyncCall;

typedef struct
{
  AsyncCall *call;
  guint64 done, total;
  char *words;
} ProgressCall;

static void
async_call_free (gpointer data)
{
  AsyncCall *call = data;

  if (call->progress_destroy != NULL)
    call->progress_destroy (call->progress_data);
  g_main_context_unref (call->context);
  g_clear_error (&call->error);
  g_object_unref (call->task);
  g_free (call);
}

static gboolean
deliver_progress (gpointer data)
{
  ProgressCall *call = data;

  call->call->progress (call->done, call->total, call->words, call->call->progress_data);
  return G_SOURCE_REMOVE;
}

static void
progress_call_free (gpointer data)
{
  ProgressCall *call = data;

  g_free (call->words);
  g_free (call);
}

static void
queue_progress (guint64 done, guint64 total, const char *words, gpointer data)
{
  AsyncCall *call = data;
  ProgressCall *delivery = g_new (ProgressCall, 1);

  *delivery = (ProgressCall) { call, done, total, g_strdup (words) };
  switti_queue_on_context (call->context, deliver_progress, delivery, progress_call_free);
}

static gboolean
deliver_result (gpointer data)
{
  AsyncCall *call = data;

  if (call->error != NULL)
    g_task_return_error (call->task, g_steal_pointer (&call->error));
  else
    g_task_return_boolean (call->task, TRUE);
  return G_SOURCE_REMOVE;
}

static gpointer
run_async_call (gpointer data)
{
  AsyncCall *call = data;

  switti_download_run (g_task_get_source_object (call->task), g_task_get_cancellable (call->task),
                       call->progress != NULL ? queue_progress : NULL, call, &call->error);
  switti_queue_on_context (call->context, deliver_result, call, async_call_free);
  return NULL;
}

void
switti_download_run_async (SwittiDownload *self, GCancellable *cancellable, SwittiDownloadFunc progress,
                           gpointer progress_data, GDestroyNotify progress_destroy, GAsyncReadyCallback callback,
                           gpointer user_data)
{
  AsyncCall *call;
  g_autoptr (GThread) thread = NULL;
  g_autoptr (GError) local = NULL;

  g_return_if_fail (SWITTI_IS_DOWNLOAD (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  call = g_new0 (AsyncCall, 1);
  call->task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (call->task, switti_download_run_async);
  /* The worker looks at it; a model that was in its place before a late cancel is there. */
  g_task_set_check_cancellable (call->task, FALSE);
  call->context = g_main_context_ref_thread_default ();
  call->progress = progress;
  call->progress_data = progress_data;
  call->progress_destroy = progress_destroy;
  thread = g_thread_try_new ("switti-download", run_async_call, call, &local);
  if (thread != NULL)
    return;
  g_set_error (&call->error, SWITTI_ERROR, SWITTI_ERROR_DEVICE, _ ("Cannot start a thread to download on: %s."),
               local->message);
  switti_queue_on_context (call->context, deliver_result, call, async_call_free);
}

gboolean
switti_download_run_finish (SwittiDownload *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
