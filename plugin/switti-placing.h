/* switti-placing.h - puts pictures where the settings say
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-capture.h"
#include "switti-settings.h"

G_BEGIN_DECLS

/* @capture: what the pictures were painted from. @image is the open image or NULL, and becomes the one painted into;
 * @show: a new image gets a window. Returns one layer a picture, the first topmost, in an array that ends with NULL and
 * owns nothing (the layers are libgimp's), or NULL with @error set and nothing changed. In an open image it is one step
 * of undo. */
GPtrArray *switti_placing_run (const SwittiSettings *settings, SwittiCapture *capture, GPtrArray *pictures,
                               GimpImage **image, gboolean show, GError **error);

G_END_DECLS
