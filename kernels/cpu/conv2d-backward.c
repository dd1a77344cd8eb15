/* conv2d-backward.c - gradients of convolutions, as products over columns of pixels
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The pixels that an output position reads become a row of `columns` (positions, taps, c_in). With the weight reordered
 * likewise (c_out, taps, c_in), both gradients are products: d_weight += dy^T . columns, and d_columns = dy . weight,
 * whose values are then added where they came from. It goes by chunks of output rows that fit the last-level cache.
 */
#include "cpu-private.h"
#include "tile-private.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* Floats of columns in a chunk. */
#define CHUNK_FLOATS ((int64_t) 1 << 21)
/* Channels that one thread adds up: a cache line. */
#define BLOCK_CHANNELS 16

struct SwittiConvBackwardPlan
{
  SwittiConv conv;
  int64_t out_height, out_width;
  int64_t taps, depth;      /* kernel^2; taps * c_in */
  int64_t rows, chunk_rows; /* output rows of all images; of a chunk */
  float *columns;           /* (chunk_rows * out_width, depth) */
  float *weight;            /* (c_out, depth) */
  float *d_weight;          /* (c_out, depth) */
  /* of a whole chunk, and of what is left */
  SwittiGemmPlan *input[2], *weight_gradient[2];
};

static SwittiKernelStatus
plan_products (SwittiKernelContext *context, SwittiConvBackwardPlan *self, int which, int64_t rows)
{
  const int64_t positions = rows * self->out_width, c_out = self->conv.c_out, depth = self->depth;
  const SwittiDtype f32 = SWITTI_DTYPE_F32;
  const SwittiGemm input = { .m = positions, .n = depth, .k = c_out, .row_group = 1, .lda = c_out, .ldb = depth,
                             .ldd = depth, .a_dtype = f32, .b_dtype = f32, .d_dtype = f32, .b_is_kn = true };
  const SwittiGemm weight = { .m = c_out, .n = depth, .k = positions, .row_group = 1, .lda = c_out, .ldb = depth,
                              .ldd = depth, .a_dtype = f32, .b_dtype = f32, .d_dtype = f32, .a_is_km = true,
                              .b_is_kn = true, .accumulate = true };
  SwittiKernelStatus status = switti_cpu_gemm_plan (context, &input, &self->input[which]);

  if (status == SWITTI_KERNEL_OK)
    status = switti_cpu_gemm_plan (context, &weight, &self->weight_gradient[which]);
  return status;
}

void
switti_cpu_conv_backward_plan_free (SwittiKernelContext *context, SwittiConvBackwardPlan *plan)
{
  if (plan == NULL)
    return;
  for (int i = 0; i < 2; i++)
    {
      switti_cpu_gemm_plan_free (context, plan->input[i]);
      switti_cpu_gemm_plan_free (context, plan->weight_gradient[i]);
    }
  switti_cpu_free (context, plan->columns);
  switti_cpu_free (context, plan->weight);
  switti_cpu_free (context, plan->d_weight);
  free (plan);
}

static SwittiKernelStatus
plan_all (SwittiKernelContext *context, SwittiConvBackwardPlan *self)
{
  const size_t weights = (size_t) (self->conv.c_out * self->depth) * sizeof (float);
  const size_t columns = (size_t) (self->chunk_rows * self->out_width * self->depth) * sizeof (float);
  SwittiKernelStatus status = switti_cpu_alloc (context, columns, (void **) &self->columns);

  if (status == SWITTI_KERNEL_OK)
    status = switti_cpu_alloc (context, weights, (void **) &self->weight);
  if (status == SWITTI_KERNEL_OK)
    status = switti_cpu_alloc (context, weights, (void **) &self->d_weight);
  if (status == SWITTI_KERNEL_OK)
    status = plan_products (context, self, 0, self->chunk_rows);
  if (status == SWITTI_KERNEL_OK && self->rows % self->chunk_rows != 0)
    status = plan_products (context, self, 1, self->rows % self->chunk_rows);
  return status;
}

SwittiKernelStatus
switti_cpu_conv_backward_plan (SwittiKernelContext *context, const SwittiConv *conv, SwittiConvBackwardPlan **plan)
{
  SwittiConvBackwardPlan *self;
  SwittiKernelStatus status;
  const int64_t scale = conv->upsample ? 2 : 1;

  self = calloc (1, sizeof *self);
  if (self == NULL)
    return switti_cpu_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "no memory is left for the plan of a convolution");
  self->conv = *conv;
  self->out_height = (scale * conv->height + conv->pad_top + conv->pad_bottom - conv->kernel) / conv->stride + 1;
  self->out_width = (scale * conv->width + conv->pad_left + conv->pad_right - conv->kernel) / conv->stride + 1;
  self->taps = conv->kernel * conv->kernel;
  self->depth = self->taps * conv->c_in;
  self->rows = conv->batch * self->out_height;
  self->chunk_rows = CHUNK_FLOATS / (self->out_width * self->depth);
  self->chunk_rows = self->chunk_rows < 1 ? 1 : switti_min (self->chunk_rows, self->rows);
  status = plan_all (context, self);
  if (status != SWITTI_KERNEL_OK)
    {
      switti_cpu_conv_backward_plan_free (context, self);
      return status;
    }
  *plan = self;
  return SWITTI_KERNEL_OK;
}

const SwittiConv *
switti_cpu_conv_backward_descriptor (const SwittiConvBackwardPlan *plan)
{
  return &plan->conv;
}

