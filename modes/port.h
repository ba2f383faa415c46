/* SPDX-License-Identifier: BSD-2-Clause */
/* port.h - the mode that forwards TCP connections as they are. */
#ifndef BASCULE_PORT_H
#define BASCULE_PORT_H

#include "modes/mode.h"

extern const struct mode_ops port_mode;

#endif
