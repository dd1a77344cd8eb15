/* switti-image.c - a picture that a generator painted
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-image-private.h"

#include "switti-png-private.h"
#include "switti-recipe-private.h"

#include <gio/gio.h>

/**
 * SwittiImage:
 *
 * A picture that a [class@Generator] painted, with all that is needed to paint it again. It does not change and may be
 * used from any thread.
 */
struct _SwittiImage
{
  GObject parent_instance;

  int width, height;
  GBytes *pixels, *codes;
  SwittiRequest *request;
  SwittiBundle *bundle;
  int image_index, preview_scale;
  char *device, *precision;
  char *recipe; /* made at the first look: the model's hash reads the whole model */
  GMutex recipe_mutex;
};

G_DEFINE_FINAL_TYPE (SwittiImage, switti_image, G_TYPE_OBJECT)

static void
switti_image_finalize (GObject *object)
{
  SwittiImage *self = SWITTI_IMAGE (object);

  g_clear_pointer (&self->pixels, g_bytes_unref);
  g_clear_pointer (&self->codes, g_bytes_unref);
  g_clear_object (&self->request);
  g_clear_object (&self->bundle);
  g_free (self->device);
  g_free (self->precision);
  g_free (self->recipe);
  g_mutex_clear (&self->recipe_mutex);
  G_OBJECT_CLASS (switti_image_parent_class)->finalize (object);
}

static void
switti_image_class_init (SwittiImageClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = switti_image_finalize;
}

static void
switti_image_init (SwittiImage *self)
{
  g_mutex_init (&self->recipe_mutex);
}

SwittiImage *
switti_image_new (int width, int height, GBytes *pixels, GBytes *codes, const SwittiImageOrigin *origin)
{
  SwittiImage *self = g_object_new (SWITTI_TYPE_IMAGE, NULL);

  g_assert (width > 0 && height > 0);
  g_assert (g_bytes_get_size (pixels) == (gsize) width * (gsize) height * 3);

  self->width = width;
  self->height = height;
  self->pixels = pixels;
  self->codes = codes;
  self->request = g_object_ref (origin->request);
  g_set_object (&self->bundle, origin->bundle);
  self->image_index = origin->image_index;
  self->preview_scale = origin->preview_scale;
  self->device = g_strdup (origin->device);
  self->precision = g_strdup (origin->precision);
  return self;
}

int
switti_image_get_width (SwittiImage *self)
{
  g_return_val_if_fail (SWITTI_IS_IMAGE (self), 0);

  return self->width;
}

int
switti_image_get_height (SwittiImage *self)
{
  g_return_val_if_fail (SWITTI_IS_IMAGE (self), 0);

  return self->height;
}

GBytes *
switti_image_get_pixels (SwittiImage *self)
{
  g_return_val_if_fail (SWITTI_IS_IMAGE (self), NULL);

  return self->pixels;
}

guint64
switti_image_get_seed (SwittiImage *self)
{
  g_return_val_if_fail (SWITTI_IS_IMAGE (self), 0);

  return switti_request_get_parameters (self->request)->seed + (guint64) self->image_index;
}

GBytes *
switti_image_get_codes (SwittiImage *self)
{
  g_return_val_if_fail (SWITTI_IS_IMAGE (self), NULL);

  return self->codes;
}

const char *
switti_image_get_recipe (SwittiImage *self)
{
  g_return_val_if_fail (SWITTI_IS_IMAGE (self), NULL);

  g_mutex_lock (&self->recipe_mutex);
  if (self->recipe == NULL)
    {
      JsonObject *object
        = switti_recipe_build (switti_request_get_parameters (self->request), self->bundle, self->image_index);

      json_object_set_int_member (object, "width", self->width);
      json_object_set_int_member (object, "height", self->height);
      if (self->device)
        json_object_set_string_member (object, "device", self->device);
      if (self->precision)
        json_object_set_string_member (object, "precision", self->precision);
      if (self->preview_scale >= 0)
        json_object_set_int_member (object, "preview_scale", self->preview_scale);
      self->recipe = switti_recipe_to_string (object);
    }
  g_mutex_unlock (&self->recipe_mutex);
  return self->recipe;
}

gboolean
switti_image_save_png (SwittiImage *self, const char *path, GError **error)
{
  g_autoptr (GBytes) png = NULL;

  g_return_val_if_fail (SWITTI_IS_IMAGE (self), FALSE);
  g_return_val_if_fail (path != NULL, FALSE);

  png = switti_png_encode (self->width, self->height, g_bytes_get_data (self->pixels, NULL),
                           switti_image_get_recipe (self), error);
  return png != NULL && switti_png_save (png, path, error);
}

char *
switti_image_load_recipe (const char *path, GError **error)
{
  g_return_val_if_fail (path != NULL, NULL);

  return switti_png_load_recipe (path, error);
}
