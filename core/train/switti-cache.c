/* switti-cache.c - what a training computes again and again, kept on disk
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An entry is FOLDER/KIND/XX/REST, XX and REST being its key in hexadecimal digits: a magic number, the key, the length
 * of the contents (64 bits, little-endian), their SHA-256, the contents.
 */
#include "switti-cache-private.h"

#include "switti-error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "swcache1"
#define MAGIC_BYTES 8
#define LENGTH_AT (MAGIC_BYTES + SWITTI_CACHE_KEY_BYTES)
#define DIGEST_AT (LENGTH_AT + 8)
#define HEADER_BYTES (DIGEST_AT + SWITTI_CACHE_KEY_BYTES)

/* Of the way from a file to codes: a change of that way changes this, so that no older entry is found. */
#define CODES_VERSION "switti codes 1"
#define TEXT_VERSION "switti text 1"

struct _SwittiCache
{
  char *folder;
};

SwittiCache *
switti_cache_open (const char *folder, GError **error)
{
  SwittiCache *self;

  if (g_mkdir_with_parents (folder, 0777) != 0)
    {
      g_autofree char *display = g_filename_display_name (folder);

      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("Cannot make the cache folder %s: %s; name another."),
                   display, g_strerror (errno));
      return NULL;
    }
  self = g_new0 (SwittiCache, 1);
  self->folder = g_strdup (folder);
  return self;
}

void
switti_cache_free (SwittiCache *self)
{
  if (self == NULL)
    return;
  g_free (self->folder);
  g_free (self);
}

/* -- digests --------------------------------------------------------------------------------------------------- */

static void
digest_update (GChecksum *checksum, const void *bytes, gsize n_bytes)
{
  const guint8 *rest = bytes;

  while (n_bytes > 0)
    {
      const gsize n = MIN (n_bytes, (gsize) 1 << 30); /* g_checksum_update() takes a signed size */

      g_checksum_update (checksum, rest, (gssize) n);
      rest += n;
      n_bytes -= n;
    }
}

static void
digest_update_text (GChecksum *checksum, const char *text)
{
  digest_update (checksum, text, strlen (text) + 1);
}

static void
digest_update_number (GChecksum *checksum, gint64 number)
{
  const gint64 little = GINT64_TO_LE (number);

  digest_update (checksum, &little, sizeof little);
}

static void
digest_end (GChecksum *checksum, guint8 digest[SWITTI_CACHE_KEY_BYTES])
{
  gsize n = SWITTI_CACHE_KEY_BYTES;

  g_checksum_get_digest (checksum, digest, &n);
}

static void
digest_contents (const void *contents, gsize n_bytes, guint8 digest[SWITTI_CACHE_KEY_BYTES])
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);

  digest_update (checksum, contents, n_bytes);
  digest_end (checksum, digest);
}

gboolean
switti_cache_digest_weights (SwittiWeights *weights, guint8 digest[SWITTI_CACHE_KEY_BYTES], GError **error)
{
  g_auto (GStrv) names = switti_weights_list (weights);
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);

  if (names[0] == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("There are no tensors to digest in %s."),
                   switti_weights_get_description (weights));
      return FALSE;
    }
  for (char **name = names; *name != NULL; name++)
    {
      SwittiTensor shape = { 0 };
      g_auto (SwittiHostTensor) tensor = { 0 };
      gsize n_bytes;

      if (!switti_weights_peek (weights, *name, &shape)
          || !switti_weights_get (weights, *name, shape.n_dims, shape.dims, &tensor, error))
        return FALSE;
      if (!switti_shape_bytes (tensor.tensor.dtype, shape.n_dims, shape.dims, &n_bytes))
        g_assert_not_reached (); /* the file holds it */
      digest_update_text (checksum, *name);
      digest_update_text (checksum, switti_dtype_to_string (tensor.tensor.dtype));
      digest_update_number (checksum, shape.n_dims);
      for (int i = 0; i < shape.n_dims; i++)
        digest_update_number (checksum, shape.dims[i]);
      digest_update (checksum, tensor.tensor.data, n_bytes);
    }
  digest_end (checksum, digest);
  return TRUE;
}

