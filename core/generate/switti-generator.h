/* switti-generator.h - paints what a request says
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-bundle.h"
#include "switti-device.h"
#include "switti-image.h"
#include "switti-request.h"

G_BEGIN_DECLS

/**
 * SwittiPrecision:
 * @SWITTI_PRECISION_AUTO: bf16 where the device is faster in it, float32 otherwise
 * @SWITTI_PRECISION_F32: float32 all through
 * @SWITTI_PRECISION_BF16: bf16 weights and activations with float32 statistics
 *
 * What a generator computes in.
 */
typedef enum
{
  SWITTI_PRECISION_AUTO,
  SWITTI_PRECISION_F32,
  SWITTI_PRECISION_BF16,
} SwittiPrecision;

/**
 * SwittiMemory:
 * @SWITTI_MEMORY_AUTO: all of the model stays on the device where it fits, and as with %SWITTI_MEMORY_LOW otherwise
 * @SWITTI_MEMORY_LOW: text encoders are loaded for each prompt; on a GPU the transformer's blocks come one by one
 *
 * How much of the device's memory a generator takes. The pictures are the same.
 */
typedef enum
{
  SWITTI_MEMORY_AUTO,
  SWITTI_MEMORY_LOW,
} SwittiMemory;

#define SWITTI_TYPE_GENERATOR (switti_generator_get_type ())
SWITTI_AVAILABLE
G_DECLARE_FINAL_TYPE (SwittiGenerator, switti_generator, SWITTI, GENERATOR, GObject)

/**
 * SwittiProgressFunc:
 * @fraction: 0 to 1 over the whole request
 * @scale: the scale just finished, counted from 0, or -1 while loading, S while decoding
 * @user_data: the caller's
 *
 * Hears how far a generation is. Called on the main context that was the thread-default one at the call.
 */
typedef void (*SwittiProgressFunc) (double fraction, int scale, gpointer user_data);

/**
 * SwittiPreviewFunc:
 * @image_index: which image of the request
 * @scale: the scale just added, counted from 0
 * @image: the picture so far
 * @user_data: the caller's
 *
 * Hears the picture after a scale. Called like #SwittiProgressFunc.
 */
typedef void (*SwittiPreviewFunc) (int image_index, int scale, SwittiImage *image, gpointer user_data);

/**
 * switti_generator_new:
 * @bundle: the model
 * @device: where to run
 * @precision: what to compute in
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * Loads the model onto the device. A generator may be used from any thread, one call at a time; further calls wait.
 *
 * Returns: (transfer full): a generator, or %NULL with @error set
 */
SWITTI_AVAILABLE
SwittiGenerator *switti_generator_new (SwittiBundle *bundle, SwittiDevice *device, SwittiPrecision precision,
                                       GCancellable *cancellable, GError **error);

/**
 * switti_generator_new_with_memory:
 * @bundle: the model
 * @device: where to run
 * @precision: what to compute in
 * @memory: how much memory to take
 * @cancellable: (nullable): a #GCancellable
 * @error: return location for a #GError
 *
 * As [ctor@Generator.new], which takes %SWITTI_MEMORY_AUTO.
 *
 * Returns: (transfer full): a generator, or %NULL with @error set
 */
SWITTI_AVAILABLE
SwittiGenerator *switti_generator_new_with_memory (SwittiBundle *bundle, SwittiDevice *device,
                                                   SwittiPrecision precision, SwittiMemory memory,
                                                   GCancellable *cancellable, GError **error);

/**
 * switti_generator_get_bundle:
 * @self: a generator
 *
 * What it paints with.
 *
 * Returns: (transfer none): the model
 */
SWITTI_AVAILABLE
SwittiBundle *switti_generator_get_bundle (SwittiGenerator *self);

/**
 * switti_generator_get_device:
 * @self: a generator
 *
 * Where it runs.
 *
 * Returns: (transfer none): the device
 */
SWITTI_AVAILABLE
SwittiDevice *switti_generator_get_device (SwittiGenerator *self);

