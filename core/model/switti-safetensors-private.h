/* switti-safetensors-private.h - one mapped safetensors file
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-tensor-private.h"

G_BEGIN_DECLS

typedef struct _SwittiSafetensors SwittiSafetensors;

/* Maps the file read-only and checks every rule of the format before anything is handed out: header size, JSON, dtype
 * names, shapes (overflow), offsets inside the file that cover the data without gap or overlap, byte counts that equal
 * shape times dtype, no duplicate names. SWITTI_ERROR_MODEL_INVALID otherwise.
 * The size is that at opening: whoever replaces a model's file must write another beside it and rename it, as
 * switti_safetensors_save() does, for reading a mapping whose file was cut in place ends the process (SIGBUS). */
SwittiSafetensors *switti_safetensors_open (const char *path, GError **error);
/* From memory (fuzzing, tests); `bytes` is referenced. */
SwittiSafetensors *switti_safetensors_new_from_bytes (GBytes *bytes, const char *description, GError **error);
/* From the header alone, of a file whose data is read by ranges: views have no data. */
SwittiSafetensors *switti_safetensors_new_from_header (const char *json, gsize header_bytes, gsize data_bytes,
                                                       const char *description, GError **error);
void switti_safetensors_free (SwittiSafetensors *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiSafetensors, switti_safetensors_free)

/* A view into the mapping, read-only and perhaps not aligned; FALSE where there is no such tensor. */
gboolean switti_safetensors_lookup (SwittiSafetensors *self, const char *name, SwittiTensor *view);
/* The same, and where its bytes begin in the data, which follows the header. */
gboolean switti_safetensors_locate (SwittiSafetensors *self, const char *name, SwittiTensor *view, gsize *begin);
/* Names in sorted order; owned by self, valid as long as it lives. */
const char *const *switti_safetensors_list (SwittiSafetensors *self);
/* A value of __metadata__, or NULL. */
const char *switti_safetensors_get_metadata (SwittiSafetensors *self, const char *key);

/* A file begins with these bytes: the header's length, and the header's first. */
#define SWITTI_SAFETENSORS_START_BYTES 9
/* The header's length from them (fewer where `size` of the whole file is less), checked against the size. */
gboolean switti_safetensors_parse_length (const guint8 *start, guint64 size, const char *description,
                                          gsize *header_bytes, GError **error);

/* Writes tensors (host) to path: beside it, flushed, renamed. */
gboolean switti_safetensors_save (const char *path, const char *const *names, const SwittiTensor *tensors,
                                  gsize n_tensors, GHashTable *metadata, GError **error);

/* The first bytes of a file of these tensors, in this order: the header's length and the header. *data_bytes is what
 * follows. */
GString *switti_safetensors_build_header (const char *const *names, const SwittiTensor *shapes, gsize n_tensors,
                                          GHashTable *metadata, guint64 *data_bytes, GError **error);

/* write(2) until all is written; FALSE with errno set. */
gboolean switti_file_write_all (int fd, const void *data, gsize bytes);
/* Flushes the folder of a file, so that its new name, too, survives a crash. */
void switti_file_flush_name (const char *path);

G_END_DECLS
