/* switti-training-product-private.h - a Linear layer in training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The shape and its plans are apart from the place of the weights: layers of one shape share the plans.
 */
#pragma once

#include "switti-gradient-array-private.h"

G_BEGIN_DECLS

/* A layer's places in the flat arrays. */
typedef struct
{
  gsize weight, bias;
  gboolean has_bias; /* which the product adds */
} SwittiTrainingLinear;

/* Device memory for operands of float16 products, which are float32 before: it holds the largest of all that share
 * it. */
typedef struct
{
  guint16 *x, *dy;
} SwittiTrainingHalves;

/* y (rows, n) = x (rows, k) . W^T + b forward; dx = dy . W and dW += dy^T . x backward. With w_dtype F16 all three are
 * float16 products of float32 operands, which are rounded on their way in; what is beyond float16 becomes infinite. */
typedef struct
{
  gint64 rows, n, k;
  SwittiDtype w_dtype, dy_dtype;
  const SwittiTrainingHalves *halves; /* with w_dtype F16 */
  SwittiGemmPlan *forward, *input, *weight; /* input is NULL where nobody wants dx */
} SwittiTrainingProduct;

/* "<prefix><name>.weight", which must be there, and ".bias", where it is. */
SwittiTrainingLinear switti_training_linear_find (SwittiParameters *parameters, const char *prefix, const char *name);

/* Plans for rows, n, k and the dtypes as they stand in *self. `row_group`: rows of one image. dx has the dtype of dy:
 * float32 where few rows are concerned. */
gboolean switti_training_product_plan (SwittiTrainingProduct *self, SwittiDevice *device, gint64 row_group,
                                       SwittiDtype x_dtype, SwittiDtype y_dtype, gboolean wants_input, GError **error);
void switti_training_product_clear (SwittiTrainingProduct *self, SwittiDevice *device);

gboolean switti_training_product_forward (const SwittiTrainingProduct *self, SwittiParameters *parameters,
                                          const SwittiTrainingLinear *linear, const void *x, void *y, GError **error);
/* Adds the gradients of weight and bias; dx, unless NULL, is written. */
gboolean switti_training_product_backward (const SwittiTrainingProduct *self, SwittiParameters *parameters,
                                           const SwittiTrainingLinear *linear, SwittiGradientArray *gradients,
                                           const void *x, const void *dy, void *dx, GError **error);

/* The dtype of activations that goes with weights of a dtype: float16 is for products' operands alone. */
static inline SwittiDtype
switti_training_activations (SwittiDtype w_dtype)
{
  return w_dtype == SWITTI_DTYPE_F16 ? SWITTI_DTYPE_F32 : w_dtype;
}

G_END_DECLS
