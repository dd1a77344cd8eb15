/* switti-rendezvous.c - what rank 0 tells all others before they have anything else to talk through
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-rendezvous-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* What an asking rank sends: who it is and what it belongs to, in the byte order of networks. */
typedef struct
{
  char magic[8];
  guint32 rank, size;
} Request;

#define MAGIC "switti-1"
#define MAX_BYTES 4096
/* A stranger that says nothing holds the others up for so long; a rank that is not there yet is asked again so soon. */
#define SECONDS_FOR_REQUEST 5
#define MICROSECONDS_BETWEEN_CALLS (G_USEC_PER_SEC / 5)
#define MICROSECONDS_PER_SECOND ((gint64) G_USEC_PER_SEC)

static guint
seconds_until (gint64 deadline)
{
  return (guint) MAX (1, (deadline - g_get_monotonic_time () + MICROSECONDS_PER_SECOND - 1) / MICROSECONDS_PER_SECOND);
}

/* -- rank 0 ---------------------------------------------------------------------------------------------------- */

/* On all addresses of this computer; of IPv4 alone where there is no IPv6. */
static GSocket *
listen_at (int port, GError **error)
{
  static const GSocketFamily families[] = { G_SOCKET_FAMILY_IPV6, G_SOCKET_FAMILY_IPV4 };
  g_autoptr (GError) failure = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (families); i++)
    {
      g_autoptr (GInetAddress) any = g_inet_address_new_any (families[i]);
      g_autoptr (GSocketAddress) address = g_inet_socket_address_new (any, (guint16) port);
      g_autoptr (GSocket) socket = NULL;

      g_clear_error (&failure);
      socket = g_socket_new (families[i], G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, &failure);
      if (socket != NULL && g_socket_bind (socket, address, TRUE, &failure) && g_socket_listen (socket, &failure))
        return g_steal_pointer (&socket);
    }
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
               _ ("Rank 0 cannot wait for the other ranks at port %d (%s): set MASTER_PORT to a free one on all of "
                  "them."),
               port, failure->message);
  return NULL;
}

static gboolean
receive_all (GSocket *socket, gpointer bytes, gsize size, GError **error)
{
  for (gsize at = 0; at < size;)
    {
      const gssize n = g_socket_receive (socket, (char *) bytes + at, size - at, NULL, error);

      if (n < 0)
        return FALSE;
      if (n == 0)
        {
          g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, _ ("The connection was closed."));
          return FALSE;
        }
      at += (gsize) n;
    }
  return TRUE;
}

static gboolean
send_all (GSocket *socket, gconstpointer bytes, gsize size, GError **error)
{
  for (gsize at = 0; at < size;)
    {
      const gssize n = g_socket_send (socket, (const char *) bytes + at, size - at, NULL, error);

      if (n < 0)
        return FALSE;
      at += (gsize) n;
    }
  return TRUE;
}

/* Answers one that asks. The rank that has now got the bytes, or 0. */
static guint32
answer (GSocket *peer, const SwittiLaunch *launch, gconstpointer bytes, gsize size)
{
  Request request;
  guint32 rank;

  g_socket_set_timeout (peer, SECONDS_FOR_REQUEST);
  if (!receive_all (peer, &request, sizeof request, NULL) || memcmp (request.magic, MAGIC, sizeof request.magic) != 0
      || g_ntohl (request.size) != (guint32) launch->size)
    return 0;
  rank = g_ntohl (request.rank);
  if (rank == 0 || rank >= (guint32) launch->size || !send_all (peer, bytes, size, NULL))
    return 0;
  return rank;
}

static gboolean
give (const SwittiLaunch *launch, gconstpointer bytes, gsize size, guint seconds, GError **error)
{
  const gint64 deadline = g_get_monotonic_time () + (gint64) seconds * MICROSECONDS_PER_SECOND;
  g_autofree gboolean *served = g_new0 (gboolean, launch->size);
  g_autoptr (GSocket) socket = listen_at (launch->port, error);
  int n = 1;

  if (socket == NULL)
    return FALSE;
  while (n < launch->size && g_get_monotonic_time () < deadline)
    {
      g_autoptr (GSocket) peer = NULL;
      guint32 rank;

      g_socket_set_timeout (socket, seconds_until (deadline));
      peer = g_socket_accept (socket, NULL, NULL);
      rank = peer != NULL ? answer (peer, launch, bytes, size) : 0;
      if (rank > 0 && !served[rank])
        {
          served[rank] = TRUE;
          n++;
        }
    }
  if (n == launch->size)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
               _ ("Rank 0 has waited %u seconds at port %d, and %d of the %d other ranks have not come: start all of "
                  "them, with the same MASTER_ADDR and MASTER_PORT."),
               seconds, launch->port, launch->size - n, launch->size - 1);
  return FALSE;
}

/* -- the others ------------------------------------------------------------------------------------------------ */

static gboolean
ask (const SwittiLaunch *launch, gpointer bytes, gsize size, guint seconds, GError **error)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;
  Request request = { .rank = g_htonl ((guint32) launch->rank), .size = g_htonl ((guint32) launch->size) };
  GSocket *socket;

  memcpy (request.magic, MAGIC, sizeof request.magic);
  g_socket_client_set_timeout (client, seconds);
  /* No proxy stands between the computers of a cluster. */
  g_socket_client_set_enable_proxy (client, FALSE);
  connection = g_socket_client_connect_to_host (client, launch->address, (guint16) launch->port, NULL, error);
  if (connection == NULL)
    return FALSE;
  socket = g_socket_connection_get_socket (connection);
  g_socket_set_timeout (socket, seconds);
  return send_all (socket, &request, sizeof request, error) && receive_all (socket, bytes, size, error);
}

static gboolean
take (const SwittiLaunch *launch, gpointer bytes, gsize size, guint seconds, GError **error)
{
  const gint64 deadline = g_get_monotonic_time () + (gint64) seconds * MICROSECONDS_PER_SECOND;
  g_autoptr (GError) failure = NULL;

  /* Rank 0 may not be there yet. */
  do
    {
      g_clear_error (&failure);
      if (ask (launch, bytes, size, seconds_until (deadline), &failure))
        return TRUE;
      g_usleep (MICROSECONDS_BETWEEN_CALLS);
    }
  while (g_get_monotonic_time () < deadline);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
               _ ("Rank %d has not reached rank 0 at %s, port %d, for %u seconds (%s): start all ranks, and let "
                  "MASTER_ADDR name the computer of rank 0."),
               launch->rank, launch->address, launch->port, seconds, failure->message);
  return FALSE;
}

gboolean
switti_rendezvous_share (const SwittiLaunch *launch, gpointer bytes, gsize size, guint seconds, GError **error)
{
  const char *missing = NULL;

  g_assert (size > 0 && size <= MAX_BYTES);
  if (launch->size == 1)
    return TRUE;
  if (launch->port == 0)
    missing = "MASTER_PORT";
  else if (launch->rank > 0 && launch->address == NULL)
    missing = "MASTER_ADDR";
  if (missing != NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("The environment variable %s is missing, without which %d ranks do not find each other: set "
                      "MASTER_ADDR to the computer of rank 0 and MASTER_PORT to a free port of it, or start "
                      "switti-train with torchrun or mpirun."),
                   missing, launch->size);
      return FALSE;
    }
  return launch->rank == 0 ? give (launch, bytes, size, seconds, error) : take (launch, bytes, size, seconds, error);
}
