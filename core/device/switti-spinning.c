/* switti-spinning.c - how long OpenMP's threads spin while they wait for each other
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-spinning-private.h"

#include <unistd.h>

#define SPIN_COUNT "1000"

void
switti_spin_briefly (char *const argv[])
{
  g_autofree char *program = NULL, *name = NULL;

  if (g_getenv ("GOMP_SPINCOUNT") != NULL || g_getenv ("OMP_WAIT_POLICY") != NULL)
    return;
  program = g_file_read_link ("/proc/self/exe", NULL);
  if (program == NULL)
    return;
  name = g_path_get_basename (program);
  /* The loader of a bundle would take the first argument for a program's name. */
  if (g_str_has_prefix (name, "ld-") || g_str_has_prefix (name, "ld.so"))
    return;
  /* Set first, so that the next start does not come here again. By its path, as valgrind's own program is what runs. */
  if (g_setenv ("GOMP_SPINCOUNT", SPIN_COUNT, TRUE))
    execv (program, argv);
}
