/* switti-generator.c - paints what a request says
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-generator-private.h"

#include "switti-encoding-private.h"
#include "switti-error.h"
#include "switti-generation-private.h"
#include "switti-raster-private.h"
#include "switti-request-private.h"
#include "switti-turn-private.h"

#include <glib/gi18n-lib.h>

/**
 * SwittiGenerator:
 *
 * Paints what a [class@Request] says, with a model on a device.
 *
 * Calls from several threads wait for each other, also those of other generators on the same device. After an error or
 * a cancelled call the generator is as good as before.
 */
struct _SwittiGenerator
{
  GObject parent_instance;

  SwittiBundle *bundle;
  SwittiDevice *device;
  SwittiPrecision precision;
  SwittiEngine *engine; /* of the thread that has the device's turn */
  SwittiTimings timings; /* likewise */

  GMutex mutex; /* of what follows */
  SwittiPreviewRequest *preview;
  SwittiScaleTrace trace;
  gpointer trace_data;
  gboolean timed;
};

G_DEFINE_FINAL_TYPE (SwittiGenerator, switti_generator, G_TYPE_OBJECT)

static void
switti_generator_finalize (GObject *object)
{
  SwittiGenerator *self = SWITTI_GENERATOR (object);

  /* The last reference may go away in a callback of another generator on this device, which has its turn already. */
  if (self->engine && switti_turn_is_mine (self->device))
    switti_engine_free (self->engine);
  else if (self->engine && switti_turn_take (self->device, NULL, NULL))
    {
      switti_engine_free (self->engine);
      switti_turn_give (self->device);
    }
  g_clear_pointer (&self->preview, switti_preview_request_unref);
  g_clear_object (&self->bundle);
  g_clear_object (&self->device);
  g_mutex_clear (&self->mutex);
  G_OBJECT_CLASS (switti_generator_parent_class)->finalize (object);
}

static void
switti_generator_class_init (SwittiGeneratorClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = switti_generator_finalize;
}

static void
switti_generator_init (SwittiGenerator *self)
{
  g_mutex_init (&self->mutex);
}

SwittiGenerator *
switti_generator_new (SwittiBundle *bundle, SwittiDevice *device, SwittiPrecision precision, GCancellable *cancellable,
                      GError **error)
{
  return switti_generator_new_with_memory (bundle, device, precision, SWITTI_MEMORY_AUTO, cancellable, error);
}

