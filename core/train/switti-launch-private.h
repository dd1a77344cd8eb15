/* switti-launch-private.h - which of how many processes this is, as their launcher says in the environment
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * mpirun (Open MPI; MPICH and Intel MPI through PMI), torchrun and SLURM's srun each have variables of their own.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  const char *launcher;       /* "mpirun", "torchrun", "srun", or NULL: started alone */
  int rank, size;             /* 0, 1 when started alone */
  int local_rank, local_size; /* among the processes of this computer; 0, 1 where it is not said */
  char *address;              /* (nullable): host that the processes meet at */
  int port;                   /* 0: not said */
} SwittiLaunch;

/* `environment` as g_get_environ() returns it. SWITTI_ERROR_ARGUMENT names the variable that is wrong or missing. */
gboolean switti_launch_parse (char **environment, SwittiLaunch *launch, GError **error);
void switti_launch_clear (SwittiLaunch *launch);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (SwittiLaunch, switti_launch_clear)

G_END_DECLS
