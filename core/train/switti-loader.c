/* switti-loader.c - batches of training images, decoded ahead by threads
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A ring of n_ahead + 1 batches: one is the caller's, the others are being filled. A job is one image of one batch;
 * threads take jobs in order, so that the oldest batch is complete first.
 */
#include "switti-loader-private.h"

#include "switti-error.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define DEFAULT_AHEAD 2
#define MAX_THREADS 8
/* A position for which so many images in a row are broken has no luck with the next one, either. */
#define MAX_SUBSTITUTES 1000

typedef struct
{
  guint item;
  char *reason;
} Bad;

typedef struct
{
  guint8 key[SWITTI_CACHE_KEY_BYTES];
  gboolean is_good;
  GArray *bad; /* of Bad: what was tried in vain, in order */
} Entry;

typedef struct
{
  SwittiLoaderBatch batch;
  Entry *entries; /* (B) */
  int n_done;
} Slot;

struct _SwittiLoader
{
  SwittiDataset *dataset;
  SwittiLoaderOptions options;
  guint n_items;
  gsize n_values; /* of an image */
  GPtrArray *threads;
  double wait;

  GMutex mutex; /* of what follows, and of the slots' n_done */
  GCond has_room, is_done;
  SwittiSampler *sampler;
  Slot *slots;
  guint n_slots;
  guint64 n_jobs;    /* taken by threads */
  guint64 n_batches; /* given back by the caller */
  gboolean is_handed_out; /* slot n_batches is the caller's */
  gboolean is_ending;
};

/* -- slots ----------------------------------------------------------------------------------------------------- */

static void
clear_bad (gpointer data)
{
  g_free (((Bad *) data)->reason);
}

static gboolean
slot_init (Slot *slot, const SwittiLoaderOptions *options, gsize n_values)
{
  const gsize batch = (gsize) options->batch;
  SwittiLoaderBatch *b = &slot->batch;

  slot->entries = g_new0 (Entry, batch);
  for (gsize i = 0; i < batch; i++)
    {
      slot->entries[i].bad = g_array_new (FALSE, FALSE, sizeof (Bad));
      g_array_set_clear_func (slot->entries[i].bad, clear_bad);
    }
  b->captions = g_new0 (const char *, batch);
  b->heights = g_new0 (int, batch);
  b->widths = g_new0 (int, batch);
  b->items = g_new0 (guint, batch);
  b->positions = g_new0 (guint64, batch);
  b->has_codes = g_new0 (gboolean, batch);
  b->codes = options->cache != NULL ? g_try_new (gint32, batch * options->n_codes) : NULL;
  b->pixels = g_try_new (float, batch * n_values);
  return b->pixels != NULL && (options->cache == NULL || b->codes != NULL);
}

static void
slot_clear (Slot *slot, int batch)
{
  SwittiLoaderBatch *b = &slot->batch;

  for (int i = 0; slot->entries != NULL && i < batch; i++)
    g_array_unref (slot->entries[i].bad);
  g_free (slot->entries);
  g_free (b->captions);
  g_free (b->heights);
  g_free (b->widths);
  g_free (b->items);
  g_free (b->positions);
  g_free (b->has_codes);
  g_free (b->codes);
  g_free (b->pixels);
}

/* -- an image -------------------------------------------------------------------------------------------------- */

static gboolean
is_mirrored (const SwittiLoader *self, guint64 position)
{
  return self->options.is_mirrored && !self->options.is_one_pass
         && switti_sampler_is_mirrored (self->sampler, position);
}

static void
spread_values (const SwittiLoader *self, const guint8 *rgb, gboolean mirrored, float *out)
{
  const gsize side = (gsize) self->options.resolution;

  for (gsize y = 0; y < side; y++)
    for (gsize x = 0; x < side; x++, out += 3)
      {
        const guint8 *in = rgb + (y * side + (mirrored ? side - 1 - x : x)) * 3;

        for (int c = 0; c < 3; c++)
          out[c] = in[c] / 127.5f - 1;
      }
}

/* rgb: scratch, (R, R, 3) */
static gboolean
load_item (SwittiLoader *self, Slot *slot, int i, guint item, guint8 *rgb, GError **error)
{
  SwittiLoaderBatch *batch = &slot->batch;
  const SwittiLoaderOptions *options = &self->options;
  const gboolean mirrored = is_mirrored (self, batch->positions[i]);
  g_autoptr (GBytes) file = switti_dataset_read (self->dataset, item, error);

  batch->items[i] = item;
  batch->captions[i] = switti_dataset_get_caption (self->dataset, item);
  batch->has_codes[i] = FALSE;
  if (file == NULL)
    return FALSE;
  if (options->cache != NULL)
    {
      guint8 digest[SWITTI_DIGEST_BYTES];

      switti_picture_digest (file, digest);
      switti_cache_codes_key (digest, options->vae, options->resolution, mirrored, slot->entries[i].key);
      batch->has_codes[i] = switti_cache_get_codes (options->cache, slot->entries[i].key, options->n_codes,
                                                    batch->codes + (gsize) i * options->n_codes, &batch->heights[i],
                                                    &batch->widths[i]);
      if (batch->has_codes[i])
        return TRUE;
    }
  if (!switti_picture_decode (file, options->resolution, rgb, &batch->heights[i], &batch->widths[i], error))
    return FALSE;
  spread_values (self, rgb, mirrored, batch->pixels + (gsize) i * self->n_values);
  return TRUE;
}

