/* test-dataset.c - lists of images and captions, and what is bad about them
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "data-test.h"
#include "switti-captions-private.h"
#include "switti-dataset-private.h"
#include "switti-error.h"

#include <string.h>

/* -- CSV ------------------------------------------------------------------------------------------------------- */

/* "name=caption" for each row, joined by "|". */
static void
on_row (guint row, const char *name, const char *caption, gpointer data)
{
  g_string_append_printf (data, "%s%s=%s", ((GString *) data)->len > 0 ? "|" : "", name ? name : "(none)",
                          caption ? caption : "(none)");
}

static char *
read_list (const char *text, gsize n_bytes, GError **error)
{
  g_autofree char *folder = data_folder (), *path = g_build_filename (folder, "list.csv", NULL);
  GString *rows = g_string_new (NULL);
  gboolean good;

  data_write (folder, "list.csv", text, n_bytes);
  good = switti_captions_read (path, on_row, rows, error);
  data_remove (folder);
  return g_string_free (rows, !good);
}

static void
test_csv (void)
{
  static const struct { const char *text, *rows; } cases[] = {
    { ",file_name,caption\n0,a.jpg,a cat\n1,b.jpg,a dog\n", "a.jpg=a cat|b.jpg=a dog" },
    { ",file_name,caption\r\n0,a.jpg,a cat\r\n1,b.jpg,a dog", "a.jpg=a cat|b.jpg=a dog" },
    { "\xef\xbb\xbf,file_name,caption\n0,a.jpg,a cat\n", "a.jpg=a cat" },
    { "\xef\xbb\xbf""file_name,caption\na.jpg,a cat\n", "a.jpg=a cat" },
    { ",file_name,caption\n0,a.jpg,\"a cat, \"\"grinning\"\",\non two\r\nlines\"\n",
      "a.jpg=a cat, \"grinning\",\non two\r\nlines" },
    { ",file_name,caption\n0,\"a, b.jpg\",x\n", "a, b.jpg=x" },
    { ",file_name,caption\n0, a.jpg, a cat \n", " a.jpg= a cat " },
    { ",file_name,caption\n0,a.jpg,5\" nails\n", "a.jpg=5\" nails" },
    { ",file_name,caption\n\n0,a.jpg,x\n\n\n", "a.jpg=x" },
    { ",file_name,caption\n0,a.jpg\n1\n2,c.jpg,z,more\n", "a.jpg=(none)|(none)=(none)|c.jpg=z" },
    { ",file_name,caption\n0,a.jpg,\n", "a.jpg=" },
    { "caption,id,file_name\nx,7,a.jpg\n", "a.jpg=x" },
    { ",file_name,caption\n", "" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *rows = read_list (cases[i].text, strlen (cases[i].text), &error);

      g_assert_no_error (error);
      g_assert_cmpstr (rows, ==, cases[i].rows);
    }
}

static void
test_csv_refused (void)
{
  g_autofree char *endless = g_strnfill (3 << 20, 'x');
  static const char *const cases[] = { "", "a,b,c\n0,a.jpg,x\n", "\n\n", ",file_name,text\n0,a.jpg,x\n",
                                       ",file_name,caption\n0,a.jpg,\"never closed\n1,b.jpg,x\n" };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (read_list (cases[i], strlen (cases[i]), &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
      g_assert_nonnull (strstr (error->message, "list.csv"));
    }
  memcpy (endless, ",file_name,caption\n0,a,\"", 24);
  {
    g_autoptr (GError) error = NULL;

    g_assert_null (read_list (endless, 3 << 20, &error));
    g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
    g_assert_nonnull (strstr (error->message, "1 MiB"));
  }
}

/* A field across the pieces in which a file is read. */
static void
test_csv_long (void)
{
  g_autoptr (GString) text = g_string_new (",file_name,caption\n"), expected = g_string_new (NULL);
  g_autofree char *rows = NULL;
  g_autoptr (GError) error = NULL;

  for (int i = 0; i < 9000; i++)
    {
      g_string_append_printf (text, "%d,%d.jpg,\"caption, %d\"\n", i, i, i);
      g_string_append_printf (expected, "%s%d.jpg=caption, %d", i ? "|" : "", i, i);
    }
  rows = read_list (text->str, text->len, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (rows, ==, expected->str);
}

/* -- folders --------------------------------------------------------------------------------------------------- */

static const guint8 grey[] = { 100, 100, 100 };

/* Two good images; and one of each way to be bad. */
static char *
make_folder (void)
{
  static const char list[] = ",file_name,caption\n"
                             "0,b.png,second\n"
                             "1,a.png,\"first, and more\"\n"
                             "2,gone.png,a file that is not there\n"
                             "3,empty.png,\n"
                             "4,../train2014/a.png,outside\n"
                             "5,/etc/passwd,outside\n"
                             "6,,no name\n"
                             "7,latin.png,caf\xe9\n"
                             "8,sub/c.png,below\n"
                             "9,broken.png,broken\n";
  char *folder = data_folder ();

  data_write (folder, "train2014.csv", list, sizeof list - 1);
  data_write_square (folder, "train2014/a.png", 20, grey);
  data_write_square (folder, "train2014/b.png", 24, grey);
  data_write_square (folder, "train2014/empty.png", 24, grey);
  data_write_square (folder, "train2014/latin.png", 24, grey);
  data_write_square (folder, "train2014/unlisted.PNG", 24, grey);
  data_write_square (folder, "train2014/sub/c.png", 24, grey);
  data_write (folder, "train2014/broken.png", "\x89PNG", 4);
  data_write (folder, "train2014/README", "no image", 8);
  return folder;
}

static void
test_folder (void)
{
  g_autofree char *folder = make_folder ();
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDataset) dataset = switti_dataset_open (folder, "train2014", 100, &error);
  g_auto (GStrv) reports = NULL, more = NULL, none = NULL;
  g_autoptr (GBytes) file = NULL;

  g_assert_no_error (error);
  g_assert_cmpuint (switti_dataset_get_n (dataset), ==, 4);
  g_assert_cmpstr (switti_dataset_get_file_name (dataset, 0), ==, "b.png");
  g_assert_cmpstr (switti_dataset_get_caption (dataset, 0), ==, "second");
  g_assert_cmpstr (switti_dataset_get_caption (dataset, 1), ==, "first, and more");
  g_assert_cmpstr (switti_dataset_get_file_name (dataset, 2), ==, "sub/c.png");

  g_assert_cmpuint (switti_dataset_get_n_bad (dataset), ==, 7);
  reports = switti_dataset_take_reports (dataset);
  g_assert_cmpuint (g_strv_length (reports), ==, 7);
  g_assert_nonnull (strstr (reports[0], "gone.png"));
  g_assert_nonnull (strstr (reports[1], "empty.png"));
  g_assert_nonnull (strstr (reports[6], "unlisted.PNG"));

  /* Found to be bad later: told of once. */
  g_assert_false (switti_dataset_is_bad (dataset, 3));
  g_assert_true (switti_dataset_add_bad (dataset, 3, "it is broken", &error));
  g_assert_true (switti_dataset_add_bad (dataset, 3, "it is broken", &error));
  g_assert_true (switti_dataset_is_bad (dataset, 3));
  g_assert_cmpuint (switti_dataset_get_n_bad (dataset), ==, 8);
  more = switti_dataset_take_reports (dataset);
  g_assert_cmpuint (g_strv_length (more), ==, 1);
  g_assert_cmpstr (more[0], ==, "broken.png is left out: it is broken.");
  none = switti_dataset_take_reports (dataset);
  g_assert_cmpuint (g_strv_length (none), ==, 0);
  file = switti_dataset_read (dataset, 2, &error);
  g_assert_no_error (error);
  data_remove (folder);
}

static void
test_too_many (void)
{
  g_autofree char *folder = make_folder ();
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDataset) dataset = switti_dataset_open (folder, "train2014", 6, &error);

  g_assert_null (dataset);
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "More than 6 images"));
  g_assert_nonnull (strstr (error->message, "unlisted.PNG"));
  g_clear_error (&error);

  dataset = switti_dataset_open (folder, "train2014", 7, &error);
  g_assert_no_error (error);
  g_assert_false (switti_dataset_add_bad (dataset, 3, "it is broken", &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "broken.png"));
  data_remove (folder);
}

static void
test_absent (void)
{
  g_autofree char *folder = data_folder ();
  g_autoptr (GError) error = NULL;

  g_assert_null (switti_dataset_open (folder, "train2014", 9, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_clear_error (&error);
  data_write_square (folder, "train2014/a.png", 8, grey);
  g_assert_null (switti_dataset_open (folder, "train2014", 9, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "train2014.csv"));
  g_clear_error (&error);
  /* A list without a single good row is no training folder. */
  data_write (folder, "train2014.csv", ",file_name,caption\n", 19);
  g_assert_null (switti_dataset_open (folder, "train2014", 9, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  data_remove (folder);
}

int
main (int argc, char **argv)
{
  data_init (&argc, &argv);
  g_test_add_func ("/dataset/csv", test_csv);
  g_test_add_func ("/dataset/csv-refused", test_csv_refused);
  g_test_add_func ("/dataset/csv-long", test_csv_long);
  g_test_add_func ("/dataset/folder", test_folder);
  g_test_add_func ("/dataset/too-many", test_too_many);
  g_test_add_func ("/dataset/absent", test_absent);
  return g_test_run ();
}
