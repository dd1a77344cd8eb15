/* test-request.c - parameters, their JSON and their ranges
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-bundle-private.h"
#include "switti-error.h"
#include "switti-recipe-private.h"
#include "switti-request-private.h"
#include "switti-sampling-plan-private.h"

#include <json-glib/json-glib.h>
#include <math.h>

static SwittiBundle *
open_icons (void)
{
  g_autoptr (GError) error = NULL;
  SwittiBundle *bundle = switti_bundle_open ("icons", &error);

  g_assert_no_error (error);
  return bundle;
}

static void
test_published_defaults (void)
{
  g_autoptr (SwittiRequest) request = switti_request_new (NULL);
  const SwittiParameters *p = switti_request_get_parameters (request);

  g_assert_cmpstr (p->prompt, ==, "");
  g_assert_cmpstr (p->negative_prompt, ==, "");
  g_assert_cmpuint (p->seed, ==, 0);
  g_assert_cmpint (p->count, ==, 1);
  g_assert_cmpfloat (p->guidance, ==, 6);
  g_assert_cmpint (p->top_k, ==, 400);
  g_assert_cmpfloat (p->top_p, ==, 0.95);
  g_assert_true (p->smooth);
  g_assert_cmpint (p->smooth_start, ==, 2);
  g_assert_cmpint (p->guidance_start, ==, 2);
  g_assert_cmpint (p->guidance_end, ==, 8);
  g_assert_cmpfloat (p->last_scale_temperature, ==, 0.1);
  g_assert_cmpint (p->batch, ==, 0);
}

/* The spec's defaults of 1024 differ in two values; those of 512 hold for every other size, as far as it has scales. */
static void
test_defaults_by_resolution (void)
{
  static const struct
  {
    const char *spec;
    int start, end;
  } cases[] = {
    { "depth=1,width=64,heads=1,reso=256,ch=32,vocab=64,clip=small", 2, 8 },
    { "depth=1,width=64,heads=1,reso=512,ch=32,vocab=64,clip=small", 2, 8 },
    { "depth=1,width=64,heads=1,reso=1024,ch=32,vocab=64,clip=small", 0, 11 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiBundle) bundle = switti_bundle_new_synthetic (cases[i].spec, SWITTI_DTYPE_F32, &error);
      g_autoptr (SwittiRequest) request = NULL;

      g_assert_no_error (error);
      request = switti_request_new (bundle);
      g_assert_cmpint (switti_request_get_parameters (request)->guidance_start, ==, cases[i].start);
      g_assert_cmpint (switti_request_get_parameters (request)->guidance_end, ==, cases[i].end);
      /* 400 of 64 codes is no range. */
      g_assert_cmpint (switti_request_get_parameters (request)->top_k, ==, 64);
      g_object_set (request, "prompt", "x", NULL);
      g_assert_true (switti_request_validate (request, bundle, &error));
      g_assert_no_error (error);
    }
}

/* What model_index.json states goes before the published defaults, which are not its own. */
static void
test_model_defaults (void)
{
  g_autoptr (SwittiBundle) bundle = open_icons ();
  g_autoptr (SwittiRequest) request = switti_request_new (bundle);
  JsonObject *stated = switti_bundle_get_default_sampling (bundle);
  const SwittiParameters *p = switti_request_get_parameters (request);

  g_assert_nonnull (stated);
  g_assert_cmpfloat (p->guidance, ==, json_object_get_double_member (stated, "cfg"));
  g_assert_cmpint (p->top_k, ==, json_object_get_int_member (stated, "top_k"));
  g_assert_cmpfloat (p->top_p, ==, json_object_get_double_member (stated, "top_p"));
  g_assert_cmpint (p->smooth, ==, json_object_get_boolean_member (stated, "more_smooth"));
  g_assert_cmpint (p->guidance_end, ==, json_object_get_int_member (stated, "turn_off_cfg_start_si"));
  g_assert_cmpfloat (p->guidance, !=, 6.0);
}

static void
set_everything (SwittiRequest *request)
{
  g_object_set (request, "prompt", "a “fox”\n\\ and \"a cat\"", "negative-prompt", "blurry", "seed",
                G_GUINT64_CONSTANT (77), "count", 3, "guidance", 0.1, "top-k", 17, "top-p", 0.3, "smooth", FALSE,
                "smooth-start", 4, "guidance-start", 1, "guidance-end", 9, "last-scale-temperature", 1.0 / 3, "batch",
                2, NULL);
}

