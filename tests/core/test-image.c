/* test-image.c - pictures as PNG, with the recipe inside
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-error.h"
#include "switti-image-private.h"
#include "switti-png-private.h"
#include "switti-request-private.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <png.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define WIDTH 7
#define HEIGHT 5

static char *folder;

static SwittiImage *
make_image (int index, int preview_scale)
{
  g_autoptr (SwittiRequest) request = switti_request_new (NULL);
  SwittiImageOrigin origin = {
    .request = request,
    .image_index = index,
    .preview_scale = preview_scale,
    .device = "cpu",
    .precision = "f32",
  };
  guint8 *pixels = g_malloc (WIDTH * HEIGHT * 3);

  g_object_set (request, "prompt", "a fox — “flat” 狐", "seed", G_GUINT64_CONSTANT (40), NULL);
  for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
    pixels[i] = (guint8) (i * 37);
  return switti_image_new (WIDTH, HEIGHT, g_bytes_new_take (pixels, WIDTH * HEIGHT * 3),
                           g_bytes_new_static ("\1\0\0\0", 4), &origin);
}

static char *
path_of (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

static guint
count_files (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint count = 0;

  while (g_dir_read_name (dir))
    count++;
  return count;
}

static void
empty_folder (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)))
    {
      g_autofree char *path = path_of (name);
      g_remove (path);
    }
}

/* Another reader, libpng's simplified one, finds the same pixels. */
static void
assert_pixels (const char *path, SwittiImage *image)
{
  png_image png = { .version = PNG_IMAGE_VERSION };
  guint8 pixels[WIDTH * HEIGHT * 3];
  gsize size;
  const void *expected = g_bytes_get_data (switti_image_get_pixels (image), &size);

  g_assert_true (png_image_begin_read_from_file (&png, path));
  g_assert_cmpuint (png.width, ==, WIDTH);
  g_assert_cmpuint (png.height, ==, HEIGHT);
  g_assert_cmpuint (png.format & PNG_FORMAT_FLAG_ALPHA, ==, 0);
  png.format = PNG_FORMAT_RGB;
  g_assert_true (png_image_finish_read (&png, NULL, pixels, 0, NULL));
  g_assert_cmpmem (pixels, sizeof pixels, expected, size);
}

static void
test_save_and_load (void)
{
  g_autoptr (SwittiImage) image = make_image (2, -1);
  g_autofree char *path = path_of ("a.png");
  g_autofree char *recipe = NULL;
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (switti_image_save_png (image, path, &error));
  g_assert_no_error (error);
  assert_pixels (path, image);
  recipe = switti_image_load_recipe (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (recipe, ==, switti_image_get_recipe (image));
  root = json_from_string (recipe, &error);
  g_assert_no_error (error);
  g_assert_cmpint (json_object_get_int_member (json_node_get_object (root), "seed"), ==, 42);
  g_assert_cmpint (json_object_get_int_member (json_node_get_object (root), "width"), ==, WIDTH);
  g_assert_cmpint (json_object_get_int_member (json_node_get_object (root), "height"), ==, HEIGHT);
  g_assert_cmpstr (json_object_get_string_member (json_node_get_object (root), "prompt"), ==, "a fox — “flat” 狐");
  g_assert_cmpstr (json_object_get_string_member (json_node_get_object (root), "device"), ==, "cpu");
  g_assert_cmpstr (json_object_get_string_member (json_node_get_object (root), "precision"), ==, "f32");
  g_assert_false (json_object_has_member (json_node_get_object (root), "preview_scale"));
  g_assert_cmpuint (switti_image_get_seed (image), ==, 42);
  /* Nothing is left beside it, and a second picture takes its place. */
  g_assert_cmpuint (count_files (), ==, 1);
  g_assert_true (switti_image_save_png (image, path, &error));
  g_assert_cmpuint (count_files (), ==, 1);
  empty_folder ();
}

/* A preview's recipe says that it would not paint this picture. */
static void
test_preview_recipe (void)
{
  g_autoptr (SwittiImage) image = make_image (0, 3);
  g_autoptr (JsonNode) root = json_from_string (switti_image_get_recipe (image), NULL);

  g_assert_cmpint (json_object_get_int_member (json_node_get_object (root), "preview_scale"), ==, 3);
}

static void
assert_cannot_save (const char *path)
{
  g_autoptr (SwittiImage) image = make_image (0, -1);
  g_autoptr (GError) error = NULL;
  guint before = count_files ();

  g_assert_false (switti_image_save_png (image, path, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_assert_nonnull (strstr (error->message, path));
  g_assert_cmpuint (count_files (), ==, before);
}

static void
test_bad_places (void)
{
  g_autofree char *missing = path_of ("no/such/folder.png");

  assert_cannot_save (missing);
  assert_cannot_save (folder);
  /* A device would be replaced by a file. */
  assert_cannot_save ("/dev/null");
  g_assert_cmpint (g_access ("/dev/null", W_OK), ==, 0);
}

/* Stands for a full disk: no file may grow beyond 16 bytes. The old picture stays as it was. */
static void
test_no_space (void)
{
  g_autofree char *path = path_of ("full.png");
  struct rlimit old, small;
  g_autofree char *contents = NULL;

  g_assert_true (g_file_set_contents (path, "old", -1, NULL));
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &old), ==, 0);
  small = old;
  small.rlim_cur = 16;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  assert_cannot_save (path);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &old), ==, 0);
  g_assert_true (g_file_get_contents (path, &contents, NULL, NULL));
  g_assert_cmpstr (contents, ==, "old");
  empty_folder ();
}

