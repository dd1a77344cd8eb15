/* test-elementwise-backward.c - gradients of SwiGLU, activations, conditioning and embeddings, and sums of columns
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "backward-test.h"

#define START 0.5f /* what sums start from */

static double
sigmoid (double x)
{
  return 1 / (1 + exp (-x));
}

/* Operands of one test and their values. */
typedef struct
{
  int n;
  Operand operands[8];
  double *in[8];
} Inputs;

static void
add_input (Inputs *inputs, SwittiDtype dtype, gsize count, GRand *rand)
{
  inputs->operands[inputs->n] = operand_new (dtype, count, rand);
  inputs->in[inputs->n] = test_values (&inputs->operands[inputs->n]);
  inputs->n++;
}

static void
inputs_clear (Inputs *inputs)
{
  for (int i = 0; i < inputs->n; i++)
    {
      operand_clear (&inputs->operands[i]);
      g_free (inputs->in[i]);
    }
}

/* Calls `check` for each instruction set, thread count and dtype. */
static void
for_each_context (void (*check) (SwittiKernelContext *context, SwittiDtype dtype))
{
  for (gsize isa = 0; isa < G_N_ELEMENTS (test_isas); isa++)
    for (int n_threads = 1; n_threads <= 3; n_threads += 2)
      {
        SwittiKernelContext *context = test_context (test_isas[isa], n_threads);

        if (context == NULL)
          continue;
        check (context, SWITTI_DTYPE_F32);
        check (context, SWITTI_DTYPE_BF16);
        test_kernels ()->context_free (context);
      }
}

/* -- SwiGLU ---------------------------------------------------------------------------------------------------- */

typedef struct
{
  int rows, hidden;
} SwigluShape;

static double
swiglu_loss (double *const *in, const void *data)
{
  const SwigluShape *s = data;
  double total = 0;

  for (int r = 0; r < s->rows; r++)
    for (int j = 0; j < s->hidden; j++)
      {
        double gate = in[0][r * 2 * s->hidden + j], up = in[0][(r * 2 + 1) * s->hidden + j];

        total += gate * sigmoid (gate) * up * in[1][r * s->hidden + j];
      }
  return total;
}

static void
check_swiglu (SwittiKernelContext *context, SwittiDtype dtype)
{
  static const SwigluShape shapes[] = { { 1, 1 }, { 3, 37 }, { 200, 85 } };

  for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
    {
      const SwigluShape *s = &shapes[i];
      const gsize count = (gsize) (s->rows * s->hidden);
      g_autoptr (GRand) rand = g_rand_new_with_seed (1);
      Inputs inputs = { 0 };
      void *gradient = test_output (dtype, 2 * count);

      add_input (&inputs, dtype, 2 * count, rand);
      add_input (&inputs, dtype, count, rand);
      g_assert_cmpint (test_kernels ()->swiglu_backward (context, s->rows, s->hidden, dtype,
                                                               inputs.operands[0].data, 2 * s->hidden,
                                                               inputs.operands[1].data, s->hidden, gradient),
                       ==, SWITTI_KERNEL_OK);
      test_gradient ("d_gate_up", swiglu_loss, inputs.in, s, 0, 2 * count, dtype, gradient, 0, test_tolerance (dtype));
      g_aligned_free (gradient);
      inputs_clear (&inputs);
    }
}

static void
test_swiglu (void)
{
  for_each_context (check_swiglu);
}

/* -- activations ----------------------------------------------------------------------------------------------- */

typedef struct
{
  SwittiActivation activation;
  gsize count;
} ActivationShape;

static double
activate (SwittiActivation activation, double x)
{
  switch (activation)
    {
    case SWITTI_ACTIVATION_SILU:
      return x * sigmoid (x);
    case SWITTI_ACTIVATION_QUICK_GELU:
      return x * sigmoid (1.702 * x);
    case SWITTI_ACTIVATION_GELU_ERF:
      return x * (1 + erf (x / G_SQRT2)) / 2;
    case SWITTI_ACTIVATION_GELU_TANH:
      return x * (1 + tanh (sqrt (2 / G_PI) * (x + 0.044715 * x * x * x))) / 2;
    case SWITTI_ACTIVATION_NONE:
    default:
      return x;
    }
}

static double
activation_loss (double *const *in, const void *data)
{
  const ActivationShape *s = data;
  double total = 0;

  for (gsize i = 0; i < s->count; i++)
    total += activate (s->activation, in[0][i]) * in[1][i];
  return total;
}

