/* test-generator.c - seeds, batches, threads, callbacks, cancelling and errors
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-bundle-private.h"
#include "switti-error.h"
#include "switti-generator-private.h"
#include "switti-turn-private.h"

#include <math.h>

/* Small enough for many runs. */
static const char *const tiny
  = "depth=2,width=64,heads=2,scales=1-2-3-4-5,ch=32,vocab=64,context=128,pooled=64,clip=small";

typedef struct
{
  SwittiDevice *device;
  SwittiBundle *bundle;
  SwittiGenerator *generator;
  int n_scales;
} Fixture;

static SwittiDevice *
open_cpu (int n_threads)
{
  g_autoptr (GError) error = NULL;
  SwittiDevice *device = switti_device_new ("cpu", n_threads, &error);

  g_assert_no_error (error);
  return device;
}

static SwittiGenerator *
load (SwittiBundle *bundle, SwittiDevice *device)
{
  g_autoptr (GError) error = NULL;
  SwittiGenerator *generator = switti_generator_new (bundle, device, SWITTI_PRECISION_F32, NULL, &error);

  g_assert_no_error (error);
  return generator;
}

static void
set_up (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (GError) error = NULL;

  fixture->device = open_cpu (0);
  fixture->bundle = switti_bundle_new_synthetic (spec, SWITTI_DTYPE_F32, &error);
  g_assert_no_error (error);
  fixture->generator = load (fixture->bundle, fixture->device);
  fixture->n_scales = switti_bundle_get_n_scales (fixture->bundle);
}

static void
tear_down (Fixture *fixture, gconstpointer spec)
{
  g_assert_finalize_object (fixture->generator);
  g_assert_finalize_object (fixture->bundle);
  g_assert_finalize_object (fixture->device);
}

static SwittiRequest *
request_of (Fixture *fixture, guint64 seed, int count, int batch)
{
  SwittiRequest *request = switti_request_new (fixture->bundle);

  /* Among five scales: one plain, one guided, two guided and smooth, one after the guidance. */
  g_object_set (request, "prompt", "a fox", "seed", seed, "count", count, "batch", batch, "guidance-start", 1,
                "guidance-end", 4, "smooth-start", 2, NULL);
  return request;
}

