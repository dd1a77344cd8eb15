/* cublaslt-algorithms.cu - which of cuBLASLt's algorithms makes a product
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The library's candidates are timed when a product is planned, on memory of its own, for a batch of one, and the
 * quickest is kept for the process.
 */
#include "cublaslt-private.h"

#include <map>
#include <mutex>
#include <string>

/* Candidates that are timed, and how often. */
#define MAX_ALGORITHMS 8
#define TIMED_RUNS 3

namespace
{
std::mutex lock;
std::map<std::string, cublasLtMatmulAlgo_t> chosen; /* by device and shape */

/* The power of two, 16 at most, that strides keep pointers aligned to: tensors are, and slices of them begin at
 * multiples of what their rows are multiples of. */
uint32_t
alignment_of (SwittiDtype dtype, int64_t stride)
{
  const uint64_t bytes = (uint64_t) stride * switti_dtype_size (dtype);
  uint32_t alignment = 16;

  while (bytes % alignment != 0)
    alignment /= 2;
  return alignment;
}

int
find_algorithms (SwittiCudaProducts *products, const SwittiCudaProductPlan *plan,
                 cublasLtMatmulHeuristicResult_t results[MAX_ALGORITHMS])
{
  const SwittiCudaProduct &p = plan->product;
  const size_t workspace = WORKSPACE_BYTES;
  const uint32_t b = alignment_of (p.ab_dtype, p.ldb), a = alignment_of (p.ab_dtype, p.lda),
                 d = alignment_of (p.d_dtype, p.ldd);
  cublasLtMatmulPreference_t preference;
  int found = 0;

  if (cublasLtMatmulPreferenceCreate (&preference) != CUBLAS_STATUS_SUCCESS)
    return 0;
  cublasLtMatmulPreferenceSetAttribute (preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                        sizeof workspace);
  cublasLtMatmulPreferenceSetAttribute (preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &b, sizeof b);
  cublasLtMatmulPreferenceSetAttribute (preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &a, sizeof a);
  cublasLtMatmulPreferenceSetAttribute (preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &d, sizeof d);
  cublasLtMatmulPreferenceSetAttribute (preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &d, sizeof d);
  if (cublasLtMatmulAlgoGetHeuristic (products->handle, plan->operation, plan->a, plan->b, plan->d, plan->d, preference,
                                      MAX_ALGORITHMS, results, &found)
      != CUBLAS_STATUS_SUCCESS)
    found = 0;
  cublasLtMatmulPreferenceDestroy (preference);
  return found;
}

/* Milliseconds of TIMED_RUNS runs; negative where one fails. */
float
time_algorithm (SwittiKernelContext *context, const SwittiCudaProductPlan *plan, const cublasLtMatmulAlgo_t *algorithm,
                char *memory, const size_t offsets[3], cudaEvent_t start, cudaEvent_t end)
{
  float milliseconds = -1.0f;
  bool ran = true;

  for (int i = 0; i <= TIMED_RUNS && ran; i++)
    {
      if (i == 1)
        cudaEventRecord (start, context->runtime->stream);
      ran = switti_cuda_run_algorithm (context, plan, algorithm, memory, memory + offsets[0], memory + offsets[1])
            == CUBLAS_STATUS_SUCCESS;
    }
  cudaEventRecord (end, context->runtime->stream);
  if (!ran || cudaEventSynchronize (end) != cudaSuccess
      || cudaEventElapsedTime (&milliseconds, start, end) != cudaSuccess)
    return -1.0f;
  return milliseconds;
}

/* The quickest of the candidates; the first, which is the library's own choice, where there is no memory to try. */
int
quickest (SwittiKernelContext *context, SwittiCudaProductPlan *plan, const cublasLtMatmulHeuristicResult_t *results,
          int found)
{
  const SwittiCudaProduct &p = plan->product;
  const size_t element = switti_dtype_size (p.ab_dtype);
  const size_t a = (size_t) ((p.a_is_km ? p.k : p.m) * p.lda) * element + 256;
  const size_t b = a + (size_t) ((p.b_is_kn ? p.k : p.n) * p.ldb) * element + 256;
  const size_t d = b + (size_t) (p.m * p.ldd) * switti_dtype_size (p.d_dtype) + 256;
  const size_t offsets[3] = { a / 256 * 256, b / 256 * 256, d / 256 * 256 };
  cudaEvent_t start = nullptr, end = nullptr;
  void *memory = nullptr;
  float best = -1.0f;
  int best_index = 0;

  if (found > 1 && cudaMalloc (&memory, d + (size_t) p.n * sizeof (float) + 256) == cudaSuccess
      && cudaMemsetAsync (memory, 0, d, context->runtime->stream) == cudaSuccess
      && cudaEventCreateWithFlags (&start, cudaEventDefault) == cudaSuccess
      && cudaEventCreateWithFlags (&end, cudaEventDefault) == cudaSuccess)
    {
      const void *bias = static_cast<char *> (memory) + offsets[2];

      if (p.bias)
        cublasLtMatmulDescSetAttribute (plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
      for (int i = 0; i < found; i++)
        {
          const float time = time_algorithm (context, plan, &results[i].algo, static_cast<char *> (memory), offsets,
                                             start, end);
          if (time >= 0.0f && (best < 0.0f || time < best))
            {
              best = time;
              best_index = i;
            }
        }
    }
  cudaGetLastError ();
  if (start != nullptr)
    cudaEventDestroy (start);
  if (end != nullptr)
    cudaEventDestroy (end);
  cudaFree (memory);
  return best_index;
}

std::string
key_of (SwittiKernelContext *context, const SwittiCudaProduct &p)
{
  std::string key;

  for (int64_t value : { (int64_t) context->runtime->device, p.m, p.n, p.k, p.lda, p.ldb, p.ldd, (int64_t) p.ab_dtype,
                         (int64_t) p.d_dtype, (int64_t) p.a_is_km, (int64_t) p.b_is_kn, (int64_t) p.accumulate,
                         (int64_t) p.bias })
    key += std::to_string (value) + " ";
  return key;
}
} // namespace

bool
switti_cuda_choose_algorithm (SwittiKernelContext *context, SwittiCudaProductPlan *plan)
{
  std::lock_guard<std::mutex> locked (lock);
  const std::string key = key_of (context, plan->product);
  const auto known = chosen.find (key);
  cublasLtMatmulHeuristicResult_t results[MAX_ALGORITHMS];

  if (known != chosen.end ())
    {
      plan->algorithm = known->second;
      return true;
    }
  const int found = find_algorithms (context->runtime->products, plan, results);
  if (found == 0)
    return false;
  plan->algorithm = results[quickest (context, plan, results, found)].algo;
  chosen[key] = plan->algorithm;
  return true;
}
