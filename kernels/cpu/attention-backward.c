/* attention-backward.c - gradients of softmax (q . k^T * scale) . v
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A thread takes one head of one image at a time, so that its keys' and values' gradients are its own: tiles of queries
 * add to them one after another, in an order that no number of threads changes. A tile first goes through the keys for
 * each query's maximum and sum (FlashAttention's backward, without a stored log-sum-exp), then again for the gradients.
 * Scores are kept from the first pass where the thread's scratch holds them.
 *
 * As in attention.c, queries lie across the lanes: scores (keys, lanes), gradients of queries (d, lanes). What is
 * computed here is float32, and BF16 operands are widened as they are packed; but products of two operands as they were
 * given, q . k^T and dout . v^T, are made of pairs of BF16 where the processor multiplies those.
 */
#include "attention-tile-private.h"

#define MAX_LANES 64
#define MAX_KEYS 64
/* Past this width of a head, tiles and blocks are made smaller to fit the scratch. */
#define WIDE_HEAD 256
#define NARROW_LANES 16
#define NARROW_KEYS 16

typedef struct
{
  const SwittiAttentionBackward *backward;
  const int32_t *key_length;
  const void *q, *k, *v, *out, *dout;
  void *dq;
  float *dk, *dv;
} Operands;

/* Queries [first, first + count) of one head of one image, in a thread's scratch. */
typedef struct
{
  int64_t image, head;
  int64_t first, count, lanes;
  int64_t keys, key_block;
  int64_t width, depth; /* d rounded up to lanes of 16, and to TILE_ROWS */
  bool keeps_scores;
  bool in_pairs;        /* queries, gradients, key_words and values_block hold two BF16 a word, neighbours in d */
  float *greatest, *inverse, *delta; /* (lanes): maximum, 1 / sum of weights, sum of dout * out */
  float *limit;                      /* (lanes): keys that the query sees */
  float *queries, *gradients;        /* (d, lanes), or (d / 2, lanes) in pairs: q and dout */
  float *query_rows, *gradient_rows; /* (lanes, width) */
  float *dq;                         /* (depth, lanes) */
  float *keys_block, *values_block;  /* (key_block, width), values_block in pairs as key_words */
  float *key_words;                  /* (key_block, width / 2) */
  float *weight_gradients;           /* (key_block, lanes) */
  float *sums;                       /* (key_block, width) */
  float *scores;                     /* (key_block or all keys, lanes) */
} Tile;

static int64_t
round_up (int64_t value, int64_t multiple)
{
  return (value + multiple - 1) / multiple * multiple;
}

static int64_t
row_offset (const SwittiRows *rows, const Tile *tile, int64_t d, int64_t r)
{
  return tile->image * rows->image_stride + r * rows->row_stride + tile->head * d;
}

/* -- packing --------------------------------------------------------------------------------------------------- */

/* Rows [first, first + count) of this head as float32 (count rounded up to TILE_ROWS, width), padded with zeros. */
SWITTI_INLINE void
pack_rows (SwittiDtype dtype, const Tile *tile, const void *base, const SwittiRows *rows, int64_t d, int64_t first,
           int64_t count, float *out)
{
  const int64_t width = tile->width;

  for (int64_t i = 0; i < count; i++)
    {
      const void *row = switti_at (dtype, base, row_offset (rows, tile, d, first + i));
#pragma omp simd
      for (int64_t x = 0; x < d; x++)
        out[i * width + x] = switti_load (dtype, row, x);
      for (int64_t x = d; x < width; x++)
        out[i * width + x] = 0.0f;
    }
  memset (out + count * width, 0, (size_t) ((round_up (count, TILE_ROWS) - count) * width) * sizeof (float));
}

/* The same rows of BF16 as they are, in pairs: (count rounded up to TILE_ROWS, width / 2) words. */
static void
pack_pairs (const Tile *tile, const void *base, const SwittiRows *rows, int64_t d, int64_t first, int64_t count,
            float *out)
{
  const int64_t words = tile->width / 2, given = d / 2;

  for (int64_t i = 0; i < count; i++)
    {
      memcpy (out + i * words, (const uint16_t *) base + row_offset (rows, tile, d, first + i),
              (size_t) given * sizeof (float));
      memset (out + i * words + given, 0, (size_t) (words - given) * sizeof (float));
    }
  memset (out + count * words, 0, (size_t) ((round_up (count, TILE_ROWS) - count) * words) * sizeof (float));
}

