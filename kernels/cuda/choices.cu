/* choices.cu - which algorithm of the library makes each product, as text that outlives the process
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#include "choices-private.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

/* The first line; the number is raised when the rest changes. */
#define HEAD "switti products 2"
/* Before the key of a plan. */
#define PLAN "plan "
/* Longer keys are none of ours. */
#define MAX_KEY 320

std::string
switti_cuda_choice_key (const SwittiCudaProduct &p)
{
  std::string key;

  for (int64_t value : { p.m, p.n, p.k, p.lda, p.ldb, p.ldd, (int64_t) p.ab_dtype, (int64_t) p.d_dtype,
                         (int64_t) p.bias_dtype, (int64_t) p.a_is_km, (int64_t) p.b_is_kn, (int64_t) p.accumulate,
                         (int64_t) p.bias, (int64_t) p.gelu })
    key += (key.empty () ? "" : " ") + std::to_string (value);
  return key;
}

/* FNV-1a: finds what happens to files by accident. */
static uint64_t
checksum_of (const char *bytes, size_t size)
{
  uint64_t sum = 0xcbf29ce484222325u;

  for (size_t i = 0; i < size; i++)
    sum = (sum ^ (unsigned char) bytes[i]) * 0x100000001b3u;
  return sum;
}

std::string
switti_cuda_choices_to_text (const SwittiCudaChoices &choices)
{
  std::string text = std::string (HEAD "\n") + choices.identity + "\n";
  char word[24];

  for (const auto &[key, choice] : choices.by_product)
    {
      text += key + ":";
      for (uint64_t value : choice)
        {
          snprintf (word, sizeof word, " %016llx", (unsigned long long) value);
          text += word;
        }
      text += "\n";
    }
  for (const auto &[key, plan] : choices.plans)
    text += PLAN + key + ":" + plan + "\n";
  snprintf (word, sizeof word, "end %016llx\n", (unsigned long long) checksum_of (text.data (), text.size ()));
  return text + word;
}

/* The line that begins at *at, which is moved behind it. FALSE where there is none. */
static bool
take_line (const std::string &text, size_t *at, std::string *line)
{
  const size_t end = text.find ('\n', *at);

  if (end == std::string::npos)
    return false;
  *line = text.substr (*at, end - *at);
  *at = end + 1;
  return true;
}

/* The colon that ends the key, which begins at `at`; npos where that is none of ours. */
static size_t
find_colon (const std::string &line, size_t at)
{
  const size_t colon = line.find (':', at);

  return colon == std::string::npos || colon == at || colon > at + MAX_KEY
                 || line.find_first_not_of ("0123456789- ", at) != colon
             ? std::string::npos
             : colon;
}

bool
switti_cuda_choices_can_keep (const std::string &text)
{
  for (char c : text)
    if (c < ' ' || c > '~')
      return false;
  return !text.empty ();
}

static bool
parse_plan (const std::string &line, std::string *key, std::string *plan)
{
  const size_t colon = find_colon (line, strlen (PLAN));

  if (colon == std::string::npos)
    return false;
  *key = line.substr (strlen (PLAN), colon - strlen (PLAN));
  *plan = line.substr (colon + 1);
  return switti_cuda_choices_can_keep (*plan);
}

static bool
parse_choice (const std::string &line, std::string *key, SwittiCudaChoice *choice)
{
  const size_t colon = find_colon (line, 0);
  const char *at;

  if (colon == std::string::npos)
    return false;
  *key = line.substr (0, colon);
  at = line.c_str () + colon + 1;
  for (uint64_t &word : *choice)
    {
      if (at[0] != ' ' || strspn (at + 1, "0123456789abcdef") != 16)
        return false;
      word = strtoull (at + 1, nullptr, 16);
      at += 17;
    }
  return *at == '\0';
}

bool
switti_cuda_choices_from_text (SwittiCudaChoices *choices, const std::string &text)
{
  std::map<std::string, SwittiCudaChoice> found;
  std::map<std::string, std::string> plans;
  std::string line, key, plan;
  SwittiCudaChoice choice;
  size_t at = 0, begin = 0;
  char end[24];

  if (!take_line (text, &at, &line) || line != HEAD || !take_line (text, &at, &line) || line != choices->identity)
    return false;
  for (begin = at; take_line (text, &at, &line) && line.compare (0, 4, "end ") != 0; begin = at)
    {
      if (line.compare (0, strlen (PLAN), PLAN) == 0)
        {
          if (!parse_plan (line, &key, &plan))
            return false;
          plans[key] = plan;
          continue;
        }
      if (!parse_choice (line, &key, &choice))
        return false;
      found[key] = choice;
    }
  snprintf (end, sizeof end, "end %016llx", (unsigned long long) checksum_of (text.data (), begin));
  if (line != end || at != text.size ())
    return false;
  choices->by_product.insert (found.begin (), found.end ());
  choices->plans.insert (plans.begin (), plans.end ());
  return true;
}

/* -- the op table's entries -------------------------------------------------------------------------------------- */

const char *
switti_cuda_choices_identity (SwittiKernelContext *context)
{
  return switti_cuda_products_choices (context->runtime->products)->identity.c_str ();
}

size_t
switti_cuda_choices_write (SwittiKernelContext *context, char *text, size_t size)
{
  SwittiCudaChoices *choices = switti_cuda_products_choices (context->runtime->products);

  if (!choices->is_new)
    return 0;
  const std::string whole = switti_cuda_choices_to_text (*choices);
  if (text != nullptr && size >= whole.size ())
    {
      memcpy (text, whole.data (), whole.size ());
      choices->is_new = false;
    }
  return whole.size ();
}

bool
switti_cuda_choices_read (SwittiKernelContext *context, const char *text, size_t size)
{
  return text != nullptr
         && switti_cuda_choices_from_text (switti_cuda_products_choices (context->runtime->products),
                                           std::string (text, size));
}
