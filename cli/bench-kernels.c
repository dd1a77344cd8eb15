/* bench-kernels.c - `switti bench --kernels`: how fast each op is here, at the shapes of a model
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Bytes and operations are the least that each op must move and do; shares are of what a copy and the best large
 * product reach in the same run.
 */
#include "bench-kernels.h"

#include "cli.h"
#include "kernel-run.h"
#include "profile-report.h"
#include "switti-error.h"
#include "switti-generator.h"

#include <glib/gi18n.h>

#define SECONDS_PER_KERNEL 0.05

typedef struct
{
  const CliRuntime *runtime;
  char **names;
  gboolean list_only;

  SwittiDtype dtype;
  SwittiDevice *device; /* NULL: list_only */
  double copy_gbytes, product_gflops;
  JsonObject *report;
} Bench;

/* -- shapes ---------------------------------------------------------------------------------------------------- */

static const char *
dtype_name (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_BF16 ? "bf16" : "f32";
}

static void
set_gemm (JsonObject *object, const BenchKernel *kernel)
{
  const SwittiGemm *g = &kernel->gemm;

  json_object_set_int_member (object, "m", g->m);
  json_object_set_int_member (object, "n", g->n);
  json_object_set_int_member (object, "k", g->k);
  json_object_set_int_member (object, "groups", g->m / g->row_group);
  json_object_set_string_member (object, "a", dtype_name (g->a_dtype));
  json_object_set_string_member (object, "b", dtype_name (g->b_dtype));
  json_object_set_string_member (object, "d", dtype_name (g->d_dtype));
  json_object_set_boolean_member (object, "bias", kernel->has_bias);
  json_object_set_boolean_member (object, "activation", g->activation != SWITTI_ACTIVATION_NONE);
  json_object_set_boolean_member (object, "accumulate", g->accumulate);
}

static void
set_conv (JsonObject *object, const SwittiConv *c)
{
  json_object_set_int_member (object, "batch", c->batch);
  json_object_set_int_member (object, "side", c->height);
  json_object_set_int_member (object, "c_in", c->c_in);
  json_object_set_int_member (object, "c_out", c->c_out);
  json_object_set_int_member (object, "kernel", c->kernel);
  json_object_set_boolean_member (object, "upsample", c->upsample);
  json_object_set_string_member (object, "x", dtype_name (c->x_dtype));
}

static void
set_attention (JsonObject *object, const SwittiAttention *a)
{
  json_object_set_int_member (object, "batch", a->batch);
  json_object_set_int_member (object, "heads", a->heads);
  json_object_set_int_member (object, "d", a->d);
  json_object_set_int_member (object, "n", a->n);
  json_object_set_int_member (object, "m", a->m);
}

/* (rows, width) of what is left. */
static void
set_map (JsonObject *object, const BenchKernel *kernel)
{
  gint64 rows = kernel->map.rows, width = kernel->map.width;

  switch (kernel->op)
    {
    case BENCH_RESIDUAL_NORM:
    case BENCH_RESIDUAL_NORM_BACKWARD:
    case BENCH_LAYER_NORM:
      rows = kernel->norm.batch * kernel->norm.n;
      width = kernel->norm.c;
      break;
    case BENCH_QK_NORM_ROPE:
    case BENCH_QK_NORM_ROPE_BACKWARD:
      rows = kernel->rope.batch * kernel->rope.n;
      width = kernel->rope.heads * kernel->rope.d;
      break;
    case BENCH_GROUP_NORM:
      rows = kernel->group_norm.positions;
      width = kernel->group_norm.channels;
      break;
    case BENCH_RESAMPLE:
      rows = kernel->resample.batch * kernel->resample.out_height * kernel->resample.out_width;
      width = kernel->resample.channels;
      break;
    case BENCH_SAMPLE_FILTERED:
    case BENCH_SAMPLE_SMOOTH:
      rows = kernel->sample.batch * kernel->sample.n;
      width = kernel->sample.v;
      break;
    default:
      break;
    }
  json_object_set_int_member (object, "rows", rows);
  json_object_set_int_member (object, "width", width);
}

static JsonObject *
describe (const BenchKernel *kernel)
{
  JsonObject *object = json_object_new (), *shape = json_object_new ();
  g_autofree char *words = bench_kernel_describe (kernel);

  if (kernel->op == BENCH_GEMM)
    set_gemm (shape, kernel);
  else if (kernel->op == BENCH_CONV)
    set_conv (shape, &kernel->conv);
  else if (kernel->op == BENCH_ATTENTION || kernel->op == BENCH_ATTENTION_BACKWARD)
    set_attention (shape, &kernel->attention);
  else
    set_map (shape, kernel);
  json_object_set_string_member (object, "op", bench_kernel_get_op_name (kernel));
  json_object_set_string_member (object, "part", kernel->part);
  json_object_set_string_member (object, "role", kernel->role);
  json_object_set_int_member (object, "scale", kernel->scale);
  json_object_set_int_member (object, "calls", kernel->calls);
  json_object_set_string_member (object, "words", words);
  json_object_set_object_member (object, "shape", shape);
  json_object_set_double_member (object, "flop", kernel->flop);
  json_object_set_double_member (object, "bytes", kernel->bytes);
  return object;
}

/* -- measuring ------------------------------------------------------------------------------------------------- */

static gboolean
open_device (Bench *self, GError **error)
{
  int precision;

  if (!cli_parse_precision (self->runtime->dtype, &precision, error))
    return FALSE;
  self->dtype = precision == SWITTI_PRECISION_F32 ? SWITTI_DTYPE_F32 : SWITTI_DTYPE_BF16;
  if (self->list_only)
    return TRUE;
  self->device = switti_device_new (self->runtime->device != NULL ? self->runtime->device : "auto",
                                    self->runtime->n_threads, error);
  if (self->device == NULL)
    return FALSE;
  if (precision == SWITTI_PRECISION_AUTO && !switti_device_has_fast_bf16 (self->device))
    self->dtype = SWITTI_DTYPE_F32;
  return TRUE;
}

