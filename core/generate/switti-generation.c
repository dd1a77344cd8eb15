/* switti-generation.c - one call of a generator
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Images are painted in chunks of `batch`. For each chunk: text features of its prompts, what depends on them alone,
 * then scale after scale (transformer, draw, pyramid), then the VAE. A chunk whose prompt is that of the one before
 * keeps the conditions. A request with a source first paints that one again, where it is a recipe, and records its
 * scales; the guide then has them. Letters: switti-engine-private.h.
 */
#include "switti-generation-private.h"

#include "switti-error.h"
#include "switti-guide-private.h"
#include "switti-image-private.h"
#include "switti-sampling-plan-private.h"
#include "switti-source-private.h"

#include <glib/gi18n-lib.h>

typedef struct _SwittiGeneration SwittiGeneration;
struct _SwittiGeneration
{
  SwittiEngine *engine;
  const SwittiGenerationJob *job;
  const SwittiParameters *parameters;
  SwittiTimings *timings;
  SwittiScalePlan plan[SWITTI_MAX_SCALES];
  const SwittiSchedule *schedule;
  gboolean needs_null;
  int n_painted; /* scales to paint */
  int batch;     /* images of a full chunk */
  int side;      /* of the pictures, pixels */
  gint64 lap;    /* when the part that runs now began */
  double work_done, work_total; /* FLOP, for the progress */
  GPtrArray *images;
  gboolean asynchronous; /* the device works on its own: the host goes a scale ahead of it */
  int decoding;          /* which of the space's two is to be used next */
  int shown_scale;       /* the scale whose preview is being decoded in the other one; -1 for none */
  SwittiGuide *guide;      /* NULL: nothing is kept */
  SwittiRecord *record;    /* NULL, or what is painted is recorded in place of being decoded */
  SwittiGeneration *outer; /* whose source is painted; NULL where none is */

  /* The chunk */
  int first, n;               /* its images of the request */
  int n_conditions;           /* its prompts, the null prompt included */
  gint32 *condition, *slot;   /* (R), for the transformer */
};

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
  const SwittiScalePlan *plan = &self->plan[scale];

  return switti_transformer_scale_flop (&self->engine->parts->transformer, scale)
         * (plan->run ? (plan->run_null ? 2 : 1) : 0);
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
  return scale < self->n_painted - 1 && switti_observer_wants_preview (self->job->observer, scale);
}

static double
total_work (SwittiGeneration *self)
{
  double work = self->record ? 0 : decode_work (self);

  for (int s = 0; s < self->n_painted; s++)
    work += scale_work (self, s) + (wants_decode (self, s) ? decode_work (self) : 0);
  return work * self->parameters->count;
}

