/* worker.c - work that a signal can cancel
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "cli.h"

#include <glib-unix.h>
#include <glib/gi18n.h>

typedef struct
{
  CliWork work;
  gpointer data;
  GCancellable *cancellable;
  GMainLoop *loop;
  GError *error;
  gboolean good;
  int signal_number; /* that cancelled it, or 0 */
  guint signal_sources[2];
} Worker;

static gboolean
on_done (gpointer data)
{
  Worker *self = data;

  g_main_loop_quit (self->loop);
  return G_SOURCE_REMOVE;
}

static gpointer
run (gpointer data)
{
  Worker *self = data;

  self->good = self->work (self->cancellable, self->data, &self->error);
  g_idle_add (on_done, self);
  return NULL;
}

static void
cancel (Worker *self, int signal_number)
{
  self->signal_number = signal_number;
  g_cancellable_cancel (self->cancellable);
}

/* Removing the source restores the signal's default action: a second Ctrl-C ends the program at once. */
static gboolean
on_interrupt (gpointer data)
{
  Worker *self = data;

  cancel (self, SIGINT);
  self->signal_sources[0] = 0;
  return G_SOURCE_REMOVE;
}

static gboolean
on_terminate (gpointer data)
{
  Worker *self = data;

  cancel (self, SIGTERM);
  self->signal_sources[1] = 0;
  return G_SOURCE_REMOVE;
}

static int
status_of (Worker *self, const char *cancelled)
{
  if (self->good)
    return CLI_SUCCESS;
  if (g_error_matches (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      cli_report (cancelled);
      return 128 + self->signal_number;
    }
  cli_report (self->error->message);
  return CLI_FAILURE;
}

int
cli_run (CliWork work, gpointer data)
{
  return cli_run_with_notice (work, data, _ ("Cancelled; nothing was written."));
}

int
cli_run_with_notice (CliWork work, gpointer data, const char *cancelled)
{
  Worker self = {
    .work = work,
    .data = data,
    .cancellable = g_cancellable_new (),
    .loop = g_main_loop_new (NULL, FALSE),
  };
  GThread *thread;
  int status;

  self.signal_sources[0] = g_unix_signal_add (SIGINT, on_interrupt, &self);
  self.signal_sources[1] = g_unix_signal_add (SIGTERM, on_terminate, &self);
  thread = g_thread_new ("switti", run, &self);
  g_main_loop_run (self.loop);
  g_thread_join (thread);
  cli_progress_hide ();
  for (guint i = 0; i < G_N_ELEMENTS (self.signal_sources); i++)
    g_clear_handle_id (&self.signal_sources[i], g_source_remove);
  status = status_of (&self, cancelled);
  g_clear_error (&self.error);
  g_main_loop_unref (self.loop);
  g_object_unref (self.cancellable);
  return status;
}
