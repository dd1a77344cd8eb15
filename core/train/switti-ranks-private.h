/* switti-ranks-private.h - finds the ranks that a launcher has started
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-collective-private.h"
#include "switti-launch-private.h"

G_BEGIN_DECLS

/* One rank where `launch` says so; else the backend that connects them, whose module is loaded from
 * $SWITTI_MODULE_PATH or the folder where it was installed: MPI's, or NCCL's where they compute on CUDA devices, each
 * on that of its local rank. NCCL's ranks find each other by MPI where mpirun has started them, and otherwise by
 * switti_rendezvous_share(). NULL on failure. Once a process, on the main thread. */
SwittiCollective *switti_ranks_open (const SwittiLaunch *launch, gboolean on_cuda, GError **error);

G_END_DECLS
