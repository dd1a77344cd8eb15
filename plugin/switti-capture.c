/* switti-capture.c - what of an open image a painting starts from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-capture.h"

#include "switti-canvas.h"

#include <glib/gi18n.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

/* A larger frame is captured smaller: the model's pictures have less detail than that anyway. */
#define MAX_FRAME_SIDE 2048

struct _SwittiCapture
{
  SwittiMode mode;
  SwittiRectangle bounds; /* in the image */
  SwittiRectangle square; /* what the frame shows of it */
  SwittiFrame *frame;     /* NULL where nothing is started from */
  GBytes *mask;           /* of a filling: bounds' size */
  SwittiSource *source;   /* of a varied layer that was painted and is unchanged, or NULL */
  char *model_hash;       /* of source's model; NULL: not stated */
  int layer_id;
};

SwittiCapture *
switti_capture_ref (SwittiCapture *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
clear (gpointer data)
{
  SwittiCapture *self = data;

  g_clear_pointer (&self->frame, switti_frame_free);
  g_clear_pointer (&self->mask, g_bytes_unref);
  g_clear_object (&self->source);
  g_free (self->model_hash);
}

void
switti_capture_unref (SwittiCapture *self)
{
  g_atomic_rc_box_release_full (self, clear);
}

SwittiMode
switti_capture_get_mode (SwittiCapture *self)
{
  return self->mode;
}

SwittiRectangle
switti_capture_get_bounds (SwittiCapture *self)
{
  return self->bounds;
}

GBytes *
switti_capture_get_mask (SwittiCapture *self)
{
  return self->mask;
}

int
switti_capture_get_layer_id (SwittiCapture *self)
{
  return self->layer_id;
}

static gboolean
refuse (GError **error, const char *sentence)
{
  g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, sentence);
  return FALSE;
}

/* What GIMP says of the call that has just failed. */
static gboolean
fail (GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("GIMP could not give the picture: %s"),
               gimp_pdb_get_last_error (gimp_get_pdb ()));
  return FALSE;
}

/* -- the frame -------------------------------------------------------------------------------------------------- */

static int
frame_side (const SwittiCapture *self)
{
  return MIN (self->square.width, MAX_FRAME_SIDE);
}

/* What the square shows of a buffer, (side, side) pixels of @format; nothing, or transparent, where that ends. */
static GBytes *
get_square (const SwittiCapture *self, GeglBuffer *buffer, int x, int y, const char *format)
{
  const int side = frame_side (self);
  const double scale = (double) side / self->square.width;
  const GeglRectangle extent = { (int) lrint (x * scale), (int) lrint (y * scale), side, side };
  gsize size = (gsize) side * (gsize) side * (gsize) babl_format_get_bytes_per_pixel (babl_format (format));
  guint8 *pixels = g_malloc (size);

  gegl_buffer_get (buffer, &extent, scale, babl_format (format), pixels, GEGL_AUTO_ROWSTRIDE, GEGL_ABYSS_NONE);
  return g_bytes_new_take (pixels, size);
}

/* The mask, which lies at the bounds, as the square shows it. */
static GBytes *
get_square_mask (const SwittiCapture *self)
{
  const GeglRectangle extent = { self->bounds.x, self->bounds.y, self->bounds.width, self->bounds.height };
  g_autoptr (GeglBuffer) buffer = gegl_buffer_new (&extent, babl_format ("Y u8"));

  gegl_buffer_set (buffer, &extent, 0, babl_format ("Y u8"), g_bytes_get_data (self->mask, NULL), GEGL_AUTO_ROWSTRIDE);
  return get_square (self, buffer, self->square.x, self->square.y, "Y u8");
}

/* -- filling ---------------------------------------------------------------------------------------------------- */

/* Cuts a mask (area's size) to what is not 0: bounds and mask. FALSE where all is. */
static gboolean
crop_mask (SwittiCapture *self, const SwittiRectangle *area, const guint8 *mask)
{
  int left = area->width, right = -1, top = area->height, bottom = -1;
  guint8 *cropped;

  for (int y = 0; y < area->height; y++)
    for (int x = 0; x < area->width; x++)
      if (mask[(gsize) y * (gsize) area->width + (gsize) x] > 0)
        {
          left = MIN (left, x);
          right = MAX (right, x);
          top = MIN (top, y);
          bottom = y;
        }
  if (right < 0)
    return FALSE;
  self->bounds = (SwittiRectangle){ area->x + left, area->y + top, right - left + 1, bottom - top + 1 };
  cropped = g_malloc ((gsize) self->bounds.width * (gsize) self->bounds.height);
  for (int y = 0; y < self->bounds.height; y++)
    memcpy (cropped + (gsize) y * (gsize) self->bounds.width,
            mask + (gsize) (top + y) * (gsize) area->width + (gsize) left, (gsize) self->bounds.width);
  self->mask = g_bytes_new_take (cropped, (gsize) self->bounds.width * (gsize) self->bounds.height);
  return TRUE;
}

