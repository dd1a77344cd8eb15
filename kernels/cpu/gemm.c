/* gemm.c - matrix products, shared out in tiles
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * D is cut into tiles of one panel of columns (SWITTI_PANEL_WIDTH) by up to SWITTI_TILE_ROWS rows, which the threads
 * take one by one. A tile walks along k in blocks; each block is one micro-kernel call that goes through all rows
 * while the block of the panel stays in the L2 cache. A packed panel lies in memory as it is read, so that few rows
 * (the first scales, the conditioning) are bound by one pass over the weights and nothing else.
 *
 * BF16 is multiplied as such where A and B both are and the processor can. Otherwise the product is float32: A is
 * staged once a call, and the blocks of B are widened in the thread's scratch, so that weights stay BF16 in memory.
 * float16 is multiplied so, too: the product of two is exact in float32.
 *
 * The bits of an element of D follow from the order of its sums, which k and the dtypes alone decide.
 */
#include "brgemm-private.h"
#include "cpu-private.h"
#include "tile-private.h"

#include <omp.h>
#include <stdlib.h>

/* Tiles for each thread below which rows are cut finer, and the fewest rows that are worth a tile of their own. */
#define TILES_PER_THREAD 4
#define LEAST_ROWS 48

/* Dimensions beyond this are refused: products of three sizes must not overflow. */
#define MAX_DIMENSION ((int64_t) 1 << 30)

struct SwittiGemmPlan
{
  SwittiGemm gemm;
  SwittiDtype multiplied; /* what the micro-kernels multiply */
  bool direct;            /* the micro-kernels write into D itself */
  int64_t k_padded;       /* k as the panels have it */
  int64_t k_block, n_k_blocks;
  int64_t tile_rows, n_row_tiles, n_panels;
  int64_t lda;  /* of the operand that the micro-kernels read */
  void *staged; /* A as `multiplied`, contiguous; NULL where A is read as it is */
  /* [the last tile of rows][the last panel][the last block of k][adding to C] */
  const SwittiBrgemm *kernels[2][2][2][2];
};

static bool
is_float (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16;
}

static int64_t
padded_k (int64_t k, SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_BF16 ? switti_round_up (k, 2) : k;
}

/* -- packing --------------------------------------------------------------------------------------------------- */

size_t
switti_cpu_gemm_packed_bytes (SwittiKernelContext *context, int64_t n, int64_t k, SwittiDtype b_dtype)
{
  if (n < 1 || k < 1 || n > MAX_DIMENSION || k > MAX_DIMENSION || !is_float (b_dtype))
    return 0;
  return (size_t) switti_round_up (n, SWITTI_PANEL_WIDTH) * (size_t) padded_k (k, b_dtype)
         * switti_dtype_size (b_dtype);
}

SwittiKernelStatus
switti_cpu_gemm_pack (SwittiKernelContext *context, int64_t n, int64_t k, SwittiDtype b_dtype, SwittiDtype src_dtype,
                      const void *src, int64_t ldb, void *packed)
{
  size_t panel_bytes, row_bytes;

  context->error[0] = '\0';
  if (switti_cpu_gemm_packed_bytes (context, n, k, b_dtype) == 0 || ldb < k || src == NULL || packed == NULL
      || (!is_float (src_dtype) && src_dtype != SWITTI_DTYPE_F16))
    return switti_cpu_fail (context, SWITTI_KERNEL_INVALID,
                            "gemm_pack: a shape, dtype or pointer outside its contract");

  panel_bytes = SWITTI_PANEL_WIDTH * (size_t) padded_k (k, b_dtype) * switti_dtype_size (b_dtype);
  row_bytes = (size_t) ldb * switti_dtype_size (src_dtype);
#pragma omp parallel for schedule(dynamic) num_threads(context->n_threads)
  for (int64_t j = 0; j < n; j += SWITTI_PANEL_WIDTH)
    {
      SwittiTileSource source = {
        .data = (const char *) src + (size_t) j * row_bytes,
        .dtype = src_dtype,
        .row_stride = ldb,
        .column_stride = 1,
      };
      context->tiles->pack (&source, switti_min (n - j, SWITTI_PANEL_WIDTH), k, b_dtype,
                            (char *) packed + (size_t) (j / SWITTI_PANEL_WIDTH) * panel_bytes);
    }
  return SWITTI_KERNEL_OK;
}

