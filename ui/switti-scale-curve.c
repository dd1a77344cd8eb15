/* switti-scale-curve.c - what each scale of a picture does, as a curve to pull at
 *
 * Coordinates: a column a scale, between the margins; a handle that chooses a scale stands at its left edge, so that
 * the number of scales, "to the end", has a place too.
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-scale-curve.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#define MARGIN 10.0
#define LANE_HEIGHT 16.0  /* of the line that says where codes are blended */
#define LABEL_HEIGHT 18.0
#define GRIP_RADIUS 5.0
#define REACH 14.0        /* how near to a grip a click must be */
#define MINIMUM_WIDTH 240
#define HEIGHT 128
#define LOWEST_BAR 0.08   /* of the first scale, whose guidance is 0 */

/* Temperatures that the curve can show and set; the numbers beside it go further. */
#define MAX_TEMPERATURE 2.0
#define TEMPERATURE_STEP 0.05

typedef enum
{
  HANDLE_GUIDANCE_START,
  HANDLE_GUIDANCE_END,
  HANDLE_SMOOTH_START,
  HANDLE_TEMPERATURE,
  N_HANDLES,
} Handle;

struct _SwittiScaleCurve
{
  GtkDrawingArea parent_instance;

  SwittiScaleDefaults defaults;
  int smooth;
  int scales[HANDLE_TEMPERATURE]; /* -1: the model's default */
  double temperature;             /* likewise */
  Handle selected;
  gboolean dragging;
  char *words;
};

enum
{
  PROP_GUIDANCE_START = 1, /* in the order of Handle */
  PROP_GUIDANCE_END,
  PROP_SMOOTH_START,
  PROP_TEMPERATURE,
  PROP_WORDS,
  N_PROPS,
};

static GParamSpec *props[N_PROPS];

G_DEFINE_FINAL_TYPE (SwittiScaleCurve, switti_scale_curve, GTK_TYPE_DRAWING_AREA)

/* -- values -------------------------------------------------------------------------------------------------- */

static int
default_scale (SwittiScaleCurve *self, Handle handle)
{
  switch (handle)
    {
    case HANDLE_GUIDANCE_START:
      return self->defaults.guidance_start;
    case HANDLE_GUIDANCE_END:
      return self->defaults.guidance_end;
    case HANDLE_SMOOTH_START:
    case HANDLE_TEMPERATURE:
    case N_HANDLES:
    default:
      return self->defaults.smooth_start;
    }
}

/* The scale that a handle stands for, 0 to S. */
static int
scale_of (SwittiScaleCurve *self, Handle handle)
{
  int scale = self->scales[handle] < 0 ? default_scale (self, handle) : self->scales[handle];

  return CLAMP (scale, 0, self->defaults.n_scales);
}

static double
temperature_of (SwittiScaleCurve *self)
{
  return self->temperature < 0.0 ? self->defaults.last_scale_temperature : self->temperature;
}

static gboolean
blends (SwittiScaleCurve *self)
{
  return self->smooth < 0 ? self->defaults.smooth : self->smooth > 0;
}

static gboolean
is_guided (SwittiScaleCurve *self, int scale)
{
  return scale >= scale_of (self, HANDLE_GUIDANCE_START) && scale < scale_of (self, HANDLE_GUIDANCE_END);
}

/* A handle that has nothing to say at the moment cannot be chosen. */
static gboolean
is_active (SwittiScaleCurve *self, Handle handle)
{
  if (handle == HANDLE_SMOOTH_START)
    return blends (self);
  if (handle == HANDLE_TEMPERATURE)
    return scale_of (self, HANDLE_GUIDANCE_END) < self->defaults.n_scales;
  return TRUE;
}

static char *
guidance_words (SwittiScaleCurve *self)
{
  int start = scale_of (self, HANDLE_GUIDANCE_START), end = scale_of (self, HANDLE_GUIDANCE_END);

  if (start >= end)
    return g_strdup (_ ("No scale is guided: the prompt is followed loosely."));
  if (end - start == 1)
    return g_strdup_printf (_ ("Scale %d of %d follows the prompt closely."), start + 1, self->defaults.n_scales);
  return g_strdup_printf (_ ("Scales %d to %d of %d follow the prompt closely."), start + 1, end,
                          self->defaults.n_scales);
}

