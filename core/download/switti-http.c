/* switti-http.c - asking a model hub, patiently
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-http-private.h"

#include "switti-error.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <libsoup/soup.h>
#include <string.h>

#define MAX_REDIRECTS 10
#define SILENCE_SECONDS 30   /* without a byte, after which a connection counts as broken */
#define MAX_CONNECTIONS 16   /* answers that are read at a time, of shards; a request more would wait forever */
#define MAX_FAILURES 6       /* in a row */
#define FIRST_WAIT_MS 200    /* doubled at each failure in a row: 0.2 … 6.4 s */
#define MAX_WAIT_SECONDS 300 /* that a hub may ask for */
#define ARRIVAL_MICROSECONDS (G_USEC_PER_SEC / 5)

struct _SwittiHttp
{
  char *endpoint, *token;
  GUri *endpoint_uri;
  SoupSession *session;
  SwittiHttpNotice notice;
  gpointer notice_data;
  void (*arrival) (gpointer data);
  gpointer arrival_data;
  gint64 told; /* of an arrival, microseconds */
  guint64 received;
  gboolean reached;      /* the hub has answered at least once */
  gboolean temporary;    /* of the last failure: another attempt may mend it */
  gint64 asked_seconds;  /* of the last failure: the wait that the hub asked for, or -1 */
};

/* -- proxies -------------------------------------------------------------------------------------------------- */

static const char *
get_either (const char *lower, const char *upper)
{
  const char *value = g_getenv (lower);

  if (value == NULL || *value == '\0')
    value = g_getenv (upper);
  return value != NULL && *value != '\0' ? value : NULL;
}

/* "host:port" is a proxy's address, too. */
static char *
proxy_uri (const char *value)
{
  return strstr (value, "://") != NULL ? g_strdup (value) : g_strconcat ("http://", value, NULL);
}

/* GLib knows the environment's proxies only where its libproxy module is installed. NULL: none are set there. */
static GProxyResolver *
resolver_of_environment (void)
{
  const char *http = get_either ("http_proxy", "HTTP_PROXY"), *https = get_either ("https_proxy", "HTTPS_PROXY");
  const char *all = get_either ("all_proxy", "ALL_PROXY"), *none = get_either ("no_proxy", "NO_PROXY");
  g_autofree char *all_uri = all != NULL ? proxy_uri (all) : g_strdup ("direct://");
  g_auto (GStrv) hosts = g_strsplit (none != NULL ? none : "", ",", -1);
  GProxyResolver *resolver;

  if (http == NULL && https == NULL && all == NULL)
    return NULL;
  for (guint i = 0; hosts[i] != NULL; i++)
    g_strstrip (hosts[i]);
  if (g_strv_contains ((const char *const *) hosts, "*"))
    return g_simple_proxy_resolver_new ("direct://", NULL);
  resolver = g_simple_proxy_resolver_new (all_uri, hosts);
  for (guint i = 0; i < 2; i++)
    if ((i == 0 ? http : https) != NULL)
      {
        g_autofree char *uri = proxy_uri (i == 0 ? http : https);

        g_simple_proxy_resolver_set_uri_proxy (G_SIMPLE_PROXY_RESOLVER (resolver), i == 0 ? "http" : "https", uri);
      }
  return resolver;
}

/* -- making ---------------------------------------------------------------------------------------------------- */

SwittiHttp *
switti_http_new (const char *endpoint, const char *token, GError **error)
{
  g_autoptr (SwittiHttp) self = g_new0 (SwittiHttp, 1);
  g_autoptr (GProxyResolver) resolver = resolver_of_environment ();
  const char *scheme;

  self->endpoint = g_strdup (endpoint);
  while (g_str_has_suffix (self->endpoint, "/"))
    self->endpoint[strlen (self->endpoint) - 1] = '\0';
  self->token = token != NULL && *token != '\0' ? g_strstrip (g_strdup (token)) : NULL;
  self->endpoint_uri = g_uri_parse (self->endpoint, SOUP_HTTP_URI_FLAGS, NULL);
  scheme = self->endpoint_uri != NULL ? g_uri_get_scheme (self->endpoint_uri) : "";
  if ((strcmp (scheme, "http") != 0 && strcmp (scheme, "https") != 0) || g_uri_get_host (self->endpoint_uri) == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("“%s” is no address of a model hub: one reads like %s."), endpoint, SWITTI_HUB_ENDPOINT);
      return NULL;
    }

  self->session = soup_session_new_with_options ("user-agent", "switti/" SWITTI_VERSION, "timeout", SILENCE_SECONDS,
                                                 "max-conns-per-host", MAX_CONNECTIONS, NULL);
  if (resolver != NULL)
    soup_session_set_proxy_resolver (self->session, resolver);
  /* Positions are those of the stored file. */
  soup_session_remove_feature_by_type (self->session, SOUP_TYPE_CONTENT_DECODER);
  return g_steal_pointer (&self);
}