/* The selection, grown and feathered. Around it stays room for a pixel that is not selected, where the image has that
 * much: the feather fades towards it. */
static gboolean
capture_mask (SwittiCapture *self, const SwittiStart *start, GimpImage *image, GError **error)
{
  const int room = MAX (start->grow, 0) + 1;
  g_autoptr (GeglBuffer) buffer = gimp_drawable_get_buffer (GIMP_DRAWABLE (gimp_image_get_selection (image)));
  g_autofree guint8 *mask = NULL;
  gboolean has_selection;
  int x1, y1, x2, y2;
  SwittiRectangle area;
  GeglRectangle extent;

  if (!gimp_selection_bounds (image, &has_selection, &x1, &y1, &x2, &y2))
    return fail (error);
  if (!has_selection)
    return refuse (error, _ ("Nothing is selected; select what is to be filled."));
  area.x = MAX (x1 - room, 0);
  area.y = MAX (y1 - room, 0);
  area.width = MIN (x2 + room, gimp_image_get_width (image)) - area.x;
  area.height = MIN (y2 + room, gimp_image_get_height (image)) - area.y;
  extent = (GeglRectangle){ area.x, area.y, area.width, area.height };
  mask = g_malloc ((gsize) area.width * (gsize) area.height);
  gegl_buffer_get (buffer, &extent, 1.0, babl_format ("Y u8"), mask, GEGL_AUTO_ROWSTRIDE, GEGL_ABYSS_NONE);
  switti_frame_grow_mask (area.width, area.height, mask, start->grow);
  switti_frame_feather_mask (area.width, area.height, mask, start->feather);
  return crop_mask (self, &area, mask)
         || refuse (error, _ ("Nothing is left of the selection when it is shrunk that far; select more."));
}

/* All that is visible, as one layer that is not in the image. */
static gboolean
capture_visible (SwittiCapture *self, GimpImage *image, GError **error)
{
  GimpLayer *visible = gimp_layer_new_from_visible (image, image, "switti");
  g_autoptr (GeglBuffer) buffer = visible ? gimp_drawable_get_buffer (GIMP_DRAWABLE (visible)) : NULL;
  g_autoptr (GBytes) rgba = NULL;
  g_autoptr (GBytes) mask = NULL;

  if (buffer == NULL)
    return fail (error);
  rgba = get_square (self, buffer, self->square.x, self->square.y, "R'G'B'A u8");
  g_clear_object (&buffer);
  gimp_item_delete (GIMP_ITEM (visible));
  mask = get_square_mask (self);
  self->frame = switti_frame_new (frame_side (self), rgba, mask);
  return TRUE;
}

static gboolean
capture_selection (SwittiCapture *self, const SwittiStart *start, GimpImage *image, GError **error)
{
  if (image == NULL)
    return refuse (error, _ ("No image is open to fill a selection of; open one and select what is to be filled."));
  if (!capture_mask (self, start, image, error))
    return FALSE;
  self->square = switti_frame_choose (gimp_image_get_width (image), gimp_image_get_height (image), &self->bounds,
                                      start->context / 100.0);
  return capture_visible (self, image, error);
}

/* -- variations ------------------------------------------------------------------------------------------------- */

static GimpLayer *
find_layer (GimpImage *image, GimpDrawable **drawables)
{
  GimpLayer **selected;
  GimpLayer *layer = NULL;

  for (; drawables && *drawables; drawables++)
    if (GIMP_IS_LAYER (*drawables))
      return GIMP_LAYER (*drawables);
  selected = image ? gimp_image_get_selected_layers (image) : NULL;
  if (selected)
    layer = *selected;
  g_free (selected);
  return layer;
}

/* The recipe of a layer whose pixels are what was painted. A filling's recipe is of the whole square around it. */
static void
capture_recipe (SwittiCapture *self, GimpLayer *layer)
{
  g_autofree char *recipe = switti_canvas_is_unchanged (layer) ? switti_canvas_get_recipe (GIMP_ITEM (layer)) : NULL;
  g_autoptr (JsonNode) root = recipe ? json_from_string (recipe, NULL) : NULL;
  JsonObject *object = root && JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  JsonNode *hash;

  if (object == NULL || json_object_has_member (object, "mask"))
    return;
  hash = json_object_get_member (object, "model_hash");
  if (hash && json_node_get_value_type (hash) == G_TYPE_STRING)
    self->model_hash = json_node_dup_string (hash);
  /* One that cannot be read is as good as none: there are still the pixels. */
  self->source = switti_source_new_for_recipe (recipe, NULL);
}

