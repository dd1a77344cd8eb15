/* switti-codes-private.h - images to codes, and codes to what the transformer is given
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The VAE's encoder in float32, whatever the training's dtype: the codes of an image are what they are. Thread: the
 * device's. L codes an image, scale after scale; R = 16 n pixels of a side; Z channels.
 */
#pragma once

#include "switti-config-private.h"
#include "switti-device-private.h"

G_BEGIN_DECLS

typedef struct _SwittiCodes SwittiCodes;

/* At most `max_batch` images at once. Takes a reference on weights. NULL on failure. */
SwittiCodes *switti_codes_new (SwittiDevice *device, const SwittiVaeConfig *config, SwittiWeights *weights,
                               int max_batch, GError **error);
void switti_codes_free (SwittiCodes *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiCodes, switti_codes_free)

/* pixels (n, R, R, 3) in [-1, 1] -> codes (n, L), both on the host. */
gboolean switti_codes_encode (SwittiCodes *self, int n, const float *pixels, gint32 *codes, GError **error);
/* The same for one image, with noise of that deviation, below 1, in what is left at each scale before the nearest codes
 * are looked for (--embed-noise-std). It follows from seed and position. */
gboolean switti_codes_encode_noisy (SwittiCodes *self, const float *pixels, double deviation, guint64 seed,
                                    guint64 position, gint32 *codes, GError **error);
/* codes (n, L) -> the pictures that they stand for (n, R, R, 3) u8, both on the host. Codes outside the codebook are
 * SWITTI_ERROR_ARGUMENT. */
gboolean switti_codes_decode (SwittiCodes *self, int n, const gint32 *codes, guint8 *rgb, GError **error);
/* codes (n, L) -> latents (n, L - 1, Z): the pyramid's inputs of scales 1 …, both on the host. Codes outside the
 * codebook are SWITTI_ERROR_ARGUMENT. */
gboolean switti_codes_get_latents (SwittiCodes *self, int n, const gint32 *codes, float *latents, GError **error);

G_END_DECLS
