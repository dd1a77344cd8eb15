/* fuzz-pickle.c - any bytes as the pickle of a checkpoint
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fuzz-target.h"
#include "switti-error.h"
#include "switti-pickle-private.h"

#include <string.h>

/* What was let through lies inside its storage, every element of it. */
static gboolean
check_tensor (const char *name, const SwittiPickleTensor *tensor, gpointer data, GError **error)
{
  guint64 last = tensor->offset, elements = tensor->storage->numel;
  guint *n_tensors = data;

  g_assert (g_utf8_validate (name, -1, NULL));
  g_assert (tensor->n_dims >= 0 && tensor->n_dims <= SWITTI_TENSOR_MAX_DIMS);
  for (int i = 0; i < tensor->n_dims; i++)
    {
      g_assert (tensor->dims[i] >= 0 && tensor->strides[i] >= 0);
      if (tensor->count > 0)
        last += (guint64) (tensor->dims[i] - 1) * (guint64) tensor->strides[i];
    }
  if (tensor->storage->is_untyped)
    elements /= switti_dtype_size (tensor->dtype);
  g_assert (tensor->count == 0 || last < elements);
  (*n_tensors)++;
  return TRUE;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiPickle) pickle = NULL;
  guint n_tensors = 0;
  gsize used = 0;

  pickle = switti_pickle_parse (data, size, &used, "the input", &error);
  if (pickle != NULL)
    {
      g_assert (used > 0 && used <= size);
      if (!switti_pickle_foreach_tensor (pickle, check_tensor, &n_tensors, &error))
        g_assert (error != NULL);
    }
  g_assert (error == NULL || (error->domain == SWITTI_ERROR && g_utf8_validate (error->message, -1, NULL)));
  g_assert (pickle != NULL || error != NULL);
  return 0;
}
