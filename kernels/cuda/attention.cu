/* attention.cu - softmax (q . k^T * scale) . v in float32, for any width of a head
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A warp has a query. Its threads take a key each, 32 at a time; then they take columns of the values. Running maxima
 * and sums (the "online" softmax of FlashAttention) make one pass over the keys enough. What bf16 heads of common
 * widths need is attention-mma.cu's: attention() goes there where it can.
 */
#include "runtime-private.h"

#include "device-private.h"

#define ATTENTION_THREADS 128
#define ATTENTION_WARPS (ATTENTION_THREADS / WARP_LANES)
/* A query and its sums lie in shared memory: wide heads get a warp a block. */
#define NARROW_HEAD 512
#define MAX_HEAD 5120

struct AttentionShape
{
  int64_t n, m;
  int heads, d;
  float scale;
  bool causal;
  SwittiRows q, k, v, out;
};

/* The keys that a query sees. */
__device__ __forceinline__ int64_t
visible_keys (const AttentionShape &shape, const int32_t *key_length, int64_t group, int64_t query)
{
  int64_t keys = shape.m;

  if (key_length != nullptr)
    {
      const int64_t length = load_index (key_length, group);
      keys = length < keys ? length : keys;
    }
  if (shape.causal && query + shape.m - shape.n + 1 < keys)
    keys = query + shape.m - shape.n + 1;
  return keys;
}

template <typename T>
__device__ __forceinline__ float
product (const AttentionShape &shape, Shared<float> query, const T *key)
{
  float sum = 0.0f;

  for (int x = 0; x < shape.d; x++)
    sum += (float) query[x] * load (key, x);
  return sum * shape.scale;
}

template <int WARPS, typename T>
__global__ void __launch_bounds__ (WARPS *WARP_LANES)
attend (AttentionShape shape, const int32_t *group_index, const int32_t *key_length, const T *q, const T *k, const T *v,
        T *out)
{
  SWITTI_SHARED_DYNAMIC (float, shared);
  const int warp = (int) threadIdx.x / WARP_LANES, lane = (int) threadIdx.x % WARP_LANES;
  const int64_t image = blockIdx.z, i = (int64_t) blockIdx.x * WARPS + warp;
  const int64_t group = group_index != nullptr ? load_index (group_index, image) : image;
  const int64_t head = (int64_t) blockIdx.y * shape.d;
  Shared<float> query = shared + warp * (2 * shape.d + WARP_LANES);
  Shared<float> sums = query + shape.d, weights = sums + shape.d;
  float greatest = -INFINITY, total = 0.0f;

  if (i >= shape.n)
    return;
  const int64_t keys = visible_keys (shape, key_length, group, i);
  for (int x = lane; x < shape.d; x += WARP_LANES)
    {
      query[x] = load (q + image * shape.q.image_stride + i * shape.q.row_stride + head, x);
      sums[x] = 0.0f;
    }
  __syncwarp ();
  k += group * shape.k.image_stride + head;
  v += group * shape.v.image_stride + head;
  for (int64_t first = 0; first < keys; first += WARP_LANES)
    {
      const int count = keys - first < WARP_LANES ? (int) (keys - first) : WARP_LANES;
      const float score = lane < count ? product (shape, query, k + (first + lane) * shape.k.row_stride) : -INFINITY;
      const float before = greatest;

      greatest = fmaxf (greatest, warp_max (score));
      /* A query of NaN has only scores that are, of which none is the greatest. */
      const float weight = lane < count ? expf (score - greatest) : 0.0f;
      const float factor = before > -INFINITY ? expf (before - greatest) : 0.0f;
      total = total * factor + warp_sum (weight);
      weights[lane] = weight;
      __syncwarp ();
      for (int x = lane; x < shape.d; x += WARP_LANES)
        {
          float sum = (float) sums[x] * factor;
          for (int j = 0; j < count; j++)
            sum += (float) weights[j] * load (v + (first + j) * shape.v.row_stride, x);
          sums[x] = sum;
        }
      __syncwarp ();
    }
  const float inverse = total == 0.0f ? 0.0f : 1.0f / total;
  for (int x = lane; x < shape.d; x += WARP_LANES)
    store (out + image * shape.out.image_stride + i * shape.out.row_stride + head, x,
           keys > 0 ? (float) sums[x] * inverse : 0.0f);
}

template <int WARPS, typename T>
static SwittiKernelStatus
run_attention (SwittiKernelContext *context, const SwittiAttention *a, const int32_t *group_index,
               const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  const AttentionShape shape = { a->n, a->m, (int) a->heads, (int) a->d, a->scale, a->causal, a->q, a->k, a->v,
                                 a->out };
  const dim3 grid ((unsigned int) blocks_for (a->n, WARPS), (unsigned int) a->heads, (unsigned int) a->batch);
  const size_t shared_bytes = (size_t) WARPS * (size_t) (2 * a->d + WARP_LANES) * sizeof (float);

  return SWITTI_LAUNCH (context, (attend<WARPS, T>), grid, dim3 (WARPS * WARP_LANES), shared_bytes, shape, group_index,
                        key_length, static_cast<const T *> (q), static_cast<const T *> (k),
                        static_cast<const T *> (v), static_cast<T *> (out));
}

static SwittiKernelStatus
attention (SwittiKernelContext *context, const SwittiAttention *a, const int32_t *group_index,
           const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  if (a->d > MAX_HEAD || a->heads > 65535 || a->batch > 65535 || !is_launchable (a->n) || a->m > INT32_MAX)
    return SWITTI_KERNEL_INVALID;
  if (a->dtype == SWITTI_DTYPE_F32)
    return a->d <= NARROW_HEAD
               ? run_attention<ATTENTION_WARPS, float> (context, a, group_index, key_length, q, k, v, out)
               : run_attention<1, float> (context, a, group_index, key_length, q, k, v, out);
  return a->d <= NARROW_HEAD ? run_attention<ATTENTION_WARPS, Bf16> (context, a, group_index, key_length, q, k, v, out)
                             : run_attention<1, Bf16> (context, a, group_index, key_length, q, k, v, out);
}

void
switti_cuda_attention_fill (SwittiKernels *ops)
{
  ops->attention = attention;
}
