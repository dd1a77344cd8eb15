/* switti-remote-file.c - a file of a model hub, read by ranges
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * There are two kinds of reads. Those in ranges that were announced go front to back: one response is held open and
 * read on. All others are small and here and there (headers, a zip file's directory): a few blocks serve them.
 */
#include "switti-build-config.h"

#include "switti-remote-file-private.h"

#include "switti-error.h"
#include "switti-sha256-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

#define BLOCK_BYTES (32 * 1024)
#define N_BLOCKS 4
/* What is faster read over than asked for anew. */
#define SMALL_GAP (512 * 1024)
/* A file is fetched whole, so that its SHA-256 can be compared, where that costs at most this share of it more. */
#define WHOLE_FILE_SHARE 100

typedef struct
{
  guint64 begin, end;
} Run;

typedef struct
{
  guint64 offset;
  gsize bytes; /* 0: empty */
  guint8 *data;
  guint used; /* when, as a count */
} Block;

struct _SwittiRemoteFile
{
  SwittiHttp *http;
  char *uri, *name, *description;
  guint64 size;
  char *version, *commit, *sha256;
  gboolean is_linked; /* the hub names the contents, whoever serves them */
  char *etag;         /* of a file that the hub serves itself; nullable */

  GArray *runs;     /* Run, rising, apart by more than SMALL_GAP */
  guint64 max_skip; /* bytes that are read over rather than asked for around */

  GInputStream *body; /* an open response, or NULL */
  guint64 position, body_end;
  gboolean no_ranges; /* the server sends whole files only */
  guint failures;     /* in a row */

  Block blocks[N_BLOCKS];
  guint clock;

  SwittiSha256 *checksum; /* of the first `hashed` bytes */
  guint64 hashed;
};

/* -- opening --------------------------------------------------------------------------------------------------- */

/* An ETag without its quotes and its mark of weakness. */
static char *
plain_etag (const char *etag)
{
  g_autofree char *plain = NULL;

  if (etag == NULL)
    return g_strdup ("");
  plain = g_strdup (g_str_has_prefix (etag, "W/") ? etag + 2 : etag);
  g_strdelimit (plain, "\"", ' ');
  return g_strdup (g_strstrip (plain));
}

static gboolean
is_sha256 (const char *text)
{
  return strlen (text) == 64 && strspn (text, "0123456789abcdef") == 64;
}

static gboolean
take_reply (SwittiRemoteFile *self, const SwittiHttpReply *reply, GError **error)
{
  gint64 size = reply->linked_size >= 0 ? reply->linked_size : reply->length;

  if (size < 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("%s does not say how long %s is: use another mirror."),
                   switti_http_get_endpoint (self->http), self->description);
      return FALSE;
    }
  self->size = (guint64) size;
  self->version = plain_etag (reply->linked_etag != NULL ? reply->linked_etag : reply->etag);
  self->commit = g_strdup (reply->commit);
  if (reply->linked_etag != NULL && is_sha256 (self->version))
    self->sha256 = g_strdup (self->version);
  /* Hosts that serve a linked file have names of their own for it, and not always the same. */
  self->is_linked = reply->linked_etag != NULL;
  self->etag = self->is_linked ? NULL : g_strdup (reply->etag);
  return TRUE;
}

SwittiRemoteFile *
switti_remote_file_open (SwittiHttp *http, const char *repository, const char *revision, const char *name,
                         GCancellable *cancellable, GError **error)
{
  g_autoptr (SwittiRemoteFile) self = g_new0 (SwittiRemoteFile, 1);
  g_autofree char *escaped_revision = g_uri_escape_string (revision, NULL, FALSE);
  g_autofree char *escaped_name = g_uri_escape_string (name, "/", FALSE);

  self->http = http;
  self->name = g_strdup (name);
  /* Translators: a file's name, and the repository of a model hub that it is in. */
  self->description = g_strdup_printf (_ ("“%s” of %s"), name, repository);
  self->uri = g_strdup_printf ("%s/%s/resolve/%s/%s", switti_http_get_endpoint (http), repository, escaped_revision,
                               escaped_name);
  self->runs = g_array_new (FALSE, FALSE, sizeof (Run));
  self->max_skip = SMALL_GAP;
  self->checksum = switti_sha256_new ();
  while (TRUE)
    {
      g_auto (SwittiHttpReply) reply = { 0 };
      g_autoptr (GError) problem = NULL;
      g_autoptr (GInputStream) body = switti_http_request (http, "HEAD", self->uri, self->description, 0, 0, NULL, TRUE,
                                                           &reply, cancellable, &problem);

      if (body != NULL)
        return take_reply (self, &reply, error) ? g_steal_pointer (&self) : NULL;
      if (!switti_http_wait (http, &self->failures, g_steal_pointer (&problem), cancellable, error))
        return NULL;
    }
}

