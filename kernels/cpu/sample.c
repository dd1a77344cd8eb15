/* sample.c - drawing the codes of a scale
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A row of logits stays in the thread's scratch from guidance to draw; nothing of width V is written out unless asked
 * for. The k-th largest and the nucleus are found by bisection over the bits of sortable keys, without a sort.
 */
#include "philox-private.h"

/* The longest row: seven vectors of this length are a thread's scratch. */
#define MAX_CODES ((int64_t) (SWITTI_CPU_THREAD_SCRATCH / 7 - 16))

/* One row: image, position, and the scratch of its thread. */
typedef struct
{
  const SwittiSample *sample;
  uint64_t seed;
  int64_t position;
  float *logits;     /* (V) guided */
  uint32_t *keys;    /* (V) sortable; of the survivors later */
  float *weights;    /* (V) */
  int32_t *codes;    /* (V) the survivors, ascending */
  float *scores;     /* (V) */
  uint32_t *words;   /* (V + 3) random */
} Row;

/* Unsigned order of the keys = order of the floats; -0 and 0 are one. */
SWITTI_INLINE uint32_t
sortable_key (float value)
{
  const uint32_t bits = switti_bits_from_float (value + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* The sum + 0.0f of a NaN is a NaN: its key is above all others or below them. */
static void
guide (const SwittiSample *sample, const float *prompt, const float *null_logits, float *logits)
{
  if (null_logits != NULL)
    {
      const float t = sample->guidance;
#pragma omp simd
      for (int64_t i = 0; i < sample->v; i++)
        logits[i] = (1.0f + t) * prompt[i] - t * null_logits[i];
    }
  else
    {
      const float temperature = sample->temperature;
#pragma omp simd
      for (int64_t i = 0; i < sample->v; i++)
        logits[i] = prompt[i] / temperature;
    }
}

/* A key that the k largest reach and, but for those equal to the k-th, no other. */
static uint32_t
kth_largest (const uint32_t *keys, int64_t count, int64_t k)
{
  uint32_t threshold = 0;
  for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1)
    {
      const uint32_t candidate = threshold | bit;
      int32_t reached = 0;
#pragma omp simd reduction(+ : reached)
      for (int64_t i = 0; i < count; i++)
        reached += keys[i] >= candidate;
      /* Exactly k: the candidate parts them, wherever between two keys it lies. */
      if (reached == k)
        return candidate;
      if (reached > k)
        threshold = candidate;
    }
  return threshold;
}

/* The first of the greatest scores; 0 where none compares. */
static int64_t
find_greatest (const float *scores, int64_t count)
{
  float greatest = -INFINITY;
#pragma omp simd reduction(max : greatest)
  for (int64_t i = 0; i < count; i++)
    greatest = scores[i] > greatest ? scores[i] : greatest;
  for (int64_t i = 0; i < count; i++)
    if (scores[i] == greatest)
      return i;
  return 0;
}

/* The greatest key below which the weights sum to at most `limit`. */
static uint32_t
nucleus_key (const uint32_t *keys, const float *weights, int64_t count, double limit)
{
  uint32_t threshold = 0;
  for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1)
    {
      const uint32_t candidate = threshold | bit;
      double below = 0.0;
#pragma omp simd reduction(+ : below)
      for (int64_t i = 0; i < count; i++)
        below += keys[i] < candidate ? (double) weights[i] : 0.0;
      if (below <= limit)
        threshold = candidate;
    }
  return threshold;
}

/* Drops what lies outside the nucleus of row->codes (count of them); equal logits are taken as sorted by code. */
static int64_t
keep_nucleus (Row *row, int64_t count, float top_p)
{
  uint32_t *keys = row->keys;
  float *weights = row->weights, greatest = -INFINITY;
  uint32_t greatest_key = 0;
  double total = 0.0, running = 0.0;
  int64_t last = 0, kept = 0;

  for (int64_t i = 0; i < count; i++)
    {
      keys[i] = sortable_key (row->logits[row->codes[i]]);
      greatest_key = keys[i] > greatest_key ? keys[i] : greatest_key;
      greatest = row->logits[row->codes[i]] > greatest ? row->logits[row->codes[i]] : greatest;
    }
  for (int64_t i = 0; i < count; i++)
    weights[i] = row->logits[row->codes[i]] - greatest;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < count; i++)
    {
      weights[i] = switti_exp (weights[i]);
      total += (double) weights[i];
    }

  const double limit = (1.0 - (double) top_p) * total;
  uint32_t threshold = nucleus_key (keys, weights, count, limit);
  threshold = threshold < greatest_key ? threshold : greatest_key;
  for (int64_t i = 0; i < count; i++)
    {
      running += keys[i] < threshold ? (double) weights[i] : 0.0;
      last = keys[i] == greatest_key ? i : last;
    }
  for (int64_t i = 0; i < count; i++)
    {
      bool drop = keys[i] < threshold;
      if (keys[i] == threshold)
        {
          running += (double) weights[i];
          drop = running <= limit && i != last;
        }
      if (!drop)
        row->codes[kept++] = row->codes[i];
    }
  return kept;
}

