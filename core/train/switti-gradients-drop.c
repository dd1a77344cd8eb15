/* switti-gradients-drop.c - stochastic depth: branches of blocks that some images go past
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a branch gives to the stream is multiplied by a number for each image, 0 where it is dropped. The branches of
 * self-attention and FFN have gates, which take it; cross-attention has none, and gets one.
 */
#include "switti-gradients-parts-private.h"

enum
{
  BRANCH_SELF,
  BRANCH_CROSS,
  BRANCH_FFN
};

/* Rows of C values in a modulation (B, 6C). */
static gsize
weights_size (const SwittiGradients *self)
{
  return (gsize) self->options.batch * SWITTI_N_MODULATIONS;
}

void
switti_gradients_drop_place (SwittiGradients *self)
{
  const gint64 rows = (gint64) weights_size (self), c = self->config->width;

  if (!self->options.drops_branches)
    return;
  switti_workspace_place (self->workspace, &self->branch_weights, SWITTI_DTYPE_F32, 2 * self->config->depth * rows, 1);
  switti_workspace_place (self->workspace, &self->branch_ones, SWITTI_DTYPE_F32, rows, c);
  switti_workspace_place (self->workspace, &self->branch_gate, SWITTI_DTYPE_F32, rows, c);
}

gboolean
switti_gradients_drop_begin (SwittiGradients *self, const float *branch_scales, GError **error)
{
  const gsize rows = weights_size (self), depth = (gsize) self->config->depth, b = (gsize) self->options.batch;
  const gsize n_ones = rows * (gsize) self->config->width;
  g_autofree float *host = NULL;

  g_assert (branch_scales == NULL || self->options.drops_branches);
  self->drops = branch_scales != NULL;
  if (!self->drops)
    return TRUE;
  host = g_new (float, MAX (2 * depth * rows, n_ones));
  for (gsize i = 0; i < n_ones; i++)
    host[i] = 1.0f;
  SWITTI_RUN (self->device, upload, self->branch_ones, host, n_ones * sizeof (float));
  for (gsize i = 0; i < 2 * depth * rows; i++)
    host[i] = 1.0f;
  for (gsize block = 0; block < depth; block++)
    for (gsize image = 0; image < b; image++)
      {
        const float *scales = branch_scales + block * 3 * b + image;
        float *gates = host + 2 * block * rows + image * SWITTI_N_MODULATIONS, *cross = gates + rows;

        gates[SWITTI_MODULATION_GATE_ATTENTION] = scales[BRANCH_SELF * b];
        gates[SWITTI_MODULATION_GATE_FFN] = scales[BRANCH_FFN * b];
        cross[0] = scales[BRANCH_CROSS * b];
      }
  SWITTI_RUN (self->device, upload, self->branch_weights, host, 2 * depth * rows * sizeof (float));
  return TRUE;
}

gboolean
switti_gradients_drop_gates (SwittiGradients *self, int block, float *modulation, GError **error)
{
  const gint64 rows = (gint64) weights_size (self);

  if (self->drops)
    SWITTI_RUN (self->device, blend_rows, 1, rows, self->config->width, self->branch_weights + 2 * block * rows,
                modulation, NULL, modulation);
  return TRUE;
}

gboolean
switti_gradients_drop_cross (SwittiGradients *self, int block, const float **gate, GError **error)
{
  const gint64 rows = (gint64) weights_size (self);

  *gate = self->drops ? self->branch_gate : NULL;
  if (self->drops)
    SWITTI_RUN (self->device, blend_rows, 1, rows, self->config->width, self->branch_weights + (2 * block + 1) * rows,
                self->branch_ones, NULL, self->branch_gate);
  return TRUE;
}
