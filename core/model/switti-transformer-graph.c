/* switti-transformer-graph.c - the scales as graphs: recorded once, replayed from then on
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A scale is some hundred launches, which take the host longer than the device on the small ones. What they read and
 * write stays where it is from image to image, so they are recorded and launched as one. Devices that have no need of
 * graphs record none.
 */
#include "switti-transformer-parts-private.h"

#include <string.h>

static gboolean
is_valid (const SwittiTransformerRun *run, const SwittiScaleGraph *graph, int n_images, const float *input,
          const float *logits)
{
  return graph->graph != NULL && graph->input == input && graph->logits == logits
         && graph->n_conditions == run->n_conditions
         && (graph->slot == NULL || memcmp (graph->slot, run->host_slot, (gsize) n_images * sizeof (gint32)) == 0);
}

static void
clear (SwittiDevice *device, SwittiScaleGraph *graph)
{
  if (graph->graph != NULL)
    switti_device_get_kernels (device)->graph_free (switti_device_get_context (device), graph->graph);
  graph->graph = NULL;
  g_clear_pointer (&graph->slot, g_free);
}

static gboolean
record (SwittiTransformerRun *run, SwittiScaleGraph *graph, int scale, int n_images, const float *input,
        float *logits, GError **error)
{
  SwittiDevice *device = run->model->device;
  const SwittiKernels *kernels = switti_device_get_kernels (device);
  SwittiKernelContext *context = switti_device_get_context (device);

  clear (device, graph);
  if (!switti_device_check (device, kernels->graph_begin (context), "graph_begin", error))
    return FALSE;
  if (!switti_transformer_run_enqueue (run, scale, n_images, input, logits, error))
    {
      /* The cause has its error; that of the end would only follow from it. */
      kernels->graph_end (context, NULL);
      return FALSE;
    }
  SWITTI_RUN (device, graph_end, &graph->graph);
  graph->input = input;
  graph->logits = logits;
  graph->n_conditions = run->n_conditions;
  if (run->model->config.ar)
    graph->slot = g_memdup2 (run->host_slot, (gsize) n_images * sizeof (gint32));
  return TRUE;
}

/* Runs the scale: as it is, or by what was recorded, now or earlier. */
gboolean
switti_transformer_run_replay (SwittiTransformerRun *run, int scale, int n_images, const float *input, float *logits,
                               GError **error)
{
  SwittiDevice *device = run->model->device;
  const SwittiKernels *kernels = switti_device_get_kernels (device);
  SwittiScaleGraph *graph = &run->scale_graphs[scale * (run->max_images + 1) + n_images];

  if (!graph->used || run->model->stream != NULL || !kernels->wants_graphs (switti_device_get_context (device)))
    {
      graph->used = switti_transformer_run_enqueue (run, scale, n_images, input, logits, error);
      return graph->used;
    }
  if (!is_valid (run, graph, n_images, input, logits)
      && !record (run, graph, scale, n_images, input, logits, error))
    return FALSE;
  SWITTI_RUN (device, graph_launch, graph->graph);
  return TRUE;
}

void
switti_transformer_run_free_graphs (SwittiTransformerRun *run)
{
  const int n_scales = run->model->config.schedule.n_scales;

  for (int i = 0; i < n_scales * (run->max_images + 1); i++)
    clear (run->model->device, &run->scale_graphs[i]);
}
