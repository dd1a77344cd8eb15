/* switti-bundle-folder-private.h - what SwittiBundle is put together from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-bundle-private.h"
#include "switti-json-private.h"

G_BEGIN_DECLS

/* -- switti-bundle-search.c ---- */

/* The folder of a model by name or path, NULL or "" for the default one; NULL with SWITTI_ERROR_MODEL_NOT_FOUND set. */
char *switti_bundle_find_folder (const char *name_or_path, GError **error);

/* -- switti-bundle-folder.c ---- */

/* Opens the parts of a folder and checks that they fit together. *index is its model_index.json. */
gboolean switti_bundle_parts_load (const char *folder, SwittiBundleParts *parts, JsonObject **index, GError **error);
void switti_bundle_parts_clear (SwittiBundleParts *parts);
/* Whether the parts' shapes fit together; `description` names the model. */
gboolean switti_bundle_parts_check (const SwittiBundleParts *parts, const char *description, GError **error);
/* README.md as plain text without its heading; "" where there is none. */
char *switti_bundle_read_description (const char *folder);
/* SHA-256 over the model's files: for each, in order of names, the name, a NUL, the size as 8 bytes (little endian) and
 * the contents. */
char *switti_bundle_hash_folder (const char *folder, GCancellable *cancellable, GError **error);

/* -- switti-bundle-info.c ---- */

/* Numbers of parameters, from the shapes. */
guint64 switti_transformer_config_count (const SwittiTransformerConfig *config);
guint64 switti_vae_config_count (const SwittiVaeConfig *config);
guint64 switti_text_config_count (const SwittiTextConfig *config);
guint64 switti_bundle_parts_count (const SwittiBundleParts *parts);
char *switti_bundle_parts_to_json (const char *name, const char *path, const SwittiBundleParts *parts);

G_END_DECLS
