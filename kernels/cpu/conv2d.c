/* conv2d.c - 2-D convolution in NHWC as products over taps, shared out in tiles
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The pixels of a row of the map are rows of A, c_in wide; each tap of the kernel is one such A, shifted, against its
 * own c_in x c_out weights. One micro-kernel call sums all taps in its registers (a batch of up to 9 products), so no
 * im2col is made. There is no padded copy either: along each axis the outputs fall into a few segments by which taps
 * lie inside the map, and each rectangle of segments is multiplied with its taps alone.
 *
 * Upsampling by 2 before the convolution makes neighbouring taps read the same pixel: by the parity of the output's
 * row and column there are four phases, each a smaller convolution (3x3 becomes 2x2) of the small map with summed
 * weights: 2.25 times fewer operations and no enlarged map.
 *
 * Images are computed one after another and tiles follow from one image's shape, so that the bits do not depend on
 * the batch or the threads.
 */
#include "brgemm-private.h"
#include "cpu-private.h"
#include "math-private.h"
#include "tile-private.h"

#include <stdlib.h>

#define MAX_KERNEL 3
#define MAX_PHASES 2
/* Runs of equal taps along an axis: 3 taps can each come in and go out once. */
#define MAX_SEGMENTS (2 * MAX_KERNEL + 1)

/* Outputs start .. start + length - 1 of a phase, which all use the taps first_tap .. first_tap + n_taps - 1. */
typedef struct
{
  int64_t start, length;
  int first_tap, n_taps;
} Segment;

/* One phase along one axis: output i of the phase reads the inputs i * stride + offset[tap]. */
typedef struct
{
  int64_t length; /* outputs */
  int n_taps;
  int64_t offset[MAX_KERNEL];
  unsigned int kernel_mask[MAX_KERNEL]; /* the kernel's rows (columns) whose weights the tap sums */
  int n_segments;
  Segment segments[MAX_SEGMENTS];
} Axis;

typedef struct
{
  int64_t height, width; /* of the map as it is multiplied: a 1x1 convolution sees one long row */
  int64_t out_height, out_width;
  int n_phases; /* along each axis */
  int n_taps;   /* of both axes together, the same for all phases */
  Axis rows[MAX_PHASES], columns[MAX_PHASES];
  SwittiDtype multiplied;
  int64_t c_padded; /* c_in as the panels have it */
  int64_t k_block, n_k_blocks;
  int64_t n_panels;
} Geometry;

/* A rectangle of outputs of one phase with the same taps. A call of its kernel takes one row of it, or one column
 * (the borders left and right are one pixel wide but long). */
typedef struct
{
  int64_t y, x, height, width;
  const Segment *rows, *columns;
  bool by_column;
  const SwittiBrgemm *kernels[2][2][2]; /* [the last panel][the last block of c_in][adding to C] */
} Piece;

/* A rectangle of outputs of one phase, at most SWITTI_TILE_ROWS of them. */
typedef struct
{
  int phase_y, phase_x;
  int64_t y, x, height, width;
  int64_t first_piece, n_pieces;
} Tile;

struct SwittiConvPlan
{
  SwittiConv conv;
  Geometry geometry;
  Tile *tiles;
  Piece *pieces;
  int64_t n_tiles, n_pieces;
  void *staged; /* one image as `multiplied`; NULL where X is read as it is */
};

/* -- geometry -------------------------------------------------------------------------------------------------- */