/* The position's own image, or the first of its substitutes that can be used. */
static void
load_position (SwittiLoader *self, Slot *slot, int i, guint own, guint8 *rgb)
{
  Entry *entry = &slot->entries[i];
  const guint limit = self->options.is_one_pass ? 1 : MAX_SUBSTITUTES;
  guint item = own;

  entry->is_good = FALSE;
  g_array_set_size (entry->bad, 0);
  for (guint attempt = 1; attempt <= limit; attempt++)
    {
      g_autoptr (GError) error = NULL;
      Bad bad = { item, NULL };

      if (!switti_dataset_is_bad (self->dataset, item))
        {
          if (load_item (self, slot, i, item, rgb, &error))
            {
              entry->is_good = TRUE;
              return;
            }
          bad.reason = g_strdup (error->message);
          g_array_append_val (entry->bad, bad);
        }
      item = switti_sampler_get_substitute (self->sampler, slot->batch.positions[i], attempt);
    }
}

/* -- threads --------------------------------------------------------------------------------------------------- */

/* With the mutex held: takes the next job, once there is room for it; FALSE at the end. */
static gboolean
take_job (SwittiLoader *self, Slot **slot, int *i, guint *item)
{
  const guint64 batch = (guint64) self->options.batch;
  guint64 number;

  while (!self->is_ending && self->n_jobs / batch >= self->n_batches + self->n_slots)
    g_cond_wait (&self->has_room, &self->mutex);
  if (self->is_ending)
    return FALSE;
  number = self->n_jobs / batch;
  *slot = &self->slots[number % self->n_slots];
  *i = (int) (self->n_jobs % batch);
  self->n_jobs++;
  (*slot)->batch.positions[*i] = self->options.position
                                 + (number * (guint64) self->options.n_ranks + (guint64) self->options.rank) * batch
                                 + (guint64) *i;
  *item = switti_sampler_get (self->sampler, (*slot)->batch.positions[*i]);
  return TRUE;
}

static gpointer
run_thread (gpointer data)
{
  SwittiLoader *self = data;
  g_autofree guint8 *rgb = g_malloc (self->n_values);
  Slot *slot;
  guint item;
  int i;

  g_mutex_lock (&self->mutex);
  while (take_job (self, &slot, &i, &item))
    {
      g_mutex_unlock (&self->mutex);
      if (self->options.is_one_pass && slot->batch.positions[i] >= self->n_items)
        {
          slot->entries[i].is_good = FALSE;
          g_array_set_size (slot->entries[i].bad, 0);
        }
      else
        load_position (self, slot, i, item, rgb);
      g_mutex_lock (&self->mutex);
      if (++slot->n_done == self->options.batch)
        g_cond_broadcast (&self->is_done);
    }
  g_mutex_unlock (&self->mutex);
  switti_picture_finish_thread ();
  return NULL;
}

static gboolean
start_threads (SwittiLoader *self, GError **error)
{
  const int wanted = self->options.n_threads > 0 ? self->options.n_threads
                                                 : MIN ((int) g_get_num_processors (), MAX_THREADS);

  for (int i = 0; i < wanted; i++)
    {
      g_autoptr (GError) reason = NULL;
      GThread *thread = g_thread_try_new ("loader", run_thread, self, &reason);

      if (thread == NULL)
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY,
                       _ ("Cannot start a thread that loads images: %s."), reason->message);
          return FALSE;
        }
      g_ptr_array_add (self->threads, thread);
    }
  return TRUE;
}

/* -- life ------------------------------------------------------------------------------------------------------ */

