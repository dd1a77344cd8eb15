/* attention-tile-private.h - the two products of an attention tile
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Queries lie across the lanes of a vector: both products then read one operand as vectors of queries and the other as
 * single words, whatever its layout, and the softmax in between needs no sum across lanes.
 */
#pragma once

#include "math-private.h"

#if defined(__AVX512F__)
#define VECTOR_WIDTH 16
#define MAX_VECTORS 4 /* 4 x 4 sums, 4 operands and a word fit the 32 registers */
#elif defined(__AVX2__)
#define VECTOR_WIDTH 8
#define MAX_VECTORS 2 /* 4 x 2 sums, 2 operands and a word fit the 16 registers */
#else
#define VECTOR_WIDTH 4
#define MAX_VECTORS 2
#endif

/* Rows of a product that are summed at a time; operands are padded to a multiple. */
#define TILE_ROWS 4

typedef float Vector __attribute__ ((vector_size (VECTOR_WIDTH * sizeof (float))));

/* c (rows, lanes) = A (rows, depth) . B (depth, lanes), plus c * factor (lanes) where `accumulate` (factor NULL: 1).
 * Words of A and B are float32, or pairs of bf16 whose products are added. Word (i, k) of A is at
 * a[i * a_row + k * a_step]. rows is a multiple of TILE_ROWS, lanes of 16. */
typedef struct
{
  int64_t rows, depth, lanes;
  int64_t a_row, a_step;
  const uint32_t *a;
  const uint32_t *b;
  const float *factor;
  bool accumulate;
  float *c;
} TileProduct;

SWITTI_INLINE Vector
load_vector (const void *from)
{
  Vector vector;
  memcpy (&vector, from, sizeof vector);
  return vector;
}

/* sum + b * word in each lane. */
SWITTI_INLINE Vector
multiply_add (bool pairs, Vector sum, Vector b, uint32_t word)
{
  const float value = switti_float_from_bits (word);
#if defined(__AVX512F__)
  if (pairs)
    {
      const Vector values = value - (Vector){ 0 };
      /* An instruction that this file is not compiled for: it runs where the context has found it. */
      __asm__ ("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(b), "v"(values));
      return sum;
    }
#endif
  return sum + b * value;
}

SWITTI_INLINE void
product_columns (bool pairs, int vectors, const TileProduct *product, int64_t row, int64_t lane)
{
  const uint32_t *a = product->a + row * product->a_row;
  const uint32_t *b = product->b + lane;
  float *c = product->c + row * product->lanes + lane;
  Vector sums[TILE_ROWS][MAX_VECTORS];

#pragma GCC unroll 4
  for (int i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 4
    for (int j = 0; j < vectors; j++)
      {
        sums[i][j] = (Vector){ 0 };
        if (product->accumulate)
          sums[i][j] = load_vector (c + i * product->lanes + j * VECTOR_WIDTH);
        if (product->accumulate && product->factor != NULL)
          sums[i][j] *= load_vector (product->factor + lane + j * VECTOR_WIDTH);
      }
  for (int64_t k = 0; k < product->depth; k++)
    {
      Vector operands[MAX_VECTORS];
#pragma GCC unroll 4
      for (int j = 0; j < vectors; j++)
        operands[j] = load_vector (b + k * product->lanes + j * VECTOR_WIDTH);
#pragma GCC unroll 4
      for (int i = 0; i < TILE_ROWS; i++)
        {
          const uint32_t word = a[i * product->a_row + k * product->a_step];
#pragma GCC unroll 4
          for (int j = 0; j < vectors; j++)
            sums[i][j] = multiply_add (pairs, sums[i][j], operands[j], word);
        }
    }
#pragma GCC unroll 4
  for (int i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 4
    for (int j = 0; j < vectors; j++)
      memcpy (c + i * product->lanes + j * VECTOR_WIDTH, &sums[i][j], sizeof (Vector));
}

SWITTI_INLINE void
tile_product (bool pairs, const TileProduct *product)
{
  int vectors;
  for (int64_t lane = 0; lane < product->lanes; lane += vectors * VECTOR_WIDTH)
    {
      const int64_t left = (product->lanes - lane) / VECTOR_WIDTH;
      vectors = left >= MAX_VECTORS ? MAX_VECTORS : (left >= 2 ? 2 : 1);
      for (int64_t row = 0; row < product->rows; row += TILE_ROWS)
        {
          if (vectors == MAX_VECTORS)
            product_columns (pairs, MAX_VECTORS, product, row, lane);
          else if (vectors == 2)
            product_columns (pairs, 2, product, row, lane);
          else
            product_columns (pairs, 1, product, row, lane);
        }
    }
}
