/* switti-seed-row.h - a seed with a lock and dice
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_SEED_ROW (switti_seed_row_get_type ())
G_DECLARE_FINAL_TYPE (SwittiSeedRow, switti_seed_row, SWITTI, SEED_ROW, GtkBox)

/* Property: seed (double, whole): -1, a new one for each picture, to @maximum. It is locked where it is not -1: locking
 * keeps the last one that was painted with, unlocking gives it up, and the dice draw another one and lock it. */
GtkWidget *switti_seed_row_new (double maximum);

/* Says what seed was painted with, which the lock keeps from now on. */
void switti_seed_row_set_last (SwittiSeedRow *self, guint64 seed);

/* The widget that takes the focus, for a label's mnemonic. */
GtkWidget *switti_seed_row_get_spin (SwittiSeedRow *self);

G_END_DECLS
