/* SPDX-License-Identifier: BSD-2-Clause */
/* port.h - the mode that forwards TCP connections as they are. */
#ifndef BASCULE_PORT_H
#define BASCULE_PORT_H

#include "modes/mode.h"

struct group_conf;

extern const struct mode_ops port_mode;

/* The group that gets the connections of a listener of this mode. */
struct group_conf *port_group(const struct listener_conf *listener);

#endif
