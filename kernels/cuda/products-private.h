/* products-private.h - the adapter behind which a library multiplies matrices
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cublaslt.cu on a GPU; tests/cuda-on-host/products.cpp, by the CPU's op table, on host CUDA. No arithmetic of ours is
 * here: gemm.cu does what a library leaves (conversions of operands, activations).
 */
#pragma once

#include "runtime-private.h"

/* D (m, n) = A (m, k) . B^T [+ bias (n)] [+ D] [GELU of all that] for each of `batch` groups of m rows, which share B.
 * All row-major, A and B of one dtype; a_is_km: A is stored (k, m); b_is_kn: B is stored (k, n). float32 sums; float32
 * products are not made in a narrower format. The bias is added, and GELU (the tanh approximation) taken, before D is
 * rounded. */
struct SwittiCudaProduct
{
  int64_t batch, m, n, k;
  int64_t lda, ldb, ldd;
  SwittiDtype ab_dtype, d_dtype;
  SwittiDtype bias_dtype; /* F32 or BF16 */
  bool a_is_km, b_is_kn, accumulate;
  bool bias, gelu;
};

struct SwittiCudaProductPlan;
struct SwittiCudaChoices;

SwittiKernelStatus switti_cuda_products_new (SwittiKernelContext *context, SwittiCudaProducts **products);
void switti_cuda_products_free (SwittiCudaProducts *products);
/* What has been chosen so far (choices-private.h). */
SwittiCudaChoices *switti_cuda_products_choices (SwittiCudaProducts *products);

/* Memory that what is enqueued on the context's stream may use until it is done; what comes after it shares it. NULL,
 * of 0 bytes, where there is none. */
void *switti_cuda_products_workspace (SwittiKernelContext *context, size_t *bytes);

/* Bits of a row do not depend on `batch`: the algorithm is chosen for one group. *plan is NULL, with OK, for a bias or
 * GELU that the library cannot do with such a product. */
SwittiKernelStatus switti_cuda_product_plan (SwittiKernelContext *context, const SwittiCudaProduct *product,
                                             SwittiCudaProductPlan **plan);
void switti_cuda_product_plan_free (SwittiKernelContext *context, SwittiCudaProductPlan *plan);
/* bias (n) of bias_dtype, 16-byte aligned; NULL where the product has none. */
SwittiKernelStatus switti_cuda_product_run (SwittiKernelContext *context, const SwittiCudaProductPlan *plan,
                                            const void *a, const void *b, const void *bias, void *d);
