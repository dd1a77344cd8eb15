/* switti-sampler-private.h - the order in which a training sees its images
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A position counts the images that a whole training, all ranks together, has drawn since its first step, over all
 * epochs. What stands at a position is a function of (seed, position) alone: that number is all that a checkpoint
 * keeps, and ranks, resumed runs and replaced images agree without a word between them.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _SwittiSampler SwittiSampler;

/* Of n >= 1 images. Not shuffled: in their own order, the same each epoch. */
SwittiSampler *switti_sampler_new (guint64 seed, guint n, gboolean is_shuffled);
void switti_sampler_free (SwittiSampler *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiSampler, switti_sampler_free)

/* The image at a position below 2^48. Every epoch, which is n positions, has each image once. Keeps the last epoch's
 * order, 4 n bytes; so one thread at a time. */
guint switti_sampler_get (SwittiSampler *self, guint64 position);
/* Another image for a position whose own cannot be read: attempt 1, 2 … below 2^16. Any thread. */
guint switti_sampler_get_substitute (const SwittiSampler *self, guint64 position, guint attempt);
/* Whether the image at a position is mirrored: one in two. Any thread. */
gboolean switti_sampler_is_mirrored (const SwittiSampler *self, guint64 position);

G_END_DECLS
