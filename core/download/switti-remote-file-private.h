/* switti-remote-file-private.h - a file of a model hub, read by ranges
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Reading goes on after every break, where it was. Used by one thread at a time.
 */
#pragma once

#include "switti-byte-source-private.h"
#include "switti-http-private.h"

G_BEGIN_DECLS

typedef struct _SwittiRemoteFile SwittiRemoteFile;

/* Asks the hub for NAME of a repository at a revision (a branch or a commit): its length and version, not its contents.
 * `http` must outlive it. SWITTI_ERROR_MODEL_NOT_FOUND where there is no such file. */
SwittiRemoteFile *switti_remote_file_open (SwittiHttp *http, const char *repository, const char *revision,
                                           const char *name, GCancellable *cancellable, GError **error);
void switti_remote_file_free (SwittiRemoteFile *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiRemoteFile, switti_remote_file_free)

guint64 switti_remote_file_get_size (SwittiRemoteFile *self);
/* “NAME” of REPOSITORY. */
const char *switti_remote_file_get_description (SwittiRemoteFile *self);
const char *switti_remote_file_get_name (SwittiRemoteFile *self);
/* The hub's name for these contents; "" where it gives none. */
const char *switti_remote_file_get_version (SwittiRemoteFile *self);
/* The repository's commit, or NULL. */
const char *switti_remote_file_get_commit (SwittiRemoteFile *self);
/* What the hub says that the SHA-256 of the whole file is; NULL where it says nothing. */
const char *switti_remote_file_get_sha256 (SwittiRemoteFile *self);

/* Exactly `bytes` bytes at `offset`. */
gboolean switti_remote_file_read (SwittiRemoteFile *self, guint64 offset, void *out, gsize bytes,
                                  GCancellable *cancellable, GError **error);

/* Lets go of the connection, where one is held for the next read. */
void switti_remote_file_pause (SwittiRemoteFile *self);

/* A small file as a whole; larger ones than max_bytes are SWITTI_ERROR_MODEL_INVALID. */
GBytes *switti_remote_file_read_all (SwittiRemoteFile *self, gsize max_bytes, GCancellable *cancellable,
                                     GError **error);

/* Says that [begin, end) will be read, front to back; to be called before, in rising order. Each run of ranges, gaps of
 * up to a moment's transfer included, then takes one request instead of one a read. */
void switti_remote_file_want (SwittiRemoteFile *self, guint64 begin, guint64 end);
/* Nothing more is wanted. A file of which nearly all is, and whose SHA-256 the hub states, will be read whole. */
void switti_remote_file_want_done (SwittiRemoteFile *self);
/* Bytes of those ranges and of the gaps in between from `begin` on: what is going to be transferred. */
guint64 switti_remote_file_count_wanted (SwittiRemoteFile *self, guint64 begin);

/* Where all of the file went by in this process, front to back, and the hub states a SHA-256: whether it is that one.
 * The little that is left behind the last read is fetched. *checked says whether there was anything to compare. */
gboolean switti_remote_file_verify (SwittiRemoteFile *self, gboolean *checked, GCancellable *cancellable,
                                    GError **error);

/* The file as a byte source, which does not own it. */
SwittiByteSource *switti_remote_file_as_source (SwittiRemoteFile *self);

G_END_DECLS
