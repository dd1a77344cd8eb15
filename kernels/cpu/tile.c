/* tile.c - packing, widening and storing the tiles of products, and the portable micro-kernel
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "tile-private.h"
#include "math-private.h"

#define WIDTH SWITTI_PANEL_WIDTH

/* Rows of a panel packed at a time: one cache line of float32 of each source row. */
#define PACK_ROWS 16

SWITTI_INLINE float
load_source (SwittiDtype dtype, const void *data, int64_t i)
{
  switch (dtype)
    {
    case SWITTI_DTYPE_F32:
      return ((const float *) data)[i];
    case SWITTI_DTYPE_BF16:
      return switti_bf16_to_f32 (((const uint16_t *) data)[i]);
    default:
      return switti_f16_to_f32 (((const uint16_t *) data)[i]);
    }
}

SWITTI_INLINE uint16_t
load_source_bf16 (SwittiDtype dtype, const void *data, int64_t i)
{
  /* Bits pass through unchanged where they are BF16 already. */
  if (dtype == SWITTI_DTYPE_BF16)
    return ((const uint16_t *) data)[i];
  return switti_f32_to_bf16 (load_source (dtype, data, i));
}

/* -- packing --------------------------------------------------------------------------------------------------- */

SWITTI_INLINE void
pack_f32 (SwittiDtype dtype, const SwittiTileSource *source, int64_t n, int64_t k, float *panel)
{
  const int64_t rs = source->row_stride, cs = source->column_stride;

  for (int64_t k0 = 0; k0 < k; k0 += PACK_ROWS)
    {
      const int64_t k1 = switti_min (k, k0 + PACK_ROWS);

      if (n < WIDTH)
        memset (panel + k0 * WIDTH, 0, (size_t) ((k1 - k0) * WIDTH) * sizeof (float));
      if (rs == 1)
        {
          for (int64_t p = k0; p < k1; p++)
            for (int64_t j = 0; j < n; j++)
              panel[p * WIDTH + j] = load_source (dtype, source->data, j + p * cs);
        }
      else
        {
          for (int64_t j = 0; j < n; j++)
            for (int64_t p = k0; p < k1; p++)
              panel[p * WIDTH + j] = load_source (dtype, source->data, j * rs + p * cs);
        }
    }
}

SWITTI_INLINE void
pack_bf16 (SwittiDtype dtype, const SwittiTileSource *source, int64_t n, int64_t k, uint16_t *panel)
{
  const int64_t rs = source->row_stride, cs = source->column_stride;

  for (int64_t k0 = 0; k0 < k; k0 += PACK_ROWS)
    {
      const int64_t k1 = switti_min (k, k0 + PACK_ROWS);

      if (n < WIDTH || k1 % 2 != 0)
        memset (panel + k0 * WIDTH, 0, (size_t) (switti_round_up (k1 - k0, 2) * WIDTH) * sizeof (uint16_t));
      for (int64_t j = 0; j < n; j++)
        for (int64_t p = k0; p < k1; p++)
          panel[(p / 2 * WIDTH + j) * 2 + p % 2] = load_source_bf16 (dtype, source->data, j * rs + p * cs);
    }
}

static void
pack (const SwittiTileSource *source, int64_t n, int64_t k, SwittiDtype dtype, void *panel)
{
  if (dtype == SWITTI_DTYPE_F32)
    switch (source->dtype)
      {
      case SWITTI_DTYPE_F32:
        pack_f32 (SWITTI_DTYPE_F32, source, n, k, panel);
        break;
      case SWITTI_DTYPE_BF16:
        pack_f32 (SWITTI_DTYPE_BF16, source, n, k, panel);
        break;
      default:
        pack_f32 (SWITTI_DTYPE_F16, source, n, k, panel);
        break;
      }
  else
    switch (source->dtype)
      {
      case SWITTI_DTYPE_F32:
        pack_bf16 (SWITTI_DTYPE_F32, source, n, k, panel);
        break;
      case SWITTI_DTYPE_BF16:
        pack_bf16 (SWITTI_DTYPE_BF16, source, n, k, panel);
        break;
      default:
        pack_bf16 (SWITTI_DTYPE_F16, source, n, k, panel);
        break;
      }
}