static void
assert_no_recipe (const void *data, gsize length)
{
  g_autofree char *path = path_of ("bad.png");
  g_autofree char *recipe = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_set_contents (path, data, (gssize) length, NULL));
  recipe = switti_image_load_recipe (path, &error);
  g_assert_null (recipe);
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_assert_nonnull (strstr (error->message, path));
}

/* Cut anywhere before the pixels, or with any one byte of that part changed: an error or the whole recipe. */
static void
test_broken_png (void)
{
  g_autoptr (GError) error = NULL;
  const guint8 pixels[3] = { 1, 2, 3 };
  const char *text = "{\"seed\": 7}";
  g_autoptr (GBytes) png = switti_png_encode (1, 1, pixels, text, &error);
  gsize length;
  const guint8 *data = g_bytes_get_data (png, &length);
  const guint8 *pixels_at = memmem (data, length, "IDAT", 4);
  gsize header;
  g_autofree char *path = path_of ("changed.png");

  g_assert_no_error (error);
  g_assert_nonnull (pixels_at);
  header = (gsize) (pixels_at - data) - 4;
  for (gsize n = 0; n < header; n++)
    assert_no_recipe (data, n);
  for (gsize i = 0; i < header; i++)
    {
      g_autofree guint8 *changed = g_memdup2 (data, length);
      g_autofree char *recipe = NULL;
      g_autoptr (GError) local = NULL;

      changed[i] ^= 0x55;
      g_assert_true (g_file_set_contents (path, (const char *) changed, (gssize) length, NULL));
      recipe = switti_image_load_recipe (path, &local);
      if (recipe)
        g_assert_cmpstr (recipe, ==, text);
      else
        g_assert_error (local, SWITTI_ERROR, SWITTI_ERROR_IO);
    }
  empty_folder ();
}

