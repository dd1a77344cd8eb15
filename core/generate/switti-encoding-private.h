/* switti-encoding-private.h - a picture to codes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-engine-private.h"
#include "switti-image.h"

G_BEGIN_DECLS

/* rgb: (16 n, 16 n, 3), host. The picture that the codes make, with a recipe that has the codes. Thread: the one that
 * has the device's turn. */
SwittiImage *switti_encoding_run (SwittiEngine *engine, const guint8 *rgb, GCancellable *cancellable, GError **error);

G_END_DECLS
