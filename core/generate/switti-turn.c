/* switti-turn.c - one thread at a time on a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-turn-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>

/* How often a waiting thread looks at its cancellable. */
#define POLL_INTERVAL (20 * G_TIME_SPAN_MILLISECOND)

static GMutex mutex;
static GCond given;
static GHashTable *owners; /* device -> GThread that has its turn; under mutex */

static GThread *
owner_of (SwittiDevice *device)
{
  return owners ? g_hash_table_lookup (owners, device) : NULL;
}

gboolean
switti_turn_is_mine (SwittiDevice *device)
{
  gboolean mine;

  g_mutex_lock (&mutex);
  mine = owner_of (device) == g_thread_self ();
  g_mutex_unlock (&mutex);
  return mine;
}

gboolean
switti_turn_take (SwittiDevice *device, GCancellable *cancellable, GError **error)
{
  gboolean good = TRUE;

  g_mutex_lock (&mutex);
  if (owners == NULL)
    owners = g_hash_table_new (NULL, NULL);
  if (owner_of (device) == g_thread_self ())
    {
      g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                           _ ("A callback of a generation cannot start another one on the same device; start it when "
                              "this one has finished."));
      good = FALSE;
    }
  while (good && owner_of (device) != NULL)
    {
      good = !g_cancellable_set_error_if_cancelled (cancellable, error);
      if (good)
        g_cond_wait_until (&given, &mutex, g_get_monotonic_time () + POLL_INTERVAL);
    }
  if (good)
    g_hash_table_insert (owners, device, g_thread_self ());
  g_mutex_unlock (&mutex);
  return good;
}

void
switti_turn_give (SwittiDevice *device)
{
  g_mutex_lock (&mutex);
  g_assert (owner_of (device) == g_thread_self ());
  g_hash_table_remove (owners, device);
  g_cond_broadcast (&given);
  g_mutex_unlock (&mutex);
}
