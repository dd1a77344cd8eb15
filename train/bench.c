/* bench.c - `switti-train bench`: how fast a training is here
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Whole steps of the transformer, gradients and optimizer, on made-up codes and text features. The share is the
 * operations that a training has to do (those of the forward computation three times, whatever is computed again),
 * divided by time and by what the machine's best large product reaches in the same run (bench/ceiling.c).
 */
#include "switti-build-config.h"

#include "cli.h"
#include "kernel-run.h"
#include "profile-report.h"
#include "switti-device-private.h"
#include "switti-error.h"
#include "switti-random-private.h"
#include "switti-training-product-private.h"
#include "switti-transformer-private.h"
#include "train.h"

#include <glib/gi18n.h>
#include <sys/resource.h>
#include <time.h>

typedef struct
{
  SwittiTrainingOptions options;
  int n_runs, n_warmup, vocab, latent, context_dim, pooled_dim;

  SwittiTransformerConfig config;
  SwittiDtype dtype;
  SwittiDevice *device;
  SwittiParameters *parameters;
  SwittiGradients *gradients;
  SwittiOptimizer *optimizer;
  float *latents;
  gint32 *codes;
  int *n_valid;
  SwittiTrainingBatch batch;
  gsize bytes, other_bytes; /* with recomputing as asked, and otherwise */
  double ceiling_gflops;
  double *seconds;     /* (n_runs) */
  double *cpu_seconds; /* (n_runs): of all threads */
  SwittiKernelProfile profile[SWITTI_KERNEL_N_OPS];
} Bench;

static void
bench_clear (Bench *self)
{
  switti_training_options_clear (&self->options);
  switti_optimizer_free (self->optimizer);
  switti_gradients_free (self->gradients);
  switti_parameters_free (self->parameters);
  g_clear_object (&self->device);
  g_free (self->latents);
  g_free (self->codes);
  g_free (self->n_valid);
  g_free (self->seconds);
  g_free (self->cpu_seconds);
}

/* -- making ---------------------------------------------------------------------------------------------------- */

static gboolean
make_config (Bench *self, GError **error)
{
  const SwittiModelSizes sizes = { .vocab = self->vocab, .latent = self->latent, .context_dim = self->context_dim,
                                   .pooled_dim = self->pooled_dim };

  return switti_training_options_make_config (&self->options, &sizes, &self->config, error);
}

/* Codes and latents that nothing can be learned from. */
static void
make_batch (Bench *self)
{
  const SwittiRandom random = switti_random_new (self->options.seed, "bench");
  const gsize length = (gsize) switti_schedule_length (&self->config.schedule), b = (gsize) self->options.bs;
  const gsize n_latents = b * (length - 1) * (gsize) self->config.latent;

  self->latents = g_new (float, n_latents);
  self->codes = g_new (gint32, b * length);
  self->n_valid = g_new (int, b);
  switti_random_truncated_normal (&random, 1, 4, n_latents, self->latents);
  for (gsize i = 0; i < b * length; i++)
    {
      guint32 words[4];

      switti_random_words (&random, i, 1, words);
      self->codes[i] = (gint32) (words[0] % (guint32) self->config.vocab);
    }
  for (gsize i = 0; i < b; i++)
    self->n_valid[i] = 20;
  self->batch = (SwittiTrainingBatch){ self->latents, self->codes, self->n_valid, NULL, NULL };
}

static gboolean
upload_text (Bench *self, GError **error)
{
  const SwittiRandom random = switti_random_new (self->options.seed, "text");
  const gsize b = (gsize) self->options.bs, n_pooled = b * (gsize) self->pooled_dim;
  const gsize n_context = b * SWITTI_TEXT_LENGTH * (gsize) self->context_dim;
  g_autofree float *values = g_new (float, MAX (n_context, n_pooled));

  switti_random_truncated_normal (&random, 1, 4, MAX (n_context, n_pooled), values);
  SWITTI_RUN (self->device, upload, switti_gradients_get_context (self->gradients), values,
              n_context * sizeof (float));
  SWITTI_RUN (self->device, upload, switti_gradients_get_pooled (self->gradients), values, n_pooled * sizeof (float));
  return TRUE;
}

