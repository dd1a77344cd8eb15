/* test-text-gradients.c - text encoders in training: states against Hugging Face's numbers, gradients against finite
 * differences
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-error.h"
#include "switti-gradients-private.h"
#include "switti-text-encoder-private.h"
#include "switti-text-gradients-private.h"

#include <math.h>
#include <string.h>

#define T SWITTI_TEXT_LENGTH

static SwittiTextConfig
text_config (int layers, int width, int heads, int mlp, int vocab, gboolean quick_gelu)
{
  return (SwittiTextConfig){
    .layers = layers,
    .width = width,
    .heads = heads,
    .mlp = mlp,
    .vocab = vocab,
    .positions = T,
    .quick_gelu = quick_gelu,
    .norm_eps = 1e-5,
    .bos_id = vocab - 2,
    .eos_id = vocab - 1,
  };
}

/* A text encoder in training, with memory for its states. */
typedef struct
{
  SwittiDevice *device;
  SwittiTextConfig config;
  int batch;
  SwittiParameters *parameters;
  SwittiTextGradients *gradients;
  gint64 stride;
  float *hidden, *pooled; /* device (B, T, stride), (B, W) */
} Encoder;

static Encoder
encoder_new (const SwittiTextConfig *config, SwittiDtype dtype, int n_threads, int batch)
{
  g_autoptr (GError) error = NULL;
  Encoder encoder = { .device = fixture_device (n_threads), .config = *config, .batch = batch };

  encoder.stride = config->width + 3;
  encoder.parameters = switti_text_parameters_new (encoder.device, config, dtype, &error);
  g_assert_no_error (error);
  encoder.gradients = switti_text_gradients_new (encoder.parameters, config, batch, &error);
  g_assert_no_error (error);
  encoder.hidden = fixture_device_alloc (encoder.device, (gsize) (batch * T * encoder.stride) * sizeof (float));
  encoder.pooled = fixture_device_alloc (encoder.device, (gsize) (batch * config->width) * sizeof (float));
  return encoder;
}

static void
encoder_clear (Encoder *encoder)
{
  switti_device_free (encoder->device, encoder->hidden);
  switti_device_free (encoder->device, encoder->pooled);
  switti_text_gradients_free (encoder->gradients);
  switti_parameters_free (encoder->parameters);
  g_assert_cmpuint (switti_device_get_allocated_bytes (encoder->device), ==, 0);
  g_object_unref (encoder->device);
}

static void
encoder_load (Encoder *encoder, const char *prefix)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic (prefix, SWITTI_DTYPE_F32);

  switti_parameters_load (encoder->parameters, weights, &error);
  g_assert_no_error (error);
}

static void
upload (SwittiDevice *device, float *to, const float *values, gsize count)
{
  g_assert_cmpint (switti_device_get_kernels (device)->upload (switti_device_get_context (device), to, values,
                                                               count * sizeof (float)),
                   ==, SWITTI_KERNEL_OK);
}

static void
forward (Encoder *encoder, const gint32 *ids, const int *n_valid)
{
  g_autoptr (GError) error = NULL;

  switti_text_gradients_forward (encoder->gradients, ids, n_valid, encoder->hidden, encoder->stride, encoder->pooled,
                                 &error);
  g_assert_no_error (error);
}

