/* SPDX-License-Identifier: BSD-2-Clause */
/* reverse.h - the mode of a site's front. */
#ifndef BASCULE_REVERSE_H
#define BASCULE_REVERSE_H

#include "modes/mode.h"

extern const struct mode_ops reverse_mode;

#endif
