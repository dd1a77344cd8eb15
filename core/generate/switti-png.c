/* switti-png.c - PNG with a recipe in it, by libpng
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * libpng reports errors by longjmp(). Functions that call setjmp() hold nothing that needs a cleanup, and what they
 * change after it lives in a struct of the caller.
 */
#include "switti-png-private.h"

#include "switti-error.h"
#include "switti-version.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <png.h>
#include <setjmp.h>

/* A hostile PNG may not make us hold more than this. */
#define MAX_SIDE 65536
#define MAX_TEXT_BYTES (4 * 1024 * 1024)
#define MAX_TEXT_CHUNKS 64

static void
on_error (png_structp png, png_const_charp message)
{
  char *words = png_get_error_ptr (png);

  g_strlcpy (words, message, 128);
  png_longjmp (png, 1);
}

static void
on_warning (png_structp png, png_const_charp message)
{
  /* A picture that libpng only warns of is good. */
}

/* -- writing ------------------------------------------------------------------------------------------------ */

typedef struct
{
  int width, height, channels; /* 3, or 4 with alpha */
  const guint8 *pixels;
  const char *recipe;
  GByteArray *bytes;
  png_structp png;
  png_infop info;
  char software[64];
  char words[128];
} Encoder;

static void
on_write (png_structp png, png_bytep data, size_t length)
{
  g_byte_array_append (png_get_io_ptr (png), data, (guint) length);
}

static void
on_flush (png_structp png)
{
}

static void
set_texts (Encoder *encoder)
{
  png_text texts[2] = {
    { .compression = PNG_TEXT_COMPRESSION_NONE, .key = (char *) "Software", .text = encoder->software },
    {
      .compression = PNG_ITXT_COMPRESSION_NONE,
      .key = (char *) SWITTI_PNG_RECIPE_KEY,
      .text = (char *) encoder->recipe,
      .itxt_length = encoder->recipe != NULL ? strlen (encoder->recipe) : 0,
      .lang = (char *) "",
      .lang_key = (char *) "",
    },
  };

  png_set_text (encoder->png, encoder->info, texts, encoder->recipe != NULL ? 2 : 1);
}

static gboolean
encode (Encoder *encoder)
{
  if (setjmp (png_jmpbuf (encoder->png)))
    return FALSE;
  png_set_write_fn (encoder->png, encoder->bytes, on_write, on_flush);
  png_set_IHDR (encoder->png, encoder->info, (png_uint_32) encoder->width, (png_uint_32) encoder->height, 8,
                encoder->channels == 4 ? PNG_COLOR_TYPE_RGB_ALPHA : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_sRGB (encoder->png, encoder->info, PNG_sRGB_INTENT_PERCEPTUAL);
  set_texts (encoder);
  png_write_info (encoder->png, encoder->info);
  for (int y = 0; y < encoder->height; y++)
    png_write_row (encoder->png, encoder->pixels + (gsize) y * (gsize) encoder->width * (gsize) encoder->channels);
  png_write_end (encoder->png, NULL);
  return TRUE;
}

static GBytes *
encode_channels (int width, int height, int channels, const guint8 *pixels, const char *recipe, GError **error)
{
  Encoder encoder
    = { .width = width, .height = height, .channels = channels, .pixels = pixels, .recipe = recipe };
  gboolean good;

  g_snprintf (encoder.software, sizeof encoder.software, "Switti %s", switti_version_string ());
  encoder.png = png_create_write_struct (PNG_LIBPNG_VER_STRING, encoder.words, on_error, on_warning);
  encoder.info = encoder.png ? png_create_info_struct (encoder.png) : NULL;
  encoder.bytes = g_byte_array_new ();
  good = encoder.info != NULL && encode (&encoder);
  png_destroy_write_struct (&encoder.png, &encoder.info);
  if (!good)
    {
      g_byte_array_unref (encoder.bytes);
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot write the picture as PNG: %s."),
                   encoder.words[0] ? encoder.words : _ ("libpng cannot be used"));
      return NULL;
    }
  return g_byte_array_free_to_bytes (encoder.bytes);
}

GBytes *
switti_png_encode (int width, int height, const guint8 *pixels, const char *recipe, GError **error)
{
  return encode_channels (width, height, 3, pixels, recipe, error);
}

GBytes *
switti_png_encode_rgba (int width, int height, const guint8 *pixels, const char *recipe, GError **error)
{
  return encode_channels (width, height, 4, pixels, recipe, error);
}

