/* switti-request.c - what to paint
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-request-private.h"

#include "switti-bundle-private.h"
#include "switti-error.h"
#include "switti-recipe-private.h"

#include <glib/gi18n-lib.h>

/**
 * SwittiRequest:
 *
 * What to paint: a prompt and every parameter of the sampler.
 *
 * A property takes any value of its type; whether the values are in range is what [method@Request.validate] says, in a
 * sentence for people. Image i of a request has the seed [property@Request:seed] + i.
 */
struct _SwittiRequest
{
  GObject parent_instance;

  SwittiParameters parameters;
};

G_DEFINE_FINAL_TYPE (SwittiRequest, switti_request, G_TYPE_OBJECT)

/* Property i + 1 is row i of switti_parameter_info; these come after. */
enum
{
  PROP_SOURCE = SWITTI_N_PARAMETERS + 1,
  PROP_MASK,
  N_PROPS,
};

static GParamSpec *properties[N_PROPS];

static void
switti_request_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  SwittiRequest *self = SWITTI_REQUEST (object);
  const SwittiParameterInfo *info;
  gconstpointer field;

  if (id == PROP_SOURCE)
    g_value_set_object (value, self->parameters.source);
  if (id == PROP_MASK)
    g_value_set_boxed (value, self->parameters.mask);
  if (id > SWITTI_N_PARAMETERS)
    return;
  info = &switti_parameter_info[id - 1];
  field = G_STRUCT_MEMBER_P (&self->parameters, info->offset);
  switch (info->kind)
    {
    case SWITTI_PARAMETER_STRING:
      g_value_set_string (value, *(char *const *) field);
      break;
    case SWITTI_PARAMETER_SEED:
      g_value_set_uint64 (value, *(const guint64 *) field);
      break;
    case SWITTI_PARAMETER_INT:
      g_value_set_int (value, *(const int *) field);
      break;
    case SWITTI_PARAMETER_DOUBLE:
      g_value_set_double (value, *(const double *) field);
      break;
    case SWITTI_PARAMETER_BOOLEAN:
      g_value_set_boolean (value, *(const gboolean *) field);
      break;
    }
}

static void
switti_request_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  SwittiRequest *self = SWITTI_REQUEST (object);
  const SwittiParameterInfo *info;
  gpointer field;

  if (id == PROP_SOURCE)
    g_set_object (&self->parameters.source, g_value_get_object (value));
  if (id == PROP_MASK)
    {
      g_clear_pointer (&self->parameters.mask, g_bytes_unref);
      self->parameters.mask = g_value_dup_boxed (value);
    }
  if (id > SWITTI_N_PARAMETERS)
    return;
  info = &switti_parameter_info[id - 1];
  field = G_STRUCT_MEMBER_P (&self->parameters, info->offset);
  switch (info->kind)
    {
    case SWITTI_PARAMETER_STRING:
      g_free (*(char **) field);
      *(char **) field = g_strdup (g_value_get_string (value) ? g_value_get_string (value) : "");
      break;
    case SWITTI_PARAMETER_SEED:
      *(guint64 *) field = g_value_get_uint64 (value);
      break;
    case SWITTI_PARAMETER_INT:
      *(int *) field = g_value_get_int (value);
      break;
    case SWITTI_PARAMETER_DOUBLE:
      *(double *) field = g_value_get_double (value);
      break;
    case SWITTI_PARAMETER_BOOLEAN:
      *(gboolean *) field = g_value_get_boolean (value);
      break;
    }
}

static void
switti_request_finalize (GObject *object)
{
  switti_parameters_clear (&SWITTI_REQUEST (object)->parameters);
  G_OBJECT_CLASS (switti_request_parent_class)->finalize (object);
}

