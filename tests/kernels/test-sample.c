/* test-sample.c - sample_filtered and sample_smooth
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "op-test.h"

#include "switti-safetensors-private.h"

#include <stdio.h>
#include <stdlib.h>

/* -- restatements ---------------------------------------------------------------------------------------------- */

/* -log (-log u) for a code, from Philox 4x32-10 written out. */
static double
naive_gumbel (guint64 seed, guint32 position, guint32 scale, guint32 code)
{
  guint32 c[4] = { code / 4, position, scale, 0 };
  guint32 key[2] = { (guint32) (seed & 0xffffffffu), (guint32) (seed >> 32) };

  for (int round = 0; round < 10; round++)
    {
      const guint64 a = (guint64) 0xD2511F53u * c[0], b = (guint64) 0xCD9E8D57u * c[2];
      const guint32 next[4] = { (guint32) (b >> 32) ^ c[1] ^ key[0], (guint32) b, (guint32) (a >> 32) ^ c[3] ^ key[1],
                                (guint32) a };
      memcpy (c, next, sizeof c);
      key[0] += 0x9E3779B9u;
      key[1] += 0xBB67AE85u;
    }
  return -log (-log (((double) (c[code % 4] >> 8) + 0.5) * 0x1p-24));
}

typedef struct
{
  float logit;
  gint32 code;
} Entry;

static int
compare_entries (const void *a, const void *b)
{
  const Entry *x = a, *y = b;

  if (x->logit != y->logit)
    return x->logit < y->logit ? -1 : 1;
  return x->code - y->code;
}

/* What becomes of each code: 0 dropped, 1 kept, 2 too near to the nucleus's edge for float32 to tell. */
static guint8 *
naive_filter (const SwittiSample *sample, const float *logits)
{
  const gint64 v = sample->v;
  g_autofree Entry *entries = g_new (Entry, (gsize) v);
  guint8 *fate = g_new0 (guint8, (gsize) v);
  gint64 first = 0;
  double total = 0.0, running = 0.0;

  for (gint64 i = 0; i < v; i++)
    entries[i] = (Entry){ logits[i], (gint32) i };
  qsort (entries, (gsize) v, sizeof *entries, compare_entries);
  if (sample->top_k > 0 && sample->top_k < v)
    while (entries[first].logit < entries[v - sample->top_k].logit)
      first++;
  for (gint64 i = first; i < v; i++)
    total += exp ((double) entries[i].logit - entries[v - 1].logit);
  for (gint64 i = first; i < v; i++)
    {
      const double limit = 1.0 - (double) sample->top_p;
      running += exp ((double) entries[i].logit - entries[v - 1].logit) / total;
      fate[entries[i].code] = 1;
      if (sample->top_p > 0.0f && i < v - 1 && running <= limit)
        fate[entries[i].code] = 0;
      if (sample->top_p > 0.0f && i < v - 1 && fabs (running - limit) < 1e-6)
        fate[entries[i].code] = 2;
    }
  return fate;
}

/* -- one call -------------------------------------------------------------------------------------------------- */

typedef struct
{
  SwittiSample sample;
  guint64 seeds[3];
  Operand prompt, null_logits;
} Case;

static void
case_init (Case *test, gint64 batch, gint64 n, gint64 v, double spread)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32) v);

  g_assert_cmpint (batch, <=, 3);
  test->sample = (SwittiSample){ .batch = batch, .n = n, .v = v, .scale_index = 4, .guidance = 1.5f,
                                 .temperature = 1.0f, .gumbel_sharpness = 1.4f, .gumbel_tau = 0.15f };
  for (guint i = 0; i < 3; i++)
    test->seeds[i] = 0x123456789abcdef0u * (i + 1);
  test->prompt = operand_new (SWITTI_DTYPE_F32, (gsize) (batch * n * v), rand);
  test->null_logits = operand_new (SWITTI_DTYPE_F32, (gsize) (batch * n * v), rand);
  for (gsize i = 0; i < test->prompt.count; i++)
    {
      operand_f32 (&test->prompt)[i] *= (float) spread;
      /* On a coarse grid for every other position: ties, also between 0 and -0. */
      if (i / (gsize) v % 2 == 0)
        operand_f32 (&test->prompt)[i] = (float) trunc (operand_f32 (&test->prompt)[i]);
    }
}

