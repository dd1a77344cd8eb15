/* switti-safetensors-writer.c - one safetensors file, written from front to back
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The SHA-256 is computed on a thread of its own while the next bytes are read and converted. A file that may be
 * continued has a note beside it, FILE.position: how many bytes of data are on the disk for certain. It stays beside a
 * finished file, so that a run that goes on with another part does not begin this one anew.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sync_file_range() */
#endif

#include "switti-model-writer-private.h"

#include "switti-error.h"
#include "switti-safetensors-private.h"
#include "switti-sha256-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_BYTES ((gsize) 1 << 20)
#define HASH_BUFFERS 16
#define CHUNK_BYTES ((gsize) 1 << 20) /* of a plan, read and converted at a time */
/* How much work a kill may cost a file that can be continued. */
#define NOTE_BYTES ((guint64) 64 << 20)
#define NOTE_MICROSECONDS (G_USEC_PER_SEC / 2)
/* The disk begins to write after that much, and not only when a tenth of the memory waits for it. */
#define FLUSH_BYTES ((guint64) 8 << 20)

/* -- a hash on a thread of its own -------------------------------------------------------------------------- */

typedef struct
{
  gsize used; /* 0: the end */
  guint8 bytes[HASH_BYTES];
} Buffer;

typedef struct
{
  GThread *thread;
  GAsyncQueue *full, *empty;
  SwittiSha256 *checksum;
  Buffer *current;
} Hasher;

static gpointer
hash_buffers (gpointer data)
{
  Hasher *self = data;

  for (;;)
    {
      Buffer *buffer = g_async_queue_pop (self->full);
      gsize used = buffer->used;

      if (used > 0)
        switti_sha256_update (self->checksum, buffer->bytes, used);
      g_async_queue_push (self->empty, buffer);
      if (used == 0)
        return NULL;
    }
}

static Hasher *
hasher_new (void)
{
  Hasher *self = g_new0 (Hasher, 1);

  self->full = g_async_queue_new_full (g_free);
  self->empty = g_async_queue_new_full (g_free);
  self->checksum = switti_sha256_new ();
  for (int i = 0; i < HASH_BUFFERS; i++)
    g_async_queue_push (self->empty, g_new0 (Buffer, 1));
  self->thread = g_thread_new ("switti-hash", hash_buffers, self);
  return self;
}

static void
hasher_update (Hasher *self, const guint8 *bytes, gsize n)
{
  while (n > 0)
    {
      gsize part;

      if (self->current == NULL)
        {
          self->current = g_async_queue_pop (self->empty);
          self->current->used = 0;
        }
      part = MIN (n, HASH_BYTES - self->current->used);
      memcpy (self->current->bytes + self->current->used, bytes, part);
      self->current->used += part;
      bytes += part;
      n -= part;
      if (self->current->used == HASH_BYTES)
        g_async_queue_push (self->full, g_steal_pointer (&self->current));
    }
}

/* The hash of all; frees it. */
static char *
hasher_finish (Hasher *self)
{
  Buffer *end;
  char *hash;

  if (self->current != NULL && self->current->used > 0)
    g_async_queue_push (self->full, g_steal_pointer (&self->current));
  end = self->current != NULL ? g_steal_pointer (&self->current) : g_async_queue_pop (self->empty);
  end->used = 0;
  g_async_queue_push (self->full, end);
  g_thread_join (self->thread);
  hash = g_strdup (switti_sha256_finish (self->checksum));
  switti_sha256_free (self->checksum);
  g_async_queue_unref (self->full);
  g_async_queue_unref (self->empty);
  g_free (self);
  return hash;
}

/* -- the file ----------------------------------------------------------------------------------------------- */

struct _SwittiSafetensorsWriter
{
  char *path, *note_path;
  int fd;
  gsize header_bytes; /* with its length */
  guint64 size, position, flushed;
  Hasher *hasher;
  gboolean can_resume;
  guint64 noted;
  gint64 noted_at;
};

static gboolean
write_failed (SwittiSafetensorsWriter *self, int problem, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be written: %s."), self->path,
               g_strerror (problem));
  return FALSE;
}

