/* test-tensor-source.c - checkpoints of every form, good and hostile
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-error.h"
#include "switti-safetensors-private.h"
#include "switti-tensor-source-private.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <zip.h>

static char *
fixture_path (const char *name)
{
  const char *folder = g_getenv ("SWITTI_FIXTURES");

  return folder != NULL ? g_build_filename (folder, name, NULL)
                        : g_test_build_filename (G_TEST_DIST, "fixtures", name, NULL);
}

static SwittiTensorSource *
open_bytes (const void *data, gsize length, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, length);
  g_autoptr (SwittiByteSource) source = switti_byte_source_new_from_bytes (bytes, "the case");

  return switti_tensor_source_new (source, NULL, error);
}

/* -- the fixtures ------------------------------------------------------------------------------------------- */

/* Compares with an entry of meta.json: ["torch.float32", shape, values]. Reads it whole, and element by element. */
static void
check_tensor (SwittiTensorSource *source, const char *name, JsonArray *entry)
{
  static const char *const dtypes[][2] = { { "torch.float32", "F32" },  { "torch.bfloat16", "BF16" },
                                           { "torch.float16", "F16" },  { "torch.int64", "I64" },
                                           { "torch.bool", "BOOL" },    { "torch.float64", "F64" },
                                           { "torch.int32", "I32" },    { "torch.uint8", "U8" } };
  const SwittiStoredTensor *tensor = switti_tensor_source_find (source, name);
  JsonArray *shape = json_array_get_array_element (entry, 1), *values = json_array_get_array_element (entry, 2);
  const char *dtype = NULL;
  guint8 raw[64], single[8];
  gsize size;

  g_test_message ("%s", name);
  g_assert_nonnull (tensor);
  for (guint i = 0; i < G_N_ELEMENTS (dtypes); i++)
    if (strcmp (dtypes[i][0], json_array_get_string_element (entry, 0)) == 0)
      dtype = dtypes[i][1];
  g_assert_cmpstr (switti_dtype_to_string (tensor->dtype), ==, dtype);
  g_assert_cmpint (tensor->n_dims, ==, json_array_get_length (shape));
  for (int i = 0; i < tensor->n_dims; i++)
    g_assert_cmpint (tensor->dims[i], ==, json_array_get_int_element (shape, (guint) i));
  g_assert_cmpuint (tensor->count, ==, json_array_get_length (values));
  size = switti_dtype_size (tensor->dtype);
  g_assert_cmpuint (tensor->count * size, <=, sizeof raw);
  g_assert_true (switti_tensor_source_read (source, tensor, 0, tensor->count, raw, NULL, NULL));
  for (gsize i = 0; i < tensor->count; i++)
    {
      float value;

      g_assert_true (switti_convert_elements (tensor->dtype, raw + i * size, SWITTI_DTYPE_F32, &value, 1));
      g_assert_cmpfloat (value, ==, (float) json_array_get_double_element (values, (guint) i));
      g_assert_true (switti_tensor_source_read (source, tensor, i, 1, single, NULL, NULL));
      g_assert_cmpmem (single, size, raw + i * size, size);
    }
}

static void
test_fixtures (void)
{
  static const struct
  {
    const char *file, *prefix;
  } files[] = { { "zip_state.pt", "" }, { "legacy_state.pt", "" }, { "nested_state.pt", "trainer.vae_wo_ddp." } };
  g_autofree char *meta_path = fixture_path ("meta.json");
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *expected;

  g_assert_true (json_parser_load_from_file (parser, meta_path, NULL));
  expected = json_object_get_object_member (json_node_get_object (json_parser_get_root (parser)), "pt");
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = fixture_path (files[i].file);
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiTensorSource) source = switti_tensor_source_open (path, NULL, &error);
      JsonObjectIter iter;
      const char *name;
      JsonNode *node;

      g_assert_no_error (error);
      g_assert_cmpuint (switti_tensor_source_get_n (source), ==, json_object_get_size (expected));
      json_object_iter_init (&iter, expected);
      while (json_object_iter_next (&iter, &name, &node))
        {
          g_autofree char *full_name = g_strconcat (files[i].prefix, name, NULL);

          check_tensor (source, full_name, json_node_get_array (node));
        }
    }
}

