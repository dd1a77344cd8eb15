/* switti-launch.c - which of how many processes this is
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-launch-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

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

/* The first computer of SLURM's list, where rank 0 is: "gpu[003-005,9],login" is gpu003. (nullable) (transfer full) */
static char *
first_of_list (const char *list)
{
  g_autoptr (GString) name = g_string_new (NULL);

  for (const char *at = list; at != NULL && *at != '\0' && *at != ','; at++)
    {
      const char *end = *at == '[' ? strchr (at, ']') : NULL;

      if (*at != '[')
        g_string_append_c (name, *at);
      else if (end == NULL)
        return NULL;
      else
        {
          g_string_append_len (name, at + 1, (gssize) strcspn (at + 1, "-,]"));
          at = end;
        }
    }
  return name->len > 0 ? g_string_free (g_steal_pointer (&name), FALSE) : NULL;
}

/* A job's own port, below those that systems give away themselves, where nobody says another. */
static int
port_of_job (const char *job)
{
  guint64 number;

  if (job == NULL || !g_ascii_string_to_unsigned (job, 10, 1, G_MAXUINT32, &number, NULL))
    return 0;
  return 20000 + (int) (number % 10000);
}

/* Where the processes meet: torchrun's variables, which users of srun set, too; or by SLURM's the computer of rank 0,
 * or the one that srun ran on. */
static gboolean
read_meeting_point (char **environment, SwittiLaunch *launch, GError **error)
{
  const gboolean is_slurm = g_str_equal (launch->launcher, "srun");

  launch->address = g_strdup (g_environ_getenv (environment, "MASTER_ADDR"));
  if (launch->address == NULL && is_slurm)
    launch->address = first_of_list (g_environ_getenv (environment, "SLURM_STEP_NODELIST"));
  if (launch->address == NULL && is_slurm)
    launch->address = g_strdup (g_environ_getenv (environment, "SLURM_LAUNCH_NODE_IPADDR"));
  if (is_slurm)
    launch->port = port_of_job (g_environ_getenv (environment, "SLURM_JOB_ID"));
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
