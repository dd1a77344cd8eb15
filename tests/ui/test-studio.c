/* test-studio.c - painting in the dialog's widgets: the session, the strip and the studio around them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-device-private.h"
#include "switti-session.h"
#include "switti-studio.h"
#include "widget-search.h"

#include <glib/gstdio.h>
#include <sys/resource.h>

#define PROMPT "a grinning cat, flat style"
#define SEED 11

/* What Stop may take on the CPU. */
#define STOP_SECONDS 0.5

typedef struct
{
  SwittiSession *session;
  SwittiSessionEngine engine;
  int count, stop_scale;
  gint painted; /* the worker has nothing left to paint */

  int n_previews, last_scale;
  gboolean in_order;
  int n_states[SWITTI_SESSION_STOPPING + 1];
  gboolean finished;
  GPtrArray *pictures;
  GError *error;
} Case;

static GPtrArray *
paint (SwittiGenerator *generator, GCancellable *cancellable, SwittiProgressFunc progress, gpointer progress_data,
       gpointer user_data, GError **error)
{
  Case *self = user_data;
  g_autoptr (SwittiRequest) request = switti_request_new (switti_generator_get_bundle (generator));
  GPtrArray *pictures;

  g_object_set (request, "prompt", PROMPT, "seed", (guint64) SEED, "count", self->count, "stop-scale",
                self->stop_scale, NULL);
  pictures = switti_generator_generate (generator, request, cancellable, progress, progress_data, error);
  g_atomic_int_set (&self->painted, TRUE);
  return pictures;
}

static void
note_preview (Case *self, int scale, SwittiImage *picture)
{
  if (switti_image_get_seed (picture) != SEED)
    return;
  self->in_order = self->in_order && scale > self->last_scale;
  self->last_scale = scale;
  self->n_previews++;
}

static void
note_state (Case *self)
{
  self->n_states[switti_session_get_state (self->session)]++;
}

static void
note_end (Case *self, GPtrArray *pictures, GError *error)
{
  g_assert_cmpint (switti_session_get_state (self->session), ==, SWITTI_SESSION_IDLE);
  g_assert_true ((pictures == NULL) == (error != NULL));
  self->finished = TRUE;
  self->pictures = pictures ? g_ptr_array_ref (pictures) : NULL;
  self->error = error ? g_error_copy (error) : NULL;
}

static void
set_up (Case *self, gconstpointer data)
{
  self->session = switti_session_new ();
  self->engine = (SwittiSessionEngine) { NULL, "cpu", SWITTI_PRECISION_F32, SWITTI_MEMORY_AUTO, NULL };
  self->count = 1;
  g_signal_connect_swapped (self->session, "preview", G_CALLBACK (note_preview), self);
  g_signal_connect_swapped (self->session, "notify::state", G_CALLBACK (note_state), self);
  g_signal_connect_swapped (self->session, "finished", G_CALLBACK (note_end), self);
}

static void
tear_down (Case *self, gconstpointer data)
{
  switti_session_shut_down (self->session);
  g_assert_finalize_object (self->session);
  g_clear_pointer (&self->pictures, g_ptr_array_unref);
  g_clear_error (&self->error);
}

static void
start (Case *self)
{
  self->finished = FALSE;
  g_atomic_int_set (&self->painted, FALSE);
  self->in_order = TRUE;
  self->last_scale = -1;
  self->n_previews = 0;
  memset (self->n_states, 0, sizeof self->n_states);
  g_clear_pointer (&self->pictures, g_ptr_array_unref);
  g_clear_error (&self->error);
  switti_session_paint (self->session, &self->engine, paint, self, NULL);
}

static void
wait_for_end (Case *self)
{
  while (!self->finished)
    g_main_context_iteration (NULL, TRUE);
}

/* -- the session --------------------------------------------------------------------------------------------- */

static void
test_paint (Case *self, gconstpointer data)
{
  g_assert_cmpint (switti_session_get_n_scales (self->session), ==, 0);
  start (self);
  g_assert_cmpint (switti_session_get_state (self->session), ==, SWITTI_SESSION_LOADING);
  wait_for_end (self);
  g_assert_no_error (self->error);
  g_assert_cmpint (self->pictures->len, ==, 1);
  g_assert_cmpint (switti_session_get_n_scales (self->session), ==, 10);
  g_assert_cmpint (self->n_previews, ==, 10);
  g_assert_true (self->in_order);
  g_assert_cmpint (self->n_states[SWITTI_SESSION_PAINTING], ==, 1);

  switti_session_wait_for_hash (self->session);
  g_assert_nonnull (strstr (switti_image_get_recipe (self->pictures->pdata[0]), PROMPT));
}

