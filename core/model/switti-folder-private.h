/* switti-folder-private.h - files and folders of a model that survive a crash once they are written
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What fails is SWITTI_ERROR_IO and names the file. Any thread.
 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Makes a folder and its parents. */
gboolean switti_folder_make (const char *folder, GError **error);
/* Removes a file, or a folder and all in it, as far as it can; links are not followed. TRUE where nothing is left. */
gboolean switti_folder_remove (const char *path);
/* Waits until a file, or the names in a folder, are on the disk. */
gboolean switti_file_flush (const char *path, GError **error);
/* Writes and flushes; length -1: to the terminating nul. */
gboolean switti_file_write_text (const char *path, const char *text, gssize length, GError **error);
/* Copies over what is there, and flushes. Cancelling is G_IO_ERROR_CANCELLED. */
gboolean switti_file_copy (const char *from, const char *to, GCancellable *cancellable, GError **error);

/* model_index.json of a model with all parts, which says nothing of sampling; (transfer full). */
JsonObject *switti_model_index_new (void);
/* A JSON text with indentation, as the published files have it; takes over `object`; (transfer full). */
char *switti_json_object_to_text (JsonObject *object);

G_END_DECLS
