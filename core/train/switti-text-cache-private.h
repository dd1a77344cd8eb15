/* switti-text-cache-private.h - captions' features, kept on disk
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * For text encoders that are not trained. T tokens, of which n_valid[1] of a caption (the second encoder's) are kept:
 * no more are attended to. Thread: the device's.
 */
#pragma once

#include "switti-cache-private.h"
#include "switti-training-model-private.h"

G_BEGIN_DECLS

typedef struct _SwittiTextCache SwittiTextCache;

/* In the folder of --cache, or cache in the output folder. Reads the encoders' weights once, for their digest. `model`
 * must outlive it. */
SwittiTextCache *switti_text_cache_new (const SwittiTrainingModel *model, const SwittiTrainingOptions *options,
                                        GError **error);
void switti_text_cache_free (SwittiTextCache *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiTextCache, switti_text_cache_free)

/* Of n captions, ids[i] (n, T) being encoder i's tokens: writes context (n, T, D) and pooled (n, P), on the device.
 * What is not kept becomes 0. *is_there: whether all were there; otherwise nothing is written. */
gboolean switti_text_cache_get (SwittiTextCache *self, int n, const gint32 *const ids[2], const int *const n_valid[2],
                                float *context, float *pooled, gboolean *is_there, GError **error);
gboolean switti_text_cache_put (SwittiTextCache *self, int n, const gint32 *const ids[2], const int *const n_valid[2],
                                const float *context, const float *pooled, GError **error);

G_END_DECLS
