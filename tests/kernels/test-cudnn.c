/* test-cudnn.c - convolution and attention by cuDNN: when it is taken, what is kept of that, and what if it fails
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * On host CUDA, with a cuDNN that checks the descriptors it is given and computes what they describe
 * (tests/cuda-on-host/cudnn-on-host.h). A launch of an own kernel takes a millisecond by the simulated clock.
 */
#include "cudnn-on-host.h"
#include "op-test.h"
#include "table-on-host.h"

/* Of the calls that fail, every which one: fibres are slow under the sanitizer. */
#if defined(__SANITIZE_ADDRESS__)
#define FAILING_STEP 17
#else
#define FAILING_STEP 3
#endif

static const SwittiCudnnOnHost quicker = { .installed = true, .milliseconds = { 0.5, 0.25 } };
static const SwittiCudnnOnHost slower = { .installed = true, .milliseconds = { 1.5, 0.99 } };
static const SwittiCudnnOnHost always = { .installed = true, .always = true, .milliseconds = { 2.0, 3.0 } };

static const SwittiCudnnOnHostCounts *
counts (void)
{
  const SwittiCudnnOnHostCounts *counts = switti_cudnn_on_host_counts ();

  g_assert_cmpstr (counts->error, ==, "");
  return counts;
}

static SwittiKernelContext *
context_on (const SwittiKernels *kernels)
{
  const SwittiKernelOptions options = { .n_threads = 1 };
  SwittiKernelContext *context = NULL;

  assert_ok (kernels->context_new (&options, &context));
  return context;
}

static SwittiKernelContext *
context_with (const SwittiCudnnOnHost *cudnn)
{
  switti_cudnn_on_host (cudnn);
  return context_on (switti_kernels_cuda_eager ());
}

/* Nothing of cuDNN's outlives its context. */
static void
context_free (SwittiKernelContext *context)
{
  switti_kernels_cuda_eager ()->context_free (context);
  g_assert_cmpuint (counts ()->descriptors, ==, 0);
  switti_cudnn_on_host (NULL);
}

/* -- convolutions ------------------------------------------------------------------------------------------------- */

typedef struct
{
  SwittiConv conv;
  gsize d_count;
  Operand x, w, bias, residual;
} Conv;

static Conv
conv_new (SwittiConv shape)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  Conv c = { .conv = shape };
  const gint64 zoom = shape.upsample ? 2 : 1;
  const gint64 height = (zoom * shape.height + shape.pad_top + shape.pad_bottom - shape.kernel) / shape.stride + 1;
  const gint64 width = (zoom * shape.width + shape.pad_left + shape.pad_right - shape.kernel) / shape.stride + 1;

  c.d_count = (gsize) (shape.batch * height * width * shape.c_out);
  c.x = operand_new (shape.x_dtype, (gsize) (shape.batch * shape.height * shape.width * shape.c_in), rand);
  c.w = operand_new (shape.w_dtype, (gsize) (shape.c_out * shape.c_in * shape.kernel * shape.kernel), rand);
  c.bias = operand_new (SWITTI_DTYPE_F32, (gsize) shape.c_out, rand);
  c.residual = operand_new (shape.d_dtype, c.d_count, rand);
  return c;
}

static void
conv_clear (Conv *c)
{
  operand_clear (&c->x);
  operand_clear (&c->w);
  operand_clear (&c->bias);
  operand_clear (&c->residual);
}

/* Tensors are 64-byte aligned: not so an operand whose end is a page's. */
static void *
aligned_copy (const void *data, gsize bytes)
{
  void *memory = g_aligned_alloc (1, MAX (bytes, 1), 64);

  memcpy (memory, data, bytes);
  return memory;
}