static GPtrArray *
paint (SwittiGenerator *generator, SwittiRequest *request)
{
  g_autoptr (GError) error = NULL;
  GPtrArray *images = switti_generator_generate (generator, request, NULL, NULL, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (images);
  return images;
}

static GPtrArray *
paint_seed (Fixture *fixture, guint64 seed, int count, int batch)
{
  g_autoptr (SwittiRequest) request = request_of (fixture, seed, count, batch);

  return paint (fixture->generator, request);
}

static SwittiImage *
image_at (GPtrArray *images, guint i)
{
  return g_ptr_array_index (images, i);
}

static gboolean
same_picture (SwittiImage *a, SwittiImage *b)
{
  return g_bytes_equal (switti_image_get_codes (a), switti_image_get_codes (b))
         && g_bytes_equal (switti_image_get_pixels (a), switti_image_get_pixels (b));
}

/* -- seeds --------------------------------------------------------------------------------------------------- */

static void
test_shape (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (GPtrArray) images = paint_seed (fixture, 3, 1, 0);
  SwittiImage *image = image_at (images, 0);
  const SwittiBundleParts *parts = switti_bundle_get_parts (fixture->bundle);
  gsize n_codes;
  const gint32 *codes = g_bytes_get_data (switti_image_get_codes (image), &n_codes);

  g_assert_cmpuint (images->len, ==, 1);
  g_assert_cmpint (switti_image_get_width (image), ==, switti_bundle_get_resolution (fixture->bundle));
  g_assert_cmpint (switti_image_get_height (image), ==, switti_bundle_get_resolution (fixture->bundle));
  g_assert_cmpuint (switti_image_get_seed (image), ==, 3);
  n_codes /= sizeof *codes;
  g_assert_cmpuint (n_codes, ==, switti_schedule_length (&parts->vae.schedule));
  for (gsize i = 0; i < n_codes; i++)
    {
      g_assert_cmpint (codes[i], >=, 0);
      g_assert_cmpint (codes[i], <, parts->vae.vocab);
    }
}

/* Image i of any batch is the picture of seed + i alone. */
static void
test_batches (Fixture *fixture, gconstpointer spec)
{
  enum { COUNT = 5 };
  g_autoptr (GPtrArray) alone = g_ptr_array_new_with_free_func (g_object_unref);
  static const int batches[] = { 0, 1, 2, 3, 5, 64 };

  for (guint64 i = 0; i < COUNT; i++)
    {
      g_autoptr (GPtrArray) images = paint_seed (fixture, 100 + i, 1, 0);
      g_ptr_array_add (alone, g_object_ref (image_at (images, 0)));
    }
  for (guint i = 1; i < COUNT; i++)
    g_assert_false (same_picture (image_at (alone, 0), image_at (alone, i)));
  for (guint b = 0; b < G_N_ELEMENTS (batches); b++)
    {
      g_autoptr (GPtrArray) images = paint_seed (fixture, 100, COUNT, batches[b]);

      g_assert_cmpuint (images->len, ==, COUNT);
      for (guint i = 0; i < COUNT; i++)
        {
          g_assert_cmpuint (switti_image_get_seed (image_at (images, i)), ==, 100 + i);
          g_assert_true (same_picture (image_at (images, i), image_at (alone, i)));
        }
    }
}

static void
test_threads (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (SwittiDevice) one = open_cpu (1), two = open_cpu (2);
  g_autoptr (SwittiGenerator) with_one = load (fixture->bundle, one), with_two = load (fixture->bundle, two);
  g_autoptr (SwittiRequest) request = request_of (fixture, 8, 2, 2);
  g_autoptr (GPtrArray) a = paint (with_one, request), b = paint (with_two, request);

  for (guint i = 0; i < 2; i++)
    g_assert_true (same_picture (image_at (a, i), image_at (b, i)));
}

/* The last seed of 64 bits is followed by 0. */
static void
test_seed_wraps (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (GPtrArray) images = paint_seed (fixture, G_MAXUINT64, 2, 0);
  g_autoptr (GPtrArray) zero = paint_seed (fixture, 0, 1, 0);

  g_assert_cmpuint (switti_image_get_seed (image_at (images, 1)), ==, 0);
  g_assert_true (same_picture (image_at (images, 1), image_at (zero, 0)));
}

/* A picture's recipe paints the picture. */
static void
test_recipe_repeats (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (SwittiRequest) request = request_of (fixture, 21, 2, 2), again = NULL;
  g_autoptr (GPtrArray) images = NULL, repeated = NULL;
  g_autoptr (GError) error = NULL;

  g_object_set (request, "guidance", 2.5, "top-k", 9, "negative-prompt", "a cat", NULL);
  images = paint (fixture->generator, request);
  again = switti_request_new (NULL);
  g_assert_true (switti_request_apply_json (again, switti_image_get_recipe (image_at (images, 1)), &error));
  g_assert_no_error (error);
  repeated = paint (fixture->generator, again);
  g_assert_cmpuint (repeated->len, ==, 1);
  g_assert_true (same_picture (image_at (images, 1), image_at (repeated, 0)));
}

static GPtrArray *
paint_changed (Fixture *fixture, gboolean smooth, const char *property, double value)
{
  g_autoptr (SwittiRequest) request = request_of (fixture, 5, 1, 0);
  GParamSpec *pspec;
  g_auto (GValue) changed = G_VALUE_INIT;

  /* With little guidance the made-up weights' logits are near each other, so that chance has a say everywhere. */
  g_object_set (request, "smooth", smooth, "guidance", 0.2, NULL);
  if (property == NULL)
    return paint (fixture->generator, request);
  pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (request), property);
  g_value_init (&changed, pspec->value_type);
  if (G_VALUE_HOLDS_DOUBLE (&changed))
    g_value_set_double (&changed, value);
  else if (G_VALUE_HOLDS_INT (&changed))
    g_value_set_int (&changed, (int) value);
  else
    g_value_set_boolean (&changed, value != 0);
  g_object_set_property (G_OBJECT (request), property, &changed);
  return paint (fixture->generator, request);
}

