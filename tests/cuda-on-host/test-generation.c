/* test-generation.c - whole generations on host CUDA: launches, graphs, the order of things, faults
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The smallest model that has every part. The first generation of a generator runs as it is, the second records the
 * scales' graphs, and every later one replays them.
 */
#include "switti-bundle-private.h"
#include "switti-device-private.h"
#include "switti-error.h"
#include "switti-generator-private.h"
#include "switti-memory-private.h"
#include "table-on-host.h"

#include <string.h>

#define N_SHUFFLES 50

static const char *const tiny
  = "depth=1,width=32,heads=2,scales=1-2,ch=32,vocab=16,latent=4,context=40,pooled=24,clip=small";
static const char *const tiny_ar
  = "depth=1,width=32,heads=2,scales=1-2,ch=32,vocab=16,latent=4,context=40,pooled=24,clip=small,ar";

/* -- a generator and what it paints ---------------------------------------------------------------------------- */

static SwittiDevice *
open_device (guint64 seed)
{
  const SwittiKernelOptions options = { 0 };
  g_autoptr (GError) error = NULL;
  SwittiDevice *device
    = switti_device_new_for_kernels ("cuda:0", switti_kernels_cuda_quick (seed), &options, &error);

  g_assert_no_error (error);
  return device;
}

static SwittiBundle *
make_bundle (const char *specification)
{
  g_autoptr (GError) error = NULL;
  SwittiBundle *bundle = switti_bundle_new_synthetic (specification, SWITTI_DTYPE_F32, &error);

  g_assert_no_error (error);
  return bundle;
}

static SwittiGenerator *
load_for (SwittiBundle *bundle, SwittiDevice *device, SwittiMemory memory)
{
  g_autoptr (GError) error = NULL;
  SwittiGenerator *generator
    = switti_generator_new_with_memory (bundle, device, SWITTI_PRECISION_F32, memory, NULL, &error);

  g_assert_no_error (error);
  return generator;
}

static SwittiGenerator *
load (SwittiBundle *bundle, SwittiDevice *device)
{
  return load_for (bundle, device, SWITTI_MEMORY_AUTO);
}

/* Guidance at every scale, so that the null prompt runs; drawn the smooth way at the last one. */
static SwittiRequest *
make_request (SwittiBundle *bundle, const char *prompt, guint64 seed, double guidance)
{
  SwittiRequest *request = switti_request_new (bundle);

  g_object_set (request, "prompt", prompt, "seed", seed, "guidance", guidance, "guidance-start", 0, "guidance-end", 2,
                "smooth", TRUE, "smooth-start", 1, "top-k", 5, NULL);
  return request;
}

/* Codes and pixels of all pictures, previews first. */
static GByteArray *
paint (SwittiGenerator *generator, SwittiRequest *request, GError **error)
{
  g_autoptr (GPtrArray) images = switti_generator_generate (generator, request, NULL, NULL, NULL, error);
  GByteArray *bytes = g_byte_array_new ();

  for (guint i = 0; images != NULL && i < images->len; i++)
    {
      SwittiImage *image = g_ptr_array_index (images, i);
      GBytes *parts[] = { switti_image_get_codes (image), switti_image_get_pixels (image) };

      for (guint j = 0; j < G_N_ELEMENTS (parts); j++)
        g_byte_array_append (bytes, g_bytes_get_data (parts[j], NULL), (guint) g_bytes_get_size (parts[j]));
    }
  return bytes;
}

static GByteArray *
paint_well (SwittiGenerator *generator, SwittiRequest *request)
{
  g_autoptr (GError) error = NULL;
  GByteArray *bytes = paint (generator, request, &error);

  g_assert_no_error (error);
  return bytes;
}

static void
assert_same (const GByteArray *got, const GByteArray *expected)
{
  g_assert_cmpmem (got->data, got->len, expected->data, expected->len);
}

static SwittiKernelLaunches
count_launches (SwittiDevice *device)
{
  SwittiKernelLaunches launches;

  switti_device_get_kernels (device)->count_launches (switti_device_get_context (device), &launches);
  return launches;
}

/* -- launches and graphs --------------------------------------------------------------------------------------- */

/* A block: six products of the library, and of ours the norms of queries and keys, attention and the fused residual
 * passes, twice, SwiGLU, and the residual pass behind it; no bias is converted, nothing is copied or cleared, which a
 * graph would hold as well. On the table as it is; kernels need not do anything. */
