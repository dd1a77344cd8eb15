/* switti-recipe.c - parameters to and from JSON
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One table says what every parameter is called, where it is kept and what it may be; reading, checking and writing
 * go by it.
 */
#include "switti-recipe-private.h"

#include "switti-config-private.h"
#include "switti-error.h"
#include "switti-png-private.h"
#include "switti-source-private.h"
#include "switti-version.h"

#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <math.h>

/* Numbers up to here are exact in every JSON reader, those that hold numbers as double included. */
#define EXACT_INTEGER_LIMIT (G_GUINT64_CONSTANT (1) << 53)

/* A recipe is some hundred bytes, a long prompt, and the codes of a source. */
#define MAX_RECIPE_BYTES (4 * 1024 * 1024)

#define PARAMETER(name, published_name, kind_name, member, low, high, off)                                            \
  {                                                                                                                   \
    .property = name, .published = published_name, .kind = SWITTI_PARAMETER_##kind_name,                              \
    .offset = G_STRUCT_OFFSET (SwittiParameters, member), .minimum = low, .maximum = high, .zero_is_off = off,        \
  }

const SwittiParameterInfo switti_parameter_info[SWITTI_N_PARAMETERS] = {
  PARAMETER ("prompt", "prompt", STRING, prompt, 0, 0, FALSE),
  PARAMETER ("negative-prompt", "negative_prompt", STRING, negative_prompt, 0, 0, FALSE),
  PARAMETER ("seed", "seed", SEED, seed, 0, 0, FALSE),
  PARAMETER ("count", "count", INT, count, 1, SWITTI_MAX_COUNT, FALSE),
  PARAMETER ("guidance", "cfg", DOUBLE, guidance, 0, SWITTI_MAX_GUIDANCE, TRUE),
  PARAMETER ("top-k", "top_k", INT, top_k, 0, G_MAXINT, TRUE),
  PARAMETER ("top-p", "top_p", DOUBLE, top_p, 0, 1, TRUE),
  PARAMETER ("smooth", "more_smooth", BOOLEAN, smooth, 0, 1, FALSE),
  PARAMETER ("smooth-start", "smooth_start_si", INT, smooth_start, 0, SWITTI_MAX_SCALES, FALSE),
  PARAMETER ("guidance-start", "turn_on_cfg_start_si", INT, guidance_start, 0, SWITTI_MAX_SCALES, FALSE),
  PARAMETER ("guidance-end", "turn_off_cfg_start_si", INT, guidance_end, 0, SWITTI_MAX_SCALES, FALSE),
  PARAMETER ("last-scale-temperature", "last_scale_temp", DOUBLE, last_scale_temperature, 0, 100, TRUE),
  PARAMETER ("batch", "batch", INT, batch, 0, SWITTI_MAX_BATCH, FALSE),
  PARAMETER ("keep-scales", "keep_scales", INT, keep_scales, 0, SWITTI_MAX_SCALES, FALSE),
  PARAMETER ("stop-scale", "stop_scale", INT, stop_scale, 0, SWITTI_MAX_SCALES, FALSE),
};

void
switti_parameters_clear (SwittiParameters *parameters)
{
  g_clear_pointer (&parameters->prompt, g_free);
  g_clear_pointer (&parameters->negative_prompt, g_free);
  g_clear_object (&parameters->source);
  g_clear_pointer (&parameters->mask, g_bytes_unref);
}

void
switti_parameters_copy (const SwittiParameters *from, SwittiParameters *to)
{
  *to = *from;
  to->prompt = g_strdup (from->prompt);
  to->negative_prompt = g_strdup (from->negative_prompt);
  to->source = from->source ? g_object_ref (from->source) : NULL;
  to->mask = from->mask ? g_bytes_ref (from->mask) : NULL;
}

int
switti_parameters_count_kept (const SwittiParameters *parameters, int n_scales)
{
  return parameters->source ? MIN (parameters->keep_scales, n_scales) : 0;
}

int
switti_parameters_count_painted (const SwittiParameters *parameters, int n_scales)
{
  return parameters->stop_scale > 0 ? MIN (parameters->stop_scale, n_scales) : n_scales;
}

static gboolean
report_kind (const char *key, const char *expected, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("The recipe's “%s” is not %s."), key, expected);
  return FALSE;
}

static gboolean
read_string (const char *key, JsonNode *node, char **value, GError **error)
{
  if (json_node_get_value_type (node) != G_TYPE_STRING)
    return report_kind (key, _ ("text"), error);
  g_free (*value);
  *value = json_node_dup_string (node);
  return TRUE;
}

static gboolean
read_seed (const char *key, JsonNode *node, guint64 *value, GError **error)
{
  GType type = json_node_get_value_type (node);

  if (type == G_TYPE_INT64 && json_node_get_int (node) >= 0)
    {
      *value = (guint64) json_node_get_int (node);
      return TRUE;
    }
  if (type == G_TYPE_STRING
      && g_ascii_string_to_unsigned (json_node_get_string (node), 10, 0, G_MAXUINT64, value, NULL))
    return TRUE;
  return report_kind (key, _ ("a whole number from 0 to 18446744073709551615"), error);
}

