/* switti-observer-private.h - who hears of a generation while it runs
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-generator.h"

G_BEGIN_DECLS

/* What switti_generator_set_preview() asked for; reference counted, from any thread. */
typedef struct
{
  SwittiPreviewFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
  gboolean all_scales;
  int *scales;
  int n_scales;
} SwittiPreviewRequest;

SwittiPreviewRequest *switti_preview_request_new (SwittiPreviewFunc func, gpointer user_data, GDestroyNotify destroy,
                                                  const int *scales, int n_scales);
SwittiPreviewRequest *switti_preview_request_ref (SwittiPreviewRequest *self);
void switti_preview_request_unref (SwittiPreviewRequest *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiPreviewRequest, switti_preview_request_unref)

/* One generation's listeners. With a context, calls are queued there, in order; without, they are made at once. */
typedef struct
{
  GMainContext *context;
  SwittiProgressFunc progress;
  gpointer progress_data;
  SwittiPreviewRequest *preview;
} SwittiObserver;

gboolean switti_observer_wants_preview (const SwittiObserver *self, int scale);
void switti_observer_progress (const SwittiObserver *self, double fraction, int scale);
void switti_observer_preview (const SwittiObserver *self, int image_index, int scale, SwittiImage *image);

/* Queues func behind everything that was queued before; destroy, unless NULL, runs on the context's thread. */
void switti_queue_on_context (GMainContext *context, GSourceFunc func, gpointer data, GDestroyNotify destroy);

G_END_DECLS
