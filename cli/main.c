/* main.c - `switti`: one command after the other
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-spinning-private.h"
#include "switti-version.h"

#include <glib/gi18n.h>
#include <locale.h>
#include <stdio.h>

typedef struct
{
  const char *name;
  int (*run) (int argc, char **argv);
  const char *summary;
} Command;

static const Command commands[] = {
  { "generate", cli_generate, N_ ("Paint what a prompt says") },
  { "models", cli_models, N_ ("List, describe, import, verify, export or remove models") },
  { "bench", cli_bench, N_ ("Measure how fast a model paints here") },
};

static void
print_help (void)
{
  g_print ("%s\n  switti %s\n\n%s\n", _ ("Usage:"), _ ("COMMAND [OPTION…]"), _ ("Commands:"));
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    g_print ("  %-10s %s\n", commands[i].name, _ (commands[i].summary));
  g_print ("\n%s\n  -h, --help     %s\n  --version      %s\n\n", _ ("Options:"), _ ("Show this help"),
           _ ("Show the version"));
  g_print ("%s\n  switti generate \"a grinning cat, flat style\" --output cat.png\n"
           "  switti generate \"a fox, flat style\" --count 4 --seed 7 --output fox.png\n"
           "  switti generate --recipe cat.png --output again.png\n  switti models info\n\n%s\n",
           _ ("Examples:"), _ ("“switti COMMAND --help” says more of each command."));
}

static int
report_unknown (const char *word)
{
  const char *names[G_N_ELEMENTS (commands) + 1] = { NULL };
  const char *meant;
  g_autofree char *sentence = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    names[i] = commands[i].name;
  meant = cli_suggest (word, names);
  if (meant)
    sentence = g_strdup_printf (_ ("There is no command “%s”; did you mean “%s”?"), word, meant);
  else
    sentence = g_strdup_printf (_ ("There is no command “%s”; “switti --help” lists them."), word);
  cli_report (sentence);
  return CLI_USAGE;
}

void
cli_report (const char *sentence)
{
  cli_progress_hide ();
  g_printerr ("switti: %s\n", sentence);
}

gboolean
cli_answer_is_yes (char *answer)
{
  g_strstrip (answer);
  /* Translators: the answer “yes”, as one letter of your language; “y” is taken in any case. */
  return g_ascii_strcasecmp (answer, "y") == 0 || g_ascii_strcasecmp (answer, "yes") == 0
         || g_strcmp0 (answer, C_ ("the answer yes", "y")) == 0;
}

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, SWITTI_LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
  g_set_prgname ("switti");

  if (argc > 1 && g_str_equal (argv[1], "generate"))
    switti_spin_briefly (argv);
  if (argc < 2)
    {
      cli_report (_ ("Say what to do: generate, models or bench; “switti --help” says more."));
      return CLI_USAGE;
    }
  if (g_str_equal (argv[1], "--version"))
    {
      g_print ("switti %s\n", switti_version_string ());
      return CLI_SUCCESS;
    }
  if (g_str_equal (argv[1], "--help") || g_str_equal (argv[1], "-h") || g_str_equal (argv[1], "help"))
    {
      print_help ();
      return CLI_SUCCESS;
    }
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    if (g_str_equal (argv[1], commands[i].name))
      {
        g_autofree char *name = g_strconcat ("switti ", commands[i].name, NULL);

        g_set_prgname (name); /* the usage line of its --help says it */
        return commands[i].run (argc - 1, argv + 1);
      }
  return report_unknown (argv[1]);
}