static void
test_launches (gconstpointer data)
{
  const SwittiPrecision precision = (SwittiPrecision) GPOINTER_TO_INT (data);
  const SwittiKernelOptions options = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device
    = switti_device_new_for_kernels ("cuda:0", switti_kernels_cuda_shuffled (1), &options, &error);
  g_autoptr (SwittiBundle) bundle
    = make_bundle ("depth=2,width=128,heads=2,scales=1-2,ch=32,vocab=64,latent=4,context=40,pooled=24,clip=small");
  g_autoptr (SwittiGenerator) generator = NULL;
  g_autoptr (SwittiRequest) request = make_request (bundle, "a cat", 1, 3);
  const SwittiTimings *timings;

  g_assert_no_error (error);
  switti_cuda_on_host_set_dry (TRUE);
  generator = switti_generator_new (bundle, device, precision, NULL, &error);
  g_assert_no_error (error);
  for (int i = 0; i < 3; i++)
    {
      g_byte_array_unref (paint_well (generator, request));
      timings = switti_generator_get_timings (generator);
      g_assert_cmpint (timings->block_kernels, ==, 8);
      g_assert_cmpint (timings->block_products, ==, 6);
      g_assert_cmpint (timings->other_launches, ==, 0);
    }
  /* So that nothing was said of graphs without one. */
  g_assert_cmpuint (count_launches (device).graphs, ==, 4);
  g_test_message ("a block and scale: %d kernels and %d products", timings->block_kernels, timings->block_products);
  switti_cuda_on_host_set_dry (FALSE);
}

/* As it is, recorded, replayed: the same bits, and the same counts. */
static void
test_graphs (void)
{
  g_autoptr (SwittiDevice) device = open_device (1);
  g_autoptr (SwittiBundle) bundle = make_bundle (tiny);
  g_autoptr (SwittiGenerator) generator = load (bundle, device);
  g_autoptr (SwittiRequest) request = make_request (bundle, "a cat", 1, 3);
  g_autoptr (GByteArray) eager = paint_well (generator, request);
  SwittiKernelLaunches once = count_launches (device), twice, thrice;

  g_assert_cmpuint (once.graphs, ==, 0);
  g_autoptr (GByteArray) recorded = paint_well (generator, request);
  twice = count_launches (device);
  g_assert_cmpuint (twice.graphs, ==, 2);
  g_autoptr (GByteArray) replayed = paint_well (generator, request);
  thrice = count_launches (device);
  g_assert_cmpuint (thrice.graphs, ==, 4);
  /* What is replayed is counted as if it had been launched. */
  g_assert_cmpuint (thrice.kernels - twice.kernels, ==, twice.kernels - once.kernels);
  g_assert_cmpuint (thrice.products - twice.products, ==, twice.products - once.products);
  assert_same (recorded, eager);
  assert_same (replayed, eager);
}

/* What a recorded graph reads has changed: seed, prompt, guidance. */
static void
test_graphs_follow (gconstpointer specification)
{
  g_autoptr (SwittiDevice) device = open_device (2);
  g_autoptr (SwittiBundle) bundle = make_bundle (specification);
  g_autoptr (SwittiGenerator) generator = load (bundle, device);
  const struct
  {
    const char *prompt;
    guint64 seed;
    double guidance;
  } wishes[] = { { "a cat", 1, 3 }, { "a cat", 2, 3 }, { "the moon behind a tree", 2, 3 },
                 { "the moon behind a tree", 2, 7 } };
  g_autoptr (SwittiRequest) warm_up = make_request (bundle, "a dog", 9, 4);
  g_autoptr (GByteArray) first = paint_well (generator, warm_up);
  g_autoptr (GByteArray) second = paint_well (generator, warm_up);

  assert_same (second, first);
  for (guint i = 0; i < G_N_ELEMENTS (wishes); i++)
    {
      guint64 graphs = count_launches (device).graphs;
      g_autoptr (SwittiRequest) request
        = make_request (bundle, wishes[i].prompt, wishes[i].seed, wishes[i].guidance);
      g_autoptr (SwittiGenerator) fresh = load (bundle, device);
      g_autoptr (GByteArray) expected = paint_well (fresh, request);
      g_autoptr (GByteArray) replayed = paint_well (generator, request);

      assert_same (replayed, expected);
      g_assert_cmpuint (count_launches (device).graphs, ==, graphs + 2);
    }
}

