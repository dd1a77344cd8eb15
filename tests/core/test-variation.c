/* test-variation.c - pictures that start from another one: kept scales, masks, half-way stops, and their recipes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-error.h"
#include "switti-generator-private.h"
#include "switti-guide-private.h"
#include "switti-request-private.h"
#include "switti-source-private.h"

#include <math.h>

/* Small enough for many runs; AR also keeps what the kept scales leave in its cache. */
static const char *const models[]
  = { "depth=2,width=64,heads=2,scales=1-2-3-4-5,ch=32,vocab=64,context=128,pooled=64,clip=small",
      "depth=2,width=64,heads=2,scales=1-2-3-4-5,ch=32,vocab=64,context=128,pooled=64,clip=small,ar" };

typedef struct
{
  SwittiDevice *device;
  SwittiBundle *bundle;
  SwittiGenerator *generator;
  int n_scales;
  gsize side;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (GError) error = NULL;

  fixture->device = switti_device_new ("cpu", 0, &error);
  g_assert_no_error (error);
  fixture->bundle = switti_bundle_new_synthetic (spec, SWITTI_DTYPE_F32, &error);
  g_assert_no_error (error);
  fixture->generator = switti_generator_new (fixture->bundle, fixture->device, SWITTI_PRECISION_F32, NULL, &error);
  g_assert_no_error (error);
  fixture->n_scales = switti_bundle_get_n_scales (fixture->bundle);
  fixture->side = (gsize) switti_bundle_get_resolution (fixture->bundle);
}

static void
tear_down (Fixture *fixture, gconstpointer spec)
{
  g_assert_finalize_object (fixture->generator);
  g_assert_finalize_object (fixture->bundle);
  g_assert_finalize_object (fixture->device);
}

/* Among five scales: one plain, one guided, two guided and smooth, one after the guidance, which is not cooled: two
 * seeds are to differ there. */
static SwittiRequest *
request_of (Fixture *fixture, const char *prompt, guint64 seed)
{
  SwittiRequest *request = switti_request_new (fixture->bundle);

  g_object_set (request, "prompt", prompt, "seed", seed, "guidance-start", 1, "guidance-end", 4, "smooth-start", 2,
                "last-scale-temperature", 0.0, NULL);
  return request;
}

static GPtrArray *
paint_all (Fixture *fixture, SwittiRequest *request)
{
  g_autoptr (GError) error = NULL;
  GPtrArray *images = switti_generator_generate (fixture->generator, request, NULL, NULL, NULL, &error);

  g_assert_no_error (error);
  return images;
}

static SwittiImage *
paint (Fixture *fixture, SwittiRequest *request)
{
  g_autoptr (GPtrArray) images = paint_all (fixture, request);

  return g_object_ref (g_ptr_array_index (images, 0));
}

static SwittiImage *
paint_seed (Fixture *fixture, const char *prompt, guint64 seed)
{
  g_autoptr (SwittiRequest) request = request_of (fixture, prompt, seed);

  return paint (fixture, request);
}

static SwittiImage *
paint_recipe (Fixture *fixture, const char *recipe)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiRequest) request = switti_request_new (fixture->bundle);

  g_assert_true (switti_request_apply_json (request, recipe, &error));
  g_assert_no_error (error);
  return paint (fixture, request);
}

/* The first `scales` scales' codes. */
static gboolean
same_codes (Fixture *fixture, SwittiImage *a, SwittiImage *b, int scales)
{
  const SwittiSchedule *schedule = &switti_bundle_get_parts (fixture->bundle)->vae.schedule;

  return memcmp (g_bytes_get_data (switti_image_get_codes (a), NULL),
                 g_bytes_get_data (switti_image_get_codes (b), NULL),
                 sizeof (gint32) * switti_record_offset (schedule, scales))
         == 0;
}

static gboolean
same_pixels (SwittiImage *a, SwittiImage *b)
{
  return g_bytes_equal (switti_image_get_pixels (a), switti_image_get_pixels (b));
}

