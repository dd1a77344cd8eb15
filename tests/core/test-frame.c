/* test-frame.c - the square that the model sees: where it lies, its mask, and the seam of what comes back
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-frame-private.h"
#include "switti-raster-private.h"

#include <math.h>
#include <string.h>

#define SIDE 256 /* of the default model's pictures */

/* -- geometry -------------------------------------------------------------------------------------------------- */

/* Any bounds in any picture: a square that holds them, that is no larger than was asked for, and that leaves the
 * picture only where it is larger than that. */
static void
test_choose (void)
{
  for (int i = 0; i < 20000; i++)
    {
      const int width = g_test_rand_int_range (1, 500), height = g_test_rand_int_range (1, 500);
      const SwittiRectangle bounds = {
        .x = g_test_rand_int_range (0, width),
        .y = g_test_rand_int_range (0, height),
        .width = 0,
        .height = 0,
      };
      SwittiRectangle within = bounds, frame;
      double context = g_test_rand_double_range (0, 4);

      within.width = g_test_rand_int_range (1, width - bounds.x + 1);
      within.height = g_test_rand_int_range (1, height - bounds.y + 1);
      frame = switti_frame_choose (width, height, &within, context);
      g_assert_cmpint (frame.width, ==, frame.height);
      g_assert_cmpint (frame.x, <=, within.x);
      g_assert_cmpint (frame.y, <=, within.y);
      g_assert_cmpint (frame.x + frame.width, >=, within.x + within.width);
      g_assert_cmpint (frame.y + frame.height, >=, within.y + within.height);
      g_assert_cmpint (frame.width, <=, MAX (width, height));
      g_assert_cmpfloat (frame.width, <=, MAX (within.width, within.height) * (1 + 2 * context));
      if (frame.width <= width)
        g_assert_true (frame.x >= 0 && frame.x + frame.width <= width);
      if (frame.height <= height)
        g_assert_true (frame.y >= 0 && frame.y + frame.height <= height);
    }
}

/* -- masks ----------------------------------------------------------------------------------------------------- */

#define MASK_WIDTH 47
#define MASK_HEIGHT 31

static void
fill_blobs (guint8 *mask)
{
  memset (mask, 0, MASK_WIDTH * MASK_HEIGHT);
  for (int i = 0; i < 3; i++)
    {
      int x = g_test_rand_int_range (0, MASK_WIDTH), y = g_test_rand_int_range (0, MASK_HEIGHT);
      int width = g_test_rand_int_range (1, 14), height = g_test_rand_int_range (1, 14);

      for (int v = y; v < MIN (y + height, MASK_HEIGHT); v++)
        memset (mask + v * MASK_WIDTH + x, 255, (gsize) MIN (width, MASK_WIDTH - x));
    }
}

/* The distance to the nearest pixel of a value, by looking at all. */
static double
naive_distance (const guint8 *mask, int at, guint8 value)
{
  double least = G_MAXDOUBLE;

  for (int i = 0; i < MASK_WIDTH * MASK_HEIGHT; i++)
    if (mask[i] == value)
      least = MIN (least, hypot (at % MASK_WIDTH - i % MASK_WIDTH, at / MASK_WIDTH - i / MASK_WIDTH));
  return least;
}

/* Distances are passed on from pixel to pixel, which may miss the nearest one by a little where it hides behind a
 * corner; a tenth of a pixel is more than that makes. */
#define DISTANCE_ERROR 0.1

static void
test_grow (void)
{
  for (int i = 0; i < 60; i++)
    {
      guint8 before[MASK_WIDTH * MASK_HEIGHT], after[MASK_WIDTH * MASK_HEIGHT];
      int grow = g_test_rand_int_range (-6, 12);

      fill_blobs (before);
      memcpy (after, before, sizeof after);
      switti_frame_grow_mask (MASK_WIDTH, MASK_HEIGHT, after, grow);
      for (int at = 0; at < MASK_WIDTH * MASK_HEIGHT; at++)
        {
          double distance = naive_distance (before, at, grow < 0 ? 0 : 255);
          guint8 expected = distance <= abs (grow) && grow != 0 ? (grow < 0 ? 0 : 255) : before[at];

          if (fabs (distance - abs (grow)) > DISTANCE_ERROR)
            g_assert_cmpint (after[at], ==, expected);
        }
    }
}