static void
case_clear (Case *test)
{
  operand_clear (&test->prompt);
  operand_clear (&test->null_logits);
}

static void
check_guided (const Case *test, gboolean with_null, const Operand *guided)
{
  const double t = test->sample.guidance;

  for (gsize i = 0; i < guided->count; i++)
    {
      const double prompt = operand_f32 (&test->prompt)[i], null = operand_f32 (&test->null_logits)[i];

      assert_element (guided, i, with_null ? (1.0 + t) * prompt - t * null : prompt / (double) test->sample.temperature,
                      4.0 * ROUNDING * ((1.0 + t) * fabs (prompt) + t * fabs (null)));
    }
}

/* The filter's survivors, and the draw: the largest logit + Gumbel among them. */
static void
check_row (const SwittiSample *sample, guint64 seed, gint64 position, const float *logits, const float *filtered,
           gint32 code)
{
  g_autofree guint8 *fate = naive_filter (sample, logits);
  double greatest = -INFINITY;

  for (gint64 i = 0; i < sample->v; i++)
    {
      const gboolean kept = filtered[i] > -INFINITY;

      if (fate[i] != 2)
        g_assert_cmpint (kept, ==, fate[i]);
      if (!kept)
        continue;
      g_assert_cmpfloat (filtered[i], ==, logits[i]);
      greatest = MAX (greatest,
                      logits[i] + naive_gumbel (seed, (guint32) position, (guint32) sample->scale_index, (guint32) i));
    }
  g_assert_true (code >= 0 && code < sample->v);
  g_assert_cmpfloat (filtered[code], >, -INFINITY);
  /* The drawn code reaches the maximum but for float32's rounding of numbers up to 40. */
  g_assert_cmpfloat (
      logits[code] + naive_gumbel (seed, (guint32) position, (guint32) sample->scale_index, (guint32) code), >=,
      greatest - 64.0 * 0x1p-23);
}

static void
check_filtered (SwittiKernelContext *context, const Case *test, gboolean with_null)
{
  const SwittiSample *sample = &test->sample;
  const gsize rows = (gsize) (sample->batch * sample->n), v = (gsize) sample->v;
  Operand guided = output_new (SWITTI_DTYPE_F32, rows * v), filtered = output_new (SWITTI_DTYPE_F32, rows * v);
  g_autofree gint32 *codes = g_new (gint32, rows), *plain = g_new (gint32, rows);

  assert_ok (test_kernels ()->sample_filtered (context, sample, test->seeds, test->prompt.data,
                                               with_null ? test->null_logits.data : NULL, guided.data,
                                               filtered.data, codes));
  check_guided (test, with_null, &guided);
  for (gsize r = 0; r < rows; r++)
    check_row (sample, test->seeds[r / (gsize) sample->n], (gint64) r % sample->n, operand_f32 (&guided) + r * v,
               operand_f32 (&filtered) + r * v, codes[r]);
  /* Not asking for the rest changes nothing. */
  assert_ok (test_kernels ()->sample_filtered (context, sample, test->seeds, test->prompt.data,
                                               with_null ? test->null_logits.data : NULL, NULL, NULL, plain));
  g_assert_cmpmem (plain, rows * sizeof *plain, codes, rows * sizeof *codes);
  operand_clear (&guided);
  operand_clear (&filtered);
}

static void
test_filtered (gconstpointer isa)
{
  static const gint64 sizes[] = { 1, 2, 3, 341, 4097 }, top_ks[] = { 0, 1, 2, 50, 400, 100000 };
  static const float top_ps[] = { 0.0f, 1e-20f, 1e-6f, 0.5f, 0.95f, 1.0f };
  SwittiKernelContext *context = op_context (isa, 2);

  for (gsize s = 0; context != NULL && s < G_N_ELEMENTS (sizes); s++)
    {
      Case test;

      case_init (&test, 2, 2, sizes[s], 6.0);
      for (gsize k = 0; k < G_N_ELEMENTS (top_ks); k++)
        for (gsize p = 0; p < G_N_ELEMENTS (top_ps); p++)
          {
            if (TEST_SIMULATED && sizes[s] > 1000 && (k + p) % 5 != 4)
              continue;
            test.sample.top_k = top_ks[k];
            test.sample.top_p = top_ps[p];
            test.sample.temperature = 1.0f;
            check_filtered (context, &test, TRUE);
            test.sample.temperature = 0.3f;
            check_filtered (context, &test, FALSE);
          }
      case_clear (&test);
    }
  test_kernels ()->context_free (context);
}

