/* switti-picture-view.c - shows a picture as large as there is room
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-picture-view.h"

#define PLACEHOLDER_MARGIN 12

struct _SwittiPictureView
{
  GtkDrawingArea parent_instance;

  char *placeholder;
  GdkPixbuf *picture;
  GdkPixbuf *before;
  gboolean show_before;
};

enum
{
  PROP_SHOW_BEFORE = 1,
  N_PROPS,
};

static GParamSpec *props[N_PROPS];

G_DEFINE_FINAL_TYPE (SwittiPictureView, switti_picture_view, GTK_TYPE_DRAWING_AREA)

static void
draw_placeholder (SwittiPictureView *self, cairo_t *cr, int width, int height)
{
  GtkWidget *widget = GTK_WIDGET (self);
  GtkStyleContext *style = gtk_widget_get_style_context (widget);
  g_autoptr (PangoLayout) layout = NULL;
  int text_height;

  if (!self->placeholder)
    return;
  layout = gtk_widget_create_pango_layout (widget, self->placeholder);
  pango_layout_set_width (layout, MAX (width - 2 * PLACEHOLDER_MARGIN, 1) * PANGO_SCALE);
  pango_layout_set_alignment (layout, PANGO_ALIGN_CENTER);
  pango_layout_set_wrap (layout, PANGO_WRAP_WORD_CHAR);
  pango_layout_get_pixel_size (layout, NULL, &text_height);
  gtk_style_context_save (style);
  gtk_style_context_add_class (style, GTK_STYLE_CLASS_DIM_LABEL);
  gtk_render_layout (style, cr, PLACEHOLDER_MARGIN, (height - text_height) / 2, layout);
  gtk_style_context_restore (style);
}

/* A frame in the theme's text colour, so that it is seen on light and on dark. */
static void
draw_frame (SwittiPictureView *self, cairo_t *cr, double x, double y, double width, double height)
{
  GtkStyleContext *style = gtk_widget_get_style_context (GTK_WIDGET (self));
  GdkRGBA color;

  gtk_style_context_get_color (style, gtk_style_context_get_state (style), &color);
  cairo_set_source_rgba (cr, color.red, color.green, color.blue, 0.3);
  cairo_set_line_width (cr, 1.0);
  cairo_rectangle (cr, x + 0.5, y + 0.5, width - 1.0, height - 1.0);
  cairo_stroke (cr);
}

static void
draw_pixbuf (SwittiPictureView *self, cairo_t *cr, GdkPixbuf *pixbuf, int width, int height)
{
  double own_width = gdk_pixbuf_get_width (pixbuf), own_height = gdk_pixbuf_get_height (pixbuf);
  double factor = MIN (width / own_width, height / own_height);
  double x = (int) ((width - own_width * factor) / 2), y = (int) ((height - own_height * factor) / 2);

  cairo_save (cr);
  cairo_translate (cr, x, y);
  cairo_scale (cr, factor, factor);
  gdk_cairo_set_source_pixbuf (cr, pixbuf, 0, 0);
  cairo_pattern_set_filter (cairo_get_source (cr), CAIRO_FILTER_GOOD);
  cairo_pattern_set_extend (cairo_get_source (cr), CAIRO_EXTEND_PAD);
  cairo_rectangle (cr, 0, 0, own_width, own_height);
  cairo_fill (cr);
  cairo_restore (cr);
  draw_frame (self, cr, x, y, own_width * factor, own_height * factor);
}

static gboolean
draw (GtkWidget *widget, cairo_t *cr)
{
  SwittiPictureView *self = SWITTI_PICTURE_VIEW (widget);
  GdkPixbuf *pixbuf = self->show_before && self->before ? self->before : self->picture;
  int width = gtk_widget_get_allocated_width (widget);
  int height = gtk_widget_get_allocated_height (widget);

  if (pixbuf)
    {
      draw_pixbuf (self, cr, pixbuf, width, height);
      return FALSE;
    }
  /* As most pictures are, where there is nothing to write. */
  if (self->placeholder)
    draw_frame (self, cr, 0, 0, width, height);
  else
    draw_frame (self, cr, (width - MIN (width, height)) / 2, (height - MIN (width, height)) / 2, MIN (width, height),
                MIN (width, height));
  draw_placeholder (self, cr, width, height);
  return FALSE;
}

GdkPixbuf *
switti_picture_view_pixbuf (SwittiImage *picture)
{
  int width = switti_image_get_width (picture);

  return gdk_pixbuf_new_from_bytes (switti_image_get_pixels (picture), GDK_COLORSPACE_RGB, FALSE, 8, width,
                                    switti_image_get_height (picture), 3 * width);
}

void
switti_picture_view_set_picture (SwittiPictureView *self, GdkPixbuf *picture, const char *description)
{
  g_return_if_fail (SWITTI_IS_PICTURE_VIEW (self));

  g_set_object (&self->picture, picture);
  atk_object_set_description (gtk_widget_get_accessible (GTK_WIDGET (self)), description ? description : "");
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

void
switti_picture_view_set_before (SwittiPictureView *self, GdkPixbuf *before)
{
  g_return_if_fail (SWITTI_IS_PICTURE_VIEW (self));

  if (g_set_object (&self->before, before))
    gtk_widget_queue_draw (GTK_WIDGET (self));
}

gboolean
switti_picture_view_has_before (SwittiPictureView *self)
{
  g_return_val_if_fail (SWITTI_IS_PICTURE_VIEW (self), FALSE);

  return self->before != NULL;
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_SHOW_BEFORE)
    g_value_set_boolean (value, SWITTI_PICTURE_VIEW (object)->show_before);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  SwittiPictureView *self = SWITTI_PICTURE_VIEW (object);

  if (id != PROP_SHOW_BEFORE)
    {
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      return;
    }
  if (self->show_before == g_value_get_boolean (value))
    return;
  self->show_before = g_value_get_boolean (value);
  gtk_widget_queue_draw (GTK_WIDGET (self));
  g_object_notify_by_pspec (object, pspec);
}

static void
finalize (GObject *object)
{
  SwittiPictureView *self = SWITTI_PICTURE_VIEW (object);

  g_free (self->placeholder);
  g_clear_object (&self->picture);
  g_clear_object (&self->before);
  G_OBJECT_CLASS (switti_picture_view_parent_class)->finalize (object);
}

static void
switti_picture_view_class_init (SwittiPictureViewClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  object_class->get_property = get_property;
  object_class->set_property = set_property;
  object_class->finalize = finalize;
  widget_class->draw = draw;
  gtk_widget_class_set_accessible_role (widget_class, ATK_ROLE_IMAGE);
  props[PROP_SHOW_BEFORE] = g_param_spec_boolean ("show-before", NULL, NULL, FALSE,
                                                  G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
switti_picture_view_init (SwittiPictureView *self)
{
}

GtkWidget *
switti_picture_view_new (const char *name, const char *placeholder)
{
  SwittiPictureView *self = g_object_new (SWITTI_TYPE_PICTURE_VIEW, NULL);

  self->placeholder = g_strdup (placeholder);
  atk_object_set_name (gtk_widget_get_accessible (GTK_WIDGET (self)), name);
  return GTK_WIDGET (self);
}
