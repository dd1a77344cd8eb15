/* switti-random-private.h - the trainer's random numbers: a function of (seed, name, index), with no state to save
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Philox 4x32-10 as in the sampler (kernels/), here for the host: the same parameters, drops and shuffles follow from a
 * seed on any device and any number of ranks.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A stream of random numbers of its own for each purpose. */
typedef struct
{
  guint64 seed, stream;
} SwittiRandom;

/* `purpose` names the stream: a parameter's name, "captions" … */
SwittiRandom switti_random_new (guint64 seed, const char *purpose);

/* Four 32-bit words for each index; `attempt` (below 2^16) gives others. Index below 2^48. */
void switti_random_words (const SwittiRandom *self, guint64 index, guint attempt, guint32 words[4]);

/* out[i], i < count: normal with mean 0 and deviation `deviation`, drawn again beyond +-limit. */
void switti_random_truncated_normal (const SwittiRandom *self, double deviation, double limit, gsize count,
                                     float *out);

/* out[i], i < count: normal with mean 0 and deviation 1, of indices from `first` on, four numbers an index. */
void switti_random_normal (const SwittiRandom *self, guint64 first, gsize count, float *out);

G_END_DECLS