static int64_t
floor_div (int64_t a, int64_t b)
{
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static void
axis_segments (Axis *axis, int64_t size, int stride)
{
  axis->n_segments = 0;
  for (int64_t i = 0; i < axis->length; i++)
    {
      Segment *last = axis->n_segments > 0 ? &axis->segments[axis->n_segments - 1] : NULL;
      int first = 0, n = 0;

      for (int tap = 0; tap < axis->n_taps; tap++)
        {
          const int64_t input = i * stride + axis->offset[tap];

          if (input < 0 || input >= size)
            continue;
          first = n == 0 ? tap : first;
          n++;
        }
      if (last != NULL && last->first_tap == first && last->n_taps == n)
        last->length++;
      else
        axis->segments[axis->n_segments++] = (Segment) { .start = i, .length = 1, .first_tap = first, .n_taps = n };
    }
}

/* Taps of one phase: kernel rows that read the same input row are one tap. */
static void
axis_init (Axis *axis, const SwittiConv *conv, int phase, int64_t size, int64_t out_size, int pad)
{
  const int zoom = conv->upsample ? 2 : 1;

  axis->length = (out_size - phase + zoom - 1) / zoom;
  axis->n_taps = 0;
  for (int i = 0; i < conv->kernel; i++)
    {
      const int64_t offset = floor_div (phase + i - pad, zoom);

      if (axis->n_taps == 0 || axis->offset[axis->n_taps - 1] != offset)
        {
          axis->offset[axis->n_taps] = offset;
          axis->kernel_mask[axis->n_taps] = 0;
          axis->n_taps++;
        }
      axis->kernel_mask[axis->n_taps - 1] |= 1u << i;
    }
  axis_segments (axis, size, conv->stride);
}

static void
geometry_init (SwittiKernelContext *context, const SwittiConv *conv, Geometry *g)
{
  const int zoom = conv->upsample ? 2 : 1;
  int64_t limit;

  g->height = conv->height;
  g->width = conv->width;
  g->out_height = (conv->height * zoom + conv->pad_top + conv->pad_bottom - conv->kernel) / conv->stride + 1;
  g->out_width = (conv->width * zoom + conv->pad_left + conv->pad_right - conv->kernel) / conv->stride + 1;
  if (conv->kernel == 1 && conv->stride == 1 && zoom == 1 && g->out_height == g->height && g->out_width == g->width)
    {
      g->width *= g->height;
      g->out_width = g->width;
      g->height = g->out_height = 1;
    }
  g->n_phases = zoom;
  for (int p = 0; p < zoom; p++)
    {
      axis_init (&g->rows[p], conv, p, g->height, g->out_height, conv->pad_top);
      axis_init (&g->columns[p], conv, p, g->width, g->out_width, conv->pad_left);
    }
  g->multiplied = context->has_avx512_bf16 && conv->x_dtype == SWITTI_DTYPE_BF16 && conv->w_dtype == SWITTI_DTYPE_BF16
                      ? SWITTI_DTYPE_BF16
                      : SWITTI_DTYPE_F32;
  /* 2x2 taps are enough for each phase of an upsampled 3x3 kernel, whatever the padding. */
  g->n_taps = conv->kernel == 1 ? 1 : zoom == 2 ? 4 : 9;
  g->c_padded = conv->w_dtype == SWITTI_DTYPE_BF16 ? switti_round_up (conv->c_in, 2) : conv->c_in;
  limit = (conv->w_dtype == SWITTI_DTYPE_BF16 && context->has_avx512_bf16 ? SWITTI_PANEL_ROWS_BF16
                                                                          : SWITTI_PANEL_ROWS_F32)
          / g->n_taps;
  g->k_block = switti_k_block (g->c_padded, limit);
  g->n_k_blocks = switti_div_up (g->c_padded, g->k_block);
  g->n_panels = switti_div_up (conv->c_out, SWITTI_PANEL_WIDTH);
}

/* -- packed weights: [phase of rows][phase of columns][panel][block of c_in][tap of rows][tap of columns] ------- */

static int64_t
panel_rows (const Geometry *g)
{
  return g->n_taps * g->c_padded;
}

size_t
switti_cpu_conv_packed_bytes (SwittiKernelContext *context, const SwittiConv *conv)
{
  Geometry g;

  geometry_init (context, conv, &g);
  return (size_t) (g.n_phases * g.n_phases) * (size_t) g.n_panels * (size_t) panel_rows (&g) * SWITTI_PANEL_WIDTH
         * switti_dtype_size (conv->w_dtype);
}

static float
weight_at (SwittiDtype dtype, const void *src, int64_t i)
{
  switch (dtype)
    {
    case SWITTI_DTYPE_F32:
      return ((const float *) src)[i];
    case SWITTI_DTYPE_BF16:
      return switti_bf16_to_f32 (((const uint16_t *) src)[i]);
    default:
      return switti_f16_to_f32 (((const uint16_t *) src)[i]);
    }
}

/* Where in a kernel the weights lie that a tap sums: kernel rows and columns by their masks. */
static int
tap_weights (int kernel, unsigned int rows, unsigned int columns, int64_t at[MAX_KERNEL * MAX_KERNEL])
{
  int n = 0;

  for (int ky = 0; ky < kernel; ky++)
    for (int kx = 0; kx < kernel; kx++)
      if ((rows >> ky & 1u) != 0 && (columns >> kx & 1u) != 0)
        at[n++] = ky * kernel + kx;
  return n;
}

/* One tap's rows i0 .. i0 + length - 1 of a panel. */
static void
pack_tap (const SwittiConv *conv, SwittiDtype src_dtype, const void *src, int64_t o0, int64_t i0, int64_t length,
          unsigned int rows, unsigned int columns, char *out)
{
  const int64_t n = switti_min (SWITTI_PANEL_WIDTH, conv->c_out - o0), area = conv->kernel * conv->kernel;
  int64_t at[MAX_KERNEL * MAX_KERNEL];
  const int n_weights = tap_weights (conv->kernel, rows, columns, at);

  memset (out, 0, (size_t) (length * SWITTI_PANEL_WIDTH) * switti_dtype_size (conv->w_dtype));
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = 0; i < length && i0 + i < conv->c_in; i++)
      {
        const int64_t weights = ((o0 + j) * conv->c_in + i0 + i) * area;
        float sum = weight_at (src_dtype, src, weights + at[0]);

        for (int w = 1; w < n_weights; w++)
          sum += weight_at (src_dtype, src, weights + at[w]);
        if (conv->w_dtype == SWITTI_DTYPE_F32)
          ((float *) (void *) out)[i * SWITTI_PANEL_WIDTH + j] = sum;
        else
          ((uint16_t *) (void *) out)[(i / 2 * SWITTI_PANEL_WIDTH + j) * 2 + i % 2] = switti_f32_to_bf16 (sum);
      }
}

