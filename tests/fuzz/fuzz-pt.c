/* fuzz-pt.c - any bytes as a file of PyTorch's: a zip archive, or the legacy format
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fuzz-target.h"
#include "switti-error.h"
#include "switti-tensor-source-private.h"

#define MAX_COUNT 65536 /* a view without strides may have any number of elements */

/* What was let through must be readable where it is, and outside of it nothing. */
static void
read_tensor (SwittiTensorSource *source, const SwittiStoredTensor *tensor)
{
  gsize size = switti_dtype_size (tensor->dtype), count = MIN (tensor->count, MAX_COUNT);
  g_autofree guint8 *values = g_malloc (count * size + 1);
  g_autofree float *converted = g_new (float, count + 1);
  g_autoptr (GError) error = NULL;
  SwittiByteSource *bytes;
  guint64 begin, end;

  g_assert (switti_tensor_source_find (source, tensor->name) == tensor);
  if (switti_tensor_source_read (source, tensor, tensor->count - count, count, values, NULL, &error))
    g_assert (switti_convert_elements (tensor->dtype, values, SWITTI_DTYPE_F32, converted, count));
  else
    g_assert (error != NULL && error->domain == SWITTI_ERROR); /* a compressed member may be broken inside */
  if (switti_tensor_source_locate (source, tensor, &bytes, &begin, &end))
    g_assert (begin <= end && end <= switti_byte_source_get_size (bytes));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  g_autoptr (SwittiByteSource) file = switti_byte_source_new_from_bytes (bytes, "the input");
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiTensorSource) source = switti_tensor_source_new_pt (file, NULL, &error);

  if (source == NULL)
    {
      g_assert (error != NULL && error->domain == SWITTI_ERROR && g_utf8_validate (error->message, -1, NULL));
      return 0;
    }
  for (guint i = 0; i < switti_tensor_source_get_n (source) && i < 64; i++)
    read_tensor (source, switti_tensor_source_get (source, i));
  return 0;
}
