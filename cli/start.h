/* start.h - pictures that `switti generate` starts from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-frame-private.h"

G_BEGIN_DECLS

typedef struct
{
  char *init;   /* a PNG, or NULL */
  char *source; /* a PNG of ours or a recipe, or NULL */
  char *mask;   /* a PNG, or NULL */
  int grow;
  double feather, context;

  /* Of init: */
  int width, height;
  GBytes *rgba;
  SwittiRectangle square;
  SwittiFrame *frame;
} CliStart;

void cli_start_init (CliStart *self);
void cli_start_clear (CliStart *self);

gboolean cli_start_is_set (const CliStart *self);

/* What no single option can see, or NULL. */
const char *cli_start_find_conflict (const CliStart *self);

/* Reads the files before the model is loaded; sets what of request needs no model. keep_is_given: the request says how
 * many scales to keep. */
gboolean cli_start_load (CliStart *self, SwittiRequest *request, SwittiBundle *bundle, gboolean keep_is_given,
                         GError **error);

/* The rest of request, with the model. Blocks. */
gboolean cli_start_prepare (CliStart *self, SwittiGenerator *generator, SwittiRequest *request,
                            GCancellable *cancellable, GError **error);

/* Writes a picture: in its place in the whole of init where there is a mask. */
gboolean cli_start_save (CliStart *self, SwittiImage *image, const char *path, GError **error);

G_END_DECLS
