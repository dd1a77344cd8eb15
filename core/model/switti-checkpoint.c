/* switti-checkpoint.c - a checkpoint's tensors as a part of a model
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-checkpoint-private.h"

#include "switti-error.h"
#include "switti-json-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* Rows of an error's lists. */
#define MAX_NAMES 3
/* Elements that are converted at a time: they stay in the cache. */
#define BLOCK ((gsize) 1 << 16)
#define MAX_LENGTH (1 << 22) /* of lvl_1L */

/* A plan in the making. */
typedef struct
{
  SwittiPartPlan *plan;
  const SwittiCheckpointHints *hints;
  GHashTable *named; /* name -> SwittiNamedTensor */
  JsonObject *config;
  gboolean has_config, has_openclip_names;
  char *prefix;
  int dtype;
  GCancellable *cancellable;
} Maker;

static void
maker_clear (Maker *self)
{
  g_clear_pointer (&self->named, g_hash_table_unref);
  g_clear_pointer (&self->config, json_object_unref);
  g_free (self->prefix);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Maker, maker_clear)

static void
clear_planned (gpointer data)
{
  SwittiPlannedTensor *tensor = data;

  g_free (tensor->name);
}

void
switti_part_plan_free (SwittiPartPlan *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->tensors);
  g_free (self->config_json);
  g_free (self);
}

static const char *
describe (Maker *self)
{
  return switti_tensor_source_get_description (self->plan->source);
}

static gboolean ask (Maker *self, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* Sets "<checkpoint> does not say <format>." and returns FALSE. */
static gboolean
ask (Maker *self, GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list arguments;

  va_start (arguments, format);
  what = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("%s does not say %s."), describe (self), what);
  return FALSE;
}

/* -- the transformer's buffers ------------------------------------------------------------------------------ */

/* A buffer beside the parameters, of that dtype and rank, or NULL. */
static const SwittiStoredTensor *
find_buffer (Maker *self, const char *name, int n_dims)
{
  g_autofree char *full_name = g_strconcat (self->prefix, name, NULL);
  const SwittiStoredTensor *buffer = switti_tensor_source_find (self->plan->source, full_name);

  return buffer != NULL && buffer->n_dims == n_dims && buffer->count > 0 ? buffer : NULL;
}

static gboolean
read_numbers (Maker *self, const SwittiStoredTensor *stored, gsize first, gsize count, float *out, GError **error)
{
  g_autofree guint8 *raw = g_malloc (count * switti_dtype_size (stored->dtype));

  return switti_tensor_source_read (self->plan->source, stored, first, count, raw, self->cancellable, error) &&
         switti_convert_elements (stored->dtype, raw, SWITTI_DTYPE_F32, out, count);
}

/* lvl_1L (1, L) holds each token's scale: pn*pn tokens of every scale in a row. */
static gboolean
schedule_from_levels (Maker *self, SwittiSchedule *schedule, GError **error)
{
  const SwittiStoredTensor *levels = find_buffer (self, "lvl_1L", 2);
  g_autofree float *values = NULL;
  gsize begin = 0;

  memset (schedule, 0, sizeof *schedule);
  if (levels == NULL || levels->count > MAX_LENGTH)
    return TRUE;
  values = g_new (float, levels->count);
  if (!read_numbers (self, levels, 0, levels->count, values, error))
    return FALSE;
  while (begin < levels->count && schedule->n_scales < SWITTI_MAX_SCALES)
    {
      gsize end = begin;
      int side;

      while (end < levels->count && values[end] == (float) schedule->n_scales)
        end++;
      side = (int) (sqrt ((double) (end - begin)) + 0.5);
      if (end == begin || (gsize) side * (gsize) side != end - begin)
        break;
      schedule->side[schedule->n_scales++] = side;
      begin = end;
    }
  if (begin != levels->count)
    memset (schedule, 0, sizeof *schedule); /* it is not what it is taken for */
  return TRUE;
}

/* The published schedule with that many tokens and scales. */
static gboolean
schedule_from_length (gint64 length, int n_scales, SwittiSchedule *schedule)
{
  static const int resolutions[] = { 256, 512, 1024 };
  int n_found = 0;
  SwittiSchedule found;

  for (guint i = 0; i < G_N_ELEMENTS (resolutions); i++)
    if (switti_schedule_for_resolution (resolutions[i], &found) && found.n_scales == n_scales &&
        (length == 0 || switti_schedule_length (&found) == length))
      {
        *schedule = found;
        n_found++;
      }
  return n_found == 1;
}

