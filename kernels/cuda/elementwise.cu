/* elementwise.cu - SwiGLU, conditioning, embeddings, sums, dtype conversion and 8-bit images
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * All are maps over rows: map-private.h.
 */
#include "map-private.h"

#include <type_traits>

/* -- transformer ----------------------------------------------------------------------------------------------- */

template <typename T> struct Swiglu
{
  const T *gate_up;
  T *out;
  int64_t in_stride, out_stride;

  template <bool VECTOR>
  __device__ void
  at (int64_t row, int j, int hidden) const
  {
    float gate[LANE], up[LANE];
    load_lane<VECTOR> (gate_up + row * in_stride, j, hidden, gate);
    load_lane<VECTOR> (gate_up + row * in_stride + hidden, j, hidden, up);
#pragma unroll
    for (int e = 0; e < LANE; e++)
      up[e] *= silu (gate[e]);
    store_lane<VECTOR> (out + row * out_stride, j, hidden, up);
  }
};

template <typename T>
static SwittiKernelStatus
run_swiglu (SwittiKernelContext *context, int64_t rows, int64_t hidden, const T *gate_up, int64_t in_stride, T *out,
            int64_t out_stride)
{
  return map (context, rows, hidden, is_vector (gate_up, in_stride, hidden) && is_vector (out, out_stride, hidden),
              Swiglu<T>{ gate_up, out, in_stride, out_stride });
}

static SwittiKernelStatus
swiglu (SwittiKernelContext *context, int64_t rows, int64_t hidden, SwittiDtype dtype, const void *gate_up,
        int64_t in_stride, void *out, int64_t out_stride)
{
  if (dtype == SWITTI_DTYPE_F32)
    return run_swiglu (context, rows, hidden, static_cast<const float *> (gate_up), in_stride,
                       static_cast<float *> (out), out_stride);
  return run_swiglu (context, rows, hidden, static_cast<const Bf16 *> (gate_up), in_stride, static_cast<Bf16 *> (out),
                     out_stride);
}

template <typename T> struct SiluCondition
{
  const float *c, *crop, *crop_scales;
  T *out;

  template <bool VECTOR>
  __device__ void
  at (int64_t row, int j, int width) const
  {
    float x[LANE], added[LANE], factor[LANE];
    load_lane<VECTOR> (c + row * width, j, width, x);
    if (crop != nullptr)
      {
        load_lane<VECTOR> (crop + row * width, j, width, added);
        load_lane<VECTOR> (crop_scales, j, width, factor);
#pragma unroll
        for (int e = 0; e < LANE; e++)
          x[e] += factor[e] * added[e];
      }
#pragma unroll
    for (int e = 0; e < LANE; e++)
      x[e] = silu (x[e]);
    store_lane<VECTOR> (out + row * width, j, width, x);
  }
};

template <typename T>
static SwittiKernelStatus
run_silu_condition (SwittiKernelContext *context, int64_t batch, int64_t width, const float *c, const float *crop,
                    const float *crop_scales, T *out)
{
  return map (context, batch, width,
              is_vector (c, width, width) && is_vector (crop, width, width) && is_vector (crop_scales, 0, width)
                  && is_vector (out, width, width),
              SiluCondition<T>{ c, crop, crop_scales, out });
}

static SwittiKernelStatus
silu_condition (SwittiKernelContext *context, int64_t batch, int64_t width, const float *c, const float *crop,
                const float *crop_scales, SwittiDtype out_dtype, void *out)
{
  if (out_dtype == SWITTI_DTYPE_F32)
    return run_silu_condition (context, batch, width, c, crop, crop_scales, static_cast<float *> (out));
  return run_silu_condition (context, batch, width, c, crop, crop_scales, static_cast<Bf16 *> (out));
}

struct AddRows
{
  const float *x, *rows;
  float *out;
  int64_t n, x_image_stride;