/* The op once by a plan that is made for it. */
static Operand
conv_run_once (const SwittiKernels *kernels, SwittiKernelContext *context, const Conv *c, SwittiConvPlan *plan)
{
  const gsize bytes = c->d_count * switti_dtype_size (c->conv.d_dtype);
  void *x = aligned_copy (c->x.data, c->x.count * switti_dtype_size (c->conv.x_dtype));
  void *residual = aligned_copy (c->residual.data, bytes), *d = aligned_copy (c->residual.data, bytes);
  void *bias = aligned_copy (c->bias.data, c->bias.count * sizeof (float));
  void *packed = g_aligned_alloc (1, kernels->conv_packed_bytes (context, &c->conv), 64);
  Operand out = output_new (c->conv.d_dtype, c->d_count);

  memset (d, 0xff, bytes);
  assert_ok (kernels->conv_pack (context, &c->conv, c->conv.w_dtype, c->w.data, packed));
  assert_ok (kernels->conv (context, plan, x, packed, bias, c->conv.residual ? residual : NULL, d));
  memcpy (out.data, d, bytes);
  g_aligned_free (x);
  g_aligned_free (residual);
  g_aligned_free (d);
  g_aligned_free (bias);
  g_aligned_free (packed);
  return out;
}

static Operand
conv_run (const SwittiKernels *kernels, SwittiKernelContext *context, const Conv *c)
{
  SwittiConvPlan *plan = NULL;

  assert_ok (kernels->conv_plan (context, &c->conv, &plan));
  Operand out = conv_run_once (kernels, context, c, plan);
  kernels->conv_plan_free (context, plan);
  return out;
}

static Operand
conv_on_cpu (const Conv *c)
{
  SwittiKernelContext *context = context_on (switti_kernels_cpu ());
  Operand out = conv_run (switti_kernels_cpu (), context, c);

  switti_kernels_cpu ()->context_free (context);
  return out;
}

/* Both are the exact sum rounded to `dtype`, after float32 sums of up to `terms` numbers below `magnitude` together:
 * half a unit of each, where the sums are neighbours. */
static void
assert_near (const Operand *a, const Operand *b, double magnitude, gsize terms)
{
  for (gsize i = 0; i < a->count; i++)
    {
      const double x = test_load (a->dtype, a->data, i), y = test_load (b->dtype, b->data, i);
      const double unit = a->dtype == SWITTI_DTYPE_BF16 ? 0x1p-7 : 0.0;

      if (!(fabs (x - y) <= unit * fabs (y) + (double) terms * ROUNDING * magnitude))
        g_error ("element %zu: %.9g and %.9g", i, x, y);
    }
}

static SwittiConv
conv_shape (gint64 height, gint64 width, gint64 c_in, gint64 c_out, int kernel)
{
  SwittiConv conv = { .batch = 1, .height = height, .width = width, .c_in = c_in, .c_out = c_out, .kernel = kernel };

  conv.stride = 1;
  conv.pad_top = conv.pad_left = conv.pad_bottom = conv.pad_right = kernel / 2;
  conv.x_dtype = conv.w_dtype = conv.d_dtype = SWITTI_DTYPE_BF16;
  conv.residual = true;
  return conv;
}

/* What cuDNN is described is the op: as near to the CPU's as the own kernel. */
static void
test_conv (void)
{
  SwittiConv shapes[] = { conv_shape (5, 7, 24, 16, 3), conv_shape (1, 1, 8, 8, 3), conv_shape (6, 3, 40, 24, 1),
                          conv_shape (4, 5, 16, 8, 3),  conv_shape (7, 6, 8, 16, 3) };
  const gsize runs[] = { 1, 1, 1, 3, 2 };

  shapes[1].residual = false;
  shapes[2].d_dtype = SWITTI_DTYPE_F32;
  shapes[3].batch = 3;
  shapes[3].d_dtype = SWITTI_DTYPE_F32;
  shapes[3].residual = false;
  shapes[4].batch = 2;
  shapes[4].stride = 2;
  shapes[4].pad_top = shapes[4].pad_left = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
    {
      SwittiKernelContext *context = context_with (&always);
      const SwittiKernels *kernels = switti_kernels_cuda_eager ();
      Conv c = conv_new (shapes[i]);
      const gsize terms = (gsize) (shapes[i].c_in * shapes[i].kernel * shapes[i].kernel) + 2;
      SwittiConvPlan *plan = NULL;

      assert_ok (kernels->conv_plan (context, &c.conv, &plan));
      const guint64 timed = counts ()->runs;
      Operand out = conv_run_once (kernels, context, &c, plan), expected = conv_on_cpu (&c);
      g_assert_cmpuint (counts ()->runs, ==, timed + runs[i]);
      assert_near (&out, &expected, (double) terms, terms);
      kernels->conv_plan_free (context, plan);
      operand_clear (&out);
      operand_clear (&expected);
      conv_clear (&c);
      context_free (context);
    }
}