static guint64
read_note (SwittiSafetensorsWriter *self)
{
  g_autofree char *text = NULL;
  guint64 position;

  if (!g_file_get_contents (self->note_path, &text, NULL, NULL) ||
      !g_ascii_string_to_unsigned (g_strstrip (text), 10, 0, G_MAXUINT64, &position, NULL))
    return 0;
  return position;
}

/* Says on the disk how far the file is, once it is there. */
static gboolean
note_position (SwittiSafetensorsWriter *self, GError **error)
{
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT "\n", self->position);
  g_autoptr (GError) note_error = NULL;

  if (fdatasync (self->fd) != 0)
    return write_failed (self, errno, error);
  if (!g_file_set_contents_full (self->note_path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0666, &note_error))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be written: %s."), self->note_path,
                   note_error->message);
      return FALSE;
    }
  self->noted = self->position;
  self->noted_at = g_get_monotonic_time ();
  return TRUE;
}

/* Lets the disk write what was appended, without waiting for it. */
static void
begin_to_flush (SwittiSafetensorsWriter *self)
{
#ifdef SYNC_FILE_RANGE_WRITE
  if (self->position - self->flushed < FLUSH_BYTES)
    return;
  sync_file_range (self->fd, (off_t) (self->header_bytes + self->flushed),
                   (off_t) (self->position - self->flushed), SYNC_FILE_RANGE_WRITE);
  self->flushed = self->position;
#endif
}

/* Takes what an earlier run wrote of a file with this header into the hash. FALSE where there is no such file. */
static gboolean
continue_file (SwittiSafetensorsWriter *self, const GString *header)
{
  g_autofree char *start = g_malloc (header->len);
  g_autofree guint8 *block = g_malloc (HASH_BYTES);
  guint64 position = read_note (self), done = 0;
  struct stat info;

  if (position == 0 || fstat (self->fd, &info) != 0 || (guint64) info.st_size < header->len ||
      pread (self->fd, start, header->len, 0) != (gssize) header->len || memcmp (start, header->str, header->len) != 0)
    return FALSE;
  if (position > self->size || position > (guint64) info.st_size - header->len)
    return FALSE; /* the note is another file's */
  hasher_update (self->hasher, (const guint8 *) header->str, header->len);
  while (done < position)
    {
      gssize n = pread (self->fd, block, (gsize) MIN (HASH_BYTES, position - done), (off_t) (header->len + done));

      if (n <= 0)
        return FALSE;
      hasher_update (self->hasher, block, (gsize) n);
      done += (guint64) n;
    }
  self->position = position;
  return TRUE;
}

static gboolean
begin_file (SwittiSafetensorsWriter *self, const GString *header, GError **error)
{
  if (self->can_resume && continue_file (self, header))
    {
      if (ftruncate (self->fd, (off_t) (header->len + self->position)) == 0 && lseek (self->fd, 0, SEEK_END) >= 0)
        return TRUE;
      return write_failed (self, errno, error);
    }
  if (ftruncate (self->fd, 0) != 0 || lseek (self->fd, 0, SEEK_SET) != 0 ||
      !switti_file_write_all (self->fd, header->str, header->len))
    return write_failed (self, errno, error);
  g_unlink (self->note_path);
  g_free (hasher_finish (self->hasher)); /* of what could not be continued */
  self->hasher = hasher_new ();
  hasher_update (self->hasher, (const guint8 *) header->str, header->len);
  return TRUE;
}

SwittiSafetensorsWriter *
switti_safetensors_writer_new (const char *path, const char *const *names, const SwittiTensor *shapes, gsize n_tensors,
                               GHashTable *metadata, gboolean resume, GError **error)
{
  g_autoptr (SwittiSafetensorsWriter) self = g_new0 (SwittiSafetensorsWriter, 1);
  GString *header;
  gboolean begun;

  self->path = g_strdup (path);
  self->note_path = g_strconcat (path, ".position", NULL);
  self->can_resume = resume;
  self->fd = -1;
  header = switti_safetensors_build_header (names, shapes, n_tensors, metadata, &self->size, error);
  if (header == NULL)
    return NULL;
  self->header_bytes = header->len;
  self->hasher = hasher_new ();
  self->fd = g_open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  begun = self->fd >= 0 ? begin_file (self, header, error) : write_failed (self, errno, error);
  g_string_free (header, TRUE);
  self->noted = self->flushed = self->position;
  self->noted_at = g_get_monotonic_time ();
  return begun ? g_steal_pointer (&self) : NULL;
}