void
switti_cache_codes_key (const guint8 image[SWITTI_CACHE_KEY_BYTES], const guint8 vae[SWITTI_CACHE_KEY_BYTES],
                        int resolution, gboolean is_mirrored, guint8 key[SWITTI_CACHE_KEY_BYTES])
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);

  digest_update_text (checksum, CODES_VERSION);
  digest_update (checksum, image, SWITTI_CACHE_KEY_BYTES);
  digest_update (checksum, vae, SWITTI_CACHE_KEY_BYTES);
  digest_update_number (checksum, resolution);
  digest_update_number (checksum, is_mirrored != FALSE);
  digest_end (checksum, key);
}

void
switti_cache_text_key (const guint8 encoders[2][SWITTI_CACHE_KEY_BYTES], const gint32 *const ids[2],
                       const int n_ids[2], guint8 key[SWITTI_CACHE_KEY_BYTES])
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);

  digest_update_text (checksum, TEXT_VERSION);
  digest_update (checksum, encoders, 2 * SWITTI_CACHE_KEY_BYTES);
  for (int i = 0; i < 2; i++)
    {
      digest_update_number (checksum, n_ids[i]);
      for (int j = 0; j < n_ids[i]; j++)
        digest_update_number (checksum, ids[i][j]);
    }
  digest_end (checksum, key);
}

/* -- entries --------------------------------------------------------------------------------------------------- */

/* The folder of an entry and its path; free both with g_free(). */
static void
locate (SwittiCache *self, const char *kind, const guint8 key[SWITTI_CACHE_KEY_BYTES], char **folder, char **path)
{
  char digits[2 * SWITTI_CACHE_KEY_BYTES + 1], first[3];

  for (int i = 0; i < SWITTI_CACHE_KEY_BYTES; i++)
    g_snprintf (digits + 2 * i, 3, "%02x", key[i]);
  g_strlcpy (first, digits, sizeof first);
  *folder = g_build_filename (self->folder, kind, first, NULL);
  *path = g_build_filename (*folder, digits + 2, NULL);
}

static gboolean
is_whole (const guint8 *bytes, gsize n_bytes, const guint8 key[SWITTI_CACHE_KEY_BYTES])
{
  guint8 digest[SWITTI_CACHE_KEY_BYTES];
  guint64 length;

  if (n_bytes < HEADER_BYTES || memcmp (bytes, MAGIC, MAGIC_BYTES) != 0
      || memcmp (bytes + MAGIC_BYTES, key, SWITTI_CACHE_KEY_BYTES) != 0)
    return FALSE;
  memcpy (&length, bytes + LENGTH_AT, sizeof length);
  if (GUINT64_FROM_LE (length) != n_bytes - HEADER_BYTES)
    return FALSE;
  digest_contents (bytes + HEADER_BYTES, n_bytes - HEADER_BYTES, digest);
  return memcmp (digest, bytes + DIGEST_AT, sizeof digest) == 0;
}

GBytes *
switti_cache_get (SwittiCache *self, const char *kind, const guint8 key[SWITTI_CACHE_KEY_BYTES])
{
  g_autofree char *folder = NULL, *path = NULL;
  g_autoptr (GBytes) file = NULL;
  char *bytes;
  gsize n_bytes;

  locate (self, kind, key, &folder, &path);
  if (!g_file_get_contents (path, &bytes, &n_bytes, NULL))
    return NULL;
  file = g_bytes_new_take (bytes, n_bytes);
  if (!is_whole ((const guint8 *) bytes, n_bytes, key))
    return NULL;
  return g_bytes_new_from_bytes (file, HEADER_BYTES, n_bytes - HEADER_BYTES);
}

