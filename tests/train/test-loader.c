/* test-loader.c - the order of images, batches of them, and the cache
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "data-test.h"
#include "switti-error.h"
#include "switti-loader-private.h"

#include <string.h>

#define RESOLUTION 16
#define N_VALUES (RESOLUTION * RESOLUTION * 3)

/* -- order ----------------------------------------------------------------------------------------------------- */

static void
test_sampler (void)
{
  enum { N = 37 };
  g_autoptr (SwittiSampler) a = switti_sampler_new (3, N, TRUE), b = switti_sampler_new (3, N, TRUE);
  g_autoptr (SwittiSampler) other = switti_sampler_new (4, N, TRUE), plain = switti_sampler_new (3, N, FALSE);
  int n_same_epochs = 0, n_same_seeds = 0, n_mirrored = 0;

  for (guint epoch = 0; epoch < 4; epoch++)
    {
      gboolean seen[N] = { FALSE };

      for (guint i = 0; i < N; i++)
        {
          const guint64 position = epoch * N + i;
          const guint item = switti_sampler_get (a, position);

          g_assert_cmpuint (item, <, N);
          g_assert_false (seen[item]);
          seen[item] = TRUE;
          n_same_epochs += item == switti_sampler_get (b, (position + N) % (4 * N));
          n_same_seeds += item == switti_sampler_get (other, position);
          n_mirrored += switti_sampler_is_mirrored (a, position);
          g_assert_cmpuint (switti_sampler_get (plain, position), ==, i);
        }
    }
  /* Of 148 positions, 4 are the same by chance; and half are mirrored, give or take 6. */
  g_assert_cmpint (n_same_epochs, <, 20);
  g_assert_cmpint (n_same_seeds, <, 20);
  g_assert_cmpint (n_mirrored, >, 74 - 24);
  g_assert_cmpint (n_mirrored, <, 74 + 24);
  /* Whatever was asked for before. */
  g_assert_cmpuint (switti_sampler_get (a, 100), ==, switti_sampler_get (b, 100));
  g_assert_cmpuint (switti_sampler_get (a, 5), ==, switti_sampler_get (b, 5));
}

/* Every image is as likely at a place as any other: 4 of 3000 epochs are 3 deviations from what chance allows. */
static void
test_uniform (void)
{
  enum { N = 5, EPOCHS = 3000 };
  g_autoptr (SwittiSampler) sampler = switti_sampler_new (1, N, TRUE);
  int counts[N][N] = { { 0 } };

  for (guint64 i = 0; i < N * EPOCHS; i++)
    counts[i % N][switti_sampler_get (sampler, i)]++;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      {
        /* 600 expected, with a deviation of sqrt (3000 0.2 0.8) = 22. */
        g_assert_cmpint (counts[i][j], >, 600 - 100);
        g_assert_cmpint (counts[i][j], <, 600 + 100);
      }
}

/* -- folders --------------------------------------------------------------------------------------------------- */

enum { N_IMAGES = 10 };

/* Image i is grey 10 i on the left and black on the right, its caption "caption i". `broken`: bit i breaks it. */
static char *
make_folder (guint broken)
{
  g_autoptr (GString) list = g_string_new (",file_name,caption\n");
  char *folder = data_folder ();

  for (int i = 0; i < N_IMAGES; i++)
    {
      g_autofree char *name = g_strdup_printf ("train2014/%d.png", i);
      guint8 pixels[20 * 20 * 3] = { 0 };
      g_autoptr (GBytes) file = NULL;

      for (int j = 0; j < 20 * 20 * 3; j++)
        pixels[j] = j / 3 % 20 < 10 ? (guint8) (10 * i) : 0;
      file = data_encode (pixels, 20, 20, 3, ".png");
      data_write (folder, name, g_bytes_get_data (file, NULL), broken >> i & 1 ? 40 : g_bytes_get_size (file));
      g_string_append_printf (list, "%d,%d.png,caption %d\n", i, i, i);
    }
  data_write (folder, "train2014.csv", list->str, list->len);
  return folder;
}

static SwittiLoader *
open_loader (SwittiDataset *dataset, const SwittiLoaderOptions *options)
{
  g_autoptr (GError) error = NULL;
  SwittiLoader *loader = switti_loader_new (dataset, options, &error);

  g_assert_no_error (error);
  return loader;
}

static const SwittiLoaderBatch *
next (SwittiLoader *loader)
{
  g_autoptr (GError) error = NULL;
  const SwittiLoaderBatch *batch;

  switti_loader_next (loader, &batch, &error);
  g_assert_no_error (error);
  return batch;
}