static gboolean
same_picture (SwittiImage *a, SwittiImage *b)
{
  return same_pixels (a, b) && g_bytes_equal (switti_image_get_codes (a), switti_image_get_codes (b));
}

static void
assert_refused (Fixture *fixture, SwittiRequest *request, const char *words)
{
  g_autoptr (GError) error = NULL;
  GPtrArray *images = switti_generator_generate (fixture->generator, request, NULL, NULL, NULL, &error);

  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
  g_assert_null (images);
  g_assert_nonnull (strstr (error->message, words));
}

/* A picture of no model: a disc on a slope. */
static GBytes *
drawing (int width, int height)
{
  guint8 *pixels = g_malloc ((gsize) (width * height * 3));

  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      {
        double dx = (x + 0.5) / width - 0.4, dy = (y + 0.5) / height - 0.5;
        guint8 *pixel = pixels + 3 * (y * width + x);

        pixel[0] = dx * dx + dy * dy < 0.09 ? 220 : (guint8) (255 * x / width);
        pixel[1] = (guint8) (255 * y / height);
        pixel[2] = 90;
      }
  return g_bytes_new_take (pixels, (gsize) (width * height * 3));
}

static SwittiImage *
encode (Fixture *fixture, int width, int height)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) pixels = drawing (width, height);
  SwittiImage *image = switti_generator_encode (fixture->generator, pixels, width, height, NULL, &error);

  g_assert_no_error (error);
  return image;
}

static GBytes *
mask_of (Fixture *fixture, guint8 (*value) (gsize x, gsize y))
{
  gsize side = fixture->side;
  guint8 *mask = g_malloc (side * side);

  for (gsize i = 0; i < side * side; i++)
    mask[i] = value (i % side, i / side);
  return g_bytes_new_take (mask, side * side);
}

static guint8
nowhere (gsize x, gsize y)
{
  return 0;
}

static guint8
everywhere (gsize x, gsize y)
{
  return 255;
}

/* An odd shape with soft and hard edges. */
static guint8
somewhere (gsize x, gsize y)
{
  return (guint8) (y > 37 || x + 2 * y < 30 ? 0 : CLAMP (8 * (gssize) x - 180, 0, 255));
}

/* -- kept scales ----------------------------------------------------------------------------------------------- */

/* k = S is the picture to the bit, k = 0 a fresh one, and what is between has the source's codes below k alone. */
static void
test_keep (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (SwittiImage) image = paint_seed (fixture, "a fox", 3);
  g_autoptr (SwittiImage) fresh = paint_seed (fixture, "a robot", 8);
  g_autoptr (SwittiSource) source = switti_source_new_for_image (image);

  for (int k = 0; k <= fixture->n_scales; k++)
    {
      g_autoptr (SwittiRequest) request = request_of (fixture, "a robot", 8);
      g_autoptr (SwittiImage) varied = NULL;
      g_autoptr (SwittiImage) again = NULL;

      g_object_set (request, "source", source, "keep-scales", k, NULL);
      varied = paint (fixture, request);
      g_assert_true (same_codes (fixture, varied, image, k));
      g_assert_true (same_picture (varied, image) == (k == fixture->n_scales));
      g_assert_true (same_picture (varied, fresh) == (k == 0));
      again = paint_recipe (fixture, switti_image_get_recipe (varied));
      g_assert_true (same_picture (varied, again));
    }
}

/* A variation of a variation of … is painted through all of them; where it keeps no more than they do, through none. */
static void
test_chain (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (SwittiImage) image = paint_seed (fixture, "a fox", 3);

  for (int i = 0; i < 4; i++)
    {
      g_autoptr (SwittiSource) source = switti_source_new_for_image (image);
      g_autoptr (SwittiRequest) request = request_of (fixture, "a robot", 10 + (guint64) i);
      g_autoptr (SwittiImage) varied = NULL;
      g_autoptr (SwittiImage) again = NULL;

      g_object_set (request, "source", source, "keep-scales", i < 3 ? 2 + i : 2, NULL);
      varied = paint (fixture, request);
      again = paint_recipe (fixture, switti_image_get_recipe (varied));
      g_assert_true (same_picture (varied, again));
      g_assert_true (same_codes (fixture, varied, image, i < 3 ? 2 + i : 2));
      g_set_object (&image, varied);
    }
  /* The last one kept two scales, as the first did: its recipe goes back to the root at once. */
  {
    g_autoptr (JsonNode) root = json_from_string (switti_image_get_recipe (image), NULL);
    JsonObject *source = json_object_get_object_member (json_node_get_object (root), "source");

    g_assert_cmpstr (json_object_get_string_member (source, "prompt"), ==, "a fox");
    g_assert_false (json_object_has_member (source, "source"));
  }
}

