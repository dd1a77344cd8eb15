/* switti-tensor-source-parts-private.h - the inside of SwittiTensorSource
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * For the switti-tensor-source*.c files alone.
 */
#pragma once

#include "switti-tensor-source-private.h"

G_BEGIN_DECLS

/* Bytes in which tensors lie. */
typedef struct
{
  guint64 begin, bytes;   /* in the file */
  gboolean is_compressed; /* a zip member that has to be unpacked: begin says nothing */
  gboolean is_located;    /* begin is known (of zip members it is found when it is needed) */
} SwittiStorage;

/* The members of a zip file (switti-tensor-source-zip.c). */
typedef struct _SwittiZip SwittiZip;

/* One file. */
typedef struct
{
  SwittiByteSource *bytes;
  GArray *storages; /* SwittiStorage; of a zip file one for each member */
  SwittiZip *zip;   /* nullable */
} SwittiTensorHome;

SwittiTensorSource *switti_tensor_source_create (SwittiByteSource *bytes, SwittiZip *zip);
SwittiTensorHome *switti_tensor_source_get_home (SwittiTensorSource *self);
/* Takes a tensor over whose name, dtype, n_dims, dims, strides, offset and storage are set, and checks it: its elements
 * must be inside its storage, its name new. */
gboolean switti_tensor_source_add (SwittiTensorSource *self, SwittiStoredTensor *tensor, GError **error);
/* Puts the tensors into the order of their storages. */
void switti_tensor_source_sort (SwittiTensorSource *self);

/* -- switti-tensor-source-zip.c ----------------------------------------------------------------------------- */

SwittiZip *switti_zip_open (SwittiByteSource *bytes, GCancellable *cancellable, GError **error);
void switti_zip_free (SwittiZip *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiZip, switti_zip_free)

guint switti_zip_get_n (SwittiZip *self);
const char *switti_zip_get_name (SwittiZip *self, guint index);
/* -1 where there is none. */
gint64 switti_zip_find (SwittiZip *self, const char *name);
/* *storage for the member; begin is not known yet. */
void switti_zip_get_storage (SwittiZip *self, guint index, SwittiStorage *storage);
/* Finds where a stored member's bytes begin, or finds that it has to be read through the library. */
gboolean switti_zip_locate (SwittiZip *self, guint index, SwittiStorage *storage, GCancellable *cancellable,
                            GError **error);
/* Any member's bytes. Going backwards in a compressed one begins it anew. */
gboolean switti_zip_read (SwittiZip *self, guint index, guint64 offset, void *out, gsize bytes,
                          GCancellable *cancellable, GError **error);

G_END_DECLS