static GParamSpec *
property_for_parameter (const SwittiParameterInfo *info)
{
  const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  switch (info->kind)
    {
    case SWITTI_PARAMETER_STRING:
      return g_param_spec_string (info->property, NULL, NULL, "", flags);
    case SWITTI_PARAMETER_SEED:
      return g_param_spec_uint64 (info->property, NULL, NULL, 0, G_MAXUINT64, 0, flags);
    case SWITTI_PARAMETER_INT:
      return g_param_spec_int (info->property, NULL, NULL, G_MININT, G_MAXINT, 0, flags);
    case SWITTI_PARAMETER_DOUBLE:
      return g_param_spec_double (info->property, NULL, NULL, -G_MAXDOUBLE, G_MAXDOUBLE, 0, flags);
    case SWITTI_PARAMETER_BOOLEAN:
    default:
      return g_param_spec_boolean (info->property, NULL, NULL, FALSE, flags);
    }
}

/**
 * SwittiRequest:prompt:
 *
 * What the picture shows. It is cut to 77 tokens.
 */
/**
 * SwittiRequest:negative-prompt:
 *
 * What the picture is guided away from.
 */
/**
 * SwittiRequest:seed:
 *
 * The seed of the first image; the same seed gives the same image, in whatever batch.
 */
/**
 * SwittiRequest:count:
 *
 * How many images to paint, 1 to 10000.
 */
/**
 * SwittiRequest:guidance:
 *
 * How strongly the prompt is followed, 0 to 100. Called `cfg` in recipes.
 */
/**
 * SwittiRequest:top-k:
 *
 * Draw from this many of the likeliest codes, 1 to V; 0: from all.
 */
/**
 * SwittiRequest:top-p:
 *
 * Draw from the likeliest codes that hold this share of the probability, 0 to 1; 0: from all.
 */
/**
 * SwittiRequest:smooth:
 *
 * Whether scales from [property@Request:smooth-start] to [property@Request:guidance-end] mix all codes in place of
 * drawing one. Called `more_smooth` in recipes.
 */
/**
 * SwittiRequest:smooth-start:
 *
 * The first smooth scale, 0 to S. Called `smooth_start_si` in recipes.
 */
/**
 * SwittiRequest:guidance-start:
 *
 * The first guided scale, 0 to S. Called `turn_on_cfg_start_si` in recipes.
 */
/**
 * SwittiRequest:guidance-end:
 *
 * The first scale that is not guided any more, 0 to S; S: never. Called `turn_off_cfg_start_si` in recipes.
 */
/**
 * SwittiRequest:last-scale-temperature:
 *
 * The temperature from [property@Request:guidance-end] on, 0 to 100; 0: off. Called `last_scale_temp` in recipes.
 */
/**
 * SwittiRequest:batch:
 *
 * How many images to paint at once, 1 to 64; 0: as many as are worth it. It does not change the images.
 */
/**
 * SwittiRequest:keep-scales:
 *
 * How many scales, the coarsest first, come from [property@Request:source], 0 to S; finer ones are drawn anew. 0 is a
 * fresh picture, S the source itself. Called `keep_scales` in recipes; without a source it does nothing.
 */
/**
 * SwittiRequest:stop-scale:
 *
 * How many scales to paint, the coarsest first, 1 to S; 0: all. The pictures are then what a preview shows, and their
 * recipes are those of the whole pictures.
 */
/**
 * SwittiRequest:source:
 *
 * The picture that [property@Request:keep-scales] and [property@Request:mask] speak of. Recipes hold it as `source`.
 */
/**
 * SwittiRequest:mask:
 *
 * What to redraw of [property@Request:source]: a byte a pixel of the model's picture, in rows from top to bottom; 0
 * keeps the source, 255 redraws it, and what is between mixes both. Each scale takes the mean of the pixels under each
 * of its positions. The picture is what the model makes of it: outside the mask it is near to the source's pixels, not
 * the same. %NULL: redraws all. Recipes hold it as `mask`.
 */
