/* switti-generation.c - one call of a generator
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Images are painted in chunks of `batch`. For each chunk: text features of its prompts, what depends on them alone,
 * then scale after scale (transformer, draw, pyramid), then the VAE. A chunk whose prompt is that of the one before
 * keeps the conditions. Letters: switti-engine-private.h.
 */
#include "switti-generation-private.h"

#include "switti-error.h"
#include "switti-image-private.h"
#include "switti-sampling-plan-private.h"

typedef struct
{
  SwittiEngine *engine;
  const SwittiGenerationJob *job;
  const SwittiParameters *parameters;
  SwittiTimings *timings;
  SwittiScalePlan plan[SWITTI_MAX_SCALES];
  const SwittiSchedule *schedule;
  gboolean needs_null;
  int batch;     /* images of a full chunk */
  int side;      /* of the pictures, pixels */
  gint64 lap;    /* when the part that runs now began */
  double work_done, work_total; /* FLOP, for the progress */
  GPtrArray *images;

  /* The chunk */
  int first, n;               /* its images of the request */
  int n_conditions;           /* its prompts, the null prompt included */
  gint32 *condition, *slot;   /* (R), for the transformer */
} SwittiGeneration;

/* -- time and progress --------------------------------------------------------------------------------------- */

/* Adds the time since the last lap to a part, or, with NULL, to none. */
static gboolean
lap (SwittiGeneration *self, double *part, GError **error)
{
  SwittiDevice *device = self->engine->device;
  gint64 now;
  double seconds;

  if (self->job->timed
      && !switti_device_check (
        device, switti_device_get_kernels (device)->synchronize (switti_device_get_context (device)), "synchronize",
        error))
    return FALSE;
  now = g_get_monotonic_time ();
  seconds = (double) (now - self->lap) / G_TIME_SPAN_SECOND;
  self->lap = now;
  if (part)
    *part += seconds;
  return TRUE;
}

static double
scale_work (SwittiGeneration *self, int scale)
{
  return switti_transformer_scale_flop (&self->engine->parts->transformer, scale)
         * (self->plan[scale].run_null ? 2 : 1);
}

static double
decode_work (SwittiGeneration *self)
{
  const SwittiSchedule *schedule = self->schedule;

  return switti_vae_decode_flop (&self->engine->parts->vae, schedule->side[schedule->n_scales - 1]);
}

/* Previews of the last scale are the finished pictures. */
static gboolean
wants_decode (SwittiGeneration *self, int scale)
{
  return scale < self->schedule->n_scales - 1 && switti_observer_wants_preview (self->job->observer, scale);
}

static double
total_work (SwittiGeneration *self)
{
  double work = decode_work (self);

  for (int s = 0; s < self->schedule->n_scales; s++)
    work += scale_work (self, s) + (wants_decode (self, s) ? decode_work (self) : 0);
  return work * self->parameters->count;
}

static void
report_progress (SwittiGeneration *self, double work, int scale)
{
  self->work_done += work;
  switti_observer_progress (self->job->observer, CLAMP (self->work_done / self->work_total, 0, 1), scale);
}

/* -- conditions ---------------------------------------------------------------------------------------------- */

static gboolean
encode_prompts (SwittiGeneration *self, int first_prompt, int n_prompts, GError **error)
{
  const SwittiPrompts *prompts = self->job->prompts;
  const gint32 *ids[2];
  const int *n_valid[2];

  for (int i = 0; i < 2; i++)
    {
      ids[i] = prompts->ids[i] + (gsize) first_prompt * SWITTI_TEXT_LENGTH;
      n_valid[i] = prompts->n_valid[i] + first_prompt;
    }
  if (!switti_engine_encode_text (self->engine, 0, n_prompts, ids, n_valid, error))
    return FALSE;
  if (!self->needs_null)
    return TRUE;
  for (int i = 0; i < 2; i++)
    n_valid[i] = &prompts->null_valid[i];
  return switti_engine_encode_text (self->engine, n_prompts, 1, prompts->null_ids, n_valid, error);
}

/* The second encoder's padding masks the cross-attention. */
static gboolean
set_conditions (SwittiGeneration *self, GError **error)
{
  const SwittiPrompts *prompts = self->job->prompts;
  gboolean shared = prompts->n_prompts == 1;
  int first_prompt = shared ? 0 : self->first;
  int n_prompts = shared ? 1 : self->n;
  g_autofree int *n_valid = g_new (int, n_prompts + 1);

  if (shared && self->first > 0)
    return TRUE;
  self->n_conditions = n_prompts + (self->needs_null ? 1 : 0);
  if (!encode_prompts (self, first_prompt, n_prompts, error) || !lap (self, &self->timings->text, error))
    return FALSE;
  memcpy (n_valid, prompts->n_valid[1] + first_prompt, sizeof (int) * (gsize) n_prompts);
  n_valid[n_prompts] = prompts->null_valid[1];
  return switti_transformer_run_set_conditions (self->engine->space.run, self->n_conditions, n_valid, NULL, NULL, error)
         && lap (self, &self->timings->conditions, error);
}

