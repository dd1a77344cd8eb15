/* switti-bundle-private.h - the parts of a model folder
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-bundle.h"
#include "switti-config-private.h"
#include "switti-tokenizer-private.h"

G_BEGIN_DECLS

/* Everything a generator needs; valid as long as the bundle. */
typedef struct
{
  SwittiTransformerConfig transformer;
  SwittiVaeConfig vae;
  SwittiTextConfig text[2];
  SwittiWeights *transformer_weights;
  SwittiWeights *vae_weights;
  SwittiWeights *text_weights[2]; /* names without a leading "text_model." */
  SwittiTokenizer *tokenizer[2];
} SwittiBundleParts;

const SwittiBundleParts *switti_bundle_get_parts (SwittiBundle *self);

/* Parts made by the synthetic rule, with a tokenizer that knows single bytes; not found by name. */
SwittiBundle *switti_bundle_new_synthetic (const char *spec, SwittiDtype dtype, GError **error);
/* From parts that the caller made (tests); takes over the references in *parts. */
SwittiBundle *switti_bundle_new_from_parts (const char *name, SwittiBundleParts *parts);

/* `default_sampling` of model_index.json, or NULL: a JSON object with the names of SwittiRequest's properties and the
 * published ones (cfg, top_k, top_p, more_smooth, smooth_start_si, turn_on_cfg_start_si, turn_off_cfg_start_si,
 * last_scale_temp). */
struct _JsonObject;
struct _JsonObject *switti_bundle_get_default_sampling (SwittiBundle *self);

G_END_DECLS
