/* switti-engine.c - a model's parts on a device, and the space that a generation needs there
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-engine-private.h"

#include "switti-error.h"
#include "switti-memory-private.h"

#include <glib/gi18n-lib.h>

/* The prompt and the null prompt. */
#define TEXT_BATCH 2

/* More images at once gain little on the CPU and cost memory. */
#define CPU_BATCH 4
#define CUDA_BATCH 8

/* Pixels of a side for each position of the latent. */
#define VAE_FACTOR 16

static gboolean
mismatch (SwittiBundle *bundle, const char *what, GError **error)
{
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("The parts of the model %s do not fit together: %s; install the model again."),
               switti_bundle_get_name (bundle), what);
  return FALSE;
}

static gboolean
check_parts (SwittiBundle *bundle, GError **error)
{
  const SwittiBundleParts *parts = switti_bundle_get_parts (bundle);
  const SwittiTransformerConfig *transformer = &parts->transformer;
  const SwittiVaeConfig *vae = &parts->vae;

  if (transformer->vocab != vae->vocab)
    return mismatch (bundle, _ ("the transformer and the VAE differ in their number of codes"), error);
  if (transformer->latent != vae->latent)
    return mismatch (bundle, _ ("the transformer and the VAE differ in their latent channels"), error);
  if (transformer->schedule.n_scales != vae->schedule.n_scales
      || memcmp (transformer->schedule.side, vae->schedule.side,
                 sizeof (int) * (gsize) vae->schedule.n_scales) != 0)
    return mismatch (bundle, _ ("the transformer and the VAE differ in their scales"), error);
  if (parts->text[0].width + parts->text[1].width != transformer->context_dim)
    return mismatch (bundle, _ ("the text encoders are not as wide as the transformer's context"), error);
  if (parts->text[1].width != transformer->pooled_dim)
    return mismatch (bundle, _ ("the second text encoder is not as wide as the transformer's pooled text"), error);
  return TRUE;
}

static gboolean
load_text (SwittiEngine *self, GCancellable *cancellable, GError **error)
{
  const SwittiBundleParts *parts = self->parts;

  for (int i = 0; i < 2; i++)
    {
      if (self->text[i] != NULL)
        continue;
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      self->text[i] = switti_text_encoder_new (self->device, &parts->text[i], parts->text_weights[i], self->dtype,
                                               TEXT_BATCH, error);
      if (self->text[i] == NULL)
        return FALSE;
    }
  return TRUE;
}

void
switti_engine_release_text (SwittiEngine *self)
{
  for (int i = 0; self->low && i < 2; i++)
    g_clear_pointer (&self->text[i], switti_text_encoder_free);
}

/* Host memory is not saved by streaming: there the packed blocks are copies of what is mapped, and packing them anew at
 * each scale would take longer than the scale. */
static SwittiTransformer *
new_transformer (SwittiEngine *self, GError **error)
{
  const SwittiBundleParts *parts = self->parts;

  if (self->low && switti_device_is_asynchronous (self->device))
    return switti_transformer_new_streamed (self->device, &parts->transformer, parts->transformer_weights,
                                            self->dtype, error);
  return switti_transformer_new (self->device, &parts->transformer, parts->transformer_weights, self->dtype, error);
}

