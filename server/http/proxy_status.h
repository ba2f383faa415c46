/* SPDX-License-Identifier: BSD-2-Clause */
/* proxy_status.h - the Proxy-Status field: which hop failed, and how (RFC 9209). */
#ifndef BASCULE_PROXY_STATUS_H
#define BASCULE_PROXY_STATUS_H

#include "server/base/arena.h"

struct failure;

/* The value for this failure under the name that Via has too:
 *
 *     bascule-3f9a01c2; error=connection_refused; details="nobody listens there"
 *
 * Empty when the arena is spent. */
struct slice proxy_status_text(struct arena *arena, const struct failure *failure);

/* The same under another name; any text will do. */
struct slice proxy_status_named(struct arena *arena, struct slice name,
                                const struct failure *failure);

#endif
