/* switti-model-folder-private.h - writes a model folder, and what else a checkpoint is made of
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Files are flushed. The folder is to be made beside its place and renamed by the caller.
 */
#pragma once

#include "switti-training-model-private.h"

G_BEGIN_DECLS

/* Writes a model that `switti generate` opens into `folder`, which is made: values[i] (host) are part i's parameters,
 * saved in `dtype` (F32 or BF16); what is not trained is copied from where it came from. `readme`: Markdown. May run on
 * any thread while the model trains: it reads shapes and names alone. */
gboolean switti_model_folder_write (const SwittiTrainingModel *model, float *const values[SWITTI_N_PARTS],
                                    SwittiDtype dtype, const char *readme, const char *folder, GError **error);

/* For each parameter "<prefix><name>", viewed in a flat host array, appended to names and tensors. */
void switti_parameters_append_views (SwittiParameters *parameters, const char *prefix, float *flat, GPtrArray *names,
                                     GArray *tensors);

/* Writes and flushes. Takes over `object`. SWITTI_ERROR_IO. */
gboolean switti_folder_write_json (const char *folder, const char *name, JsonObject *object, GError **error);

G_END_DECLS
