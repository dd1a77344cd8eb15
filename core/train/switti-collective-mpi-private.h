/* switti-collective-mpi-private.h - ranks that talk through MPI
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * libswitti does not know MPI: this is a module of its own, which switti-train loads where it was started as one of
 * several.
 */
#pragma once

#include "switti-collective-private.h"

G_BEGIN_DECLS

#define SWITTI_MPI_MODULE_NAME "switti-mpi"
#define SWITTI_MPI_MODULE_ENTRY "switti_mpi_open"

/* The module's one function. Starts MPI, and fills *backend with all ranks. When its data is freed, MPI ends. */
typedef gboolean (*SwittiMpiOpenFunc) (SwittiCollectiveBackend *backend, GError **error);
G_MODULE_EXPORT gboolean switti_mpi_open (SwittiCollectiveBackend *backend, GError **error);

G_END_DECLS
