/* switti-download-part-private.h - one part of a published model, at a hub
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-catalogue-private.h"
#include "switti-checkpoint-private.h"
#include "switti-json-private.h"
#include "switti-remote-file-private.h"

G_BEGIN_DECLS

typedef struct
{
  const SwittiCataloguePart *entry; /* not owned */
  int which;                        /* of the model's parts */
  char *revision;                   /* that is asked for: a commit where an earlier run has seen one */
  char *stated_licence;             /* that the repository states today; "" where it states none */
  GPtrArray *files;                 /* SwittiRemoteFile: the weights, one or shards */
  GPtrArray *sources;               /* SwittiByteSource, one a file */
  SwittiTensorSource *source;
  SwittiPartPlan *plan;
} SwittiDownloadPart;

/* Finds the part's weights and plans it: reads headers, no weights. state (nullable): what an earlier run has noted of
 * this part; files that are others now are SWITTI_ERROR_IO. */
SwittiDownloadPart *switti_download_part_open (SwittiHttp *http, const SwittiCatalogueModel *model, int which,
                                               int dtype, JsonObject *state, GCancellable *cancellable,
                                               GError **error);
void switti_download_part_free (SwittiDownloadPart *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiDownloadPart, switti_download_part_free)

/* Bytes to be fetched for the tensors that the part needs. */
guint64 switti_download_part_get_bytes (SwittiDownloadPart *self);
/* Adds what a later run has to know: the repository, its commit, and each file's version. */
void switti_download_part_build_state (SwittiDownloadPart *self, JsonBuilder *builder);
/* After the last tensor: compares the SHA-256 of files that were fetched whole with the hub's. */
gboolean switti_download_part_verify (SwittiDownloadPart *self, GCancellable *cancellable, GError **error);

/* A small file of the part's repository; *contents is NULL where there is no such file. */
gboolean switti_download_part_fetch (SwittiDownloadPart *self, SwittiHttp *http, const char *name, gsize max_bytes,
                                     GBytes **contents, GCancellable *cancellable, GError **error);

G_END_DECLS
