/* switti-rendezvous-private.h - what rank 0 tells all others before they have anything else to talk through
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * NCCL's ranks need 128 bytes that one of them makes up. Where no MPI carries them, rank 0 waits at MASTER_PORT of its
 * computer, and every other rank asks there.
 */
#pragma once

#include "switti-launch-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* Seconds that ranks wait for each other: loading programs and drivers on many computers takes its time. */
#define SWITTI_RENDEZVOUS_SECONDS 300

/* Gives rank 0's `bytes` (size, up to 4096) to all ranks of `launch`, into theirs. Blocks; up to `seconds`. Connections
 * of strangers are closed and forgotten. SWITTI_ERROR_ARGUMENT where the launcher does not say where to meet,
 * SWITTI_ERROR_IO where the others do not come. */
gboolean switti_rendezvous_share (const SwittiLaunch *launch, gpointer bytes, gsize size, guint seconds,
                                  GError **error);

G_END_DECLS
