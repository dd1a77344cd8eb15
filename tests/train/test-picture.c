/* test-picture.c - picture files of every kind, and what is no picture
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "data-test.h"
#include "switti-error.h"
#include "switti-lanczos-private.h"
#include "switti-picture-private.h"

#include <math.h>
#include <string.h>

#define SIDE 32 /* of the pictures that decode() is asked for */

static void
decode (GBytes *file, guint8 *out, int *height, int *width)
{
  g_autoptr (GError) error = NULL;

  switti_picture_decode (file, SIDE, out, height, width, &error);
  g_assert_no_error (error);
}

static void
assert_colour (const guint8 *out, int x, int y, int r, int g, int b, int tolerance)
{
  const guint8 *pixel = out + (y * SIDE + x) * 3;

  if (ABS (pixel[0] - r) > tolerance || ABS (pixel[1] - g) > tolerance || ABS (pixel[2] - b) > tolerance)
    g_error ("pixel (%d, %d) is %d %d %d in place of %d %d %d", x, y, pixel[0], pixel[1], pixel[2], r, g, b);
}

/* Pixels of one value each. */
static guint8 *
plain (int width, int height, int bands, const guint8 *value)
{
  guint8 *pixels = g_malloc ((gsize) width * (gsize) height * (gsize) bands);

  for (int i = 0; i < width * height * bands; i++)
    pixels[i] = value[i % bands];
  return pixels;
}

/* -- resizing -------------------------------------------------------------------------------------------------- */

static double
lanczos3 (double x)
{
  const double pi = 3.14159265358979323846;

  if (fabs (x) >= 3)
    return 0;
  return x == 0 ? 1 : sin (pi * x) / (pi * x) * sin (pi * x / 3) / (pi * x / 3);
}

/* One value by the definition, in two dimensions at once. */
static double
resized_value (const SwittiLanczos *l, const guint8 *pixels, int x, int y, int c)
{
  const double sx = (double) l->width / l->out_width, sy = (double) l->height / l->out_height;
  const double cx = (l->left + x + 0.5) * sx - 0.5, cy = (l->top + y + 0.5) * sy - 0.5;
  double sum = 0, weights = 0;

  for (int i = 0; i < l->height; i++)
    for (int j = 0; j < l->width; j++)
      {
        const double weight = lanczos3 ((i - cy) / MAX (sy, 1)) * lanczos3 ((j - cx) / MAX (sx, 1));

        sum += weight * pixels[(i * l->width + j) * 3 + c];
        weights += weight;
      }
  return CLAMP (sum / weights, 0, 255);
}

static void
test_lanczos (void)
{
  static const SwittiLanczos cases[] = {
    { 40, 40, 45, 45, 2, 2, 40 },    /* an icon, enlarged */
    { 61, 43, 25, 18, 4, 1, 16 },    /* reduced, not by a whole number */
    { 43, 61, 18, 25, 1, 4, 16 },
    { 1, 1, 18, 18, 1, 1, 16 },
    { 2, 50, 18, 450, 1, 217, 16 },
    { 40, 40, 40, 40, 0, 0, 40 },    /* as it is */
    { 97, 13, 134, 18, 59, 1, 16 },
  };
  g_autoptr (GRand) random = g_rand_new_with_seed (5);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const SwittiLanczos *l = &cases[i];
      g_autofree guint8 *pixels = g_malloc ((gsize) (l->width * l->height * 3));
      g_autofree guint8 *out = g_malloc ((gsize) (l->side * l->side * 3));

      for (int j = 0; j < l->width * l->height * 3; j++)
        pixels[j] = (guint8) g_rand_int_range (random, 0, 256);
      switti_lanczos_resize (l, pixels, out);
      for (int y = 0; y < l->side; y++)
        for (int x = 0; x < l->side; x++)
          for (int c = 0; c < 3; c++)
            /* Rounding to a whole number, and float32 sums of at most 255 * 40 terms. */
            g_assert_cmpfloat_with_epsilon (out[(y * l->side + x) * 3 + c], resized_value (l, pixels, x, y, c), 0.51);
    }
}

/* -- kinds ----------------------------------------------------------------------------------------------------- */