void
switti_remote_file_pause (SwittiRemoteFile *self)
{
  g_clear_object (&self->body);
}

void
switti_remote_file_free (SwittiRemoteFile *self)
{
  if (self == NULL)
    return;
  switti_remote_file_pause (self);
  for (guint i = 0; i < N_BLOCKS; i++)
    g_free (self->blocks[i].data);
  g_array_unref (self->runs);
  switti_sha256_free (self->checksum);
  g_free (self->uri);
  g_free (self->name);
  g_free (self->description);
  g_free (self->version);
  g_free (self->commit);
  g_free (self->sha256);
  g_free (self->etag);
  g_free (self);
}

guint64
switti_remote_file_get_size (SwittiRemoteFile *self)
{
  return self->size;
}

const char *
switti_remote_file_get_description (SwittiRemoteFile *self)
{
  return self->description;
}

const char *
switti_remote_file_get_name (SwittiRemoteFile *self)
{
  return self->name;
}

const char *
switti_remote_file_get_version (SwittiRemoteFile *self)
{
  return self->version;
}

const char *
switti_remote_file_get_commit (SwittiRemoteFile *self)
{
  return self->commit;
}

const char *
switti_remote_file_get_sha256 (SwittiRemoteFile *self)
{
  return self->sha256;
}

/* -- one response ---------------------------------------------------------------------------------------------- */

static gboolean
set_changed (SwittiRemoteFile *self, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
               _ ("%s has changed on the hub since its download began: restart the download."), self->description);
  return FALSE;
}

static gboolean
set_wrong_length (SwittiRemoteFile *self, gint64 length, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
               _ ("%s should be %" PRIu64 " bytes long, but %" PRId64
                  " are sent: try again later, or another mirror."),
               self->description, self->size, length);
  return FALSE;
}

/* Whether an answer is about the file that was opened, and the bytes from `first` on are among what it sends. */
static gboolean
check_answer (SwittiRemoteFile *self, const SwittiHttpReply *reply, guint64 first, guint64 end, GError **error)
{
  g_autofree char *version = plain_etag (self->is_linked ? reply->linked_etag : reply->etag);

  if (*version != '\0' && *self->version != '\0' && strcmp (version, self->version) != 0)
    return set_changed (self, error);
  if (reply->status == 206)
    {
      if (reply->first < 0 || (guint64) reply->first != first)
        {
          switti_http_set_broken (self->http, error, self->description, _ ("another part was sent than asked for"));
          return FALSE;
        }
      if (reply->total >= 0 && (guint64) reply->total != self->size)
        return set_wrong_length (self, reply->total, error);
      self->position = first;
      self->body_end = reply->length >= 0 ? first + (guint64) reply->length : end;
      return TRUE;
    }
  /* The whole file, to a question for a part of it: the server knows no ranges. */
  if (reply->length >= 0 && (guint64) reply->length != self->size)
    return set_wrong_length (self, reply->length, error);
  if (end - first < self->size && !self->no_ranges)
    {
      self->no_ranges = TRUE;
      switti_http_notify (self->http, _ ("this hub sends whole files only"));
    }
  self->position = 0;
  self->body_end = self->size;
  return TRUE;
}

static gboolean
open_body (SwittiRemoteFile *self, guint64 first, guint64 end, GCancellable *cancellable, GError **error)
{
  g_auto (SwittiHttpReply) reply = { 0 };

  switti_remote_file_pause (self);
  self->body = switti_http_request (self->http, "GET", self->uri, self->description, first, end, self->etag, FALSE,
                                    &reply, cancellable, error);
  if (self->body == NULL)
    return FALSE;
  if (check_answer (self, &reply, first, end, error))
    return TRUE;
  switti_remote_file_pause (self);
  return FALSE;
}

static void
hash_arrived (SwittiRemoteFile *self, guint64 begin, const guint8 *data, gsize bytes)
{
  if (self->sha256 == NULL || self->hashed < begin || self->hashed >= begin + bytes)
    return;
  data += self->hashed - begin;
  bytes -= (gsize) (self->hashed - begin);
  switti_sha256_update (self->checksum, data, bytes);
  self->hashed += bytes;
}

