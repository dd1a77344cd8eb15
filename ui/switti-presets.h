/* switti-presets.h - named sets of values, kept in a key file
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_PRESETS (switti_presets_get_type ())
G_DECLARE_FINAL_TYPE (SwittiPresets, switti_presets, SWITTI, PRESETS, GObject)

/* Reads what is kept in @path (filename; nullable: in memory alone); a file that is not there, or is none of ours, has
 * no presets. Signal: changed (), when one comes or goes. */
SwittiPresets *switti_presets_new (const char *path);

/* The names, sorted as people sort (transfer full). */
char **switti_presets_list (SwittiPresets *self);

/* Keeps the values of @properties (ends with NULL) of @object under @name, in place of what had the name. Values are of
 * type string, int, double or boolean. */
gboolean switti_presets_save (SwittiPresets *self, const char *name, GObject *object, const char *const *properties,
                              GError **error);

/* Sets those of @properties that the preset has a value for; what is out of range is brought into it. Returns FALSE
 * where there is no preset of the name. */
gboolean switti_presets_apply (SwittiPresets *self, const char *name, GObject *object, const char *const *properties);

gboolean switti_presets_remove (SwittiPresets *self, const char *name, GError **error);

G_END_DECLS
