/* switti-low-rank-private.h - training what is added to a model's matrices, of low rank
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * For every Linear layer of attention and FFN, W = W0 + alpha / r * B A. A (r, k) and B (n, r) are parameters of their
 * own, which the optimizer moves; W0 and all else stay as they are. The gradients of A and B follow from that of W, so
 * that the forward and backward computations are those of a whole training; what is saved is memory for moments, and
 * the size of the result. A begins random, B at 0: the model begins as it was. One rank. Thread: the device's.
 */
#pragma once

#include "switti-parameters-private.h"

G_BEGIN_DECLS

typedef struct _SwittiLowRank SwittiLowRank;

/* `target`: the whole parameters, with the values of W0, which must outlive it. NULL on failure. */
SwittiLowRank *switti_low_rank_new (SwittiParameters *target, int rank, double alpha, guint64 seed, GError **error);
void switti_low_rank_free (SwittiLowRank *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiLowRank, switti_low_rank_free)

/* A and B, "transformer.blocks.0.attn.proj.lora_A.weight" …; owned by self. */
SwittiParameters *switti_low_rank_get_factors (SwittiLowRank *self);
/* The gradients of the factors, a flat device array. */
float *switti_low_rank_get_gradients (SwittiLowRank *self);

/* The target's values from the factors as they are now. */
gboolean switti_low_rank_compose (SwittiLowRank *self, GError **error);
/* The gradients of the factors (=) from those of the target, a flat device array. */
gboolean switti_low_rank_backward (SwittiLowRank *self, const float *gradients, GError **error);

/* Writes the factors, host values `flat`, as a safetensors file: with "<layer>.alpha" for each. */
gboolean switti_low_rank_save (SwittiLowRank *self, float *flat, const char *path, GError **error);

G_END_DECLS
