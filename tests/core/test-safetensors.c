/* test-safetensors.c - every rule of the format, and the writer
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-error.h"
#include "switti-safetensors-private.h"

#include <glib/gstdio.h>
#include <string.h>

/* A file of this header, without or with a length of its own choice, and n_data bytes counting up. */
static GBytes *
build_file (const char *header, gint64 stated_length, gsize n_data)
{
  GByteArray *file = g_byte_array_new ();
  guint64 length = GUINT64_TO_LE (stated_length >= 0 ? (guint64) stated_length : strlen (header));

  g_byte_array_append (file, (const guint8 *) &length, 8);
  g_byte_array_append (file, (const guint8 *) header, (guint) strlen (header));
  for (gsize i = 0; i < n_data; i++)
    {
      guint8 byte = (guint8) i;

      g_byte_array_append (file, &byte, 1);
    }
  return g_byte_array_free_to_bytes (file);
}

#define ENTRY(name, dtype, shape, begin, end)                                                                         \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static void
test_good (void)
{
  static const struct
  {
    const char *header;
    gsize n_data;
    guint n_names;
  } cases[] = {
    { "{}", 0, 0 },
    { "{}      ", 0, 0 },
    { "{\"__metadata__\":{}}", 0, 0 },
    { "{\"__metadata__\":{\"format\":\"pt\"}," ENTRY ("a", "F32", "[2,3]", 0, 24) "}  ", 24, 1 },
    { "{" ENTRY ("b", "U8", "[3]", 4, 7) "," ENTRY ("a", "F32", "[]", 0, 4) "}", 7, 2 },
    { "{" ENTRY ("empty", "F32", "[0]", 0, 0) "}", 0, 1 },
    { "{" ENTRY ("empty", "F32", "[5,0,7]", 4, 4) "," ENTRY ("a", "I32", "[1]", 0, 4) "}", 4, 2 },
    { "{" ENTRY ("a", "BF16", "[1,1,1,1,1,1,1,2]", 0, 4) "}", 4, 1 },
    { "{" ENTRY ("a", "F64", "[1]", 0, 8) "," ENTRY ("b", "I64", "[1]", 8, 16) "," ENTRY ("c", "F16", "[1]", 16, 18) ","
      ENTRY ("d", "F8_E4M3", "[1]", 18, 19) "," ENTRY ("e", "BOOL", "[1]", 19, 20) "}", 20, 5 },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2],\"comment\":\"no harm\"}}", 2, 1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GBytes) file = build_file (cases[i].header, -1, cases[i].n_data);
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiSafetensors) tensors = switti_safetensors_new_from_bytes (file, "case", &error);

      g_assert_no_error (error);
      g_assert_cmpuint (g_strv_length ((char **) switti_safetensors_list (tensors)), ==, cases[i].n_names);
    }
}

static void
test_views (void)
{
  g_autoptr (GBytes) file =
      build_file ("{\"__metadata__\":{\"format\":\"pt\",\"n\":\"\"}," ENTRY ("z", "F32", "[2,3]", 3, 27) "," ENTRY (
                      "a", "U8", "[3]", 0, 3) "}",
                  -1, 27);
  g_autoptr (SwittiSafetensors) tensors = switti_safetensors_new_from_bytes (file, "case", NULL);
  const char *const *names = switti_safetensors_list (tensors);
  SwittiTensor view;

  g_assert_cmpstr (names[0], ==, "a");
  g_assert_cmpstr (names[1], ==, "z");
  g_assert_null (names[2]);
  g_assert_true (switti_safetensors_lookup (tensors, "z", &view));
  g_assert_cmpint (view.dtype, ==, SWITTI_DTYPE_F32);
  g_assert_cmpint (view.n_dims, ==, 2);
  g_assert_cmpint (view.dims[0], ==, 2);
  g_assert_cmpint (view.dims[1], ==, 3);
  g_assert_cmpint (((const guint8 *) view.data)[0], ==, 3);
  g_assert_cmpint (((const guint8 *) view.data)[23], ==, 26);
  g_assert_false (switti_safetensors_lookup (tensors, "__metadata__", &view));
  g_assert_false (switti_safetensors_lookup (tensors, "y", &view));
  g_assert_cmpstr (switti_safetensors_get_metadata (tensors, "format"), ==, "pt");
  g_assert_cmpstr (switti_safetensors_get_metadata (tensors, "n"), ==, "");
  g_assert_null (switti_safetensors_get_metadata (tensors, "other"));
}

