/* parameters.c - the sampler's parameters as options
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-recipe-private.h"

#include <glib/gi18n.h>
#include <math.h>

static gboolean on_parameter (const char *option, const char *text, gpointer data, GError **error);

#define PARAMETER(name, help, argument)                                                                               \
  {                                                                                                                   \
    name, 0, 0, G_OPTION_ARG_CALLBACK, (gpointer) on_parameter, help, argument                                        \
  }
#define SWITCH(name, help)                                                                                            \
  {                                                                                                                   \
    name, 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, (gpointer) on_parameter, help, NULL                         \
  }

const GOptionEntry cli_parameter_entries[] = {
  PARAMETER ("prompt", N_ ("What the picture shows"), N_ ("TEXT")),
  PARAMETER ("negative", N_ ("What to steer away from"), N_ ("TEXT")),
  PARAMETER ("seed", N_ ("Seed of the first picture, the next ones count up (default: random)"), N_ ("N")),
  PARAMETER ("count", N_ ("How many pictures"), N_ ("N")),
  PARAMETER ("cfg", N_ ("How strongly to follow the prompt, 0 to 100"), N_ ("X")),
  PARAMETER ("top-k", N_ ("Draw from the K likeliest codes; 0: from all"), N_ ("K")),
  PARAMETER ("top-p", N_ ("Draw from the likeliest codes of this share, 0 to 1; 0: from all"), N_ ("P")),
  SWITCH ("smooth", N_ ("Mix all codes at the middle scales")),
  SWITCH ("no-smooth", N_ ("Draw one code at every scale")),
  PARAMETER ("smooth-start", N_ ("First smooth scale, counted from 0"), N_ ("S")),
  PARAMETER ("cfg-start", N_ ("First guided scale"), N_ ("S")),
  PARAMETER ("cfg-end", N_ ("First scale that is not guided any more"), N_ ("S")),
  PARAMETER ("last-scale-temperature", N_ ("Temperature of the scales after --cfg-end; 0: off"), N_ ("X")),
  PARAMETER ("batch", N_ ("Pictures to paint at once; 0: choose. Does not change them"), N_ ("N")),
  PARAMETER ("keep-scales", N_ ("Scales to keep of the picture to start from; S: all (default: half)"), N_ ("K")),
  PARAMETER ("stop-scale", N_ ("Paint only so many scales; 0: all"), N_ ("K")),
  { NULL },
};

/* Options that are not called as the property is. */
static const struct
{
  const char *option, *property;
} renamed[] = {
  { "negative", "negative-prompt" },
  { "cfg", "guidance" },
  { "no-smooth", "smooth" },
  { "cfg-start", "guidance-start" },
  { "cfg-end", "guidance-end" },
};

static const SwittiParameterInfo *
find_parameter (const char *option)
{
  const char *property = option;

  for (guint i = 0; i < G_N_ELEMENTS (renamed); i++)
    if (g_str_equal (option, renamed[i].option))
      property = renamed[i].property;
  for (guint i = 0; i < SWITTI_N_PARAMETERS; i++)
    if (g_str_equal (property, switti_parameter_info[i].property))
      return &switti_parameter_info[i];
  g_assert_not_reached ();
}

static void
value_free (gpointer data)
{
  g_value_unset (data);
  g_free (data);
}

static gboolean
parse_double (const char *text, double *number)
{
  char *end = NULL;

  *number = g_ascii_strtod (text, &end);
  return end != text && *end == '\0' && isfinite (*number);
}

static GValue *
parse_value (const SwittiParameterInfo *info, const char *option, const char *text, const char **expected)
{
  GValue *value = g_new0 (GValue, 1);
  gint64 integer = 0;
  guint64 seed = 0;
  double number = 0;
  gboolean good = TRUE;

  switch (info->kind)
    {
    case SWITTI_PARAMETER_STRING:
      g_value_set_string (g_value_init (value, G_TYPE_STRING), text);
      break;
    case SWITTI_PARAMETER_SEED:
      *expected = _ ("a whole number from 0 to 18446744073709551615");
      good = g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &seed, NULL);
      g_value_set_uint64 (g_value_init (value, G_TYPE_UINT64), seed);
      break;
    case SWITTI_PARAMETER_INT:
      *expected = _ ("a whole number");
      good = g_ascii_string_to_signed (text, 10, G_MININT, G_MAXINT, &integer, NULL);
      g_value_set_int (g_value_init (value, G_TYPE_INT), (int) integer);
      break;
    case SWITTI_PARAMETER_DOUBLE:
      *expected = _ ("a number");
      good = parse_double (text, &number);
      g_value_set_double (g_value_init (value, G_TYPE_DOUBLE), number);
      break;
    case SWITTI_PARAMETER_BOOLEAN:
      g_value_set_boolean (g_value_init (value, G_TYPE_BOOLEAN), !g_str_has_prefix (option, "no-"));
      break;
    }
  if (good)
    return value;
  value_free (value);
  return NULL;
}

static gboolean
on_parameter (const char *option, const char *text, gpointer data, GError **error)
{
  CliParameters *self = data;
  const char *name = option + strspn (option, "-");
  const SwittiParameterInfo *info = find_parameter (name);
  const char *expected = "";
  GValue *value = parse_value (info, name, text, &expected);

  if (value == NULL)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _ ("%s takes %s, not “%s”."), option, expected,
                   text);
      return FALSE;
    }
  g_hash_table_replace (self->values, (gpointer) info->property, value);
  return TRUE;
}

void
cli_parameters_init (CliParameters *self)
{
  self->values = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, value_free);
}

void
cli_parameters_clear (CliParameters *self)
{
  g_clear_pointer (&self->values, g_hash_table_unref);
}

gboolean
cli_parameters_has (CliParameters *self, const char *property)
{
  return g_hash_table_contains (self->values, property);
}

void
cli_parameters_apply (CliParameters *self, SwittiRequest *request)
{
  GHashTableIter iter;
  gpointer property, value;

  g_hash_table_iter_init (&iter, self->values);
  while (g_hash_table_iter_next (&iter, &property, &value))
    g_object_set_property (G_OBJECT (request), property, value);
}
