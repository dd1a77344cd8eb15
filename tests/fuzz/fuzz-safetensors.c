/* fuzz-safetensors.c - any bytes as a safetensors file
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fuzz-target.h"
#include "switti-error.h"
#include "switti-safetensors-private.h"

/* What was let through must be readable, every byte of it. */
static void
read_tensor (SwittiSafetensors *tensors, const char *name)
{
  SwittiTensor view;
  gsize count;
  g_autofree float *values = NULL;

  g_assert (switti_safetensors_lookup (tensors, name, &view));
  g_assert (switti_shape_count (view.n_dims, view.dims, &count));
  values = g_new (float, count);
  g_assert (switti_convert_elements (view.dtype, view.data, SWITTI_DTYPE_F32, values, count));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiSafetensors) tensors = switti_safetensors_new_from_bytes (bytes, "the input", &error);

  if (tensors == NULL)
    {
      g_assert (error != NULL && error->domain == SWITTI_ERROR);
      return 0;
    }
  for (const char *const *name = switti_safetensors_list (tensors); *name != NULL; name++)
    read_tensor (tensors, *name);
  switti_safetensors_get_metadata (tensors, "format");
  return 0;
}