/* Every parameter reaches the sampler: one changed value gives another picture. The filters act where one code is
 * drawn: they are tried without smoothing. */
static void
test_parameters_matter (Fixture *fixture, gconstpointer spec)
{
  static const struct
  {
    const char *property;
    double value;
    gboolean smooth;
  } changes[] = {
    { "guidance", 1.5, TRUE },     { "smooth", 0, TRUE },
    { "smooth-start", 4, TRUE },   { "guidance-start", 3, TRUE },
    { "guidance-end", 3, TRUE },   { "last-scale-temperature", 5, TRUE },
    { "top-k", 1, FALSE },         { "top-p", 1e-6, FALSE },
  };
  g_autoptr (GPtrArray) drawn = paint_changed (fixture, FALSE, NULL, 0);
  g_autoptr (GPtrArray) mixed = paint_changed (fixture, TRUE, NULL, 0);

  for (guint i = 0; i < G_N_ELEMENTS (changes); i++)
    {
      g_autoptr (GPtrArray) images
        = paint_changed (fixture, changes[i].smooth, changes[i].property, changes[i].value);

      g_test_message ("%s", changes[i].property);
      g_assert_false (same_picture (image_at (images, 0), image_at (changes[i].smooth ? mixed : drawn, 0)));
    }
}

static void
test_prompts_matter (Fixture *fixture, gconstpointer spec)
{
  static const char *const properties[] = { "prompt", "negative-prompt" };
  g_autoptr (GPtrArray) base = paint_seed (fixture, 5, 1, 0);

  for (guint i = 0; i < G_N_ELEMENTS (properties); i++)
    {
      g_autoptr (SwittiRequest) request = request_of (fixture, 5, 1, 0);
      g_autoptr (GPtrArray) images = NULL;

      g_object_set (request, properties[i], "a snowman", NULL);
      images = paint (fixture->generator, request);
      g_assert_false (same_picture (image_at (images, 0), image_at (base, 0)));
    }
}

/* -- callbacks ----------------------------------------------------------------------------------------------- */

typedef struct
{
  Fixture *fixture;
  GThread *thread;        /* on which callbacks must come */
  GMainContext *context;
  GPtrArray *previews;    /* in the order that they came */
  GArray *preview_keys;   /* image * 1000 + scale */
  double fraction;
  int last_scale;
  guint n_progress;
  gboolean done;
  guint n_destroyed;
  GCancellable *cancellable; /* cancelled after cancel_scale */
  int cancel_scale;
  GPtrArray *images;
  GError *error;
} Witness;

static void
witness_init (Witness *witness, Fixture *fixture)
{
  *witness = (Witness) {
    .fixture = fixture,
    .thread = g_thread_self (),
    .previews = g_ptr_array_new_with_free_func (g_object_unref),
    .preview_keys = g_array_new (FALSE, FALSE, sizeof (int)),
    .last_scale = -2,
    .cancel_scale = -2,
  };
}

static void
witness_clear (Witness *witness)
{
  g_ptr_array_unref (witness->previews);
  g_array_unref (witness->preview_keys);
  g_clear_pointer (&witness->images, g_ptr_array_unref);
  g_clear_error (&witness->error);
  g_clear_object (&witness->cancellable);
}