static gboolean
write_whole (int fd, const void *bytes, gsize n_bytes)
{
  const char *rest = bytes;

  while (n_bytes > 0)
    {
      const gssize n = write (fd, rest, n_bytes);

      if (n < 0 && errno != EINTR)
        return FALSE;
      if (n > 0)
        {
          rest += n;
          n_bytes -= (gsize) n;
        }
    }
  return TRUE;
}

/* Not flushed before it is renamed: after a power failure an entry may be broken, which is found out and costs its
 * computation, while a flush for each image costs more than that all the time. */
static gboolean
write_beside (const char *path, const guint8 header[HEADER_BYTES], const void *contents, gsize n_bytes)
{
  g_autofree char *partial = g_strconcat (path, ".XXXXXX", NULL);
  const int fd = g_mkstemp_full (partial, O_RDWR | O_CLOEXEC, 0666);
  int code;

  if (fd < 0)
    return FALSE;
  if (write_whole (fd, header, HEADER_BYTES) && write_whole (fd, contents, n_bytes))
    {
      if (close (fd) == 0 && g_rename (partial, path) == 0)
        return TRUE;
      code = errno;
    }
  else
    {
      code = errno;
      close (fd);
    }
  g_unlink (partial);
  errno = code;
  return FALSE;
}

gboolean
switti_cache_put (SwittiCache *self, const char *kind, const guint8 key[SWITTI_CACHE_KEY_BYTES], const void *contents,
                  gsize n_bytes, GError **error)
{
  g_autofree char *folder = NULL, *path = NULL;
  const guint64 length = GUINT64_TO_LE ((guint64) n_bytes);
  guint8 header[HEADER_BYTES];

  locate (self, kind, key, &folder, &path);
  memcpy (header, MAGIC, MAGIC_BYTES);
  memcpy (header + MAGIC_BYTES, key, SWITTI_CACHE_KEY_BYTES);
  memcpy (header + LENGTH_AT, &length, sizeof length);
  digest_contents (contents, n_bytes, header + DIGEST_AT);
  if (g_mkdir_with_parents (folder, 0777) != 0 || !write_beside (path, header, contents, n_bytes))
    {
      g_autofree char *display = g_filename_display_name (path);

      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                   _ ("Cannot write %s: %s; make room, or name another cache folder."), display, g_strerror (errno));
      return FALSE;
    }
  return TRUE;
}

/* -- codes: height, width, codes, as 32-bit little-endian numbers ---------------------------------------------- */

gboolean
switti_cache_get_codes (SwittiCache *self, const guint8 key[SWITTI_CACHE_KEY_BYTES], gsize n_codes, gint32 *codes,
                        int *height, int *width)
{
  g_autoptr (GBytes) contents = switti_cache_get (self, SWITTI_CACHE_CODES, key);
  const guint8 *bytes;
  gint32 sizes[2];

  if (contents == NULL || g_bytes_get_size (contents) != (n_codes + 2) * sizeof (gint32))
    return FALSE;
  bytes = g_bytes_get_data (contents, NULL);
  memcpy (sizes, bytes, sizeof sizes);
  memcpy (codes, bytes + sizeof sizes, n_codes * sizeof *codes);
  for (gsize i = 0; i < n_codes; i++)
    codes[i] = GINT32_FROM_LE (codes[i]);
  *height = GINT32_FROM_LE (sizes[0]);
  *width = GINT32_FROM_LE (sizes[1]);
  return TRUE;
}

gboolean
switti_cache_put_codes (SwittiCache *self, const guint8 key[SWITTI_CACHE_KEY_BYTES], gsize n_codes, const gint32 *codes,
                        int height, int width, GError **error)
{
  g_autofree gint32 *numbers = g_new (gint32, n_codes + 2);

  numbers[0] = GINT32_TO_LE (height);
  numbers[1] = GINT32_TO_LE (width);
  for (gsize i = 0; i < n_codes; i++)
    numbers[i + 2] = GINT32_TO_LE (codes[i]);
  return switti_cache_put (self, SWITTI_CACHE_CODES, key, numbers, (n_codes + 2) * sizeof *numbers, error);
}