/* A pair of rows lies in one 32-bit word a column: the even row in its low half, the odd one in its high half. */
static void
widen (const uint16_t *panel, int64_t k, float *out)
{
  for (int64_t p = 0; p < k; p += 2)
    {
      const uint16_t *pair = panel + p * WIDTH;
      float *even = out + p * WIDTH, *odd = even + WIDTH;

#pragma omp simd
      for (int64_t j = 0; j < WIDTH; j++)
        {
          uint32_t word;
          memcpy (&word, pair + 2 * j, sizeof word);
          even[j] = switti_float_from_bits (word << 16);
          odd[j] = switti_float_from_bits (word & 0xffff0000u);
        }
    }
}

/* -- the left operand ------------------------------------------------------------------------------------------ */

SWITTI_INLINE void
stage_rows (SwittiDtype in, SwittiDtype out_dtype, const SwittiTileSource *source, int64_t m, int64_t k,
            int64_t k_out, void *out)
{
  const int64_t rs = source->row_stride, cs = source->column_stride;

  for (int64_t i = 0; i < m; i++)
    {
      const void *row = switti_at (in, source->data, i * rs);
      void *to = switti_at_mutable (out_dtype, out, i * k_out);

      if (cs == 1)
        {
#pragma omp simd
          for (int64_t j = 0; j < k; j++)
            switti_store (out_dtype, to, j, switti_load (in, row, j));
        }
      else
        {
          for (int64_t j = 0; j < k; j++)
            switti_store (out_dtype, to, j, switti_load (in, row, j * cs));
        }
      for (int64_t j = k; j < k_out; j++)
        switti_store (out_dtype, to, j, 0.0f);
    }
}

static void
stage (const SwittiTileSource *source, int64_t m, int64_t k, int64_t k_out, SwittiDtype dtype, void *out)
{
  if (source->dtype == SWITTI_DTYPE_F32 && dtype == SWITTI_DTYPE_F32)
    stage_rows (SWITTI_DTYPE_F32, SWITTI_DTYPE_F32, source, m, k, k_out, out);
  else if (source->dtype == SWITTI_DTYPE_F32)
    stage_rows (SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16, source, m, k, k_out, out);
  else if (dtype == SWITTI_DTYPE_F32)
    stage_rows (SWITTI_DTYPE_BF16, SWITTI_DTYPE_F32, source, m, k, k_out, out);
  else
    stage_rows (SWITTI_DTYPE_BF16, SWITTI_DTYPE_BF16, source, m, k, k_out, out);
}

/* -- storing --------------------------------------------------------------------------------------------------- */

/* erf x to 1.5e-7 (Abramowitz and Stegun, 7.1.26): the rounding of float32 next to 1. */
SWITTI_INLINE float
erf_of (float x)
{
  const float z = fabsf (x);
  const float t = 1.0f / (1.0f + 0.3275911f * z);
  const float p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
  const float value = 1.0f - p * switti_exp (-z * z);

  return x < 0.0f ? -value : value;
}

SWITTI_INLINE float
activate (SwittiActivation activation, float x)
{
  switch (activation)
    {
    case SWITTI_ACTIVATION_SILU:
      return switti_silu (x);
    case SWITTI_ACTIVATION_QUICK_GELU:
      return x / (1.0f + switti_exp (-1.702f * x));
    case SWITTI_ACTIVATION_GELU_ERF:
      return 0.5f * x * (1.0f + erf_of (x * 0.70710678f));
    case SWITTI_ACTIVATION_GELU_TANH:
      /* (1 + tanh u) / 2 = 1 / (1 + exp (-2 u)) */
      return x / (1.0f + switti_exp (-1.5957691f * (x + 0.044715f * x * x * x)));
    case SWITTI_ACTIVATION_NONE:
      break;
    }
  return x;
}

