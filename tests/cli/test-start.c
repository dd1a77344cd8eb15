/* test-start.c - `switti generate` from another picture: --init, --source, --mask, --keep-scales, --stop-scale
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * $SWITTI_CLI is the program. Pictures are of the default model.
 */
#include "switti-png-private.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>

#define SIDE 256 /* of the default model's pictures */

static char *folder;

static char *
path_of (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

/* Runs `switti generate` in the test's folder; the words on stderr, or NULL where it ended with 0. */
static char *
generate (const char *const *words)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  char *err = NULL;
  int wait_status;

  g_ptr_array_add (argv, (gpointer) g_getenv ("SWITTI_CLI"));
  g_ptr_array_add (argv, (gpointer) "generate");
  for (guint i = 0; words[i]; i++)
    g_ptr_array_add (argv, (gpointer) words[i]);
  g_ptr_array_add (argv, NULL);
  g_assert_true (g_spawn_sync (folder, (char **) argv->pdata, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, &err,
                               &wait_status, &error));
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (wait_status));
  if (WEXITSTATUS (wait_status) != 0)
    return err;
  g_assert_cmpstr (err, ==, "");
  g_free (err);
  return NULL;
}

#define GENERATE(...) g_assert_null (generate ((const char *const[]){ __VA_ARGS__, NULL }))

static void
assert_refused (const char *words, const char *const *arguments)
{
  g_autofree char *said = generate (arguments);

  g_assert_nonnull (said);
  g_test_message ("%s", said);
  g_assert_nonnull (strstr (said, words));
  g_assert_true (strchr (said, '\n') == said + strlen (said) - 1);
}

#define REFUSED(words, ...) assert_refused (words, (const char *const[]){ __VA_ARGS__, NULL })

static GBytes *
load (const char *name, int *width, int *height)
{
  g_autofree char *path = path_of (name);
  g_autoptr (GError) error = NULL;
  int w, h;
  GBytes *pixels = switti_png_load (path, width ? width : &w, height ? height : &h, &error);

  g_assert_no_error (error);
  return pixels;
}

static gboolean
same_pixels (const char *a, const char *b)
{
  g_autoptr (GBytes) of_a = load (a, NULL, NULL);
  g_autoptr (GBytes) of_b = load (b, NULL, NULL);

  return g_bytes_equal (of_a, of_b);
}

/* Writes a PNG of width x height whose pixels are value (x, y). */
static void
write_png (const char *name, int width, int height, guint32 (*value) (int x, int y))
{
  g_autofree char *path = path_of (name);
  g_autofree guint8 *pixels = g_malloc ((gsize) (width * height * 4));
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) png = NULL;

  for (int i = 0; i < width * height; i++)
    for (int c = 0; c < 4; c++)
      pixels[4 * i + c] = (guint8) (value (i % width, i / width) >> (8 * c));
  png = switti_png_encode_rgba (width, height, pixels, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (switti_png_save (png, path, &error));
}

/* Red slope, some of it transparent. */
static guint32
slope (int x, int y)
{
  return (guint32) (x % 256) | 120u << 8 | (guint32) (y % 256) << 16 | (y < 20 ? (guint32) (12 * y) : 255u) << 24;
}

#define WHITE 0xffffffffu
#define BLACK 0xff000000u

/* White in a shape that touches two edges; half-transparent white in a part of it. */
static guint32
corner (int x, int y)
{
  return x > 150 && y > 60 && x + y > 240 ? (x > 250 ? 0x80ffffffu : WHITE) : BLACK;
}

static guint32
all_black (int x, int y)
{
  return BLACK;
}

static guint32
left_half (int x, int y)
{
  return x < 64 ? WHITE : 0;
}

/* -- tests ------------------------------------------------------------------------------------------------------- */

static void
test_source (void)
{
  GENERATE ("a fox, flat style", "--seed", "3", "-o", "fox.png");
  GENERATE ("a robot, flat style", "--seed", "8", "-o", "robot.png");
  GENERATE ("a robot, flat style", "--seed", "8", "--source", "fox.png", "--keep-scales", "10", "-o", "all.png");
  g_assert_true (same_pixels ("all.png", "fox.png"));
  GENERATE ("a robot, flat style", "--seed", "8", "--source", "fox.png", "--keep-scales", "0", "-o", "none.png");
  g_assert_true (same_pixels ("none.png", "robot.png"));
  GENERATE ("a robot, flat style", "--seed", "8", "--source", "fox.png", "-o", "half.png");
  GENERATE ("a robot, flat style", "--seed", "8", "--source", "fox.png", "--keep-scales", "5", "-o", "five.png");
  g_assert_true (same_pixels ("half.png", "five.png"));
  g_assert_false (same_pixels ("half.png", "robot.png"));
  GENERATE ("--recipe", "half.png", "-o", "again.png");
  g_assert_true (same_pixels ("half.png", "again.png"));
}

