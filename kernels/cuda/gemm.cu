/* gemm.cu - matrix products: what a library leaves to do around its own
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The product itself is the library's (products-private.h), as a batch of one product an image, so that the bits of an
 * image do not depend on their number. It takes one dtype for both operands: where they differ, or where D is bf16 and
 * they are float32, an operand is widened (D narrowed) by way of memory of the plan. Bias, activation and the rounding
 * of D are one pass of ours, which is left out where there is nothing to do.
 *
 * A packed B is B as it was, in b_dtype: the library wants nothing else.
 */
#include "products-private.h"

#include "activation-private.h"

#include <cstdlib>

/* Dimensions beyond this are refused: products of three sizes must not overflow. */
#define MAX_DIMENSION ((int64_t) 1 << 30)
#define FINISH_THREADS 256

struct SwittiGemmPlan
{
  SwittiGemm gemm;
  SwittiDtype multiplied;
  SwittiCudaProductPlan *direct;  /* into D */
  SwittiCudaProductPlan *biased;  /* into D, with a bias; NULL where the library cannot */
  SwittiCudaProductPlan *to_wide; /* into wide_d; NULL where it is never needed */
  float *wide_a, *wide_b; /* float32 copies of operands that are bf16; NULL where they are read as they are */
  float *wide_d;          /* the product before it is finished */
};

static bool
is_float (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16;
}

/* -- packing ---------------------------------------------------------------------------------------------------- */

size_t
switti_cuda_gemm_packed_bytes (SwittiKernelContext *, int64_t n, int64_t k, SwittiDtype b_dtype)
{
  if (n < 1 || k < 1 || n > MAX_DIMENSION || k > MAX_DIMENSION || !is_float (b_dtype))
    return 0;
  return (size_t) n * (size_t) k * switti_dtype_size (b_dtype);
}

/* Rows [first, first + rows) of B to the device: as they are, or in another dtype by way of `staging`. */
static SwittiKernelStatus
pack_rows (SwittiKernelContext *context, int64_t rows, int64_t k, SwittiDtype b_dtype, SwittiDtype src_dtype,
           const char *src, int64_t ldb, char *packed, void *staging)
{
  const size_t row_bytes = (size_t) k * switti_dtype_size (src_dtype);
  char *to = b_dtype == src_dtype ? packed : static_cast<char *> (staging);
  SwittiKernelStatus status = SWITTI_KERNEL_OK;

  if (ldb == k)
    status = switti_cuda_upload (context, to, src, (size_t) rows * row_bytes);
  for (int64_t r = 0; ldb != k && r < rows && status == SWITTI_KERNEL_OK; r++)
    status = switti_cuda_upload (context, to + (size_t) r * row_bytes,
                                 src + (size_t) (r * ldb) * switti_dtype_size (src_dtype), row_bytes);
  if (status == SWITTI_KERNEL_OK && b_dtype != src_dtype)
    status = context->ops.convert (context, rows * k, src_dtype, staging, b_dtype, packed);
  return status;
}

SwittiKernelStatus
switti_cuda_gemm_pack (SwittiKernelContext *context, int64_t n, int64_t k, SwittiDtype b_dtype, SwittiDtype src_dtype,
                       const void *src, int64_t ldb, void *packed)
{
  SwittiKernelStatus status = SWITTI_KERNEL_OK;
  void *staging = NULL;
  int64_t rows;

  context->error[0] = '\0';
  if (switti_cuda_gemm_packed_bytes (context, n, k, b_dtype) == 0 || ldb < k || src == NULL || packed == NULL
      || (!is_float (src_dtype) && src_dtype != SWITTI_DTYPE_F16))
    return switti_cuda_fail (context, SWITTI_KERNEL_INVALID,
                             "gemm_pack: a shape, dtype or pointer outside its contract");
  rows = (int64_t) (STAGING_BYTES / 4) / k;
  rows = rows < 1 ? 1 : rows < n ? rows : n;
  if (b_dtype != src_dtype)
    status = switti_cuda_alloc (context, (size_t) (rows * k) * switti_dtype_size (src_dtype), &staging);
  for (int64_t r = 0; r < n && status == SWITTI_KERNEL_OK; r += rows)
    status = pack_rows (context, n - r < rows ? n - r : rows, k, b_dtype, src_dtype,
                        static_cast<const char *> (src) + (size_t) (r * ldb) * switti_dtype_size (src_dtype), ldb,
                        static_cast<char *> (packed) + (size_t) (r * k) * switti_dtype_size (b_dtype), staging);
  switti_cuda_free (context, staging);
  return status;
}

/* -- planning --------------------------------------------------------------------------------------------------- */

