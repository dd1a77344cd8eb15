/* download.c - `switti models download`: a published model, from a hub
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"
#include "switti-download.h"

#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  char *mirror, *folder, *dtype;
  gboolean dry_run, yes, restart;
  char **names;

  SwittiDownload *download;
  gint64 begin;           /* of the transfer, microseconds */
  guint64 done_at_begin;  /* bytes of earlier runs */
} Download;

/* -- what there is ------------------------------------------------------------------------------------------- */

static char *
list_names (void)
{
  g_auto (GStrv) names = switti_download_list ();

  return g_strjoinv (", ", names);
}

static void
describe (Download *self)
{
  SwittiDownload *download = self->download;
  g_autofree char *fetched = g_format_size (switti_download_get_fetched_bytes (download));
  g_autofree char *stored = g_format_size (switti_download_get_stored_bytes (download));
  g_autofree char *path = switti_download_get_path (download);
  g_autofree char *licence = switti_download_get_licence (download);
  guint64 kept = switti_download_get_kept_bytes (download);
  int side = switti_download_get_resolution (download);

  g_print (_ ("%s: %s, for pictures of %d×%d pixels\n"), switti_download_get_name (download),
           switti_download_get_title (download), side, side);
  g_print (_ ("To fetch: %s; on the disk: %s in %s\n"), fetched, stored, path);
  if (kept > 0)
    {
      g_autofree char *kept_text = g_format_size (kept);

      g_print (_ ("Of that, %s on the disk are there from an earlier download, which this one continues.\n"),
               kept_text);
    }
  g_print ("%s\n", licence);
}

/* Whether the user agrees, on a terminal or by --yes; *status is what to end with where not. */
static gboolean
ask (Download *self, int *status)
{
  char answer[16] = "";

  if (self->yes)
    return TRUE;
  if (!isatty (STDIN_FILENO) || !isatty (STDOUT_FILENO))
    {
      cli_report (_ ("Read the licences above and say --yes to download."));
      *status = CLI_USAGE;
      return FALSE;
    }
  g_print ("%s ", _ ("Download it? [y/N]"));
  fflush (stdout);
  *status = CLI_SUCCESS;
  return fgets (answer, sizeof answer, stdin) != NULL && cli_answer_is_yes (answer);
}

/* -- the transfer -------------------------------------------------------------------------------------------- */

static char *
format_left (double seconds)
{
  if (seconds < 90)
    return g_strdup_printf (_ ("%.0f s left"), seconds);
  if (seconds < 5400)
    return g_strdup_printf (_ ("%.0f min left"), seconds / 60);
  return g_strdup_printf (_ ("%.1f h left"), seconds / 3600);
}

static void
on_progress (guint64 done, guint64 total, const char *words, gpointer data)
{
  Download *self = data;
  g_autofree char *done_text = g_format_size (done), *total_text = g_format_size (total);
  g_autofree char *line = NULL;
  double seconds;

  if (self->begin == 0)
    {
      self->begin = g_get_monotonic_time ();
      self->done_at_begin = done;
    }
  seconds = (double) (g_get_monotonic_time () - self->begin) / G_USEC_PER_SEC;
  if (seconds > 2 && done > self->done_at_begin)
    {
      double rate = (double) (done - self->done_at_begin) / seconds;
      g_autofree char *rate_text = g_format_size ((guint64) rate);
      g_autofree char *left = format_left ((double) (total - done) / rate);

      /* Translators: bytes done, bytes in all, bytes a second, the time that is left, and what is being fetched. */
      line = g_strdup_printf (_ ("%s of %s, %s/s, %s (%s)"), done_text, total_text, rate_text, left, words);
    }
  else
    line = g_strdup_printf (_ ("%s of %s (%s)"), done_text, total_text, words);
  cli_progress_show (total > 0 ? (double) done / (double) total : 0, line);
}

static gboolean
look_up (GCancellable *cancellable, gpointer data, GError **error)
{
  Download *self = data;

  return switti_download_look_up (self->download, cancellable, error);
}

static gboolean
transfer (GCancellable *cancellable, gpointer data, GError **error)
{
  Download *self = data;

  return switti_download_run (self->download, cancellable, on_progress, self, error);
}

/* -- the command --------------------------------------------------------------------------------------------- */

