/* switti-source.h - a picture that a generation starts from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-image.h"

#include <gio/gio.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_SOURCE (switti_source_get_type ())
SWITTI_AVAILABLE
G_DECLARE_FINAL_TYPE (SwittiSource, switti_source, SWITTI, SOURCE, GObject)

/**
 * switti_source_new_for_codes:
 * @codes: L values, int32, from the coarsest scale to the finest, as [method@Image.get_codes] has them
 *
 * Takes a picture as its codes say. Whether they fit a model is looked at when a request is validated.
 *
 * Returns: (transfer full): a source
 */
SWITTI_AVAILABLE
SwittiSource *switti_source_new_for_codes (GBytes *codes);

/**
 * switti_source_new_for_recipe:
 * @recipe: a picture's recipe, a JSON object
 * @error: return location for a #GError
 *
 * Takes a painted picture by its recipe: it is painted again, to the bit, when it is needed. Codes alone would not do
 * where scales are smooth, because those mix codes.
 *
 * Returns: (transfer full): a source, or %NULL with @error set
 */
SWITTI_AVAILABLE
SwittiSource *switti_source_new_for_recipe (const char *recipe, GError **error);

/**
 * switti_source_new_for_image:
 * @image: a picture that was painted, or encoded by [method@Generator.encode]
 *
 * Takes a picture by its recipe. The first call for a model reads the whole model, for its hash.
 *
 * Returns: (transfer full): a source
 */
SWITTI_AVAILABLE
SwittiSource *switti_source_new_for_image (SwittiImage *image);

/**
 * switti_source_get_codes:
 * @self: a source
 *
 * The codes that it was made of.
 *
 * Returns: (transfer none) (nullable): L values, int32, or %NULL where it was made of a recipe
 */
SWITTI_AVAILABLE
GBytes *switti_source_get_codes (SwittiSource *self);

/**
 * switti_source_get_recipe:
 * @self: a source
 *
 * The recipe that it was made of.
 *
 * Returns: (transfer none) (nullable): a JSON object, or %NULL where it was made of codes
 */
SWITTI_AVAILABLE
const char *switti_source_get_recipe (SwittiSource *self);

G_END_DECLS
