/* switti-canvas.h - puts pictures into GIMP images
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-capture.h"

G_BEGIN_DECLS

/* Name of the parasite on each layer; its data is the recipe, a JSON object in UTF-8 without a final zero. */
#define SWITTI_RECIPE_PARASITE "plug-in-switti/recipe"

/* Name of the parasite with the SHA-256 of the layer's pixels as they were placed, in hexadecimal. */
#define SWITTI_PIXELS_PARASITE "plug-in-switti/pixels"

typedef struct
{
  const char *name;  /* of the layers: the prompt */
  gboolean in_group; /* all layers in one group, of which the first is visible */
} SwittiPlace;

/* Each returns one layer a picture, the first picture topmost, in an array that ends with NULL and owns nothing (the
 * layers are libgimp's), or NULL with @error set and nothing changed. */

/* A new image of the pictures' size; @image gets it. */
GPtrArray *switti_canvas_new_image (GPtrArray *pictures, const SwittiPlace *place, GimpImage **image, GError **error);

/* Layers of @image, as one step of undo. A filling lies topmost, where it fills, with the selection as its mask. A
 * variation lies above the layer that was varied and covers it. What starts from nothing lies above the selected layer:
 * where @image has a selection it covers its bounds exactly and is masked by it; otherwise it has the picture's size,
 * centred on the canvas. */
GPtrArray *switti_canvas_add_layers (GimpImage *image, SwittiCapture *capture, GPtrArray *pictures,
                                     const SwittiPlace *place, GError **error);

/* A layer's recipe, or NULL. (transfer full) */
char *switti_canvas_get_recipe (GimpItem *item);

/* Whether a layer has the pixels that it was given when it was painted. */
gboolean switti_canvas_is_unchanged (GimpLayer *layer);

/* Sets @error to what GIMP says of the call that has just failed; returns FALSE. */
gboolean switti_canvas_fail (GError **error);

G_END_DECLS
