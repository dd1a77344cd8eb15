/* products.cpp - host CUDA's products: those of the CPU's op table, enqueued on the stream
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "products-private.h"

struct SwittiCudaProducts
{
  SwittiKernelContext *cpu;
};

struct SwittiCudaProductPlan
{
  SwittiCudaProduct product;
  SwittiGemmPlan *cpu;
};

SwittiKernelStatus
switti_cuda_products_new (SwittiKernelContext *, SwittiCudaProducts **products)
{
  const SwittiKernelOptions options = { 1, 0, nullptr };
  SwittiKernelContext *cpu;
  const SwittiKernelStatus status = switti_kernels_cpu ()->context_new (&options, &cpu);

  *products = status == SWITTI_KERNEL_OK ? new SwittiCudaProducts{ cpu } : nullptr;
  return status;
}

void
switti_cuda_products_free (SwittiCudaProducts *products)
{
  switti_kernels_cpu ()->context_free (products->cpu);
  delete products;
}

SwittiKernelStatus
switti_cuda_product_plan (SwittiKernelContext *context, const SwittiCudaProduct *product, SwittiCudaProductPlan **plan)
{
  SwittiGemm gemm = {};
  SwittiGemmPlan *cpu;

  *plan = nullptr;
  /* As cuBLASLt has no float32 bias for some: the way around it is tested, too. */
  if (product->bias && product->d_dtype == SWITTI_DTYPE_BF16 && product->n % 3 == 0)
    return SWITTI_KERNEL_OK;
  gemm.m = gemm.row_group = product->m;
  gemm.n = product->n;
  gemm.k = product->k;
  gemm.lda = product->lda;
  gemm.ldb = product->ldb;
  gemm.ldd = product->ldd;
  gemm.a_dtype = gemm.b_dtype = product->ab_dtype;
  gemm.d_dtype = product->d_dtype;
  gemm.a_is_km = product->a_is_km;
  gemm.b_is_kn = product->b_is_kn;
  gemm.accumulate = product->accumulate;
  const SwittiKernelStatus status
      = switti_kernels_cpu ()->gemm_plan (context->runtime->products->cpu, &gemm, &cpu);
  *plan = status == SWITTI_KERNEL_OK ? new SwittiCudaProductPlan{ *product, cpu } : nullptr;
  return status;
}

void
switti_cuda_product_plan_free (SwittiKernelContext *context, SwittiCudaProductPlan *plan)
{
  /* Products that are enqueued still need it, as cuBLASLt's do not. */
  cudaStreamSynchronize (context->runtime->stream);
  switti_kernels_cpu ()->gemm_plan_free (context->runtime->products->cpu, plan->cpu);
  delete plan;
}

SwittiKernelStatus
switti_cuda_product_run (SwittiKernelContext *context, const SwittiCudaProductPlan *plan, const void *a, const void *b,
                         const float *bias, void *d)
{
  SwittiKernelContext *cpu = context->runtime->products->cpu;
  const SwittiCudaProduct product = plan->product;
  const SwittiGemmPlan *cpu_plan = plan->cpu;

  context->n_launches++;
  return switti_cuda_check (
      context, cuda_on_host::enqueue (context->runtime->stream,
                                      [=] {
                                        const int64_t a_step = product.a_is_km ? product.m : product.m * product.lda;
                                        const size_t a_bytes = (size_t) a_step * switti_dtype_size (product.ab_dtype);
                                        const size_t d_bytes = (size_t) (product.m * product.ldd)
                                                               * switti_dtype_size (product.d_dtype);
                                        for (size_t i = 0; i < (size_t) product.batch; i++)
                                          if (switti_kernels_cpu ()->gemm (
                                                  cpu, cpu_plan, static_cast<const char *> (a) + i * a_bytes, b,
                                                  bias, static_cast<char *> (d) + i * d_bytes)
                                              != SWITTI_KERNEL_OK)
                                            return false;
                                        return true;
                                      }),
      "product");
}