guint64
switti_safetensors_writer_get_position (SwittiSafetensorsWriter *self)
{
  return self->position;
}

guint64
switti_safetensors_writer_get_size (SwittiSafetensorsWriter *self)
{
  return self->size;
}

gboolean
switti_safetensors_writer_append (SwittiSafetensorsWriter *self, const void *data, gsize bytes, GError **error)
{
  g_assert (bytes <= self->size - self->position);
  if (!switti_file_write_all (self->fd, data, bytes))
    {
      int problem = errno;

      /* What was written of it is not known to be there. */
      if (ftruncate (self->fd, (off_t) (self->header_bytes + self->position)) == 0)
        (void) lseek (self->fd, 0, SEEK_END);
      return write_failed (self, problem, error);
    }
  hasher_update (self->hasher, data, bytes);
  self->position += bytes;
  begin_to_flush (self);
  if (self->can_resume && (self->position - self->noted >= NOTE_BYTES ||
                           g_get_monotonic_time () - self->noted_at >= NOTE_MICROSECONDS))
    return note_position (self, error);
  return TRUE;
}

gboolean
switti_safetensors_writer_finish (SwittiSafetensorsWriter *self, char **sha256, GError **error)
{
  int fd = self->fd;

  g_assert (self->position == self->size);
  if (self->can_resume && !note_position (self, error))
    return FALSE;
  *sha256 = hasher_finish (g_steal_pointer (&self->hasher));
  if (fsync (fd) == 0)
    {
      self->fd = -1;
      if (close (fd) == 0)
        return TRUE;
    }
  g_clear_pointer (sha256, g_free);
  return write_failed (self, errno, error);
}

void
switti_safetensors_writer_free (SwittiSafetensorsWriter *self)
{
  if (self == NULL)
    return;
  if (self->hasher != NULL)
    g_free (hasher_finish (self->hasher));
  if (self->fd >= 0 && self->can_resume && self->position > self->noted)
    note_position (self, NULL);
  if (self->fd >= 0)
    close (self->fd);
  g_free (self->path);
  g_free (self->note_path);
  g_free (self);
}

/* -- plans -------------------------------------------------------------------------------------------------- */

/* Writes a tensor from byte `skip` of it on. */
static gboolean
append_tensor (SwittiSafetensorsWriter *self, SwittiPartPlan *plan, const SwittiPlannedTensor *tensor, guint64 skip,
               void *chunk, SwittiBytesFunc progress, gpointer data, GCancellable *cancellable, GError **error)
{
  gsize size = switti_dtype_size (tensor->shape.dtype), at_once = CHUNK_BYTES / size;

  for (gsize i = (gsize) skip / size; i < tensor->count; i += at_once)
    {
      gsize n = MIN (at_once, tensor->count - i);

      if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
          !switti_part_plan_read (plan, tensor, i, n, chunk, cancellable, error) ||
          !switti_safetensors_writer_append (self, chunk, n * size, error))
        return FALSE;
      if (progress != NULL)
        progress (self->position, self->size, tensor->name, data);
    }
  return TRUE;
}

gboolean
switti_safetensors_writer_append_plan (SwittiSafetensorsWriter *self, SwittiPartPlan *plan, SwittiBytesFunc progress,
                                       gpointer data, GCancellable *cancellable, GError **error)
{
  g_autofree guint8 *chunk = g_malloc (CHUNK_BYTES);
  guint64 end = 0;

  for (guint i = 0; i < plan->tensors->len; i++)
    {
      const SwittiPlannedTensor *tensor = &g_array_index (plan->tensors, SwittiPlannedTensor, i);
      guint64 begin = end, skip;

      end += tensor->bytes;
      if (end <= self->position)
        continue;
      /* Never within an element: the position is one where a chunk ended. */
      skip = self->position - begin;
      if (!append_tensor (self, plan, tensor, skip, chunk, progress, data, cancellable, error))
        return FALSE;
    }
  return TRUE;
}
