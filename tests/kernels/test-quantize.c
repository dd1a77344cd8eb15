/* test-quantize.c - nearest_code
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "op-test.h"

/* The exact search: the lower code wins a tie. */
static gint32
naive_code (const float *f, const float *codebook, gint64 v, gint64 z, gboolean cosine)
{
  double best = INFINITY;
  gint32 code = 0;

  for (gint64 i = 0; i < v; i++)
    {
      double distance = 0.0, product = 0.0, norm = 0.0;

      for (gint64 j = 0; j < z; j++)
        {
          const double c = codebook[i * z + j];
          distance += (f[j] - c) * (f[j] - c);
          product += f[j] * c;
          norm += c * c;
        }
      const double score = cosine ? (norm > 0.0 ? -product / sqrt (norm) : 0.0) : distance;
      if (score < best)
        {
          best = score;
          code = (gint32) i;
        }
    }
  return code;
}

static void
check (SwittiKernelContext *context, gint64 rows, gint64 v, gint64 z, const float *f, const float *codebook)
{
  g_autofree gint32 *codes = g_new (gint32, (gsize) rows);

  for (int cosine = 0; cosine < 2; cosine++)
    {
      memset (codes, 0xff, (gsize) rows * sizeof *codes);
      assert_ok (test_kernels ()->nearest_code (context, rows, v, z, cosine, f, codebook, codes));
      for (gint64 r = 0; r < rows; r++)
        g_assert_cmpint (codes[r], ==, naive_code (f + r * z, codebook, v, z, cosine));
    }
}

static void
test_shapes (gconstpointer isa)
{
  static const gint64 shapes[][3] = { { 1, 1, 1 }, { 3, 2, 5 }, { 70, 1000, 32 }, { 129, 512, 7 }, { 5, 4096, 32 } };
  SwittiKernelContext *context = op_context (isa, 2);

  for (gsize s = 0; context != NULL && s < G_N_ELEMENTS (shapes); s++)
    {
      g_autoptr (GRand) rand = g_rand_new_with_seed (7);
      Operand f = operand_new (SWITTI_DTYPE_F32, (gsize) (shapes[s][0] * shapes[s][2]), rand);
      Operand codebook = operand_new (SWITTI_DTYPE_F32, (gsize) (shapes[s][1] * shapes[s][2]), rand);

      check (context, shapes[s][0], shapes[s][1], shapes[s][2], f.data, codebook.data);
      operand_clear (&f);
      operand_clear (&codebook);
    }
  test_kernels ()->context_free (context);
}

/* Codes that float32 cannot tell apart by their distance: far from the origin, a few units in the last place from
 * each other; every other one is there twice. */
static void
test_near_ties (gconstpointer isa)
{
  enum { ROWS = 50, V = 700, Z = 16 };
  SwittiKernelContext *context = op_context (isa, 1);
  g_autoptr (GRand) rand = g_rand_new_with_seed (8);
  g_autofree float *codebook = g_new (float, V * Z);
  g_autofree float *f = g_new (float, ROWS * Z);

  if (context == NULL)
    return;
  for (int i = 0; i < V * Z; i++)
    codebook[i] = 100.0f + (float) g_rand_int_range (rand, -3, 4) * 0x1p-17f;
  for (int i = 1; i < V; i += 2)
    memcpy (codebook + i * Z, codebook + (i - 1) * Z, Z * sizeof (float));
  for (int i = 0; i < ROWS * Z; i++)
    f[i] = 100.0f + (float) g_rand_int_range (rand, -3, 4) * 0x1p-17f;
  check (context, ROWS, V, Z, f, codebook);
  test_kernels ()->context_free (context);
}

/* Zeros, a code of length zero, and numbers that are none. */
static void
test_extremes (gconstpointer isa)
{
  const float codebook[8] = { 0.0f, 0.0f, -1.0f, 0.0f, 0.0f, 2.0f, 3.0f, 4.0f };
  const float f[8] = { 0.0f, 0.0f, -1.0f, -1.0f, 5.0f, 5.0f, 0.1f, 0.9f };
  const float none[6] = { NAN, 1.0f, INFINITY, 1.0f, -INFINITY, NAN };
  SwittiKernelContext *context = op_context (isa, 1);
  gint32 codes[3];

  if (context == NULL)
    return;
  check (context, 4, 4, 2, f, codebook);
  for (int cosine = 0; cosine < 2; cosine++)
    {
      assert_ok (test_kernels ()->nearest_code (context, 3, 4, 2, cosine, none, codebook, codes));
      for (int i = 0; i < 3; i++)
        g_assert_true (codes[i] >= 0 && codes[i] < 4);
    }
  test_kernels ()->context_free (context);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  op_add ("/quantize/shapes", test_shapes);
  op_add ("/quantize/near-ties", test_near_ties);
  op_add ("/quantize/extremes", test_extremes);
  return g_test_run ();
}
