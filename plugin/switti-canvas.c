/* switti-canvas.c - puts pictures into GIMP images
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-canvas.h"

#include <glib/gi18n.h>

/* A longer prompt is cut in the layer's name; the whole of it is in the recipe. */
#define MAX_NAME_LENGTH 64

gboolean
switti_canvas_fail (GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("GIMP could not take the pictures: %s"),
               gimp_pdb_get_last_error (gimp_get_pdb ()));
  return FALSE;
}

/* The prompt on one line. */
static char *
short_name (const char *prompt)
{
  char *name;

  if (g_utf8_strlen (prompt, -1) > MAX_NAME_LENGTH)
    {
      g_autofree char *start = g_utf8_substring (prompt, 0, MAX_NAME_LENGTH - 1);

      name = g_strconcat (start, "…", NULL);
    }
  else
    name = g_strdup (prompt);
  return g_strdelimit (name, "\n\r\t", ' ');
}

static char *
layer_name (SwittiImage *picture, const char *prompt, gboolean with_seed)
{
  g_autofree char *name = short_name (prompt);
  g_autofree char *seed = NULL;

  if (!with_seed)
    return g_steal_pointer (&name);
  seed = g_strdup_printf ("%" G_GUINT64_FORMAT, switti_image_get_seed (picture));
  /* Translators: the name of a layer: the prompt, and the seed of this picture of several. */
  return g_strdup_printf (_ ("%s (seed %s)"), name, seed);
}

static GimpImageType
layer_type (GimpImage *image)
{
  switch (gimp_image_get_base_type (image))
    {
    case GIMP_GRAY:
      return GIMP_GRAY_IMAGE;
    case GIMP_INDEXED:
      return GIMP_INDEXED_IMAGE;
    case GIMP_RGB:
    default:
      return GIMP_RGB_IMAGE;
    }
}

/* One layer and what is on it. */
typedef struct
{
  int width, height;
  GBytes *rgb; /* (height, width, 3) R'G'B' u8 */
} Content;

/* What is done with one picture after the other. */
typedef struct
{
  GimpImage *image;
  SwittiCapture *capture; /* NULL: an image of the pictures' own */
  const SwittiPlace *place;
  gboolean with_seeds;
  GimpLayer *parent;      /* the group, or NULL */
  int position;
  GPtrArray *layers;      /* placed so far, the last picture's first; ends with NULL */
} Placing;

static void
set_pixels (GimpDrawable *drawable, const char *format, GBytes *pixels)
{
  const GeglRectangle extent = { 0, 0, gimp_drawable_get_width (drawable), gimp_drawable_get_height (drawable) };
  g_autoptr (GeglBuffer) buffer = gimp_drawable_get_buffer (drawable);

  /* GEGL converts from sRGB to the precision, colour profile or palette of the layer's image. */
  gegl_buffer_set (buffer, &extent, 0, babl_format (format), g_bytes_get_data (pixels, NULL), GEGL_AUTO_ROWSTRIDE);
  gegl_buffer_flush (buffer);
  gimp_drawable_update (drawable, 0, 0, extent.width, extent.height);
}

/* -- parasites -------------------------------------------------------------------------------------------------- */

static gboolean
attach (GimpLayer *layer, const char *name, const char *text)
{
  GimpParasite *parasite
    = gimp_parasite_new (name, GIMP_PARASITE_PERSISTENT | GIMP_PARASITE_UNDOABLE, strlen (text), text);
  gboolean attached = gimp_item_attach_parasite (GIMP_ITEM (layer), parasite);

  gimp_parasite_free (parasite);
  return attached;
}

static char *
get_parasite (GimpItem *item, const char *name)
{
  GimpParasite *parasite = gimp_item_get_parasite (item, name);
  const char *data;
  char *text = NULL;
  guint32 size;

  if (parasite == NULL)
    return NULL;
  data = gimp_parasite_get_data (parasite, &size);
  if (g_utf8_validate (data, size, NULL))
    text = g_strndup (data, size);
  gimp_parasite_free (parasite);
  return text;
}

char *
switti_canvas_get_recipe (GimpItem *item)
{
  return get_parasite (item, SWITTI_RECIPE_PARASITE);
}

static char *
hash_pixels (GimpLayer *layer)
{
  const GeglRectangle extent
    = { 0, 0, gimp_drawable_get_width (GIMP_DRAWABLE (layer)), gimp_drawable_get_height (GIMP_DRAWABLE (layer)) };
  g_autoptr (GeglBuffer) buffer = gimp_drawable_get_buffer (GIMP_DRAWABLE (layer));
  gsize size = (gsize) extent.width * (gsize) extent.height * 4;
  g_autofree guint8 *pixels = g_malloc (size);

  gegl_buffer_get (buffer, &extent, 1.0, babl_format ("R'G'B'A u8"), pixels, GEGL_AUTO_ROWSTRIDE, GEGL_ABYSS_NONE);
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, pixels, size);
}

