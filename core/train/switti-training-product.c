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
  const gboolean half = self->w_dtype == SWITTI_DTYPE_F16;
  const SwittiDtype x = half ? SWITTI_DTYPE_F16 : x_dtype, dy = half ? SWITTI_DTYPE_F16 : self->dy_dtype;
  const SwittiGemm forward = { .m = rows, .n = n, .k = k, .row_group = row_group, .lda = k, .ldb = k, .ldd = n,
                               .a_dtype = x, .b_dtype = self->w_dtype, .d_dtype = y_dtype };
  const SwittiGemm input = { .m = rows, .n = k, .k = n, .row_group = row_group, .lda = n, .ldb = k, .ldd = k,
                             .a_dtype = dy, .b_dtype = self->w_dtype, .d_dtype = self->dy_dtype,
                             .b_is_kn = true };
  const SwittiGemm weight = { .m = n, .n = k, .k = rows, .row_group = n, .lda = n, .ldb = k, .ldd = k,
                              .a_dtype = dy, .b_dtype = x, .d_dtype = SWITTI_DTYPE_F32,
                              .a_is_km = true, .b_is_kn = true, .accumulate = true };

  g_assert (!half || (self->halves != NULL && x_dtype == SWITTI_DTYPE_F32 && self->dy_dtype == SWITTI_DTYPE_F32));
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

/* *x and *dy (may be NULL) as the product reads them: rounded where it wants float16. */
static gboolean
narrow (const SwittiTrainingProduct *self, SwittiDevice *device, const void **x, const void **dy, GError **error)
{
  if (self->w_dtype != SWITTI_DTYPE_F16)
    return TRUE;
  SWITTI_RUN (device, convert, self->rows * self->k, SWITTI_DTYPE_F32, *x, SWITTI_DTYPE_F16, self->halves->x);
  *x = self->halves->x;
  if (dy == NULL)
    return TRUE;
  SWITTI_RUN (device, convert, self->rows * self->n, SWITTI_DTYPE_F32, *dy, SWITTI_DTYPE_F16, self->halves->dy);
  *dy = self->halves->dy;
  return TRUE;
}

gboolean
switti_training_product_forward (const SwittiTrainingProduct *self, SwittiParameters *parameters,
                                 const SwittiTrainingLinear *linear, const void *x, void *y, GError **error)
{
  SwittiDevice *device = switti_parameters_get_device (parameters);

  if (!narrow (self, device, &x, NULL, error))
    return FALSE;
  SWITTI_RUN (device, gemm, self->forward, x, weight_of (self, parameters, linear),
              linear->has_bias ? switti_parameters_at (parameters, linear->bias) : NULL, y);
  return TRUE;
}

gboolean
switti_training_product_backward (const SwittiTrainingProduct *self, SwittiParameters *parameters,
                                  const SwittiTrainingLinear *linear, SwittiGradientArray *gradients, const void *x,
                                  const void *dy, void *dx, GError **error)
{
  SwittiDevice *device = switti_parameters_get_device (parameters);

  if (linear->has_bias)
    SWITTI_RUN (device, column_sum, self->rows, self->n, self->dy_dtype, dy, self->n,
                switti_gradient_array_at (gradients, linear->bias));
  if (!narrow (self, device, &x, &dy, error))
    return FALSE;
  SWITTI_RUN (device, gemm, self->weight, dy, x, NULL,
              switti_gradient_array_at (gradients, linear->weight));
  if (dx != NULL)
    SWITTI_RUN (device, gemm, self->input, dy, weight_of (self, parameters, linear), NULL, dx);
  return TRUE;
}