/* Which condition and which place in the cache each run of the transformer has: prompts' images, then null ones. */
static void
assign_runs (SwittiGeneration *self)
{
  gboolean shared = self->job->prompts->n_prompts == 1;

  for (int b = 0; b < self->n; b++)
    {
      self->condition[b] = shared ? 0 : b;
      self->slot[b] = b;
      self->condition[self->n + b] = self->n_conditions - 1;
      self->slot[self->n + b] = self->n + b;
    }
}

static gboolean
upload_seeds (SwittiGeneration *self, GError **error)
{
  SwittiDevice *device = self->engine->device;
  g_autofree guint64 *seeds = g_new (guint64, self->n);

  for (int b = 0; b < self->n; b++)
    seeds[b] = self->parameters->seed + (guint64) (self->first + b);
  SWITTI_RUN (device, upload, self->engine->space.seeds, seeds, sizeof *seeds * (gsize) self->n);
  return TRUE;
}

/* -- pictures ------------------------------------------------------------------------------------------------ */

/* The chunk's codes of scales 0 .. n_scales - 1 (host, scale after scale) to each image's own, coarse to fine. */
static GBytes *
collect_codes (SwittiGeneration *self, const gint32 *codes, int n_scales, int b)
{
  GByteArray *bytes = g_byte_array_new ();

  for (int s = 0; s < n_scales; s++)
    {
      int n = self->schedule->side[s] * self->schedule->side[s];

      g_byte_array_append (bytes, (const guint8 *) (codes + (gsize) b * (gsize) n), (guint) n * sizeof *codes);
      codes += (gsize) self->n * (gsize) n;
    }
  return g_byte_array_free_to_bytes (bytes);
}

static gsize
count_codes (SwittiGeneration *self, int n_scales)
{
  gsize count = 0;

  for (int s = 0; s < n_scales; s++)
    count += (gsize) self->n * (gsize) (self->schedule->side[s] * self->schedule->side[s]);
  return count;
}

static SwittiImage *
make_image (SwittiGeneration *self, const guint8 *rgb, const gint32 *codes, int n_scales, int b)
{
  SwittiEngine *engine = self->engine;
  gsize size = (gsize) self->side * (gsize) self->side * 3;
  SwittiImageOrigin origin = {
    .request = self->job->request,
    .bundle = engine->bundle,
    .image_index = self->first + b,
    .preview_scale = n_scales < self->schedule->n_scales ? n_scales - 1 : -1,
    .device = switti_device_get_name (engine->device),
    .precision = engine->dtype == SWITTI_DTYPE_BF16 ? "bf16" : "f32",
  };

  return switti_image_new (self->side, self->side, g_bytes_new (rgb + (gsize) b * size, size),
                           collect_codes (self, codes, n_scales, b), &origin);
}

/* Decodes f_hat as it is after n_scales scales. */
static GPtrArray *
decode_images (SwittiGeneration *self, int n_scales, GError **error)
{
  SwittiEngine *engine = self->engine;
  SwittiSpace *space = &engine->space;
  const SwittiKernels *kernels = switti_device_get_kernels (engine->device);
  SwittiKernelContext *context = switti_device_get_context (engine->device);
  int side = self->schedule->side[self->schedule->n_scales - 1];
  gsize rgb_bytes = (gsize) self->n * (gsize) self->side * (gsize) self->side * 3;
  gsize n_codes = count_codes (self, n_scales);
  g_autofree guint8 *rgb = g_malloc (rgb_bytes);
  g_autofree gint32 *codes = g_new (gint32, n_codes);
  GPtrArray *images;

  if (!switti_vae_decode (engine->vae, self->n, side, switti_pyramid_get_f_hat (space->pyramid), NULL, space->rgb,
                          self->job->cancellable, error)
      || !switti_device_check (engine->device, kernels->download (context, rgb, space->rgb, rgb_bytes), "download",
                               error)
      || !switti_device_check (engine->device,
                               kernels->download (context, codes, space->codes, sizeof *codes * n_codes), "download",
                               error))
    return NULL;
  images = g_ptr_array_new_full ((guint) self->n, g_object_unref);
  for (int b = 0; b < self->n; b++)
    g_ptr_array_add (images, make_image (self, rgb, codes, n_scales, b));
  return images;
}

