/* switti-text-encoder-private.h - one CLIP text encoder on a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-config-private.h"
#include "switti-device-private.h"
#include "switti-tokenizer-private.h"

G_BEGIN_DECLS

typedef struct _SwittiTextEncoder SwittiTextEncoder;

/* Uploads and packs the weights (names without "text_model."), stored in `dtype` (F32 or BF16). `max_batch` prompts at
 * once. Thread: the device's, for all functions here. */
SwittiTextEncoder *switti_text_encoder_new (SwittiDevice *device, const SwittiTextConfig *config,
                                            SwittiWeights *weights, SwittiDtype dtype, int max_batch, GError **error);
void switti_text_encoder_free (SwittiTextEncoder *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiTextEncoder, switti_text_encoder_free)

/* ids (batch, T) on the host, n_valid (batch) valid ids in each.
 * hidden: device float32, element (b, t, j) at hidden[(b * T + t) * hidden_stride + j]; rows at or past n_valid are
 * written as zeros. pooled: device float32 (batch, width), or NULL. */
gboolean switti_text_encoder_encode (SwittiTextEncoder *self, int batch, const gint32 *ids, const int *n_valid,
                                     float *hidden, gint64 hidden_stride, float *pooled, GError **error);

/* -- what the trainer shares ----------------------------------------------------------------------------------- */

#define SWITTI_TEXT_ROW_STEP 16
#define SWITTI_TEXT_N_LENGTHS ((SWITTI_TEXT_LENGTH + SWITTI_TEXT_ROW_STEP - 1) / SWITTI_TEXT_ROW_STEP)

/* The least multiple of SWITTI_TEXT_ROW_STEP that holds a prompt, at most T. */
int switti_text_padded_length (int n_valid);
/* Where the pooled state is read. */
int switti_text_end_position (const SwittiTextConfig *config, const gint32 *ids, int n_valid);
/* SWITTI_ERROR_MODEL_INVALID where an id (batch, T) up to the prompt's padded length is not in the vocabulary. */
gboolean switti_text_check_ids (const SwittiTextConfig *config, int batch, const gint32 *ids, const int *n_valid,
                                GError **error);

G_END_DECLS