static gboolean
load (SwittiEngine *self, GCancellable *cancellable, GError **error)
{
  const SwittiBundleParts *parts = self->parts;

  if (!self->low && !load_text (self, cancellable, error))
    return FALSE;
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  self->transformer = new_transformer (self, error);
  if (self->transformer == NULL || g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  self->vae = switti_vae_new (self->device, &parts->vae, parts->vae_weights, self->dtype, error);
  return self->vae != NULL;
}

SwittiEngine *
switti_engine_new (SwittiBundle *bundle, SwittiDevice *device, SwittiDtype dtype, SwittiMemory memory,
                   GCancellable *cancellable, GError **error)
{
  g_autoptr (SwittiEngine) self = g_new0 (SwittiEngine, 1);

  self->device = g_object_ref (device);
  self->bundle = g_object_ref (bundle);
  self->parts = switti_bundle_get_parts (bundle);
  self->dtype = dtype;
  /* The CPU's memory is lent by the system, which has its own means. */
  self->low = memory == SWITTI_MEMORY_LOW
              || (switti_device_is_asynchronous (device)
                  && switti_memory_estimate (self->parts, dtype, 1, FALSE) > switti_device_get_free_memory (device));
  if (!check_parts (bundle, error) || !load (self, cancellable, error))
    return NULL;
  return g_steal_pointer (&self);
}

static void
space_clear (SwittiEngine *self)
{
  SwittiSpace *space = &self->space;

  for (int i = 0; i < SWITTI_N_DECODINGS; i++)
    switti_decoding_close (&space->decodings[i]);
  for (int i = 0; i < 2; i++)
    switti_device_get_kernels (self->device)->event_free (switti_device_get_context (self->device), space->reached[i]);
  g_clear_pointer (&space->run, switti_transformer_run_free);
  g_clear_pointer (&space->pyramid, switti_pyramid_free);
  g_clear_pointer (&space->workspace, switti_workspace_free);
  *space = (SwittiSpace) { 0 };
}

void
switti_engine_free (SwittiEngine *self)
{
  space_clear (self);
  g_clear_pointer (&self->vae, switti_vae_free);
  g_clear_pointer (&self->transformer, switti_transformer_free);
  for (int i = 0; i < 2; i++)
    g_clear_pointer (&self->text[i], switti_text_encoder_free);
  g_clear_object (&self->bundle);
  g_clear_object (&self->device);
  g_free (self);
}

/* Positions of the last scale, the most that any has. */
static gsize
last_positions (const SwittiVaeConfig *vae)
{
  gsize side = (gsize) vae->schedule.side[vae->schedule.n_scales - 1];

  return side * side;
}

static gboolean
make_events (SwittiEngine *self, SwittiSpace *space, GError **error)
{
  for (int i = 0; i < SWITTI_N_DECODINGS; i++)
    if (space->decodings[i].device != NULL && !switti_decoding_open (&space->decodings[i], error))
      return FALSE;
  for (int i = 0; i < 2; i++)
    SWITTI_RUN (self->device, event_new, &space->reached[i]);
  return TRUE;
}

static gboolean
plan_workspace (SwittiEngine *self, SwittiSpace *space, GError **error)
{
  const SwittiVaeConfig *vae = &self->parts->vae;
  gsize positions = last_positions (vae);
  gsize batch = (gsize) space->batch, n_runs = (gsize) space->n_runs;
  gsize v = (gsize) vae->vocab, z = (gsize) vae->latent;
  int n_decodings = switti_device_is_asynchronous (self->device) ? SWITTI_N_DECODINGS : 1;
  SwittiSlot input, logits, h, guided = 0, codes, seeds;

  space->workspace = switti_workspace_new (self->device);
  input = switti_workspace_reserve (space->workspace, SWITTI_DTYPE_F32, n_runs * positions * z);
  logits = switti_workspace_reserve (space->workspace, SWITTI_DTYPE_F32, n_runs * positions * v);
  h = switti_workspace_reserve (space->workspace, SWITTI_DTYPE_F32, batch * positions * z);
  if (space->traced)
    guided = switti_workspace_reserve (space->workspace, SWITTI_DTYPE_F32, batch * positions * v);
  codes = switti_workspace_reserve (space->workspace, SWITTI_DTYPE_I32,
                                    batch * (gsize) switti_schedule_length (&vae->schedule));
  seeds = switti_workspace_reserve (space->workspace, SWITTI_DTYPE_I64, batch);
  for (int i = 0; i < n_decodings; i++)
    switti_decoding_place (&space->decodings[i], self->device, space->workspace, space->batch, positions * z,
                           positions * VAE_FACTOR * VAE_FACTOR * 3);
  if (!switti_workspace_commit (space->workspace, _ ("the pictures"), error))
    return FALSE;
  space->input = switti_workspace_get (space->workspace, input);
  space->logits = switti_workspace_get (space->workspace, logits);
  space->h = switti_workspace_get (space->workspace, h);
  space->guided = space->traced ? switti_workspace_get (space->workspace, guided) : NULL;
  space->codes = switti_workspace_get (space->workspace, codes);
  space->seeds = switti_workspace_get (space->workspace, seeds);
  return TRUE;
}

gboolean
switti_engine_reserve (SwittiEngine *self, int batch, int n_conditions, gboolean needs_null, gboolean traced,
                       GError **error)
{
  SwittiSpace *space = &self->space;
  int n_runs = needs_null ? 2 * batch : batch;

  if (space->batch >= batch && space->n_conditions >= n_conditions && space->n_runs >= n_runs
      && (space->traced || !traced))
    return TRUE;
  space_clear (self);
  space->batch = batch;
  space->n_conditions = n_conditions;
  space->n_runs = n_runs;
  space->traced = traced;
  space->run = switti_transformer_run_new (self->transformer, n_conditions, n_runs, error);
  if (space->run)
    space->pyramid = switti_pyramid_new (self->device, &self->parts->vae, self->parts->vae_weights, batch, error);
  if (space->pyramid == NULL || !plan_workspace (self, space, error) || !make_events (self, space, error))
    {
      space_clear (self);
      return FALSE;
    }
  return TRUE;
}

int
switti_engine_choose_batch (SwittiEngine *self, int wanted)
{
  const SwittiTransformerConfig *config = &self->parts->transformer;
  const SwittiKernels *kernels = switti_device_get_kernels (self->device);
  gboolean is_cpu = g_str_equal (kernels->name, "cpu");
  int limit = is_cpu ? CPU_BATCH : CUDA_BATCH;
  /* Of a position of the last scale: logits, and about 16 activations as wide as the model and 2 as wide as the FFN. */
  double floats = config->vocab + 16.0 * config->width + 2.0 * config->ffn_hidden;
  double bytes = 2 * sizeof (float) * floats * (double) last_positions (&self->parts->vae);

  while (limit > 1 && limit * bytes > 0.5 * (double) switti_device_get_free_memory (self->device))
    limit--;
  return CLAMP (wanted, 1, limit);
}

gboolean
switti_engine_encode_text (SwittiEngine *self, int first, int n, const gint32 *const ids[2],
                           const int *const n_valid[2], GError **error)
{
  const SwittiTransformerConfig *config = &self->parts->transformer;
  float *context = switti_transformer_run_get_context (self->space.run);
  float *pooled = switti_transformer_run_get_pooled (self->space.run);

  if (!load_text (self, NULL, error))
    return FALSE;
  for (int done = 0; done < n; done += TEXT_BATCH)
    {
      int batch = MIN (TEXT_BATCH, n - done);
      float *rows = context + (gsize) (first + done) * SWITTI_TEXT_LENGTH * (gsize) config->context_dim;
      float *pooled_rows = pooled + (gsize) (first + done) * (gsize) config->pooled_dim;

      for (int i = 0; i < 2; i++)
        if (!switti_text_encoder_encode (self->text[i], batch, ids[i] + (gsize) done * SWITTI_TEXT_LENGTH,
                                         n_valid[i] + done, rows + (i == 0 ? 0 : self->parts->text[0].width),
                                         config->context_dim, i == 0 ? NULL : pooled_rows, error))
          return FALSE;
    }
  return TRUE;
}
