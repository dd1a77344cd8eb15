/* ceiling.c - what this machine's products reach at best
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The measure of every share that the benches report. It is oneDNN's own matmul, threaded and blocked by oneDNN, and
 * shares no code with ours.
 */
#include "ceiling.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_RUNS 15
#define LEAST_RUNS 3
#define SECONDS_PER_SHAPE 0.25

/* A product with operands of its own: D (m, n) = A (m, k) . B (k, n), B in the layout that oneDNN likes best. */
typedef struct
{
  dnnl_stream_t stream;
  dnnl_primitive_t primitive;
  dnnl_memory_t memories[3];
} Product;

static double
seconds_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

static void
product_clear (Product *product)
{
  for (int i = 0; i < 3; i++)
    if (product->memories[i] != NULL)
      dnnl_memory_destroy (product->memories[i]);
  if (product->primitive != NULL)
    dnnl_primitive_destroy (product->primitive);
  memset (product, 0, sizeof *product);
}

/* Memory of the layout that the primitive wants, filled with a number that is neither zero nor a denormal: some
 * processors are quicker, and cooler, on zeros. */
static dnnl_memory_t
make_memory (dnnl_engine_t engine, const_dnnl_memory_desc_t layout)
{
  dnnl_memory_t memory = NULL;
  void *data = NULL;

  if (dnnl_memory_create (&memory, layout, engine, DNNL_MEMORY_ALLOCATE) != dnnl_success)
    return NULL;
  if (dnnl_memory_get_data_handle (memory, &data) != dnnl_success)
    {
      dnnl_memory_destroy (memory);
      return NULL;
    }
  memset (data, 0x3c, dnnl_memory_desc_get_size (layout));
  return memory;
}

static bool
product_init (Product *product, dnnl_engine_t engine, dnnl_stream_t stream, dnnl_data_type_t dtype,
              const int64_t shape[3])
{
  const dnnl_dims_t dims[3] = { { shape[0], shape[2] }, { shape[2], shape[1] }, { shape[0], shape[1] } };
  const dnnl_format_tag_t tags[3] = { dnnl_ab, dnnl_format_tag_any, dnnl_ab };
  const dnnl_query_t queries[3] = { dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md };
  dnnl_memory_desc_t layouts[3] = { NULL };
  dnnl_primitive_desc_t description = NULL;
  bool good = true;

  memset (product, 0, sizeof *product);
  product->stream = stream;
  for (int i = 0; i < 3 && good; i++)
    good = dnnl_memory_desc_create_with_tag (&layouts[i], 2, dims[i], dtype, tags[i]) == dnnl_success;
  good = good
         && dnnl_matmul_primitive_desc_create (&description, engine, layouts[0], layouts[1], NULL, layouts[2], NULL)
                == dnnl_success
         && dnnl_primitive_create (&product->primitive, description) == dnnl_success;
  for (int i = 0; i < 3 && good; i++)
    {
      product->memories[i] = make_memory (engine, dnnl_primitive_desc_query_md (description, queries[i], 0));
      good = product->memories[i] != NULL;
    }
  for (int i = 0; i < 3; i++)
    if (layouts[i] != NULL)
      dnnl_memory_desc_destroy (layouts[i]);
  if (description != NULL)
    dnnl_primitive_desc_destroy (description);
  if (!good)
    product_clear (product);
  return good;
}

static double
product_seconds (const Product *product)
{
  dnnl_exec_arg_t args[3] = {
    { DNNL_ARG_SRC, product->memories[0] },
    { DNNL_ARG_WEIGHTS, product->memories[1] },
    { DNNL_ARG_DST, product->memories[2] },
  };
  double start = seconds_now ();

  dnnl_primitive_execute (product->primitive, product->stream, 3, args);
  dnnl_stream_wait (product->stream);
  return seconds_now () - start;
}

static int
compare_doubles (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

static double
median_seconds (const Product *product)
{
  double seconds[MOST_RUNS], end;
  int n = 0;

  product_seconds (product);
  end = seconds_now () + SECONDS_PER_SHAPE;
  while (n < LEAST_RUNS || (n < MOST_RUNS && seconds_now () < end))
    seconds[n++] = product_seconds (product);
  qsort (seconds, (size_t) n, sizeof seconds[0], compare_doubles);
  return seconds[n / 2];
}

double
switti_ceiling_measure (int n_threads, SwittiDtype dtype)
{
  static const int64_t shapes[][3] = { { 2048, 2048, 2048 }, { 1024, 4096, 1024 }, { 1024, 1024, 4096 } };
  const dnnl_data_type_t type = dtype == SWITTI_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
  const int threads_before = omp_get_max_threads ();
  dnnl_engine_t engine = NULL;
  dnnl_stream_t stream = NULL;
  double best = 0.0;

  if (dnnl_engine_create (&engine, dnnl_cpu, 0) != dnnl_success)
    return 0.0;
  if (dnnl_stream_create (&stream, engine, dnnl_stream_default_flags) == dnnl_success)
    {
      /* oneDNN shares a product out among the threads that it finds when the primitive is made. */
      omp_set_num_threads (n_threads);
      for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        {
          const int64_t *s = shapes[i];
          Product product;
          double rate;

          if (!product_init (&product, engine, stream, type, s))
            continue;
          rate = 2e-9 * (double) s[0] * (double) s[1] * (double) s[2] / median_seconds (&product);
          best = rate > best ? rate : best;
          product_clear (&product);
        }
      omp_set_num_threads (threads_before);
      dnnl_stream_destroy (stream);
    }
  dnnl_engine_destroy (engine);
  return best;
}