/* Number of tokens L, from what has as many rows, or 0. */
static gint64
stored_length (Maker *self)
{
  const SwittiNamedTensor *positions = g_hash_table_lookup (self->named, "pos_1LC");
  const SwittiStoredTensor *mask = find_buffer (self, "attn_bias_for_masking", 4);

  if (positions != NULL && positions->shape.n_dims == 3)
    return positions->shape.dims[1];
  return mask != NULL ? mask->dims[3] : 0;
}

static void
set_schedule (JsonObject *config, const SwittiSchedule *schedule)
{
  JsonArray *sides = json_array_new ();

  for (int s = 0; s < schedule->n_scales; s++)
    json_array_add_int_element (sides, schedule->side[s]);
  json_object_set_array_member (config, "patch_nums", sides);
  json_object_remove_member (config, "reso");
}

static gboolean
complete_schedule (Maker *self, GError **error)
{
  const SwittiNamedTensor *levels = g_hash_table_lookup (self->named, "lvl_embed.weight");
  SwittiSchedule schedule;

  if (self->hints->resolution > 0)
    {
      if (!switti_schedule_for_resolution (self->hints->resolution, &schedule))
        {
          g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT,
                       _ ("There is no published schedule for %d pixels; there are 256, 512 and 1024."),
                       self->hints->resolution);
          return FALSE;
        }
      set_schedule (self->config, &schedule);
      return TRUE;
    }
  if (json_object_has_member (self->config, "patch_nums") || json_object_has_member (self->config, "reso"))
    return TRUE;
  if (!schedule_from_levels (self, &schedule, error))
    return FALSE;
  if (schedule.n_scales > 0 ||
      (levels != NULL && levels->shape.n_dims == 2 && levels->shape.dims[0] <= SWITTI_MAX_SCALES &&
       schedule_from_length (stored_length (self), (int) levels->shape.dims[0], &schedule)))
    {
      set_schedule (self->config, &schedule);
      return TRUE;
    }
  if (self->has_config) /* the published default of those that do not say */
    return TRUE;
  return ask (self, error, _ ("for which resolution it was trained: give --resolution 256, 512 or 1024"));
}

/* The mask of training: whether a token of the second scale sees the one of the first. */
static gboolean
complete_ar (Maker *self, GError **error)
{
  const SwittiStoredTensor *mask = find_buffer (self, "attn_bias_for_masking", 4);
  float seen;

  if (self->hints->ar >= 0)
    {
      json_object_set_boolean_member (self->config, "use_ar", self->hints->ar);
      return TRUE;
    }
  if (self->has_config)
    return TRUE;
  if (mask == NULL || mask->dims[2] < 2)
    return ask (self, error, _ ("whether its scales see the coarser ones: give --ar or --no-ar"));
  if (!read_numbers (self, mask, (gsize) mask->dims[3], 1, &seen, error))
    return FALSE;
  json_object_set_boolean_member (self->config, "use_ar", seen == 0.0f);
  return TRUE;
}

static gboolean
complete_transformer (Maker *self, GError **error)
{
  const SwittiNamedTensor *embedding = g_hash_table_lookup (self->named, "word_embed.weight");

  if (self->hints->heads > 0)
    json_object_set_int_member (self->config, "num_heads", self->hints->heads);
  else if (!json_object_has_member (self->config, "num_heads") && embedding->shape.n_dims == 2 &&
           embedding->shape.dims[0] % 64 != 0)
    return ask (self, error, _ ("how many heads it has: give --heads"));
  return complete_ar (self, error) && complete_schedule (self, error);
}

/* -- text encoders ------------------------------------------------------------------------------------------ */

