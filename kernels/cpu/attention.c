/* attention.c - softmax (q . k^T * scale) . v
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A tile of queries of one head meets its keys block by block. The block's scores never leave the first-level cache;
 * running maxima and sums (the "online" softmax of FlashAttention) make one pass over the keys enough. A query's sums
 * are made in an order that depends on the keys alone, so its bits depend neither on the tile it is in nor on threads.
 *
 * In the tile everything is transposed, queries across the lanes: queries (depth, lanes), scores (keys, lanes),
 * sums (width, lanes).
 */
#include "attention-tile-private.h"

#define MAX_LANES 64
#define MAX_KEYS 64
/* Words of q and k that are multiplied at a time: what they and the scores take stays in the first-level cache. */
#define DEPTH_STEP 64
/* Past this width of a head, tiles and blocks are made a quarter as large to fit the scratch. */
#define WIDE_HEAD 1024
#define NARROW_LANES 16
#define NARROW_KEYS 16
/* Lanes whose softmax is worked out at a time. */
#define SOFTMAX_LANES 16

/* How words hold what the operands hold. */
typedef enum
{
  WORDS_F32,   /* float32 operands */
  WORDS_BF16,  /* bf16 operands widened to float32 */
  WORDS_PAIRS, /* two bf16 in a word: neighbours in depth for q and k, neighbouring keys for v */
} WordFormat;

typedef struct
{
  const SwittiAttention *attention;
  const int32_t *group_index;
  const int32_t *key_length;
  const void *q;
  const void *k;
  const void *v;
  void *out;
} Operands;

/* Queries [first, first + count) of one head of one image, and the scratch of the thread that has them. */
typedef struct
{
  int64_t image, group, head;
  int64_t first, count, lanes;
  int64_t keys;        /* that any of the queries sees */
  int64_t depth, width; /* words of a row of q and k; d rounded up to TILE_ROWS */
  uint32_t *queries;   /* (depth, lanes) */
  uint32_t *block;     /* (MAX_KEYS, depth) keys, then (MAX_KEYS, width) values */
  float *scores;       /* (MAX_KEYS, lanes) */
  float *sums;         /* (width, lanes) */
  float *greatest;     /* (lanes) running maximum of the scores */
  float *total;        /* (lanes) running sum of the weights */
  float *factor;       /* (lanes) what a new maximum makes of the sums so far */
  int32_t *limit;      /* (lanes) keys that the query sees, where causal */
} Tile;

static int64_t
round_up (int64_t value, int64_t multiple)
{
  return (value + multiple - 1) / multiple * multiple;
}

SWITTI_INLINE SwittiDtype
operand_dtype (WordFormat format)
{
  return format == WORDS_F32 ? SWITTI_DTYPE_F32 : SWITTI_DTYPE_BF16;
}

/* Word x of a row of q or k. */
SWITTI_INLINE uint32_t
row_word (WordFormat format, const void *row, int64_t d, int64_t x)
{
  if (format != WORDS_PAIRS)
    return switti_bits_from_float (switti_load (operand_dtype (format), row, x));
  const uint16_t *values = row;
  return values[2 * x] | (2 * x + 1 < d ? (uint32_t) values[2 * x + 1] << 16 : 0u);
}

SWITTI_INLINE void
pack_queries (const Operands *op, WordFormat format, Tile *tile)
{
  const SwittiRows *rows = &op->attention->q;
  const SwittiDtype dtype = operand_dtype (format);
  const int64_t d = op->attention->d;

  for (int64_t i = 0; i < tile->lanes; i++)
    {
      const void *row = switti_at (dtype, op->q, tile->image * rows->image_stride
                                                     + (tile->first + i) * rows->row_stride + tile->head * d);
      for (int64_t x = 0; x < tile->depth; x++)
        tile->queries[x * tile->lanes + i] = i < tile->count ? row_word (format, row, d, x) : 0u;
    }
}

