/* switti-psnr-private.h - how much a reconstruction differs from its picture
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Peak signal-to-noise ratio of n > 0 values of 8 bits, in dB: 10 log10 (255^2 / mean squared error); 100 at most,
 * which stands for equality. */
double switti_psnr (const guint8 *a, const guint8 *b, gsize n);

/* Values in [-1, 1] to 8 bits: clamped, and of (x + 1) / 2 * 255 the whole part, as the decoder's. */
void switti_pixels_to_rgb (const float *values, gsize n, guint8 *rgb);

G_END_DECLS
