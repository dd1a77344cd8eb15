/* switti-raster-private.h - pixels in host memory
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* in (h_in, w_in, channels) to out (h_out, w_out, channels), 0 to 255: Catmull-Rom, widened where it shrinks, with a
 * clamped border. The values of a picture that has its size already are its own. */
void switti_raster_resize (int channels, int w_in, int h_in, const guint8 *in, int w_out, int h_out, float *out);
/* The same, rounded. */
void switti_raster_resize_u8 (int channels, int w_in, int h_in, const guint8 *in, int w_out, int h_out, guint8 *out);

/* values (height, width, channels): where known (height, width), 0 to 1, is below 1, the rest comes smoothly from the
 * known pixels around. Where nothing is known, values are as they were. */
void switti_raster_spread (int channels, int width, int height, const float *known, float *values);

G_END_DECLS
