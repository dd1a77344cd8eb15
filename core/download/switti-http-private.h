/* switti-http-private.h - asking a model hub, patiently
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Used by one thread at a time.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The hub that is asked unless another is named: the one place of its name. */
#define SWITTI_HUB_ENDPOINT "https://huggingface.co"

typedef struct _SwittiHttp SwittiHttp;

/* Hears what a user should know of the connection, such as why there is a wait. */
typedef void (*SwittiHttpNotice) (const char *words, gpointer data);

/* `endpoint`: "https://host[:port][/path]"; `token` (nullable) is sent to that host alone, never to one that it
 * redirects to. Proxies are those of http_proxy, https_proxy, all_proxy and no_proxy, or else of the desktop. */
SwittiHttp *switti_http_new (const char *endpoint, const char *token, GError **error);
void switti_http_free (SwittiHttp *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiHttp, switti_http_free)

void switti_http_set_notice (SwittiHttp *self, SwittiHttpNotice notice, gpointer data);
/* Is told of arrived bytes, a few times a second. */
void switti_http_set_arrival (SwittiHttp *self, void (*arrival) (gpointer data), gpointer data);
void switti_http_notify (SwittiHttp *self, const char *words);
const char *switti_http_get_endpoint (SwittiHttp *self);
/* Bytes of file bodies that have arrived in all. */
guint64 switti_http_get_received (SwittiHttp *self);

/* What a hub said of a file. */
typedef struct
{
  guint status;
  char *etag;          /* of that answer; nullable */
  gint64 length;       /* of the body, or -1 */
  gint64 first, total; /* of a part: where it begins, and the file's size (-1: not said); first -1: a whole file */
  char *linked_etag;   /* the hub's own name for the contents, whoever serves them: a SHA-256 mostly; nullable */
  gint64 linked_size;  /* and their size, or -1 */
  char *commit;        /* of the repository; nullable */
} SwittiHttpReply;

void switti_http_reply_clear (SwittiHttpReply *reply);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (SwittiHttpReply, switti_http_reply_clear)

/* One attempt at one request: `method` "HEAD" or "GET"; from byte `first` up to but without `end` where `end` > 0;
 * `if_range` (nullable): only if the file still has this ETag, otherwise the whole of it is sent. Follows redirects;
 * `stay` makes the answer final as soon as it says what the hub knows of the file (linked_size). An answer other than
 * 200 and 206 is an error, whose sentence says `what` was asked for. */
GInputStream *switti_http_request (SwittiHttp *self, const char *method, const char *uri, const char *what,
                                   guint64 first, guint64 end, const char *if_range, gboolean stay,
                                   SwittiHttpReply *reply, GCancellable *cancellable, GError **error);

/* A body's next bytes: -1 on an error, 0 at its end. */
gssize switti_http_read (SwittiHttp *self, GInputStream *body, void *buffer, gsize length, const char *what,
                         GCancellable *cancellable, GError **error);

/* A failure of the connection, that another attempt may mend. */
void switti_http_set_broken (SwittiHttp *self, GError **error, const char *what, const char *how);

/* After a failed attempt: waits and returns TRUE where another is worth it, or else moves `problem` to error.
 * `failures` counts attempts in a row that brought nothing, and is raised. */
gboolean switti_http_wait (SwittiHttp *self, guint *failures, GError *problem, GCancellable *cancellable,
                           GError **error);

G_END_DECLS
