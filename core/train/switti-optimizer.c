/* switti-optimizer.c - AdamW over all parameters, with clipping and a moving average
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-optimizer-private.h"

#include "switti-error.h"

#include <math.h>

struct _SwittiOptimizer
{
  SwittiParameters *parameters;
  SwittiDevice *device;
  SwittiOptimizerOptions options;
  gint64 n_steps;
  guint n_tensors;                /* parameters that are not frozen, as far as they are here */
  SwittiOptimizerTensor *tensors;
  SwittiOptimizerPlan *plan; /* of them and `gradients`; NULL before a step, or without tensors */
  const float *gradients;
  double loss_scale;
  guint *index;                   /* which parameter a tensor is of */
  gsize *places;                  /* where it begins in the flat arrays */
  float *first, *second, *average;
  double *sums; /* device (n_tensors) */
};

static gboolean
allocate (SwittiOptimizer *self, GError **error)
{
  const gsize bytes = switti_parameters_get_size (self->parameters) * sizeof (float);
  struct
  {
    float **array;
    gboolean is_wanted;
  } arrays[] = {
    { &self->first, TRUE },
    { &self->second, TRUE },
    { &self->average, self->options.average_decay > 0 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (arrays); i++)
    if (arrays[i].is_wanted)
      {
        *arrays[i].array = switti_device_alloc (self->device, bytes, "the optimizer's state", error);
        if (*arrays[i].array == NULL)
          return FALSE;
        SWITTI_RUN (self->device, clear, *arrays[i].array, bytes);
      }
  if (self->average != NULL)
    SWITTI_RUN (self->device, copy, self->average, switti_parameters_get_values (self->parameters), bytes);
  self->sums = switti_device_alloc (self->device, MAX (self->n_tensors, 1) * sizeof (double), "the gradient's norm",
                                    error);
  return self->sums != NULL;
}

static void
list_tensors (SwittiOptimizer *self)
{
  guint8 *copies = switti_parameters_get_copies (self->parameters);
  const gsize copy_size = switti_dtype_size (switti_parameters_get_dtype (self->parameters));

  for (guint t = 0; t < self->n_tensors; t++)
    {
      const gsize place = self->places[t];

      self->tensors[t].parameter = switti_parameters_get_values (self->parameters) + place;
      self->tensors[t].first_moment = self->first + place;
      self->tensors[t].second_moment = self->second + place;
      self->tensors[t].average = self->average != NULL ? self->average + place : NULL;
      self->tensors[t].decays = switti_parameters_get (self->parameters, self->index[t])->decays;
      self->tensors[t].copy = copies != NULL ? copies + place * copy_size : NULL;
    }
}

/* What is here of the parameters that are not frozen. */
static void
find_tensors (SwittiOptimizer *self)
{
  const guint n = switti_parameters_get_n (self->parameters);

  self->tensors = g_new0 (SwittiOptimizerTensor, n);
  self->index = g_new0 (guint, n);
  self->places = g_new0 (gsize, n);
  for (guint i = 0; i < n; i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (self->parameters, i);
      gsize first, count, place;

      switti_parameters_get_piece (self->parameters, parameter, &first, &count, &place);
      if (parameter->is_frozen || count == 0)
        continue;
      self->index[self->n_tensors] = i;
      self->places[self->n_tensors] = place;
      self->tensors[self->n_tensors++].count = (gint64) count;
    }
}

SwittiOptimizer *
switti_optimizer_new (SwittiParameters *parameters, const SwittiOptimizerOptions *options, GError **error)
{
  g_autoptr (SwittiOptimizer) self = g_new0 (SwittiOptimizer, 1);

  self->parameters = parameters;
  self->device = g_object_ref (switti_parameters_get_device (parameters));
  self->options = *options;
  self->loss_scale = 1;
  find_tensors (self);
  if (!allocate (self, error))
    return NULL;
  list_tensors (self);
  return g_steal_pointer (&self);
}

void
switti_optimizer_free (SwittiOptimizer *self)
{
  if (self == NULL)
    return;
  if (self->plan != NULL)
    switti_device_get_kernels (self->device)
        ->optimizer_plan_free (switti_device_get_context (self->device), self->plan);
  switti_device_free (self->device, self->first);
  switti_device_free (self->device, self->second);
  switti_device_free (self->device, self->average);
  switti_device_free (self->device, self->sums);
  g_free (self->tensors);
  g_free (self->index);
  g_free (self->places);
  g_object_unref (self->device);
  g_free (self);
}

/* The device's list of the tensors, with these gradients: they are in the same memory at every step. */
static gboolean
plan_tensors (SwittiOptimizer *self, const float *gradients, GError **error)
{
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);

  if (self->n_tensors == 0 || (self->plan != NULL && self->gradients == gradients))
    return TRUE;
  kernels->optimizer_plan_free (switti_device_get_context (self->device), self->plan);
  self->plan = NULL;
  for (guint t = 0; t < self->n_tensors; t++)
    self->tensors[t].gradient = gradients + self->places[t];
  SWITTI_RUN (self->device, optimizer_plan, self->n_tensors, self->tensors, &self->plan);
  self->gradients = gradients;
  return TRUE;
}

