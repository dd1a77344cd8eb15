/* switti-request.h - what to paint
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-bundle.h"
#include "switti-source.h"

#include <glib-object.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_REQUEST (switti_request_get_type ())
SWITTI_AVAILABLE
G_DECLARE_FINAL_TYPE (SwittiRequest, switti_request, SWITTI, REQUEST, GObject)

/*
 * Properties, with the published defaults at 512 (and 1024) where the model states none:
 *   prompt (string, ""), negative-prompt (string, ""),
 *   seed (uint64, 0): image i of a request has seed + i, count (int, 1),
 *   guidance (double, 6; "cfg" in recipes), top-k (int, 400; 0: off), top-p (double, 0.95; 0: off),
 *   smooth (boolean, TRUE; "more_smooth"), smooth-start (int, 2; "smooth_start_si"),
 *   guidance-start (int, 2 / 0; "turn_on_cfg_start_si"), guidance-end (int, 8 / 11; "turn_off_cfg_start_si"; S: never),
 *   last-scale-temperature (double, 0.1; 0: off; "last_scale_temp"), batch (int, 0: as many at once as fit),
 *   keep-scales (int, 0; "keep_scales"), stop-scale (int, 0: all), source (SwittiSource, NULL),
 *   mask (GBytes of side * side, NULL).
 */

/**
 * switti_request_new:
 * @bundle: (nullable): the model whose defaults to take
 *
 * Makes a request with the defaults of a model, or the published ones at 512.
 *
 * Returns: (transfer full): a request with the defaults of @bundle
 */
SWITTI_AVAILABLE
SwittiRequest *switti_request_new (SwittiBundle *bundle);

/**
 * switti_request_apply_json:
 * @self: a request
 * @json: a JSON object: a recipe, or a model's `default_sampling`
 * @error: return location for a #GError
 *
 * Sets every parameter that @json names, by its published or its property name; keys that are no parameter are left
 * alone (a recipe also says model, version and hash).
 *
 * Returns: whether all values were of the right type and in range
 */
SWITTI_AVAILABLE
gboolean switti_request_apply_json (SwittiRequest *self, const char *json, GError **error);

/**
 * switti_request_to_json:
 * @self: a request
 * @bundle: (nullable): the model, whose name and hash the recipe states
 * @image_index: which image of the request; its seed is stated, and count 1
 *
 * Writes the recipe: every parameter, the name and hash of the model, and the version. The first call for a model reads
 * the whole model, for its hash.
 *
 * Returns: (transfer full): a JSON object
 */
SWITTI_AVAILABLE
char *switti_request_to_json (SwittiRequest *self, SwittiBundle *bundle, int image_index);

/**
 * switti_request_validate:
 * @self: a request
 * @bundle: the model it is for
 * @error: return location for a #GError
 *
 * Checks that there is a prompt and that every parameter is in range.
 *
 * Returns: whether @bundle can paint this; otherwise @error names the parameter and its range
 */
SWITTI_AVAILABLE
gboolean switti_request_validate (SwittiRequest *self, SwittiBundle *bundle, GError **error);

G_END_DECLS
