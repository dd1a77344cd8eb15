/* test-norm-backward.c - gradients of the norms, against finite differences
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "backward-test.h"

#define EPS 1e-6
#define START 0.5f /* what sums start from */

enum
{
  X, /* as it was given */
  Y,
  POST_WEIGHT,
  GATE,
  WEIGHT,
  BIAS,
  SCALE,
  SHIFT,
  DX, /* weights of x as it is left, and of h */
  DH,
  N_INPUTS
};

typedef struct
{
  gboolean layer; /* layer_norm, else residual_norm */
  int batch, n, c;
  gboolean has_y, has_h, has_vectors;
} NormShape;

static double
mean_of (const double *v, int c, gboolean squares)
{
  double sum = 0;

  for (int j = 0; j < c; j++)
    sum += squares ? v[j] * v[j] : v[j];
  return sum / c;
}

/* Rows of x as they are left and h, times the weights DX and DH. */
static double
norm_loss (double *const *in, const void *data)
{
  const NormShape *s = data;
  double total = 0;
  g_autofree double *x = g_new (double, s->c);

  for (int r = 0; r < s->batch * s->n; r++)
    {
      const int g = r / s->n * s->c;
      double y_rms = 1, mean = 0, deviation;

      memcpy (x, in[X] + r * s->c, s->c * sizeof (double));
      if (s->has_y && !s->layer)
        y_rms = sqrt (mean_of (in[Y] + r * s->c, s->c, TRUE) + EPS);
      for (int j = 0; j < s->c; j++)
        {
          if (s->has_y)
            x[j] += (s->layer ? 1 : in[GATE][g + j] * in[POST_WEIGHT][j]) * in[Y][r * s->c + j] / y_rms;
          total += x[j] * in[DX][r * s->c + j];
        }
      if (!s->has_h)
        continue;
      if (s->layer)
        mean = mean_of (x, s->c, FALSE);
      for (int j = 0; j < s->c; j++)
        x[j] -= mean;
      deviation = sqrt (mean_of (x, s->c, TRUE) + EPS);
      for (int j = 0; j < s->c; j++)
        {
          double h = x[j] / deviation * in[WEIGHT][j] + (s->layer ? in[BIAS][j] : 0);

          total += (h * (1 + in[SCALE][g + j]) + in[SHIFT][g + j]) * in[DH][r * s->c + j];
        }
    }
  return total;
}

/* x as the forward op leaves it, in float32. */
static float *
left_x (const NormShape *s, double *const *in)
{
  float *x = g_aligned_alloc (s->batch * s->n * s->c, sizeof (float), 64);

  for (int r = 0; r < s->batch * s->n; r++)
    {
      double rms = s->layer ? 1 : sqrt (mean_of (in[Y] + r * s->c, s->c, TRUE) + EPS);

      for (int j = 0; j < s->c; j++)
        {
          int i = r * s->c + j, g = r / s->n * s->c + j;
          double factor = s->layer ? 1 : in[GATE][g] * in[POST_WEIGHT][j] / rms;

          x[i] = (float) (in[X][i] + (s->has_y ? factor * in[Y][i] : 0));
        }
    }
  return x;
}

/* Everything that one call reads and writes. */
typedef struct
{
  const NormShape *shape;
  SwittiDtype dtype;
  gsize counts[N_INPUTS];
  Operand operands[N_INPUTS];
  double *in[N_INPUTS];
  float *x, *modulation[3];
  SwittiNormGradients g;
} NormCall;

static void
norm_call_init (NormCall *call, const NormShape *s, SwittiDtype dtype)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (11);
  const gsize rows = (gsize) (s->batch * s->n) * (gsize) s->c, vector = (gsize) s->c;
  const gsize counts[N_INPUTS] = { rows, rows, vector, vector * s->batch, vector, vector, vector * s->batch,
                                   vector * s->batch, rows, rows };

  *call = (NormCall){ .shape = s, .dtype = dtype };
  memcpy (call->counts, counts, sizeof counts);
  for (int i = 0; i < N_INPUTS; i++)
    {
      call->operands[i] = operand_new (i == Y || i == DH ? dtype : SWITTI_DTYPE_F32, counts[i], rand);
      call->in[i] = test_values (&call->operands[i]);
    }
  /* An absent vector stands for ones or zeros. */
  for (int i = POST_WEIGHT; !s->has_vectors && i <= SHIFT; i++)
    for (gsize j = 0; j < counts[i]; j++)
      call->in[i][j] = i == POST_WEIGHT || i == GATE || i == WEIGHT ? 1 : 0;
  call->x = left_x (s, call->in);
  for (int i = 0; i < 3; i++)
    call->modulation[i] = test_output (SWITTI_DTYPE_F32, vector * s->batch);
  call->g.x = call->x;
  call->g.dx = call->operands[DX].data;
}

