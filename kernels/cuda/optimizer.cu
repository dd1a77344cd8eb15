/* optimizer.cu - AdamW and the gradients' norm, over all tensors at once
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A plan cuts the tensors into chunks, a block's work each, and puts the list of both on the device: a step is one
 * launch, whatever the number of tensors.
 */
#include "runtime-private.h"

#include "device-private.h"
#include "optimizer-plan-private.h"

#include <cstring>
#include <new>
#include <type_traits>

#define STEP_THREADS 256
#define CHUNK_ELEMENTS ((int64_t) STEP_THREADS * LANE * 16)

struct OptimizerChunk
{
  int32_t tensor, place; /* its place among the tensor's */
};

/* A tensor on the device. */
struct OptimizerEntry
{
  SwittiOptimizerTensor tensor;
  int64_t first_chunk, n_chunks;
  bool vector; /* every array can be taken four elements at a time, but for what is left at the end */
};

struct CudaOptimizerPlan : SwittiOptimizerPlan
{
  int64_t n_chunks;
  OptimizerEntry *entries; /* device (n_tensors) */
  OptimizerChunk *chunks;  /* device (n_chunks) */
  double *parts;           /* device (n_chunks): sums of squares */
};

/* -- the plan ---------------------------------------------------------------------------------------------------- */

static bool
can_be_vector (const SwittiOptimizerTensor &t)
{
  return is_vector (t.gradient, 0, 0) && is_vector (t.parameter, 0, 0) && is_vector (t.first_moment, 0, 0)
         && is_vector (t.second_moment, 0, 0) && is_vector (t.average, 0, 0)
         && is_vector (static_cast<const Bf16 *> (t.copy), 0, 0);
}

/* The lists, on the host. */
static bool
list_chunks (CudaOptimizerPlan *self, std::vector<OptimizerEntry> *entries, std::vector<OptimizerChunk> *chunks)
{
  int64_t n_chunks = 0;

  for (int64_t t = 0; t < self->n_tensors; t++)
    {
      const SwittiOptimizerTensor &tensor = self->tensors[t];
      const int64_t own = blocks_for (tensor.count, CHUNK_ELEMENTS);

      if (!is_launchable (own) || !is_launchable (n_chunks + own))
        return false;
      entries->push_back (OptimizerEntry{ tensor, n_chunks, own, can_be_vector (tensor) });
      n_chunks += own;
    }
  chunks->reserve ((size_t) n_chunks);
  for (int64_t t = 0; t < self->n_tensors; t++)
    for (int64_t i = 0; i < (*entries)[(size_t) t].n_chunks; i++)
      chunks->push_back (OptimizerChunk{ (int32_t) t, (int32_t) i });
  self->n_chunks = n_chunks;
  return true;
}

template <typename T>
static SwittiKernelStatus
put_on_device (SwittiKernelContext *context, const std::vector<T> &list, T **device)
{
  void *memory;
  SwittiKernelStatus status = switti_cuda_alloc (context, list.size () * sizeof (T), &memory);

  *device = static_cast<T *> (memory);
  return status == SWITTI_KERNEL_OK ? switti_cuda_upload (context, memory, list.data (), list.size () * sizeof (T))
                                    : status;
}

static void
optimizer_plan_free (SwittiKernelContext *context, SwittiOptimizerPlan *plan)
{
  CudaOptimizerPlan *self = static_cast<CudaOptimizerPlan *> (plan);

  switti_cuda_free (context, self->entries);
  switti_cuda_free (context, self->chunks);
  switti_cuda_free (context, self->parts);
  delete[] self->tensors;
  delete self;
}

static SwittiKernelStatus
fill_plan (SwittiKernelContext *context, CudaOptimizerPlan *self)
{
  std::vector<OptimizerEntry> entries;
  std::vector<OptimizerChunk> chunks;
  SwittiKernelStatus status;
  void *parts;

  if (!list_chunks (self, &entries, &chunks))
    return SWITTI_KERNEL_INVALID;
  status = put_on_device (context, entries, &self->entries);
  if (status == SWITTI_KERNEL_OK)
    status = put_on_device (context, chunks, &self->chunks);
  if (status != SWITTI_KERNEL_OK)
    return status;
  status = switti_cuda_alloc (context, (size_t) self->n_chunks * sizeof (double), &parts);
  self->parts = static_cast<double *> (parts);
  return status;
}

