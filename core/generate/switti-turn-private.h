/* switti-turn-private.h - one thread at a time on a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A device's context is used by one thread at a time, and several generators may share a device. Whoever is about to
 * use it takes its turn first. Turns do not nest: a thread that already has it gets an error, not a deadlock.
 */
#pragma once

#include "switti-device.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* Waits for the turn; FALSE with G_IO_ERROR_CANCELLED when cancelled while waiting. */
gboolean switti_turn_take (SwittiDevice *device, GCancellable *cancellable, GError **error);
void switti_turn_give (SwittiDevice *device);

/* Whether this thread has the device's turn. */
gboolean switti_turn_is_mine (SwittiDevice *device);

G_END_DECLS
