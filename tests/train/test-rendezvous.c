/* test-rendezvous.c - ranks that find each other over TCP, as processes that a launcher has started
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The program starts itself again as each rank: "rank SECONDS", with a launcher's environment. A rank prints what it
 * got and exits 0, or its error and exits 1.
 */
#include "switti-error.h"
#include "switti-rendezvous-private.h"

#include <string.h>

#define N_BYTES 128

static const char *program;

static guint8
byte_of (gsize i)
{
  return (guint8) (i * 37 + 11);
}

/* -- a rank ---------------------------------------------------------------------------------------------------- */

static int
run_rank (guint seconds)
{
  g_auto (GStrv) environment = g_get_environ ();
  g_auto (SwittiLaunch) launch = { NULL };
  g_autoptr (GError) error = NULL;
  guint8 bytes[N_BYTES] = { 0 };

  if (!switti_launch_parse (environment, &launch, &error))
    {
      g_print ("%s\n", error->message);
      return 1;
    }
  for (gsize i = 0; launch.rank == 0 && i < N_BYTES; i++)
    bytes[i] = byte_of (i);
  if (!switti_rendezvous_share (&launch, bytes, N_BYTES, seconds, &error))
    {
      g_print ("%s\n", error->message);
      return 1;
    }
  for (gsize i = 0; i < N_BYTES; i++)
    if (bytes[i] != byte_of (i))
      {
        g_print ("byte %d is wrong\n", (int) i);
        return 1;
      }
  g_print ("rank %d of %d\n", launch.rank, launch.size);
  return 0;
}

/* -- the launcher ---------------------------------------------------------------------------------------------- */

static int
find_free_port (void)
{
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  const int port = g_socket_listener_add_any_inet_port (listener, NULL, NULL);

  g_socket_listener_close (listener);
  g_assert_cmpint (port, >, 0);
  return port;
}

/* port 0: MASTER_PORT is not set */
static GSubprocess *
start_rank (int rank, int size, const char *address, int port, guint seconds)
{
  g_autoptr (GSubprocessLauncher) launcher
      = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE);
  g_autofree char *seconds_text = g_strdup_printf ("%u", seconds), *rank_text = g_strdup_printf ("%d", rank);
  g_autofree char *size_text = g_strdup_printf ("%d", size), *port_text = g_strdup_printf ("%d", port);
  g_autoptr (GError) error = NULL;
  GSubprocess *process;

  g_subprocess_launcher_setenv (launcher, "RANK", rank_text, TRUE);
  g_subprocess_launcher_setenv (launcher, "WORLD_SIZE", size_text, TRUE);
  if (address != NULL)
    g_subprocess_launcher_setenv (launcher, "MASTER_ADDR", address, TRUE);
  if (port > 0)
    g_subprocess_launcher_setenv (launcher, "MASTER_PORT", port_text, TRUE);
  process = g_subprocess_launcher_spawn (launcher, &error, program, "rank", seconds_text, NULL);
  g_assert_no_error (error);
  return process;
}

