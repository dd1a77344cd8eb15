/* choices-private.h - which algorithm of the library makes each product, as text that outlives the process
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A choice is what the library keeps of an algorithm: words that mean something to the same version of it, on the same
 * kind of device. The text has a line for each, after one that names device, driver and library, and ends in a
 * checksum: damaged text is refused as a whole. cuDNN's choices (cudnn-graph-private.h) are among them, by keys that no
 * product has, and those of its plans that it can write down.
 */
#pragma once

#include "products-private.h"

#include <array>
#include <map>
#include <string>

typedef std::array<uint64_t, 8> SwittiCudaChoice;

struct SwittiCudaChoices
{
  std::string identity; /* of device, driver and library; one line */
  std::map<std::string, SwittiCudaChoice> by_product;
  std::map<std::string, std::string> plans; /* cuDNN's, of those products that are its */
  bool is_new; /* more than what was read */
};

/* What a choice depends on: all of a product but its number of groups. */
std::string switti_cuda_choice_key (const SwittiCudaProduct &product);

/* Whether a plan's text can be a line of the choices'. */
bool switti_cuda_choices_can_keep (const std::string &text);
std::string switti_cuda_choices_to_text (const SwittiCudaChoices &choices);
/* Adds the choices of a text. FALSE, and nothing added, where it is damaged or of another identity. */
bool switti_cuda_choices_from_text (SwittiCudaChoices *choices, const std::string &text);