static gboolean
capture_layer (SwittiCapture *self, GimpImage *image, GimpDrawable **drawables, GError **error)
{
  GimpLayer *layer = find_layer (image, drawables);
  g_autoptr (GeglBuffer) buffer = NULL;
  g_autoptr (GBytes) rgba = NULL;
  int width, height, side;

  if (layer == NULL)
    return refuse (error, _ ("There is no layer to vary; open an image and select one."));
  width = gimp_drawable_get_width (GIMP_DRAWABLE (layer));
  height = gimp_drawable_get_height (GIMP_DRAWABLE (layer));
  side = MAX (width, height);
  gimp_drawable_get_offsets (GIMP_DRAWABLE (layer), &self->bounds.x, &self->bounds.y);
  self->bounds.width = width;
  self->bounds.height = height;
  self->square = (SwittiRectangle){ (width - side) / 2, (height - side) / 2, side, side };
  buffer = gimp_drawable_get_buffer (GIMP_DRAWABLE (layer));
  rgba = get_square (self, buffer, self->square.x, self->square.y, "R'G'B'A u8");
  self->frame = switti_frame_new (frame_side (self), rgba, NULL);
  self->layer_id = gimp_item_get_id (GIMP_ITEM (layer));
  capture_recipe (self, layer);
  return TRUE;
}

SwittiCapture *
switti_capture_new (const SwittiSettings *settings, GimpImage *image, GimpDrawable **drawables, GError **error)
{
  g_autoptr (SwittiCapture) self = g_atomic_rc_box_new0 (SwittiCapture);

  self->mode = settings->start.mode;
  if (self->mode == SWITTI_MODE_FILL && !capture_selection (self, &settings->start, image, error))
    return NULL;
  if (self->mode == SWITTI_MODE_VARIATION && !capture_layer (self, image, drawables, error))
    return NULL;
  return g_steal_pointer (&self);
}

/* -- on a worker ------------------------------------------------------------------------------------------------ */

gboolean
switti_capture_prepare (SwittiCapture *self, SwittiGenerator *generator, SwittiRequest *request,
                        GCancellable *cancellable, GError **error)
{
  SwittiBundle *bundle = switti_generator_get_bundle (generator);
  g_autofree char *hash = NULL;

  if (self->frame == NULL)
    return TRUE;
  if (self->source && self->model_hash)
    {
      hash = switti_bundle_hash (bundle, cancellable, error);
      if (hash == NULL)
        return FALSE;
    }
  /* Another model has other codes, so that one takes the pixels. */
  if (self->source == NULL || g_strcmp0 (hash, self->model_hash) != 0)
    return switti_frame_prepare (self->frame, generator, request, cancellable, error);
  g_object_set (request, "source", self->source, "mask", NULL, NULL);
  return TRUE;
}

GBytes *
switti_capture_show (SwittiCapture *self, SwittiImage *picture, int *side)
{
  gsize count = (gsize) switti_image_get_width (picture) * (gsize) switti_image_get_height (picture);
  const guint8 *rgb = g_bytes_get_data (switti_image_get_pixels (picture), NULL);
  guint8 *rgba;

  if (self->mode == SWITTI_MODE_FILL)
    {
      *side = switti_frame_get_side (self->frame);
      return switti_frame_composite (self->frame, picture);
    }
  *side = switti_image_get_width (picture);
  rgba = g_malloc (count * 4);
  for (gsize i = 0; i < count; i++)
    {
      memcpy (rgba + 4 * i, rgb + 3 * i, 3);
      rgba[4 * i + 3] = 255;
    }
  return g_bytes_new_take (rgba, count * 4);
}

GBytes *
switti_capture_show_before (SwittiCapture *self, int *side)
{
  if (self->frame == NULL)
    return NULL;
  *side = switti_frame_get_side (self->frame);
  return g_bytes_ref (switti_frame_get_pixels (self->frame));
}

/* Where the bounds lie in the square, at the square's own size. */
GBytes *
switti_capture_paint (SwittiCapture *self, SwittiImage *picture)
{
  const int side = switti_frame_get_side (self->frame);
  const GeglRectangle all = { 0, 0, side, side };
  const GeglRectangle extent
    = { self->bounds.x - self->square.x, self->bounds.y - self->square.y, self->bounds.width, self->bounds.height };
  g_autoptr (GBytes) painted = switti_frame_paint (self->frame, picture);
  g_autoptr (GeglBuffer) buffer = gegl_buffer_new (&all, babl_format ("R'G'B' u8"));
  gsize size = (gsize) extent.width * (gsize) extent.height * 3;
  guint8 *pixels = g_malloc (size);

  g_assert (self->mode == SWITTI_MODE_FILL);
  gegl_buffer_set (buffer, &all, 0, babl_format ("R'G'B' u8"), g_bytes_get_data (painted, NULL), GEGL_AUTO_ROWSTRIDE);
  gegl_buffer_get (buffer, &extent, (double) self->square.width / side, babl_format ("R'G'B' u8"), pixels,
                   GEGL_AUTO_ROWSTRIDE, GEGL_ABYSS_CLAMP);
  return g_bytes_new_take (pixels, size);
}