static void
assert_refused (GBytes *file, const char *what)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *printable = g_strescape (what, NULL);

  g_test_message ("%s", printable);
  g_assert_null (switti_safetensors_new_from_bytes (file, "the case", &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_assert_nonnull (strstr (error->message, "the case"));
}

static void
test_bad_headers (void)
{
  static const struct
  {
    const char *header;
    gsize n_data;
  } cases[] = {
    { "", 0 },
    { "[]", 0 },
    { " {}", 0 },
    { "{", 0 },
    { "{}}", 0 },
    { "{} x", 0 },
    { "{\"a\":5}", 0 },
    { "{\"a\":{}}", 0 },
    { "{\"a\":null}", 0 },
    { "{'a':{}}", 0 },
    { "{/* comment */}", 0 },
    { "{\"a\xff\":{}}", 0 },
    { "{\"__metadata__\":[]}", 0 },
    { "{\"__metadata__\":{\"n\":5}}", 0 },
    /* dtypes */
    { "{" ENTRY ("a", "F31", "[1]", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "f32", "[1]", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "I16", "[2]", 0, 4) "}", 4 },
    { "{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,4]}}", 4 },
    /* shapes */
    { "{" ENTRY ("a", "U8", "4", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "U8", "[-4]", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "U8", "[-2,-2]", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "U8", "[4.0]", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "U8", "[\"4\"]", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "U8", "[[4]]", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "U8", "[1,1,1,1,1,1,1,1,4]", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "U8", "[4294967296,4294967296]", 0, 0) "}", 0 },
    { "{" ENTRY ("a", "F32", "[4611686018427387904]", 0, 0) "}", 0 },
    { "{" ENTRY ("a", "F32", "[4294967296,4294967296,0]", 0, 0) "}", 0 },
    { "{" ENTRY ("a", "U8", "[18446744073709551620]", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "U8", "[1e0]", 0, 1) "}", 1 },
    { "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4 },
    /* offsets */
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4 },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0]}}", 4 },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4,8]}}", 4 },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,\"4\"]}}", 4 },
    { "{" ENTRY ("a", "U8", "[4]", 0, 5) "}", 5 },
    { "{" ENTRY ("a", "U8", "[4]", 0, 3) "}", 4 },
    { "{" ENTRY ("a", "U8", "[4]", 4, 0) "}", 4 },
    { "{" ENTRY ("a", "U8", "[4]", -4, 0) "}", 4 },
    { "{" ENTRY ("a", "U8", "[4]", 0, 4) "}", 3 },
    { "{" ENTRY ("a", "U8", "[4]", 9223372036854775804, 9223372036854775808) "}", 4 },
    /* tiling: bytes after, before and between tensors, and an overlap */
    { "{" ENTRY ("a", "U8", "[4]", 0, 4) "}", 5 },
    { "{" ENTRY ("a", "U8", "[4]", 1, 5) "}", 5 },
    { "{" ENTRY ("a", "U8", "[2]", 0, 2) "," ENTRY ("b", "U8", "[2]", 3, 5) "}", 5 },
    { "{" ENTRY ("a", "U8", "[3]", 0, 3) "," ENTRY ("b", "U8", "[3]", 2, 5) "}", 5 },
    { "{" ENTRY ("a", "U8", "[4]", 0, 4) "," ENTRY ("b", "U8", "[4]", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "U8", "[4]", 0, 4) "," ENTRY ("b", "U8", "[0]", 2, 2) "}", 4 },
    { "{}", 1 },
    /* names twice: in the header, an entry, and the metadata */
    { "{" ENTRY ("a", "U8", "[4]", 0, 4) "," ENTRY ("a", "U8", "[4]", 0, 4) "}", 4 },
    { "{" ENTRY ("a", "U8", "[4]", 0, 4) "," ENTRY ("\\u0061", "U8", "[4]", 0, 4) "}", 4 },
    { "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4 },
    { "{\"__metadata__\":{\"n\":\"1\",\"n\":\"1\"}}", 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GBytes) file = build_file (cases[i].header, -1, cases[i].n_data);

      assert_refused (file, cases[i].header);
    }
}

static void
test_bad_lengths (void)
{
  static const char header[] = "{" ENTRY ("a", "U8", "[4]", 0, 4) "}";
  const gint64 lengths[] = {
    0, 1, 2, (gint64) sizeof header - 2, 1000, 100000001, G_GINT64_CONSTANT (1) << 62, G_MAXINT64,
  };
  g_autoptr (GBytes) whole = build_file (header, -1, 4);

  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autoptr (GBytes) file = build_file (header, lengths[i], 4);

      assert_refused (file, "a wrong length");
    }
  /* Every cut of a good file. */
  for (gsize n_bytes = 0; n_bytes < g_bytes_get_size (whole); n_bytes++)
    {
      g_autoptr (GBytes) cut = g_bytes_new_from_bytes (whole, 0, n_bytes);

      assert_refused (cut, "a cut");
    }
}

/* Brackets that would make a recursive parser run out of stack. */
static void
test_deep_nesting (void)
{
  const char *const openings[] = { "[", "{\"a\":", "{\"a\":[" };

  for (guint i = 0; i < G_N_ELEMENTS (openings); i++)
    {
      g_autoptr (GString) header = g_string_new ("{\"__metadata__\":");
      g_autoptr (GBytes) file = NULL;

      for (int depth = 0; depth < 200000; depth++)
        g_string_append (header, openings[i]);
      file = build_file (header->str, -1, 0);
      assert_refused (file, openings[i]);
    }
}