/* (transfer full): the gradients of the sum of all states, each times its weight. */
static float *
gradients_for (Encoder *encoder, const gint32 *ids, const int *n_valid, const float *hidden_weights,
               const float *pooled_weights)
{
  g_autoptr (GError) error = NULL;
  const gsize width = (gsize) encoder->config.width, rows = (gsize) encoder->batch * T;
  g_autofree float *wide = g_new (float, rows * (gsize) encoder->stride);
  float *d_hidden, *d_pooled, *values;

  for (gsize i = 0; i < rows * (gsize) encoder->stride; i++)
    wide[i] = NAN; /* what must not be read: other columns, and past the end of a prompt */
  for (gsize r = 0; r < rows; r++)
    if ((int) (r % T) < n_valid[r / T])
      memcpy (wide + r * (gsize) encoder->stride, hidden_weights + r * width, width * sizeof (float));
  d_hidden = fixture_upload (encoder->device, wide, rows * (gsize) encoder->stride * sizeof (float));
  d_pooled = fixture_upload (encoder->device, pooled_weights, (gsize) encoder->batch * width * sizeof (float));
  forward (encoder, ids, n_valid);
  switti_text_gradients_backward (encoder->gradients, d_hidden, encoder->stride, d_pooled, &error);
  g_assert_no_error (error);
  values = fixture_download (encoder->device, switti_text_gradients_get_values (encoder->gradients),
                             switti_parameters_get_size (encoder->parameters) * sizeof (float));
  switti_device_free (encoder->device, d_hidden);
  switti_device_free (encoder->device, d_pooled);
  return values;
}

/* -- states ---------------------------------------------------------------------------------------------------- */

/* (transfer full): the states as a dense (B, T, W). */
static float *
download_hidden (Encoder *encoder)
{
  const gsize rows = (gsize) encoder->batch * T, width = (gsize) encoder->config.width;
  g_autofree float *wide
      = fixture_download (encoder->device, encoder->hidden, rows * (gsize) encoder->stride * sizeof (float));
  float *dense = g_new (float, rows * width);

  for (gsize r = 0; r < rows; r++)
    memcpy (dense + r * width, wide + r * (gsize) encoder->stride, width * sizeof (float));
  return dense;
}

static void
compare_states (SwittiSafetensors *file, const char *name, SwittiDtype dtype, double tolerance)
{
  gsize count;
  g_autofree gint32 *mask = fixture_i32 (file, "mask", &count), *ids = fixture_i32 (file, "ids", NULL);
  g_autofree char *prefix = g_strdup_printf ("clip_%s.", name), *hidden_name = g_strdup_printf ("%s/hidden", name);
  g_autofree char *pooled_name = g_strdup_printf ("%s/pooled", name);
  g_autofree float *expected = fixture_f32 (file, hidden_name, NULL);
  g_autofree float *expected_pooled = fixture_f32 (file, pooled_name, NULL);
  const SwittiTextConfig config = text_config (3, 64, 4, 256, 1000, g_str_equal (name, "l"));
  const int batch = (int) (count / T);
  g_autofree int *n_valid = g_new0 (int, batch);
  Encoder encoder = encoder_new (&config, dtype, 2, batch);

  for (gsize i = 0; i < count; i++)
    n_valid[i / T] += mask[i] != 0;
  encoder_load (&encoder, prefix);
  forward (&encoder, ids, n_valid);
  g_autofree float *hidden = download_hidden (&encoder);
  g_autofree float *pooled
      = fixture_download (encoder.device, encoder.pooled, (gsize) (batch * config.width) * sizeof (float));

  for (int b = 0; b < batch; b++)
    {
      const gsize start = (gsize) (b * T * config.width), valid = (gsize) (n_valid[b] * config.width);

      fixture_assert_close (hidden_name, hidden + start, expected + start, valid, tolerance);
      for (gsize i = valid; i < (gsize) (T * config.width); i++)
        g_assert_cmpfloat (hidden[start + i], ==, 0);
    }
  fixture_assert_close (pooled_name, pooled, expected_pooled, (gsize) (batch * config.width), tolerance);
  encoder_clear (&encoder);
}

static void
test_states (void)
{
  g_autoptr (SwittiSafetensors) file = fixture_open ("pipe_tiny");

  for (int i = 0; i < 2; i++)
    {
      compare_states (file, i == 0 ? "l" : "g", SWITTI_DTYPE_F32, FIXTURE_F32_TOLERANCE);
      /* As in test-text-encoder.c. */
      compare_states (file, i == 0 ? "l" : "g", SWITTI_DTYPE_BF16, 2 * fixture_meta ("full_clip_l_bf16_rel_err"));
    }
}

