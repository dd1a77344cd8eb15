/* switti-raster.c - pixels in host memory
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-raster-private.h"

#include <math.h>
#include <string.h>

/* -- resizing -------------------------------------------------------------------------------------------------- */

/* Catmull-Rom, which reaches 2 to each side. */
#define KERNEL_REACH 2.0

static double
catmull_rom (double x)
{
  x = fabs (x);
  if (x < 1)
    return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/* Which inputs each output is made of: `taps` of them from `first` on (they may lie outside), with their weights. */
typedef struct
{
  int taps;
  int *first;
  float *weights; /* (n_out, taps) */
} Filter;

static void
filter_clear (Filter *filter)
{
  g_free (filter->first);
  g_free (filter->weights);
}

static void
filter_init (Filter *filter, int n_in, int n_out)
{
  const double step = (double) n_in / n_out, scale = MAX (step, 1.0);

  filter->taps = (int) ceil (KERNEL_REACH * scale) * 2 + 1;
  filter->first = g_new (int, n_out);
  filter->weights = g_new (float, (gsize) n_out * (gsize) filter->taps);
  for (int i = 0; i < n_out; i++)
    {
      const double centre = (i + 0.5) * step - 0.5;
      float *weights = filter->weights + (gsize) i * (gsize) filter->taps;
      double sum = 0;

      filter->first[i] = (int) floor (centre) - filter->taps / 2;
      for (int t = 0; t < filter->taps; t++)
        sum += catmull_rom ((filter->first[i] + t - centre) / scale);
      for (int t = 0; t < filter->taps; t++)
        weights[t] = (float) (catmull_rom ((filter->first[i] + t - centre) / scale) / sum);
    }
}

/* (rows, n_in, channels) to (rows, n_out, channels); in is u8 or float. */
static void
resize_rows (const Filter *filter, int channels, int rows, int n_in, const guint8 *in, int n_out, float *out)
{
  for (gsize y = 0; y < (gsize) rows; y++)
    for (int i = 0; i < n_out; i++)
      {
        const float *weights = filter->weights + (gsize) i * (gsize) filter->taps;
        float *pixel = out + (y * (gsize) n_out + (gsize) i) * (gsize) channels;

        for (int c = 0; c < channels; c++)
          pixel[c] = 0;
        for (int t = 0; t < filter->taps; t++)
          {
            int x = CLAMP (filter->first[i] + t, 0, n_in - 1);
            const guint8 *from = in + (y * (gsize) n_in + (gsize) x) * (gsize) channels;

            for (int c = 0; c < channels; c++)
              pixel[c] += weights[t] * (float) from[c];
          }
      }
}

/* (n_in, width) to (n_out, width) */
static void
resize_columns (const Filter *filter, gsize width, int n_in, const float *in, int n_out, float *out)
{
  for (int i = 0; i < n_out; i++)
    {
      const float *weights = filter->weights + (gsize) i * (gsize) filter->taps;
      float *row = out + (gsize) i * width;

      memset (row, 0, sizeof *row * width);
      for (int t = 0; t < filter->taps; t++)
        {
          const float *from = in + (gsize) CLAMP (filter->first[i] + t, 0, n_in - 1) * width;

          for (gsize x = 0; weights[t] != 0 && x < width; x++)
            row[x] += weights[t] * from[x];
        }
    }
}

void
switti_raster_resize (int channels, int w_in, int h_in, const guint8 *in, int w_out, int h_out, float *out)
{
  gsize width = (gsize) w_out * (gsize) channels, count = width * (gsize) h_out;
  g_autofree float *between = NULL;
  Filter across, down;

  if (w_in == w_out && h_in == h_out)
    {
      for (gsize i = 0; i < count; i++)
        out[i] = in[i];
      return;
    }
  filter_init (&across, w_in, w_out);
  filter_init (&down, h_in, h_out);
  between = g_new (float, width * (gsize) h_in);
  resize_rows (&across, channels, h_in, w_in, in, w_out, between);
  resize_columns (&down, width, h_in, between, h_out, out);
  /* The kernel's negative lobes overshoot at edges. */
  for (gsize i = 0; i < count; i++)
    out[i] = CLAMP (out[i], 0.0f, 255.0f);
  filter_clear (&across);
  filter_clear (&down);
}

void
switti_raster_resize_u8 (int channels, int w_in, int h_in, const guint8 *in, int w_out, int h_out, guint8 *out)
{
  gsize count = (gsize) w_out * (gsize) h_out * (gsize) channels;
  g_autofree float *values = g_new (float, count);

  switti_raster_resize (channels, w_in, h_in, in, w_out, h_out, values);
  for (gsize i = 0; i < count; i++)
    out[i] = (guint8) lrintf (values[i]);
}

/* -- spreading ------------------------------------------------------------------------------------------------- */

/* Relaxations on each level, after the coarser one's values were taken: enough for a surface without visible steps. */
#define RELAXATIONS 16

/* Means of 2 x 2 pixels, each weighted by how far it is known; known of the half size likewise, 1 where any is. */
static void
halve (int channels, int width, int height, const float *known, const float *values, float *half_known, float *half)
{
  const int half_width = (width + 1) / 2, half_height = (height + 1) / 2;

  for (int y = 0; y < half_height; y++)
    for (int x = 0; x < half_width; x++)
      {
        gsize to = (gsize) y * (gsize) half_width + (gsize) x;
        float sum = 0;

        for (int c = 0; c < channels; c++)
          half[to * (gsize) channels + (gsize) c] = 0;
        for (int i = 0; i < 4; i++)
          {
            int sx = 2 * x + i % 2, sy = 2 * y + i / 2;
            gsize from = (gsize) sy * (gsize) width + (gsize) sx;

            if (sx >= width || sy >= height)
              continue;
            sum += known[from];
            for (int c = 0; c < channels; c++)
              half[to * (gsize) channels + (gsize) c] += known[from] * values[from * (gsize) channels + (gsize) c];
          }
        half_known[to] = MIN (sum, 1.0f);
        for (int c = 0; c < channels && sum > 0; c++)
          half[to * (gsize) channels + (gsize) c] /= sum;
      }
}

/* Each pixel that is not known becomes the mean of its neighbours, as far as it is not known. */
static void
relax (int channels, int width, int height, const float *known, const float *own, float *values)
{
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      {
        gsize at = (gsize) y * (gsize) width + (gsize) x;
        gsize near[4] = { x > 0 ? at - 1 : at + (x < width - 1), x < width - 1 ? at + 1 : at - (x > 0),
                          y > 0 ? at - (gsize) width : at + (y < height - 1 ? (gsize) width : 0),
                          y < height - 1 ? at + (gsize) width : at - (y > 0 ? (gsize) width : 0) };

        if (known[at] >= 1)
          continue;
        for (int c = 0; c < channels; c++)
          {
            gsize i = at * (gsize) channels + (gsize) c;
            float mean = 0;

            for (int n = 0; n < 4; n++)
              mean += 0.25f * values[near[n] * (gsize) channels + (gsize) c];
            values[i] = known[at] * own[i] + (1 - known[at]) * mean;
          }
      }
}

void
switti_raster_spread (int channels, int width, int height, const float *known, float *values)
{
  const int half_width = (width + 1) / 2, half_height = (height + 1) / 2;
  gsize half_count = (gsize) half_width * (gsize) half_height, count = (gsize) width * (gsize) height;
  g_autofree float *half_known = NULL, *half = NULL, *own = NULL;

  if (width == 1 && height == 1)
    return;
  half_known = g_new (float, half_count);
  half = g_new (float, half_count * (gsize) channels);
  halve (channels, width, height, known, values, half_known, half);
  switti_raster_spread (channels, half_width, half_height, half_known, half);
  own = g_memdup2 (values, sizeof *own * count * (gsize) channels);
  for (gsize i = 0; i < count; i++)
    for (gsize c = 0; c < (gsize) channels; c++)
      {
        gsize from = (i / (gsize) width / 2) * (gsize) half_width + i % (gsize) width / 2;
        float other = half[from * (gsize) channels + c];

        values[i * (gsize) channels + c] = known[i] * own[i * (gsize) channels + c] + (1 - known[i]) * other;
      }
  for (int i = 0; i < RELAXATIONS; i++)
    relax (channels, width, height, known, own, values);
}
