/* test-collective.c - ranks that talk, and the environments of launchers
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "collective-checks.h"
#include "ranks-in-threads.h"
#include "switti-error.h"
#include "switti-launch-private.h"
#include "switti-ranks-private.h"

#include <string.h>

static void
check_all (SwittiCollective *ranks, gpointer data)
{
  check_ranks (ranks);
  if (switti_collective_get_size (ranks) > 1)
    check_parts (ranks);
}

static void
test_threads (void)
{
  for (int n = 1; n <= 5; n++)
    run_ranks (n, check_all, NULL);
}

static void
test_single (void)
{
  g_autoptr (SwittiCollective) ranks = switti_collective_new_single ();
  g_autoptr (SwittiCollective) part = switti_collective_split (ranks, 3, NULL);

  check_ranks (ranks);
  check_ranks (part);
}

/* After a failure nothing is sent any more, and every wait says why. */
static void
fail_in_the_middle (SwittiCollective *ranks, gpointer data)
{
  double number = 1;

  for (int i = 0; i < 5; i++)
    {
      g_autoptr (GError) error = NULL;
      const gboolean good = switti_collective_all_reduce (ranks, &number, 1, SWITTI_DTYPE_F64, &error);

      g_assert_true (good == (i < 2));
      if (!good)
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED);
    }
}

static void
test_failure (void)
{
  run_failing_ranks (3, 2, fail_in_the_middle, NULL);
}

/* -- a device that is behind --------------------------------------------------------------------------------------- */

/* Two ranks, of which the other one never differs; and a device, on which marks are numbers in the order of calls. */
typedef struct
{
  GThread *caller;
  void *stream;
  gsize n_marks, n_followed, n_sums;
} Device;

static void
device_attach (gpointer data, void *stream)
{
  ((Device *) data)->stream = stream;
}

static gpointer
device_mark (gpointer data)
{
  Device *device = data;

  g_assert_true (g_thread_self () == device->caller);
  return GSIZE_TO_POINTER (++device->n_marks);
}

static gboolean
device_follow (gpointer data, gpointer mark, GError **error)
{
  Device *device = data;

  g_assert_true (g_thread_self () != device->caller);
  g_assert_cmpuint (GPOINTER_TO_SIZE (mark), ==, ++device->n_followed);
  return TRUE;
}

static gboolean
device_sum (gpointer data, void *memory, gsize count, SwittiDtype dtype, GError **error)
{
  Device *device = data;

  /* What it reads comes after what was marked when it began, and nothing was done in between. */
  g_assert_cmpuint (device->n_followed, ==, ++device->n_sums);
  if (device->n_sums == 4)
    {
      g_set_error_literal (error, SWITTI_ERROR, SWITTI_ERROR_IO, "lost");
      return FALSE;
    }
  for (gsize i = 0; i < count; i++)
    ((double *) memory)[i] *= 2;
  return TRUE;
}

static void
device_free (gpointer data)
{
}

static void
test_device (void)
{
  static const SwittiCollectiveOps ops = { .all_reduce = device_sum, .attach = device_attach, .mark = device_mark,
                                           .follow = device_follow, .free = device_free };
  Device device = { .caller = g_thread_self () };
  const SwittiCollectiveBackend backend = { .ops = &ops, .data = &device, .rank = 0, .size = 2 };
  SwittiCollective *ranks = switti_collective_new (&backend);
  g_autoptr (GError) error = NULL;
  double numbers[6] = { 1, 2, 3, 4, 5, 6 };

  switti_collective_attach (ranks, &device);
  g_assert_true (device.stream == &device);
  for (int i = 0; i < 3; i++)
    switti_collective_begin_all_reduce (ranks, &numbers[i], 1, SWITTI_DTYPE_F64);
  g_assert_true (switti_collective_wait (ranks, 3, &error));
  g_assert_no_error (error);
  g_assert_cmpfloat (numbers[2], ==, 6);
  /* Marks are taken over after a failure, too. */
  for (int i = 3; i < 6; i++)
    switti_collective_begin_all_reduce (ranks, &numbers[i], 1, SWITTI_DTYPE_F64);
  g_assert_false (switti_collective_wait (ranks, 6, &error));
  g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_IO);
  switti_collective_unref (ranks);
  g_assert_cmpuint (device.n_followed, ==, 6);
  g_assert_cmpuint (device.n_sums, ==, 4);
}

/* -- launchers ------------------------------------------------------------------------------------------------- */