static char *
smooth_words (SwittiScaleCurve *self)
{
  if (!blends (self) || scale_of (self, HANDLE_SMOOTH_START) >= scale_of (self, HANDLE_GUIDANCE_END))
    return g_strdup (_ ("Codes are drawn one by one: lively, a little rough."));
  return g_strdup_printf (_ ("From scale %d codes are blended: calmer."), scale_of (self, HANDLE_SMOOTH_START) + 1);
}

static char *
temperature_words (SwittiScaleCurve *self)
{
  double temperature = temperature_of (self);
  const char *manner;

  if (!is_active (self, HANDLE_TEMPERATURE))
    return g_strdup ("");
  if (temperature <= 0.0)
    return g_strdup (_ ("The finest scales are as varied as the model makes them."));
  manner = temperature < 0.4 ? _ ("clean") : temperature < 0.9 ? _ ("balanced") : _ ("varied");
  /* Translators: the temperature as a number, and that in a word: clean, balanced or varied. */
  return g_strdup_printf (_ ("The finest scales have temperature %.2f: %s."), temperature, manner);
}

/* What a screen reader is told, the handle that the keyboard moves included. */
static void
describe (SwittiScaleCurve *self)
{
  static const char *const names[N_HANDLES] = {
    [HANDLE_GUIDANCE_START] = N_ ("start of guidance"),
    [HANDLE_GUIDANCE_END] = N_ ("end of guidance"),
    [HANDLE_SMOOTH_START] = N_ ("start of blending"),
    [HANDLE_TEMPERATURE] = N_ ("temperature of the finest scales"),
  };
  g_autofree char *description = g_strdup_printf (_ ("%s Selected: %s."), self->words, _ (names[self->selected]));

  atk_object_set_description (gtk_widget_get_accessible (GTK_WIDGET (self)), description);
}

static void
update (SwittiScaleCurve *self)
{
  g_autofree char *guidance = guidance_words (self);
  g_autofree char *smooth = smooth_words (self);
  g_autofree char *temperature = temperature_words (self);
  char *words = g_strstrip (g_strdup_printf ("%s %s %s", guidance, smooth, temperature));

  if (!is_active (self, self->selected))
    self->selected = HANDLE_GUIDANCE_START;
  gtk_widget_queue_draw (GTK_WIDGET (self));
  if (g_strcmp0 (words, self->words) == 0)
    {
      g_free (words);
      describe (self);
      return;
    }
  g_free (self->words);
  self->words = words;
  describe (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_WORDS]);
}

static void
set_scale (SwittiScaleCurve *self, Handle handle, int scale)
{
  if (self->scales[handle] == scale)
    return;
  self->scales[handle] = scale;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_GUIDANCE_START + (int) handle]);
  update (self);
}

static void
set_temperature (SwittiScaleCurve *self, double temperature)
{
  if (self->temperature == temperature)
    return;
  self->temperature = temperature;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_TEMPERATURE]);
  update (self);
}

/* By hand: guidance ends no earlier than it starts. */
static void
move_scale (SwittiScaleCurve *self, Handle handle, int scale)
{
  int low = handle == HANDLE_GUIDANCE_END ? scale_of (self, HANDLE_GUIDANCE_START) : 0;
  int high = handle == HANDLE_GUIDANCE_START ? scale_of (self, HANDLE_GUIDANCE_END) : self->defaults.n_scales;

  scale = CLAMP (scale, low, high);
  if (scale != scale_of (self, handle))
    set_scale (self, handle, scale);
}

static void
move_temperature (SwittiScaleCurve *self, double temperature)
{
  temperature = round (CLAMP (temperature, 0.0, MAX_TEMPERATURE) / TEMPERATURE_STEP) * TEMPERATURE_STEP;
  if (fabs (temperature - temperature_of (self)) > TEMPERATURE_STEP / 2)
    set_temperature (self, temperature);
}

/* -- geometry ------------------------------------------------------------------------------------------------ */

static double
column_width (SwittiScaleCurve *self)
{
  return (gtk_widget_get_allocated_width (GTK_WIDGET (self)) - 2 * MARGIN) / MAX (self->defaults.n_scales, 1);
}