/* The two published encoders are known by their widths: ViT-L/14 (quick-GELU) and bigG/14 (GELU). */
static gboolean
complete_text (Maker *self, GError **error)
{
  const SwittiNamedTensor *embedding = g_hash_table_lookup (self->named, "embeddings.token_embedding.weight");
  gint64 vocab = embedding->shape.n_dims == 2 ? embedding->shape.dims[0] : 0;
  gint64 width = embedding->shape.n_dims == 2 ? embedding->shape.dims[1] : 0;
  JsonObject *nested = switti_json_get_object (self->config, "text_config");
  JsonObject *config = nested != NULL ? nested : self->config;

  if (self->hints->activation != NULL)
    json_object_set_string_member (config, "hidden_act", self->hints->activation);
  else if (!self->has_config)
    {
      if (width != 1280 && (width != 768 || self->has_openclip_names))
        return ask (self, error, _ ("which activation it has: give --activation quick_gelu or gelu"));
      json_object_set_string_member (config, "hidden_act", width == 1280 ? "gelu" : "quick_gelu");
    }
  if (!self->has_config && vocab >= 3)
    {
      json_object_set_int_member (config, "bos_token_id", vocab - 2);
      json_object_set_int_member (config, "eos_token_id", vocab - 1);
      json_object_set_int_member (config, "pad_token_id", vocab - 1);
    }
  return TRUE;
}

/* -- configurations ----------------------------------------------------------------------------------------- */

/* What the shapes say and the checkpoint's config.json adds. */
static gboolean
parse_config (Maker *self, GError **error)
{
  g_autoptr (GHashTable) shapes = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (SwittiWeights) weights = NULL;
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  g_autofree char *text = NULL;
  SwittiPartPlan *plan = self->plan;
  GHashTableIter iter;
  gpointer name, named;

  g_hash_table_iter_init (&iter, self->named);
  while (g_hash_table_iter_next (&iter, &name, &named))
    g_hash_table_insert (shapes, name, &((SwittiNamedTensor *) named)->shape);
  weights = switti_weights_new_shapes (shapes, describe (self));
  json_node_set_object (node, self->config);
  text = json_to_string (node, FALSE);

  switch (plan->kind)
    {
    case SWITTI_PART_TRANSFORMER:
      if (!switti_transformer_config_parse (text, -1, describe (self), weights, &plan->transformer, error))
        return FALSE;
      plan->config_json = switti_transformer_config_to_json (&plan->transformer);
      return TRUE;
    case SWITTI_PART_VAE:
      if (!switti_vae_config_parse (text, -1, describe (self), weights, &plan->vae, error))
        return FALSE;
      plan->config_json = switti_vae_config_to_json (&plan->vae);
      return TRUE;
    case SWITTI_PART_TEXT_ENCODER:
      if (!switti_text_config_parse (text, -1, describe (self), weights, &plan->text, error))
        return FALSE;
      plan->config_json = switti_text_config_to_json (&plan->text);
      return TRUE;
    }
  g_return_val_if_reached (FALSE);
}

static gboolean
make_config (Maker *self, GError **error)
{
  switch (self->plan->kind)
    {
    case SWITTI_PART_TRANSFORMER:
      return complete_transformer (self, error) && parse_config (self, error);
    case SWITTI_PART_VAE:
      return parse_config (self, error);
    case SWITTI_PART_TEXT_ENCODER:
      return complete_text (self, error) && parse_config (self, error);
    }
  g_return_val_if_reached (FALSE);
}

/* -- comparing with what the part must hold ----------------------------------------------------------------- */

/* "“a”, “b”, “c” and 4 more" */
static char *
list_names (GPtrArray *names)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < MIN (names->len, MAX_NAMES); i++)
    g_string_append_printf (text, "%s“%s”", i > 0 ? ", " : "", (const char *) names->pdata[i]);
  if (names->len > MAX_NAMES)
    g_string_append_printf (text, _ (" and %u more"), names->len - MAX_NAMES);
  return g_string_free (text, FALSE);
}

static void
add_complaint (GString *complaints, const char *what, GPtrArray *names)
{
  g_autofree char *list = list_names (names);

  if (names->len == 0)
    return;
  if (complaints->len > 0)
    g_string_append (complaints, "; ");
  g_string_append_printf (complaints, "%s %s", what, list);
}

static gboolean
is_weight_dtype (SwittiDtype dtype)
{
  return dtype == SWITTI_DTYPE_F32 || dtype == SWITTI_DTYPE_F16 || dtype == SWITTI_DTYPE_BF16 ||
         dtype == SWITTI_DTYPE_F64 || dtype == SWITTI_DTYPE_F8_E4M3;
}

