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

void
train_say (const char *format, ...)
{
  g_autofree char *sentence = NULL;
  va_list arguments;

  va_start (arguments, format);
  sentence = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  cli_report (sentence);
}

static int
train (int argc, char **argv)
{
  g_auto (SwittiTrainingOptions) options = { 0 };
  g_autoptr (GError) error = NULL;

  if (!train_parse_options (&options, argc, argv))
    return TRAIN_USAGE;
  if (train_run (&options, &error))
    return TRAIN_SUCCESS;
  cli_report (error->message);
  return TRAIN_FAILURE;
}

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
  return train (argc, argv);
}