/* What a run sees, n images after each other: the item, and -1 - item where it is mirrored. */
static void
follow (SwittiDataset *dataset, SwittiLoaderOptions options, int n, int *seen)
{
  g_autoptr (SwittiLoader) loader = open_loader (dataset, &options);

  for (int i = 0; i < n; i += options.batch)
    {
      const SwittiLoaderBatch *batch = next (loader);

      g_assert_cmpint (batch->n, ==, options.batch);
      for (int j = 0; j < batch->n; j++)
        {
          const int item = (int) batch->items[j];
          const float *pixels = batch->pixels + j * N_VALUES;
          const gboolean mirrored = pixels[0] < pixels[N_VALUES - 3];
          const float value = (mirrored ? pixels[(RESOLUTION - 1) * 3] : pixels[0]);

          g_assert_cmpstr (batch->captions[j], ==, switti_dataset_get_caption (dataset, batch->items[j]));
          g_assert_cmpint (batch->heights[j], ==, 20);
          if (item > 0) /* image 0 is black all over */
            g_assert_cmpfloat_with_epsilon (value, (float) (10 * item) / 127.5f - 1, 2.1 / 127.5); /* overshoot */
          seen[i + j] = mirrored ? -1 - item : item;
        }
      g_assert_cmpuint (switti_loader_get_position (loader), ==,
                        options.position + (guint64) ((i + options.batch) * options.n_ranks));
    }
}

/* The same images in the same order, whatever the batch, the threads, the ranks, and where it was interrupted. */
static void
test_same_order (void)
{
  enum { N = 48 };
  g_autofree char *folder = make_folder (0);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDataset) dataset = switti_dataset_open (folder, "train2014", 0, &error);
  SwittiLoaderOptions options = { .resolution = RESOLUTION, .batch = 1, .n_ranks = 1, .seed = 9, .is_mirrored = TRUE,
                                  .n_threads = 1 };
  int expected[N], seen[N], parts[2][N / 2], n_mirrored = 0;

  g_assert_no_error (error);
  follow (dataset, options, N, expected);
  for (int i = 0; i < N; i++)
    n_mirrored += expected[i] < 0;
  g_assert_cmpint (n_mirrored, >, 8);
  g_assert_cmpint (n_mirrored, <, 36);

  options.batch = 4;
  options.n_threads = 3;
  options.n_ahead = 5;
  follow (dataset, options, N, seen);
  g_assert_cmpmem (seen, sizeof seen, expected, sizeof expected);

  options.position = 20;
  follow (dataset, options, N - 20, seen);
  g_assert_cmpmem (seen, sizeof (int) * (N - 20), expected + 20, sizeof (int) * (N - 20));

  options.position = 0;
  options.n_ranks = 2;
  for (options.rank = 0; options.rank < 2; options.rank++)
    follow (dataset, options, N / 2, parts[options.rank]);
  for (int i = 0; i < N; i++)
    g_assert_cmpint (parts[i / 4 % 2][i / 8 * 4 + i % 4], ==, expected[i]);
  data_remove (folder);
}

/* Broken images are left out the same way by any number of threads and ranks, and told of once. */
static void
test_broken (void)
{
  enum { N = 40 };
  g_autofree char *folder = make_folder (1 << 3 | 1 << 7);
  SwittiLoaderOptions options = { .resolution = RESOLUTION, .batch = 4, .n_ranks = 1, .seed = 2, .n_threads = 1 };
  int seen[3][N], parts[N / 2];
  g_autoptr (SwittiDataset) few = switti_dataset_open (folder, "train2014", 1, NULL);
  g_autoptr (GError) error = NULL;

  for (int run = 0; run < 3; run++)
    {
      g_autoptr (SwittiDataset) dataset = switti_dataset_open (folder, "train2014", 2, NULL);
      g_auto (GStrv) reports = NULL;

      options.n_threads = run == 0 ? 1 : 4;
      options.position = 0;
      follow (dataset, options, N, seen[run]);
      for (int i = 0; i < N; i++)
        g_assert_true (seen[run][i] != 3 && seen[run][i] != 7);
      g_assert_cmpmem (seen[run], sizeof seen[run], seen[0], sizeof seen[0]);
      reports = switti_dataset_take_reports (dataset);
      g_assert_cmpuint (g_strv_length (reports), ==, 2);
      g_assert_cmpuint (switti_dataset_get_n_bad (dataset), ==, 2);

      options.n_ranks = 2;
      options.rank = 1;
      follow (dataset, options, N / 2, parts);
      options.n_ranks = 1;
      options.rank = 0;
      for (int i = 0; i < N / 2; i++)
        g_assert_cmpint (parts[i], ==, seen[0][i / 4 * 8 + 4 + i % 4]);
    }
  {
    g_autoptr (SwittiLoader) loader = open_loader (few, &options);
    const SwittiLoaderBatch *batch;

    while (switti_loader_next (loader, &batch, &error))
      g_assert_cmpuint (switti_loader_get_position (loader), <, N);
    g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
    g_assert_nonnull (strstr (error->message, "More than 1 images"));
  }
  data_remove (folder);
}