/* The bars stand on this. */
static double
base_line (SwittiScaleCurve *self)
{
  return gtk_widget_get_allocated_height (GTK_WIDGET (self)) - LABEL_HEIGHT - LANE_HEIGHT;
}

static double
bar_height (SwittiScaleCurve *self, double share)
{
  return (LOWEST_BAR + (1.0 - LOWEST_BAR) * share) * (base_line (self) - MARGIN - GRIP_RADIUS);
}

static double
temperature_y (SwittiScaleCurve *self)
{
  return base_line (self) - bar_height (self, MIN (temperature_of (self), MAX_TEMPERATURE) / MAX_TEMPERATURE);
}

static void
grip_at (SwittiScaleCurve *self, Handle handle, double *x, double *y)
{
  double width = column_width (self);

  if (handle == HANDLE_TEMPERATURE)
    {
      *x = MARGIN + (scale_of (self, HANDLE_GUIDANCE_END) + self->defaults.n_scales) / 2.0 * width;
      *y = temperature_y (self);
      return;
    }
  *x = MARGIN + scale_of (self, handle) * width;
  *y = handle == HANDLE_SMOOTH_START ? base_line (self) + LANE_HEIGHT / 2 : MARGIN;
}

/* The nearest grip within reach, or N_HANDLES. Of two at one place the later one is to be had, so that a start that
 * was pushed to the end can be pulled away again by the end. */
static Handle
find_grip (SwittiScaleCurve *self, double x, double y)
{
  Handle found = N_HANDLES;
  double nearest = REACH;

  for (Handle handle = 0; handle < N_HANDLES; handle++)
    {
      double grip_x, grip_y, distance;

      if (!is_active (self, handle))
        continue;
      grip_at (self, handle, &grip_x, &grip_y);
      distance = hypot (x - grip_x, y - grip_y);
      if (distance <= nearest)
        {
          found = handle;
          nearest = distance;
        }
    }
  return found;
}

/* -- drawing ------------------------------------------------------------------------------------------------- */

static void
lookup_color (GtkWidget *widget, const char *name, const char *otherwise, GdkRGBA *color)
{
  if (!gtk_style_context_lookup_color (gtk_widget_get_style_context (widget), name, color))
    gdk_rgba_parse (color, otherwise);
}

static void
set_text_color (SwittiScaleCurve *self, cairo_t *cr, double opacity)
{
  GtkStyleContext *style = gtk_widget_get_style_context (GTK_WIDGET (self));
  GdkRGBA color;

  gtk_style_context_get_color (style, gtk_style_context_get_state (style), &color);
  cairo_set_source_rgba (cr, color.red, color.green, color.blue, color.alpha * opacity);
}

static void
draw_bars (SwittiScaleCurve *self, cairo_t *cr, const GdkRGBA *accent)
{
  double width = column_width (self), base = base_line (self);
  int n_scales = self->defaults.n_scales;

  for (int s = 0; s < n_scales; s++)
    {
      double height = bar_height (self, n_scales > 1 ? (double) s / (n_scales - 1) : 0.0);

      cairo_rectangle (cr, MARGIN + s * width + 2.5, base - height, MAX (width - 5.0, 1.0), height);
      if (is_guided (self, s))
        {
          gdk_cairo_set_source_rgba (cr, accent);
          cairo_fill (cr);
          continue;
        }
      set_text_color (self, cr, 0.35);
      cairo_set_line_width (cr, 1.0);
      cairo_stroke (cr);
    }
  set_text_color (self, cr, 0.5);
  cairo_move_to (cr, MARGIN, base + 0.5);
  cairo_line_to (cr, MARGIN + n_scales * width, base + 0.5);
  cairo_set_line_width (cr, 1.0);
  cairo_stroke (cr);
}

static void
draw_edges (SwittiScaleCurve *self, cairo_t *cr)
{
  set_text_color (self, cr, 0.6);
  cairo_set_line_width (cr, 1.0);
  for (Handle handle = HANDLE_GUIDANCE_START; handle <= HANDLE_GUIDANCE_END; handle++)
    {
      double x, y;

      grip_at (self, handle, &x, &y);
      cairo_move_to (cr, round (x) + 0.5, y);
      cairo_line_to (cr, round (x) + 0.5, base_line (self));
      cairo_stroke (cr);
    }
}