/* -- the order of things --------------------------------------------------------------------------------------- */

static void
on_preview (int image_index, int scale, SwittiImage *image, gpointer data)
{
  GByteArray *bytes = data;
  GBytes *pixels = switti_image_get_pixels (image);

  g_byte_array_append (bytes, g_bytes_get_data (pixels, NULL), (guint) g_bytes_get_size (pixels));
}

/* Streams, graphs and threads in 50 orders that their dependencies allow, with previews on a stream of their own: the
 * same bits. */
static void
test_shuffles (void)
{
  g_autoptr (SwittiDevice) device = open_device (3);
  g_autoptr (SwittiBundle) bundle = make_bundle (tiny);
  g_autoptr (SwittiGenerator) generator = load (bundle, device);
  g_autoptr (SwittiRequest) request = make_request (bundle, "a cat", 5, 3);
  g_autoptr (GByteArray) expected = NULL;
  g_autoptr (GByteArray) expected_previews = NULL;

  for (guint64 seed = 0; seed < N_SHUFFLES; seed++)
    {
      g_autoptr (GByteArray) previews = g_byte_array_new ();
      g_autoptr (GByteArray) painted = NULL;

      switti_cuda_on_host_set_seed (100 + seed);
      switti_generator_set_preview (generator, on_preview, previews, NULL, NULL, 0);
      painted = paint_well (generator, request);
      if (seed == 0)
        {
          expected = g_steal_pointer (&painted);
          expected_previews = g_steal_pointer (&previews);
          continue;
        }
      assert_same (painted, expected);
      assert_same (previews, expected_previews);
    }
  g_assert_cmpuint (count_launches (device).graphs, ==, 2 * (N_SHUFFLES - 1));
}

/* -- faults ---------------------------------------------------------------------------------------------------- */

static void
assert_one_sentence (const GError *error)
{
  g_assert_nonnull (error);
  g_assert_true (g_error_matches (error, SWITTI_ERROR, SWITTI_ERROR_OUT_OF_MEMORY)
                 || g_error_matches (error, SWITTI_ERROR, SWITTI_ERROR_DEVICE));
  g_assert_cmpuint (strlen (error->message), >, 20);
  g_assert_null (strchr (error->message, '\n'));
}

/* Only what is asked for the memory's size may be left unsaid. */
static void
assert_said (const GError *error)
{
  const char *failed = switti_cuda_on_host_failed_call ();

  if (error != NULL)
    assert_one_sentence (error);
  else if (failed[0] != '\0' && !g_str_equal (failed, "cudaGetDeviceProperties")
           && !g_str_equal (failed, "cudaMemGetInfo"))
    g_error ("%s failed, and nobody said so", failed);
}

/* Opens the device, loads the model, paints twice (as it is, and recording graphs) and lets all go, with the call'th
 * call of the runtime failing: for want of memory, or because the device failed. Behind the failure the same device
 * and, where there is one, generator do what they are asked. FALSE where none of the calls was the call'th. */
static gboolean
live_with_fault (SwittiBundle *bundle, SwittiRequest *request, SwittiMemory memory, gint64 call)
{
  const SwittiKernelOptions options = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device = NULL;
  g_autoptr (SwittiGenerator) generator = NULL;

  switti_cuda_on_host_fail_call (call, call % 2 == 0);
  device = switti_device_new_for_kernels ("cuda:0", switti_kernels_cuda_quick (1), &options, &error);
  if (device != NULL)
    generator = switti_generator_new_with_memory (bundle, device, SWITTI_PRECISION_F32, memory, NULL, &error);
  for (int i = 0; i < 2 && generator != NULL && error == NULL; i++)
    g_byte_array_unref (paint (generator, request, &error));
  assert_said (error);
  if (device != NULL && generator == NULL && call % 16 == 0)
    generator = load_for (bundle, device, memory);
  if (generator != NULL && error != NULL)
    g_byte_array_unref (paint_well (generator, request));
  return switti_cuda_on_host_failed_call ()[0] != '\0';
}

/* Every call of a whole life fails once (with -m slow; otherwise every 23rd, in seconds). Kernels do nothing meanwhile,
 * which changes no call. */
