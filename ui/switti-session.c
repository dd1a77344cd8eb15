/* switti-session.c - keeps a model loaded, and paints with it on a worker thread
 *
 * The worker has a run of its own, made and freed on the main thread. What it has to tell goes into the run under its
 * lock, and one idle source takes it out, however much came in between: the newest preview of each seed wins.
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-session.h"

#include <glib/gi18n-lib.h>

typedef struct
{
  guint64 seed;
  int scale;
  SwittiImage *picture;
} Preview;

/* One painting. */
typedef struct
{
  SwittiSession *session; /* for the main thread alone */
  char *model, *device_name;
  SwittiPrecision precision;
  SwittiMemory memory;
  SwittiDevice *(*open_device) (const char *name, GError **error);
  SwittiSessionPaint paint;
  gpointer user_data;
  GDestroyNotify destroy;
  GCancellable *cancellable;
  SwittiGenerator *generator; /* the one in use, or the one that was loaded */
  GPtrArray *pictures;
  GError *error;

  GMutex lock; /* of what follows */
  GHashTable *previews; /* seed -> Preview */
  double fraction;
  int scale;
  gboolean loaded;
  gboolean ended;
  gboolean queued; /* the idle source waits */
} Run;

struct _SwittiSession
{
  GObject parent_instance;

  GMainContext *context;
  SwittiSessionState state;
  char *model, *device_name; /* what the generator was made of */
  SwittiPrecision precision;
  SwittiMemory memory;
  SwittiGenerator *generator;
  Run *run;
  int n_hashing; /* background tasks that have not ended */
  GCancellable *hash_cancellable;
};

enum
{
  PROP_STATE = 1,
  N_PROPS,
};

enum
{
  SIGNAL_PROGRESS,
  SIGNAL_PREVIEW,
  SIGNAL_FINISHED,
  N_SIGNALS,
};

static GParamSpec *props[N_PROPS];
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (SwittiSession, switti_session, G_TYPE_OBJECT)

static void
preview_free (gpointer data)
{
  Preview *preview = data;

  g_object_unref (preview->picture);
  g_free (preview);
}

static void
run_free (Run *run)
{
  if (run->destroy)
    run->destroy (run->user_data);
  g_free (run->model);
  g_free (run->device_name);
  g_clear_object (&run->cancellable);
  g_clear_object (&run->generator);
  g_clear_pointer (&run->pictures, g_ptr_array_unref);
  g_clear_error (&run->error);
  g_clear_pointer (&run->previews, g_hash_table_unref);
  g_mutex_clear (&run->lock);
  g_free (run);
}

static void
set_state (SwittiSession *self, SwittiSessionState state)
{
  if (self->state == state)
    return;
  self->state = state;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_STATE]);
}

/* -- the hash ------------------------------------------------------------------------------------------------ */

static void
hash_on_worker (GTask *task, gpointer source, gpointer bundle, GCancellable *cancellable)
{
  /* Whether it can be had is told by the recipe that asks for it. */
  g_autofree char *hash = switti_bundle_hash (bundle, cancellable, NULL);

  g_task_return_boolean (task, hash != NULL);
}

static void
hash_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  /* Without a reference, which a thread of the pool could be the last to hold; the session waits for its tasks. */
  SwittiSession *self = user_data;

  self->n_hashing--;
}

/* The first recipe of a model reads all of it: in the background, so that nobody waits for it later. */
static void
start_hashing (SwittiSession *self)
{
  g_autoptr (GTask) task = NULL;

  g_cancellable_cancel (self->hash_cancellable);
  g_clear_object (&self->hash_cancellable);
  self->hash_cancellable = g_cancellable_new ();
  self->n_hashing++;
  task = g_task_new (NULL, self->hash_cancellable, hash_ended, self);
  g_task_set_task_data (task, g_object_ref (switti_generator_get_bundle (self->generator)), g_object_unref);
  g_task_run_in_thread (task, hash_on_worker);
}

void
switti_session_wait_for_hash (SwittiSession *self)
{
  g_return_if_fail (SWITTI_IS_SESSION (self));

  while (self->n_hashing > 0)
    g_main_context_iteration (self->context, TRUE);
}

/* -- from the worker to the main thread ---------------------------------------------------------------------- */

static void
keep_generator (SwittiSession *self, Run *run)
{
  if (self->generator == run->generator)
    return;
  g_set_object (&self->generator, run->generator);
  g_free (self->model);
  self->model = g_strdup (run->model);
  g_free (self->device_name);
  self->device_name = g_strdup (run->device_name);
  self->precision = run->precision;
  self->memory = run->memory;
  start_hashing (self);
}

