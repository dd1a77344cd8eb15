/* switti-vae-gradients-conv.c - a convolution in training
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-vae-gradients-half-private.h"

static gboolean
make_plans (SwittiTrainingConv *self, SwittiDevice *device, GError **error)
{
  SWITTI_RUN (device, conv_plan, &self->conv, &self->forward);
  SWITTI_RUN (device, conv_backward_plan, &self->conv, &self->backward);
  return TRUE;
}

gboolean
switti_training_conv_init (SwittiTrainingConv *self, SwittiParameters *parameters, const SwittiConv *conv,
                           const char *weight_name, const char *bias_name, GError **error)
{
  SwittiDevice *device = switti_parameters_get_device (parameters);
  const SwittiKernels *kernels = switti_device_get_kernels (device);
  const SwittiParameter *weight = switti_parameters_find (parameters, weight_name);
  const SwittiParameter *bias = switti_parameters_find (parameters, bias_name);

  g_assert (weight != NULL && bias != NULL);
  self->conv = *conv;
  self->weight = weight->offset;
  self->bias = bias->offset;
  self->n_weights = weight->count;
  self->packed = switti_device_alloc (device, kernels->conv_packed_bytes (switti_device_get_context (device), conv),
                                      weight_name, error);
  return self->packed != NULL && make_plans (self, device, error);
}

void
switti_training_conv_clear (SwittiTrainingConv *self, SwittiDevice *device)
{
  const SwittiKernels *kernels = switti_device_get_kernels (device);

  if (self->forward != NULL)
    kernels->conv_plan_free (switti_device_get_context (device), self->forward);
  if (self->backward != NULL)
    kernels->conv_backward_plan_free (switti_device_get_context (device), self->backward);
  switti_device_free (device, self->packed);
  *self = (SwittiTrainingConv){ 0 };
}

/* The op packs from the host's memory. */
gboolean
switti_training_conv_pack (SwittiTrainingConv *self, SwittiParameters *parameters, GError **error)
{
  SwittiDevice *device = switti_parameters_get_device (parameters);
  g_autofree float *weight = g_new (float, self->n_weights);

  SWITTI_RUN (device, download, weight, switti_parameters_get_values (parameters) + self->weight,
              self->n_weights * sizeof (float));
  SWITTI_RUN (device, conv_pack, &self->conv, SWITTI_DTYPE_F32, weight, self->packed);
  return TRUE;
}

gboolean
switti_training_conv_forward (const SwittiTrainingConv *self, SwittiParameters *parameters, const float *x,
                              const float *residual, float *y, GError **error)
{
  SWITTI_RUN (switti_parameters_get_device (parameters), conv, self->forward, x, self->packed,
              switti_parameters_get_values (parameters) + self->bias, residual, y);
  return TRUE;
}

gboolean
switti_training_conv_backward (const SwittiTrainingConv *self, SwittiParameters *parameters, float *gradients,
                               const float *x, const float *dy, float *dx, GError **error)
{
  SWITTI_RUN (switti_parameters_get_device (parameters), conv_backward, self->backward, x,
              switti_parameters_get_values (parameters) + self->weight, dy, dx, gradients + self->weight,
              gradients + self->bias);
  return TRUE;
}