/* The next bytes of the open response, at most `bytes` of them: -1 on a failure, one of which is its early end. */
static gssize
read_body (SwittiRemoteFile *self, void *out, gsize bytes, GCancellable *cancellable, GError **error)
{
  gssize n_read = switti_http_read (self->http, self->body, out, bytes, self->description, cancellable, error);

  if (n_read == 0)
    {
      switti_http_set_broken (self->http, error, self->description, _ ("the connection was closed too early"));
      return -1;
    }
  if (n_read > 0)
    {
      hash_arrived (self, self->position, out, (gsize) n_read);
      self->position += (guint64) n_read;
      if (self->position >= self->body_end)
        switti_remote_file_pause (self);
    }
  return n_read;
}

/* Reads over what lies before `offset`. */
static gboolean
skip_to (SwittiRemoteFile *self, guint64 offset, GCancellable *cancellable, GError **error)
{
  static const gsize skip_bytes = 64 * 1024;
  g_autofree guint8 *skipped = self->position < offset ? g_malloc (skip_bytes) : NULL;

  while (self->position < offset)
    {
      gsize bytes = (gsize) MIN (offset - self->position, skip_bytes);

      if (self->body == NULL || read_body (self, skipped, bytes, cancellable, error) < 0)
        return FALSE;
    }
  return TRUE;
}

/* One attempt at some bytes at `offset`, of which `end` is the last that will be wanted: how many came, or -1. */
static gssize
read_some (SwittiRemoteFile *self, guint64 offset, void *out, gsize bytes, guint64 end, GCancellable *cancellable,
           GError **error)
{
  if (self->body != NULL &&
      (self->position > offset || offset >= self->body_end ||
       (offset - self->position > self->max_skip && !self->no_ranges)))
    switti_remote_file_pause (self);
  if (self->body == NULL)
    {
      /* From where the checksum is, if that is near. */
      gboolean is_near = self->sha256 != NULL && self->hashed < offset && offset - self->hashed <= self->max_skip;
      guint64 first = is_near ? self->hashed : offset;

      if (!open_body (self, first, end, cancellable, error))
        return -1;
    }
  if (!skip_to (self, offset, cancellable, error))
    return -1;
  return read_body (self, out, (gsize) MIN (bytes, self->body_end - offset), cancellable, error);
}

static gboolean
read_range (SwittiRemoteFile *self, guint64 offset, guint8 *out, gsize bytes, guint64 end, GCancellable *cancellable,
            GError **error)
{
  while (bytes > 0)
    {
      g_autoptr (GError) problem = NULL;
      gssize n_read = read_some (self, offset, out, bytes, end, cancellable, &problem);

      if (n_read > 0)
        {
          self->failures = 0;
          offset += (guint64) n_read;
          out += n_read;
          bytes -= (gsize) n_read;
          continue;
        }
      switti_remote_file_pause (self);
      if (!switti_http_wait (self->http, &self->failures, g_steal_pointer (&problem), cancellable, error))
        return FALSE;
    }
  return TRUE;
}

/* -- reading --------------------------------------------------------------------------------------------------- */

static const Run *
find_run (SwittiRemoteFile *self, guint64 offset)
{
  for (guint i = 0; i < self->runs->len; i++)
    {
      const Run *run = &g_array_index (self->runs, Run, i);

      if (offset >= run->begin && offset < run->end)
        return run;
    }
  return NULL;
}

/* The block at `offset`, a multiple of BLOCK_BYTES; NULL with error set. */
static const Block *
load_block (SwittiRemoteFile *self, guint64 offset, GCancellable *cancellable, GError **error)
{
  Block *block = &self->blocks[0];

  for (guint i = 0; i < N_BLOCKS; i++)
    {
      if (self->blocks[i].bytes > 0 && self->blocks[i].offset == offset)
        {
          self->blocks[i].used = ++self->clock;
          return &self->blocks[i];
        }
      if (self->blocks[i].used < block->used)
        block = &self->blocks[i];
    }
  if (block->data == NULL)
    block->data = g_malloc (BLOCK_BYTES);
  block->bytes = 0;
  block->offset = offset;
  block->used = ++self->clock;
  if (!read_range (self, offset, block->data, (gsize) MIN (BLOCK_BYTES, self->size - offset),
                   MIN (offset + BLOCK_BYTES, self->size), cancellable, error))
    return NULL;
  block->bytes = (gsize) MIN (BLOCK_BYTES, self->size - offset);
  return block;
}

