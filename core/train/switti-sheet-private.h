/* switti-sheet-private.h - a contact sheet: pictures of one size in rows, with a line of text below each
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _SwittiSheet SwittiSheet;

/* White, with room for n squares of `side` pixels. `columns`: 0 for as many as rows. SWITTI_ERROR_ARGUMENT where it
 * would be larger than a PNG may be. */
SwittiSheet *switti_sheet_new (int n, int columns, int side, gboolean has_captions, GError **error);
void switti_sheet_free (SwittiSheet *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiSheet, switti_sheet_free)

/* pixels: (side, side, 3) u8. caption: UTF-8, cut where it is too long, or NULL; where libvips has no text, there is
 * none. */
void switti_sheet_place (SwittiSheet *self, int i, const guint8 *pixels, const char *caption);

int switti_sheet_get_width (const SwittiSheet *self);
int switti_sheet_get_height (const SwittiSheet *self);
/* (height, width, 3) u8, sRGB. */
const guint8 *switti_sheet_get_pixels (const SwittiSheet *self);
/* As PNG: beside its place, flushed, renamed. `text`: kept in the file, or NULL. */
gboolean switti_sheet_save (const SwittiSheet *self, const char *path, const char *text, GError **error);

G_END_DECLS
