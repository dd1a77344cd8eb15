/* switti-canvas.c - puts pictures into GIMP images
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-canvas.h"

#include <glib/gi18n.h>

/* A longer prompt is cut in the layer's name; the whole of it is in the recipe. */
#define MAX_NAME_LENGTH 64

/* Passes on what GIMP says of the call that has just failed. */
static gboolean
fail (GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("GIMP could not take the pictures: %s"),
               gimp_pdb_get_last_error (gimp_get_pdb ()));
  return FALSE;
}

static char *
layer_name (SwittiImage *picture, const char *prompt, gboolean with_seed)
{
  g_autofree char *name = NULL;
  g_autofree char *seed = NULL;

  if (g_utf8_strlen (prompt, -1) > MAX_NAME_LENGTH)
    {
      g_autofree char *start = g_utf8_substring (prompt, 0, MAX_NAME_LENGTH - 1);

      name = g_strconcat (start, "…", NULL);
    }
  else
    name = g_strdup (prompt);
  g_strdelimit (name, "\n\r\t", ' ');
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

/* GEGL converts from sRGB to the precision, colour profile or palette of the layer's image. */
static void
set_pixels (GimpLayer *layer, SwittiImage *picture)
{
  const GeglRectangle extent = { 0, 0, switti_image_get_width (picture), switti_image_get_height (picture) };
  GBytes *pixels = switti_image_get_pixels (picture);
  g_autoptr (GeglBuffer) buffer = gimp_drawable_get_buffer (GIMP_DRAWABLE (layer));

  gegl_buffer_set (buffer, &extent, 0, babl_format ("R'G'B' u8"), g_bytes_get_data (pixels, NULL), GEGL_AUTO_ROWSTRIDE);
  gegl_buffer_flush (buffer);
  gimp_drawable_update (GIMP_DRAWABLE (layer), 0, 0, extent.width, extent.height);
}

static gboolean
attach_recipe (GimpLayer *layer, SwittiImage *picture)
{
  const char *recipe = switti_image_get_recipe (picture);
  GimpParasite *parasite = gimp_parasite_new (SWITTI_RECIPE_PARASITE, GIMP_PARASITE_PERSISTENT | GIMP_PARASITE_UNDOABLE,
                                              strlen (recipe), recipe);
  gboolean attached = gimp_item_attach_parasite (GIMP_ITEM (layer), parasite);

  gimp_parasite_free (parasite);
  return attached;
}

/* Inserts above the selected layer, or topmost where there is none. The layer is in @layers from here on, so that a
 * caller whose later step fails can take it out again. */
static GimpLayer *
insert_picture (GimpImage *image, SwittiImage *picture, const char *name, GPtrArray *layers, GError **error)
{
  GimpLayer *layer = gimp_layer_new (image, name, switti_image_get_width (picture), switti_image_get_height (picture),
                                     layer_type (image), 100.0, gimp_image_get_default_new_layer_mode (image));

  if (!layer)
    {
      fail (error);
      return NULL;
    }
  if (!gimp_image_insert_layer (image, layer, NULL, -1))
    {
      fail (error);
      gimp_item_delete (GIMP_ITEM (layer));
      return NULL;
    }
  g_ptr_array_insert (layers, 0, layer);
  set_pixels (layer, picture);
  if (!attach_recipe (layer, picture))
    {
      fail (error);
      return NULL;
    }
  return layer;
}

/* The last picture goes first, so that the first ends topmost. @place is told each new layer. */
static GPtrArray *
insert_all (GimpImage *image, GPtrArray *pictures, const char *prompt,
            gboolean (*place) (GimpImage *image, GimpLayer *layer, GError **error), GError **error)
{
  g_autoptr (GPtrArray) layers = g_ptr_array_new_null_terminated (pictures->len, NULL, TRUE);

  for (guint i = pictures->len; i-- > 0;)
    {
      SwittiImage *picture = g_ptr_array_index (pictures, i);
      g_autofree char *name = layer_name (picture, prompt, pictures->len > 1);
      GimpLayer *layer = insert_picture (image, picture, name, layers, error);

      if (!layer || (place && !place (image, layer, error)))
        {
          for (guint j = 0; j < layers->len; j++)
            gimp_image_remove_layer (image, g_ptr_array_index (layers, j));
          return NULL;
        }
    }
  return g_steal_pointer (&layers);
}

GPtrArray *
switti_canvas_new_image (GPtrArray *pictures, const char *prompt, GimpImage **image, GError **error)
{
  SwittiImage *first = g_ptr_array_index (pictures, 0);
  GPtrArray *layers;

  *image = gimp_image_new (switti_image_get_width (first), switti_image_get_height (first), GIMP_RGB);
  if (!*image)
    {
      fail (error);
      return NULL;
    }
  /* What makes up the image is no step of its history. */
  gimp_image_undo_disable (*image);
  layers = insert_all (*image, pictures, prompt, NULL, error);
  gimp_image_undo_enable (*image);
  if (!layers)
    {
      gimp_image_delete (*image);
      *image = NULL;
    }
  return layers;
}

static gboolean
centre_layer (GimpImage *image, GimpLayer *layer, GError **error)
{
  int x = (gimp_image_get_width (image) - gimp_drawable_get_width (GIMP_DRAWABLE (layer))) / 2;
  int y = (gimp_image_get_height (image) - gimp_drawable_get_height (GIMP_DRAWABLE (layer))) / 2;

  return gimp_layer_set_offsets (layer, x, y) || fail (error);
}

/* Scales the layer, keeping its proportions, until it covers the rectangle, cuts what sticks out evenly, and masks it
 * by the selection. */
static gboolean
fit_layer (GimpLayer *layer, int x, int y, int width, int height)
{
  int own_width = gimp_drawable_get_width (GIMP_DRAWABLE (layer));
  int own_height = gimp_drawable_get_height (GIMP_DRAWABLE (layer));
  double factor = MAX ((double) width / own_width, (double) height / own_height);
  int scaled_width = MAX ((int) (own_width * factor + 0.5), width);
  int scaled_height = MAX ((int) (own_height * factor + 0.5), height);
  GimpLayerMask *mask;
  gboolean scaled;

  gimp_context_push ();
  gimp_context_set_interpolation (GIMP_INTERPOLATION_CUBIC);
  scaled = gimp_layer_scale (layer, scaled_width, scaled_height, FALSE);
  gimp_context_pop ();
  if (!scaled || !gimp_layer_resize (layer, width, height, (width - scaled_width) / 2, (height - scaled_height) / 2) ||
      !gimp_layer_set_offsets (layer, x, y))
    return FALSE;
  mask = gimp_layer_create_mask (layer, GIMP_ADD_MASK_SELECTION);
  /* What is painted next goes on the picture, not on its mask. */
  return mask && gimp_layer_add_mask (layer, mask) && gimp_layer_set_edit_mask (layer, FALSE);
}

static gboolean
place_layer (GimpImage *image, GimpLayer *layer, GError **error)
{
  gboolean has_selection;
  int x1, y1, x2, y2;

  if (!gimp_selection_bounds (image, &has_selection, &x1, &y1, &x2, &y2))
    return fail (error);
  if (!has_selection)
    return centre_layer (image, layer, error);
  return fit_layer (layer, x1, y1, x2 - x1, y2 - y1) || fail (error);
}

GPtrArray *
switti_canvas_add_layers (GimpImage *image, GPtrArray *pictures, const char *prompt, GError **error)
{
  GPtrArray *layers;

  gimp_image_undo_group_start (image);
  layers = insert_all (image, pictures, prompt, place_layer, error);
  gimp_image_undo_group_end (image);
  return layers;
}
