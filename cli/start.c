/* start.c - pictures that `switti generate` starts from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "start.h"

#include "switti-error.h"
#include "switti-png-private.h"
#include "switti-raster-private.h"
#include "switti-recipe-private.h"

#include <glib/gi18n.h>
#include <string.h>

#define MAX_GROW 1000

void
cli_start_init (CliStart *self)
{
  self->context = 100 * SWITTI_FRAME_CONTEXT;
}

void
cli_start_clear (CliStart *self)
{
  g_free (self->init);
  g_free (self->source);
  g_free (self->mask);
  g_clear_pointer (&self->rgba, g_bytes_unref);
  g_clear_pointer (&self->frame, switti_frame_free);
}

gboolean
cli_start_is_set (const CliStart *self)
{
  return self->init || self->source || self->mask;
}

const char *
cli_start_find_conflict (const CliStart *self)
{
  if (self->init && self->source)
    return _ ("--init and --source both name a picture to start from; leave one out.");
  if (self->grow < -MAX_GROW || self->grow > MAX_GROW)
    return _ ("--grow takes -1000 to 1000.");
  if (!(self->feather >= 0 && self->feather <= MAX_GROW))
    return _ ("--feather takes 0 to 1000.");
  if (!(self->context >= 0 && self->context <= 400))
    return _ ("--context takes 0 to 400.");
  return NULL;
}

/* -- files ------------------------------------------------------------------------------------------------------- */

/* White is 255, black and transparent are 0: (height, width). */
static guint8 *
load_mask (const char *path, int *width, int *height, GError **error)
{
  g_autoptr (GBytes) rgba = switti_png_load (path, width, height, error);
  const guint8 *pixels;
  gsize count;
  guint8 *mask;

  if (rgba == NULL)
    return NULL;
  pixels = g_bytes_get_data (rgba, NULL);
  count = g_bytes_get_size (rgba) / 4;
  mask = g_malloc (count);
  for (gsize i = 0; i < count; i++)
    {
      const guint8 *pixel = pixels + 4 * i;

      mask[i] = (guint8) ((pixel[0] * 54 + pixel[1] * 183 + pixel[2] * 18 + 127) / 255 * pixel[3] / 255);
    }
  return mask;
}

/* -- a painted picture ------------------------------------------------------------------------------------------- */

/* The mask at the model's side. */
static gboolean
set_model_mask (CliStart *self, SwittiRequest *request, SwittiBundle *bundle, GError **error)
{
  int side = switti_bundle_get_resolution (bundle), width, height;
  g_autofree guint8 *mask = load_mask (self->mask, &width, &height, error);
  g_autofree guint8 *scaled = NULL;
  g_autoptr (GBytes) bytes = NULL;

  if (mask == NULL)
    return FALSE;
  switti_frame_grow_mask (width, height, mask, self->grow);
  switti_frame_feather_mask (width, height, mask, self->feather);
  scaled = g_malloc ((gsize) side * (gsize) side);
  switti_raster_resize_u8 (1, width, height, mask, side, side, scaled);
  bytes = g_bytes_new_take (g_steal_pointer (&scaled), (gsize) side * (gsize) side);
  g_object_set (request, "mask", bytes, NULL);
  return TRUE;
}

static gboolean
set_source (CliStart *self, SwittiRequest *request, GError **error)
{
  g_autofree char *recipe = switti_recipe_load (self->source, error);
  g_autoptr (SwittiSource) source = recipe ? switti_source_new_for_recipe (recipe, error) : NULL;

  if (source == NULL)
    return FALSE;
  g_object_set (request, "source", source, NULL);
  return TRUE;
}

/* -- any picture ------------------------------------------------------------------------------------------------- */

/* The square of self->rgba, transparent where it reaches past it; mask NULL, or of the picture's size. */
static void
cut_frame (CliStart *self, const guint8 *mask)
{
  gsize side = (gsize) self->square.width;
  const guint8 *from = g_bytes_get_data (self->rgba, NULL);
  guint8 *rgba = g_malloc0 (side * side * 4), *part = g_malloc0 (side * side);
  g_autoptr (GBytes) rgba_bytes = g_bytes_new_take (rgba, side * side * 4);
  g_autoptr (GBytes) mask_bytes = g_bytes_new_take (part, side * side);

  for (int y = MAX (self->square.y, 0); y < MIN (self->square.y + (int) side, self->height); y++)
    for (int x = MAX (self->square.x, 0); x < MIN (self->square.x + (int) side, self->width); x++)
      {
        gsize to = (gsize) (y - self->square.y) * side + (gsize) (x - self->square.x);
        gsize at = (gsize) y * (gsize) self->width + (gsize) x;

        memcpy (rgba + 4 * to, from + 4 * at, 4);
        part[to] = mask ? mask[at] : 0;
      }
  self->frame = switti_frame_new ((int) side, rgba_bytes, mask ? mask_bytes : NULL);
}

