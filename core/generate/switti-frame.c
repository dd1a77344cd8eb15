/* switti-frame.c - the square of a picture that the model sees, to fill a part of it or to vary it
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The model's pictures are near to what they were encoded from, but not the same: by some levels of 255, which would
 * show as a seam. So what is painted is corrected by how far it is off around the mask. Near the edge each pixel takes
 * the difference of the nearest pixel outside, which leaves the slope across the seam as it was painted; further in
 * that fades to the smooth surface that meets all the differences around.
 */
#include "switti-frame-private.h"

#include "switti-raster-private.h"

#include <math.h>
#include <string.h>

/* The correction fades over this share of the frame's side: one position of a latent of 16. */
#define FADE_SHARE 16

struct _SwittiFrame
{
  int side;
  GBytes *rgba, *mask; /* mask: NULL for a variation */
};

/* -- geometry -------------------------------------------------------------------------------------------------- */

/* The start of `side` pixels around the middle of (start, length), moved into (0, whole) as far as it fits. */
static int
place (int start, int length, int side, int whole)
{
  int at = start + (length - side) / 2;

  if (side <= whole)
    return CLAMP (at, 0, whole - side);
  /* All of the picture, and as much past the one edge as past the other, but no less than the bounds. */
  return CLAMP ((whole - side) / 2, start + length - side, start);
}

SwittiRectangle
switti_frame_choose (int width, int height, const SwittiRectangle *bounds, double context)
{
  int longer = MAX (bounds->width, bounds->height);
  double wanted = longer * (1 + 2 * context);
  int side = MAX (longer, (int) MIN (wanted, (double) MAX (width, height)));
  SwittiRectangle frame = {
    .x = place (bounds->x, bounds->width, side, width),
    .y = place (bounds->y, bounds->height, side, height),
    .width = side,
    .height = side,
  };

  return frame;
}

/* -- distances ------------------------------------------------------------------------------------------------- */

/* For each pixel the nearest one where inside is FALSE, or -1 where there is none: offsets, spread in two passes. */
typedef struct
{
  int width, height;
  gint32 *nearest;
} Distances;

static double
distance_to (const Distances *self, gsize at, gint32 other)
{
  double dx = (double) (at % (gsize) self->width) - other % self->width;
  double dy = (double) (at / (gsize) self->width) - other / self->width;

  return sqrt (dx * dx + dy * dy);
}

static void
take_nearer (Distances *self, int x, int y, int dx, int dy)
{
  gsize at = (gsize) y * (gsize) self->width + (gsize) x;
  gint32 other;

  if (x + dx < 0 || x + dx >= self->width || y + dy < 0 || y + dy >= self->height)
    return;
  other = self->nearest[(gsize) (y + dy) * (gsize) self->width + (gsize) (x + dx)];
  if (other >= 0
      && (self->nearest[at] < 0 || distance_to (self, at, other) < distance_to (self, at, self->nearest[at])))
    self->nearest[at] = other;
}

/* One pass over the rows in one direction, and over each row both ways. */
static void
sweep (Distances *self, int direction)
{
  for (int i = 0; i < self->height; i++)
    {
      int y = direction > 0 ? i : self->height - 1 - i;

      for (int x = 0; x < self->width; x++)
        {
          for (int dx = -1; dx <= 1; dx++)
            take_nearer (self, x, y, dx, -direction);
          take_nearer (self, x, y, -1, 0);
        }
      for (int x = self->width - 1; x >= 0; x--)
        take_nearer (self, x, y, 1, 0);
    }
}

/* outside (height, width): TRUE for the pixels to be found. */
static void
distances_init (Distances *self, int width, int height, const gboolean *outside)
{
  gsize count = (gsize) width * (gsize) height;

  *self = (Distances){ width, height, g_new (gint32, count) };
  for (gsize i = 0; i < count; i++)
    self->nearest[i] = outside[i] ? (gint32) i : -1;
  sweep (self, 1);
  sweep (self, -1);
}

