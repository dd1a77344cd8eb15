/* switti-byte-source-private.h - bytes that are read by ranges: a file's, memory's, a server's
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A source of known size. It may be read from one thread at a time; the kinds in switti-byte-source.c from any number.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _SwittiByteSource SwittiByteSource;

typedef struct
{
  /* Reads exactly `bytes` bytes at `offset`, all inside the size; `bytes` may be 0. FALSE with error set otherwise. */
  gboolean (*read) (gpointer data, guint64 offset, void *out, gsize bytes, GCancellable *cancellable, GError **error);
  void (*free) (gpointer data); /* nullable */
} SwittiByteSourceClass;

/* `klass` must live as long as the source, which takes over `data`. description: words for messages, as “path”. */
SwittiByteSource *switti_byte_source_new (const SwittiByteSourceClass *klass, gpointer data, guint64 size,
                                          const char *description);
/* A regular file, open as long as the source lives; SWITTI_ERROR_IO. */
SwittiByteSource *switti_byte_source_open_file (const char *path, GError **error);
SwittiByteSource *switti_byte_source_new_from_bytes (GBytes *bytes, const char *description);
SwittiByteSource *switti_byte_source_ref (SwittiByteSource *self);
void switti_byte_source_unref (SwittiByteSource *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiByteSource, switti_byte_source_unref)

guint64 switti_byte_source_get_size (SwittiByteSource *self);
const char *switti_byte_source_get_description (SwittiByteSource *self);
/* A range that is not inside the source is SWITTI_ERROR_MODEL_INVALID: the file was cut short. */
gboolean switti_byte_source_read (SwittiByteSource *self, guint64 offset, void *out, gsize bytes,
                                  GCancellable *cancellable, GError **error);

G_END_DECLS