void
switti_http_free (SwittiHttp *self)
{
  if (self == NULL)
    return;
  g_clear_object (&self->session);
  g_clear_pointer (&self->endpoint_uri, g_uri_unref);
  g_free (self->endpoint);
  g_free (self->token);
  g_free (self);
}

void
switti_http_set_notice (SwittiHttp *self, SwittiHttpNotice notice, gpointer data)
{
  self->notice = notice;
  self->notice_data = data;
}

void
switti_http_set_arrival (SwittiHttp *self, void (*arrival) (gpointer data), gpointer data)
{
  self->arrival = arrival;
  self->arrival_data = data;
}

void
switti_http_notify (SwittiHttp *self, const char *words)
{
  if (self->notice != NULL)
    self->notice (words, self->notice_data);
}

const char *
switti_http_get_endpoint (SwittiHttp *self)
{
  return self->endpoint;
}

guint64
switti_http_get_received (SwittiHttp *self)
{
  return self->received;
}

void
switti_http_reply_clear (SwittiHttpReply *reply)
{
  g_clear_pointer (&reply->etag, g_free);
  g_clear_pointer (&reply->linked_etag, g_free);
  g_clear_pointer (&reply->commit, g_free);
}

/* -- failures -------------------------------------------------------------------------------------------------- */

void
switti_http_set_broken (SwittiHttp *self, GError **error, const char *what, const char *how)
{
  self->temporary = TRUE;
  self->asked_seconds = -1;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
               _ ("The download of %s broke off (%s): what has arrived is kept, start it again to go on."), what, how);
}

/* Whether no other attempt would go better: the certificate is wrong, or nobody has ever answered. */
static gboolean
is_permanent (SwittiHttp *self, const GError *problem)
{
  return problem->domain == G_TLS_ERROR || !self->reached;
}

static void
set_unreached (SwittiHttp *self, const char *what, GError *problem, GError **error)
{
  if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      self->temporary = FALSE;
      g_propagate_error (error, problem);
      return;
    }
  if (is_permanent (self, problem))
    {
      self->temporary = FALSE;
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                   _ ("%s cannot be reached (%s): check the connection, or use another mirror."),
                   self->endpoint, problem->message);
    }
  else
    switti_http_set_broken (self, error, what, problem->message);
  g_error_free (problem);
}

/* Seconds of a Retry-After: a number, or a date; -1 where there is none. */
static gint64
parse_retry_after (SoupMessageHeaders *headers)
{
  const char *value = soup_message_headers_get_one (headers, "Retry-After");
  g_autoptr (GDateTime) date = NULL;
  guint64 seconds;

  if (value == NULL)
    return -1;
  if (g_ascii_string_to_unsigned (value, 10, 0, G_MAXINT32, &seconds, NULL))
    return (gint64) seconds;
  date = soup_date_time_new_from_http_string (value);
  return date != NULL ? MAX (0, g_date_time_to_unix (date) - g_get_real_time () / G_USEC_PER_SEC) : -1;
}