static void
finish_run (SwittiSession *self)
{
  g_autoptr (GPtrArray) pictures = NULL;
  g_autoptr (GError) error = NULL;
  Run *run = g_steal_pointer (&self->run);

  pictures = g_steal_pointer (&run->pictures);
  error = g_steal_pointer (&run->error);
  run_free (run);
  set_state (self, SWITTI_SESSION_IDLE);
  g_signal_emit (self, signals[SIGNAL_FINISHED], 0, pictures, error);
}

/* In order, so that the strip fills from its start. */
static int
compare_seeds (gconstpointer a, gconstpointer b)
{
  const Preview *first = a, *second = b;

  return first->seed < second->seed ? -1 : first->seed > second->seed;
}

static void
emit_previews (SwittiSession *self, GHashTable *previews)
{
  g_autoptr (GList) sorted = g_list_sort (g_hash_table_get_values (previews), compare_seeds);

  for (GList *node = sorted; node; node = node->next)
    {
      const Preview *preview = node->data;

      g_signal_emit (self, signals[SIGNAL_PREVIEW], 0, preview->scale, preview->picture);
    }
}

static GHashTable *
new_previews (void)
{
  /* The key is the value's seed. */
  return g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, preview_free);
}

static gboolean
deliver (gpointer user_data)
{
  g_autoptr (SwittiSession) self = g_object_ref (user_data);
  Run *run = self->run;
  g_autoptr (GHashTable) previews = NULL;
  gboolean loaded, ended;
  double fraction;
  int scale;

  g_mutex_lock (&run->lock);
  previews = g_steal_pointer (&run->previews);
  run->previews = new_previews ();
  loaded = run->loaded;
  ended = run->ended;
  fraction = run->fraction;
  scale = run->scale;
  run->queued = FALSE;
  g_mutex_unlock (&run->lock);

  if (loaded)
    {
      keep_generator (self, run);
      if (self->state == SWITTI_SESSION_LOADING)
        set_state (self, SWITTI_SESSION_PAINTING);
      /* What was painted before it noticed the stop is old news. */
      if (self->state == SWITTI_SESSION_PAINTING)
        {
          emit_previews (self, previews);
          g_signal_emit (self, signals[SIGNAL_PROGRESS], 0, fraction, scale);
        }
    }
  if (ended)
    finish_run (self);
  return G_SOURCE_REMOVE;
}

/* With the run's lock. */
static void
queue_delivery (Run *run)
{
  g_autoptr (GSource) source = NULL;

  if (run->queued)
    return;
  run->queued = TRUE;
  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  /* The session waits for its run before it goes. */
  g_source_set_callback (source, deliver, run->session, NULL);
  g_source_set_static_name (source, "[switti] session");
  g_source_attach (source, run->session->context);
}

/* -- on the worker ------------------------------------------------------------------------------------------- */

static void
note_progress (double fraction, int scale, gpointer user_data)
{
  Run *run = user_data;

  g_mutex_lock (&run->lock);
  run->fraction = fraction;
  run->scale = scale;
  queue_delivery (run);
  g_mutex_unlock (&run->lock);
}

static void
note_preview (int image_index, int scale, SwittiImage *picture, gpointer user_data)
{
  Run *run = user_data;
  Preview *preview = g_new (Preview, 1);

  *preview = (Preview) { switti_image_get_seed (picture), scale, g_object_ref (picture) };
  g_mutex_lock (&run->lock);
  g_hash_table_replace (run->previews, &preview->seed, preview);
  queue_delivery (run);
  g_mutex_unlock (&run->lock);
}

static SwittiGenerator *
load (Run *run, GError **error)
{
  g_autoptr (SwittiBundle) bundle = switti_bundle_open (*run->model ? run->model : NULL, error);
  g_autoptr (SwittiDevice) device = NULL;

  if (!bundle)
    return NULL;
  device = run->open_device ? run->open_device (run->device_name, error)
                            : switti_device_new (run->device_name, 0, error);
  if (!device)
    return NULL;
  return switti_generator_new_with_memory (bundle, device, run->precision, run->memory, run->cancellable, error);
}

static gpointer
run_on_worker (gpointer data)
{
  Run *run = data;

  if (!run->generator)
    run->generator = load (run, &run->error);
  if (run->generator)
    {
      g_mutex_lock (&run->lock);
      run->loaded = TRUE;
      queue_delivery (run);
      g_mutex_unlock (&run->lock);
      switti_generator_set_preview (run->generator, note_preview, run, NULL, NULL, 0);
      run->pictures = run->paint (run->generator, run->cancellable, note_progress, run, run->user_data, &run->error);
      switti_generator_set_preview (run->generator, NULL, NULL, NULL, NULL, 0);
    }
  g_mutex_lock (&run->lock);
  run->ended = TRUE;
  queue_delivery (run);
  g_mutex_unlock (&run->lock);
  return NULL;
}

/* -- the session --------------------------------------------------------------------------------------------- */

SwittiSessionState
switti_session_get_state (SwittiSession *self)
{
  g_return_val_if_fail (SWITTI_IS_SESSION (self), SWITTI_SESSION_IDLE);

  return self->state;
}