/* From the middle of a pixel to that of the nearest one found; G_MAXDOUBLE where there is none. */
static double
distance_at (const Distances *self, gsize at)
{
  return self->nearest[at] < 0 ? G_MAXDOUBLE : distance_to (self, at, self->nearest[at]);
}

/* -- masks ----------------------------------------------------------------------------------------------------- */

void
switti_frame_grow_mask (int width, int height, guint8 *mask, int grow)
{
  gsize count = (gsize) width * (gsize) height;
  g_autofree gboolean *found = g_new (gboolean, count);
  Distances distances;

  if (grow == 0)
    return;
  for (gsize i = 0; i < count; i++)
    found[i] = grow > 0 ? mask[i] > 127 : mask[i] < 128;
  distances_init (&distances, width, height, found);
  for (gsize i = 0; i < count; i++)
    {
      double distance = distance_at (&distances, i);

      if (grow > 0 && distance <= grow)
        mask[i] = 255;
      else if (grow < 0 && distance <= -grow)
        mask[i] = 0;
    }
  g_free (distances.nearest);
}

void
switti_frame_feather_mask (int width, int height, guint8 *mask, double feather)
{
  gsize count = (gsize) width * (gsize) height;
  g_autofree gboolean *outside = g_new (gboolean, count);
  Distances distances;

  if (feather <= 0)
    return;
  for (gsize i = 0; i < count; i++)
    outside[i] = mask[i] == 0;
  distances_init (&distances, width, height, outside);
  for (gsize i = 0; i < count; i++)
    {
      double share = MIN (distance_at (&distances, i) / (feather + 1), 1.0);

      mask[i] = (guint8) lrint (mask[i] * (0.5 - 0.5 * cos (G_PI * share)));
    }
  g_free (distances.nearest);
}

/* -- making ---------------------------------------------------------------------------------------------------- */

SwittiFrame *
switti_frame_new (int side, GBytes *rgba, GBytes *mask)
{
  SwittiFrame *self = g_new0 (SwittiFrame, 1);

  g_assert (side > 0 && g_bytes_get_size (rgba) == (gsize) side * (gsize) side * 4);
  g_assert (mask == NULL || g_bytes_get_size (mask) == (gsize) side * (gsize) side);
  self->side = side;
  self->rgba = g_bytes_ref (rgba);
  self->mask = mask ? g_bytes_ref (mask) : NULL;
  return self;
}

void
switti_frame_free (SwittiFrame *self)
{
  g_clear_pointer (&self->rgba, g_bytes_unref);
  g_clear_pointer (&self->mask, g_bytes_unref);
  g_free (self);
}

int
switti_frame_get_side (SwittiFrame *self)
{
  return self->side;
}

GBytes *
switti_frame_get_pixels (SwittiFrame *self)
{
  return self->rgba;
}

/* -- before painting ------------------------------------------------------------------------------------------- */

/* The frame at the model's side: colours as they are where alpha is, and alpha. Scaling works on colours that are
 * multiplied by alpha, so that what is transparent lends none. */
static void
scale_frame (SwittiFrame *self, int side, float *rgb, float *alpha)
{
  gsize count = (gsize) self->side * (gsize) self->side, small = (gsize) side * (gsize) side;
  g_autofree guint8 *premultiplied = g_memdup2 (g_bytes_get_data (self->rgba, NULL), count * 4);
  g_autofree float *scaled = g_new (float, small * 4);

  for (gsize i = 0; i < count; i++)
    for (int c = 0; c < 3; c++)
      premultiplied[4 * i + (gsize) c] = (guint8) (premultiplied[4 * i + (gsize) c] * premultiplied[4 * i + 3] / 255);
  switti_raster_resize (4, self->side, self->side, premultiplied, side, side, scaled);
  for (gsize i = 0; i < small; i++)
    {
      alpha[i] = scaled[4 * i + 3] / 255;
      for (gsize c = 0; c < 3; c++)
        rgb[3 * i + c] = alpha[i] > 0 ? MIN (scaled[4 * i + c] / alpha[i], 255.0f) : 255;
    }
}