static void
set_status (SwittiHttp *self, SoupMessage *message, const char *what, GError **error)
{
  guint status = soup_message_get_status (message);

  self->temporary = status == 408 || status == 429 || (status >= 500 && status != 501 && status != 505);
  self->asked_seconds = parse_retry_after (soup_message_get_response_headers (message));
  if (status == 404 || status == 410)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_NOT_FOUND, _ ("%s has no %s (status %u)."), self->endpoint,
                 what, status);
  else if ((status == 401 || status == 403) && self->token == NULL)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                 _ ("%s does not give %s to everybody (status %u): set HF_TOKEN to the token of an account that may "
                    "read it."),
                 self->endpoint, what, status);
  else if (status == 401 || status == 403)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                 _ ("%s does not give %s to the account of HF_TOKEN (status %u): accept its terms there, or set "
                    "another token."),
                 self->endpoint, what, status);
  else if (status == 429)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                 _ ("%s allows no more requests for now (status 429): go on later; what has arrived is kept."),
                 self->endpoint);
  else if (status == 416)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                 _ ("%s has another length on %s than it was said to have: try again later, or another mirror."), what,
                 self->endpoint);
  else
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("%s failed to send %s (status %u %s): try again later."),
                 self->endpoint, what, status, soup_status_get_phrase (status));
}

gboolean
switti_http_wait (SwittiHttp *self, guint *failures, GError *problem, GCancellable *cancellable, GError **error)
{
  gint64 milliseconds = (gint64) FIRST_WAIT_MS << MIN (*failures, 10u);
  GPollFD poll_fd;
  gboolean has_fd;

  *failures += 1;
  if (self->asked_seconds >= 0)
    milliseconds = MAX (milliseconds, self->asked_seconds * 1000);
  if (!self->temporary || *failures > MAX_FAILURES || milliseconds > MAX_WAIT_SECONDS * 1000)
    {
      g_propagate_error (error, problem);
      return FALSE;
    }

  if (milliseconds >= 1000)
    {
      /* Translators: seconds; shown beside the progress of a download. */
      g_autofree char *words = g_strdup_printf (_ ("trying again in %.0f s"), (double) milliseconds / 1000);

      switti_http_notify (self, words);
    }
  g_error_free (problem);
  has_fd = cancellable != NULL && g_cancellable_make_pollfd (cancellable, &poll_fd);
  g_poll (&poll_fd, has_fd ? 1 : 0, (int) milliseconds);
  if (has_fd)
    g_cancellable_release_fd (cancellable);
  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}

/* -- requests -------------------------------------------------------------------------------------------------- */

static gboolean
is_endpoint (SwittiHttp *self, GUri *uri)
{
  return strcmp (g_uri_get_scheme (uri), g_uri_get_scheme (self->endpoint_uri)) == 0 &&
         g_ascii_strcasecmp (g_uri_get_host (uri), g_uri_get_host (self->endpoint_uri)) == 0 &&
         g_uri_get_port (uri) == g_uri_get_port (self->endpoint_uri);
}

static SoupMessage *
new_message (SwittiHttp *self, const char *method, GUri *uri, guint64 first, guint64 end, const char *if_range)
{
  SoupMessage *message = soup_message_new_from_uri (method, uri);
  SoupMessageHeaders *headers = soup_message_get_request_headers (message);

  soup_message_add_flags (message, SOUP_MESSAGE_NO_REDIRECT);
  soup_message_headers_replace (headers, "Accept-Encoding", "identity");
  if (end > 0)
    {
      soup_message_headers_set_range (headers, (goffset) first, (goffset) end - 1);
      /* A weak ETag, W/"…", may not be asked for. */
      if (if_range != NULL && *if_range == '"')
        soup_message_headers_replace (headers, "If-Range", if_range);
    }
  if (self->token != NULL && is_endpoint (self, uri))
    {
      g_autofree char *value = g_strconcat ("Bearer ", self->token, NULL);

      soup_message_headers_replace (headers, "Authorization", value);
    }
  return message;
}

static void
take_header (SoupMessageHeaders *headers, const char *name, char **value)
{
  const char *found = soup_message_headers_get_one (headers, name);

  if (found != NULL && *value == NULL)
    *value = g_strdup (found);
}

static void
read_linked (SoupMessageHeaders *headers, SwittiHttpReply *reply)
{
  const char *size = soup_message_headers_get_one (headers, "X-Linked-Size");
  guint64 number;

  take_header (headers, "X-Linked-ETag", &reply->linked_etag);
  take_header (headers, "X-Repo-Commit", &reply->commit);
  if (size != NULL && reply->linked_size < 0 && g_ascii_string_to_unsigned (size, 10, 0, G_MAXINT64, &number, NULL))
    reply->linked_size = (gint64) number;
}

