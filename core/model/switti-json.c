/* switti-json.c - JSON from files that nobody vouches for
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-json-private.h"

#include "switti-error.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_NESTING 64

/* Whether the text's outline is JSON's: between strings only the characters of JSON, brackets no deeper than
 * MAX_NESTING. Sound as a bound on the parser's recursion, since nothing that could hide a bracket from this loop but
 * not from the parser (comments, single quotes) is let through. */
static gboolean
check_outline (const char *text, gsize length, const char *description, GError **error)
{
  gboolean in_string = FALSE;
  int depth = 0;

  for (gsize i = 0; i < length; i++)
    {
      char c = text[i];

      if (in_string)
        {
          if (c == '\\' && i + 1 < length)
            i++;
          else if (c == '"')
            in_string = FALSE;
        }
      else if (c == '"')
        in_string = TRUE;
      else if (c == '{' || c == '[')
        depth++;
      else if (c == '}' || c == ']')
        depth--;
      else if (!g_ascii_isalnum (c) && (c == '\0' || strchr (" \t\r\n,:+-.", c) == NULL))
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                       _ ("%s is not valid JSON: there is a stray character at byte %zu."), description, i);
          return FALSE;
        }

      if (depth > MAX_NESTING)
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                       _ ("%s is nested deeper than %d levels, which no model file needs."), description, MAX_NESTING);
          return FALSE;
        }
    }
  return TRUE;
}

static void
count_member (JsonParser *parser, JsonObject *object, const char *name, gpointer user_data)
{
  gsize *count = user_data;

  *count += 1;
}

static gsize count_members (JsonNode *node);

static void
add_element_members (JsonArray *array, guint index, JsonNode *element, gpointer user_data)
{
  gsize *count = user_data;

  *count += count_members (element);
}

static void
add_member_members (JsonObject *object, const char *name, JsonNode *member, gpointer user_data)
{
  gsize *count = user_data;

  *count += 1 + count_members (member);
}

/* Members of all objects in the tree. */
static gsize
count_members (JsonNode *node)
{
  gsize count = 0;

  if (JSON_NODE_HOLDS_OBJECT (node))
    json_object_foreach_member (json_node_get_object (node), add_member_members, &count);
  else if (JSON_NODE_HOLDS_ARRAY (node))
    json_array_foreach_element (json_node_get_array (node), add_element_members, &count);
  return count;
}

JsonObject *
switti_json_parse_object (const char *text, gssize length, const char *description, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) parse_error = NULL;
  gsize n_bytes = length < 0 ? strlen (text) : (gsize) length;
  gsize n_parsed_members = 0;
  JsonNode *root;

  if (!g_utf8_validate (text, (gssize) n_bytes, NULL))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("%s is not valid JSON: it is not UTF-8 text."),
                   description);
      return NULL;
    }
  if (!check_outline (text, n_bytes, description, error))
    return NULL;

#if JSON_CHECK_VERSION(1, 10, 0)
  json_parser_set_strict (parser, TRUE);
#endif
  g_signal_connect (parser, "object-member", G_CALLBACK (count_member), &n_parsed_members);
  if (!json_parser_load_from_data (parser, text, (gssize) n_bytes, &parse_error))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("%s is not valid JSON: %s."), description,
                   parse_error->message);
      return NULL;
    }

  root = json_parser_get_root (parser);
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("%s does not hold a JSON object."), description);
      return NULL;
    }
  /* A repeated name replaces the earlier member, so that fewer are in the tree than were parsed. */
  if (count_members (root) != n_parsed_members)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s holds a name twice in the same JSON object."), description);
      return NULL;
    }
  return json_object_ref (json_node_get_object (root));
}

JsonObject *
switti_json_load_object (const char *path, gsize max_bytes, GError **error)
{
  g_autoptr (GMappedFile) file = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) open_error = NULL;
  g_autofree char *description = g_strdup_printf ("“%s”", path);

  file = g_mapped_file_new (path, FALSE, &open_error);
  if (file == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("A file of the model could not be read: %s."),
                   open_error->message);
      return NULL;
    }
  if (g_mapped_file_get_length (file) > max_bytes)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("“%s” is too large: %zu bytes, where at most %zu are expected."), path,
                   g_mapped_file_get_length (file), max_bytes);
      return NULL;
    }

  /* An empty file has no contents to map; it is not JSON either. */
  bytes = g_mapped_file_get_bytes (file);
  return switti_json_parse_object (g_bytes_get_size (bytes) > 0 ? g_bytes_get_data (bytes, NULL) : "",
                                   (gssize) g_bytes_get_size (bytes), description, error);
}

gboolean
switti_json_node_get_integer (JsonNode *node, gint64 *value)
{
  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_INT64)
    return FALSE;
  *value = json_node_get_int (node);
  return TRUE;
}

static JsonNode *
get_member (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node == NULL || JSON_NODE_HOLDS_NULL (node) ? NULL : node;
}

gboolean
switti_json_read_int (JsonObject *object, const char *name, gint64 min, gint64 max, int *value, const char *description,
                      GError **error)
{
  JsonNode *node = get_member (object, name);
  gint64 number;

  if (node == NULL)
    return TRUE;
  if (!switti_json_node_get_integer (node, &number) || number < min || number > max)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("In %s, “%s” must be a whole number from %" PRId64 " to %" PRId64 "."), description, name, min,
                   max);
      return FALSE;
    }
  *value = (int) number;
  return TRUE;
}

gboolean
switti_json_read_double (JsonObject *object, const char *name, double min, double max, double *value,
                         const char *description, GError **error)
{
  JsonNode *node = get_member (object, name);
  GType type;
  double number;

  if (node == NULL)
    return TRUE;
  type = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_value_type (node) : G_TYPE_INVALID;
  number = type == G_TYPE_INT64 || type == G_TYPE_DOUBLE ? json_node_get_double (node) : NAN;
  if (!(number >= min && number <= max))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("In %s, “%s” must be a number from %g to %g."),
                   description, name, min, max);
      return FALSE;
    }
  *value = number;
  return TRUE;
}

gboolean
switti_json_read_boolean (JsonObject *object, const char *name, gboolean *value, const char *description,
                          GError **error)
{
  JsonNode *node = get_member (object, name);

  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID, _ ("In %s, “%s” must be true or false."),
                   description, name);
      return FALSE;
    }
  *value = json_node_get_boolean (node);
  return TRUE;
}

const char *
switti_json_get_string (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
    return NULL;
  return json_node_get_string (node);
}

JsonObject *
switti_json_get_object (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

JsonArray *
switti_json_get_array (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
}