static void
switti_request_class_init (SwittiRequestClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = switti_request_get_property;
  object_class->set_property = switti_request_set_property;
  object_class->finalize = switti_request_finalize;
  for (guint i = 0; i < SWITTI_N_PARAMETERS; i++)
    properties[i + 1] = property_for_parameter (&switti_parameter_info[i]);
  properties[PROP_SOURCE] = g_param_spec_object ("source", NULL, NULL, SWITTI_TYPE_SOURCE,
                                                 G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
  properties[PROP_MASK] = g_param_spec_boxed ("mask", NULL, NULL, G_TYPE_BYTES,
                                              G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, G_N_ELEMENTS (properties), properties);
}

/* The published defaults at 512. */
static void
switti_request_init (SwittiRequest *self)
{
  self->parameters = (SwittiParameters) {
    .prompt = g_strdup (""),
    .negative_prompt = g_strdup (""),
    .count = 1,
    .guidance = 6,
    .top_k = 400,
    .top_p = 0.95,
    .smooth = TRUE,
    .smooth_start = 2,
    .guidance_start = 2,
    .guidance_end = 8,
    .last_scale_temperature = 0.1,
  };
}

SwittiRequest *
switti_request_new (SwittiBundle *bundle)
{
  SwittiRequest *self = g_object_new (SWITTI_TYPE_REQUEST, NULL);
  SwittiParameters *parameters = &self->parameters;
  JsonObject *defaults;
  int n_scales;

  g_return_val_if_fail (bundle == NULL || SWITTI_IS_BUNDLE (bundle), self);

  if (bundle == NULL)
    return self;
  n_scales = switti_bundle_get_n_scales (bundle);
  if (switti_bundle_get_resolution (bundle) == 1024)
    {
      parameters->guidance_start = 0;
      parameters->guidance_end = 11;
    }
  parameters->smooth_start = MIN (parameters->smooth_start, n_scales);
  parameters->guidance_start = MIN (parameters->guidance_start, n_scales);
  parameters->guidance_end = MIN (parameters->guidance_end, n_scales);
  parameters->top_k = MIN (parameters->top_k, switti_bundle_get_parts (bundle)->transformer.vocab);
  defaults = switti_bundle_get_default_sampling (bundle);
  /* A model's defaults that are out of range leave the published ones in force. */
  if (defaults)
    switti_recipe_read (defaults, parameters, NULL);
  return self;
}

SwittiRequest *
switti_request_copy (SwittiRequest *self)
{
  SwittiRequest *copy = g_object_new (SWITTI_TYPE_REQUEST, NULL);

  switti_parameters_clear (&copy->parameters);
  switti_parameters_copy (&self->parameters, &copy->parameters);
  return copy;
}

const SwittiParameters *
switti_request_get_parameters (SwittiRequest *self)
{
  g_assert (SWITTI_IS_REQUEST (self));

  return &self->parameters;
}

gboolean
switti_request_apply_json (SwittiRequest *self, const char *json, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GError) local = NULL;

  g_return_val_if_fail (SWITTI_IS_REQUEST (self), FALSE);
  g_return_val_if_fail (json != NULL, FALSE);

  if (!json_parser_load_from_data (parser, json, -1, &local))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("The recipe is not valid JSON (%s)."),
                   local->message);
      return FALSE;
    }
  if (json_parser_get_root (parser) == NULL || !JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    {
      g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("The recipe is not a JSON object."));
      return FALSE;
    }
  if (!switti_recipe_read (json_node_get_object (json_parser_get_root (parser)), &self->parameters, error))
    return FALSE;
  g_object_freeze_notify (G_OBJECT (self));
  for (guint i = 1; i < G_N_ELEMENTS (properties); i++)
    g_object_notify_by_pspec (G_OBJECT (self), properties[i]);
  g_object_thaw_notify (G_OBJECT (self));
  return TRUE;
}