/* 0 and -0 are equal: where one of them is the k-th largest, both stay. */
static void
test_zeros (gconstpointer isa)
{
  static const float logits[6] = { -0.0f, 0.0f, -1.0f, 1.0f, -0.0f, -2.0f };
  const SwittiSample sample = { .batch = 1, .n = 1, .v = 6, .temperature = 1.0f, .top_k = 2 };
  SwittiKernelContext *context = op_context (isa, 1);
  const guint64 seed = 1;
  float filtered[6];
  gint32 code;

  if (context == NULL)
    return;
  assert_ok (test_kernels ()->sample_filtered (context, &sample, &seed, logits, NULL, NULL, filtered, &code));
  for (int i = 0; i < 6; i++)
    g_assert_cmpfloat (filtered[i], ==, logits[i] < 0.0f ? -INFINITY : logits[i]);
  test_kernels ()->context_free (context);
}

/* 100,000 draws (simulated, 5,000) of one distribution, over seeds, positions and codes as a whole run has them. */
static void
check_statistics (SwittiKernelContext *context, gint64 top_k, double critical)
{
  enum { IMAGES = TEST_SIMULATED ? 5 : 100, N = 1000, V = 16 };
  const SwittiSample sample = { .batch = IMAGES, .n = N, .v = V, .scale_index = 9, .temperature = 1.0f,
                                .top_k = top_k };
  g_autofree float *logits = g_new (float, IMAGES * N * V);
  g_autofree gint32 *codes = g_new (gint32, IMAGES * N);
  guint64 seeds[IMAGES];
  double count[V] = { 0 }, total = 0.0, chi_square = 0.0;

  for (gsize i = 0; i < IMAGES * N * V; i++)
    logits[i] = (float) (i % V) * 0.2f;
  for (guint64 i = 0; i < IMAGES; i++)
    seeds[i] = i;
  assert_ok (test_kernels ()->sample_filtered (context, &sample, seeds, logits, NULL, NULL, NULL, codes));
  for (gsize i = 0; i < IMAGES * N; i++)
    count[codes[i]] += 1.0;
  for (int i = top_k > 0 ? V - (int) top_k : 0; i < V; i++)
    total += exp (logits[i]);
  for (int i = 0; i < V; i++)
    {
      const double expected = top_k > 0 && i < V - top_k ? 0.0 : exp (logits[i]) / total * IMAGES * N;

      if (expected == 0.0)
        g_assert_cmpfloat (count[i], ==, 0.0);
      else
        chi_square += (count[i] - expected) * (count[i] - expected) / expected;
    }
  g_assert_cmpfloat (chi_square, <, critical);
}

static void
test_statistics (gconstpointer isa)
{
  SwittiKernelContext *context = op_context (isa, 2);

  if (context == NULL)
    return;
  /* What chi-square exceeds with a probability of 0.001: 15 and 4 degrees of freedom. */
  check_statistics (context, 0, 37.7);
  check_statistics (context, 5, 18.5);
  test_kernels ()->context_free (context);
}

/* -- smooth ---------------------------------------------------------------------------------------------------- */

