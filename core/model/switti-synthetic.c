/* switti-synthetic.c - the synthetic rule: parameters made from their names (docs/synthetic-rule.md)
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-synthetic-private.h"

#include "switti-weights-private.h"

#include <math.h>
#include <string.h>

/* A thread for less than this costs more than it saves. */
#define MIN_COUNT_PER_THREAD ((gsize) 1 << 19)
#define MAX_THREADS 16
/* float32 values made at a time before they are rounded to bf16: stays in the first-level cache. */
#define BLOCK 2048

typedef struct
{
  guint64 seed; /* of the name */
  float offset, scale;
  SwittiDtype dtype;
  gsize begin, end;
  guint8 *out; /* element 0 */
} Part;

static guint64
fnv1a64 (const char *name)
{
  guint64 hash = G_GUINT64_CONSTANT (0xcbf29ce484222325);

  for (const char *c = name; *c != '\0'; c++)
    hash = (hash ^ (guint8) *c) * G_GUINT64_CONSTANT (0x100000001b3);
  return hash;
}

/* u of element i, in [-1, 1): a multiple of 2^-23, so exact in float32. */
static inline float
uniform (guint64 seed, gsize i)
{
  guint64 z = seed + ((guint64) i + 1) * G_GUINT64_CONSTANT (0x9E3779B97F4A7C15);

  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94D049BB133111EB);
  z ^= z >> 31;
  return (float) ((gint32) (z >> 40) - (1 << 23)) * 0x1p-23f;
}

static void
fill (const Part *part, gsize begin, gsize end, float *out)
{
  guint64 seed = part->seed;
  float offset = part->offset, scale = part->scale;

  for (gsize i = begin; i < end; i++)
    out[i - begin] = offset + scale * uniform (seed, i);
}

static gpointer
generate_part (gpointer data)
{
  const Part *part = data;

  if (part->dtype == SWITTI_DTYPE_F32)
    {
      fill (part, part->begin, part->end, (float *) part->out + part->begin);
      return NULL;
    }
  for (gsize begin = part->begin; begin < part->end; begin += BLOCK)
    {
      gsize count = MIN (BLOCK, part->end - begin);
      float block[BLOCK];

      fill (part, begin, begin + count, block);
      switti_convert_elements (SWITTI_DTYPE_F32, block, SWITTI_DTYPE_BF16, (guint16 *) part->out + begin, count);
    }
  return NULL;
}

void
switti_synthetic_generate (const char *name, float offset, float scale, SwittiDtype dtype, gsize count, void *out)
{
  gsize n_parts = CLAMP (count / MIN_COUNT_PER_THREAD, 1, MIN (g_get_num_processors (), MAX_THREADS));
  gsize per_part = (count + n_parts - 1) / n_parts;
  Part parts[MAX_THREADS];
  GThread *threads[MAX_THREADS] = { NULL };

  g_assert (dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_BF16);

  for (gsize i = 0; i < n_parts; i++)
    {
      parts[i] = (Part) {
        fnv1a64 (name), offset, scale, dtype, MIN (i * per_part, count), MIN ((i + 1) * per_part, count), out
      };
      if (i > 0)
        threads[i] = g_thread_try_new ("switti-synthetic", generate_part, &parts[i], NULL);
    }
  generate_part (&parts[0]);
  for (gsize i = 1; i < n_parts; i++)
    if (threads[i] != NULL)
      g_thread_join (threads[i]);
    else
      generate_part (&parts[i]); /* the system had no thread to give */
}

void
switti_synthetic_parameter (const char *name, int n_dims, const gint64 *dims, SwittiDtype dtype, gsize count, void *out)
{
  float offset = 0.0f, scale = 0.1f;

  if (g_str_has_suffix (name, "crop_cond_scales"))
    scale = 0.5f;
  else if (n_dims >= 2)
    {
      gboolean is_position = g_str_has_suffix (name, "pos_start") || g_str_has_suffix (name, "pos_1LC");
      gsize fan = count == 0 ? 1 : is_position ? (gsize) dims[n_dims - 1] : count / (gsize) dims[0];

      scale = (float) sqrt (3.0 / (double) fan);
    }
  else if (n_dims == 1 && g_str_has_suffix (name, "weight"))
    offset = 1.0f;

  switti_synthetic_generate (name, offset, scale, dtype, count, out);
}

void
switti_synthetic_fill (const char *name, float scale, gsize count, float *out)
{
  switti_synthetic_generate (name, 0.0f, scale, SWITTI_DTYPE_F32, count, out);
}
