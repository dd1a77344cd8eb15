/* test-sheet.c - contact sheets, and statistics of logits
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "data-test.h"
#include "switti-error.h"
#include "switti-logit-statistics-private.h"
#include "switti-sheet-private.h"

#include <math.h>
#include <string.h>

static const guint8 *
pixel (const SwittiSheet *sheet, int x, int y)
{
  return switti_sheet_get_pixels (sheet) + (y * switti_sheet_get_width (sheet) + x) * 3;
}

/* Pixels that are not white in a rectangle. */
static int
count_ink (const SwittiSheet *sheet, int left, int top, int width, int height)
{
  int n = 0;

  for (int y = top; y < top + height; y++)
    for (int x = left; x < left + width; x++)
      n += pixel (sheet, x, y)[0] != 255;
  return n;
}

static void
test_sheet (void)
{
  enum { SIDE = 100 };
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiSheet) sheet = switti_sheet_new (3, 2, SIDE, TRUE, &error);
  g_autofree guint8 *dark = g_malloc0 (SIDE * SIDE * 3);

  g_assert_no_error (error);
  g_assert_cmpint (switti_sheet_get_width (sheet), ==, 2 * SIDE + 3 * 4);
  g_assert_cmpint (switti_sheet_get_height (sheet), ==, 2 * (SIDE + 10) + 3 * 4);
  dark[0] = 77;
  switti_sheet_place (sheet, 0, dark, "a very long caption that does not fit into its place, whatever it says <&>");
  switti_sheet_place (sheet, 2, dark, NULL);
  g_assert_cmpint (pixel (sheet, 4, 4)[0], ==, 77);
  g_assert_cmpint (pixel (sheet, 4, 4)[1], ==, 0);
  g_assert_cmpint (pixel (sheet, 3, 4)[0], ==, 255);
  g_assert_cmpint (pixel (sheet, 4 + SIDE, 5)[0], ==, 255);
  g_assert_cmpint (pixel (sheet, 4, 4 + SIDE + 10 + 4)[0], ==, 77);
  /* The caption is below its picture, and nowhere else. */
  g_assert_cmpint (count_ink (sheet, 4, 4 + SIDE, SIDE, 10), >, 50);
  g_assert_cmpint (count_ink (sheet, 4 + SIDE, 0, SIDE + 8, 4 + SIDE + 10), ==, 0);
  g_assert_cmpint (count_ink (sheet, 0, 8 + 2 * SIDE + 10, 2 * SIDE, 10), ==, 0);
}

static void
test_save (void)
{
  g_autofree char *folder = data_folder (), *path = g_build_filename (folder, "sheet.png", NULL);
  g_autofree char *nowhere = g_build_filename (folder, "no", "sheet.png", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiSheet) sheet = switti_sheet_new (5, 0, 8, FALSE, &error);
  g_autoptr (VipsImage) image = NULL;

  g_assert_cmpint (switti_sheet_get_width (sheet), ==, 3 * 8 + 4 * 4);
  g_assert_cmpint (switti_sheet_get_height (sheet), ==, 2 * 8 + 3 * 4);
  g_assert_true (switti_sheet_save (sheet, path, NULL, &error));
  image = vips_image_new_from_file (path, NULL);
  g_assert_nonnull (image);
  g_assert_cmpint (image->Xsize, ==, 40);
  g_assert_false (switti_sheet_save (sheet, nowhere, NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_clear_error (&error);
  g_assert_null (switti_sheet_new (1000000, 0, 256, FALSE, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
  data_remove (folder);
}

/* Two images of 1 + 4 tokens, 4 codes; in pieces that end within an image. */
static void
test_statistics (void)
{
  const SwittiSchedule schedule = { .n_scales = 2, .side = { 1, 2 } };
  g_autoptr (SwittiLogitStatistics) statistics = switti_logit_statistics_new (&schedule, 4);
  float logits[10][4];

  for (int row = 0; row < 10; row++)
    for (int v = 0; v < 4; v++)
      logits[row][v] = row % 5 == 0 ? (float) (v + row) : (v == 2 ? 3 : 0);
  for (int run = 0; run < 2; run++)
    {
      switti_logit_statistics_clear (statistics);
      switti_logit_statistics_add (statistics, 0, 3, logits[0]);
      switti_logit_statistics_add (statistics, 3, 7, logits[3]);
      /* 0 1 2 3 and 5 6 7 8; then 0 0 3 0, with mean 3/4. */
      g_assert_cmpfloat_with_epsilon (switti_logit_statistics_get_deviation (statistics, 0), sqrt (5.0 / 3), 1e-9);
      g_assert_cmpfloat_with_epsilon (switti_logit_statistics_get_norm (statistics, 0),
                                      (sqrt (14) + sqrt (25 + 36 + 49 + 64)) / 2, 1e-9);
      g_assert_cmpfloat_with_epsilon (switti_logit_statistics_get_deviation (statistics, 1),
                                      sqrt ((3 * 0.75 * 0.75 + 2.25 * 2.25) / 3), 1e-9);
      g_assert_cmpfloat_with_epsilon (switti_logit_statistics_get_norm (statistics, 1), 3, 1e-9);
      g_assert_cmpfloat_with_epsilon (switti_logit_statistics_get_usage (statistics), 0.5, 1e-9);
    }
}

int
main (int argc, char **argv)
{
  data_init (&argc, &argv);
  g_test_add_func ("/sheet/sheet", test_sheet);
  g_test_add_func ("/sheet/save", test_save);
  g_test_add_func ("/sheet/statistics", test_statistics);
  return g_test_run ();
}