/* What the model may draw: within the mask, and where the picture is transparent. */
static GBytes *
scale_mask (SwittiFrame *self, int side, const float *alpha)
{
  gsize count = (gsize) side * (gsize) side;
  guint8 *mask = g_malloc (count);

  switti_raster_resize_u8 (1, self->side, self->side, g_bytes_get_data (self->mask, NULL), side, side, mask);
  for (gsize i = 0; i < count; i++)
    mask[i] = (guint8) lrintf (255 - (255 - mask[i]) * alpha[i]);
  return g_bytes_new_take (mask, count);
}

/* What is unknown comes from around, or, in a variation, is white. */
static void
complete (SwittiFrame *self, int side, const float *alpha, const guint8 *hidden, float *rgb)
{
  gsize count = (gsize) side * (gsize) side;
  g_autofree float *known = g_new (float, count);

  for (gsize i = 0; i < count; i++)
    known[i] = hidden ? 1 - (float) hidden[i] / 255 : alpha[i];
  if (self->mask)
    switti_raster_spread (3, side, side, known, rgb);
  for (gsize i = 0; self->mask == NULL && i < 3 * count; i++)
    rgb[i] = known[i / 3] * rgb[i] + (1 - known[i / 3]) * 255;
}

gboolean
switti_frame_prepare (SwittiFrame *self, SwittiGenerator *generator, SwittiRequest *request, GCancellable *cancellable,
                      GError **error)
{
  const int side = switti_bundle_get_resolution (switti_generator_get_bundle (generator));
  gsize count = (gsize) side * (gsize) side;
  g_autofree float *rgb = g_new (float, count * 3), *alpha = g_new (float, count);
  g_autoptr (GBytes) mask = NULL;
  g_autoptr (GBytes) pixels = NULL;
  g_autoptr (SwittiImage) encoded = NULL;
  g_autoptr (SwittiSource) source = NULL;
  guint8 *bytes;
  int keep_scales;

  g_object_get (request, "keep-scales", &keep_scales, NULL);
  scale_frame (self, side, rgb, alpha);
  if (self->mask)
    mask = scale_mask (self, side, alpha);
  complete (self, side, alpha, mask && keep_scales == 0 ? g_bytes_get_data (mask, NULL) : NULL, rgb);
  bytes = g_malloc (count * 3);
  for (gsize i = 0; i < count * 3; i++)
    bytes[i] = (guint8) lrintf (CLAMP (rgb[i], 0.0f, 255.0f));
  pixels = g_bytes_new_take (bytes, count * 3);
  encoded = switti_generator_encode (generator, pixels, side, side, cancellable, error);
  if (encoded == NULL)
    return FALSE;
  source = switti_source_new_for_codes (switti_image_get_codes (encoded));
  g_object_set (request, "source", source, "mask", mask, NULL);
  return TRUE;
}

/* -- after painting -------------------------------------------------------------------------------------------- */

/* Pixels around the mask that can be compared with what was painted. */
static gboolean *
find_kept (SwittiFrame *self, gboolean *any)
{
  gsize count = (gsize) self->side * (gsize) self->side;
  const guint8 *rgba = g_bytes_get_data (self->rgba, NULL), *mask = g_bytes_get_data (self->mask, NULL);
  gboolean *kept = g_new (gboolean, count);

  *any = FALSE;
  for (gsize i = 0; i < count; i++)
    {
      kept[i] = mask[i] == 0 && rgba[4 * i + 3] == 255;
      *any = *any || kept[i];
    }
  return kept;
}

/* What was painted just across the edge of the mask from a kept pixel: the mean of its neighbours there. FALSE where
 * it has none. */
static gboolean
across_edge (SwittiFrame *self, const gboolean *kept, const float *values, gsize pixel, float mean[3])
{
  const gsize side = (gsize) self->side, x = pixel % side, y = pixel / side;
  const gsize neighbours[4] = { x > 0 ? pixel - 1 : pixel, x + 1 < side ? pixel + 1 : pixel,
                                y > 0 ? pixel - side : pixel, y + 1 < side ? pixel + side : pixel };
  int n = 0;

  mean[0] = mean[1] = mean[2] = 0;
  for (int i = 0; i < 4; i++)
    if (!kept[neighbours[i]])
      {
        n++;
        for (int c = 0; c < 3; c++)
          mean[c] += values[3 * neighbours[i] + (gsize) c];
      }
  for (int c = 0; n > 0 && c < 3; c++)
    mean[c] /= (float) n;
  return n > 0;
}