/* A rename would put a plain file in the place of a device or a folder. */
static gboolean
check_replaceable (const char *path, const char *display, GError **error)
{
  GStatBuf status;

  if (g_stat (path, &status) != 0 || S_ISREG (status.st_mode))
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
               S_ISDIR (status.st_mode)
                 ? _ ("Cannot write the picture to %s because it is a folder; give a file's name.")
                 : _ ("Cannot write the picture to %s because it is not a regular file; give a file's name."),
               display);
  return FALSE;
}

gboolean
switti_png_save (GBytes *png, const char *path, GError **error)
{
  g_autofree char *display = g_filename_display_name (path);
  g_autoptr (GError) local = NULL;
  gsize length;
  const char *data = g_bytes_get_data (png, &length);

  if (!check_replaceable (path, display, error))
    return FALSE;
  if (g_file_set_contents_full (path, data, (gssize) length,
                                G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0666, &local))
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot write the picture to %s: %s."), display,
               local->message);
  return FALSE;
}

/* -- reading ------------------------------------------------------------------------------------------------ */

typedef struct
{
  FILE *file;
  png_structp png;
  png_infop info;
  char words[128];
} Decoder;

/* Everything before the pixels. */
static gboolean
read_info (Decoder *decoder)
{
  if (setjmp (png_jmpbuf (decoder->png)))
    return FALSE;
  png_init_io (decoder->png, decoder->file);
  png_set_user_limits (decoder->png, MAX_SIDE, MAX_SIDE);
  png_set_chunk_cache_max (decoder->png, MAX_TEXT_CHUNKS);
  png_set_chunk_malloc_max (decoder->png, MAX_TEXT_BYTES);
  png_read_info (decoder->png, decoder->info);
  return TRUE;
}

static char *
find_recipe (Decoder *decoder)
{
  png_textp texts = NULL;
  int n_texts = png_get_text (decoder->png, decoder->info, &texts, NULL);

  for (int i = 0; i < n_texts; i++)
    if (g_strcmp0 (texts[i].key, SWITTI_PNG_RECIPE_KEY) == 0 && texts[i].text
        && g_utf8_validate (texts[i].text, -1, NULL))
      return g_strdup (texts[i].text);
  return NULL;
}

char *
switti_png_load_recipe (const char *path, GError **error)
{
  g_autofree char *display = g_filename_display_name (path);
  Decoder decoder = { .file = g_fopen (path, "rb") };
  char *recipe = NULL;
  gboolean good;

  if (decoder.file == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot open %s: %s."), display, g_strerror (errno));
      return NULL;
    }
  decoder.png = png_create_read_struct (PNG_LIBPNG_VER_STRING, decoder.words, on_error, on_warning);
  decoder.info = decoder.png ? png_create_info_struct (decoder.png) : NULL;
  good = decoder.info != NULL && read_info (&decoder);
  if (good)
    recipe = find_recipe (&decoder);
  png_destroy_read_struct (&decoder.png, &decoder.info, NULL);
  fclose (decoder.file);
  if (!good)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot read %s as PNG: %s."), display,
                 decoder.words[0] ? decoder.words : _ ("libpng cannot be used"));
  else if (recipe == NULL)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("There is no recipe in %s; choose a PNG that Switti wrote."),
                 display);
  return recipe;
}

/* More than this is no picture to start from. */
#define MAX_PIXELS ((gsize) 1 << 28)

GBytes *
switti_png_load (const char *path, int *width, int *height, GError **error)
{
  g_autofree char *display = g_filename_display_name (path);
  png_image image = { .version = PNG_IMAGE_VERSION };
  gsize count;
  guint8 *pixels = NULL;
  gboolean good = png_image_begin_read_from_file (&image, path) != 0;

  count = good ? (gsize) image.width * (gsize) image.height : 0;
  if (good && count > MAX_PIXELS)
    {
      png_image_free (&image);
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("%s is too large to start from; scale it down first."),
                   display);
      return NULL;
    }
  image.format = PNG_FORMAT_RGBA;
  if (good)
    {
      pixels = g_malloc (count * 4);
      good = png_image_finish_read (&image, NULL, pixels, 0, NULL) != 0;
    }
  if (!good)
    {
      g_free (pixels);
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot read %s as PNG: %s."), display, image.message);
      return NULL;
    }
  *width = (int) image.width;
  *height = (int) image.height;
  return g_bytes_new_take (pixels, count * 4);
}