/* The codes that the filters leave, into row->codes; at least one. */
static int64_t
filter (Row *row)
{
  const SwittiSample *sample = row->sample;
  const int64_t v = sample->v;
  int64_t count = 0;

  if (sample->top_k > 0 && sample->top_k < v)
    {
#pragma omp simd
      for (int64_t i = 0; i < v; i++)
        row->keys[i] = sortable_key (row->logits[i]);
      const uint32_t threshold = kth_largest (row->keys, v, sample->top_k);
      for (int64_t i = 0; i < v; i++)
        {
          row->codes[count] = (int32_t) i;
          count += row->keys[i] >= threshold;
        }
    }
  else
    for (; count < v; count++)
      row->codes[count] = (int32_t) count;
  return sample->top_p > 0.0f ? keep_nucleus (row, count, sample->top_p) : count;
}

/* argmax of logit + Gumbel over row->codes; the lower code wins a tie. */
static int32_t
draw (Row *row, int64_t count)
{
  const uint32_t key0 = (uint32_t) row->seed, key1 = (uint32_t) (row->seed >> 32);
  const uint32_t position = (uint32_t) row->position, scale = (uint32_t) row->sample->scale_index;

  for (int64_t i = 0; i < count; i++)
    row->weights[i] = row->logits[row->codes[i]];
#pragma omp simd
  for (int64_t i = 0; i < count; i++)
    {
      const uint32_t code = (uint32_t) row->codes[i];
      const SwittiPhiloxBlock block
          = switti_philox ((SwittiPhiloxBlock){ { code >> 2, position, scale, 0 } }, key0, key1);
      const uint32_t even = code & 2u ? block.word[2] : block.word[0];
      const uint32_t odd = code & 2u ? block.word[3] : block.word[1];
      row->scores[i] = row->weights[i] + switti_gumbel (code & 1u ? odd : even);
    }
  return row->codes[find_greatest (row->scores, count)];
}

/* The Gumbel numbers of a whole row, into row->scores. */
static void
fill_gumbel (Row *row)
{
  const uint32_t key0 = (uint32_t) row->seed, key1 = (uint32_t) (row->seed >> 32);
  const uint32_t position = (uint32_t) row->position, scale = (uint32_t) row->sample->scale_index;
  const int64_t v = row->sample->v;

#pragma omp simd
  for (int64_t i = 0; i < (v + 3) / 4; i++)
    {
      const SwittiPhiloxBlock block
          = switti_philox ((SwittiPhiloxBlock){ { (uint32_t) i, position, scale, 0 } }, key0, key1);
      row->words[4 * i] = block.word[0];
      row->words[4 * i + 1] = block.word[1];
      row->words[4 * i + 2] = block.word[2];
      row->words[4 * i + 3] = block.word[3];
    }
#pragma omp simd
  for (int64_t i = 0; i < v; i++)
    row->scores[i] = switti_gumbel (row->words[i]);
}

/* h (Z) = weights . codebook / sum of weights. */
static void
mix_codes (const SwittiSample *sample, const float *weights, const float *codebook, float *restrict h)
{
  float sum = 0.0f;
  memset (h, 0, (size_t) sample->z * sizeof *h);
  for (int64_t i = 0; i < sample->v; i++)
    {
      const float weight = weights[i];
      const float *code = codebook + i * sample->z;
      if (weight == 0.0f)
        continue;
      sum += weight;
#pragma omp simd
      for (int64_t j = 0; j < sample->z; j++)
        h[j] += weight * code[j];
    }
  const float inverse = 1.0f / sum;
#pragma omp simd
  for (int64_t j = 0; j < sample->z; j++)
    h[j] *= inverse;
}