static void
on_progress (double fraction, int scale, gpointer data)
{
  Witness *witness = data;

  g_assert_true (g_thread_self () == witness->thread);
  g_assert_false (witness->done);
  g_assert_cmpfloat (fraction, >=, witness->fraction);
  g_assert_cmpfloat (fraction, <=, 1);
  witness->fraction = fraction;
  witness->last_scale = scale;
  witness->n_progress++;
  if (scale == witness->cancel_scale)
    g_cancellable_cancel (witness->cancellable);
}

static void
on_preview (int image_index, int scale, SwittiImage *image, gpointer data)
{
  Witness *witness = data;
  int key = image_index * 1000 + scale;

  g_assert_true (g_thread_self () == witness->thread);
  g_assert_false (witness->done);
  g_ptr_array_add (witness->previews, g_object_ref (image));
  g_array_append_val (witness->preview_keys, key);
}

static void
on_destroy (gpointer data)
{
  Witness *witness = data;

  g_assert_true (g_thread_self () == witness->thread);
  witness->n_destroyed++;
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer data)
{
  Witness *witness = data;

  g_assert_true (g_thread_self () == witness->thread);
  g_assert_false (witness->done);
  witness->images = switti_generator_generate_finish (SWITTI_GENERATOR (source), result, &witness->error);
  g_assert_true ((witness->images != NULL) == (witness->error == NULL));
  witness->done = TRUE;
}

static void
start (Witness *witness, SwittiRequest *request)
{
  switti_generator_generate_async (witness->fixture->generator, request, witness->cancellable, on_progress, witness,
                                   on_destroy, on_done, witness);
}

static void
iterate_until (gboolean *done)
{
  while (!*done)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
}

/* Nothing may still be queued after the callback. */
static void
assert_silence (void)
{
  for (int i = 0; i < 20; i++)
    {
      g_main_context_iteration (g_main_context_get_thread_default (), FALSE);
      g_usleep (500);
    }
}

/* Previews of 3 images in chunks of 2: images 0 and 1 scale by scale, then image 2. */
static void
assert_all_previews (Witness *witness)
{
  int n_scales = witness->fixture->n_scales;
  guint at = 0;

  g_assert_cmpuint (witness->preview_keys->len, ==, 3 * n_scales);
  for (int first = 0; first < 3; first += 2)
    for (int s = 0; s < n_scales; s++)
      for (int i = first; i < MIN (first + 2, 3); i++)
        g_assert_cmpint (g_array_index (witness->preview_keys, int, at++), ==, i * 1000 + s);
}

static void
run_async (Fixture *fixture)
{
  Witness witness;
  g_autoptr (SwittiRequest) request = request_of (fixture, 50, 3, 2);
  g_autoptr (GPtrArray) expected = paint (fixture->generator, request);

  witness_init (&witness, fixture);
  switti_generator_set_preview (fixture->generator, on_preview, &witness, on_destroy, NULL, 0);
  start (&witness, request);
  /* What the caller changes now is none of its business. */
  g_object_set (request, "seed", G_GUINT64_CONSTANT (0), "prompt", "", NULL);
  iterate_until (&witness.done);
  g_assert_no_error (witness.error);
  assert_silence ();
  assert_all_previews (&witness);
  g_assert_cmpuint (witness.n_destroyed, ==, 1);
  g_assert_cmpfloat (witness.fraction, ==, 1);
  g_assert_cmpint (witness.last_scale, ==, fixture->n_scales);
  for (guint i = 0; i < 3; i++)
    g_assert_true (same_picture (image_at (witness.images, i), image_at (expected, i)));
  /* The preview after the last scale is the picture. */
  g_assert_true (same_picture (image_at (witness.previews, witness.previews->len - 1), image_at (expected, 2)));
  switti_generator_set_preview (fixture->generator, NULL, NULL, NULL, NULL, 0);
  g_assert_cmpuint (witness.n_destroyed, ==, 2);
  witness_clear (&witness);
}

static void
test_async (Fixture *fixture, gconstpointer spec)
{
  run_async (fixture);
}

