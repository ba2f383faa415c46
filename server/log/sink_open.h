/* SPDX-License-Identifier: BSD-2-Clause */
/* sink_open.h - how sinks get their descriptors.
 *
 * For sink.c; what others may call of sink_open.c is declared in sink.h.
 */
#ifndef BASCULE_SINK_OPEN_H
#define BASCULE_SINK_OPEN_H

#include <sys/un.h>

#include "server/base/err.h"

/* Opens what identity names. May block. Returns the descriptor or -1. */
int sink_descriptor_open(const char *identity, struct err *err) MUST_USE;

/* The unix socket that identity names; AF_UNSPEC when it names none. Returns 0
 * or -1. */
int sink_unix_address(struct sockaddr_un *to, const char *identity, struct err *err) MUST_USE;

/* A datagram socket connected to it, or -1 with errno. Does not block. */
int sink_connect_unix(const struct sockaddr_un *to);

#endif
