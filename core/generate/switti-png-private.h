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

/* The recipe in a PNG; free with g_free(). Reads no further than the pixels, and at most some MiB of text. */
char *switti_png_load_recipe (const char *path, GError **error);

G_END_DECLS