static void
pack_panel (const SwittiConv *conv, const Geometry *g, SwittiDtype src_dtype, const void *src, int64_t phase,
            int64_t panel, char *out)
{
  const Axis *rows = &g->rows[phase / g->n_phases], *columns = &g->columns[phase % g->n_phases];
  const size_t row_bytes = SWITTI_PANEL_WIDTH * switti_dtype_size (conv->w_dtype);

  for (int64_t i0 = 0; i0 < g->c_padded; i0 += g->k_block)
    {
      const int64_t length = switti_min (g->k_block, g->c_padded - i0);

      for (int ty = 0; ty < rows->n_taps; ty++)
        for (int tx = 0; tx < columns->n_taps; tx++)
          {
            pack_tap (conv, src_dtype, src, panel * SWITTI_PANEL_WIDTH, i0, length, rows->kernel_mask[ty],
                      columns->kernel_mask[tx], out);
            out += (size_t) length * row_bytes;
          }
    }
}

SwittiKernelStatus
switti_cpu_conv_pack (SwittiKernelContext *context, const SwittiConv *conv, SwittiDtype src_dtype, const void *src,
                      void *packed)
{
  Geometry g;
  size_t panel_bytes;
  int64_t n_panels;

  geometry_init (context, conv, &g);
  panel_bytes = (size_t) panel_rows (&g) * SWITTI_PANEL_WIDTH * switti_dtype_size (conv->w_dtype);
  n_panels = g.n_phases * g.n_phases * g.n_panels;
#pragma omp parallel for schedule(dynamic) num_threads(context->n_threads)
  for (int64_t i = 0; i < n_panels; i++)
    pack_panel (conv, &g, src_dtype, src, i / g.n_panels, i % g.n_panels, (char *) packed + (size_t) i * panel_bytes);
  return SWITTI_KERNEL_OK;
}

