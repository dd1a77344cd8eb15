/* switti-canvas.h - puts pictures into GIMP images
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti.h"

#include <libgimp/gimp.h>

G_BEGIN_DECLS

/* Name of the parasite on each layer; its data is the recipe, a JSON object in UTF-8 without a final zero. */
#define SWITTI_RECIPE_PARASITE "plug-in-switti/recipe"

/* Each returns one layer a picture, the first picture topmost, in an array that ends with NULL and owns nothing (the
 * layers are libgimp's), or NULL with @error set and nothing changed. */

/* A new image of the pictures' size; @image gets it. */
GPtrArray *switti_canvas_new_image (GPtrArray *pictures, const char *prompt, GimpImage **image, GError **error);

/* Layers above the selected one, as one step of undo. Where @image has a selection they cover its bounds exactly and
 * are masked by it; otherwise they have the pictures' size, centred on the canvas. */
GPtrArray *switti_canvas_add_layers (GimpImage *image, GPtrArray *pictures, const char *prompt, GError **error);

G_END_DECLS
