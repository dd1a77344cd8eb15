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
  return dtype == SWITTI_DTYPE_F32 ? CUDA_R_32F : dtype == SWITTI_DTYPE_F16 ? CUDA_R_16F : CUDA_R_16BF;
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
  const cublasLtEpilogue_t epilogue = p.gelu ? (p.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU)
                                             : (p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT);
  const cudaDataType_t bias_type = type_of (p.bias_dtype);
  /* Read by nobody: the heuristic takes a bias' alignment from its address. */
  const void *aligned = reinterpret_cast<const void *> ((uintptr_t) 256);
  cublasStatus_t status = cublasLtMatmulDescCreate (&plan->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);

  const auto set = [&] (cublasLtMatmulDescAttributes_t attribute, const void *value, size_t size) {
    if (status == CUBLAS_STATUS_SUCCESS)
      status = cublasLtMatmulDescSetAttribute (plan->operation, attribute, value, size);
  };
  set (CUBLASLT_MATMUL_DESC_TRANSA, &b, sizeof b);
  set (CUBLASLT_MATMUL_DESC_TRANSB, &a, sizeof a);
  set (CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
  if (p.bias)
    {
      set (CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type);
      set (CUBLASLT_MATMUL_DESC_BIAS_POINTER, &aligned, sizeof aligned);
    }
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
  void *workspace = switti_cuda_product_workspace (context);

  return cublasLtMatmul (runtime->products->handle, plan->operation, &one, b, plan->a, a, plan->b, &beta, d, plan->d, d,
                         plan->d, algorithm, workspace, workspace != nullptr ? WORKSPACE_BYTES : 0, runtime->stream);
}

void *
switti_cuda_product_workspace (SwittiKernelContext *context)
{
  SwittiCudaRuntime *runtime = context->runtime;
  void *&workspace = runtime->products->workspaces[runtime->stream];

  /* While a graph is recorded, asking for memory would spoil it. */
  if (workspace == nullptr && !runtime->recording && cudaMalloc (&workspace, WORKSPACE_BYTES) != cudaSuccess)
    {
      cudaGetLastError ();
      workspace = nullptr;
    }
  return workspace;
}

void *
switti_cuda_products_workspace (SwittiKernelContext *context, size_t *bytes)
{
  void *workspace = switti_cuda_product_workspace (context);

  *bytes = workspace != nullptr ? WORKSPACE_BYTES : 0;
  return workspace;
}

/* "NVIDIA H100 80GB HBM3, driver 13000, cuBLASLt 130002" */
static std::string
identity_of (SwittiKernelContext *context)
{
  cudaDeviceProp device;
  int driver = 0;

  if (cudaGetDeviceProperties (&device, context->runtime->device) != cudaSuccess
      || cudaDriverGetVersion (&driver) != cudaSuccess)
    return "unknown";
  return std::string (device.name) + ", sm_" + std::to_string (device.major * 10 + device.minor) + ", driver "
         + std::to_string (driver) + ", cuBLASLt " + std::to_string (cublasLtGetVersion ());
}

SwittiKernelStatus
switti_cuda_products_new (SwittiKernelContext *context, SwittiCudaProducts **products)
{
  SwittiCudaProducts *self = new (std::nothrow) SwittiCudaProducts{};

  *products = self;
  if (self == nullptr)
    return SWITTI_KERNEL_OUT_OF_MEMORY;
  self->choices.identity = identity_of (context);
  return check (context, cublasLtCreate (&self->handle), "opening cuBLASLt");
}

void
switti_cuda_products_free (SwittiCudaProducts *products)
{
  if (products->handle != nullptr)
    cublasLtDestroy (products->handle);
  for (const auto &[stream, workspace] : products->workspaces)
    cudaFree (workspace);
  delete products;
}

SwittiCudaChoices *
switti_cuda_products_choices (SwittiCudaProducts *products)
{
  return &products->choices;
}

/* Layouts of all groups where the algorithm takes them at once, with the workspace that there is; of one otherwise. */
static SwittiKernelStatus
plan_groups (SwittiKernelContext *context, SwittiCudaProductPlan *plan)
{
  cublasLtMatmulHeuristicResult_t result;
  SwittiKernelStatus status;

  free_layouts (plan);
  status = check (context, make_layouts (plan, plan->product.batch), "planning a product");
  if (status != SWITTI_KERNEL_OK
      || (cublasLtMatmulAlgoCheck (context->runtime->products->handle, plan->operation, plan->a, plan->b, plan->d,
                                   plan->d, &plan->algorithm, &result)
              == CUBLAS_STATUS_SUCCESS
          && result.workspaceSize <= WORKSPACE_BYTES))
    return status;
  plan->one_by_one = true;
  free_layouts (plan);
  return check (context, make_layouts (plan, 1), "planning a product");
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
      return product->bias || product->gelu
                 ? SWITTI_KERNEL_OK
                 : switti_cuda_fail (context, SWITTI_KERNEL_DEVICE, "cuBLASLt has no such product");
    }
  if (status == SWITTI_KERNEL_OK && product->batch > 1)
    status = plan_groups (context, self);
  if (status == SWITTI_KERNEL_OK && product->bias)
    status = switti_cuda_check (context,
                                cudaMalloc (&self->aligned_bias,
                                            (size_t) product->n * switti_dtype_size (product->bias_dtype)),
                                "planning a product");
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
  cudaFree (plan->aligned_bias);
  delete plan;
}

/* Where the library reads the bias: it takes whole vectors. */
static SwittiKernelStatus
set_bias (SwittiKernelContext *context, const SwittiCudaProductPlan *plan, const void *bias)
{
  const SwittiCudaProduct &p = plan->product;

  if ((uintptr_t) bias % 16 != 0)
    {
      const SwittiKernelStatus status = switti_cuda_copy (context, plan->aligned_bias, bias,
                                                          (size_t) p.n * switti_dtype_size (p.bias_dtype));
      if (status != SWITTI_KERNEL_OK)
        return status;
      bias = plan->aligned_bias;
    }
  return check (context,
                cublasLtMatmulDescSetAttribute (plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                                sizeof bias),
                "product");
}

SwittiKernelStatus
switti_cuda_product_run (SwittiKernelContext *context, const SwittiCudaProductPlan *plan, const void *a, const void *b,
                         const void *bias, void *d)
{
  const SwittiCudaProduct &p = plan->product;
  const int64_t calls = plan->one_by_one ? p.batch : 1;
  const size_t a_step = (size_t) (p.a_is_km ? p.m : p.m * p.lda) * switti_dtype_size (p.ab_dtype);
  const size_t d_step = (size_t) (p.m * p.ldd) * switti_dtype_size (p.d_dtype);
  SwittiKernelStatus status = p.bias ? set_bias (context, plan, bias) : SWITTI_KERNEL_OK;

  for (int64_t i = 0; i < calls && status == SWITTI_KERNEL_OK; i++)
    {
      context->launches.products++;
      status = check (context,
                      switti_cuda_run_algorithm (context, plan, &plan->algorithm,
                                                 static_cast<const char *> (a) + (size_t) i * a_step, b,
                                                 static_cast<char *> (d) + (size_t) i * d_step),
                      "product");
    }
  return status;
}
