/* switti-sampler.c - the order in which a training sees its images
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-sampler-private.h"

#include "switti-random-private.h"

/* switti_random_words() takes an index below this. */
#define MAX_POSITION (G_GUINT64_CONSTANT (1) << 48)

struct _SwittiSampler
{
  SwittiRandom substitutes, mirrors;
  guint64 seed;
  guint n;
  gboolean is_shuffled;
  guint64 epoch; /* of order */
  guint *order;  /* NULL before the first use */
};

SwittiSampler *
switti_sampler_new (guint64 seed, guint n, gboolean is_shuffled)
{
  SwittiSampler *self = g_new0 (SwittiSampler, 1);

  g_assert (n > 0);
  self->seed = seed;
  self->n = n;
  self->is_shuffled = is_shuffled;
  self->substitutes = switti_random_new (seed, "substitute images");
  self->mirrors = switti_random_new (seed, "mirrored images");
  return self;
}

void
switti_sampler_free (SwittiSampler *self)
{
  if (self == NULL)
    return;
  g_free (self->order);
  g_free (self);
}

/* A number below `below`, from 64 random bits: the excess of some numbers over others is below 2^-32. */
static guint
scale_words (const guint32 words[4], guint below)
{
  const guint64 high = words[0], low = words[1];

  return (guint) ((high * below + (low * below >> 32)) >> 32);
}

/* Fisher and Yates's shuffle of 0 … n - 1. */
static void
shuffle_epoch (SwittiSampler *self, guint64 epoch)
{
  g_autofree char *purpose = g_strdup_printf ("order of epoch %" G_GUINT64_FORMAT, epoch);
  const SwittiRandom random = switti_random_new (self->seed, purpose);

  if (self->order == NULL)
    self->order = g_new (guint, self->n);
  for (guint i = 0; i < self->n; i++)
    self->order[i] = i;
  for (guint i = self->n - 1; i > 0; i--)
    {
      guint32 words[4];
      guint j, swapped;

      switti_random_words (&random, i, 0, words);
      j = scale_words (words, i + 1);
      swapped = self->order[i];
      self->order[i] = self->order[j];
      self->order[j] = swapped;
    }
  self->epoch = epoch;
}

guint
switti_sampler_get (SwittiSampler *self, guint64 position)
{
  const guint64 epoch = position / self->n;
  const guint place = (guint) (position % self->n);

  g_assert (position < MAX_POSITION);
  if (!self->is_shuffled)
    return place;
  if (self->order == NULL || self->epoch != epoch)
    shuffle_epoch (self, epoch);
  return self->order[place];
}

guint
switti_sampler_get_substitute (const SwittiSampler *self, guint64 position, guint attempt)
{
  guint32 words[4];

  switti_random_words (&self->substitutes, position, attempt, words);
  return scale_words (words, self->n);
}

gboolean
switti_sampler_is_mirrored (const SwittiSampler *self, guint64 position)
{
  guint32 words[4];

  switti_random_words (&self->mirrors, position, 0, words);
  return words[0] >> 31;
}
