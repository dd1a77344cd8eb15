/* switti-default-spin.c - a spin button whose lowest value means a default and reads as a word
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-default-spin.h"

struct _SwittiDefaultSpin
{
  GtkSpinButton parent_instance;

  char *word;
  double lowest;
  double last_value;
};

G_DEFINE_FINAL_TYPE (SwittiDefaultSpin, switti_default_spin, GTK_TYPE_SPIN_BUTTON)

static int
input (GtkSpinButton *spin, double *value)
{
  SwittiDefaultSpin *self = SWITTI_DEFAULT_SPIN (spin);
  g_autofree char *text = g_strstrip (g_strdup (gtk_entry_get_text (GTK_ENTRY (spin))));
  g_autofree char *typed = g_utf8_casefold (text, -1);
  g_autofree char *word = g_utf8_casefold (self->word, -1);

  char *end;

  if (!*typed || g_str_equal (typed, word))
    {
      *value = self->lowest;
      return TRUE;
    }
  g_strtod (text, &end);
  if (end != text)
    return FALSE; /* a number: GTK reads it */
  *value = gtk_spin_button_get_value (spin); /* GTK would take it for 0 */
  return TRUE;
}

static gboolean
output (GtkSpinButton *spin)
{
  SwittiDefaultSpin *self = SWITTI_DEFAULT_SPIN (spin);

  if (!self->word || gtk_spin_button_get_value (spin) > self->lowest)
    return FALSE; /* a number: GTK writes it */
  if (!g_str_equal (gtk_entry_get_text (GTK_ENTRY (spin)), self->word))
    gtk_entry_set_text (GTK_ENTRY (spin), self->word);
  return TRUE;
}

/* A fractional step would end between the default and the first number. */
static void
value_changed (GtkSpinButton *spin)
{
  SwittiDefaultSpin *self = SWITTI_DEFAULT_SPIN (spin);
  double value = gtk_spin_button_get_value (spin);
  double settled = value;

  if (value > self->lowest && value < self->lowest + 1.0)
    settled = self->last_value > self->lowest ? self->lowest : self->lowest + 1.0;
  self->last_value = settled;
  if (settled != value)
    gtk_spin_button_set_value (spin, settled);
}

/* Columns of a fixed-width font: East Asian characters take two. */
static int
count_columns (const char *text)
{
  int columns = 0;

  for (; *text; text = g_utf8_next_char (text))
    columns += g_unichar_iswide (g_utf8_get_char (text)) ? 2 : 1;
  return columns;
}

static void
finalize (GObject *object)
{
  g_free (SWITTI_DEFAULT_SPIN (object)->word);
  G_OBJECT_CLASS (switti_default_spin_parent_class)->finalize (object);
}

static void
switti_default_spin_class_init (SwittiDefaultSpinClass *klass)
{
  GtkSpinButtonClass *spin_class = GTK_SPIN_BUTTON_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = finalize;
  spin_class->input = input;
  spin_class->output = output;
  spin_class->value_changed = value_changed;
}

static void
switti_default_spin_init (SwittiDefaultSpin *self)
{
}

GtkWidget *
switti_default_spin_new (double lowest, double maximum, double step, int digits, const char *word)
{
  SwittiDefaultSpin *self = g_object_new (SWITTI_TYPE_DEFAULT_SPIN, NULL);
  GtkSpinButton *spin = GTK_SPIN_BUTTON (self);

  self->word = g_strdup (word);
  self->lowest = lowest;
  self->last_value = lowest;
  gtk_spin_button_configure (spin, gtk_adjustment_new (lowest, lowest, maximum, step, 10.0 * step, 0.0), 0.0,
                             (guint) digits);
  gtk_entry_set_width_chars (GTK_ENTRY (self), MAX (count_columns (word), 8));
  gtk_spin_button_update (spin);
  return GTK_WIDGET (self);
}