/* A mask of any size on a painted picture; the recipe has it. */
static void
test_source_mask (void)
{
  write_png ("left.png", 128, 128, left_half);
  GENERATE ("a robot, flat style", "--seed", "8", "--source", "fox.png", "--mask", "left.png", "-o", "mixed.png");
  g_assert_false (same_pixels ("mixed.png", "fox.png"));
  GENERATE ("--recipe", "mixed.png", "-o", "again.png");
  g_assert_true (same_pixels ("mixed.png", "again.png"));
}

static void
test_stop (void)
{
  GENERATE ("a fox, flat style", "--seed", "3", "--stop-scale", "4", "-o", "sketch.png");
  GENERATE ("a fox, flat style", "--seed", "3", "--preview-dir", "previews", "-o", "whole.png");
  g_assert_true (same_pixels ("sketch.png", "previews/image-0001-scale-03.png"));
  GENERATE ("--recipe", "sketch.png", "-o", "finished.png");
  g_assert_true (same_pixels ("finished.png", "fox.png"));
}

/* Any picture, not square: what is written without a mask has the model's size, and its recipe makes it again. */
static void
test_init (void)
{
  int width, height;
  g_autoptr (GBytes) pixels = NULL;

  write_png ("slope.png", 290, 180, slope);
  GENERATE ("a fox, flat style", "--seed", "3", "--init", "slope.png", "--keep-scales", "6", "-o", "varied.png");
  pixels = load ("varied.png", &width, &height);
  g_assert_cmpint (width, ==, SIDE);
  g_assert_cmpint (height, ==, SIDE);
  GENERATE ("--recipe", "varied.png", "-o", "again.png");
  g_assert_true (same_pixels ("varied.png", "again.png"));
}

/* The whole picture, where the mask is black to the bit, also what is transparent there. */
static void
test_fill (void)
{
  int width, height, painted = 0, masked = 0;
  g_autoptr (GBytes) before = load ("slope.png", NULL, NULL);
  g_autoptr (GBytes) after = NULL;
  const guint8 *a, *b;

  write_png ("corner.png", 290, 180, corner);
  GENERATE ("a fox, flat style", "--seed", "3", "--init", "slope.png", "--mask", "corner.png", "-o", "filled.png");
  after = load ("filled.png", &width, &height);
  g_assert_cmpint (width, ==, 290);
  g_assert_cmpint (height, ==, 180);
  a = g_bytes_get_data (before, NULL);
  b = g_bytes_get_data (after, NULL);
  for (int i = 0; i < width * height; i++)
    if (corner (i % width, i / width) == BLACK)
      g_assert_cmpmem (a + 4 * i, 4, b + 4 * i, 4);
    else
      {
        masked++;
        painted += memcmp (a + 4 * i, b + 4 * i, 4) != 0;
      }
  g_assert_cmpint (painted, >, masked / 2);
  GENERATE ("a fox, flat style", "--seed", "3", "--init", "slope.png", "--mask", "corner.png", "-o", "again.png");
  g_assert_true (same_pixels ("filled.png", "again.png"));
}

static void
test_refusals (void)
{
  write_png ("black.png", 290, 180, all_black);
  REFUSED ("both name", "x", "--init", "slope.png", "--source", "fox.png");
  REFUSED ("give the source", "x", "--mask", "left.png");
  REFUSED ("black all over", "x", "--init", "slope.png", "--mask", "black.png");
  REFUSED ("128×128", "x", "--init", "slope.png", "--mask", "left.png");
  REFUSED ("no-such.png", "x", "--init", "no-such.png");
  REFUSED ("slope.png", "x", "--source", "slope.png");
  REFUSED ("keep-scales", "x", "--source", "fox.png", "--keep-scales", "11");
  REFUSED ("--feather", "x", "--init", "slope.png", "--feather=-1");
  REFUSED ("--grow", "x", "--init", "slope.png", "--grow", "5000");
}

static void
remove_folder (void)
{
  g_autofree char *command = g_strdup_printf ("rm -r '%s'", folder);

  g_assert_true (g_spawn_command_line_sync (command, NULL, NULL, NULL, NULL));
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  g_assert_nonnull (g_getenv ("SWITTI_CLI"));
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  folder = g_dir_make_tmp ("switti-start-XXXXXX", NULL);
  g_assert_nonnull (folder);
  /* In this order: later ones use the pictures of the first. */
  g_test_add_func ("/start/1-source", test_source);
  g_test_add_func ("/start/2-source-mask", test_source_mask);
  g_test_add_func ("/start/3-stop", test_stop);
  g_test_add_func ("/start/4-init", test_init);
  g_test_add_func ("/start/5-fill", test_fill);
  g_test_add_func ("/start/6-refusals", test_refusals);
  status = g_test_run ();
  remove_folder ();
  return status;
}