static void
test_kinds (void)
{
  static const guint8 colour[] = { 200, 40, 90 };
  static const struct { const char *suffix; int tolerance; } kinds[] = {
    { ".png", 0 }, { ".png[interlace]", 0 }, { ".tif", 0 }, { ".tif[compression=lzw]", 0 }, { ".webp[lossless]", 0 },
    { ".ppm", 0 },
    /* Rounding of the YCbCr transform. */
    { ".jpg[Q=100,subsample-mode=off]", 2 }, { ".jpg[Q=95,interlace]", 3 }, { ".webp[Q=100]", 6 },
  };
  g_autofree guint8 *pixels = plain (50, 40, 3, colour);
  guint8 out[SIDE * SIDE * 3];

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (GBytes) file = data_encode (pixels, 50, 40, 3, kinds[i].suffix);
      int height, width;

      g_test_message ("%s", kinds[i].suffix);
      decode (file, out, &height, &width);
      g_assert_cmpint (height, ==, 40);
      g_assert_cmpint (width, ==, 50);
      for (int j = 0; j < SIDE; j++)
        assert_colour (out, j, SIDE - 1 - j, 200, 40, 90, kinds[i].tolerance);
    }
}

/* What is transparent is white, whatever colour hides there. */
static void
test_alpha (void)
{
  static const guint8 rgba[] = { 255, 0, 0, 0 }, half[] = { 100, 0, 200, 51 }, grey[] = { 100, 51 };
  static const struct { const guint8 *value; int bands, r, g, b; } cases[] = {
    { rgba, 4, 255, 255, 255 },
    { half, 4, 224, 204, 244 }, /* a fifth of the colour, four of white */
    { grey, 2, 224, 224, 224 },
  };
  guint8 out[SIDE * SIDE * 3];
  int height, width;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree guint8 *pixels = plain (36, 36, cases[i].bands, cases[i].value);
      g_autoptr (GBytes) file = data_encode (pixels, 36, 36, cases[i].bands, ".png");

      decode (file, out, &height, &width);
      assert_colour (out, 5, 5, cases[i].r, cases[i].g, cases[i].b, 1);
    }
}

/* Writes the image and drops it. */
static GBytes *
encode_image (VipsImage *image, const char *suffix)
{
  void *bytes;
  size_t n_bytes;

  g_assert_cmpint (vips_image_write_to_buffer (image, suffix, &bytes, &n_bytes, NULL), ==, 0);
  g_object_unref (image);
  return g_bytes_new_take (bytes, n_bytes);
}

static VipsImage *
constant_image (int bands, const double *value, VipsBandFormat format, VipsInterpretation kind)
{
  VipsImage *black = NULL, *constant = NULL, *cast = NULL, *named = NULL;

  g_assert_cmpint (vips_black (&black, 40, 40, "bands", bands, NULL), ==, 0);
  g_assert_cmpint (vips_linear (black, &constant, (double[]){ 1, 1, 1, 1 }, (double *) value, bands, NULL), ==, 0);
  g_assert_cmpint (vips_cast (constant, &cast, format, NULL), ==, 0);
  g_assert_cmpint (vips_copy (cast, &named, "interpretation", kind, NULL), ==, 0);
  g_object_unref (black);
  g_object_unref (constant);
  g_object_unref (cast);
  return named;
}

static void
test_grey_and_deep (void)
{
  static const double grey[] = { 77 }, deep_grey[] = { 77 * 257 }, deep[] = { 10 * 257, 128 * 257, 255 * 257 };
  static const double clear[] = { 10 * 257, 128 * 257, 255 * 257, 0 };
  guint8 out[SIDE * SIDE * 3];
  int height, width;
  g_autoptr (GBytes) a
      = encode_image (constant_image (1, grey, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_B_W), ".jpg[Q=100]");
  g_autoptr (GBytes) b
      = encode_image (constant_image (1, deep_grey, VIPS_FORMAT_USHORT, VIPS_INTERPRETATION_GREY16), ".png");
  g_autoptr (GBytes) c = encode_image (constant_image (3, deep, VIPS_FORMAT_USHORT, VIPS_INTERPRETATION_RGB16), ".png");
  g_autoptr (GBytes) d
      = encode_image (constant_image (4, clear, VIPS_FORMAT_USHORT, VIPS_INTERPRETATION_RGB16), ".tif");

  decode (a, out, &height, &width);
  assert_colour (out, 0, 0, 77, 77, 77, 1);
  decode (b, out, &height, &width);
  assert_colour (out, 0, 0, 77, 77, 77, 1);
  decode (c, out, &height, &width);
  assert_colour (out, 0, 0, 10, 128, 255, 1);
  decode (d, out, &height, &width);
  assert_colour (out, 0, 0, 255, 255, 255, 1);
}