/* What is trained is what generates. */
static void
test_same_as_encoder (void)
{
  static const int n_valid[] = { 1, 77, 16, 17 };
  static const SwittiDtype dtypes[] = { SWITTI_DTYPE_F32, SWITTI_DTYPE_BF16 };
  const int batch = G_N_ELEMENTS (n_valid);
  const SwittiTextConfig config = text_config (3, 64, 4, 256, 1000, FALSE);
  g_autofree gint32 *ids = fixture_integers ("test/ids", 998, (gsize) batch * T);

  for (gsize d = 0; d < G_N_ELEMENTS (dtypes); d++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("clip_g.", SWITTI_DTYPE_F32);
      Encoder encoder = encoder_new (&config, dtypes[d], 2, batch);
      g_autoptr (SwittiTextEncoder) generates
          = switti_text_encoder_new (encoder.device, &config, weights, dtypes[d], batch, &error);

      g_assert_no_error (error);
      encoder_load (&encoder, "clip_g.");
      forward (&encoder, ids, n_valid);
      g_autofree float *got = download_hidden (&encoder);
      g_assert_true (switti_text_encoder_encode (generates, batch, ids, n_valid, encoder.hidden, encoder.stride,
                                                 encoder.pooled, &error));
      g_autofree float *expected = download_hidden (&encoder);
      /* Activations after the product instead of in it: rounded once more in bf16. */
      fixture_assert_close ("hidden", got, expected, (gsize) (batch * T * config.width),
                            dtypes[d] == SWITTI_DTYPE_F32 ? 1e-6 : 0x1p-7);
      g_clear_pointer (&generates, switti_text_encoder_free);
      encoder_clear (&encoder);
    }
}

/* -- gradients against a naive forward computation in float64 ---------------------------------------------------- */

typedef struct
{
  const Encoder *encoder;
  const double *p; /* parameters, flat */
  const gint32 *ids;
  const int *n_valid;
  const float *hidden_weights, *pooled_weights;
} Naive;

static const double *
naive_parameter (const Naive *naive, const char *prefix, const char *name)
{
  g_autofree char *full = g_strconcat (prefix, name, NULL);

  return naive->p + switti_parameters_find (naive->encoder->parameters, full)->offset;
}

static void
naive_norm (const Naive *naive, const char *prefix, const char *name, int rows, const double *x, double *h)
{
  g_autofree char *weight = g_strconcat (name, ".weight", NULL), *bias = g_strconcat (name, ".bias", NULL);
  const double *w = naive_parameter (naive, prefix, weight), *b = naive_parameter (naive, prefix, bias);
  const int width = naive->encoder->config.width;

  for (int r = 0; r < rows; r++)
    {
      double mean = 0, variance = 0;

      for (int j = 0; j < width; j++)
        mean += x[r * width + j] / width;
      for (int j = 0; j < width; j++)
        variance += (x[r * width + j] - mean) * (x[r * width + j] - mean) / width;
      for (int j = 0; j < width; j++)
        h[r * width + j] = (x[r * width + j] - mean) / sqrt (variance + naive->encoder->config.norm_eps) * w[j] + b[j];
    }
}

/* (transfer full): (rows, n) = x (rows, k) . W^T + b */
static double *
naive_linear (const Naive *naive, const char *prefix, const char *name, int rows, int n, int k, const double *x)
{
  g_autofree char *weight = g_strconcat (name, ".weight", NULL), *bias = g_strconcat (name, ".bias", NULL);
  const double *w = naive_parameter (naive, prefix, weight), *b = naive_parameter (naive, prefix, bias);
  double *y = g_new (double, rows * n);

  for (int i = 0; i < rows * n; i++)
    {
      y[i] = b[i % n];
      for (int j = 0; j < k; j++)
        y[i] += x[i / n * k + j] * w[i % n * k + j];
    }
  return y;
}

