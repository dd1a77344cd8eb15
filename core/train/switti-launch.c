/* switti-launch.c - which of how many processes this is
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-launch-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>

#define MAX_RANKS 65536

/* Variables of a launcher. That of the size says that it is there; those of the local numbers may be missing. */
typedef struct
{
  const char *launcher;
  const char *rank, *size, *local_rank, *local_size;
} Variables;

static const Variables known[] = {
  { "mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
    "OMPI_COMM_WORLD_LOCAL_SIZE" },
  { "mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS" },
  { "torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE" },
  /* Not SLURM_NTASKS: a batch script, which is one process, has that, too. */
  { "srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", NULL },
};

static gboolean
read_number (char **environment, const char *name, int least, int most, int *value, GError **error)
{
  const char *text = g_environ_getenv (environment, name);
  gint64 number;

  if (text == NULL)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("The environment variable %s is missing, which the launcher sets: start switti-train with "
                      "mpirun, torchrun or srun."),
                   name);
      return FALSE;
    }
  if (!g_ascii_string_to_signed (text, 10, least, most, &number, NULL))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("The environment variable %s is “%s” where a number from %d to %d is needed: start switti-train "
                      "with mpirun, torchrun or srun."),
                   name, text, least, most);
      return FALSE;
    }
  *value = (int) number;
  return TRUE;
}

static gboolean
is_set (char **environment, const char *name)
{
  return name != NULL && g_environ_getenv (environment, name) != NULL;
}

/* Where the processes meet: torchrun's variables, which users of srun set, too, or the computer that srun ran on. */
static gboolean
read_meeting_point (char **environment, SwittiLaunch *launch, GError **error)
{
  const char *address = g_environ_getenv (environment, "MASTER_ADDR");

  if (address == NULL)
    address = g_environ_getenv (environment, "SLURM_LAUNCH_NODE_IPADDR");
  launch->address = g_strdup (address);
  return !is_set (environment, "MASTER_PORT")
         || read_number (environment, "MASTER_PORT", 1, 65535, &launch->port, error);
}

gboolean
switti_launch_parse (char **environment, SwittiLaunch *launch, GError **error)
{
  const Variables *found = NULL;

  *launch = (SwittiLaunch){ .size = 1, .local_size = 1 };
  for (gsize i = 0; i < G_N_ELEMENTS (known) && found == NULL; i++)
    if (is_set (environment, known[i].size))
      found = &known[i];
  if (found == NULL)
    return TRUE;
  launch->launcher = found->launcher;
  if (!read_number (environment, found->size, 1, MAX_RANKS, &launch->size, error)
      || !read_number (environment, found->rank, 0, launch->size - 1, &launch->rank, error))
    return FALSE;
  if (is_set (environment, found->local_size)
      && !read_number (environment, found->local_size, 1, launch->size, &launch->local_size, error))
    return FALSE;
  if (is_set (environment, found->local_rank)
      && !read_number (environment, found->local_rank, 0, launch->size - 1, &launch->local_rank, error))
    return FALSE;
  return read_meeting_point (environment, launch, error);
}

void
switti_launch_clear (SwittiLaunch *launch)
{
  g_clear_pointer (&launch->address, g_free);
}