static void
test_launchers (void)
{
  static const struct
  {
    const char *environment[8];
    SwittiLaunch expected;
  } cases[] = {
    { { "HOME=/root" }, { NULL, 0, 1, 0, 1, NULL, 0 } },
    { { "OMPI_COMM_WORLD_RANK=3", "OMPI_COMM_WORLD_SIZE=4", "OMPI_COMM_WORLD_LOCAL_RANK=1",
        "OMPI_COMM_WORLD_LOCAL_SIZE=2" },
      { "mpirun", 3, 4, 1, 2, NULL, 0 } },
    { { "PMI_RANK=0", "PMI_SIZE=8", "MPI_LOCALRANKID=0", "MPI_LOCALNRANKS=8" }, { "mpirun", 0, 8, 0, 8, NULL, 0 } },
    { { "RANK=9", "WORLD_SIZE=16", "LOCAL_RANK=1", "LOCAL_WORLD_SIZE=8", "MASTER_ADDR=10.0.0.1", "MASTER_PORT=29500" },
      { "torchrun", 9, 16, 1, 8, (char *) "10.0.0.1", 29500 } },
    { { "SLURM_PROCID=2", "SLURM_STEP_NUM_TASKS=3", "SLURM_LOCALID=0", "SLURM_LAUNCH_NODE_IPADDR=10.1.1.1" },
      { "srun", 2, 3, 0, 1, (char *) "10.1.1.1", 0 } },
    { { "SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=16", "SLURM_STEP_NODELIST=gpu[003-004,9],login",
        "SLURM_LAUNCH_NODE_IPADDR=10.1.1.1", "SLURM_JOB_ID=1234567" },
      { "srun", 0, 16, 0, 1, (char *) "gpu003", 24567 } },
    { { "SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=2", "SLURM_STEP_NODELIST=r[1-2]n[7,9].lan", "SLURM_JOB_ID=1",
        "MASTER_PORT=7000" },
      { "srun", 0, 2, 0, 1, (char *) "r1n7.lan", 7000 } },
    { { "SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=2", "SLURM_STEP_NODELIST=broken[1", "SLURM_JOB_ID=none" },
      { "srun", 0, 2, 0, 1, NULL, 0 } },
    { { "SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=2", "SLURM_STEP_NODELIST=a,b", "MASTER_ADDR=c" },
      { "srun", 0, 2, 0, 1, (char *) "c", 0 } },
    /* A batch script of SLURM is one process; and mpirun in a job of SLURM comes first. */
    { { "SLURM_PROCID=0", "SLURM_NTASKS=8" }, { NULL, 0, 1, 0, 1, NULL, 0 } },
    { { "SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=1", "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2" },
      { "mpirun", 1, 2, 0, 1, NULL, 0 } },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (SwittiLaunch) launch = { NULL };
      g_autoptr (GError) error = NULL;

      switti_launch_parse ((char **) cases[i].environment, &launch, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (launch.launcher, ==, cases[i].expected.launcher);
      g_assert_cmpint (launch.rank, ==, cases[i].expected.rank);
      g_assert_cmpint (launch.size, ==, cases[i].expected.size);
      g_assert_cmpint (launch.local_rank, ==, cases[i].expected.local_rank);
      g_assert_cmpint (launch.local_size, ==, cases[i].expected.local_size);
      g_assert_cmpstr (launch.address, ==, cases[i].expected.address);
      g_assert_cmpint (launch.port, ==, cases[i].expected.port);
    }
}

static void
test_bad_launchers (void)
{
  static const struct
  {
    const char *environment[4];
    const char *names;
  } cases[] = {
    { { "WORLD_SIZE=4" }, "RANK" },
    { { "WORLD_SIZE=0", "RANK=0" }, "WORLD_SIZE" },
    { { "WORLD_SIZE=4", "RANK=4" }, "RANK" },
    { { "WORLD_SIZE=4", "RANK=-1" }, "RANK" },
    { { "WORLD_SIZE=many", "RANK=0" }, "WORLD_SIZE" },
    { { "WORLD_SIZE=4294967297", "RANK=0" }, "WORLD_SIZE" },
    { { "WORLD_SIZE=2", "RANK=0", "MASTER_PORT=99999" }, "MASTER_PORT" },
    { { "OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_LOCAL_RANK=7" },
      "OMPI_COMM_WORLD_LOCAL_RANK" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (SwittiLaunch) launch = { NULL };
      g_autoptr (GError) error = NULL;

      g_assert_false (switti_launch_parse ((char **) cases[i].environment, &launch, &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_ARGUMENT);
      g_assert_nonnull (strstr (error->message, cases[i].names));
    }
}

static void
test_open (void)
{
  SwittiLaunch launch = { NULL, 0, 1, 0, 1, NULL, 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (SwittiCollective) ranks = switti_ranks_open (&launch, FALSE, &error);

  g_assert_no_error (error);
  g_assert_cmpint (switti_collective_get_size (ranks), ==, 1);
  launch.size = 2;
  g_setenv ("SWITTI_MODULE_PATH", "/nowhere", TRUE);
  for (int on_cuda = 0; on_cuda < 2; on_cuda++)
    {
      g_clear_error (&error);
      g_assert_null (switti_ranks_open (&launch, on_cuda, &error));
      g_assert_error (error, SWITTI_ERROR, SWITTI_ERROR_UNSUPPORTED);
      g_assert_nonnull (strstr (error->message, on_cuda ? "-Dnccl=enabled" : "-Dmpi=enabled"));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/collective/single", test_single);
  g_test_add_func ("/collective/threads", test_threads);
  g_test_add_func ("/collective/failure", test_failure);
  g_test_add_func ("/collective/device", test_device);
  g_test_add_func ("/collective/launchers", test_launchers);
  g_test_add_func ("/collective/bad-launchers", test_bad_launchers);
  g_test_add_func ("/collective/open", test_open);
  return g_test_run ();
}
