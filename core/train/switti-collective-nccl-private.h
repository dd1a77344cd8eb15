/* switti-collective-nccl-private.h - ranks that talk through NCCL
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * libswitti does not know NCCL: this is a module of its own, as MPI's is, which switti-train loads where it was started
 * as one of several with --device cuda.
 */
#pragma once

#include "switti-collective-private.h"

G_BEGIN_DECLS

#define SWITTI_NCCL_MODULE_NAME "switti-nccl"
#define SWITTI_NCCL_MAKE_ID "switti_nccl_make_id"
#define SWITTI_NCCL_OPEN "switti_nccl_open"
/* Of ncclUniqueId. */
#define SWITTI_NCCL_ID_BYTES 128

/* Which rank this is, on which CUDA device. */
typedef struct
{
  int rank, size, device;
  guint8 id[SWITTI_NCCL_ID_BYTES];
} SwittiNcclStart;

/* The module's two functions. The id is made on rank 0 and shared; then all ranks open. */
typedef gboolean (*SwittiNcclMakeIdFunc) (guint8 id[SWITTI_NCCL_ID_BYTES], GError **error);
typedef gboolean (*SwittiNcclOpenFunc) (SwittiCollectiveBackend *backend, const SwittiNcclStart *start,
                                        GError **error);
G_MODULE_EXPORT gboolean switti_nccl_make_id (guint8 id[SWITTI_NCCL_ID_BYTES], GError **error);
G_MODULE_EXPORT gboolean switti_nccl_open (SwittiCollectiveBackend *backend, const SwittiNcclStart *start,
                                           GError **error);

G_END_DECLS
