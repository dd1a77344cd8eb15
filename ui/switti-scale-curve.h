/* switti-scale-curve.h - what each scale of a picture does, as a curve to pull at
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define SWITTI_TYPE_SCALE_CURVE (switti_scale_curve_get_type ())
G_DECLARE_FINAL_TYPE (SwittiScaleCurve, switti_scale_curve, SWITTI, SCALE_CURVE, GtkDrawingArea)

/* Scales from left, the composition, to right, the detail. The height of a bar is the guidance of its scale; a filled
 * bar is guided. The line below says where codes are blended, the dashed one on the right the temperature of the scales
 * after guidance.
 *
 * Properties: smooth-start, guidance-start, guidance-end (int, -1: the model's default), last-scale-temperature
 * (double, -1: likewise), and words (string, read only): the curve in a sentence.
 *
 * A handle is dragged; by keyboard, Up and Down choose one, Left and Right move it, Delete sets the default. */
GtkWidget *switti_scale_curve_new (void);

/* What the model has in place of -1; @smooth: whether it blends codes at all. */
typedef struct
{
  int n_scales;
  gboolean smooth;
  int smooth_start, guidance_start, guidance_end;
  double last_scale_temperature;
} SwittiScaleDefaults;

void switti_scale_curve_set_defaults (SwittiScaleCurve *self, const SwittiScaleDefaults *defaults);

/* Whether codes are blended: 1, 0, or -1, the model's default. */
void switti_scale_curve_set_smooth (SwittiScaleCurve *self, int smooth);

/* All four are the model's defaults again. */
void switti_scale_curve_reset (SwittiScaleCurve *self);

G_END_DECLS
