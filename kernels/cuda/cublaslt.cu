/* cublaslt.cu - the adapter to cuBLASLt: descriptors and runs
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cuBLASLt's matrices are column-major: a row-major D (m, n) is its (n, m), so that B comes first there.
 */
#include "cublaslt-private.h"

#include <new>

namespace
{
SwittiKernelStatus
check (SwittiKernelContext *context, cublasStatus_t status, const char *what)
{
  if (status == CUBLAS_STATUS_SUCCESS)
    return SWITTI_KERNEL_OK;
  return switti_cuda_fail (context, status == CUBLAS_STATUS_ALLOC_FAILED ? SWITTI_KERNEL_OUT_OF_MEMORY
                                                                        : SWITTI_KERNEL_DEVICE,
                           "%s: cuBLASLt says %s", what, cublasLtGetStatusString (status));
}

cudaDataType_t
type_of (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_F32 ? CUDA_R_32F : CUDA_R_16BF;
}

/* A row-major (rows, columns) as a column-major (columns, rows), `batch` of them `step` elements apart. */
cublasStatus_t
make_layout (cublasLtMatrixLayout_t *layout, SwittiDtype dtype, int64_t rows, int64_t columns, int64_t stride,
             int64_t batch, int64_t step)
{
  const int32_t count = (int32_t) batch;
  cublasStatus_t status = cublasLtMatrixLayoutCreate (layout, type_of (dtype), (uint64_t) columns, (uint64_t) rows,
                                                      stride);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatrixLayoutSetAttribute (*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasLtMatrixLayoutSetAttribute (*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step,
                                               sizeof step);
  return status;
}

cublasStatus_t
make_operation (SwittiCudaProductPlan *plan)
{
  const SwittiCudaProduct &p = plan->product;
  const cublasOperation_t b = p.b_is_kn ? CUBLAS_OP_N : CUBLAS_OP_T, a = p.a_is_km ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasLtEpilogue_t epilogue = p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  const cudaDataType_t bias_type = CUDA_R_32F;
  cublasStatus_t status = cublasLtMatmulDescCreate (&plan->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);

  const auto set = [&] (cublasLtMatmulDescAttributes_t attribute, const void *value, size_t size) {
    if (status == CUBLAS_STATUS_SUCCESS)
      status = cublasLtMatmulDescSetAttribute (plan->operation, attribute, value, size);
  };
  set (CUBLASLT_MATMUL_DESC_TRANSA, &b, sizeof b);
  set (CUBLASLT_MATMUL_DESC_TRANSB, &a, sizeof a);
  set (CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
  if (p.bias)
    set (CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type);
  return status;
}

cublasStatus_t
make_layouts (SwittiCudaProductPlan *plan, int64_t batch)
{
  const SwittiCudaProduct &p = plan->product;
  cublasStatus_t status = make_layout (&plan->a, p.ab_dtype, p.b_is_kn ? p.k : p.n, p.b_is_kn ? p.n : p.k, p.ldb, batch,
                                       0);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = make_layout (&plan->b, p.ab_dtype, p.a_is_km ? p.k : p.m, p.a_is_km ? p.m : p.k, p.lda, batch,
                          p.a_is_km ? p.m : p.m * p.lda);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = make_layout (&plan->d, p.d_dtype, p.m, p.n, p.ldd, batch, p.m * p.ldd);
  return status;
}

void
free_layouts (SwittiCudaProductPlan *plan)
{
  for (cublasLtMatrixLayout_t *layout : { &plan->a, &plan->b, &plan->d })
    {
      if (*layout != nullptr)
        cublasLtMatrixLayoutDestroy (*layout);
      *layout = nullptr;
    }
}

} // namespace

cublasStatus_t
switti_cuda_run_algorithm (SwittiKernelContext *context, const SwittiCudaProductPlan *plan,
                           const cublasLtMatmulAlgo_t *algorithm, const void *a, const void *b, void *d)
{
  const float one = 1.0f, beta = plan->product.accumulate ? 1.0f : 0.0f;
  SwittiCudaRuntime *runtime = context->runtime;

  return cublasLtMatmul (runtime->products->handle, plan->operation, &one, b, plan->a, a, plan->b, &beta, d, plan->d, d,
                         plan->d, algorithm, runtime->products->workspace, WORKSPACE_BYTES, runtime->stream);
}

SwittiKernelStatus
switti_cuda_products_new (SwittiKernelContext *context, SwittiCudaProducts **products)
{
  SwittiCudaProducts *self = new (std::nothrow) SwittiCudaProducts{};
  SwittiKernelStatus status;

  *products = self;
  if (self == nullptr)
    return SWITTI_KERNEL_OUT_OF_MEMORY;
  status = check (context, cublasLtCreate (&self->handle), "opening cuBLASLt");
  if (status == SWITTI_KERNEL_OK)
    status = switti_cuda_check (context, cudaMalloc (&self->workspace, WORKSPACE_BYTES), "workspace of products");
  return status;
}

void
switti_cuda_products_free (SwittiCudaProducts *products)
{
  if (products->handle != nullptr)
    cublasLtDestroy (products->handle);
  cudaFree (products->workspace);
  delete products;
}

SwittiKernelStatus
switti_cuda_product_plan (SwittiKernelContext *context, const SwittiCudaProduct *product, SwittiCudaProductPlan **plan)
{
  SwittiCudaProductPlan *self = new (std::nothrow) SwittiCudaProductPlan{};
  SwittiKernelStatus status;

  *plan = nullptr;
  if (self == nullptr)
    return SWITTI_KERNEL_OUT_OF_MEMORY;
  self->product = *product;
  status = check (context, make_operation (self), "planning a product");
  if (status == SWITTI_KERNEL_OK)
    status = check (context, make_layouts (self, 1), "planning a product");
  if (status == SWITTI_KERNEL_OK && !switti_cuda_choose_algorithm (context, self))
    {
      switti_cuda_product_plan_free (context, self);
      return product->bias ? SWITTI_KERNEL_OK
                           : switti_cuda_fail (context, SWITTI_KERNEL_DEVICE, "cuBLASLt has no such product");
    }
  free_layouts (self);
  if (status == SWITTI_KERNEL_OK)
    status = check (context, make_layouts (self, product->batch), "planning a product");
  if (status != SWITTI_KERNEL_OK)
    switti_cuda_product_plan_free (context, self);
  else
    *plan = self;
  return status;
}

void
switti_cuda_product_plan_free (SwittiKernelContext *, SwittiCudaProductPlan *plan)
{
  free_layouts (plan);
  if (plan->operation != nullptr)
    cublasLtMatmulDescDestroy (plan->operation);
  delete plan;
}

SwittiKernelStatus
switti_cuda_product_run (SwittiKernelContext *context, const SwittiCudaProductPlan *plan, const void *a, const void *b,
                         const float *bias, void *d)
{
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;

  context->n_launches++;
  if (plan->product.bias)
    status = cublasLtMatmulDescSetAttribute (plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = switti_cuda_run_algorithm (context, plan, &plan->algorithm, a, b, d);
  return check (context, status, "product");
}
