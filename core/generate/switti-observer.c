/* switti-observer.c - who hears of a generation while it runs
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-observer-private.h"

static void
preview_request_clear (gpointer data)
{
  SwittiPreviewRequest *self = data;

  if (self->destroy)
    self->destroy (self->user_data);
  g_free (self->scales);
}

SwittiPreviewRequest *
switti_preview_request_new (SwittiPreviewFunc func, gpointer user_data, GDestroyNotify destroy, const int *scales,
                            int n_scales)
{
  SwittiPreviewRequest *self = g_atomic_rc_box_new0 (SwittiPreviewRequest);

  self->func = func;
  self->user_data = user_data;
  self->destroy = destroy;
  self->all_scales = scales == NULL;
  self->scales = scales ? g_memdup2 (scales, sizeof *scales * (gsize) n_scales) : NULL;
  self->n_scales = scales ? n_scales : 0;
  return self;
}

SwittiPreviewRequest *
switti_preview_request_ref (SwittiPreviewRequest *self)
{
  return g_atomic_rc_box_acquire (self);
}

void
switti_preview_request_unref (SwittiPreviewRequest *self)
{
  g_atomic_rc_box_release_full (self, preview_request_clear);
}

gboolean
switti_observer_wants_preview (const SwittiObserver *self, int scale)
{
  const SwittiPreviewRequest *preview = self->preview;

  if (preview == NULL || preview->all_scales)
    return preview != NULL;
  for (int i = 0; i < preview->n_scales; i++)
    if (preview->scales[i] == scale)
      return TRUE;
  return FALSE;
}

/* A source of our own: g_main_context_invoke() would call on the worker's thread while nobody iterates the context. */
void
switti_queue_on_context (GMainContext *context, GSourceFunc func, gpointer data, GDestroyNotify destroy)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, func, data, destroy);
  g_source_set_static_name (source, "[switti] delivery");
  g_source_attach (source, context);
}

typedef struct
{
  SwittiProgressFunc func;
  gpointer user_data;
  double fraction;
  int scale;
} ProgressCall;

static gboolean
deliver_progress (gpointer data)
{
  ProgressCall *call = data;

  call->func (call->fraction, call->scale, call->user_data);
  return G_SOURCE_REMOVE;
}

void
switti_observer_progress (const SwittiObserver *self, double fraction, int scale)
{
  ProgressCall call = { self->progress, self->progress_data, fraction, scale };

  if (call.func == NULL)
    return;
  if (self->context)
    switti_queue_on_context (self->context, deliver_progress, g_memdup2 (&call, sizeof call), g_free);
  else
    deliver_progress (&call);
}

typedef struct
{
  SwittiPreviewRequest *preview;
  int image_index, scale;
  SwittiImage *image;
} PreviewCall;

static gboolean
deliver_preview (gpointer data)
{
  PreviewCall *call = data;

  call->preview->func (call->image_index, call->scale, call->image, call->preview->user_data);
  return G_SOURCE_REMOVE;
}

static void
preview_call_free (gpointer data)
{
  PreviewCall *call = data;

  switti_preview_request_unref (call->preview);
  g_object_unref (call->image);
  g_free (call);
}

void
switti_observer_preview (const SwittiObserver *self, int image_index, int scale, SwittiImage *image)
{
  PreviewCall *call = g_new (PreviewCall, 1);

  *call = (PreviewCall) { switti_preview_request_ref (self->preview), image_index, scale, g_object_ref (image) };
  if (self->context)
    switti_queue_on_context (self->context, deliver_preview, call, preview_call_free);
  else
    {
      deliver_preview (call);
      preview_call_free (call);
    }
}