/* -- planning -------------------------------------------------------------------------------------------------- */

static SwittiKernelStatus
plan_piece_kernels (SwittiKernelContext *context, const SwittiConvPlan *plan, Piece *piece, int64_t tile_width)
{
  const Geometry *g = &plan->geometry;
  const SwittiConv *conv = &plan->conv;

  for (int i = 0; i < 8; i++)
    {
      const int last_panel = i & 1, last_k = i >> 1 & 1, add = i >> 2 & 1;
      const int64_t step = piece->by_column ? g->width : 1;
      SwittiBrgemmShape shape = {
        .m = piece->by_column ? piece->height : piece->width,
        .n = last_panel ? conv->c_out - (g->n_panels - 1) * SWITTI_PANEL_WIDTH : SWITTI_PANEL_WIDTH,
        .k = last_k ? g->c_padded - (g->n_k_blocks - 1) * g->k_block : g->k_block,
        .batch = (int64_t) piece->rows->n_taps * piece->columns->n_taps,
        .lda = conv->stride * step * (plan->staged != NULL ? g->c_padded : conv->c_in),
        .ldc = (piece->by_column ? tile_width : 1) * SWITTI_PANEL_WIDTH,
        .bf16 = g->multiplied == SWITTI_DTYPE_BF16,
        .add = add,
      };
      bool needed = shape.batch > 0 && (last_panel || g->n_panels > 1) && (last_k || g->n_k_blocks > 1)
                    && (add ? g->n_k_blocks > (last_k ? 1 : 2) : !last_k || g->n_k_blocks == 1);

      if (!needed)
        continue;
      piece->kernels[last_panel][last_k][add] = switti_brgemm_get (context, &shape);
      if (piece->kernels[last_panel][last_k][add] == NULL)
        return SWITTI_KERNEL_OUT_OF_MEMORY;
    }
  return SWITTI_KERNEL_OK;
}

/* Cuts a tile by the segments of its phase. */
static SwittiKernelStatus
plan_pieces (SwittiKernelContext *context, SwittiConvPlan *plan, Tile *tile)
{
  const Axis *rows = &plan->geometry.rows[tile->phase_y], *columns = &plan->geometry.columns[tile->phase_x];

  tile->first_piece = plan->n_pieces;
  for (int i = 0; i < rows->n_segments * columns->n_segments; i++)
    {
      const Segment *r = &rows->segments[i / columns->n_segments], *c = &columns->segments[i % columns->n_segments];
      Piece piece = { .rows = r, .columns = c };
      int64_t bottom = switti_min (tile->y + tile->height, r->start + r->length);
      int64_t right = switti_min (tile->x + tile->width, c->start + c->length);

      piece.y = r->start > tile->y ? r->start : tile->y;
      piece.x = c->start > tile->x ? c->start : tile->x;
      piece.height = bottom - piece.y;
      piece.width = right - piece.x;
      if (piece.height < 1 || piece.width < 1)
        continue;
      piece.by_column = piece.width < 4 && piece.width < piece.height;
      if (plan_piece_kernels (context, plan, &piece, tile->width) != SWITTI_KERNEL_OK)
        return SWITTI_KERNEL_OUT_OF_MEMORY;
      plan->pieces[plan->n_pieces++] = piece;
    }
  tile->n_pieces = plan->n_pieces - tile->first_piece;
  return SWITTI_KERNEL_OK;
}

/* Height and width of the tiles: whole rows where they fit, and enough tiles for the threads to share. */
static void
tile_size (const Geometry *g, int n_threads, int64_t *height, int64_t *width)
{
  const int64_t out_height = g->rows[0].length, out_width = g->columns[0].length;
  const int64_t across = switti_div_up (out_width, SWITTI_TILE_ROWS);
  const int64_t others = across * g->n_panels * g->n_phases * g->n_phases;
  int64_t down, wanted = switti_div_up ((int64_t) n_threads * 4, others);

  *width = switti_div_up (out_width, across);
  down = switti_div_up (out_height, switti_min (out_height, SWITTI_TILE_ROWS / *width));
  if (down < wanted)
    down = switti_min (wanted, out_height);
  *height = switti_div_up (out_height, down);
}