static gboolean
make_gradients (Bench *self, GError **error)
{
  SwittiGradientsOptions options = {
    .batch = self->options.bs,
    .recompute = !self->options.use_gradient_checkpointing,
    .smoothing = self->options.ls,
    .loss_rows = self->options.loss_rows,
  };

  /* Once the other way, for its size: memory that is not touched costs nothing. */
  self->gradients = switti_gradients_new (self->parameters, &self->config, &options, error);
  if (self->gradients == NULL)
    return FALSE;
  self->other_bytes = switti_gradients_get_bytes (self->gradients);
  switti_gradients_free (g_steal_pointer (&self->gradients));
  options.recompute = self->options.use_gradient_checkpointing;
  self->gradients = switti_gradients_new (self->parameters, &self->config, &options, error);
  if (self->gradients == NULL)
    return FALSE;
  self->bytes = switti_gradients_get_bytes (self->gradients);
  return upload_text (self, error);
}

static gboolean
make (Bench *self, GError **error)
{
  const SwittiOptimizerOptions adamw = { .beta1 = self->options.adam_beta1, .beta2 = self->options.adam_beta2,
                                         .eps = 1e-8, .clip = self->options.tclip, .average_decay = self->options.ema };

  if (!make_config (self, error))
    return FALSE;
  self->dtype = switti_training_options_get_dtype (&self->options);
  self->device = switti_device_new (self->options.device != NULL ? self->options.device : "auto",
                                    self->options.threads, error);
  if (self->device == NULL)
    return FALSE;
  self->parameters = switti_transformer_parameters_new (self->device, &self->config, self->dtype, error);
  if (self->parameters == NULL || !switti_parameters_initialise (self->parameters, self->options.seed, 0, error))
    return FALSE;
  self->optimizer = switti_optimizer_new (self->parameters, &adamw, error);
  make_batch (self);
  return self->optimizer != NULL && make_gradients (self, error);
}

/* -- measuring --------------------------------------------------------------------------------------------------- */

/* Of this process so far: what others on the machine do does not count. */
static double
get_cpu_seconds (void)
{
  struct timespec now;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

static gboolean
take_step (Bench *self, double *seconds, double *cpu_seconds, GError **error)
{
  const gint64 began = g_get_monotonic_time ();
  const double cpu_began = get_cpu_seconds ();
  const float *values = switti_gradients_get_values (self->gradients);
  SwittiTrainingLoss loss;
  double norm;

  if (!switti_gradients_clear (self->gradients, error)
      || !switti_gradients_add (self->gradients, &self->batch, 1, &loss, error)
      || !switti_optimizer_measure (self->optimizer, values, &norm, error)
      || !switti_optimizer_step (self->optimizer, values, norm, self->options.tblr, self->options.twd, error))
    return FALSE;
  *seconds = (double) (g_get_monotonic_time () - began) / G_TIME_SPAN_SECOND;
  *cpu_seconds = get_cpu_seconds () - cpu_began;
  return TRUE;
}

static void
measure_ceiling (Bench *self)
{
  const double gflops = bench_measure_product (self->device, switti_training_activations (self->dtype));

  self->ceiling_gflops = MAX (self->ceiling_gflops, gflops);
}

static gboolean
measure (Bench *self, GError **error)
{
  const SwittiKernels *kernels;
  SwittiKernelContext *context;
  double seconds, cpu_seconds;
  gboolean good;

  if (!make (self, error))
    return FALSE;
  self->seconds = g_new (double, self->n_runs);
  self->cpu_seconds = g_new (double, self->n_runs);
  for (int i = 0; i < self->n_warmup; i++)
    if (!take_step (self, &seconds, &cpu_seconds, error))
      return FALSE;
  /* Before and after what it is compared with: a shared machine is not equally fast all the time. */
  measure_ceiling (self);
  for (int i = 0; i < self->n_runs; i++)
    {
      cli_progress_show ((double) i / self->n_runs, _ ("Measuring"));
      if (!take_step (self, &self->seconds[i], &self->cpu_seconds[i], error))
        return FALSE;
    }
  measure_ceiling (self);
  kernels = switti_device_get_kernels (self->device);
  context = switti_device_get_context (self->device);
  kernels->profile_reset (context, true);
  good = take_step (self, &seconds, &cpu_seconds, error);
  kernels->profile_read (context, self->profile);
  kernels->profile_reset (context, false);
  cli_progress_hide ();
  return good;
}

/* -- the report ------------------------------------------------------------------------------------------------- */

static double
step_flop (Bench *self)
{
  double flop = switti_transformer_condition_flop (&self->config);

  for (int s = 0; s < self->config.schedule.n_scales; s++)
    flop += switti_transformer_scale_flop (&self->config, s);
  return 3 * self->options.bs * flop;
}

static void
report_speed (Bench *self, JsonObject *object)
{
  const double tokens = (double) (self->options.bs * switti_schedule_length (&self->config.schedule));
  const double median = cli_median (self->seconds, self->n_runs);

  json_object_set_double_member (object, "step_ms", median * 1e3);
  json_object_set_double_member (object, "step_ms_min", self->seconds[0] * 1e3);
  json_object_set_double_member (object, "step_ms_max", self->seconds[self->n_runs - 1] * 1e3);
  json_object_set_double_member (object, "step_cpu_ms", cli_median (self->cpu_seconds, self->n_runs) * 1e3);
  json_object_set_double_member (object, "tokens_per_s", tokens / median);
  json_object_set_double_member (object, "step_gflop", step_flop (self) * 1e-9);
  json_object_set_double_member (object, "ceiling_gflops", self->ceiling_gflops);
  json_object_set_double_member (object, "share", step_flop (self) / median / (self->ceiling_gflops * 1e9));
}

static void
report_memory (Bench *self, JsonObject *object)
{
  const gboolean recompute = self->options.use_gradient_checkpointing;
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);
  json_object_set_int_member (object, "bytes_without_recompute",
                              (gint64) (recompute ? self->other_bytes : self->bytes));
  json_object_set_int_member (object, "bytes_with_recompute", (gint64) (recompute ? self->bytes : self->other_bytes));
  json_object_set_int_member (object, "peak_bytes", (gint64) switti_device_get_peak_bytes (self->device));
  json_object_set_int_member (object, "peak_resident_bytes", (gint64) usage.ru_maxrss * 1024);
}

