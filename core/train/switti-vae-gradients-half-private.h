/* switti-vae-gradients-half-private.h - the encoder or the decoder in training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * For the switti-vae-gradients*.c files alone. Maps are device float32, NHWC.
 */
#pragma once

#include "switti-parameters-private.h"
#include "switti-vae-layers-private.h"

G_BEGIN_DECLS

typedef struct _SwittiTrainingHalf SwittiTrainingHalf;

/* Takes over specs. `gradients`: the flat array that backward adds to. `side`: the latent's. */
SwittiTrainingHalf *switti_training_half_new (SwittiParameters *parameters, float *gradients, GArray *specs, int batch,
                                              int side, GError **error);
void switti_training_half_free (SwittiTrainingHalf *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiTrainingHalf, switti_training_half_free)

/* The map that the first layer reads: to be written before forward. */
float *switti_training_half_get_input (SwittiTrainingHalf *self);
/* The map that the last layer writes. */
const float *switti_training_half_get_output (SwittiTrainingHalf *self);

/* Packs the weights as they are now, and runs all layers. */
gboolean switti_training_half_forward (SwittiTrainingHalf *self, GError **error);
/* Of forward's last run. `d_output` is the output's gradient; *d_input, unless NULL, is set to the map with the
 * input's, which is good until the next run. */
gboolean switti_training_half_backward (SwittiTrainingHalf *self, const float *d_output, const float **d_input,
                                        GError **error);

/* A convolution's weights, bias and plans, also for phi. */
typedef struct
{
  SwittiConv conv;
  gsize weight, bias; /* in the flat arrays */
  gsize n_weights;
  void *packed; /* device */
  SwittiConvPlan *forward;
  SwittiConvBackwardPlan *backward;
} SwittiTrainingConv;

gboolean switti_training_conv_init (SwittiTrainingConv *self, SwittiParameters *parameters, const SwittiConv *conv,
                                    const char *weight_name, const char *bias_name, GError **error);
void switti_training_conv_clear (SwittiTrainingConv *self, SwittiDevice *device);
gboolean switti_training_conv_pack (SwittiTrainingConv *self, SwittiParameters *parameters, GError **error);
gboolean switti_training_conv_forward (const SwittiTrainingConv *self, SwittiParameters *parameters, const float *x,
                                       const float *residual, float *y, GError **error);
/* dx NULL: not wanted. */
gboolean switti_training_conv_backward (const SwittiTrainingConv *self, SwittiParameters *parameters,
                                        float *gradients, const float *x, const float *dy, float *dx, GError **error);

G_END_DECLS
