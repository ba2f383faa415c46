/* SPDX-License-Identifier: BSD-2-Clause */
/* modes.c - all modes, in the order of the manual. */
#include "config.h"

#include "modes/mode.h"

#include "modes/forward.h"
#include "modes/port.h"
#include "modes/reverse.h"

#include <stddef.h>

const struct mode_ops *const modes[] = {
    &reverse_mode,
    &forward_mode,
    &port_mode,
    NULL,
};
