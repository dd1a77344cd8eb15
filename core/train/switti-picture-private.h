/* switti-picture-private.h - a picture file of any kind as a square of sRGB pixels
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define SWITTI_DIGEST_BYTES 32

/* Starts libvips once, from any thread: only its readers of JPEG, PNG, WebP, TIFF, GIF and PPM are allowed, and what
 * they complain of goes nowhere. SWITTI_ERROR_UNSUPPORTED where it cannot start. */
gboolean switti_picture_init (GError **error);
/* To be called by a thread that decoded pictures, before it ends. */
void switti_picture_finish_thread (void);

/* The bytes of a regular file of at most 256 MiB. SWITTI_ERROR_IO. Any thread. */
GBytes *switti_picture_read_file (const char *path, GError **error);
/* SHA-256. */
void switti_picture_digest (GBytes *file, guint8 digest[SWITTI_DIGEST_BYTES]);

/* pixels: (resolution, resolution, 3) u8, sRGB, of a file's bytes. Turned upright as EXIF says; an ICC profile, CMYK,
 * grey and 16 bits are converted; what is transparent becomes white; the shorter side is resized by Lanczos to 1.125
 * times resolution, and of that the centre is taken. *height and *width: of the whole upright picture. Of an animation
 * the first frame. SWITTI_ERROR_IO for anything that is no whole picture, or has more than 2^26 pixels; the message is
 * a clause without the file's name. Any thread. */
gboolean switti_picture_decode (GBytes *file, int resolution, guint8 *pixels, int *height, int *width, GError **error);

G_END_DECLS
