/* test-trainer.c - steps of a whole training on CUDA, on the host, beside the CPU's; and from a checkpoint
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "fixture.h"
#include "switti-trainer-private.h"
#include "switti-training-checkpoints-private.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#define BATCH 2
#define LENGTH 14 /* of the scales 1 2 3 */
#define STEPS 2
/* Sums in other orders, through two steps of a model of random weights. */
#define LOSS_TOLERANCE 1e-5
/* The bar of narrower dtypes. */
#define NARROW_LOSS_TOLERANCE 0.01

/* A training of a tiny transformer and text encoders, for the model in the box' VAE. */
typedef struct
{
  SwittiTrainingOptions options;
  SwittiDevice *device;
  SwittiTrainingModel *model;
  SwittiTrainer *trainer;
} Subject;

static void
set_option (Subject *subject, const char *name, const char *value)
{
  g_autoptr (GError) error = NULL;

  switti_training_options_set (&subject->options, switti_training_options_find (name), value, &error);
  g_assert_no_error (error);
}

/* Takes over `device`. */
static void
subject_init (Subject *subject, SwittiDevice *device, const char *fp16, const char *out)
{
  static const char *const given[][2] = {
    { "vae", "icons" }, { "train-text", "true" }, { "text-width", "8,8" }, { "text-depth", "1,1" }, { "depth", "1" },
    { "embed-dim", "64" }, { "pn", "1_2_3" }, { "bs", "2" }, { "tblr", "1e-2" }, { "twd", "0.05" }, { "ema", "0.9" },
    { "hd", "1" }, { "seed", "3" }, { "save-dtype", "f32" },
  };
  g_autoptr (GError) error = NULL;

  switti_training_options_init (&subject->options);
  for (gsize i = 0; i < G_N_ELEMENTS (given); i++)
    set_option (subject, given[i][0], given[i][1]);
  set_option (subject, "fp16", fp16);
  set_option (subject, "local-out-dir-path", out);
  subject->device = device;
  subject->model = switti_training_model_new (device, &subject->options, NULL, &error);
  g_assert_no_error (error);
  subject->trainer = switti_trainer_new (subject->model, &subject->options, BATCH, &error);
  g_assert_no_error (error);
}

static void
subject_clear (Subject *subject)
{
  switti_trainer_free (subject->trainer);
  switti_training_model_free (subject->model);
  g_assert_cmpuint (switti_device_get_allocated_bytes (subject->device), ==, 0);
  g_object_unref (subject->device);
  switti_training_options_clear (&subject->options);
}

static double
take_step (Subject *subject, int step)
{
  static const char *const captions[BATCH] = { "a red disc", "a cat, flat style" };
  static const int sizes[BATCH] = { 512, 480 };
  gint32 codes[BATCH * LENGTH];
  guint64 positions[BATCH];
  g_autoptr (GError) error = NULL;
  SwittiStepReport report;

  for (int i = 0; i < BATCH * LENGTH; i++)
    codes[i] = (i * 37 + step * 5) % subject->model->vae.vocab;
  for (int b = 0; b < BATCH; b++)
    positions[b] = (guint64) (step * BATCH + b);
  const SwittiTrainingImages images = { BATCH, codes, captions, sizes, sizes, positions };
  switti_trainer_begin_step (subject->trainer, &error);
  g_assert_no_error (error);
  switti_trainer_add (subject->trainer, &images, &error);
  g_assert_no_error (error);
  switti_trainer_finish_step (subject->trainer, step, &report, &error);
  g_assert_no_error (error);
  g_assert_true (isfinite (report.gradient_norm));
  return report.loss.loss;
}

static void
compare (const char *fp16, const double *expected, double tolerance, double *losses)
{
  for (int which = 0; which < 2; which++)
    {
      g_autoptr (GError) error = NULL;
      SwittiDevice *device = which == 0 ? switti_device_new ("cpu", 1, &error) : fixture_device (1);
      Subject subject;

      g_assert_no_error (error);
      subject_init (&subject, device, fp16, "/nonexistent");
      for (int step = 0; step < STEPS; step++)
        {
          const double loss = take_step (&subject, step);
          const double by = which == 0 ? (expected != NULL ? expected[step] : loss) : losses[step];

          g_test_message ("--fp16 %s, %s, step %d: loss %.7g, %.2g off", fp16, which == 0 ? "CPU" : "CUDA", step, loss,
                          fabs (loss - by) / by);
          g_assert_cmpfloat (fabs (loss - by), <=, (which == 0 ? NARROW_LOSS_TOLERANCE : tolerance) * by);
          if (which == 0)
            losses[step] = loss;
        }
      subject_clear (&subject);
    }
}

static void
test_devices (void)
{
  double wide[STEPS], narrow[STEPS];

  compare ("0", NULL, LOSS_TOLERANCE, wide);
  compare ("1", wide, NARROW_LOSS_TOLERANCE, narrow);
  compare ("2", wide, NARROW_LOSS_TOLERANCE, narrow);
}

/* -- checkpoints ------------------------------------------------------------------------------------------------- */

static float *
values_of (Subject *subject, int part, gsize *bytes)
{
  SwittiParameters *parameters = subject->model->parameters[part];

  *bytes = switti_parameters_get_size (parameters) * sizeof (float);
  return fixture_download (subject->device, switti_parameters_get_values (parameters), *bytes);
}

/* Saves after the first step; (transfer full): the checkpoint's folder. */
static char *
save (Subject *subject)
{
  const SwittiTrainingState state = { .step = 1, .samples = BATCH };
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiCheckpoints) checkpoints = switti_checkpoints_new (subject->model, &subject->options, &error);

  g_assert_no_error (error);
  switti_checkpoints_save (checkpoints, &state, &error);
  g_assert_no_error (error);
  switti_checkpoints_wait (checkpoints, &error);
  g_assert_no_error (error);
  return g_strdup (switti_checkpoints_get_newest (checkpoints));
}

/* The order of a device's threads is another in the second training. */
static void
test_resume (void)
{
  g_autofree char *out = g_dir_make_tmp ("switti-trainer-XXXXXX", NULL), *folder = NULL, *command = NULL;
  g_autoptr (GError) error = NULL;
  SwittiTrainingState state = { 0 };
  Subject whole, resumed;

  subject_init (&whole, fixture_device (1), "1", out);
  take_step (&whole, 0);
  folder = save (&whole);
  take_step (&whole, 1);
  subject_init (&resumed, fixture_device (2), "1", out);
  switti_checkpoints_load (resumed.model, folder, &state, &error);
  g_assert_no_error (error);
  g_assert_cmpint (state.step, ==, 1);
  g_assert_cmpint (resumed.model->loss_scale.good_steps, ==, 1);
  take_step (&resumed, 1);
  for (int part = 0; part < SWITTI_N_PARTS; part++)
    {
      gsize bytes;
      g_autofree float *a = values_of (&whole, part, &bytes), *b = values_of (&resumed, part, &bytes);

      g_assert_cmpmem (a, bytes, b, bytes);
    }
  subject_clear (&resumed);
  subject_clear (&whole);
  command = g_strdup_printf ("rm -r '%s'", out);
  g_assert_true (g_spawn_command_line_sync (command, NULL, NULL, NULL, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/trainer/devices", test_devices);
  g_test_add_func ("/trainer/resume", test_resume);
  return g_test_run ();
}