static void
test_every_call (gconstpointer memory)
{
  g_autoptr (SwittiBundle) bundle = make_bundle (tiny);
  g_autoptr (SwittiRequest) request = make_request (bundle, "a cat", 1, 3);
  gint64 call = 0;

  switti_cuda_on_host_set_dry (TRUE);
  while (live_with_fault (bundle, request, (SwittiMemory) GPOINTER_TO_INT (memory), call))
    {
      g_assert_cmpuint (switti_cuda_on_host_allocated (), ==, 0);
      g_assert_cmpuint (switti_cuda_on_host_n_objects (), ==, 0);
      call += g_test_slow () ? 1 : 23;
    }
  switti_cuda_on_host_fail_call (-1, FALSE);
  switti_cuda_on_host_set_dry (FALSE);
  g_test_message ("%" G_GINT64_FORMAT " calls", call);
  g_assert_cmpint (call, >, 100);
}

/* What is painted behind a failure is what would have been painted without. */
static void
test_recovery (void)
{
  g_autoptr (SwittiDevice) device = open_device (7);
  g_autoptr (SwittiBundle) bundle = make_bundle (tiny);
  g_autoptr (SwittiGenerator) generator = load (bundle, device);
  g_autoptr (SwittiRequest) request = make_request (bundle, "a cat", 1, 3);
  g_autoptr (GByteArray) expected = paint_well (generator, request);
  guint64 allocated = 0;

  for (gint64 call = 0;; call += 37)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GByteArray) spoilt = NULL, painted = NULL;

      switti_cuda_on_host_fail_call (call, call % 2 == 0);
      spoilt = paint (generator, request, &error);
      if (switti_cuda_on_host_failed_call ()[0] == '\0')
        break;
      assert_said (error);
      switti_cuda_on_host_fail_call (-1, FALSE);
      painted = paint_well (generator, request);
      assert_same (painted, expected);
      g_assert_true (allocated == 0 || allocated == switti_cuda_on_host_allocated ());
      allocated = switti_cuda_on_host_allocated ();
    }
  switti_cuda_on_host_fail_call (-1, FALSE);
}

/* -- times between events -------------------------------------------------------------------------------------- */

static gpointer
paint_elsewhere (gpointer data)
{
  gpointer *work = data;

  return paint_well (work[0], work[1]);
}

/* A thread that did not open the device paints on it all the same: the plug-in has one for each picture. */
static void
test_threads (void)
{
  g_autoptr (SwittiDevice) device = open_device (7);
  g_autoptr (SwittiBundle) bundle = make_bundle (tiny);
  g_autoptr (SwittiGenerator) generator = load (bundle, device);
  g_autoptr (SwittiRequest) request = make_request (bundle, "a cat", 1, 3);
  g_autoptr (GByteArray) here = paint_well (generator, request);
  gpointer work[] = { generator, request };

  for (int i = 0; i < 2; i++)
    {
      g_autoptr (GByteArray) there = g_thread_join (g_thread_new ("painter", paint_elsewhere, work));

      assert_same (there, here);
    }
  g_assert_cmpuint (switti_cuda_on_host_n_strays (), ==, 0);
}

/* While a profile is kept, ops are launched one by one between events; afterwards the graphs are there again. */
static void
test_profile (void)
{
  g_autoptr (SwittiDevice) device = open_device (4);
  const SwittiKernels *kernels = switti_device_get_kernels (device);
  SwittiKernelContext *context = switti_device_get_context (device);
  g_autoptr (SwittiBundle) bundle = make_bundle (tiny);
  g_autoptr (SwittiGenerator) generator = load (bundle, device);
  g_autoptr (SwittiRequest) request = make_request (bundle, "a cat", 1, 3);
  g_autoptr (GByteArray) first = paint_well (generator, request);
  g_autoptr (GByteArray) recorded = paint_well (generator, request);
  SwittiKernelProfile rows[SWITTI_KERNEL_N_OPS];
  guint64 graphs = count_launches (device).graphs;

  kernels->profile_reset (context, true);
  g_autoptr (GByteArray) profiled = paint_well (generator, request);
  kernels->profile_read (context, rows);
  kernels->profile_reset (context, false);
  g_assert_cmpuint (count_launches (device).graphs, ==, graphs);
  for (int op = SWITTI_KERNEL_OP_GEMM; op <= SWITTI_KERNEL_OP_SAMPLE; op++)
    if (rows[op].calls > 0 && rows[op].seconds <= 0)
      g_error ("%s: %" G_GUINT64_FORMAT " calls and no time", rows[op].name, rows[op].calls);
  g_assert_cmpuint (rows[SWITTI_KERNEL_OP_NORM].calls, >, 0);
  g_assert_cmpuint (rows[SWITTI_KERNEL_OP_SAMPLE].calls, ==, 2);
  assert_same (recorded, first);
  assert_same (profiled, first);
  g_autoptr (GByteArray) replayed = paint_well (generator, request);
  g_assert_cmpuint (count_launches (device).graphs, ==, graphs + 2);
  assert_same (replayed, first);
}