/* Where a dense tensor lies is found for stored members, and its bytes are there. */
static void
test_located (void)
{
  static const char *const files[] = { "zip_state.pt", "legacy_state.pt", "nested_state.pt" };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = fixture_path (files[i]);
      g_autoptr (SwittiTensorSource) source = switti_tensor_source_open (path, NULL, NULL);
      guint n_located = 0;

      for (guint j = 0; j < switti_tensor_source_get_n (source); j++)
        {
          const SwittiStoredTensor *tensor = switti_tensor_source_get (source, j);
          SwittiByteSource *bytes;
          guint64 begin, end;
          guint8 there[64], read[64];

          if (!switti_tensor_source_locate (source, tensor, &bytes, &begin, &end))
            {
              g_assert_false (tensor->is_dense);
              continue;
            }
          n_located++;
          g_assert_cmpuint (end - begin, ==, tensor->count * switti_dtype_size (tensor->dtype));
          g_assert_true (switti_byte_source_read (bytes, begin, there, (gsize) (end - begin), NULL, NULL));
          g_assert_true (switti_tensor_source_read (source, tensor, 0, tensor->count, read, NULL, NULL));
          g_assert_cmpmem (there, end - begin, read, end - begin);
        }
      g_assert_cmpuint (n_located, ==, 6); /* all but e.t */
    }
}

static guint
count_entries (const char *folder)
{
  g_autoptr (GDir) entries = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (entries != NULL && g_dir_read_name (entries) != NULL)
    n++;
  return n;
}

/* One sentence that names the file and, in the evil ones, what they call; and no trace of a run. */
static void
test_hostile_fixtures (void)
{
  static const struct
  {
    const char *file, *named;
  } files[] = {
    { "evil_eval.pt", "__builtin__.eval" }, { "evil_system.pt", "posix.system" }, { "truncated.pt", "cut short" }
  };
  g_autofree char *folder = g_dir_make_tmp ("switti-hostile-XXXXXX", NULL);
  guint before;

  g_setenv ("TMPDIR", folder, TRUE);
  before = count_entries ("/tmp");
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = fixture_path (files[i].file);
      g_autoptr (GError) error = NULL;

      g_assert_null (switti_tensor_source_open (path, NULL, &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, files[i].file));
      g_assert_nonnull (strstr (error->message, files[i].named));
      g_assert_true (g_str_has_suffix (error->message, "."));
      g_assert_null (strchr (error->message, '\n'));
    }
  g_assert_false (g_file_test ("/tmp/pwned", G_FILE_TEST_EXISTS));
  g_assert_cmpuint (count_entries (folder), ==, 0);
  /* Other programs may work there, so that this is only said. */
  g_test_message ("/tmp: %u entries before, %u after", before, count_entries ("/tmp"));
  g_rmdir (folder);
}

/* No beginning of a file is taken for the whole, and none is read outside of it. */
static void
test_cut (void)
{
  static const char *const files[] = { "zip_state.pt", "legacy_state.pt", "nested_state.pt" };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = fixture_path (files[i]);
      g_autofree char *contents = NULL;
      gsize length;

      g_assert_true (g_file_get_contents (path, &contents, &length, NULL));
      for (gsize cut = 0; cut < length; cut++)
        {
          g_autoptr (GError) error = NULL;

          g_assert_null (open_bytes (contents, cut, &error));
          g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
        }
    }
}

/* -- zip archives ------------------------------------------------------------------------------------------- */

typedef struct
{
  const char *name;
  const void *data;
  gsize length;
  gboolean deflate;
} Member;

/* {"w": FloatStorage "0" of 4 elements as (2, 2)} and its four bytes of text before. */
#define TENSOR(name, offset, dims, strides, numel)                                                                   \
  "X" name "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0"                 \
  "X\3\0\0\0cpuK" numel "tQK" offset dims strides "\x89" "ccollections\nOrderedDict\n)RtR"
#define W "\1\0\0\0w"
static const char good_pickle[] = "\x80\2}" TENSOR (W, "\0", "K\2K\2\x86", "K\2K\1\x86", "\4") "s.";
static const float four[] = { 1, -2, 3, 0.5f };