static SwittiKernelStatus
plan_tiles (SwittiKernelContext *context, SwittiConvPlan *plan)
{
  const Geometry *g = &plan->geometry;
  int64_t height, width, most;

  tile_size (g, context->n_threads, &height, &width);
  most = switti_div_up (g->rows[0].length, height) * switti_div_up (g->columns[0].length, width) * g->n_phases
         * g->n_phases;
  plan->tiles = calloc ((size_t) most, sizeof *plan->tiles);
  /* Every tile is one piece, and each border between segments cuts those that it crosses. */
  most *= MAX_SEGMENTS * MAX_SEGMENTS;
  plan->pieces = calloc ((size_t) most, sizeof *plan->pieces);
  if (plan->tiles == NULL || plan->pieces == NULL)
    return SWITTI_KERNEL_OUT_OF_MEMORY;

  for (int phase = 0; phase < g->n_phases * g->n_phases; phase++)
    {
      const Axis *rows = &g->rows[phase / g->n_phases], *columns = &g->columns[phase % g->n_phases];

      for (int64_t y = 0; y < rows->length; y += height)
        for (int64_t x = 0; x < columns->length; x += width)
          {
            Tile *tile = &plan->tiles[plan->n_tiles++];

            tile->phase_y = phase / g->n_phases;
            tile->phase_x = phase % g->n_phases;
            tile->y = y;
            tile->x = x;
            tile->height = switti_min (height, rows->length - y);
            tile->width = switti_min (width, columns->length - x);
            if (plan_pieces (context, plan, tile) != SWITTI_KERNEL_OK)
              return SWITTI_KERNEL_OUT_OF_MEMORY;
          }
    }
  return SWITTI_KERNEL_OK;
}

SwittiKernelStatus
switti_cpu_conv_plan (SwittiKernelContext *context, const SwittiConv *conv, SwittiConvPlan **plan)
{
  SwittiConvPlan *self;
  Geometry *g;
  SwittiKernelStatus status = SWITTI_KERNEL_OK;

  self = calloc (1, sizeof *self);
  if (self == NULL)
    return switti_cpu_fail (context, SWITTI_KERNEL_OUT_OF_MEMORY, "no memory is left for the plan of a convolution");
  g = &self->geometry;
  geometry_init (context, conv, g);
  self->conv = *conv;
  if (conv->x_dtype != g->multiplied || conv->c_in != g->c_padded)
    status = switti_cpu_alloc (context,
                               (size_t) (g->height * g->width) * (size_t) g->c_padded
                                   * switti_dtype_size (g->multiplied),
                               &self->staged);
  if (status == SWITTI_KERNEL_OK)
    status = plan_tiles (context, self);
  if (status != SWITTI_KERNEL_OK)
    {
      switti_cpu_conv_plan_free (context, self);
      return switti_cpu_fail (context, status, "no memory is left for the plan of a convolution");
    }
  *plan = self;
  return SWITTI_KERNEL_OK;
}

void
switti_cpu_conv_plan_free (SwittiKernelContext *context, SwittiConvPlan *plan)
{
  if (plan == NULL)
    return;
  free (plan->staged);
  free (plan->pieces);
  free (plan->tiles);
  free (plan);
}

const SwittiConv *
switti_cpu_conv_descriptor (const SwittiConvPlan *plan)
{
  return &plan->conv;
}

/* -- running --------------------------------------------------------------------------------------------------- */

/* One image's operands. */
typedef struct
{
  SwittiKernelContext *context;
  const SwittiConvPlan *plan;
  const void *x; /* staged or the caller's */
  const char *packed;
  const float *bias;
  const char *residual;
  char *d;
} Image;