char *
switti_request_to_json (SwittiRequest *self, SwittiBundle *bundle, int image_index)
{
  g_return_val_if_fail (SWITTI_IS_REQUEST (self), NULL);
  g_return_val_if_fail (bundle == NULL || SWITTI_IS_BUNDLE (bundle), NULL);
  g_return_val_if_fail (image_index >= 0, NULL);

  return switti_recipe_to_string (switti_recipe_build (&self->parameters, bundle, image_index));
}

static gboolean
check_limit (const char *name, int value, int maximum, const char *of_what, GError **error)
{
  if (value <= maximum)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
               _ ("“%s” is %d, but with this model it must be from 0 to %d (%s)."), name, value, maximum, of_what);
  return FALSE;
}

static gboolean
refuse (GError **error, const char *sentence)
{
  g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, sentence);
  return FALSE;
}

static gboolean
codes_fit (GBytes *bytes, const SwittiVaeConfig *vae)
{
  gsize size;
  const gint32 *codes = g_bytes_get_data (bytes, &size);

  if (size != sizeof *codes * (gsize) switti_schedule_length (&vae->schedule))
    return FALSE;
  for (gsize i = 0; i < size / sizeof *codes; i++)
    if (codes[i] < 0 || codes[i] >= vae->vocab)
      return FALSE;
  return TRUE;
}

static gboolean
check_source (const SwittiParameters *parameters, SwittiBundle *bundle, GError **error)
{
  const SwittiVaeConfig *vae = &switti_bundle_get_parts (bundle)->vae;
  gsize side = (gsize) switti_bundle_get_resolution (bundle);
  GBytes *codes = parameters->source ? switti_source_get_codes (parameters->source) : NULL;

  if (parameters->source == NULL && parameters->mask)
    return refuse (error, _ ("A mask needs a picture to keep the rest of; give the source as well."));
  if (codes && !codes_fit (codes, vae))
    return refuse (error, _ ("The source's codes are not of this model; encode the picture again with this one."));
  if (parameters->mask && g_bytes_get_size (parameters->mask) != side * side)
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                   _ ("The mask has %zu pixels, but this model's pictures have %zu × %zu; scale it to that."),
                   g_bytes_get_size (parameters->mask), side, side);
      return FALSE;
    }
  return TRUE;
}

gboolean
switti_request_validate_sampling (SwittiRequest *self, SwittiBundle *bundle, GError **error)
{
  const SwittiParameters *parameters = &self->parameters;
  const char *scales = _ ("its number of scales");
  int n_scales = switti_bundle_get_n_scales (bundle);
  int vocab = switti_bundle_get_parts (bundle)->transformer.vocab;

  return switti_parameters_check (parameters, error)
         && check_limit ("top-k", parameters->top_k, vocab, _ ("its number of codes"), error)
         && check_limit ("smooth-start", parameters->smooth_start, n_scales, scales, error)
         && check_limit ("guidance-start", parameters->guidance_start, n_scales, scales, error)
         && check_limit ("guidance-end", parameters->guidance_end, n_scales, scales, error)
         && check_limit ("keep-scales", parameters->keep_scales, n_scales, scales, error)
         && check_limit ("stop-scale", parameters->stop_scale, n_scales, scales, error)
         && check_source (parameters, bundle, error);
}

gboolean
switti_request_validate (SwittiRequest *self, SwittiBundle *bundle, GError **error)
{
  g_autofree char *stripped = NULL;
  int n_scales;

  g_return_val_if_fail (SWITTI_IS_REQUEST (self), FALSE);
  g_return_val_if_fail (SWITTI_IS_BUNDLE (bundle), FALSE);

  n_scales = switti_bundle_get_n_scales (bundle);
  stripped = g_strstrip (g_strdup (self->parameters.prompt));
  /* A source of which all is kept needs no words. */
  if (stripped[0] == '\0' && switti_parameters_count_kept (&self->parameters, n_scales) < n_scales)
    return refuse (error, _ ("Write a prompt that says what the picture is to show."));
  return switti_request_validate_sampling (self, bundle, error);
}
