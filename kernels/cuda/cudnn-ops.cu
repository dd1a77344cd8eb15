/* cudnn-ops.cu - convolution and attention as cuDNN's graphs
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Only what cuDNN does as the op says: a packed weight is its (Co, kernel, kernel, Ci) where nothing is padded and no
 * tap is a sum; and attention to all keys of the own image, as cuDNN reads what lies behind an image's keys and has no
 * groups.
 */
#include "cudnn-graph-private.h"

/* Above it, attention has no engines on all cards. */
#define MAX_WIDTH 128

namespace
{
typedef std::vector<int64_t> Sizes;

std::string
key_of (std::initializer_list<int64_t> values)
{
  std::string key;

  for (int64_t value : values)
    key += (key.empty () ? "" : " ") + std::to_string (value);
  return key;
}

bool
is_aligned (std::initializer_list<const void *> operands)
{
  uintptr_t all = 0;

  for (const void *operand : operands)
    all |= reinterpret_cast<uintptr_t> (operand);
  return all % 16 == 0;
}

/* -- convolution --------------------------------------------------------------------------------------------------- */

int64_t
conv_out_size (const SwittiConv *c, int64_t size, int before, int after)
{
  return (size + before + after - c->kernel) / c->stride + 1;
}

/* As cuDNN has a map: (B, C, H, W), in NHWC. */
cudnnBackendDescriptor_t
make_map (SwittiCudnnDescriptors *graph, int64_t identity, cudnnDataType_t dtype, SwittiCudnnTensorKind kind,
          int64_t images, int64_t channels, int64_t height, int64_t width)
{
  return switti_cuda_cudnn_tensor (graph, identity, dtype, kind, { images, channels, height, width },
                                   { height * width * channels, 1, width * channels, channels });
}

/* sum = a + b in float32; b may have one number for each channel. */
cudnnBackendDescriptor_t
make_sum (SwittiCudnnDescriptors *graph, cudnnBackendDescriptor_t a, cudnnBackendDescriptor_t b,
          cudnnBackendDescriptor_t sum)
{
  const cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
  cudnnBackendDescriptor_t add = graph->make (CUDNN_BACKEND_POINTWISE_DESCRIPTOR), operation;

  graph->set (add, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  graph->set (add, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  graph->finish (add);
  operation = graph->make (CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  graph->set (operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, add);
  graph->set (operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a);
  graph->set (operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
  graph->set (operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, sum);
  graph->finish (operation);
  return operation;
}

cudnnBackendDescriptor_t
make_product (SwittiCudnnDescriptors *graph, const SwittiConv &c, cudnnBackendDescriptor_t x,
              cudnnBackendDescriptor_t weight, cudnnBackendDescriptor_t y)
{
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const int64_t dimensions = 2;
  const float one = 1.0f, zero = 0.0f;
  cudnnBackendDescriptor_t conv = graph->make (CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR), operation;

  graph->set (conv, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  graph->set (conv, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  graph->set (conv, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dimensions);
  graph->set (conv, CUDNN_ATTR_CONVOLUTION_DILATIONS, Sizes{ 1, 1 });
  graph->set (conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, Sizes{ c.stride, c.stride });
  graph->set (conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, Sizes{ c.pad_top, c.pad_left });
  graph->set (conv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, Sizes{ c.pad_bottom, c.pad_right });
  graph->finish (conv);
  operation = graph->make (CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  graph->set (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, conv);
  graph->set (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
  graph->set (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, weight);
  graph->set (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
  graph->set (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
  graph->set (operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
  graph->finish (operation);
  return operation;
}

/* (x * weight + bias) [+ residual] of one image, rounded once. */
std::vector<cudnnBackendDescriptor_t>
describe_conv (SwittiCudnnDescriptors *graph, const SwittiConv &c)
{
  const int64_t height = conv_out_size (&c, c.height, c.pad_top, c.pad_bottom);
  const int64_t width = conv_out_size (&c, c.width, c.pad_left, c.pad_right), k = c.kernel;
  const cudnnDataType_t d_dtype = switti_cuda_cudnn_dtype (c.d_dtype);
  const auto output = [&] (int64_t identity, cudnnDataType_t dtype, SwittiCudnnTensorKind kind) {
    return make_map (graph, identity, dtype, kind, 1, c.c_out, height, width);
  };
  cudnnBackendDescriptor_t x = make_map (graph, CUDNN_CONV_X + 1, CUDNN_DATA_BFLOAT16, CUDNN_TENSOR_OPERAND, 1, c.c_in,
                                         c.height, c.width);
  cudnnBackendDescriptor_t weight = make_map (graph, CUDNN_CONV_WEIGHT + 1, CUDNN_DATA_BFLOAT16, CUDNN_TENSOR_OPERAND,
                                              c.c_out, c.c_in, k, k);
  cudnnBackendDescriptor_t bias = make_map (graph, CUDNN_CONV_BIAS + 1, CUDNN_DATA_FLOAT, CUDNN_TENSOR_OPERAND, 1,
                                            c.c_out, 1, 1);
  cudnnBackendDescriptor_t d = output (CUDNN_CONV_D + 1, d_dtype, CUDNN_TENSOR_OPERAND);
  cudnnBackendDescriptor_t product = output (101, CUDNN_DATA_FLOAT, CUDNN_TENSOR_VIRTUAL), biased, residual;

  if (!c.residual)
    return { make_product (graph, c, x, weight, product), make_sum (graph, product, bias, d) };
  biased = output (102, CUDNN_DATA_FLOAT, CUDNN_TENSOR_VIRTUAL);
  residual = output (CUDNN_CONV_RESIDUAL + 1, d_dtype, CUDNN_TENSOR_OPERAND);
  return { make_product (graph, c, x, weight, product), make_sum (graph, product, bias, biased),
           make_sum (graph, biased, residual, d) };
}

size_t
d_bytes_of (const SwittiConv &c)
{
  return (size_t) (conv_out_size (&c, c.height, c.pad_top, c.pad_bottom)
                   * conv_out_size (&c, c.width, c.pad_left, c.pad_right) * c.c_out)
         * switti_dtype_size (c.d_dtype);
}

size_t
x_bytes_of (const SwittiConv &c)
{
  return (size_t) (c.height * c.width * c.c_in) * sizeof (uint16_t);
}
} // namespace

SwittiCudnnPlan *
switti_cuda_cudnn_conv_plan (SwittiKernelContext *context, const SwittiConv *conv, const SwittiCudnnRival &rival)
{
  const SwittiConv c = *conv;
  SwittiCudnnProblem problem = {};

  if (context->runtime->cudnn == nullptr || c.upsample || c.x_dtype != SWITTI_DTYPE_BF16
      || c.w_dtype != SWITTI_DTYPE_BF16 || c.c_in % 8 != 0 || c.c_out % 8 != 0)
    return nullptr;
  problem.key = key_of ({ -1, c.height, c.width, c.c_in, c.c_out, c.kernel, c.stride, c.pad_top, c.pad_left,
                          c.pad_bottom, c.pad_right, c.residual, c.d_dtype });
  problem.operand_bytes = { x_bytes_of (c), (size_t) (c.c_out * c.c_in * c.kernel * c.kernel) * sizeof (uint16_t),
                            (size_t) c.c_out * sizeof (float), d_bytes_of (c) };
  if (c.residual)
    problem.operand_bytes.push_back (d_bytes_of (c));
  problem.describe = [c] (SwittiCudnnDescriptors *graph, bool) { return describe_conv (graph, c); };
  return switti_cuda_cudnn_plan (context, problem, false, rival);
}

bool
switti_cuda_cudnn_conv (SwittiKernelContext *context, SwittiCudnnPlan *plan, const SwittiConv *conv, const void *x,
                        const void *packed, const float *bias, const void *residual, void *d)
{
  const size_t x_bytes = x_bytes_of (*conv), d_bytes = d_bytes_of (*conv);
  bool done = plan != nullptr && bias != nullptr && is_aligned ({ x, packed, bias, residual, d });

  for (size_t i = 0; i < (size_t) conv->batch && done; i++)
    {
      std::vector<void *> operands = { const_cast<char *> (static_cast<const char *> (x)) + i * x_bytes,
                                       const_cast<void *> (packed), const_cast<float *> (bias),
                                       static_cast<char *> (d) + i * d_bytes };

      if (residual != nullptr)
        operands.push_back (const_cast<char *> (static_cast<const char *> (residual)) + i * d_bytes);
      done = switti_cuda_cudnn_run (context, plan, operands);
    }
  return done;
}

/* -- attention ----------------------------------------------------------------------------------------------------- */

namespace
{
std::vector<cudnnBackendDescriptor_t>
describe_attention (SwittiCudnnDescriptors *graph, const SwittiAttention &a, int64_t images)
{
  const auto rows = [&] (int operand, int64_t count, const SwittiRows &strides) {
    return switti_cuda_cudnn_tensor (graph, operand + 1, CUDNN_DATA_BFLOAT16, CUDNN_TENSOR_OPERAND,
                                     { images, a.heads, count, a.d },
                                     { strides.image_stride, a.d, strides.row_stride, 1 });
  };
  cudnnBackendDescriptor_t q = rows (CUDNN_ATTENTION_Q, a.n, a.q), k = rows (CUDNN_ATTENTION_K, a.m, a.k);
  cudnnBackendDescriptor_t v = rows (CUDNN_ATTENTION_V, a.m, a.v), out = rows (CUDNN_ATTENTION_OUT, a.n, a.out);
  cudnnBackendDescriptor_t scale = switti_cuda_cudnn_tensor (graph, CUDNN_ATTENTION_OUT + 2, CUDNN_DATA_FLOAT,
                                                             CUDNN_TENSOR_VALUE, { 1, 1, 1, 1 }, { 1, 1, 1, 1 });
  cudnnBackendDescriptor_t operation = graph->make (CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);

  graph->set (operation, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, q);
  graph->set (operation, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, k);
  graph->set (operation, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, v);
  graph->set (operation, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, out);
  graph->set (operation, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, scale);
  graph->finish (operation);
  return { operation };
}

SwittiCudnnAttentionKey
shape_of (const SwittiAttention &a)
{
  return { a.heads, a.d, a.n, a.m, a.q.row_stride, a.k.row_stride, a.v.row_stride, a.out.row_stride };
}

const SwittiCudnnAttentionImages one_image = { 1 };

SwittiCudnnAttentionImages
images_of (const SwittiAttention &a)
{
  if (a.batch == 1)
    return one_image;
  return { a.batch, a.q.image_stride, a.k.image_stride, a.v.image_stride, a.out.image_stride };
}

bool
is_for_cudnn (const SwittiAttention &a)
{
  int64_t strides = a.d;

  for (const SwittiRows &rows : { a.q, a.k, a.v, a.out })
    {
      if (rows.row_stride < a.heads * a.d || rows.image_stride < 1)
        return false;
      strides |= rows.row_stride | rows.image_stride;
    }
  return a.dtype == SWITTI_DTYPE_BF16 && !a.causal && a.scale > 0.0f && a.d <= MAX_WIDTH && strides % 8 == 0
         && a.n <= INT32_MAX / 2 && a.m <= INT32_MAX / 2;
}

SwittiCudnnProblem
problem_of (const SwittiAttention &a)
{
  const auto bytes = [&] (int64_t count, const SwittiRows &rows) {
    return (size_t) ((count - 1) * rows.row_stride + a.heads * a.d) * sizeof (uint16_t);
  };
  SwittiCudnnProblem problem = {};

  problem.key = key_of ({ -2, a.heads, a.d, a.n, a.m, a.q.row_stride, a.k.row_stride, a.v.row_stride,
                          a.out.row_stride });
  problem.plan_key = problem.key;
  if (a.batch > 1)
    for (int64_t value : images_of (a))
      problem.plan_key += " " + std::to_string (value);
  problem.operand_bytes = { bytes (a.n, a.q), bytes (a.m, a.k), bytes (a.m, a.v), bytes (a.n, a.out) };
  problem.value = a.scale;
  problem.has_value = true;
  problem.describe = [a] (SwittiCudnnDescriptors *graph, bool all_images) {
    return describe_attention (graph, a, all_images ? a.batch : 1);
  };
  return problem;
}

/* Where there is none yet it is made, unless a graph is being captured. */
SwittiCudnnPlan *
find_plan (SwittiKernelContext *context, const SwittiAttention &a, bool all_images)
{
  auto &plans = context->runtime->cudnn->attentions[shape_of (a)];
  const SwittiCudnnAttentionImages images = all_images ? images_of (a) : one_image;
  const auto known = plans.find (images);

  if (known != plans.end ())
    return known->second;
  if (switti_cuda_is_capturing (context))
    return nullptr;
  return plans[images] = switti_cuda_cudnn_plan (context, problem_of (a), all_images, SwittiCudnnRival ());
}
} // namespace

void
switti_cuda_cudnn_attention_plan (SwittiKernelContext *context, const SwittiAttention *attention,
                                  const SwittiCudnnRival &rival)
{
  SwittiCudnn *cudnn = context->runtime->cudnn;

  if (cudnn == nullptr || !is_for_cudnn (*attention) || switti_cuda_is_capturing (context))
    return;
  const SwittiCudnnAttentionImages images = images_of (*attention);
  auto &plans = cudnn->attentions[shape_of (*attention)];
  if (plans.count (images) == 0)
    plans[images] = switti_cuda_cudnn_plan (context, problem_of (*attention), true, rival);
}

bool
switti_cuda_cudnn_attention (SwittiKernelContext *context, const SwittiAttention *attention, const void *q,
                             const void *k, const void *v, void *out)
{
  const SwittiAttention &a = *attention;
  SwittiCudnn *cudnn = context->runtime->cudnn;
  const auto at = [] (const void *base, int64_t stride, int64_t image) {
    return static_cast<void *> (const_cast<char *> (static_cast<const char *> (base)) + image * stride * 2);
  };
  SwittiCudnnPlan *plan;
  bool done = true;

  if (cudnn == nullptr || !is_for_cudnn (a) || cudnn->attentions.count (shape_of (a)) == 0
      || !is_aligned ({ q, k, v, out }))
    return false;
  plan = find_plan (context, a, true);
  /* The engine that one image has may not take all of them. */
  const bool at_once = plan != nullptr || a.batch == 1;
  if (!at_once)
    plan = find_plan (context, a, false);
  if (plan == nullptr)
    return false;
  plan->value = a.scale;
  for (int64_t i = 0; i < (at_once ? 1 : a.batch) && done; i++)
    done = switti_cuda_cudnn_run (context, plan,
                                  { at (q, a.q.image_stride, i), at (k, a.k.image_stride, i),
                                    at (v, a.v.image_stride, i), at (out, a.out.image_stride, i) });
  return done;
}
