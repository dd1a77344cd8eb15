/* switti-start.h - the arguments that say what a painting starts from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti.h"

#include <libgimp/gimp.h>

G_BEGIN_DECLS

typedef enum
{
  SWITTI_MODE_NEW,       /* nothing: the pictures are new */
  SWITTI_MODE_FILL,      /* what is visible around the selection, which is filled */
  SWITTI_MODE_VARIATION, /* a layer, of which the coarse scales are kept */
} SwittiMode;

/* How much of what is there shows in what is painted, from most to least. */
typedef enum
{
  SWITTI_STRENGTH_DEFAULT, /* composition in a variation, anew in a filling */
  SWITTI_STRENGTH_DETAIL,
  SWITTI_STRENGTH_COMPOSITION,
  SWITTI_STRENGTH_LAYOUT,
  SWITTI_STRENGTH_IDEA,
  SWITTI_STRENGTH_ANEW,
} SwittiStrength;

/* Part of SwittiSettings. */
typedef struct
{
  SwittiMode mode;
  SwittiStrength strength;
  int keep_scales; /* -1: as strength says */
  int grow;        /* pixels of the image; below 0: shrink */
  double feather;  /* pixels of the image, inwards */
  double context;  /* percent of the selection's longer side, on each side */
  char *recipe;    /* what the settings start from; NULL: the model's defaults */
  char *recipe_file; /* where it was read, or NULL where it is of a layer */
} SwittiStart;

void switti_start_declare_arguments (GimpProcedure *procedure);

/* FALSE with @error set where the recipe that the arguments name cannot be read; @self is filled in even so, without
 * one. */
gboolean switti_start_init (SwittiStart *self, GimpProcedureConfig *config, GError **error);
void switti_start_clear (SwittiStart *self);

/* How many of a model's scales a strength keeps. */
int switti_strength_keep_scales (SwittiStrength strength, SwittiMode mode, int n_scales);

/* The scales to keep by keep-scales or by strength; 0 where nothing is started from. */
int switti_start_keep_scales (const SwittiStart *self, int n_scales);

G_END_DECLS
