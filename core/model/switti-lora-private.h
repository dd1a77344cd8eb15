/* switti-lora-private.h - low-rank additions to a model's matrices, in a file of their own
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * W + scale * alpha / r * B A, for a Linear layer's weight W (n, k): the file has "<layer>.lora_A.weight" (r, k),
 * "<layer>.lora_B.weight" (n, r) and perhaps "<layer>.alpha" (r without it), <layer> being its name in the model, bare
 * or behind "transformer." or "base_model.model.". lora_down and lora_up are other names of A and B.
 */
#pragma once

#include "switti-weights-private.h"

G_BEGIN_DECLS

/* A layer's addition, found in a file. */
typedef struct
{
  char *layer;    /* "blocks.0.attn.proj" */
  char *a, *b;    /* names of the tensors in the file */
  gint64 n, k, r;
  double alpha;
} SwittiLoraLayer;

/* All layers of `file`: SwittiLoraLayer, which the array owns. SWITTI_ERROR_MODEL_INVALID where a tensor lacks its
 * fellow, does not fit it, or is none of the kind. (transfer full) */
GPtrArray *switti_lora_list (SwittiWeights *file, GError **error);

/* sums (n, k) += scale * alpha / r * B A, float32, on the host. */
gboolean switti_lora_add (SwittiWeights *file, const SwittiLoraLayer *layer, double scale, float *sums, GError **error);

G_END_DECLS
