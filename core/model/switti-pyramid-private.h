/* switti-pyramid-private.h - the RQ-VAE's multi-scale latent
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Device float32, NHWC: f_hat (B, n, n, Z), codes' vectors (B, pn*pn, Z). Thread: the device's.
 */
#pragma once

#include "switti-config-private.h"
#include "switti-device-private.h"

G_BEGIN_DECLS

typedef struct _SwittiPyramid SwittiPyramid;

SwittiPyramid *switti_pyramid_new (SwittiDevice *device, const SwittiVaeConfig *config, SwittiWeights *weights,
                                   int max_batch, GError **error);
void switti_pyramid_free (SwittiPyramid *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiPyramid, switti_pyramid_free)

/* (V, Z) float32 on the device. */
const float *switti_pyramid_get_codebook (SwittiPyramid *self);
/* Which phi serves scale s: the tick nearest to s/(S-1) in float64, first minimum. */
int switti_pyramid_phi_index (const SwittiVaeConfig *config, int scale);
/* K phi of share_quant_resi; 0 is one a scale. */
int switti_pyramid_count_phi (const SwittiVaeConfig *config);
/* Checkpoint name of phi i's "weight" or "bias". (transfer full) */
char *switti_pyramid_phi_name (const SwittiVaeConfig *config, int i, const char *suffix);

/* f_hat = 0 for `batch` images. */
gboolean switti_pyramid_begin (SwittiPyramid *self, int batch, GError **error);
float *switti_pyramid_get_f_hat (SwittiPyramid *self);
/* f_hat += phi (bicubic (h)); h (batch, pn*pn, Z). */
gboolean switti_pyramid_add (SwittiPyramid *self, int scale, const float *h, GError **error);
/* The same for codes (batch, pn*pn) int32 on the device. */
gboolean switti_pyramid_add_codes (SwittiPyramid *self, int scale, const gint32 *codes, GError **error);
/* The codes' vectors: h (batch, pn*pn, Z). */
gboolean switti_pyramid_look_up (SwittiPyramid *self, int scale, const gint32 *codes, float *h, GError **error);
/* The transformer's input at `scale` >= 1: area resize of f_hat, (batch, pn*pn, Z). */
gboolean switti_pyramid_next_input (SwittiPyramid *self, int scale, float *input, GError **error);

/* Area resize of a map (batch, n, n, Z) to `scale`: (batch, pn*pn, Z); a copy at the last scale. */
gboolean switti_pyramid_reduce (SwittiPyramid *self, int scale, const float *map, float *out, GError **error);
/* codes (batch, pn*pn): the nearest to each row of h (batch, pn*pn, Z). */
gboolean switti_pyramid_nearest (SwittiPyramid *self, int scale, const float *h, gint32 *codes, GError **error);

/* Encodes f (batch, n, n, Z): codes[s] (device int32 (batch, pn*pn)) for all scales. Uses the pyramid's f_hat, which is
 * then the reconstruction. */
gboolean switti_pyramid_encode (SwittiPyramid *self, int batch, const float *f, gint32 *const *codes, GError **error);
/* The same, but at each scale the code nearest to sqrt (1 - deviation^2) z + deviation noise is chosen for what is
 * left, z. noise: device float32, scale after scale (batch, pn*pn, Z). */
gboolean switti_pyramid_encode_noisy (SwittiPyramid *self, int batch, const float *f, double deviation,
                                      const float *noise, gint32 *const *codes, GError **error);

G_END_DECLS