/* Says which gradients are asked for. */
static void
norm_call_fill (NormCall *call)
{
  const NormShape *s = call->shape;
  const gsize vector = (gsize) s->c;
  SwittiNormGradients *g = &call->g;

  if (s->has_y)
    {
      g->y = call->operands[Y].data;
      g->dy = test_output (call->dtype, call->counts[Y]);
    }
  if (s->has_h)
    g->dh = call->operands[DH].data;
  if (s->has_vectors && s->has_y && !s->layer)
    {
      g->post_weight = call->operands[POST_WEIGHT].data;
      g->gate = call->operands[GATE].data;
      g->d_post_weight = test_sum (vector, START);
      g->d_gate = call->modulation[0];
    }
  if (s->has_vectors && s->has_h)
    {
      g->weight = call->operands[WEIGHT].data;
      g->bias = s->layer ? call->operands[BIAS].data : NULL;
      g->scale = call->operands[SCALE].data;
      g->d_weight = test_sum (vector, START);
      g->d_bias = s->layer ? test_sum (vector, START) : NULL;
      g->d_scale = call->modulation[1];
      g->d_shift = call->modulation[2];
    }
}

/* For the first `batch` images. */
static void
norm_call_run_images (NormCall *call, SwittiKernelContext *context, int batch)
{
  const SwittiKernels *kernels = test_kernels ();
  const NormShape *s = call->shape;
  const SwittiResidualNorm norm = { .batch = batch, .n = s->n, .c = s->c, .eps = (float) EPS,
                                    .y_dtype = call->dtype, .h_dtype = call->dtype, .modulation_stride = s->c };
  g_autofree void *scratch = g_malloc (kernels->norm_backward_scratch_bytes (context, &norm));

  g_assert_cmpint ((s->layer ? kernels->layer_norm_backward : kernels->residual_norm_backward) (context, &norm,
                                                                                               &call->g, scratch),
                   ==, SWITTI_KERNEL_OK);
}

static void
norm_call_run (NormCall *call, SwittiKernelContext *context)
{
  norm_call_run_images (call, context, call->shape->batch);
}

static void
norm_call_compare (NormCall *call)
{
  const SwittiNormGradients *g = &call->g;
  const struct
  {
    const char *what;
    int which;
    SwittiDtype dtype;
    const void *got;
    double base;
  } gradients[] = {
    { "dx", X, SWITTI_DTYPE_F32, g->dx, 0 },
    { "dy", Y, call->dtype, g->dy, 0 },
    { "d_post_weight", POST_WEIGHT, SWITTI_DTYPE_F32, g->d_post_weight, START },
    { "d_gate", GATE, SWITTI_DTYPE_F32, g->d_gate, 0 },
    { "d_weight", WEIGHT, SWITTI_DTYPE_F32, g->d_weight, START },
    { "d_bias", BIAS, SWITTI_DTYPE_F32, g->d_bias, START },
    { "d_scale", SCALE, SWITTI_DTYPE_F32, g->d_scale, 0 },
    { "d_shift", SHIFT, SWITTI_DTYPE_F32, g->d_shift, 0 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (gradients); i++)
    if (gradients[i].got != NULL)
      test_gradient (gradients[i].what, norm_loss, call->in, call->shape, gradients[i].which,
                     call->counts[gradients[i].which], gradients[i].dtype, gradients[i].got, gradients[i].base,
                     test_tolerance (call->dtype));
}

static void
norm_call_clear (NormCall *call)
{
  g_aligned_free (call->x);
  g_aligned_free (call->g.dy);
  g_aligned_free (call->g.d_post_weight);
  g_aligned_free (call->g.d_weight);
  g_aligned_free (call->g.d_bias);
  for (int i = 0; i < 3; i++)
    g_aligned_free (call->modulation[i]);
  for (int i = 0; i < N_INPUTS; i++)
    {
      operand_clear (&call->operands[i]);
      g_free (call->in[i]);
    }
}

static void
check_norm (const NormShape *s, SwittiDtype dtype, const char *isa)
{
  SwittiKernelContext *context = test_context (isa, 2);
  NormCall call;

  if (context == NULL)
    return;
  norm_call_init (&call, s, dtype);
  norm_call_fill (&call);
  norm_call_run (&call, context);
  norm_call_compare (&call);
  norm_call_clear (&call);
  test_kernels ()->context_free (context);
}

static const NormShape norm_shapes[] = {
  { FALSE, 1, 1, 1, TRUE, TRUE, TRUE },    { FALSE, 2, 3, 20, TRUE, TRUE, TRUE },
  { FALSE, 2, 35, 67, TRUE, TRUE, TRUE },  { FALSE, 3, 2, 16, TRUE, FALSE, TRUE },
  { FALSE, 2, 3, 33, FALSE, TRUE, TRUE },  { FALSE, 1, 4, 17, TRUE, TRUE, FALSE },
  { TRUE, 1, 1, 2, FALSE, TRUE, TRUE },    { TRUE, 2, 3, 20, TRUE, TRUE, TRUE },
  { TRUE, 2, 33, 67, FALSE, TRUE, TRUE },  { TRUE, 3, 2, 16, FALSE, TRUE, FALSE },
  /* As wide as each of CUDA's kernels takes. */
  { FALSE, 1, 2, 600, TRUE, TRUE, TRUE },  { TRUE, 1, 1, 2050, TRUE, TRUE, TRUE },
  { FALSE, 1, 2, 2052, TRUE, TRUE, TRUE }, { FALSE, 1, 2, 2052, TRUE, FALSE, TRUE },
};

static void
test_norms (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (norm_shapes); i++)
    for (gsize isa = 0; isa < G_N_ELEMENTS (test_isas); isa++)
      {
        g_test_message ("shape %" G_GSIZE_FORMAT ", %s", i, test_isas[isa]);
        check_norm (&norm_shapes[i], SWITTI_DTYPE_F32, test_isas[isa]);
        check_norm (&norm_shapes[i], SWITTI_DTYPE_BF16, test_isas[isa]);
      }
}