SwittiGenerator *
switti_generator_new_with_memory (SwittiBundle *bundle, SwittiDevice *device, SwittiPrecision precision,
                                  SwittiMemory memory, GCancellable *cancellable, GError **error)
{
  g_autoptr (SwittiGenerator) self = NULL;
  SwittiDtype dtype;

  g_return_val_if_fail (SWITTI_IS_BUNDLE (bundle), NULL);
  g_return_val_if_fail (SWITTI_IS_DEVICE (device), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  if (precision == SWITTI_PRECISION_AUTO)
    precision = switti_device_has_fast_bf16 (device) ? SWITTI_PRECISION_BF16 : SWITTI_PRECISION_F32;
  dtype = precision == SWITTI_PRECISION_BF16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32;

  self = g_object_new (SWITTI_TYPE_GENERATOR, NULL);
  self->bundle = g_object_ref (bundle);
  self->device = g_object_ref (device);
  self->precision = precision;
  if (!switti_turn_take (device, cancellable, error))
    return NULL;
  self->engine = switti_engine_new (bundle, device, dtype, memory, cancellable, error);
  switti_turn_give (device);
  return self->engine ? g_steal_pointer (&self) : NULL;
}

SwittiBundle *
switti_generator_get_bundle (SwittiGenerator *self)
{
  g_return_val_if_fail (SWITTI_IS_GENERATOR (self), NULL);

  return self->bundle;
}

SwittiDevice *
switti_generator_get_device (SwittiGenerator *self)
{
  g_return_val_if_fail (SWITTI_IS_GENERATOR (self), NULL);

  return self->device;
}

SwittiPrecision
switti_generator_get_precision (SwittiGenerator *self)
{
  g_return_val_if_fail (SWITTI_IS_GENERATOR (self), SWITTI_PRECISION_AUTO);

  return self->precision;
}

void
switti_generator_set_preview (SwittiGenerator *self, SwittiPreviewFunc func, gpointer user_data, GDestroyNotify destroy,
                              const int *scales, int n_scales)
{
  SwittiPreviewRequest *old;

  g_return_if_fail (SWITTI_IS_GENERATOR (self));
  g_return_if_fail (scales == NULL || n_scales >= 0);

  g_mutex_lock (&self->mutex);
  old = self->preview;
  self->preview = func ? switti_preview_request_new (func, user_data, destroy, scales, n_scales) : NULL;
  g_mutex_unlock (&self->mutex);
  /* Outside the lock: it may call the caller's destroy function. */
  g_clear_pointer (&old, switti_preview_request_unref);
}

void
switti_generator_set_trace (SwittiGenerator *self, SwittiScaleTrace trace, gpointer user_data)
{
  g_mutex_lock (&self->mutex);
  self->trace = trace;
  self->trace_data = user_data;
  g_mutex_unlock (&self->mutex);
}

void
switti_generator_set_timed (SwittiGenerator *self, gboolean timed)
{
  g_mutex_lock (&self->mutex);
  self->timed = timed;
  g_mutex_unlock (&self->mutex);
}

const SwittiTimings *
switti_generator_get_timings (SwittiGenerator *self)
{
  return &self->timings;
}

static SwittiPreviewRequest *
dup_preview (SwittiGenerator *self)
{
  SwittiPreviewRequest *preview;

  g_mutex_lock (&self->mutex);
  preview = self->preview ? switti_preview_request_ref (self->preview) : NULL;
  g_mutex_unlock (&self->mutex);
  return preview;
}

/* -- generating ---------------------------------------------------------------------------------------------- */

/* request: a copy that nobody changes. */
static GPtrArray *
generate (SwittiGenerator *self, SwittiRequest *request, const SwittiPrompts *prompts, GCancellable *cancellable,
          const SwittiObserver *observer, GError **error)
{
  SwittiGenerationJob job = {
    .request = request,
    .prompts = prompts,
    .cancellable = cancellable,
    .observer = observer,
  };
  GPtrArray *images;

  g_mutex_lock (&self->mutex);
  job.trace = self->trace;
  job.trace_data = self->trace_data;
  job.timed = self->timed;
  g_mutex_unlock (&self->mutex);
  if (!switti_turn_take (self->device, cancellable, error))
    return NULL;
  images = switti_generation_run (self->engine, &job, &self->timings, error);
  switti_turn_give (self->device);
  return images;
}

static GPtrArray *
generate_text (SwittiGenerator *self, SwittiRequest *request, GCancellable *cancellable,
               const SwittiObserver *observer, GError **error)
{
  SwittiTextPrompts text;

  switti_text_prompts_init (&text, switti_bundle_get_parts (self->bundle), switti_request_get_parameters (request));
  return generate (self, request, &text.prompts, cancellable, observer, error);
}

GPtrArray *
switti_generator_generate (SwittiGenerator *self, SwittiRequest *request, GCancellable *cancellable,
                           SwittiProgressFunc progress, gpointer user_data, GError **error)
{
  g_autoptr (SwittiRequest) copy = NULL;
  g_autoptr (SwittiPreviewRequest) preview = NULL;
  SwittiObserver observer = { .progress = progress, .progress_data = user_data };

  g_return_val_if_fail (SWITTI_IS_GENERATOR (self), NULL);
  g_return_val_if_fail (SWITTI_IS_REQUEST (request), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  if (!switti_request_validate (request, self->bundle, error))
    return NULL;
  copy = switti_request_copy (request);
  observer.preview = preview = dup_preview (self);
  return generate_text (self, copy, cancellable, &observer, error);
}

SwittiImage *
switti_generator_encode (SwittiGenerator *self, GBytes *pixels, int width, int height, GCancellable *cancellable,
                         GError **error)
{
  int side;
  g_autofree guint8 *scaled = NULL;
  SwittiImage *image;

  g_return_val_if_fail (SWITTI_IS_GENERATOR (self), NULL);
  g_return_val_if_fail (pixels != NULL, NULL);
  g_return_val_if_fail (width > 0 && height > 0, NULL);
  g_return_val_if_fail (g_bytes_get_size (pixels) / 3 / (gsize) width == (gsize) height
                        && g_bytes_get_size (pixels) == (gsize) width * (gsize) height * 3, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  side = switti_bundle_get_resolution (self->bundle);
  scaled = g_malloc ((gsize) side * (gsize) side * 3);
  switti_raster_resize_u8 (3, width, height, g_bytes_get_data (pixels, NULL), side, side, scaled);
  if (!switti_turn_take (self->device, cancellable, error))
    return NULL;
  image = switti_encoding_run (self->engine, scaled, cancellable, error);
  switti_turn_give (self->device);
  return image;
}

GPtrArray *
switti_generator_generate_ids (SwittiGenerator *self, SwittiRequest *request, int n_prompts, const gint32 *ids[2],
                               const int *n_valid[2], const gint32 *null_ids[2], const int null_valid[2],
                               GCancellable *cancellable, GError **error)
{
  g_autoptr (SwittiRequest) copy = switti_request_copy (request);
  g_autoptr (SwittiPreviewRequest) preview = NULL;
  SwittiObserver observer = { 0 };
  SwittiPrompts prompts = { .n_prompts = n_prompts };

  g_assert (n_prompts > 0);
  g_object_set (copy, "count", n_prompts, NULL);
  if (!switti_request_validate_sampling (copy, self->bundle, error))
    return NULL;
  for (int i = 0; i < 2; i++)
    {
      prompts.ids[i] = ids[i];
      prompts.n_valid[i] = n_valid[i];
      prompts.null_ids[i] = null_ids[i];
      prompts.null_valid[i] = null_valid[i];
    }
  observer.preview = preview = dup_preview (self);
  return generate (self, copy, &prompts, cancellable, &observer, error);
}

/* -- asynchronous -------------------------------------------------------------------------------------------- */

/* Everything of a call that runs on a thread of its own. It is made and freed on the caller's main context, so that the
 * caller's destroy functions run there. */
typedef struct
{
  GTask *task;
  SwittiRequest *request;
  SwittiObserver observer;
  GDestroyNotify progress_destroy;
  GPtrArray *images;
  GError *error;
} AsyncCall;

static void
async_call_free (gpointer data)
{
  AsyncCall *call = data;

  if (call->progress_destroy)
    call->progress_destroy (call->observer.progress_data);
  g_clear_pointer (&call->observer.preview, switti_preview_request_unref);
  g_clear_pointer (&call->observer.context, g_main_context_unref);
  g_clear_pointer (&call->images, g_ptr_array_unref);
  g_clear_error (&call->error);
  g_clear_object (&call->request);
  g_clear_object (&call->task);
  g_free (call);
}

/* On the caller's main context, behind the last progress and preview. */
static gboolean
deliver_result (gpointer data)
{
  AsyncCall *call = data;

  if (call->images)
    g_task_return_pointer (call->task, g_steal_pointer (&call->images), (GDestroyNotify) g_ptr_array_unref);
  else
    g_task_return_error (call->task, g_steal_pointer (&call->error));
  return G_SOURCE_REMOVE;
}

static gpointer
run_async_call (gpointer data)
{
  AsyncCall *call = data;

  call->images = generate_text (g_task_get_source_object (call->task), call->request,
                                g_task_get_cancellable (call->task), &call->observer, &call->error);
  switti_queue_on_context (call->observer.context, deliver_result, call, async_call_free);
  return NULL;
}

void
switti_generator_generate_async (SwittiGenerator *self, SwittiRequest *request, GCancellable *cancellable,
                                 SwittiProgressFunc progress, gpointer progress_data, GDestroyNotify progress_destroy,
                                 GAsyncReadyCallback callback, gpointer user_data)
{
  AsyncCall *call;
  g_autoptr (GThread) thread = NULL;
  g_autoptr (GError) local = NULL;

  g_return_if_fail (SWITTI_IS_GENERATOR (self));
  g_return_if_fail (SWITTI_IS_REQUEST (request));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  call = g_new0 (AsyncCall, 1);
  call->task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (call->task, switti_generator_generate_async);
  /* The worker looks at the cancellable; pictures that were finished before a late cancel are delivered. */
  g_task_set_check_cancellable (call->task, FALSE);
  call->request = switti_request_copy (request);
  call->observer.context = g_main_context_ref_thread_default ();
  call->observer.progress = progress;
  call->observer.progress_data = progress_data;
  call->observer.preview = dup_preview (self);
  call->progress_destroy = progress_destroy;
  if (switti_request_validate (request, self->bundle, &call->error))
    thread = g_thread_try_new ("switti", run_async_call, call, &local);
  if (thread)
    return;
  if (local)
    g_set_error (&call->error, SWITTI_ERROR, SWITTI_ERROR_DEVICE, _ ("Cannot start a thread to paint on: %s."),
                 local->message);
  switti_queue_on_context (call->observer.context, deliver_result, call, async_call_free);
}

GPtrArray *
switti_generator_generate_finish (SwittiGenerator *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