static GBytes *
make_zip (const Member *members, guint n_members)
{
  g_autofree char *folder = g_dir_make_tmp ("switti-zip-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "case.zip", NULL);
  zip_t *archive = zip_open (path, ZIP_CREATE, NULL);
  char *contents;
  gsize length;

  g_assert_nonnull (archive);
  for (guint i = 0; i < n_members; i++)
    {
      zip_source_t *source = zip_source_buffer (archive, members[i].data, members[i].length, 0);
      zip_int64_t index = zip_file_add (archive, members[i].name, source, ZIP_FL_ENC_UTF_8);

      g_assert_cmpint (index, >=, 0);
      g_assert_cmpint (zip_set_file_compression (archive, (zip_uint64_t) index,
                                                 members[i].deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0),
                       ==, 0);
    }
  g_assert_cmpint (zip_close (archive), ==, 0);
  g_assert_true (g_file_get_contents (path, &contents, &length, NULL));
  g_unlink (path);
  g_rmdir (folder);
  return g_bytes_new_take (contents, length);
}

static SwittiTensorSource *
open_zip (const Member *members, guint n_members, GError **error)
{
  g_autoptr (GBytes) archive = make_zip (members, n_members);

  return open_bytes (g_bytes_get_data (archive, NULL), g_bytes_get_size (archive), error);
}

static void
check_four (SwittiTensorSource *source)
{
  const SwittiStoredTensor *w = switti_tensor_source_find (source, "w");
  float values[4];

  g_assert_nonnull (w);
  g_assert_true (switti_tensor_source_read (source, w, 0, 4, values, NULL, NULL));
  g_assert_cmpmem (values, sizeof values, four, sizeof four);
  g_assert_true (switti_tensor_source_read (source, w, 2, 2, values, NULL, NULL));
  g_assert_true (switti_tensor_source_read (source, w, 0, 1, values, NULL, NULL)); /* backwards, in a deflated one */
  g_assert_cmpfloat (values[0], ==, 1);
}

static void
test_zip (void)
{
  for (int deflate = 0; deflate < 2; deflate++)
    {
      const Member members[] = { { "m/data.pkl", good_pickle, sizeof good_pickle - 1, deflate },
                                 { "m/byteorder", "little", 6, deflate },
                                 { "m/data/0", four, sizeof four, deflate } };
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiTensorSource) source = open_zip (members, G_N_ELEMENTS (members), &error);
      SwittiByteSource *bytes;
      guint64 begin, end;

      g_assert_no_error (error);
      check_four (source);
      g_assert_cmpint (switti_tensor_source_locate (source, switti_tensor_source_find (source, "w"), &bytes, &begin,
                                                    &end),
                       ==, !deflate);
    }
}

static void
assert_zip_refused (const Member *members, guint n_members, const char *reason)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (open_zip (members, n_members, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, reason));
}

static void
test_bad_zips (void)
{
  const gsize zeros_length = (gsize) 64 << 20;
  g_autofree char *zeros = g_malloc0 (zeros_length);
  const Member pickle = { "m/data.pkl", good_pickle, sizeof good_pickle - 1, FALSE };
  const Member storage = { "m/data/0", four, sizeof four, FALSE };
  const Member paths[] = { { "../evil", "x", 1, FALSE }, { "/evil", "x", 1, FALSE }, { "m/../../evil", "x", 1, FALSE },
                           { "C:\\evil", "x", 1, FALSE } };

  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    assert_zip_refused ((Member[]){ pickle, storage, paths[i] }, 3, "outside");
  assert_zip_refused ((Member[]){ pickle }, 1, "missing");
  assert_zip_refused ((Member[]){ storage }, 1, "data.pkl");
  assert_zip_refused ((Member[]){ pickle, { "m/data/0", four, 15, FALSE } }, 2, "outside");
  assert_zip_refused ((Member[]){ pickle, storage, { "m/byteorder", "big\0\0\0", 6, FALSE } }, 3, "byte order");
  assert_zip_refused ((Member[]){ pickle, storage, { "m/byteorder", "big", 3, FALSE } }, 3, "byte order");
  assert_zip_refused ((Member[]){ pickle, { "m/data/0", zeros, zeros_length, TRUE } }, 2, "100 times");
  assert_zip_refused ((Member[]){ { "m/data.pkl", "\x80\2c__builtin__\neval\n", 20, FALSE } }, 1, "__builtin__.eval");
}

