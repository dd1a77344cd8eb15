/* eval.c - `switti-train eval`: how well a model's VAE reconstructs a folder's images, and its transformer foretells
 * their codes
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "switti-build-config.h"

#include "switti-error.h"
#include "switti-loader-private.h"
#include "switti-psnr-private.h"
#include "train.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

typedef struct
{
  char *model, *data_path, *split, *json, *device;
  int images, batch, threads, max_bad;

  SwittiTrainingOptions options; /* of a training that would go on from the model */
  SwittiDevice *on;
  SwittiVaeConfig vae;
  SwittiTrainingModel *training; /* with `trainer`; NULL for a VAE alone */
  SwittiTrainer *trainer;
  SwittiCodes *own_codes, *codes; /* codes: the trainer's, or own_codes */
  SwittiDataset *dataset;
  SwittiLoader *loader;
  gsize n_values, n_codes; /* of an image */
  gint32 *host_codes;      /* (batch, L) */
  guint8 *rgb, *reconstruction; /* (batch, R, R, 3) */

  gint64 n; /* images so far */
  double psnr, least_psnr, most_psnr; /* psnr: their sum */
  gint64 *uses;                       /* (V): of each code */
  SwittiTrainingLoss loss;            /* means */
} Eval;

static void
eval_clear (Eval *self)
{
  switti_loader_free (self->loader);
  switti_dataset_free (self->dataset);
  switti_trainer_free (self->trainer);
  switti_codes_free (self->own_codes);
  switti_training_model_free (self->training);
  g_clear_object (&self->on);
  switti_training_options_clear (&self->options);
  g_free (self->model);
  g_free (self->data_path);
  g_free (self->split);
  g_free (self->json);
  g_free (self->device);
  g_free (self->host_codes);
  g_free (self->rgb);
  g_free (self->reconstruction);
  g_free (self->uses);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Eval, eval_clear)

/* -- the model ------------------------------------------------------------------------------------------------- */

/* A VAE without the other parts, as `switti-train vae` makes it from nothing. */
static gboolean
is_vae_alone (const char *folder)
{
  g_autofree char *vae = g_build_filename (folder, "vae", "config.json", NULL);
  g_autofree char *index = g_build_filename (folder, "model_index.json", NULL);

  return g_file_test (vae, G_FILE_TEST_EXISTS) && !g_file_test (index, G_FILE_TEST_EXISTS);
}

static gboolean
open_vae_alone (Eval *self, GError **error)
{
  g_autofree char *folder = g_build_filename (self->model, "vae", NULL);
  g_autofree char *config = g_build_filename (folder, "config.json", NULL);
  g_autoptr (SwittiWeights) weights = switti_weights_open_folder (folder, error);

  if (weights == NULL || !switti_vae_config_load (config, weights, &self->vae, error))
    return FALSE;
  self->own_codes = switti_codes_new (self->on, &self->vae, weights, self->batch, error);
  self->codes = self->own_codes;
  return self->codes != NULL;
}

static void
set_number (SwittiTrainingOptions *options, const char *name, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  g_ascii_dtostr (text, sizeof text, value);
  if (!switti_training_options_set (options, switti_training_options_find (name), text, NULL))
    g_assert_not_reached ();
}

static void
set_text (SwittiTrainingOptions *options, const char *name, const char *text)
{
  if (!switti_training_options_set (options, switti_training_options_find (name), text, NULL))
    g_assert_not_reached ();
}

/* What a training of that shape is told. */
static void
describe_shape (SwittiTrainingOptions *options, const SwittiTransformerConfig *config)
{
  g_autoptr (GString) sides = g_string_new (NULL);

  for (int s = 0; s < config->schedule.n_scales; s++)
    g_string_append_printf (sides, "%s%d", s > 0 ? "_" : "", config->schedule.side[s]);
  set_text (options, "pn", sides->str);
  set_number (options, "depth", config->depth);
  set_number (options, "embed-dim", config->width);
  set_number (options, "num-heads", config->heads);
  set_number (options, "rope-theta", config->rope_theta);
  set_number (options, "rope-size", config->rope_size);
  set_text (options, "rope", config->rope ? "true" : "false");
  set_text (options, "use-swiglu-ffn", config->swiglu ? "true" : "false");
  set_text (options, "use-ar", config->ar ? "true" : "false");
  set_text (options, "use-crop-cond", config->crop_cond ? "true" : "false");
}