/* Whole numbers may be written as 2 or as 2.0. */
static gboolean
read_number (const SwittiParameterInfo *info, const char *key, JsonNode *node, SwittiParameters *parameters,
             GError **error)
{
  gpointer field = G_STRUCT_MEMBER_P (parameters, info->offset);
  GType type = json_node_get_value_type (node);
  double number;

  if (type == G_TYPE_INT64)
    number = (double) json_node_get_int (node);
  else if (type == G_TYPE_DOUBLE)
    number = json_node_get_double (node);
  else
    return report_kind (key, _ ("a number"), error);
  if (info->kind == SWITTI_PARAMETER_DOUBLE)
    {
      if (!isfinite (number))
        return report_kind (key, _ ("a number"), error);
      *(double *) field = number;
      return TRUE;
    }
  if (!(number >= G_MININT && number <= G_MAXINT) || number != floor (number))
    return report_kind (key, _ ("a whole number"), error);
  *(int *) field = (int) number;
  return TRUE;
}

static gboolean
read_parameter (const SwittiParameterInfo *info, const char *key, JsonNode *node, SwittiParameters *parameters,
                GError **error)
{
  gpointer field = G_STRUCT_MEMBER_P (parameters, info->offset);

  if (json_node_is_null (node) && info->zero_is_off)
    {
      if (info->kind == SWITTI_PARAMETER_DOUBLE)
        *(double *) field = 0;
      else
        *(int *) field = 0;
      return TRUE;
    }
  if (!JSON_NODE_HOLDS_VALUE (node))
    return report_kind (key, _ ("a single value"), error);
  switch (info->kind)
    {
    case SWITTI_PARAMETER_STRING:
      return read_string (key, node, field, error);
    case SWITTI_PARAMETER_SEED:
      return read_seed (key, node, field, error);
    case SWITTI_PARAMETER_BOOLEAN:
      if (json_node_get_value_type (node) != G_TYPE_BOOLEAN)
        return report_kind (key, _ ("true or false"), error);
      *(gboolean *) field = json_node_get_boolean (node);
      return TRUE;
    default:
      return read_number (info, key, node, parameters, error);
    }
}

/* null takes the source away. */
static gboolean
read_source (JsonObject *object, SwittiParameters *parameters, GError **error)
{
  JsonNode *node = json_object_get_member (object, "source");

  if (node == NULL)
    return TRUE;
  g_clear_object (&parameters->source);
  if (json_node_is_null (node))
    return TRUE;
  parameters->source = switti_source_from_json (node, error);
  return parameters->source != NULL;
}

static gboolean
read_mask (JsonObject *object, SwittiParameters *parameters, GError **error)
{
  JsonNode *node = json_object_get_member (object, "mask");

  if (node == NULL)
    return TRUE;
  g_clear_pointer (&parameters->mask, g_bytes_unref);
  if (json_node_is_null (node))
    return TRUE;
  parameters->mask = switti_mask_from_json (node, error);
  return parameters->mask != NULL;
}

gboolean
switti_recipe_read (JsonObject *object, SwittiParameters *parameters, GError **error)
{
  SwittiParameters read;
  gboolean good = TRUE;

  switti_parameters_copy (parameters, &read);
  for (guint i = 0; good && i < SWITTI_N_PARAMETERS; i++)
    {
      const SwittiParameterInfo *info = &switti_parameter_info[i];
      const char *key = json_object_has_member (object, info->published) ? info->published : info->property;

      if (json_object_has_member (object, key))
        good = read_parameter (info, key, json_object_get_member (object, key), &read, error);
    }
  good = good && read_source (object, &read, error) && read_mask (object, &read, error)
         && switti_parameters_check (&read, error);
  switti_parameters_clear (good ? parameters : &read);
  if (good)
    *parameters = read;
  return good;
}

static gboolean
check_range (const SwittiParameterInfo *info, double value, GError **error)
{
  char text[3][G_ASCII_DTOSTR_BUF_SIZE];

  if (value >= info->minimum && value <= info->maximum)
    return TRUE;
  g_ascii_formatd (text[0], sizeof text[0], "%.10g", value);
  g_ascii_formatd (text[1], sizeof text[1], "%.10g", info->minimum);
  g_ascii_formatd (text[2], sizeof text[2], "%.10g", info->maximum);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("“%s” is %s, but it must be from %s to %s."),
               info->property, text[0], text[1], text[2]);
  return FALSE;
}