static gboolean
find_bounds (int width, int height, const guint8 *mask, SwittiRectangle *bounds)
{
  int left = width, right = -1, top = height, bottom = -1;

  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      if (mask[(gsize) y * (gsize) width + (gsize) x] > 0)
        {
          left = MIN (left, x);
          right = MAX (right, x);
          top = MIN (top, y);
          bottom = y;
        }
  *bounds = (SwittiRectangle){ left, top, right - left + 1, bottom - top + 1 };
  return right >= 0;
}

static gboolean
frame_mask (CliStart *self, GError **error)
{
  int width, height;
  g_autofree guint8 *mask = load_mask (self->mask, &width, &height, error);
  SwittiRectangle bounds;

  if (mask == NULL)
    return FALSE;
  if (width != self->width || height != self->height)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("The mask has %d×%d pixels, but the picture has %d×%d; scale the mask to that."), width, height,
                   self->width, self->height);
      return FALSE;
    }
  switti_frame_grow_mask (width, height, mask, self->grow);
  switti_frame_feather_mask (width, height, mask, self->feather);
  if (!find_bounds (width, height, mask, &bounds))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("The mask %s is black all over; make white what is to be redrawn."), self->mask);
      return FALSE;
    }
  self->square = switti_frame_choose (width, height, &bounds, self->context / 100);
  cut_frame (self, mask);
  return TRUE;
}

static gboolean
load_init (CliStart *self, GError **error)
{
  int side;

  self->rgba = switti_png_load (self->init, &self->width, &self->height, error);
  if (self->rgba == NULL)
    return FALSE;
  if (self->mask)
    return frame_mask (self, error);
  side = MAX (self->width, self->height);
  self->square = (SwittiRectangle){ (self->width - side) / 2, (self->height - side) / 2, side, side };
  cut_frame (self, NULL);
  return TRUE;
}

/* -- steps ------------------------------------------------------------------------------------------------------- */

gboolean
cli_start_load (CliStart *self, SwittiRequest *request, SwittiBundle *bundle, gboolean keep_is_given, GError **error)
{
  if (!cli_start_is_set (self))
    return TRUE;
  /* Half of the scales is the composition; in a mask all is new unless something else is asked for. */
  if (!keep_is_given)
    g_object_set (request, "keep-scales", self->mask ? 0 : switti_bundle_get_n_scales (bundle) / 2, NULL);
  if (self->init)
    {
      g_object_set (request, "source", NULL, "mask", NULL, NULL);
      return load_init (self, error);
    }
  if (self->source && !set_source (self, request, error))
    return FALSE;
  return self->mask == NULL || set_model_mask (self, request, bundle, error);
}

gboolean
cli_start_prepare (CliStart *self, SwittiGenerator *generator, SwittiRequest *request, GCancellable *cancellable,
                   GError **error)
{
  return self->frame == NULL || switti_frame_prepare (self->frame, generator, request, cancellable, error);
}

/* The whole picture with the frame's square laid over it. */
static GBytes *
lay_over (CliStart *self, SwittiImage *image)
{
  gsize side = (gsize) self->square.width;
  g_autoptr (GBytes) composite = switti_frame_composite (self->frame, image);
  const guint8 *from = g_bytes_get_data (composite, NULL);
  guint8 *rgba = g_memdup2 (g_bytes_get_data (self->rgba, NULL), g_bytes_get_size (self->rgba));

  for (int y = MAX (self->square.y, 0); y < MIN (self->square.y + (int) side, self->height); y++)
    for (int x = MAX (self->square.x, 0); x < MIN (self->square.x + (int) side, self->width); x++)
      memcpy (rgba + 4 * ((gsize) y * (gsize) self->width + (gsize) x),
              from + 4 * ((gsize) (y - self->square.y) * side + (gsize) (x - self->square.x)), 4);
  return g_bytes_new_take (rgba, g_bytes_get_size (self->rgba));
}

gboolean
cli_start_save (CliStart *self, SwittiImage *image, const char *path, GError **error)
{
  g_autoptr (GBytes) rgba = NULL;
  g_autoptr (GBytes) png = NULL;

  if (self->frame == NULL || self->mask == NULL)
    return switti_image_save_png (image, path, error);
  rgba = lay_over (self, image);
  png = switti_png_encode_rgba (self->width, self->height, g_bytes_get_data (rgba, NULL),
                                switti_image_get_recipe (image), error);
  return png && switti_png_save (png, path, error);
}
