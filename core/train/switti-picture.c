/* switti-picture.c - a picture file of any kind as a square of sRGB pixels
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * libvips keeps its messages in one buffer for all threads, so a message there may be another picture's: it is
 * emptied, not quoted.
 */
#include "switti-picture-private.h"

#include "switti-error.h"
#include "switti-lanczos-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vips/vips.h>

#define MAX_FILE_BYTES ((goffset) 256 << 20)
/* A picture is held as three bytes a pixel, and by some readers as up to eight. */
#define MAX_PIXELS ((gint64) 1 << 26)
#define MAX_SIDE 65535
#define MARGIN 1.125

/* -- libvips --------------------------------------------------------------------------------------------------- */

static void
ignore_message (const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
}

/* libvips reads many more kinds, some by libraries that were never meant for files of strangers. */
static gboolean
start (void)
{
  static const char *const allowed[] = { "VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp",
                                         "VipsForeignLoadTiff", "VipsForeignLoadNsgif", "VipsForeignLoadPpm" };

  g_log_set_handler ("VIPS", G_LOG_LEVEL_MASK | G_LOG_FLAG_FATAL | G_LOG_FLAG_RECURSION, ignore_message, NULL);
  if (vips_init ("switti") != 0)
    return FALSE;
  vips_operation_block_set ("VipsForeignLoad", TRUE);
  for (gsize i = 0; i < G_N_ELEMENTS (allowed); i++)
    vips_operation_block_set (allowed[i], FALSE);
  vips_cache_set_max (0);       /* no operation is ever repeated */
  vips_concurrency_set (1);     /* pictures are decoded side by side */
  return TRUE;
}

static gpointer
start_once (gpointer data)
{
  return GINT_TO_POINTER (start ());
}

gboolean
switti_picture_init (GError **error)
{
  static GOnce once = G_ONCE_INIT;

  if (g_once (&once, start_once, NULL))
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED,
               _ ("libvips, which reads training images, cannot start; install it again."));
  return FALSE;
}

void
switti_picture_finish_thread (void)
{
  vips_thread_shutdown ();
}

/* -- files ----------------------------------------------------------------------------------------------------- */

static gboolean
read_whole (int fd, guint8 *bytes, gsize size, gsize *n_read)
{
  *n_read = 0;
  while (*n_read < size)
    {
      const gssize n = read (fd, bytes + *n_read, size - *n_read);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return FALSE;
      if (n == 0)
        break;
      *n_read += (gsize) n;
    }
  return TRUE;
}

static GBytes *
read_file (int fd, GError **error)
{
  g_autofree guint8 *bytes = NULL;
  struct stat status;
  gsize n_read;

  if (fstat (fd, &status) != 0 || !S_ISREG (status.st_mode))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("it is not a regular file"));
      return NULL;
    }
  if (status.st_size > MAX_FILE_BYTES)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("it has more than 256 MiB"));
      return NULL;
    }
  bytes = g_try_malloc (MAX ((gsize) status.st_size, 1));
  if (bytes == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY, _ ("there is no memory left to read it"));
      return NULL;
    }
  if (!read_whole (fd, bytes, (gsize) status.st_size, &n_read))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("it cannot be read (%s)"), g_strerror (errno));
      return NULL;
    }
  return g_bytes_new_take (g_steal_pointer (&bytes), n_read);
}

GBytes *
switti_picture_read_file (const char *path, GError **error)
{
  /* Without waiting for the writer of a pipe, should it be one. */
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  GBytes *file;

  if (fd < 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("it cannot be opened (%s)"), g_strerror (errno));
      return NULL;
    }
  file = read_file (fd, error);
  close (fd);
  return file;
}

void
switti_picture_digest (GBytes *file, guint8 digest[SWITTI_DIGEST_BYTES])
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize n_bytes, n_digest = SWITTI_DIGEST_BYTES;
  const guint8 *bytes = g_bytes_get_data (file, &n_bytes);

  for (gsize done = 0; done < n_bytes;)
    {
      const gsize n = MIN (n_bytes - done, (gsize) 1 << 30); /* g_checksum_update() takes a signed size */

      g_checksum_update (checksum, bytes + done, (gssize) n);
      done += n;
    }
  g_checksum_get_digest (checksum, digest, &n_digest);
}

/* -- pixels ---------------------------------------------------------------------------------------------------- */

/* Replaces *image by what an operation of that status made of it; FALSE, with *image as it was, where it failed. */
static gboolean
replace (VipsImage **image, int status, VipsImage **made)
{
  if (status != 0)
    return FALSE;
  g_object_unref (*image);
  *image = *made;
  return TRUE;
}

/* Turning reads columns, so not from a file that is read row by row. */
static gboolean
turn_upright (VipsImage **image)
{
  VipsImage *made;

  if (vips_image_get_orientation (*image) == 1)
    return TRUE;
  made = vips_image_copy_memory (*image);
  if (!replace (image, made == NULL, &made))
    return FALSE;
  return replace (image, vips_autorot (*image, &made, NULL), &made);
}