/* Nothing outside is touched; inside it fades from the edge on. */
static void
test_feather (void)
{
  for (int i = 0; i < 60; i++)
    {
      guint8 before[MASK_WIDTH * MASK_HEIGHT], after[MASK_WIDTH * MASK_HEIGHT];
      double feather = g_test_rand_double_range (0, 9);

      fill_blobs (before);
      memcpy (after, before, sizeof after);
      switti_frame_feather_mask (MASK_WIDTH, MASK_HEIGHT, after, feather);
      for (int at = 0; at < MASK_WIDTH * MASK_HEIGHT; at++)
        {
          double share = MIN (naive_distance (before, at, 0) / (feather + 1), 1);

          if (before[at] == 0)
            g_assert_cmpint (after[at], ==, 0);
          else
            /* The steepest slope is pi / 2 over feather + 1 pixels, and it is rounded. */
            g_assert_cmpfloat_with_epsilon (after[at], 255 * (0.5 - 0.5 * cos (G_PI * share)),
                                            0.5 + 255 * G_PI / 2 * DISTANCE_ERROR / (feather + 1));
        }
    }
}

/* -- pixels ---------------------------------------------------------------------------------------------------- */

static double
naive_kernel (double x)
{
  x = fabs (x);
  return x < 1 ? 1.5 * x * x * x - 2.5 * x * x + 1 : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

/* One value of a resize, as a sum over all pixels, near and far. */
static double
naive_resize (const guint8 *in, int w_in, int h_in, int w_out, int h_out, int x, int y)
{
  const double sx = (double) w_in / w_out, sy = (double) h_in / h_out, kx = MAX (sx, 1), ky = MAX (sy, 1);
  const double cx = (x + 0.5) * sx - 0.5, cy = (y + 0.5) * sy - 0.5;
  const int far_x = (int) (3 * kx) + 2, far_y = (int) (3 * ky) + 2;
  double sum = 0, weights = 0;

  for (int j = (int) floor (cy) - far_y; j <= floor (cy) + far_y; j++)
    for (int i = (int) floor (cx) - far_x; i <= floor (cx) + far_x; i++)
      {
        double weight = naive_kernel ((i - cx) / kx) * naive_kernel ((j - cy) / ky);

        weights += weight;
        sum += weight * in[CLAMP (j, 0, h_in - 1) * w_in + CLAMP (i, 0, w_in - 1)];
      }
  return CLAMP (sum / weights, 0, 255);
}

static void
test_resize (void)
{
  static const int sizes[][4]
    = { { 7, 5, 7, 5 }, { 7, 5, 16, 3 }, { 40, 31, 9, 12 }, { 1, 1, 4, 3 }, { 5, 40, 64, 1 }, { 13, 13, 14, 12 } };

  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++)
    {
      const int w_in = sizes[s][0], h_in = sizes[s][1], w_out = sizes[s][2], h_out = sizes[s][3];
      g_autofree guint8 *in = g_malloc ((gsize) (w_in * h_in));
      g_autofree float *out = g_new (float, w_out * h_out);

      for (int i = 0; i < w_in * h_in; i++)
        in[i] = (guint8) g_test_rand_int_range (0, 256);
      switti_raster_resize (1, w_in, h_in, in, w_out, h_out, out);
      for (int i = 0; i < w_out * h_out; i++)
        /* Some hundred products of up to 255 in float32. */
        g_assert_cmpfloat_with_epsilon (out[i], naive_resize (in, w_in, h_in, w_out, h_out, i % w_out, i / w_out),
                                        1e-2);
    }
}

