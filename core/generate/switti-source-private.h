/* switti-source-private.h - sources and masks in recipes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * In a recipe, "source" is either another picture's recipe, or {"codes": base64 of little-endian numbers, "bits": 16 or
 * 32}; "mask" is {"side": pixels, "data": base64 of its zlib stream}.
 */
#pragma once

#include "switti-source.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Recipes within recipes: each is painted before the next one can be. */
#define SWITTI_MAX_SOURCE_DEPTH 8

SwittiSource *switti_source_from_json (JsonNode *node, GError **error);
/* (transfer full) */
JsonNode *switti_source_to_json (SwittiSource *self);

/* The hash of the model that the recipe states, or NULL. (transfer full) */
char *switti_source_dup_model_hash (SwittiSource *self);

/* The source that has the first `scales` scales of this one, as near to the root as it can be: a variation's own
 * source, where it kept that many. (transfer none) */
SwittiSource *switti_source_resolve (SwittiSource *self, int scales);

/* (side, side) u8. (transfer full) */
GBytes *switti_mask_from_json (JsonNode *node, GError **error);
JsonNode *switti_mask_to_json (GBytes *mask);

G_END_DECLS