/* To JSON and back gives every parameter to the bit, for image 2: seed + 2, count 1. */
static void
test_round_trip (void)
{
  g_autoptr (SwittiBundle) bundle = open_icons ();
  g_autoptr (SwittiRequest) request = switti_request_new (NULL);
  g_autoptr (SwittiRequest) again = switti_request_new (NULL);
  const SwittiParameters *a, *b;
  g_autofree char *json = NULL;
  g_autoptr (GError) error = NULL;

  set_everything (request);
  json = switti_request_to_json (request, bundle, 2);
  g_assert_true (switti_request_apply_json (again, json, &error));
  g_assert_no_error (error);
  a = switti_request_get_parameters (request);
  b = switti_request_get_parameters (again);
  g_assert_cmpstr (a->prompt, ==, b->prompt);
  g_assert_cmpstr (a->negative_prompt, ==, b->negative_prompt);
  g_assert_cmpuint (a->seed + 2, ==, b->seed);
  g_assert_cmpint (b->count, ==, 1);
  g_assert_cmpfloat (a->guidance, ==, b->guidance);
  g_assert_cmpint (a->top_k, ==, b->top_k);
  g_assert_cmpfloat (a->top_p, ==, b->top_p);
  g_assert_cmpint (a->smooth, ==, b->smooth);
  g_assert_cmpint (a->smooth_start, ==, b->smooth_start);
  g_assert_cmpint (a->guidance_start, ==, b->guidance_start);
  g_assert_cmpint (a->guidance_end, ==, b->guidance_end);
  g_assert_cmpfloat (a->last_scale_temperature, ==, b->last_scale_temperature);
}

