/* SPDX-License-Identifier: BSD-2-Clause */
/* status.h - what is known of status codes. */
#ifndef BASCULE_STATUS_H
#define BASCULE_STATUS_H

#include <stdbool.h>

#include "server/base/slice.h"

/* The registered reason phrase ("Not Found"); for others that of the class,
 * such as "Client Error". Static. */
struct slice status_reason(unsigned status);

/* Whether content can follow a response with this status: not after 1xx, 204
 * and 304 (RFC 9112 section 6.3). A 205 has none either, but says so by its
 * framing. */
static inline bool
status_may_have_content(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}

#endif