/* (transfer full): (rows, W) */
static double *
naive_attention (const Naive *naive, const char *prefix, int rows, const double *h)
{
  const int width = naive->encoder->config.width, heads = naive->encoder->config.heads, d = width / heads;
  g_autofree double *q = naive_linear (naive, prefix, "self_attn.q_proj", rows, width, width, h);
  g_autofree double *k = naive_linear (naive, prefix, "self_attn.k_proj", rows, width, width, h);
  g_autofree double *v = naive_linear (naive, prefix, "self_attn.v_proj", rows, width, width, h);
  g_autofree double *out = g_new0 (double, rows * width);

  for (int head = 0; head < heads; head++)
    for (int i = 0; i < rows; i++)
      {
        double weights[T], sum = 0;

        for (int j = 0; j <= i; j++)
          {
            double dot = 0;

            for (int e = head * d; e < (head + 1) * d; e++)
              dot += q[i * width + e] * k[j * width + e];
            weights[j] = exp (dot / sqrt (d));
            sum += weights[j];
          }
        for (int j = 0; j <= i; j++)
          for (int e = head * d; e < (head + 1) * d; e++)
            out[i * width + e] += weights[j] / sum * v[j * width + e];
      }
  return naive_linear (naive, prefix, "self_attn.out_proj", rows, width, width, out);
}

static void
naive_layer (const Naive *naive, int index, int rows, double *x)
{
  const SwittiTextConfig *config = &naive->encoder->config;
  const int width = config->width, mlp = config->mlp;
  g_autofree char *prefix = g_strdup_printf ("encoder.layers.%d.", index);
  g_autofree double *h = g_new (double, rows * width);

  naive_norm (naive, prefix, "layer_norm1", rows, x, h);
  g_autofree double *attended = naive_attention (naive, prefix, rows, h);
  for (int i = 0; i < rows * width; i++)
    x[i] += attended[i];
  naive_norm (naive, prefix, "layer_norm2", rows, x, h);
  g_autofree double *hidden = naive_linear (naive, prefix, "mlp.fc1", rows, mlp, width, h);
  for (int i = 0; i < rows * mlp; i++)
    hidden[i] = config->quick_gelu ? hidden[i] / (1 + exp (-1.702 * hidden[i]))
                                   : hidden[i] * (1 + erf (hidden[i] / G_SQRT2)) / 2;
  g_autofree double *y = naive_linear (naive, prefix, "mlp.fc2", rows, width, mlp, hidden);
  for (int i = 0; i < rows * width; i++)
    x[i] += y[i];
}

/* The sum of all states, each times its weight. */
static double
naive_loss (const Naive *naive)
{
  const SwittiTextConfig *config = &naive->encoder->config;
  const int width = config->width;
  const double *tokens = naive_parameter (naive, "embeddings.", "token_embedding.weight");
  const double *positions = naive_parameter (naive, "embeddings.", "position_embedding.weight");
  double loss = 0;

  for (int b = 0; b < naive->encoder->batch; b++)
    {
      const int rows = naive->n_valid[b];
      const gint32 *ids = naive->ids + b * T;
      g_autofree double *x = g_new (double, rows * width), *h = g_new (double, rows * width);
      int end = 0;

      while (end < rows - 1 && ids[end] != config->eos_id)
        end++;
      for (int i = 0; i < rows * width; i++)
        x[i] = tokens[ids[i / width] * width + i % width] + positions[i];
      for (int l = 0; l < config->layers; l++)
        naive_layer (naive, l, rows, x);
      naive_norm (naive, "", "final_layer_norm", rows, x, h);
      for (int i = 0; i < rows * width; i++)
        loss += h[i] * naive->hidden_weights[b * T * width + i];
      for (int j = 0; j < width; j++)
        loss += h[end * width + j] * naive->pooled_weights[b * width + j];
    }
  return loss;
}