/* The same model on the same device stays; what the picture is does not depend on that. */
static void
test_stays_loaded (Case *self, gconstpointer data)
{
  g_autoptr (GBytes) first = NULL;

  start (self);
  wait_for_end (self);
  first = g_bytes_ref (switti_image_get_pixels (self->pictures->pdata[0]));
  self->engine.model = "no-such-model";
  start (self);
  wait_for_end (self);
  g_assert_error (self->error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND);
  g_assert_nonnull (strstr (self->error->message, "no-such-model"));

  self->engine.model = "icons";
  start (self);
  wait_for_end (self);
  g_assert_no_error (self->error);
  start (self);
  wait_for_end (self);
  g_assert_true (g_bytes_equal (first, switti_image_get_pixels (self->pictures->pdata[0])));
  self->engine.memory = SWITTI_MEMORY_LOW;
  start (self);
  wait_for_end (self);
  g_assert_no_error (self->error);
  g_assert_true (g_bytes_equal (first, switti_image_get_pixels (self->pictures->pdata[0])));
  switti_session_unload (self->session);
  g_assert_cmpint (switti_session_get_n_scales (self->session), ==, 0);
}

/* A busy main loop gets only the newest preview of each picture. */
static void
test_latest_wins (Case *self, gconstpointer data)
{
  start (self);
  while (!g_atomic_int_get (&self->painted))
    g_usleep (1000);
  wait_for_end (self);
  g_assert_no_error (self->error);
  g_assert_cmpint (self->n_previews, ==, 1);
  g_assert_cmpint (self->last_scale, ==, 9);
}

/* Seconds of the processor that this program has used, by one thread of those that it computes with. */
static double
used_seconds (void)
{
  struct rusage usage;
  int n_threads = (int) g_get_num_processors ();

  getrusage (RUSAGE_SELF, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6)
         / n_threads;
}

/* From any scale. Other programs may have the processor for most of the time, which is not Stop's doing: what counts is
 * what this one has used of it. */
