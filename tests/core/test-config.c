/* test-config.c - shapes from config.json, from tensors, and from --synthetic
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-config-private.h"
#include "switti-error.h"
#include "switti-safetensors-private.h"

#include <glib/gstdio.h>
#include <string.h>

/* Weights of these shapes, all zero: the smallest thing that has names and sizes. */
typedef struct
{
  const char *name;
  int n_dims;
  gint64 dims[4];
} Shape;

static SwittiWeights *
build_weights (const Shape *shapes, gsize n_shapes)
{
  g_autofree char *folder = g_dir_make_tmp ("switti-config-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autofree const char **names = g_new (const char *, n_shapes);
  g_autofree SwittiTensor *tensors = g_new0 (SwittiTensor, n_shapes);
  g_autofree guint8 *zeros = NULL;
  gsize most = 0;
  SwittiWeights *weights;

  for (gsize i = 0; i < n_shapes; i++)
    {
      gsize bytes;

      names[i] = shapes[i].name;
      tensors[i].dtype = SWITTI_DTYPE_U8;
      tensors[i].n_dims = shapes[i].n_dims;
      memcpy (tensors[i].dims, shapes[i].dims, sizeof shapes[i].dims);
      g_assert_true (switti_shape_bytes (SWITTI_DTYPE_U8, shapes[i].n_dims, shapes[i].dims, &bytes));
      most = MAX (most, bytes);
    }
  zeros = g_malloc0 (most);
  for (gsize i = 0; i < n_shapes; i++)
    tensors[i].data = zeros;
  g_assert_true (switti_safetensors_save (path, names, tensors, n_shapes, NULL, NULL));
  weights = switti_weights_open_folder (folder, NULL);
  g_assert_nonnull (weights);
  g_unlink (path);
  g_rmdir (folder);
  return weights;
}

static void
assert_schedule (const SwittiSchedule *schedule, const int *sides, int n_scales)
{
  g_assert_cmpint (schedule->n_scales, ==, n_scales);
  for (int s = 0; s < n_scales; s++)
    g_assert_cmpint (schedule->side[s], ==, sides[s]);
}

static void
test_schedules (void)
{
  /* The table of spec.md. */
  const int at_256[] = { 1, 2, 3, 4, 5, 6, 8, 10, 13, 16 };
  const int at_512[] = { 1, 2, 3, 4, 6, 9, 13, 18, 24, 32 };
  const int at_1024[] = { 1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64 };
  SwittiSchedule schedule;

  g_assert_true (switti_schedule_for_resolution (256, &schedule));
  assert_schedule (&schedule, at_256, 10);
  g_assert_cmpint (switti_schedule_length (&schedule), ==, 680);
  g_assert_true (switti_schedule_for_resolution (512, &schedule));
  assert_schedule (&schedule, at_512, 10);
  g_assert_cmpint (switti_schedule_length (&schedule), ==, 2240);
  g_assert_true (switti_schedule_for_resolution (1024, &schedule));
  assert_schedule (&schedule, at_1024, 14);
  g_assert_cmpint (switti_schedule_length (&schedule), ==, 9451);
  g_assert_false (switti_schedule_for_resolution (0, &schedule));
  g_assert_false (switti_schedule_for_resolution (513, &schedule));
}

static void
test_published_transformer (void)
{
  static const char json[] = "{\"depth\": 30, \"rope\": true, \"rope_theta\": 10000, \"rope_size\": 128,"
                             " \"use_swiglu_ffn\": true, \"use_ar\": false, \"use_crop_cond\": true, \"reso\": 512}";
  SwittiTransformerConfig config;
  g_autoptr (GError) error = NULL;

  g_assert_true (switti_transformer_config_parse (json, -1, "a test", NULL, &config, &error));
  g_assert_no_error (error);
  g_assert_cmpint (config.depth, ==, 30);
  g_assert_cmpint (config.width, ==, 1920);
  g_assert_cmpint (config.heads, ==, 30);
  g_assert_cmpint (config.ffn_hidden, ==, 5120);
  g_assert_cmpint (config.vocab, ==, 4096);
  g_assert_cmpint (config.latent, ==, 32);
  g_assert_cmpint (config.context_dim, ==, 2048);
  g_assert_cmpint (config.pooled_dim, ==, 1280);
  g_assert_true (config.rope && config.swiglu && config.crop_cond && !config.ar);
  g_assert_true (config.rope_theta == 10000 && config.rope_size == 128);
  g_assert_cmpint (config.resolution, ==, 512);
  g_assert_cmpint (config.schedule.n_scales, ==, 10);
}

/* F of spec.md for a few widths; the first three are those of fixtures and published models. */
static void
test_ffn_hidden (void)
{
  const int cases[][3] = {
    { 128, 341, 512 }, { 1024, 2730, 4096 }, { 1920, 5120, 7680 }, { 192, 512, 768 }, { 8, 21, 32 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (int swiglu = 0; swiglu < 2; swiglu++)
      {
        g_autofree char *json = g_strdup_printf ("{\"depth\":2,\"embed_dim\":%d,\"num_heads\":1,\"use_swiglu_ffn\":%s}",
                                                 cases[i][0], swiglu ? "true" : "false");
        SwittiTransformerConfig config;

        g_assert_true (switti_transformer_config_parse (json, -1, "a test", NULL, &config, NULL));
        g_assert_cmpint (config.ffn_hidden, ==, cases[i][swiglu ? 1 : 2]);
      }
}

/* Whatever a config.json leaves out comes from the tensors, and what it says goes before them. */
static void
test_transformer_from_tensors (void)
{
  static const Shape shapes[] = {
    { "pos_1LC", 3, { 1, 30, 96 } },
    { "word_embed.weight", 2, { 96, 16 } },
    { "head.weight", 2, { 256, 96 } },
    { "text_pooler.weight", 2, { 96, 40 } },
    { "blocks.0.attn.to_qkv.weight", 2, { 288, 96 } },
    { "blocks.1.attn.to_qkv.weight", 2, { 288, 96 } },
    { "blocks.2.attn.to_qkv.weight", 2, { 288, 96 } },
    { "blocks.4.attn.to_qkv.weight", 2, { 288, 96 } },
    { "blocks.0.cross_attn.to_kv.weight", 2, { 192, 72 } },
    { "blocks.0.ffn.fc1.weight", 2, { 300, 96 } },
  };
  g_autoptr (SwittiWeights) weights = build_weights (shapes, G_N_ELEMENTS (shapes));
  SwittiTransformerConfig config;
  g_autoptr (GError) error = NULL;

  g_assert_true (switti_transformer_config_parse ("{\"num_heads\": 6, \"patch_nums\": [1, 2, 3, 4]}", -1, "a test",
                                                  weights, &config, &error));
  g_assert_no_error (error);
  g_assert_cmpint (config.depth, ==, 3);
  g_assert_cmpint (config.width, ==, 96);
  g_assert_cmpint (config.heads, ==, 6);
  g_assert_cmpint (config.ffn_hidden, ==, 300);
  g_assert_cmpint (config.vocab, ==, 256);
  g_assert_cmpint (config.latent, ==, 16);
  g_assert_cmpint (config.context_dim, ==, 72);
  g_assert_cmpint (config.pooled_dim, ==, 40);
  g_assert_true (!config.rope && !config.swiglu && !config.crop_cond && !config.ar);
  g_assert_cmpint (config.resolution, ==, 64);

  g_assert_true (switti_transformer_config_parse (
      "{\"depth\": 2, \"num_heads\": 6, \"vocab_size\": 100, \"rope\": true, \"use_ar\": true}", -1, "a test", weights,
      &config, &error));
  g_assert_cmpint (config.depth, ==, 2);
  g_assert_cmpint (config.vocab, ==, 100);
  g_assert_true (config.rope && config.ar);
}

/* A synthetic source says that every tensor is there; its shapes must not be taken for sizes. */
static void
test_synthetic_source (void)
{
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("switti.", SWITTI_DTYPE_F32);
  SwittiTransformerConfig config;

  g_assert_true (switti_transformer_config_parse ("{\"depth\": 16}", -1, "a test", weights, &config, NULL));
  g_assert_cmpint (config.depth, ==, 16);
  g_assert_cmpint (config.width, ==, 1024);
  g_assert_true (config.rope && config.swiglu && config.crop_cond);
}

static void
test_vae (void)
{
  static const Shape one_phi[] = {
    { "encoder.conv_in.weight", 4, { 64, 3, 3, 3 } },
    { "quantize.embedding.weight", 2, { 128, 8 } },
    { "quantize.quant_resi.qresi.weight", 4, { 8, 8, 3, 3 } },
  };
  static const Shape own_phi[] = { { "quantize.quant_resi.0.weight", 4, { 8, 8, 3, 3 } } };
  static const Shape three_phi[] = {
    { "quantize.quant_resi.qresi_ls.0.weight", 4, { 8, 8, 3, 3 } },
    { "quantize.quant_resi.qresi_ls.1.weight", 4, { 8, 8, 3, 3 } },
    { "quantize.quant_resi.qresi_ls.2.weight", 4, { 8, 8, 3, 3 } },
  };
  g_autoptr (SwittiWeights) one = build_weights (one_phi, G_N_ELEMENTS (one_phi));
  g_autoptr (SwittiWeights) own = build_weights (own_phi, G_N_ELEMENTS (own_phi));
  g_autoptr (SwittiWeights) three = build_weights (three_phi, G_N_ELEMENTS (three_phi));
  const int sides[] = { 1, 2, 5 };
  SwittiVaeConfig config;
  g_autoptr (GError) error = NULL;

  g_assert_true (switti_vae_config_parse ("{}", -1, "a test", NULL, &config, &error));
  g_assert_no_error (error);
  g_assert_cmpint (config.ch, ==, 160);
  g_assert_cmpint (config.vocab, ==, 4096);
  g_assert_cmpint (config.latent, ==, 32);
  g_assert_cmpint (config.share_quant_resi, ==, 4);
  g_assert_true (config.quant_resi == 0.5 && !config.using_znorm);

  g_assert_true (switti_vae_config_parse ("{\"v_patch_nums\": [1, 2, 5], \"using_znorm\": true}", -1, "a test", one,
                                          &config, &error));
  g_assert_no_error (error);
  g_assert_cmpint (config.ch, ==, 64);
  g_assert_cmpint (config.vocab, ==, 128);
  g_assert_cmpint (config.latent, ==, 8);
  g_assert_cmpint (config.share_quant_resi, ==, 1);
  g_assert_true (config.using_znorm);
  assert_schedule (&config.schedule, sides, 3);

  g_assert_true (switti_vae_config_parse ("{}", -1, "a test", own, &config, &error));
  g_assert_cmpint (config.share_quant_resi, ==, 0);
  g_assert_true (switti_vae_config_parse ("{}", -1, "a test", three, &config, &error));
  g_assert_cmpint (config.share_quant_resi, ==, 3);
}

static void
test_text (void)
{
  static const Shape shapes[] = {
    { "embeddings.token_embedding.weight", 2, { 1000, 192 } },
    { "embeddings.position_embedding.weight", 2, { 80, 192 } },
    { "encoder.layers.0.self_attn.q_proj.weight", 2, { 192, 192 } },
    { "encoder.layers.1.self_attn.q_proj.weight", 2, { 192, 192 } },
    { "encoder.layers.0.mlp.fc1.weight", 2, { 500, 192 } },
  };
  g_autoptr (SwittiWeights) weights = build_weights (shapes, G_N_ELEMENTS (shapes));
  SwittiTextConfig config;
  g_autoptr (GError) error = NULL;

  /* The text half of a full CLIP; what its text_config leaves out is the published default. */
  g_assert_true (switti_text_config_parse (
      "{\"hidden_size\": 5, \"text_config\": {\"hidden_size\": 768, \"num_attention_heads\": 12,"
      " \"intermediate_size\": 3072, \"bos_token_id\": 0, \"eos_token_id\": 2, \"pad_token_id\": 1}}",
      -1, "a test", NULL, &config, &error));
  g_assert_no_error (error);
  g_assert_cmpint (config.width, ==, 768);
  g_assert_cmpint (config.layers, ==, 12);
  g_assert_cmpint (config.heads, ==, 12);
  g_assert_cmpint (config.mlp, ==, 3072);
  g_assert_cmpint (config.vocab, ==, 49408);
  g_assert_cmpint (config.positions, ==, 77);
  g_assert_true (config.quick_gelu);
  g_assert_cmpint (config.eos_id, ==, 2);

  g_assert_true (switti_text_config_parse ("{\"hidden_act\": \"gelu\", \"bos_token_id\": 998, \"eos_token_id\": 999,"
                                           " \"layer_norm_eps\": 1e-6}",
                                           -1, "a test", weights, &config, &error));
  g_assert_no_error (error);
  g_assert_cmpint (config.width, ==, 192);
  g_assert_cmpint (config.heads, ==, 3);
  g_assert_cmpint (config.layers, ==, 2);
  g_assert_cmpint (config.mlp, ==, 500);
  g_assert_cmpint (config.vocab, ==, 1000);
  g_assert_cmpint (config.positions, ==, 80);
  g_assert_cmpint (config.eos_id, ==, 999);
  g_assert_true (!config.quick_gelu && config.norm_eps == 1e-6);

  /* The published ids are outside this vocabulary. */
  g_assert_false (switti_text_config_parse ("{}", -1, "a test", weights, &config, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
}

typedef gboolean (*Parse) (const char *json);

static gboolean
transformer_accepts (const char *json)
{
  g_autoptr (GError) error = NULL;
  SwittiTransformerConfig config;

  if (switti_transformer_config_parse (json, -1, "the case", NULL, &config, &error))
    return TRUE;
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_assert_nonnull (strstr (error->message, "the case"));
  return FALSE;
}

static gboolean
vae_accepts (const char *json)
{
  g_autoptr (GError) error = NULL;
  SwittiVaeConfig config;

  if (switti_vae_config_parse (json, -1, "the case", NULL, &config, &error))
    return TRUE;
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_assert_nonnull (strstr (error->message, "the case"));
  return FALSE;
}

static gboolean
text_accepts (const char *json)
{
  g_autoptr (GError) error = NULL;
  SwittiTextConfig config;

  if (switti_text_config_parse (json, -1, "the case", NULL, &config, &error))
    return TRUE;
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_assert_nonnull (strstr (error->message, "the case"));
  return FALSE;
}

static void
test_bad_configs (void)
{
  const struct
  {
    Parse accepts;
    const char *json;
  } cases[] = {
    { transformer_accepts, "" },
    { transformer_accepts, "[]" },
    { transformer_accepts, "{\"depth\": 0}" },
    { transformer_accepts, "{\"depth\": -3}" },
    { transformer_accepts, "{\"depth\": 2.5}" },
    { transformer_accepts, "{\"depth\": \"30\"}" },
    { transformer_accepts, "{\"depth\": 4294967297}" },
    { transformer_accepts, "{\"depth\": 30, \"depth\": 30}" },
    { transformer_accepts, "{\"embed_dim\": 65}" },
    { transformer_accepts, "{\"embed_dim\": 1000000}" },
    { transformer_accepts, "{\"embed_dim\": 64, \"num_heads\": 3}" },
    { transformer_accepts, "{\"embed_dim\": 96, \"num_heads\": 16}" },
    { transformer_accepts, "{\"embed_dim\": 12, \"num_heads\": 3}" },
    { transformer_accepts, "{\"num_heads\": 0}" },
    { transformer_accepts, "{\"vocab_size\": 1}" },
    { transformer_accepts, "{\"rope\": 1}" },
    { transformer_accepts, "{\"rope_theta\": 0}" },
    { transformer_accepts, "{\"rope_theta\": 1e400}" },
    { transformer_accepts, "{\"rope_size\": \"128\"}" },
    { transformer_accepts, "{\"reso\": 500}" },
    { transformer_accepts, "{\"reso\": 256, \"patch_nums\": [1, 2, 3, 4]}" },
    { transformer_accepts, "{\"patch_nums\": 5}" },
    { transformer_accepts, "{\"patch_nums\": []}" },
    { transformer_accepts, "{\"patch_nums\": [1]}" },
    { transformer_accepts, "{\"patch_nums\": [2, 3]}" },
    { transformer_accepts, "{\"patch_nums\": [1, 3, 3]}" },
    { transformer_accepts, "{\"patch_nums\": [1, 3, 2]}" },
    { transformer_accepts, "{\"patch_nums\": [1, 2.0]}" },
    { transformer_accepts, "{\"patch_nums\": [1, 1025]}" },
    { transformer_accepts,
      "{\"patch_nums\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,"
      "35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63,64,65]}" },
    { vae_accepts, "{\"ch\": 33}" },
    { vae_accepts, "{\"ch\": 0}" },
    { vae_accepts, "{\"share_quant_resi\": -1}" },
    { vae_accepts, "{\"share_quant_resi\": 65}" },
    { vae_accepts, "{\"quant_resi\": 1.5}" },
    { vae_accepts, "{\"vocab_size\": 0}" },
    { vae_accepts, "{\"patch_nums\": [0]}" },
    { text_accepts, "{\"hidden_act\": \"relu\"}" },
    { text_accepts, "{\"hidden_act\": 5}" },
    { text_accepts, "{\"num_hidden_layers\": 0}" },
    { text_accepts, "{\"hidden_size\": 100, \"num_attention_heads\": 8}" },
    { text_accepts, "{\"eos_token_id\": 49408}" },
    { text_accepts, "{\"bos_token_id\": -1}" },
    { text_accepts, "{\"layer_norm_eps\": 0}" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_test_message ("%s", cases[i].json);
      g_assert_false (cases[i].accepts (cases[i].json));
    }
  /* The neighbours of some of them are accepted: it is the named value that is refused. */
  g_assert_true (transformer_accepts ("{\"embed_dim\": 64, \"num_heads\": 4}"));
  g_assert_true (transformer_accepts ("{\"embed_dim\": 12, \"num_heads\": 3, \"use_crop_cond\": false}"));
  g_assert_true (transformer_accepts ("{\"embed_dim\": 96, \"num_heads\": 16, \"rope\": false}"));
  g_assert_true (transformer_accepts ("{\"reso\": 64, \"patch_nums\": [1, 2, 3, 4]}"));
  g_assert_true (transformer_accepts ("{\"depth\": null, \"unknown\": {\"a\": [1]}}"));
  g_assert_true (vae_accepts ("{\"ch\": 32, \"share_quant_resi\": 0}"));
  g_assert_true (text_accepts ("{\"eos_token_id\": 49407, \"hidden_act\": \"gelu\"}"));
}

static void
test_files (void)
{
  static const char *const parts[] = { "transformer", "vae", "text_encoder", "text_encoder_2" };
  g_autoptr (GError) error = NULL;
  SwittiTransformerConfig transformer;
  SwittiVaeConfig vae;
  SwittiTextConfig text[2];

  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      g_autofree char *folder = g_test_build_filename (G_TEST_DIST, "..", "data", "models", "icons", parts[i], NULL);
      g_autofree char *path = g_build_filename (folder, "config.json", NULL);

      g_assert_true (i == 0   ? switti_transformer_config_load (path, NULL, &transformer, &error)
                     : i == 1 ? switti_vae_config_load (path, NULL, &vae, &error)
                              : switti_text_config_load (path, NULL, &text[i - 2], &error));
      g_assert_no_error (error);
    }
  g_assert_cmpint (transformer.vocab, ==, vae.vocab);
  g_assert_cmpint (transformer.context_dim, ==, text[0].width + text[1].width);

  g_assert_false (switti_vae_config_load ("/nowhere/config.json", NULL, &vae, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "/nowhere/config.json"));
}

static void
test_synthetic_specifications (void)
{
  static const char *const bad[] = {
    "dept=3",     "depth",           "depth=",        "depth=0",      "depth=x",          "depth=3,,ar", "ar=1",
    "width=1000,heads=3", "reso=500", "ch=33",        "clip=large",   "scales=1",         "scales=2-3",  "scales=1-3-3",
    "scales=1-2-x", "context=128,pooled=128", "vocab=1", "depth=-1",  "depth=99999999999",
  };
  SwittiTransformerConfig transformer;
  SwittiVaeConfig vae;
  SwittiTextConfig text[2];
  g_autoptr (GError) error = NULL;
  const int sides[] = { 1, 2, 4 };

  g_assert_true (switti_synthetic_config_parse ("depth=16,width=1024,reso=256", &transformer, &vae, text, &error));
  g_assert_no_error (error);
  g_assert_cmpint (transformer.width, ==, 1024);
  g_assert_cmpint (transformer.heads, ==, 16);
  g_assert_cmpint (transformer.ffn_hidden, ==, 2730);
  g_assert_cmpint (transformer.resolution, ==, 256);
  g_assert_cmpint (vae.ch, ==, 160);
  g_assert_cmpint (text[0].width, ==, 768);
  g_assert_cmpint (text[0].layers, ==, 12);
  g_assert_cmpint (text[1].layers, ==, 32);
  g_assert_true (text[0].quick_gelu && !text[1].quick_gelu);

  g_assert_true (switti_synthetic_config_parse ("depth=30", &transformer, &vae, text, &error));
  g_assert_cmpint (transformer.width, ==, 1920);
  g_assert_cmpint (transformer.resolution, ==, 512);

  g_assert_true (switti_synthetic_config_parse (
      "depth=2, width=96,heads=4,scales=1-2-4,vocab=64,latent=8,context=96,pooled=32,ch=32,ar,abspos,gelu,nocrop,"
      "clip=small",
      &transformer, &vae, text, &error));
  g_assert_no_error (error);
  assert_schedule (&transformer.schedule, sides, 3);
  assert_schedule (&vae.schedule, sides, 3);
  g_assert_cmpint (transformer.resolution, ==, 64);
  g_assert_cmpint (transformer.heads, ==, 4);
  g_assert_cmpint (transformer.ffn_hidden, ==, 384);
  g_assert_true (transformer.ar && !transformer.rope && !transformer.swiglu && !transformer.crop_cond);
  g_assert_cmpint (vae.vocab, ==, 64);
  g_assert_cmpint (vae.latent, ==, 8);
  g_assert_cmpint (text[0].width, ==, 64);
  g_assert_cmpint (text[1].width, ==, 32);
  g_assert_cmpint (text[0].layers, ==, 1);

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_test_message ("%s", bad[i]);
      g_assert_false (switti_synthetic_config_parse (bad[i], &transformer, &vae, text, &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
      g_clear_error (&error);
    }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/config/schedules", test_schedules);
  g_test_add_func ("/config/published-transformer", test_published_transformer);
  g_test_add_func ("/config/ffn-hidden", test_ffn_hidden);
  g_test_add_func ("/config/transformer-from-tensors", test_transformer_from_tensors);
  g_test_add_func ("/config/synthetic-source", test_synthetic_source);
  g_test_add_func ("/config/vae", test_vae);
  g_test_add_func ("/config/text", test_text);
  g_test_add_func ("/config/bad-configs", test_bad_configs);
  g_test_add_func ("/config/files", test_files);
  g_test_add_func ("/config/synthetic-specifications", test_synthetic_specifications);
  return g_test_run ();
}