/* Random values for all parameters, also those that begin as 0 or 1. (transfer full) */
static float *
set_random_parameters (Encoder *encoder)
{
  const gsize size = switti_parameters_get_size (encoder->parameters);
  float *values = g_new0 (float, size);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < switti_parameters_get_n (encoder->parameters); i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (encoder->parameters, i);
      g_autofree float *u = fixture_input (parameter->name, 0.5f, parameter->count);

      for (gsize j = 0; j < parameter->count; j++)
        values[parameter->offset + j] = u[j] + (parameter->initial == SWITTI_INITIAL_ONE ? 1.0f : 0.0f);
    }
  upload (encoder->device, switti_parameters_get_values (encoder->parameters), values, size);
  g_assert_true (switti_parameters_refresh (encoder->parameters, &error));
  return values;
}

/* Some elements of every tensor. */
static void
compare_with_differences (Naive *naive, double *p, const float *got)
{
  const double h = 1e-5;

  for (guint i = 0; i < switti_parameters_get_n (naive->encoder->parameters); i++)
    {
      const SwittiParameter *parameter = switti_parameters_get (naive->encoder->parameters, i);
      double largest = 0, worst = 0;
      /* An odd step meets all columns; embeddings are compared where tokens are. */
      const gsize step = MAX (1, parameter->count / 24) | 1;

      for (gsize j = 0; j < parameter->count; j += step)
        {
          double *element = &p[parameter->offset + j], value = *element, slope;

          *element = value + h;
          slope = naive_loss (naive);
          *element = value - h;
          slope = (slope - naive_loss (naive)) / (2 * h);
          *element = value;
          largest = MAX (largest, fabs (slope));
          worst = MAX (worst, fabs (got[parameter->offset + j] - slope));
        }
      /* Sums of some hundred float32 terms through two layers. The bias of k_proj moves all weights of a query alike
       * and has no gradient: what is left of it is rounding, of terms that are as large as other biases' 0.1. */
      if (!(worst <= 5e-5 * MAX (largest, 0.1)))
        {
          g_test_message ("%s: off by %.3g where the largest is %.3g", parameter->name, worst, largest);
          g_test_fail ();
        }
    }
}

static void
test_differences (void)
{
  static const int n_valid[] = { 5, 1, 18 };
  const int batch = G_N_ELEMENTS (n_valid), vocab = 9;

  for (int quick_gelu = 0; quick_gelu < 2; quick_gelu++)
    {
      const SwittiTextConfig config = text_config (2, 12, 3, 20, vocab, quick_gelu);
      Encoder encoder = encoder_new (&config, SWITTI_DTYPE_F32, 2, batch);
      const gsize size = switti_parameters_get_size (encoder.parameters);
      g_autofree gint32 *ids = fixture_integers ("test/ids", vocab, (gsize) batch * T);
      g_autofree float *weights = fixture_input ("test/hidden", 1, (gsize) (batch * T * config.width));
      g_autofree float *pooled_weights = fixture_input ("test/pooled", 1, (gsize) (batch * config.width));
      g_autofree float *values = set_random_parameters (&encoder);
      g_autofree double *p = g_new (double, size);
      Naive naive = { &encoder, p, ids, n_valid, weights, pooled_weights };

      for (int b = 0; b < batch; b++)
        ids[b * T + n_valid[b] - 1] = config.eos_id;
      for (gsize i = 0; i < size; i++)
        p[i] = values[i];
      g_autofree float *once = gradients_for (&encoder, ids, n_valid, weights, pooled_weights);
      compare_with_differences (&naive, p, once);
      /* A second run adds. */
      g_autofree float *twice = gradients_for (&encoder, ids, n_valid, weights, pooled_weights);
      for (gsize i = 0; i < size; i++)
        once[i] *= 2;
      fixture_assert_close ("two runs", twice, once, size, 1e-6);
      encoder_clear (&encoder);
    }
}