static void
show_previews (SwittiGeneration *self, int scale, GPtrArray *images)
{
  for (int b = 0; b < self->n; b++)
    switti_observer_preview (self->job->observer, self->first + b, scale, g_ptr_array_index (images, b));
}

static gboolean
preview (SwittiGeneration *self, int scale, GError **error)
{
  g_autoptr (GPtrArray) images = NULL;

  if (!wants_decode (self, scale))
    return TRUE;
  images = decode_images (self, scale + 1, error);
  if (images == NULL)
    return FALSE;
  show_previews (self, scale, images);
  self->work_done += decode_work (self) * self->n;
  return lap (self, NULL, error);
}

/* -- scales -------------------------------------------------------------------------------------------------- */

static int
scale_positions (SwittiGeneration *self, int scale)
{
  return self->schedule->side[scale] * self->schedule->side[scale];
}

/* The scale's logits for the prompts, and after them for the null prompt. */
static gboolean
run_transformer (SwittiGeneration *self, int scale, GError **error)
{
  SwittiDevice *device = self->engine->device;
  SwittiSpace *space = &self->engine->space;
  gsize half = (gsize) self->n * (gsize) scale_positions (self, scale) * (gsize) self->engine->parts->vae.latent;
  gboolean run_null = self->plan[scale].run_null;
  double *transformer = &self->timings->transformer;

  if (scale > 0)
    {
      if (!switti_pyramid_next_input (space->pyramid, scale, space->input, error))
        return FALSE;
      if (run_null)
        SWITTI_RUN (device, copy, space->input + half, space->input, sizeof (float) * half);
      if (!lap (self, &self->timings->pyramid, error))
        return FALSE;
    }
  return switti_transformer_run_scale (space->run, scale, run_null ? 2 * self->n : self->n, self->condition, self->slot,
                                       scale > 0 ? space->input : NULL, space->logits, error)
         && lap (self, transformer, error);
}

static gboolean
draw (SwittiGeneration *self, int scale, gint32 *codes, GError **error)
{
  SwittiDevice *device = self->engine->device;
  SwittiSpace *space = &self->engine->space;
  const SwittiScalePlan *plan = &self->plan[scale];
  const SwittiVaeConfig *vae = &self->engine->parts->vae;
  SwittiSample sample = {
    .batch = self->n,
    .n = scale_positions (self, scale),
    .v = vae->vocab,
    .scale_index = scale,
    .guidance = plan->guidance,
    .temperature = plan->temperature,
    .top_k = self->parameters->top_k,
    .top_p = (float) self->parameters->top_p,
    .gumbel_sharpness = plan->sharpness,
    .gumbel_tau = plan->tau,
    .z = vae->latent,
  };
  const float *null_logits
    = plan->guided ? space->logits + (gsize) sample.batch * (gsize) sample.n * (gsize) sample.v : NULL;
  float *guided = self->job->trace ? space->guided : NULL;

  if (plan->smooth)
    SWITTI_RUN (device, sample_smooth, &sample, space->seeds, space->logits, null_logits,
                switti_pyramid_get_codebook (space->pyramid), NULL, guided, space->h, codes);
  else
    SWITTI_RUN (device, sample_filtered, &sample, space->seeds, space->logits, null_logits, guided, NULL, codes);
  return lap (self, &self->timings->sampling, error);
}

static gboolean
trace_scale (SwittiGeneration *self, int scale, const gint32 *codes, GError **error)
{
  SwittiDevice *device = self->engine->device;
  gsize rows = (gsize) self->n * (gsize) scale_positions (self, scale);
  gsize count = rows * (gsize) self->engine->parts->vae.vocab;
  g_autofree float *host_logits = NULL;
  g_autofree gint32 *host_codes = NULL;

  if (self->job->trace == NULL)
    return TRUE;
  host_logits = g_new (float, count);
  host_codes = g_new (gint32, rows);
  SWITTI_RUN (device, download, host_logits, self->engine->space.guided, sizeof (float) * count);
  SWITTI_RUN (device, download, host_codes, codes, sizeof (gint32) * rows);
  self->job->trace (scale, self->n, scale_positions (self, scale), host_logits, host_codes, self->job->trace_data);
  return lap (self, NULL, error);
}

