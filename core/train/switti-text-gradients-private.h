/* switti-text-gradients-private.h - a CLIP text encoder in training: its states, and the gradients of its parameters
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The forward computation is SwittiTextEncoder's, but keeps what the backward computation needs. Everything is planned
 * once for a number of prompts; a run allocates nothing.
 */
#pragma once

#include "switti-parameters-private.h"

G_BEGIN_DECLS

typedef struct _SwittiTextGradients SwittiTextGradients;

/* `parameters` are those of `config`, and must outlive it; activations have their dtype. `batch` prompts at once. NULL
 * on failure. */
SwittiTextGradients *switti_text_gradients_new (SwittiParameters *parameters, const SwittiTextConfig *config,
                                                int batch, GError **error);
void switti_text_gradients_free (SwittiTextGradients *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiTextGradients, switti_text_gradients_free)

/* As switti_text_encoder_encode(), of exactly `batch` prompts: the states go to `hidden`, of which element (b, t, j) is
 * at hidden[(b * T + t) * hidden_stride + j], and to `pooled` (batch, width), or NULL. */
gboolean switti_text_gradients_forward (SwittiTextGradients *self, const gint32 *ids, const int *n_valid,
                                        float *hidden, gint64 hidden_stride, float *pooled, GError **error);
/* Of the last forward run, once. d_hidden and d_pooled, device float32, are laid out as the states; d_pooled may be
 * NULL. Adds to the gradients. What d_hidden has at or past n_valid is not read. */
gboolean switti_text_gradients_backward (SwittiTextGradients *self, const float *d_hidden, gint64 hidden_stride,
                                         const float *d_pooled, GError **error);

/* The gradients, a flat device array as the parameters'. */
float *switti_text_gradients_get_values (SwittiTextGradients *self);
gboolean switti_text_gradients_clear (SwittiTextGradients *self, GError **error);

/* As switti_gradients_finish(). */
gboolean switti_text_gradients_finish (SwittiTextGradients *self, GError **error);

/* Device bytes of gradients, activations and scratch. */
gsize switti_text_gradients_get_bytes (SwittiTextGradients *self);

G_END_DECLS