static void
test_norms_threads (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (norm_shapes); i++)
    {
      NormCall calls[2];
      const gsize vector = (gsize) norm_shapes[i].c * sizeof (float);

      for (int j = 0; j < 2; j++)
        {
          SwittiKernelContext *context = test_context (NULL, 1 + 2 * j);

          norm_call_init (&calls[j], &norm_shapes[i], SWITTI_DTYPE_F32);
          norm_call_fill (&calls[j]);
          norm_call_run (&calls[j], context);
          test_kernels ()->context_free (context);
        }
      g_assert_cmpmem (calls[0].g.dx, calls[0].counts[X] * sizeof (float), calls[1].g.dx,
                       calls[1].counts[X] * sizeof (float));
      if (calls[0].g.d_weight != NULL)
        g_assert_cmpmem (calls[0].g.d_weight, vector, calls[1].g.d_weight, vector);
      if (calls[0].g.d_post_weight != NULL)
        g_assert_cmpmem (calls[0].g.d_post_weight, vector, calls[1].g.d_post_weight, vector);
      norm_call_clear (&calls[0]);
      norm_call_clear (&calls[1]);
    }
}

/* What an image gets does not depend on the others. */
static void
test_norms_alone (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (norm_shapes); i++)
    for (gsize isa = 0; isa < G_N_ELEMENTS (test_isas); isa++)
      {
        const NormShape *s = &norm_shapes[i];
        const gsize rows = (gsize) (s->n * s->c) * sizeof (float), vector = (gsize) s->c * sizeof (float);
        SwittiKernelContext *context = s->batch > 1 ? test_context (test_isas[isa], 2) : NULL;
        NormCall calls[2];

        if (context == NULL)
          continue;
        for (int j = 0; j < 2; j++)
          {
            norm_call_init (&calls[j], s, SWITTI_DTYPE_F32);
            norm_call_fill (&calls[j]);
            norm_call_run_images (&calls[j], context, j == 0 ? s->batch : 1);
          }
        g_assert_cmpmem (calls[0].g.dx, rows, calls[1].g.dx, rows);
        if (s->has_y)
          g_assert_cmpmem (calls[0].g.dy, rows, calls[1].g.dy, rows);
        for (int j = 0; j < 3; j++)
          g_assert_cmpmem (calls[0].modulation[j], vector, calls[1].modulation[j], vector);
        norm_call_clear (&calls[0]);
        norm_call_clear (&calls[1]);
        test_kernels ()->context_free (context);
      }
}

/* -- queries and keys ------------------------------------------------------------------------------------------ */

enum
{
  Q,
  K,
  V,
  DQ,
  DK,
  DV,
  N_QKV_INPUTS
};

typedef struct
{
  int batch, n, heads, d;
  const double *rope; /* (n, d/2, 2) or NULL */
} QkShape;