/* -- planning -------------------------------------------------------------------------------------------------- */

/* Cuts m into tiles: few enough that a panel's block is used by many rows, enough for the threads to share. */
static void
plan_rows (SwittiGemmPlan *plan, int n_threads)
{
  int64_t m = plan->gemm.m;
  int64_t tiles = switti_div_up (m, SWITTI_TILE_ROWS);
  int64_t wanted = switti_div_up ((int64_t) n_threads * TILES_PER_THREAD, plan->n_panels);

  if (tiles < wanted)
    tiles = switti_min (wanted, switti_div_up (m, LEAST_ROWS));
  plan->tile_rows = switti_div_up (m, tiles);
  plan->n_row_tiles = switti_div_up (m, plan->tile_rows);
}

static SwittiKernelStatus
plan_kernel (SwittiKernelContext *context, SwittiGemmPlan *plan, int last_rows, int last_panel, int last_k, int add)
{
  const SwittiGemm *g = &plan->gemm;
  SwittiBrgemmShape shape = {
    .m = last_rows ? g->m - (plan->n_row_tiles - 1) * plan->tile_rows : plan->tile_rows,
    .n = last_panel ? g->n - (plan->n_panels - 1) * SWITTI_PANEL_WIDTH : SWITTI_PANEL_WIDTH,
    .k = last_k ? plan->k_padded - (plan->n_k_blocks - 1) * plan->k_block : plan->k_block,
    .batch = 1,
    .lda = plan->lda,
    .ldc = plan->direct ? g->ldd : SWITTI_PANEL_WIDTH,
    .bf16 = plan->multiplied == SWITTI_DTYPE_BF16,
    .add = add || (plan->direct && g->accumulate),
  };
  const SwittiBrgemm *kernel = switti_brgemm_get (context, &shape);

  plan->kernels[last_rows][last_panel][last_k][add] = kernel;
  return kernel != NULL ? SWITTI_KERNEL_OK : SWITTI_KERNEL_OUT_OF_MEMORY;
}

/* Makes those of the 16 kernels that the tiles call for. */
static SwittiKernelStatus
plan_kernels (SwittiKernelContext *context, SwittiGemmPlan *plan)
{
  for (int i = 0; i < 16; i++)
    {
      int last_rows = i & 1, last_panel = i >> 1 & 1, last_k = i >> 2 & 1, add = i >> 3 & 1;
      bool needed = (last_rows || plan->n_row_tiles > 1) && (last_panel || plan->n_panels > 1)
                    && (last_k || plan->n_k_blocks > 1)
                    /* The first block of k starts the sum, the others add. */
                    && (add ? plan->n_k_blocks > (last_k ? 1 : 2) : !last_k || plan->n_k_blocks == 1);

      if (needed && plan_kernel (context, plan, last_rows, last_panel, last_k, add) != SWITTI_KERNEL_OK)
        return SWITTI_KERNEL_OUT_OF_MEMORY;
    }
  return SWITTI_KERNEL_OK;
}

