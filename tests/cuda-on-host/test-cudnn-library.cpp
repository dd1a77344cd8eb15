/* test-cudnn-library.cpp - what cuDNN itself says of the adapter's descriptors, for GPUs that are not here
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cuDNN plans for a device that it is only told of, and compiles its kernels with a driver that has none (driver/). Its
 * kernels are not run: executing a plan does nothing here, and takes no time but the simulated clock's.
 */
#include "cudnn-on-host-private.h"
#include "table-on-host.h"

#include <map>

#include <dlfcn.h>
#include <glib.h>

namespace
{
SwittiCudnnLibrary installed;
cudnnBackendDescriptor_t device;
std::map<cudnnBackendDescriptor_t, cudnnBackendDescriptorType_t> types;
struct
{
  int version;      /* of the device: 900 for sm_90 */
  bool plans_fail;  /* before anything is compiled */
  int configured;   /* engines that have taken a graph and their knobs */
  int planned;
  int runs;
  cudnnStatus_t wrong; /* the first status that says that a descriptor is */
  char words[512];
} state;

/* An H100's properties under the version of another card: what cuDNN's choice of engines looks at first. */
const char *const properties
    = "{\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,"
      "\"multiProcessorCount\":132,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"
      "\"maxSharedMemoryPerBlockOptin\":%d,\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"
      "\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"isTccDriver\":0,"
      "\"supportCoopLaunch\":1,\"totalGlobalMem\":85899345920,\"smClockRateKHz\":1980000,"
      "\"memClockRateKHz\":2619000,\"l2CacheSize\":52428800,\"cudaDeviceId\":0,\"deviceVer\":%d,\"driverVer\":13000,"
      "\"deviceName\":\"a GPU that is not here\"}";

/* What is not supported is an answer; what is a bad parameter is our mistake. */
cudnnStatus_t
look_at (cudnnStatus_t status, const char *where)
{
  if (status >= 2000 && status < 3000 && state.wrong == CUDNN_STATUS_SUCCESS)
    {
      state.wrong = status;
      g_snprintf (state.words, sizeof state.words, "%s: status %d", where, (int) status);
    }
  return status;
}

cudnnStatus_t
create (cudnnHandle_t *handle)
{
  g_autofree char *text = g_strdup_printf (properties, state.version >= 900 && state.version < 1200 ? 232448 : 101376,
                                           state.version);

  *handle = reinterpret_cast<cudnnHandle_t> (&state);
  g_assert_cmpint (installed.create_descriptor (CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &device), ==,
                   CUDNN_STATUS_SUCCESS);
  g_assert_cmpint (installed.set_attribute (device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                            (int64_t) strlen (text), text),
                   ==, CUDNN_STATUS_SUCCESS);
  return installed.finalize (device);
}

cudnnStatus_t
destroy (cudnnHandle_t)
{
  return installed.destroy_descriptor (device);
}

cudnnStatus_t
set_stream (cudnnHandle_t, cudaStream_t)
{
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
create_descriptor (cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *descriptor)
{
  const cudnnStatus_t status = look_at (installed.create_descriptor (type, descriptor), "create");

  types[*descriptor] = type;
  return status;
}

/* The device's properties take the place of the handle. */
cudnnStatus_t
set_attribute (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
               int64_t count, const void *values)
{
  g_autofree char *where = g_strdup_printf ("attribute %d", (int) name);

  if ((int) name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE)
    return CUDNN_STATUS_SUCCESS;
  if ((int) name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE)
    return look_at (installed.set_attribute (descriptor, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                             CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &device),
                    "the plan's device");
  if (name == CUDNN_ATTR_ENGINEHEUR_MODE)
    look_at (installed.set_attribute (descriptor, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                      &device),
             "the heuristic's device");
  if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX)
    look_at (installed.set_attribute (descriptor, CUDNN_ATTR_ENGINE_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                      &device),
             "the engine's device");
  return look_at (installed.set_attribute (descriptor, name, type, count, values), where);
}

/* One proposal is enough. */
cudnnStatus_t
get_attribute (cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name,
               cudnnBackendAttributeType_t type, int64_t capacity, int64_t *count, void *values)
{
  g_autofree char *where = g_strdup_printf ("asking for attribute %d", (int) name);
  const cudnnStatus_t status
      = look_at (installed.get_attribute (descriptor, name, type, capacity, count, values), where);

  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && count != nullptr && *count > 1)
    *count = 1;
  return status;
}