/* LN over all heads, then the rotation, of one row. */
static double
rotated_sum (const QkShape *s, const double *row, const double *weights, int r)
{
  const int c = s->heads * s->d;
  double mean = mean_of (row, c, FALSE), variance = 0, total = 0;

  for (int j = 0; j < c; j++)
    variance += (row[j] - mean) * (row[j] - mean) / c;
  for (int j = 0; j < c; j++)
    {
      int other = j ^ 1, i = j % s->d / 2;
      double own = (row[j] - mean) / sqrt (variance + EPS), turned = own;

      if (s->rope != NULL)
        {
          const double *angle = s->rope + (r * (s->d / 2) + i) * 2;
          double partner = (row[other] - mean) / sqrt (variance + EPS);

          turned = own * angle[0] + (j % 2 == 0 ? -partner : partner) * angle[1];
        }
      total += turned * weights[j];
    }
  return total;
}

static double
qk_loss (double *const *in, const void *data)
{
  const QkShape *s = data;
  const int c = s->heads * s->d;
  double total = 0;

  for (int r = 0; r < s->batch * s->n; r++)
    {
      total += rotated_sum (s, in[Q] + r * c, in[DQ] + r * c, r % s->n);
      total += rotated_sum (s, in[K] + r * c, in[DK] + r * c, r % s->n);
      for (int j = 0; j < c; j++)
        total += in[V][r * c + j] * in[DV][r * c + j];
    }
  return total;
}

static void
check_qk (QkShape s, gboolean rotate, SwittiDtype dtype, const char *isa)
{
  SwittiKernelContext *context = test_context (isa, 2);
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  const int c = s.heads * s.d;
  const gsize count = (gsize) (s.batch * s.n * c), n_angles = (gsize) (s.n * s.d);
  const SwittiRows rows = { s.n * c, c };
  const SwittiQkNormRope op = { .batch = s.batch, .n = s.n, .heads = s.heads, .d = s.d, .eps = (float) EPS,
                                .dtype = dtype, .q = rows, .k = rows, .v = rows, .q_out = rows, .k_out = rows,
                                .v_out = rows };
  g_autofree double *rope = g_new (double, n_angles);
  g_autofree float *angles = g_new (float, n_angles);
  Operand operands[N_QKV_INPUTS];
  double *in[N_QKV_INPUTS];
  void *out[3];

  if (context == NULL)
    return;
  for (gsize i = 0; i < n_angles; i++)
    {
      rope[i] = i % 2 == 0 ? cos ((double) i) : sin ((double) (i - 1));
      angles[i] = (float) rope[i];
    }
  s.rope = rotate ? rope : NULL;
  for (int i = 0; i < N_QKV_INPUTS; i++)
    {
      operands[i] = operand_new (i == DK || i == DV ? SWITTI_DTYPE_F32 : dtype, count, rand);
      in[i] = test_values (&operands[i]);
    }
  for (int i = 0; i < 3; i++)
    out[i] = i == Q ? operands[DQ].data : test_output (dtype, count); /* dq may be dq_out */
  g_assert_cmpint (test_kernels ()->qk_norm_rope_backward (
                       context, &op, rotate ? angles : NULL, operands[Q].data, operands[K].data, operands[DQ].data,
                       operands[DK].data, operands[DV].data, out[Q], out[K], out[V]),
                   ==, SWITTI_KERNEL_OK);
  for (int i = 0; i < 3; i++)
    test_gradient (i == Q ? "dq" : i == K ? "dk" : "dv", qk_loss, in, &s, i, count, dtype, out[i], 0,
                   test_tolerance (dtype));
  g_aligned_free (out[K]);
  g_aligned_free (out[V]);
  for (int i = 0; i < N_QKV_INPUTS; i++)
    {
      operand_clear (&operands[i]);
      g_free (in[i]);
    }
  test_kernels ()->context_free (context);
}

static void
test_qk_norm_rope (void)
{
  static const QkShape shapes[] = { { 1, 1, 1, 2, NULL }, { 2, 3, 2, 6, NULL }, { 1, 5, 3, 20, NULL } };

  for (gsize i = 0; i < G_N_ELEMENTS (shapes); i++)
    for (gsize isa = 0; isa < G_N_ELEMENTS (test_isas); isa++)
      for (int rotate = 0; rotate < 2; rotate++)
        {
          check_qk (shapes[i], rotate, SWITTI_DTYPE_F32, test_isas[isa]);
          check_qk (shapes[i], rotate, SWITTI_DTYPE_BF16, test_isas[isa]);
        }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/norm-backward/norms", test_norms);
  g_test_add_func ("/norm-backward/threads", test_norms_threads);
  g_test_add_func ("/norm-backward/alone", test_norms_alone);
  g_test_add_func ("/norm-backward/qk-norm-rope", test_qk_norm_rope);
  return g_test_run ();
}
