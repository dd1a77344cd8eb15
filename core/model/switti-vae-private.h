/* switti-vae-private.h - the VAE's encoder and decoder on a device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Pictures are NHWC, 16 times the latent's side. Thread: the device's.
 */
#pragma once

#include "switti-config-private.h"
#include "switti-device-private.h"

G_BEGIN_DECLS

typedef struct _SwittiVae SwittiVae;

/* `dtype`: of weights and activations. The encoder is loaded at its first use. Plans are made for each latent side and
 * kept. Takes a reference on weights. */
SwittiVae *switti_vae_new (SwittiDevice *device, const SwittiVaeConfig *config, SwittiWeights *weights,
                           SwittiDtype dtype, GError **error);
void switti_vae_free (SwittiVae *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiVae, switti_vae_free)

/* f_hat: device float32 (batch, side, side, Z). image: device float32 (batch, 16 side, 16 side, 3), not clamped; or
 * rgb: device u8 of the same shape, clamped and truncated as the spec says; either may be NULL. One image after
 * another. Looks at cancellable between layers. */
gboolean switti_vae_decode (SwittiVae *self, int batch, int side, const float *f_hat, float *image, guint8 *rgb,
                            GCancellable *cancellable, GError **error);

/* image: device float32 (batch, 16 side, 16 side, 3) in [-1, 1]. f: device float32 (batch, side, side, Z). */
gboolean switti_vae_encode (SwittiVae *self, int batch, int side, const float *image, float *f,
                            GCancellable *cancellable, GError **error);

/* 2 * multiply-adds of one decode (bench). */
double switti_vae_decode_flop (const SwittiVaeConfig *config, int side);

G_END_DECLS
