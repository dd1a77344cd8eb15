/* switti-source.c - a picture that a generation starts from
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-source-private.h"

#include "switti-config-private.h"
#include "switti-error.h"
#include "switti-recipe-private.h"

#include <glib/gi18n-lib.h>

/* More than any model has; what a recipe may make us hold. */
#define MAX_CODES (1 << 20)
#define MAX_MASK_SIDE 4096

/**
 * SwittiSource:
 *
 * A picture that a generation starts from: a [class@Request] keeps its coarse scales, or its parts outside a mask. It
 * does not change and may be used from any thread.
 */
struct _SwittiSource
{
  GObject parent_instance;

  GBytes *codes; /* or */
  char *recipe;
  /* What the recipe says of its own source. */
  SwittiSource *source;
  int keep_scales;
  gboolean masked;
};

G_DEFINE_FINAL_TYPE (SwittiSource, switti_source, G_TYPE_OBJECT)

static void
switti_source_finalize (GObject *object)
{
  SwittiSource *self = SWITTI_SOURCE (object);

  g_clear_pointer (&self->codes, g_bytes_unref);
  g_clear_pointer (&self->recipe, g_free);
  g_clear_object (&self->source);
  G_OBJECT_CLASS (switti_source_parent_class)->finalize (object);
}

static void
switti_source_class_init (SwittiSourceClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = switti_source_finalize;
}

static void
switti_source_init (SwittiSource *self)
{
}

static gboolean
refuse (GError **error, const char *sentence)
{
  g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, sentence);
  return FALSE;
}

SwittiSource *
switti_source_new_for_codes (GBytes *codes)
{
  SwittiSource *self;

  g_return_val_if_fail (codes != NULL, NULL);

  self = g_object_new (SWITTI_TYPE_SOURCE, NULL);
  self->codes = g_bytes_ref (codes);
  return self;
}

/* Recipes within recipes, counted before anything recurses into them. */
static gboolean
check_depth (JsonNode *node, GError **error)
{
  for (int depth = 0; node && JSON_NODE_HOLDS_OBJECT (node); depth++)
    {
      if (depth > SWITTI_MAX_SOURCE_DEPTH)
        return refuse (error, _ ("The recipe is a variation of too many variations; start from the picture's pixels."));
      node = json_object_get_member (json_node_get_object (node), "source");
    }
  return TRUE;
}

/* Takes what the recipe says of its own source; the rest is read when it is painted. */
static gboolean
read_recipe (SwittiSource *self, JsonObject *object, GError **error)
{
  SwittiParameters parameters = { .prompt = g_strdup (""), .negative_prompt = g_strdup (""), .count = 1 };
  gboolean good = switti_recipe_read (object, &parameters, error);

  if (good && parameters.source)
    {
      self->source = g_object_ref (parameters.source);
      self->keep_scales = parameters.keep_scales;
      self->masked = parameters.mask != NULL;
    }
  switti_parameters_clear (&parameters);
  return good;
}

static SwittiSource *
new_for_node (JsonNode *node, GError **error)
{
  g_autoptr (SwittiSource) self = g_object_new (SWITTI_TYPE_SOURCE, NULL);

  if (!check_depth (node, error) || !read_recipe (self, json_node_get_object (node), error))
    return NULL;
  self->recipe = json_to_string (node, FALSE);
  return g_steal_pointer (&self);
}

SwittiSource *
switti_source_new_for_recipe (const char *recipe, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GError) local = NULL;

  g_return_val_if_fail (recipe != NULL, NULL);

  if (!json_parser_load_from_data (parser, recipe, -1, &local))
    {
      g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT, _ ("The recipe is not valid JSON (%s)."),
                   local->message);
      return NULL;
    }
  if (json_parser_get_root (parser) == NULL || !JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    {
      refuse (error, _ ("The recipe is not a JSON object."));
      return NULL;
    }
  return new_for_node (json_parser_get_root (parser), error);
}

SwittiSource *
switti_source_new_for_image (SwittiImage *image)
{
  g_autoptr (GError) error = NULL;
  SwittiSource *self;

  g_return_val_if_fail (SWITTI_IS_IMAGE (image), NULL);

  self = switti_source_new_for_recipe (switti_image_get_recipe (image), &error);
  /* A variation of too many; its codes are the next best. */
  return self ? self : switti_source_new_for_codes (switti_image_get_codes (image));
}

GBytes *
switti_source_get_codes (SwittiSource *self)
{
  g_return_val_if_fail (SWITTI_IS_SOURCE (self), NULL);

  return self->codes;
}

const char *
switti_source_get_recipe (SwittiSource *self)
{
  g_return_val_if_fail (SWITTI_IS_SOURCE (self), NULL);

  return self->recipe;
}

char *
switti_source_dup_model_hash (SwittiSource *self)
{
  g_autoptr (JsonNode) root = self->recipe ? json_from_string (self->recipe, NULL) : NULL;
  JsonNode *node = root ? json_object_get_member (json_node_get_object (root), "model_hash") : NULL;

  return node && json_node_get_value_type (node) == G_TYPE_STRING ? json_node_dup_string (node) : NULL;
}

SwittiSource *
switti_source_resolve (SwittiSource *self, int scales)
{
  while (self->source && !self->masked && self->keep_scales >= scales)
    self = self->source;
  return self;
}

/* -- codes in a recipe ----------------------------------------------------------------------------------------- */

static GBytes *
unpack_codes (const guint8 *data, gsize length, int bits)
{
  gsize count = length * 8 / (gsize) bits;
  gint32 *codes = g_new (gint32, count);

  for (gsize i = 0; i < count; i++)
    {
      guint32 code = 0;

      for (int byte = bits / 8 - 1; byte >= 0; byte--)
        code = code << 8 | data[i * (gsize) bits / 8 + (gsize) byte];
      codes[i] = (gint32) code;
    }
  return g_bytes_new_take (codes, count * sizeof *codes);
}