/* With every image gone, the training ends, and soon. */
static void
test_all_broken (void)
{
  g_autofree char *folder = make_folder (0x3ff);
  SwittiLoaderOptions options = { .resolution = RESOLUTION, .batch = 4, .n_ranks = 1 };
  g_autoptr (SwittiDataset) dataset = switti_dataset_open (folder, "train2014", 100, NULL);
  g_autoptr (SwittiLoader) loader = open_loader (dataset, &options);
  g_autoptr (GError) error = NULL;
  const SwittiLoaderBatch *batch;

  g_assert_false (switti_loader_next (loader, &batch, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  data_remove (folder);
}

/* For validation: each good image once, in order, whoever has which. */
static void
test_one_pass (void)
{
  g_autofree char *folder = make_folder (1 << 2);
  g_autoptr (SwittiDataset) dataset = switti_dataset_open (folder, "train2014", 1, NULL);
  SwittiLoaderOptions options = { .resolution = RESOLUTION, .batch = 3, .n_ranks = 1, .is_one_pass = TRUE };
  static const guint expected[] = { 0, 1, 3, 4, 5, 6, 7, 8, 9 };
  static const int counts[] = { 2, 3, 3, 1, 0, 0 };

  {
    g_autoptr (SwittiLoader) loader = open_loader (dataset, &options);
    int k = 0;

    for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
      {
        const SwittiLoaderBatch *batch = next (loader);

        g_assert_cmpint (batch->n, ==, counts[i]);
        for (int j = 0; j < batch->n; j++, k++)
          {
            g_assert_cmpuint (batch->items[j], ==, expected[k]);
            g_assert_cmpfloat_with_epsilon (batch->pixels[j * N_VALUES], (float) (10 * expected[k]) / 127.5f - 1,
                                            2.1 / 127.5);
          }
      }
  }
  options.n_ranks = 2;
  options.rank = 1;
  options.batch = 1;
  {
    g_autoptr (SwittiLoader) loader = open_loader (dataset, &options);

    for (guint i = 1; i < N_IMAGES; i += 2)
      g_assert_cmpuint (next (loader)->items[0], ==, i);
    g_assert_cmpint (next (loader)->n, ==, 0);
  }
  data_remove (folder);
}

/* -- cache ----------------------------------------------------------------------------------------------------- */

/* The path of the one entry of a kind in a cache folder; free with g_free(). */
static char *
only_entry (const char *folder, const char *kind)
{
  g_autofree char *path = g_build_filename (folder, kind, NULL);

  for (int depth = 0; depth < 2; depth++)
    {
      g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
      const char *name = g_dir_read_name (dir);
      char *child = g_build_filename (path, name, NULL);

      g_assert_null (g_dir_read_name (dir)); /* and no partial file beside it */
      g_free (path);
      path = child;
    }
  return g_steal_pointer (&path);
}

/* Whatever byte is wrong, and wherever it is cut, a broken entry is none. */
static void
test_entries (void)
{
  g_autofree char *folder = data_folder (), *path = NULL, *bytes = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiCache) cache = switti_cache_open (folder, &error);
  guint8 key[SWITTI_CACHE_KEY_BYTES] = { 1, 2, 3 }, other[SWITTI_CACHE_KEY_BYTES] = { 1, 2, 4 };
  g_autoptr (GBytes) contents = NULL;
  gsize n_bytes;

  g_assert_no_error (error);
  g_assert_null (switti_cache_get (cache, SWITTI_CACHE_TEXT, key));
  g_assert_true (switti_cache_put (cache, SWITTI_CACHE_TEXT, key, "old", 3, &error));
  g_assert_true (switti_cache_put (cache, SWITTI_CACHE_TEXT, key, "features", 8, &error));
  contents = switti_cache_get (cache, SWITTI_CACHE_TEXT, key);
  g_assert_cmpmem (g_bytes_get_data (contents, NULL), g_bytes_get_size (contents), "features", 8);
  g_assert_null (switti_cache_get (cache, SWITTI_CACHE_TEXT, other));
  g_assert_null (switti_cache_get (cache, SWITTI_CACHE_CODES, key));

  path = only_entry (folder, SWITTI_CACHE_TEXT);
  g_assert_true (g_file_get_contents (path, &bytes, &n_bytes, NULL));
  for (gsize i = 0; i < n_bytes; i++)
    {
      bytes[i] ^= 0x10;
      g_assert_true (g_file_set_contents (path, bytes, (gssize) n_bytes, NULL));
      g_assert_null (switti_cache_get (cache, SWITTI_CACHE_TEXT, key));
      bytes[i] ^= 0x10;
      g_assert_true (g_file_set_contents (path, bytes, (gssize) i, NULL));
      g_assert_null (switti_cache_get (cache, SWITTI_CACHE_TEXT, key));
    }
  /* A file where a folder should be. */
  data_write (folder, SWITTI_CACHE_CODES, "", 0);
  g_assert_false (switti_cache_put (cache, SWITTI_CACHE_CODES, key, "x", 1, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  data_remove (folder);
}

static void
test_keys (void)
{
  guint8 image[SWITTI_CACHE_KEY_BYTES] = { 1 }, vae[SWITTI_CACHE_KEY_BYTES] = { 2 }, keys[8][SWITTI_CACHE_KEY_BYTES];
  guint8 encoders[2][SWITTI_CACHE_KEY_BYTES] = { { 3 }, { 4 } };
  static const gint32 ids[] = { 1, 2, 3, 4 };

  switti_cache_codes_key (image, vae, 256, FALSE, keys[0]);
  switti_cache_codes_key (vae, vae, 256, FALSE, keys[1]);
  switti_cache_codes_key (image, image, 256, FALSE, keys[2]);
  switti_cache_codes_key (image, vae, 512, FALSE, keys[3]);
  switti_cache_codes_key (image, vae, 256, TRUE, keys[4]);
  switti_cache_text_key (encoders, (const gint32 *[]){ ids, ids }, (int[]){ 3, 2 }, keys[5]);
  switti_cache_text_key (encoders, (const gint32 *[]){ ids, ids }, (int[]){ 2, 3 }, keys[6]);
  switti_cache_text_key (encoders, (const gint32 *[]){ ids + 1, ids }, (int[]){ 3, 2 }, keys[7]);
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < i; j++)
      g_assert_true (memcmp (keys[i], keys[j], SWITTI_CACHE_KEY_BYTES) != 0);
}

/* The second time, codes come from the cache; for another VAE or a changed image, they do not. */
static void
test_codes (void)
{
  g_autofree char *folder = make_folder (0), *place = data_folder ();
  g_autoptr (SwittiDataset) dataset = switti_dataset_open (folder, "train2014", 0, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiCache) cache = switti_cache_open (place, &error);
  SwittiLoaderOptions options = { .resolution = RESOLUTION, .batch = 5, .n_ranks = 1, .cache = cache, .n_codes = 3,
                                  .vae = { 7 } };
  static const guint8 other[] = { 1, 2, 3 };

  for (int pass = 0; pass < 4; pass++)
    {
      g_autoptr (SwittiLoader) loader = NULL;

      if (pass == 2)
        data_write_square (folder, "train2014/4.png", 30, other);
      options.vae[0] = pass == 3 ? 8 : 7;
      loader = open_loader (dataset, &options);
      for (int i = 0; i < N_IMAGES / 5; i++)
        {
          const SwittiLoaderBatch *batch = next (loader);

          for (int j = 0; j < 5; j++)
            {
              const gint32 item = (gint32) batch->items[j], codes[] = { item, -item, item << 20 };
              const gboolean is_changed = pass == 2 && item == 4;

              g_assert_cmpint (batch->has_codes[j], ==, (pass == 1 || pass == 2) && !is_changed);
              g_assert_cmpint (batch->heights[j], ==, pass >= 2 && item == 4 ? 30 : 20);
              if (batch->has_codes[j])
                g_assert_cmpmem (batch->codes + j * 3, sizeof codes, codes, sizeof codes);
              else if (pass == 0)
                g_assert_true (switti_loader_store_codes (loader, j, codes, &error));
            }
        }
    }
  data_remove (folder);
  data_remove (place);
}

int
main (int argc, char **argv)
{
  data_init (&argc, &argv);
  g_test_add_func ("/loader/sampler", test_sampler);
  g_test_add_func ("/loader/uniform", test_uniform);
  g_test_add_func ("/loader/same-order", test_same_order);
  g_test_add_func ("/loader/broken", test_broken);
  g_test_add_func ("/loader/all-broken", test_all_broken);
  g_test_add_func ("/loader/one-pass", test_one_pass);
  g_test_add_func ("/loader/entries", test_entries);
  g_test_add_func ("/loader/keys", test_keys);
  g_test_add_func ("/loader/codes", test_codes);
  return g_test_run ();
}