/* h of one row, float64, for `gumbel` or the row's own random numbers; returns the heaviest code. */
static void
check_smooth_row (const SwittiSample *sample, guint64 seed, gint64 position, const float *logits, const float *gumbel,
                  const float *codebook, const Operand *h, gsize first, gint32 code)
{
  g_autofree double *score = g_new (double, (gsize) sample->v);
  double greatest = -INFINITY, total = 0.0;

  for (gint64 i = 0; i < sample->v; i++)
    {
      const double noise = gumbel != NULL ? gumbel[i]
                                          : naive_gumbel (seed, (guint32) position, (guint32) sample->scale_index,
                                                          (guint32) i);
      score[i] = (double) logits[i] * sample->gumbel_sharpness + noise;
      greatest = MAX (greatest, score[i]);
    }
  g_assert_true (code >= 0 && code < sample->v);
  g_assert_cmpfloat (score[code], >=, greatest - 64.0 * 0x1p-23);
  for (gint64 i = 0; i < sample->v; i++)
    total += score[i] = exp ((score[i] - greatest) / sample->gumbel_tau);
  for (gint64 j = 0; j < sample->z; j++)
    {
      double expected = 0.0, magnitude = 0.0;

      for (gint64 i = 0; i < sample->v; i++)
        {
          expected += score[i] / total * codebook[i * sample->z + j];
          magnitude += score[i] / total * fabs ((double) codebook[i * sample->z + j]);
        }
      /* Scores up to 32 have roundings of 2^-20 at most, of which there are 4, and tau enlarges them. */
      assert_element (h, first + (gsize) j, expected,
                      magnitude * (8.0 * 0x1p-20 / sample->gumbel_tau + (double) sample->v * ROUNDING));
    }
}

static void
check_smooth (SwittiKernelContext *context, Case *test, gint64 z, gboolean with_gumbel)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (12);
  SwittiSample *sample = &test->sample;
  const gsize rows = (gsize) (sample->batch * sample->n), v = (gsize) sample->v;
  Operand codebook = operand_new (SWITTI_DTYPE_F32, v * (gsize) z, rand);
  Operand gumbel = operand_new (SWITTI_DTYPE_F32, rows * v, rand);
  Operand h = output_new (SWITTI_DTYPE_F32, rows * (gsize) z), guided = output_new (SWITTI_DTYPE_F32, rows * v);
  g_autofree gint32 *codes = g_new (gint32, rows);

  sample->z = z;
  assert_ok (test_kernels ()->sample_smooth (context, sample, with_gumbel ? NULL : test->seeds,
                                             test->prompt.data, test->null_logits.data, codebook.data,
                                             with_gumbel ? gumbel.data : NULL, guided.data, h.data, codes));
  check_guided (test, TRUE, &guided);
  for (gsize r = 0; r < rows; r++)
    check_smooth_row (sample, test->seeds[r / (gsize) sample->n], (gint64) r % sample->n, operand_f32 (&guided) + r * v,
                      with_gumbel ? operand_f32 (&gumbel) + r * v : NULL, codebook.data, &h, r * (gsize) z, codes[r]);
  operand_clear (&codebook);
  operand_clear (&gumbel);
  operand_clear (&h);
  operand_clear (&guided);
}

static void
test_smooth (gconstpointer isa)
{
  static const gint64 shapes[][2] = { { 1, 1 }, { 3, 5 }, { 341, 32 }, { 4097, 7 } };
  SwittiKernelContext *context = op_context (isa, 2);

  for (gsize s = 0; context != NULL && s < G_N_ELEMENTS (shapes); s++)
    for (int variant = 0; variant < 4; variant++)
      {
        Case test;

        case_init (&test, 2, 3, shapes[s][0], 4.0);
        test.sample.gumbel_tau = variant & 1 ? 0.005f : 0.2f;
        check_smooth (context, &test, shapes[s][1], (variant & 2) != 0);
        case_clear (&test);
      }
  test_kernels ()->context_free (context);
}

/* -- both ------------------------------------------------------------------------------------------------------ */

