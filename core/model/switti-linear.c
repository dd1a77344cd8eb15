/* switti-linear.c - a Linear layer's packed weight and bias, and other parameters on the device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-linear-private.h"

#include <string.h>

/* Elements that switti_device_load_table() converts at a time. */
#define CONVERSION_CHUNK ((gsize) 1 << 20)

static gboolean
is_packable (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16 || dtype == SWITTI_DTYPE_F16;
}

static gboolean
get_part (SwittiWeights *weights, const SwittiLinearPart *part, gint64 k, SwittiHostTensor *tensor, GError **error)
{
  g_autofree char *name = g_strconcat (part->name, ".weight", NULL);

  return switti_weights_get (weights, name, 2, (gint64[]){ part->rows, k }, tensor, error);
}

/* The parts' rows one under another in *stacked: as they are stored where all are alike, otherwise as float32. */
static gboolean
stack_parts (SwittiWeights *weights, gint64 n, gint64 k, const SwittiLinearPart *parts, int n_parts,
             SwittiDtype *dtype, gpointer *stacked, GError **error)
{
  gint64 row = 0;
  g_autofree guint8 *rows = NULL;

  for (int i = 0; i < n_parts; i++)
    {
      g_auto (SwittiHostTensor) tensor = { 0 };
      gsize count = (gsize) parts[i].rows * (gsize) k;

      if (!get_part (weights, &parts[i], k, &tensor, error))
        return FALSE;
      if (i == 0)
        {
          *dtype = is_packable (tensor.tensor.dtype) ? tensor.tensor.dtype : SWITTI_DTYPE_F32;
          rows = g_malloc_n ((gsize) n * (gsize) k, switti_dtype_size (*dtype));
        }
      if (tensor.tensor.dtype == *dtype)
        memcpy (rows + (gsize) row * (gsize) k * switti_dtype_size (*dtype), tensor.tensor.data,
                count * switti_dtype_size (*dtype));
      else if (*dtype == SWITTI_DTYPE_F32)
        switti_convert_elements (tensor.tensor.dtype, tensor.tensor.data, SWITTI_DTYPE_F32,
                                 (float *) rows + row * k, count);
      else
        {
          /* The first part was half precision and this one is not: start again in float32. */
          float *wide = g_malloc_n ((gsize) n * (gsize) k, sizeof (float));

          switti_convert_elements (*dtype, rows, SWITTI_DTYPE_F32, wide, (gsize) row * (gsize) k);
          switti_convert_elements (tensor.tensor.dtype, tensor.tensor.data, SWITTI_DTYPE_F32, wide + row * k, count);
          g_free (rows);
          rows = (guint8 *) wide;
          *dtype = SWITTI_DTYPE_F32;
        }
      row += parts[i].rows;
    }
  *stacked = g_steal_pointer (&rows);
  return TRUE;
}

/* The weight as gemm_pack() takes it: a tensor as it is stored, or parts one under another. */
typedef struct
{
  SwittiHostTensor tensor;
  gpointer stacked;
  SwittiDtype dtype;
  const void *data;
} Source;

static void
source_clear (Source *source)
{
  switti_host_tensor_clear (&source->tensor);
  g_free (source->stacked);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Source, source_clear)

static gboolean
open_source (const SwittiLinear *self, SwittiWeights *weights, const SwittiLinearPart *parts, int n_parts,
             Source *source, GError **error)
{
  if (n_parts == 1 && !get_part (weights, &parts[0], self->k, &source->tensor, error))
    return FALSE;
  if (n_parts == 1 && is_packable (source->tensor.tensor.dtype))
    {
      source->dtype = source->tensor.tensor.dtype;
      source->data = source->tensor.tensor.data;
      return TRUE;
    }
  if (!stack_parts (weights, self->n, self->k, parts, n_parts, &source->dtype, &source->stacked, error))
    return FALSE;
  source->data = source->stacked;
  return TRUE;
}

gsize
switti_linear_packed_bytes (const SwittiLinear *self, SwittiDevice *device)
{
  return switti_device_get_kernels (device)->gemm_packed_bytes (switti_device_get_context (device), self->n, self->k,
                                                                self->dtype);
}

