/* dispatch.c - a device's op table: checks the arguments, calls the op, keeps the profile
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The bytes and operations that the profile adds up are those that the header states for each op: what must move and
 * be done at least, not what the implementation happens to do.
 *
 * Compiled once for each device: see dispatch-private.h.
 */
#include "dispatch-private.h"

/* Dimensions beyond this are refused: products of three sizes must not overflow. */
#define MAX_DIMENSION ((int64_t) 1 << 30)

/* -- products -------------------------------------------------------------------------------------------------- */

static bool
gemm_dtypes_are_valid (const SwittiGemm *g)
{
  if (g->a_dtype == SWITTI_DTYPE_F16 || g->b_dtype == SWITTI_DTYPE_F16)
    return g->a_dtype == g->b_dtype && g->d_dtype == SWITTI_DTYPE_F32 && !g->b_packed;
  return is_float (g->a_dtype) && is_float (g->b_dtype) && is_float (g->d_dtype);
}

static bool
gemm_is_valid (const SwittiGemm *g)
{
  if (g->m < 1 || g->n < 1 || g->k < 1 || g->m > MAX_DIMENSION || g->n > MAX_DIMENSION || g->k > MAX_DIMENSION)
    return false;
  if (g->row_group < 1 || g->m % g->row_group != 0)
    return false;
  if (!gemm_dtypes_are_valid (g))
    return false;
  if (g->lda < (g->a_is_km ? g->m : g->k) || g->ldd < g->n)
    return false;
  if (!g->b_packed && g->ldb < (g->b_is_kn ? g->n : g->k))
    return false;
  if (g->b_packed && g->b_is_kn)
    return false;
  if (g->accumulate && (g->d_dtype != SWITTI_DTYPE_F32 || g->activation != SWITTI_ACTIVATION_NONE))
    return false;
  return g->activation >= SWITTI_ACTIVATION_NONE && g->activation <= SWITTI_ACTIVATION_GELU_TANH;
}

static SwittiKernelStatus
dispatch_gemm_plan (SwittiKernelContext *context, const SwittiGemm *gemm, SwittiGemmPlan **plan)
{
  context->error[0] = '\0';
  if (plan == NULL || gemm == NULL || !gemm_is_valid (gemm))
    return DEVICE (fail) (context, SWITTI_KERNEL_INVALID, "gemm_plan: a shape or dtype outside its contract");
  *plan = NULL;
  return DEVICE (gemm_plan) (context, gemm, plan);
}

static SwittiKernelStatus
dispatch_gemm (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a, const void *b,
               const float *bias, void *d)
{
  Call call = begin (context, SWITTI_KERNEL_OP_GEMM, "gemm");
  const SwittiGemm *g;
  double m, n, k;

  if (plan == NULL || a == NULL || b == NULL || d == NULL)
    return invalid (&call);
  g = DEVICE (gemm_descriptor) (plan);
  m = (double) g->m;
  n = (double) g->n;
  k = (double) g->k;
  return end (&call, DEVICE (gemm) (context, plan, a, b, bias, d), 2.0 * m * n * k,
              m * k * size (g->a_dtype) + n * k * size (g->b_dtype)
                  + m * n * size (g->d_dtype) * (g->accumulate ? 2.0 : 1.0));
}

static size_t
dispatch_conv_packed_bytes (SwittiKernelContext *context, const SwittiConv *conv)
{
  return conv_is_valid (conv) ? DEVICE (conv_packed_bytes) (context, conv) : 0;
}

static SwittiKernelStatus
dispatch_conv_pack (SwittiKernelContext *context, const SwittiConv *conv, SwittiDtype src_dtype, const void *src,
                    void *packed)
{
  Call call = begin (context, SWITTI_KERNEL_OP_CONV, "conv_pack");
  SwittiKernelStatus status = SWITTI_KERNEL_INVALID;

  if (conv_is_valid (conv) && src != NULL && packed != NULL && (is_float (src_dtype) || src_dtype == SWITTI_DTYPE_F16))
    status = DEVICE (conv_pack) (context, conv, src_dtype, src, packed);
  return status == SWITTI_KERNEL_INVALID ? invalid (&call) : status;
}

