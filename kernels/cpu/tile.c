/* tile.c - packing, widening and storing the tiles of products, and the portable micro-kernel
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "activation-private.h"
#include "math-private.h"
#include "tile-private.h"

#define WIDTH SWITTI_PANEL_WIDTH

/* What is moved at a time: 16 words of 32 bits, each a float32 or a pair of bf16 neighbours. GCC and clang make it one
 * AVX-512 register, two of AVX2 or four of SSE2. */
#define WORDS 16
typedef uint32_t Words __attribute__ ((vector_size (4 * WORDS)));

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

/* Elements of `dtype` in 16 words. */
SWITTI_INLINE int64_t
elements_of_words (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_F32 ? WORDS : 2 * WORDS;
}

SWITTI_INLINE void
load_elements (SwittiDtype in, SwittiDtype out, const void *data, int64_t count, Words *words)
{
  float floats[WORDS] = { 0 };
  uint16_t halves[2 * WORDS] = { 0 };

  if (out == SWITTI_DTYPE_F32)
    {
      for (int64_t i = 0; i < count; i++)
        floats[i] = load_source (in, data, i);
      memcpy (words, floats, sizeof *words);
    }
  else
    {
      for (int64_t i = 0; i < count; i++)
        halves[i] = load_source_bf16 (in, data, i);
      memcpy (words, halves, sizeof *words);
    }
}

/* 16 words of `out` elements from `count` contiguous ones of `in`, zeros after them. */
SWITTI_INLINE void
load_words (SwittiDtype in, SwittiDtype out, const void *data, int64_t count, Words *words)
{
  if (count < elements_of_words (out))
    load_elements (in, out, data, count, words);
  else if (in == out)
    memcpy (words, data, sizeof *words);
  else
    load_elements (in, out, data, elements_of_words (out), words);
}

/* Transposes 16 x 16 words. Each of the four steps is a perfect shuffle of all 256: it moves the top bit of the row's
 * number to the low end of the column's, and the column's to the row's. */