  template <bool VECTOR>
  __device__ void
  at (int64_t row, int j, int width) const
  {
    float sum[LANE], added[LANE];
    load_lane<VECTOR> (x + row / n * x_image_stride + row % n * width, j, width, sum);
    load_lane<VECTOR> (rows + row % n * width, j, width, added);
#pragma unroll
    for (int e = 0; e < LANE; e++)
      sum[e] += added[e];
    store_lane<VECTOR> (out + row * width, j, width, sum);
  }
};

static SwittiKernelStatus
add_rows (SwittiKernelContext *context, int64_t batch, int64_t n, int64_t width, const float *x, int64_t x_image_stride,
          const float *rows, float *out)
{
  return map (context, batch * n, width,
              is_vector (x, x_image_stride, width) && is_vector (rows, 0, width) && is_vector (out, 0, width),
              AddRows{ x, rows, out, n, x_image_stride });
}

/* Ids are the caller's to check: one outside the table reads its nearest row. */
template <typename T> struct Embed
{
  const T *table;
  const int32_t *ids;
  const float *positions;
  int64_t entries, period;
  float *out;

  template <bool VECTOR>
  __device__ void
  at (int64_t row, int j, int width) const
  {
    int64_t id = load_index (ids, row);
    float x[LANE], position[LANE];

    id = id < 0 ? 0 : id < entries ? id : entries - 1;
    load_lane<VECTOR> (table + id * width, j, width, x);
    if (positions != nullptr)
      {
        load_lane<VECTOR> (positions + row % period * width, j, width, position);
#pragma unroll
        for (int e = 0; e < LANE; e++)
          x[e] += position[e];
      }
    store_lane<VECTOR> (out + row * width, j, width, x);
  }
};

template <typename T>
static SwittiKernelStatus
run_embed (SwittiKernelContext *context, int64_t rows, int64_t width, int64_t entries, const T *table,
           const int32_t *ids, const float *positions, int64_t period, float *out)
{
  return map (context, rows, width,
              is_vector (table, 0, width) && is_vector (positions, 0, width) && is_vector (out, 0, width),
              Embed<T>{ table, ids, positions, entries, period, out });
}

static SwittiKernelStatus
embed (SwittiKernelContext *context, int64_t rows, int64_t width, int64_t entries, SwittiDtype table_dtype,
       const void *table, const int32_t *ids, const float *positions, int64_t period, float *out)
{
  if (table_dtype == SWITTI_DTYPE_F32)
    return run_embed (context, rows, width, entries, static_cast<const float *> (table), ids, positions, period, out);
  return run_embed (context, rows, width, entries, static_cast<const Bf16 *> (table), ids, positions, period, out);
}

/* -- latent ---------------------------------------------------------------------------------------------------- */

struct Accumulate
{
  float a, b;
  const float *x, *y;
  float *out;

  template <bool VECTOR>
  __device__ void
  at (int64_t start, int j, int count) const
  {
    float sum[LANE], other[LANE], added[LANE];
    load_lane<VECTOR> (out + start, j, count, sum);
    load_lane<VECTOR> (x + start, j, count, other);
#pragma unroll
    for (int e = 0; e < LANE; e++)
      added[e] = a * other[e];
    if (y != nullptr)
      {
        load_lane<VECTOR> (y + start, j, count, other);
#pragma unroll
        for (int e = 0; e < LANE; e++)
          added[e] += b * other[e];
      }
#pragma unroll
    for (int e = 0; e < LANE; e++)
      sum[e] += added[e];
    store_lane<VECTOR> (out + start, j, count, sum);
  }
};

static SwittiKernelStatus
accumulate (SwittiKernelContext *context, int64_t count, float a, const float *x, float b, const float *y, float *out)
{
  return map_flat (context, count, is_vector (x, 0, count) && is_vector (y, 0, count) && is_vector (out, 0, count),
                   Accumulate{ a, b, x, y, out });
}

struct BlendRows
{
  const float *weights, *x, *y;
  float *out;
  int64_t n;

