/* switti-ranks.c - finds the ranks that a launcher has started
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-ranks-private.h"

#include "switti-collective-mpi-private.h"
#include "switti-collective-nccl-private.h"
#include "switti-build-config.h"
#include "switti-device-cuda-private.h"
#include "switti-error.h"
#include "switti-rendezvous-private.h"

#include <glib/gi18n-lib.h>
#include <gmodule.h>

/* A module for as long as the process lives; NULL where it is not there. */
static GModule *
open_module (const char *name)
{
  const char *folder = g_getenv ("SWITTI_MODULE_PATH");
  g_autofree char *file = g_strconcat (name, "." G_MODULE_SUFFIX, NULL);
  g_autofree char *path = g_build_filename (folder != NULL ? folder : SWITTI_MODULE_DIR, file, NULL);
  GModule *module = g_module_open (path, G_MODULE_BIND_LOCAL);

  if (module != NULL)
    g_module_make_resident (module);
  return module;
}

/* -- MPI ------------------------------------------------------------------------------------------------------- */

static gboolean
open_mpi (const SwittiLaunch *launch, SwittiCollectiveBackend *backend, GError **error)
{
  GModule *module = open_module (SWITTI_MPI_MODULE_NAME);
  gpointer entry = NULL;

  if (module == NULL || !g_module_symbol (module, SWITTI_MPI_MODULE_ENTRY, &entry))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED,
                   _ ("The module that connects ranks through MPI could not be loaded (%s): build Switti with "
                      "-Dmpi=enabled, or name its folder in SWITTI_MODULE_PATH."),
                   g_module_error ());
      return FALSE;
    }
  if (!((SwittiMpiOpenFunc) entry) (backend, error))
    return FALSE;
  if (backend->size == launch->size && backend->rank == launch->rank)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("%s has started %d ranks, of which this is number %d, but MPI finds %d and number %d: start "
                  "switti-train with mpirun, or with srun --mpi=pmix."),
               launch->launcher, launch->size, launch->rank, backend->size, backend->rank);
  backend->ops->free (backend->data);
  return FALSE;
}

/* -- NCCL ------------------------------------------------------------------------------------------------------ */

/* Rank 0's id on all ranks: by MPI where mpirun has started them, otherwise by a connection of our own. */
static gboolean
share_id (const SwittiLaunch *launch, guint8 id[SWITTI_NCCL_ID_BYTES], GError **error)
{
  SwittiCollectiveBackend mpi = { NULL };
  gboolean good;

  if (!g_str_equal (launch->launcher, "mpirun"))
    return switti_rendezvous_share (launch, id, SWITTI_NCCL_ID_BYTES, SWITTI_RENDEZVOUS_SECONDS, error);
  if (!open_mpi (launch, &mpi, error))
    return FALSE;
  good = mpi.ops->broadcast (mpi.data, 0, id, SWITTI_NCCL_ID_BYTES, error);
  mpi.ops->free (mpi.data);
  return good;
}

static gboolean
open_nccl (const SwittiLaunch *launch, SwittiCollectiveBackend *backend, GError **error)
{
  SwittiNcclStart start = { .rank = launch->rank, .size = launch->size, .device = launch->local_rank };
  GModule *module = open_module (SWITTI_NCCL_MODULE_NAME);
  gpointer make_id = NULL, open = NULL;

  if (module == NULL || !g_module_symbol (module, SWITTI_NCCL_MAKE_ID, &make_id)
      || !g_module_symbol (module, SWITTI_NCCL_OPEN, &open))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED,
                   _ ("The module that connects GPUs through NCCL could not be loaded (%s): build Switti with "
                      "-Dnccl=enabled and install NCCL, name the module's folder in SWITTI_MODULE_PATH, or train with "
                      "--device cpu."),
                   g_module_error ());
      return FALSE;
    }
  /* What is missing here is said before the other ranks are waited for. */
  if (switti_device_cuda_load ("cuda", error) == NULL)
    return FALSE;
  if (launch->rank == 0 && !((SwittiNcclMakeIdFunc) make_id) (start.id, error))
    return FALSE;
  return share_id (launch, start.id, error) && ((SwittiNcclOpenFunc) open) (backend, &start, error);
}

SwittiCollective *
switti_ranks_open (const SwittiLaunch *launch, gboolean on_cuda, GError **error)
{
  SwittiCollectiveBackend backend = { NULL };

  if (launch->size == 1)
    return switti_collective_new_single ();
  if (!(on_cuda ? open_nccl (launch, &backend, error) : open_mpi (launch, &backend, error)))
    return NULL;
  return switti_collective_new (&backend);
}