/* To its listeners a source is a part of what is prepared. */
static void
report_progress (SwittiGeneration *self, double work, int scale)
{
  for (; self->outer; self = self->outer)
    scale = -1;
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
  if (!encode_prompts (self, first_prompt, n_prompts, error))
    return FALSE;
  switti_engine_release_text (self->engine);
  if (!lap (self, &self->timings->text, error))
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

/* Of all runs, at any scale: then the scales have nothing to tell the device. */
static gboolean
upload_runs (SwittiGeneration *self, GError **error)
{
  return switti_transformer_run_assign (self->engine->space.run, self->needs_null ? 2 * self->n : self->n,
                                        self->condition, self->slot, error);
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

/* Codes of scales 0 .. n_scales - 1 to the host, scale after scale, as they were when the decoding was started. */
static gboolean
download_codes (SwittiGeneration *self, SwittiDecoding *decoding, int n_scales, gint32 *codes, GError **error)
{
  return switti_decoding_download (decoding, codes, self->engine->space.codes,
                                   sizeof *codes * count_codes (self, n_scales), error)
         && (self->guide == NULL
             || switti_guide_merge_codes (self->guide, decoding, self->n, n_scales, codes, error));
}

/* What is to be decoded. */
static const float *
finish_latent (SwittiGeneration *self, GError **error)
{
  return self->guide ? switti_guide_finish (self->guide, self->n, error)
                     : switti_pyramid_get_f_hat (self->engine->space.pyramid);
}

/* Starts to decode f_hat as it is now. */
static gboolean
start_images (SwittiGeneration *self, GError **error)
{
  SwittiEngine *engine = self->engine;
  int side = self->schedule->side[self->schedule->n_scales - 1];
  const float *latent = finish_latent (self, error);

  return latent != NULL
         && switti_decoding_start (&engine->space.decodings[self->decoding], engine->vae, self->n, side, latent,
                                   self->job->cancellable, error);
}

/* The pictures of one of the space's decodings, which was started after n_scales scales. */
static GPtrArray *
finish_images (SwittiGeneration *self, int which, int n_scales, GError **error)
{
  SwittiDecoding *decoding = &self->engine->space.decodings[which];
  gsize rgb_bytes = (gsize) self->n * (gsize) self->side * (gsize) self->side * 3;
  g_autofree guint8 *rgb = g_malloc (rgb_bytes);
  g_autofree gint32 *codes = g_new (gint32, count_codes (self, n_scales));
  GPtrArray *images;

  if (!switti_decoding_finish (decoding, rgb, rgb_bytes, error)
      || !download_codes (self, decoding, n_scales, codes, error))
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

/* Shows the preview of `scale`, if there is one (-1: no), which is being decoded in the space's decoding `which`. */
static gboolean
show_decoded (SwittiGeneration *self, int which, int scale, GError **error)
{
  g_autoptr (GPtrArray) images = NULL;

  if (scale < 0)
    return TRUE;
  images = finish_images (self, which, scale + 1, error);
  if (images == NULL)
    return FALSE;
  show_previews (self, scale, images);
  self->work_done += decode_work (self) * self->n;
  return lap (self, NULL, error);
}

/* A preview is decoded while the next scale runs, which is enqueued before the host waits for the picture. */
static gboolean
preview (SwittiGeneration *self, int scale, GError **error)
{
  int before = self->shown_scale, which = self->decoding;

  self->shown_scale = -1;
  if (!wants_decode (self, scale))
    return show_decoded (self, 1 - which, before, error);
  if (!start_images (self, error))
    return FALSE;
  if (!self->asynchronous)
    return show_decoded (self, which, scale, error);
  self->shown_scale = scale;
  self->decoding = 1 - which;
  return show_decoded (self, self->decoding, before, error);
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

  if (!self->plan[scale].run)
    return TRUE;
  if (scale > 0)
    {
      if (!switti_pyramid_next_input (space->pyramid, scale, space->input, error))
        return FALSE;
      if (run_null)
        SWITTI_RUN (device, copy, space->input + half, space->input, sizeof (float) * half);
      if (!lap (self, &self->timings->pyramid, error))
        return FALSE;
    }
  if (!switti_transformer_run_scale (space->run, scale, run_null ? 2 * self->n : self->n, self->condition, self->slot,
                                     scale > 0 ? space->input : NULL, space->logits, error))
    return FALSE;
  switti_transformer_run_count_launches (space->run, &self->timings->block_kernels, &self->timings->block_products);
  return lap (self, transformer, error);
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

  if (self->job->trace == NULL || self->plan[scale].kept)
    return TRUE;
  host_logits = g_new (float, count);
  host_codes = g_new (gint32, rows);
  SWITTI_RUN (device, download, host_logits, self->engine->space.guided, sizeof (float) * count);
  SWITTI_RUN (device, download, host_codes, codes, sizeof (gint32) * rows);
  self->job->trace (scale, self->n, scale_positions (self, scale), host_logits, host_codes, self->job->trace_data);
  return lap (self, NULL, error);
}

/* The first image's scale, into the record. */
static gboolean
record_scale (SwittiGeneration *self, int scale, const gint32 *codes, GError **error)
{
  SwittiDevice *device = self->engine->device;
  SwittiRecord *record = self->record;
  gsize n = (gsize) scale_positions (self, scale), z = (gsize) self->engine->parts->vae.latent;
  gsize offset = switti_record_offset (self->schedule, scale);

  if (record == NULL)
    return TRUE;
  SWITTI_RUN (device, download, record->vectors + offset * z, self->engine->space.h, sizeof (float) * n * z);
  SWITTI_RUN (device, download, record->codes + offset, codes, sizeof (gint32) * n);
  record->n_scales = scale + 1;
  return TRUE;
}

/* The scale's vectors into h: drawn, kept, or some of both. */
static gboolean
choose_vectors (SwittiGeneration *self, int scale, gint32 *codes, GError **error)
{
  SwittiSpace *space = &self->engine->space;

  if (self->plan[scale].kept)
    return switti_guide_take (self->guide, self->n, scale, space->h, codes, error);
  if (!draw (self, scale, codes, error))
    return FALSE;
  if (!self->plan[scale].smooth && !switti_pyramid_look_up (space->pyramid, scale, codes, space->h, error))
    return FALSE;
  return self->guide == NULL || !switti_guide_is_masked (self->guide)
         || switti_guide_blend (self->guide, self->n, scale, space->h, error);
}

/* Waits until the scale before the last enqueued one is done: the device has always one to work on, and progress and
 * cancelling are true to within a scale. Says which scale is done, -1 for none. */
static gboolean
keep_pace (SwittiGeneration *self, int scale, int *done, GError **error)
{
  SwittiDevice *device = self->engine->device;
  SwittiKernelEvent **reached = self->engine->space.reached;

  *done = scale;
  if (!self->asynchronous)
    return TRUE;
  SWITTI_RUN (device, event_record, reached[scale % 2]);
  *done = scale - 1;
  if (scale > 0)
    SWITTI_RUN (device, event_synchronize, reached[(scale - 1) % 2]);
  return TRUE;
}

static gboolean
run_scale (SwittiGeneration *self, int scale, GError **error)
{
  int done;
  SwittiSpace *space = &self->engine->space;
  gint32 *codes = space->codes + count_codes (self, scale);
  gint64 began = g_get_monotonic_time ();

  if (g_cancellable_set_error_if_cancelled (self->job->cancellable, error))
    return FALSE;
  if (!run_transformer (self, scale, error) || !choose_vectors (self, scale, codes, error)
      || !record_scale (self, scale, codes, error) || !switti_pyramid_add (space->pyramid, scale, space->h, error)
      || !lap (self, &self->timings->pyramid, error))
    return FALSE;
  self->timings->scales[scale] += (double) (self->lap - began) / G_TIME_SPAN_SECOND;
  if (!trace_scale (self, scale, codes, error) || !keep_pace (self, scale, &done, error)
      || !preview (self, scale, error))
    return FALSE;
  if (done >= 0)
    report_progress (self, scale_work (self, done) * self->n, done);
  return TRUE;
}

/* -- chunks -------------------------------------------------------------------------------------------------- */

/* Whether the transformer runs at all. */
static gboolean
needs_conditions (SwittiGeneration *self)
{
  for (int s = 0; s < self->n_painted; s++)
    if (self->plan[s].run)
      return TRUE;
  return FALSE;
}

/* Of the scale that was not yet done when all were enqueued. */
static double
last_work (SwittiGeneration *self)
{
  return self->asynchronous ? scale_work (self, self->n_painted - 1) : 0;
}

/* The last preview, then the finished pictures. */
static GPtrArray *
finish_chunk (SwittiGeneration *self, GError **error)
{
  int which = self->decoding, before = self->shown_scale;

  self->shown_scale = -1;
  if (!start_images (self, error) || !show_decoded (self, 1 - which, before, error))
    return NULL;
  return finish_images (self, which, self->n_painted, error);
}

static gboolean
run_chunk (SwittiGeneration *self, GError **error)
{
  int n_scales = self->n_painted;
  g_autoptr (GPtrArray) images = NULL;

  if (g_cancellable_set_error_if_cancelled (self->job->cancellable, error)
      || (needs_conditions (self) && !set_conditions (self, error)))
    return FALSE;
  assign_runs (self);
  if (!upload_runs (self, error) || !upload_seeds (self, error)
      || !switti_pyramid_begin (self->engine->space.pyramid, self->n, error))
    return FALSE;
  for (int s = 0; s < n_scales; s++)
    if (!run_scale (self, s, error))
      return FALSE;
  if (self->record)
    {
      /* The record's downloads have waited for the last scale. */
      if (self->asynchronous)
        report_progress (self, last_work (self) * self->n, self->n_painted - 1);
      return TRUE;
    }
  images = finish_chunk (self, error);
  if (images == NULL || !lap (self, &self->timings->vae, error))
    return FALSE;
  if (switti_observer_wants_preview (self->job->observer, n_scales - 1))
    show_previews (self, n_scales - 1, images);
  for (int b = 0; b < self->n; b++)
    g_ptr_array_add (self->images, g_object_ref (g_ptr_array_index (images, b)));
  report_progress (self, (decode_work (self) + last_work (self)) * self->n, self->schedule->n_scales);
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

/* -- the source ---------------------------------------------------------------------------------------------- */

static gboolean run_generation (SwittiGeneration *self, GError **error);

/* The nested recipe's request. */
static SwittiRequest *
open_recipe (SwittiGeneration *self, SwittiSource *source, GError **error)
{
  SwittiBundle *bundle = self->engine->bundle;
  g_autoptr (SwittiRequest) request = switti_request_new (bundle);
  g_autofree char *stated = switti_source_dup_model_hash (source);
  g_autofree char *hash = stated ? switti_bundle_hash (bundle, self->job->cancellable, error) : NULL;

  if (stated && hash == NULL)
    return NULL;
  if (stated && !g_str_equal (stated, hash))
    {
      g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                           _ ("The picture to start from was painted with another model; choose that one, or start "
                              "from the picture's pixels."));
      return NULL;
    }
  if (!switti_request_apply_json (request, switti_source_get_recipe (source), error))
    return NULL;
  g_object_set (request, "count", 1, "batch", 1, NULL);
  return switti_request_validate (request, bundle, error) ? g_steal_pointer (&request) : NULL;
}

/* Paints the source's first n_scales scales again and records them. */
static SwittiRecord *
replay_recipe (SwittiGeneration *self, SwittiSource *source, int n_scales, GError **error)
{
  g_autoptr (SwittiRequest) request = open_recipe (self, source, error);
  g_autoptr (SwittiRecord) record = switti_record_new (&self->engine->parts->vae);
  SwittiObserver observer = { 0 };
  SwittiTimings timings;
  SwittiTextPrompts text;
  SwittiGenerationJob job = {
    .request = request,
    .prompts = &text.prompts,
    .cancellable = self->job->cancellable,
    .observer = &observer,
  };
  SwittiGeneration replay = {
    .engine = self->engine,
    .job = &job,
    .timings = &timings,
    .record = record,
    .outer = self,
  };

  if (request == NULL)
    return NULL;
  g_object_set (request, "stop-scale", n_scales, NULL);
  switti_text_prompts_init (&text, self->engine->parts, switti_request_get_parameters (request));
  return run_generation (&replay, error) ? g_steal_pointer (&record) : NULL;
}

/* Codes' vectors are those of the codebook. */
static SwittiRecord *
look_up_codes (SwittiGeneration *self, GBytes *codes, GError **error)
{
  SwittiEngine *engine = self->engine;
  const SwittiKernels *kernels = switti_device_get_kernels (engine->device);
  SwittiKernelContext *context = switti_device_get_context (engine->device);
  const SwittiVaeConfig *vae = &engine->parts->vae;
  g_autoptr (SwittiRecord) record = switti_record_new (vae);
  gsize count = (gsize) vae->vocab * (gsize) vae->latent, z = (gsize) vae->latent;
  g_autofree float *codebook = g_new (float, count);

  if (!switti_device_check (engine->device,
                            kernels->download (context, codebook, switti_pyramid_get_codebook (engine->space.pyramid),
                                               sizeof *codebook * count),
                            "download", error))
    return NULL;
  memcpy (record->codes, g_bytes_get_data (codes, NULL), g_bytes_get_size (codes));
  for (gsize i = 0; i < g_bytes_get_size (codes) / sizeof (gint32); i++)
    memcpy (record->vectors + i * z, codebook + (gsize) record->codes[i] * z, sizeof (float) * z);
  record->n_scales = self->schedule->n_scales;
  return g_steal_pointer (&record);
}

/* Scales that the source has to have. */
static int
count_needed (SwittiGeneration *self)
{
  const SwittiParameters *parameters = self->parameters;
  int n_scales = self->schedule->n_scales;

  if (parameters->source == NULL)
    return 0;
  return parameters->mask ? n_scales : switti_parameters_count_kept (parameters, n_scales);
}

/* A recipe is painted before there is space for this request, codes are looked up with it. */
static gboolean
prepare (SwittiGeneration *self, GError **error)
{
  const SwittiParameters *parameters = self->parameters;
  int n_needed = count_needed (self);
  SwittiSource *source = n_needed > 0 ? switti_source_resolve (parameters->source, n_needed) : NULL;
  GBytes *codes = source ? switti_source_get_codes (source) : NULL;
  g_autoptr (SwittiRecord) record = NULL;

  if (source && codes == NULL && (record = replay_recipe (self, source, n_needed, error)) == NULL)
    return FALSE;
  if (!reserve (self, error))
    return FALSE;
  if (codes && (record = look_up_codes (self, codes, error)) == NULL)
    return FALSE;
  if (record == NULL)
    return TRUE;
  self->guide = switti_guide_new (self->engine, self->batch, record,
                                  parameters->mask ? g_bytes_get_data (parameters->mask, NULL) : NULL, error);
  return self->guide != NULL;
}

static gboolean
run_chunks (SwittiGeneration *self, GError **error)
{
  report_progress (self, 0, -1);
  if (!prepare (self, error))
    return FALSE;
  self->condition = g_new0 (gint32, 2 * self->batch);
  self->slot = g_new0 (gint32, 2 * self->batch);
  self->lap = g_get_monotonic_time ();
  for (self->first = 0; self->first < self->parameters->count; self->first += self->n)
    {
      self->n = MIN (self->batch, self->parameters->count - self->first);
      if (!run_chunk (self, error))
        return FALSE;
    }
  return TRUE;
}

/* With engine, job, timings and, where there is one, record and outer set. */
static gboolean
run_generation (SwittiGeneration *self, GError **error)
{
  const SwittiTransformerConfig *config = &self->engine->parts->transformer;
  const SwittiSchedule *schedule = &config->schedule;
  const SwittiKernels *kernels = switti_device_get_kernels (self->engine->device);
  SwittiKernelContext *context = switti_device_get_context (self->engine->device);
  gint64 began = g_get_monotonic_time ();
  SwittiKernelLaunches before, after;
  gboolean good;

  kernels->count_launches (context, &before);
  *self->timings = (SwittiTimings) { .n_scales = schedule->n_scales };
  self->parameters = switti_request_get_parameters (self->job->request);
  self->schedule = schedule;
  self->images = g_ptr_array_new_with_free_func (g_object_unref);
  self->asynchronous = switti_device_is_asynchronous (self->engine->device);
  self->shown_scale = -1;
  self->side = 16 * schedule->side[schedule->n_scales - 1];
  self->n_painted = switti_parameters_count_painted (self->parameters, schedule->n_scales);
  switti_sampling_plan (self->parameters, config->ar, schedule->n_scales, self->plan);
  self->needs_null = switti_sampling_plan_needs_null (self->plan, schedule->n_scales);
  self->work_total = total_work (self);
  for (SwittiGeneration *outer = self->outer; outer; outer = outer->outer)
    outer->work_total += self->work_total;
  good = run_chunks (self, error);
  /* What was given up is not to be found running by the next. */
  if (!good)
    kernels->synchronize (context);
  kernels->count_launches (context, &after);
  self->timings->other_launches = (int) (after.others - before.others);
  g_clear_pointer (&self->guide, switti_guide_free);
  g_free (self->condition);
  g_free (self->slot);
  self->timings->total = (double) (g_get_monotonic_time () - began) / G_TIME_SPAN_SECOND;
  if (!good || self->record)
    g_clear_pointer (&self->images, g_ptr_array_unref);
  return good;
}

GPtrArray *
switti_generation_run (SwittiEngine *engine, const SwittiGenerationJob *job, SwittiTimings *timings, GError **error)
{
  SwittiGeneration self = { .engine = engine, .job = job, .timings = timings };

  run_generation (&self, error);
  return self.images;
}

void
switti_text_prompts_init (SwittiTextPrompts *self, const SwittiBundleParts *parts, const SwittiParameters *parameters)
{
  self->prompts = (SwittiPrompts) { .n_prompts = 1 };
  for (int i = 0; i < 2; i++)
    {
      self->n_valid[i] = switti_tokenizer_encode_padded (parts->tokenizer[i], parameters->prompt, self->ids[i]);
      self->null_valid[i]
        = switti_tokenizer_encode_padded (parts->tokenizer[i], parameters->negative_prompt, self->null_ids[i]);
      self->prompts.ids[i] = self->ids[i];
      self->prompts.n_valid[i] = &self->n_valid[i];
      self->prompts.null_ids[i] = self->null_ids[i];
      self->prompts.null_valid[i] = self->null_valid[i];
    }
}
