/* switti-loader-private.h - batches of training images, decoded ahead by threads
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a batch holds follows from (seed, position) and the files alone: not from the number of threads or ranks. Where
 * an image cannot be used, another takes its position (switti_sampler_get_substitute()).
 */
#pragma once

#include "switti-cache-private.h"
#include "switti-dataset-private.h"
#include "switti-sampler-private.h"

G_BEGIN_DECLS

typedef struct
{
  int resolution;       /* R, pixels of a side */
  int batch;            /* B, images a call, of this rank */
  int rank, n_ranks;    /* 0, 1 for one process */
  guint64 seed;         /* of the order and the mirroring */
  guint64 position;     /* at which to start */
  gboolean is_mirrored; /* mirror one image in two */
  gboolean is_one_pass; /* for validation: each image once, in the list's order, none mirrored, bad ones left out */
  int n_threads;        /* 0: as many as processors, at most 8 */
  int n_ahead;          /* batches decoded ahead, at least 1; 0: 2 */
  /* With a cache: codes of this VAE are looked up, and an image whose codes are there is not decoded. Kept by the
   * caller for as long as the loader. */
  SwittiCache *cache;
  guint8 vae[SWITTI_CACHE_KEY_BYTES];
  gsize n_codes;        /* L */
} SwittiLoaderOptions;

/* Owned by the loader, and good until the next call. Rank r of W has, of the B W positions of a step, those from
 * position + r B on. */
typedef struct
{
  int n;                   /* images: B; in one pass fewer at last, then 0 */
  float *pixels;           /* (B, R, R, 3) in [-1, 1]; an image that has_codes is undefined */
  const char **captions;   /* UTF-8, owned by the dataset */
  int *heights, *widths;   /* of the original images */
  guint *items;            /* numbers in the dataset */
  guint64 *positions;
  gboolean *has_codes;     /* all FALSE without a cache */
  gint32 *codes;           /* (B, L); NULL without a cache */
} SwittiLoaderBatch;

typedef struct _SwittiLoader SwittiLoader;

/* Starts the threads. `dataset` must outlive the loader. Memory: (n_ahead + 1) B (12 R R + 4 L) bytes. */
SwittiLoader *switti_loader_new (SwittiDataset *dataset, const SwittiLoaderOptions *options, GError **error);
/* Waits until the threads have finished what they are at. */
void switti_loader_free (SwittiLoader *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SwittiLoader, switti_loader_free)

/* Waits for the next batch. Bad images that it came across are told of in the dataset, in the order of positions.
 * SWITTI_ERROR_IO: too many are bad. Calls of one thread. */
gboolean switti_loader_next (SwittiLoader *self, const SwittiLoaderBatch **batch, GError **error);

/* The position after the batches handed out so far: what a checkpoint keeps. */
guint64 switti_loader_get_position (const SwittiLoader *self);
/* How long calls of switti_loader_next() have waited so far, in seconds: 0 where the loader keeps up. */
double switti_loader_get_wait (const SwittiLoader *self);

/* Keeps codes (L) of image i of the batch at hand in the cache. */
gboolean switti_loader_store_codes (SwittiLoader *self, int i, const gint32 *codes, GError **error);

G_END_DECLS