SWITTI_INLINE void
pack_keys (const Operands *op, WordFormat format, Tile *tile, int64_t first, int64_t count)
{
  const SwittiRows *rows = &op->attention->k;
  const SwittiDtype dtype = operand_dtype (format);
  const int64_t d = op->attention->d;

  for (int64_t i = 0; i < count; i++)
    {
      const void *row = switti_at (dtype, op->k, tile->group * rows->image_stride + (first + i) * rows->row_stride
                                                     + tile->head * d);
      uint32_t *words = tile->block + i * tile->depth;
      if (format == WORDS_PAIRS && d % 2 == 0)
        memcpy (words, row, (size_t) d * sizeof (uint16_t));
      else
        for (int64_t x = 0; x < tile->depth; x++)
          words[x] = row_word (format, row, d, x);
    }
  memset (tile->block + count * tile->depth, 0,
          (size_t) ((round_up (count, TILE_ROWS) - count) * tile->depth) * sizeof (uint32_t));
}

SWITTI_INLINE void
pack_values (const Operands *op, WordFormat format, Tile *tile, int64_t first, int64_t count)
{
  const SwittiRows *rows = &op->attention->v;
  const SwittiDtype dtype = operand_dtype (format);
  const int64_t d = op->attention->d;
  const int64_t keys_per_word = format == WORDS_PAIRS ? 2 : 1;

  for (int64_t i = 0; i < count; i += keys_per_word)
    {
      const void *row = switti_at (dtype, op->v, tile->group * rows->image_stride + (first + i) * rows->row_stride
                                                     + tile->head * d);
      uint32_t *words = tile->block + i / keys_per_word * tile->width;
      const uint16_t *low = row, *high = low + (i + 1 < count ? rows->row_stride : 0);
      const uint32_t mask = i + 1 < count ? 0xffff0000u : 0u;
#pragma omp simd
      for (int64_t x = 0; x < d; x++)
        {
          if (format == WORDS_PAIRS)
            words[x] = low[x] | (((uint32_t) high[x] << 16) & mask);
          else
            words[x] = switti_bits_from_float (switti_load (dtype, row, x));
        }
      for (int64_t x = d; x < tile->width; x++)
        words[x] = 0u;
    }
}

/* Two weights as bf16 in a word, rounded to nearest even. All of it in 32 bits, unlike switti_f32_to_bf16(): loops keep
 * the full width of their vectors. A weight is at most 1, or the NaN that arithmetic makes, which stays one. */
SWITTI_INLINE uint32_t
weight_pair (float low, float high)
{
  const uint32_t a = switti_bits_from_float (low), b = switti_bits_from_float (high);
  return ((a + 0x7fffu + ((a >> 16) & 1u)) >> 16) | ((b + 0x7fffu + ((b >> 16) & 1u)) & 0xffff0000u);
}

/* Scores [lane, lane + SOFTMAX_LANES) of a block to weights, in place; pairs move to the first half of its rows. */
SWITTI_INLINE void
softmax_lanes (const Operands *op, WordFormat format, Tile *tile, int64_t lane, int64_t first, int64_t count)
{
  const int64_t lanes = tile->lanes;
  const float scale = op->attention->scale;
  const bool causal = op->attention->causal;
  float greatest[SOFTMAX_LANES], total[SOFTMAX_LANES];
  float *scores = tile->scores + lane;

  memcpy (greatest, tile->greatest + lane, sizeof greatest);
  for (int64_t j = 0; j < count; j++)
    {
#pragma omp simd
      for (int i = 0; i < SOFTMAX_LANES; i++)
        {
          float score = scores[j * lanes + i] * scale;
          if (causal)
            score = first + j < tile->limit[lane + i] ? score : -INFINITY;
          scores[j * lanes + i] = score;
          greatest[i] = score > greatest[i] ? score : greatest[i];
        }
    }
#pragma omp simd
  for (int i = 0; i < SOFTMAX_LANES; i++)
    {
      const float before = tile->greatest[lane + i];
      tile->greatest[lane + i] = greatest[i];
      /* A query that has seen no key yet: any finite number does. */
      greatest[i] = greatest[i] == -INFINITY ? 0.0f : greatest[i];
      tile->factor[lane + i] = switti_exp (before - greatest[i]);
      total[i] = tile->total[lane + i] * tile->factor[lane + i];
    }
  if (format != WORDS_PAIRS)
    for (int64_t j = 0; j < count; j++)
      {
#pragma omp simd
        for (int i = 0; i < SOFTMAX_LANES; i++)
          {
            const float weight = switti_exp (scores[j * lanes + i] - greatest[i]);
            scores[j * lanes + i] = weight;
            total[i] += weight;
          }
      }
  else
    for (int64_t j = 0; j < count; j += 2)
      {
        const float *low = scores + j * lanes, *high = j + 1 < count ? low + lanes : low;
        const float present = j + 1 < count ? 1.0f : 0.0f;
#pragma omp simd
        for (int i = 0; i < SOFTMAX_LANES; i++)
          {
            const float a = switti_exp (low[i] - greatest[i]);
            const float b = switti_exp (high[i] - greatest[i]) * present;
            total[i] = (total[i] + a) + b;
            scores[j / 2 * lanes + i] = switti_float_from_bits (weight_pair (a, b));
          }
      }
  memcpy (tile->total + lane, total, sizeof total);
}

