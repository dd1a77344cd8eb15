/* switti-session.h - keeps a model loaded, and paints with it on a worker thread
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti.h"

G_BEGIN_DECLS

typedef enum
{
  SWITTI_SESSION_IDLE,
  SWITTI_SESSION_LOADING,  /* the model goes onto the device */
  SWITTI_SESSION_PAINTING,
  SWITTI_SESSION_STOPPING, /* was told to stop, and has not yet */
} SwittiSessionState;

/* What a generator is made of; another value of any of these loads the model anew. */
typedef struct
{
  const char *model;  /* name or path; NULL or "" is the default model */
  const char *device; /* "auto", "cpu", "cuda", "cuda:N" */
  SwittiPrecision precision;
  SwittiMemory memory;
  SwittiDevice *(*open_device) (const char *name, GError **error); /* of tests; NULL: switti_device_new() */
} SwittiSessionEngine;

/* Paints, on the worker: calls of @generator with @cancellable, @progress and @progress_data. Returns the pictures
 * (transfer full, element-type SwittiImage), or NULL with @error set. */
typedef GPtrArray *(*SwittiSessionPaint) (SwittiGenerator *generator, GCancellable *cancellable,
                                          SwittiProgressFunc progress, gpointer progress_data, gpointer user_data,
                                          GError **error);

#define SWITTI_TYPE_SESSION (switti_session_get_type ())
G_DECLARE_FINAL_TYPE (SwittiSession, switti_session, SWITTI, SESSION, GObject)

/* Property: state (SwittiSessionState as int, read only), notified at each change.
 *
 * Signals, all on the main context that was the thread-default one when the session was made:
 *   progress (double fraction, int scale): as SwittiProgressFunc; scale is -1 before the first
 *   preview (int scale, SwittiImage *picture): the picture so far; its seed says which of several it is. Where the main
 *     loop was busy only the newest of each seed comes, so that a slow window never makes a queue.
 *   finished (GPtrArray *pictures, GError *error): one of them is NULL; owned by the session, for the time of the call.
 *     After it the state is idle, and a handler may start the next painting.
 */
SwittiSession *switti_session_new (void);

SwittiSessionState switti_session_get_state (SwittiSession *self);

/* Scales of the model in use; 0 before one was loaded. */
int switti_session_get_n_scales (SwittiSession *self);

/* Starts painting; the state must be idle. Loads the model where it is not the one in use. @destroy frees @user_data,
 * on this thread, before "finished". */
void switti_session_paint (SwittiSession *self, const SwittiSessionEngine *engine, SwittiSessionPaint paint,
                           gpointer user_data, GDestroyNotify destroy);

/* Stops what runs: "finished" comes with G_IO_ERROR_CANCELLED soon. */
void switti_session_stop (SwittiSession *self);

/* Frees the model and the device, if nothing is being painted. */
void switti_session_unload (SwittiSession *self);

/* Stops, and waits on the main loop until nothing runs any more. */
void switti_session_shut_down (SwittiSession *self);

/* Waits on the main loop until the hash of the model in use is known (see switti_image_get_recipe()), which is
 * calculated in the background from when the model is loaded. */
void switti_session_wait_for_hash (SwittiSession *self);

G_END_DECLS