/* Brackets inside strings are no nesting. */
static void
test_brackets_in_strings (void)
{
  g_autoptr (GString) header = g_string_new ("{\"__metadata__\":{\"a\":\"\\\"");
  g_autoptr (GBytes) file = NULL;
  g_autoptr (SwittiSafetensors) tensors = NULL;
  g_autoptr (GError) error = NULL;

  for (int i = 0; i < 1000; i++)
    g_string_append (header, "[{");
  g_string_append (header, "\"}}");
  file = build_file (header->str, -1, 0);
  tensors = switti_safetensors_new_from_bytes (file, "case", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strlen (switti_safetensors_get_metadata (tensors, "a")), ==, 2001);
}

static void
test_missing_file (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (switti_safetensors_open ("/nowhere/model.safetensors", &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "/nowhere/model.safetensors"));
}

static void
test_empty_file (void)
{
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("switti-XXXXXX.safetensors", &path, NULL);

  g_close (fd, NULL);
  g_assert_null (switti_safetensors_open (path, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_unlink (path);
}

static void
test_save (void)
{
  g_autofree char *folder = g_dir_make_tmp ("switti-safetensors-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "x.safetensors", NULL);
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  const char *const names[] = { "odd", "wide", "empty", "scalar \"quoted\"" };
  guint8 odd[3] = { 1, 2, 3 };
  double wide[2] = { 0.5, -4 };
  gint32 scalar = -9;
  SwittiTensor tensors[] = {
    { SWITTI_DTYPE_U8, 1, { 3 }, odd },
    { SWITTI_DTYPE_F64, 2, { 2, 1 }, wide },
    { SWITTI_DTYPE_F32, 2, { 3, 0 }, NULL },
    { SWITTI_DTYPE_I32, 0, { 0 }, &scalar },
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) left = NULL;

  g_hash_table_insert (metadata, "format", "pt");
  for (int round = 0; round < 2; round++) /* the second time over an existing file */
    {
      g_autoptr (SwittiSafetensors) read = NULL;
      SwittiTensor view;

      g_assert_true (switti_safetensors_save (path, names, tensors, 4, metadata, &error));
      g_assert_no_error (error);
      read = switti_safetensors_open (path, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (switti_safetensors_get_metadata (read, "format"), ==, "pt");
      g_assert_true (switti_safetensors_lookup (read, "odd", &view));
      g_assert_cmpmem (view.data, 3, odd, 3);
      g_assert_true (switti_safetensors_lookup (read, "wide", &view));
      g_assert_cmpuint ((guintptr) view.data % sizeof (double), ==, 0);
      g_assert_cmpmem (view.data, 16, wide, 16);
      g_assert_true (switti_safetensors_lookup (read, "empty", &view));
      g_assert_cmpint (view.dims[0], ==, 3);
      g_assert_true (switti_safetensors_lookup (read, "scalar \"quoted\"", &view));
      g_assert_cmpint (view.n_dims, ==, 0);
      g_assert_cmpmem (view.data, 4, &scalar, 4);
    }

  /* Nothing but the file is left behind. */
  left = g_dir_open (folder, 0, NULL);
  g_assert_cmpstr (g_dir_read_name (left), ==, "x.safetensors");
  g_assert_null (g_dir_read_name (left));
  g_unlink (path);
  g_rmdir (folder);

  g_assert_false (switti_safetensors_save (path, names, tensors, 4, NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
}

/* Every fixture of the format opens, and holds something. */
static void
test_fixtures (void)
{
  g_autofree char *beside = g_test_build_filename (G_TEST_DIST, "fixtures", NULL);
  const char *chosen = g_getenv ("SWITTI_FIXTURES");
  const char *fixtures = chosen != NULL ? chosen : beside;
  g_autoptr (GDir) folder = g_dir_open (fixtures, 0, NULL);
  const char *name;
  guint n_files = 0;

  g_assert_nonnull (folder);
  while ((name = g_dir_read_name (folder)) != NULL)
    if (g_str_has_suffix (name, ".safetensors"))
      {
        g_autofree char *path = g_build_filename (fixtures, name, NULL);
        g_autoptr (GError) error = NULL;
        g_autoptr (SwittiSafetensors) tensors = switti_safetensors_open (path, &error);

        g_assert_no_error (error);
        g_assert_nonnull (switti_safetensors_list (tensors)[0]);
        n_files++;
      }
  g_assert_cmpuint (n_files, >, 0);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/safetensors/good", test_good);
  g_test_add_func ("/safetensors/views", test_views);
  g_test_add_func ("/safetensors/bad-headers", test_bad_headers);
  g_test_add_func ("/safetensors/bad-lengths", test_bad_lengths);
  g_test_add_func ("/safetensors/deep-nesting", test_deep_nesting);
  g_test_add_func ("/safetensors/brackets-in-strings", test_brackets_in_strings);
  g_test_add_func ("/safetensors/missing-file", test_missing_file);
  g_test_add_func ("/safetensors/empty-file", test_empty_file);
  g_test_add_func ("/safetensors/save", test_save);
  g_test_add_func ("/safetensors/fixtures", test_fixtures);
  return g_test_run ();
}
