/* switti-lanczos.c - Lanczos resizing of a picture, of which only a window is wanted
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-lanczos-private.h"

#include <math.h>

#define LOBES 3.0
#define CHANNELS 3

/* The inputs of each output along one axis. */
typedef struct
{
  int n_taps;     /* room for the weights of an output */
  int *first, *n; /* the first input, and how many */
  float *weights; /* (outputs, n_taps) */
} Taps;

static double
kernel (double x)
{
  if (x == 0)
    return 1;
  if (fabs (x) >= LOBES)
    return 0;
  return LOBES * sin (G_PI * x) * sin (G_PI * x / LOBES) / (G_PI * G_PI * x * x);
}

/* Output i of out_size stands at the input (i + 1/2) size / out_size - 1/2; those from `from` on, `count` of them. */
static void
taps_init (Taps *self, int size, int out_size, int from, int count)
{
  const double scale = (double) size / out_size, stretch = MAX (scale, 1), reach = LOBES * stretch;

  self->n_taps = (int) MIN (2 * ceil (reach) + 2, size);
  self->first = g_new (int, count);
  self->n = g_new (int, count);
  self->weights = g_new0 (float, (gsize) count * (gsize) self->n_taps);
  for (int i = 0; i < count; i++)
    {
      const double centre = (from + i + 0.5) * scale - 0.5;
      const int first = (int) MAX (ceil (centre - reach), 0), last = (int) MIN (floor (centre + reach), size - 1);
      float *weights = self->weights + (gsize) i * (gsize) self->n_taps;
      double sum = 0;

      for (int j = first; j <= last; j++)
        sum += kernel ((j - centre) / stretch);
      for (int j = first; j <= last; j++)
        weights[j - first] = (float) (kernel ((j - centre) / stretch) / sum);
      self->first[i] = first;
      self->n[i] = last - first + 1;
    }
}

static void
taps_clear (Taps *self)
{
  g_free (self->first);
  g_free (self->n);
  g_free (self->weights);
}

static void
resize_row (const Taps *taps, int side, const guint8 *pixels, float *out)
{
  for (int x = 0; x < side; x++)
    {
      const float *weights = taps->weights + (gsize) x * (gsize) taps->n_taps;
      const guint8 *in = pixels + (gsize) taps->first[x] * CHANNELS;
      float r = 0, g = 0, b = 0;

      for (int j = 0; j < taps->n[x]; j++, in += CHANNELS)
        {
          r += weights[j] * in[0];
          g += weights[j] * in[1];
          b += weights[j] * in[2];
        }
      out[x * CHANNELS] = r;
      out[x * CHANNELS + 1] = g;
      out[x * CHANNELS + 2] = b;
    }
}

void
switti_lanczos_resize (const SwittiLanczos *self, const guint8 *pixels, guint8 *out)
{
  const gsize row = (gsize) self->side * CHANNELS;
  g_autofree float *rows = NULL, *sum = g_new (float, row);
  Taps across, down;
  int first_row, n_rows;

  g_assert (self->left >= 0 && self->left + self->side <= self->out_width);
  g_assert (self->top >= 0 && self->top + self->side <= self->out_height);
  taps_init (&across, self->width, self->out_width, self->left, self->side);
  taps_init (&down, self->height, self->out_height, self->top, self->side);
  first_row = down.first[0];
  n_rows = down.first[self->side - 1] + down.n[self->side - 1] - first_row;
  rows = g_new (float, (gsize) n_rows * row);
  for (int y = 0; y < n_rows; y++)
    resize_row (&across, self->side, pixels + (gsize) (first_row + y) * (gsize) self->width * CHANNELS,
                rows + (gsize) y * row);
  for (int y = 0; y < self->side; y++)
    {
      const float *weights = down.weights + (gsize) y * (gsize) down.n_taps;

      for (gsize i = 0; i < row; i++)
        sum[i] = 0;
      for (int j = 0; j < down.n[y]; j++)
        {
          const float *in = rows + (gsize) (down.first[y] + j - first_row) * row, weight = weights[j];

          for (gsize i = 0; i < row; i++)
            sum[i] += weight * in[i];
        }
      for (gsize i = 0; i < row; i++)
        out[(gsize) y * row + i] = (guint8) CLAMP (sum[i] + 0.5f, 0, 255);
    }
  taps_clear (&across);
  taps_clear (&down);
}