/* -- little memory --------------------------------------------------------------------------------------------- */

static const char *const deeper
  = "depth=3,width=32,heads=2,scales=1-2,ch=32,vocab=16,latent=4,context=40,pooled=24,clip=small";

/* Blocks that come one by one, in 20 orders of copies and kernels, give the bits of those that stay. */
static void
test_low_memory (void)
{
  g_autoptr (SwittiBundle) bundle = make_bundle (deeper);
  g_autoptr (SwittiRequest) request = make_request (bundle, "a cat", 1, 3);
  g_autoptr (SwittiDevice) device = open_device (5);
  g_autoptr (SwittiGenerator) whole = load (bundle, device);
  g_autoptr (SwittiGenerator) streamed = load_for (bundle, device, SWITTI_MEMORY_LOW);
  g_autoptr (GByteArray) expected = paint_well (whole, request);

  for (guint64 seed = 0; seed < 20; seed++)
    {
      g_autoptr (GByteArray) painted = NULL;

      switti_cuda_on_host_set_seed (200 + seed);
      painted = paint_well (streamed, request);
      assert_same (painted, expected);
    }
  g_assert_cmpuint (count_launches (device).graphs, ==, 0);
}

/* What a model of some size takes, on the table as it is, against what is worked out from its sizes. */
static guint64
check_peak (SwittiBundle *bundle, SwittiPrecision precision, SwittiMemory memory)
{
  const SwittiDtype dtype = precision == SWITTI_PRECISION_BF16 ? SWITTI_DTYPE_BF16 : SWITTI_DTYPE_F32;
  const SwittiKernelOptions options = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiDevice) device
    = switti_device_new_for_kernels ("cuda:0", switti_kernels_cuda_shuffled (1), &options, &error);
  g_autoptr (SwittiRequest) request = make_request (bundle, "a cat", 1, 3);
  g_autoptr (SwittiGenerator) generator
    = switti_generator_new_with_memory (bundle, device, precision, memory, NULL, &error);
  double planned = (double) switti_memory_estimate (switti_bundle_get_parts (bundle), dtype, 1,
                                                    memory == SWITTI_MEMORY_LOW);
  guint64 taken;

  g_assert_no_error (error);
  g_byte_array_unref (paint_well (generator, request));
  taken = switti_device_get_peak_bytes (device);
  g_test_message ("planned %.0f bytes, taken %" G_GUINT64_FORMAT, planned, taken);
  /* Sizes are rounded up, and scratch memory is left out of the plan. */
  g_assert_cmpfloat (planned / (double) taken, >, 0.9);
  g_assert_cmpfloat (planned / (double) taken, <, 1.1);
  return taken;
}

static void
test_planned_memory (void)
{
  g_autoptr (SwittiBundle) bundle = make_bundle ("depth=6,width=256,heads=4,scales=1-2-4-6,ch=64,vocab=512,latent=16,"
                                                 "context=192,pooled=128,clip=small");

  switti_cuda_on_host_set_dry (TRUE);
  for (int p = SWITTI_PRECISION_F32; p <= SWITTI_PRECISION_BF16; p++)
    {
      guint64 whole = check_peak (bundle, (SwittiPrecision) p, SWITTI_MEMORY_AUTO);
      guint64 low = check_peak (bundle, (SwittiPrecision) p, SWITTI_MEMORY_LOW);

      g_assert_cmpuint (low, <, whole);
    }
  switti_cuda_on_host_set_dry (FALSE);
}