/* bf16, and other numbers of threads. */
static void
test_bf16_and_bits (void)
{
  static const int n_valid[] = { 9, 33 };
  const int batch = G_N_ELEMENTS (n_valid);
  const SwittiTextConfig config = text_config (3, 64, 4, 256, 1000, TRUE);
  g_autofree gint32 *ids = fixture_integers ("test/ids", 998, (gsize) batch * T);
  g_autofree float *weights = fixture_input ("test/hidden", 1, (gsize) (batch * T * config.width));
  g_autofree float *pooled_weights = fixture_input ("test/pooled", 1, (gsize) (batch * config.width));
  static const struct
  {
    SwittiDtype dtype;
    int n_threads;
  } settings[] = {
    { SWITTI_DTYPE_F32, 1 }, { SWITTI_DTYPE_F32, 3 }, { SWITTI_DTYPE_BF16, 1 }, { SWITTI_DTYPE_BF16, 3 },
  };
  float *values[G_N_ELEMENTS (settings)];
  gsize size = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (settings); i++)
    {
      Encoder encoder = encoder_new (&config, settings[i].dtype, settings[i].n_threads, batch);

      encoder_load (&encoder, "clip_l.");
      size = switti_parameters_get_size (encoder.parameters);
      values[i] = gradients_for (&encoder, ids, n_valid, weights, pooled_weights);
      encoder_clear (&encoder);
    }
  g_assert_cmpmem (values[0], size * sizeof (float), values[1], size * sizeof (float));
  g_assert_cmpmem (values[2], size * sizeof (float), values[3], size * sizeof (float));
  /* Forward and backward computation each lose what the published code's forward computation does at full depth. */
  fixture_assert_close ("bf16", values[2], values[0], size, 4 * fixture_meta ("full_clip_l_bf16_rel_err"));
  for (gsize i = 0; i < G_N_ELEMENTS (settings); i++)
    g_free (values[i]);
}

/* -- through the transformer ----------------------------------------------------------------------------------- */

#define BATCH 2
#define WIDTH 64
#define POSITIONS 30

/* Two text encoders and a transformer, whose loss their parameters decide. */
typedef struct
{
  SwittiDevice *device;
  SwittiTextConfig config[2];
  SwittiParameters *text_parameters[2], *parameters;
  SwittiTextGradients *text[2];
  SwittiGradients *gradients;
  gint32 *ids, *codes;
  float *latents;
  SwittiTrainingBatch batch;
} Model;

static const int model_n_valid[BATCH] = { 6, 20 };

static Model
model_new (void)
{
  const SwittiGradientsOptions options = { .batch = BATCH, .text_gradients = TRUE };
  g_autoptr (SwittiWeights) weights = switti_weights_new_synthetic ("switti.", SWITTI_DTYPE_F32);
  g_autoptr (GError) error = NULL;
  SwittiTransformerConfig config;
  Model model = { .device = fixture_device (2) };

  fixture_tiny_transformer ("nar", &config);
  config.context_dim = 2 * WIDTH;
  config.pooled_dim = WIDTH;
  model.parameters = switti_transformer_parameters_new (model.device, &config, SWITTI_DTYPE_F32, &error);
  g_assert_no_error (error);
  g_assert_true (switti_parameters_load (model.parameters, weights, &error));
  model.gradients = switti_gradients_new (model.parameters, &config, &options, &error);
  g_assert_no_error (error);
  for (int i = 0; i < 2; i++)
    {
      g_autoptr (SwittiWeights) clip = switti_weights_new_synthetic (i == 0 ? "clip_l." : "clip_g.", SWITTI_DTYPE_F32);

      model.config[i] = text_config (2, WIDTH, 4, 96, 100, i == 0);
      model.text_parameters[i] = switti_text_parameters_new (model.device, &model.config[i], SWITTI_DTYPE_F32, &error);
      g_assert_no_error (error);
      g_assert_true (switti_parameters_load (model.text_parameters[i], clip, &error));
      model.text[i] = switti_text_gradients_new (model.text_parameters[i], &model.config[i], BATCH, &error);
      g_assert_no_error (error);
    }
  model.ids = fixture_integers ("test/ids", 98, BATCH * T);
  model.codes = fixture_integers ("test/codes", 256, BATCH * POSITIONS);
  model.latents = fixture_input ("test/latents", 1, BATCH * (POSITIONS - 1) * 32);
  model.batch = (SwittiTrainingBatch){ model.latents, model.codes, model_n_valid, NULL, NULL };
  return model;
}

