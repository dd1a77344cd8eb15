/* switti-transformer-stream.c - blocks whose matrices stay on the host and come to the device when they are due
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Two buffers take turns: while the main stream works on the block in one, the copy stream fills the other with the
 * next. Events keep each from overtaking the other. Norms, biases and what is outside of the blocks are always on the
 * device.
 */
#include "switti-transformer-parts-private.h"

#include <glib/gi18n-lib.h>

/* Where a matrix begins in a buffer. */
#define MATRIX_ALIGNMENT 256

typedef struct
{
  guint8 *memory; /* device */
  SwittiBlockPass pass;
  int block;                 /* what it holds of which block; -1: nothing */
  SwittiKernelEvent *loaded; /* on the copy stream */
  SwittiKernelEvent *used;   /* on the main stream */
} Buffer;

struct _SwittiBlockStream
{
  SwittiDevice *device;
  SwittiWeights *weights;
  Buffer buffers[2];
  int current; /* the buffer of the block that was begun last */
};

static gsize
aligned_bytes (const SwittiTransformer *self, const SwittiLinear *linear)
{
  gsize bytes = switti_linear_packed_bytes (linear, self->device);

  return (bytes + MATRIX_ALIGNMENT - 1) / MATRIX_ALIGNMENT * MATRIX_ALIGNMENT;
}

/* What the larger of the passes takes. */
static gsize
buffer_bytes (SwittiTransformer *self)
{
  SwittiBlockMatrix matrices[SWITTI_N_BLOCK_MATRICES];
  gsize bytes[SWITTI_N_BLOCK_PASSES] = { 0 };

  switti_transformer_list_matrices (self, 0, matrices);
  for (int i = 0; i < SWITTI_N_BLOCK_MATRICES; i++)
    bytes[matrices[i].pass] += aligned_bytes (self, matrices[i].linear);
  return MAX (bytes[SWITTI_PASS_CONDITIONS], bytes[SWITTI_PASS_SCALE]);
}

gboolean
switti_transformer_stream_open (SwittiTransformer *self, SwittiWeights *weights, GError **error)
{
  SwittiBlockStream *stream = self->stream = g_new0 (SwittiBlockStream, 1);
  gsize bytes = buffer_bytes (self);

  stream->device = self->device;
  stream->weights = switti_weights_ref (weights);
  for (int i = 0; i < 2; i++)
    {
      Buffer *buffer = &stream->buffers[i];

      buffer->block = -1;
      buffer->memory = switti_device_alloc (self->device, bytes, _ ("a block of the transformer"), error);
      if (buffer->memory == NULL)
        return FALSE;
      SWITTI_RUN (self->device, event_new, &buffer->loaded);
      SWITTI_RUN (self->device, event_new, &buffer->used);
    }
  return TRUE;
}

void
switti_transformer_stream_free (SwittiBlockStream *stream)
{
  const SwittiKernels *kernels = switti_device_get_kernels (stream->device);
  SwittiKernelContext *context = switti_device_get_context (stream->device);

  for (int i = 0; i < 2; i++)
    {
      switti_device_free (stream->device, stream->buffers[i].memory);
      kernels->event_free (context, stream->buffers[i].loaded);
      kernels->event_free (context, stream->buffers[i].used);
    }
  switti_weights_unref (stream->weights);
  g_free (stream);
}

/* On the copy stream: the pass's matrices of the block, behind what has used the buffer. */
static gboolean
fill (SwittiTransformer *self, Buffer *buffer, SwittiBlockPass pass, int index, GError **error)
{
  SwittiBlockMatrix matrices[SWITTI_N_BLOCK_MATRICES];
  guint8 *memory = buffer->memory;

  SWITTI_RUN (self->device, event_wait, buffer->used);
  switti_transformer_list_matrices (self, index, matrices);
  for (int i = 0; i < SWITTI_N_BLOCK_MATRICES; i++)
    if (matrices[i].pass == pass)
      {
        if (!switti_transformer_pack_matrix (self, self->stream->weights, index, &matrices[i], memory, error))
          return FALSE;
        memory += aligned_bytes (self, matrices[i].linear);
      }
  SWITTI_RUN (self->device, event_record, buffer->loaded);
  return TRUE;
}

static gboolean
select_stream (SwittiTransformer *self, SwittiKernelStream stream, GError **error)
{
  SWITTI_RUN (self->device, select_stream, stream);
  return TRUE;
}

static gboolean
fetch (SwittiTransformer *self, Buffer *buffer, SwittiBlockPass pass, int index, GError **error)
{
  gboolean good;

  if (buffer->block == index && buffer->pass == pass)
    return TRUE;
  buffer->block = -1;
  good = select_stream (self, SWITTI_STREAM_COPY, error) && fill (self, buffer, pass, index, error);
  good = select_stream (self, SWITTI_STREAM_MAIN, good ? error : NULL) && good;
  buffer->pass = pass;
  buffer->block = good ? index : -1;
  return good;
}

gboolean
switti_transformer_begin_block (SwittiTransformer *self, SwittiBlockPass pass, int index, GError **error)
{
  SwittiBlockStream *stream = self->stream;
  SwittiBlockMatrix matrices[SWITTI_N_BLOCK_MATRICES];
  guint8 *memory;

  if (stream == NULL)
    return TRUE;
  stream->current = 1 - stream->current;
  if (!fetch (self, &stream->buffers[stream->current], pass, index, error))
    return FALSE;
  SWITTI_RUN (self->device, event_wait, stream->buffers[stream->current].loaded);
  memory = stream->buffers[stream->current].memory;
  switti_transformer_list_matrices (self, index, matrices);
  for (int i = 0; i < SWITTI_N_BLOCK_MATRICES; i++)
    if (matrices[i].pass == pass)
      {
        matrices[i].linear->packed = memory;
        memory += aligned_bytes (self, matrices[i].linear);
      }
  return TRUE;
}

gboolean
switti_transformer_end_block (SwittiTransformer *self, SwittiBlockPass pass, int index, GError **error)
{
  SwittiBlockStream *stream = self->stream;
  SwittiBlockMatrix matrices[SWITTI_N_BLOCK_MATRICES];

  if (stream == NULL)
    return TRUE;
  switti_transformer_list_matrices (self, index, matrices);
  for (int i = 0; i < SWITTI_N_BLOCK_MATRICES; i++)
    if (matrices[i].pass == pass)
      matrices[i].linear->packed = NULL;
  SWITTI_RUN (self->device, event_record, stream->buffers[stream->current].used);
  /* The next one is on its way while the device is at this one; behind the last block it is the next scale's first. */
  return fetch (self, &stream->buffers[1 - stream->current], pass, (index + 1) % self->config.depth, error);
}
