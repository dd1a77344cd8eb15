/* brgemm-private.h - micro-kernels: a small product of one thread
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * C (m, n) = [C +] sum over i < batch of A_i (m, k) . B_i (k, n), all of it in the calling thread. oneDNN generates
 * the code for the processor; where it cannot, a portable loop runs (float32 alone). Each element of C is one running
 * sum over i and k in order, so that its bits do not depend on m: that is what makes the ops reproducible.
 *
 * A_i is row-major with rows lda apart. B_i is a panel (tile-private.h): rows of SWITTI_PANEL_WIDTH columns, of which
 * n are used; bf16 panels hold two rows interleaved.
 */
#pragma once

#include "cpu-private.h"

typedef struct SwittiBrgemm SwittiBrgemm;

typedef struct
{
  int64_t m, n, k; /* k is even for bf16 */
  int64_t batch;   /* at most SWITTI_BRGEMM_MAX_BATCH */
  int64_t lda, ldc;
  bool bf16; /* A and B are BF16, else F32 */
  bool add;  /* C += */
} SwittiBrgemmShape;

/* The taps of a 3x3 convolution. */
#define SWITTI_BRGEMM_MAX_BATCH 9

/* Where A_i and B_i are, in bytes from the a and b of a call. */
typedef struct
{
  int64_t a, b;
} SwittiBrgemmOffset;

SwittiBrgemmCache *switti_brgemm_cache_new (void);
void switti_brgemm_cache_free (SwittiBrgemmCache *cache);

/* Whether oneDNN multiplies BF16 panels in the layout of tile-private.h on this processor. */
bool switti_brgemm_has_bf16 (void);

/* The kernel of `shape`, made now unless the context has it already; it belongs to the context. NULL: no memory. */
const SwittiBrgemm *switti_brgemm_get (SwittiKernelContext *context, const SwittiBrgemmShape *shape);

void switti_brgemm_run (const SwittiBrgemm *brgemm, const void *a, const void *b, const SwittiBrgemmOffset *offsets,
                        float *c);

/* To be called by each thread after its last run: AMX keeps its tile configuration until then. */
void switti_brgemm_release (void);