SWITTI_INLINE void
activate_row (SwittiActivation activation, int64_t n, const float *c, const float *bias, float *row)
{
  if (bias != NULL)
    {
#pragma omp simd
      for (int64_t j = 0; j < n; j++)
        row[j] = activate (activation, c[j] + bias[j]);
    }
  else
    {
#pragma omp simd
      for (int64_t j = 0; j < n; j++)
        row[j] = activate (activation, c[j]);
    }
}

SWITTI_INLINE void
store_rows (SwittiDtype dtype, SwittiActivation activation, const SwittiTileStore *s)
{
  for (int64_t i = 0; i < s->m; i++)
    {
      void *d = switti_at_mutable (dtype, s->d, i * s->ldd);
      const void *residual = switti_at (dtype, s->residual, i * s->ldd);
      float row[WIDTH];

      activate_row (activation, s->n, s->c + i * s->ldc, s->bias, row);
      if (residual != NULL)
        {
#pragma omp simd
          for (int64_t j = 0; j < s->n; j++)
            row[j] += switti_load (dtype, residual, j);
        }
      if (s->accumulate)
        {
#pragma omp simd
          for (int64_t j = 0; j < s->n; j++)
            row[j] += switti_load (dtype, d, j);
        }
#pragma omp simd
      for (int64_t j = 0; j < s->n; j++)
        switti_store (dtype, d, j, row[j]);
    }
}

SWITTI_INLINE void
store_dtype (SwittiDtype dtype, const SwittiTileStore *s)
{
  switch (s->activation)
    {
    case SWITTI_ACTIVATION_NONE:
      store_rows (dtype, SWITTI_ACTIVATION_NONE, s);
      break;
    case SWITTI_ACTIVATION_SILU:
      store_rows (dtype, SWITTI_ACTIVATION_SILU, s);
      break;
    case SWITTI_ACTIVATION_QUICK_GELU:
      store_rows (dtype, SWITTI_ACTIVATION_QUICK_GELU, s);
      break;
    case SWITTI_ACTIVATION_GELU_ERF:
      store_rows (dtype, SWITTI_ACTIVATION_GELU_ERF, s);
      break;
    case SWITTI_ACTIVATION_GELU_TANH:
      store_rows (dtype, SWITTI_ACTIVATION_GELU_TANH, s);
      break;
    }
}

static void
store (const SwittiTileStore *s)
{
  if (s->d_dtype == SWITTI_DTYPE_F32)
    store_dtype (SWITTI_DTYPE_F32, s);
  else
    store_dtype (SWITTI_DTYPE_BF16, s);
}

/* -- the portable micro-kernel --------------------------------------------------------------------------------- */

static void
multiply (int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *panel, float *c, int64_t ldc,
          bool add)
{
  for (int64_t i = 0; i < m; i++)
    {
      float sums[WIDTH];

      for (int64_t j = 0; j < WIDTH; j++)
        sums[j] = 0.0f;
      for (int64_t p = 0; p < k; p++)
        {
          const float factor = a[i * lda + p];
#pragma omp simd
          for (int64_t j = 0; j < WIDTH; j++)
            sums[j] += factor * panel[p * WIDTH + j];
        }
      for (int64_t j = 0; j < n; j++)
        c[i * ldc + j] = add ? c[i * ldc + j] + sums[j] : sums[j];
    }
}

static const SwittiTileOps tile_ops = {
  .pack = pack,
  .widen = widen,
  .stage = stage,
  .store = store,
  .multiply = multiply,
};

const SwittiTileOps *
SWITTI_CPU_SYMBOL (tile_ops) (void)
{
  return &tile_ops;
}