static SwittiKernelStatus
dispatch_conv_plan (SwittiKernelContext *context, const SwittiConv *conv, SwittiConvPlan **plan)
{
  Call call = begin (context, SWITTI_KERNEL_OP_CONV, "conv_plan");
  SwittiKernelStatus status = SWITTI_KERNEL_INVALID;

  if (plan != NULL)
    *plan = NULL;
  if (plan != NULL && conv_is_valid (conv))
    status = DEVICE (conv_plan) (context, conv, plan);
  return status == SWITTI_KERNEL_INVALID ? invalid (&call) : status;
}

static SwittiKernelStatus
dispatch_conv (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x, const void *packed,
               const float *bias, const void *residual, void *d)
{
  Call call = begin (context, SWITTI_KERNEL_OP_CONV, "conv");
  const SwittiConv *c;
  double scale, in, out, taps, height, width;

  if (plan == NULL || x == NULL || packed == NULL || d == NULL)
    return invalid (&call);
  c = DEVICE (conv_descriptor) (plan);
  if (c->residual != (residual != NULL))
    return invalid (&call);
  scale = c->upsample ? 2.0 : 1.0;
  height = (double) (((int64_t) (scale * (double) c->height) + c->pad_top + c->pad_bottom - c->kernel) / c->stride + 1);
  width = (double) (((int64_t) (scale * (double) c->width) + c->pad_left + c->pad_right - c->kernel) / c->stride + 1);
  taps = (double) (c->kernel * c->kernel);
  in = (double) (c->batch * c->height * c->width * c->c_in);
  out = (double) (c->batch * c->c_out) * height * width;
  return end (&call, DEVICE (conv) (context, plan, x, packed, bias, residual, d), 2.0 * out * (double) c->c_in * taps,
              in * size (c->x_dtype) + (double) (c->c_in * c->c_out) * taps * size (c->w_dtype)
                  + out * size (c->d_dtype) * (c->residual ? 2.0 : 1.0));
}

/* -- transformer ----------------------------------------------------------------------------------------------- */

static bool
norm_is_valid (const SwittiResidualNorm *norm, const void *x)
{
  return norm != NULL && x != NULL && norm->batch >= 1 && norm->n >= 1 && norm->c >= 1 && is_float (norm->y_dtype)
         && is_float (norm->h_dtype);
}

static double
norm_bytes (const SwittiResidualNorm *norm, const void *y, const void *h)
{
  double elements = (double) (norm->batch * norm->n * norm->c);

  return elements * ((y != NULL ? 8.0 + size (norm->y_dtype) : 4.0) + (h != NULL ? size (norm->h_dtype) : 0.0));
}

static SwittiKernelStatus
dispatch_residual_norm (SwittiKernelContext *context, const SwittiResidualNorm *norm, const int32_t *group_index,
                        float *x, const void *y, const float *post_weight, const float *gate, const float *pre_weight,
                        const float *scale, const float *shift, void *h)
{
  Call call = begin (context, SWITTI_KERNEL_OP_NORM, "residual_norm");

  if (!norm_is_valid (norm, x))
    return invalid (&call);
  return end (&call,
              context->ops.residual_norm (context, norm, group_index, x, y, post_weight, gate, pre_weight, scale,
                                          shift, h),
              0.0, norm_bytes (norm, y, h));
}

static SwittiKernelStatus
dispatch_layer_norm (SwittiKernelContext *context, const SwittiLayerNorm *norm, const int32_t *group_index, float *x,
                     const void *y, const float *weight, const float *bias, const float *scale, const float *shift,
                     void *h)
{
  Call call = begin (context, SWITTI_KERNEL_OP_NORM, "layer_norm");

  if (!norm_is_valid (norm, x))
    return invalid (&call);
  return end (&call, context->ops.layer_norm (context, norm, group_index, x, y, weight, bias, scale, shift, h), 0.0,
              norm_bytes (norm, y, h));
}

