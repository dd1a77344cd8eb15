#!/bin/sh
# Runs a program on many ranks of this computer: with-ranks.sh N PROGRAM [ARGUMENT...]
#
# SPDX-License-Identifier: LGPL-3.0-or-later
set -u
n=$1
shift
# Containers and build machines run tests as root; nothing leaves this computer; a rank does not spin while it waits.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl=self,vader OMPI_MCA_plm_rsh_agent=sh OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_rmaps_base_oversubscribe=1
exec mpirun --oversubscribe -n "$n" "$@"
