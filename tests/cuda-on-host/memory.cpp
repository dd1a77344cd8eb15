/* memory.cpp - checked shared and device memory, and cp.async
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Every two bytes of shared memory (every four of arrays of larger elements) remember who wrote and read them last,
 * and when: two accesses by different threads are ordered by a barrier of the block, or by __syncwarp within a warp,
 * between them. Device memory is allocated by runtime.cpp between red zones that hold a pattern.
 */
#include "device-memory-private.h"
#include "fibres-private.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

namespace cuda_on_host
{
namespace
{
/* Of a block: what the cards from sm_80 on offer at most, less what the driver keeps. */
constexpr size_t SHARED_BYTES = 99 * 1024;
constexpr size_t STATIC_BYTES = 48 * 1024;

/* When and by whom. */
struct Access
{
  int16_t thread; /* -1: never */
  uint16_t warp_epoch;
  uint32_t epoch;
};

struct Shadow
{
  uint32_t block; /* the block that the rest is about */
  bool pending;   /* cp.async has not landed */
  bool atomic;    /* the last write */
  Access write, reads[2];
};

struct SharedDeclaration
{
  const char *file;
  int line;
  size_t offset, bytes;
};

struct Copy
{
  size_t to;
  const void *from;
  size_t bytes, valid_bytes;
};

struct Copies
{
  std::vector<std::vector<Copy>> groups; /* committed, oldest first */
  std::vector<Copy> open;
};

alignas (128) unsigned char shared[SHARED_BYTES];
Shadow shadow[SHARED_BYTES / 2];
SharedDeclaration declarations[64];
int n_declarations;
size_t shared_used, dynamic_offset, dynamic_size;
uint32_t block_number;
bool checking; /* whether accesses to this block's shared memory are followed */
Copies copies[MAX_THREADS];

Access
now ()
{
  return Access{ (int16_t) current->index, (uint16_t) warp_epoch (current->index / WARP), block_epoch () };
}

bool
is_ordered (const Access &before, const Access &after)
{
  return before.thread < 0 || before.thread == after.thread || before.epoch != after.epoch
         || (before.thread / WARP == after.thread / WARP && before.warp_epoch != after.warp_epoch);
}

Shadow &
shadow_at (size_t offset)
{
  Shadow &entry = shadow[offset / 2];
  if (entry.block != block_number)
    entry = Shadow{ block_number, false, false, { -1, 0, 0 }, { { -1, 0, 0 }, { -1, 0, 0 } } };
  return entry;
}

/* Which array an offset lies in, for messages. */
const char *
array_name (size_t offset)
{
  static char text[160];
  snprintf (text, sizeof text, "dynamic shared memory, byte %zu", offset);
  for (int i = 0; i < n_declarations; i++)
    if (offset >= declarations[i].offset && offset < declarations[i].offset + declarations[i].bytes)
      snprintf (text, sizeof text, "the shared array of %s:%d, byte %zu", declarations[i].file, declarations[i].line,
                offset - declarations[i].offset);
  return text;
}

void
write_shadow (size_t offset, size_t bytes, size_t step, bool pending, bool atomic)
{
  if (!checking)
    return;
  const Access access = now ();
  for (size_t at = offset; at < offset + bytes; at += step)
    {
      Shadow &entry = shadow_at (at);
      if (entry.pending)
        fail ("%s is written before its cp.async has landed", array_name (at));
      if (!is_ordered (entry.write, access) && !(atomic && entry.atomic))
        fail ("race: %s was written by thread %d with no barrier in between", array_name (at), entry.write.thread);
      for (const Access &read : entry.reads)
        if (!is_ordered (read, access) && !(atomic && entry.atomic))
          fail ("race: %s is written, and was read by thread %d with no barrier in between", array_name (at),
                read.thread);
      entry.write = access;
      entry.reads[0].thread = entry.reads[1].thread = -1;
      entry.pending = pending;
      entry.atomic = atomic;
    }
}

void
land (const Copy &copy)
{
  for (size_t at = copy.to; checking && at < copy.to + copy.bytes; at += 2)
    {
      Shadow &entry = shadow_at (at);
      entry.pending = false;
      entry.write = now ();
    }
  memcpy (shared + copy.to, copy.from, copy.valid_bytes);
  memset (shared + copy.to + copy.valid_bytes, 0, copy.bytes - copy.valid_bytes);
}
} // namespace

/* -- shared memory --------------------------------------------------------------------------------------------- */

/* Of large grids, whose blocks do alike, some are followed, drawn at random. */
static bool
is_followed (uint64_t n_blocks)
{
  return n_blocks <= 16 || random_below (n_blocks <= 64 ? 4 : 16) == 0;
}

void
memory_begin_block (size_t dynamic_bytes, uint64_t n_blocks)
{
  checking = is_followed (n_blocks);
  if (dynamic_bytes > SHARED_BYTES)
    report (std::string ("kernel ") + kernel_name () + ": more shared memory than a block can have");
  block_number++;
  n_declarations = 0;
  dynamic_offset = 0;
  dynamic_size = dynamic_bytes;
  shared_used = (dynamic_bytes + 127) / 128 * 128;
  memset (shared, 0xff, sizeof shared);
  for (Copies &each : copies)
    {
      each.groups.clear ();
      each.open.clear ();
    }
}

size_t
shared_array (size_t bytes, size_t alignment, const char *file, int line)
{
  for (int i = 0; i < n_declarations; i++)
    if (declarations[i].line == line && declarations[i].bytes == bytes && strcmp (declarations[i].file, file) == 0)
      return declarations[i].offset;
  const size_t offset = (shared_used + alignment - 1) / alignment * alignment;
  if (n_declarations == 64 || offset + bytes > SHARED_BYTES
      || offset + bytes - (dynamic_size + 127) / 128 * 128 > STATIC_BYTES)
    fail ("%zu bytes of shared memory at %s:%d are more than a block can have", bytes, file, line);
  declarations[n_declarations++] = SharedDeclaration{ file, line, offset, bytes };
  shared_used = offset + bytes;
  return offset;
}

size_t
shared_dynamic (size_t *bytes)
{
  *bytes = dynamic_size;
  return dynamic_offset;
}

unsigned char *
shared_bytes (size_t offset)
{
  return shared + offset;
}

void
shared_read (size_t offset, size_t bytes, size_t step)
{
  if (!checking)
    return;
  const Access access = now ();
  for (size_t at = offset; at < offset + bytes; at += step)
    {
      Shadow &entry = shadow_at (at);
      if (entry.pending)
        fail ("%s is read before its cp.async has landed", array_name (at));
      if (entry.write.thread < 0)
        fail ("uninitialised: %s is read and was never written", array_name (at));
      if (!is_ordered (entry.write, access))
        fail ("race: %s is read, and was written by thread %d with no barrier in between", array_name (at),
              entry.write.thread);
      /* Two readers are enough to find one that is not the writer to come. */
      if (entry.reads[0].thread < 0 || entry.reads[0].thread == access.thread)
        entry.reads[0] = access;
      else
        entry.reads[1] = access;
    }
}

void
shared_write (size_t offset, size_t bytes, size_t step)
{
  write_shadow (offset, bytes, step, false, false);
}

void
shared_atomic (size_t offset, size_t bytes, size_t step)
{
  for (size_t at = offset; checking && at < offset + bytes; at += step)
    if (shadow_at (at).write.thread < 0)
      fail ("uninitialised: %s is added to and was never written", array_name (at));
  write_shadow (offset, bytes, step, false, true);
}

/* -- cp.async -------------------------------------------------------------------------------------------------- */

void
async_copy (size_t to, const void *from, size_t bytes, size_t valid_bytes)
{
  if ((uintptr_t) from % bytes != 0)
    fail ("cp.async from a misaligned address %p", from);
  if (valid_bytes > bytes)
    fail ("cp.async of %zu of %zu bytes", valid_bytes, bytes);
  if (valid_bytes > 0)
    global_bounds (from, valid_bytes);
  write_shadow (to, bytes, 2, true, false);
  copies[current->index].open.push_back (Copy{ to, from, bytes, valid_bytes });
}

void
async_commit ()
{
  Copies &own = copies[current->index];
  own.groups.push_back (own.open);
  own.open.clear ();
}

void
async_wait (int groups_left)
{
  Copies &own = copies[current->index];
  while (own.groups.size () > (size_t) groups_left)
    {
      for (const Copy &copy : own.groups.front ())
        land (copy);
      own.groups.erase (own.groups.begin ());
    }
}

void
memory_end_thread ()
{
  const Copies &own = copies[current->index];
  bool in_flight = !own.open.empty ();
  for (const auto &group : own.groups)
    in_flight = in_flight || !group.empty ();
  if (in_flight)
    fail ("the thread ends before its cp.async have landed");
}

/* -- device memory --------------------------------------------------------------------------------------------- */

namespace
{
std::map<uintptr_t, size_t> allocations;
uintptr_t last_start, last_end; /* the allocation of the last access */
bool strict;

void
set_red_zones (unsigned char *memory, size_t bytes, bool poison)
{
#if ON_HOST_ASAN
  if (poison)
    {
      __asan_poison_memory_region (memory - RED_ZONE, RED_ZONE);
      __asan_poison_memory_region (memory + bytes, red_zone_behind (bytes));
    }
  else
    __asan_unpoison_memory_region (memory - RED_ZONE, RED_ZONE + bytes + red_zone_behind (bytes));
#else
  (void) poison;
  memset (memory - RED_ZONE, 0xff, RED_ZONE);
  memset (memory + bytes, 0xff, red_zone_behind (bytes));
#endif
}
} // namespace

void *
device_allocate (size_t bytes)
{
  void *memory = nullptr;
  if (bytes > SIZE_MAX / 2 || posix_memalign (&memory, 256, RED_ZONE + bytes + red_zone_behind (bytes)) != 0)
    return nullptr;
  unsigned char *start = static_cast<unsigned char *> (memory) + RED_ZONE;
  memset (start, 0xff, bytes);
  set_red_zones (start, bytes, true);
  allocations[(uintptr_t) start] = bytes;
  return start;
}

bool
device_release (void *memory)
{
  const auto found = allocations.find ((uintptr_t) memory);
  if (found == allocations.end ())
    return false;
  set_red_zones (static_cast<unsigned char *> (memory), found->second, false);
  last_start = last_end = 0;
  allocations.erase (found);
  free (static_cast<unsigned char *> (memory) - RED_ZONE);
  return true;
}

void
require_device_memory (bool required)
{
  strict = required;
  last_start = last_end = 0;
}

/* Whether all bytes lie in one allocation; says on which side of which they do not. */
void
global_bounds (const void *address, size_t bytes)
{
  const uintptr_t start = (uintptr_t) address;
  if (start >= last_start && start + bytes <= last_end)
    return;
  auto next = allocations.upper_bound (start);
  if (next != allocations.end () && start + bytes > next->first - RED_ZONE)
    fail ("device memory: %zu bytes before an allocation of %zu", (size_t) (next->first - start), next->second);
  if (next != allocations.begin ())
    {
      const auto &before = *--next;
      if (start + bytes <= before.first + before.second)
        {
          last_start = before.first;
          last_end = before.first + before.second;
          return;
        }
      if (start < before.first + before.second + RED_ZONE)
        fail ("device memory: byte %zu of an allocation of %zu", (size_t) (start + bytes - 1 - before.first),
              before.second);
    }
  if (strict)
    fail ("device memory: %p is none", address);
}

void
global_read (const void *address, size_t bytes, size_t poison_unit)
{
  if ((uintptr_t) address % bytes != 0)
    fail ("device memory: %zu bytes from a misaligned address %p", bytes, address);
  global_bounds (address, bytes);
  for (size_t i = 0; poison_unit != 0 && i < bytes; i += poison_unit)
    {
      uint32_t word = 0xffff0000u;
      memcpy (&word, static_cast<const unsigned char *> (address) + i, poison_unit);
      if (word == 0xffffffffu)
        fail ("uninitialised: device memory at %p is read and was never written", address);
    }
}

void
global_write (const void *address, size_t bytes)
{
  if ((uintptr_t) address % bytes != 0)
    fail ("device memory: %zu bytes to a misaligned address %p", bytes, address);
  global_bounds (address, bytes);
}

bool
memory_check_canaries ()
{
#if !ON_HOST_ASAN
  for (const auto &[start, bytes] : allocations)
    {
      const unsigned char *memory = reinterpret_cast<const unsigned char *> (start);
      const size_t behind = red_zone_behind (bytes);
      bool intact = true;
      for (size_t i = 0; i < RED_ZONE; i++)
        intact = intact && memory[-1 - (ptrdiff_t) i] == 0xff;
      for (size_t i = 0; i < behind; i++)
        intact = intact && memory[bytes + i] == 0xff;
      if (intact)
        continue;
      set_red_zones (const_cast<unsigned char *> (memory), bytes, true);
      report (std::string ("kernel ") + kernel_name () + ": overwrote what lies beside an allocation of "
              + std::to_string (bytes) + " bytes");
      return false;
    }
#endif
  return true;
}
} // namespace cuda_on_host