gboolean
switti_linear_pack (const SwittiLinear *self, SwittiDevice *device, SwittiWeights *weights,
                    const SwittiLinearPart *parts, int n_parts, void *packed, GError **error)
{
  g_auto (Source) source = { 0 };

  if (!open_source (self, weights, parts, n_parts, &source, error))
    return FALSE;
  SWITTI_RUN (device, gemm_pack, self->n, self->k, self->dtype, source.dtype, source.data, self->k, packed);
  return TRUE;
}

static gboolean
load_weight (SwittiLinear *self, SwittiDevice *device, SwittiWeights *weights, const SwittiLinearPart *parts,
             int n_parts, GError **error)
{
  g_auto (Source) source = { 0 };

  if (!open_source (self, weights, parts, n_parts, &source, error))
    return FALSE;
  self->packed = switti_device_alloc (device, switti_linear_packed_bytes (self, device), parts[0].name, error);
  if (self->packed == NULL)
    return FALSE;
  SWITTI_RUN (device, gemm_pack, self->n, self->k, self->dtype, source.dtype, source.data, self->k, self->packed);
  return TRUE;
}

static gboolean
load_bias (SwittiLinear *self, SwittiDevice *device, SwittiWeights *weights, const SwittiLinearPart *parts,
           int n_parts, GError **error)
{
  const gsize narrow = SWITTI_BIAS_NARROW (self->n), bytes = narrow + (gsize) self->n * sizeof (guint16);
  g_autofree guint8 *packed = g_malloc0 (bytes);
  float *bias = (float *) packed;
  gint64 row = 0;

  for (int i = 0; i < n_parts; i++)
    {
      g_autofree char *name = g_strconcat (parts[i].name, ".bias", NULL);

      if (!switti_weights_read_f32 (weights, name, 1, &parts[i].rows, bias + row, error))
        return FALSE;
      row += parts[i].rows;
    }
  switti_convert_elements (SWITTI_DTYPE_F32, bias, SWITTI_DTYPE_BF16, packed + narrow, (gsize) self->n);
  self->bias = switti_device_alloc (device, bytes, parts[0].name, error);
  if (self->bias == NULL)
    return FALSE;
  SWITTI_RUN (device, upload, self->bias, packed, bytes);
  return TRUE;
}

gboolean
switti_linear_describe (SwittiLinear *self, SwittiDevice *device, SwittiWeights *weights, SwittiDtype dtype, gint64 k,
                        gboolean has_bias, const SwittiLinearPart *parts, int n_parts, GError **error)
{
  *self = (SwittiLinear){ .k = k, .dtype = dtype };
  for (int i = 0; i < n_parts; i++)
    self->n += parts[i].rows;
  return !has_bias || load_bias (self, device, weights, parts, n_parts, error);
}

gboolean
switti_linear_load (SwittiLinear *self, SwittiDevice *device, SwittiWeights *weights, SwittiDtype dtype, gint64 k,
                    gboolean has_bias, const SwittiLinearPart *parts, int n_parts, GError **error)
{
  *self = (SwittiLinear){ .k = k, .dtype = dtype };
  for (int i = 0; i < n_parts; i++)
    self->n += parts[i].rows;
  return load_weight (self, device, weights, parts, n_parts, error) &&
         (!has_bias || load_bias (self, device, weights, parts, n_parts, error));
}

void
switti_linear_clear (SwittiLinear *self, SwittiDevice *device)
{
  switti_device_free (device, self->packed);
  switti_device_free (device, self->bias);
  *self = (SwittiLinear){ 0 };
}

SwittiGemmPlan *
switti_linear_plan (const SwittiLinear *self, SwittiDevice *device, gint64 m, gint64 row_group, SwittiDtype a_dtype,
                    SwittiDtype d_dtype, SwittiActivation activation, GError **error)
{
  SwittiGemm gemm = {
    .m = m,
    .n = self->n,
    .k = self->k,
    .row_group = row_group,
    .lda = self->k,
    .ldb = self->k,
    .ldd = self->n,
    .a_dtype = a_dtype,
    .b_dtype = self->dtype,
    .d_dtype = d_dtype,
    .b_packed = true,
    .bias_packed = d_dtype == SWITTI_DTYPE_BF16,
    .activation = activation,
  };
  SwittiGemmPlan *plan = NULL;

  if (!switti_device_check (
          device, switti_device_get_kernels (device)->gemm_plan (switti_device_get_context (device), &gemm, &plan),
          "gemm_plan", error))
    return NULL;
  return plan;
}

