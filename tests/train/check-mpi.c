/* check-mpi.c - the MPI module, on the ranks that mpirun starts: exits 0 when all is right
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "collective-checks.h"
#include "switti-ranks-private.h"

int
main (int argc, char **argv)
{
  g_auto (GStrv) environment = g_get_environ ();
  g_auto (SwittiLaunch) launch = { NULL };
  g_autoptr (SwittiCollective) ranks = NULL;
  g_autoptr (GError) error = NULL;

  if (switti_launch_parse (environment, &launch, &error))
    ranks = switti_ranks_open (&launch, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (switti_collective_get_size (ranks), ==, g_ascii_strtoll (argv[1], NULL, 10));
  check_ranks (ranks);
  check_parts (ranks);
  if (switti_collective_get_rank (ranks) == 0)
    g_print ("%d ranks agree\n", switti_collective_get_size (ranks));
  return 0;
}
