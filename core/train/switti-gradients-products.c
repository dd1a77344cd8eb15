/* switti-gradients-products.c - a Linear layer, forward and backward
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-gradients-parts-private.h"

/* The weight as products read it. */
static const void *
weight_of (const SwittiGradients *self, const SwittiTrainingProduct *product, const SwittiTrainingLinear *linear)
{
  if (product->w_dtype == SWITTI_DTYPE_F32)
    return switti_gradients_parameter (self, linear->weight);
  return switti_gradients_at (self, switti_parameters_get_copies (self->parameters), (gint64) linear->weight);
}

gboolean
switti_gradients_multiply (SwittiGradients *self, SwittiProduct which, const SwittiTrainingLinear *linear,
                           const void *x, void *y, GError **error)
{
  const SwittiTrainingProduct *product = &self->products[which];
  /* The tokens' bias is added with their embeddings. */
  const gboolean adds_bias = linear->has_bias && which != SWITTI_PRODUCT_WORD_EMBED;

  SWITTI_RUN (self->device, gemm, product->forward, x, weight_of (self, product, linear),
              adds_bias ? switti_gradients_parameter (self, linear->bias) : NULL, y);
  return TRUE;
}

gboolean
switti_gradients_multiply_backward (SwittiGradients *self, SwittiProduct which, const SwittiTrainingLinear *linear,
                                    const void *x, const void *dy, void *dx, GError **error)
{
  const SwittiTrainingProduct *product = &self->products[which];
  const gboolean adds_bias = linear->has_bias && which != SWITTI_PRODUCT_WORD_EMBED;

  SWITTI_RUN (self->device, gemm, product->weight, dy, x, NULL, self->values + linear->weight);
  if (adds_bias)
    SWITTI_RUN (self->device, column_sum, product->rows, product->n, product->dy_dtype, dy, product->n,
                self->values + linear->bias);
  if (dx != NULL)
    SWITTI_RUN (self->device, gemm, product->input, dy, weight_of (self, product, linear), NULL, dx);
  return TRUE;
}
