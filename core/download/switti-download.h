/* switti-download.h - published models, from a hub
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-macros.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * SwittiDownload:
 *
 * A published model that can be fetched from a model hub: of its checkpoints only the tensors that are needed,
 * converted while they arrive. What has arrived is kept, whatever ends a download, and the next one goes on there.
 */
#define SWITTI_TYPE_DOWNLOAD (switti_download_get_type ())
SWITTI_AVAILABLE
G_DECLARE_FINAL_TYPE (SwittiDownload, switti_download, SWITTI, DOWNLOAD, GObject)

/**
 * SwittiDownloadFunc:
 * @done: bytes that have arrived, those of earlier runs included
 * @total: bytes to fetch in all
 * @words: what is being fetched, or why there is a wait
 * @user_data: the caller's
 *
 * Hears how far a download is, a few times a second.
 */
typedef void (*SwittiDownloadFunc) (guint64 done, guint64 total, const char *words, gpointer user_data);

/**
 * switti_download_is_supported:
 *
 * Whether this build of the library can fetch anything: it needs libsoup.
 *
 * Returns: %FALSE where every look-up and every run would fail
 */
SWITTI_AVAILABLE
gboolean switti_download_is_supported (void);

/**
 * switti_download_list:
 *
 * Lists the published models.
 *
 * Returns: (transfer full) (array zero-terminated=1): names for switti_download_new()
 */
SWITTI_AVAILABLE
char **switti_download_list (void);

/**
 * switti_download_new:
 * @name: a name of switti_download_list()
 * @error: return location for a #GError
 *
 * Makes a download, which does nothing yet. The hub is that of `$HF_ENDPOINT` and the token that of `$HF_TOKEN`; the
 * model's folder becomes `switti/models/NAME` in `$XDG_DATA_HOME`.
 *
 * Returns: (transfer full): a download, or %NULL with @error set
 */
SWITTI_AVAILABLE
SwittiDownload *switti_download_new (const char *name, GError **error);

/**
 * switti_download_set_hub:
 * @self: a download
 * @address: (nullable): "https://host", or %NULL for `$HF_ENDPOINT` or else the hub where the models were published
 *
 * Chooses another hub: a mirror.
 */
SWITTI_AVAILABLE
void switti_download_set_hub (SwittiDownload *self, const char *address);

/**
 * switti_download_set_folder:
 * @self: a download
 * @folder: (type filename) (nullable): the folder that the model's own becomes part of, or %NULL for the user's models
 *
 * Chooses where to put the model.
 */
SWITTI_AVAILABLE
void switti_download_set_folder (SwittiDownload *self, const char *folder);

/**
 * switti_download_set_dtype:
 * @self: a download
 * @dtype: "bf16", "f16" or "f32", or "keep" for what is published
 * @error: return location for a #GError
 *
 * Chooses what the weights are stored in; bf16 unless this is called.
 *
 * Returns: %TRUE, or %FALSE with @error set
 */
SWITTI_AVAILABLE
gboolean switti_download_set_dtype (SwittiDownload *self, const char *dtype, GError **error);

/**
 * switti_download_get_name:
 * @self: a download
 *
 * What the model will be called.
 *
 * Returns: (transfer none): a name
 */
SWITTI_AVAILABLE
const char *switti_download_get_name (SwittiDownload *self);

/**
 * switti_download_get_title:
 * @self: a download
 *
 * What its authors call it.
 *
 * Returns: (transfer none): a name for people
 */
SWITTI_AVAILABLE
const char *switti_download_get_title (SwittiDownload *self);

/**
 * switti_download_get_resolution:
 * @self: a download
 *
 * The side of the pictures that it paints.
 *
 * Returns: pixels
 */
SWITTI_AVAILABLE
int switti_download_get_resolution (SwittiDownload *self);

/**
 * switti_download_get_path:
 * @self: a download
 *
 * Where the model will be.
 *
 * Returns: (transfer full) (type filename): the model's folder
 */
SWITTI_AVAILABLE
char *switti_download_get_path (SwittiDownload *self);