gboolean
switti_remote_file_read (SwittiRemoteFile *self, guint64 offset, void *out, gsize bytes, GCancellable *cancellable,
                         GError **error)
{
  const Run *run = find_run (self, offset);
  guint8 *next = out;

  g_assert (offset <= self->size && bytes <= self->size - offset);
  if (run != NULL || bytes >= BLOCK_BYTES)
    return read_range (self, offset, out, bytes, MAX (offset + bytes, run != NULL ? run->end : 0), cancellable, error);
  while (bytes > 0)
    {
      guint64 begin = offset - offset % BLOCK_BYTES;
      const Block *block = load_block (self, begin, cancellable, error);
      gsize part;

      if (block == NULL)
        return FALSE;
      part = MIN (bytes, block->bytes - (gsize) (offset - begin));
      memcpy (next, block->data + (offset - begin), part);
      next += part;
      offset += part;
      bytes -= part;
    }
  return TRUE;
}

GBytes *
switti_remote_file_read_all (SwittiRemoteFile *self, gsize max_bytes, GCancellable *cancellable, GError **error)
{
  g_autofree guint8 *data = NULL;
  gboolean checked;

  if (self->size > max_bytes)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
                   _ ("%s is too large: %" PRIu64 " bytes, where at most %zu are expected."),
                   self->description, self->size, max_bytes);
      return NULL;
    }
  data = g_malloc (MAX (self->size, 1));
  if (!read_range (self, 0, data, (gsize) self->size, self->size, cancellable, error) ||
      !switti_remote_file_verify (self, &checked, cancellable, error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&data), (gsize) self->size);
}

/* -- plans ----------------------------------------------------------------------------------------------------- */

void
switti_remote_file_want (SwittiRemoteFile *self, guint64 begin, guint64 end)
{
  Run run = { begin, end };
  Run *last = self->runs->len > 0 ? &g_array_index (self->runs, Run, self->runs->len - 1) : NULL;

  if (begin >= end)
    return;
  if (last != NULL && begin >= last->begin && begin <= last->end + SMALL_GAP)
    last->end = MAX (last->end, end);
  else
    g_array_append_val (self->runs, run);
}

void
switti_remote_file_want_done (SwittiRemoteFile *self)
{
  Run whole = { 0, self->size };
  guint64 wanted = switti_remote_file_count_wanted (self, 0), most = self->size / WHOLE_FILE_SHARE;

  if (self->sha256 == NULL || self->runs->len == 0 || self->size - wanted > most)
    return;
  g_array_set_size (self->runs, 0);
  g_array_append_val (self->runs, whole);
  self->max_skip = MAX (self->max_skip, most);
}

guint64
switti_remote_file_count_wanted (SwittiRemoteFile *self, guint64 begin)
{
  guint64 wanted = 0;

  for (guint i = 0; i < self->runs->len; i++)
    {
      const Run *run = &g_array_index (self->runs, Run, i);

      wanted += run->end - CLAMP (begin, run->begin, run->end);
    }
  return wanted;
}

gboolean
switti_remote_file_verify (SwittiRemoteFile *self, gboolean *checked, GCancellable *cancellable, GError **error)
{
  guint8 rest[4096];

  *checked = FALSE;
  if (self->sha256 == NULL || self->size - self->hashed > self->max_skip)
    return TRUE;
  while (self->hashed < self->size)
    {
      gsize bytes = (gsize) MIN (self->size - self->hashed, sizeof rest);

      if (!read_range (self, self->hashed, rest, bytes, self->size, cancellable, error))
        return FALSE;
    }
  *checked = TRUE;
  if (strcmp (switti_sha256_finish (self->checksum), self->sha256) == 0)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("%s arrived damaged: its SHA-256 is not what the hub states; start the download again."),
               self->description);
  return FALSE;
}

/* -- as a byte source ------------------------------------------------------------------------------------------ */

static gboolean
source_read (gpointer data, guint64 offset, void *out, gsize bytes, GCancellable *cancellable, GError **error)
{
  return switti_remote_file_read (data, offset, out, bytes, cancellable, error);
}

SwittiByteSource *
switti_remote_file_as_source (SwittiRemoteFile *self)
{
  static const SwittiByteSourceClass klass = { source_read, NULL };

  return switti_byte_source_new (&klass, self, self->size, self->description);
}