/* Where all of it does not fit, auto is as low: blocks that come one by one are not recorded. */
static void
test_auto_memory (void)
{
  g_autoptr (SwittiBundle) bundle = make_bundle ("depth=6,width=256,heads=4,scales=1-2,ch=32,vocab=64,latent=16,"
                                                 "context=192,pooled=128,clip=small");
  const guint64 whole = switti_memory_estimate (switti_bundle_get_parts (bundle), SWITTI_DTYPE_F32, 1, FALSE);
  const SwittiKernelOptions options = { 0 };
  g_autoptr (SwittiRequest) request = make_request (bundle, "a cat", 1, 3);

  switti_cuda_on_host_set_dry (TRUE);
  for (int fits = 0; fits < 2; fits++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiDevice) device
        = switti_device_new_for_kernels ("cuda:0", switti_kernels_cuda_shuffled (1), &options, &error);
      g_autoptr (SwittiGenerator) generator = NULL;

      g_assert_no_error (error);
      switti_cuda_on_host_set_memory (switti_cuda_on_host_allocated () + whole + (fits ? whole / 4 : 0) - 1);
      generator = load (bundle, device);
      for (int i = 0; i < 2; i++)
        g_byte_array_unref (paint_well (generator, request));
      g_assert_cmpuint (count_launches (device).graphs, ==, fits ? 2 : 0);
    }
  switti_cuda_on_host_set_memory ((gsize) 8 << 30);
  switti_cuda_on_host_set_dry (FALSE);
}

/* The published model of 512 pixels in bf16 (shared/spec.md, "Sizes"), with CLIP's two encoders. */
static void
test_published_memory (void)
{
  SwittiBundleParts parts = {
    .transformer = { .depth = 30, .width = 1920, .heads = 30, .ffn_hidden = 5120, .vocab = 4096, .latent = 32,
                     .context_dim = 2048, .pooled_dim = 1280, .rope = TRUE, .swiglu = TRUE, .crop_cond = TRUE },
    .vae = { .ch = 160, .vocab = 4096, .latent = 32, .share_quant_resi = 4, .quant_resi = 0.5 },
    .text = { { .layers = 12, .width = 768, .heads = 12, .mlp = 3072, .vocab = 49408, .positions = 77 },
              { .layers = 32, .width = 1280, .heads = 20, .mlp = 5120, .vocab = 49408, .positions = 77 } },
  };
  double all, low;

  g_assert_true (switti_schedule_for_resolution (512, &parts.transformer.schedule));
  parts.vae.schedule = parts.transformer.schedule;
  all = (double) switti_memory_estimate (&parts, SWITTI_DTYPE_BF16, 1, FALSE);
  low = (double) switti_memory_estimate (&parts, SWITTI_DTYPE_BF16, 1, TRUE);
  g_test_message ("512, bf16: %.2f GB, at low %.2f GB", all / 1e9, low / 1e9);
  /* A card of 6 GB, of which the driver and its libraries keep up to one. */
  g_assert_cmpfloat (low, <, 5e9);
  /* The weights alone: 2.47e9 parameters of the transformer, 0.82e9 of the encoders, 0.06e9 of the decoder. */
  g_assert_cmpfloat (all, >, 2 * 3.3e9);
  g_assert_cmpfloat (all, <, 2 * 3.3e9 + 1.5e9);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/generation/launches/f32", GINT_TO_POINTER (SWITTI_PRECISION_F32), test_launches);
  g_test_add_data_func ("/generation/launches/bf16", GINT_TO_POINTER (SWITTI_PRECISION_BF16), test_launches);
  g_test_add_func ("/generation/graphs", test_graphs);
  g_test_add_data_func ("/generation/graphs-follow/nar", tiny, test_graphs_follow);
  g_test_add_data_func ("/generation/graphs-follow/ar", tiny_ar, test_graphs_follow);
  g_test_add_func ("/generation/shuffles", test_shuffles);
  g_test_add_func ("/generation/threads", test_threads);
  g_test_add_func ("/generation/profile", test_profile);
  g_test_add_func ("/generation/memory/low", test_low_memory);
  g_test_add_func ("/generation/memory/auto", test_auto_memory);
  g_test_add_func ("/generation/memory/planned", test_planned_memory);
  g_test_add_func ("/generation/memory/published", test_published_memory);
  g_test_add_data_func ("/generation/faults/auto", GINT_TO_POINTER (SWITTI_MEMORY_AUTO), test_every_call);
  g_test_add_data_func ("/generation/faults/low", GINT_TO_POINTER (SWITTI_MEMORY_LOW), test_every_call);
  g_test_add_func ("/generation/faults/recovery", test_recovery);
  return g_test_run ();
}