SwittiLoader *
switti_loader_new (SwittiDataset *dataset, const SwittiLoaderOptions *options, GError **error)
{
  g_autoptr (SwittiLoader) self = g_new0 (SwittiLoader, 1);
  gboolean has_memory = TRUE;

  g_assert (options->resolution > 0 && options->batch > 0 && options->n_ranks > 0);
  g_assert (options->rank >= 0 && options->rank < options->n_ranks);
  self->dataset = dataset;
  self->options = *options;
  self->n_items = switti_dataset_get_n (dataset);
  self->n_values = (gsize) options->resolution * (gsize) options->resolution * 3;
  self->sampler = switti_sampler_new (options->seed, self->n_items, !options->is_one_pass);
  self->threads = g_ptr_array_new ();
  self->n_slots = (guint) (options->n_ahead > 0 ? options->n_ahead : DEFAULT_AHEAD) + 1;
  self->slots = g_new0 (Slot, self->n_slots);
  g_mutex_init (&self->mutex);
  g_cond_init (&self->has_room);
  g_cond_init (&self->is_done);
  for (guint i = 0; i < self->n_slots; i++)
    has_memory = slot_init (&self->slots[i], options, self->n_values) && has_memory;
  if (!has_memory)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY,
                   _ ("There is no memory for batches of %d images; take smaller ones."), options->batch);
      return NULL;
    }
  if (!start_threads (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
switti_loader_free (SwittiLoader *self)
{
  if (self == NULL)
    return;
  g_mutex_lock (&self->mutex);
  self->is_ending = TRUE;
  g_cond_broadcast (&self->has_room);
  g_mutex_unlock (&self->mutex);
  for (guint i = 0; i < self->threads->len; i++)
    g_thread_join (g_ptr_array_index (self->threads, i));
  g_ptr_array_unref (self->threads);
  for (guint i = 0; i < self->n_slots; i++)
    slot_clear (&self->slots[i], self->options.batch);
  g_free (self->slots);
  switti_sampler_free (self->sampler);
  g_cond_clear (&self->has_room);
  g_cond_clear (&self->is_done);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

/* -- the caller ------------------------------------------------------------------------------------------------ */

/* Gives back the batch handed out before, and waits for the one after it. */
static Slot *
wait_for_next (SwittiLoader *self)
{
  const gint64 start = g_get_monotonic_time ();
  Slot *slot;

  g_mutex_lock (&self->mutex);
  if (self->is_handed_out)
    {
      self->slots[self->n_batches % self->n_slots].n_done = 0;
      self->n_batches++;
      g_cond_broadcast (&self->has_room);
    }
  self->is_handed_out = TRUE;
  slot = &self->slots[self->n_batches % self->n_slots];
  while (slot->n_done < self->options.batch)
    g_cond_wait (&self->is_done, &self->mutex);
  g_mutex_unlock (&self->mutex);
  self->wait += (double) (g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  return slot;
}

static gboolean
report_bad (SwittiLoader *self, const Slot *slot, GError **error)
{
  for (int i = 0; i < self->options.batch; i++)
    {
      const Entry *entry = &slot->entries[i];

      for (guint j = 0; j < entry->bad->len; j++)
        {
          const Bad *bad = &g_array_index (entry->bad, Bad, j);

          if (!switti_dataset_add_bad (self->dataset, bad->item, bad->reason, error))
            return FALSE;
        }
      if (!entry->is_good && !self->options.is_one_pass)
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO,
                       _ ("Almost no image can be read any more; look whether the folder is still there."));
          return FALSE;
        }
    }
  return TRUE;
}

/* Moves an image to a lower place. */
static void
move_image (const SwittiLoader *self, Slot *slot, int from, int to)
{
  SwittiLoaderBatch *batch = &slot->batch;
  const gsize n_codes = self->options.n_codes;

  batch->captions[to] = batch->captions[from];
  batch->heights[to] = batch->heights[from];
  batch->widths[to] = batch->widths[from];
  batch->items[to] = batch->items[from];
  batch->positions[to] = batch->positions[from];
  batch->has_codes[to] = batch->has_codes[from];
  memcpy (slot->entries[to].key, slot->entries[from].key, sizeof slot->entries[to].key);
  memcpy (batch->pixels + (gsize) to * self->n_values, batch->pixels + (gsize) from * self->n_values,
          self->n_values * sizeof (float));
  if (batch->codes != NULL)
    memcpy (batch->codes + (gsize) to * n_codes, batch->codes + (gsize) from * n_codes, n_codes * sizeof (gint32));
}

/* Moves the good images together. */
static void
close_up (const SwittiLoader *self, Slot *slot)
{
  int n = 0;

  for (int i = 0; i < self->options.batch; i++)
    if (slot->entries[i].is_good)
      {
        if (i != n)
          move_image (self, slot, i, n);
        n++;
      }
  slot->batch.n = n;
}

gboolean
switti_loader_next (SwittiLoader *self, const SwittiLoaderBatch **batch, GError **error)
{
  Slot *slot;

  do
    {
      slot = wait_for_next (self);
      if (!report_bad (self, slot, error))
        return FALSE;
      close_up (self, slot);
    }
  /* Not one good image, but not the end yet. */
  while (slot->batch.n == 0 && slot->batch.positions[0] < self->n_items);
  *batch = &slot->batch;
  return TRUE;
}

guint64
switti_loader_get_position (const SwittiLoader *self)
{
  const guint64 n_batches = self->n_batches + (self->is_handed_out ? 1 : 0);

  return self->options.position + n_batches * (guint64) self->options.n_ranks * (guint64) self->options.batch;
}

double
switti_loader_get_wait (const SwittiLoader *self)
{
  return self->wait;
}

gboolean
switti_loader_store_codes (SwittiLoader *self, int i, const gint32 *codes, GError **error)
{
  const Slot *slot = &self->slots[self->n_batches % self->n_slots];

  g_assert (self->options.cache != NULL && self->is_handed_out && i >= 0 && i < slot->batch.n);
  return switti_cache_put_codes (self->options.cache, slot->entries[i].key, self->options.n_codes, codes,
                                 slot->batch.heights[i], slot->batch.widths[i], error);
}

G_STATIC_ASSERT (SWITTI_DIGEST_BYTES == SWITTI_CACHE_KEY_BYTES);
