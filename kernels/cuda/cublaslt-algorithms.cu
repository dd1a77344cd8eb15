/* cublaslt-algorithms.cu - which of cuBLASLt's algorithms makes a product
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The library's candidates are timed when a product is planned, on memory of its own, for a batch of one, and the
 * quickest is kept: for this context, and for later ones by way of choices.cu.
 */
#include "cublaslt-private.h"

#include <algorithm>
#include <cstring>

/* Candidates that are timed, and how often. */
#define MAX_ALGORITHMS 8
#define TIMED_RUNS 3

namespace
{
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
  /* Groups of an A that is stored (k, m) begin at multiples of m. */
  const uint32_t b = alignment_of (p.ab_dtype, p.ldb), d = alignment_of (p.d_dtype, p.ldd),
                 a = std::min (alignment_of (p.ab_dtype, p.lda),
                               p.a_is_km ? alignment_of (p.ab_dtype, p.m) : 16u);
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

/* An algorithm that was chosen before, where the library still takes it. */
bool
find_chosen (SwittiCudaProducts *products, SwittiCudaProductPlan *plan, const std::string &key)
{
  const auto known = products->choices.by_product.find (key);
  cublasLtMatmulHeuristicResult_t result;

  if (known == products->choices.by_product.end ())
    return false;
  memcpy (&plan->algorithm, known->second.data (), sizeof plan->algorithm);
  return cublasLtMatmulAlgoCheck (products->handle, plan->operation, plan->a, plan->b, plan->d, plan->d,
                                  &plan->algorithm, &result)
             == CUBLAS_STATUS_SUCCESS
         && result.workspaceSize <= WORKSPACE_BYTES;
}
} // namespace

static_assert (sizeof (cublasLtMatmulAlgo_t) == sizeof (SwittiCudaChoice), "what choices.cu keeps is an algorithm");

bool
switti_cuda_choose_algorithm (SwittiKernelContext *context, SwittiCudaProductPlan *plan)
{
  SwittiCudaProducts *products = context->runtime->products;
  const std::string key = switti_cuda_choice_key (plan->product);
  cublasLtMatmulHeuristicResult_t results[MAX_ALGORITHMS];
  SwittiCudaChoice choice;

  if (find_chosen (products, plan, key))
    return true;
  const int found = find_algorithms (products, plan, results);
  if (found == 0)
    return false;
  plan->algorithm = results[quickest (context, plan, results, found)].algo;
  memcpy (choice.data (), &plan->algorithm, sizeof plan->algorithm);
  products->choices.by_product[key] = choice;
  products->choices.is_new = true;
  return true;
}
