/* gemm.cu - matrix products: what a library leaves to do around its own
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The product itself is the library's (products-private.h), as a batch of one product an image, so that the bits of an
 * image do not depend on their number. It takes one dtype for both operands: where they differ, or where D is bf16 and
 * they are float32, an operand is widened (D narrowed) by way of memory of the plan. The library adds the bias, adds to
 * D and takes GELU where it can; for the rest, bias, activation and the rounding of D are one pass of ours.
 *
 * A packed B is B as it was, in b_dtype: the library wants nothing else.
 */
#include "products-private.h"

#include "activation-private.h"

#include <cstdlib>

/* Dimensions beyond this are refused: products of two sizes must not overflow. */
#define MAX_DIMENSION ((int64_t) 1 << 30)
#define FINISH_THREADS 256

struct SwittiGemmPlan
{
  SwittiGemm gemm;
  SwittiDtype multiplied;
  SwittiCudaProductPlan *direct;  /* D, whole; NULL where the library cannot make it */
  SwittiCudaProductPlan *biased;  /* the same with a bias */
  SwittiCudaProductPlan *to_wide; /* the product alone, in float32; NULL where it is never needed */
  float *wide_a, *wide_b; /* float32 copies of operands that are bf16; NULL where they are read as they are */
  float *wide_d;          /* where to_wide goes; NULL: to D */
  bool narrow;            /* biased takes a bf16 bias */
  void *narrow_bias;      /* (n) bf16, for one that is not packed; else NULL */
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

/* A product for D with all that the plan asks for, with a bias or without. NULL, with OK: the library has none. */
static SwittiKernelStatus
plan_whole (SwittiKernelContext *context, SwittiGemmPlan *plan, SwittiCudaProduct product, bool bias)
{
  const SwittiGemm *g = &plan->gemm;
  SwittiCudaProductPlan **whole = bias ? &plan->biased : &plan->direct;
  SwittiKernelStatus status;

  product.bias = bias;
  product.gelu = g->activation == SWITTI_ACTIVATION_GELU_TANH;
  status = switti_cuda_product_plan (context, &product, whole);
  /* To most libraries the bias of a bf16 D is bf16. */
  if (status != SWITTI_KERNEL_OK || *whole != NULL || !bias || g->d_dtype != SWITTI_DTYPE_BF16)
    return status;
  product.bias_dtype = SWITTI_DTYPE_BF16;
  status = switti_cuda_product_plan (context, &product, whole);
  if (status == SWITTI_KERNEL_OK && *whole != NULL)
    {
      plan->narrow = true;
      if (!g->bias_packed)
        status = switti_cuda_alloc (context, (size_t) g->n * switti_dtype_size (SWITTI_DTYPE_BF16),
                                    &plan->narrow_bias);
    }
  return status;
}

/* The products that a run may ask for. The library makes D where it can do all that D needs; otherwise it is finished
 * from a float32 product, so that it is rounded once: in D itself, or by way of wide_d. The library's GELU is good
 * enough for bf16 alone. */
static SwittiKernelStatus
plan_products (SwittiKernelContext *context, SwittiGemmPlan *plan)
{
  const SwittiGemm *g = &plan->gemm;
  const bool narrow = g->d_dtype == SWITTI_DTYPE_BF16;
  const bool activates = narrow && g->activation == SWITTI_ACTIVATION_GELU_TANH;
  const bool whole = (activates || g->activation == SWITTI_ACTIVATION_NONE)
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
  product.bias_dtype = SWITTI_DTYPE_F32;
  product.a_is_km = g->a_is_km;
  product.b_is_kn = g->b_is_kn;
  product.accumulate = g->accumulate;
  if (whole)
    status = plan_whole (context, plan, product, false);
  if (whole && status == SWITTI_KERNEL_OK)
    status = plan_whole (context, plan, product, true);
  if (status != SWITTI_KERNEL_OK || (plan->direct != NULL && plan->biased != NULL))
    return status;
  product.d_dtype = SWITTI_DTYPE_F32;
  if (narrow)
    {
      product.ldd = g->n;
      status = allocate_floats (context, (size_t) (g->m * g->n), &plan->wide_d);
    }
  return status == SWITTI_KERNEL_OK ? switti_cuda_product_plan (context, &product, &plan->to_wide) : status;
}

SwittiKernelStatus
switti_cuda_gemm_plan (SwittiKernelContext *context, const SwittiGemm *gemm, SwittiGemmPlan **plan)
{
  SwittiGemmPlan *self;
  SwittiKernelStatus status;

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
  switti_cuda_free (context, plan->narrow_bias);
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

/* The product that adds the bias itself. */
static SwittiKernelStatus
multiply_biased (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a, const void *b,
                 const float *bias, void *d)
{
  const void *narrow = reinterpret_cast<const char *> (bias) + SWITTI_BIAS_NARROW (plan->gemm.n);
  SwittiKernelStatus status = SWITTI_KERNEL_OK;

  if (plan->narrow_bias != NULL)
    status = context->ops.convert (context, plan->gemm.n, SWITTI_DTYPE_F32, bias, SWITTI_DTYPE_BF16,
                                   plan->narrow_bias);
  if (status != SWITTI_KERNEL_OK)
    return status;
  if (plan->narrow_bias != NULL)
    narrow = plan->narrow_bias;
  return switti_cuda_product_run (context, plan->biased, a, b, plan->narrow ? narrow : bias, d);
}

/* The product of operands of one dtype, and what comes after it. */
static SwittiKernelStatus
multiply (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a, const void *b, const float *bias,
          void *d)
{
  const SwittiGemm *g = &plan->gemm;
  SwittiKernelStatus status;

  if (bias != NULL && plan->biased != NULL)
    return multiply_biased (context, plan, a, b, bias, d);
  if (bias == NULL && plan->direct != NULL)
    return switti_cuda_product_run (context, plan->direct, a, b, NULL, d);
  status = switti_cuda_product_run (context, plan->to_wide, a, b, NULL, plan->wide_d != NULL ? plan->wide_d : d);
  if (status != SWITTI_KERNEL_OK || (plan->wide_d == NULL && bias == NULL && g->activation == SWITTI_ACTIVATION_NONE))
    return status;
  if (plan->wide_d != NULL)
    return finish (context, g, plan->wide_d, g->n, bias, static_cast<Bf16 *> (d));
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