cudnnStatus_t
finalize (cudnnBackendDescriptor_t descriptor)
{
  const cudnnBackendDescriptorType_t type = types[descriptor];
  g_autofree char *where = g_strdup_printf ("descriptor %d", (int) type);

  if (type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && state.plans_fail)
    return CUDNN_STATUS_NOT_SUPPORTED;
  const cudnnStatus_t status = look_at (installed.finalize (descriptor), where);
  state.configured += type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR && status == CUDNN_STATUS_SUCCESS;
  state.planned += type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && status == CUDNN_STATUS_SUCCESS;
  return status;
}

cudnnStatus_t
execute (cudnnHandle_t, cudnnBackendDescriptor_t, cudnnBackendDescriptor_t)
{
  state.runs++;
  cuda_on_host::advance_clock (1.0);
  return CUDNN_STATUS_SUCCESS;
}

bool
open_installed (SwittiCudnnLibrary *library)
{
  *library = installed;
  library->create = create;
  library->destroy = destroy;
  library->set_stream = set_stream;
  library->create_descriptor = create_descriptor;
  library->set_attribute = set_attribute;
  library->get_attribute = get_attribute;
  library->finalize = finalize;
  library->execute = execute;
  library->always = true;
  return true;
}

template <typename Function>
bool
find (void *module, const char *name, Function *function)
{
  *function = reinterpret_cast<Function> (dlsym (module, name));
  return *function != nullptr;
}