/* Several variations at once are those of each seed alone. */
static void
test_keep_batches (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (SwittiImage) image = paint_seed (fixture, "a fox", 3);
  g_autoptr (SwittiSource) source = switti_source_new_for_image (image);
  g_autoptr (GBytes) mask = mask_of (fixture, somewhere);
  g_autoptr (SwittiRequest) request = request_of (fixture, "a robot", 20);
  g_autoptr (GPtrArray) images = NULL;

  g_object_set (request, "source", source, "keep-scales", 1, "mask", mask, "count", 5, "batch", 3, NULL);
  images = paint_all (fixture, request);
  g_object_set (request, "count", 1, NULL);
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr (SwittiImage) alone = NULL;

      g_object_set (request, "seed", (guint64) (20 + i), NULL);
      alone = paint (fixture, request);
      g_assert_true (same_picture (alone, g_ptr_array_index (images, i)));
    }
}

/* -- encoding -------------------------------------------------------------------------------------------------- */

/* The reconstruction is what its codes make, and its recipe makes it again. A picture of another size is scaled. */
static void
test_encode (Fixture *fixture, gconstpointer spec)
{
  const int side = (int) fixture->side;
  g_autoptr (SwittiImage) image = encode (fixture, side, side);
  g_autoptr (SwittiImage) larger = encode (fixture, 3 * side, 2 * side);
  g_autoptr (SwittiImage) again = paint_recipe (fixture, switti_image_get_recipe (image));
  g_autoptr (SwittiSource) source = switti_source_new_for_codes (switti_image_get_codes (image));
  g_autoptr (SwittiRequest) request = request_of (fixture, "a fox", 5);
  g_autoptr (SwittiImage) kept = NULL;
  g_autoptr (SwittiImage) varied = NULL;

  g_assert_cmpint (switti_image_get_width (larger), ==, side);
  g_assert_true (same_picture (image, again));
  g_object_set (request, "source", source, "keep-scales", fixture->n_scales, NULL);
  kept = paint (fixture, request);
  g_assert_true (same_picture (image, kept));
  g_object_set (request, "keep-scales", 2, NULL);
  varied = paint (fixture, request);
  g_assert_true (same_codes (fixture, image, varied, 2));
  g_assert_false (same_picture (image, varied));
}

/* -- stopping half-way ----------------------------------------------------------------------------------------- */

typedef struct
{
  SwittiImage *previews[SWITTI_MAX_SCALES];
} Previews;

static void
on_preview (int image_index, int scale, SwittiImage *image, gpointer data)
{
  Previews *previews = data;

  g_set_object (&previews->previews[scale], image);
}

static void
test_stop (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (SwittiImage) whole = NULL;
  Previews previews = { 0 };

  switti_generator_set_preview (fixture->generator, on_preview, &previews, NULL, NULL, 0);
  whole = paint_seed (fixture, "a fox", 3);
  switti_generator_set_preview (fixture->generator, NULL, NULL, NULL, NULL, 0);
  for (int s = 1; s <= fixture->n_scales; s++)
    {
      g_autoptr (SwittiRequest) request = request_of (fixture, "a fox", 3);
      g_autoptr (SwittiImage) stopped = NULL;
      g_autoptr (SwittiImage) finished = NULL;

      g_object_set (request, "stop-scale", s, NULL);
      stopped = paint (fixture, request);
      g_assert_true (same_picture (stopped, previews.previews[s - 1]));
      g_assert_true (same_codes (fixture, stopped, whole, s));
      finished = paint_recipe (fixture, switti_image_get_recipe (stopped));
      g_assert_true (same_picture (finished, whole));
    }
  for (int s = 0; s < fixture->n_scales; s++)
    g_clear_object (&previews.previews[s]);
}