static gboolean
open_model (Eval *self, GError **error)
{
  g_autoptr (SwittiBundle) bundle = switti_bundle_open (self->model, error);
  const SwittiBundleParts *parts;

  if (bundle == NULL)
    return FALSE;
  parts = switti_bundle_get_parts (bundle);
  self->vae = parts->vae;
  set_text (&self->options, "init", self->model);
  describe_shape (&self->options, &parts->transformer);
  self->training = switti_training_model_new (self->on, &self->options, NULL, error);
  if (self->training == NULL)
    return FALSE;
  self->trainer = switti_trainer_new (self->training, &self->options, self->batch, error);
  if (self->trainer == NULL)
    return FALSE;
  self->codes = switti_trainer_get_codes (self->trainer);
  return TRUE;
}

static gboolean
open_images (Eval *self, GError **error)
{
  const int side = self->vae.schedule.side[self->vae.schedule.n_scales - 1];
  const SwittiLoaderOptions options = { .resolution = 16 * side, .batch = self->batch, .n_ranks = 1,
                                        .is_one_pass = TRUE };

  self->n_values = (gsize) options.resolution * (gsize) options.resolution * 3;
  self->n_codes = (gsize) switti_schedule_length (&self->vae.schedule);
  self->host_codes = g_new (gint32, (gsize) self->batch * self->n_codes);
  self->rgb = g_malloc ((gsize) self->batch * self->n_values);
  self->reconstruction = g_malloc ((gsize) self->batch * self->n_values);
  self->uses = g_new0 (gint64, self->vae.vocab);
  self->least_psnr = INFINITY;
  self->dataset = switti_dataset_open (self->data_path, self->split, (guint) self->max_bad, error);
  if (self->dataset == NULL)
    return FALSE;
  self->loader = switti_loader_new (self->dataset, &options, error);
  return self->loader != NULL;
}

/* -- measuring ------------------------------------------------------------------------------------------------- */

static gboolean
measure_vae (Eval *self, const SwittiLoaderBatch *batch, GError **error)
{
  if (!switti_codes_encode (self->codes, batch->n, batch->pixels, self->host_codes, error)
      || !switti_codes_decode (self->codes, batch->n, self->host_codes, self->reconstruction, error))
    return FALSE;
  switti_pixels_to_rgb (batch->pixels, (gsize) batch->n * self->n_values, self->rgb);
  for (int i = 0; i < batch->n; i++)
    {
      const gsize at = (gsize) i * self->n_values;
      const double psnr = switti_psnr (self->rgb + at, self->reconstruction + at, self->n_values);

      self->psnr += psnr;
      self->least_psnr = MIN (self->least_psnr, psnr);
      self->most_psnr = MAX (self->most_psnr, psnr);
    }
  for (gsize i = 0; i < (gsize) batch->n * self->n_codes; i++)
    self->uses[self->host_codes[i]]++;
  return TRUE;
}

static void
add_loss (Eval *self, const SwittiTrainingLoss *loss, gint64 before, int n)
{
  const double share = n / (double) (before + n);

  self->loss.loss += (loss->loss - self->loss.loss) * share;
  for (int s = 0; s < self->vae.schedule.n_scales; s++)
    {
      self->loss.scale_loss[s] += (loss->scale_loss[s] - self->loss.scale_loss[s]) * share;
      self->loss.scale_accuracy[s] += (loss->scale_accuracy[s] - self->loss.scale_accuracy[s]) * share;
      self->loss.scale_top5[s] += (loss->scale_top5[s] - self->loss.scale_top5[s]) * share;
    }
}

/* The trainer takes whole batches. An image of the rest fills one alone, whose mean is then its own. */
static gboolean
measure_alone (Eval *self, const SwittiLoaderBatch *batch, int i, GError **error)
{
  const gsize n = (gsize) self->batch;
  g_autofree gint32 *codes = g_new (gint32, n * self->n_codes);
  g_autofree const char **captions = g_new (const char *, n);
  g_autofree int *heights = g_new (int, n), *widths = g_new (int, n);
  g_autofree guint64 *positions = g_new0 (guint64, n);
  const SwittiTrainingImages images = { self->batch, codes, captions, heights, widths, positions };
  SwittiTrainingLoss loss;

  for (gsize j = 0; j < n; j++)
    {
      memcpy (codes + j * self->n_codes, self->host_codes + (gsize) i * self->n_codes, self->n_codes * sizeof *codes);
      captions[j] = batch->captions[i];
      heights[j] = batch->heights[i];
      widths[j] = batch->widths[i];
    }
  if (!switti_trainer_evaluate (self->trainer, &images, &loss, error))
    return FALSE;
  add_loss (self, &loss, self->n + i, 1);
  return TRUE;
}

