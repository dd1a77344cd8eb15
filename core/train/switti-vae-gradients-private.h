/* switti-vae-gradients-private.h - the loss of an RQ-VAE and its gradients
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * float32 throughout. Everything is planned once for a number of images; a run allocates nothing.
 */
#pragma once

#include "switti-parameters-private.h"

G_BEGIN_DECLS

typedef struct
{
  double loss;           /* reconstruction + vq_loss */
  double reconstruction; /* mean squared error of pixels in [-1, 1], not clamped */
  double vq_loss;        /* commitment and codebook, mean over the scales */
} SwittiVaeLoss;

typedef struct _SwittiVaeGradients SwittiVaeGradients;

/* `parameters` are those of `config`, and must outlive it. Images are 16 times the last scale's side. NULL on
 * failure. */
SwittiVaeGradients *switti_vae_gradients_new (SwittiParameters *parameters, const SwittiVaeConfig *config, int batch,
                                              GError **error);
void switti_vae_gradients_free (SwittiVaeGradients *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiVaeGradients, switti_vae_gradients_free)

/* The gradients, a flat device array as the parameters'. */
float *switti_vae_gradients_get_values (SwittiVaeGradients *self);
gboolean switti_vae_gradients_clear (SwittiVaeGradients *self, GError **error);

/* images: host (B, side, side, 3) in [-1, 1]. Adds scale * (gradient of the loss). Nearest codes are chosen as the
 * encoder chooses them; gradients go past that choice straight to the encoder. */
gboolean switti_vae_gradients_add (SwittiVaeGradients *self, const float *images, double scale, SwittiVaeLoss *loss,
                                   GError **error);

/* The loss alone. */
gboolean switti_vae_gradients_evaluate (SwittiVaeGradients *self, const float *images, SwittiVaeLoss *loss,
                                        GError **error);

/* Of the last run, at a position of an image: what is left of the latent for scale `scale`, host (Z). */
gboolean switti_vae_gradients_get_residual (SwittiVaeGradients *self, int image, int position, int scale,
                                            float *residual, GError **error);

/* The last run's reconstruction, device (B, side, side, 3), and codes of a scale, device (B, pn*pn). */
const float *switti_vae_gradients_get_reconstruction (SwittiVaeGradients *self);
const gint32 *switti_vae_gradients_get_codes (SwittiVaeGradients *self, int scale);

G_END_DECLS
