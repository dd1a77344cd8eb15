/* switti-vae-layers-private.h - the layers that the VAE's two halves are lists of
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * For the switti-vae*.c files alone.
 */
#pragma once

#include "switti-device-private.h"
#include "switti-weights-private.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* A layer's checkpoint names follow from its prefix and kind. */
typedef enum
{
  SWITTI_VAE_CONV,      /* <prefix> */
  SWITTI_VAE_NORM_CONV, /* conv (SiLU (GN (x))): <prefix>.norm_out, .conv_out */
  SWITTI_VAE_RESNET,    /* x + conv2 (SiLU (GN (conv1 (SiLU (GN (x)))))), x through nin_shortcut where widths differ:
                           <prefix>.norm1, .conv1, .norm2, .conv2, .nin_shortcut */
  SWITTI_VAE_ATTENTION, /* x + proj_out (softmax (q . k) . v), one head over all positions, qkv of GN (x):
                           <prefix>.norm, .qkv, .proj_out */
} SwittiVaeLayerKind;

typedef enum
{
  SWITTI_VAE_SAME_SIDE,
  SWITTI_VAE_DOUBLE, /* the input is first enlarged by two (nearest) */
  SWITTI_VAE_HALVE,  /* stride 2, the input padded right and below by one */
} SwittiVaeResize;

#define SWITTI_VAE_PREFIX_LENGTH 48
#define SWITTI_VAE_LAYER_CONVS 3
#define SWITTI_VAE_LAYER_NORMS 2

typedef struct
{
  SwittiVaeLayerKind kind;
  char prefix[SWITTI_VAE_PREFIX_LENGTH];
  gint64 c_in, c_out;
  int side_shift;         /* the input's side is the latent's << side_shift */
  SwittiVaeResize resize; /* SWITTI_VAE_CONV alone */
} SwittiVaeLayerSpec;

/* -- switti-vae-specs.c: what the layers are ------------------------------------------------------------------ */

/* The halves from first to last layer, as arrays of SwittiVaeLayerSpec; post_quant_conv is the decoder's first layer,
 * quant_conv the encoder's last. */
GArray *switti_vae_decoder_specs (int ch, int latent);
GArray *switti_vae_encoder_specs (int ch, int latent);

/* A layer's names of convolution or norm `which`, without ".weight"; NULL where it has no such part. (transfer full) */
char *switti_vae_spec_conv_name (const SwittiVaeLayerSpec *spec, int which);
char *switti_vae_spec_norm_name (const SwittiVaeLayerSpec *spec, int which);
/* That convolution for one image of latent side `side`; dtype is that of input, weights and output. FALSE where the
 * layer has no such part. */
gboolean switti_vae_spec_conv (const SwittiVaeLayerSpec *spec, int which, int side, SwittiDtype dtype,
                               SwittiConv *conv);
/* Channels of norm `which`. */
gint64 switti_vae_spec_norm_channels (const SwittiVaeLayerSpec *spec, int which);
/* Elements of the largest map that the layer reads, makes in between, or writes. */
gint64 switti_vae_spec_largest_map (const SwittiVaeLayerSpec *spec, int side);
/* 2 * multiply-adds of all layers for one image. */
double switti_vae_specs_flop (const GArray *specs, int side);

/* -- switti-vae-half.c: the encoder or the decoder on a device ------------------------------------------------ */

typedef struct _SwittiVaeHalf SwittiVaeHalf;

/* Takes over specs. `side` is the latent side that weights are packed for and that is planned at once. */
SwittiVaeHalf *switti_vae_half_new (SwittiDevice *device, SwittiWeights *weights, SwittiDtype dtype, GArray *specs,
                                    int side, GError **error);
void switti_vae_half_free (SwittiVaeHalf *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiVaeHalf, switti_vae_half_free)

/* One image in NHWC: in and out are device float32. */
gboolean switti_vae_half_run (SwittiVaeHalf *self, int side, const float *in, float *out, GCancellable *cancellable,
                              GError **error);

G_END_DECLS