static gboolean
measure_transformer (Eval *self, const SwittiLoaderBatch *batch, GError **error)
{
  const SwittiTrainingImages images = { batch->n, self->host_codes, batch->captions, batch->heights, batch->widths,
                                        batch->positions };
  SwittiTrainingLoss loss;

  if (batch->n < self->batch)
    {
      for (int i = 0; i < batch->n; i++)
        if (!measure_alone (self, batch, i, error))
          return FALSE;
      return TRUE;
    }
  if (!switti_trainer_evaluate (self->trainer, &images, &loss, error))
    return FALSE;
  add_loss (self, &loss, self->n, batch->n);
  return TRUE;
}

static gboolean
measure (Eval *self, GCancellable *cancellable, GError **error)
{
  const gint64 wanted
      = self->images > 0 ? MIN (self->images, (gint64) switti_dataset_get_n (self->dataset))
                         : (gint64) switti_dataset_get_n (self->dataset);

  while (self->n < wanted)
    {
      const SwittiLoaderBatch *given;
      SwittiLoaderBatch batch;
      gboolean good;

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      good = switti_loader_next (self->loader, &given, error);
      train_say_reports (self->dataset);
      if (!good)
        return FALSE;
      batch = *given;
      batch.n = (int) MIN (batch.n, wanted - self->n);
      if (batch.n == 0)
        break;
      if (!measure_vae (self, &batch, error) || (self->trainer != NULL && !measure_transformer (self, &batch, error)))
        return FALSE;
      self->n += batch.n;
      cli_progress_show ((double) self->n / (double) wanted, _ ("measuring"));
    }
  cli_progress_hide ();
  if (self->n > 0)
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("No image of “%s” could be read."), self->data_path);
  return FALSE;
}

/* -- the result ------------------------------------------------------------------------------------------------ */

static int
count_used (const Eval *self)
{
  int n = 0;

  for (int v = 0; v < self->vae.vocab; v++)
    n += self->uses[v] > 0;
  return n;
}

static void
print_table (const Eval *self)
{
  g_print (_ ("%d images of %s, %d pixels\n"), (int) self->n, self->split,
           16 * self->vae.schedule.side[self->vae.schedule.n_scales - 1]);
  g_print (_ ("Reconstruction: PSNR %.2f dB (%.2f to %.2f); %d of %d codes are used\n"), self->psnr / (double) self->n,
           self->least_psnr, self->most_psnr, count_used (self), self->vae.vocab);
  if (self->trainer == NULL)
    return;
  g_print ("%6s %6s %9s %9s %9s\n", _ ("scale"), _ ("side"), _ ("loss"), _ ("accuracy"), _ ("top 5"));
  for (int s = 0; s < self->vae.schedule.n_scales; s++)
    g_print ("%6d %6d %9.4f %8.2f%% %8.2f%%\n", s, self->vae.schedule.side[s], self->loss.scale_loss[s],
             100 * self->loss.scale_accuracy[s], 100 * self->loss.scale_top5[s]);
  g_print ("%6s %6s %9.4f\n", _ ("all"), "", self->loss.loss);
}

static JsonNode *
make_json (const Eval *self)
{
  JsonObject *object = json_object_new ();
  JsonArray *scales = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  json_object_set_string_member (object, "model", self->model);
  json_object_set_string_member (object, "split", self->split);
  json_object_set_int_member (object, "images", self->n);
  json_object_set_int_member (object, "resolution",
                              16 * self->vae.schedule.side[self->vae.schedule.n_scales - 1]);
  json_object_set_double_member (object, "psnr", self->psnr / (double) self->n);
  json_object_set_double_member (object, "psnr_least", self->least_psnr);
  json_object_set_double_member (object, "psnr_most", self->most_psnr);
  json_object_set_int_member (object, "codes", self->vae.vocab);
  json_object_set_int_member (object, "codes_used", count_used (self));
  for (int s = 0; self->trainer != NULL && s < self->vae.schedule.n_scales; s++)
    {
      JsonObject *scale = json_object_new ();

      json_object_set_int_member (scale, "side", self->vae.schedule.side[s]);
      json_object_set_double_member (scale, "loss", self->loss.scale_loss[s]);
      json_object_set_double_member (scale, "accuracy", self->loss.scale_accuracy[s]);
      json_object_set_double_member (scale, "top5", self->loss.scale_top5[s]);
      json_array_add_object_element (scales, scale);
    }
  if (self->trainer != NULL)
    {
      json_object_set_double_member (object, "loss", self->loss.loss);
      json_object_set_array_member (object, "scales", g_steal_pointer (&scales));
    }
  g_clear_pointer (&scales, json_array_unref);
  json_node_take_object (node, object);
  return node;
}

