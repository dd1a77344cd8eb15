/* ranks.c - the ranks that a launcher has started
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-device-cuda-private.h"
#include "switti-device-private.h"
#include "switti-error.h"
#include "switti-ranks-private.h"
#include "train.h"

#include <glib/gi18n.h>

/* As switti_device_new() chooses; without opening a device, which comes after. */
static gboolean
is_cuda (const char *device)
{
  if (device == NULL || g_str_equal (device, "auto"))
    return switti_device_cuda_has_driver ();
  return g_str_has_prefix (device, "cuda");
}

gboolean
train_ranks_open (TrainRanks *self, const char *device, GError **error)
{
  g_auto (GStrv) environment = g_get_environ ();
  g_auto (SwittiLaunch) launch = { NULL };

  *self = (TrainRanks){ .n = 1, .n_here = 1 };
  if (!switti_launch_parse (environment, &launch, error))
    return FALSE;
  self->rank = launch.rank;
  self->n = launch.size;
  self->n_here = launch.local_size;
  if (self->n == 1)
    return TRUE;
  self->on_cuda = is_cuda (device);
  self->rank_here = launch.local_rank;
  if (device != NULL && g_str_has_prefix (device, "cuda:"))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("Each of %d ranks takes the GPU of its own number on its computer: say --device cuda, not “%s”, "
                      "and choose GPUs with CUDA_VISIBLE_DEVICES."),
                   self->n, device);
      return FALSE;
    }
  self->all = switti_ranks_open (&launch, self->on_cuda, error);
  return self->all != NULL;
}

gboolean
train_ranks_check_alone (const char *command, GError **error)
{
  g_auto (GStrv) environment = g_get_environ ();
  g_auto (SwittiLaunch) launch = { NULL };

  if (!switti_launch_parse (environment, &launch, error))
    return FALSE;
  if (launch.size == 1)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("“switti-train %s” runs on one rank, but %s has started %d: start it alone."), command,
               launch.launcher, launch.size);
  return FALSE;
}

void
train_ranks_clear (TrainRanks *self)
{
  g_clear_pointer (&self->all, switti_collective_unref);
}

int
train_ranks_choose_threads (const TrainRanks *self, int wanted)
{
  if (wanted > 0 || self->n_here == 1)
    return wanted;
  return MAX (1, (int) g_get_num_processors () / self->n_here);
}

SwittiDevice *
train_ranks_open_device (const TrainRanks *self, const char *device, int threads, GError **error)
{
  g_autofree char *own = self->on_cuda ? g_strdup_printf ("cuda:%d", self->rank_here) : NULL;
  g_autoptr (SwittiDevice) opened = NULL;

  if (own != NULL)
    device = own;
  else if (device == NULL || g_str_equal (device, "auto"))
    device = self->n > 1 ? "cpu" : "auto";
  opened = switti_device_new (device, train_ranks_choose_threads (self, threads), error);
  if (opened != NULL && self->on_cuda)
    switti_collective_attach (self->all, switti_device_get_kernels (opened)->native_stream (
                                           switti_device_get_context (opened)));
  return g_steal_pointer (&opened);
}

gboolean
train_ranks_share_batch (const TrainRanks *self, const SwittiTrainingOptions *options, int *batch, GError **error)
{
  const gint64 parts = (gint64) self->n * options->grad_accum;

  if (options->bs % parts != 0)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("%d ranks with --grad-accum %d cannot share out %d images a step: --bs must be a multiple "
                      "of %d."),
                   self->n, options->grad_accum, options->bs, (int) parts);
      return FALSE;
    }
  *batch = (int) (options->bs / parts);
  return TRUE;
}

gboolean
train_ranks_all (const TrainRanks *self, gboolean mine, gboolean *all, GError **error)
{
  double n = mine ? 1 : 0;

  if (self->all != NULL && !switti_collective_all_reduce (self->all, &n, 1, SWITTI_DTYPE_F64, error))
    return FALSE;
  *all = n == self->n;
  return TRUE;
}