void
switti_gemm_plan_clear (SwittiDevice *device, SwittiGemmPlan **plan)
{
  if (*plan != NULL)
    switti_device_get_kernels (device)->gemm_plan_free (switti_device_get_context (device), *plan);
  *plan = NULL;
}

double
switti_linear_flop (double m, double n, double k)
{
  return 2 * m * n * k;
}

static gboolean
upload (SwittiDevice *device, void *memory, const void *host, gsize bytes, GError **error)
{
  SWITTI_RUN (device, upload, memory, host, bytes);
  return TRUE;
}

float *
switti_device_upload_f32 (SwittiDevice *device, const float *host, gsize count, const char *purpose, GError **error)
{
  float *memory = switti_device_alloc (device, count * sizeof (float), purpose, error);

  if (memory != NULL && !upload (device, memory, host, count * sizeof (float), error))
    {
      switti_device_free (device, memory);
      return NULL;
    }
  return memory;
}

float *
switti_device_load_f32 (SwittiDevice *device, SwittiWeights *weights, const char *name, int n_dims,
                        const gint64 *dims, GError **error)
{
  g_auto (SwittiHostTensor) tensor = { 0 };
  g_autofree float *wide = NULL;
  gsize count = 1;

  if (!switti_weights_get (weights, name, n_dims, dims, &tensor, error))
    return NULL;
  for (int i = 0; i < n_dims; i++)
    count *= (gsize) dims[i];
  if (tensor.tensor.dtype == SWITTI_DTYPE_F32)
    return switti_device_upload_f32 (device, tensor.tensor.data, count, name, error);
  wide = g_new (float, count);
  switti_convert_elements (tensor.tensor.dtype, tensor.tensor.data, SWITTI_DTYPE_F32, wide, count);
  return switti_device_upload_f32 (device, wide, count, name, error);
}

float *
switti_device_load_vector (SwittiDevice *device, SwittiWeights *weights, const char *name, gint64 count,
                           GError **error)
{
  return switti_device_load_f32 (device, weights, name, 1, &count, error);
}

/* Converts and uploads piece by piece, so that the host holds no second copy. */
static gboolean
upload_converted (SwittiDevice *device, const SwittiTensor *tensor, SwittiDtype dtype, gsize count, guint8 *memory,
                  GError **error)
{
  g_autofree float *wide = g_new (float, MIN (count, CONVERSION_CHUNK));
  g_autofree guint8 *narrow = g_malloc_n (MIN (count, CONVERSION_CHUNK), switti_dtype_size (dtype));

  for (gsize start = 0; start < count; start += CONVERSION_CHUNK)
    {
      gsize n = MIN (CONVERSION_CHUNK, count - start);
      const guint8 *in = (const guint8 *) tensor->data + start * switti_dtype_size (tensor->dtype);

      switti_convert_elements (tensor->dtype, in, SWITTI_DTYPE_F32, wide, n);
      switti_convert_elements (SWITTI_DTYPE_F32, wide, dtype, narrow, n);
      if (!upload (device, memory + start * switti_dtype_size (dtype), narrow, n * switti_dtype_size (dtype), error))
        return FALSE;
    }
  return TRUE;
}

void *
switti_device_load_table (SwittiDevice *device, SwittiWeights *weights, const char *name, gint64 rows, gint64 width,
                          SwittiDtype *dtype, GError **error)
{
  g_auto (SwittiHostTensor) tensor = { 0 };
  gsize count = (gsize) rows * (gsize) width;
  gboolean ok;
  void *memory;

  if (!switti_weights_get (weights, name, 2, (gint64[]){ rows, width }, &tensor, error))
    return NULL;
  if (tensor.tensor.dtype == SWITTI_DTYPE_BF16)
    *dtype = SWITTI_DTYPE_BF16;
  memory = switti_device_alloc (device, count * switti_dtype_size (*dtype), name, error);
  if (memory == NULL)
    return NULL;
  if (tensor.tensor.dtype == *dtype)
    ok = upload (device, memory, tensor.tensor.data, count * switti_dtype_size (*dtype), error);
  else
    ok = upload_converted (device, &tensor.tensor, *dtype, count, memory, error);
  if (!ok)
    {
      switti_device_free (device, memory);
      return NULL;
    }
  return memory;
}