static void
draw_lane (SwittiScaleCurve *self, cairo_t *cr)
{
  double width = column_width (self), y = base_line (self) + LANE_HEIGHT / 2;
  int start = scale_of (self, HANDLE_SMOOTH_START), end = scale_of (self, HANDLE_GUIDANCE_END);

  if (!blends (self) || start >= end)
    return;
  set_text_color (self, cr, 0.7);
  cairo_set_line_width (cr, 3.0);
  cairo_move_to (cr, MARGIN + start * width, y);
  cairo_line_to (cr, MARGIN + end * width, y);
  cairo_stroke (cr);
}

static void
draw_temperature (SwittiScaleCurve *self, cairo_t *cr)
{
  static const double dash[] = { 4.0, 3.0 };
  double width = column_width (self), y = round (temperature_y (self)) + 0.5;

  if (!is_active (self, HANDLE_TEMPERATURE))
    return;
  set_text_color (self, cr, 0.8);
  cairo_set_line_width (cr, 1.5);
  cairo_set_dash (cr, dash, G_N_ELEMENTS (dash), 0);
  cairo_move_to (cr, MARGIN + scale_of (self, HANDLE_GUIDANCE_END) * width, y);
  cairo_line_to (cr, MARGIN + self->defaults.n_scales * width, y);
  cairo_stroke (cr);
  cairo_set_dash (cr, NULL, 0, 0);
}

static void
draw_grips (SwittiScaleCurve *self, cairo_t *cr, const GdkRGBA *accent)
{
  GdkRGBA base;

  lookup_color (GTK_WIDGET (self), "theme_base_color", "white", &base);
  for (Handle handle = 0; handle < N_HANDLES; handle++)
    {
      gboolean selected = handle == self->selected && gtk_widget_has_focus (GTK_WIDGET (self));
      double x, y;

      if (!is_active (self, handle))
        continue;
      grip_at (self, handle, &x, &y);
      cairo_arc (cr, x, y, GRIP_RADIUS, 0, 2 * G_PI);
      gdk_cairo_set_source_rgba (cr, selected ? accent : &base);
      cairo_fill_preserve (cr);
      set_text_color (self, cr, 0.9);
      cairo_set_line_width (cr, selected ? 2.0 : 1.0);
      cairo_stroke (cr);
    }
}

static void
draw_labels (SwittiScaleCurve *self, cairo_t *cr)
{
  GtkWidget *widget = GTK_WIDGET (self);
  GtkStyleContext *style = gtk_widget_get_style_context (widget);
  /* Translators: what the first scales of a picture decide, and what the last ones do; the ends of an axis. */
  g_autoptr (PangoLayout) left = gtk_widget_create_pango_layout (widget, _ ("composition"));
  g_autoptr (PangoLayout) right = gtk_widget_create_pango_layout (widget, _ ("detail"));
  double y = base_line (self) + LANE_HEIGHT;
  int width;

  pango_layout_get_pixel_size (right, &width, NULL);
  gtk_style_context_save (style);
  gtk_style_context_add_class (style, GTK_STYLE_CLASS_DIM_LABEL);
  gtk_render_layout (style, cr, MARGIN, y, left);
  gtk_render_layout (style, cr, gtk_widget_get_allocated_width (widget) - MARGIN - width, y, right);
  gtk_style_context_restore (style);
}

static gboolean
draw (GtkWidget *widget, cairo_t *cr)
{
  SwittiScaleCurve *self = SWITTI_SCALE_CURVE (widget);
  GdkRGBA accent;

  lookup_color (widget, "theme_selected_bg_color", "#3584e4", &accent);
  draw_bars (self, cr, &accent);
  draw_lane (self, cr);
  draw_edges (self, cr);
  draw_temperature (self, cr);
  draw_grips (self, cr, &accent);
  draw_labels (self, cr);
  if (gtk_widget_has_visible_focus (widget))
    gtk_render_focus (gtk_widget_get_style_context (widget), cr, 0, 0, gtk_widget_get_allocated_width (widget),
                      gtk_widget_get_allocated_height (widget));
  return FALSE;
}

