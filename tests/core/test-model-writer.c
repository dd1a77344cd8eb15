/* test-model-writer.c - model folders that appear in one step, and files that are continued
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-error.h"
#include "switti-model-writer-private.h"

#include <glib/gstdio.h>
#include <string.h>

#define N_VALUES 1000

typedef struct
{
  char *folder, *path; /* of a model in it */
} Place;

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) entries = g_dir_open (path, 0, NULL);
  const char *name;

  while (entries != NULL && (name = g_dir_read_name (entries)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      remove_tree (child);
    }
  g_remove (path);
}

static void
set_up (Place *place, gconstpointer data)
{
  place->folder = g_dir_make_tmp ("switti-writer-XXXXXX", NULL);
  place->path = g_build_filename (place->folder, "models", "mine", NULL);
}

static void
tear_down (Place *place, gconstpointer data)
{
  remove_tree (place->folder);
  g_free (place->folder);
  g_free (place->path);
}

/* Names in the folder of the models, sorted and joined. */
static char *
list_models (Place *place)
{
  g_autofree char *folder = g_path_get_dirname (place->path);
  g_autoptr (GDir) entries = g_dir_open (folder, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while (entries != NULL && (name = g_dir_read_name (entries)) != NULL)
    g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort_values (names, (GCompareFunc) strcmp);
  g_ptr_array_add (names, NULL);
  return g_strjoinv (" ", (char **) names->pdata);
}

static char *
read_file (Place *place, const char *relative)
{
  g_autofree char *path = g_build_filename (place->path, relative, NULL);
  char *contents = NULL;

  g_file_get_contents (path, &contents, NULL, NULL);
  return contents;
}

static void
write_model (Place *place, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiModelWriter) writer = switti_model_writer_new (place->path, FALSE, &error);

  g_assert_no_error (error);
  g_assert_true (switti_model_writer_add_text (writer, "model_index.json", "{}", -1, &error));
  g_assert_true (switti_model_writer_add_text (writer, "part/text.txt", text, -1, &error));
  g_assert_true (switti_model_writer_finish (writer, NULL, &error));
  g_assert_no_error (error);
}

static void
test_replace (Place *place, gconstpointer data)
{
  static const char *const texts[] = { "one", "two", "three" };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autofree char *names = NULL;
      g_autofree char *text = NULL;
      g_autoptr (GError) error = NULL;

      write_model (place, texts[i]);
      names = list_models (place);
      text = read_file (place, "part/text.txt");
      g_assert_cmpstr (names, ==, "mine");
      g_assert_cmpstr (text, ==, texts[i]);
      g_assert_true (switti_model_verify (place->path, NULL, NULL, NULL, &error));
      g_assert_no_error (error);
    }
}

/* An unfinished one leaves the old model; a second writer is kept out meanwhile. */
static void
test_unfinished (Place *place, gconstpointer data)
{
  g_autofree char *names = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  SwittiModelWriter *writer;

  write_model (place, "old");
  writer = switti_model_writer_new (place->path, FALSE, &error);
  g_assert_true (switti_model_writer_add_text (writer, "part/text.txt", "new", -1, NULL));
  g_assert_null (switti_model_writer_new (place->path, FALSE, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "going on"));
  switti_model_writer_free (writer);
  names = list_models (place);
  text = read_file (place, "part/text.txt");
  g_assert_cmpstr (names, ==, "mine");
  g_assert_cmpstr (text, ==, "old");
}

/* What a killed run left, on a file system that can exchange folders and on one that cannot. */
static void
test_leftovers (Place *place, gconstpointer data)
{
  g_autofree char *folder = g_path_get_dirname (place->path);
  g_autofree char *partial = g_build_filename (folder, ".mine.partial", NULL);
  g_autofree char *junk = g_build_filename (partial, "junk", NULL);
  g_autofree char *old = g_build_filename (folder, ".mine.old", NULL);
  g_autofree char *text = NULL;
  g_autofree char *names = NULL;

  write_model (place, "old");
  g_assert_cmpint (g_mkdir (partial, 0777), ==, 0);
  g_assert_true (g_file_set_contents (junk, "x", -1, NULL));
  g_assert_cmpint (g_rename (place->path, old), ==, 0);
  switti_model_recover (place->path);
  text = read_file (place, "part/text.txt");
  g_assert_cmpstr (text, ==, "old");
  g_assert_false (g_file_test (old, G_FILE_TEST_EXISTS));

  write_model (place, "new");
  names = list_models (place);
  g_assert_cmpstr (names, ==, "mine");
  g_assert_cmpint (g_mkdir (old, 0777), ==, 0);
  switti_model_recover (place->path);
  g_assert_false (g_file_test (old, G_FILE_TEST_EXISTS));
}