static void
stage_image (SwittiKernelContext *context, const SwittiConvPlan *plan, const char *x)
{
  const Geometry *g = &plan->geometry;
  const SwittiConv *conv = &plan->conv;
  const int64_t pixels = g->height * g->width, step = 256;

#pragma omp parallel for schedule(static) num_threads(context->n_threads) if (pixels > step)
  for (int64_t i = 0; i < pixels; i += step)
    {
      SwittiTileSource source = {
        .data = x + (size_t) (i * conv->c_in) * switti_dtype_size (conv->x_dtype),
        .dtype = conv->x_dtype,
        .row_stride = conv->c_in,
        .column_stride = 1,
      };
      context->tiles->stage (&source, switti_min (step, pixels - i), conv->c_in, g->c_padded, g->multiplied,
                             (char *) plan->staged + (size_t) (i * g->c_padded) * switti_dtype_size (g->multiplied));
    }
}

/* Multiplies block `block` of c_in for one piece: c is the tile's. */
static void
multiply_piece (const Image *image, const Tile *tile, const Piece *piece, int64_t panel, int64_t block,
                const void *weights, float *c)
{
  const SwittiConvPlan *plan = image->plan;
  const Geometry *g = &plan->geometry;
  const Axis *rows = &g->rows[tile->phase_y], *columns = &g->columns[tile->phase_x];
  const int64_t i0 = block * g->k_block, k = switti_min (g->k_block, g->c_padded - i0);
  const int64_t pitch = plan->staged != NULL ? g->c_padded : plan->conv.c_in, stride = plan->conv.stride;
  const int64_t size = (int64_t) switti_dtype_size (g->multiplied);
  const SwittiBrgemm *kernel
      = piece->kernels[panel == g->n_panels - 1][block == g->n_k_blocks - 1][block > 0];
  SwittiBrgemmOffset offsets[SWITTI_BRGEMM_MAX_BATCH];
  int n = 0;

  /* The first tap is the base, so that no pointer leaves the map. */
  const int64_t top = piece->y * stride + rows->offset[piece->rows->first_tap];
  const int64_t left = piece->x * stride + columns->offset[piece->columns->first_tap];

  for (int ty = piece->rows->first_tap; ty < piece->rows->first_tap + piece->rows->n_taps; ty++)
    for (int tx = piece->columns->first_tap; tx < piece->columns->first_tap + piece->columns->n_taps; tx++, n++)
      {
        const int64_t y = piece->y * stride + rows->offset[ty], x = piece->x * stride + columns->offset[tx];

        offsets[n].a = ((y - top) * g->width + (x - left)) * pitch * size;
        offsets[n].b = (ty * columns->n_taps + tx) * k * SWITTI_PANEL_WIDTH * size;
      }
  c += ((piece->y - tile->y) * tile->width + (piece->x - tile->x)) * SWITTI_PANEL_WIDTH;
  for (int64_t i = 0; i < (piece->by_column ? piece->width : piece->height); i++)
    {
      const int64_t y = top + (piece->by_column ? 0 : i * stride), x = left + (piece->by_column ? i * stride : 0);
      const char *a = (const char *) image->x + ((y * g->width + x) * pitch + i0) * size;

      switti_brgemm_run (kernel, a, weights, offsets,
                         c + i * (piece->by_column ? 1 : tile->width) * SWITTI_PANEL_WIDTH);
    }
}

/* Outputs that no tap reaches (padding wider than the kernel) are the bias alone. */
static void
clear_piece (const Tile *tile, const Piece *piece, float *c)
{
  for (int64_t y = piece->y - tile->y; y < piece->y - tile->y + piece->height; y++)
    memset (c + (y * tile->width + piece->x - tile->x) * SWITTI_PANEL_WIDTH, 0,
            (size_t) (piece->width * SWITTI_PANEL_WIDTH) * sizeof (float));
}