/* Says what is wrong with a tensor that is there: "name (2, 3) in place of (3, 2)"; NULL where nothing is. */
static char *
find_fault (const SwittiTensorSpec *spec, const SwittiNamedTensor *named)
{
  g_autofree char *stored = NULL;
  g_autofree char *expected = NULL;
  gboolean is_same = named->shape.n_dims == spec->n_dims;

  for (int i = 0; is_same && i < spec->n_dims; i++)
    is_same = named->shape.dims[i] == spec->dims[i];
  stored = switti_shape_to_string (named->shape.n_dims, named->shape.dims);
  expected = switti_shape_to_string (spec->n_dims, spec->dims);
  if (!is_same)
    return g_strdup_printf (_ ("%s of shape %s in place of %s"), spec->name, stored, expected);
  if (!is_weight_dtype (named->shape.dtype))
    return g_strdup_printf (_ ("%s of dtype %s"), spec->name, switti_dtype_to_string (named->shape.dtype));
  return NULL;
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static GArray *
part_specs (const SwittiPartPlan *plan)
{
  switch (plan->kind)
    {
    case SWITTI_PART_TRANSFORMER:
      return switti_transformer_tensor_specs (&plan->transformer);
    case SWITTI_PART_VAE:
      return switti_vae_tensor_specs (&plan->vae);
    case SWITTI_PART_TEXT_ENCODER:
      return switti_text_tensor_specs (&plan->text);
    }
  g_return_val_if_reached (NULL);
}

static void
plan_tensor (Maker *self, const SwittiTensorSpec *spec, const SwittiNamedTensor *named)
{
  SwittiPlannedTensor planned = { .name = g_strdup (spec->name), .shape = named->shape, .stored = named->stored,
                                  .first = named->first };
  SwittiDtype dtype = named->shape.dtype;

  if (self->dtype != SWITTI_PLAN_KEEP_DTYPE)
    dtype = strcmp (spec->name, "crop_embed.weight") == 0 ? SWITTI_DTYPE_F32 : (SwittiDtype) self->dtype;
  else if (dtype == SWITTI_DTYPE_F64 || dtype == SWITTI_DTYPE_F8_E4M3)
    dtype = SWITTI_DTYPE_F32;
  planned.shape.dtype = dtype;
  planned.shape.data = NULL;
  if (!switti_shape_count (spec->n_dims, spec->dims, &planned.count) ||
      !switti_shape_bytes (dtype, spec->n_dims, spec->dims, &planned.bytes))
    planned.count = planned.bytes = 0; /* no stored tensor has such a shape */
  self->plan->bytes += planned.bytes;
  g_array_append_val (self->plan->tensors, planned);
}

/* Checks every tensor, and plans those that are good. */
static gboolean
plan_tensors (Maker *self, GError **error)
{
  static const char *const part_names[] = { N_ ("transformer"), N_ ("RQ-VAE"), N_ ("text encoder") };
  g_autoptr (GArray) specs = part_specs (self->plan);
  g_autoptr (GPtrArray) missing = g_ptr_array_new (); /* names of specs */
  g_autoptr (GPtrArray) extra = g_ptr_array_new ();   /* names of self->named */
  g_autoptr (GPtrArray) faulty = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) used = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GString) complaints = g_string_new (NULL);
  GHashTableIter iter;
  gpointer name;

  for (guint i = 0; i < specs->len; i++)
    {
      const SwittiTensorSpec *spec = &g_array_index (specs, SwittiTensorSpec, i);
      const SwittiNamedTensor *named = g_hash_table_lookup (self->named, spec->name);
      char *fault = named != NULL ? find_fault (spec, named) : NULL;

      g_hash_table_add (used, spec->name);
      if (named == NULL)
        g_ptr_array_add (missing, spec->name);
      else if (fault != NULL)
        g_ptr_array_add (faulty, fault);
      else
        plan_tensor (self, spec, named);
    }
  g_hash_table_iter_init (&iter, self->named);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    if (!g_hash_table_contains (used, name))
      g_ptr_array_add (extra, name);
  g_ptr_array_sort (extra, compare_strings);

  add_complaint (complaints, _ ("missing:"), missing);
  add_complaint (complaints, _ ("not known:"), extra);
  add_complaint (complaints, _ ("wrong:"), faulty);
  if (complaints->len == 0)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID,
               _ ("%s does not hold the tensors of a %s (%s); get the whole checkpoint, of this model."),
               describe (self), _ (part_names[self->plan->kind]), complaints->str);
  return FALSE;
}

typedef struct
{
  SwittiPlannedTensor tensor;
  guint place; /* in the source */
} Placed;