static gboolean
tell (const Eval *self, GError **error)
{
  g_autoptr (JsonNode) node = self->json != NULL ? make_json (self) : NULL;
  g_autofree char *text = node != NULL ? json_to_string (node, TRUE) : NULL;
  g_autofree char *line = g_strconcat (text != NULL ? text : "", "\n", NULL);
  g_autoptr (GError) reason = NULL;

  if (g_strcmp0 (self->json, "-") == 0)
    {
      g_print ("%s", line);
      return TRUE;
    }
  print_table (self);
  if (text == NULL || g_file_set_contents_full (self->json, line, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0666, &reason))
    return TRUE;
  g_set_error (error, SWITTI_ERROR, SWITTI_ERROR_IO, _ ("“%s” could not be written: %s."), self->json,
               reason->message);
  return FALSE;
}

static gboolean
work (GCancellable *cancellable, gpointer data, GError **error)
{
  Eval *self = data;

  self->on = switti_device_new (self->device != NULL ? self->device : "auto", self->threads, error);
  if (self->on == NULL)
    return FALSE;
  return (is_vae_alone (self->model) ? open_vae_alone (self, error) : open_model (self, error))
         && open_images (self, error) && measure (self, cancellable, error) && tell (self, error);
}

/* -- the command line ------------------------------------------------------------------------------------------ */

static gboolean
parse (Eval *self, char ***argv)
{
  const GOptionEntry own[] = {
    { "model", 'm', 0, G_OPTION_ARG_FILENAME, &self->model, N_ ("Model, checkpoint, or folder with a VAE"),
      N_ ("MODEL") },
    { "data-path", 0, 0, G_OPTION_ARG_FILENAME, &self->data_path, N_ ("Folder of the images"), N_ ("FOLDER") },
    { "split", 0, 0, G_OPTION_ARG_STRING, &self->split, N_ ("Which of them (default: val2014)"), N_ ("NAME") },
    { "images", 0, 0, G_OPTION_ARG_INT, &self->images, N_ ("How many of them; 0: all"), N_ ("N") },
    { "bs", 0, 0, G_OPTION_ARG_INT, &self->batch, N_ ("Images at once (default: 4)"), N_ ("N") },
    { "max-bad", 0, 0, G_OPTION_ARG_INT, &self->max_bad, N_ ("Stop when more images than this cannot be read"),
      N_ ("N") },
    { "json", 0, 0, G_OPTION_ARG_FILENAME, &self->json, N_ ("Write the result as JSON, too; “-”: only so, to stdout"),
      N_ ("FILE") },
    { "device", 0, 0, G_OPTION_ARG_STRING, &self->device, N_ ("auto, cpu, cuda or cuda:N"), N_ ("DEVICE") },
    { "threads", 0, 0, G_OPTION_ARG_INT, &self->threads, N_ ("Threads of the processor; 0: all"), N_ ("N") },
    { NULL },
  };
  const GOptionEntry *const entries[] = { own, NULL };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_add_main_entries (context, own, GETTEXT_PACKAGE);
  g_option_context_set_summary (
      context, _ ("Measures a model on a folder of images: how well its VAE reconstructs them, and how well its\n"
                  "transformer foretells their codes, scale by scale."));
  g_option_context_set_description (
      context, _ ("Example:\n"
                  "  switti-train eval --model runs/icons/latest --data-path icons --json result.json"));
  return cli_parse_options (context, entries, "switti-train eval", argv);
}

static gboolean
check (const Eval *self, char **rest)
{
  const char *mistake = NULL;

  if (*rest != NULL)
    mistake = _ ("switti-train eval takes options alone; “switti-train eval --help” lists them.");
  else if (self->model == NULL)
    mistake = _ ("Say what to measure: --model MODEL.");
  else if (self->data_path == NULL)
    mistake = _ ("Say where the images are: --data-path FOLDER, with val2014/ and val2014.csv in it.");
  else if (self->batch < 1 || self->batch > 1024 || self->images < 0 || self->max_bad < 0 || self->threads < 0)
    mistake = _ ("--bs takes 1 to 1024, --images, --max-bad and --threads 0 or more.");
  if (mistake != NULL)
    cli_report (mistake);
  return mistake == NULL;
}

int
train_eval (int argc, char **argv)
{
  g_auto (Eval) self = { .split = g_strdup ("val2014"), .batch = 4, .max_bad = 100 };
  g_auto (GStrv) arguments = g_strdupv (argv);

  switti_training_options_init (&self.options);
  if (!parse (&self, &arguments) || !check (&self, arguments + 1))
    return TRAIN_USAGE;
  return cli_run (work, &self);
}