static bool
gemm_is_valid (const SwittiGemm *g)
{
  if (g->m < 1 || g->n < 1 || g->k < 1 || g->m > MAX_DIMENSION || g->n > MAX_DIMENSION || g->k > MAX_DIMENSION)
    return false;
  if (g->row_group < 1 || g->m % g->row_group != 0)
    return false;
  if (!is_float (g->a_dtype) || !is_float (g->b_dtype) || !is_float (g->d_dtype))
    return false;
  if (g->lda < (g->a_is_km ? g->m : g->k) || g->ldd < g->n)
    return false;
  if (!g->b_packed && g->ldb < (g->b_is_kn ? g->n : g->k))
    return false;
  if (g->b_packed && g->b_is_kn)
    return false;
  if (g->accumulate && (g->d_dtype != SWITTI_DTYPE_F32 || g->activation != SWITTI_ACTIVATION_NONE))
    return false;
  return g->activation >= SWITTI_ACTIVATION_NONE && g->activation <= SWITTI_ACTIVATION_GELU_TANH;
}

/* Elements from the first of an operand of `rows` rows to its last. */
static size_t
span (int64_t rows, int64_t width, int64_t stride)
{
  return (size_t) ((rows - 1) * stride + width);
}

static size_t
a_span (const SwittiGemm *g)
{
  return g->a_is_km ? span (g->k, g->m, g->lda) : span (g->m, g->k, g->lda);
}

static int64_t
b_stride (const SwittiGemm *g)
{
  return g->b_packed ? g->k : g->ldb;
}

static size_t
b_span (const SwittiGemm *g)
{
  return g->b_is_kn ? span (g->k, g->n, b_stride (g)) : span (g->n, g->k, b_stride (g));
}

static SwittiKernelStatus
allocate_floats (SwittiKernelContext *context, size_t count, float **memory)
{
  void *bytes;
  const SwittiKernelStatus status = switti_cuda_alloc (context, count * sizeof (float), &bytes);

  *memory = static_cast<float *> (bytes);
  return status;
}

static SwittiKernelStatus
plan_operands (SwittiKernelContext *context, SwittiGemmPlan *plan)
{
  const SwittiGemm *g = &plan->gemm;
  SwittiKernelStatus status = SWITTI_KERNEL_OK;

  if (g->a_dtype != plan->multiplied)
    status = allocate_floats (context, a_span (g), &plan->wide_a);
  if (status == SWITTI_KERNEL_OK && g->b_dtype != plan->multiplied)
    status = allocate_floats (context, b_span (g), &plan->wide_b);
  return status;
}

/* The products that a run may ask for. A bf16 D is made by the library where it needs no more than that, or than a
 * bias; otherwise it is finished from a float32 product, so that it is rounded once. */
static SwittiKernelStatus
plan_products (SwittiKernelContext *context, SwittiGemmPlan *plan)
{
  const SwittiGemm *g = &plan->gemm;
  const bool narrow = g->d_dtype == SWITTI_DTYPE_BF16;
  const bool plain = g->activation == SWITTI_ACTIVATION_NONE
                     && (!narrow || plan->multiplied == SWITTI_DTYPE_BF16);
  SwittiCudaProduct product = {};
  SwittiKernelStatus status = SWITTI_KERNEL_OK;

  product.batch = g->m / g->row_group;
  product.m = g->row_group;
  product.n = g->n;
  product.k = g->k;
  product.lda = g->lda;
  product.ldb = b_stride (g);
  product.ldd = g->ldd;
  product.ab_dtype = plan->multiplied;
  product.d_dtype = g->d_dtype;
  product.a_is_km = g->a_is_km;
  product.b_is_kn = g->b_is_kn;
  product.accumulate = g->accumulate;
  if (plain || !narrow)
    status = switti_cuda_product_plan (context, &product, &plan->direct);
  product.bias = true;
  if (status == SWITTI_KERNEL_OK && plain)
    status = switti_cuda_product_plan (context, &product, &plan->biased);
  if (status != SWITTI_KERNEL_OK || !narrow || plan->biased != NULL)
    return status;
  product.bias = false;
  product.ldd = g->n;
  product.d_dtype = SWITTI_DTYPE_F32;
  status = allocate_floats (context, (size_t) (g->m * g->n), &plan->wide_d);
  return status == SWITTI_KERNEL_OK ? switti_cuda_product_plan (context, &product, &plan->to_wide) : status;
}

SwittiKernelStatus
switti_cuda_gemm_plan (SwittiKernelContext *context, const SwittiGemm *gemm, SwittiGemmPlan **plan)
{
  SwittiGemmPlan *self;
  SwittiKernelStatus status;

  context->error[0] = '\0';
  if (plan == NULL || gemm == NULL || !gemm_is_valid (gemm))
    return switti_cuda_fail (context, SWITTI_KERNEL_INVALID, "gemm_plan: a shape or dtype outside its contract");
  *plan = NULL;
  self = static_cast<SwittiGemmPlan *> (calloc (1, sizeof *self));
  if (self == NULL)
    return switti_cuda_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "no memory is left for the plan of a product");
  self->gemm = *gemm;
  self->multiplied = gemm->a_dtype == gemm->b_dtype ? gemm->a_dtype : SWITTI_DTYPE_F32;
  status = plan_operands (context, self);
  if (status == SWITTI_KERNEL_OK)
    status = plan_products (context, self);
  if (status != SWITTI_KERNEL_OK)
    {
      switti_cuda_gemm_plan_free (context, self);
      return status;
    }
  *plan = self;
  return SWITTI_KERNEL_OK;
}

