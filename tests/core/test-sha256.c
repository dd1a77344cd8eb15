/* test-sha256.c - SHA-256 in pieces of any size, against GLib's of the whole
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-sha256-private.h"

#define N_BYTES 70000

static void
test_pieces (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (11);
  g_autofree guint8 *bytes = g_malloc (N_BYTES);

  for (gsize i = 0; i < N_BYTES; i++)
    bytes[i] = (guint8) g_rand_int (random);
  /* Around every border of a block, and with whole files of one piece or many. */
  for (int trial = 0; trial < 300; trial++)
    {
      g_autoptr (SwittiSha256) sha256 = switti_sha256_new ();
      gsize n = trial < 200 ? (gsize) trial : (gsize) g_rand_int_range (random, 200, N_BYTES);
      g_autofree char *expected = g_compute_checksum_for_data (G_CHECKSUM_SHA256, bytes, n);
      gsize done = 0;

      while (done < n)
        {
          gsize piece = (gsize) g_rand_int_range (random, 0, trial % 2 == 0 ? N_BYTES : 100);

          piece = MIN (piece, n - done);
          switti_sha256_update (sha256, bytes + done, piece);
          done += piece;
        }
      g_assert_cmpstr (switti_sha256_finish (sha256), ==, expected);
      g_assert_cmpstr (switti_sha256_finish (sha256), ==, expected);
    }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sha256/pieces", test_pieces);
  return g_test_run ();
}