static void
check_activation (SwittiKernelContext *context, SwittiDtype dtype)
{
  for (SwittiActivation a = SWITTI_ACTIVATION_NONE; a <= SWITTI_ACTIVATION_GELU_TANH; a++)
    {
      const ActivationShape shape = { a, 9001 };
      g_autoptr (GRand) rand = g_rand_new_with_seed (2);
      Inputs inputs = { 0 };
      void *y = test_output (dtype, shape.count), *dx = test_output (dtype, shape.count);

      add_input (&inputs, dtype, shape.count, rand);
      add_input (&inputs, dtype, shape.count, rand);
      g_assert_cmpint (test_kernels ()->activation (context, a, (gint64) shape.count, dtype,
                                                          inputs.operands[0].data, y),
                       ==, SWITTI_KERNEL_OK);
      g_assert_cmpint (test_kernels ()->activation_backward (context, a, (gint64) shape.count, dtype,
                                                                   inputs.operands[0].data, inputs.operands[1].data,
                                                                   dx),
                       ==, SWITTI_KERNEL_OK);
      /* erf is good to 1.5e-7, bf16 to half of its last bit */
      for (gsize i = 0; i < shape.count; i++)
        g_assert_cmpfloat (fabs (test_load (dtype, y, i) - activate (a, inputs.in[0][i])), <,
                           dtype == SWITTI_DTYPE_F32 ? 5e-7 : 0x1p-9);
      test_gradient ("dx", activation_loss, inputs.in, &shape, 0, shape.count, dtype, dx, 0, test_tolerance (dtype));
      g_aligned_free (y);
      g_aligned_free (dx);
      inputs_clear (&inputs);
    }
}

static void
test_activations (void)
{
  for_each_context (check_activation);
}

/* -- conditioning ---------------------------------------------------------------------------------------------- */

typedef struct
{
  int batch, width;
  gboolean crop;
} ConditionShape;

/* in: c, crop, scales, weights */
static double
condition_loss (double *const *in, const void *data)
{
  const ConditionShape *s = data;
  double total = 0;

  for (int i = 0; i < s->batch * s->width; i++)
    total += activate (SWITTI_ACTIVATION_SILU, in[0][i] + (s->crop ? in[2][i % s->width] * in[1][i] : 0)) * in[3][i];
  return total;
}

static void
check_condition (SwittiKernelContext *context, SwittiDtype dtype)
{
  static const ConditionShape shapes[] = { { 1, 1, TRUE }, { 3, 37, TRUE }, { 2, 64, FALSE } };

  for (gsize i = 0; dtype == SWITTI_DTYPE_F32 && i < G_N_ELEMENTS (shapes); i++)
    {
      const ConditionShape *s = &shapes[i];
      const gsize count = (gsize) (s->batch * s->width);
      g_autoptr (GRand) rand = g_rand_new_with_seed (4);
      Inputs inputs = { 0 };
      float *dc = test_sum (count, START), *d_crop = test_sum (count, START), *d_scales = test_sum (s->width, START);

      for (int j = 0; j < 4; j++)
        add_input (&inputs, SWITTI_DTYPE_F32, j == 2 ? (gsize) s->width : count, rand);
      g_assert_cmpint (test_kernels ()->silu_condition_backward (
                           context, s->batch, s->width, inputs.operands[0].data,
                           s->crop ? inputs.operands[1].data : NULL, s->crop ? inputs.operands[2].data : NULL,
                           inputs.operands[3].data, dc, s->crop ? d_crop : NULL, s->crop ? d_scales : NULL),
                       ==, SWITTI_KERNEL_OK);
      test_gradient ("dc", condition_loss, inputs.in, s, 0, count, SWITTI_DTYPE_F32, dc, START, TEST_F32_TOLERANCE);
      test_gradient ("d_crop", condition_loss, inputs.in, s, 1, count, SWITTI_DTYPE_F32, d_crop, START,
                     TEST_F32_TOLERANCE);
      test_gradient ("d_crop_scales", condition_loss, inputs.in, s, 2, (gsize) s->width, SWITTI_DTYPE_F32, d_scales,
                     START, TEST_F32_TOLERANCE);
      g_aligned_free (dc);
      g_aligned_free (d_crop);
      g_aligned_free (d_scales);
      inputs_clear (&inputs);
    }
}

static void
test_condition (void)
{
  for_each_context (check_condition);
}

/* -- tokens ---------------------------------------------------------------------------------------------------- */

typedef struct
{
  int batch, length, width;
  gboolean positions;
} TokenShape;

enum
{
  LEVELS,
  POSITIONS,
  START_ROW,
  WORD_BIAS,
  CONDITION,
  WEIGHTS,
  N_TOKEN_INPUTS
};

static const gint32 token_levels[] = { 0, 1, 1, 1, 1, 2, 2 };

static double
token (double *const *in, const TokenShape *s, int b, int t, int j)
{
  return in[LEVELS][token_levels[t] * s->width + j] + (s->positions ? in[POSITIONS][t * s->width + j] : 0) +
         (t == 0 ? in[START_ROW][j] + in[CONDITION][b * s->width + j] : in[WORD_BIAS][j]);
}

static double
token_loss (double *const *in, const void *data)
{
  const TokenShape *s = data;
  double total = 0;

  for (int b = 0; b < s->batch; b++)
    for (int t = 0; t < s->length; t++)
      for (int j = 0; j < s->width; j++)
        total += token (in, s, b, t, j) * in[WEIGHTS][(b * s->length + t) * s->width + j];
  return total;
}