SwittiKernelStatus
switti_cpu_gemm_plan (SwittiKernelContext *context, const SwittiGemm *gemm, SwittiGemmPlan **plan)
{
  SwittiGemmPlan *self;
  bool bf16;

  *plan = NULL;
  self = calloc (1, sizeof *self);
  if (self == NULL)
    return switti_cpu_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "no memory is left for the plan of a product");

  bf16 = context->has_avx512_bf16 && gemm->a_dtype == SWITTI_DTYPE_BF16 && gemm->b_dtype == SWITTI_DTYPE_BF16;
  self->gemm = *gemm;
  self->multiplied = bf16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32;
  self->direct = gemm->d_dtype == SWITTI_DTYPE_F32 && gemm->activation == SWITTI_ACTIVATION_NONE;
  /* Panels of BF16 have an even number of rows, also where they are widened. */
  self->k_padded = padded_k (gemm->k, gemm->b_dtype);
  self->k_block = switti_k_block (self->k_padded, bf16 ? SWITTI_PANEL_ROWS_BF16 : SWITTI_PANEL_ROWS_F32);
  self->n_k_blocks = switti_div_up (self->k_padded, self->k_block);
  self->n_panels = switti_div_up (gemm->n, SWITTI_PANEL_WIDTH);
  plan_rows (self, context->n_threads);

  self->lda = gemm->lda;
  if (gemm->a_is_km || gemm->a_dtype != self->multiplied || self->k_padded != gemm->k)
    {
      self->lda = self->k_padded;
      if (switti_cpu_alloc (context,
                            (size_t) gemm->m * (size_t) self->k_padded * switti_dtype_size (self->multiplied),
                            &self->staged)
          != SWITTI_KERNEL_OK)
        {
          free (self);
          return SWITTI_KERNEL_OUT_OF_MEMORY;
        }
    }
  if (plan_kernels (context, self) != SWITTI_KERNEL_OK)
    {
      switti_cpu_gemm_plan_free (context, self);
      return switti_cpu_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "no memory is left for the plan of a product");
    }
  *plan = self;
  return SWITTI_KERNEL_OK;
}

void
switti_cpu_gemm_plan_free (SwittiKernelContext *context, SwittiGemmPlan *plan)
{
  if (plan == NULL)
    return;
  free (plan->staged);
  free (plan);
}

const SwittiGemm *
switti_cpu_gemm_descriptor (const SwittiGemmPlan *plan)
{
  return &plan->gemm;
}

/* -- running --------------------------------------------------------------------------------------------------- */

/* One call's operands. */
typedef struct
{
  SwittiKernelContext *context;
  const SwittiGemmPlan *plan;
  const void *a; /* staged or the caller's */
  const void *b;
  const float *bias;
  void *d;
} Product;

static void
stage_a (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a)
{
  const SwittiGemm *g = &plan->gemm;
  const int64_t rows = 32;
  const int64_t row_stride = g->a_is_km ? 1 : g->lda;

#pragma omp parallel for schedule(static) num_threads(context->n_threads) if (g->m > rows)
  for (int64_t i = 0; i < g->m; i += rows)
    {
      SwittiTileSource source = {
        .data = (const char *) a + (size_t) (i * row_stride) * switti_dtype_size (g->a_dtype),
        .dtype = g->a_dtype,
        .row_stride = row_stride,
        .column_stride = g->a_is_km ? g->lda : 1,
      };
      context->tiles->stage (&source, switti_min (rows, g->m - i), g->k, plan->k_padded, plan->multiplied,
                             (char *) plan->staged
                                 + (size_t) (i * plan->k_padded) * switti_dtype_size (plan->multiplied));
    }
}

