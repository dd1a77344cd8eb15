/* cublaslt-private.h - what the files of the cuBLASLt adapter share
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "choices-private.h"

#include <cublasLt.h>

/* What algorithms may use between them; split sums of the largest products take about this much. */
#define WORKSPACE_BYTES ((size_t) 32 << 20)

struct SwittiCudaProducts
{
  cublasLtHandle_t handle;
  SwittiCudaChoices choices;
  /* One for each stream that products have run on: what runs on two streams at a time must not share it. Made before
   * anything is captured from the stream, by the plan that is made for it. */
  std::map<cudaStream_t, void *> workspaces;
};

struct SwittiCudaProductPlan
{
  SwittiCudaProduct product;
  cublasLtMatmulDesc_t operation;
  cublasLtMatrixLayout_t a, b, d; /* A and B as cuBLASLt has them: our B and A */
  cublasLtMatmulAlgo_t algorithm;
  bool one_by_one;    /* the algorithm takes one group at a time */
  void *aligned_bias; /* (n), for a bias that the library would misread where it is */
};

/* The algorithm for plan->product into the plan, chosen for a batch of one. FALSE where the library has none. */
bool switti_cuda_choose_algorithm (SwittiKernelContext *context, SwittiCudaProductPlan *plan);

/* NULL, after trying, where there is no memory for it: products that need none still run. */
void *switti_cuda_product_workspace (SwittiKernelContext *context);

/* One product, of as many groups as the plan's layouts have. */
cublasStatus_t switti_cuda_run_algorithm (SwittiKernelContext *context, const SwittiCudaProductPlan *plan,
                                          const cublasLtMatmulAlgo_t *algorithm, const void *a, const void *b,
                                          void *d);