static int
download (Download *self)
{
  g_autofree char *path = switti_download_get_path (self->download);
  g_autoptr (GError) error = NULL;
  int status;

  if (switti_download_is_installed (self->download) && !self->restart && !self->dry_run)
    {
      g_print (_ ("%s is in %s already; --restart fetches it anew.\n"), switti_download_get_name (self->download),
               path);
      return CLI_SUCCESS;
    }
  if (self->restart && !self->dry_run && !switti_download_discard (self->download, &error))
    {
      cli_report (error->message);
      return CLI_FAILURE;
    }
  status = cli_run (look_up, self);
  if (status != CLI_SUCCESS)
    return status;
  describe (self);
  if (self->dry_run || !ask (self, &status))
    return status;
  status = cli_run_with_notice (transfer, self,
                                _ ("Cancelled; what has arrived is kept: run the same again to go on."));
  if (status == CLI_SUCCESS)
    g_print (_ ("%s is in %s.\n"), switti_download_get_name (self->download), path);
  return status;
}

static int
prepare (Download *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *names = list_names ();
  g_autofree char *sentence = NULL;

  if (self->names == NULL || self->names[1] != NULL)
    {
      sentence = g_strdup_printf (_ ("Say which one model to download: %s."), names);
      cli_report (sentence);
      return CLI_USAGE;
    }
  self->download = switti_download_new (self->names[0], &error);
  if (self->download == NULL ||
      (self->dtype != NULL && !switti_download_set_dtype (self->download, self->dtype, &error)))
    {
      cli_report (error->message);
      return CLI_USAGE;
    }
  switti_download_set_hub (self->download, self->mirror);
  switti_download_set_folder (self->download, self->folder);
  return download (self);
}

int
cli_models_download (int argc, char **argv)
{
  Download self = { 0 };
  const GOptionEntry own[] = {
    { "mirror", 0, 0, G_OPTION_ARG_STRING, &self.mirror,
      N_ ("The hub to fetch from, in place of $HF_ENDPOINT or where the models were published"), N_ ("ADDRESS") },
    { "folder", 0, 0, G_OPTION_ARG_FILENAME, &self.folder,
      N_ ("Put the model's folder there, in place of the user's models"), N_ ("FOLDER") },
    { "dtype", 0, 0, G_OPTION_ARG_STRING, &self.dtype,
      N_ ("Store the weights as bf16 (the default), f16, f32, or keep what is published"), N_ ("TYPE") },
    { "dry-run", 0, 0, G_OPTION_ARG_NONE, &self.dry_run, N_ ("Only say what would be fetched"), NULL },
    { "restart", 0, 0, G_OPTION_ARG_NONE, &self.restart,
      N_ ("Fetch all of it anew, and forget what an earlier download has left"), NULL },
    { "yes", 'y', 0, G_OPTION_ARG_NONE, &self.yes, N_ ("Agree to the licences without being asked"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &self.names, NULL, NULL },
    { NULL },
  };
  const GOptionEntry *const entries[] = { own, NULL };
  g_autoptr (GOptionContext) context = g_option_context_new (_ ("NAME"));
  g_auto (GStrv) arguments = g_strdupv (argv);
  g_autofree char *names = list_names ();
  g_autofree char *description = NULL;
  int status = CLI_USAGE;

  description = g_strdup_printf (
    _ ("Models: %s.\n\nA download that ended, whatever ended it, goes on where it was. The environment's HF_TOKEN is "
       "the token of an\naccount at the hub, where one is needed; http_proxy, https_proxy and no_proxy are proxies.\n\n"
       "Examples:\n  switti models download switti-512 --dry-run\n  switti models download switti-512 --yes"),
    names);
  g_option_context_add_main_entries (context, own, GETTEXT_PACKAGE);
  g_option_context_set_summary (context, _ ("Fetches a published model: of its checkpoints only what is needed, "
                                            "converted while it arrives."));
  g_option_context_set_description (context, description);
  if (cli_parse_options (context, entries, "switti models download", &arguments))
    status = prepare (&self);
  g_clear_object (&self.download);
  g_strfreev (self.names);
  g_free (self.mirror);
  g_free (self.folder);
  g_free (self.dtype);
  return status;
}