/* Rows k0 .. k0 + k of panel `panel` as the micro-kernels take them: where they lie, or made in `scratch`. */
static const void *
panel_block (const Product *product, int64_t panel, int64_t k0, int64_t k, float *scratch)
{
  const SwittiGemmPlan *plan = product->plan;
  const SwittiGemm *g = &plan->gemm;
  const size_t size = switti_dtype_size (g->b_dtype);
  SwittiTileSource source;

  if (g->b_packed)
    {
      const char *rows = (const char *) product->b + (size_t) (panel * plan->k_padded + k0) * SWITTI_PANEL_WIDTH * size;

      if (g->b_dtype == plan->multiplied)
        return rows;
      product->context->tiles->widen ((const uint16_t *) (const void *) rows, k, scratch);
      return scratch;
    }
  source.dtype = g->b_dtype;
  source.row_stride = g->b_is_kn ? 1 : g->ldb;
  source.column_stride = g->b_is_kn ? g->ldb : 1;
  source.data = (const char *) product->b
                + (size_t) (panel * SWITTI_PANEL_WIDTH * source.row_stride + k0 * source.column_stride) * size;
  product->context->tiles->pack (&source, switti_min (SWITTI_PANEL_WIDTH, g->n - panel * SWITTI_PANEL_WIDTH),
                                 switti_min (k, g->k - k0), plan->multiplied, scratch);
  /* The row that pads k to even meets a zero of A, but must not be NaN. */
  if (k0 + k > g->k && plan->multiplied == SWITTI_DTYPE_F32)
    for (int64_t j = 0; j < SWITTI_PANEL_WIDTH; j++)
      scratch[(k - 1) * SWITTI_PANEL_WIDTH + j] = 0.0f;
  return scratch;
}

static void
multiply_tile (const Product *product, int64_t row_tile, int64_t panel, float *scratch)
{
  static const SwittiBrgemmOffset origin;
  const SwittiGemmPlan *plan = product->plan;
  const SwittiGemm *g = &plan->gemm;
  const int64_t row = row_tile * plan->tile_rows, column = panel * SWITTI_PANEL_WIDTH;
  const int last_rows = row_tile == plan->n_row_tiles - 1, last_panel = panel == plan->n_panels - 1;
  const size_t size = switti_dtype_size (plan->multiplied);
  float *block = scratch + SWITTI_TILE_ROWS * SWITTI_PANEL_WIDTH;
  float *c = plan->direct ? (float *) product->d + row * g->ldd + column : scratch;
  SwittiTileStore store = {
    .m = switti_min (plan->tile_rows, g->m - row),
    .n = switti_min (SWITTI_PANEL_WIDTH, g->n - column),
    .c = c,
    .ldc = plan->direct ? g->ldd : SWITTI_PANEL_WIDTH,
    .bias = product->bias != NULL ? product->bias + column : NULL,
    .activation = g->activation,
    .d_dtype = g->d_dtype,
    .d = (char *) product->d + (size_t) (row * g->ldd + column) * switti_dtype_size (g->d_dtype),
    .ldd = g->ldd,
  };

  for (int64_t i = 0; i < plan->n_k_blocks; i++)
    {
      const int64_t k0 = i * plan->k_block, k = switti_min (plan->k_block, plan->k_padded - k0);
      const char *a = (const char *) product->a + (size_t) (row * plan->lda + k0) * size;

      switti_brgemm_run (plan->kernels[last_rows][last_panel][i == plan->n_k_blocks - 1][i > 0], a,
                         panel_block (product, panel, k0, k, block), &origin, c);
    }
  if (!plan->direct || product->bias != NULL)
    product->context->tiles->store (&store);
}

SwittiKernelStatus
switti_cpu_gemm (SwittiKernelContext *context, const SwittiGemmPlan *plan, const void *a, const void *b,
                 const float *bias, void *d)
{
  const int64_t n_tiles = plan->n_row_tiles * plan->n_panels;
  Product product = { .context = context, .plan = plan, .a = a, .b = b, .bias = bias, .d = d };

  if (plan->staged != NULL)
    {
      stage_a (context, plan, a);
      product.a = plan->staged;
    }
#pragma omp parallel num_threads(context->n_threads) if (n_tiles > 1)
  {
    float *scratch = switti_cpu_thread_scratch (context, omp_get_thread_num ());

#pragma omp for schedule(dynamic)
    for (int64_t tile = 0; tile < n_tiles; tile++)
      multiply_tile (&product, tile % plan->n_row_tiles, tile / plan->n_row_tiles, scratch);
    switti_brgemm_release ();
  }
  return SWITTI_KERNEL_OK;
}