/* What it cannot be told as the op means it. */
static void
test_conv_left_out (void)
{
  SwittiConv shapes[] = { conv_shape (4, 4, 8, 8, 3), conv_shape (4, 4, 3, 8, 3), conv_shape (4, 4, 8, 3, 3),
                          conv_shape (4, 4, 8, 8, 3) };
  SwittiKernelContext *context = context_with (&always);

  shapes[0].upsample = true;
  shapes[3].x_dtype = SWITTI_DTYPE_F32;
  for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
    {
      Conv c = conv_new (shapes[i]);
      Operand out = conv_run (switti_kernels_cuda_eager (), context, &c);

      operand_clear (&out);
      conv_clear (&c);
    }
  g_assert_cmpuint (counts ()->handles, ==, 0);
  context_free (context);
}

/* -- attention ----------------------------------------------------------------------------------------------------- */

typedef struct
{
  SwittiAttention op;
  Operand qkv; /* (B, N, 3C) */
  void *memory;
} Attention;

static Attention
attention_new (gint64 batch, gint64 heads, gint64 d, gint64 n)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  const gint64 c = heads * d;
  const SwittiRows rows = { n * 3 * c, 3 * c };
  Attention a = { .op = { .batch = batch, .heads = heads, .d = d, .n = n, .m = n } };

  a.op.scale = (float) (5.0 / sqrt ((double) d));
  a.op.dtype = SWITTI_DTYPE_BF16;
  a.op.q = a.op.k = a.op.v = rows;
  a.op.out = (SwittiRows){ n * c, c };
  a.qkv = operand_new (SWITTI_DTYPE_BF16, (gsize) (batch * n * 3 * c), rand);
  a.memory = aligned_copy (a.qkv.data, a.qkv.count * 2);
  return a;
}

static void
attention_clear (Attention *a)
{
  operand_clear (&a->qkv);
  g_aligned_free (a->memory);
}

/* Of `batch` images from `first` on. */
static Operand
attention_run (const SwittiKernels *kernels, SwittiKernelContext *context, const Attention *a, gint64 first,
               gint64 batch)
{
  const gint64 c = a->op.heads * a->op.d, count = batch * a->op.n * c;
  const guint16 *q = (const guint16 *) a->memory + first * a->op.q.image_stride;
  guint16 *d = g_aligned_alloc (2, (gsize) count, 64);
  Operand out = output_new (SWITTI_DTYPE_BF16, (gsize) count);
  SwittiAttention op = a->op;

  op.batch = batch;
  memset (d, 0xff, (gsize) count * 2);
  assert_ok (kernels->attention (context, &op, NULL, NULL, q, q + c, q + 2 * c, d));
  memcpy (out.data, d, (gsize) count * 2);
  g_aligned_free (d);
  return out;
}

static Operand
attention_on_cpu (const Attention *a)
{
  SwittiKernelContext *context = context_on (switti_kernels_cpu ());
  Operand out = attention_run (switti_kernels_cpu (), context, a, 0, a->op.batch);

  switti_kernels_cpu ()->context_free (context);
  return out;
}

/* In one run, or in one for each image where no engine takes several; each image has the bits that it has alone. */
static void
test_attention (void)
{
  static const gint64 shapes[][4] = { { 1, 2, 64, 17 }, { 3, 2, 64, 9 }, { 2, 1, 32, 1 }, { 2, 3, 128, 5 } };

  for (gsize i = 0; i < 2 * G_N_ELEMENTS (shapes); i++)
    {
      const gint64 *shape = shapes[i / 2];
      SwittiCudnnOnHost cudnn = always;
      cudnn.takes_one_image = i % 2 == 1;
      SwittiKernelContext *context = context_with (&cudnn);
      const SwittiKernels *kernels = switti_kernels_cuda_eager ();
      Attention a = attention_new (shape[0], shape[1], shape[2], shape[3]);

      assert_ok (kernels->attention_plan (context, &a.op));
      guint64 runs = counts ()->runs;
      Operand out = attention_run (kernels, context, &a, 0, shape[0]), expected = attention_on_cpu (&a);
      g_assert_cmpuint (counts ()->runs, ==, runs + (cudnn.takes_one_image ? (guint64) shape[0] : 1));
      /* Weights of bf16 move a mean of values below 1 by half a unit. */
      assert_near (&out, &expected, 0x1p-8 / ROUNDING, 1);
      runs = counts ()->runs;
      Operand last = attention_run (kernels, context, &a, shape[0] - 1, 1);
      g_assert_cmpuint (counts ()->runs, ==, runs + 1);
      g_assert_cmpmem (last.data, last.count * 2, (guint16 *) out.data + out.count - last.count, last.count * 2);
      operand_clear (&last);
      operand_clear (&out);
      operand_clear (&expected);
      attention_clear (&a);
      context_free (context);
    }
}

