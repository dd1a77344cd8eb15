/* switti-json-private.h - JSON from files that nobody vouches for
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Parses `length` bytes (-1: up to the NUL) that must be one JSON object in UTF-8. json-glib parses; what it would let
 * pass is refused before or after it: nesting deeper than 64 levels (its parser calls itself), a member that is there
 * twice (the last one would silently win), comments and other things that are not JSON.
 * NULL with SWITTI_ERROR_MODEL_INVALID set: "<description> …". */
JsonObject *switti_json_parse_object (const char *text, gssize length, const char *description, GError **error);

/* The same for a file. A file above max_bytes is refused unread. */
JsonObject *switti_json_load_object (const char *path, gsize max_bytes, GError **error);

/* Member `name` as an integer in [min, max], a finite number in [min, max], a boolean. Absent or null: *value is left
 * alone and TRUE is returned. FALSE with SWITTI_ERROR_MODEL_INVALID set, naming description, member and range. */
gboolean switti_json_read_int (JsonObject *object, const char *name, gint64 min, gint64 max, int *value,
                               const char *description, GError **error);
gboolean switti_json_read_double (JsonObject *object, const char *name, double min, double max, double *value,
                                  const char *description, GError **error);
gboolean switti_json_read_boolean (JsonObject *object, const char *name, gboolean *value, const char *description,
                                   GError **error);

/* Member `name` where it is a string, an object or an array; otherwise NULL. Owned by `object`. */
const char *switti_json_get_string (JsonObject *object, const char *name);
JsonObject *switti_json_get_object (JsonObject *object, const char *name);
JsonArray *switti_json_get_array (JsonObject *object, const char *name);

/* *value is the node's integer: TRUE for a number written without fraction or exponent. */
gboolean switti_json_node_get_integer (JsonNode *node, gint64 *value);

G_END_DECLS