SWITTI_INLINE void
transpose (Words rows[WORDS])
{
  for (int step = 0; step < 4; step++)
    {
      Words shuffled[WORDS];

      for (int i = 0; i < WORDS / 2; i++)
        {
          const Words a = rows[i], b = rows[i + WORDS / 2];

          shuffled[2 * i]
              = __builtin_shufflevector (a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
          shuffled[2 * i + 1]
              = __builtin_shufflevector (a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
      memcpy (rows, shuffled, sizeof shuffled);
    }
}

/* -- packing --------------------------------------------------------------------------------------------------- */

/* From rows of contiguous k, 16 columns of the panel at a time: 16 streams are read and one is written. */
SWITTI_INLINE void
pack_transposed (SwittiDtype in, SwittiDtype out, const SwittiTileSource *source, int64_t n, int64_t k,
                 uint32_t *panel)
{
  const int64_t step = elements_of_words (out), n_words = switti_div_up (k * WORDS, step);

  for (int64_t j0 = 0; j0 < WIDTH; j0 += WORDS)
    for (int64_t k0 = 0; k0 < k; k0 += step)
      {
        const int64_t word0 = k0 * WORDS / step;
        Words words[WORDS];

        for (int64_t j = 0; j < WORDS; j++)
          if (j0 + j < n)
            load_words (in, out, switti_at (in, source->data, (j0 + j) * source->row_stride + k0), k - k0, &words[j]);
          else
            words[j] = (Words) { 0 };
        transpose (words);
        for (int64_t p = 0; p < switti_min (WORDS, n_words - word0); p++)
          memcpy (panel + (word0 + p) * WIDTH + j0, &words[p], sizeof words[p]);
      }
}

/* From rows of contiguous n. */
SWITTI_INLINE void
pack_straight (SwittiDtype in, SwittiDtype out, const SwittiTileSource *source, int64_t n, int64_t k, void *panel)
{
  const int64_t rows = out == SWITTI_DTYPE_F32 ? k : switti_round_up (k, 2);

  if (n < WIDTH || rows > k)
    memset (panel, 0, (size_t) (rows * WIDTH) * switti_dtype_size (out));
  for (int64_t p = 0; p < k; p++)
    {
      const void *row = switti_at (in, source->data, p * source->column_stride);

      if (out == SWITTI_DTYPE_F32)
        for (int64_t j = 0; j < n; j++)
          ((float *) panel)[p * WIDTH + j] = load_source (in, row, j);
      else
        for (int64_t j = 0; j < n; j++)
          ((uint16_t *) panel)[(p / 2 * WIDTH + j) * 2 + p % 2] = load_source_bf16 (in, row, j);
    }
}

SWITTI_INLINE void
pack_dtype (SwittiDtype in, SwittiDtype out, const SwittiTileSource *source, int64_t n, int64_t k, void *panel)
{
  if (source->column_stride == 1)
    pack_transposed (in, out, source, n, k, panel);
  else
    pack_straight (in, out, source, n, k, panel);
}

static void
pack (const SwittiTileSource *source, int64_t n, int64_t k, SwittiDtype dtype, void *panel)
{
  if (dtype == SWITTI_DTYPE_F32)
    switch (source->dtype)
      {
      case SWITTI_DTYPE_F32:
        pack_dtype (SWITTI_DTYPE_F32, SWITTI_DTYPE_F32, source, n, k, panel);
        break;
      case SWITTI_DTYPE_BF16:
        pack_dtype (SWITTI_DTYPE_BF16, SWITTI_DTYPE_F32, source, n, k, panel);
        break;
      default:
        pack_dtype (SWITTI_DTYPE_F16, SWITTI_DTYPE_F32, source, n, k, panel);
        break;
      }
  else
    switch (source->dtype)
      {
      case SWITTI_DTYPE_F32:
        pack_dtype (SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16, source, n, k, panel);
        break;
      case SWITTI_DTYPE_BF16:
        pack_dtype (SWITTI_DTYPE_BF16, SWITTI_DTYPE_BF16, source, n, k, panel);
        break;
      default:
        pack_dtype (SWITTI_DTYPE_F16, SWITTI_DTYPE_BF16, source, n, k, panel);
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
stage_straight (SwittiDtype in, SwittiDtype out_dtype, const SwittiTileSource *source, int64_t m, int64_t k,
                int64_t k_out, void *out)
{
  for (int64_t i = 0; i < m; i++)
    {
      const void *row = switti_at (in, source->data, i * source->row_stride);
      void *to = switti_at_mutable (out_dtype, out, i * k_out);

#pragma omp simd
      for (int64_t j = 0; j < k; j++)
        switti_store (out_dtype, to, j, load_source (in, row, j));
      for (int64_t j = k; j < k_out; j++)
        switti_store (out_dtype, to, j, 0.0f);
    }
}

SWITTI_INLINE void
stage_transposed (SwittiDtype in, SwittiDtype out_dtype, const SwittiTileSource *source, int64_t m, int64_t k,
                  int64_t k_out, void *out)
{
  for (int64_t i0 = 0; i0 < m; i0 += WORDS)
    for (int64_t j0 = 0; j0 < k_out; j0 += WORDS)
      {
        Words words[WORDS];

        for (int64_t j = 0; j < WORDS; j++)
          if (j0 + j < k)
            load_words (in, SWITTI_DTYPE_F32, switti_at (in, source->data, i0 + (j0 + j) * source->column_stride),
                        m - i0, &words[j]);
          else
            words[j] = (Words) { 0 };
        transpose (words);
        for (int64_t i = 0; i < switti_min (WORDS, m - i0); i++)
          {
            void *to = switti_at_mutable (out_dtype, out, (i0 + i) * k_out + j0);
            float row[WORDS];

            memcpy (row, &words[i], sizeof row);
            for (int64_t j = 0; j < switti_min (WORDS, k_out - j0); j++)
              switti_store (out_dtype, to, j, row[j]);
          }
      }
}

SWITTI_INLINE void
stage_dtype (SwittiDtype in, SwittiDtype out_dtype, const SwittiTileSource *source, int64_t m, int64_t k,
             int64_t k_out, void *out)
{
  if (source->column_stride == 1)
    stage_straight (in, out_dtype, source, m, k, k_out, out);
  else
    stage_transposed (in, out_dtype, source, m, k, k_out, out);
}

static void
stage (const SwittiTileSource *source, int64_t m, int64_t k, int64_t k_out, SwittiDtype dtype, void *out)
{
  if (source->dtype == SWITTI_DTYPE_F32 && dtype == SWITTI_DTYPE_F32)
    stage_dtype (SWITTI_DTYPE_F32, SWITTI_DTYPE_F32, source, m, k, k_out, out);
  else if (source->dtype == SWITTI_DTYPE_F32)
    stage_dtype (SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16, source, m, k, k_out, out);
  else if (source->dtype == SWITTI_DTYPE_F16) /* which is always multiplied as float32 */
    stage_dtype (SWITTI_DTYPE_F16, SWITTI_DTYPE_F32, source, m, k, k_out, out);
  else if (dtype == SWITTI_DTYPE_F32)
    stage_dtype (SWITTI_DTYPE_BF16, SWITTI_DTYPE_F32, source, m, k, k_out, out);
  else
    stage_dtype (SWITTI_DTYPE_BF16, SWITTI_DTYPE_BF16, source, m, k, k_out, out);
}

/* -- storing --------------------------------------------------------------------------------------------------- */

SWITTI_INLINE void
activate_row (SwittiActivation activation, int64_t n, const float *c, const float *bias, float *row)
{
  if (bias != NULL)
    {
#pragma omp simd
      for (int64_t j = 0; j < n; j++)
        row[j] = switti_activate (activation, c[j] + bias[j]);
    }
  else
    {
#pragma omp simd
      for (int64_t j = 0; j < n; j++)
        row[j] = switti_activate (activation, c[j]);
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
