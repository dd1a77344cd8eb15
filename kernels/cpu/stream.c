/* stream.c - streams, events and graphs where every op is done when it returns: nothing to do
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "cpu-private.h"

#include <string.h>

SwittiKernelStatus
switti_cpu_select_stream (SwittiKernelContext *context, SwittiKernelStream stream)
{
  if (stream < SWITTI_STREAM_MAIN || stream >= SWITTI_N_STREAMS)
    return switti_cpu_fail (context, SWITTI_KERNEL_INVALID, "there is no stream %d", (int) stream);
  return SWITTI_KERNEL_OK;
}

SwittiKernelStatus
switti_cpu_event_new (SwittiKernelContext *context, SwittiKernelEvent **event)
{
  *event = NULL;
  return SWITTI_KERNEL_OK;
}

void
switti_cpu_event_free (SwittiKernelContext *context, SwittiKernelEvent *event)
{
}

SwittiKernelStatus
switti_cpu_event_record (SwittiKernelContext *context, SwittiKernelEvent *event)
{
  return SWITTI_KERNEL_OK;
}

SwittiKernelStatus
switti_cpu_event_wait (SwittiKernelContext *context, SwittiKernelEvent *event)
{
  return SWITTI_KERNEL_OK;
}

SwittiKernelStatus
switti_cpu_event_synchronize (SwittiKernelContext *context, SwittiKernelEvent *event)
{
  return SWITTI_KERNEL_OK;
}

bool
switti_cpu_wants_graphs (SwittiKernelContext *context)
{
  return false;
}

SwittiKernelStatus
switti_cpu_graph_begin (SwittiKernelContext *context)
{
  return switti_cpu_fail (context, SWITTI_KERNEL_INVALID, "graph_begin: nothing is recorded on a CPU");
}

SwittiKernelStatus
switti_cpu_graph_end (SwittiKernelContext *context, SwittiKernelGraph **graph)
{
  if (graph != NULL)
    *graph = NULL;
  return switti_cpu_fail (context, SWITTI_KERNEL_INVALID, "graph_end: nothing is recorded on a CPU");
}

SwittiKernelStatus
switti_cpu_graph_launch (SwittiKernelContext *context, const SwittiKernelGraph *graph)
{
  return switti_cpu_fail (context, SWITTI_KERNEL_INVALID, "graph_launch: nothing is recorded on a CPU");
}

void
switti_cpu_graph_free (SwittiKernelContext *context, SwittiKernelGraph *graph)
{
}

void
switti_cpu_count_launches (SwittiKernelContext *context, SwittiKernelLaunches *launches)
{
  memset (launches, 0, sizeof *launches);
}