/* -- pickles ------------------------------------------------------------------------------------------------ */

static void
assert_pickle_refused (const char *pickle, gsize length, const char *reason)
{
  const Member members[] = { { "m/data.pkl", pickle, length, FALSE }, { "m/data/0", four, sizeof four, FALSE } };
  g_autoptr (GError) error = NULL;
  g_autofree char *printable = NULL;

  if (open_zip (members, 2, &error) != NULL)
    g_error ("not refused: %s", reason);
  g_assert_true (error->domain == SWITTI_ERROR);
  printable = g_utf8_make_valid (error->message, -1);
  g_test_message ("%s", printable);
  g_assert_nonnull (strstr (error->message, reason));
}

#define REFUSED(pickle, reason) assert_pickle_refused (pickle, sizeof pickle - 1, reason)

static void
test_bad_pickles (void)
{
  REFUSED ("", "broken");
  REFUSED ("\x80\2", "broken");
  REFUSED ("\x80\2.", "broken");
  REFUSED ("\x80\6N.", "protocol 6");
  REFUSED ("\x80\2Ncos\nsystem\nX\1\0\0\0aR.", "os.system");
  REFUSED ("\x80\4\x8c\5posix\x8c\6system\x93X\1\0\0\0a\x85R.", "posix.system");
  REFUSED ("\x80\2ctorch\nComplexFloatStorage\n.", "torch.ComplexFloatStorage");
  REFUSED ("\x80\2ctorch\nFloatStorage\n)R.", "no tensor");
  REFUSED ("\x80\2(iposix\nsystem\n.", "opcode 0x69");
  REFUSED ("\x80\2\x8f.", "opcode 0x8f");
  REFUSED ("\x80\2}X\xff\xff\xff\xff" "a.", "broken");
  REFUSED ("\x80\4\x8d\xff\xff\xff\xff\xff\xff\xff\xff" "a.", "broken");
  REFUSED ("\x80\2h\0.", "broken");
  REFUSED ("\x80\2Nr\xff\xff\xff\xff.", "values");
  REFUSED ("\x80\2u.", "broken");
  REFUSED ("\x80\2(u.", "broken");
  REFUSED ("\x80\2N(NNu.", "broken");
  REFUSED ("\x80\2}(Nu.", "broken");
  REFUSED ("\x80\2(N\x86.", "broken");
  REFUSED ("\x80\2NQ.", "broken");
  REFUSED ("\x80\2NNb.", "broken");
  REFUSED ("\x80\2}q\0X\1\0\0\0ah\0s.", "hold themselves");
  REFUSED ("\x80\2]q\0h\0a.", "hold themselves");
  REFUSED ("\x80\2}" TENSOR (W, "\1", "K\2K\2\x86", "K\2K\1\x86", "\4") "s.", "outside its storage");
  REFUSED ("\x80\2}" TENSOR (W, "\0", "K\2K\2\x86", "K\3K\1\x86", "\4") "s.", "outside its storage");
  REFUSED ("\x80\2}" TENSOR (W, "\0", "K\2K\2\x86", "K\1\x85", "\4") "s.", "outside its storage");
  REFUSED ("\x80\2}" TENSOR (W, "\0", "J\xff\xff\xff\xffK\2\x86", "K\2K\1\x86", "\4") "s.", "outside its storage");
  REFUSED ("\x80\2}" TENSOR (W, "\0", "\x8a\x8\0\0\0\0\0\0\0\x40K\x8\x86", "K\0K\0\x86", "\4") "s.",
           "outside its storage");
  REFUSED ("\x80\2}" TENSOR (W, "\0", "K\2K\2\x86", "\x8a\x8\xff\xff\xff\xff\xff\xff\xff\x7fK\1\x86", "\4") "s.",
           "outside its storage");
  REFUSED ("\x80\2}" TENSOR (W, "\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "\4") "s.",
           "outside its storage");
  REFUSED ("\x80\2}" TENSOR ("\1\0\0\0\xff", "\0", "K\2K\2\x86", "K\2K\1\x86", "\4") "s.", "no text");
}

/* Dictionaries in dictionaries: 60 are read, 70 are not, and neither are ones that are shared to 2^24 entries. */
static void
test_deep_and_shared (void)
{
  for (int depth = 60; depth <= 70; depth += 10)
    {
      g_autoptr (GString) pickle = g_string_new_len ("\x80\2", 2);
      g_autoptr (GError) error = NULL;
      Member members[] = { { "m/data.pkl", NULL, 0, FALSE }, { "m/data/0", four, sizeof four, FALSE } };
      g_autoptr (SwittiTensorSource) source = NULL;

      for (int i = 0; i < depth - 1; i++)
        g_string_append_len (pickle, "}X\1\0\0\0d", 7);
      g_string_append_len (pickle, good_pickle + 2, sizeof good_pickle - 4);
      for (int i = 0; i < depth - 1; i++)
        g_string_append_c (pickle, 's');
      g_string_append_c (pickle, '.');
      members[0].data = pickle->str;
      members[0].length = pickle->len;
      source = open_zip (members, 2, &error);
      g_assert_true ((source != NULL) == (depth == 60));
      if (source == NULL)
        g_assert_nonnull (strstr (error->message, "64 levels"));
    }
  {
    g_autoptr (GString) pickle = g_string_new_len ("\x80\2]", 3);

    /* each list holds the one before twice */
    for (int i = 0; i < 24; i++)
      g_string_append_len (pickle, "q\0]q\1h\0ah\0a", 11);
    g_string_append_c (pickle, '.');
    assert_pickle_refused (pickle->str, pickle->len, "again and again");
  }
}

/* What else torch.save() writes: attributes of a state dictionary, parameters, tensors that say their dtype, protocols
 * 4 and 5, numbers of every kind. */
static void
test_good_pickles (void)
{
#define FOUR TENSOR (W, "\0", "K\2K\2\x86", "K\2K\1\x86", "\4")
  static const struct
  {
    const char *pickle;
    gsize length;
  } cases[] = {
#define CASE(text) { text, sizeof text - 1 }
    CASE ("\x80\2ccollections\nOrderedDict\n)R" FOUR "s}X\11\0\0\0_metadata}sb."),
    CASE ("\x80\4\x95\0\0\0\0\0\0\0\0}\x94" FOUR "s."),
    CASE ("\x80\5}(X\1\0\0\0iK\7X\1\0\0\0jM\1\2X\1\0\0\0kJ\xff\xff\xff\xffX\1\0\0\0lG\0\0\0\0\0\0\0\0"
          "X\1\0\0\0m\x8a\xa\1\2\3\4\5\6\7\10\11\12X\1\0\0\0nNX\1\0\0\0o\x88X\1\0\0\0pC\1xK\5K\6" FOUR "u."),
    CASE ("\x80\2}X\1\0\0\0wctorch._utils\n_rebuild_parameter\n(ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storage"
          "ctorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpuK\4tQK\0ctorch\nSize\n(K\2K\2t\x85RK\2K\1\x86\x89"
          "ccollections\nOrderedDict\n)RtR\x88}tRs."),
    CASE ("\x80\2}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v3\n((X\7\0\0\0storagectorch.storage\nUntypedStorage\n"
          "X\1\0\0\0" "0X\3\0\0\0cpuK\20tQK\0K\2K\2\x86K\2K\1\x86\x89}ctorch\nfloat32\nNtRs."),
    CASE ("\x80\2ccollections\nOrderedDict\n](X\1\0\0\0xK\1\x86(" FOUR "le\x85R."),
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const Member members[] = { { "m/data.pkl", cases[i].pickle, cases[i].length, FALSE },
                                 { "m/data/0", four, sizeof four, FALSE } };
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiTensorSource) source = open_zip (members, 2, &error);

      g_test_message ("case %u", i);
      g_assert_no_error (error);
      check_four (source);
    }
}