static gpointer
run_async_with_own_context (gpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  run_async (data);
  g_main_context_pop_thread_default (context);
  return NULL;
}

/* A thread with a context of its own hears everything there; nobody runs the default one. */
static void
test_async_other_context (Fixture *fixture, gconstpointer spec)
{
  g_thread_join (g_thread_new ("caller", run_async_with_own_context, fixture));
}

static void
test_sync_callbacks (Fixture *fixture, gconstpointer spec)
{
  Witness witness;
  g_autoptr (SwittiRequest) request = request_of (fixture, 50, 3, 2);
  g_autoptr (GPtrArray) images = NULL;
  g_autoptr (GError) error = NULL;

  witness_init (&witness, fixture);
  switti_generator_set_preview (fixture->generator, on_preview, &witness, NULL, NULL, 0);
  images = switti_generator_generate (fixture->generator, request, NULL, on_progress, &witness, &error);
  g_assert_no_error (error);
  assert_all_previews (&witness);
  /* Once when the text is about to be read; for both chunks every scale, and the pictures. */
  g_assert_cmpuint (witness.n_progress, ==, 1 + 2 * ((guint) fixture->n_scales + 1));
  g_assert_cmpfloat (witness.fraction, ==, 1);
  switti_generator_set_preview (fixture->generator, NULL, NULL, NULL, NULL, 0);
  witness_clear (&witness);
}

static void
test_chosen_previews (Fixture *fixture, gconstpointer spec)
{
  const int scales[] = { 3, 1, 999 };
  Witness witness;
  g_autoptr (SwittiRequest) request = request_of (fixture, 50, 1, 0);
  g_autoptr (GPtrArray) images = NULL;
  gsize codes_bytes;

  witness_init (&witness, fixture);
  switti_generator_set_preview (fixture->generator, on_preview, &witness, NULL, scales, G_N_ELEMENTS (scales));
  images = paint (fixture->generator, request);
  g_assert_cmpuint (witness.preview_keys->len, ==, 2);
  g_assert_cmpint (g_array_index (witness.preview_keys, int, 0), ==, 1);
  g_assert_cmpint (g_array_index (witness.preview_keys, int, 1), ==, 3);
  /* After scales 1x1 and 2x2: five codes. */
  g_bytes_get_data (switti_image_get_codes (image_at (witness.previews, 0)), &codes_bytes);
  g_assert_cmpuint (codes_bytes, ==, 5 * sizeof (gint32));
  g_assert_false (same_picture (image_at (witness.previews, 0), image_at (images, 0)));
  switti_generator_set_preview (fixture->generator, NULL, NULL, NULL, NULL, 0);
  witness_clear (&witness);
}

/* -- cancelling ---------------------------------------------------------------------------------------------- */

static void
assert_usable (Fixture *fixture, GPtrArray *expected)
{
  g_autoptr (GPtrArray) images = paint_seed (fixture, 9, 1, 0);

  g_assert_true (same_picture (image_at (images, 0), image_at (expected, 0)));
}

/* After any scale, and once the pictures are being decoded, where it is too late. */
static void
test_cancel (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (GPtrArray) expected = paint_seed (fixture, 9, 1, 0);

  for (int s = -1; s < fixture->n_scales; s++)
    {
      Witness witness;
      g_autoptr (SwittiRequest) request = request_of (fixture, 9, 2, 1);
      g_autoptr (GPtrArray) images = NULL;
      g_autoptr (GError) error = NULL;

      witness_init (&witness, fixture);
      witness.cancellable = g_cancellable_new ();
      witness.cancel_scale = s;
      images = switti_generator_generate (fixture->generator, request, witness.cancellable, on_progress, &witness,
                                          &error);
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_assert_null (images);
      g_assert_cmpint (witness.last_scale, ==, s);
      witness_clear (&witness);
      assert_usable (fixture, expected);
    }
}