static GByteArray *
pack_codes (const gint32 *codes, gsize count, int bits)
{
  GByteArray *bytes = g_byte_array_sized_new ((guint) (count * (gsize) bits / 8));

  for (gsize i = 0; i < count; i++)
    for (int byte = 0; byte < bits / 8; byte++)
      g_byte_array_append (bytes, &(guint8){ (guint8) ((guint32) codes[i] >> (8 * byte)) }, 1);
  return bytes;
}

static const char *
text_member (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && json_node_get_value_type (node) == G_TYPE_STRING ? json_node_get_string (node) : NULL;
}

static gint64
number_member (JsonObject *object, const char *name, gint64 otherwise)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && json_node_get_value_type (node) == G_TYPE_INT64 ? json_node_get_int (node) : otherwise;
}

static SwittiSource *
read_codes (JsonObject *object, GError **error)
{
  const char *text = text_member (object, "codes");
  gint64 bits = number_member (object, "bits", 16);
  g_autofree guint8 *data = NULL;
  g_autoptr (GBytes) codes = NULL;
  gsize length = 0;

  if (text)
    data = g_base64_decode (text, &length);
  if (data == NULL || (bits != 16 && bits != 32) || length == 0 || length % ((gsize) bits / 8) != 0
      || length / ((gsize) bits / 8) > MAX_CODES)
    {
      refuse (error, _ ("The codes of the recipe's source are damaged; start from the picture's pixels."));
      return NULL;
    }
  codes = unpack_codes (data, length, (int) bits);
  return switti_source_new_for_codes (codes);
}

static JsonNode *
write_codes (GBytes *bytes)
{
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();
  gsize size;
  const gint32 *codes = g_bytes_get_data (bytes, &size);
  gsize count = size / sizeof *codes;
  int bits = 16;
  g_autoptr (GByteArray) packed = NULL;
  g_autofree char *text = NULL;

  for (gsize i = 0; i < count; i++)
    if (codes[i] < 0 || codes[i] > G_MAXUINT16)
      bits = 32;
  packed = pack_codes (codes, count, bits);
  text = g_base64_encode (packed->data, packed->len);
  json_object_set_string_member (object, "codes", text);
  json_object_set_int_member (object, "bits", bits);
  json_node_take_object (node, object);
  return node;
}

SwittiSource *
switti_source_from_json (JsonNode *node, GError **error)
{
  if (!JSON_NODE_HOLDS_OBJECT (node))
    {
      refuse (error, _ ("The recipe's source is not a JSON object."));
      return NULL;
    }
  if (json_object_has_member (json_node_get_object (node), "codes"))
    return read_codes (json_node_get_object (node), error);
  return new_for_node (node, error);
}

JsonNode *
switti_source_to_json (SwittiSource *self)
{
  return self->codes ? write_codes (self->codes) : json_from_string (self->recipe, NULL);
}

/* -- masks in a recipe ----------------------------------------------------------------------------------------- */

/* Runs a converter over the whole of data; FALSE where what comes out is not `capacity` bytes at most. */
static gboolean
convert (GConverter *converter, const guint8 *data, gsize length, guint8 *out, gsize capacity, gsize *written)
{
  GConverterResult result = G_CONVERTER_CONVERTED;
  gsize done = 0;

  *written = 0;
  while (result == G_CONVERTER_CONVERTED)
    {
      gsize read = 0, wrote = 0;

      result = g_converter_convert (converter, data + done, length - done, out + *written, capacity - *written,
                                    G_CONVERTER_INPUT_AT_END, &read, &wrote, NULL);
      if (result == G_CONVERTER_ERROR)
        return FALSE;
      done += read;
      *written += wrote;
    }
  return TRUE;
}

static GBytes *
inflate (const guint8 *data, gsize length, gsize size)
{
  g_autoptr (GConverter) converter = G_CONVERTER (g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_ZLIB));
  /* One more, so that a stream that is too long shows. */
  g_autofree guint8 *out = g_malloc (size + 1);
  gsize written = 0;

  if (!convert (converter, data, length, out, size + 1, &written) || written != size)
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&out), size);
}

GBytes *
switti_mask_from_json (JsonNode *node, GError **error)
{
  JsonObject *object = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  const char *text = object ? text_member (object, "data") : NULL;
  gint64 side = object ? number_member (object, "side", 0) : 0;
  g_autofree guint8 *data = NULL;
  GBytes *mask = NULL;
  gsize length = 0;

  if (text)
    data = g_base64_decode (text, &length);
  if (data && side >= 1 && side <= MAX_MASK_SIDE)
    mask = inflate (data, length, (gsize) side * (gsize) side);
  if (mask == NULL)
    refuse (error, _ ("The recipe's mask is damaged; select what is to be redrawn again."));
  return mask;
}

JsonNode *
switti_mask_to_json (GBytes *mask)
{
  g_autoptr (GConverter) converter = G_CONVERTER (g_zlib_compressor_new (G_ZLIB_COMPRESSOR_FORMAT_ZLIB, 9));
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();
  gsize size;
  const guint8 *data = g_bytes_get_data (mask, &size);
  gsize capacity = size + size / 100 + 64, written = 0, side = 0;
  g_autofree guint8 *out = g_malloc (capacity);
  g_autofree char *text = NULL;
  gboolean good = convert (converter, data, size, out, capacity, &written);

  g_assert (good);
  while (side * side < size)
    side++;
  text = g_base64_encode (out, written);
  json_object_set_int_member (object, "side", (gint64) side);
  json_object_set_string_member (object, "data", text);
  json_node_take_object (node, object);
  return node;
}