/* -- safetensors and shards --------------------------------------------------------------------------------- */

static void
test_shards (void)
{
  g_autofree char *folder = g_dir_make_tmp ("switti-shards-XXXXXX", NULL);
  g_autofree char *first = g_build_filename (folder, "a.safetensors", NULL);
  g_autofree char *second = g_build_filename (folder, "b.safetensors", NULL);
  g_autofree char *index = g_build_filename (folder, "model.safetensors.index.json", NULL);
  const SwittiTensor tensors[] = { { SWITTI_DTYPE_F32, 2, { 2, 2 }, (void *) four },
                                   { SWITTI_DTYPE_U8, 1, { 3 }, (void *) "abc" } };
  g_autoptr (SwittiTensorSource) source = NULL;
  g_autoptr (GError) error = NULL;
  char letters[3];

  g_assert_true (switti_safetensors_save (first, (const char *const[]){ "w", "letters" }, tensors, 2, NULL, NULL));
  g_assert_true (switti_safetensors_save (second, (const char *const[]){ "z" }, tensors, 1, NULL, NULL));
  g_assert_true (g_file_set_contents (index,
                                      "{\"weight_map\": {\"z\": \"b.safetensors\", \"w\": \"a.safetensors\", "
                                      "\"letters\": \"a.safetensors\"}}",
                                      -1, NULL));
  source = switti_tensor_source_open (folder, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (switti_tensor_source_get_n (source), ==, 3);
  check_four (source);
  g_assert_true (switti_tensor_source_read (source, switti_tensor_source_find (source, "letters"), 0, 3, letters, NULL,
                                            NULL));
  g_assert_cmpmem (letters, 3, "abc", 3);

  g_assert_true (g_file_set_contents (index, "{\"weight_map\": {\"y\": \"b.safetensors\"}}", -1, NULL));
  g_assert_null (switti_tensor_source_open (folder, NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (index, "{\"weight_map\": {\"z\": \"../b.safetensors\"}}", -1, NULL));
  g_assert_null (switti_tensor_source_open (folder, NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_unlink (first);
  g_unlink (second);
  g_unlink (index);
  g_rmdir (folder);
}

/* A header whose length begins with a pickle's first byte. */
static void
test_header_like_a_pickle (void)
{
  static const char json[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
  g_autoptr (GByteArray) file = g_byte_array_new ();
  g_autoptr (SwittiTensorSource) source = NULL;
  g_autoptr (GError) error = NULL;
  const guint64 length = GUINT64_TO_LE (0x80);

  g_byte_array_append (file, (const guint8 *) &length, sizeof length);
  g_byte_array_append (file, (const guint8 *) json, sizeof json - 1);
  while (file->len < 8 + 0x80)
    g_byte_array_append (file, (const guint8 *) " ", 1);
  g_byte_array_append (file, (const guint8 *) four, sizeof four);
  source = open_bytes (file->data, file->len, &error);
  g_assert_no_error (error);
  check_four (source);
}

static void
test_no_checkpoint (void)
{
  static const char *const contents[] = { "", "P", "PK\3\4", "\x80", "\x80\2N.", "hello, this is a text file", "{}" };
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (contents); i++)
    {
      g_assert_null (open_bytes (contents[i], strlen (contents[i]), &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
      g_clear_error (&error);
    }
  g_assert_null (switti_tensor_source_open ("/no/such/file.pt", NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_clear_error (&error);
  g_assert_null (switti_tensor_source_open ("/dev/null", NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tensor-source/fixtures", test_fixtures);
  g_test_add_func ("/tensor-source/located", test_located);
  g_test_add_func ("/tensor-source/hostile-fixtures", test_hostile_fixtures);
  g_test_add_func ("/tensor-source/cut", test_cut);
  g_test_add_func ("/tensor-source/zip", test_zip);
  g_test_add_func ("/tensor-source/bad-zips", test_bad_zips);
  g_test_add_func ("/tensor-source/bad-pickles", test_bad_pickles);
  g_test_add_func ("/tensor-source/deep-and-shared", test_deep_and_shared);
  g_test_add_func ("/tensor-source/good-pickles", test_good_pickles);
  g_test_add_func ("/tensor-source/shards", test_shards);
  g_test_add_func ("/tensor-source/header-like-a-pickle", test_header_like_a_pickle);
  g_test_add_func ("/tensor-source/no-checkpoint", test_no_checkpoint);
  return g_test_run ();
}
