/* cublaslt-private.h - what the files of the cuBLASLt adapter share
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "products-private.h"

#include <cublasLt.h>

/* What algorithms may use between them; split sums of the largest products take about this much. */
#define WORKSPACE_BYTES ((size_t) 32 << 20)

struct SwittiCudaProducts
{
  cublasLtHandle_t handle;
  void *workspace;
};

struct SwittiCudaProductPlan
{
  SwittiCudaProduct product;
  cublasLtMatmulDesc_t operation;
  cublasLtMatrixLayout_t a, b, d; /* A and B as cuBLASLt has them: our B and A */
  cublasLtMatmulAlgo_t algorithm;
};

/* The algorithm for plan->product into the plan, chosen for a batch of one. FALSE where the library has none. */
bool switti_cuda_choose_algorithm (SwittiKernelContext *context, SwittiCudaProductPlan *plan);

cublasStatus_t switti_cuda_run_algorithm (SwittiKernelContext *context, const SwittiCudaProductPlan *plan,
                                          const cublasLtMatmulAlgo_t *algorithm, const void *a, const void *b,
                                          void *d);
