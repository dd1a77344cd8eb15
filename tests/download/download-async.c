/* download-async.c - a download as the plug-in makes it: download-async HUB FOLDER
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Cancels it half-way, then lets it come to its end; ends with status 0 where all was as promised.
 */
#include "switti-download.h"

typedef struct
{
  GMainLoop *loop;
  GMainContext *context;
  GCancellable *cancellable;
  guint64 cancel_at;  /* bytes done */
  guint64 first, last, total;
  guint n_calls, n_ticks;
  gboolean is_over, is_destroyed, good;
  GError *error;
} Watch;

static void
on_progress (guint64 done, guint64 total, const char *words, gpointer data)
{
  Watch *watch = data;

  g_assert_true (g_main_context_is_owner (watch->context));
  g_assert_false (watch->is_over);
  g_assert_nonnull (words);
  g_assert_cmpuint (done, <=, total);
  g_assert_cmpuint (done, >=, watch->last);
  if (watch->n_calls++ == 0)
    watch->first = done;
  watch->last = done;
  watch->total = total;
  if (watch->cancel_at > 0 && done >= watch->cancel_at)
    g_cancellable_cancel (watch->cancellable);
}

static void
on_destroy (gpointer data)
{
  ((Watch *) data)->is_destroyed = TRUE;
}

static void
on_done (GObject *object, GAsyncResult *result, gpointer data)
{
  Watch *watch = data;

  watch->is_over = TRUE;
  watch->good = switti_download_run_finish (SWITTI_DOWNLOAD (object), result, &watch->error);
  g_main_loop_quit (watch->loop);
}

/* The main loop turns while it downloads. */
static gboolean
on_tick (gpointer data)
{
  ((Watch *) data)->n_ticks++;
  return G_SOURCE_CONTINUE;
}

static void
run (Watch *watch, SwittiDownload *download, guint64 cancel_at)
{
  guint source;

  *watch = (Watch) { .loop = g_main_loop_new (NULL, FALSE), .context = g_main_context_default () };
  watch->cancellable = g_cancellable_new ();
  watch->cancel_at = cancel_at;
  source = g_timeout_add (10, on_tick, watch);
  switti_download_run_async (download, watch->cancellable, on_progress, watch, on_destroy, on_done, watch);
  g_main_loop_run (watch->loop);
  /* The call is freed behind its result. */
  while (!watch->is_destroyed)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (source);
  g_main_loop_unref (watch->loop);
  g_object_unref (watch->cancellable);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDownload) download = switti_download_new ("switti-512", &error);
  guint64 cancelled_at;
  Watch watch;

  g_assert_no_error (error);
  g_assert_cmpint (argc, ==, 3);
  switti_download_set_hub (download, argv[1]);
  switti_download_set_folder (download, argv[2]);
  g_assert_false (switti_download_is_installed (download));

  run (&watch, download, 9 * 1000 * 1000);
  g_assert_error (watch.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (watch.good);
  g_clear_error (&watch.error);
  g_assert_cmpuint (watch.n_ticks, >, 10);
  g_assert_cmpuint (switti_download_get_kept_bytes (download), >, 1000 * 1000);
  cancelled_at = watch.last;

  run (&watch, download, 0);
  g_assert_no_error (watch.error);
  g_assert_true (watch.good);
  g_assert_cmpuint (watch.first, >, 0); /* what was there counts */
  g_assert_cmpuint (watch.first, <=, cancelled_at);
  g_assert_cmpuint (watch.last, ==, watch.total);
  g_assert_true (switti_download_is_installed (download));
  g_assert_cmpuint (switti_download_get_kept_bytes (download), ==, 0);
  g_assert_true (switti_download_discard (download, &error));
  g_assert_no_error (error);
  return 0;
}