/* -- mouse and keyboard -------------------------------------------------------------------------------------- */

static void
move_to (SwittiScaleCurve *self, double x, double y)
{
  double share;

  if (self->selected != HANDLE_TEMPERATURE)
    {
      move_scale (self, self->selected, (int) round ((x - MARGIN) / column_width (self)));
      return;
    }
  share = (base_line (self) - y) / (base_line (self) - MARGIN - GRIP_RADIUS);
  move_temperature (self, (share - LOWEST_BAR) / (1.0 - LOWEST_BAR) * MAX_TEMPERATURE);
}

static gboolean
button_press (GtkWidget *widget, GdkEventButton *event)
{
  SwittiScaleCurve *self = SWITTI_SCALE_CURVE (widget);
  Handle handle = find_grip (self, event->x, event->y);

  if (event->type != GDK_BUTTON_PRESS || event->button != GDK_BUTTON_PRIMARY)
    return GDK_EVENT_PROPAGATE;
  gtk_widget_grab_focus (widget);
  if (handle == N_HANDLES)
    return GDK_EVENT_STOP;
  self->selected = handle;
  self->dragging = TRUE;
  update (self);
  return GDK_EVENT_STOP;
}

static gboolean
button_release (GtkWidget *widget, GdkEventButton *event)
{
  SWITTI_SCALE_CURVE (widget)->dragging = FALSE;
  return GDK_EVENT_STOP;
}

static gboolean
motion (GtkWidget *widget, GdkEventMotion *event)
{
  SwittiScaleCurve *self = SWITTI_SCALE_CURVE (widget);

  if (!self->dragging)
    return GDK_EVENT_PROPAGATE;
  move_to (self, event->x, event->y);
  return GDK_EVENT_STOP;
}

/* The next one, or the one before, that has something to say. */
static void
select_handle (SwittiScaleCurve *self, int step)
{
  int handle = (int) self->selected;

  do
    handle = (handle + step + N_HANDLES) % N_HANDLES;
  while (!is_active (self, (Handle) handle));
  self->selected = (Handle) handle;
  update (self);
}

static void
step_handle (SwittiScaleCurve *self, int step)
{
  if (self->selected == HANDLE_TEMPERATURE)
    move_temperature (self, temperature_of (self) + step * TEMPERATURE_STEP);
  else
    move_scale (self, self->selected, scale_of (self, self->selected) + step);
}

static gboolean
key_press (GtkWidget *widget, GdkEventKey *event)
{
  SwittiScaleCurve *self = SWITTI_SCALE_CURVE (widget);

  switch (event->keyval)
    {
    case GDK_KEY_Up:
    case GDK_KEY_KP_Up:
      select_handle (self, -1);
      return GDK_EVENT_STOP;
    case GDK_KEY_Down:
    case GDK_KEY_KP_Down:
      select_handle (self, 1);
      return GDK_EVENT_STOP;
    case GDK_KEY_Left:
    case GDK_KEY_KP_Left:
      step_handle (self, -1);
      return GDK_EVENT_STOP;
    case GDK_KEY_Right:
    case GDK_KEY_KP_Right:
      step_handle (self, 1);
      return GDK_EVENT_STOP;
    case GDK_KEY_Delete:
    case GDK_KEY_BackSpace:
      if (self->selected == HANDLE_TEMPERATURE)
        set_temperature (self, -1.0);
      else
        set_scale (self, self->selected, -1);
      return GDK_EVENT_STOP;
    default:
      return GTK_WIDGET_CLASS (switti_scale_curve_parent_class)->key_press_event (widget, event);
    }
}

static gboolean
focus_changed (GtkWidget *widget, GdkEventFocus *event)
{
  gtk_widget_queue_draw (widget);
  return GDK_EVENT_PROPAGATE;
}

/* -- the widget ---------------------------------------------------------------------------------------------- */

void
switti_scale_curve_set_defaults (SwittiScaleCurve *self, const SwittiScaleDefaults *defaults)
{
  g_return_if_fail (SWITTI_IS_SCALE_CURVE (self));

  self->defaults = *defaults;
  update (self);
}

