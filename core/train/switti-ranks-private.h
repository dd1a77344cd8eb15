/* switti-ranks-private.h - finds the ranks that a launcher has started
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-collective-private.h"
#include "switti-launch-private.h"

G_BEGIN_DECLS

/* One rank where `launch` says so; else the backend that connects them, whose module is loaded from
 * $SWITTI_MODULE_PATH or the folder where it was installed. NULL on failure. Once a process, on the main thread. */
SwittiCollective *switti_ranks_open (const SwittiLaunch *launch, GError **error);

G_END_DECLS