static void
check_tokens (SwittiKernelContext *context, SwittiDtype dtype)
{
  static const TokenShape shapes[] = { { 1, 1, 1, FALSE }, { 2, 7, 67, TRUE }, { 3, 6, 16, FALSE } };

  for (gsize i = 0; dtype == SWITTI_DTYPE_F32 && i < G_N_ELEMENTS (shapes); i++)
    {
      const TokenShape *s = &shapes[i];
      const SwittiTokenEmbedding op = { s->batch, s->length, s->width, 3 };
      const gsize width = (gsize) s->width, count = width * (gsize) (s->batch * s->length);
      const gsize counts[N_TOKEN_INPUTS] = { 3 * width, width * (gsize) s->length, width, width,
                                             width * (gsize) s->batch, count };
      const SwittiKernels *kernels = test_kernels ();
      g_autoptr (GRand) rand = g_rand_new_with_seed (6);
      Inputs inputs = { 0 };
      float *x = test_sum (count, START), *gradients[WEIGHTS];
      const gint32 outside[] = { 0, 1, 1, 1, 1, 3, 2 };

      for (int k = 0; k < N_TOKEN_INPUTS; k++)
        add_input (&inputs, SWITTI_DTYPE_F32, counts[k], rand);
      for (int k = 0; k < WEIGHTS; k++)
        gradients[k] = test_sum (counts[k], START);
      g_assert_cmpint (kernels->token_embedding (context, &op, token_levels, inputs.operands[LEVELS].data,
                                                 s->positions ? inputs.operands[POSITIONS].data : NULL,
                                                 inputs.operands[START_ROW].data, inputs.operands[WORD_BIAS].data,
                                                 inputs.operands[CONDITION].data, x),
                       ==, SWITTI_KERNEL_OK);
      for (int r = 0; r < s->batch * s->length; r++)
        for (int j = 0; j < s->width; j++)
          g_assert_cmpfloat_with_epsilon (x[r * s->width + j],
                                          START + token (inputs.in, s, r / s->length, r % s->length, j), 1e-6);
      g_assert_cmpint (kernels->token_embedding_backward (
                           context, &op, token_levels, inputs.operands[WEIGHTS].data, gradients[LEVELS],
                           s->positions ? gradients[POSITIONS] : NULL, gradients[START_ROW], gradients[WORD_BIAS],
                           gradients[CONDITION]),
                       ==, SWITTI_KERNEL_OK);
      for (int k = 0; k < WEIGHTS; k++)
        test_gradient ("an embedding", token_loss, inputs.in, s, k, counts[k], SWITTI_DTYPE_F32, gradients[k], START,
                       TEST_F32_TOLERANCE);
      if (s->length == 7 && !TEST_SIMULATED) /* CUDA does not look at levels */
        g_assert_cmpint (kernels->token_embedding_backward (context, &op, outside, inputs.operands[WEIGHTS].data,
                                                            gradients[LEVELS], NULL, gradients[START_ROW],
                                                            gradients[WORD_BIAS], gradients[CONDITION]),
                         ==, SWITTI_KERNEL_INVALID);
      g_aligned_free (x);
      for (int k = 0; k < WEIGHTS; k++)
        g_aligned_free (gradients[k]);
      inputs_clear (&inputs);
    }
}

static void
test_tokens (void)
{
  for_each_context (check_tokens);
}

/* -- sums of columns ------------------------------------------------------------------------------------------- */

static void
check_column_sum (SwittiKernelContext *context, SwittiDtype dtype)
{
  static const int shapes[][2] = { { 1, 1 }, { 5, 67 }, { 1000, 65 } };

  for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
    {
      const int rows = shapes[i][0], width = shapes[i][1], stride = width + 3;
      g_autoptr (GRand) rand = g_rand_new_with_seed (7);
      Inputs inputs = { 0 };
      float *sum = test_sum (width, START);

      add_input (&inputs, dtype, (gsize) (rows * stride), rand);
      g_assert_cmpint (test_kernels ()->column_sum (context, rows, width, dtype, inputs.operands[0].data, stride,
                                                          sum),
                       ==, SWITTI_KERNEL_OK);
      for (int j = 0; j < width; j++)
        {
          double expected = START, magnitude = START;

          for (int r = 0; r < rows; r++)
            {
              expected += inputs.in[0][r * stride + j];
              magnitude += fabs (inputs.in[0][r * stride + j]);
            }
          /* 64 rows at a time, then their sums */
          g_assert_cmpfloat (fabs (sum[j] - expected), <=, (64 + rows / 64 + 2) * 0x1p-24 * magnitude);
        }
      g_aligned_free (sum);
      inputs_clear (&inputs);
    }
}

static void
test_column_sum (void)
{
  for_each_context (check_column_sum);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/elementwise-backward/swiglu", test_swiglu);
  g_test_add_func ("/elementwise-backward/activations", test_activations);
  g_test_add_func ("/elementwise-backward/condition", test_condition);
  g_test_add_func ("/elementwise-backward/tokens", test_tokens);
  g_test_add_func ("/elementwise-backward/column-sum", test_column_sum);
  return g_test_run ();
}