/* No ink is white; in all else the largest value is. */
static gboolean
flatten_over_white (VipsImage **image)
{
  const VipsInterpretation kind = vips_image_get_interpretation (*image);
  const gboolean is_wide = (*image)->BandFmt == VIPS_FORMAT_USHORT;
  VipsArrayDouble *white;
  VipsImage *made = NULL;
  int status;

  if (!vips_image_hasalpha (*image))
    return TRUE;
  white = vips_array_double_newv (1, kind == VIPS_INTERPRETATION_CMYK ? 0.0 : is_wide ? 65535.0 : 255.0);
  status = vips_flatten (*image, &made, "background", white, "max_alpha", is_wide ? 65535.0 : 255.0, NULL);
  vips_area_unref (VIPS_AREA (white));
  return replace (image, status, &made);
}

/* A profile that is broken, or another colour space's, counts for nothing, as in other programs: FALSE. */
static gboolean
convert_by_profile (VipsImage **image)
{
  VipsImage *made = NULL;
  const gboolean has_profile = vips_image_get_typeof (*image, VIPS_META_ICC_NAME) != 0;

  if (!has_profile)
    return FALSE;
  return replace (image,
                  vips_icc_transform (*image, &made, "srgb", "embedded", TRUE, "intent", VIPS_INTENT_RELATIVE,
                                      "black_point_compensation", TRUE, "depth", 8, NULL),
                  &made);
}

static gboolean
convert_to_srgb (VipsImage **image)
{
  VipsImage *made = NULL;

  if (!flatten_over_white (image))
    return FALSE;
  if (!convert_by_profile (image)
      && !replace (image, vips_colourspace (*image, &made, VIPS_INTERPRETATION_sRGB, NULL), &made))
    return FALSE;
  if (!replace (image, vips_cast (*image, &made, VIPS_FORMAT_UCHAR, NULL), &made))
    return FALSE;
  return (*image)->Bands == 3;
}

/* (height, width, 3); free with g_free(). NULL where the picture ends early or is broken. */
static guint8 *
read_pixels (VipsImage *image)
{
  size_t n_bytes = 0;
  guint8 *pixels = vips_image_write_to_memory (image, &n_bytes);

  g_assert (pixels == NULL || n_bytes == (gsize) image->Xsize * (gsize) image->Ysize * 3);
  return pixels;
}

static void
take_centre (const guint8 *pixels, int height, int width, int resolution, guint8 *out)
{
  const double shorter = nearbyint (MARGIN * resolution); /* halves to even, as the published code rounds */
  SwittiLanczos lanczos = { .width = width, .height = height, .side = resolution };

  lanczos.out_width = width <= height ? (int) shorter : (int) (shorter * width / height);
  lanczos.out_height = width <= height ? (int) (shorter * height / width) : (int) shorter;
  lanczos.left = (int) nearbyint ((lanczos.out_width - resolution) / 2.0);
  lanczos.top = (int) nearbyint ((lanczos.out_height - resolution) / 2.0);
  switti_lanczos_resize (&lanczos, pixels, out);
}

static gboolean
fail (GError **error, const char *reason)
{
  vips_error_clear ();
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, "%s", reason);
  return FALSE;
}

gboolean
switti_picture_decode (GBytes *file, int resolution, guint8 *pixels, int *height, int *width, GError **error)
{
  gsize n_bytes;
  const void *bytes = g_bytes_get_data (file, &n_bytes);
  g_autoptr (VipsSource) source = NULL;
  g_autoptr (VipsImage) image = NULL;
  g_autofree guint8 *all = NULL;

  if (n_bytes == 0)
    return fail (error, _ ("it is empty"));
  /* Not vips_image_new_from_buffer(), which knows no PPM. */
  source = vips_source_new_from_memory (bytes, n_bytes);
  if (source != NULL)
    image = vips_image_new_from_source (source, "", "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR,
                                        NULL);
  if (image == NULL)
    return fail (error, _ ("it is not a whole JPEG, PNG, WebP, TIFF, GIF or PPM picture"));
  if (image->Xsize > MAX_SIDE || image->Ysize > MAX_SIDE || (gint64) image->Xsize * image->Ysize > MAX_PIXELS)
    return fail (error, _ ("it has more than 67 million pixels, or a side of more than 65,535"));
  if (!turn_upright (&image) || !convert_to_srgb (&image))
    return fail (error, _ ("its colours cannot be converted"));
  all = read_pixels (image);
  if (all == NULL)
    return fail (error, _ ("it is broken or ends early"));
  *height = image->Ysize;
  *width = image->Xsize;
  take_centre (all, *height, *width, resolution, pixels);
  return TRUE;
}
