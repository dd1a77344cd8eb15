/* test-runner.cpp - the runner catches broken kernels, by name
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Each kernel here has one mistake that a GPU would punish, sometimes; beside it is the kernel without the mistake,
 * which must pass, so that no check is one that fails always.
 */
#include "cuda-on-host.h"
#include "device-memory-private.h"

#include <glib.h>

namespace
{
constexpr int THREADS = 64;

/* Memory that kernels are given. */
struct Fixture
{
  cudaStream_t stream;
  float *memory;
};

constexpr int COUNT = 100;

void
fixture_init (Fixture *fixture, guint64 seed)
{
  cuda_on_host::set_seed (seed);
  cuda_on_host::capture_failures (true);
  cuda_on_host::require_device_memory (true);
  g_assert_cmpint (cudaStreamCreateWithFlags (&fixture->stream, cudaStreamNonBlocking), ==, cudaSuccess);
  g_assert_cmpint (cudaMalloc (reinterpret_cast<void **> (&fixture->memory), COUNT * sizeof (float)), ==, cudaSuccess);
}

void
fixture_clear (Fixture *fixture)
{
  cuda_on_host::fail_call (-1, cudaSuccess);
  g_assert_cmpint (cudaFree (fixture->memory), ==, cudaSuccess);
  g_assert_cmpint (cudaStreamDestroy (fixture->stream), ==, cudaSuccess);
  cuda_on_host::require_device_memory (false);
  cuda_on_host::capture_failures (false);
}

using Kernel = void (*) (float *memory);

/* Runs a kernel on zeros with some seeds; returns the words of the first failure, or "". */
char *
run (const char *name, Kernel kernel, bool cleared = true)
{
  char *words = g_strdup ("");

  for (guint64 seed = 0; seed < 8 && *words == '\0'; seed++)
    {
      Fixture fixture;

      fixture_init (&fixture, seed);
      if (cleared)
        g_assert_cmpint (cudaMemsetAsync (fixture.memory, 0, COUNT * sizeof (float), fixture.stream), ==, cudaSuccess);
      g_assert_cmpint (launch_kernel (name, kernel, 2, THREADS, 0, fixture.stream, fixture.memory), ==, cudaSuccess);
      if (cudaStreamSynchronize (fixture.stream) != cudaSuccess)
        {
          g_free (words);
          words = g_strdup (cuda_on_host::last_failure ());
          g_assert_cmpstr (words, !=, "");
        }
      fixture_clear (&fixture);
    }
  return words;
}

/* The failure of `kernel` is named `expected`, with the kernel's name. */
void
assert_caught (const char *name, Kernel kernel, const char *expected, bool cleared = true)
{
  g_autofree char *words = run (name, kernel, cleared);

  g_test_message ("%s", words);
  g_assert_nonnull (strstr (words, name));
  g_assert_nonnull (strstr (words, expected));
}

void
assert_passes (const char *name, Kernel kernel)
{
  g_autofree char *words = run (name, kernel);

  g_assert_cmpstr (words, ==, "");
}

/* -- barriers -------------------------------------------------------------------------------------------------- */

template <bool HAS_BARRIER>
void
reverse (float *memory)
{
  cuda_on_host::Shared<float> values = cuda_on_host::declare_shared<float> (THREADS, __FILE__, __LINE__);
  const int i = (int) threadIdx.x;

  values[i] = (float) i;
  if (HAS_BARRIER)
    __syncthreads ();
  if (blockIdx.x == 0)
    memory[i] = values[THREADS - 1 - i];
}

/* The second write may come before the first is read. */
template <bool HAS_BARRIER>
void
write_again (float *memory)
{
  cuda_on_host::Shared<float> values = cuda_on_host::declare_shared<float> (THREADS, __FILE__, __LINE__);
  const int i = (int) threadIdx.x;

  values[i] = (float) i;
  __syncthreads ();
  float sum = values[THREADS - 1 - i];
  if (HAS_BARRIER)
    __syncthreads ();
  values[i] = sum;
  __syncthreads ();
  sum += values[(i + 1) % THREADS];
  if (blockIdx.x == 0)
    memory[i] = sum;
}

template <bool HAS_BARRIER>
void
exchange_in_warp (float *memory)
{
  cuda_on_host::Shared<float> values = cuda_on_host::declare_shared<float> (THREADS, __FILE__, __LINE__);
  const int i = (int) threadIdx.x;

  values[i] = (float) i;
  if (HAS_BARRIER)
    __syncwarp ();
  if (blockIdx.x == 0)
    memory[i] = values[i ^ 1];
}

void
both_write (float *)
{
  cuda_on_host::Shared<float> values = cuda_on_host::declare_shared<float> (4, __FILE__, __LINE__);

  values[(int) threadIdx.x % 4] = 1.0f;
}

template <bool DIVERGENT>
void
barrier_for_some (float *)
{
  if (!DIVERGENT || threadIdx.x < 40)
    __syncthreads ();
}

template <bool DIVERGENT>
void
two_barriers (float *)
{
  if (DIVERGENT && threadIdx.x < 32)
    __syncthreads ();
  else
    __syncthreads ();
  __syncthreads ();
}

void
test_barriers ()
{
  /* Read before it is written, or after: a race with the writer. */
  assert_caught ("missing-barrier", reverse<false>, "the shared array of");
  assert_passes ("reverse", reverse<true>);
  assert_caught ("missing-second-barrier", write_again<false>, "race");
  assert_passes ("write-again", write_again<true>);
  assert_caught ("missing-syncwarp", exchange_in_warp<false>, "the shared array of");
  assert_passes ("exchange", exchange_in_warp<true>);
  assert_caught ("double-write", both_write, "race");
  assert_caught ("barrier-for-some", barrier_for_some<true>, "divergence");
  assert_passes ("barrier-for-all", barrier_for_some<false>);
  assert_caught ("barrier-in-two-places", two_barriers<true>, "diverge");
  assert_passes ("barrier-in-one-place", two_barriers<false>);
}

/* -- warps ----------------------------------------------------------------------------------------------------- */

template <bool DIVERGENT>
void
shuffle_for_some (float *memory)
{
  const int i = (int) threadIdx.x;
  float value = (float) i;

  if (!DIVERGENT || i % 32 < 16)
    value = __shfl_xor_sync (0xffffffffu, value, 1);
  if (blockIdx.x == 0)
    memory[i] = value;
}

void
half_mask (float *)
{
  __shfl_sync (0xffffu, 1.0f, 0);
}

void
test_warps ()
{
  assert_caught ("shuffle-under-divergence", shuffle_for_some<true>, "divergence");
  assert_passes ("shuffle", shuffle_for_some<false>);
  assert_caught ("half-mask", half_mask, "mask");
}

/* -- memory ---------------------------------------------------------------------------------------------------- */

template <int EXTRA>
void
read_shared (float *memory)
{
  cuda_on_host::Shared<float> values = cuda_on_host::declare_shared<float> (THREADS, __FILE__, __LINE__);
  const int i = (int) threadIdx.x;

  values[i] = 0.0f;
  __syncthreads ();
  if (blockIdx.x == 0)
    memory[i] = values[i + EXTRA < 0 ? 0 : i + EXTRA];
}

void
read_unwritten_shared (float *memory)
{
  cuda_on_host::Shared<float> values = cuda_on_host::declare_shared<float> (2 * THREADS, __FILE__, __LINE__);
  const int i = (int) threadIdx.x;

  values[i] = 0.0f;
  __syncthreads ();
  if (blockIdx.x == 0)
    memory[i] = values[i + 1];
}

/* Checked loads and stores, as the ops make them, of COUNT + EXTRA elements. */
template <int EXTRA>
void
add_one (float *memory)
{
  const int i = (int) (blockIdx.x * THREADS + threadIdx.x);

  if (i >= COUNT + EXTRA)
    return;
  cuda_on_host::global_read (&memory[i], 4, 4);
  const float value = memory[i];
  cuda_on_host::global_write (&memory[i], 4);
  memory[i] = value + 1.0f;
}

/* What only the red zones see. */
void
write_past_the_end ([[maybe_unused]] float *memory)
{
#if !defined(__SANITIZE_ADDRESS__)
  if (blockIdx.x == 0 && threadIdx.x == 3)
    memory[COUNT] = 1.0f;
#else
  cuda_on_host::fail ("overwrote what AddressSanitizer watches");
#endif
}

void
read_misaligned (float *memory)
{
  cuda_on_host::global_read (memory + 1 + threadIdx.x % 2, 16, 4);
}

void
test_memory ()
{
  assert_caught ("shared-past-the-end", read_shared<1>, "element 64 of an array of 64");
  assert_passes ("shared-within", read_shared<0>);
  assert_caught ("shared-unwritten", read_unwritten_shared, "uninitialised");
  assert_caught ("one-past-the-end", add_one<1>, "byte 403 of an allocation of 400");
  assert_passes ("within", add_one<0>);
  assert_caught ("uninitialised-read", add_one<0>, "uninitialised", false);
  assert_caught ("write-past-the-end", write_past_the_end, "overwrote");
  assert_caught ("misaligned-vector", read_misaligned, "misaligned");
}

/* -- asynchronous copies --------------------------------------------------------------------------------------- */

template <bool WAITS, bool HAS_BARRIER>
void
copy_four (float *memory)
{
  cuda_on_host::Shared<float> values = cuda_on_host::declare_shared<float> (16, __FILE__, __LINE__);
  const int i = (int) threadIdx.x;

  if (i < 4)
    copy_async_16 (values + 4 * i, memory + 4 * i, 16);
  copy_async_commit ();
  if (WAITS)
    copy_async_wait<0> ();
  else
    copy_async_wait<1> ();
  if (HAS_BARRIER)
    __syncthreads ();
  if (blockIdx.x == 0 && i < 16)
    memory[i + 16] = values[i];
  if (!WAITS)
    copy_async_wait<0> ();
}

void
never_waits (float *memory)
{
  cuda_on_host::Shared<float> values = cuda_on_host::declare_shared<float> (4 * THREADS, __FILE__, __LINE__);

  copy_async_16 (values + 4 * (int) threadIdx.x, memory, 16);
  copy_async_commit ();
}

void
test_async ()
{
  assert_caught ("late-wait", copy_four<false, true>, "before its cp.async has landed");
  assert_caught ("wait-without-barrier", copy_four<true, false>, "kernel wait-without-barrier");
  assert_passes ("copy", copy_four<true, true>);
  assert_caught ("never-waits", never_waits, "ends before its cp.async");
}

/* -- fragments ------------------------------------------------------------------------------------------------- */

/* out (16, 8) = a (16, 16) . b (8, 16)^T, by ldmatrix and mma, the layouts as the PTX ISA has them. */
void
multiply_tile (const uint16_t *a, const uint16_t *b, float *out)
{
  cuda_on_host::Shared<uint16_t> rows = cuda_on_host::declare_shared<uint16_t> (16 * 16, __FILE__, __LINE__);
  cuda_on_host::Shared<uint16_t> columns = cuda_on_host::declare_shared<uint16_t> (16 * 16, __FILE__, __LINE__);
  const int lane = (int) threadIdx.x;
  uint32_t a_words[4], b_words[4];
  float c[4] = { 0.0f, 0.0f, 0.0f, 0.0f };

  for (int i = lane; i < 256; i += 32)
    {
      rows[i] = a[i];
      /* The upper half belongs to a second tile of eight columns. */
      columns[i] = b[i % 128];
    }
  __syncwarp ();
  load_matrices (a_words, rows + (lane % 16 * 16 + lane / 16 * 8));
  load_matrices (b_words, columns + ((lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8));
  multiply_bf16 (c, a_words, b_words);
  for (int r = 0; r < 4; r++)
    out[(lane / 4 + r / 2 * 8) * 8 + 2 * (lane % 4) + r % 2] = c[r];
}

void
test_fragments ()
{
  uint16_t a[256], b[128];
  float out[128];
  cudaStream_t stream;

  /* Small whole numbers are exact in bf16: their upper halves are all there is. */
  for (int i = 0; i < 256; i++)
    a[i] = (uint16_t) (__float_as_uint ((float) (i * 7 % 13 - 6)) >> 16);
  for (int i = 0; i < 128; i++)
    b[i] = (uint16_t) (__float_as_uint ((float) (i * 5 % 11 - 5)) >> 16);
  g_assert_cmpint (cudaStreamCreateWithFlags (&stream, cudaStreamNonBlocking), ==, cudaSuccess);
  g_assert_cmpint (launch_kernel ("multiply-tile", multiply_tile, 1, 32, 0, stream, a, b, out), ==, cudaSuccess);
  g_assert_cmpint (cudaStreamSynchronize (stream), ==, cudaSuccess);
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 8; j++)
      {
        int expected = 0;

        for (int k = 0; k < 16; k++)
          expected += ((i * 16 + k) * 7 % 13 - 6) * ((j * 16 + k) * 5 % 11 - 5);
        g_assert_cmpfloat (out[i * 8 + j], ==, (float) expected);
      }
  g_assert_cmpint (cudaStreamDestroy (stream), ==, cudaSuccess);
}

/* -- streams and graphs ---------------------------------------------------------------------------------------- */

void
set_values (float *memory, float value)
{
  memory[threadIdx.x] = value;
}

void
double_values (float *memory)
{
  memory[threadIdx.x] *= 2.0f;
}

/* 1, then doubled on another stream: 2 with the event, and without it some seed shows that the order is open. */
bool
is_ordered (guint64 seed, bool with_event, bool in_graph)
{
  Fixture fixture;
  cudaStream_t other;
  cudaEvent_t forked, joined;
  cudaGraph_t graph = NULL;
  cudaGraphExec_t executable = NULL;

  fixture_init (&fixture, seed);
  g_assert_cmpint (cudaMemsetAsync (fixture.memory, 0, COUNT * sizeof (float), fixture.stream), ==, cudaSuccess);
  g_assert_cmpint (cudaStreamSynchronize (fixture.stream), ==, cudaSuccess);
  cudaStreamCreateWithFlags (&other, cudaStreamNonBlocking);
  cudaEventCreateWithFlags (&forked, cudaEventDisableTiming);
  cudaEventCreateWithFlags (&joined, cudaEventDisableTiming);
  if (in_graph)
    {
      g_assert_cmpint (cudaStreamBeginCapture (fixture.stream, cudaStreamCaptureModeThreadLocal), ==, cudaSuccess);
      cudaEventRecord (forked, fixture.stream);
      cudaStreamWaitEvent (other, forked, 0);
    }
  launch_kernel ("set", set_values, 1, 32, 0, fixture.stream, fixture.memory, 1.0f);
  if (with_event)
    {
      cudaEventRecord (forked, fixture.stream);
      cudaStreamWaitEvent (other, forked, 0);
    }
  launch_kernel ("double", double_values, 1, 32, 0, other, fixture.memory);
  cudaEventRecord (joined, other);
  cudaStreamWaitEvent (fixture.stream, joined, 0);
  if (in_graph)
    {
      size_t n_nodes = 0;

      g_assert_cmpint (cudaStreamEndCapture (fixture.stream, &graph), ==, cudaSuccess);
      g_assert_cmpint (cudaGraphGetNodes (graph, NULL, &n_nodes), ==, cudaSuccess);
      g_assert_cmpuint (n_nodes, ==, 2);
      g_assert_cmpint (cudaGraphInstantiate (&executable, graph, 0), ==, cudaSuccess);
      g_assert_cmpint (cudaGraphLaunch (executable, fixture.stream), ==, cudaSuccess);
    }
  g_assert_cmpint (cudaStreamSynchronize (fixture.stream), ==, cudaSuccess);
  const bool ordered = fixture.memory[0] == 2.0f;
  if (in_graph)
    {
      cudaGraphExecDestroy (executable);
      cudaGraphDestroy (graph);
    }
  cudaEventDestroy (forked);
  cudaEventDestroy (joined);
  cudaStreamDestroy (other);
  fixture_clear (&fixture);
  return ordered;
}

void
test_streams ()
{
  for (int in_graph = 0; in_graph < 2; in_graph++)
    {
      int n_ordered = 0;

      for (guint64 seed = 0; seed < 50; seed++)
        {
          g_assert_true (is_ordered (seed, true, in_graph != 0));
          n_ordered += is_ordered (seed, false, in_graph != 0);
        }
      g_assert_cmpint (n_ordered, >, 0);
      g_assert_cmpint (n_ordered, <, 50);
    }
}

/* Memory runs out and calls fail; what was there before goes on. */
void
test_faults ()
{
  Fixture fixture;
  void *memory;

  fixture_init (&fixture, 1);
  cuda_on_host::set_device_memory (1000);
  g_assert_cmpint (cudaMalloc (&memory, 601), ==, cudaErrorMemoryAllocation);
  g_assert_null (memory);
  g_assert_cmpint (cudaMalloc (&memory, 600), ==, cudaSuccess);
  g_assert_cmpint (cudaFree (memory), ==, cudaSuccess);
  cuda_on_host::set_device_memory ((size_t) 8 << 30);
  cuda_on_host::fail_call (1, cudaErrorLaunchFailure);
  g_assert_cmpint (launch_kernel ("set", set_values, 1, 32, 0, fixture.stream, fixture.memory, 1.0f), ==, cudaSuccess);
  g_assert_cmpint (cudaStreamSynchronize (fixture.stream), ==, cudaErrorLaunchFailure);
  g_assert_cmpint (cudaStreamSynchronize (fixture.stream), ==, cudaSuccess);
  cuda_on_host::set_driver (false);
  g_assert_cmpint (cudaMalloc (&memory, 600), ==, cudaErrorInsufficientDriver);
  cuda_on_host::set_driver (true);
  fixture_clear (&fixture);
}
} // namespace

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cuda-on-host/barriers", test_barriers);
  g_test_add_func ("/cuda-on-host/warps", test_warps);
  g_test_add_func ("/cuda-on-host/memory", test_memory);
  g_test_add_func ("/cuda-on-host/async", test_async);
  g_test_add_func ("/cuda-on-host/fragments", test_fragments);
  g_test_add_func ("/cuda-on-host/streams", test_streams);
  g_test_add_func ("/cuda-on-host/faults", test_faults);
  return g_test_run ();
}