/* Adds keys [first, first + count) to the tile's sums. */
SWITTI_INLINE void
attend_block (const Operands *op, WordFormat format, Tile *tile, int64_t first, int64_t count)
{
  const bool pairs = format == WORDS_PAIRS;
  TileProduct product = { .rows = round_up (count, TILE_ROWS), .lanes = tile->lanes, .a_row = tile->depth,
                          .a_step = 1, .c = tile->scores };

  pack_keys (op, format, tile, first, count);
  for (int64_t x = 0; x < tile->depth; x += DEPTH_STEP)
    {
      product.depth = tile->depth - x < DEPTH_STEP ? tile->depth - x : DEPTH_STEP;
      product.a = tile->block + x;
      product.b = tile->queries + x * tile->lanes;
      product.accumulate = x > 0;
      tile_product (pairs, &product);
    }
  for (int64_t lane = 0; lane < tile->lanes; lane += SOFTMAX_LANES)
    softmax_lanes (op, format, tile, lane, first, count);
  pack_values (op, format, tile, first, count);
  product = (TileProduct){ .rows = tile->width, .depth = pairs ? (count + 1) / 2 : count, .lanes = tile->lanes,
                           .a_row = 1, .a_step = tile->width, .a = tile->block, .b = (const uint32_t *) tile->scores,
                           .factor = tile->factor, .accumulate = first > 0, .c = tile->sums };
  tile_product (pairs, &product);
}

/* sums / total, back to rows; zeros where a query has seen no key. */
SWITTI_INLINE void
store_tile (const Operands *op, SwittiDtype dtype, const Tile *tile)
{
  const SwittiRows *rows = &op->attention->out;
  const int64_t d = op->attention->d;

  for (int64_t i = 0; i < tile->count; i++)
    {
      void *row = switti_at_mutable (dtype, op->out, tile->image * rows->image_stride
                                                         + (tile->first + i) * rows->row_stride + tile->head * d);
      const float inverse = tile->total[i] == 0.0f ? 0.0f : 1.0f / tile->total[i];
      for (int64_t x = 0; x < d; x++)
        switti_store (dtype, row, x, tile->keys > 0 ? tile->sums[x * tile->lanes + i] * inverse : 0.0f);
    }
}

SWITTI_INLINE void
attend_tile (const Operands *op, WordFormat format, Tile *tile, int64_t key_block)
{
  const SwittiAttention *attention = op->attention;

  for (int64_t i = 0; i < tile->lanes; i++)
    {
      const int64_t sees = tile->first + i + attention->m - attention->n + 1;
      tile->limit[i] = (int32_t) (sees < tile->keys ? sees : tile->keys);
      tile->greatest[i] = -INFINITY;
      tile->total[i] = 0.0f;
    }
  pack_queries (op, format, tile);
  for (int64_t first = 0; first < tile->keys; first += key_block)
    attend_block (op, format, tile, first, tile->keys - first < key_block ? tile->keys - first : key_block);
  store_tile (op, operand_dtype (format), tile);
}

