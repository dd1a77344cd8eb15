/* switti.h - the public face of libswitti
 *
 * SPDX-License-Identifier: LGPL-3.0-or-later
 */
#pragma once

#include "switti-bundle.h"
#include "switti-device.h"
#include "switti-download.h"
#include "switti-error.h"
#include "switti-generator.h"
#include "switti-image.h"
#include "switti-request.h"
#include "switti-source.h"
#include "switti-version.h"
