/* switti-bundle.h - a model folder
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-macros.h"

#include <gio/gio.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_BUNDLE (switti_bundle_get_type ())
SWITTI_AVAILABLE
G_DECLARE_FINAL_TYPE (SwittiBundle, switti_bundle, SWITTI, BUNDLE, GObject)

/**
 * switti_bundle_open:
 * @name_or_path: (nullable): a model's name, a folder's path, or %NULL for the default model
 * @error: return location for a #GError
 *
 * Opens a model folder in the layout of diffusers. A name is looked up in `$SWITTI_MODEL_PATH`,
 * `$XDG_DATA_HOME/switti/models`, the system data folders and the build tree, in this order. Reads the configurations and
 * checks the weights' headers, but not the weights.
 *
 * Returns: (transfer full): the bundle, or %NULL with @error set
 */
SWITTI_AVAILABLE
SwittiBundle *switti_bundle_open (const char *name_or_path, GError **error);

/**
 * switti_bundle_list:
 *
 * Returns: (transfer full) (array zero-terminated=1): names of the models in the search folders, the default one first
 */
SWITTI_AVAILABLE
char **switti_bundle_list (void);

/**
 * switti_bundle_get_search_path:
 *
 * Returns: (transfer full) (array zero-terminated=1): the folders models are looked up in, first to last
 */
SWITTI_AVAILABLE
char **switti_bundle_get_search_path (void);

/** Returns: (transfer none): the folder's name */
SWITTI_AVAILABLE
const char *switti_bundle_get_name (SwittiBundle *self);

/** Returns: (transfer none): the folder's path */
SWITTI_AVAILABLE
const char *switti_bundle_get_path (SwittiBundle *self);

/** Returns: side of the pictures in pixels: 256, 512 or 1024 for published models */
SWITTI_AVAILABLE
int switti_bundle_get_resolution (SwittiBundle *self);

/** Returns: number of scales S */
SWITTI_AVAILABLE
int switti_bundle_get_n_scales (SwittiBundle *self);

/** Returns: number of parameters of all parts */
SWITTI_AVAILABLE
guint64 switti_bundle_get_n_parameters (SwittiBundle *self);

/** Returns: (transfer none): what the model knows, for people; from its README.md, "" where there is none */
SWITTI_AVAILABLE
const char *switti_bundle_get_description (SwittiBundle *self);

/** Returns: (transfer none): a JSON object of all parts' shapes, for `switti models info --json` */
SWITTI_AVAILABLE
const char *switti_bundle_get_info_json (SwittiBundle *self);

/**
 * switti_bundle_hash:
 * @self: a bundle
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * SHA-256 over the names, configurations and weights of all parts; reads the whole model once, then is remembered.
 *
 * Returns: (transfer full): hexadecimal, or %NULL with @error set
 */
SWITTI_AVAILABLE
char *switti_bundle_hash (SwittiBundle *self, GCancellable *cancellable, GError **error);

G_END_DECLS
