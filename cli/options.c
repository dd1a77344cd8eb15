/* options.c - parsing, with the published names and suggestions
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"

#include <glib/gi18n.h>
#include <string.h>

/* Names of the published code and of SwittiRequest, without dashes in front. */
static const struct
{
  const char *name, *ours;
} aliases[] = {
  { "guidance", "cfg" },
  { "guidance-start", "cfg-start" },
  { "guidance-end", "cfg-end" },
  { "last-scale-temp", "last-scale-temperature" },
  { "more-smooth", "smooth" },
  { "negative-prompt", "negative" },
  { "no-more-smooth", "no-smooth" },
  { "smooth-start-si", "smooth-start" },
  { "turn-off-cfg-start-si", "cfg-end" },
  { "turn-on-cfg-start-si", "cfg-start" },
};

/* The least number of single-character insertions, deletions and replacements between two words. */
static guint
edit_distance (const char *a, const char *b)
{
  gsize n = strlen (b);
  g_autofree guint *row = g_new (guint, n + 1);

  for (gsize j = 0; j <= n; j++)
    row[j] = (guint) j;
  for (gsize i = 0; a[i] != '\0'; i++)
    {
      guint diagonal = row[0];

      row[0] = (guint) i + 1;
      for (gsize j = 0; j < n; j++)
        {
          guint replaced = diagonal + (a[i] != b[j]);

          diagonal = row[j + 1];
          row[j + 1] = MIN (replaced, MIN (row[j], row[j + 1]) + 1);
        }
    }
  return row[n];
}

const char *
cli_suggest (const char *word, const char *const *words)
{
  const char *best = NULL;
  guint least = G_MAXUINT;

  for (guint i = 0; words[i]; i++)
    {
      guint distance = edit_distance (word, words[i]);

      /* A word that would have to change by a third is another word; one that ours begins with is a short form. */
      if (g_str_has_prefix (words[i], word) && strlen (word) >= 3)
        distance = 0;
      if (distance < least && distance <= MAX (1, strlen (words[i]) / 3))
        {
          least = distance;
          best = words[i];
        }
    }
  return best;
}

/* "--more_smooth=…" to "--smooth=…"; NULL where an argument stays as it is. */
static char *
rename_option (const char *argument)
{
  g_autofree char *name = NULL;
  const char *value;

  if (!g_str_has_prefix (argument, "--") || argument[2] == '\0')
    return NULL;
  value = strchrnul (argument, '=');
  name = g_strndup (argument + 2, (gsize) (value - argument - 2));
  g_strdelimit (name, "_", '-');
  for (guint i = 0; i < G_N_ELEMENTS (aliases); i++)
    if (g_str_equal (name, aliases[i].name))
      return g_strconcat ("--", aliases[i].ours, value, NULL);
  return g_strconcat ("--", name, value, NULL);
}

static void
rename_options (char **argv)
{
  for (guint i = 1; argv[i] && !g_str_equal (argv[i], "--"); i++)
    {
      char *renamed = rename_option (argv[i]);

      if (renamed)
        {
          g_free (argv[i]);
          argv[i] = renamed;
        }
    }
}

static gboolean
is_known (const char *name, const char *const *names)
{
  return g_strv_contains (names, name) || g_str_equal (name, "help");
}

/* GOption leaves what it could not parse in argv: the first name that is no option is the one that it stopped at. */
static char *
describe_unknown (char **argv, const GOptionEntry *const *entries, const char *command)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; entries[i]; i++)
    for (guint j = 0; entries[i][j].long_name; j++)
      if (!g_str_equal (entries[i][j].long_name, G_OPTION_REMAINING))
        g_ptr_array_add (names, (gpointer) entries[i][j].long_name);
  g_ptr_array_add (names, NULL);
  for (guint i = 1; argv[i] && !g_str_equal (argv[i], "--"); i++)
    {
      g_autofree char *name = NULL;
      const char *meant;

      if (!g_str_has_prefix (argv[i], "--"))
        continue;
      name = g_strndup (argv[i] + 2, (gsize) (strchrnul (argv[i], '=') - argv[i] - 2));
      if (is_known (name, (const char *const *) names->pdata))
        continue;
      meant = cli_suggest (name, (const char *const *) names->pdata);
      if (meant)
        return g_strdup_printf (_ ("There is no option --%s; did you mean --%s?"), name, meant);
      return g_strdup_printf (_ ("There is no option --%s; “%s --help” lists them."), name, command);
    }
  return NULL;
}

gboolean
cli_parse_options (GOptionContext *context, const GOptionEntry *const *entries, const char *command, char ***argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *sentence = NULL;
  g_auto (GStrv) original = NULL;

  rename_options (*argv);
  original = g_strdupv (*argv);
  if (g_option_context_parse_strv (context, argv, &error))
    return TRUE;
  if (g_error_matches (error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION))
    sentence = describe_unknown (original, entries, command);
  if (sentence == NULL)
    sentence = g_str_has_suffix (error->message, ".") ? g_strdup (error->message)
                                                      : g_strconcat (error->message, ".", NULL);
  cli_report (sentence);
  return FALSE;
}
