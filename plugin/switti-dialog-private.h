/* switti-dialog-private.h - what the parts of the dialog share
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-capture.h"
#include "switti-model-chooser.h"
#include "switti-preferences.h"
#include "switti-presets.h"
#include "switti-prompt-history.h"
#include "switti-scale-curve.h"
#include "switti-seed-row.h"
#include "switti-settings.h"
#include "switti-studio.h"

#include <libgimp/gimpui.h>

G_BEGIN_DECLS

#define SWITTI_DIALOG_SPACING 6

typedef struct
{
  GimpProcedure *procedure;
  GimpProcedureConfig *config;
  GimpImage *image; /* the open image when the dialog was opened, or NULL */

  SwittiPreferences *preferences;
  SwittiPromptHistory *history;
  SwittiPresets *presets;
  SwittiSession *session;

  GtkDialog *dialog;
  GtkSizeGroup *labels;   /* those of one column are of one width */
  GtkStack *stack;        /* "paint", "setup" */
  GtkWidget *welcome;     /* above the set-up, the first time */
  GtkWidget *prompt;      /* takes the focus */
  SwittiModelChooser *models;
  SwittiSeedRow *seed;
  SwittiScaleCurve *curve;
  GtkToggleButton *sketch;
  SwittiStudio *studio;
  GtkWidget *stop, *finish, *insert;

  SwittiSettings *painted; /* what the pictures of the strip were painted by; NULL: none yet */
  SwittiCapture *capture;  /* what they start from */
  GPtrArray *layers;       /* inserted last; NULL: none yet */
  GimpImage *into;         /* the image that they are in */
} SwittiDialog;

/* The left column: everything that is to be set. Fills in the widgets of @self that are in it. */
GtkWidget *switti_dialog_new_controls (SwittiDialog *self);

/* What a painting starts from: the mode, and what belongs to it. */
GtkWidget *switti_dialog_new_start (SwittiDialog *self);

/* Take the settings of the selected layer, or of a picture's file that the user chooses. */
void switti_dialog_load_layer (SwittiDialog *self);
void switti_dialog_load_file (SwittiDialog *self);

/* Paints with what is set. */
void switti_dialog_generate (SwittiDialog *self);

/* Below the last row of a grid: a label, and @widget, whose part @focus takes the focus. */
void switti_dialog_attach (GtkGrid *grid, SwittiDialog *self, const char *property, GtkWidget *widget,
                           GtkWidget *focus);

/* A number whose lowest value, the argument's default, reads as @word. */
GtkWidget *switti_dialog_new_default_spin (GimpProcedureConfig *config, const char *property, double maximum,
                                           double step, const char *word);

/* The page of models and preferences. */
GtkWidget *switti_dialog_new_setup (SwittiDialog *self);

/* The button of the menu with what is done seldom. */
GtkWidget *switti_dialog_new_menu_button (SwittiDialog *self);

/* A label that @focus, in or as @widget, is known by: to the eye, to its mnemonic and to a screen reader. Its text and
 * the tooltip of @widget are those of the argument. */
GtkWidget *switti_dialog_new_label (GimpProcedureConfig *config, const char *property, GtkWidget *widget,
                                    GtkWidget *focus);

G_END_DECLS