static void
test_recipe_names_the_model (void)
{
  g_autoptr (SwittiBundle) bundle = open_icons ();
  g_autoptr (SwittiRequest) request = switti_request_new (bundle);
  g_autofree char *json = switti_request_to_json (request, bundle, 0);
  g_autoptr (JsonNode) root = json_from_string (json, NULL);
  JsonObject *object = json_node_get_object (root);
  g_autoptr (GError) error = NULL;
  g_autofree char *hash = switti_bundle_hash (bundle, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (json_object_get_string_member (object, "generator"), ==, "switti");
  g_assert_cmpstr (json_object_get_string_member (object, "model"), ==, "icons");
  g_assert_cmpstr (json_object_get_string_member (object, "model_hash"), ==, hash);
  g_assert_cmpint (json_object_get_int_member (object, "width"), ==, 256);
  g_assert_cmpint (json_object_get_int_member (object, "height"), ==, 256);
  g_assert_true (json_object_has_member (object, "version"));
}

/* 2^53 is the last whole number that every JSON reader keeps; larger seeds are text. */
static void
test_large_seeds (void)
{
  static const guint64 seeds[] = { 0, 1, (G_GUINT64_CONSTANT (1) << 53) - 1, G_GUINT64_CONSTANT (1) << 53,
                                   G_MAXINT64, G_MAXUINT64 };

  for (guint i = 0; i < G_N_ELEMENTS (seeds); i++)
    {
      g_autoptr (SwittiRequest) request = switti_request_new (NULL);
      g_autoptr (SwittiRequest) again = switti_request_new (NULL);
      g_autofree char *json = NULL;
      g_autoptr (JsonNode) root = NULL;
      g_autoptr (GError) error = NULL;
      JsonNode *seed;

      g_object_set (request, "seed", seeds[i], NULL);
      json = switti_request_to_json (request, NULL, 0);
      root = json_from_string (json, NULL);
      seed = json_object_get_member (json_node_get_object (root), "seed");
      g_assert_true (json_node_get_value_type (seed) == (seeds[i] >> 53 ? G_TYPE_STRING : G_TYPE_INT64));
      g_assert_true (switti_request_apply_json (again, json, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (switti_request_get_parameters (again)->seed, ==, seeds[i]);
    }
}

static void
test_json_names (void)
{
  g_autoptr (SwittiRequest) request = switti_request_new (NULL);
  const SwittiParameters *p = switti_request_get_parameters (request);
  g_autoptr (GError) error = NULL;

  /* Published and property names, whole numbers as 3.0, null for off, and keys that are no parameter. */
  g_assert_true (switti_request_apply_json (request,
                                            "{\"guidance\": 3, \"turn_off_cfg_start_si\": 5.0, \"smooth-start\": 1,"
                                            " \"top_k\": null, \"last_scale_temp\": null, \"model\": 5, \"x\": []}",
                                            &error));
  g_assert_no_error (error);
  g_assert_cmpfloat (p->guidance, ==, 3);
  g_assert_cmpint (p->guidance_end, ==, 5);
  g_assert_cmpint (p->smooth_start, ==, 1);
  g_assert_cmpint (p->top_k, ==, 0);
  g_assert_cmpfloat (p->last_scale_temperature, ==, 0);
  g_assert_cmpfloat (p->top_p, ==, 0.95);
}

/* Each is refused with a sentence that names the key, and leaves the request as it was. */
static void
test_bad_json (void)
{
  static const struct
  {
    const char *json, *named;
  } cases[] = {
    { "{\"seed\": 5, \"cfg\": \"6\"}", "cfg" },
    { "{\"seed\": 5, \"cfg\": null, \"top_k\": 1.5}", "top_k" },
    { "{\"seed\": 5, \"top_k\": 1e300}", "top_k" },
    { "{\"seed\": 5, \"top_p\": 1.5}", "top-p" },
    { "{\"seed\": 5, \"cfg\": 101}", "guidance" },
    { "{\"seed\": 5, \"cfg\": -0.5}", "guidance" },
    { "{\"seed\": -5}", "seed" },
    { "{\"seed\": 1.5}", "seed" },
    { "{\"seed\": \"5x\"}", "seed" },
    { "{\"seed\": \"18446744073709551616\"}", "seed" },
    { "{\"seed\": 5, \"prompt\": 7}", "prompt" },
    { "{\"seed\": 5, \"prompt\": null}", "prompt" },
    { "{\"seed\": 5, \"prompt\": [\"x\"]}", "prompt" },
    { "{\"seed\": 5, \"more_smooth\": 1}", "more_smooth" },
    { "{\"seed\": 5, \"count\": 0}", "count" },
    { "{\"seed\": 5, \"smooth_start_si\": -1}", "smooth-start" },
    { "{\"seed\": 5, ", "JSON" },
    { "[5]", "object" },
    { "5", "object" },
    { "", "object" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (SwittiRequest) request = switti_request_new (NULL);
      g_autoptr (GError) error = NULL;

      g_test_message ("%s", cases[i].json);
      g_assert_false (switti_request_apply_json (request, cases[i].json, &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
      g_assert_nonnull (strstr (error->message, cases[i].named));
      g_assert_cmpuint (switti_request_get_parameters (request)->seed, ==, 0);
      g_assert_cmpfloat (switti_request_get_parameters (request)->guidance, ==, 6);
    }
}

/* What each property may be with icons (10 scales, 1024 codes): the sentence names the property and its range. */
static void
test_ranges (void)
{
  static const struct
  {
    const char *property;
    double value;
    gboolean good;
    const char *range;
  } cases[] = {
    { "count", 0, FALSE, "1 to 10000" },
    { "count", 10000, TRUE, NULL },
    { "count", 10001, FALSE, "1 to 10000" },
    { "guidance", -0.001, FALSE, "0 to 100" },
    { "guidance", 0, TRUE, NULL },
    { "guidance", 100, TRUE, NULL },
    { "guidance", 100.5, FALSE, "0 to 100" },
    { "top-k", -1, FALSE, "0 to" },
    { "top-k", 0, TRUE, NULL },
    { "top-k", 1024, TRUE, NULL },
    { "top-k", 1025, FALSE, "0 to 1024" },
    { "top-p", 1, TRUE, NULL },
    { "top-p", 1.001, FALSE, "0 to 1" },
    { "smooth-start", 10, TRUE, NULL },
    { "smooth-start", 11, FALSE, "0 to 10" },
    { "guidance-start", -1, FALSE, "0 to" },
    { "guidance-start", 11, FALSE, "0 to 10" },
    { "guidance-end", 10, TRUE, NULL },
    { "guidance-end", 11, FALSE, "0 to 10" },
    { "last-scale-temperature", 0, TRUE, NULL },
    { "last-scale-temperature", -1, FALSE, "0 to 100" },
    { "batch", 64, TRUE, NULL },
    { "batch", 65, FALSE, "0 to 64" },
  };
  g_autoptr (SwittiBundle) bundle = open_icons ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (SwittiRequest) request = switti_request_new (bundle);
      g_autoptr (GError) error = NULL;
      g_auto (GValue) value = G_VALUE_INIT;

      g_test_message ("%s = %g", cases[i].property, cases[i].value);
      g_value_init (&value, G_TYPE_DOUBLE);
      g_value_set_double (&value, cases[i].value);
      g_object_set (request, "prompt", "a fox", NULL);
      g_object_set_property (G_OBJECT (request), cases[i].property, &value);
      g_assert_true (switti_request_validate (request, bundle, &error) == cases[i].good);
      if (cases[i].good)
        continue;
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
      g_assert_nonnull (strstr (error->message, cases[i].property));
      g_assert_nonnull (strstr (error->message, cases[i].range));
    }
}

static void
test_not_a_number (void)
{
  g_autoptr (SwittiBundle) bundle = open_icons ();
  g_autoptr (SwittiRequest) request = switti_request_new (bundle);
  g_autoptr (GError) error = NULL;
  SwittiParameters parameters = *switti_request_get_parameters (request);

  parameters.guidance = NAN;
  g_assert_false (switti_parameters_check (&parameters, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
}

static void
test_empty_prompt (void)
{
  static const char *const prompts[] = { "", " ", "\n\t ", NULL };
  g_autoptr (SwittiBundle) bundle = open_icons ();

  for (guint i = 0; prompts[i]; i++)
    {
      g_autoptr (SwittiRequest) request = switti_request_new (bundle);
      g_autoptr (GError) error = NULL;

      g_object_set (request, "prompt", prompts[i], NULL);
      g_assert_false (switti_request_validate (request, bundle, &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
      g_assert_nonnull (strstr (error->message, "prompt"));
    }
}

static void
test_copy_is_apart (void)
{
  g_autoptr (SwittiRequest) request = switti_request_new (NULL);
  g_autoptr (SwittiRequest) copy = NULL;

  set_everything (request);
  copy = switti_request_copy (request);
  g_object_set (request, "prompt", "another", "seed", G_GUINT64_CONSTANT (1), NULL);
  g_assert_cmpstr (switti_request_get_parameters (copy)->negative_prompt, ==, "blurry");
  g_assert_cmpuint (switti_request_get_parameters (copy)->seed, ==, 77);
  g_assert_cmpstr (switti_request_get_parameters (copy)->prompt, !=, "another");
}

/* spec.md, "Sampling one image", restated for one scale. */
static void
check_plan (const SwittiParameters *p, gboolean ar, int n_scales)
{
  SwittiScalePlan plan[SWITTI_MAX_SCALES];

  switti_sampling_plan (p, ar, n_scales, plan);
  for (int s = 0; s < n_scales; s++)
    {
      double r = n_scales > 1 ? s / (double) (n_scales - 1) : 0;
      gboolean guided = s >= p->guidance_start && s < p->guidance_end && (float) (p->guidance * r) != 0;
      gboolean later = FALSE;
      double temperature = 1;

      for (int q = s; q < n_scales; q++)
        later = later
                || (q >= p->guidance_start && q < p->guidance_end && p->guidance > 0 && q > 0);
      if (s >= p->guidance_start && s >= p->guidance_end && p->last_scale_temperature > 0)
        temperature = p->last_scale_temperature;
      g_assert_cmpint (plan[s].guided, ==, guided);
      g_assert_cmpint (plan[s].run_null, ==, ar ? later : guided);
      g_assert_cmpint (plan[s].smooth, ==, p->smooth && s < p->guidance_end && s >= p->smooth_start);
      g_assert_cmpfloat (plan[s].guidance, ==, (float) (p->guidance * r));
      g_assert_cmpfloat (plan[s].temperature, ==, (float) temperature);
      g_assert_cmpfloat (plan[s].sharpness, ==, (float) (1 + r));
      g_assert_cmpfloat (plan[s].tau, ==, (float) fmax (0.27 * (1 - 0.95 * r), 0.005));
      g_assert_false (plan[s].run_null && s >= p->guidance_end);
    }
}

static void
test_plan (void)
{
  static const int counts[] = { 1, 2, 4, 10 };

  for (guint c = 0; c < G_N_ELEMENTS (counts); c++)
    for (int start = 0; start <= counts[c]; start++)
      for (int end = 0; end <= counts[c]; end++)
        for (int smooth_start = 0; smooth_start <= counts[c]; smooth_start++)
          for (int bits = 0; bits < 16; bits++)
            {
              SwittiParameters p = {
                .guidance = bits & 1 ? 6 : 0,
                .smooth = (bits >> 1) & 1,
                .smooth_start = smooth_start,
                .guidance_start = start,
                .guidance_end = end,
                .last_scale_temperature = bits & 4 ? 0.1 : 0,
              };

              check_plan (&p, (bits >> 3) & 1, counts[c]);
            }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/request/published-defaults", test_published_defaults);
  g_test_add_func ("/request/defaults-by-resolution", test_defaults_by_resolution);
  g_test_add_func ("/request/model-defaults", test_model_defaults);
  g_test_add_func ("/request/round-trip", test_round_trip);
  g_test_add_func ("/request/recipe-names-the-model", test_recipe_names_the_model);
  g_test_add_func ("/request/large-seeds", test_large_seeds);
  g_test_add_func ("/request/json-names", test_json_names);
  g_test_add_func ("/request/bad-json", test_bad_json);
  g_test_add_func ("/request/ranges", test_ranges);
  g_test_add_func ("/request/not-a-number", test_not_a_number);
  g_test_add_func ("/request/empty-prompt", test_empty_prompt);
  g_test_add_func ("/request/copy-is-apart", test_copy_is_apart);
  g_test_add_func ("/request/plan", test_plan);
  return g_test_run ();
}
