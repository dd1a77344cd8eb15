/* switti-random.c - the trainer's random numbers
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Philox 4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
#include "switti-random-private.h"

#include <math.h>

#define MAX_ATTEMPTS 65536

SwittiRandom
switti_random_new (guint64 seed, const char *purpose)
{
  guint64 hash = G_GUINT64_CONSTANT (0xcbf29ce484222325); /* FNV-1a */

  for (const char *c = purpose; *c != '\0'; c++)
    hash = (hash ^ (guint8) *c) * G_GUINT64_CONSTANT (0x100000001b3);
  return (SwittiRandom){ seed, hash };
}

void
switti_random_words (const SwittiRandom *self, guint64 index, guint attempt, guint32 words[4])
{
  guint32 key0 = (guint32) self->seed, key1 = (guint32) (self->seed >> 32);

  g_assert (index >> 48 == 0 && attempt < MAX_ATTEMPTS);
  words[0] = (guint32) index;
  words[1] = (guint32) (index >> 32) | (guint32) attempt << 16;
  words[2] = (guint32) self->stream;
  words[3] = (guint32) (self->stream >> 32);
  for (int round = 0; round < 10; round++)
    {
      const guint64 a = (guint64) words[0] * 0xd2511f53u, c = (guint64) words[2] * 0xcd9e8d57u;
      const guint32 b = words[1], d = words[3];

      words[0] = (guint32) (c >> 32) ^ b ^ key0;
      words[1] = (guint32) c;
      words[2] = (guint32) (a >> 32) ^ d ^ key1;
      words[3] = (guint32) a;
      key0 += 0x9e3779b9u;
      key1 += 0xbb67ae85u;
    }
}

/* Four normal numbers by Box and Muller's method. */
static void
four_normals (const SwittiRandom *self, guint64 index, guint attempt, double out[4])
{
  guint32 words[4];

  switti_random_words (self, index, attempt, words);
  for (int pair = 0; pair < 2; pair++)
    {
      const double u = ((double) words[2 * pair] + 0.5) * 0x1p-32, angle = words[2 * pair + 1] * 0x1p-32 * 2 * G_PI;
      const double radius = sqrt (-2 * log (u));

      out[2 * pair] = radius * cos (angle);
      out[2 * pair + 1] = radius * sin (angle);
    }
}

void
switti_random_truncated_normal (const SwittiRandom *self, double deviation, double limit, gsize count, float *out)
{
  for (gsize i = 0; i < count; i += 4)
    {
      double first[4];

      four_normals (self, i / 4, 0, first);
      for (gsize j = i; j < MIN (i + 4, count); j++)
        {
          double value = first[j - i] * deviation;

          for (guint attempt = 1; fabs (value) > limit && attempt < MAX_ATTEMPTS; attempt++)
            {
              double again[4];

              four_normals (self, i / 4, attempt, again);
              value = again[j - i] * deviation;
            }
          out[j] = (float) value;
        }
    }
}

void
switti_random_normal (const SwittiRandom *self, guint64 first, gsize count, float *out)
{
  for (gsize i = 0; i < count; i += 4)
    {
      double four[4];

      four_normals (self, first + i / 4, 0, four);
      for (gsize j = i; j < MIN (i + 4, count); j++)
        out[j] = (float) four[j - i];
    }
}
