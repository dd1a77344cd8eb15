/* switti-painting.c - runs a generation on a worker thread and shows its progress
 *
 * libgimp's wire to GIMP has no lock, so the worker only writes down how far it is, and a timer on the main thread
 * passes that on to GIMP's progress bar.
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-painting.h"

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <signal.h>

#define PROGRESS_INTERVAL_MS 100

/* Scale of a SwittiProgressFunc while the model loads. */
#define LOADING (-1)

typedef struct
{
  const SwittiSettings *settings;
  SwittiCapture *capture;
  GCancellable *cancellable;
  GMainLoop *loop;

  GMutex lock; /* guards the three below, which the worker writes */
  double fraction;
  int scale;
  int n_scales;

  int shown_scale;
  GPtrArray *pictures;
  GError *error;
} SwittiPainting;

static void
note_progress (double fraction, int scale, gpointer user_data)
{
  SwittiPainting *self = user_data;

  g_mutex_lock (&self->lock);
  self->fraction = fraction;
  self->scale = scale;
  g_mutex_unlock (&self->lock);
}

static gboolean
show_progress (gpointer user_data)
{
  SwittiPainting *self = user_data;
  double fraction;
  int scale, n_scales;

  g_mutex_lock (&self->lock);
  fraction = self->fraction;
  scale = self->scale;
  n_scales = self->n_scales;
  g_mutex_unlock (&self->lock);

  if (scale != self->shown_scale && scale != LOADING)
    {
      if (scale + 1 < n_scales)
        gimp_progress_set_text_printf (_ ("Painting scale %d of %d"), scale + 2, n_scales);
      else
        gimp_progress_set_text_printf (_ ("Turning codes into pixels"));
      self->shown_scale = scale;
    }
  gimp_progress_update (fraction);
  return G_SOURCE_CONTINUE;
}

static gboolean
cancel_on_signal (gpointer user_data)
{
  SwittiPainting *self = user_data;

  g_cancellable_cancel (self->cancellable);
  return G_SOURCE_CONTINUE;
}

/* On the worker: no libgimp call in here. */
static GPtrArray *
paint (SwittiPainting *self, GError **error)
{
  g_autoptr (SwittiBundle) bundle = NULL;
  g_autoptr (SwittiDevice) device = NULL;
  g_autoptr (SwittiGenerator) generator = NULL;
  g_autoptr (SwittiRequest) request = NULL;

  bundle = switti_bundle_open (self->settings->model, error);
  if (!bundle)
    return NULL;
  g_mutex_lock (&self->lock);
  self->n_scales = switti_bundle_get_n_scales (bundle);
  g_mutex_unlock (&self->lock);

  request = switti_settings_to_request (self->settings, bundle);
  /* Before the model is loaded; what it starts from comes after. */
  if (!switti_request_validate (request, bundle, error))
    return NULL;
  device = switti_device_new (self->settings->device, 0, error);
  if (!device)
    return NULL;
  generator = switti_generator_new_with_memory (bundle, device, self->settings->precision, self->settings->memory,
                                                self->cancellable, error);
  if (!generator || !switti_capture_prepare (self->capture, generator, request, self->cancellable, error))
    return NULL;
  return switti_generator_generate (generator, request, self->cancellable, note_progress, self, error);
}

static void
run_worker (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;
  GPtrArray *pictures = paint (task_data, &error);

  if (pictures)
    g_task_return_pointer (task, pictures, (GDestroyNotify) g_ptr_array_unref);
  else
    g_task_return_error (task, error);
}

static void
worker_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  SwittiPainting *self = user_data;

  self->pictures = g_task_propagate_pointer (G_TASK (result), &self->error);
  g_main_loop_quit (self->loop);
}

static void
run_on_loop (SwittiPainting *self)
{
  g_autoptr (GTask) task = g_task_new (NULL, self->cancellable, worker_ended, self);
  guint sources[] = {
    g_timeout_add (PROGRESS_INTERVAL_MS, show_progress, self),
    g_unix_signal_add (SIGINT, cancel_on_signal, self),
    g_unix_signal_add (SIGTERM, cancel_on_signal, self),
  };

  g_task_set_task_data (task, self, NULL);
  g_task_run_in_thread (task, run_worker);
  g_main_loop_run (self->loop);
  for (gsize i = 0; i < G_N_ELEMENTS (sources); i++)
    g_source_remove (sources[i]);
}

GPtrArray *
switti_painting_run (const SwittiSettings *settings, SwittiCapture *capture, GError **error)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  SwittiPainting self = {
    .settings = settings,
    .capture = capture,
    .cancellable = cancellable,
    .loop = loop,
    .scale = LOADING,
    .shown_scale = LOADING,
  };

  g_mutex_init (&self.lock);
  gimp_progress_init (_ ("Loading the model"));
  run_on_loop (&self);
  g_mutex_clear (&self.lock);

  if (g_error_matches (self.error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      g_clear_error (&self.error);
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                           _ ("The generation was cancelled; nothing was changed."));
    }
  else if (self.error)
    g_propagate_error (error, self.error);
  else
    gimp_progress_update (1.0);
  return self.pictures;
}