static void
read_final (SoupMessage *message, SwittiHttpReply *reply)
{
  SoupMessageHeaders *headers = soup_message_get_response_headers (message);
  goffset first, last, total;

  reply->status = soup_message_get_status (message);
  take_header (headers, "ETag", &reply->etag);
  reply->length = -1;
  if (soup_message_headers_get_encoding (headers) == SOUP_ENCODING_CONTENT_LENGTH)
    reply->length = soup_message_headers_get_content_length (headers);
  reply->first = reply->total = -1;
  if (reply->status == SOUP_STATUS_PARTIAL_CONTENT &&
      soup_message_headers_get_content_range (headers, &first, &last, &total))
    {
      reply->first = first;
      reply->total = total;
    }
}

/* Where a redirect leads; NULL with error set where it leads nowhere. */
static GUri *
follow (SwittiHttp *self, SoupMessage *message, const char *what, GError **error)
{
  const char *location = soup_message_headers_get_one (soup_message_get_response_headers (message), "Location");
  GUri *from = soup_message_get_uri (message), *to = NULL;

  if (location != NULL)
    to = g_uri_parse_relative (from, location, SOUP_HTTP_URI_FLAGS, NULL);
  /* Never from an encrypted connection to a plain one. */
  if (to != NULL && g_uri_get_host (to) != NULL &&
      (strcmp (g_uri_get_scheme (to), "https") == 0 ||
       (strcmp (g_uri_get_scheme (to), "http") == 0 && strcmp (g_uri_get_scheme (from), "http") == 0)))
    return to;
  g_clear_pointer (&to, g_uri_unref);
  self->temporary = FALSE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("%s redirects the download of %s to “%s”, which is no use."),
               self->endpoint, what, location != NULL ? location : "");
  return NULL;
}

GInputStream *
switti_http_request (SwittiHttp *self, const char *method, const char *uri_text, const char *what, guint64 first,
                     guint64 end, const char *if_range, gboolean stay, SwittiHttpReply *reply,
                     GCancellable *cancellable, GError **error)
{
  g_autoptr (GUri) uri = g_uri_parse (uri_text, SOUP_HTTP_URI_FLAGS, error);

  *reply = (SwittiHttpReply) { .linked_size = -1, .length = -1, .first = -1, .total = -1 };
  self->temporary = FALSE;
  self->asked_seconds = -1;
  for (int i = 0; uri != NULL && i < MAX_REDIRECTS; i++)
    {
      g_autoptr (SoupMessage) message = new_message (self, method, uri, first, end, if_range);
      g_autoptr (GError) problem = NULL;
      g_autoptr (GInputStream) body = soup_session_send (self->session, message, cancellable, &problem);
      GUri *next;

      if (body == NULL)
        {
          set_unreached (self, what, g_steal_pointer (&problem), error);
          return NULL;
        }
      self->reached = TRUE;
      read_linked (soup_message_get_response_headers (message), reply);
      if (soup_message_get_status (message) == SOUP_STATUS_OK ||
          soup_message_get_status (message) == SOUP_STATUS_PARTIAL_CONTENT ||
          (stay && reply->linked_size >= 0 && SOUP_STATUS_IS_REDIRECTION (soup_message_get_status (message))))
        {
          read_final (message, reply);
          return g_steal_pointer (&body);
        }
      if (!SOUP_STATUS_IS_REDIRECTION (soup_message_get_status (message)))
        {
          set_status (self, message, what, error);
          return NULL;
        }
      next = follow (self, message, what, error);
      g_uri_unref (uri);
      uri = next;
    }
  if (uri != NULL)
    g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("%s redirects the download of %s round and round."),
                 self->endpoint, what);
  return NULL;
}

gssize
switti_http_read (SwittiHttp *self, GInputStream *body, void *buffer, gsize length, const char *what,
                  GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) problem = NULL;
  gssize n_read = g_input_stream_read (body, buffer, length, cancellable, &problem);

  if (n_read < 0)
    {
      set_unreached (self, what, g_steal_pointer (&problem), error);
      return -1;
    }
  self->received += (guint64) n_read;
  if (self->arrival != NULL && g_get_monotonic_time () - self->told >= ARRIVAL_MICROSECONDS)
    {
      self->told = g_get_monotonic_time ();
      self->arrival (self->arrival_data);
    }
  return n_read;
}
