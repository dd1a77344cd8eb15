/* switti-command.c - settings as a command to paste into a script
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-command.h"

#include <string.h>

/* One argument of the procedure that is not its default. */
typedef struct
{
  const char *name; /* static */
  char *text;       /* of a string or a choice; NULL: a number */
  double number;
  gboolean is_integer;
} Argument;

static void
argument_clear (gpointer data)
{
  g_free (((Argument *) data)->text);
}

static void
add_text (GArray *arguments, const char *name, const char *text)
{
  Argument argument = { .name = name, .text = g_strdup (text) };

  g_array_append_val (arguments, argument);
}

static void
add_number (GArray *arguments, const char *name, double number, gboolean is_integer)
{
  Argument argument = { .name = name, .number = number, .is_integer = is_integer };

  g_array_append_val (arguments, argument);
}

/* -- what is said ------------------------------------------------------------------------------------------------ */

static void
add_start (GArray *arguments, const SwittiStart *start)
{
  static const char *const modes[] = { "new", "fill", "variation" };
  static const char *const strengths[] = { "default", "detail", "composition", "layout", "idea", "anew" };

  if (start->recipe_file)
    add_text (arguments, "recipe-file", start->recipe_file);
  if (start->mode == SWITTI_MODE_NEW)
    return;
  add_text (arguments, "mode", modes[start->mode]);
  if (start->keep_scales >= 0)
    add_number (arguments, "keep-scales", start->keep_scales, TRUE);
  else if (start->strength != SWITTI_STRENGTH_DEFAULT)
    add_text (arguments, "strength", strengths[start->strength]);
  if (start->mode != SWITTI_MODE_FILL)
    return;
  if (start->grow != 0)
    add_number (arguments, "grow", start->grow, TRUE);
  add_number (arguments, "feather", start->feather, FALSE);
  add_number (arguments, "context", start->context, FALSE);
}

static void
add_sampling (GArray *arguments, const SwittiSettings *settings)
{
  if (settings->smooth >= 0)
    add_text (arguments, "smooth", settings->smooth ? "on" : "off");
  for (int i = 0; i < SWITTI_N_KNOBS; i++)
    if (settings->knobs[i] >= 0.0)
      add_number (arguments, switti_knobs[i].name, settings->knobs[i], switti_knobs[i].is_integer);
}

static const char *
precision_name (SwittiPrecision precision)
{
  return precision == SWITTI_PRECISION_BF16 ? "bf16" : precision == SWITTI_PRECISION_F32 ? "f32" : "auto";
}

/* All but the seed, which each language writes in its own way. */
static GArray *
collect (const SwittiSettings *settings)
{
  static const char *const outputs[] = { "auto", "new-image", "new-layer", "layer-group" };
  GArray *arguments = g_array_new (FALSE, FALSE, sizeof (Argument));

  g_array_set_clear_func (arguments, argument_clear);
  add_text (arguments, "prompt", settings->prompt);
  if (*settings->negative_prompt)
    add_text (arguments, "negative-prompt", settings->negative_prompt);
  if (settings->model)
    add_text (arguments, "model", settings->model);
  add_number (arguments, "count", settings->count, TRUE);
  if (settings->output != SWITTI_OUTPUT_AUTO)
    add_text (arguments, "output", outputs[settings->output]);
  add_start (arguments, &settings->start);
  add_sampling (arguments, settings);
  if (settings->batch > 0)
    add_number (arguments, "batch", settings->batch, TRUE);
  if (!g_str_equal (settings->device, "auto"))
    add_text (arguments, "device", settings->device);
  if (settings->precision != SWITTI_PRECISION_AUTO)
    add_text (arguments, "precision", precision_name (settings->precision));
  if (settings->memory == SWITTI_MEMORY_LOW)
    add_text (arguments, "memory", "low");
  return arguments;
}

/* -- how it is written ------------------------------------------------------------------------------------------ */

/* A string literal of Scheme or Python: backslashes before what ends it, and no line break inside. */
static void
append_quoted (GString *out, const char *text, char quote)
{
  g_string_append_c (out, quote);
  for (; *text; text++)
    {
      if (*text == quote || *text == '\\')
        g_string_append_c (out, '\\');
      if (*text == '\n')
        g_string_append (out, "\\n");
      else if (*text == '\r')
        g_string_append (out, "\\r");
      else
        g_string_append_c (out, *text);
    }
  g_string_append_c (out, quote);
}

/* Whatever the locale. Doubles keep their point: Python's properties ask for it. */
static void
append_number (GString *out, const Argument *argument)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  if (argument->is_integer)
    {
      g_string_append_printf (out, "%d", (int) argument->number);
      return;
    }
  /* 0.95 as it was typed, where that is the same number. */
  g_ascii_formatd (text, sizeof text, "%.15g", argument->number);
  if (g_ascii_strtod (text, NULL) != argument->number)
    g_ascii_dtostr (text, sizeof text, argument->number);
  g_string_append (out, text);
  if (strpbrk (text, ".en") == NULL)
    g_string_append (out, ".0");
}

