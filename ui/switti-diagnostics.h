/* switti-diagnostics.h - what a report of a fault should say of this computer
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Versions, the device @device_name with its driver, and the installed models with their hashes, a line each; no
 * prompt, no name of a user and no path. @host says what program this is ("GIMP 3.0.4"), or is NULL. Reads every model
 * once, on a worker thread; @callback is called on the thread-default main context. */
void switti_diagnostics_collect_async (const char *host, const char *device_name, GCancellable *cancellable,
                                       GAsyncReadyCallback callback, gpointer user_data);

/* The text (transfer full), or NULL with @error set where it was cancelled. */
char *switti_diagnostics_collect_finish (GAsyncResult *result, GError **error);

G_END_DECLS