/* -- masks ----------------------------------------------------------------------------------------------------- */

/* The mask at each scale: for each position the mean of the pixels below it, rows floor (i H / n) to
 * ceil ((i + 1) H / n). */
static void
test_mask_scales (Fixture *fixture, gconstpointer spec)
{
  const SwittiSchedule *schedule = &switti_bundle_get_parts (fixture->bundle)->vae.schedule;
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiEngine) engine
    = switti_engine_new (fixture->bundle, fixture->device, SWITTI_DTYPE_F32, SWITTI_MEMORY_AUTO, NULL, &error);
  g_autoptr (SwittiRecord) record = switti_record_new (&switti_bundle_get_parts (fixture->bundle)->vae);
  g_autoptr (GBytes) bytes = mask_of (fixture, somewhere);
  const guint8 *mask = g_bytes_get_data (bytes, NULL);
  g_autoptr (SwittiGuide) guide = NULL;
  const float *weights;

  g_assert_true (switti_engine_reserve (engine, 1, 1, FALSE, FALSE, &error));
  record->n_scales = schedule->n_scales;
  guide = switti_guide_new (engine, 1, record, mask, &error);
  g_assert_no_error (error);
  weights = switti_guide_get_weights (guide);
  for (int s = 0; s < schedule->n_scales; s++)
    for (int i = 0; i < schedule->side[s] * schedule->side[s]; i++)
      {
        const int n = schedule->side[s], side = (int) fixture->side, row = i / n, column = i % n;
        double sum = 0;
        int count = 0;

        for (int y = row * side / n; y < ((row + 1) * side + n - 1) / n; y++)
          for (int x = column * side / n; x < ((column + 1) * side + n - 1) / n; x++, count++)
            sum += mask[y * side + x] / 255.0;
        /* Sums of up to 6400 values below 1 in float32, in no set order. */
        g_assert_cmpfloat_with_epsilon (weights[switti_record_offset (schedule, s) + (gsize) i], sum / count, 1e-5);
      }
}

/* All masked is a fresh picture, nothing masked the source; a part of both is neither, and its recipe makes it again.
 * Kept scales come first. */
static void
test_mask (Fixture *fixture, gconstpointer spec)
{
  guint8 (*values[]) (gsize x, gsize y) = { nowhere, somewhere, everywhere };
  g_autoptr (SwittiImage) painted = paint_seed (fixture, "a fox", 3);
  g_autoptr (SwittiImage) encoded = encode (fixture, 80, 80);
  g_autoptr (SwittiImage) fresh = paint_seed (fixture, "a robot", 8);

  for (int i = 0; i < 6; i++)
    {
      SwittiImage *image = i < 3 ? painted : encoded;
      g_autoptr (SwittiSource) source = switti_source_new_for_image (image);
      g_autoptr (GBytes) mask = mask_of (fixture, values[i % 3]);
      g_autoptr (SwittiRequest) request = request_of (fixture, "a robot", 8);
      g_autoptr (SwittiImage) filled = NULL;
      g_autoptr (SwittiImage) again = NULL;
      g_autoptr (SwittiImage) kept = NULL;

      g_object_set (request, "source", source, "mask", mask, NULL);
      filled = paint (fixture, request);
      g_assert_true (same_pixels (filled, image) == (i % 3 == 0));
      g_assert_true (same_picture (filled, fresh) == (i % 3 == 2));
      again = paint_recipe (fixture, switti_image_get_recipe (filled));
      g_assert_true (same_picture (filled, again));
      g_object_set (request, "keep-scales", 3, NULL);
      kept = paint (fixture, request);
      g_assert_true (same_codes (fixture, kept, image, 3));
    }
}

/* -- cancelling ------------------------------------------------------------------------------------------------ */

typedef struct
{
  GCancellable *cancellable;
  int calls_left;
} Canceller;