/* An image's draws depend on its seed alone: not on its place in the batch or on the threads. */
static void
test_same_bits (gconstpointer isa)
{
  enum { N = 9, V = 300, Z = 32 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (13);
  Operand codebook = operand_new (SWITTI_DTYPE_F32, V * Z, rand);
  Operand h[3] = { 0 };
  gint32 codes[3][3 * N], smooth_codes[3][3 * N];
  Case test;

  case_init (&test, 3, N, V, 4.0);
  test.sample.top_k = 40;
  test.sample.top_p = 0.9f;
  test.sample.z = Z;
  for (int i = 0; i < 3; i++)
    {
      const SwittiKernels *kernels = test_kernels ();
      SwittiKernelContext *context = op_context (isa, i + 1);
      SwittiSample one = test.sample;
      gint32 alone[N];

      if (context == NULL)
        break;
      h[i] = output_new (SWITTI_DTYPE_F32, 3 * N * Z);
      assert_ok (kernels->sample_filtered (context, &test.sample, test.seeds, test.prompt.data, test.null_logits.data,
                                           NULL, NULL, codes[i]));
      assert_ok (kernels->sample_smooth (context, &test.sample, test.seeds, test.prompt.data, test.null_logits.data,
                                         codebook.data, NULL, NULL, h[i].data, smooth_codes[i]));
      g_assert_cmpmem (codes[i], sizeof codes[i], codes[0], sizeof codes[0]);
      g_assert_cmpmem (smooth_codes[i], sizeof codes[i], smooth_codes[0], sizeof codes[0]);
      assert_same_bytes (&h[i], &h[0]);

      one.batch = 1;
      Operand own = output_new (SWITTI_DTYPE_F32, N * Z);
      assert_ok (kernels->sample_filtered (context, &one, &test.seeds[2], operand_f32 (&test.prompt) + 2 * N * V,
                                           operand_f32 (&test.null_logits) + 2 * N * V, NULL, NULL, alone));
      g_assert_cmpmem (alone, sizeof alone, codes[0] + 2 * N, sizeof alone);
      assert_ok (kernels->sample_smooth (context, &one, &test.seeds[2], operand_f32 (&test.prompt) + 2 * N * V,
                                         operand_f32 (&test.null_logits) + 2 * N * V, codebook.data, NULL, NULL,
                                         own.data, alone));
      g_assert_cmpmem (own.data, N * Z * 4, operand_f32 (&h[0]) + 2 * N * Z, N * Z * 4);
      operand_clear (&own);
      kernels->context_free (context);
    }
  for (int i = 0; i < 3; i++)
    operand_clear (&h[i]);
  operand_clear (&codebook);
  case_clear (&test);
}

/* Numbers that are none end in some code, not in a crash or a loop. */
static void
test_extremes (gconstpointer isa)
{
  enum { V = 21, ROWS = 5 };
  const float values[ROWS] = { NAN, INFINITY, -INFINITY, 3e38f, -3e38f };
  SwittiSample sample = { .batch = 1, .n = ROWS, .v = V, .temperature = 1.0f, .gumbel_sharpness = 2.0f,
                          .gumbel_tau = 0.005f, .z = 1 };
  SwittiKernelContext *context = op_context (isa, 1);
  float logits[ROWS * V], codebook[V] = { 0 }, h[ROWS];
  const guint64 seed = 5;
  gint32 codes[ROWS];

  for (int variant = 0; context != NULL && variant < 8; variant++)
    {
      for (int i = 0; i < ROWS * V; i++)
        logits[i] = variant & 1 && i % V != 7 ? 0.5f : values[i / V];
      sample.top_k = variant & 2 ? 3 : 0;
      sample.top_p = variant & 4 ? 0.9f : 0.0f;
      assert_ok (test_kernels ()->sample_filtered (context, &sample, &seed, logits, NULL, NULL, NULL, codes));
      for (int i = 0; i < ROWS; i++)
        g_assert_true (codes[i] >= 0 && codes[i] < V);
      assert_ok (test_kernels ()->sample_smooth (context, &sample, &seed, logits, NULL, codebook, NULL, NULL, h,
                                                 codes));
      for (int i = 0; i < ROWS; i++)
        g_assert_true (codes[i] >= 0 && codes[i] < V);
    }
  test_kernels ()->context_free (context);
}

/* -- fixtures -------------------------------------------------------------------------------------------------- */

static void
lookup (SwittiSafetensors *file, const char *name, SwittiTensor *tensor)
{
  g_assert_true (switti_safetensors_lookup (file, name, tensor));
  g_assert_cmpint (tensor->n_dims, ==, 3);
}

/* "filtered_kK_pP": the logits with -inf where dropped. */
static void
check_filter_fixture (SwittiKernelContext *context, SwittiSafetensors *file, const char *name, long top_k, float top_p)
{
  const guint64 seeds[8] = { 0 };
  SwittiTensor logits, expected;

  lookup (file, "logits", &logits);
  lookup (file, name, &expected);
  const SwittiSample sample = { .batch = logits.dims[0], .n = logits.dims[1], .v = logits.dims[2],
                                .temperature = 1.0f, .top_k = top_k, .top_p = top_p };
  const gsize count = (gsize) (sample.batch * sample.n * sample.v);
  g_autofree gint32 *codes = g_new (gint32, (gsize) (sample.batch * sample.n));
  g_autofree float *filtered = g_new (float, count);

  g_assert_cmpint (sample.batch, <=, 8);
  assert_ok (test_kernels ()->sample_filtered (context, &sample, seeds, logits.data, NULL, NULL, filtered,
                                               codes));
  for (gsize i = 0; i < count; i++)
    g_assert_cmpfloat (filtered[i], ==, ((const float *) expected.data)[i]);
}

/* "gumbel_rR": the weights for given exponential noise; with the identity as codebook, h is the weights. */
static void
check_smooth_fixture (SwittiKernelContext *context, SwittiSafetensors *file, const char *name, double r)
{
  SwittiTensor logits, noise, expected;

  lookup (file, "logits", &logits);
  lookup (file, "exp_noise", &noise);
  lookup (file, name, &expected);
  const gint64 v = logits.dims[2];
  const SwittiSample sample = { .batch = logits.dims[0], .n = logits.dims[1], .v = v, .z = v, .temperature = 1.0f,
                                .gumbel_sharpness = (float) (1.0 + r),
                                .gumbel_tau = (float) MAX (0.27 * (1.0 - 0.95 * r), 0.005) };
  const gsize count = (gsize) (sample.batch * sample.n * v);
  g_autofree float *gumbel = g_new (float, count), *codebook = g_new0 (float, (gsize) (v * v));
  g_autofree float *weights = g_new (float, count);
  g_autofree gint32 *codes = g_new (gint32, (gsize) (sample.batch * sample.n));
  double error = 0.0, norm = 0.0;

  for (gsize i = 0; i < count; i++)
    gumbel[i] = -logf (((const float *) noise.data)[i]);
  for (gint64 i = 0; i < v; i++)
    codebook[i * v + i] = 1.0f;
  assert_ok (test_kernels ()->sample_smooth (context, &sample, NULL, logits.data, NULL, codebook, gumbel, NULL,
                                             weights, codes));
  for (gsize i = 0; i < count; i++)
    {
      const double value = ((const float *) expected.data)[i];

      error += (weights[i] - value) * (weights[i] - value);
      norm += value * value;
    }
  /* The fixtures' limit for float32 activations. */
  g_assert_cmpfloat (sqrt (error), <=, 1e-4 * sqrt (norm));
}

static void
test_fixtures (gconstpointer isa)
{
  g_autofree char *path = fixture_path ("sampling.safetensors");
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiSafetensors) file = switti_safetensors_open (path, &error);
  SwittiKernelContext *context = op_context (isa, 2);
  guint filters = 0, smooths = 0;

  g_assert_no_error (error);
  for (const char *const *name = switti_safetensors_list (file); context != NULL && *name != NULL; name++)
    {
      long top_k;
      float top_p;
      double r;

      if (sscanf (*name, "filtered_k%ld_p%f", &top_k, &top_p) == 2)
        {
          check_filter_fixture (context, file, *name, top_k, top_p);
          filters++;
        }
      else if (sscanf (*name, "gumbel_r%lf", &r) == 1)
        {
          check_smooth_fixture (context, file, *name, r);
          smooths++;
        }
    }
  if (context != NULL)
    g_assert_true (filters > 0 && smooths > 0);
  test_kernels ()->context_free (context);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  op_add ("/sample/filtered", test_filtered);
  op_add ("/sample/zeros", test_zeros);
  op_add ("/sample/statistics", test_statistics);
  op_add ("/sample/smooth", test_smooth);
  op_add ("/sample/same-bits", test_same_bits);
  op_add ("/sample/extremes", test_extremes);
  op_add ("/sample/fixtures", test_fixtures);
  return g_test_run ();
}