gboolean
switti_canvas_is_unchanged (GimpLayer *layer)
{
  g_autofree char *stated = get_parasite (GIMP_ITEM (layer), SWITTI_PIXELS_PARASITE);
  g_autofree char *found = stated ? hash_pixels (layer) : NULL;

  return found && g_str_equal (found, stated);
}

/* -- one layer -------------------------------------------------------------------------------------------------- */

/* The layer is in layers from here on, so that a caller whose later step fails can take it out again. */
static GimpLayer *
insert_layer (Placing *self, const Content *content, const char *name, GError **error)
{
  GimpLayer *layer = gimp_layer_new (self->image, name, content->width, content->height, layer_type (self->image),
                                     100.0, gimp_image_get_default_new_layer_mode (self->image));

  if (!layer)
    {
      switti_canvas_fail (error);
      return NULL;
    }
  if (!gimp_image_insert_layer (self->image, layer, self->parent, self->position))
    {
      switti_canvas_fail (error);
      gimp_item_delete (GIMP_ITEM (layer));
      return NULL;
    }
  g_ptr_array_insert (self->layers, 0, layer);
  set_pixels (GIMP_DRAWABLE (layer), "R'G'B' u8", content->rgb);
  return layer;
}

/* What is painted next goes on the picture, not on its mask. */
static gboolean
add_mask (GimpLayer *layer, GimpLayerMask *mask)
{
  return mask && gimp_layer_add_mask (layer, mask) && gimp_layer_set_edit_mask (layer, FALSE);
}

static gboolean
centre_layer (GimpImage *image, GimpLayer *layer)
{
  int x = (gimp_image_get_width (image) - gimp_drawable_get_width (GIMP_DRAWABLE (layer))) / 2;
  int y = (gimp_image_get_height (image) - gimp_drawable_get_height (GIMP_DRAWABLE (layer))) / 2;

  return gimp_layer_set_offsets (layer, x, y);
}

/* Scales the layer, keeping its proportions, until it covers the rectangle, and cuts what sticks out evenly. */
static gboolean
fit_layer (GimpLayer *layer, const SwittiRectangle *to)
{
  int own_width = gimp_drawable_get_width (GIMP_DRAWABLE (layer));
  int own_height = gimp_drawable_get_height (GIMP_DRAWABLE (layer));
  double factor = MAX ((double) to->width / own_width, (double) to->height / own_height);
  int scaled_width = MAX ((int) (own_width * factor + 0.5), to->width);
  int scaled_height = MAX ((int) (own_height * factor + 0.5), to->height);
  gboolean scaled = TRUE;

  if (scaled_width != own_width || scaled_height != own_height)
    {
      gimp_context_push ();
      gimp_context_set_interpolation (GIMP_INTERPOLATION_CUBIC);
      scaled = gimp_layer_scale (layer, scaled_width, scaled_height, FALSE);
      gimp_context_pop ();
    }
  return scaled
         && gimp_layer_resize (layer, to->width, to->height, (to->width - scaled_width) / 2,
                               (to->height - scaled_height) / 2)
         && gimp_layer_set_offsets (layer, to->x, to->y);
}

/* To the selection's bounds, masked by it; or to the middle of the canvas. */
static gboolean
place_new (GimpImage *image, GimpLayer *layer)
{
  gboolean has_selection;
  int x1, y1, x2, y2;
  SwittiRectangle to;

  if (!gimp_selection_bounds (image, &has_selection, &x1, &y1, &x2, &y2))
    return FALSE;
  if (!has_selection)
    return centre_layer (image, layer);
  to = (SwittiRectangle){ x1, y1, x2 - x1, y2 - y1 };
  return fit_layer (layer, &to) && add_mask (layer, gimp_layer_create_mask (layer, GIMP_ADD_MASK_SELECTION));
}

static gboolean
place_filling (SwittiCapture *capture, GimpLayer *layer)
{
  const SwittiRectangle bounds = switti_capture_get_bounds (capture);
  GimpLayerMask *mask = gimp_layer_create_mask (layer, GIMP_ADD_MASK_WHITE);

  if (!add_mask (layer, mask))
    return FALSE;
  set_pixels (GIMP_DRAWABLE (mask), "Y u8", switti_capture_get_mask (capture));
  return gimp_layer_set_offsets (layer, bounds.x, bounds.y);
}

static gboolean
place_layer (Placing *self, GimpLayer *layer)
{
  SwittiRectangle bounds;

  if (self->capture == NULL)
    return TRUE;
  bounds = switti_capture_get_bounds (self->capture);
  switch (switti_capture_get_mode (self->capture))
    {
    case SWITTI_MODE_FILL:
      return place_filling (self->capture, layer);
    case SWITTI_MODE_VARIATION:
      return fit_layer (layer, &bounds);
    case SWITTI_MODE_NEW:
    default:
      return place_new (self->image, layer);
    }
}