static SwittiKernelStatus
dispatch_qk_norm_rope (SwittiKernelContext *context, const SwittiQkNormRope *op, const float *rope, const void *q,
                       const void *k, const void *v, void *q_out, void *k_out, void *v_out)
{
  Call call = begin (context, SWITTI_KERNEL_OP_QK_NORM_ROPE, "qk_norm_rope");
  double tensors;

  if (op == NULL || op->batch < 1 || op->n < 1 || op->heads < 1 || op->d < 1 || !is_float (op->dtype) || q == NULL
      || q_out == NULL || (k == NULL) != (k_out == NULL) || (v == NULL) != (v_out == NULL)
      || (rope != NULL && op->d % 2 != 0))
    return invalid (&call);
  tensors = 1.0 + (k != NULL) + (v != NULL);
  return end (&call, context->ops.qk_norm_rope (context, op, rope, q, k, v, q_out, k_out, v_out), 0.0,
              2.0 * tensors * size (op->dtype) * (double) (op->batch * op->n * op->heads * op->d));
}

static bool
attention_is_valid (const SwittiAttention *a)
{
  return a != NULL && a->batch >= 1 && a->heads >= 1 && a->d >= 1 && a->n >= 1 && a->m >= 1 && is_float (a->dtype);
}

static SwittiKernelStatus
dispatch_attention (SwittiKernelContext *context, const SwittiAttention *attention, const int32_t *group_index,
                    const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ATTENTION, "attention");
  const SwittiAttention *a = attention;
  double width;

  if (!attention_is_valid (a) || q == NULL || k == NULL || v == NULL || out == NULL)
    return invalid (&call);
  width = (double) (a->batch * a->heads * a->d);
  return end (&call, context->ops.attention (context, a, group_index, key_length, q, k, v, out),
              4.0 * width * (double) a->n * (double) a->m, 2.0 * width * (double) (a->n + a->m) * size (a->dtype));
}

#if defined(SWITTI_DISPATCH_CUDA)
static SwittiKernelStatus
dispatch_attention_plan (SwittiKernelContext *context, const SwittiAttention *attention)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ATTENTION, "attention_plan");

  if (!attention_is_valid (attention))
    return invalid (&call);
  return context->ops.attention_plan (context, attention);
}
#endif

static SwittiKernelStatus
dispatch_swiglu (SwittiKernelContext *context, int64_t rows, int64_t hidden, SwittiDtype dtype, const void *gate_up,
                 int64_t in_stride, void *out, int64_t out_stride)
{
  Call call = begin (context, SWITTI_KERNEL_OP_SWIGLU, "swiglu");

  if (rows < 1 || hidden < 1 || !is_float (dtype) || gate_up == NULL || out == NULL || in_stride < 2 * hidden
      || out_stride < hidden)
    return invalid (&call);
  return end (&call, context->ops.swiglu (context, rows, hidden, dtype, gate_up, in_stride, out, out_stride), 0.0,
              3.0 * size (dtype) * (double) (rows * hidden));
}

/* -- element-wise ---------------------------------------------------------------------------------------------- */

static SwittiKernelStatus
dispatch_silu_condition (SwittiKernelContext *context, int64_t batch, int64_t width, const float *c, const float *crop,
                         const float *crop_scales, SwittiDtype out_dtype, void *out)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "silu_condition");

  if (batch < 1 || width < 1 || c == NULL || out == NULL || (crop == NULL) != (crop_scales == NULL)
      || !is_float (out_dtype))
    return invalid (&call);
  return end (&call, context->ops.silu_condition (context, batch, width, c, crop, crop_scales, out_dtype, out), 0.0,
              ((crop != NULL ? 8.0 : 4.0) + size (out_dtype)) * (double) (batch * width));
}

static SwittiKernelStatus
dispatch_add_rows (SwittiKernelContext *context, int64_t batch, int64_t n, int64_t width, const float *x,
                   int64_t x_image_stride, const float *rows, float *out)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "add_rows");

  if (batch < 1 || n < 1 || width < 1 || x == NULL || rows == NULL || out == NULL || x_image_stride < 0)
    return invalid (&call);
  return end (&call, context->ops.add_rows (context, batch, n, width, x, x_image_stride, rows, out), 0.0,
              4.0 * (double) (n * width) * (2.0 * (double) batch + 1.0));
}

static SwittiKernelStatus
dispatch_embed (SwittiKernelContext *context, int64_t rows, int64_t width, int64_t entries, SwittiDtype table_dtype,
                const void *table, const int32_t *ids, const float *positions, int64_t period, float *out)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "embed");

  if (rows < 1 || width < 1 || entries < 1 || !is_float (table_dtype) || table == NULL || ids == NULL || out == NULL
      || (positions != NULL && period < 1))
    return invalid (&call);
  return end (&call,
              context->ops.embed (context, rows, width, entries, table_dtype, table, ids, positions, period, out), 0.0,
              (4.0 + size (table_dtype)) * (double) (rows * width));
}

