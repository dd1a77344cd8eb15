/* switti-tensor-private.h - a view of an array: dtype, shape, data; row-major and dense
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-kernels.h"

#include <glib.h>

G_BEGIN_DECLS

#define SWITTI_TENSOR_MAX_DIMS 8

/* A value type: copying it copies the view. Who owns `data` is said where a tensor is handed out. */
typedef struct
{
  SwittiDtype dtype;
  int n_dims;
  gint64 dims[SWITTI_TENSOR_MAX_DIMS];
  void *data;
} SwittiTensor;

/* FALSE where the number of elements or bytes does not fit gsize, or a dimension is negative. */
gboolean switti_shape_count (int n_dims, const gint64 *dims, gsize *count);
gboolean switti_shape_bytes (SwittiDtype dtype, int n_dims, const gint64 *dims, gsize *bytes);

/* "(2, 3, 64, 64)"; free with g_free(). */
char *switti_shape_to_string (int n_dims, const gint64 *dims);

/* "F32", "BF16", … as safetensors spells them. */
const char *switti_dtype_to_string (SwittiDtype dtype);

/* Converts count elements on the host. Any file dtype to F32; F32 to F32, BF16 or F16. FALSE for another pair. */
gboolean switti_convert_elements (SwittiDtype in_dtype, const void *in, SwittiDtype out_dtype, void *out, gsize count);

G_END_DECLS