/* What nobody has planned, and what cuDNN cannot be told. */
static void
test_attention_left_out (void)
{
  SwittiKernelContext *context = context_with (&always);
  const SwittiKernels *kernels = switti_kernels_cuda_eager ();
  Attention a = attention_new (1, 1, 64, 6);
  static const gint32 length = 4, group = 0;
  guint16 *out = g_aligned_alloc (2, 6 * 64, 64);
  const guint16 *q = a.memory;
  Operand own = attention_run (kernels, context, &a, 0, 1);

  operand_clear (&own);
  g_assert_cmpuint (counts ()->handles, ==, 0);
  a.op.causal = true;
  assert_ok (kernels->attention_plan (context, &a.op));
  a.op.causal = false;
  a.op.scale = -a.op.scale;
  assert_ok (kernels->attention_plan (context, &a.op));
  a.op.scale = -a.op.scale;
  g_assert_cmpuint (counts ()->handles, ==, 0);
  assert_ok (kernels->attention_plan (context, &a.op));
  const guint64 runs = counts ()->runs;
  assert_ok (kernels->attention (context, &a.op, NULL, &length, q, q + 64, q + 128, out));
  assert_ok (kernels->attention (context, &a.op, &group, NULL, q, q + 64, q + 128, out));
  g_assert_cmpuint (counts ()->runs, ==, runs);
  assert_invalid (kernels->attention_plan (context, NULL));
  g_aligned_free (out);
  attention_clear (&a);
  context_free (context);
}

/* -- choosing ------------------------------------------------------------------------------------------------------ */

/* Runs of cuDNN that a convolution and attention, planned for it, make together. */
static guint64
count_runs (SwittiKernelContext *context)
{
  const SwittiKernels *kernels = switti_kernels_cuda_eager ();
  Conv c = conv_new (conv_shape (3, 4, 8, 8, 3));
  Attention a = attention_new (2, 1, 64, 5);
  SwittiConvPlan *plan = NULL;
  guint64 runs;

  assert_ok (kernels->conv_plan (context, &c.conv, &plan));
  assert_ok (kernels->attention_plan (context, &a.op));
  runs = counts ()->runs;
  Operand d = conv_run_once (kernels, context, &c, plan), out = attention_run (kernels, context, &a, 0, 2);
  runs = counts ()->runs - runs;
  kernels->conv_plan_free (context, plan);
  operand_clear (&d);
  operand_clear (&out);
  conv_clear (&c);
  attention_clear (&a);
  return runs;
}

static char *
write_choices (SwittiKernelContext *context)
{
  const SwittiKernels *kernels = switti_kernels_cuda_eager ();
  const gsize size = kernels->choices_write (context, NULL, 0);
  char *text = g_malloc0 (size + 1);

  g_assert_cmpuint (kernels->choices_write (context, text, size), ==, size);
  return text;
}

static void
test_choice (void)
{
  const struct
  {
    SwittiCudnnOnHost cudnn;
    guint64 runs;
    const char *engine; /* as the choice's second word */
  } cases[] = {
    { quicker, 2, " 0000000000000002 0000000000000011 " },
    { { .installed = true, .milliseconds = { 0.2, 0.3 } }, 2, " 0000000000000002 0000000000000008 " },
    { slower, 0, NULL },
    { { .installed = true, .milliseconds = { 0.1, 0.1 }, .is_unsupported = true }, 0, NULL },
    { { .installed = true, .milliseconds = { 0.1, 0.1 }, .fails_to_run = true }, 0, NULL },
    { { .installed = false, .milliseconds = { 0.1, 0.1 } }, 0, NULL },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      SwittiKernelContext *context = context_with (&cases[i].cudnn);

      g_assert_cmpuint (count_runs (context), ==, cases[i].runs);
      g_autofree char *text = write_choices (context);
      if (cases[i].engine != NULL)
        g_assert_nonnull (strstr (text, cases[i].engine));
      g_assert_cmpint (strstr (text, "plan -1 ") != NULL && strstr (text, "plan -2 ") != NULL, ==,
                       cases[i].engine != NULL);
      g_assert_cmpint (strstr (text, ", cuDNN 91301\n") != NULL, ==, cases[i].cudnn.installed);
      context_free (context);
    }
}

