/* switti-settings.h - the procedure's arguments: how they are declared, read and turned into a request
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-start.h"

G_BEGIN_DECLS

/* Where the pictures go. */
typedef enum
{
  SWITTI_OUTPUT_AUTO, /* layers of the open image, or a new image where none is open */
  SWITTI_OUTPUT_NEW_IMAGE,
  SWITTI_OUTPUT_NEW_LAYER,
  SWITTI_OUTPUT_LAYER_GROUP,
} SwittiOutput;

/* A numeric argument that has the name of a property of #SwittiRequest; any value below 0 is the model's default. */
typedef struct
{
  const char *name;
  const char *nick;  /* translatable; with a mnemonic */
  const char *blurb; /* translatable */
  gboolean is_integer;
  double maximum;
} SwittiKnob;

enum
{
  SWITTI_KNOB_GUIDANCE,
  SWITTI_KNOB_TOP_K,
  SWITTI_KNOB_TOP_P,
  SWITTI_KNOB_SMOOTH_START,
  SWITTI_KNOB_GUIDANCE_START,
  SWITTI_KNOB_GUIDANCE_END,
  SWITTI_KNOB_LAST_SCALE_TEMPERATURE,
  SWITTI_N_KNOBS,
};

extern const SwittiKnob switti_knobs[SWITTI_N_KNOBS];

/* One call's arguments, copied from the config so that the worker thread never touches a GIMP object. */
typedef struct
{
  char *prompt;
  char *negative_prompt;
  char *model;  /* NULL: the default model */
  char *device;
  guint64 seed; /* drawn already where a random one was asked for */
  int count;
  int batch;
  int smooth;   /* 0 or 1, -1: the model's default */
  double knobs[SWITTI_N_KNOBS];
  SwittiPrecision precision;
  SwittiMemory memory;
  SwittiOutput output;
  SwittiStart start;
  GError *recipe_error; /* why start has no recipe though one was named, or NULL */
} SwittiSettings;

void switti_settings_declare_arguments (GimpProcedure *procedure);

SwittiSettings *switti_settings_new (GimpProcedureConfig *config);
SwittiSettings *switti_settings_ref (SwittiSettings *self); /* from any thread; nobody changes them after new() */
void switti_settings_unref (SwittiSettings *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiSettings, switti_settings_unref)

/* What can be told without opening the model. */
gboolean switti_settings_check (const SwittiSettings *self, gboolean image_is_open, GError **error);

SwittiRequest *switti_settings_to_request (const SwittiSettings *self, SwittiBundle *bundle);

G_END_DECLS