static char *
write_script_fu (const SwittiSettings *settings, GArray *arguments)
{
  GString *out = g_string_new ("(plug-in-switti #:run-mode RUN-NONINTERACTIVE");

  if (settings->start.mode != SWITTI_MODE_NEW)
    g_string_append (out, "\n                #:image (vector-ref (car (gimp-get-images)) 0)");
  g_string_append_printf (out, "\n                #:seed %" G_GUINT64_FORMAT, settings->seed);
  for (guint i = 0; i < arguments->len; i++)
    {
      const Argument *argument = &g_array_index (arguments, Argument, i);

      g_string_append_printf (out, "\n                #:%s ", argument->name);
      if (argument->text)
        append_quoted (out, argument->text, '"');
      else
        append_number (out, argument);
    }
  g_string_append (out, ")\n");
  return g_string_free (out, FALSE);
}

static char *
write_python (const SwittiSettings *settings, GArray *arguments)
{
  GString *out = g_string_new ("from gi.repository import Gimp, Gio\n\n"
                               "procedure = Gimp.get_pdb().lookup_procedure('plug-in-switti')\n"
                               "config = procedure.create_config()\n");

  if (settings->start.mode != SWITTI_MODE_NEW)
    g_string_append (out, "config.set_property('image', Gimp.get_images()[0])\n");
  g_string_append_printf (out, "config.set_property('seed', %" G_GUINT64_FORMAT ".0)\n", settings->seed);
  for (guint i = 0; i < arguments->len; i++)
    {
      const Argument *argument = &g_array_index (arguments, Argument, i);
      gboolean is_file = g_str_equal (argument->name, "recipe-file");

      g_string_append_printf (out, "config.set_property('%s', %s", argument->name,
                              is_file ? "Gio.File.new_for_path(" : "");
      if (argument->text)
        append_quoted (out, argument->text, '\'');
      else
        append_number (out, argument);
      g_string_append (out, is_file ? "))\n" : ")\n");
    }
  g_string_append (out, "result = procedure.run(config)\n"
                        "if result.index(0) != Gimp.PDBStatusType.SUCCESS:\n"
                        "    raise RuntimeError(result.index(1))\n"
                        "image, layers = result.index(1), result.get_core_object_array(2)\n");
  return g_string_free (out, FALSE);
}

/* The option of `switti generate`, or NULL where there is none. */
static const char *
option_name (const Argument *argument)
{
  static const char *const names[][2] = {
    { "negative-prompt", "negative" },  { "guidance", "cfg" },     { "guidance-start", "cfg-start" },
    { "guidance-end", "cfg-end" },      { "precision", "dtype" },  { "recipe-file", "recipe" },
    { "output", NULL },
  };

  if (g_str_equal (argument->name, "smooth"))
    return g_str_equal (argument->text, "on") ? "smooth" : "no-smooth";
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (argument->name, names[i][0]))
      return names[i][1];
  return argument->name;
}

static char *
write_shell (const SwittiSettings *settings, GArray *arguments)
{
  GString *out = g_string_new ("switti generate");

  g_string_append_printf (out, " --seed %" G_GUINT64_FORMAT, settings->seed);
  for (guint i = 0; i < arguments->len; i++)
    {
      const Argument *argument = &g_array_index (arguments, Argument, i);
      const char *name = option_name (argument);
      g_autofree char *quoted = argument->text ? g_shell_quote (argument->text) : NULL;

      if (name == NULL)
        continue;
      g_string_append_printf (out, " --%s", name);
      if (g_str_equal (argument->name, "smooth"))
        continue;
      g_string_append_c (out, ' ');
      if (quoted)
        g_string_append (out, quoted);
      else
        append_number (out, argument);
    }
  g_string_append_c (out, '\n');
  return g_string_free (out, FALSE);
}

/* JSON has no line that is END alone. */
static char *
write_shell_recipe (const SwittiSettings *settings, const char *recipe)
{
  g_autoptr (GString) options = g_string_new (NULL);

  if (!g_str_equal (settings->device, "auto"))
    {
      g_autofree char *device = g_shell_quote (settings->device);

      g_string_append_printf (options, " --device %s", device);
    }
  return g_strdup_printf ("switti generate%s --recipe /dev/stdin <<'END'\n%s\nEND\n", options->str, recipe);
}

char *
switti_command_write (SwittiCommandKind kind, const SwittiSettings *settings, const char *recipe)
{
  g_autoptr (GArray) arguments = collect (settings);

  switch (kind)
    {
    case SWITTI_COMMAND_SCRIPT_FU:
      return write_script_fu (settings, arguments);
    case SWITTI_COMMAND_PYTHON:
      return write_python (settings, arguments);
    case SWITTI_COMMAND_SHELL:
    default:
      if (settings->start.mode == SWITTI_MODE_NEW)
        return write_shell (settings, arguments);
      return recipe ? write_shell_recipe (settings, recipe) : NULL;
    }
}
