/* switti-model-writer-private.h - writes a model folder so that a kill at any moment leaves the old one or the new one
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The folder NAME is put together beside its place as .NAME.partial, flushed, and exchanged with what is there in one
 * step. What a killed run left is removed, or continued, by the next one; two runs at once are kept apart by a lock.
 */
#pragma once

#include "switti-checkpoint-private.h"

G_BEGIN_DECLS

/* done and total bytes; called from the thread that works, a few times a second. */
typedef void (*SwittiBytesFunc) (guint64 done, guint64 total, const char *what, gpointer data);

/* -- a folder --------------------------------------------------------------------------------------------- */

typedef struct _SwittiModelWriter SwittiModelWriter;

/* Begins the folder at `path`, whose parent is made where it is missing. With keep_partial what a run that ended left
 * in .NAME.partial stays (a download continues it), otherwise it is removed. SWITTI_ERROR_IO: not writable, or another
 * process is at it. */
SwittiModelWriter *switti_model_writer_new (const char *path, gboolean keep_partial, GError **error);
/* Whether there is room for that many bytes more; SWITTI_ERROR_IO says how many are wanting. */
gboolean switti_model_writer_require (SwittiModelWriter *self, guint64 bytes, GError **error);
/* Where to put the files: .NAME.partial. */
const char *switti_model_writer_get_folder (SwittiModelWriter *self);
/* A path in it; its folder is made. (transfer full) */
char *switti_model_writer_path (SwittiModelWriter *self, const char *relative, GError **error);
/* A small file (config.json, merges.txt, …). */
gboolean switti_model_writer_add_text (SwittiModelWriter *self, const char *relative, const char *text, gssize length,
                                       GError **error);
/* model_index.json of a model with all parts, which says nothing of sampling. */
gboolean switti_model_writer_add_index (SwittiModelWriter *self, GError **error);
/* A file from elsewhere: linked where that is possible, else copied. */
gboolean switti_model_writer_add_file (SwittiModelWriter *self, const char *relative, const char *from,
                                       GCancellable *cancellable, GError **error);
/* A part's config.json and model.safetensors. With `resume`, a model.safetensors that an earlier run began with the
 * same plan is continued. */
gboolean switti_model_writer_add_part (SwittiModelWriter *self, const char *part, SwittiPartPlan *plan, gboolean resume,
                                       SwittiBytesFunc progress, gpointer data, GCancellable *cancellable,
                                       GError **error);
/* The SHA-256 (hexadecimal) of a file in it that was written otherwise than by the functions above. */
void switti_model_writer_set_checksum (SwittiModelWriter *self, const char *relative, const char *sha256);
/* Writes SHA256SUMS (of files without a checksum it is computed), flushes everything and puts the folder in its
 * place. */
gboolean switti_model_writer_finish (SwittiModelWriter *self, GCancellable *cancellable, GError **error);
/* Frees it. An unfinished folder is removed unless keep_partial was given. */
void switti_model_writer_free (SwittiModelWriter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiModelWriter, switti_model_writer_free)

/* Puts right what a killed run left of the folder at `path` on a file system that cannot exchange folders. */
void switti_model_recover (const char *path);
/* Removes a model's folder: it is gone in one step, then its files are deleted. */
gboolean switti_model_remove (const char *path, GError **error);

/* Compares the files with the folder's SHA256SUMS. SWITTI_ERROR_MODEL_INVALID names the first file that differs or is
 * missing, and is also set where there is no SHA256SUMS. */
gboolean switti_model_verify (const char *path, SwittiBytesFunc progress, gpointer data, GCancellable *cancellable,
                              GError **error);

/* -- one safetensors file, written from front to back ------------------------------------------------------- */

typedef struct _SwittiSafetensorsWriter SwittiSafetensorsWriter;

/* Writes the header: tensors in the given order. With `resume` an existing file with this very header is continued
 * behind the last byte that is known to be on the disk. */
SwittiSafetensorsWriter *switti_safetensors_writer_new (const char *path, const char *const *names,
                                                        const SwittiTensor *shapes, gsize n_tensors,
                                                        GHashTable *metadata, gboolean resume, GError **error);
/* Bytes of data (without the header) that are there: where to go on. */
guint64 switti_safetensors_writer_get_position (SwittiSafetensorsWriter *self);
guint64 switti_safetensors_writer_get_size (SwittiSafetensorsWriter *self);
gboolean switti_safetensors_writer_append (SwittiSafetensorsWriter *self, const void *data, gsize bytes,
                                           GError **error);
/* The file must be whole. Flushes it; *sha256 (transfer full) is hexadecimal. */
gboolean switti_safetensors_writer_finish (SwittiSafetensorsWriter *self, char **sha256, GError **error);
/* Frees it; an unfinished file stays where it is. */
void switti_safetensors_writer_free (SwittiSafetensorsWriter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiSafetensorsWriter, switti_safetensors_writer_free)

/* All of a plan from the writer's position on. `done` of progress counts bytes of this file. */
gboolean switti_safetensors_writer_append_plan (SwittiSafetensorsWriter *self, SwittiPartPlan *plan,
                                                SwittiBytesFunc progress, gpointer data, GCancellable *cancellable,
                                                GError **error);

G_END_DECLS
