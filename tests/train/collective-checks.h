/* collective-checks.h - what every backend must do, to be called on all of its ranks at once
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-collective-private.h"

#include <math.h>

/* A number that every rank knows of every other. */
static inline float
value_of (int rank, gsize i)
{
  return sinf ((float) (rank * 131 + 1)) * (float) ((i * 2654435761u) % 1000) * 1e-3f;
}

/* In the order of the ranks: the same bits. */
static inline float
sum_of (int size, gsize i)
{
  float sum = value_of (0, i);

  for (int r = 1; r < size; r++)
    sum += value_of (r, i);
  return sum;
}

static inline void
check_gather_and_scatter (SwittiCollective *ranks, gsize count)
{
  const int rank = switti_collective_get_rank (ranks), size = switti_collective_get_size (ranks);
  const gsize all = count * (gsize) size;
  g_autofree float *piece = g_new (float, count), *whole = g_new (float, all), *in_place = g_new (float, all);
  g_autofree float *mine = g_new (float, all), *sum = g_new (float, count);
  g_autoptr (GError) error = NULL;
  guint64 ticket;

  for (gsize i = 0; i < count; i++)
    in_place[(gsize) rank * count + i] = piece[i] = value_of (rank, i);
  for (gsize i = 0; i < all; i++)
    mine[i] = value_of (rank, i);
  /* Three at once, waited for by the last. */
  switti_collective_begin_all_gather (ranks, piece, whole, count, SWITTI_DTYPE_F32);
  switti_collective_begin_reduce_scatter (ranks, mine, sum, count, SWITTI_DTYPE_F32);
  ticket = switti_collective_begin_all_gather (ranks, in_place + (gsize) rank * count, in_place, count,
                                               SWITTI_DTYPE_F32);
  g_assert_true (switti_collective_wait (ranks, ticket, &error));
  g_assert_no_error (error);
  for (gsize i = 0; i < all; i++)
    {
      g_assert_cmpfloat (whole[i], ==, value_of ((int) (i / count), i % count));
      g_assert_cmpfloat (in_place[i], ==, whole[i]);
    }
  for (gsize i = 0; i < count; i++)
    g_assert_cmpfloat (sum[i], ==, sum_of (size, (gsize) rank * count + i));
}

static inline void
check_all_reduce (SwittiCollective *ranks, gsize count)
{
  const int rank = switti_collective_get_rank (ranks), size = switti_collective_get_size (ranks);
  g_autofree float *floats = g_new (float, count);
  g_autofree double *doubles = g_new (double, count);
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < count; i++)
    {
      floats[i] = value_of (rank, i);
      doubles[i] = rank + 0.25 * (double) i;
    }
  g_assert_true (switti_collective_all_reduce (ranks, floats, count, SWITTI_DTYPE_F32, &error));
  g_assert_true (switti_collective_all_reduce (ranks, doubles, count, SWITTI_DTYPE_F64, &error));
  for (gsize i = 0; i < count; i++)
    {
      g_assert_cmpfloat (floats[i], ==, sum_of (size, i));
      g_assert_cmpfloat (doubles[i], ==, size * (size - 1) / 2 + 0.25 * (double) i * size);
    }
}

static inline void
check_broadcast (SwittiCollective *ranks)
{
  const int rank = switti_collective_get_rank (ranks), size = switti_collective_get_size (ranks);

  for (int root = 0; root < size; root++)
    {
      g_autoptr (GError) error = NULL;
      char words[7] = "nobody";

      if (rank == root)
        g_snprintf (words, sizeof words, "rank %d", root);
      g_assert_true (switti_collective_broadcast (ranks, root, words, sizeof words, &error));
      g_autofree char *expected = g_strdup_printf ("rank %d", root);
      g_assert_cmpstr (words, ==, expected);
    }
}

static inline void
check_agreement (SwittiCollective *ranks)
{
  const int rank = switti_collective_get_rank (ranks), size = switti_collective_get_size (ranks);
  g_autoptr (GError) error = NULL;

  g_assert_true (switti_collective_agree (ranks, TRUE, &error));
  g_assert_no_error (error);
  g_assert_false (switti_collective_agree (ranks, rank != size - 1, &error));
  /* The one that failed has a reason of its own. */
  g_assert_true ((error == NULL) == (rank == size - 1));
}

/* Counts: one, of whole blocks of MPI's messages, and not. */
static inline void
check_ranks (SwittiCollective *ranks)
{
  static const gsize counts[] = { 1, 17, 4096, 30011 };
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      check_gather_and_scatter (ranks, counts[i]);
      check_all_reduce (ranks, counts[i]);
    }
  check_broadcast (ranks);
  check_agreement (ranks);
  g_assert_true (switti_collective_barrier (ranks, &error));
}

/* All ranks, then the odd and the even ones, then both in turns. */
static inline void
check_parts (SwittiCollective *ranks)
{
  const int rank = switti_collective_get_rank (ranks), size = switti_collective_get_size (ranks);
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiCollective) part = switti_collective_split (ranks, rank % 2, &error);
  double number = rank, all = 1;

  g_assert_no_error (error);
  g_assert_cmpint (switti_collective_get_rank (part), ==, rank / 2);
  g_assert_cmpint (switti_collective_get_size (part), ==, (size + 1 - rank % 2) / 2);
  check_ranks (part);
  /* The second needs what the first leaves: begun one after another, they are done so. */
  switti_collective_begin_all_reduce (part, &number, 1, SWITTI_DTYPE_F64);
  all = 0;
  g_assert_true (switti_collective_wait (
      ranks, switti_collective_begin_all_reduce (ranks, &number, 1, SWITTI_DTYPE_F64), &error));
  for (int r = 0; r < size; r++)
    for (int other = r % 2; other < size; other += 2)
      all += other;
  g_assert_cmpfloat (number, ==, all);
}
