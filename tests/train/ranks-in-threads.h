/* ranks-in-threads.h - ranks that are threads of the test, so that what many processes do is tested in one
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-collective-private.h"

G_BEGIN_DECLS

/* Runs func (collective of rank r, data) on n threads at once, and waits for all. */
typedef void (*RankFunc) (SwittiCollective *ranks, gpointer data);
void run_ranks (int n, RankFunc func, gpointer data);
/* The same; after `good` collective calls, rank 0's fail. */
void run_failing_ranks (int n, int good, RankFunc func, gpointer data);

G_END_DECLS
