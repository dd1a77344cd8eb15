/* switti-sharding-private.h - which rank holds which piece of the parameters
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Parameters are cut into units (a transformer's block, a text encoder's layer …), and each unit into as many equal
 * pieces as there are shards. Parameters, gradients and the optimizer's moments are kept as pieces; a whole unit is
 * put together for as long as it is computed with. n_replicas ranks side by side (a computer's) hold the same pieces:
 * 1 is fully sharded, the number of all ranks is not sharded at all, and what is between is hybrid.
 */
#pragma once

#include "switti-collective-private.h"

G_BEGIN_DECLS

typedef struct
{
  gatomicrefcount references;
  SwittiCollective *ranks;    /* all */
  SwittiCollective *shards;   /* those whose pieces make the whole, of which this one has number `rank` */
  SwittiCollective *replicas; /* those that have the same pieces */
} SwittiSharding;

/* SWITTI_ERROR_ARGUMENT where n_replicas does not divide the number of ranks. NULL on failure. */
SwittiSharding *switti_sharding_new (SwittiCollective *ranks, int n_replicas, GError **error);
SwittiSharding *switti_sharding_ref (SwittiSharding *self);
void switti_sharding_unref (SwittiSharding *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiSharding, switti_sharding_unref)

/* 1, 0 and FALSE for NULL. */
int switti_sharding_get_n_pieces (const SwittiSharding *self);
int switti_sharding_get_piece (const SwittiSharding *self);
/* Whether gradients are to be summed over other ranks. */
gboolean switti_sharding_is_parallel (const SwittiSharding *self);

/* -- units ----------------------------------------------------------------------------------------------------- */

/* Elements [begin, end) of the flat arrays as they would be on one rank. Rank r of the shards has those from
 * begin + r * piece on, at `local` of its own arrays; the last rank's piece ends with padding. */
typedef struct
{
  gsize begin, end;
  gsize piece, local;
  gboolean stays; /* for the whole of a step; otherwise while it is computed with */
} SwittiUnit;

typedef struct
{
  GArray *list; /* SwittiUnit */
  int n_pieces, index;
  gsize local_size; /* of this rank's arrays */
} SwittiUnits;

SwittiUnits *switti_units_new (const SwittiSharding *sharding);
void switti_units_free (SwittiUnits *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiUnits, switti_units_free)
/* A unit begins where the one before ends. */
void switti_units_begin (SwittiUnits *self, gsize begin, gboolean stays);
/* Ends the last one, and lays the pieces out. FALSE where sizes overflow. */
gboolean switti_units_finish (SwittiUnits *self, gsize end);

guint switti_units_get_n (const SwittiUnits *self);
const SwittiUnit *switti_units_get (const SwittiUnits *self, guint index);
/* The unit that has an element. */
guint switti_units_find (const SwittiUnits *self, gsize offset);
/* What this rank has of elements [offset, offset + count) of one unit: *n of them (maybe 0), from *first of the count
 * on, at *local. */
void switti_units_get_piece (const SwittiUnits *self, gsize offset, gsize count, gsize *first, gsize *n, gsize *local);

G_END_DECLS