/* -- running --------------------------------------------------------------------------------------------------- */

/* Pixel of x that tap (ky, kx) of an output position reads, in pixels from the start of the image; -1 outside. */
static int64_t
source_pixel (const SwittiConv *c, int64_t oy, int64_t ox, int64_t tap)
{
  const int64_t scale = c->upsample ? 2 : 1;
  const int64_t y = oy * c->stride + tap / c->kernel - c->pad_top, x = ox * c->stride + tap % c->kernel - c->pad_left;

  if (y < 0 || x < 0 || y >= scale * c->height || x >= scale * c->width)
    return -1;
  return y / scale * c->width + x / scale;
}

static void
gather_columns (SwittiKernelContext *context, const SwittiConvBackwardPlan *plan, const float *x, int64_t first,
                int64_t rows)
{
  const SwittiConv *c = &plan->conv;
  const size_t pixel_bytes = (size_t) c->c_in * sizeof (float);

#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t r = first; r < first + rows; r++)
    {
      const float *image = x + r / plan->out_height * c->height * c->width * c->c_in;
      float *to = plan->columns + (r - first) * plan->out_width * plan->depth;

      for (int64_t ox = 0; ox < plan->out_width; ox++)
        for (int64_t tap = 0; tap < plan->taps; tap++, to += c->c_in)
          {
            const int64_t pixel = source_pixel (c, r % plan->out_height, ox, tap);

            if (pixel >= 0)
              memcpy (to, image + pixel * c->c_in, pixel_bytes);
            else
              memset (to, 0, pixel_bytes);
          }
    }
}

/* A thread has some of the channels of all pixels: no two add to the same place, and the order is the positions'. */
static void
scatter_columns (SwittiKernelContext *context, const SwittiConvBackwardPlan *plan, int64_t first, int64_t rows,
                 float *dx)
{
  const SwittiConv *c = &plan->conv;

#pragma omp parallel for num_threads(context->n_threads) schedule(static)
  for (int64_t channel = 0; channel < c->c_in; channel += BLOCK_CHANNELS)
    {
      const int64_t count = switti_min (BLOCK_CHANNELS, c->c_in - channel);
      const float *from = plan->columns + channel;

      for (int64_t r = first; r < first + rows; r++)
        {
          float *image = dx + r / plan->out_height * c->height * c->width * c->c_in + channel;

          for (int64_t ox = 0; ox < plan->out_width; ox++)
            for (int64_t tap = 0; tap < plan->taps; tap++, from += c->c_in)
              {
                const int64_t pixel = source_pixel (c, r % plan->out_height, ox, tap);

                for (int64_t j = 0; pixel >= 0 && j < count; j++)
                  image[pixel * c->c_in + j] += from[j];
              }
        }
    }
}

/* (c_out, c_in, taps) to (c_out, taps, c_in). */
static void
reorder_weight (const SwittiConvBackwardPlan *plan, const float *weight)
{
  const int64_t c_in = plan->conv.c_in;

  for (int64_t o = 0; o < plan->conv.c_out; o++)
    for (int64_t i = 0; i < c_in; i++)
      for (int64_t tap = 0; tap < plan->taps; tap++)
        plan->weight[o * plan->depth + tap * c_in + i] = weight[o * plan->depth + i * plan->taps + tap];
}

static void
add_weight_gradient (const SwittiConvBackwardPlan *plan, float *d_weight)
{
  const int64_t c_in = plan->conv.c_in;

  for (int64_t o = 0; o < plan->conv.c_out; o++)
    for (int64_t i = 0; i < c_in; i++)
      for (int64_t tap = 0; tap < plan->taps; tap++)
        d_weight[o * plan->depth + i * plan->taps + tap] += plan->d_weight[o * plan->depth + tap * c_in + i];
}

SwittiKernelStatus
switti_cpu_conv_backward (SwittiKernelContext *context, const SwittiConvBackwardPlan *plan, const float *x,
                          const float *weight, const float *dy, float *dx, float *d_weight, float *d_bias)
{
  const SwittiConv *c = &plan->conv;
  SwittiKernelStatus status = SWITTI_KERNEL_OK;

  memset (plan->d_weight, 0, (size_t) (c->c_out * plan->depth) * sizeof (float));
  if (dx != NULL)
    {
      reorder_weight (plan, weight);
      memset (dx, 0, (size_t) (c->batch * c->height * c->width * c->c_in) * sizeof (float));
    }
  for (int64_t first = 0; status == SWITTI_KERNEL_OK && first < plan->rows; first += plan->chunk_rows)
    {
      const int64_t rows = switti_min (plan->chunk_rows, plan->rows - first);
      const int which = rows == plan->chunk_rows ? 0 : 1;
      const float *chunk = dy + first * plan->out_width * c->c_out;

      gather_columns (context, plan, x, first, rows);
      status = switti_cpu_gemm (context, plan->weight_gradient[which], chunk, plan->columns, NULL, plan->d_weight);
      if (status == SWITTI_KERNEL_OK && dx != NULL)
        {
          status = switti_cpu_gemm (context, plan->input[which], chunk, plan->weight, NULL, plan->columns);
          scatter_columns (context, plan, first, rows, dx);
        }
    }
  if (status != SWITTI_KERNEL_OK)
    return status;
  add_weight_gradient (plan, d_weight);
  return context->ops.column_sum (context, plan->rows * plan->out_width, c->c_out, SWITTI_DTYPE_F32, dy, c->c_out,
                                  d_bias);
}
