/* switti-ranks.c - finds the ranks that a launcher has started
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-ranks-private.h"

#include "switti-collective-mpi-private.h"
#include "switti-build-config.h"
#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <gmodule.h>

static SwittiMpiOpenFunc
load_module (GError **error)
{
  const char *folder = g_getenv ("SWITTI_MODULE_PATH");
  g_autofree char *path = g_build_filename (folder != NULL ? folder : SWITTI_MODULE_DIR,
                                            SWITTI_MPI_MODULE_NAME "." G_MODULE_SUFFIX, NULL);
  GModule *module = g_module_open (path, G_MODULE_BIND_LOCAL);
  gpointer entry = NULL;

  if (module == NULL || !g_module_symbol (module, SWITTI_MPI_MODULE_ENTRY, &entry))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED,
                   _ ("The module that connects ranks through MPI could not be loaded (%s): build Switti with "
                      "-Dmpi=enabled, or name its folder in SWITTI_MODULE_PATH."),
                   g_module_error ());
      return NULL;
    }
  g_module_make_resident (module);
  return (SwittiMpiOpenFunc) entry;
}

SwittiCollective *
switti_ranks_open (const SwittiLaunch *launch, GError **error)
{
  g_autoptr (SwittiCollective) ranks = NULL;
  SwittiCollectiveBackend backend = { NULL };
  SwittiMpiOpenFunc open_mpi;

  if (launch->size == 1)
    return switti_collective_new_single ();
  open_mpi = load_module (error);
  if (open_mpi == NULL || !open_mpi (&backend, error))
    return NULL;
  ranks = switti_collective_new (&backend);
  if (backend.size != launch->size || backend.rank != launch->rank)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("%s has started %d ranks, of which this is number %d, but MPI finds %d and number %d: start "
                      "switti-train with mpirun, or with srun --mpi=pmix."),
                   launch->launcher, launch->size, launch->rank, backend.size, backend.rank);
      return NULL;
    }
  return g_steal_pointer (&ranks);
}