/* FALSE after marking the test as skipped. */
bool
find_installed ()
{
  void *module = dlopen ("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);

  if (module == nullptr || !find (module, "cudnnGetVersion", &installed.get_version)
      || installed.get_version () < SWITTI_CUDNN_LEAST_VERSION)
    {
      g_test_skip ("cuDNN is not installed, or too old");
      return false;
    }
  g_assert_true (find (module, "cudnnBackendCreateDescriptor", &installed.create_descriptor));
  g_assert_true (find (module, "cudnnBackendDestroyDescriptor", &installed.destroy_descriptor));
  g_assert_true (find (module, "cudnnBackendSetAttribute", &installed.set_attribute));
  g_assert_true (find (module, "cudnnBackendGetAttribute", &installed.get_attribute));
  g_assert_true (find (module, "cudnnBackendFinalize", &installed.finalize));
  cudnnHandle_t handle;
  state.version = 900;
  if (create (&handle) != CUDNN_STATUS_SUCCESS)
    {
      destroy (handle);
      g_test_skip ("this version of cuDNN wants to be told of a device in other words");
      return false;
    }
  destroy (handle);
  cudnn_on_host::open_instead = open_installed;
  return true;
}

SwittiKernelContext *
context_for (int version, bool plans_fail)
{
  SwittiKernelContext *context = nullptr;

  memset (&state, 0, sizeof state);
  state.version = version;
  state.plans_fail = plans_fail;
  g_assert_cmpint (switti_kernels_cuda_eager ()->context_new (nullptr, &context), ==, SWITTI_KERNEL_OK);
  cuda_on_host::simulate_clock (true);
  return context;
}

void
context_free (SwittiKernelContext *context)
{
  switti_kernels_cuda_eager ()->context_free (context);
  cuda_on_host::simulate_clock (false);
  types.clear ();
  if (state.wrong != CUDNN_STATUS_SUCCESS)
    g_error ("sm_%d: %s", state.version / 10, state.words);
}

/* A kernel of our own that does nothing in ten milliseconds. */
SwittiKernelStatus
be_slow (void *const *)
{
  cuda_on_host::advance_clock (10.0);
  return SWITTI_KERNEL_OK;
}

SwittiConv
conv_of (int64_t side, int64_t c_in, int64_t c_out, int kernel)
{
  SwittiConv conv = {};

  conv.batch = 1;
  conv.height = conv.width = side;
  conv.c_in = c_in;
  conv.c_out = c_out;
  conv.kernel = kernel;
  conv.stride = 1;
  conv.pad_top = conv.pad_left = conv.pad_bottom = conv.pad_right = kernel / 2;
  conv.x_dtype = conv.w_dtype = conv.d_dtype = SWITTI_DTYPE_BF16;
  conv.residual = true;
  return conv;
}

/* As the transformer has it: queries, keys and values beside each other. */
SwittiAttention
attention_of (int64_t batch, int64_t heads, int64_t n)
{
  const int64_t c = heads * 64;
  SwittiAttention attention = {};

  attention.batch = batch;
  attention.heads = heads;
  attention.d = 64;
  attention.n = attention.m = n;
  attention.scale = 0.125f;
  attention.dtype = SWITTI_DTYPE_BF16;
  attention.q = attention.k = attention.v = SwittiRows{ n * 3 * c, 3 * c };
  attention.out = SwittiRows{ n * c, c };
  return attention;
}

/* On every GPU that the module is for, an engine takes each graph, found again by its number and knobs. */
void
test_engines ()
{
  if (!find_installed ())
    return;
  for (int version : { 800, 860, 890, 900, 1000, 1200 })
    {
      SwittiConv convs[] = { conv_of (64, 320, 320, 3), conv_of (32, 160, 320, 3), conv_of (64, 320, 160, 1),
                             conv_of (17, 40, 24, 3), conv_of (64, 160, 160, 3) };

      convs[1].residual = false;
      convs[2].d_dtype = SWITTI_DTYPE_F32;
      convs[4].stride = 2;
      convs[4].pad_top = convs[4].pad_left = 0;
      for (const SwittiConv &conv : convs)
        {
          SwittiKernelContext *context = context_for (version, true);

          g_assert_null (switti_cuda_cudnn_conv_plan (context, &conv, be_slow));
          g_assert_cmpint (state.configured, ==, 1);
          context_free (context);
        }
      for (int64_t n : { 1, 9, 256, 1024 })
        {
          SwittiKernelContext *context = context_for (version, true);
          const SwittiAttention attention = attention_of (2, 30, n);

          switti_cuda_cudnn_attention_plan (context, &attention, be_slow);
          g_assert_cmpint (state.configured, ==, 1);
          context_free (context);
        }
    }
}

/* A plan is compiled, and a later context reads it as text. */
void
test_plans (gconstpointer data)
{
  const bool attends = data != nullptr;
  const SwittiKernels *kernels = switti_kernels_cuda_eager ();
  const SwittiAttention attention = attention_of (2, 4, 64);
  const SwittiConv conv = conv_of (8, 32, 32, 1);
  std::string text;

  if (!find_installed ())
    return;
  for (int pass = 0; pass < 2; pass++)
    {
      SwittiKernelContext *context = context_for (attends ? 900 : 800, false);

      if (pass > 0)
        g_assert_true (kernels->choices_read (context, text.data (), text.size ()));
      if (attends)
        switti_cuda_cudnn_attention_plan (context, &attention, be_slow);
      else
        {
          SwittiCudnnPlan *plan = switti_cuda_cudnn_conv_plan (context, &conv, be_slow);

          g_assert_nonnull (plan);
          switti_cuda_cudnn_plan_free (plan);
        }
      if (pass == 0)
        {
          /* Timed, for one image; attention's plan for two is by the same engine. */
          g_assert_cmpint (state.runs, >, 1);
          text.resize (kernels->choices_write (context, nullptr, 0));
          g_assert_cmpuint (kernels->choices_write (context, &text[0], text.size ()), ==, text.size ());
          g_assert_nonnull (strstr (text.c_str (), attends ? "\nplan -2 4 64 64 " : "\nplan -1 8 8 32 32 1 1 "));
        }
      else
        {
          g_assert_cmpint (state.configured, ==, 0);
          g_assert_cmpint (state.planned, ==, 1);
          g_assert_cmpint (state.runs, ==, 0);
        }
      context_free (context);
    }
}
} // namespace

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, nullptr);
  g_test_add_func ("/cudnn-library/engines", test_engines);
  g_test_add_data_func ("/cudnn-library/plans/conv", nullptr, test_plans);
  g_test_add_data_func ("/cudnn-library/plans/attention", "attention", test_plans);
  return g_test_run ();
}
