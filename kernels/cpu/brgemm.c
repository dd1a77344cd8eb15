/* brgemm.c - the cache of micro-kernels
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "brgemm-private.h"
#include "tile-private.h"

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_ukernel.h>
#include <stdlib.h>
#include <string.h>

#ifndef DNNL_EXPERIMENTAL_UKERNEL
#error "oneDNN must be built with ONEDNN_EXPERIMENTAL_UKERNEL=ON"
#endif

/* AMX spills its tiles here; other instruction sets need none. */
#define SCRATCHPAD_BYTES ((size_t) 64 << 10)

#define N_BUCKETS 1024

struct SwittiBrgemm
{
  SwittiBrgemmShape shape;
  dnnl_brgemm_t handle; /* NULL: the portable loop */
  const SwittiTileOps *tiles;
  SwittiBrgemm *next; /* in its bucket */
};

struct SwittiBrgemmCache
{
  SwittiBrgemm *buckets[N_BUCKETS];
};

static void
brgemm_free (SwittiBrgemm *brgemm)
{
  if (brgemm->handle != NULL)
    dnnl_brgemm_destroy (brgemm->handle);
  free (brgemm);
}

/* NULL where oneDNN has no kernel of this shape for this processor. */
static dnnl_brgemm_t
make_handle (const SwittiBrgemmShape *s)
{
  dnnl_brgemm_t handle = NULL;
  dnnl_data_type_t dtype = s->bf16 ? dnnl_bf16 : dnnl_f32;
  dnnl_pack_type_t pack = dnnl_pack_type_undef;
  size_t scratchpad = 0;

  if (dnnl_brgemm_create (&handle, s->m, s->n, s->k, s->batch, s->lda, SWITTI_PANEL_WIDTH, s->ldc, dtype, dtype,
                          dnnl_f32)
      != dnnl_success)
    return NULL;
  if (dnnl_brgemm_set_add_C (handle, s->add) != dnnl_success || dnnl_brgemm_finalize (handle) != dnnl_success
      || dnnl_brgemm_get_B_pack_type (handle, &pack) != dnnl_success
      || (pack == dnnl_pack_type_pack32) != s->bf16
      || dnnl_brgemm_get_scratchpad_size (handle, &scratchpad) != dnnl_success || scratchpad > SCRATCHPAD_BYTES
      || dnnl_brgemm_generate (handle) != dnnl_success)
    {
      dnnl_brgemm_destroy (handle);
      return NULL;
    }
  return handle;
}

bool
switti_brgemm_has_bf16 (void)
{
  SwittiBrgemmShape shape = { .m = 1, .n = 16, .k = 2, .batch = 1, .lda = 2, .ldc = 16, .bf16 = true };
  dnnl_brgemm_t handle = make_handle (&shape);

  if (handle == NULL)
    return false;
  dnnl_brgemm_destroy (handle);
  return true;
}

SwittiBrgemmCache *
switti_brgemm_cache_new (void)
{
  return calloc (1, sizeof (SwittiBrgemmCache));
}

void
switti_brgemm_cache_free (SwittiBrgemmCache *cache)
{
  if (cache == NULL)
    return;
  for (size_t i = 0; i < N_BUCKETS; i++)
    for (SwittiBrgemm *brgemm = cache->buckets[i], *next; brgemm != NULL; brgemm = next)
      {
        next = brgemm->next;
        brgemm_free (brgemm);
      }
  free (cache);
}

static size_t
shape_hash (const SwittiBrgemmShape *s)
{
  int64_t fields[] = { s->m, s->n, s->k, s->batch, s->lda, s->ldc, s->bf16, s->add };
  uint64_t hash = 0xcbf29ce484222325u;

  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
    hash = (hash ^ (uint64_t) fields[i]) * 0x100000001b3u;
  return (size_t) ((hash ^ (hash >> 32)) % N_BUCKETS);
}

static bool
shape_equal (const SwittiBrgemmShape *s, const SwittiBrgemmShape *t)
{
  return s->m == t->m && s->n == t->n && s->k == t->k && s->batch == t->batch && s->lda == t->lda && s->ldc == t->ldc
         && s->bf16 == t->bf16 && s->add == t->add;
}

const SwittiBrgemm *
switti_brgemm_get (SwittiKernelContext *context, const SwittiBrgemmShape *shape)
{
  SwittiBrgemm **bucket = &context->brgemms->buckets[shape_hash (shape)];
  SwittiBrgemm *brgemm;

  for (brgemm = *bucket; brgemm != NULL; brgemm = brgemm->next)
    if (shape_equal (&brgemm->shape, shape))
      return brgemm;

  brgemm = calloc (1, sizeof *brgemm);
  if (brgemm == NULL)
    return NULL;
  brgemm->shape = *shape;
  brgemm->tiles = context->tiles;
  brgemm->handle = make_handle (shape);
  if (brgemm->handle == NULL && shape->bf16)
    {
      free (brgemm);
      return NULL;
    }
  brgemm->next = *bucket;
  *bucket = brgemm;
  return brgemm;
}

static void
run_portable (const SwittiBrgemm *brgemm, const char *a, const char *b, const SwittiBrgemmOffset *offsets, float *c)
{
  const SwittiBrgemmShape *s = &brgemm->shape;

  for (int64_t i = 0; i < s->batch; i++)
    brgemm->tiles->multiply (s->m, s->n, s->k, (const float *) (a + offsets[i].a), s->lda,
                             (const float *) (b + offsets[i].b), c, s->ldc, s->add || i > 0);
}

void
switti_brgemm_run (const SwittiBrgemm *brgemm, const void *a, const void *b, const SwittiBrgemmOffset *offsets,
                   float *c)
{
  char scratchpad[SCRATCHPAD_BYTES] __attribute__ ((aligned (64)));
  dnnl_dim_t pairs[2 * SWITTI_BRGEMM_MAX_BATCH];

  if (brgemm->handle == NULL)
    {
      run_portable (brgemm, a, b, offsets, c);
      return;
    }
  for (int64_t i = 0; i < brgemm->shape.batch; i++)
    {
      pairs[2 * i] = offsets[i].a;
      pairs[2 * i + 1] = offsets[i].b;
    }
  dnnl_brgemm_set_hw_context (brgemm->handle);
  dnnl_brgemm_execute (brgemm->handle, a, b, pairs, c, scratchpad);
}

void
switti_brgemm_release (void)
{
  dnnl_brgemm_release_hw_context ();
}