static SwittiKernelStatus
optimizer_plan (SwittiKernelContext *context, int64_t n_tensors, const SwittiOptimizerTensor *tensors,
                SwittiOptimizerPlan **plan)
{
  CudaOptimizerPlan *self = new (std::nothrow) CudaOptimizerPlan{};
  SwittiKernelStatus status = SWITTI_KERNEL_OUT_OF_MEMORY;

  if (self != nullptr)
    self->tensors = new (std::nothrow) SwittiOptimizerTensor[(size_t) n_tensors];
  if (self == nullptr || self->tensors == nullptr)
    {
      delete self;
      return switti_cuda_fail (context, status, "no memory is left for the list of parameters");
    }
  self->n_tensors = n_tensors;
  memcpy (self->tensors, tensors, (size_t) n_tensors * sizeof *tensors);
  try
    {
      status = fill_plan (context, self);
    }
  catch (const std::bad_alloc &)
    {
      switti_cuda_fail (context, status, "no memory is left for the list of parameters");
    }
  if (status != SWITTI_KERNEL_OK)
    optimizer_plan_free (context, self);
  else
    *plan = self;
  return status;
}

/* -- the norm ----------------------------------------------------------------------------------------------------- */

/* The chunk of the block, and the tensor's entry. */
__device__ __forceinline__ OptimizerChunk
own_chunk (const OptimizerChunk *chunks)
{
  check_read (chunks + blockIdx.x, sizeof (OptimizerChunk), 0);
  return chunks[blockIdx.x];
}

__device__ __forceinline__ const OptimizerEntry &
entry_of (const OptimizerEntry *entries, int64_t tensor)
{
  const char *bytes = reinterpret_cast<const char *> (entries + tensor);
  for (size_t i = 0; i < sizeof (OptimizerEntry); i += 8)
    check_read (bytes + i, 8, 0);
  return entries[tensor];
}

/* Calls `body` with `start` and `count` of each of the thread's lanes in the chunk: four elements that are a vector,
 * or as many as are left. */
template <typename Body>
__device__ __forceinline__ void
for_each_lane (const OptimizerEntry &entry, const OptimizerChunk &chunk, Body body)
{
  const int64_t first = chunk.place * CHUNK_ELEMENTS, count = entry.tensor.count;
  const int64_t end = first + CHUNK_ELEMENTS < count ? first + CHUNK_ELEMENTS : count;

  for (int64_t i = first + (int64_t) threadIdx.x * LANE; i < end; i += STEP_THREADS * LANE)
    {
      if (entry.vector && i + LANE <= end)
        body (std::true_type (), i, LANE);
      else
        body (std::false_type (), i, (int) (end - i));
    }
}

__global__ void __launch_bounds__ (STEP_THREADS)
sum_chunks (const OptimizerEntry *entries, const OptimizerChunk *chunks, double *parts)
{
  const OptimizerChunk chunk = own_chunk (chunks);
  const OptimizerEntry &entry = entry_of (entries, chunk.tensor);
  const float *gradient = entry.tensor.gradient;
  float sum = 0.0f;

  for_each_lane (entry, chunk, [&] (auto vector, int64_t i, int left) {
    float g[LANE];
    load_lane<decltype (vector)::value> (gradient + i, 0, left, g);
#pragma unroll
    for (int e = 0; e < LANE; e++)
      sum += g[e] * g[e];
  });
  const double total = block_sum<STEP_THREADS> ((double) sum);
  if (threadIdx.x == 0)
    {
      check_write (parts + blockIdx.x, sizeof (double));
      parts[blockIdx.x] = total;
    }
}

/* A block has a tensor. */
__global__ void __launch_bounds__ (STEP_THREADS)
sum_parts (const OptimizerEntry *entries, const double *parts, double *sums)
{
  const OptimizerEntry &entry = entry_of (entries, blockIdx.x);
  double sum = 0.0;

  for (int64_t i = threadIdx.x; i < entry.n_chunks; i += STEP_THREADS)
    {
      check_read (parts + entry.first_chunk + i, sizeof (double), 0);
      sum += parts[entry.first_chunk + i];
    }
  sum = block_sum<STEP_THREADS> (sum);
  if (threadIdx.x == 0)
    {
      check_write (sums + blockIdx.x, sizeof (double));
      sums[blockIdx.x] = sum;
    }
}

