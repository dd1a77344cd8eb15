/* kernel-list-step.c - the op calls of a training step with recomputing
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * It follows core/train/switti-gradients*.c call by call: a block runs forward, and again before its backward pass.
 */
#include "kernel-list-private.h"

#include "switti-tokenizer-private.h"

/* As core/train/switti-gradients.c has it. */
#define LOSS_ROWS 1024

/* A product whose bias, where it has one, is summed. */
static void
list_backward (BenchList *list, const char *role, int calls, gint64 m, gint64 row_group, gint64 n, gint64 k,
               gboolean has_bias)
{
  bench_list_product_backward (list, role, calls, m, row_group, n, k);
  if (has_bias)
    bench_list_map (list, BENCH_COLUMN_SUM, role, calls, m, n);
}

static void
list_block_forward (BenchList *list, int calls)
{
  const SwittiTransformerConfig *config = &list->work->transformer;
  const gint64 b = list->work->images, l = switti_schedule_length (&config->schedule), rows = b * l;
  const gint64 c = config->width, f = config->ffn_hidden, t = SWITTI_TEXT_LENGTH;

  bench_list_wide_product (list, "ada_lin", calls, b, 1, 6 * c, c);
  bench_list_product (list, "to_kv", calls, b * t, t, 2 * c, config->context_dim);
  bench_list_norm (list, BENCH_RESIDUAL_NORM, "norm", calls, b, l, c, FALSE, TRUE);
  bench_list_product (list, "qkv", calls, rows, l, 3 * c, c);
  bench_list_rope (list, "queries and keys", calls, b, l, TRUE, TRUE);
  bench_list_product (list, "proj, to_q", 3 * calls, rows, l, c, c);
  bench_list_norm (list, BENCH_RESIDUAL_NORM, "residual and norm", 2 * calls, b, l, c, TRUE, TRUE);
  bench_list_norm (list, BENCH_RESIDUAL_NORM, "residual", calls, b, l, c, TRUE, FALSE);
  bench_list_rope (list, "text queries", calls, b, l, FALSE, FALSE);
  bench_list_unbiased_product (list, "ffn_in", calls, rows, l, 2 * f, c);
  bench_list_map (list, BENCH_SWIGLU, "swiglu", calls, rows, f);
  bench_list_unbiased_product (list, "ffn_out", calls, rows, l, c, f);
}

static void
list_attentions (BenchList *list, int forward, int backward)
{
  const SwittiTransformerConfig *config = &list->work->transformer;
  const gint64 b = list->work->images, l = switti_schedule_length (&config->schedule);
  SwittiAttention attention = { .batch = b, .heads = config->heads, .d = config->width / config->heads };

  for (int s = 0; s < config->schedule.n_scales; s++)
    {
      attention.n = (gint64) config->schedule.side[s] * config->schedule.side[s];
      attention.m = attention.n;
      list->scale = s;
      bench_list_attention (list, "self", forward, attention);
      bench_list_attention_backward (list, "self", backward, attention);
    }
  list->scale = -1;
  attention.n = l;
  attention.m = SWITTI_TEXT_LENGTH;
  bench_list_attention (list, "cross", forward, attention);
  bench_list_attention_backward (list, "cross", backward, attention);
}

static void
list_block_backward (BenchList *list, int calls)
{
  const SwittiTransformerConfig *config = &list->work->transformer;
  const gint64 b = list->work->images, l = switti_schedule_length (&config->schedule), rows = b * l;
  const gint64 c = config->width, f = config->ffn_hidden, t = SWITTI_TEXT_LENGTH;

  bench_list_norm (list, BENCH_RESIDUAL_NORM_BACKWARD, "residual", calls, b, l, c, TRUE, FALSE);
  bench_list_norm (list, BENCH_RESIDUAL_NORM_BACKWARD, "residual and norm", 2 * calls, b, l, c, TRUE, TRUE);
  bench_list_norm (list, BENCH_RESIDUAL_NORM_BACKWARD, "norm", calls, b, l, c, FALSE, TRUE);
  list_backward (list, "ffn_out", calls, rows, l, c, f, FALSE);
  bench_list_map (list, BENCH_SWIGLU_BACKWARD, "swiglu", calls, rows, f);
  list_backward (list, "ffn_in", calls, rows, l, 2 * f, c, FALSE);
  list_backward (list, "proj, to_q", 3 * calls, rows, l, c, c, TRUE);
  bench_list_rope_backward (list, "text queries", calls, b, l, FALSE, FALSE);
  bench_list_rope_backward (list, "queries and keys", calls, b, l, TRUE, TRUE);
  list_backward (list, "qkv", calls, rows, l, 3 * c, c, TRUE);
  list_backward (list, "to_kv", calls, b * t, t, 2 * c, config->context_dim, TRUE);
  list_backward (list, "ada_lin", calls, b, 1, 6 * c, c, TRUE);
}

static void
list_loss (BenchList *list)
{
  const SwittiTransformerConfig *config = &list->work->transformer;
  const gint64 rows = list->work->images * switti_schedule_length (&config->schedule), v = config->vocab;
  const gint64 chunk = MIN (rows, LOSS_ROWS);
  const int calls = (int) (rows / chunk);

  bench_list_norm (list, BENCH_LAYER_NORM, "head norm", 1, list->work->images, rows / list->work->images,
                   config->width, FALSE, TRUE);
  bench_list_wide_product (list, "head", calls, chunk, chunk, v, config->width);
  bench_list_map (list, BENCH_CROSS_ENTROPY, "loss", calls, chunk, v);
  list_backward (list, "head", calls, chunk, chunk, v, config->width, TRUE);
}

/* Values that the optimizer updates, but for the small ones: the blocks' matrices and the head. */
static gint64
count_parameters (const SwittiTransformerConfig *config)
{
  const gint64 c = config->width, f = config->ffn_hidden;

  return config->depth * ((6 + 3 + 3) * c * c + 2 * c * config->context_dim + 3 * c * f)
         + c * (config->vocab + 2 * c + config->pooled_dim + (config->crop_cond ? c : 0));
}

void
bench_list_step (BenchList *list)
{
  const SwittiTransformerConfig *config = &list->work->transformer;
  const int depth = config->depth;

  list->part = "step";
  /* The last block is not run again. */
  list_block_forward (list, 2 * depth - 1);
  list_attentions (list, 2 * depth - 1, depth);
  list_loss (list);
  list_block_backward (list, depth);
  list->part = "optimizer";
  bench_list_map (list, BENCH_SQUARED_NORM, "clipping", 1, 1, count_parameters (config));
  bench_list_map (list, BENCH_ADAMW, "AdamW", 1, 1, count_parameters (config));
}