/**
 * switti_generator_get_precision:
 * @self: a generator
 *
 * What it computes in.
 *
 * Returns: a precision, never %SWITTI_PRECISION_AUTO
 */
SWITTI_AVAILABLE
SwittiPrecision switti_generator_get_precision (SwittiGenerator *self);

/**
 * switti_generator_set_preview:
 * @self: a generator
 * @func: (nullable) (scope notified) (closure user_data) (destroy destroy): whom to call after each scale
 * @user_data: for @func
 * @destroy: frees @user_data
 * @scales: (nullable) (array length=n_scales): scales to preview, or %NULL for all
 * @n_scales: length of @scales
 *
 * Asks for a preview of every image after some scales, in the generations that start from now on. Each costs one
 * decode of the VAE.
 */
SWITTI_AVAILABLE
void switti_generator_set_preview (SwittiGenerator *self, SwittiPreviewFunc func, gpointer user_data,
                                   GDestroyNotify destroy, const int *scales, int n_scales);

/**
 * switti_generator_encode:
 * @self: a generator
 * @pixels: R'G'B' u8 (sRGB), rows from top to bottom without padding: width * height * 3 bytes
 * @width: the width in pixels
 * @height: the height in pixels
 * @cancellable: (nullable): looked at inside the VAE
 * @error: return location for a #GError
 *
 * Turns a picture into the model's codes. It is scaled to the model's side both ways, so give it a square. Blocks.
 *
 * What comes back is the picture that the codes make, its reconstruction: [method@Image.get_codes] has the codes, and
 * [ctor@Source.new_for_image] makes it the source of a request.
 *
 * Returns: (transfer full): the reconstruction, or %NULL with @error set
 */
SWITTI_AVAILABLE
SwittiImage *switti_generator_encode (SwittiGenerator *self, GBytes *pixels, int width, int height,
                                      GCancellable *cancellable, GError **error);

/**
 * switti_generator_generate:
 * @self: a generator
 * @request: what to paint
 * @cancellable: (nullable): looked at between scales and inside the VAE
 * @progress: (nullable) (scope call) (closure user_data): hears how far it is; called on this thread
 * @user_data: for @progress
 * @error: return location for a #GError
 *
 * Paints. Blocks.
 *
 * Returns: (transfer container) (element-type SwittiImage): request's count of pictures in order, or %NULL with @error
 *   set
 */
SWITTI_AVAILABLE
GPtrArray *switti_generator_generate (SwittiGenerator *self, SwittiRequest *request, GCancellable *cancellable,
                                      SwittiProgressFunc progress, gpointer user_data, GError **error);

/**
 * switti_generator_generate_async:
 * @self: a generator
 * @request: what to paint; read before this returns
 * @cancellable: (nullable): a #GCancellable
 * @progress: (nullable) (scope notified) (closure progress_data) (destroy progress_destroy): hears how far it is
 * @progress_data: for @progress
 * @progress_destroy: frees @progress_data
 * @callback: (scope async) (closure user_data): called when it is done
 * @user_data: for @callback
 *
 * Paints on a worker thread. @progress, previews and @callback are called on the main context that is the
 * thread-default one now, in order; none comes after @callback.
 */
SWITTI_AVAILABLE
void switti_generator_generate_async (SwittiGenerator *self, SwittiRequest *request, GCancellable *cancellable,
                                      SwittiProgressFunc progress, gpointer progress_data,
                                      GDestroyNotify progress_destroy, GAsyncReadyCallback callback,
                                      gpointer user_data);

/**
 * switti_generator_generate_finish:
 * @self: a generator
 * @result: what the callback got
 * @error: return location for a #GError
 *
 * Finishes what switti_generator_generate_async() began.
 *
 * Returns: (transfer container) (element-type SwittiImage): the pictures in order, or %NULL with @error set
 */
SWITTI_AVAILABLE
GPtrArray *switti_generator_generate_finish (SwittiGenerator *self, GAsyncResult *result, GError **error);

G_END_DECLS
