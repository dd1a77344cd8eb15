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
void switti_safetensors_free (SwittiSafetensors *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiSafetensors, switti_safetensors_free)

/* A view into the mapping, read-only and perhaps not aligned; FALSE where there is no such tensor. */
gboolean switti_safetensors_lookup (SwittiSafetensors *self, const char *name, SwittiTensor *view);
/* Names in sorted order; owned by self, valid as long as it lives. */
const char *const *switti_safetensors_list (SwittiSafetensors *self);
/* A value of __metadata__, or NULL. */
const char *switti_safetensors_get_metadata (SwittiSafetensors *self, const char *key);

/* Writes tensors (host) to path: beside it, flushed, renamed. */
gboolean switti_safetensors_save (const char *path, const char *const *names, const SwittiTensor *tensors,
                                  gsize n_tensors, GHashTable *metadata, GError **error);

G_END_DECLS
