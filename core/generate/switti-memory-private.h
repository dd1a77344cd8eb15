/* switti-memory-private.h - how much of a device's memory a model takes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-bundle-private.h"
#include "switti-decoding-private.h"

G_BEGIN_DECLS

/* Bytes that loading the parts and painting `batch` images of one prompt with its null prompt take at most, worked out
 * from the sizes alone. `low`: the text encoders go when the prompt is encoded, and the transformer's blocks come one
 * by one. Without what the driver and its libraries keep for themselves. */
guint64 switti_memory_estimate (const SwittiBundleParts *parts, SwittiDtype dtype, int batch, gboolean low);

G_END_DECLS