/* What is known stays, what is not lies between, and next to a steady border it is that. */
static void
test_spread (void)
{
  enum
  {
    WIDTH = 53,
    HEIGHT = 38
  };
  float values[WIDTH * HEIGHT * 2], known[WIDTH * HEIGHT];

  for (int i = 0; i < WIDTH * HEIGHT; i++)
    {
      int x = i % WIDTH, y = i / WIDTH;

      known[i] = x < 10 || x >= 45 || y < 4 ? 1 : 0;
      values[2 * i] = known[i] > 0 ? 77 : -1000;
      values[2 * i + 1] = known[i] > 0 ? (float) (x < 10 ? 20 : 220) : 1e6f;
    }
  switti_raster_spread (2, WIDTH, HEIGHT, known, values);
  for (int i = 0; i < WIDTH * HEIGHT; i++)
    {
      /* Sums of a few values in float32. */
      g_assert_cmpfloat_with_epsilon (values[2 * i], 77, 1e-3);
      if (known[i] > 0)
        g_assert_true (values[2 * i + 1] == (i % WIDTH < 10 ? 20 : 220));
      g_assert_cmpfloat (values[2 * i + 1], >=, 20 - 1e-3);
      g_assert_cmpfloat (values[2 * i + 1], <=, 220 + 1e-3);
    }
  g_assert_cmpfloat (values[2 * (20 * WIDTH + 11) + 1], <, values[2 * (20 * WIDTH + 42) + 1]);
  /* Where nothing is known there is nothing to spread. */
  memset (known, 0, sizeof known);
  memset (values, 0, sizeof values);
  switti_raster_spread (2, WIDTH, HEIGHT, known, values);
  for (int i = 0; i < WIDTH * HEIGHT * 2; i++)
    g_assert_true (isfinite (values[i]));
}

/* -- with the default model ------------------------------------------------------------------------------------ */

typedef struct
{
  SwittiBundle *bundle;
  SwittiGenerator *generator;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = switti_device_new ("cpu", 0, &error);

  g_assert_no_error (error);
  fixture->bundle = switti_bundle_open ("icons", &error);
  g_assert_no_error (error);
  fixture->generator = switti_generator_new (fixture->bundle, device, SWITTI_PRECISION_F32, NULL, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_clear_object (&fixture->generator);
  g_clear_object (&fixture->bundle);
}

static SwittiImage *
paint (Fixture *fixture, SwittiRequest *request)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) images = switti_generator_generate (fixture->generator, request, NULL, NULL, NULL, &error);

  g_assert_no_error (error);
  return g_object_ref (g_ptr_array_index (images, 0));
}

/* An icon that no model painted: crisp shapes on white. */
static void
draw_icon (guint8 *rgba)
{
  for (int i = 0; i < SIDE * SIDE; i++)
    {
      double x = i % SIDE - 127.5, y = i / SIDE - 127.5;
      guint32 colour = 0xffffff;

      if (hypot (x + 40, y) < 80)
        colour = 0x2090e0;
      if (fabs (y - 30 - 0.6 * x) < 12 && fabs (x) < 60)
        colour = 0x202020;
      if (hypot (x + 12, y + 20) < 20)
        colour = 0xf0c020;
      rgba[4 * i] = (guint8) (colour >> 16);
      rgba[4 * i + 1] = (guint8) (colour >> 8);
      rgba[4 * i + 2] = (guint8) colour;
      rgba[4 * i + 3] = 255;
    }
}

static void
paint_icon (Fixture *fixture, const char *prompt, guint64 seed, guint8 *rgba)
{
  g_autoptr (SwittiRequest) request = switti_request_new (fixture->bundle);
  g_autoptr (SwittiImage) image = NULL;
  const guint8 *rgb;

  g_object_set (request, "prompt", prompt, "seed", seed, NULL);
  image = paint (fixture, request);
  rgb = g_bytes_get_data (switti_image_get_pixels (image), NULL);
  for (int i = 0; i < SIDE * SIDE; i++)
    {
      memcpy (rgba + 4 * i, rgb + 3 * i, 3);
      rgba[4 * i + 3] = 255;
    }
}

