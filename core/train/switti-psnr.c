/* switti-psnr.c - how much a reconstruction differs from its picture
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-psnr-private.h"

#include <math.h>

#define MOST 100.0
/* Lets 8 bits that became float32 in [-1, 1] come back as they were. */
#define ROUNDING 1e-3f

double
switti_psnr (const guint8 *a, const guint8 *b, gsize n)
{
  double sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += (double) ((a[i] - b[i]) * (a[i] - b[i]));
  return sum > 0 ? MIN (10 * log10 (255.0 * 255.0 * (double) n / sum), MOST) : MOST;
}

void
switti_pixels_to_rgb (const float *values, gsize n, guint8 *rgb)
{
  for (gsize i = 0; i < n; i++)
    rgb[i] = (guint8) CLAMP ((values[i] + 1) * 127.5f + ROUNDING, 0, 255);
}
