/* switti-bundle.h - a model folder
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-macros.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * SwittiBundle:
 *
 * A model folder: the configurations and weights of the text encoders, the transformer and the VAE. It does not change
 * and may be used from any thread.
 */
#define SWITTI_TYPE_BUNDLE (switti_bundle_get_type ())
SWITTI_AVAILABLE
G_DECLARE_FINAL_TYPE (SwittiBundle, switti_bundle, SWITTI, BUNDLE, GObject)

/**
 * switti_bundle_open:
 * @name_or_path: (nullable): a model's name, a folder's path, or %NULL for the default model
 * @error: return location for a #GError
 *
 * Opens a model folder in the layout of diffusers. A name is looked up in `$SWITTI_MODEL_PATH`,
 * `$XDG_DATA_HOME/switti/models`, the system data folders and the build tree, in this order. Reads the configurations
 * and checks the weights' headers, but not the weights.
 *
 * Returns: (transfer full): the bundle, or %NULL with @error set
 */
SWITTI_AVAILABLE
SwittiBundle *switti_bundle_open (const char *name_or_path, GError **error);

/**
 * switti_bundle_list:
 *
 * Lists what switti_bundle_open() finds by name.
 *
 * Returns: (transfer full) (array zero-terminated=1): names of the models in the search folders, the default one first
 */
SWITTI_AVAILABLE
char **switti_bundle_list (void);

/**
 * switti_bundle_set_own_folders:
 * @folders: (nullable) (array zero-terminated=1) (element-type filename): folders, or %NULL for none
 *
 * Sets folders that the user of a program has chosen, each a model or a folder of models; they are searched behind
 * `$SWITTI_MODEL_PATH` and before all others, in the whole program from now on. From any thread.
 */
SWITTI_AVAILABLE
void switti_bundle_set_own_folders (const char *const *folders);

/**
 * switti_bundle_get_search_path:
 *
 * Says where models are looked for.
 *
 * Returns: (transfer full) (array zero-terminated=1) (element-type filename): the folders, first to last
 */
SWITTI_AVAILABLE
char **switti_bundle_get_search_path (void);

/**
 * switti_bundle_get_name:
 * @self: a bundle
 *
 * What the model is called.
 *
 * Returns: (transfer none): the folder's name
 */
SWITTI_AVAILABLE
const char *switti_bundle_get_name (SwittiBundle *self);

/**
 * switti_bundle_get_path:
 * @self: a bundle
 *
 * Where the model is.
 *
 * Returns: (transfer none) (type filename): the folder's path
 */
SWITTI_AVAILABLE
const char *switti_bundle_get_path (SwittiBundle *self);

/**
 * switti_bundle_get_resolution:
 * @self: a bundle
 *
 * The side of the pictures that it paints.
 *
 * Returns: pixels: 256, 512 or 1024 for published models
 */
SWITTI_AVAILABLE
int switti_bundle_get_resolution (SwittiBundle *self);

/**
 * switti_bundle_get_n_scales:
 * @self: a bundle
 *
 * How many scales a picture is made of.
 *
 * Returns: the number of scales S
 */
SWITTI_AVAILABLE
int switti_bundle_get_n_scales (SwittiBundle *self);

/**
 * switti_bundle_get_n_parameters:
 * @self: a bundle
 *
 * How large the model is.
 *
 * Returns: the number of parameters of all parts
 */
SWITTI_AVAILABLE
guint64 switti_bundle_get_n_parameters (SwittiBundle *self);

/**
 * switti_bundle_get_description:
 * @self: a bundle
 *
 * What the model knows, for people.
 *
 * Returns: (transfer none): text from its README.md, "" where there is none
 */
SWITTI_AVAILABLE
const char *switti_bundle_get_description (SwittiBundle *self);

/**
 * switti_bundle_get_info_json:
 * @self: a bundle
 *
 * The shapes of all parts, for programs.
 *
 * Returns: (transfer none): a JSON object
 */
SWITTI_AVAILABLE
const char *switti_bundle_get_info_json (SwittiBundle *self);

/**
 * switti_bundle_apply_lora:
 * @self: a bundle
 * @path: (type filename): a LoRA's safetensors file
 * @scale: how much of it; 1 for what it was trained to be
 * @error: return location for a #GError
 *
 * Makes a bundle whose transformer has the low-rank additions of a file, as `switti-train --lora-rank` writes it, and
 * otherwise the parts of @self. Several can be applied one after another. They are added to the weights when these are
 * loaded, so that painting takes as long as before.
 *
 * Returns: (transfer full): a new bundle of the same name, or %NULL with @error set
 */
SWITTI_AVAILABLE
SwittiBundle *switti_bundle_apply_lora (SwittiBundle *self, const char *path, double scale, GError **error);

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