static void
on_progress (double fraction, int scale, gpointer data)
{
  Canceller *self = data;

  g_assert_cmpfloat (fraction, >=, 0);
  g_assert_cmpfloat (fraction, <=, 1);
  if (self->calls_left-- == 0)
    g_cancellable_cancel (self->cancellable);
}

/* Cancelled anywhere, while the source is painted again or while it is filled, nothing is left of it: the next one is
 * as ever. */
static void
test_cancel (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (SwittiImage) image = paint_seed (fixture, "a fox", 3);
  g_autoptr (SwittiSource) source = switti_source_new_for_image (image);
  g_autoptr (GBytes) mask = mask_of (fixture, somewhere);
  g_autoptr (SwittiRequest) request = request_of (fixture, "a robot", 8);
  g_autoptr (SwittiImage) expected = NULL;
  g_autoptr (SwittiImage) after = NULL;
  int cancelled = 0;

  g_object_set (request, "source", source, "mask", mask, NULL);
  expected = paint (fixture, request);
  for (;; cancelled++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Canceller canceller = { cancellable, cancelled };
      g_autoptr (GPtrArray) images
        = switti_generator_generate (fixture->generator, request, cancellable, on_progress, &canceller, &error);

      if (images)
        break;
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
  /* One call at the start of both, and one after each scale; the one after decoding comes too late. */
  g_assert_cmpint (cancelled, ==, 2 + 2 * fixture->n_scales);
  after = paint (fixture, request);
  g_assert_true (same_picture (expected, after));
}

/* -- refusals -------------------------------------------------------------------------------------------------- */

static void
test_refusals (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (SwittiRequest) request = request_of (fixture, "a fox", 1);
  g_autoptr (SwittiImage) image = encode (fixture, 80, 80);
  g_autoptr (SwittiSource) source = switti_source_new_for_image (image);
  g_autoptr (GBytes) small = g_bytes_new_static ("abc", 3);
  g_autoptr (GBytes) mask = mask_of (fixture, everywhere);
  gint32 *codes = g_memdup2 (g_bytes_get_data (switti_image_get_codes (image), NULL),
                             g_bytes_get_size (switti_image_get_codes (image)));
  g_autoptr (GBytes) wrong = g_bytes_new_take (codes, g_bytes_get_size (switti_image_get_codes (image)));
  g_autoptr (SwittiSource) wrong_source = switti_source_new_for_codes (wrong);
  g_autoptr (SwittiSource) short_source = switti_source_new_for_codes (small);

  g_object_set (request, "mask", mask, NULL);
  assert_refused (fixture, request, "give the source");
  g_object_set (request, "source", source, "mask", small, NULL);
  assert_refused (fixture, request, "3 pixels");
  g_object_set (request, "mask", NULL, "keep-scales", fixture->n_scales + 1, NULL);
  assert_refused (fixture, request, "keep-scales");
  g_object_set (request, "keep-scales", -1, NULL);
  assert_refused (fixture, request, "keep-scales");
  g_object_set (request, "keep-scales", 1, "stop-scale", fixture->n_scales + 1, NULL);
  assert_refused (fixture, request, "stop-scale");
  g_object_set (request, "stop-scale", 0, "source", short_source, NULL);
  assert_refused (fixture, request, "codes");
  codes[7] = switti_bundle_get_parts (fixture->bundle)->vae.vocab;
  g_object_set (request, "source", wrong_source, NULL);
  assert_refused (fixture, request, "codes");
  codes[7] = -1;
  assert_refused (fixture, request, "codes");
}

/* A recipe of another model cannot be painted again with this one. */
static void
test_other_model (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiRequest) request = request_of (fixture, "a fox", 1);
  g_autoptr (SwittiSource) source
    = switti_source_new_for_recipe ("{\"prompt\": \"x\", \"model_hash\": \"0000\"}", &error);

  g_assert_no_error (error);
  g_object_set (request, "source", source, "keep-scales", 2, NULL);
  assert_refused (fixture, request, "another model");
  g_object_set (request, "keep-scales", 0, NULL);
  g_object_unref (paint (fixture, request));
}