void
switti_cuda_gemm_plan_free (SwittiKernelContext *context, SwittiGemmPlan *plan)
{
  if (plan == NULL)
    return;
  for (SwittiCudaProductPlan *product : { plan->direct, plan->biased, plan->to_wide })
    if (product != NULL)
      switti_cuda_product_plan_free (context, product);
  switti_cuda_free (context, plan->wide_a);
  switti_cuda_free (context, plan->wide_b);
  switti_cuda_free (context, plan->wide_d);
  free (plan);
}

const SwittiGemm *
switti_cuda_gemm_descriptor (const SwittiGemmPlan *plan)
{
  return &plan->gemm;
}

/* -- running ----------------------------------------------------------------------------------------------------- */

/* d (m, n) = activation (product + bias), four columns a thread; `product` may be d. */
template <bool VECTOR, typename D>
__global__ void __launch_bounds__ (FINISH_THREADS)
finish_product (int n, int64_t lanes, const float *product, int64_t ldp, const float *bias, SwittiActivation activation,
                D *d, int64_t ldd)
{
  const int64_t i = (int64_t) blockIdx.x * FINISH_THREADS + threadIdx.x;
  const int lanes_per_row = (n + LANE - 1) / LANE;
  float value[LANE], added[LANE];

  if (i >= lanes)
    return;
  const int64_t row = i / lanes_per_row;
  const int j = (int) (i % lanes_per_row) * LANE;
  load_lane<VECTOR> (product + row * ldp, j, n, value);
  if (bias != nullptr)
    {
      load_lane<VECTOR> (bias, j, n, added);
#pragma unroll
      for (int e = 0; e < LANE; e++)
        value[e] += added[e];
    }
  if (activation != SWITTI_ACTIVATION_NONE)
    {
#pragma unroll
      for (int e = 0; e < LANE; e++)
        value[e] = activate (activation, value[e]);
    }
  store_lane<VECTOR> (d + row * ldd, j, n, value);
}

template <typename D>
static SwittiKernelStatus
finish (SwittiKernelContext *context, const SwittiGemm *g, const float *product, int64_t ldp, const float *bias, D *d)
{
  const int64_t lanes = g->m * blocks_for (g->n, LANE), blocks = blocks_for (lanes, FINISH_THREADS);
  const dim3 grid ((unsigned int) blocks), block (FINISH_THREADS);

  if (!is_launchable (blocks))
    return SWITTI_KERNEL_INVALID;
  if (is_vector (product, ldp, g->n) && is_vector (bias, 0, g->n) && is_vector (d, g->ldd, g->n))
    return SWITTI_LAUNCH (context, (finish_product<true, D>), grid, block, 0, (int) g->n, lanes, product, ldp, bias,
                          g->activation, d, g->ldd);
  return SWITTI_LAUNCH (context, (finish_product<false, D>), grid, block, 0, (int) g->n, lanes, product, ldp, bias,
                        g->activation, d, g->ldd);
}

/* The product of operands of one dtype, and what comes after it. */
static SwittiKernelStatus
multiply (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a, const void *b, const float *bias,
          void *d)
{
  const SwittiGemm *g = &plan->gemm;
  SwittiKernelStatus status;

  if (bias != NULL && plan->biased != NULL)
    return switti_cuda_product_run (context, plan->biased, a, b, bias, d);
  if (g->d_dtype == SWITTI_DTYPE_BF16 && (bias != NULL || plan->direct == NULL))
    {
      status = switti_cuda_product_run (context, plan->to_wide, a, b, NULL, plan->wide_d);
      return status == SWITTI_KERNEL_OK
                 ? finish (context, g, plan->wide_d, g->n, bias, static_cast<Bf16 *> (d))
                 : status;
    }
  status = switti_cuda_product_run (context, plan->direct, a, b, NULL, d);
  if (status != SWITTI_KERNEL_OK || (bias == NULL && g->activation == SWITTI_ACTIVATION_NONE))
    return status;
  return finish (context, g, static_cast<const float *> (d), g->ldd, bias, static_cast<float *> (d));
}

SwittiKernelStatus
switti_cuda_gemm (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a, const void *b,
                  const float *bias, void *d)
{
  const SwittiGemm *g = &plan->gemm;
  SwittiKernelStatus status = SWITTI_KERNEL_OK;

  if (plan->wide_a != NULL)
    status = context->ops.convert (context, (int64_t) a_span (g), g->a_dtype, a, SWITTI_DTYPE_F32, plan->wide_a);
  if (status == SWITTI_KERNEL_OK && plan->wide_b != NULL)
    status = context->ops.convert (context, (int64_t) b_span (g), g->b_dtype, b, SWITTI_DTYPE_F32, plan->wide_b);
  if (status != SWITTI_KERNEL_OK)
    return status;
  return multiply (context, plan, plan->wide_a != NULL ? plan->wide_a : a, plan->wide_b != NULL ? plan->wide_b : b,
                   bias, d);
}