/* Without a profile: no ink is white, all black ink is dark, cyan is more blue and green than red. */
static void
test_cmyk (void)
{
  static const double white[] = { 0, 0, 0, 0 }, black[] = { 0, 0, 0, 255 }, cyan[] = { 255, 0, 0, 0 };
  guint8 out[SIDE * SIDE * 3];
  int height, width;
  g_autoptr (GBytes) a
      = encode_image (constant_image (4, white, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_CMYK), ".jpg[Q=100]");
  g_autoptr (GBytes) b
      = encode_image (constant_image (4, black, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_CMYK), ".tif");
  g_autoptr (GBytes) c
      = encode_image (constant_image (4, cyan, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_CMYK), ".jpg[Q=100]");

  decode (a, out, &height, &width);
  assert_colour (out, 3, 3, 255, 255, 255, 3);
  decode (b, out, &height, &width);
  g_assert_cmpint (out[0] + out[1] + out[2], <, 3 * 60);
  decode (c, out, &height, &width);
  g_assert_cmpint (out[0] + 80, <, out[1]);
  g_assert_cmpint (out[0] + 80, <, out[2]);
}

/* The same colour with another profile's numbers comes back as itself; with a broken profile, as the numbers say. */
static void
test_profile (void)
{
  static const double colour[] = { 200, 60, 90 };
  VipsImage *wide = NULL, *broken = NULL;
  guint8 out[SIDE * SIDE * 3], raw[3];
  int height, width;
  g_autoptr (VipsImage) image = constant_image (3, colour, VIPS_FORMAT_UCHAR, VIPS_INTERPRETATION_sRGB);
  g_autoptr (GBytes) a = NULL, b = NULL, c = NULL;

  g_assert_cmpint (vips_icc_transform (image, &wide, "p3", "input_profile", "srgb", NULL), ==, 0);
  g_assert_cmpint (vips_copy (wide, &broken, NULL), ==, 0);
  vips_image_set_blob_copy (broken, VIPS_META_ICC_NAME, "no profile at all", 17);
  a = encode_image (wide, ".png");
  decode (a, out, &height, &width);
  assert_colour (out, 7, 7, 200, 60, 90, 2); /* two roundings to 8 bits */

  /* The numbers without their profile are other ones: the conversion above was one. */
  g_assert_cmpint (vips_copy (broken, &wide, NULL), ==, 0);
  g_assert_true (vips_image_remove (wide, VIPS_META_ICC_NAME));
  b = encode_image (wide, ".png");
  decode (b, out, &height, &width);
  memcpy (raw, out, sizeof raw);
  g_assert_cmpint (ABS (raw[0] - 200) + ABS (raw[1] - 60), >, 10);

  c = encode_image (broken, ".tif");
  decode (c, out, &height, &width);
  assert_colour (out, 0, 0, raw[0], raw[1], raw[2], 0);
}

/* A picture that lies on its side: what is stored left is on top. */
static void
test_orientation (void)
{
  g_autofree guint8 *pixels = g_malloc0 (60 * 40 * 3);
  VipsImage *image;
  g_autoptr (GBytes) file = NULL;
  guint8 out[SIDE * SIDE * 3];
  int height, width;

  for (int y = 0; y < 40; y++)
    for (int x = 0; x < 60; x++)
      pixels[(y * 60 + x) * 3 + (x < 30 ? 0 : 2)] = 255;
  image = vips_image_new_from_memory_copy (pixels, 60 * 40 * 3, 60, 40, 3, VIPS_FORMAT_UCHAR);
  image->Type = VIPS_INTERPRETATION_sRGB;
  vips_image_set_int (image, VIPS_META_ORIENTATION, 6);
  file = encode_image (image, ".jpg[Q=100,subsample-mode=off]");
  decode (file, out, &height, &width);
  g_assert_cmpint (height, ==, 60);
  g_assert_cmpint (width, ==, 40);
  assert_colour (out, 16, 3, 255, 0, 0, 4);
  assert_colour (out, 16, 28, 0, 0, 255, 4);
}

/* -- what is no picture ---------------------------------------------------------------------------------------- */

