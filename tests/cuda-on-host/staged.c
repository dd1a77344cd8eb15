/* staged.c - an op table for tests of single ops, on a device that has memory of its own
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One function an op, as the table has it: the operands go to the device, the op runs, and comes back. A new op is
 * added here, too (CONTRIBUTING.md); what has no operands of its own (contexts, plans, streams) is the device's.
 */
#include "staged-private.h"

#include "table-on-host.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "switti-kernels-cuda.so"
#define ENTRY "switti_kernels_cuda"
#define MAX_ALLOCATIONS 4096

static struct
{
  char *memory;
  size_t bytes;
} allocations[MAX_ALLOCATIONS];

/* -- memory ---------------------------------------------------------------------------------------------------- */

bool
staged_is_device (const void *memory)
{
  const char *at = memory;

  for (size_t i = 0; i < MAX_ALLOCATIONS; i++)
    if (allocations[i].memory != NULL && allocations[i].memory <= at
        && at < allocations[i].memory + allocations[i].bytes)
      return true;
  return false;
}

static SwittiKernelStatus
stage_alloc (SwittiKernelContext *context, size_t bytes, void **memory)
{
  const SwittiKernelStatus status = staged_device->alloc (context, bytes, memory);

  for (size_t i = 0; i < MAX_ALLOCATIONS && status == SWITTI_KERNEL_OK; i++)
    if (allocations[i].memory == NULL)
      {
        allocations[i].memory = *memory;
        allocations[i].bytes = bytes > 0 ? bytes : 1;
        return status;
      }
  return status != SWITTI_KERNEL_OK ? status : SWITTI_KERNEL_OUT_OF_MEMORY;
}

static void
stage_free (SwittiKernelContext *context, void *memory)
{
  for (size_t i = 0; i < MAX_ALLOCATIONS && memory != NULL; i++)
    if (allocations[i].memory == memory)
      allocations[i].memory = NULL;
  staged_device->free (context, memory);
}

static SwittiKernelStatus
stage_copy (SwittiKernelContext *context, void *dst, const void *src, size_t bytes)
{
  STAGED_BEGIN (call, context, dst, src);
  return staged_finish (&call, staged_device->copy (context, AT (dst), AT (src), bytes));
}

static SwittiKernelStatus
stage_clear (SwittiKernelContext *context, void *dst, size_t bytes)
{
  STAGED_BEGIN (call, context, dst);
  return staged_finish (&call, staged_device->clear (context, AT (dst), bytes));
}

/* -- products -------------------------------------------------------------------------------------------------- */

static SwittiKernelStatus
stage_gemm_pack (SwittiKernelContext *context, int64_t n, int64_t k, SwittiDtype b_dtype, SwittiDtype src_dtype,
                 const void *src, int64_t ldb, void *packed)
{
  STAGED_BEGIN (call, context, packed);
  return staged_finish (&call,
                        staged_device->gemm_pack (context, n, k, b_dtype, src_dtype, src, ldb, AT (packed)));
}

static SwittiKernelStatus
stage_gemm (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a, const void *b, const float *bias,
            void *d)
{
  STAGED_BEGIN (call, context, a, b, bias, d);
  return staged_finish (&call, staged_device->gemm (context, plan, AT (a), AT (b), AT (bias), AT (d)));
}

static SwittiKernelStatus
stage_conv_pack (SwittiKernelContext *context, const SwittiConv *conv, SwittiDtype src_dtype, const void *src,
                 void *packed)
{
  STAGED_BEGIN (call, context, packed);
  return staged_finish (&call, staged_device->conv_pack (context, conv, src_dtype, src, AT (packed)));
}

static SwittiKernelStatus
stage_conv (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x, const void *packed,
            const float *bias, const void *residual, void *d)
{
  STAGED_BEGIN (call, context, x, packed, bias, residual, d);
  return staged_finish (
      &call, staged_device->conv (context, plan, AT (x), AT (packed), AT (bias), AT (residual), AT (d)));
}

/* -- transformer ----------------------------------------------------------------------------------------------- */

static SwittiKernelStatus
stage_residual_norm (SwittiKernelContext *context, const SwittiResidualNorm *norm, const int32_t *group_index, float *x,
                     const void *y, const float *post_weight, const float *gate, const float *pre_weight,
                     const float *scale, const float *shift, void *h)
{
  STAGED_BEGIN (call, context, group_index, x, y, post_weight, gate, pre_weight, scale, shift, h);
  return staged_finish (&call, staged_device->residual_norm (context, norm, AT (group_index), AT (x), AT (y),
                                                             AT (post_weight), AT (gate), AT (pre_weight), AT (scale),
                                                             AT (shift), AT (h)));
}

static SwittiKernelStatus
stage_layer_norm (SwittiKernelContext *context, const SwittiLayerNorm *norm, const int32_t *group_index, float *x,
                  const void *y, const float *weight, const float *bias, const float *scale, const float *shift,
                  void *h)
{
  STAGED_BEGIN (call, context, group_index, x, y, weight, bias, scale, shift, h);
  return staged_finish (&call,
                        staged_device->layer_norm (context, norm, AT (group_index), AT (x), AT (y), AT (weight),
                                                   AT (bias), AT (scale), AT (shift), AT (h)));
}

