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

/**
 * switti_image_get_width:
 * @self: a picture
 *
 * How wide the picture is.
 *
 * Returns: the width in pixels
 */
SWITTI_AVAILABLE
int switti_image_get_width (SwittiImage *self);
/**
 * switti_image_get_height:
 * @self: a picture
 *
 * How high the picture is.
 *
 * Returns: the height in pixels
 */
SWITTI_AVAILABLE
int switti_image_get_height (SwittiImage *self);

/**
 * switti_image_get_pixels:
 * @self: a picture
 *
 * The pixels: R'G'B' u8 (sRGB), rows from top to bottom without padding.
 *
 * Returns: (transfer none): width * height * 3 bytes
 */
SWITTI_AVAILABLE
GBytes *switti_image_get_pixels (SwittiImage *self);

/**
 * switti_image_get_seed:
 * @self: a picture
 *
 * The seed that paints this picture alone.
 *
 * Returns: the seed
 */
SWITTI_AVAILABLE
guint64 switti_image_get_seed (SwittiImage *self);

/**
 * switti_image_get_recipe:
 * @self: a picture
 *
 * Every parameter, the name and hash of the model, and the version: what it takes to paint the picture again. The first
 * call for a model reads the whole model, for its hash.
 *
 * Returns: (transfer none): a JSON object
 */
SWITTI_AVAILABLE
const char *switti_image_get_recipe (SwittiImage *self);

/**
 * switti_image_get_codes:
 * @self: a picture
 *
 * The codes that were drawn; of a preview, those that it shows. Where scales are smooth, the code of the largest share.
 *
 * Returns: (transfer none): L values, int32, from the coarsest scale to the finest
 */
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
 * Reads the recipe of a picture that switti_image_save_png() wrote; [method@Request.apply_json] takes it.
 *
 * Returns: (transfer full): the recipe, or %NULL with @error set
 */
SWITTI_AVAILABLE
char *switti_image_load_recipe (const char *path, GError **error);

G_END_DECLS
