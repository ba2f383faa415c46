/* SPDX-License-Identifier: BSD-2-Clause */
/* via.h - the name under which this process passes messages on.
 *
 * A pseudonym (RFC 9110 section 7.6.3) chosen at random for each process: it
 * tells our own messages apart when they come back, and says nothing about
 * whoever runs us.
 */
#ifndef BASCULE_VIA_H
#define BASCULE_VIA_H

#include "server/http/header.h"

/* Chooses the pseudonym; before any thread starts. */
void via_init(void);

/* "bascule-3f9a01c2" */
struct slice via_name(void);

/* "1.1 bascule-3f9a01c2", with the version the message came with: protocol is
 * "HTTP/1.1" or "HTTP/2.0" (struct downstream_ops, upstream_ops), minor_version
 * that of HTTP/1. Static. */
struct slice via_value(const char *protocol, unsigned minor_version);

/* Whether a field's value is what via_value() gave, rather than one that looks
 * like it. */
bool via_is_value(struct slice value);

/* Whether the message has passed through this process before. */
bool via_is_loop(const struct fields *fields);

#endif
