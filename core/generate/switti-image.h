/* switti-image.h - a picture that a generator painted
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-macros.h"

#include <gio/gio.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_IMAGE (switti_image_get_type ())
SWITTI_AVAILABLE
G_DECLARE_FINAL_TYPE (SwittiImage, switti_image, SWITTI, IMAGE, GObject)

SWITTI_AVAILABLE
int switti_image_get_width (SwittiImage *self);
SWITTI_AVAILABLE
int switti_image_get_height (SwittiImage *self);

/** Returns: (transfer none): width * height * 3 bytes, R'G'B' u8 (sRGB), rows top to bottom without padding */
SWITTI_AVAILABLE
GBytes *switti_image_get_pixels (SwittiImage *self);

/** Returns: the seed that paints this picture alone */
SWITTI_AVAILABLE
guint64 switti_image_get_seed (SwittiImage *self);

/** Returns: (transfer none): every parameter, model name and hash, and version, as a JSON object */
SWITTI_AVAILABLE
const char *switti_image_get_recipe (SwittiImage *self);

/** Returns: (transfer none): L codes, int32, coarse to fine */
SWITTI_AVAILABLE
GBytes *switti_image_get_codes (SwittiImage *self);

/**
 * switti_image_save_png:
 * @self: a picture
 * @path: (type filename): where to
 * @error: return location for a #GError
 *
 * Writes a PNG with the recipe in its text chunk `switti-recipe`: beside its place, flushed, then renamed.
 *
 * Returns: whether it was written
 */
SWITTI_AVAILABLE
gboolean switti_image_save_png (SwittiImage *self, const char *path, GError **error);

/**
 * switti_image_load_recipe:
 * @path: (type filename): a PNG
 * @error: return location for a #GError
 *
 * Returns: (transfer full): the recipe in a PNG that switti_image_save_png() wrote, or %NULL with @error set
 */
SWITTI_AVAILABLE
char *switti_image_load_recipe (const char *path, GError **error);

G_END_DECLS