static SwittiKernelStatus
dispatch_accumulate (SwittiKernelContext *context, int64_t count, float a, const float *x, float b, const float *y,
                     float *out)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "accumulate");

  if (count < 1 || x == NULL || out == NULL)
    return invalid (&call);
  return end (&call, context->ops.accumulate (context, count, a, x, b, y, out), 0.0,
              (y != NULL ? 16.0 : 12.0) * (double) count);
}

static SwittiKernelStatus
dispatch_blend_rows (SwittiKernelContext *context, int64_t batch, int64_t n, int64_t width, const float *weights,
                     const float *x, const float *y, float *out)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "blend_rows");

  if (batch < 1 || n < 1 || width < 1 || weights == NULL || x == NULL || out == NULL)
    return invalid (&call);
  return end (&call, context->ops.blend_rows (context, batch, n, width, weights, x, y, out), 0.0,
              (y != NULL ? 12.0 : 8.0) * (double) (batch * n * width) + 4.0 * (double) n);
}

static SwittiKernelStatus
dispatch_convert (SwittiKernelContext *context, int64_t count, SwittiDtype in_dtype, const void *in,
                  SwittiDtype out_dtype, void *out)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "convert");

  if (count < 1 || in == NULL || out == NULL)
    return invalid (&call);
  return end (&call, context->ops.convert (context, count, in_dtype, in, out_dtype, out), 0.0,
              (size (in_dtype) + size (out_dtype)) * (double) count);
}

static SwittiKernelStatus
dispatch_image_to_rgb8 (SwittiKernelContext *context, int64_t pixels, SwittiDtype x_dtype, const void *x, uint8_t *rgb)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "image_to_rgb8");

  if (pixels < 1 || !is_float (x_dtype) || x == NULL || rgb == NULL)
    return invalid (&call);
  return end (&call, context->ops.image_to_rgb8 (context, pixels, x_dtype, x, rgb), 0.0,
              3.0 * (size (x_dtype) + 1.0) * (double) pixels);
}

static SwittiKernelStatus
dispatch_rgb8_to_image (SwittiKernelContext *context, int64_t pixels, const uint8_t *rgb, SwittiDtype x_dtype, void *x)
{
  Call call = begin (context, SWITTI_KERNEL_OP_ELEMENTWISE, "rgb8_to_image");

  if (pixels < 1 || !is_float (x_dtype) || x == NULL || rgb == NULL)
    return invalid (&call);
  return end (&call, context->ops.rgb8_to_image (context, pixels, rgb, x_dtype, x), 0.0,
              3.0 * (size (x_dtype) + 1.0) * (double) pixels);
}

/* -- latent and VAE -------------------------------------------------------------------------------------------- */

static SwittiKernelStatus
dispatch_resample (SwittiKernelContext *context, const SwittiResample *resample, const void *in, void *out)
{
  Call call = begin (context, SWITTI_KERNEL_OP_RESAMPLE, "resample");
  const SwittiResample *r = resample;

  if (r == NULL || r->batch < 1 || r->channels < 1 || r->in_height < 1 || r->in_width < 1 || r->out_height < 1
      || r->out_width < 1 || !is_float (r->dtype) || in == NULL || out == NULL)
    return invalid (&call);
  return end (&call, context->ops.resample (context, r, in, out), 0.0,
              size (r->dtype) * (double) (r->batch * r->channels)
                  * (double) (r->in_height * r->in_width + r->out_height * r->out_width));
}

static bool
group_norm_is_valid (const SwittiGroupNorm *g)
{
  return g != NULL && g->batch >= 1 && g->positions >= 1 && g->channels >= 1 && g->groups >= 1
         && g->channels % g->groups == 0 && is_float (g->x_dtype) && is_float (g->y_dtype);
}

static size_t
dispatch_group_norm_scratch_bytes (SwittiKernelContext *context, const SwittiGroupNorm *norm)
{
  return group_norm_is_valid (norm) ? context->ops.group_norm_scratch_bytes (context, norm) : 0;
}

