/* SPDX-License-Identifier: BSD-2-Clause */
/* forward.h - the mode of an office's proxy. */
#ifndef BASCULE_FORWARD_H
#define BASCULE_FORWARD_H

#include "modes/mode.h"

extern const struct mode_ops forward_mode;

#endif