/* Corrects values (side, side, 3) within the mask: at its edge what was painted inside is brought to what is outside,
 * so that not even the step that the model paints there is left. */
static void
even_out (SwittiFrame *self, float *values)
{
  gsize count = (gsize) self->side * (gsize) self->side;
  const guint8 *rgba = g_bytes_get_data (self->rgba, NULL);
  const double reach = MAX (self->side / FADE_SHARE, 1);
  gboolean any;
  g_autofree gboolean *kept = find_kept (self, &any);
  g_autofree float *known = NULL, *difference = NULL, *surface = NULL;
  Distances distances;

  if (!any)
    return;
  known = g_new (float, count);
  difference = g_new0 (float, count * 3);
  for (gsize i = 0; i < count; i++)
    {
      float inside[3];
      const float *painted = kept[i] && across_edge (self, kept, values, i, inside) ? inside : values + 3 * i;

      known[i] = kept[i] ? 1 : 0;
      for (gsize c = 0; kept[i] && c < 3; c++)
        difference[3 * i + c] = rgba[4 * i + c] - painted[c];
    }
  surface = g_memdup2 (difference, sizeof *difference * count * 3);
  switti_raster_spread (3, self->side, self->side, known, surface);
  distances_init (&distances, self->side, self->side, kept);
  for (gsize i = 0; i < count; i++)
    {
      double distance = distance_at (&distances, i);
      float near = distance < reach ? (float) (0.5 + 0.5 * cos (G_PI * distance / reach)) : 0;

      for (gsize c = 0; c < 3; c++)
        values[3 * i + c] += near * difference[3 * (gsize) distances.nearest[i] + c]
                             + (1 - near) * surface[3 * i + c];
    }
  g_free (distances.nearest);
}

GBytes *
switti_frame_paint (SwittiFrame *self, SwittiImage *image)
{
  gsize count = (gsize) self->side * (gsize) self->side * 3;
  g_autofree float *values = g_new (float, count);
  guint8 *painted = g_malloc (count);

  switti_raster_resize (3, switti_image_get_width (image), switti_image_get_height (image),
                        g_bytes_get_data (switti_image_get_pixels (image), NULL), self->side, self->side, values);
  if (self->mask)
    even_out (self, values);
  for (gsize i = 0; i < count; i++)
    painted[i] = (guint8) lrintf (CLAMP (values[i], 0.0f, 255.0f));
  return g_bytes_new_take (painted, count);
}

/* One pixel over another: `weight` of 255 of painted over rgba, which may be transparent. */
static void
lay_over (guint8 *rgba, const guint8 *painted, int weight)
{
  int below = rgba[3] * (255 - weight); /* of 255 * 255 */
  int whole = below + 255 * weight;

  if (weight == 0)
    return;
  for (int c = 0; c < 3; c++)
    rgba[c] = (guint8) ((rgba[c] * below + painted[c] * 255 * weight + whole / 2) / whole);
  rgba[3] = (guint8) ((whole + 127) / 255);
}

GBytes *
switti_frame_composite (SwittiFrame *self, SwittiImage *image)
{
  gsize count = (gsize) self->side * (gsize) self->side;
  g_autoptr (GBytes) painted = switti_frame_paint (self, image);
  const guint8 *from = g_bytes_get_data (painted, NULL);
  const guint8 *mask = self->mask ? g_bytes_get_data (self->mask, NULL) : NULL;
  guint8 *rgba = g_memdup2 (g_bytes_get_data (self->rgba, NULL), count * 4);

  for (gsize i = 0; i < count; i++)
    lay_over (rgba + 4 * i, from + 3 * i, mask ? mask[i] : 255);
  return g_bytes_new_take (rgba, count * 4);
}