static SwittiKernelStatus
squared_norm (SwittiKernelContext *context, const SwittiOptimizerPlan *plan, double *sums)
{
  const CudaOptimizerPlan *self = static_cast<const CudaOptimizerPlan *> (plan);
  const SwittiKernelStatus status
      = SWITTI_LAUNCH (context, sum_chunks, dim3 ((unsigned int) self->n_chunks), dim3 (STEP_THREADS), 0, self->entries,
                       self->chunks, self->parts);

  if (status != SWITTI_KERNEL_OK)
    return status;
  return SWITTI_LAUNCH (context, sum_parts, dim3 ((unsigned int) self->n_tensors), dim3 (STEP_THREADS), 0,
                        self->entries, self->parts, sums);
}

/* -- the step ----------------------------------------------------------------------------------------------------- */

template <bool VECTOR>
__device__ __forceinline__ void
update_lane (const SwittiAdamw &a, const SwittiOptimizerTensor &t, int64_t i, int left)
{
  const float keep = t.decays ? 1.0f - a.rate * a.decay : 1.0f, step = a.rate / a.correction1;
  const float root = 1.0f / sqrtf (a.correction2);
  float gradient[LANE], first[LANE], second[LANE], parameter[LANE];

  load_lane<VECTOR> (t.gradient + i, 0, left, gradient);
  load_lane<VECTOR> (t.first_moment + i, 0, left, first);
  load_lane<VECTOR> (t.second_moment + i, 0, left, second);
  load_lane<VECTOR> (t.parameter + i, 0, left, parameter);
#pragma unroll
  for (int e = 0; e < LANE; e++)
    {
      const float g = gradient[e] * a.gradient_scale;
      first[e] += (1.0f - a.beta1) * (g - first[e]);
      second[e] = a.beta2 * second[e] + (1.0f - a.beta2) * (g * g);
      parameter[e] = parameter[e] * keep - step * (first[e] / (sqrtf (second[e]) * root + a.eps));
    }
  store_lane<VECTOR> (t.first_moment + i, 0, left, first);
  store_lane<VECTOR> (t.second_moment + i, 0, left, second);
  store_lane<VECTOR> (t.parameter + i, 0, left, parameter);
  if (t.average != nullptr)
    {
      load_lane<VECTOR> (t.average + i, 0, left, gradient);
#pragma unroll
      for (int e = 0; e < LANE; e++)
        gradient[e] += (1.0f - a.average_decay) * (parameter[e] - gradient[e]);
      store_lane<VECTOR> (t.average + i, 0, left, gradient);
    }
  if (t.copy != nullptr && a.copy_dtype == SWITTI_DTYPE_F16)
    store_lane<VECTOR> (static_cast<F16 *> (t.copy) + i, 0, left, parameter);
  else if (t.copy != nullptr)
    store_lane<VECTOR> (static_cast<Bf16 *> (t.copy) + i, 0, left, parameter);
}

__global__ void __launch_bounds__ (STEP_THREADS)
update_chunks (SwittiAdamw adamw, const OptimizerEntry *entries, const OptimizerChunk *chunks)
{
  const OptimizerChunk chunk = own_chunk (chunks);
  const OptimizerEntry &entry = entry_of (entries, chunk.tensor);
  const SwittiOptimizerTensor tensor = entry.tensor;

  for_each_lane (entry, chunk, [&] (auto vector, int64_t i, int left) {
    update_lane<decltype (vector)::value> (adamw, tensor, i, left);
  });
}

static SwittiKernelStatus
adamw_op (SwittiKernelContext *context, const SwittiAdamw *adamw, const SwittiOptimizerPlan *plan)
{
  const CudaOptimizerPlan *self = static_cast<const CudaOptimizerPlan *> (plan);

  return SWITTI_LAUNCH (context, update_chunks, dim3 ((unsigned int) self->n_chunks), dim3 (STEP_THREADS), 0, *adamw,
                        self->entries, self->chunks);
}

void
switti_cuda_optimizer_fill (SwittiKernels *ops)
{
  ops->optimizer_plan = optimizer_plan;
  ops->optimizer_plan_free = optimizer_plan_free;
  ops->squared_norm = squared_norm;
  ops->adamw = adamw_op;
}
