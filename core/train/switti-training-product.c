/* switti-training-product.c - a Linear layer in training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-training-product-private.h"

#include "switti-linear-private.h"

SwittiTrainingLinear
switti_training_linear_find (SwittiParameters *parameters, const char *prefix, const char *name)
{
  g_autofree char *weight_name = g_strconcat (prefix, name, ".weight", NULL);
  g_autofree char *bias_name = g_strconcat (prefix, name, ".bias", NULL);
  const SwittiParameter *weight = switti_parameters_find (parameters, weight_name);
  const SwittiParameter *bias = switti_parameters_find (parameters, bias_name);

  g_assert (weight != NULL);
  return (SwittiTrainingLinear){
    .weight = weight->offset,
    .bias = bias != NULL ? bias->offset : 0,
    .has_bias = bias != NULL,
  };
}

static gboolean
make_plan (SwittiDevice *device, const SwittiGemm *gemm, SwittiGemmPlan **plan, GError **error)
{
  SWITTI_RUN (device, gemm_plan, gemm, plan);
  return TRUE;
}

gboolean
switti_training_product_plan (SwittiTrainingProduct *self, SwittiDevice *device, gint64 row_group, SwittiDtype x_dtype,
                              SwittiDtype y_dtype, gboolean wants_input, GError **error)
{
  const gint64 rows = self->rows, n = self->n, k = self->k;
  const SwittiGemm forward = { .m = rows, .n = n, .k = k, .row_group = row_group, .lda = k, .ldb = k, .ldd = n,
                               .a_dtype = x_dtype, .b_dtype = self->w_dtype, .d_dtype = y_dtype };
  const SwittiGemm input = { .m = rows, .n = k, .k = n, .row_group = row_group, .lda = n, .ldb = k, .ldd = k,
                             .a_dtype = self->dy_dtype, .b_dtype = self->w_dtype, .d_dtype = self->dy_dtype,
                             .b_is_kn = true };
  const SwittiGemm weight = { .m = n, .n = k, .k = rows, .row_group = n, .lda = n, .ldb = k, .ldd = k,
                              .a_dtype = self->dy_dtype, .b_dtype = x_dtype, .d_dtype = SWITTI_DTYPE_F32,
                              .a_is_km = true, .b_is_kn = true, .accumulate = true };

  return make_plan (device, &forward, &self->forward, error) && make_plan (device, &weight, &self->weight, error)
         && (!wants_input || make_plan (device, &input, &self->input, error));
}

void
switti_training_product_clear (SwittiTrainingProduct *self, SwittiDevice *device)
{
  switti_gemm_plan_clear (device, &self->forward);
  switti_gemm_plan_clear (device, &self->input);
  switti_gemm_plan_clear (device, &self->weight);
}

/* The weight as products read it. */
static const void *
weight_of (const SwittiTrainingProduct *self, SwittiParameters *parameters, const SwittiTrainingLinear *linear)
{
  return self->w_dtype == SWITTI_DTYPE_F32 ? (const void *) switti_parameters_at (parameters, linear->weight)
                                           : switti_parameters_copy_at (parameters, linear->weight);
}

gboolean
switti_training_product_forward (const SwittiTrainingProduct *self, SwittiParameters *parameters,
                                 const SwittiTrainingLinear *linear, const void *x, void *y, GError **error)
{
  SWITTI_RUN (switti_parameters_get_device (parameters), gemm, self->forward, x, weight_of (self, parameters, linear),
              linear->has_bias ? switti_parameters_at (parameters, linear->bias) : NULL, y);
  return TRUE;
}

gboolean
switti_training_product_backward (const SwittiTrainingProduct *self, SwittiParameters *parameters,
                                  const SwittiTrainingLinear *linear, SwittiGradientArray *gradients, const void *x,
                                  const void *dy, void *dx, GError **error)
{
  SwittiDevice *device = switti_parameters_get_device (parameters);

  SWITTI_RUN (device, gemm, self->weight, dy, x, NULL,
              switti_gradient_array_at (gradients, linear->weight));
  if (linear->has_bias)
    SWITTI_RUN (device, column_sum, self->rows, self->n, self->dy_dtype, dy, self->n,
                switti_gradient_array_at (gradients, linear->bias));
  if (dx != NULL)
    SWITTI_RUN (device, gemm, self->input, dy, weight_of (self, parameters, linear), NULL, dx);
  return TRUE;
}
