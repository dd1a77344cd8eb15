/* switti-workspace-private.h - device memory planned once, in two steps
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Plan: every switti_workspace_reserve() adds a slot, 64-byte aligned. Commit: one device allocation. From then on
 * switti_workspace_get() returns each slot's address. Slots reserved between switti_workspace_begin_shared() and
 * _next_shared() calls overlap: the phases that use them never run at the same time.
 */
#pragma once

#include "switti-device-private.h"

G_BEGIN_DECLS

typedef struct _SwittiWorkspace SwittiWorkspace;
typedef guint SwittiSlot;

SwittiWorkspace *switti_workspace_new (SwittiDevice *device);
void switti_workspace_free (SwittiWorkspace *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiWorkspace, switti_workspace_free)

/* `count` elements of dtype; overflow is remembered and reported by commit. */
SwittiSlot switti_workspace_reserve (SwittiWorkspace *self, SwittiDtype dtype, gsize count);
/* rows * width elements; commit writes their address to *address, which is the address of a pointer of any type. */
void switti_workspace_place (SwittiWorkspace *self, void *address, SwittiDtype dtype, gint64 rows, gint64 width);
void switti_workspace_begin_shared (SwittiWorkspace *self);
void switti_workspace_next_shared (SwittiWorkspace *self);
void switti_workspace_end_shared (SwittiWorkspace *self);

gboolean switti_workspace_commit (SwittiWorkspace *self, const char *purpose, GError **error);
void *switti_workspace_get (SwittiWorkspace *self, SwittiSlot slot);
gsize switti_workspace_get_bytes (SwittiWorkspace *self);

G_END_DECLS
