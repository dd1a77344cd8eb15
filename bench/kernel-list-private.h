/* kernel-list-private.h - how the entries of a list of op calls are made
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "kernel-list.h"

G_BEGIN_DECLS

/* The list, and what its next entries belong to. */
typedef struct
{
  const BenchWork *work;
  GArray *kernels;
  const char *part;
  int scale;
} BenchList;

/* -- kernel-list-ops.c: each adds an entry; dtypes are the work's -- */

/* D = A . B^T + bias, B packed */
void bench_list_product (BenchList *list, const char *role, int calls, gint64 m, gint64 row_group, gint64 n, gint64 k);
void bench_list_unbiased_product (BenchList *list, const char *role, int calls, gint64 m, gint64 row_group, gint64 n,
                                  gint64 k);
void bench_list_activated_product (BenchList *list, const char *role, int calls, gint64 m, gint64 row_group, gint64 n,
                                   gint64 k, SwittiActivation activation);
/* Into float32. */
void bench_list_wide_product (BenchList *list, const char *role, int calls, gint64 m, gint64 row_group, gint64 n,
                              gint64 k);
/* All in float32. */
void bench_list_float_product (BenchList *list, const char *role, gint64 m, gint64 row_group, gint64 n, gint64 k);
/* dX of a product of (m, n, k), and dW +=. */
void bench_list_product_backward (BenchList *list, const char *role, int calls, gint64 m, gint64 row_group, gint64 n,
                                  gint64 k);
/* dtypes in conv are set. */
void bench_list_conv (BenchList *list, const char *role, int calls, SwittiConv conv, SwittiDtype dtype);
/* BENCH_RESIDUAL_NORM, its backward or BENCH_LAYER_NORM */
void bench_list_norm (BenchList *list, BenchOp op, const char *role, int calls, gint64 batch, gint64 n, gint64 c,
                      gboolean has_y, gboolean has_h);
/* BENCH_QK_NORM_ROPE, in place on rows of 3C where there are keys */
void bench_list_rope (BenchList *list, const char *role, int calls, gint64 batch, gint64 n, gboolean has_k,
                      gboolean has_rope);
void bench_list_rope_backward (BenchList *list, const char *role, int calls, gint64 batch, gint64 n, gboolean has_k,
                               gboolean has_rope);
/* batch, heads, d, n, m and causal count. */
void bench_list_attention (BenchList *list, const char *role, int calls, SwittiAttention attention);
void bench_list_attention_backward (BenchList *list, const char *role, int calls, SwittiAttention attention);
/* Ops on (rows, width). */
void bench_list_map (BenchList *list, BenchOp op, const char *role, int calls, gint64 rows, gint64 width);
void bench_list_group_norm (BenchList *list, int calls, gint64 positions, gint64 channels, gboolean silu);
void bench_list_resample (BenchList *list, const char *role, SwittiResampleMode mode, gint64 batch, gint64 channels,
                          gint64 in_side, gint64 out_side);
void bench_list_sample (BenchList *list, gint64 batch, gint64 n, gboolean has_null, gboolean smooth);

/* -- kernel-list-step.c: a training step -- */
void bench_list_step (BenchList *list);

G_END_DECLS
