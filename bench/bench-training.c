/* bench-training.c - `switti-train bench` alone, for machines that read no training images
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * switti-train links libvips, which a bundle for a bare GPU host leaves out (./dev bundle).
 */
#include "cli.h"
#include "train.h"

#include <locale.h>

void
cli_report (const char *sentence)
{
  g_printerr ("%s: %s\n", g_get_prgname (), sentence);
}

/* What a training tells on its way; a bench has nothing to tell. */
void
train_say (const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_printerr ("%s\n", text);
}

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  g_set_prgname ("bench-training");
  return train_bench (argc, argv);
}