/* Mean difference of the pixels to both sides of the line before column `at`, over rows and colours. */
static double
gradient_across (const guint8 *rgba, int at)
{
  double sum = 0;

  for (int y = 0; y < SIDE; y++)
    for (int c = 0; c < 3; c++)
      sum += abs (rgba[4 * (y * SIDE + at) + c] - rgba[4 * (y * SIDE + at - 1) + c]);
  return sum / (3 * SIDE);
}

/* The right half is completed; the gradient across the seam, and all that is left of it as it was. */
static double
complete_half (Fixture *fixture, const char *prompt, const guint8 *rgba)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) pixels = g_bytes_new (rgba, SIDE * SIDE * 4);
  g_autofree guint8 *half = g_malloc (SIDE * SIDE);
  g_autoptr (GBytes) mask = NULL;
  g_autoptr (SwittiFrame) frame = NULL;
  g_autoptr (SwittiRequest) request = switti_request_new (fixture->bundle);
  g_autoptr (SwittiImage) image = NULL;
  g_autoptr (GBytes) composite = NULL;
  const guint8 *after;

  for (int i = 0; i < SIDE * SIDE; i++)
    half[i] = i % SIDE < SIDE / 2 ? 0 : 255;
  mask = g_bytes_new (half, SIDE * SIDE);
  frame = switti_frame_new (SIDE, pixels, mask);
  g_object_set (request, "prompt", prompt, "seed", (guint64) 500, NULL);
  g_assert_true (switti_frame_prepare (frame, fixture->generator, request, NULL, &error));
  g_assert_no_error (error);
  image = paint (fixture, request);
  composite = switti_frame_composite (frame, image);
  after = g_bytes_get_data (composite, NULL);
  for (int i = 0; i < SIDE * SIDE; i++)
    if (half[i] == 0)
      g_assert_cmpmem (after + 4 * i, 4, rgba + 4 * i, 4);
  return gradient_across (after, SIDE / 2);
}

/* Within twice the original's gradient at the same place. */
static void
test_seam (Fixture *fixture, gconstpointer data)
{
  static const char *const prompts[] = { "a fox, flat style",   "a frog, flat style",      "a red apple, flat style",
                                         "a robot, flat style", "a sunflower, flat style", "a ghost, flat style" };
  g_autofree guint8 *rgba = g_malloc (SIDE * SIDE * 4);

  for (guint i = 0; i < G_N_ELEMENTS (prompts); i++)
    {
      double original, seam;

      if (i + 1 < G_N_ELEMENTS (prompts))
        paint_icon (fixture, prompts[i], 100 + i, rgba);
      else
        draw_icon (rgba);
      original = gradient_across (rgba, SIDE / 2);
      seam = complete_half (fixture, prompts[i], rgba);
      g_test_message ("%s: gradient %.2f at the seam, %.2f in the original", prompts[i], seam, original);
      g_assert_cmpfloat (seam, <=, 2 * original);
    }
}

/* A frame of any size, with soft and transparent parts: where the mask is 0 nothing changes, and what was painted shows
 * where it is 255. */
