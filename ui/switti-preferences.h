/* switti-preferences.h - what holds for every picture, kept in a key file
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_PREFERENCES (switti_preferences_get_type ())
G_DECLARE_FINAL_TYPE (SwittiPreferences, switti_preferences, SWITTI, PREFERENCES, GObject)

/* Reads what is kept in @path (filename; nullable: in memory alone); what is not there has its default. The folders
 * become switti_bundle_set_own_folders()'s.
 *
 * Properties: device (string, "auto"), precision (string, "auto"; "f32", "bf16"), memory (string, "auto"; "low"), batch
 * (int, 0: pictures at once, as many as fit), keep-loaded (boolean, TRUE: the model stays in memory between pictures),
 * welcomed (boolean, FALSE: the first-run page was seen). A change is written at once. */
SwittiPreferences *switti_preferences_new (const char *path);

/* The model folders that the user has chosen, ending with NULL (transfer none). */
const char *const *switti_preferences_get_folders (SwittiPreferences *self);
void switti_preferences_add_folder (SwittiPreferences *self, const char *folder);
void switti_preferences_remove_folder (SwittiPreferences *self, const char *folder);

/* Why the last change could not be written (transfer none), or NULL. */
const GError *switti_preferences_get_error (SwittiPreferences *self);

G_END_DECLS