static SwittiKernelStatus
stage_qk_norm_rope (SwittiKernelContext *context, const SwittiQkNormRope *op, const float *rope, const void *q,
                    const void *k, const void *v, void *q_out, void *k_out, void *v_out)
{
  STAGED_BEGIN (call, context, rope, q, k, v, q_out, k_out, v_out);
  return staged_finish (&call, staged_device->qk_norm_rope (context, op, AT (rope), AT (q), AT (k), AT (v), AT (q_out),
                                                            AT (k_out), AT (v_out)));
}

static SwittiKernelStatus
stage_attention (SwittiKernelContext *context, const SwittiAttention *attention, const int32_t *group_index,
                 const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  STAGED_BEGIN (call, context, group_index, key_length, q, k, v, out);
  return staged_finish (&call, staged_device->attention (context, attention, AT (group_index), AT (key_length), AT (q),
                                                         AT (k), AT (v), AT (out)));
}

static SwittiKernelStatus
stage_swiglu (SwittiKernelContext *context, int64_t rows, int64_t hidden, SwittiDtype dtype, const void *gate_up,
              int64_t in_stride, void *out, int64_t out_stride)
{
  STAGED_BEGIN (call, context, gate_up, out);
  return staged_finish (&call, staged_device->swiglu (context, rows, hidden, dtype, AT (gate_up), in_stride, AT (out),
                                                      out_stride));
}

static SwittiKernelStatus
stage_silu_condition (SwittiKernelContext *context, int64_t batch, int64_t width, const float *c, const float *crop,
                      const float *crop_scales, SwittiDtype out_dtype, void *out)
{
  STAGED_BEGIN (call, context, c, crop, crop_scales, out);
  return staged_finish (&call, staged_device->silu_condition (context, batch, width, AT (c), AT (crop),
                                                              AT (crop_scales), out_dtype, AT (out)));
}

static SwittiKernelStatus
stage_add_rows (SwittiKernelContext *context, int64_t batch, int64_t n, int64_t width, const float *x,
                int64_t x_image_stride, const float *rows, float *out)
{
  STAGED_BEGIN (call, context, x, rows, out);
  return staged_finish (
      &call, staged_device->add_rows (context, batch, n, width, AT (x), x_image_stride, AT (rows), AT (out)));
}

static SwittiKernelStatus
stage_embed (SwittiKernelContext *context, int64_t rows, int64_t width, int64_t entries, SwittiDtype table_dtype,
             const void *table, const int32_t *ids, const float *positions, int64_t period, float *out)
{
  STAGED_BEGIN (call, context, table, ids, positions, out);
  return staged_finish (&call, staged_device->embed (context, rows, width, entries, table_dtype, AT (table), AT (ids),
                                                     AT (positions), period, AT (out)));
}

/* -- latent, VAE, images --------------------------------------------------------------------------------------- */

static SwittiKernelStatus
stage_resample (SwittiKernelContext *context, const SwittiResample *resample, const void *in, void *out)
{
  STAGED_BEGIN (call, context, in, out);
  return staged_finish (&call, staged_device->resample (context, resample, AT (in), AT (out)));
}

static SwittiKernelStatus
stage_accumulate (SwittiKernelContext *context, int64_t count, float a, const float *x, float b, const float *y,
                  float *out)
{
  STAGED_BEGIN (call, context, x, y, out);
  return staged_finish (&call, staged_device->accumulate (context, count, a, AT (x), b, AT (y), AT (out)));
}

static SwittiKernelStatus
stage_blend_rows (SwittiKernelContext *context, int64_t batch, int64_t n, int64_t width, const float *weights,
                  const float *x, const float *y, float *out)
{
  STAGED_BEGIN (call, context, weights, x, y, out);
  return staged_finish (
      &call, staged_device->blend_rows (context, batch, n, width, AT (weights), AT (x), AT (y), AT (out)));
}

static SwittiKernelStatus
stage_group_norm (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x, const float *weight,
                  const float *bias, void *scratch, void *y)
{
  STAGED_BEGIN (call, context, x, weight, bias, scratch, y);
  return staged_finish (
      &call, staged_device->group_norm (context, norm, AT (x), AT (weight), AT (bias), AT (scratch), AT (y)));
}

static SwittiKernelStatus
stage_convert (SwittiKernelContext *context, int64_t count, SwittiDtype in_dtype, const void *in, SwittiDtype out_dtype,
               void *out)
{
  STAGED_BEGIN (call, context, in, out);
  return staged_finish (&call, staged_device->convert (context, count, in_dtype, AT (in), out_dtype, AT (out)));
}