static void
test_stop (Case *self, gconstpointer data)
{
  double longest = 0;

  self->count = 8;
  for (int scale = 0; scale < 9; scale += 4)
    {
      double began, wall = 0;

      start (self);
      while (self->last_scale < scale && !self->finished)
        g_main_context_iteration (NULL, TRUE);
      began = used_seconds ();
      wall = g_get_monotonic_time () / 1e6;
      switti_session_stop (self->session);
      g_assert_cmpint (switti_session_get_state (self->session), ==, SWITTI_SESSION_STOPPING);
      wait_for_end (self);
      g_assert_error (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      longest = MAX (longest, used_seconds () - began);
      g_test_message ("stopped after scale %d: %.0f ms of the processor, %.0f ms", scale,
                      1e3 * (used_seconds () - began), 1e3 * (g_get_monotonic_time () / 1e6 - wall));
    }
  g_assert_cmpfloat (longest, <, STOP_SECONDS);

  /* It paints on as if nothing had been. */
  self->count = 1;
  start (self);
  wait_for_end (self);
  g_assert_no_error (self->error);
}

/* Closed while it paints: it waits, and nothing is left. */
static void
test_shut_down (Case *self, gconstpointer data)
{
  start (self);
  while (self->n_previews == 0)
    g_main_context_iteration (NULL, TRUE);
  switti_session_shut_down (self->session);
  g_assert_true (self->finished);
  g_assert_error (self->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* -- a device that fails ------------------------------------------------------------------------------------- */

static gint calls_left = -1; /* until an op fails; below 0: never */

static gboolean
fails_now (void)
{
  return g_atomic_int_get (&calls_left) >= 0 && g_atomic_int_add (&calls_left, -1) == 0;
}

static SwittiKernelStatus
failing_gemm (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a, const void *b, const float *bias,
              void *d)
{
  return fails_now () ? SWITTI_KERNEL_DEVICE : switti_kernels_cpu ()->gemm (context, plan, a, b, bias, d);
}

static SwittiKernelStatus
failing_alloc (SwittiKernelContext *context, size_t bytes, void **memory)
{
  return fails_now () ? SWITTI_KERNEL_OUT_OF_MEMORY : switti_kernels_cpu ()->alloc (context, bytes, memory);
}

static SwittiDevice *
open_failing (const char *name, GError **error)
{
  static SwittiKernels kernels;
  static const SwittiKernelOptions options = { 0 };

  kernels = *switti_kernels_cpu ();
  kernels.alloc = failing_alloc;
  kernels.gemm = failing_gemm;
  return switti_device_new_for_kernels ("failing", &kernels, &options, error);
}

/* The device fails, or has no memory left, in mid-run, sooner and later: a sentence each time, and the next painting is
 * as good as ever. */
static void
test_device_fails (Case *self, gconstpointer data)
{
  g_autoptr (GBytes) good = NULL;
  int n_failed = 0;

  self->engine.open_device = open_failing;
  start (self);
  wait_for_end (self);
  g_assert_no_error (self->error);
  good = g_bytes_ref (switti_image_get_pixels (self->pictures->pdata[0]));
  for (int calls = 0; calls < 512; calls = 2 * calls + 1)
    {
      g_atomic_int_set (&calls_left, calls);
      start (self);
      wait_for_end (self);
      g_atomic_int_set (&calls_left, -1);
      if (!self->error)
        continue;
      n_failed++;
      g_assert_true (g_error_matches (self->error, SWITTI_ERROR, SWITTI_ERROR_DEVICE)
                     || g_error_matches (self->error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY));
      g_assert_nonnull (strstr (self->error->message, "failing"));
    }
  g_assert_cmpint (n_failed, >=, 6);
  start (self);
  wait_for_end (self);
  g_assert_no_error (self->error);
  g_assert_true (g_bytes_equal (good, switti_image_get_pixels (self->pictures->pdata[0])));
}

/* The model's files go away while it is in use: what is loaded paints on; loading it again says what is missing. */
static void
test_model_deleted (Case *self, gconstpointer data)
{
  g_autofree char *folder = g_dir_make_tmp ("switti-studio-XXXXXX", NULL);
  g_autofree char *model = g_build_filename (folder, "model", NULL);
  g_autofree char *source = g_build_filename (g_getenv ("SWITTI_MODEL_PATH"), "icons", NULL);
  g_autofree char *copy = g_strdup_printf ("cp -r '%s' '%s'", source, model);
  g_autofree char *removal = g_strdup_printf ("rm -r '%s'", folder);

  g_assert_true (g_spawn_command_line_sync (copy, NULL, NULL, NULL, NULL));
  self->engine.model = model;
  start (self);
  while (self->n_previews == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (g_spawn_command_line_sync (removal, NULL, NULL, NULL, NULL));
  wait_for_end (self);
  g_assert_no_error (self->error);
  start (self);
  wait_for_end (self);
  g_assert_no_error (self->error);

  switti_session_unload (self->session);
  start (self);
  wait_for_end (self);
  g_assert_error (self->error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND);
}

/* -- the studio ---------------------------------------------------------------------------------------------- */

static void
paint_in (SwittiStudio *studio, Case *self, const SwittiStudioRun *run)
{
  self->finished = FALSE;
  g_clear_pointer (&self->pictures, g_ptr_array_unref);
  switti_studio_paint (studio, run, &self->engine, paint, self, NULL);
  g_assert_true (switti_studio_is_busy (studio));
  wait_for_end (self);
  g_assert_no_error (self->error);
}

/* A contact sheet of three, of which one is finished. */
static void
test_contact_sheet (Case *self, gconstpointer data)
{
  g_autoptr (GtkWidget) widget = g_object_ref_sink (switti_studio_new (self->session));
  SwittiStudio *studio = SWITTI_STUDIO (widget);
  GtkWidget *box = find_widget (widget, GTK_TYPE_FLOW_BOX);
  g_autoptr (GArray) seeds = NULL;
  g_autoptr (GPtrArray) none = NULL, finished = NULL;

  self->count = 3;
  self->stop_scale = 5;
  paint_in (studio, self, &(SwittiStudioRun) { .first_seed = SEED, .count = 3, .sketch = TRUE });
  none = switti_studio_get_finished (studio);
  g_assert_cmpint (none->len, ==, 0);
  gtk_flow_box_select_child (GTK_FLOW_BOX (box), gtk_flow_box_get_child_at_index (GTK_FLOW_BOX (box), 2));
  seeds = switti_studio_get_unfinished_seeds (studio);
  g_assert_cmpint (seeds->len, ==, 2);
  g_assert_cmpuint (g_array_index (seeds, guint64, 0), ==, SEED);
  g_assert_cmpuint (g_array_index (seeds, guint64, 1), ==, SEED + 2);

  self->count = 1;
  self->stop_scale = 0;
  paint_in (studio, self, &(SwittiStudioRun) { .finish = TRUE });
  finished = switti_studio_get_picked (studio);
  g_assert_cmpint (finished->len, ==, 1);
  g_assert_cmpuint (switti_image_get_seed (finished->pdata[0]), ==, SEED);
}

#define ADD(name, function) g_test_add ("/ui/" name, Case, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  gtk_test_init (&argc, &argv, NULL);
  ADD ("session/paint", test_paint);
  ADD ("session/stays-loaded", test_stays_loaded);
  ADD ("session/latest-wins", test_latest_wins);
  ADD ("session/stop", test_stop);
  ADD ("session/shut-down", test_shut_down);
  ADD ("session/device-fails", test_device_fails);
  ADD ("session/model-deleted", test_model_deleted);
  ADD ("studio/contact-sheet", test_contact_sheet);
  return g_test_run ();
}