static void
store_tile (const Image *image, const Tile *tile, int64_t panel, const float *c)
{
  const SwittiConv *conv = &image->plan->conv;
  const Geometry *g = &image->plan->geometry;
  const int64_t size = (int64_t) switti_dtype_size (conv->d_dtype), column = panel * SWITTI_PANEL_WIDTH;
  SwittiTileStore store = {
    .m = tile->width,
    .n = switti_min (SWITTI_PANEL_WIDTH, conv->c_out - column),
    .ldc = SWITTI_PANEL_WIDTH,
    .bias = image->bias != NULL ? image->bias + column : NULL,
    .activation = SWITTI_ACTIVATION_NONE,
    .d_dtype = conv->d_dtype,
    .ldd = g->n_phases * conv->c_out,
  };

  for (int64_t i = 0; i < tile->height; i++)
    {
      const int64_t y = (tile->y + i) * g->n_phases + tile->phase_y, x = tile->x * g->n_phases + tile->phase_x;
      const int64_t at = ((y * g->out_width + x) * conv->c_out + column) * size;

      store.c = c + i * tile->width * SWITTI_PANEL_WIDTH;
      store.d = image->d + at;
      store.residual = image->residual != NULL ? image->residual + at : NULL;
      image->context->tiles->store (&store);
    }
}

static void
compute_tile (const Image *image, const Tile *tile, int64_t panel, float *scratch)
{
  const SwittiConvPlan *plan = image->plan;
  const Geometry *g = &plan->geometry;
  const int64_t phase = tile->phase_y * g->n_phases + tile->phase_x;
  const int64_t row_bytes = SWITTI_PANEL_WIDTH * (int64_t) switti_dtype_size (plan->conv.w_dtype);
  const char *weights = image->packed + (phase * g->n_panels + panel) * panel_rows (g) * row_bytes;
  float *c = scratch, *widened = scratch + SWITTI_TILE_ROWS * SWITTI_PANEL_WIDTH;

  for (int64_t block = 0; block < g->n_k_blocks; block++)
    {
      const int64_t rows = g->n_taps * switti_min (g->k_block, g->c_padded - block * g->k_block);
      const void *b = weights;

      if (plan->conv.w_dtype != g->multiplied)
        {
          image->context->tiles->widen ((const uint16_t *) (const void *) weights, rows, widened);
          b = widened;
        }
      for (int64_t i = 0; i < tile->n_pieces; i++)
        {
          const Piece *piece = &plan->pieces[tile->first_piece + i];

          if (piece->rows->n_taps * piece->columns->n_taps == 0)
            clear_piece (tile, piece, c);
          else
            multiply_piece (image, tile, piece, panel, block, b, c);
        }
      weights += rows * row_bytes;
    }
  store_tile (image, tile, panel, c);
}

SwittiKernelStatus
switti_cpu_conv (SwittiKernelContext *context, const SwittiConvPlan *plan, const void *x, const void *packed,
                 const float *bias, const void *residual, void *d)
{
  const SwittiConv *conv = &plan->conv;
  const Geometry *g = &plan->geometry;
  const size_t x_bytes = (size_t) (conv->height * conv->width * conv->c_in) * switti_dtype_size (conv->x_dtype);
  const size_t d_bytes = (size_t) (g->out_height * g->out_width * conv->c_out) * switti_dtype_size (conv->d_dtype);
  const int64_t n_items = plan->n_tiles * g->n_panels;

  for (int64_t b = 0; b < conv->batch; b++)
    {
      const char *x_image = (const char *) x + (size_t) b * x_bytes;
      Image image = {
        .context = context,
        .plan = plan,
        .x = plan->staged != NULL ? plan->staged : x_image,
        .packed = packed,
        .bias = bias,
        .residual = residual != NULL ? (const char *) residual + (size_t) b * d_bytes : NULL,
        .d = (char *) d + (size_t) b * d_bytes,
      };

      if (plan->staged != NULL)
        stage_image (context, plan, x_image);
#pragma omp parallel num_threads(context->n_threads) if (n_items > 1)
      {
        float *scratch = switti_cpu_thread_scratch (context, omp_get_thread_num ());

#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < n_items; item++)
          compute_tile (&image, &plan->tiles[item / g->n_panels], item % g->n_panels, scratch);
        switti_brgemm_release ();
      }
    }
  return SWITTI_KERNEL_OK;
}
