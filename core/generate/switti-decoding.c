/* switti-decoding.c - latents on their way to pictures, beside the scales that go on
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * All decoding is on the preview stream, in order, so that the VAE's memory is used by one at a time. It begins with an
 * event that the scales' stream records behind the copy of the latent.
 */
#include "switti-decoding-private.h"

static gboolean
select_stream (SwittiDecoding *self, SwittiKernelStream stream, GError **error)
{
  SWITTI_RUN (self->device, select_stream, stream);
  return TRUE;
}

void
switti_decoding_place (SwittiDecoding *self, SwittiDevice *device, SwittiWorkspace *workspace, gint64 batch,
                       gsize latent_floats, gsize rgb_bytes)
{
  self->device = device;
  self->latent_floats = latent_floats;
  if (switti_device_is_asynchronous (device))
    switti_workspace_place (workspace, &self->latent, SWITTI_DTYPE_F32, batch, (gint64) latent_floats);
  switti_workspace_place (workspace, &self->rgb, SWITTI_DTYPE_U8, batch, (gint64) rgb_bytes);
}

gboolean
switti_decoding_open (SwittiDecoding *self, GError **error)
{
  SWITTI_RUN (self->device, event_new, &self->ready);
  return TRUE;
}

void
switti_decoding_close (SwittiDecoding *self)
{
  if (self->device != NULL)
    switti_device_get_kernels (self->device)->event_free (switti_device_get_context (self->device), self->ready);
  *self = (SwittiDecoding) { 0 };
}

/* The latents as they are now, for the preview stream. */
static gboolean
hand_over (SwittiDecoding *self, const float *latent, gsize bytes, GError **error)
{
  SWITTI_RUN (self->device, copy, self->latent, latent, bytes);
  SWITTI_RUN (self->device, event_record, self->ready);
  return TRUE;
}

static gboolean
decode (SwittiDecoding *self, SwittiVae *vae, int n, int side, const float *latent, GCancellable *cancellable,
        GError **error)
{
  SWITTI_RUN (self->device, event_wait, self->ready);
  return switti_vae_decode (vae, n, side, latent, NULL, self->rgb, cancellable, error);
}

gboolean
switti_decoding_start (SwittiDecoding *self, SwittiVae *vae, int n, int side, const float *latent,
                       GCancellable *cancellable, GError **error)
{
  gsize floats = (gsize) n * self->latent_floats;
  gboolean good;

  if (self->latent != NULL)
    {
      if (!hand_over (self, latent, sizeof (float) * floats, error))
        return FALSE;
      latent = self->latent;
    }
  good = select_stream (self, SWITTI_STREAM_PREVIEW, error) && decode (self, vae, n, side, latent, cancellable, error);
  /* The main stream is there, so that going back to it cannot fail. */
  return select_stream (self, SWITTI_STREAM_MAIN, good ? error : NULL) && good;
}

gboolean
switti_decoding_download (SwittiDecoding *self, void *host, const void *memory, gsize bytes, GError **error)
{
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);
  SwittiKernelContext *context = switti_device_get_context (self->device);
  gboolean good = select_stream (self, SWITTI_STREAM_PREVIEW, error)
                  && switti_device_check (self->device, kernels->download (context, host, memory, bytes), "download",
                                          error);

  return select_stream (self, SWITTI_STREAM_MAIN, good ? error : NULL) && good;
}

gboolean
switti_decoding_finish (SwittiDecoding *self, guint8 *rgb, gsize rgb_bytes, GError **error)
{
  return switti_decoding_download (self, rgb, self->rgb, rgb_bytes, error);
}