  template <bool VECTOR>
  __device__ void
  at (int64_t row, int j, int width) const
  {
    const float weight = load (weights, row % n);
    float a[LANE], b[LANE] = { 0.0f, 0.0f, 0.0f, 0.0f };
    load_lane<VECTOR> (x + row * width, j, width, a);
    if (y != nullptr)
      load_lane<VECTOR> (y + row * width, j, width, b);
#pragma unroll
    for (int e = 0; e < LANE; e++)
      a[e] = weight * a[e] + (1.0f - weight) * b[e];
    store_lane<VECTOR> (out + row * width, j, width, a);
  }
};

static SwittiKernelStatus
blend_rows (SwittiKernelContext *context, int64_t batch, int64_t n, int64_t width, const float *weights,
            const float *x, const float *y, float *out)
{
  return map (context, batch * n, width,
              is_vector (x, 0, width) && is_vector (y, 0, width) && is_vector (out, 0, width),
              BlendRows{ weights, x, y, out, n });
}

/* -- dtypes ----------------------------------------------------------------------------------------------------- */

/* An element that is only converted. */
struct F8
{
  uint8_t bits;
};

/* 1.0 is 0x38, no infinities, 0x7f is NaN. */
__device__ __forceinline__ float
to_float (F8 value)
{
  const uint32_t sign = (uint32_t) (value.bits & 0x80u) << 24, magnitude = value.bits & 0x7fu;
  const float scaled = __uint_as_float (magnitude << 20) * 0x1p120f;
  return __uint_as_float ((magnitude == 0x7fu ? 0x7fc00000u : __float_as_uint (scaled)) | sign);
}

__device__ __forceinline__ float
to_float (double value)
{
  return (float) value;
}

template <typename T>
constexpr bool is_activation = std::is_same<T, float>::value || std::is_same<T, Bf16>::value;

template <typename In, typename Out> struct Convert
{
  const In *in;
  Out *out;

  template <bool VECTOR>
  __device__ void
  at (int64_t start, int j, int count) const
  {
    float values[LANE];
    load_lane<VECTOR && is_activation<In>> (in + start, j, count, values);
    store_lane<VECTOR> (out + start, j, count, values);
  }
};

template <typename In, typename Out>
static SwittiKernelStatus
run_convert (SwittiKernelContext *context, int64_t count, const void *in, void *out)
{
  return map_flat (context, count, false,
                   Convert<In, Out>{ static_cast<const In *> (in), static_cast<Out *> (out) });
}

/* From the two dtypes of activations, which is where conversions are many. */
template <typename In, typename Out>
static SwittiKernelStatus
run_vector_convert (SwittiKernelContext *context, int64_t count, const void *in, void *out)
{
  const Convert<In, Out> functor = { static_cast<const In *> (in), static_cast<Out *> (out) };

  return map_flat (context, count, is_vector (functor.in, 0, count) && is_vector (functor.out, 0, count), functor);
}

template <typename Out>
static SwittiKernelStatus
convert_to (SwittiKernelContext *context, int64_t count, SwittiDtype in_dtype, const void *in, void *out)
{
  switch (in_dtype)
    {
    case SWITTI_DTYPE_F16: return run_convert<F16, Out> (context, count, in, out);
    case SWITTI_DTYPE_F8_E4M3: return run_convert<F8, Out> (context, count, in, out);
    case SWITTI_DTYPE_F64: return run_convert<double, Out> (context, count, in, out);
    default: return SWITTI_KERNEL_INVALID;
    }
}