static SwittiKernelStatus
dispatch_group_norm (SwittiKernelContext *context, const SwittiGroupNorm *norm, const void *x, const float *weight,
                     const float *bias, void *scratch, void *y)
{
  Call call = begin (context, SWITTI_KERNEL_OP_GROUP_NORM, "group_norm");

  if (!group_norm_is_valid (norm) || x == NULL || weight == NULL || bias == NULL || y == NULL)
    return invalid (&call);
  return end (&call, context->ops.group_norm (context, norm, x, weight, bias, scratch, y), 0.0,
              (size (norm->x_dtype) + size (norm->y_dtype)) * (double) norm->batch * (double) norm->positions
                * (double) norm->channels);
}

static SwittiKernelStatus
dispatch_nearest_code (SwittiKernelContext *context, int64_t rows, int64_t v, int64_t z, bool cosine, const float *f,
                       const float *codebook, int32_t *codes)
{
  Call call = begin (context, SWITTI_KERNEL_OP_QUANTIZE, "nearest_code");

  if (rows < 1 || v < 1 || z < 1 || f == NULL || codebook == NULL || codes == NULL)
    return invalid (&call);
  return end (&call, context->ops.nearest_code (context, rows, v, z, cosine, f, codebook, codes),
              2.0 * (double) rows * (double) (v * z), 4.0 * (double) (rows * (z + 1) + v * z));
}

/* -- sampling -------------------------------------------------------------------------------------------------- */

static bool
sample_is_valid (const SwittiSample *s, const void *prompt, const void *codes)
{
  return s != NULL && s->batch >= 1 && s->n >= 1 && s->v >= 1 && s->top_k >= 0 && prompt != NULL && codes != NULL;
}

/* The logits of the prompt, and of the null prompt where there is one. */
static double
sample_bytes (const SwittiSample *s, const float *null_logits)
{
  return (null_logits != NULL ? 8.0 : 4.0) * (double) (s->batch * s->n * s->v);
}

static SwittiKernelStatus
dispatch_sample_filtered (SwittiKernelContext *context, const SwittiSample *sample, const uint64_t *seeds,
                          const float *prompt, const float *null_logits, float *guided, float *filtered,
                          int32_t *codes)
{
  Call call = begin (context, SWITTI_KERNEL_OP_SAMPLE, "sample_filtered");

  if (!sample_is_valid (sample, prompt, codes) || seeds == NULL)
    return invalid (&call);
  return end (&call,
              context->ops.sample_filtered (context, sample, seeds, prompt, null_logits, guided, filtered, codes), 0.0,
              sample_bytes (sample, null_logits));
}

static SwittiKernelStatus
dispatch_sample_smooth (SwittiKernelContext *context, const SwittiSample *sample, const uint64_t *seeds,
                        const float *prompt, const float *null_logits, const float *codebook, const float *gumbel,
                        float *guided, float *h, int32_t *codes)
{
  Call call = begin (context, SWITTI_KERNEL_OP_SAMPLE, "sample_smooth");

  if (!sample_is_valid (sample, prompt, codes) || sample->z < 1 || (seeds == NULL && gumbel == NULL)
      || codebook == NULL || h == NULL)
    return invalid (&call);
  return end (&call,
              context->ops.sample_smooth (context, sample, seeds, prompt, null_logits, codebook, gumbel, guided, h,
                                          codes),
              2.0 * (double) (sample->batch * sample->n) * (double) (sample->v * sample->z),
              sample_bytes (sample, null_logits));
}

