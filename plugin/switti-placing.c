/* switti-placing.c - puts pictures where the settings say
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-placing.h"

#include "switti-canvas.h"

/* A filling of its own image is laid over a copy of it: by itself it would be a patch of nothing. */
static GPtrArray *
place_over_copy (SwittiCapture *capture, const SwittiPlace *place, GPtrArray *pictures, GimpImage **image,
                 GError **error)
{
  GimpImage *copy = gimp_image_duplicate (*image);
  GPtrArray *layers;

  if (copy == NULL)
    return switti_canvas_fail (error), NULL;
  gimp_image_undo_disable (copy);
  layers = switti_canvas_add_layers (copy, capture, pictures, place, error);
  gimp_image_undo_enable (copy);
  if (layers == NULL)
    gimp_image_delete (copy);
  else
    *image = copy;
  return layers;
}

GPtrArray *
switti_placing_run (const SwittiSettings *settings, SwittiCapture *capture, GPtrArray *pictures, GimpImage **image,
                    gboolean show, GError **error)
{
  const SwittiPlace place = { .name = settings->prompt, .in_group = settings->output == SWITTI_OUTPUT_LAYER_GROUP };
  gboolean into_open = *image != NULL && settings->output != SWITTI_OUTPUT_NEW_IMAGE;
  GPtrArray *layers;

  if (into_open)
    layers = switti_canvas_add_layers (*image, capture, pictures, &place, error);
  else if (switti_capture_get_mode (capture) == SWITTI_MODE_FILL)
    layers = place_over_copy (capture, &place, pictures, image, error);
  else
    layers = switti_canvas_new_image (pictures, &place, image, error);
  if (layers && show && !into_open)
    gimp_display_new (*image);
  if (layers && show)
    gimp_displays_flush ();
  return layers;
}
