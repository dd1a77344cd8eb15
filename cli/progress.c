/* progress.c - the progress bar
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"

#include <stdio.h>
#include <unistd.h>

#define BAR_WIDTH 30

static gboolean shown;

static gboolean
is_terminal (void)
{
  return isatty (STDERR_FILENO) && g_strcmp0 (g_getenv ("TERM"), "dumb") != 0;
}

void
cli_progress_show (double fraction, const char *words)
{
  int filled = (int) (CLAMP (fraction, 0, 1) * BAR_WIDTH + 0.5);

  if (!is_terminal ())
    return;
  fputs ("\r[", stderr);
  for (int i = 0; i < BAR_WIDTH; i++)
    fputc (i < filled ? '#' : '.', stderr);
  fprintf (stderr, "] %3d %%  %s\033[K", (int) (fraction * 100), words);
  fflush (stderr);
  shown = TRUE;
}

void
cli_progress_hide (void)
{
  if (!shown)
    return;
  fputs ("\r\033[K", stderr);
  fflush (stderr);
  shown = FALSE;
}
