/* switti-linear-private.h - a Linear layer's packed weight and bias, and other parameters on the device
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-device-private.h"
#include "switti-weights-private.h"

G_BEGIN_DECLS

/* y (m, n) = x (m, k) . W^T + b. All zero where the model has no such layer. */
typedef struct
{
  gint64 n, k;
  SwittiDtype dtype; /* of the packed weight */
  void *packed;      /* device */
  float *bias;       /* device (n), packed, or NULL */
} SwittiLinear;

/* One checkpoint tensor "<name>.weight" (rows, k), and "<name>.bias" (rows). */
typedef struct
{
  const char *name;
  gint64 rows;
} SwittiLinearPart;

/* Stacks the parts' rows into one weight (n is the sum of rows) stored in dtype. A single part is packed straight from
 * the source's memory. On failure *self may be partly filled: switti_linear_clear() is safe. */
gboolean switti_linear_load (SwittiLinear *self, SwittiDevice *device, SwittiWeights *weights, SwittiDtype dtype,
                             gint64 k, gboolean has_bias, const SwittiLinearPart *parts, int n_parts, GError **error);
void switti_linear_clear (SwittiLinear *self, SwittiDevice *device);

/* The same without the weight: packed stays NULL, and is the caller's to set to memory of _packed_bytes() that _pack()
 * has filled. */
gboolean switti_linear_describe (SwittiLinear *self, SwittiDevice *device, SwittiWeights *weights, SwittiDtype dtype,
                                 gint64 k, gboolean has_bias, const SwittiLinearPart *parts, int n_parts,
                                 GError **error);
gsize switti_linear_packed_bytes (const SwittiLinear *self, SwittiDevice *device);
gboolean switti_linear_pack (const SwittiLinear *self, SwittiDevice *device, SwittiWeights *weights,
                             const SwittiLinearPart *parts, int n_parts, void *packed, GError **error);

/* A plan for m dense rows of a_dtype, row_group of them an image, to dense rows of d_dtype. NULL on failure. */
SwittiGemmPlan *switti_linear_plan (const SwittiLinear *self, SwittiDevice *device, gint64 m, gint64 row_group,
                                    SwittiDtype a_dtype, SwittiDtype d_dtype, SwittiActivation activation,
                                    GError **error);
void switti_gemm_plan_clear (SwittiDevice *device, SwittiGemmPlan **plan);

/* 2 m n k */
double switti_linear_flop (double m, double n, double k);

/* A parameter of `n_dims` dimensions as device float32; NULL on failure. Free with switti_device_free(). */
float *switti_device_load_f32 (SwittiDevice *device, SwittiWeights *weights, const char *name, int n_dims,
                               const gint64 *dims, GError **error);
float *switti_device_load_vector (SwittiDevice *device, SwittiWeights *weights, const char *name, gint64 count,
                                  GError **error);
/* A (rows, width) table as `*dtype`, or as BF16 where it is stored so (half the bytes, the same values): *dtype then
 * says so. NULL on failure. */
void *switti_device_load_table (SwittiDevice *device, SwittiWeights *weights, const char *name, gint64 rows,
                                gint64 width, SwittiDtype *dtype, GError **error);
/* Copies `count` floats of the host to new device memory. */
float *switti_device_upload_f32 (SwittiDevice *device, const float *host, gsize count, const char *purpose,
                                 GError **error);

G_END_DECLS
