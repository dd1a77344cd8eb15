/* data-test.h - training folders that tests make
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-picture-private.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <vips/vips.h>

/* In place of g_test_init(), which makes every warning fatal: broken pictures are what libvips warns of, and what it
 * trips over inside GObject without coming to harm. */
static inline void
data_init (int *argc, char ***argv)
{
  g_autoptr (GError) error = NULL;

  g_test_init (argc, argv, NULL);
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  g_log_set_fatal_mask ("GLib", G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  g_log_set_fatal_mask ("switti", G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  switti_picture_init (&error);
  g_assert_no_error (error);
}

/* A folder in the temporary one; (transfer full). */
static inline char *
data_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("switti-data-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

static inline void
data_remove (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      if (g_file_test (child, G_FILE_TEST_IS_DIR) && !g_file_test (child, G_FILE_TEST_IS_SYMLINK))
        data_remove (child);
      else
        g_unlink (child);
    }
  g_rmdir (path);
}

static inline void
data_write (const char *folder, const char *name, const void *bytes, gsize n_bytes)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (parent, 0777), ==, 0);
  g_file_set_contents (path, bytes, (gssize) n_bytes, &error);
  g_assert_no_error (error);
}

/* (height, width, bands) u8 as a file of the kind that `suffix` names (".png", ".jpg[Q=95]"); free with
 * g_bytes_unref(). */
static inline GBytes *
data_encode (const guint8 *pixels, int width, int height, int bands, const char *suffix)
{
  g_autoptr (VipsImage) image = vips_image_new_from_memory_copy (
      pixels, (gsize) width * (gsize) height * (gsize) bands, width, height, bands, VIPS_FORMAT_UCHAR);
  void *bytes;
  size_t n_bytes;

  g_assert_nonnull (image);
  image->Type = bands >= 3 ? VIPS_INTERPRETATION_sRGB : VIPS_INTERPRETATION_B_W;
  g_assert_cmpint (vips_image_write_to_buffer (image, suffix, &bytes, &n_bytes, NULL), ==, 0);
  return g_bytes_new_take (bytes, n_bytes);
}

/* A square of one colour, as PNG. */
static inline void
data_write_square (const char *folder, const char *name, int side, const guint8 rgb[3])
{
  g_autofree guint8 *pixels = g_malloc ((gsize) side * (gsize) side * 3);
  g_autoptr (GBytes) file = NULL;

  for (gsize i = 0; i < (gsize) side * (gsize) side * 3; i++)
    pixels[i] = rgb[i % 3];
  file = data_encode (pixels, side, side, 3, ".png");
  data_write (folder, name, g_bytes_get_data (file, NULL), g_bytes_get_size (file));
}