static void
test_composite (Fixture *fixture, gconstpointer data)
{
  static const int sides[] = { 1, 3, 90, 333 };

  for (guint s = 0; s < G_N_ELEMENTS (sides); s++)
    {
      const int side = sides[s], count = side * side;
      g_autoptr (GError) error = NULL;
      g_autofree guint8 *rgba = g_malloc ((gsize) count * 4), *part = g_malloc ((gsize) count);
      g_autoptr (GBytes) pixels = NULL;
      g_autoptr (GBytes) mask = NULL;
      g_autoptr (SwittiFrame) frame = NULL;
      g_autoptr (SwittiRequest) request = switti_request_new (fixture->bundle);
      g_autoptr (SwittiImage) image = NULL;
      g_autoptr (GBytes) painted = NULL;
      g_autoptr (GBytes) composite = NULL;
      const guint8 *after;

      for (int i = 0; i < count; i++)
        {
          guint32 random = (guint32) g_test_rand_int ();

          memcpy (rgba + 4 * i, &random, 4);
          part[i] = (guint8) CLAMP (255 - 2 * hypot (i % side - side / 2.0, i / side - side / 2.0) * 255 / side, 0,
                                    255);
        }
      part[count / 2] = 255;
      pixels = g_bytes_new (rgba, (gsize) count * 4);
      mask = g_bytes_new (part, (gsize) count);
      frame = switti_frame_new (side, pixels, mask);
      g_object_set (request, "prompt", "a fox, flat style", "stop-scale", 2, NULL);
      g_assert_true (switti_frame_prepare (frame, fixture->generator, request, NULL, &error));
      g_assert_no_error (error);
      image = paint (fixture, request);
      painted = switti_frame_paint (frame, image);
      composite = switti_frame_composite (frame, image);
      after = g_bytes_get_data (composite, NULL);
      for (int i = 0; i < count; i++)
        {
          const guint8 *there = (const guint8 *) g_bytes_get_data (painted, NULL) + 3 * i;

          if (part[i] == 0)
            g_assert_cmpmem (after + 4 * i, 4, rgba + 4 * i, 4);
          if (part[i] == 255)
            g_assert_cmpmem (after + 4 * i, 3, there, 3);
          if (part[i] == 255)
            g_assert_cmpint (after[4 * i + 3], ==, 255);
        }
    }
}

/* Its files are mapped, so a model that is deleted while it is open goes on; what has to look at a file says so. */
static void
test_deleted_model (void)
{
  g_autofree char *folder = g_dir_make_tmp ("switti-frame-XXXXXX", NULL);
  g_autofree char *copy = g_strdup_printf ("cp -r '%s/icons' '%s/model'", g_getenv ("SWITTI_MODEL_PATH"), folder);
  g_autofree char *delete = g_strdup_printf ("rm -r '%s'", folder);
  g_autofree char *path = g_build_filename (folder, "model", NULL);
  g_autofree guint8 *rgba = g_malloc (SIDE * SIDE * 4);
  g_autoptr (SwittiDevice) device = switti_device_new ("cpu", 0, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiSource) source = NULL;
  g_autoptr (SwittiRequest) request = NULL;
  Fixture fixture;

  g_assert_true (g_spawn_command_line_sync (copy, NULL, NULL, NULL, NULL));
  fixture.bundle = switti_bundle_open (path, &error);
  g_assert_no_error (error);
  fixture.generator = switti_generator_new (fixture.bundle, device, SWITTI_PRECISION_F32, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_spawn_command_line_sync (delete, NULL, NULL, NULL, NULL));
  /* The encoder is read now. */
  draw_icon (rgba);
  complete_half (&fixture, "a fox, flat style", rgba);
  request = switti_request_new (fixture.bundle);
  source = switti_source_new_for_recipe ("{\"prompt\": \"x\", \"model_hash\": \"0\"}", &error);
  g_object_set (request, "prompt", "a fox", "source", source, "keep-scales", 3, NULL);
  g_assert_null (switti_generator_generate (fixture.generator, request, NULL, NULL, NULL, &error));
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  tear_down (&fixture, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/frame/choose", test_choose);
  g_test_add_func ("/frame/grow", test_grow);
  g_test_add_func ("/frame/feather", test_feather);
  g_test_add_func ("/frame/resize", test_resize);
  g_test_add_func ("/frame/spread", test_spread);
  g_test_add ("/frame/seam", Fixture, NULL, set_up, test_seam, tear_down);
  g_test_add_func ("/frame/deleted-model", test_deleted_model);
  g_test_add ("/frame/composite", Fixture, NULL, set_up, test_composite, tear_down);
  return g_test_run ();
}