static void
assert_refused (GBytes *file)
{
  g_autoptr (GError) error = NULL;
  guint8 out[SIDE * SIDE * 3];
  int height, width;

  g_assert_false (switti_picture_decode (file, SIDE, out, &height, &width, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_assert_nonnull (error->message);
}

static void
test_refused (void)
{
  static const char svg[] = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/>"
                            "</svg>";
  static const char text[] = "This is no picture.";
  /* The header of a PNG of 60000 x 60000 pixels, with its CRC. */
  static const guint8 large[] = { 0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0, 0xea,
                                  0x60, 0, 0, 0xea, 0x60, 8, 2, 0, 0, 0, 0x0f, 0xb0, 0xe2, 0x15 };
  static const char large_ppm[] = "P5 70000 3 255\n";
  GBytes *files[] = {
    g_bytes_new_static ("", 0),
    g_bytes_new_static (svg, sizeof svg - 1),
    g_bytes_new_static (text, sizeof text - 1),
    g_bytes_new_static (large, sizeof large),
    g_bytes_new_static (large_ppm, sizeof large_ppm - 1),
  };

  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    {
      assert_refused (files[i]);
      g_bytes_unref (files[i]);
    }
}

/* Cut short, each is refused or (a file's last bytes need not be pixels) whole; with wrong bytes, nothing crashes. */
static void
test_damaged (void)
{
  static const char *const suffixes[] = { ".png",       ".jpg",  ".jpg[interlace]", ".webp", ".webp[lossless]", ".tif",
                                          ".tif[compression=lzw,tile]", ".gif", ".ppm" };
  g_autoptr (GRand) random = g_rand_new_with_seed (11);
  guint8 *pixels = g_malloc (48 * 48 * 3);
  guint8 out[SIDE * SIDE * 3];
  int height, width;

  for (int i = 0; i < 48 * 48 * 3; i++)
    pixels[i] = (guint8) g_rand_int_range (random, 0, 256);
  for (gsize k = 0; k < G_N_ELEMENTS (suffixes); k++)
    {
      g_autoptr (GBytes) file = data_encode (pixels, 48, 48, 3, suffixes[k]);
      const gsize n = g_bytes_get_size (file);

      for (int cut = 1; cut < 8; cut++)
        {
          g_autoptr (GBytes) part = g_bytes_new_from_bytes (file, 0, n * (gsize) cut / 8);

          g_test_message ("%s cut at %d/8", suffixes[k], cut);
          assert_refused (part);
        }
      for (int round = 0; round < 60; round++)
        {
          gsize n_bytes;
          guint8 *bytes = g_bytes_unref_to_data (g_bytes_new (g_bytes_get_data (file, NULL), n), &n_bytes);
          g_autoptr (GBytes) wrong = NULL;
          g_autoptr (GError) error = NULL;

          for (int j = 0; j < 3; j++)
            /* Most of them in the first bytes, where the sizes are. */
            bytes[(gsize) g_rand_int_range (random, 0, (gint32) (round % 2 ? n : MIN (n, 200)))]
                = (guint8) g_rand_int_range (random, 0, 256);
          wrong = g_bytes_new_take (bytes, n_bytes);
          if (!switti_picture_decode (wrong, SIDE, out, &height, &width, &error))
            g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
        }
    }
  g_free (pixels);
}

static void
test_read_file (void)
{
  g_autofree char *folder = data_folder (), *path = g_build_filename (folder, "a", NULL);
  g_autofree char *missing = g_build_filename (folder, "b", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) file = NULL;
  guint8 digest[SWITTI_DIGEST_BYTES];
  /* Of "abc": FIPS 180-2, appendix B.1. */
  static const guint8 expected[SWITTI_DIGEST_BYTES]
      = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
          0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };

  data_write (folder, "a", "abc", 3);
  file = switti_picture_read_file (path, &error);
  g_assert_no_error (error);
  switti_picture_digest (file, digest);
  g_assert_cmpmem (digest, sizeof digest, expected, sizeof expected);
  g_assert_null (switti_picture_read_file (missing, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_clear_error (&error);
  g_assert_null (switti_picture_read_file (folder, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  data_remove (folder);
}

int
main (int argc, char **argv)
{
  data_init (&argc, &argv);
  g_test_add_func ("/picture/lanczos", test_lanczos);
  g_test_add_func ("/picture/kinds", test_kinds);
  g_test_add_func ("/picture/alpha", test_alpha);
  g_test_add_func ("/picture/grey-and-deep", test_grey_and_deep);
  g_test_add_func ("/picture/cmyk", test_cmyk);
  g_test_add_func ("/picture/profile", test_profile);
  g_test_add_func ("/picture/orientation", test_orientation);
  g_test_add_func ("/picture/refused", test_refused);
  g_test_add_func ("/picture/damaged", test_damaged);
  g_test_add_func ("/picture/read-file", test_read_file);
  return g_test_run ();
}
