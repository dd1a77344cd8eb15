/* switti-engine-private.h - a model's parts on a device, and the space that a generation needs there
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Letters: B images at once, R runs of the transformer at once (B, or 2 B where the null prompt runs too), N positions
 * of a scale, L of all scales, n side of the latent, Z its channels, V codes, T text length.
 */
#pragma once

#include "switti-bundle-private.h"
#include "switti-decoding-private.h"
#include "switti-device-private.h"
#include "switti-generator.h"
#include "switti-pyramid-private.h"
#include "switti-text-encoder-private.h"
#include "switti-transformer-private.h"
#include "switti-vae-private.h"
#include "switti-workspace-private.h"

G_BEGIN_DECLS

/* Planned once for a size, and kept for every later generation that fits. Pointers are of the device. */
typedef struct
{
  int batch;        /* B */
  int n_conditions; /* prompts at once, the null prompt included */
  int n_runs;       /* R */
  gboolean traced;
  SwittiTransformerRun *run;
  SwittiPyramid *pyramid;
  SwittiWorkspace *workspace;
  float *input;   /* (R, N, Z): prompts' images, then null ones */
  float *logits;  /* (R, N, V), likewise */
  float *h;       /* (B, N, Z) */
  float *guided;  /* (B, N, V), only where traced */
  gint32 *codes;  /* scale after scale: (B, N) */
  guint64 *seeds; /* (B) */
  SwittiDecoding decodings[SWITTI_N_DECODINGS]; /* the second one only on an asynchronous device */
  SwittiKernelEvent *reached[2];                /* by turns: the ends of the scales */
} SwittiSpace;

typedef struct
{
  SwittiDevice *device;
  SwittiBundle *bundle;
  const SwittiBundleParts *parts; /* bundle's */
  SwittiDtype dtype;
  gboolean low; /* the text encoders go when they are not needed; the transformer is streamed where that saves memory */
  SwittiTransformer *transformer;
  SwittiVae *vae;
  SwittiTextEncoder *text[2]; /* NULL where they are not needed now */
  SwittiSpace space;
} SwittiEngine;

/* Loads the parts: all, or with SWITTI_MEMORY_LOW, or where all do not fit, those that have to stay. Thread: the one
 * that has the device's turn, for all functions here. */
SwittiEngine *switti_engine_new (SwittiBundle *bundle, SwittiDevice *device, SwittiDtype dtype, SwittiMemory memory,
                                 GCancellable *cancellable, GError **error);
void switti_engine_free (SwittiEngine *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiEngine, switti_engine_free)

/* Makes self->space fit; what it held is lost when it has to grow. */
gboolean switti_engine_reserve (SwittiEngine *self, int batch, int n_conditions, gboolean needs_null, gboolean traced,
                                GError **error);

/* Images at once that are worth it and fit: at most `wanted`. */
int switti_engine_choose_batch (SwittiEngine *self, int wanted);

/* The prompts are encoded: at low memory the encoders go. */
void switti_engine_release_text (SwittiEngine *self);

/* Text features of n prompts into the conditions from `first` on; ids (n, T), host. */
gboolean switti_engine_encode_text (SwittiEngine *self, int first, int n, const gint32 *const ids[2],
                                    const int *const n_valid[2], GError **error);

G_END_DECLS