static void
append_chunk (GByteArray *png, const char *type, const void *data, guint32 length)
{
  guint32 big = GUINT32_TO_BE (length), crc;
  g_autoptr (GByteArray) body = g_byte_array_new ();

  g_byte_array_append (body, (const guint8 *) type, 4);
  g_byte_array_append (body, data, length);
  crc = 0xffffffff;
  for (guint i = 0; i < body->len; i++)
    {
      crc ^= body->data[i];
      for (int bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
  crc = GUINT32_TO_BE (~crc);
  g_byte_array_append (png, (const guint8 *) &big, 4);
  g_byte_array_append (png, body->data, body->len);
  g_byte_array_append (png, (const guint8 *) &crc, 4);
}

static GByteArray *
begin_png (guint32 width, guint32 height)
{
  GByteArray *png = g_byte_array_new ();
  guint32 sides[2] = { GUINT32_TO_BE (width), GUINT32_TO_BE (height) };
  guint8 ihdr[13] = { [8] = 8, [9] = 2 };

  memcpy (ihdr, sides, sizeof sides);
  g_byte_array_append (png, (const guint8 *) "\x89PNG\r\n\x1a\n", 8);
  append_chunk (png, "IHDR", ihdr, sizeof ihdr);
  return png;
}

/* Text of 64 MiB, packed to 64 KiB: more than a recipe may be. */
static void
test_text_bomb (void)
{
  g_autoptr (GByteArray) png = begin_png (1, 1);
  g_autoptr (GByteArray) text = g_byte_array_new ();
  g_autoptr (GConverter) compressor
    = G_CONVERTER (g_zlib_compressor_new (G_ZLIB_COMPRESSOR_FORMAT_ZLIB, 9));
  gsize size = 64 * 1024 * 1024;
  g_autofree guint8 *zeros = g_malloc (size);
  g_autofree guint8 *packed = g_malloc (size);
  gsize read, written;
  g_autoptr (GError) error = NULL;

  memset (zeros, ' ', size);
  g_assert_cmpint (g_converter_convert (compressor, zeros, size, packed, size, G_CONVERTER_INPUT_AT_END, &read,
                                        &written, &error),
                   ==, G_CONVERTER_FINISHED);
  g_assert_cmpuint (read, ==, size);
  g_byte_array_append (text, (const guint8 *) SWITTI_PNG_RECIPE_KEY, strlen (SWITTI_PNG_RECIPE_KEY) + 1);
  g_byte_array_append (text, (const guint8 *) "\1\0\0\0", 4);
  g_byte_array_append (text, packed, (guint) written);
  append_chunk (png, "iTXt", text->data, text->len);
  append_chunk (png, "IDAT", "", 0);
  assert_no_recipe (png->data, png->len);
  empty_folder ();
}

static void
test_hostile_sizes (void)
{
  static const guint32 sides[][2] = { { 0, 1 }, { 1, 0 }, { 65537, 1 }, { 0x7fffffff, 0x7fffffff }, { 0xffffffff, 1 } };

  for (guint i = 0; i < G_N_ELEMENTS (sides); i++)
    {
      g_autoptr (GByteArray) png = begin_png (sides[i][0], sides[i][1]);

      append_chunk (png, "IDAT", "", 0);
      assert_no_recipe (png->data, png->len);
    }
  empty_folder ();
}

static void
test_not_utf8 (void)
{
  static const char body[] = SWITTI_PNG_RECIPE_KEY "\0\0\0\0\0{\"\xff\"}";
  g_autoptr (GByteArray) png = begin_png (1, 1);

  append_chunk (png, "iTXt", body, sizeof body - 1);
  append_chunk (png, "IDAT", "", 0);
  assert_no_recipe (png->data, png->len);
  empty_folder ();
}

static void
test_other_files (void)
{
  g_autoptr (GByteArray) plain = begin_png (1, 1);
  g_autofree char *missing = path_of ("missing.png");
  g_autoptr (GError) error = NULL;

  append_chunk (plain, "tEXt", "Comment\0hello", 13);
  append_chunk (plain, "IDAT", "", 0);
  assert_no_recipe (plain->data, plain->len);
  assert_no_recipe ("", 0);
  assert_no_recipe ("a text file", 11);
  g_assert_null (switti_image_load_recipe (missing, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  empty_folder ();
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("switti-image-XXXXXX", NULL);
  g_assert_nonnull (folder);
  g_test_add_func ("/image/save-and-load", test_save_and_load);
  g_test_add_func ("/image/preview-recipe", test_preview_recipe);
  g_test_add_func ("/image/bad-places", test_bad_places);
  g_test_add_func ("/image/no-space", test_no_space);
  g_test_add_func ("/image/broken-png", test_broken_png);
  g_test_add_func ("/image/text-bomb", test_text_bomb);
  g_test_add_func ("/image/hostile-sizes", test_hostile_sizes);
  g_test_add_func ("/image/not-utf8", test_not_utf8);
  g_test_add_func ("/image/other-files", test_other_files);
  status = g_test_run ();
  g_rmdir (folder);
  g_free (folder);
  return status;
}