static void
model_clear (Model *model)
{
  switti_gradients_free (model->gradients);
  switti_parameters_free (model->parameters);
  for (int i = 0; i < 2; i++)
    {
      switti_text_gradients_free (model->text[i]);
      switti_parameters_free (model->text_parameters[i]);
    }
  g_free (model->ids);
  g_free (model->codes);
  g_free (model->latents);
  g_assert_cmpuint (switti_device_get_allocated_bytes (model->device), ==, 0);
  g_object_unref (model->device);
}

static double
model_loss (Model *model, gboolean backward)
{
  float *context = switti_gradients_get_context (model->gradients);
  g_autoptr (GError) error = NULL;
  SwittiTrainingLoss loss;

  for (int i = 0; i < 2; i++)
    g_assert_true (switti_text_gradients_forward (model->text[i], model->ids, model_n_valid, context + i * WIDTH,
                                                  2 * WIDTH,
                                                  i == 1 ? switti_gradients_get_pooled (model->gradients) : NULL,
                                                  &error));
  if (!backward)
    g_assert_true (switti_gradients_evaluate (model->gradients, &model->batch, &loss, &error));
  else
    g_assert_true (switti_gradients_add (model->gradients, &model->batch, 1, &loss, &error));
  for (int i = 0; backward && i < 2; i++)
    g_assert_true (switti_text_gradients_backward (
        model->text[i], switti_gradients_get_context_gradient (model->gradients) + i * WIDTH, 2 * WIDTH,
        i == 1 ? switti_gradients_get_pooled_gradient (model->gradients) : NULL, &error));
  return loss.loss;
}

/* The slope of the loss along each encoder's gradient, and each tensor's share of it, is the gradient's norm. */
static void
compare_slope (Model *model, int which, const char *name_part)
{
  SwittiParameters *parameters = model->text_parameters[which];
  const gsize size = switti_parameters_get_size (parameters);
  float *values = switti_parameters_get_values (parameters);
  g_autofree float *start = fixture_download (model->device, values, size * sizeof (float));
  g_autofree float *gradients = fixture_download (
      model->device, switti_text_gradients_get_values (model->text[which]), size * sizeof (float));
  g_autofree float *moved = g_new (float, size);
  double norm = 0, step, slope, ends[2];

  for (guint i = 0; i < switti_parameters_get_n (parameters); i++)
    {
      const SwittiParameter *p = switti_parameters_get (parameters, i);

      if (strstr (p->name, name_part) == NULL)
        memset (gradients + p->offset, 0, p->count * sizeof (float));
    }
  for (gsize i = 0; i < size; i++)
    norm += (double) gradients[i] * gradients[i];
  norm = sqrt (norm);
  step = MIN (1e-2 / norm, 0.05);
  for (int end = 0; end < 2; end++)
    {
      for (gsize i = 0; i < size; i++)
        moved[i] = start[i] + (float) ((end == 0 ? -step : step) * gradients[i] / norm);
      upload (model->device, values, moved, size);
      ends[end] = model_loss (model, FALSE);
    }
  upload (model->device, values, start, size);
  slope = (ends[1] - ends[0]) / (2 * step);
  g_test_message ("encoder %d, “%s”: gradient's norm %.6g, slope along it %.6g", which, name_part, norm, slope);
  /* float32 losses of about 6 leave 1e-6 of their difference 2 * step * norm, and the curve its third derivative. */
  g_assert_cmpfloat (fabs (slope - norm), <, 5e-3 * norm + 1e-6 / step);
}