typedef float Four __attribute__ ((vector_size (4 * sizeof (float))));

SWITTI_INLINE Four
load_four (const float *from)
{
  Four four;
  memcpy (&four, from, sizeof four);
  return four;
}

/* out (4, .) from 4 rows of 4 */
SWITTI_INLINE void
transpose_four (const float *rows, int64_t width, float *out, int64_t lanes)
{
  const Four a = load_four (rows), b = load_four (rows + width);
  const Four c = load_four (rows + 2 * width), d = load_four (rows + 3 * width);
  const Four ab_low = __builtin_shufflevector (a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector (a, b, 2, 6, 3, 7);
  const Four cd_low = __builtin_shufflevector (c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector (c, d, 2, 6, 3, 7);
  const Four columns[] = {
    __builtin_shufflevector (ab_low, cd_low, 0, 1, 4, 5),
    __builtin_shufflevector (ab_low, cd_low, 2, 3, 6, 7),
    __builtin_shufflevector (ab_high, cd_high, 0, 1, 4, 5),
    __builtin_shufflevector (ab_high, cd_high, 2, 3, 6, 7),
  };

  for (int i = 0; i < 4; i++)
    memcpy (out + i * lanes, &columns[i], sizeof (Four));
}

/* out (d, lanes) from rows (count, width), zeros past count. What rows has up to multiples of TILE_ROWS is taken along,
 * and must be zeros; so is memory of out. */
static void
transpose (const float *rows, int64_t count, int64_t width, int64_t d, int64_t lanes, float *out)
{
  const int64_t padded = round_up (count, TILE_ROWS);

  for (int64_t x = 0; x < d; x += TILE_ROWS)
    {
      for (int64_t i = 0; i < padded; i += TILE_ROWS)
        transpose_four (rows + i * width + x, width, out + x * lanes + i, lanes);
      for (int64_t row = x; row < x + TILE_ROWS; row++)
        memset (out + row * lanes + padded, 0, (size_t) (lanes - padded) * sizeof (float));
    }
}

/* The sum of dout * out over a row. */
SWITTI_INLINE float
row_product (SwittiDtype dtype, const float *gradient, const void *out, int64_t d)
{
  float sum = 0.0f;

#pragma omp simd reduction(+ : sum)
  for (int64_t x = 0; x < d; x++)
    sum += gradient[x] * switti_load (dtype, out, x);
  return sum;
}

SWITTI_INLINE void
pack_tile (const Operands *o, SwittiDtype dtype, Tile *tile)
{
  const SwittiAttentionBackward *b = o->backward;
  const SwittiAttention *a = &b->attention;

  pack_rows (dtype, tile, o->q, &a->q, a->d, tile->first, tile->count, tile->query_rows);
  pack_rows (dtype, tile, o->dout, &b->dout, a->d, tile->first, tile->count, tile->gradient_rows);
  if (tile->in_pairs)
    {
      pack_pairs (tile, o->q, &a->q, a->d, tile->first, tile->count, tile->sums);
      transpose (tile->sums, tile->count, tile->width / 2, a->d / 2, tile->lanes, tile->queries);
      pack_pairs (tile, o->dout, &b->dout, a->d, tile->first, tile->count, tile->sums);
      transpose (tile->sums, tile->count, tile->width / 2, a->d / 2, tile->lanes, tile->gradients);
    }
  else
    {
      transpose (tile->query_rows, tile->count, tile->width, a->d, tile->lanes, tile->queries);
      transpose (tile->gradient_rows, tile->count, tile->width, a->d, tile->lanes, tile->gradients);
    }
  for (int64_t i = 0; i < tile->lanes; i++)
    {
      const int64_t sees = a->causal ? tile->first + i + a->m - a->n + 1 : tile->keys;

      tile->delta[i] = 0.0f;
      if (i < tile->count)
        tile->delta[i] = row_product (dtype, tile->gradient_rows + i * tile->width,
                                      switti_at (dtype, o->out, row_offset (&a->out, tile, a->d, tile->first + i)),
                                      a->d);
      tile->limit[i] = (float) (sees < tile->keys ? sees : tile->keys);
      tile->greatest[i] = -INFINITY;
      tile->inverse[i] = 0.0f;
    }
  memset (tile->dq, 0, (size_t) (tile->depth * tile->lanes) * sizeof (float));
}

/* -- one tile -------------------------------------------------------------------------------------------------- */

/* c (count, lanes) = rows (count, d), as they were given, times columns (d, lanes): K . Q^T or V . dO^T. */
static void
multiply_given (const Tile *tile, int64_t d, int64_t count, const float *rows, const float *columns, float *c)
{
  const TileProduct product = { .rows = round_up (count, TILE_ROWS), .depth = tile->in_pairs ? d / 2 : d,
                                .lanes = tile->lanes, .a_row = tile->in_pairs ? tile->width / 2 : tile->width,
                                .a_step = 1, .a = (const uint32_t *) rows, .b = (const uint32_t *) columns, .c = c };

  if (tile->in_pairs)
    tile_product (true, &product);
  else
    tile_product (false, &product);
}

/* scores (keys, lanes) = K . Q^T * scale, -inf where a query does not see the key. */
static void
make_scores (const SwittiAttention *a, const Tile *tile, int64_t first, int64_t count, float *scores)
{
  multiply_given (tile, a->d, count, tile->in_pairs ? tile->key_words : tile->keys_block, tile->queries, scores);
  for (int64_t j = 0; j < count; j++)
    {
      const float key = (float) (first + j);
#pragma omp simd
      for (int64_t i = 0; i < tile->lanes; i++)
        scores[j * tile->lanes + i]
            = key < tile->limit[i] ? scores[j * tile->lanes + i] * a->scale : -INFINITY;
    }
}

/* Takes a block of scores into the running maxima and sums; `inverse` holds the sums until the last block. */
static void
add_to_totals (Tile *tile, int64_t count, const float *scores)
{
  for (int64_t i = 0; i < tile->lanes; i += 16)
    {
      float greatest[16], total[16];

      memcpy (greatest, tile->greatest + i, sizeof greatest);
      for (int64_t j = 0; j < count; j++)
        {
#pragma omp simd
          for (int l = 0; l < 16; l++)
            {
              const float score = scores[j * tile->lanes + i + l];
              greatest[l] = score > greatest[l] ? score : greatest[l];
            }
        }
#pragma omp simd
      for (int l = 0; l < 16; l++)
        {
          const float before = tile->greatest[i + l];
          tile->greatest[i + l] = greatest[l];
          /* A query that has seen no key yet: any finite number does. */
          greatest[l] = greatest[l] == -INFINITY ? 0.0f : greatest[l];
          total[l] = tile->inverse[i + l] * switti_exp (before - greatest[l]);
        }
      for (int64_t j = 0; j < count; j++)
        {
#pragma omp simd
          for (int l = 0; l < 16; l++)
            total[l] += switti_exp (scores[j * tile->lanes + i + l] - greatest[l]);
        }
      memcpy (tile->inverse + i, total, sizeof total);
    }
}

SWITTI_INLINE void
measure_rows (const Operands *o, SwittiDtype dtype, Tile *tile)
{
  const SwittiAttention *a = &o->backward->attention;

  for (int64_t first = 0; first < tile->keys; first += tile->key_block)
    {
      const int64_t count = tile->keys - first < tile->key_block ? tile->keys - first : tile->key_block;
      float *scores = tile->scores + (tile->keeps_scores ? first * tile->lanes : 0);

      if (tile->in_pairs)
        pack_pairs (tile, o->k, &a->k, a->d, first, count, tile->key_words);
      else
        pack_rows (dtype, tile, o->k, &a->k, a->d, first, count, tile->keys_block);
      make_scores (a, tile, first, count, scores);
      add_to_totals (tile, count, scores);
    }
  for (int64_t i = 0; i < tile->lanes; i++)
    {
      tile->inverse[i] = tile->inverse[i] == 0.0f ? 0.0f : 1.0f / tile->inverse[i];
      tile->greatest[i] = tile->greatest[i] == -INFINITY ? 0.0f : tile->greatest[i];
    }
}

/* rows (first + i) of this head's gradient += A^T-like product of the block's weights with rows of queries. */
static void
add_key_gradients (const Tile *tile, int64_t d, int64_t first, int64_t count, const float *weights, const float *rows,
                   const SwittiRows *layout, float *gradient)
{
  const TileProduct product = { .rows = round_up (count, TILE_ROWS), .depth = tile->count, .lanes = tile->width,
                                .a_row = tile->lanes, .a_step = 1, .a = (const uint32_t *) weights,
                                .b = (const uint32_t *) rows, .c = tile->sums };

  tile_product (false, &product);
  for (int64_t j = 0; j < count; j++)
    {
      float *row = gradient + row_offset (layout, tile, d, first + j);
#pragma omp simd
      for (int64_t x = 0; x < d; x++)
        row[x] += tile->sums[j * tile->width + x];
    }
}

/* Scores to weights P, and weight_gradients dP to the scores' gradients P (dP - delta) scale. */
static void
differentiate_softmax (const SwittiAttention *a, const Tile *tile, int64_t count, float *scores)
{
  for (int64_t j = 0; j < count; j++)
    {
      float *weights = scores + j * tile->lanes, *gradients = tile->weight_gradients + j * tile->lanes;
#pragma omp simd
      for (int64_t i = 0; i < tile->lanes; i++)
        {
          const float weight = switti_exp (weights[i] - tile->greatest[i]) * tile->inverse[i];
          weights[i] = weight;
          gradients[i] = weight * (gradients[i] - tile->delta[i]) * a->scale;
        }
    }
}

SWITTI_INLINE void
differentiate_block (const Operands *o, SwittiDtype dtype, Tile *tile, int64_t first, int64_t count)
{
  const SwittiAttentionBackward *b = o->backward;
  const SwittiAttention *a = &b->attention;
  float *scores = tile->scores + (tile->keeps_scores ? first * tile->lanes : 0);
  const TileProduct query_gradients = {
    .rows = tile->depth, .depth = count, .lanes = tile->lanes, .a_row = 1, .a_step = tile->width,
    .a = (const uint32_t *) tile->keys_block, .b = (const uint32_t *) tile->weight_gradients, .accumulate = true,
    .c = tile->dq,
  };

  pack_rows (dtype, tile, o->k, &a->k, a->d, first, count, tile->keys_block);
  if (tile->in_pairs)
    pack_pairs (tile, o->v, &a->v, a->d, first, count, tile->values_block);
  else
    pack_rows (dtype, tile, o->v, &a->v, a->d, first, count, tile->values_block);
  if (!tile->keeps_scores && tile->in_pairs)
    pack_pairs (tile, o->k, &a->k, a->d, first, count, tile->key_words);
  if (!tile->keeps_scores)
    make_scores (a, tile, first, count, scores);
  multiply_given (tile, a->d, count, tile->values_block, tile->gradients, tile->weight_gradients);
  differentiate_softmax (a, tile, count, scores);
  tile_product (false, &query_gradients);
  add_key_gradients (tile, a->d, first, count, scores, tile->gradient_rows, &b->dv, o->dv);
  add_key_gradients (tile, a->d, first, count, tile->weight_gradients, tile->query_rows, &b->dk, o->dk);
}

SWITTI_INLINE void
differentiate_tile (const Operands *o, SwittiDtype dtype, Tile *tile)
{
  const int64_t d = o->backward->attention.d;

  pack_tile (o, dtype, tile);
  measure_rows (o, dtype, tile);
  for (int64_t first = 0; first < tile->keys; first += tile->key_block)
    differentiate_block (o, dtype, tile, first,
                         tile->keys - first < tile->key_block ? tile->keys - first : tile->key_block);
  transpose (tile->dq, tile->depth, tile->lanes, tile->count, tile->width, tile->query_rows);
  for (int64_t i = 0; i < tile->count; i++)
    {
      void *row = switti_at_mutable (dtype, o->dq, row_offset (&o->backward->dq, tile, d, tile->first + i));
#pragma omp simd
      for (int64_t x = 0; x < d; x++)
        switti_store (dtype, row, x, tile->query_rows[i * tile->width + x]);
    }
}

/* -- sharing out ----------------------------------------------------------------------------------------------- */

/* Cuts the scratch up for tiles of up to `lanes` queries; what is left is for the scores. False where that is less than
 * a block of them. */
static bool
lay_out (Tile *tile, float *scratch, int64_t d, int64_t lanes, int64_t key_block)
{
  const int64_t width = round_up (d, 16);
  float *next = scratch;
  int64_t left;

  tile->width = width;
  tile->depth = round_up (d, TILE_ROWS);
  tile->key_block = key_block;
#define TAKE(count) (next += (count), next - (count))
  tile->greatest = TAKE (lanes);
  tile->inverse = TAKE (lanes);
  tile->delta = TAKE (lanes);
  tile->limit = TAKE (lanes);
  tile->queries = TAKE (width * lanes);
  tile->gradients = TAKE (width * lanes);
  tile->query_rows = TAKE (width * lanes);
  tile->gradient_rows = TAKE (width * lanes);
  tile->dq = TAKE (width * lanes);
  tile->keys_block = TAKE (width * key_block);
  tile->values_block = TAKE (width * key_block);
  tile->key_words = TAKE (width * key_block / 2);
  tile->sums = TAKE (width * key_block);
  tile->weight_gradients = TAKE (key_block * lanes);
#undef TAKE
  tile->scores = next;
  left = (int64_t) SWITTI_CPU_THREAD_SCRATCH - (next - scratch);
  tile->keeps_scores = round_up (tile->keys, key_block) * lanes <= left;
  return left >= key_block * lanes;
}

/* One head of one image. */
static void
differentiate_head (const Operands *o, Tile *tile, int64_t lanes)
{
  const SwittiAttention *a = &o->backward->attention;

  for (tile->first = 0; tile->first < a->n; tile->first += lanes)
    {
      tile->count = a->n - tile->first < lanes ? a->n - tile->first : lanes;
      tile->lanes = round_up (tile->count, 16);
      if (a->dtype == SWITTI_DTYPE_F32)
        differentiate_tile (o, SWITTI_DTYPE_F32, tile);
      else
        differentiate_tile (o, SWITTI_DTYPE_BF16, tile);
    }
}

/* Tiles lie in the threads' own scratch. */
static size_t
attention_backward_scratch_bytes (SwittiKernelContext *context, const SwittiAttentionBackward *backward)
{
  return 0;
}

static SwittiKernelStatus
attention_backward (SwittiKernelContext *context, const SwittiAttentionBackward *backward, const int32_t *key_length,
                    const void *q, const void *k, const void *v, const void *out, const void *dout, void *dq, float *dk,
                    float *dv, void *scratch)
{
  const Operands operands = { backward, key_length, q, k, v, out, dout, dq, dk, dv };
  const SwittiAttention *a = &backward->attention;
  const bool wide = a->d > WIDE_HEAD;
  const int64_t lanes = wide ? NARROW_LANES : MAX_LANES, key_block = wide ? NARROW_KEYS : MAX_KEYS;
  Tile probe = { .keys = a->m };

  /* Positions are compared as float32, which counts to 2^24. */
  if (a->m > 1 << 24 || a->n > 1 << 24 || !lay_out (&probe, context->thread_scratch, a->d, lanes, key_block))
    return SWITTI_KERNEL_INVALID;
#pragma omp parallel for num_threads(context->n_threads) schedule(dynamic)
  for (int64_t i = 0; i < a->batch * a->heads; i++)
    {
      Tile tile = { .image = i / a->heads, .head = i % a->heads, .keys = a->m };

      if (key_length != NULL && key_length[tile.image] < tile.keys)
        tile.keys = key_length[tile.image];
#if defined(__AVX512F__)
      tile.in_pairs = context->has_avx512_bf16 && a->dtype == SWITTI_DTYPE_BF16 && a->d % 2 == 0;
#endif
      lay_out (&tile, switti_cpu_thread_scratch (context, omp_get_thread_num ()), a->d, lanes, key_block);
      differentiate_head (&operands, &tile, lanes);
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (attention_backward_fill) (SwittiKernels *ops)
{
  ops->attention_backward_scratch_bytes = attention_backward_scratch_bytes;
  ops->attention_backward = attention_backward;
}
