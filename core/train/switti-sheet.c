/* switti-sheet.c - a contact sheet
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-sheet-private.h"

#include "switti-error.h"
#include "switti-picture-private.h"
#include "switti-png-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>
#include <vips/vips.h>

#define GAP 4
#define MAX_SIDE 32768
#define RGB 3

struct _SwittiSheet
{
  int n, columns, side, band; /* band: height of a caption */
  int width, height;
  guint8 *pixels;
};

SwittiSheet *
switti_sheet_new (int n, int columns, int side, gboolean has_captions, GError **error)
{
  const int wide = columns > 0 ? columns : (int) ceil (sqrt (n)), rows = (n + wide - 1) / wide;
  const int band = has_captions ? MAX (side / 10, 10) : 0;
  const gint64 width = (gint64) wide * (side + GAP) + GAP, height = (gint64) rows * (side + band + GAP) + GAP;
  SwittiSheet *self;

  g_assert (n > 0 && side > 0);
  if (width > MAX_SIDE || height > MAX_SIDE)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("A sheet of %d pictures of %d pixels would be larger than %d pixels; take fewer, or other "
                      "columns."), n, side, MAX_SIDE);
      return NULL;
    }
  self = g_new0 (SwittiSheet, 1);
  self->n = n;
  self->columns = wide;
  self->side = side;
  self->band = band;
  self->width = (int) width;
  self->height = (int) height;
  self->pixels = g_malloc ((gsize) width * (gsize) height * RGB);
  memset (self->pixels, 255, (gsize) width * (gsize) height * RGB);
  return self;
}

void
switti_sheet_free (SwittiSheet *self)
{
  if (self == NULL)
    return;
  g_free (self->pixels);
  g_free (self);
}

/* One line of text as shares of ink, (height, width) u8; NULL where there is none. */
static VipsImage *
render (const SwittiSheet *self, const char *caption)
{
  g_autofree char *line = g_strdelimit (g_strdup (caption), "\n\r\t", ' ');
  g_autofree char *escaped = g_markup_escape_text (line, -1);
  g_autofree char *font = g_strdup_printf ("sans %d", MAX (self->band * 6 / 10, 6));
  VipsImage *ink = NULL;

  /* 72 dots an inch: a point is a pixel. */
  if (!switti_picture_init (NULL) || *line == '\0' || vips_text (&ink, escaped, "font", font, "dpi", 72, NULL) != 0)
    {
      vips_error_clear ();
      return NULL;
    }
  return ink;
}

static void
draw_caption (SwittiSheet *self, int left, int top, const char *caption)
{
  g_autoptr (VipsImage) ink = render (self, caption);
  g_autofree guint8 *shares = NULL;
  size_t n_bytes;
  int first;

  if (ink == NULL || ink->Bands != 1 || ink->BandFmt != VIPS_FORMAT_UCHAR)
    return;
  shares = vips_image_write_to_memory (ink, &n_bytes);
  first = MAX ((self->band - ink->Ysize) / 2, 0);
  for (int y = 0; shares != NULL && y < MIN (ink->Ysize, self->band - first); y++)
    for (int x = 0; x < MIN (ink->Xsize, self->side); x++)
      memset (self->pixels + ((gsize) (top + first + y) * (gsize) self->width + (gsize) (left + x)) * RGB,
              255 - shares[(gsize) y * (gsize) ink->Xsize + (gsize) x], RGB);
}

void
switti_sheet_place (SwittiSheet *self, int i, const guint8 *pixels, const char *caption)
{
  const int left = GAP + i % self->columns * (self->side + GAP);
  const int top = GAP + i / self->columns * (self->side + self->band + GAP);

  g_assert (i >= 0 && i < self->n);
  for (int y = 0; y < self->side; y++)
    memcpy (self->pixels + ((gsize) (top + y) * (gsize) self->width + (gsize) left) * RGB,
            pixels + (gsize) y * (gsize) self->side * RGB, (gsize) self->side * RGB);
  if (self->band > 0 && caption != NULL)
    draw_caption (self, left, top + self->side, caption);
}

int
switti_sheet_get_width (const SwittiSheet *self)
{
  return self->width;
}

int
switti_sheet_get_height (const SwittiSheet *self)
{
  return self->height;
}

const guint8 *
switti_sheet_get_pixels (const SwittiSheet *self)
{
  return self->pixels;
}

gboolean
switti_sheet_save (const SwittiSheet *self, const char *path, const char *text, GError **error)
{
  g_autoptr (GBytes) png = switti_png_encode (self->width, self->height, self->pixels, text, error);
  g_autoptr (GError) reason = NULL;
  g_autofree char *display = g_filename_display_name (path);

  if (png == NULL)
    return FALSE;
  if (g_file_set_contents_full (path, g_bytes_get_data (png, NULL), (gssize) g_bytes_get_size (png),
                                G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0666, &reason))
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot write %s: %s."), display, reason->message);
  return FALSE;
}
