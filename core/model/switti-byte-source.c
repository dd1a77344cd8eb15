/* switti-byte-source.c - bytes that are read by ranges: a file's, memory's, a server's
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-byte-source-private.h"

#include "switti-error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux reads at most 2 GiB in one call; between calls a cancel is looked for. */
#define MAX_READ_BYTES ((gsize) 64 << 20)
/* Who reads that much at once will go on: the disk may fetch what follows while this is being worked on. The system's
 * own read-ahead, 128 KiB, leaves a fast disk waiting. */
#define LARGE_READ_BYTES ((gsize) 256 << 10)
#define AHEAD_BYTES ((guint64) 4 << 20)

struct _SwittiByteSource
{
  gatomicrefcount ref_count;
  const SwittiByteSourceClass *klass;
  gpointer data;
  guint64 size;
  char *description;
};

SwittiByteSource *
switti_byte_source_new (const SwittiByteSourceClass *klass, gpointer data, guint64 size, const char *description)
{
  SwittiByteSource *self = g_new0 (SwittiByteSource, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->klass = klass;
  self->data = data;
  self->size = size;
  self->description = g_strdup (description);
  return self;
}

SwittiByteSource *
switti_byte_source_ref (SwittiByteSource *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
switti_byte_source_unref (SwittiByteSource *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->ref_count))
    return;
  if (self->klass->free != NULL)
    self->klass->free (self->data);
  g_free (self->description);
  g_free (self);
}

guint64
switti_byte_source_get_size (SwittiByteSource *self)
{
  return self->size;
}

const char *
switti_byte_source_get_description (SwittiByteSource *self)
{
  return self->description;
}

static gboolean
cut_short (const char *description, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("%s ends before its contents do: it is cut short or broken; get it again."), description);
  return FALSE;
}

gboolean
switti_byte_source_read (SwittiByteSource *self, guint64 offset, void *out, gsize bytes, GCancellable *cancellable,
                         GError **error)
{
  if (offset > self->size || bytes > self->size - offset)
    return cut_short (self->description, error);
  return !g_cancellable_set_error_if_cancelled (cancellable, error) &&
         self->klass->read (self->data, offset, out, bytes, cancellable, error);
}

/* -- files -------------------------------------------------------------------------------------------------- */

typedef struct
{
  int fd;
  char *description;
} File;

static gboolean
read_file (gpointer data, guint64 offset, void *out, gsize bytes, GCancellable *cancellable, GError **error)
{
  File *self = data;
  guint8 *next = out;

  if (bytes >= LARGE_READ_BYTES && offset / AHEAD_BYTES != (offset + bytes) / AHEAD_BYTES)
    posix_fadvise (self->fd, (off_t) (offset + bytes), 2 * AHEAD_BYTES, POSIX_FADV_WILLNEED);
  while (bytes > 0)
    {
      gssize n_read = pread (self->fd, next, MIN (bytes, MAX_READ_BYTES), (off_t) offset);
      int problem = errno;

      if (n_read < 0 && problem == EINTR)
        continue;
      if (n_read < 0)
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("%s could not be read: %s."), self->description,
                       g_strerror (problem));
          return FALSE;
        }
      if (n_read == 0) /* it became shorter since it was opened */
        return cut_short (self->description, error);
      next += n_read;
      offset += (guint64) n_read;
      bytes -= (gsize) n_read;
      if (bytes > 0 && g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
    }
  return TRUE;
}

static void
free_file (gpointer data)
{
  File *self = data;

  close (self->fd);
  g_free (self->description);
  g_free (self);
}

SwittiByteSource *
switti_byte_source_open_file (const char *path, GError **error)
{
  static const SwittiByteSourceClass klass = { read_file, free_file };
  File *self;
  struct stat info;
  int fd = g_open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0), problem = errno;

  if (fd >= 0 && fstat (fd, &info) != 0)
    problem = errno;
  else if (fd >= 0 && S_ISREG (info.st_mode))
    {
      self = g_new0 (File, 1);
      self->fd = fd;
      self->description = g_strdup_printf ("“%s”", path);
      return switti_byte_source_new (&klass, self, (guint64) info.st_size, self->description);
    }
  else if (fd >= 0)
    problem = S_ISDIR (info.st_mode) ? EISDIR : EINVAL;
  if (fd >= 0)
    close (fd);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be read: %s."), path, g_strerror (problem));
  return NULL;
}

/* -- memory ------------------------------------------------------------------------------------------------- */

static gboolean
read_bytes (gpointer data, guint64 offset, void *out, gsize bytes, GCancellable *cancellable, GError **error)
{
  if (bytes > 0)
    memcpy (out, (const guint8 *) g_bytes_get_data (data, NULL) + offset, bytes);
  return TRUE;
}

SwittiByteSource *
switti_byte_source_new_from_bytes (GBytes *bytes, const char *description)
{
  static const SwittiByteSourceClass klass = { read_bytes, (void (*) (gpointer)) g_bytes_unref };

  return switti_byte_source_new (&klass, g_bytes_ref (bytes), g_bytes_get_size (bytes), description);
}
