/* products.cpp - host CUDA's products: those of the CPU's op table, enqueued on the stream
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "choices-private.h"

#include <memory>

struct SwittiCudaProducts
{
  SwittiKernelContext *cpu;
  SwittiCudaChoices choices;
  std::map<cudaStream_t, void *> workspaces;
};

#define WORKSPACE_BYTES ((size_t) 1 << 16)

struct SwittiCudaProductPlan
{
  SwittiCudaProduct product;
  SwittiGemmPlan *cpu;
};

SwittiKernelStatus
switti_cuda_products_new (SwittiKernelContext *, SwittiCudaProducts **products)
{
  /* One for all devices of the process: its micro-kernels are generated once. */
  static SwittiKernelContext *cpu;
  const SwittiKernelOptions options = { 1, 0, nullptr };
  const SwittiKernelStatus status
      = cpu != nullptr ? SWITTI_KERNEL_OK : switti_kernels_cpu ()->context_new (&options, &cpu);

  *products = status == SWITTI_KERNEL_OK ? new SwittiCudaProducts{ cpu, { "host CUDA", {}, {}, false }, {} }
                                         : nullptr;
  return status;
}

void
switti_cuda_products_free (SwittiCudaProducts *products)
{
  for (const auto &[stream, workspace] : products->workspaces)
    cudaFree (workspace);
  delete products;
}

SwittiCudaChoices *
switti_cuda_products_choices (SwittiCudaProducts *products)
{
  return &products->choices;
}

void *
switti_cuda_products_workspace (SwittiKernelContext *context, size_t *bytes)
{
  void *&workspace = context->runtime->products->workspaces[context->runtime->stream];

  if (workspace == nullptr && cudaMalloc (&workspace, WORKSPACE_BYTES) != cudaSuccess)
    {
      cudaGetLastError ();
      workspace = nullptr;
    }
  *bytes = workspace != nullptr ? WORKSPACE_BYTES : 0;
  return workspace;
}

/* There is nothing to choose; what is kept of a choice is kept here, too. */
static void
choose (SwittiCudaChoices *choices, const SwittiCudaProduct &product)
{
  const auto [choice, is_new] = choices->by_product.insert ({ switti_cuda_choice_key (product), {} });

  choice->second[0] = (uint64_t) product.m;
  choices->is_new |= is_new;
}

/* cuBLASLt cannot do everything, either: the ways around it are tested, too. */
static bool
is_refused (const SwittiCudaProduct &product)
{
  if (product.gelu && product.n % 5 == 3)
    return true;
  return product.bias && product.d_dtype == SWITTI_DTYPE_BF16
         && product.n % (product.bias_dtype == SWITTI_DTYPE_F32 ? 3 : 9) == 0;
}

SwittiKernelStatus
switti_cuda_product_plan (SwittiKernelContext *context, const SwittiCudaProduct *product, SwittiCudaProductPlan **plan)
{
  SwittiGemm gemm = {};
  SwittiGemmPlan *cpu;

  *plan = nullptr;
  if (is_refused (*product))
    return SWITTI_KERNEL_OK;
  choose (&context->runtime->products->choices, *product);
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
  gemm.activation = product->gelu ? SWITTI_ACTIVATION_GELU_TANH : SWITTI_ACTIVATION_NONE;
  const SwittiKernelStatus status
      = switti_kernels_cpu ()->gemm_plan (context->runtime->products->cpu, &gemm, &cpu);
  *plan = status == SWITTI_KERNEL_OK ? new SwittiCudaProductPlan{ *product, cpu } : nullptr;
  return status;
}

void
switti_cuda_product_plan_free (SwittiKernelContext *context, SwittiCudaProductPlan *plan)
{
  /* Products that are enqueued still need it, as cuBLASLt's do not. */
  cuda_on_host::finish_all ();
  switti_kernels_cpu ()->gemm_plan_free (context->runtime->products->cpu, plan->cpu);
  delete plan;
}

/* All groups, one after another. */
static bool
multiply (SwittiKernelContext *cpu, const SwittiGemmPlan *plan, const SwittiCudaProduct &product, const void *a,
          const void *b, const void *bias, void *d)
{
  const int64_t a_step = product.a_is_km ? product.m : product.m * product.lda;
  const size_t a_bytes = (size_t) a_step * switti_dtype_size (product.ab_dtype);
  const size_t d_bytes = (size_t) (product.m * product.ldd) * switti_dtype_size (product.d_dtype);
  std::unique_ptr<float[]> wide;
  const float *values = static_cast<const float *> (bias);

  if (bias != nullptr && product.bias_dtype == SWITTI_DTYPE_BF16)
    {
      wide.reset (new float[(size_t) product.n]);
      if (switti_kernels_cpu ()->convert (cpu, product.n, SWITTI_DTYPE_BF16, bias, SWITTI_DTYPE_F32, wide.get ())
          != SWITTI_KERNEL_OK)
        return false;
      values = wide.get ();
    }
  for (size_t i = 0; i < (size_t) product.batch; i++)
    if (switti_kernels_cpu ()->gemm (cpu, plan, static_cast<const char *> (a) + i * a_bytes, b, values,
                                     static_cast<char *> (d) + i * d_bytes)
        != SWITTI_KERNEL_OK)
      return false;
  return true;
}

SwittiKernelStatus
switti_cuda_product_run (SwittiKernelContext *context, const SwittiCudaProductPlan *plan, const void *a, const void *b,
                         const void *bias, void *d)
{
  SwittiKernelContext *cpu = context->runtime->products->cpu;
  const SwittiCudaProduct product = plan->product;
  const SwittiGemmPlan *cpu_plan = plan->cpu;

  context->launches.products++;
  return switti_cuda_check (context,
                            cuda_on_host::enqueue (context->runtime->stream,
                                                   [=] {
                                                     return cuda_on_host::is_dry ()
                                                            || multiply (cpu, cpu_plan, product, a, b, bias, d);
                                                   }),
                            "product");
}