static const SwittiKernels kernels = {
  .version = SWITTI_KERNELS_VERSION,
  .name = DEVICE_NAME,
  .context_new = DEVICE (context_new),
  .context_free = DEVICE (context_free),
  .properties = DEVICE (properties),
  .error_message = DEVICE (error_message),
  .alloc = DEVICE (alloc),
  .free = DEVICE (free),
  .upload = DEVICE (upload),
  .download = DEVICE (download),
  .copy = DEVICE (copy),
  .clear = DEVICE (clear),
  .synchronize = DEVICE (synchronize),
  .select_stream = DEVICE (select_stream),
  .event_new = DEVICE (event_new),
  .event_free = DEVICE (event_free),
  .event_record = DEVICE (event_record),
  .event_wait = DEVICE (event_wait),
  .event_synchronize = DEVICE (event_synchronize),
  .wants_graphs = DEVICE (wants_graphs),
  .graph_begin = DEVICE (graph_begin),
  .graph_end = DEVICE (graph_end),
  .graph_launch = DEVICE (graph_launch),
  .graph_free = DEVICE (graph_free),
  .count_launches = DEVICE (count_launches),
  .profile_reset = DEVICE (profile_reset),
  .profile_read = DEVICE (profile_read),
#if defined(SWITTI_DISPATCH_CUDA)
  .native_stream = switti_cuda_native_stream,
  .choices_identity = switti_cuda_choices_identity,
  .choices_write = switti_cuda_choices_write,
  .choices_read = switti_cuda_choices_read,
  .attention_plan = dispatch_attention_plan,
#endif
  .gemm_packed_bytes = DEVICE (gemm_packed_bytes),
  .gemm_pack = DEVICE (gemm_pack),
  .gemm_plan = dispatch_gemm_plan,
  .gemm_plan_free = DEVICE (gemm_plan_free),
  .gemm = dispatch_gemm,
  .conv_packed_bytes = dispatch_conv_packed_bytes,
  .conv_pack = dispatch_conv_pack,
  .conv_plan = dispatch_conv_plan,
  .conv_plan_free = DEVICE (conv_plan_free),
  .conv = dispatch_conv,
  .residual_norm = dispatch_residual_norm,
  .layer_norm = dispatch_layer_norm,
  .qk_norm_rope = dispatch_qk_norm_rope,
  .attention = dispatch_attention,
  .swiglu = dispatch_swiglu,
  .silu_condition = dispatch_silu_condition,
  .add_rows = dispatch_add_rows,
  .embed = dispatch_embed,
  .resample = dispatch_resample,
  .accumulate = dispatch_accumulate,
  .blend_rows = dispatch_blend_rows,
  .group_norm_scratch_bytes = dispatch_group_norm_scratch_bytes,
  .group_norm = dispatch_group_norm,
  .convert = dispatch_convert,
  .image_to_rgb8 = dispatch_image_to_rgb8,
  .rgb8_to_image = dispatch_rgb8_to_image,
  .nearest_code = dispatch_nearest_code,
  .sample_filtered = dispatch_sample_filtered,
  .sample_smooth = dispatch_sample_smooth,
  .attention_backward_scratch_bytes = DEVICE (dispatch_attention_backward_scratch_bytes),
  .attention_backward = DEVICE (dispatch_attention_backward),
  .norm_backward_scratch_bytes = DEVICE (dispatch_norm_backward_scratch_bytes),
  .residual_norm_backward = DEVICE (dispatch_residual_norm_backward),
  .layer_norm_backward = DEVICE (dispatch_layer_norm_backward),
  .qk_norm_rope_backward = DEVICE (dispatch_qk_norm_rope_backward),
  .swiglu_backward = DEVICE (dispatch_swiglu_backward),
  .activation = DEVICE (dispatch_activation),
  .activation_backward = DEVICE (dispatch_activation_backward),
  .silu_condition_backward = DEVICE (dispatch_silu_condition_backward),
  .token_embedding = DEVICE (dispatch_token_embedding),
  .token_embedding_backward = DEVICE (dispatch_token_embedding_backward),
  .column_sum = DEVICE (dispatch_column_sum),
  .cross_entropy = DEVICE (dispatch_cross_entropy),
  .optimizer_plan = DEVICE (dispatch_optimizer_plan),
  .optimizer_plan_free = DEVICE (dispatch_optimizer_plan_free),
  .squared_norm = DEVICE (dispatch_squared_norm),
  .adamw = DEVICE (dispatch_adamw),
  .embed_backward = DEVICE (dispatch_embed_backward),
  .conv_backward_plan = DEVICE (dispatch_conv_backward_plan),
  .conv_backward_plan_free = DEVICE (conv_backward_plan_free),
  .conv_backward = DEVICE (dispatch_conv_backward),
  .group_norm_backward_scratch_bytes = DEVICE (dispatch_group_norm_backward_scratch_bytes),
  .group_norm_backward = DEVICE (dispatch_group_norm_backward),
  .resample_backward = DEVICE (dispatch_resample_backward),
  .squared_difference = DEVICE (dispatch_squared_difference),
};

DEVICE_EXPORT const SwittiKernels *
DEVICE_KERNELS (void)
{
  return &kernels;
}
