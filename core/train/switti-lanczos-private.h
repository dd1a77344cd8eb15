/* switti-lanczos-private.h - Lanczos resizing of a picture, of which only a window is wanted
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * libvips has this filter for shrinking only; it enlarges by bicubic interpolation. The published training enlarges by
 * Lanczos as well, and small pictures, such as icons, are enlarged.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The whole picture of `width` x `height` becomes out_width x out_height, of which the square of `side` at (left, top)
 * is computed. */
typedef struct
{
  int width, height;
  int out_width, out_height;
  int left, top, side;
} SwittiLanczos;

/* pixels: (height, width, 3) u8. out: (side, side, 3) u8, rounded, clipped to 0 … 255. The kernel sinc (x) sinc (x/3),
 * |x| < 3, is widened by the factor of a reduction; its weights inside the picture sum to 1. */
void switti_lanczos_resize (const SwittiLanczos *self, const guint8 *pixels, guint8 *out);

G_END_DECLS
