/* switti-guide-private.h - what a generation keeps of its source
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Letters: switti-engine-private.h; pn side of a scale. Thread: the one that has the device's turn.
 */
#pragma once

#include "switti-engine-private.h"

G_BEGIN_DECLS

/* A picture's scales in host memory: codes, and the vectors that were added to the pyramid, which smooth scales mix.
 * Position i of scale s is at offset_s + i, offset_s the positions of the scales before. */
typedef struct
{
  int n_scales; /* recorded so far */
  gint32 *codes;  /* (L) */
  float *vectors; /* (L, Z) */
} SwittiRecord;

SwittiRecord *switti_record_new (const SwittiVaeConfig *vae);
void switti_record_free (SwittiRecord *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiRecord, switti_record_free)

/* Positions of the scales before `scale`. */
gsize switti_record_offset (const SwittiSchedule *schedule, int scale);

typedef struct _SwittiGuide SwittiGuide;

/* For up to `batch` images. mask: (16 n, 16 n) u8, or NULL where whole scales alone are kept. Uses the engine's
 * pyramid. record: the first scales of the source; with a mask all of them. */
SwittiGuide *switti_guide_new (SwittiEngine *engine, int batch, const SwittiRecord *record, const guint8 *mask,
                               GError **error);
void switti_guide_free (SwittiGuide *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiGuide, switti_guide_free)

gboolean switti_guide_is_masked (SwittiGuide *self);

/* h (n_images, pn*pn, Z) = the source's vectors, codes (n_images, pn*pn) = its codes. */
gboolean switti_guide_take (SwittiGuide *self, int n_images, int scale, float *h, gint32 *codes, GError **error);

/* h (n_images, pn*pn, Z), drawn, is mixed with what the source has to add to f_hat at this scale: weight m for what was
 * drawn, m the mask's mean over the position. */
gboolean switti_guide_blend (SwittiGuide *self, int n_images, int scale, float *h, GError **error);

/* The picture so far, f_hat within the mask and the source outside of it. (transfer none): (n_images, n, n, Z), valid
 * until the next call. */
const float *switti_guide_finish (SwittiGuide *self, int n_images, GError **error);

/* Puts the kept codes into host codes of the images' scales 0 .. n_scales - 1 (scale after scale: (n_images, pn*pn)),
 * where less than half of a position is redrawn: those of when the decoding was started. */
gboolean switti_guide_merge_codes (SwittiGuide *self, SwittiDecoding *decoding, int n_images, int n_scales,
                                   gint32 *codes, GError **error);

/* Means of the mask over each position of each scale, as blend() uses them: (L), host. For tests. */
const float *switti_guide_get_weights (SwittiGuide *self);

G_END_DECLS
