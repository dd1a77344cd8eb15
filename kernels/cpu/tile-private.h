/* tile-private.h - packing, widening and storing the tiles of products
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A panel is SWITTI_PANEL_WIDTH columns of B^T by k rows, what one micro-kernel call multiplies with:
 *   float32: element (k, j) at panel[k * SWITTI_PANEL_WIDTH + j];
 *   bf16:    element (k, j) at panel[(k / 2 * SWITTI_PANEL_WIDTH + j) * 2 + k % 2], k padded to even with a zero row.
 * Columns past n are zero.
 */
#pragma once

#include "cpu-private.h"

/* Four AVX-512 registers: 6 x 4 accumulators leave room for the operands, and 64 columns times 1024 rows of bf16 are
 * 128 KiB, which stays in any L2 cache while a block of rows of A passes by. */
#define SWITTI_PANEL_WIDTH 64

/* The most rows of a panel that a micro-kernel call takes, over all of its batch. Sums over longer k are made in
 * blocks of it, which is part of what fixes the bits of a result: it depends on nothing but k and the dtype. */
#define SWITTI_PANEL_ROWS_F32 1024
#define SWITTI_PANEL_ROWS_BF16 2048

/* The most rows of C that a tile has. */
#define SWITTI_TILE_ROWS 512

/* A matrix in memory: element (i, j) at data[i * row_stride + j * column_stride], one of the strides 1. */
typedef struct
{
  const void *data;
  SwittiDtype dtype; /* F32, BF16 or F16 */
  int64_t row_stride, column_stride;
} SwittiTileSource;

/* d (m, n) = activation (c + bias) [+ residual] [+ d], d and residual of d_dtype; n <= SWITTI_PANEL_WIDTH. */
typedef struct
{
  int64_t m, n;
  const float *c; /* may be d, with ldc = ldd */
  int64_t ldc;
  const float *bias; /* (n) or NULL */
  SwittiActivation activation;
  const void *residual; /* rows ldd apart, or NULL */
  bool accumulate;
  SwittiDtype d_dtype;
  void *d;
  int64_t ldd;
} SwittiTileStore;

struct SwittiTileOps
{
  /* A panel of `n` columns and `k` rows from B given as (n, k): row i of `source` is column i of the panel. */
  void (*pack) (const SwittiTileSource *source, int64_t n, int64_t k, SwittiDtype dtype, void *panel);
  /* A bf16 panel of k rows (even) as a float32 panel. */
  void (*widen) (const uint16_t *panel, int64_t k, float *out);
  /* out (m, k_out) of `dtype`, contiguous, from a source (m, k); columns from k to k_out are zero. */
  void (*stage) (const SwittiTileSource *source, int64_t m, int64_t k, int64_t k_out, SwittiDtype dtype, void *out);
  void (*store) (const SwittiTileStore *store);
  /* The portable micro-kernel, float32: c (m, n) = [c +] a . panel. */
  void (*multiply) (int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *panel, float *c,
                    int64_t ldc, bool add);
};

const SwittiTileOps *SWITTI_CPU_PASTE (tile_ops, generic) (void);
const SwittiTileOps *SWITTI_CPU_PASTE (tile_ops, avx2) (void);
const SwittiTileOps *SWITTI_CPU_PASTE (tile_ops, avx512) (void);

static inline int64_t
switti_round_up (int64_t value, int64_t multiple)
{
  return (value + multiple - 1) / multiple * multiple;
}

static inline int64_t
switti_div_up (int64_t value, int64_t divisor)
{
  return (value + divisor - 1) / divisor;
}

static inline int64_t
switti_min (int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/* Length of the blocks that k is cut into where one call takes `limit` rows: equal ones, whole cache lines. */
static inline int64_t
switti_k_block (int64_t k, int64_t limit)
{
  return switti_min (k, switti_round_up (switti_div_up (k, switti_div_up (k, limit)), 16));
}
