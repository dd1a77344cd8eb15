/* switti-painting.h - runs a generation on a worker thread and shows its progress
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-capture.h"
#include "switti-settings.h"

G_BEGIN_DECLS

/* Loads the model, paints what @settings say, from what @capture has, and returns the pictures (element-type
 * SwittiImage), or NULL with @error set. Blocks on the main loop of the calling thread, which must be
 * the main one. SIGINT and SIGTERM cancel it. */
GPtrArray *switti_painting_run (const SwittiSettings *settings, SwittiCapture *capture, GError **error);

G_END_DECLS
