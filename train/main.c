/* main.c - `switti-train`
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-version.h"
#include "train.h"

#include <glib/gi18n.h>
#include <locale.h>
#include <stdarg.h>

void
cli_report (const char *sentence)
{
  cli_progress_hide ();
  g_printerr ("switti-train: %s\n", sentence);
}

/* The first rank speaks for all, but for what only one of them knows. */
static gboolean is_quiet;

void
train_say (const char *format, ...)
{
  g_autofree char *sentence = NULL;
  va_list arguments;

  if (is_quiet)
    return;
  va_start (arguments, format);
  sentence = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  cli_report (sentence);
}

static int
train (int argc, char **argv)
{
  g_auto (SwittiTrainingOptions) options = { 0 };
  g_auto (TrainRanks) ranks = { NULL };
  g_autoptr (GError) error = NULL;

  if (!train_parse_options (&options, argc, argv))
    return TRAIN_USAGE;
  if (train_ranks_open (&ranks, &error))
    {
      is_quiet = ranks.rank > 0;
      if (train_run (&options, &ranks, &error))
        return TRAIN_SUCCESS;
    }
  cli_report (error->message);
  /* The others would wait for this one. */
  if (ranks.all != NULL)
    switti_collective_abort (ranks.all);
  return TRAIN_FAILURE;
}

static const struct
{
  const char *name;
  int (*run) (int argc, char **argv);
} commands[] = {
  { "sample", train_sample },
};

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, SWITTI_LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
  g_set_prgname ("switti-train");

  if (argc >= 2 && g_str_equal (argv[1], "--version"))
    {
      g_print ("switti-train %s\n", switti_version_string ());
      return TRAIN_SUCCESS;
    }
  for (gsize i = 0; argc >= 2 && i < G_N_ELEMENTS (commands); i++)
    if (g_str_equal (argv[1], commands[i].name))
      return commands[i].run (argc - 1, argv + 1);
  return train (argc, argv);
}