static SwittiKernelStatus
convert (SwittiKernelContext *context, int64_t count, SwittiDtype in_dtype, const void *in, SwittiDtype out_dtype,
         void *out)
{
  if (out_dtype == SWITTI_DTYPE_F32)
    {
      if (in_dtype == SWITTI_DTYPE_F32)
        return switti_cuda_copy (context, out, in, (size_t) count * 4);
      if (in_dtype == SWITTI_DTYPE_BF16)
        return run_vector_convert<Bf16, float> (context, count, in, out);
      return convert_to<float> (context, count, in_dtype, in, out);
    }
  if (out_dtype == SWITTI_DTYPE_BF16)
    {
      if (in_dtype == SWITTI_DTYPE_F32)
        return run_vector_convert<float, Bf16> (context, count, in, out);
      if (in_dtype == SWITTI_DTYPE_BF16)
        return switti_cuda_copy (context, out, in, (size_t) count * 2);
      return convert_to<Bf16> (context, count, in_dtype, in, out);
    }
  if (out_dtype != SWITTI_DTYPE_F16)
    return SWITTI_KERNEL_INVALID;
  if (in_dtype == SWITTI_DTYPE_F32)
    return run_vector_convert<float, F16> (context, count, in, out);
  if (in_dtype == SWITTI_DTYPE_BF16)
    return run_vector_convert<Bf16, F16> (context, count, in, out);
  return convert_to<F16> (context, count, in_dtype, in, out);
}

/* -- images ----------------------------------------------------------------------------------------------------- */

template <typename T> struct ImageToRgb8
{
  const T *x;
  uint8_t *rgb;

  template <bool VECTOR>
  __device__ void
  at (int64_t start, int j, int count) const
  {
    float values[LANE];
    load_lane<VECTOR> (x + start, j, count, values);
    for (int e = 0; e < LANE && j + e < count; e++)
      {
        /* Written so that NaN becomes 0. */
        const float clamped = values[e] > -1.0f ? (values[e] < 1.0f ? values[e] : 1.0f) : -1.0f;
        check_write (rgb + start + j + e, 1);
        rgb[start + j + e] = (uint8_t) (int32_t) ((clamped + 1.0f) * 0.5f * 255.0f);
      }
  }
};

template <typename T> struct Rgb8ToImage
{
  const uint8_t *rgb;
  T *x;

  template <bool VECTOR>
  __device__ void
  at (int64_t start, int j, int count) const
  {
    float values[LANE];
    for (int e = 0; e < LANE; e++)
      {
        values[e] = 0.0f;
        if (j + e >= count)
          continue;
        check_read (rgb + start + j + e, 1, 0);
        values[e] = (float) rgb[start + j + e] / 127.5f - 1.0f;
      }
    store_lane<VECTOR> (x + start, j, count, values);
  }
};

static SwittiKernelStatus
image_to_rgb8 (SwittiKernelContext *context, int64_t pixels, SwittiDtype x_dtype, const void *x, uint8_t *rgb)
{
  const float *floats = static_cast<const float *> (x);
  const Bf16 *halves = static_cast<const Bf16 *> (x);

  if (x_dtype == SWITTI_DTYPE_F32)
    return map_flat (context, pixels * 3, is_vector (floats, 0, pixels * 3), ImageToRgb8<float>{ floats, rgb });
  return map_flat (context, pixels * 3, is_vector (halves, 0, pixels * 3), ImageToRgb8<Bf16>{ halves, rgb });
}

static SwittiKernelStatus
rgb8_to_image (SwittiKernelContext *context, int64_t pixels, const uint8_t *rgb, SwittiDtype x_dtype, void *x)
{
  float *floats = static_cast<float *> (x);
  Bf16 *halves = static_cast<Bf16 *> (x);

  if (x_dtype == SWITTI_DTYPE_F32)
    return map_flat (context, pixels * 3, is_vector (floats, 0, pixels * 3), Rgb8ToImage<float>{ rgb, floats });
  return map_flat (context, pixels * 3, is_vector (halves, 0, pixels * 3), Rgb8ToImage<Bf16>{ rgb, halves });
}

void
switti_cuda_elementwise_fill (SwittiKernels *ops)
{
  ops->swiglu = swiglu;
  ops->silu_condition = silu_condition;
  ops->add_rows = add_rows;
  ops->embed = embed;
  ops->accumulate = accumulate;
  ops->blend_rows = blend_rows;
  ops->convert = convert;
  ops->image_to_rgb8 = image_to_rgb8;
  ops->rgb8_to_image = rgb8_to_image;
}