int
switti_session_get_n_scales (SwittiSession *self)
{
  g_return_val_if_fail (SWITTI_IS_SESSION (self), 0);

  return self->generator ? switti_bundle_get_n_scales (switti_generator_get_bundle (self->generator)) : 0;
}

static gboolean
has_loaded (SwittiSession *self, const Run *run)
{
  return self->generator && g_str_equal (self->model, run->model) && g_str_equal (self->device_name, run->device_name)
         && self->precision == run->precision && self->memory == run->memory;
}

void
switti_session_paint (SwittiSession *self, const SwittiSessionEngine *engine, SwittiSessionPaint paint,
                      gpointer user_data, GDestroyNotify destroy)
{
  g_autoptr (GThread) thread = NULL;
  g_autoptr (GError) error = NULL;
  Run *run;

  g_return_if_fail (SWITTI_IS_SESSION (self));
  g_return_if_fail (self->run == NULL);

  self->run = run = g_new0 (Run, 1);
  g_mutex_init (&run->lock);
  run->session = self;
  run->model = g_strdup (engine->model ? engine->model : "");
  run->device_name = g_strdup (engine->device ? engine->device : "auto");
  run->precision = engine->precision;
  run->memory = engine->memory;
  run->open_device = engine->open_device;
  run->paint = paint;
  run->user_data = user_data;
  run->destroy = destroy;
  run->cancellable = g_cancellable_new ();
  run->previews = new_previews ();
  run->scale = -1;
  if (has_loaded (self, run))
    run->generator = g_object_ref (self->generator);
  else
    switti_session_unload (self); /* before the next one: both may not fit */
  set_state (self, SWITTI_SESSION_LOADING);

  thread = g_thread_try_new ("switti", run_on_worker, run, &error);
  if (thread)
    return;
  g_set_error (&run->error, SWITTI_ERROR, SWITTI_ERROR_DEVICE, _ ("Cannot start a thread to paint on: %s."),
               error->message);
  g_mutex_lock (&run->lock);
  run->ended = TRUE;
  queue_delivery (run);
  g_mutex_unlock (&run->lock);
}

void
switti_session_stop (SwittiSession *self)
{
  g_return_if_fail (SWITTI_IS_SESSION (self));

  if (!self->run)
    return;
  g_cancellable_cancel (self->run->cancellable);
  set_state (self, SWITTI_SESSION_STOPPING);
}

void
switti_session_unload (SwittiSession *self)
{
  g_return_if_fail (SWITTI_IS_SESSION (self));

  if (!self->run || !self->run->generator)
    g_clear_object (&self->generator);
}

void
switti_session_shut_down (SwittiSession *self)
{
  g_return_if_fail (SWITTI_IS_SESSION (self));

  switti_session_stop (self);
  g_cancellable_cancel (self->hash_cancellable);
  while (self->run || self->n_hashing > 0)
    g_main_context_iteration (self->context, TRUE);
  g_clear_object (&self->generator);
}

static void
dispose (GObject *object)
{
  switti_session_shut_down (SWITTI_SESSION (object));
  G_OBJECT_CLASS (switti_session_parent_class)->dispose (object);
}

static void
finalize (GObject *object)
{
  SwittiSession *self = SWITTI_SESSION (object);

  g_free (self->model);
  g_free (self->device_name);
  g_clear_object (&self->hash_cancellable);
  g_clear_pointer (&self->context, g_main_context_unref);
  G_OBJECT_CLASS (switti_session_parent_class)->finalize (object);
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_STATE)
    g_value_set_int (value, SWITTI_SESSION (object)->state);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
switti_session_class_init (SwittiSessionClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = get_property;
  object_class->dispose = dispose;
  object_class->finalize = finalize;
  props[PROP_STATE] = g_param_spec_int ("state", NULL, NULL, SWITTI_SESSION_IDLE, SWITTI_SESSION_STOPPING,
                                        SWITTI_SESSION_IDLE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
  signals[SIGNAL_PROGRESS] = g_signal_new ("progress", SWITTI_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                           G_TYPE_NONE, 2, G_TYPE_DOUBLE, G_TYPE_INT);
  signals[SIGNAL_PREVIEW] = g_signal_new ("preview", SWITTI_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                          G_TYPE_NONE, 2, G_TYPE_INT, SWITTI_TYPE_IMAGE);
  signals[SIGNAL_FINISHED] = g_signal_new ("finished", SWITTI_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                           G_TYPE_NONE, 2, G_TYPE_PTR_ARRAY, G_TYPE_ERROR);
}

static void
switti_session_init (SwittiSession *self)
{
  self->context = g_main_context_ref_thread_default ();
}

SwittiSession *
switti_session_new (void)
{
  return g_object_new (SWITTI_TYPE_SESSION, NULL);
}