static void
test_remove (Place *place, gconstpointer data)
{
  g_autofree char *names = NULL;
  g_autofree char *other = g_build_filename (place->folder, "other", NULL);
  g_autofree char *file = g_build_filename (other, "diary.txt", NULL);
  g_autoptr (GError) error = NULL;

  write_model (place, "old");
  g_assert_true (switti_model_remove (place->path, &error));
  g_assert_no_error (error);
  names = list_models (place);
  g_assert_cmpstr (names, ==, "");
  g_assert_false (switti_model_remove (place->path, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_clear_error (&error);

  g_assert_cmpint (g_mkdir (other, 0777), ==, 0);
  g_assert_true (g_file_set_contents (file, "dear diary", -1, NULL));
  g_assert_false (switti_model_remove (other, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
  g_assert_true (g_file_test (file, G_FILE_TEST_EXISTS));
}

static void
test_verify (Place *place, gconstpointer data)
{
  const char *sums[] = { "short\n", NULL /* outside */ };
  g_autofree char *path = g_build_filename (place->path, "part", "text.txt", NULL);
  g_autofree char *sums_path = g_build_filename (place->path, "SHA256SUMS", NULL);
  g_autofree char *outside = NULL;
  g_autoptr (GError) error = NULL;

  write_model (place, "old");
  g_assert_true (g_file_set_contents (path, "odd", -1, NULL));
  g_assert_false (switti_model_verify (place->path, NULL, NULL, NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_assert_nonnull (strstr (error->message, "part/text.txt"));
  g_clear_error (&error);
  g_unlink (path);
  g_assert_false (switti_model_verify (place->path, NULL, NULL, NULL, &error));
  g_assert_nonnull (strstr (error->message, "part/text.txt"));
  g_clear_error (&error);
  sums[1] = outside = g_strdup_printf ("%064d  ../../secret\n", 0);
  for (guint i = 0; i < G_N_ELEMENTS (sums); i++)
    {
      g_assert_true (g_file_set_contents (sums_path, sums[i], -1, NULL));
      g_assert_false (switti_model_verify (place->path, NULL, NULL, NULL, &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
      g_clear_error (&error);
    }
  g_unlink (sums_path);
  g_assert_false (switti_model_verify (place->path, NULL, NULL, NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
}

/* Whatever the pieces and wherever it was left: the file and its hash are those of one written at once. */
static void
test_continue (Place *place, gconstpointer data)
{
  const char *const names[] = { "a", "b" };
  const SwittiTensor shapes[] = { { SWITTI_DTYPE_F32, 1, { N_VALUES / 2 }, NULL },
                                  { SWITTI_DTYPE_F32, 2, { N_VALUES / 10, 5 }, NULL } };
  g_autofree char *path = g_build_filename (place->folder, "file.safetensors", NULL);
  g_autofree char *note = g_strconcat (path, ".position", NULL);
  g_autofree float *values = g_new (float, N_VALUES);
  g_autofree char *expected = NULL;
  g_autoptr (GRand) random = g_rand_new_with_seed (5);

  for (int i = 0; i < N_VALUES; i++)
    values[i] = (float) i;
  for (int trial = 0; trial < 20; trial++)
    {
      g_autofree char *hash = NULL;
      g_autofree char *contents = NULL;
      g_autofree char *own = NULL;
      gsize length;

      g_unlink (path);
      g_unlink (note);
      while (hash == NULL)
        {
          g_autoptr (GError) error = NULL;
          g_autoptr (SwittiSafetensorsWriter) writer =
              switti_safetensors_writer_new (path, names, shapes, 2, NULL, trial > 0, &error);
          guint64 position;

          g_assert_no_error (error);
          g_assert_cmpuint (switti_safetensors_writer_get_size (writer), ==, N_VALUES * sizeof (float));
          /* The first time all at once; later a piece at a time, and the writer is left after one in three. */
          while ((position = switti_safetensors_writer_get_position (writer)) < N_VALUES * sizeof (float))
            {
              gsize rest = N_VALUES * sizeof (float) - position;
              gsize piece = 4 * (gsize) g_rand_int_range (random, 1, 200);
              gsize n = trial == 0 ? rest : MIN (rest, piece);

              g_assert_true (switti_safetensors_writer_append (writer, (guint8 *) values + position, n, &error));
              if (trial > 0 && g_rand_int_range (random, 0, 3) == 0)
                break;
            }
          if (position == N_VALUES * sizeof (float) ||
              switti_safetensors_writer_get_position (writer) == N_VALUES * sizeof (float))
            g_assert_true (switti_safetensors_writer_finish (writer, &hash, &error));
        }
      g_assert_true (g_file_get_contents (path, &contents, &length, NULL));
      own = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guint8 *) contents, length);
      g_assert_cmpstr (hash, ==, own);
      if (trial == 0)
        expected = g_strdup (hash);
      g_assert_cmpstr (hash, ==, expected);
    }
}

/* Another file's beginning is not continued. */
static void
test_continue_another (Place *place, gconstpointer data)
{
  const char *const names[] = { "a" };
  SwittiTensor shape = { SWITTI_DTYPE_F32, 1, { 4 }, NULL };
  g_autofree char *path = g_build_filename (place->folder, "file.safetensors", NULL);
  const float values[4] = { 1, 2, 3, 4 };

  for (int n = 4; n <= 8; n += 4)
    {
      g_autoptr (SwittiSafetensorsWriter) writer = NULL;

      shape.dims[0] = n;
      writer = switti_safetensors_writer_new (path, names, &shape, 1, NULL, TRUE, NULL);
      g_assert_cmpuint (switti_safetensors_writer_get_position (writer), ==, 0);
      g_assert_true (switti_safetensors_writer_append (writer, values, 8, NULL));
    }
}

int
main (int argc, char *argv[])
{
  static const struct
  {
    const char *path;
    void (*test) (Place *place, gconstpointer data);
  } tests[] = {
    { "/model-writer/replace", test_replace },
    { "/model-writer/unfinished", test_unfinished },
    { "/model-writer/leftovers", test_leftovers },
    { "/model-writer/remove", test_remove },
    { "/model-writer/verify", test_verify },
    { "/model-writer/continue", test_continue },
    { "/model-writer/continue-another", test_continue_another },
  };

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Place, NULL, set_up, tests[i].test, tear_down);
  return g_test_run ();
}