void
switti_optimizer_set_loss_scale (SwittiOptimizer *self, double scale)
{
  g_assert (scale > 0);
  self->loss_scale = scale;
}

gboolean
switti_optimizer_measure (SwittiOptimizer *self, const float *gradients, double *norm, GError **error)
{
  const SwittiSharding *sharding = switti_parameters_get_sharding (self->parameters);
  g_autofree double *sums = g_new (double, MAX (self->n_tensors, 1));
  double total = 0;

  if (!plan_tensors (self, gradients, error))
    return FALSE;
  if (self->n_tensors > 0)
    {
      SWITTI_RUN (self->device, squared_norm, self->plan, self->sums);
      SWITTI_RUN (self->device, download, sums, self->sums, self->n_tensors * sizeof (double));
    }
  for (guint t = 0; t < self->n_tensors; t++)
    total += sums[t];
  if (sharding != NULL
      && !switti_collective_all_reduce (sharding->shards, &total, 1, SWITTI_DTYPE_F64, error))
    return FALSE;
  *norm = sqrt (total) / self->loss_scale;
  return TRUE;
}

/* Decay of the moving average after n steps: the first ones follow more closely, so that the random weights which the
 * average begins with are soon forgotten. A decay of 0.999 alone would hold a fourteenth of them after 2,600 steps. */
static double
average_decay (const SwittiOptimizer *self)
{
  const double n = (double) self->n_steps;

  return MIN (self->options.average_decay, (1 + n) / (10 + n));
}

gboolean
switti_optimizer_step (SwittiOptimizer *self, const float *gradients, double norm, double rate, double decay,
                       GError **error)
{
  const SwittiOptimizerOptions *options = &self->options;
  const double step = (double) (self->n_steps + 1);
  SwittiAdamw adamw = {
    .rate = (float) rate,
    .decay = (float) decay,
    .beta1 = (float) options->beta1,
    .beta2 = (float) options->beta2,
    .eps = (float) options->eps,
    .correction1 = (float) (1 - pow (options->beta1, step)),
    .correction2 = (float) (1 - pow (options->beta2, step)),
    .gradient_scale = (float) (1 / self->loss_scale),
    .average_decay = (float) average_decay (self),
    .copy_dtype = switti_parameters_get_dtype (self->parameters),
  };

  if (!isfinite (norm))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   "The gradients of step %" G_GINT64_FORMAT " are not finite: the training has diverged; go on from "
                   "an earlier checkpoint with a lower learning rate.",
                   self->n_steps + 1);
      return FALSE;
    }
  /* The 1e-6 is the published code's. */
  if (options->clip > 0 && options->clip / (norm + 1e-6) < 1)
    adamw.gradient_scale = (float) (options->clip / (norm + 1e-6) / self->loss_scale);
  if (!plan_tensors (self, gradients, error))
    return FALSE;
  if (self->n_tensors > 0)
    SWITTI_RUN (self->device, adamw, &adamw, self->plan);
  self->n_steps++;
  switti_parameters_forget (self->parameters);
  return TRUE;
}

float *
switti_optimizer_get_first_moment (SwittiOptimizer *self)
{
  return self->first;
}

float *
switti_optimizer_get_second_moment (SwittiOptimizer *self)
{
  return self->second;
}

float *
switti_optimizer_get_average (SwittiOptimizer *self)
{
  return self->average;
}

gint64
switti_optimizer_get_n_steps (SwittiOptimizer *self)
{
  return self->n_steps;
}

void
switti_optimizer_set_n_steps (SwittiOptimizer *self, gint64 n_steps)
{
  g_assert (n_steps >= 0);
  self->n_steps = n_steps;
}
