/* switti-residents-private.h - whole units of parameters, put together from the ranks' pieces while they are used
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * For SwittiParameters alone. Two units at a time, the one that is computed with and the next, besides those that stay.
 */
#pragma once

#include "switti-device-private.h"
#include "switti-sharding-private.h"

G_BEGIN_DECLS

typedef struct _SwittiResidents SwittiResidents;

/* `values`: this rank's pieces, on the device. dtype other than F32: each unit also as copies in it. All must outlive
 * it. NULL on failure. */
SwittiResidents *switti_residents_new (SwittiDevice *device, const SwittiUnits *units, const SwittiSharding *sharding,
                                       const float *values, SwittiDtype dtype, GError **error);
void switti_residents_free (SwittiResidents *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiResidents, switti_residents_free)

/* Begins to fetch a unit, where it is not here and there is room for it. */
void switti_residents_prefetch (SwittiResidents *self, guint unit);
/* Waits for a unit, and keeps it until it is released. */
gboolean switti_residents_acquire (SwittiResidents *self, guint unit, GError **error);
void switti_residents_release (SwittiResidents *self, guint unit);
void switti_residents_release_all (SwittiResidents *self);
/* The pieces have changed: nothing that is here is right, and nothing is held. */
void switti_residents_invalidate (SwittiResidents *self);

/* Element `offset` of a unit that is held. */
const float *switti_residents_at (SwittiResidents *self, gsize offset);
const void *switti_residents_copy_at (SwittiResidents *self, gsize offset);

G_END_DECLS
