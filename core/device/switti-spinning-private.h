/* switti-spinning-private.h - how long OpenMP's threads spin while they wait for each other
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * By default libgomp's threads spin for a millisecond or more before they sleep. Where other programs want the
 * processors, too, each of the thousands of loops of a picture may then wait for a thread that is not running: ten
 * times the time for the model in the box. A thousand turns, a few microseconds, cost an idle machine nothing that can
 * be measured, and sleep soon enough for a busy one.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* For the beginning of main(), before any thread: libgomp reads how long from the environment when it is loaded, so
 * this sets GOMP_SPINCOUNT and starts the program anew with the same arguments. Does nothing where the user has set
 * that or OMP_WAIT_POLICY, or where the program was started by an explicit loader; and then it returns. */
void switti_spin_briefly (char *const argv[]);

G_END_DECLS
