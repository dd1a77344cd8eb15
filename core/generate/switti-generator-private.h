/* switti-generator-private.h - what tests and the bench see of a generation
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-bundle-private.h"
#include "switti-generator.h"

G_BEGIN_DECLS

/* Called on the generating thread after each scale, with host copies: guided logits (batch, n, V), codes (batch, n). */
typedef void (*SwittiScaleTrace) (int scale, int batch, int n, const float *logits, const gint32 *codes,
                                  gpointer user_data);
void switti_generator_set_trace (SwittiGenerator *self, SwittiScaleTrace trace, gpointer user_data);

/* Wait for the device after each part, so that the timings are right where it works on its own (default: FALSE). */
void switti_generator_set_timed (SwittiGenerator *self, gboolean timed);

/* The last generation: seconds by part (scales has S values), and launches. */
typedef struct
{
  double text, conditions, transformer, sampling, pyramid, vae, total;
  int n_scales;
  double scales[SWITTI_MAX_SCALES];
  int block_kernels, block_products; /* launched by a block of the transformer at a scale; 0 on the CPU */
  int other_launches; /* in the scales' graphs, beside kernels and products: see SwittiKernelLaunches */
} SwittiTimings;
const SwittiTimings *switti_generator_get_timings (SwittiGenerator *self);

/* As switti_generator_generate(), with token ids in place of text: prompts (n_prompts, T) with n_valid each, image i
 * has prompt i (count is n_prompts), and one null prompt. */
GPtrArray *switti_generator_generate_ids (SwittiGenerator *self, SwittiRequest *request, int n_prompts,
                                          const gint32 *ids[2], const int *n_valid[2], const gint32 *null_ids[2],
                                          const int null_valid[2], GCancellable *cancellable, GError **error);

G_END_DECLS