/* Tile number `index` of the call, in the scratch of the calling thread. */
static Tile
open_tile (SwittiKernelContext *context, const Operands *op, WordFormat format, int64_t index, int64_t max_lanes,
           int64_t key_block)
{
  const SwittiAttention *attention = op->attention;
  const int64_t tiles = (attention->n + max_lanes - 1) / max_lanes;
  const int64_t left = attention->n - index % tiles * max_lanes;
  float *scratch = switti_cpu_thread_scratch (context, omp_get_thread_num ());
  Tile tile = {
    .image = index / tiles / attention->heads,
    .head = index / tiles % attention->heads,
    .first = index % tiles * max_lanes,
    .count = left < max_lanes ? left : max_lanes,
    .depth = format == WORDS_PAIRS ? (attention->d + 1) / 2 : attention->d,
    .width = round_up (attention->d, TILE_ROWS),
  };

  tile.lanes = round_up (tile.count, SOFTMAX_LANES);
  tile.group = op->group_index != NULL ? op->group_index[tile.image] : tile.image;
  tile.keys = attention->m;
  if (op->key_length != NULL && op->key_length[tile.group] < tile.keys)
    tile.keys = op->key_length[tile.group];
  if (attention->causal && tile.first + tile.count + attention->m - attention->n < tile.keys)
    tile.keys = tile.first + tile.count + attention->m - attention->n;
  tile.scores = scratch;
  tile.greatest = tile.scores + key_block * tile.lanes;
  tile.total = tile.greatest + tile.lanes;
  tile.factor = tile.total + tile.lanes;
  tile.limit = (int32_t *) (tile.factor + tile.lanes);
  tile.sums = (float *) tile.limit + tile.lanes;
  tile.queries = (uint32_t *) (tile.sums + tile.width * tile.lanes);
  tile.block = tile.queries + tile.depth * tile.lanes;
  return tile;
}

static SwittiKernelStatus
attention_op (SwittiKernelContext *context, const SwittiAttention *attention, const int32_t *group_index,
              const int32_t *key_length, const void *q, const void *k, const void *v, void *out)
{
  const Operands op = { attention, group_index, key_length, q, k, v, out };
  const bool wide = attention->d > WIDE_HEAD;
  const int64_t max_lanes = wide ? NARROW_LANES : MAX_LANES;
  const int64_t key_block = wide ? NARROW_KEYS : MAX_KEYS;
  const int64_t tiles = attention->batch * attention->heads * ((attention->n + max_lanes - 1) / max_lanes);
  const size_t scratch = (size_t) (round_up (attention->d, TILE_ROWS) * (2 * max_lanes + key_block)
                                   + (key_block + 4) * max_lanes);
  const double work = (double) tiles * (double) attention->m * (double) attention->d;
  WordFormat format = attention->dtype == SWITTI_DTYPE_F32 ? WORDS_F32 : WORDS_BF16;

  if (!switti_is_activation_dtype (attention->dtype) || scratch > SWITTI_CPU_THREAD_SCRATCH
      || attention->m > INT32_MAX || attention->n > INT32_MAX)
    return SWITTI_KERNEL_INVALID;
#if defined(__AVX512F__)
  if (format == WORDS_BF16 && context->has_avx512_bf16)
    format = WORDS_PAIRS;
#endif

#pragma omp parallel for num_threads(context->n_threads) schedule(dynamic) if (work > SWITTI_SERIAL_ELEMENTS)
  for (int64_t i = 0; i < tiles; i++)
    {
      Tile tile = open_tile (context, &op, format, i, max_lanes, key_block);
      if (format == WORDS_F32)
        attend_tile (&op, WORDS_F32, &tile, key_block);
      else if (format == WORDS_BF16)
        attend_tile (&op, WORDS_BF16, &tile, key_block);
      else
        attend_tile (&op, WORDS_PAIRS, &tile, key_block);
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (attention_fill) (SwittiKernels *ops)
{
  ops->attention = attention_op;
}
