/* switti-png-private.h - PNG with a recipe in it, by libpng
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The key of the text chunk (iTXt) that holds the recipe. */
#define SWITTI_PNG_RECIPE_KEY "switti-recipe"

/* pixels: (height, width, 3) u8, sRGB. recipe: UTF-8, or NULL for none. */
GBytes *switti_png_encode (int width, int height, const guint8 *pixels, const char *recipe, GError **error);

/* The same with alpha: pixels (height, width, 4). */
GBytes *switti_png_encode_rgba (int width, int height, const guint8 *pixels, const char *recipe, GError **error);

/* Writes an encoded PNG: beside its place, flushed, then renamed. */
gboolean switti_png_save (GBytes *png, const char *path, GError **error);

/* The pixels of a PNG of any kind, (height, width, 4) R'G'B'A u8. */
GBytes *switti_png_load (const char *path, int *width, int *height, GError **error);

/* The recipe in a PNG; free with g_free(). Reads no further than the pixels, and at most some MiB of text. */
char *switti_png_load_recipe (const char *path, GError **error);

G_END_DECLS