static void
test_bad_recipes (void)
{
  static const struct
  {
    const char *json, *words;
  } bad[] = {
    { "{\"source\": 3}", "not a JSON object" },
    { "{\"source\": {\"codes\": 3}}", "damaged" },
    { "{\"source\": {\"codes\": \"\"}}", "damaged" },
    { "{\"source\": {\"codes\": \"AAA=\", \"bits\": 12}}", "damaged" },
    { "{\"source\": {\"codes\": \"AAAA\", \"bits\": 32}}", "damaged" },
    { "{\"source\": {\"seed\": -1}}", "seed" },
    { "{\"mask\": []}", "mask" },
    { "{\"mask\": {\"side\": 80}}", "mask" },
    { "{\"mask\": {\"side\": 80, \"data\": \"AAAA\"}}", "mask" },
    { "{\"mask\": {\"side\": 100000, \"data\": \"eJwDAAAAAAE=\"}}", "mask" },
    { "{\"keep_scales\": 1000}", "keep-scales" },
  };
  g_autoptr (SwittiRequest) request = switti_request_new (NULL);
  g_autoptr (GString) deep = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) local = NULL;

      g_assert_false (switti_request_apply_json (request, bad[i].json, &local));
      g_assert_error (local, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
      g_assert_nonnull (strstr (local->message, bad[i].words));
    }
  for (int i = 0; i < 200; i++)
    g_string_append (deep, "{\"source\": ");
  g_string_append (deep, "{}");
  for (int i = 0; i < 200; i++)
    g_string_append (deep, "}");
  g_assert_false (switti_request_apply_json (request, deep->str, &error));
  g_assert_nonnull (strstr (error->message, "too many"));
}

/* Codes above 16 bits, and masks of both kinds, come back from a recipe. */
static void
test_json (void)
{
  const gint32 values[2][4] = { { 0, 1, 65535, 7 }, { 3, 70000, 1 << 23, 0 } };
  g_autoptr (GBytes) mask = g_bytes_new_static ("\0\1\2\3\xff\xfe\0\0\7", 9);

  for (int i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) codes = g_bytes_new (values[i], sizeof values[i]);
      g_autoptr (SwittiSource) source = switti_source_new_for_codes (codes);
      g_autoptr (SwittiRequest) request = switti_request_new (NULL);
      g_autoptr (SwittiRequest) read = switti_request_new (NULL);
      g_autofree char *json = NULL;
      const SwittiParameters *parameters = switti_request_get_parameters (read);

      g_object_set (request, "source", source, "mask", mask, "keep-scales", 2, "stop-scale", 1, NULL);
      json = switti_request_to_json (request, NULL, 0);
      g_assert_true (switti_request_apply_json (read, json, &error));
      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (switti_source_get_codes (parameters->source), codes));
      g_assert_true (g_bytes_equal (parameters->mask, mask));
      g_assert_cmpint (parameters->keep_scales, ==, 2);
      g_assert_cmpint (parameters->stop_scale, ==, 0);
      g_assert_true (switti_request_apply_json (read, "{\"source\": null, \"mask\": null}", &error));
      g_assert_null (parameters->source);
      g_assert_null (parameters->mask);
    }
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    void (*test) (Fixture *fixture, gconstpointer spec);
  } tests[] = {
    { "keep", test_keep },
    { "chain", test_chain },
    { "keep-batches", test_keep_batches },
    { "encode", test_encode },
    { "stop", test_stop },
    { "mask-scales", test_mask_scales },
    { "mask", test_mask },
    { "cancel", test_cancel },
    { "refusals", test_refusals },
    { "other-model", test_other_model },
  };

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    for (guint m = 0; m < G_N_ELEMENTS (models); m++)
      {
        g_autofree char *path = g_strdup_printf ("/variation/%s/%s", tests[i].name, m ? "ar" : "scale-wise");

        g_test_add (path, Fixture, models[m], set_up, tests[i].test, tear_down);
      }
  g_test_add_func ("/variation/bad-recipes", test_bad_recipes);
  g_test_add_func ("/variation/json", test_json);
  return g_test_run ();
}
