/* kernel-list.h - every op call of a piece of work, with its shape, bytes and operations
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a generation or a training step asks of a device, without running it: for `switti bench --kernels`, which times
 * each, and for bench/model.py, which works out what each must take. bytes and flop are those of the op table
 * (kernels/README.md); test-kernel-list holds them against what the table itself counts.
 */
#pragma once

#include "switti-config-private.h"
#include "switti-kernels.h"

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  BENCH_GEMM,
  BENCH_CONV,
  BENCH_RESIDUAL_NORM,
  BENCH_LAYER_NORM,
  BENCH_QK_NORM_ROPE,
  BENCH_ATTENTION,
  BENCH_SWIGLU,
  BENCH_SILU_CONDITION,
  BENCH_GROUP_NORM,
  BENCH_RESAMPLE,
  BENCH_ACCUMULATE,
  BENCH_CONVERT,
  BENCH_IMAGE_TO_RGB8,
  BENCH_SAMPLE_FILTERED,
  BENCH_SAMPLE_SMOOTH,
  /* training */
  BENCH_RESIDUAL_NORM_BACKWARD,
  BENCH_QK_NORM_ROPE_BACKWARD,
  BENCH_ATTENTION_BACKWARD,
  BENCH_SWIGLU_BACKWARD,
  BENCH_COLUMN_SUM,
  BENCH_CROSS_ENTROPY,
  BENCH_SQUARED_NORM,
  BENCH_ADAMW,
} BenchOp;

#define BENCH_MAX_OPERANDS 9

typedef struct
{
  BenchOp op;
  const char *part; /* "text", "conditions", "transformer", "sampling", "pyramid", "vae", "step", "optimizer" */
  const char *role; /* "qkv", "ffn_in", …: static */
  int scale;        /* -1: of no scale */
  int calls;        /* in the piece of work */
  union
  {
    SwittiGemm gemm;
    SwittiConv conv;
    SwittiResidualNorm norm; /* layer_norm's, too */
    SwittiQkNormRope rope;
    SwittiAttention attention;
    SwittiGroupNorm group_norm;
    SwittiResample resample;
    SwittiSample sample;
    struct
    {
      gint64 rows, width;
      SwittiDtype dtype;
    } map;
  };
  gboolean has_bias;        /* gemm */
  gboolean has_y, has_h;    /* norms */
  gboolean has_k, has_rope; /* qk_norm_rope */
  double flop, bytes;
  gsize operand_bytes[BENCH_MAX_OPERANDS]; /* in the order of the op's pointers; 0: NULL */
} BenchKernel;

/* A piece of work. */
typedef struct
{
  SwittiTransformerConfig transformer;
  SwittiVaeConfig vae;
  SwittiTextConfig text[2];
  int images;        /* of a generation, or of a training step */
  gboolean training; /* a step with recomputing, of the transformer alone */
  SwittiDtype dtype; /* of weights and activations */
} BenchWork;

/* One of bench_work_names: "512", "1024", "512-8", "ar", "train"; "small" and "small-train" are for tests. */
gboolean bench_work_parse (const char *name, BenchWork *work, GError **error);
/* NULL-terminated. */
extern const char *const bench_work_names[];

/* BenchKernel, in the order of the work; one of each shape and role. (transfer full) */
GArray *bench_kernels_list (const BenchWork *work);

const char *bench_kernel_get_op_name (const BenchKernel *kernel);
/* "m 2048, n 5760, k 1920"; (transfer full) */
char *bench_kernel_describe (const BenchKernel *kernel);

G_END_DECLS
