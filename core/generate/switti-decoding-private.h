/* switti-decoding-private.h - latents on their way to pictures, beside the scales that go on
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-vae-private.h"
#include "switti-workspace-private.h"

G_BEGIN_DECLS

/* On a device that works on its own there are two, so that one may be fetched while the next is made. */
#define SWITTI_N_DECODINGS 2

typedef struct
{
  SwittiDevice *device; /* not owned */
  gsize latent_floats;  /* n * n * Z */
  float *latent;        /* device (B, n, n, Z): a copy, as the scales go on; NULL where they wait for the pictures */
  guint8 *rgb;          /* device (B, 16 n, 16 n, 3) */
  SwittiKernelEvent *ready;
} SwittiDecoding;

/* Reserves what `batch` images need in a workspace that is yet to be committed, which tells *self the addresses. */
void switti_decoding_place (SwittiDecoding *self, SwittiDevice *device, SwittiWorkspace *workspace, gint64 batch,
                            gsize latent_floats, gsize rgb_bytes);
gboolean switti_decoding_open (SwittiDecoding *self, GError **error);
void switti_decoding_close (SwittiDecoding *self);

/* Decodes n latents of `side`, device float32, on the preview stream: what is enqueued after this call runs beside it,
 * and may change the latents. One that was started is finished before it is started again. */
gboolean switti_decoding_start (SwittiDecoding *self, SwittiVae *vae, int n, int side, const float *latent,
                                GCancellable *cancellable, GError **error);

/* Waits for the pictures: rgb_bytes of host memory. */
gboolean switti_decoding_finish (SwittiDecoding *self, guint8 *rgb, gsize rgb_bytes, GError **error);

/* Copies device memory that was ready when the decoding was started, on its stream: it does not wait for the scales. */
gboolean switti_decoding_download (SwittiDecoding *self, void *host, const void *memory, gsize bytes, GError **error);

G_END_DECLS
