/* switti-image-private.h
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-image.h"
#include "switti-request.h"

G_BEGIN_DECLS

/* What an image says of its making. */
typedef struct
{
  SwittiRequest *request; /* a copy of the image's own (transfer none) */
  SwittiBundle *bundle;   /* NULL: the recipe names no model */
  int image_index;
  int preview_scale;      /* the last scale of a preview, -1 for a finished picture */
  const char *device;     /* NULL: not stated */
  const char *precision;  /* "f32" or "bf16"; NULL: not stated */
} SwittiImageOrigin;

/* Takes over pixels (3 width height bytes) and codes. */
SwittiImage *switti_image_new (int width, int height, GBytes *pixels, GBytes *codes, const SwittiImageOrigin *origin);


G_END_DECLS