/* A second context asks no heuristics, times nothing and compiles nothing. */
static void
test_choices_are_kept (void)
{
  SwittiCudnnOnHost cudnn = quicker;
  const SwittiKernels *kernels = switti_kernels_cuda_eager ();

  for (int pass = 0; pass < 2; pass++)
    {
      cudnn.writes_no_plans = pass == 1;
      SwittiKernelContext *context = context_with (&cudnn);
      count_runs (context);
      g_autofree char *text = write_choices (context);
      context_free (context);
      context = context_with (&cudnn);
      g_assert_true (kernels->choices_read (context, text, strlen (text)));
      g_assert_cmpuint (count_runs (context), ==, 2);
      g_assert_cmpuint (counts ()->heuristics, ==, 0);
      g_assert_cmpuint (counts ()->runs, ==, 2);
      g_assert_cmpuint (counts ()->restored, ==, pass == 0 ? 2 : 0);
      g_assert_cmpuint (counts ()->built, ==, pass == 0 ? 0 : 2);
      g_assert_cmpuint (kernels->choices_write (context, NULL, 0), ==, 0);
      context_free (context);
      /* They are this library's. */
      context = context_with (NULL);
      g_assert_false (kernels->choices_read (context, text, strlen (text)));
      context_free (context);
    }
}

/* Where the own kernels have won, the library is not even opened for good. */
static void
test_own_choices_are_kept (void)
{
  const SwittiKernels *kernels = switti_kernels_cuda_eager ();
  SwittiKernelContext *context = context_with (&slower);

  count_runs (context);
  g_autofree char *text = write_choices (context);
  context_free (context);
  context = context_with (&quicker);
  g_assert_true (kernels->choices_read (context, text, strlen (text)));
  g_assert_cmpuint (count_runs (context), ==, 0);
  g_assert_cmpuint (counts ()->handles, ==, 0);
  context_free (context);
}

/* -- failures ------------------------------------------------------------------------------------------------------ */

/* A plan that fails is not tried again: the own kernel's bits come instead, and the context goes on. */
static void
test_run_fails (void)
{
  const SwittiKernels *kernels = switti_kernels_cuda_eager ();
  SwittiCudnnOnHost broken = always;
  SwittiKernelContext *context = context_with (NULL);
  Conv c = conv_new (conv_shape (4, 3, 8, 16, 3));
  Attention a = attention_new (2, 1, 64, 7);
  Operand own_d = conv_run (kernels, context, &c), own_out = attention_run (kernels, context, &a, 0, 2);
  SwittiConvPlan *plan = NULL;

  context_free (context);
  context = context_with (&always);
  assert_ok (kernels->conv_plan (context, &c.conv, &plan));
  assert_ok (kernels->attention_plan (context, &a.op));
  broken.fails_to_run = true;
  switti_cudnn_on_host (&broken);
  for (int i = 0; i < 2; i++)
    {
      const guint64 calls = counts ()->calls;
      Operand d = conv_run_once (kernels, context, &c, plan), out = attention_run (kernels, context, &a, 0, 2);

      assert_same_bytes (&d, &own_d);
      assert_same_bytes (&out, &own_out);
      g_assert_cmpint (counts ()->calls == calls, ==, i == 1);
      operand_clear (&d);
      operand_clear (&out);
    }
  g_assert_cmpstr (kernels->error_message (context), ==, "");
  kernels->conv_plan_free (context, plan);
  operand_clear (&own_d);
  operand_clear (&own_out);
  conv_clear (&c);
  attention_clear (&a);
  context_free (context);
}