void
switti_scale_curve_set_smooth (SwittiScaleCurve *self, int smooth)
{
  g_return_if_fail (SWITTI_IS_SCALE_CURVE (self));

  self->smooth = smooth;
  update (self);
}

void
switti_scale_curve_reset (SwittiScaleCurve *self)
{
  g_return_if_fail (SWITTI_IS_SCALE_CURVE (self));

  for (Handle handle = 0; handle < HANDLE_TEMPERATURE; handle++)
    set_scale (self, handle, -1);
  set_temperature (self, -1.0);
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  SwittiScaleCurve *self = SWITTI_SCALE_CURVE (object);

  switch (id)
    {
    case PROP_GUIDANCE_START:
    case PROP_GUIDANCE_END:
    case PROP_SMOOTH_START:
      g_value_set_int (value, self->scales[id - PROP_GUIDANCE_START]);
      break;
    case PROP_TEMPERATURE:
      g_value_set_double (value, self->temperature);
      break;
    case PROP_WORDS:
      g_value_set_string (value, self->words);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  SwittiScaleCurve *self = SWITTI_SCALE_CURVE (object);

  switch (id)
    {
    case PROP_GUIDANCE_START:
    case PROP_GUIDANCE_END:
    case PROP_SMOOTH_START:
      set_scale (self, (Handle) (id - PROP_GUIDANCE_START), g_value_get_int (value));
      break;
    case PROP_TEMPERATURE:
      set_temperature (self, g_value_get_double (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
finalize (GObject *object)
{
  g_free (SWITTI_SCALE_CURVE (object)->words);
  G_OBJECT_CLASS (switti_scale_curve_parent_class)->finalize (object);
}

static void
switti_scale_curve_class_init (SwittiScaleCurveClass *klass)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  object_class->get_property = get_property;
  object_class->set_property = set_property;
  object_class->finalize = finalize;
  widget_class->draw = draw;
  widget_class->button_press_event = button_press;
  widget_class->button_release_event = button_release;
  widget_class->motion_notify_event = motion;
  widget_class->key_press_event = key_press;
  widget_class->focus_in_event = focus_changed;
  widget_class->focus_out_event = focus_changed;
  gtk_widget_class_set_accessible_role (widget_class, ATK_ROLE_CANVAS);
  props[PROP_GUIDANCE_START] = g_param_spec_int ("guidance-start", NULL, NULL, -1, G_MAXINT, -1, flags);
  props[PROP_GUIDANCE_END] = g_param_spec_int ("guidance-end", NULL, NULL, -1, G_MAXINT, -1, flags);
  props[PROP_SMOOTH_START] = g_param_spec_int ("smooth-start", NULL, NULL, -1, G_MAXINT, -1, flags);
  props[PROP_TEMPERATURE] = g_param_spec_double ("last-scale-temperature", NULL, NULL, -1, G_MAXDOUBLE, -1, flags);
  props[PROP_WORDS] = g_param_spec_string ("words", NULL, NULL, "", G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
switti_scale_curve_init (SwittiScaleCurve *self)
{
  self->defaults = (SwittiScaleDefaults) { 1, TRUE, 0, 0, 1, 0.0 };
  self->smooth = -1;
  self->temperature = -1.0;
  for (Handle handle = 0; handle < HANDLE_TEMPERATURE; handle++)
    self->scales[handle] = -1;
  gtk_widget_set_can_focus (GTK_WIDGET (self), TRUE);
  gtk_widget_add_events (GTK_WIDGET (self), GDK_BUTTON_PRESS_MASK | GDK_BUTTON_RELEASE_MASK
                                                | GDK_BUTTON1_MOTION_MASK | GDK_KEY_PRESS_MASK);
  gtk_widget_set_size_request (GTK_WIDGET (self), MINIMUM_WIDTH, HEIGHT);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self),
                               _ ("What each scale does, from the composition to the detail. Drag the handles, or "
                                  "choose one with Up and Down and move it with Left and Right; Delete sets the "
                                  "model's default."));
  atk_object_set_name (gtk_widget_get_accessible (GTK_WIDGET (self)), _ ("Sampling over the scales"));
  update (self);
}

GtkWidget *
switti_scale_curve_new (void)
{
  return g_object_new (SWITTI_TYPE_SCALE_CURVE, NULL);
}