gboolean
switti_parameters_check (const SwittiParameters *parameters, GError **error)
{
  for (guint i = 0; i < SWITTI_N_PARAMETERS; i++)
    {
      const SwittiParameterInfo *info = &switti_parameter_info[i];
      gconstpointer field = G_STRUCT_MEMBER_P (parameters, info->offset);

      if (info->kind == SWITTI_PARAMETER_INT && !check_range (info, *(const int *) field, error))
        return FALSE;
      if (info->kind == SWITTI_PARAMETER_DOUBLE && !check_range (info, *(const double *) field, error))
        return FALSE;
    }
  return TRUE;
}

static void
write_parameter (JsonObject *object, const SwittiParameterInfo *info, const SwittiParameters *parameters)
{
  gconstpointer field = G_STRUCT_MEMBER_P (parameters, info->offset);

  switch (info->kind)
    {
    case SWITTI_PARAMETER_STRING:
      {
        const char *text = *(char *const *) field;
        json_object_set_string_member (object, info->published, text ? text : "");
        break;
      }
    case SWITTI_PARAMETER_SEED:
      {
        guint64 seed = *(const guint64 *) field;
        if (seed < EXACT_INTEGER_LIMIT)
          json_object_set_int_member (object, info->published, (gint64) seed);
        else
          {
            g_autofree char *digits = g_strdup_printf ("%" G_GUINT64_FORMAT, seed);
            json_object_set_string_member (object, info->published, digits);
          }
        break;
      }
    case SWITTI_PARAMETER_INT:
      json_object_set_int_member (object, info->published, *(const int *) field);
      break;
    case SWITTI_PARAMETER_DOUBLE:
      json_object_set_double_member (object, info->published, *(const double *) field);
      break;
    case SWITTI_PARAMETER_BOOLEAN:
      json_object_set_boolean_member (object, info->published, *(const gboolean *) field);
      break;
    }
}

/* What the picture starts from, where that shows in it. */
static void
write_source (JsonObject *object, const SwittiParameters *parameters, SwittiBundle *bundle)
{
  int kept = parameters->source ? parameters->keep_scales : 0;
  int needed = parameters->mask ? (bundle ? switti_bundle_get_n_scales (bundle) : G_MAXINT) : kept;

  if (parameters->source == NULL || needed == 0)
    {
      json_object_remove_member (object, "keep_scales");
      return;
    }
  json_object_set_member (object, "source",
                          switti_source_to_json (switti_source_resolve (parameters->source, needed)));
  if (parameters->mask)
    json_object_set_member (object, "mask", switti_mask_to_json (parameters->mask));
}

JsonObject *
switti_recipe_build (const SwittiParameters *parameters, SwittiBundle *bundle, int image_index)
{
  SwittiParameters single = *parameters;
  JsonObject *object = json_object_new ();

  single.seed += (guint64) image_index;
  single.count = 1;
  json_object_set_string_member (object, "generator", "switti");
  json_object_set_string_member (object, "version", switti_version_string ());
  for (guint i = 0; i < SWITTI_N_PARAMETERS; i++)
    write_parameter (object, &switti_parameter_info[i], &single);
  /* How many are painted at once does not change a picture. */
  json_object_remove_member (object, "batch");
  /* The recipe of a picture that was stopped half-way is that of the whole one. */
  json_object_remove_member (object, "stop_scale");
  write_source (object, &single, bundle);
  if (bundle)
    {
      int side = switti_bundle_get_resolution (bundle);
      g_autofree char *hash = switti_bundle_hash (bundle, NULL, NULL);

      json_object_set_string_member (object, "model", switti_bundle_get_name (bundle));
      /* A model that cannot be read any more has no hash to state; the recipe is good without. */
      if (hash)
        json_object_set_string_member (object, "model_hash", hash);
      json_object_set_int_member (object, "width", side);
      json_object_set_int_member (object, "height", side);
    }
  return object;
}

char *
switti_recipe_to_string (JsonObject *object)
{
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);

  json_node_take_object (node, object);
  return json_to_string (node, TRUE);
}

/* What is no regular file, such as the standard input, cannot be read twice. */
static gboolean
is_png (const char *path)
{
  guint8 start[8] = { 0 };
  gboolean regular = g_file_test (path, G_FILE_TEST_IS_REGULAR);
  FILE *file = regular ? g_fopen (path, "rb") : NULL;
  gsize n = file ? fread (start, 1, sizeof start, file) : 0;

  if (file)
    fclose (file);
  return n == sizeof start && memcmp (start, "\x89PNG\r\n\x1a\n", sizeof start) == 0;
}

char *
switti_recipe_load (const char *path, GError **error)
{
  g_autofree char *display = g_filename_display_name (path);
  g_autoptr (GError) local = NULL;
  char *recipe = NULL;
  GStatBuf status;

  if (is_png (path))
    return switti_png_load_recipe (path, error);
  if (g_stat (path, &status) == 0 && status.st_size > MAX_RECIPE_BYTES)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("%s is too large for a recipe."), display);
  else if (!g_file_get_contents (path, &recipe, NULL, &local))
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot read the recipe: %s."), local->message);
  return recipe;
}
