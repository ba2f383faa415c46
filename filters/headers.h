/* SPDX-License-Identifier: BSD-2-Clause */
/* headers.h - the filter that adds, sets and removes header fields.
 *
 *     { filter = "headers";
 *       request = { set = [ "X-Client: %{client_ip}" ]; };
 *       response = { add = [ "X-Frame-Options: DENY" ]; remove = [ "X-Debug-*" ]; }; }
 */
#ifndef BASCULE_HEADERS_H
#define BASCULE_HEADERS_H

#include "filters/filter.h"

extern const struct filter_ops headers_filter;

#endif