/* Each call fails once, from the first of planning to the last of running: the results are right all the same. */
static void
test_every_call_fails (void)
{
  const SwittiKernels *kernels = switti_kernels_cuda_eager ();
  Conv c = conv_new (conv_shape (2, 2, 8, 8, 1));
  Attention a = attention_new (2, 1, 8, 3);
  Operand expected_d = conv_on_cpu (&c), expected_out = attention_on_cpu (&a);
  guint64 calls = 0;

  /* First none, to count them; of the others some are enough. */
  for (gint64 failing = -1; failing < (gint64) calls; failing += FAILING_STEP)
    {
      SwittiKernelContext *context = context_with (&always);

      switti_cudnn_on_host_fail (failing);
      assert_ok (kernels->attention_plan (context, &a.op));
      Operand d = conv_run (kernels, context, &c), out = attention_run (kernels, context, &a, 0, 2);
      assert_near (&d, &expected_d, 10.0, 10);
      assert_near (&out, &expected_out, 0x1p-8 / ROUNDING, 1);
      calls = failing < 0 ? counts ()->calls : calls;
      operand_clear (&d);
      operand_clear (&out);
      context_free (context);
    }
  g_assert_cmpuint (calls, >, 500);
  operand_clear (&expected_d);
  operand_clear (&expected_out);
  conv_clear (&c);
  attention_clear (&a);
}

/* -- graphs -------------------------------------------------------------------------------------------------------- */

/* While a graph is captured nothing is chosen: what was planned goes into it, what was not is the own kernel's. */
static void
test_capture (gconstpointer planned)
{
  const SwittiKernels *kernels = switti_kernels_cuda_shuffled (1);
  Attention a = attention_new (2, 1, 64, 6);
  Operand expected = attention_on_cpu (&a), out = output_new (SWITTI_DTYPE_BF16, expected.count);
  const gsize bytes = a.qkv.count * 2;
  void *qkv, *result;

  switti_cudnn_on_host (&quicker);
  SwittiKernelContext *context = context_on (kernels);
  assert_ok (kernels->alloc (context, bytes, &qkv));
  assert_ok (kernels->alloc (context, expected.count * 2, &result));
  assert_ok (kernels->upload (context, qkv, a.memory, bytes));
  if (planned != NULL)
    assert_ok (kernels->attention_plan (context, &a.op));
  assert_ok (kernels->synchronize (context));
  const guint64 runs = counts ()->runs, heuristics = counts ()->heuristics;
  g_assert_true (switti_cuda_on_host_capture (context));
  assert_ok (kernels->attention_plan (context, &a.op));
  assert_ok (kernels->attention (context, &a.op, NULL, NULL, qkv, (guint16 *) qkv + 64, (guint16 *) qkv + 128, result));
  g_assert_true (switti_cuda_on_host_replay (context));
  g_assert_cmpuint (counts ()->runs, ==, runs + (planned != NULL));
  g_assert_cmpuint (counts ()->heuristics, ==, heuristics);
  assert_ok (kernels->download (context, out.data, result, expected.count * 2));
  assert_near (&out, &expected, 0x1p-8 / ROUNDING, 1);
  kernels->free (context, qkv);
  kernels->free (context, result);
  operand_clear (&out);
  operand_clear (&expected);
  attention_clear (&a);
  kernels->context_free (context);
  switti_kernels_cuda_eager ();
  switti_cudnn_on_host (NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cudnn/conv", test_conv);
  g_test_add_func ("/cudnn/conv-left-out", test_conv_left_out);
  g_test_add_func ("/cudnn/attention", test_attention);
  g_test_add_func ("/cudnn/attention-left-out", test_attention_left_out);
  g_test_add_func ("/cudnn/choice", test_choice);
  g_test_add_func ("/cudnn/choices-are-kept", test_choices_are_kept);
  g_test_add_func ("/cudnn/own-choices-are-kept", test_own_choices_are_kept);
  g_test_add_func ("/cudnn/run-fails", test_run_fails);
  g_test_add_func ("/cudnn/every-call-fails", test_every_call_fails);
  g_test_add_data_func ("/cudnn/capture/planned", "planned", test_capture);
  g_test_add_data_func ("/cudnn/capture/unplanned", NULL, test_capture);
  return g_test_run ();
}