static void
test_through_transformer (void)
{
  static const char *const parts[] = { "",    "token_embedding", "position_embedding", "q_proj", "v_proj", "out_proj",
                                       "fc1", "fc2",             "layer_norm" };
  Model model = model_new ();

  model_loss (&model, TRUE);
  for (int which = 0; which < 2; which++)
    for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
      compare_slope (&model, which, parts[i]);
  model_clear (&model);
}

/* -- first values ---------------------------------------------------------------------------------------------- */

static double
deviation_of (Encoder *encoder, const char *name)
{
  const SwittiParameter *parameter = switti_parameters_find (encoder->parameters, name);
  g_autofree float *values = NULL;
  double squares = 0;

  g_assert_nonnull (parameter);
  values = fixture_download (encoder->device, switti_parameters_get_values (encoder->parameters) + parameter->offset,
                             parameter->count * sizeof (float));
  for (gsize i = 0; i < parameter->count; i++)
    squares += (double) values[i] * values[i];
  return sqrt (squares / (double) parameter->count);
}

static void
test_initial (void)
{
  const SwittiTextConfig config = text_config (3, 64, 4, 256, 1000, TRUE);
  const struct
  {
    const char *name;
    double deviation;
  } expected[] = {
    { "embeddings.token_embedding.weight", 0.02 },
    { "embeddings.position_embedding.weight", 0.01 },
    { "encoder.layers.1.self_attn.q_proj.weight", 1 / 8.0 },
    { "encoder.layers.1.self_attn.v_proj.weight", 1 / 8.0 },
    { "encoder.layers.1.self_attn.out_proj.weight", 1 / 8.0 / sqrt (6) },
    { "encoder.layers.2.mlp.fc1.weight", 1 / sqrt (128) },
    { "encoder.layers.2.mlp.fc2.weight", 1 / 8.0 / sqrt (6) },
    { "encoder.layers.0.mlp.fc1.bias", 0 },
    { "final_layer_norm.weight", 1 },
    { "final_layer_norm.bias", 0 },
  };
  g_autoptr (GError) error = NULL;
  Encoder encoder = encoder_new (&config, SWITTI_DTYPE_F32, 1, 1);

  g_assert_true (switti_parameters_initialise (encoder.parameters, 3, 0, &error));
  /* Of 4096 numbers and more, the deviation is known to 1 / sqrt (2 * 4096): five times that. */
  for (gsize i = 0; i < G_N_ELEMENTS (expected); i++)
    g_assert_cmpfloat (fabs (deviation_of (&encoder, expected[i].name) - expected[i].deviation), <=,
                       0.055 * expected[i].deviation);
  encoder_clear (&encoder);
}

static void
test_errors (void)
{
  SwittiTextConfig config = text_config (1, 12, 3, 20, 9, TRUE);
  gint32 ids[T] = { 7, 9, 8 };
  const int n_valid = 3;
  g_autoptr (GError) error = NULL;
  Encoder encoder = encoder_new (&config, SWITTI_DTYPE_F32, 1, 1);

  g_assert_false (switti_text_gradients_forward (encoder.gradients, ids, &n_valid, encoder.hidden, encoder.stride,
                                                 NULL, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  g_clear_error (&error);
  config.positions = T - 1;
  g_assert_null (switti_text_gradients_new (encoder.parameters, &config, 1, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_MODEL_INVALID);
  encoder_clear (&encoder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/text-gradients/states", test_states);
  g_test_add_func ("/text-gradients/same-as-encoder", test_same_as_encoder);
  g_test_add_func ("/text-gradients/differences", test_differences);
  g_test_add_func ("/text-gradients/bf16-and-bits", test_bf16_and_bits);
  g_test_add_func ("/text-gradients/through-transformer", test_through_transformer);
  g_test_add_func ("/text-gradients/initial", test_initial);
  g_test_add_func ("/text-gradients/errors", test_errors);
  return g_test_run ();
}