static gboolean
run_scale (SwittiGeneration *self, int scale, GError **error)
{
  SwittiSpace *space = &self->engine->space;
  gint32 *codes = space->codes + count_codes (self, scale);
  gint64 began = g_get_monotonic_time ();
  gboolean good;

  if (g_cancellable_set_error_if_cancelled (self->job->cancellable, error))
    return FALSE;
  if (!run_transformer (self, scale, error) || !draw (self, scale, codes, error))
    return FALSE;
  good = self->plan[scale].smooth ? switti_pyramid_add (space->pyramid, scale, space->h, error)
                                  : switti_pyramid_add_codes (space->pyramid, scale, codes, error);
  if (!good || !lap (self, &self->timings->pyramid, error))
    return FALSE;
  self->timings->scales[scale] += (double) (self->lap - began) / G_TIME_SPAN_SECOND;
  if (!trace_scale (self, scale, codes, error) || !preview (self, scale, error))
    return FALSE;
  report_progress (self, scale_work (self, scale) * self->n, scale);
  return TRUE;
}

/* -- chunks -------------------------------------------------------------------------------------------------- */

static gboolean
run_chunk (SwittiGeneration *self, GError **error)
{
  int n_scales = self->schedule->n_scales;
  g_autoptr (GPtrArray) images = NULL;

  if (g_cancellable_set_error_if_cancelled (self->job->cancellable, error) || !set_conditions (self, error))
    return FALSE;
  assign_runs (self);
  if (!upload_seeds (self, error) || !switti_pyramid_begin (self->engine->space.pyramid, self->n, error))
    return FALSE;
  for (int s = 0; s < n_scales; s++)
    if (!run_scale (self, s, error))
      return FALSE;
  images = decode_images (self, n_scales, error);
  if (images == NULL || !lap (self, &self->timings->vae, error))
    return FALSE;
  if (switti_observer_wants_preview (self->job->observer, n_scales - 1))
    show_previews (self, n_scales - 1, images);
  for (int b = 0; b < self->n; b++)
    g_ptr_array_add (self->images, g_object_ref (g_ptr_array_index (images, b)));
  report_progress (self, decode_work (self) * self->n, n_scales);
  return TRUE;
}

/* Where the batch is ours to choose, a smaller one may fit where a larger did not. */
static gboolean
reserve (SwittiGeneration *self, GError **error)
{
  const SwittiParameters *parameters = self->parameters;
  gboolean chosen = parameters->batch > 0;
  g_autoptr (GError) local = NULL;

  self->batch = chosen ? MIN (parameters->batch, parameters->count)
                       : switti_engine_choose_batch (self->engine, parameters->count);
  for (;;)
    {
      int n_prompts = self->job->prompts->n_prompts == 1 ? 1 : self->batch;

      g_clear_error (&local);
      if (switti_engine_reserve (self->engine, self->batch, n_prompts + 1, self->needs_null, self->job->trace != NULL,
                                 &local))
        return TRUE;
      if (chosen || self->batch == 1 || !g_error_matches (local, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY))
        break;
      self->batch /= 2;
    }
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
run_chunks (SwittiGeneration *self, GError **error)
{
  if (!reserve (self, error))
    return FALSE;
  self->condition = g_new0 (gint32, 2 * self->batch);
  self->slot = g_new0 (gint32, 2 * self->batch);
  report_progress (self, 0, -1);
  self->lap = g_get_monotonic_time ();
  for (self->first = 0; self->first < self->parameters->count; self->first += self->n)
    {
      self->n = MIN (self->batch, self->parameters->count - self->first);
      if (!run_chunk (self, error))
        return FALSE;
    }
  return TRUE;
}

GPtrArray *
switti_generation_run (SwittiEngine *engine, const SwittiGenerationJob *job, SwittiTimings *timings, GError **error)
{
  const SwittiTransformerConfig *config = &engine->parts->transformer;
  gint64 began = g_get_monotonic_time ();
  SwittiGeneration self = {
    .engine = engine,
    .job = job,
    .parameters = switti_request_get_parameters (job->request),
    .timings = timings,
    .schedule = &config->schedule,
    .images = g_ptr_array_new_with_free_func (g_object_unref),
  };
  gboolean good;

  *timings = (SwittiTimings) { .n_scales = config->schedule.n_scales };
  self.side = 16 * config->schedule.side[config->schedule.n_scales - 1];
  switti_sampling_plan (self.parameters, config->ar, config->schedule.n_scales, self.plan);
  self.needs_null = switti_sampling_plan_needs_null (self.plan, config->schedule.n_scales);
  self.work_total = total_work (&self);
  good = run_chunks (&self, error);
  g_free (self.condition);
  g_free (self.slot);
  timings->total = (double) (g_get_monotonic_time () - began) / G_TIME_SPAN_SECOND;
  if (!good)
    g_clear_pointer (&self.images, g_ptr_array_unref);
  return self.images;
}