/**
 * switti_download_get_fetched_bytes:
 * @self: a download
 *
 * What is to be fetched for it in all: about, or exactly after switti_download_look_up().
 *
 * Returns: bytes
 */
SWITTI_AVAILABLE
guint64 switti_download_get_fetched_bytes (SwittiDownload *self);

/**
 * switti_download_get_stored_bytes:
 * @self: a download
 *
 * What it takes on the disk: about, or exactly after switti_download_look_up().
 *
 * Returns: bytes
 */
SWITTI_AVAILABLE
guint64 switti_download_get_stored_bytes (SwittiDownload *self);

/**
 * switti_download_get_kept_bytes:
 * @self: a download
 *
 * What an earlier run that ended has left on the disk, to go on from.
 *
 * Returns: bytes; 0 where there is nothing
 */
SWITTI_AVAILABLE
guint64 switti_download_get_kept_bytes (SwittiDownload *self);

/**
 * switti_download_is_installed:
 * @self: a download
 *
 * Whether the model is in its place already.
 *
 * Returns: %TRUE where switti_download_run() would replace it
 */
SWITTI_AVAILABLE
gboolean switti_download_is_installed (SwittiDownload *self);

/**
 * switti_download_get_licence:
 * @self: a download
 *
 * Under which terms the parts are published; after switti_download_look_up() with what their pages state today.
 *
 * Returns: (transfer full): a paragraph, a line a part
 */
SWITTI_AVAILABLE
char *switti_download_get_licence (SwittiDownload *self);

/**
 * switti_download_look_up:
 * @self: a download
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Asks the hub what there is, without fetching weights: sizes and licences are exact from then on. Blocks.
 *
 * Returns: %TRUE, or %FALSE with @error set
 */
SWITTI_AVAILABLE
gboolean switti_download_look_up (SwittiDownload *self, GCancellable *cancellable, GError **error);

/**
 * switti_download_run:
 * @self: a download
 * @cancellable: (nullable): a #GCancellable; what has arrived is kept
 * @progress: (nullable) (scope call) (closure user_data): hears how far it is; called on this thread
 * @user_data: for @progress
 * @error: return location for a #GError
 *
 * Fetches the model, or the rest of it, and puts it in its place as a whole. Blocks.
 *
 * Returns: %TRUE, or %FALSE with @error set
 */
SWITTI_AVAILABLE
gboolean switti_download_run (SwittiDownload *self, GCancellable *cancellable, SwittiDownloadFunc progress,
                              gpointer user_data, GError **error);

/**
 * switti_download_run_async:
 * @self: a download; one call at a time
 * @cancellable: (nullable): a #GCancellable; what has arrived is kept
 * @progress: (nullable) (scope notified) (closure progress_data) (destroy progress_destroy): hears how far it is
 * @progress_data: for @progress
 * @progress_destroy: frees @progress_data
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: for @callback
 *
 * Fetches the model on a worker thread. @progress and @callback are called on the main context that is the
 * thread-default one now; no progress comes after @callback. In between, @self may be asked, but not changed.
 */
SWITTI_AVAILABLE
void switti_download_run_async (SwittiDownload *self, GCancellable *cancellable, SwittiDownloadFunc progress,
                                gpointer progress_data, GDestroyNotify progress_destroy, GAsyncReadyCallback callback,
                                gpointer user_data);

/**
 * switti_download_run_finish:
 * @self: a download
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Ends switti_download_run_async().
 *
 * Returns: %TRUE, or %FALSE with @error set
 */
SWITTI_AVAILABLE
gboolean switti_download_run_finish (SwittiDownload *self, GAsyncResult *result, GError **error);

/**
 * switti_download_discard:
 * @self: a download
 * @error: return location for a #GError
 *
 * Removes what an earlier run has left, so that the next one starts anew.
 *
 * Returns: %TRUE, or %FALSE with @error set
 */
SWITTI_AVAILABLE
gboolean switti_download_discard (SwittiDownload *self, GError **error);

G_END_DECLS