static int
compare_placed (gconstpointer a, gconstpointer b)
{
  const Placed *x = a, *y = b;
  size_t x_size = switti_dtype_size (x->tensor.shape.dtype), y_size = switti_dtype_size (y->tensor.shape.dtype);

  if (x_size != y_size)
    return x_size > y_size ? -1 : 1;
  if (x->place != y->place)
    return x->place < y->place ? -1 : 1;
  return x->tensor.first < y->tensor.first ? -1 : x->tensor.first > y->tensor.first;
}

/* Writes go from front to back, so do reads in this order. */
static void
order_tensors (SwittiPartPlan *plan)
{
  g_autoptr (GHashTable) places = g_hash_table_new (NULL, NULL);
  g_autofree Placed *placed = g_new (Placed, plan->tensors->len + 1);

  for (guint i = 0; i < switti_tensor_source_get_n (plan->source); i++)
    g_hash_table_insert (places, (gpointer) switti_tensor_source_get (plan->source, i), GUINT_TO_POINTER (i));
  for (guint i = 0; i < plan->tensors->len; i++)
    {
      placed[i].tensor = g_array_index (plan->tensors, SwittiPlannedTensor, i);
      placed[i].place = GPOINTER_TO_UINT (g_hash_table_lookup (places, placed[i].tensor.stored));
    }
  if (plan->tensors->len > 0)
    qsort (placed, plan->tensors->len, sizeof *placed, compare_placed);
  for (guint i = 0; i < plan->tensors->len; i++)
    g_array_index (plan->tensors, SwittiPlannedTensor, i) = placed[i].tensor;
}

/* -- plans -------------------------------------------------------------------------------------------------- */

SwittiPartPlan *
switti_part_plan_new (SwittiTensorSource *source, const char *config_json, gssize config_length,
                      const SwittiCheckpointHints *hints, int dtype, GCancellable *cancellable, GError **error)
{
  static const SwittiCheckpointHints no_hints = SWITTI_CHECKPOINT_NO_HINTS;
  g_autoptr (SwittiPartPlan) plan = g_new0 (SwittiPartPlan, 1);
  g_auto (Maker) maker = { .plan = plan, .hints = hints != NULL ? hints : &no_hints, .dtype = dtype,
                           .cancellable = cancellable };

  plan->source = source;
  plan->tensors = g_array_new (FALSE, FALSE, sizeof (SwittiPlannedTensor));
  g_array_set_clear_func (plan->tensors, clear_planned);
  maker.has_config = config_json != NULL;
  maker.config = config_json != NULL
                     ? switti_json_parse_object (config_json, config_length, describe (&maker), error)
                     : json_object_new ();
  if (maker.config == NULL)
    return NULL;
  maker.named = switti_checkpoint_name_tensors (source, maker.hints->prefix, &plan->kind, &maker.has_openclip_names,
                                                &maker.prefix, error);
  if (maker.named == NULL || !make_config (&maker, error) || !plan_tensors (&maker, error))
    return NULL;
  order_tensors (plan);
  return g_steal_pointer (&plan);
}

/* -- reading ------------------------------------------------------------------------------------------------ */

gboolean
switti_part_plan_read (SwittiPartPlan *self, const SwittiPlannedTensor *tensor, gsize begin, gsize count, void *out,
                       GCancellable *cancellable, GError **error)
{
  SwittiDtype from = tensor->stored->dtype, to = tensor->shape.dtype;
  gsize from_size = switti_dtype_size (from), to_size = switti_dtype_size (to);
  g_autofree guint8 *raw = NULL;
  g_autofree float *values = NULL;

  g_assert (begin <= tensor->count && count <= tensor->count - begin);
  if (from == to)
    return switti_tensor_source_read (self->source, tensor->stored, tensor->first + begin, count, out, cancellable,
                                      error);
  raw = g_malloc (count * from_size);
  if (!switti_tensor_source_read (self->source, tensor->stored, tensor->first + begin, count, raw, cancellable, error))
    return FALSE;
  values = g_new (float, BLOCK);
  for (gsize i = 0; i < count; i += BLOCK)
    {
      gsize n = MIN (BLOCK, count - i);
      const float *block = values;

      if (from == SWITTI_DTYPE_F32)
        block = (const float *) raw + i;
      else if (!switti_convert_elements (from, raw + i * from_size, SWITTI_DTYPE_F32, values, n))
        g_return_val_if_reached (FALSE);
      if (!switti_convert_elements (SWITTI_DTYPE_F32, block, to, (guint8 *) out + i * to_size, n))
        g_return_val_if_reached (FALSE);
    }
  return TRUE;
}
