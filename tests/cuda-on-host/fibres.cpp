/* fibres.cpp - a block's threads as fibres that take turns at meeting points
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A fibre runs until it has to wait for others; then another that is ready is picked at random. Where none is ready
 * and some wait, they wait for each other in vain: on a GPU that is a divergent barrier or collective.
 */
#include "fibres-private.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/mman.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace cuda_on_host
{
Thread *current;
uint64_t n_launches;

namespace
{
/* Deep enough for kernels under sanitizers; a page below it cannot be touched. */
constexpr size_t STACK_BYTES = 256 * 1024;
constexpr size_t GUARD_BYTES = 4096;

enum class State
{
  READY,
  WAITING_BLOCK,
  WAITING_WARP,
  ENDED,
};

/* A place to return to. */
struct Context
{
#if defined(__x86_64__)
  void *stack_pointer;
#else
  ucontext_t saved;
#endif
  void *fake_stack;
};

struct Fibre
{
  Context context;
  unsigned char *stack;
  Thread self;
  State state;
  const char *what, *file; /* where it waits */
  int line;
};

struct Warp
{
  int arrived;
  uint32_t epoch;
  const char *what, *file;
  int line;
  const void *in[WARP];
  void *out[WARP];
};

struct Block
{
  const std::function<void ()> *body;
  int n_threads, n_started, n_ended;
  int ready[MAX_THREADS], n_ready;
  uint32_t epoch;
  int arrived, any, all, count; /* of the barrier that is being reached */
  int result;                   /* of the barrier before */
  const char *file;
  int line;
  Warp warps[MAX_THREADS / WARP];
};

Fibre fibres[MAX_THREADS];
Block block;
Context outside; /* run_block() */
const void *outside_stack;
size_t outside_stack_bytes;
bool failed, capturing;
std::string failure;
std::string kernel;
uint64_t random_state = 1;

Fibre &
fibre_of (Thread *thread)
{
  return fibres[thread->index];
}

/* -- switching ------------------------------------------------------------------------------------------------- */

#if defined(__x86_64__)
__attribute__ ((naked, noinline)) void
switch_stacks (void **, void *)
{
  asm("pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
      "movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
      "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tret");
}
#endif

/* From one context to another, whose stack is given to the sanitizer; `from` NULL ends the fibre. */
void
switch_context (Context &from, Context &to, const void *stack, size_t stack_bytes)
{
#if ON_HOST_ASAN
  __sanitizer_start_switch_fiber (&from.fake_stack, stack, stack_bytes);
#else
  (void) stack;
  (void) stack_bytes;
#endif
#if defined(__x86_64__)
  switch_stacks (&from.stack_pointer, to.stack_pointer);
#else
  swapcontext (&from.saved, &to.saved);
#endif
#if ON_HOST_ASAN
  __sanitizer_finish_switch_fiber (from.fake_stack, nullptr, nullptr);
#endif
}

void
switch_outside (Context &from)
{
  switch_context (from, outside, outside_stack, outside_stack_bytes);
}

/* Whichever is ready; outside where none is. */
void
switch_to_next (Context &from)
{
  if (block.n_ready == 0)
    {
      switch_outside (from);
      return;
    }
  const int pick = (int) random_below ((uint32_t) block.n_ready);
  Fibre &next = fibres[block.ready[pick]];
  block.ready[pick] = block.ready[--block.n_ready];
  next.state = State::READY;
  if (&next.context == &from)
    return;
  current = &next.self;
  switch_context (from, next.context, next.stack, STACK_BYTES);
}

void
make_ready (int index)
{
  fibres[index].state = State::READY;
  block.ready[block.n_ready++] = index;
}

/* The calling fibre waits, or takes its chance among those that are ready. */
void
yield (Fibre &self)
{
  switch_to_next (self.context);
  current = &self.self;
}

#if defined(__SANITIZE_ADDRESS__)
__attribute__ ((no_sanitize_address))
#endif
void
run_fibre ()
{
#if ON_HOST_ASAN
  const void *left_stack;
  size_t left_bytes;
  __sanitizer_finish_switch_fiber (nullptr, &left_stack, &left_bytes);
  if (block.n_started++ == 0)
    {
      outside_stack = left_stack;
      outside_stack_bytes = left_bytes;
    }
#endif
  (*block.body) ();
  memory_end_thread ();
  Fibre &self = fibre_of (current);
  self.state = State::ENDED;
  block.n_ended++;
  switch_to_next (self.context);
  abort ();
}

void
start_fibre (Fibre &fibre)
{
  if (fibre.stack == nullptr)
    {
      void *memory = mmap (nullptr, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (memory == MAP_FAILED || mprotect (memory, GUARD_BYTES, PROT_NONE) != 0)
        abort ();
      fibre.stack = static_cast<unsigned char *> (memory) + GUARD_BYTES;
    }
#if defined(__x86_64__)
  /* As switch_stacks() leaves it: six registers, then where to return to; aligned as after a call. */
  void **top = reinterpret_cast<void **> (fibre.stack + STACK_BYTES - 16);
  *top = reinterpret_cast<void *> (run_fibre);
  memset (top - 6, 0, 6 * sizeof *top);
  fibre.context.stack_pointer = top - 6;
#else
  getcontext (&fibre.context.saved);
  fibre.context.saved.uc_stack.ss_sp = fibre.stack;
  fibre.context.saved.uc_stack.ss_size = STACK_BYTES;
  makecontext (&fibre.context.saved, run_fibre, 0);
#endif
  fibre.context.fake_stack = nullptr;
}

/* -- failures -------------------------------------------------------------------------------------------------- */

std::string
where (const Fibre &fibre)
{
  char text[256];
  const dim3 &thread = fibre.self.thread;
  if (fibre.state == State::ENDED)
    snprintf (text, sizeof text, "thread (%u, %u, %u) has ended", thread.x, thread.y, thread.z);
  else
    snprintf (text, sizeof text, "thread (%u, %u, %u) waits at %s, %s:%d", thread.x, thread.y, thread.z, fibre.what,
              fibre.file, fibre.line);
  return text;
}

/* What to say where every thread that has not ended waits. */
std::string
describe_deadlock ()
{
  const Fibre *waiting = nullptr, *other = nullptr;
  for (int i = 0; i < block.n_threads; i++)
    if (fibres[i].state == State::WAITING_WARP || (waiting == nullptr && fibres[i].state == State::WAITING_BLOCK))
      waiting = &fibres[i];
  for (int i = 0; i < block.n_threads && waiting != nullptr; i++)
    if ((waiting->state == State::WAITING_BLOCK || i / WARP == waiting->self.index / WARP)
        && (fibres[i].state != waiting->state || fibres[i].line != waiting->line))
      other = &fibres[i];
  std::string text = "kernel " + kernel + ": divergence: " + (waiting != nullptr ? where (*waiting) : "");
  if (other != nullptr)
    text += ", and " + where (*other);
  return text;
}
} // namespace

void
report (const std::string &words)
{
  failure = words;
  failed = true;
  if (capturing)
    return;
  fprintf (stderr, "cuda-on-host: %s\n", words.c_str ());
  abort ();
}

void
fail (const char *format, ...)
{
  char text[512], place[256];
  va_list args;

  va_start (args, format);
  vsnprintf (text, sizeof text, format, args);
  va_end (args);
  if (current == nullptr)
    {
      report (text);
      abort ();
    }
  snprintf (place, sizeof place, "kernel %s, block (%u, %u, %u), thread (%u, %u, %u): ", kernel.c_str (),
            current->block.x, current->block.y, current->block.z, current->thread.x, current->thread.y,
            current->thread.z);
  report (std::string (place) + text);
  switch_outside (fibre_of (current).context);
  abort ();
}

void
fail_mask (unsigned int mask, const char *what)
{
  fail ("%s with the mask 0x%08x: whole warps alone are simulated", what, mask);
}

const char *
last_failure ()
{
  return failure.c_str ();
}

void
capture_failures (bool capture)
{
  capturing = capture;
}

const char *
kernel_name ()
{
  return kernel.c_str ();
}

/* -- order ----------------------------------------------------------------------------------------------------- */

void
set_seed (uint64_t seed)
{
  random_state = seed * 0x9e3779b97f4a7c15u + 1;
  random_below (2);
}

uint32_t
random_below (uint32_t limit)
{
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t) (((random_state >> 32) * limit) >> 32);
}

uint32_t
block_epoch ()
{
  return block.epoch;
}

uint32_t
warp_epoch (int warp)
{
  return block.warps[warp].epoch;
}

/* -- meeting points -------------------------------------------------------------------------------------------- */

/* Mostly one literal. */
static bool
is_same (const char *a, const char *b)
{
  return a == b || strcmp (a, b) == 0;
}

int
meet_block (Barrier barrier, int predicate, const char *file, int line)
{
  Fibre &self = fibre_of (current);

  if (block.arrived == 0)
    {
      block.file = file;
      block.line = line;
      block.any = block.count = 0;
      block.all = 1;
    }
  else if (block.line != line || !is_same (block.file, file))
    fail ("divergent barriers: this thread is at %s:%d, others wait at %s:%d", file, line, block.file, block.line);
  block.any |= predicate != 0;
  block.all &= predicate != 0;
  block.count += predicate != 0;
  block.arrived++;
  self.state = State::WAITING_BLOCK;
  self.what = "a barrier";
  self.file = file;
  self.line = line;
  if (block.arrived == block.n_threads)
    {
      block.result = barrier == Barrier::COUNT ? block.count : barrier == Barrier::AND ? block.all : block.any;
      block.arrived = 0;
      block.epoch++;
      for (int i = 0; i < block.n_threads; i++)
        make_ready (i);
    }
  yield (self);
  return block.result;
}

void
meet_warp (const char *what, Combine combine, const void *in, void *out, const char *file, int line)
{
  Fibre &self = fibre_of (current);
  const int index = self.self.index;
  Warp &warp = block.warps[index / WARP];

  if (warp.arrived == 0)
    {
      warp.what = what;
      warp.file = file;
      warp.line = line;
    }
  else if (warp.line != line || !is_same (warp.what, what) || !is_same (warp.file, file))
    fail ("divergent warp: this thread is at %s, %s:%d, others wait at %s, %s:%d", what, file, line, warp.what,
          warp.file, warp.line);
  warp.in[index % WARP] = in;
  warp.out[index % WARP] = out;
  warp.arrived++;
  self.state = State::WAITING_WARP;
  self.what = what;
  self.file = file;
  self.line = line;
  if (warp.arrived == WARP)
    {
      if (combine != nullptr)
        combine (warp.in, warp.out);
      else
        warp.epoch++;
      warp.arrived = 0;
      for (int i = index / WARP * WARP; i < index / WARP * WARP + WARP; i++)
        make_ready (i);
    }
  yield (self);
}

void
meet_warp_memory (const char *file, int line)
{
  meet_warp ("__syncwarp", nullptr, nullptr, nullptr, file, line);
}

/* -- blocks ---------------------------------------------------------------------------------------------------- */

/* Stacks that were left in the middle of functions still carry their frames' red zones. */
static void
clean_stacks ()
{
#if ON_HOST_ASAN
  for (int i = 0; i < block.n_threads; i++)
    __asan_unpoison_memory_region (fibres[i].stack, STACK_BYTES);
#endif
}

static bool
run_block (dim3 index, dim3 grid, dim3 size, size_t shared_bytes, const std::function<void ()> &body)
{
  block.body = &body;
  block.n_threads = (int) (size.x * size.y * size.z);
  block.n_started = block.n_ended = block.n_ready = block.arrived = 0;
  block.epoch = 0;
  memory_begin_block (shared_bytes, (uint64_t) grid.x * grid.y * grid.z);
  for (int i = 0; i < block.n_threads; i++)
    {
      const unsigned int u = (unsigned int) i;
      fibres[i].self = Thread{ dim3 (u % size.x, u / size.x % size.y, u / size.x / size.y), index, size, grid, i };
      block.warps[i / WARP] = Warp{};
      start_fibre (fibres[i]);
      make_ready (i);
    }
  switch_to_next (outside);
  current = nullptr;
  if (!failed && block.n_ended < block.n_threads)
    report (describe_deadlock ());
  if (failed)
    clean_stacks ();
  return !failed;
}

bool
run_grid (const char *name, dim3 grid, dim3 size, size_t shared_bytes, const std::function<void ()> &body)
{
  const uint64_t threads = (uint64_t) size.x * size.y * size.z;

  kernel = name;
  failed = false;
  failure.clear ();
  n_launches++;
  if (threads == 0 || threads > MAX_THREADS || threads % WARP != 0 || grid.x == 0 || grid.y == 0 || grid.z == 0
      || grid.y > 65535 || grid.z > 65535)
    report ("kernel " + kernel + ": a launch of blocks of " + std::to_string (threads)
            + " threads: whole warps, 1,024 threads at most, and no empty grid");
  for (unsigned int z = 0; !failed && z < grid.z; z++)
    for (unsigned int y = 0; !failed && y < grid.y; y++)
      for (unsigned int x = 0; !failed && x < grid.x; x++)
        run_block (dim3 (x, y, z), grid, size, shared_bytes, body);
  if (!failed)
    memory_check_canaries ();
  kernel.clear ();
  return !failed;
}
} // namespace cuda_on_host
