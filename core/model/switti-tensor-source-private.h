/* switti-tensor-source-private.h - named tensors in a checkpoint, read where they lie
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A checkpoint of any form (safetensors, one file or shards; PyTorch's zip and legacy files) as a list of tensors whose
 * elements are read by ranges. Only names, shapes and places are held in memory. One thread at a time.
 */
#pragma once

#include "switti-byte-source-private.h"
#include "switti-tensor-private.h"

G_BEGIN_DECLS

typedef struct _SwittiTensorSource SwittiTensorSource;

/* A tensor may be a view: element (i0, i1, …) is element offset + i0 strides[0] + i1 strides[1] + … of its storage. */
typedef struct
{
  char *name; /* keys of nested dictionaries are joined by dots */
  SwittiDtype dtype;
  int n_dims;
  gint64 dims[SWITTI_TENSOR_MAX_DIMS];
  gint64 strides[SWITTI_TENSOR_MAX_DIMS];
  guint64 offset;      /* elements */
  gsize count;         /* elements: the product of dims */
  gboolean is_dense;   /* row-major without gaps */
  guint home, storage; /* which joined source it is of, and which of that one's storages */
} SwittiStoredTensor;

/* Recognises the form by content. NULL with SWITTI_ERROR_MODEL_INVALID (broken, or refused by name) or
 * SWITTI_ERROR_UNSUPPORTED set. */
SwittiTensorSource *switti_tensor_source_new (SwittiByteSource *bytes, GCancellable *cancellable, GError **error);
SwittiTensorSource *switti_tensor_source_new_safetensors (SwittiByteSource *bytes, GCancellable *cancellable,
                                                          GError **error);
SwittiTensorSource *switti_tensor_source_new_pt (SwittiByteSource *bytes, GCancellable *cancellable, GError **error);
/* Shards as one source; takes the SwittiTensorSources of the array over. A name in two of them is an error. */
SwittiTensorSource *switti_tensor_source_new_joined (GPtrArray *sources, const char *description, GError **error);
/* A file; an index of shards (*.index.json), whose files are opened beside it; or the weights of a folder. */
SwittiTensorSource *switti_tensor_source_open (const char *path, GCancellable *cancellable, GError **error);
void switti_tensor_source_free (SwittiTensorSource *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiTensorSource, switti_tensor_source_free)

const char *switti_tensor_source_get_description (SwittiTensorSource *self);
/* In the order in which they lie in the file (shard after shard); the pointers are good as long as self. */
guint switti_tensor_source_get_n (SwittiTensorSource *self);
const SwittiStoredTensor *switti_tensor_source_get (SwittiTensorSource *self, guint index);
/* NULL where there is none. */
const SwittiStoredTensor *switti_tensor_source_find (SwittiTensorSource *self, const char *name);

/* Elements first .. first + count - 1, in row-major order, in their dtype and little endian, to `out`. */
gboolean switti_tensor_source_read (SwittiTensorSource *self, const SwittiStoredTensor *tensor, gsize first,
                                    gsize count, void *out, GCancellable *cancellable, GError **error);
/* Where a dense tensor's bytes lie: [*begin, *end) of *bytes (transfer none). FALSE where they do not lie there as
 * they are: views with other strides, compressed members of a zip file. */
gboolean switti_tensor_source_locate (SwittiTensorSource *self, const SwittiStoredTensor *tensor,
                                      SwittiByteSource **bytes, guint64 *begin, guint64 *end);

G_END_DECLS