/* gumbel (V) or NULL. Returns the code of the greatest weight. */
static int32_t
smooth (Row *row, const float *gumbel, const float *codebook, float *h)
{
  const SwittiSample *sample = row->sample;
  const int64_t v = sample->v;

  if (gumbel == NULL)
    fill_gumbel (row);
  else
    memcpy (row->scores, gumbel, (size_t) v * sizeof *gumbel);
#pragma omp simd
  for (int64_t i = 0; i < v; i++)
    row->scores[i] += row->logits[i] * sample->gumbel_sharpness;
  const int64_t best = find_greatest (row->scores, v);
  /* The largest is taken off before the division by a small tau, where the difference is still exact. */
  const float greatest = row->scores[best];
  const float inverse = 1.0f / sample->gumbel_tau;
#pragma omp simd
  for (int64_t i = 0; i < v; i++)
    row->weights[i] = switti_exp ((row->scores[i] - greatest) * inverse);
  mix_codes (sample, row->weights, codebook, h);
  return (int32_t) best;
}

/* Row r of the call: its guided logits in the scratch of the calling thread, and in `guided` unless NULL. */
static Row
open_row (SwittiKernelContext *context, const SwittiSample *sample, const uint64_t *seeds, const float *prompt,
          const float *null_logits, float *guided, int64_t r)
{
  const int64_t v = sample->v;
  const int64_t stride = (v + 16) & ~(int64_t) 15;
  float *scratch = switti_cpu_thread_scratch (context, omp_get_thread_num ());
  const Row row = {
    .sample = sample,
    .seed = seeds != NULL ? seeds[r / sample->n] : 0,
    .position = r % sample->n,
    .logits = scratch,
    .keys = (uint32_t *) (scratch + stride),
    .weights = scratch + 2 * stride,
    .codes = (int32_t *) (scratch + 3 * stride),
    .scores = scratch + 4 * stride,
    .words = (uint32_t *) (scratch + 5 * stride),
  };
  guide (sample, prompt + r * v, null_logits != NULL ? null_logits + r * v : NULL, row.logits);
  if (guided != NULL)
    memcpy (guided + r * v, row.logits, (size_t) v * sizeof *guided);
  return row;
}

static SwittiKernelStatus
sample_filtered (SwittiKernelContext *context, const SwittiSample *sample, const uint64_t *seeds, const float *prompt,
                 const float *null_logits, float *guided, float *filtered, int32_t *codes)
{
  const int64_t v = sample->v;
  if (v <= 0 || v > MAX_CODES || sample->top_k < 0)
    return SWITTI_KERNEL_INVALID;

  const int64_t rows = sample->batch * sample->n;
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (rows * v > SWITTI_SERIAL_ELEMENTS)
  for (int64_t r = 0; r < rows; r++)
    {
      Row row = open_row (context, sample, seeds, prompt, null_logits, guided, r);
      const int64_t count = filter (&row);
      if (filtered != NULL)
        {
          float *out = filtered + r * v;
          for (int64_t i = 0; i < v; i++)
            out[i] = -INFINITY;
          for (int64_t i = 0; i < count; i++)
            out[row.codes[i]] = row.logits[row.codes[i]];
        }
      codes[r] = draw (&row, count);
    }
  return SWITTI_KERNEL_OK;
}

static SwittiKernelStatus
sample_smooth (SwittiKernelContext *context, const SwittiSample *sample, const uint64_t *seeds, const float *prompt,
               const float *null_logits, const float *codebook, const float *gumbel, float *guided, float *h,
               int32_t *codes)
{
  const int64_t v = sample->v;
  if (v <= 0 || v > MAX_CODES || sample->z <= 0)
    return SWITTI_KERNEL_INVALID;

  const int64_t rows = sample->batch * sample->n;
#pragma omp parallel for num_threads(context->n_threads) schedule(static) if (rows * v > SWITTI_SERIAL_ELEMENTS)
  for (int64_t r = 0; r < rows; r++)
    {
      Row row = open_row (context, sample, seeds, prompt, null_logits, guided, r);
      codes[r] = smooth (&row, gumbel != NULL ? gumbel + r * v : NULL, codebook, h + r * sample->z);
    }
  return SWITTI_KERNEL_OK;
}

void
SWITTI_CPU_SYMBOL (sample_fill) (SwittiKernels *ops)
{
  ops->sample_filtered = sample_filtered;
  ops->sample_smooth = sample_smooth;
}
