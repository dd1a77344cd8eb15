/* switti-weights-private.h - a source of named host tensors
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The model code asks for each parameter by its checkpoint name and expected shape, wherever it comes from: one
 * safetensors file, a sharded set, or the synthetic rule (tests and `switti bench --synthetic`).
 */
#pragma once

#include "switti-tensor-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _SwittiWeights SwittiWeights; /* reference counted, immutable, safe from any thread */

/* `folder` holds model.safetensors, or model.safetensors.index.json and its shards. Files are mapped. */
SwittiWeights *switti_weights_open_folder (const char *folder, GError **error);
SwittiWeights *switti_weights_open_file (const char *path, GError **error);

/* The synthetic rule (docs/synthetic-rule.md): every name exists, with whatever shape is asked. `prefix` goes before
 * the name ("switti."). dtype is the dtype handed out: F32, or BF16 (rounded from the float32 value). */
SwittiWeights *switti_weights_new_synthetic (const char *prefix, SwittiDtype dtype);

/* As `base`, with `prefix` put before each name that is asked for ("text_model."). Takes a reference on base. */
SwittiWeights *switti_weights_with_prefix (SwittiWeights *base, const char *prefix);

/* As `base`, with the low-rank additions of a file times `scale` (switti-lora-private.h). Takes a reference on base.
 * The file's layers must be base's: SWITTI_ERROR_MODEL_INVALID names one that is not. */
SwittiWeights *switti_weights_with_lora (SwittiWeights *base, const char *path, double scale, GError **error);

SwittiWeights *switti_weights_ref (SwittiWeights *self);
void switti_weights_unref (SwittiWeights *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiWeights, switti_weights_unref)

/* Shapes without data, for what is worked out from them: switti_weights_peek() and _list() alone may be called.
 * `shapes` (referenced): name -> SwittiTensor. */
SwittiWeights *switti_weights_new_shapes (GHashTable *shapes, const char *description);

/* Words for messages: the path, or "synthetic weights". */
const char *switti_weights_get_description (SwittiWeights *self);

/* Whether the source holds that tensor, and its stored shape (a synthetic source: TRUE, n_dims 0). */
gboolean switti_weights_peek (SwittiWeights *self, const char *name, SwittiTensor *shape);

/* Names held, sorted; NULL-terminated; (transfer full) g_strfreev(). Empty for a synthetic source. */
char **switti_weights_list (SwittiWeights *self);

/* A host tensor of exactly this shape. `data` is mapped (owned is NULL) or allocated (owned is to be freed: use
 * switti_host_tensor_clear()). Errors name the file, the tensor, and both shapes. The mapping lives as long as self. */
typedef struct
{
  SwittiTensor tensor;
  gpointer owned;
} SwittiHostTensor;

gboolean switti_weights_get (SwittiWeights *self, const char *name, int n_dims, const gint64 *dims,
                             SwittiHostTensor *out, GError **error);
void switti_host_tensor_clear (SwittiHostTensor *tensor);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (SwittiHostTensor, switti_host_tensor_clear)

/* The same, converted to float32 into `out`, which has room for the product of dims. */
gboolean switti_weights_read_f32 (SwittiWeights *self, const char *name, int n_dims, const gint64 *dims, float *out,
                                  GError **error);

/* The rule's u (name, 0 .. count-1) times scale, for test inputs. */
void switti_synthetic_fill (const char *name, float scale, gsize count, float *out);

G_END_DECLS