static void
test_cancel_async (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (GPtrArray) expected = paint_seed (fixture, 9, 1, 0);
  g_autoptr (SwittiRequest) request = request_of (fixture, 9, 1000, 2);
  Witness witness;

  witness_init (&witness, fixture);
  witness.cancellable = g_cancellable_new ();
  witness.cancel_scale = 2;
  start (&witness, request);
  iterate_until (&witness.done);
  g_assert_error (witness.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_silence ();
  g_assert_cmpuint (witness.n_destroyed, ==, 1);
  witness_clear (&witness);
  assert_usable (fixture, expected);
}

static void
test_cancelled_before (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (SwittiRequest) request = request_of (fixture, 9, 1, 0);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_cancellable_cancel (cancellable);
  g_assert_null (switti_generator_generate (fixture->generator, request, cancellable, NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (switti_generator_new (fixture->bundle, fixture->device, SWITTI_PRECISION_F32, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* A call that waits for another one on the device can be cancelled while it waits. */
static void
test_cancel_while_waiting (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (SwittiRequest) request = request_of (fixture, 9, 1, 0);
  g_autoptr (GError) error = NULL;
  Witness witness;

  witness_init (&witness, fixture);
  witness.cancellable = g_cancellable_new ();
  g_assert_true (switti_turn_take (fixture->device, NULL, &error));
  start (&witness, request);
  g_usleep (50 * 1000);
  g_assert_false (witness.done);
  g_cancellable_cancel (witness.cancellable);
  iterate_until (&witness.done);
  switti_turn_give (fixture->device);
  g_assert_error (witness.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (witness.n_progress, ==, 0);
  assert_silence ();
  witness_clear (&witness);
}

/* -- several callers ----------------------------------------------------------------------------------------- */

static void
test_calls_wait (Fixture *fixture, gconstpointer spec)
{
  enum { CALLS = 4 };
  Witness witness[CALLS];
  g_autoptr (SwittiGenerator) other = load (fixture->bundle, fixture->device);

  for (guint i = 0; i < CALLS; i++)
    {
      g_autoptr (SwittiRequest) request = request_of (fixture, 60 + i, 1, 0);

      witness_init (&witness[i], fixture);
      switti_generator_generate_async (i % 2 ? other : fixture->generator, request, NULL, on_progress, &witness[i],
                                       NULL, on_done, &witness[i]);
    }
  for (guint i = 0; i < CALLS; i++)
    {
      g_autoptr (GPtrArray) expected = NULL;

      iterate_until (&witness[i].done);
      g_assert_no_error (witness[i].error);
      expected = paint_seed (fixture, 60 + i, 1, 0);
      g_assert_true (same_picture (image_at (witness[i].images, 0), image_at (expected, 0)));
    }
  assert_silence ();
  for (guint i = 0; i < CALLS; i++)
    witness_clear (&witness[i]);
}

typedef struct
{
  Fixture *fixture;
  SwittiGenerator *other;
  guint n_refused;
} Nested;

static void
generate_inside (double fraction, int scale, gpointer data)
{
  Nested *nested = data;
  g_autoptr (SwittiRequest) request = request_of (nested->fixture, 1, 1, 0);
  g_autoptr (GError) error = NULL;

  g_assert_null (switti_generator_generate (nested->fixture->generator, request, NULL, NULL, NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
  nested->n_refused++;
  g_clear_object (&nested->other);
}

/* From a callback on the generating thread: an error, not a deadlock. Freeing another generator there is fine. */
static void
test_nested_call (Fixture *fixture, gconstpointer spec)
{
  Nested nested = { fixture, load (fixture->bundle, fixture->device), 0 };
  g_autoptr (SwittiRequest) request = request_of (fixture, 9, 1, 0);
  g_autoptr (GPtrArray) images = NULL;
  g_autoptr (GError) error = NULL;

  images = switti_generator_generate (fixture->generator, request, NULL, generate_inside, &nested, &error);
  g_assert_no_error (error);
  g_assert_nonnull (images);
  g_assert_cmpuint (nested.n_refused, >, 0);
}

/* -- errors -------------------------------------------------------------------------------------------------- */

static void
test_bad_requests (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (SwittiRequest) request = request_of (fixture, 9, 1, 0);
  g_autoptr (GError) error = NULL;
  Witness witness;

  g_object_set (request, "prompt", "", NULL);
  g_assert_null (switti_generator_generate (fixture->generator, request, NULL, NULL, NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
  g_clear_error (&error);
  g_object_set (request, "prompt", "a fox", "guidance", -1.0, NULL);
  g_assert_null (switti_generator_generate (fixture->generator, request, NULL, NULL, NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);

  /* The asynchronous twin says the same, from the main loop. */
  witness_init (&witness, fixture);
  start (&witness, request);
  g_assert_false (witness.done);
  iterate_until (&witness.done);
  g_assert_error (witness.error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
  g_assert_cmpstr (witness.error->message, ==, error->message);
  assert_silence ();
  g_assert_cmpuint (witness.n_destroyed, ==, 1);
  witness_clear (&witness);
}

static void
test_timings (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (GPtrArray) images = NULL;
  const SwittiTimings *t = switti_generator_get_timings (fixture->generator);
  double scales = 0;

  switti_generator_set_timed (fixture->generator, TRUE);
  images = paint_seed (fixture, 9, 2, 1);
  g_assert_cmpint (t->n_scales, ==, fixture->n_scales);
  for (int s = 0; s < t->n_scales; s++)
    {
      g_assert_cmpfloat (t->scales[s], >, 0);
      scales += t->scales[s];
    }
  g_assert_cmpfloat (t->transformer, >, 0);
  g_assert_cmpfloat (t->vae, >, 0);
  /* The scales are made of these three parts; each lap is cut to a microsecond. */
  g_assert_cmpfloat (fabs (scales - t->transformer - t->sampling - t->pyramid), <, 1e-3);
  g_assert_cmpfloat (t->text + t->conditions + scales + t->vae, <=, t->total + 1e-6);
}

static void
test_precision (Fixture *fixture, gconstpointer spec)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiGenerator) automatic
    = switti_generator_new (fixture->bundle, fixture->device, SWITTI_PRECISION_AUTO, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpint (switti_generator_get_precision (automatic), ==,
                   switti_device_has_fast_bf16 (fixture->device) ? SWITTI_PRECISION_BF16 : SWITTI_PRECISION_F32);
  g_assert_cmpint (switti_generator_get_precision (fixture->generator), ==, SWITTI_PRECISION_F32);
  g_assert_true (switti_generator_get_bundle (automatic) == fixture->bundle);
  g_assert_true (switti_generator_get_device (automatic) == fixture->device);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*test) (Fixture *fixture, gconstpointer spec);
  } tests[] = {
    { "/generator/shape", test_shape },
    { "/generator/batches", test_batches },
    { "/generator/threads", test_threads },
    { "/generator/seed-wraps", test_seed_wraps },
    { "/generator/recipe-repeats", test_recipe_repeats },
    { "/generator/parameters-matter", test_parameters_matter },
    { "/generator/prompts-matter", test_prompts_matter },
    { "/generator/async", test_async },
    { "/generator/async-other-context", test_async_other_context },
    { "/generator/sync-callbacks", test_sync_callbacks },
    { "/generator/chosen-previews", test_chosen_previews },
    { "/generator/cancel", test_cancel },
    { "/generator/cancel-async", test_cancel_async },
    { "/generator/cancelled-before", test_cancelled_before },
    { "/generator/cancel-while-waiting", test_cancel_while_waiting },
    { "/generator/calls-wait", test_calls_wait },
    { "/generator/nested-call", test_nested_call },
    { "/generator/bad-requests", test_bad_requests },
    { "/generator/timings", test_timings },
    { "/generator/precision", test_precision },
  };

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, tiny, set_up, tests[i].test, tear_down);
  return g_test_run ();
}