static gboolean
attach_parasites (GimpLayer *layer, SwittiImage *picture)
{
  g_autofree char *hash = hash_pixels (layer);

  return attach (layer, SWITTI_RECIPE_PARASITE, switti_image_get_recipe (picture))
         && attach (layer, SWITTI_PIXELS_PARASITE, hash);
}

static gboolean
place_picture (Placing *self, SwittiImage *picture, GError **error)
{
  gboolean fills = self->capture && switti_capture_get_mode (self->capture) == SWITTI_MODE_FILL;
  SwittiRectangle bounds = { 0, 0, switti_image_get_width (picture), switti_image_get_height (picture) };
  g_autoptr (GBytes) rgb
    = fills ? switti_capture_paint (self->capture, picture) : g_bytes_ref (switti_image_get_pixels (picture));
  g_autofree char *name = layer_name (picture, self->place->name, self->with_seeds);
  Content content = { .rgb = rgb };
  GimpLayer *layer;

  if (fills)
    bounds = switti_capture_get_bounds (self->capture);
  content.width = bounds.width;
  content.height = bounds.height;
  layer = insert_layer (self, &content, name, error);
  if (layer == NULL)
    return FALSE;
  return (place_layer (self, layer) && attach_parasites (layer, picture)) || switti_canvas_fail (error);
}

/* -- all layers ------------------------------------------------------------------------------------------------- */

/* Where the first layer goes: above the varied layer, topmost, or (-1) above the selected one. */
static void
find_place (Placing *self)
{
  GimpItem *varied;
  int id = self->capture ? switti_capture_get_layer_id (self->capture) : 0;

  self->position = self->capture && switti_capture_get_mode (self->capture) == SWITTI_MODE_FILL ? 0 : -1;
  if (id == 0 || !gimp_item_id_is_valid (id))
    return;
  varied = gimp_item_get_by_id (id);
  if (gimp_item_get_image (varied) != self->image)
    return;
  self->parent = GIMP_LAYER (gimp_item_get_parent (varied));
  self->position = gimp_image_get_item_position (self->image, varied);
}

static gboolean
open_group (Placing *self, GimpLayer **group, GError **error)
{
  g_autofree char *name = short_name (self->place->name);

  *group = NULL;
  if (!self->place->in_group)
    return TRUE;
  *group = GIMP_LAYER (gimp_group_layer_new (self->image, name));
  if (*group == NULL)
    return switti_canvas_fail (error);
  if (!gimp_image_insert_layer (self->image, *group, self->parent, self->position))
    {
      switti_canvas_fail (error);
      gimp_item_delete (GIMP_ITEM (*group));
      return FALSE;
    }
  self->parent = *group;
  self->position = 0;
  return TRUE;
}

/* The last picture goes first, so that the first ends topmost. */
static GPtrArray *
place_all (Placing *self, GPtrArray *pictures, GError **error)
{
  g_autoptr (GPtrArray) layers = g_ptr_array_new_null_terminated (pictures->len, NULL, TRUE);
  GimpLayer *group;

  self->layers = layers;
  self->with_seeds = pictures->len > 1;
  find_place (self);
  if (!open_group (self, &group, error))
    return NULL;
  for (guint i = pictures->len; i-- > 0;)
    if (!place_picture (self, g_ptr_array_index (pictures, i), error))
      {
        for (guint j = 0; group == NULL && j < layers->len; j++)
          gimp_image_remove_layer (self->image, g_ptr_array_index (layers, j));
        if (group)
          gimp_image_remove_layer (self->image, group);
        return NULL;
      }
  for (guint i = 1; group && i < layers->len; i++)
    gimp_item_set_visible (g_ptr_array_index (layers, i), FALSE);
  return g_steal_pointer (&layers);
}

GPtrArray *
switti_canvas_new_image (GPtrArray *pictures, const SwittiPlace *place, GimpImage **image, GError **error)
{
  SwittiImage *first = g_ptr_array_index (pictures, 0);
  Placing self = { .place = place };
  GPtrArray *layers;

  *image = gimp_image_new (switti_image_get_width (first), switti_image_get_height (first), GIMP_RGB);
  if (!*image)
    {
      switti_canvas_fail (error);
      return NULL;
    }
  self.image = *image;
  /* What makes up the image is no step of its history. */
  gimp_image_undo_disable (*image);
  layers = place_all (&self, pictures, error);
  gimp_image_undo_enable (*image);
  if (!layers)
    {
      gimp_image_delete (*image);
      *image = NULL;
    }
  return layers;
}

GPtrArray *
switti_canvas_add_layers (GimpImage *image, SwittiCapture *capture, GPtrArray *pictures, const SwittiPlace *place,
                          GError **error)
{
  Placing self = { .image = image, .capture = capture, .place = place };
  GPtrArray *layers;

  gimp_image_undo_group_start (image);
  layers = place_all (&self, pictures, error);
  gimp_image_undo_group_end (image);
  return layers;
}