static SwittiKernelStatus
stage_image_to_rgb8 (SwittiKernelContext *context, int64_t pixels, SwittiDtype x_dtype, const void *x, uint8_t *rgb)
{
  STAGED_BEGIN (call, context, x, rgb);
  return staged_finish (&call, staged_device->image_to_rgb8 (context, pixels, x_dtype, AT (x), AT (rgb)));
}

static SwittiKernelStatus
stage_rgb8_to_image (SwittiKernelContext *context, int64_t pixels, const uint8_t *rgb, SwittiDtype x_dtype, void *x)
{
  STAGED_BEGIN (call, context, rgb, x);
  return staged_finish (&call, staged_device->rgb8_to_image (context, pixels, AT (rgb), x_dtype, AT (x)));
}

static SwittiKernelStatus
stage_nearest_code (SwittiKernelContext *context, int64_t rows, int64_t v, int64_t z, bool cosine, const float *f,
                    const float *codebook, int32_t *codes)
{
  STAGED_BEGIN (call, context, f, codebook, codes);
  return staged_finish (
      &call, staged_device->nearest_code (context, rows, v, z, cosine, AT (f), AT (codebook), AT (codes)));
}

/* -- sampling -------------------------------------------------------------------------------------------------- */

static SwittiKernelStatus
stage_sample_filtered (SwittiKernelContext *context, const SwittiSample *sample, const uint64_t *seeds,
                       const float *prompt, const float *null_logits, float *guided, float *filtered, int32_t *codes)
{
  STAGED_BEGIN (call, context, seeds, prompt, null_logits, guided, filtered, codes);
  return staged_finish (&call,
                        staged_device->sample_filtered (context, sample, AT (seeds), AT (prompt), AT (null_logits),
                                                        AT (guided), AT (filtered), AT (codes)));
}

static SwittiKernelStatus
stage_sample_smooth (SwittiKernelContext *context, const SwittiSample *sample, const uint64_t *seeds,
                     const float *prompt, const float *null_logits, const float *codebook, const float *gumbel,
                     float *guided, float *h, int32_t *codes)
{
  STAGED_BEGIN (call, context, seeds, prompt, null_logits, codebook, gumbel, guided, h, codes);
  return staged_finish (&call, staged_device->sample_smooth (context, sample, AT (seeds), AT (prompt),
                                                             AT (null_logits), AT (codebook), AT (gumbel), AT (guided),
                                                             AT (h), AT (codes)));
}

/* -- tables ---------------------------------------------------------------------------------------------------- */

static const SwittiKernels *
stage_table (const SwittiKernels *device)
{
  static SwittiKernels table;

  if (staged_device == device)
    return &table;
  staged_device = device;
  table = *device;
  table.alloc = stage_alloc;
  table.free = stage_free;
  table.copy = stage_copy;
  table.clear = stage_clear;
  table.gemm_pack = stage_gemm_pack;
  table.gemm = stage_gemm;
  table.conv_pack = stage_conv_pack;
  table.conv = stage_conv;
  table.residual_norm = stage_residual_norm;
  table.layer_norm = stage_layer_norm;
  table.qk_norm_rope = stage_qk_norm_rope;
  table.attention = stage_attention;
  table.swiglu = stage_swiglu;
  table.silu_condition = stage_silu_condition;
  table.add_rows = stage_add_rows;
  table.embed = stage_embed;
  table.resample = stage_resample;
  table.accumulate = stage_accumulate;
  table.blend_rows = stage_blend_rows;
  table.group_norm = stage_group_norm;
  table.convert = stage_convert;
  table.image_to_rgb8 = stage_image_to_rgb8;
  table.rgb8_to_image = stage_rgb8_to_image;
  table.nearest_code = stage_nearest_code;
  table.sample_filtered = stage_sample_filtered;
  table.sample_smooth = stage_sample_smooth;
  staged_fill_training (&table);
  return &table;
}

static const SwittiKernels *
load_module (void)
{
  typedef const SwittiKernels *(*TableFunc) (void);
  const char *folder = getenv ("SWITTI_MODULE_PATH");
  char path[4096];
  void *module, *entry = NULL;

  snprintf (path, sizeof path, "%s%s%s", folder != NULL ? folder : "", folder != NULL ? "/" : "", MODULE);
  module = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  if (module != NULL)
    entry = dlsym (module, ENTRY);
  if (entry == NULL)
    {
      fprintf (stderr, "The CUDA module could not be loaded (%s): set SWITTI_MODULE_PATH to its folder.\n", dlerror ());
      exit (1);
    }
  printf ("# on the CUDA module %s\n", path);
  fflush (stdout);
  return ((TableFunc) entry) ();
}

const SwittiKernels *
switti_kernels_under_test (void)
{
  const char *wanted = getenv ("SWITTI_TEST_CUDA");
  static const SwittiKernels *module;

  if (wanted == NULL || *wanted == '\0')
    return switti_kernels_cuda_eager ();
  if (strcmp (wanted, "module") == 0)
    {
      if (module == NULL)
        module = load_module ();
      return stage_table (module);
    }
  return stage_table (switti_kernels_cuda_shuffled (1));
}