static void
print_report (Bench *self)
{
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "device_description", switti_device_get_description (self->device));
  json_object_set_int_member (object, "threads", switti_device_get_n_threads (self->device));
  json_object_set_string_member (object, "dtype",
                                 self->dtype == SWITTI_DTYPE_BF16  ? "bf16"
                                 : self->dtype == SWITTI_DTYPE_F16 ? "f16"
                                                                   : "f32");
  json_object_set_int_member (object, "depth", self->config.depth);
  json_object_set_int_member (object, "width", self->config.width);
  json_object_set_int_member (object, "resolution", self->config.resolution);
  json_object_set_int_member (object, "batch", self->options.bs);
  json_object_set_boolean_member (object, "recompute", self->options.use_gradient_checkpointing);
  json_object_set_int_member (object, "runs", self->n_runs);
  report_speed (self, object);
  report_memory (self, object);
  json_object_set_array_member (object, "profile", cli_report_profile (self->profile));
  cli_print_json (object);
}

int
train_bench (int argc, char **argv)
{
  Bench self = { .n_runs = 5, .n_warmup = 1, .vocab = 4096, .latent = 32, .context_dim = 2048, .pooled_dim = 1280 };
  const GOptionEntry own[] = {
    { "runs", 0, 0, G_OPTION_ARG_INT, &self.n_runs, N_ ("Steps to measure (default: 5)"), N_ ("N") },
    { "warmup", 0, 0, G_OPTION_ARG_INT, &self.n_warmup, N_ ("Steps before them (default: 1)"), N_ ("N") },
    { "vocab", 0, 0, G_OPTION_ARG_INT, &self.vocab, N_ ("Codes of the VAE (default: 4096)"), N_ ("N") },
    { "context-dim", 0, 0, G_OPTION_ARG_INT, &self.context_dim, N_ ("Width of the text (default: 2048)"), N_ ("N") },
    { "pooled-dim", 0, 0, G_OPTION_ARG_INT, &self.pooled_dim, N_ ("Of the pooled text (default: 1280)"), N_ ("N") },
    { NULL },
  };
  const TrainCommand command = {
    .name = "switti-train bench",
    .summary = N_ ("Measures how fast the transformer is trained here, and says it as JSON."),
    .description = N_ ("It takes the options of a training; what concerns data and output changes nothing.\n\n"
                       "Example:\n  switti-train bench --depth 8 --embed-dim 512 --pn 256 --bs 8 --fp16 2"),
    .own = own,
  };
  g_autoptr (GError) error = NULL;
  int status = TRAIN_SUCCESS;

  if (!train_parse_options (&self.options, &command, argc, argv))
    status = TRAIN_USAGE;
  else if (self.n_runs < 1 || self.n_warmup < 0 || self.vocab < 2 || self.context_dim < 1 || self.pooled_dim < 1)
    {
      cli_report (_ ("--runs, --vocab, --context-dim and --pooled-dim must be above 0, and --warmup not below it."));
      status = TRAIN_USAGE;
    }
  else if (measure (&self, &error))
    print_report (&self);
  else
    {
      cli_report (error->message);
      status = TRAIN_FAILURE;
    }
  bench_clear (&self);
  return status;
}