/* Takes over the process; what it said in its one line. */
static char *
finish_rank (GSubprocess *process, gboolean *good)
{
  g_autoptr (GSubprocess) owned = process;
  g_autoptr (GError) error = NULL;
  char *output = NULL;

  g_assert_true (g_subprocess_communicate_utf8 (process, NULL, NULL, &output, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (process));
  *good = g_subprocess_get_exit_status (process) == 0;
  g_test_message ("%s", g_strchomp (output));
  g_assert_null (strchr (output, '\n'));
  return output;
}

static void
test_three_processes (void)
{
  const int port = find_free_port ();
  GSubprocess *processes[3];

  /* Rank 0 comes last: the others ask until it is there. */
  for (int rank = 2; rank >= 0; rank--)
    processes[rank] = start_rank (rank, 3, "localhost", port, 60);
  for (int rank = 0; rank < 3; rank++)
    {
      g_autofree char *expected = g_strdup_printf ("rank %d of 3", rank);
      g_autofree char *output = NULL;
      gboolean good;

      output = finish_rank (processes[rank], &good);
      g_assert_cmpstr (output, ==, expected);
      g_assert_true (good);
    }
}

/* Strangers that say nothing, or something else, and a rank of another job, are not taken for a rank. */
static void
test_strangers (void)
{
  const int port = find_free_port ();
  GSubprocess *first = start_rank (0, 2, NULL, port, 60), *second, *other = start_rank (1, 3, "localhost", port, 1);
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autofree char *output = NULL, *other_output = NULL, *second_output = NULL;
  g_autoptr (GSocketConnection) connection = NULL;
  gboolean good;

  while (connection == NULL)
    {
      g_usleep (G_USEC_PER_SEC / 20);
      connection = g_socket_client_connect_to_host (client, "localhost", (guint16) port, NULL, NULL);
    }
  g_output_stream_write_all (g_io_stream_get_output_stream (G_IO_STREAM (connection)), "GET / HTTP/1.1\r\n\r\n", 18,
                             NULL, NULL, NULL);
  other_output = finish_rank (other, &good);
  g_assert_false (good);
  second = start_rank (1, 2, "localhost", port, 60);
  second_output = finish_rank (second, &good);
  g_assert_true (good);
  output = finish_rank (first, &good);
  g_assert_true (good);
}

/* A rank that never comes: the others say who waits for whom, and stop. */
static void
test_missing_ranks (void)
{
  const int port = find_free_port ();
  GSubprocess *first = start_rank (0, 3, NULL, port, 1), *third = start_rank (2, 3, "localhost", port, 60);
  g_autofree char *output = NULL, *third_output = NULL, *alone = NULL, *port_text = g_strdup_printf ("%d", port);
  gboolean good;

  third_output = finish_rank (third, &good);
  output = finish_rank (first, &good);
  g_assert_false (good);
  g_assert_nonnull (strstr (output, "1 of the 2 other ranks"));
  g_assert_nonnull (strstr (output, "MASTER_ADDR"));
  /* Rank 0 is the missing one. */
  alone = finish_rank (start_rank (1, 2, "localhost", port, 1), &good);
  g_assert_false (good);
  g_assert_nonnull (strstr (alone, "Rank 1"));
  g_assert_nonnull (strstr (alone, port_text));
}

static void
test_bad_environment (void)
{
  const struct
  {
    int rank;
    const char *address;
    int port;
    const char *names;
  } cases[] = { { 1, NULL, 4000, "MASTER_ADDR" }, { 1, "localhost", 0, "MASTER_PORT" }, { 0, NULL, 0, "MASTER_PORT" },
                { 1, "localhost", 99999, "MASTER_PORT" }, { 5, "localhost", 4000, "RANK" } };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *output = NULL;
      gboolean good;

      output = finish_rank (start_rank (cases[i].rank, 2, cases[i].address, cases[i].port, 1), &good);
      g_assert_false (good);
      g_assert_nonnull (strstr (output, cases[i].names));
    }
}

/* Rank 0's port is taken already. */
static void
test_port_in_use (void)
{
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  const int port = g_socket_listener_add_any_inet_port (listener, NULL, NULL);
  g_autofree char *output = NULL, *port_text = g_strdup_printf ("port %d", port);
  gboolean good;

  output = finish_rank (start_rank (0, 2, NULL, port, 5), &good);
  g_assert_false (good);
  g_assert_nonnull (strstr (output, port_text));
  g_assert_nonnull (strstr (output, "MASTER_PORT"));
}

static void
test_single (void)
{
  const SwittiLaunch launch = { .size = 1, .local_size = 1 };
  g_autoptr (GError) error = NULL;
  guint8 byte = 7;

  g_assert_true (switti_rendezvous_share (&launch, &byte, 1, 1, &error));
  g_assert_no_error (error);
  g_assert_cmpint (byte, ==, 7);
}

int
main (int argc, char **argv)
{
  program = argv[0];
  if (argc == 3 && g_str_equal (argv[1], "rank"))
    return run_rank ((guint) g_ascii_strtoull (argv[2], NULL, 10));
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/rendezvous/three-processes", test_three_processes);
  g_test_add_func ("/rendezvous/strangers", test_strangers);
  g_test_add_func ("/rendezvous/missing-ranks", test_missing_ranks);
  g_test_add_func ("/rendezvous/bad-environment", test_bad_environment);
  g_test_add_func ("/rendezvous/port-in-use", test_port_in_use);
  g_test_add_func ("/rendezvous/single", test_single);
  return g_test_run ();
}
