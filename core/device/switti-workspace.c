/* switti-workspace.c - device memory planned once, in two steps
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-workspace-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>

#define ALIGNMENT 64

struct _SwittiWorkspace
{
  SwittiDevice *device;
  GArray *offsets;   /* gsize, by slot */
  GArray *addresses; /* void **, by slot; NULL where nobody is to be told */
  gsize end;       /* of what has been reserved so far */
  gboolean overflow;
  gboolean shared;      /* between begin_shared and end_shared: */
  gsize shared_start;   /* where every phase starts, */
  gsize shared_largest; /* and where the longest one ended */
  guint8 *memory;
};

SwittiWorkspace *
switti_workspace_new (SwittiDevice *device)
{
  SwittiWorkspace *self = g_new0 (SwittiWorkspace, 1);

  self->device = g_object_ref (device);
  self->offsets = g_array_new (FALSE, FALSE, sizeof (gsize));
  self->addresses = g_array_new (FALSE, FALSE, sizeof (void **));
  return self;
}

void
switti_workspace_free (SwittiWorkspace *self)
{
  if (self == NULL)
    return;
  switti_device_free (self->device, self->memory);
  g_object_unref (self->device);
  g_array_unref (self->offsets);
  g_array_unref (self->addresses);
  g_free (self);
}

SwittiSlot
switti_workspace_reserve (SwittiWorkspace *self, SwittiDtype dtype, gsize count)
{
  void **nobody = NULL;
  gsize bytes = 0;

  g_assert (self->memory == NULL);
  if (!g_size_checked_mul (&bytes, count, switti_dtype_size (dtype)) ||
      !g_size_checked_add (&bytes, bytes, ALIGNMENT - 1))
    self->overflow = TRUE;
  bytes -= bytes % ALIGNMENT;
  g_array_append_val (self->offsets, self->end);
  g_array_append_val (self->addresses, nobody);
  if (!g_size_checked_add (&self->end, self->end, bytes))
    self->overflow = TRUE;
  return self->offsets->len - 1;
}

void
switti_workspace_place (SwittiWorkspace *self, void *address, SwittiDtype dtype, gint64 rows, gint64 width)
{
  SwittiSlot slot;
  gsize count;

  g_assert (rows >= 0 && width >= 0);
  /* What does not fit is refused by commit. */
  if (!g_size_checked_mul (&count, (gsize) rows, (gsize) width))
    count = G_MAXSIZE;
  slot = switti_workspace_reserve (self, dtype, count);
  g_array_index (self->addresses, void **, slot) = address;
}

void
switti_workspace_begin_shared (SwittiWorkspace *self)
{
  g_assert (!self->shared);
  self->shared = TRUE;
  self->shared_start = self->shared_largest = self->end;
}

void
switti_workspace_next_shared (SwittiWorkspace *self)
{
  g_assert (self->shared);
  self->shared_largest = MAX (self->shared_largest, self->end);
  self->end = self->shared_start;
}

void
switti_workspace_end_shared (SwittiWorkspace *self)
{
  switti_workspace_next_shared (self);
  self->end = self->shared_largest;
  self->shared = FALSE;
}

gboolean
switti_workspace_commit (SwittiWorkspace *self, const char *purpose, GError **error)
{
  g_assert (!self->shared && self->memory == NULL);
  if (self->overflow)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY,
                   _ ("The memory for %s is more than this computer can address: make fewer images at once or choose a "
                      "smaller model."),
                   purpose);
      return FALSE;
    }
  self->memory = switti_device_alloc (self->device, self->end, purpose, error);
  if (self->memory == NULL)
    return FALSE;
  for (SwittiSlot slot = 0; slot < self->addresses->len; slot++)
    {
      void **address = g_array_index (self->addresses, void **, slot);

      if (address != NULL)
        *address = switti_workspace_get (self, slot);
    }
  return TRUE;
}

void *
switti_workspace_get (SwittiWorkspace *self, SwittiSlot slot)
{
  g_assert (self->memory != NULL && slot < self->offsets->len);
  return self->memory + g_array_index (self->offsets, gsize, slot);
}

gsize
switti_workspace_get_bytes (SwittiWorkspace *self)
{
  return self->end;
}