static void
measure_ceilings (Bench *self)
{
  const double product = bench_measure_product (self->device, self->dtype);

  self->copy_gbytes = MAX (self->copy_gbytes, bench_measure_copy (self->device));
  self->product_gflops = MAX (self->product_gflops, product);
}

/* FALSE where it must end; a kernel that has no room, or no op, is reported as such. */
static gboolean
measure_kernel (Bench *self, const BenchKernel *kernel, JsonObject *object, double *seconds, GError **error)
{
  g_autoptr (GError) failure = NULL;
  BenchTime time;

  if (bench_kernel_time (kernel, self->device, SECONDS_PER_KERNEL, &time, &failure))
    {
      json_object_set_int_member (object, "runs", time.n_runs);
      json_object_set_double_member (object, "us", time.seconds * 1e6);
      json_object_set_boolean_member (object, "cudnn", time.by_library);
      json_object_set_double_member (object, "gbytes_per_s", time.bytes / time.seconds * 1e-9);
      json_object_set_double_member (object, "gflops", time.flop / time.seconds * 1e-9);
      *seconds += time.seconds * kernel->calls;
      return TRUE;
    }
  if (!g_error_matches (failure, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY)
      && !g_error_matches (failure, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED))
    {
      g_propagate_error (error, g_steal_pointer (&failure));
      return FALSE;
    }
  json_object_set_string_member (object, "error", failure->message);
  return TRUE;
}

/* Once both ceilings have been measured twice. */
static void
set_shares (const Bench *self, JsonArray *kernels)
{
  for (guint i = 0; i < json_array_get_length (kernels); i++)
    {
      JsonObject *object = json_array_get_object_element (kernels, i);

      if (!json_object_has_member (object, "us"))
        continue;
      if (self->copy_gbytes > 0)
        json_object_set_double_member (object, "copy_share",
                                       json_object_get_double_member (object, "gbytes_per_s") / self->copy_gbytes);
      if (self->product_gflops > 0)
        json_object_set_double_member (object, "product_share",
                                       json_object_get_double_member (object, "gflops") / self->product_gflops);
    }
}

static gboolean
report_work (Bench *self, const char *name, JsonArray *works, GCancellable *cancellable, GError **error)
{
  g_autoptr (GArray) kernels = NULL;
  JsonObject *object;
  JsonArray *array;
  double seconds = 0;
  BenchWork work;

  if (!bench_work_parse (name, &work, error))
    return FALSE;
  work.dtype = self->dtype;
  kernels = bench_kernels_list (&work);
  object = json_object_new ();
  array = json_array_new ();
  json_array_add_object_element (works, object);
  json_object_set_string_member (object, "name", name);
  json_object_set_int_member (object, "images", work.images);
  json_object_set_int_member (object, "tokens",
                              work.images * switti_schedule_length (&work.transformer.schedule));
  json_object_set_boolean_member (object, "training", work.training);
  json_object_set_array_member (object, "kernels", array);
  for (guint i = 0; i < kernels->len; i++)
    {
      const BenchKernel *kernel = &g_array_index (kernels, BenchKernel, i);
      JsonObject *row = describe (kernel);

      json_array_add_object_element (array, row);
      if (self->list_only)
        continue;
      cli_progress_show ((double) i / kernels->len, bench_kernel_get_op_name (kernel));
      if (g_cancellable_set_error_if_cancelled (cancellable, error)
          || !measure_kernel (self, kernel, row, &seconds, error))
        return FALSE;
    }
  if (!self->list_only)
    json_object_set_double_member (object, "sum_ms", seconds * 1e3);
  return TRUE;
}

static void
finish_report (Bench *self, JsonArray *works)
{
  json_object_set_string_member (self->report, "dtype", dtype_name (self->dtype));
  if (self->list_only)
    return;
  measure_ceilings (self);
  json_object_set_string_member (self->report, "device", switti_device_get_name (self->device));
  json_object_set_string_member (self->report, "device_description", switti_device_get_description (self->device));
  json_object_set_int_member (self->report, "threads", switti_device_get_n_threads (self->device));
  json_object_set_double_member (self->report, "copy_gbytes_per_s", self->copy_gbytes);
  json_object_set_double_member (self->report, "product_gflops", self->product_gflops);
  for (guint i = 0; i < json_array_get_length (works); i++)
    set_shares (self, json_object_get_array_member (json_array_get_object_element (works, i), "kernels"));
}

static gboolean
measure (GCancellable *cancellable, gpointer data, GError **error)
{
  Bench *self = data;
  JsonArray *works = json_array_new ();

  self->report = json_object_new ();
  json_object_set_array_member (self->report, "works", works);
  if (!open_device (self, error))
    return FALSE;
  if (!self->list_only)
    measure_ceilings (self);
  for (char **name = self->names; *name != NULL; name++)
    if (!report_work (self, *name, works, cancellable, error))
      return FALSE;
  finish_report (self, works);
  return TRUE;
}

int
cli_bench_kernels (const CliRuntime *runtime, const char *names, gboolean list_only)
{
  Bench self = { .runtime = runtime, .names = g_strsplit (names, ",", -1), .list_only = list_only };
  const int status = cli_run (measure, &self);

  cli_progress_hide ();
  if (status == CLI_SUCCESS)
    cli_print_json (g_steal_pointer (&self.report));
  g_clear_pointer (&self.report, json_object_unref);
  g_clear_object (&self.device);
  g_strfreev (self.names);
  return status;
}
