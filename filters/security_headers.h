/* SPDX-License-Identifier: BSD-2-Clause */
/* security_headers.h - the filter that tells browsers to be careful.
 *
 *     { filter = "security_headers"; preset = "strict"; frame_options = "off";
 *       content_security_policy = "default-src 'self'"; report_only = true; }
 *
 * What the application says itself stays, unless override is true.
 */
#ifndef BASCULE_SECURITY_HEADERS_H
#define BASCULE_SECURITY_HEADERS_H

#include "filters/filter.h"

extern const struct filter_ops security_headers_filter;

#endif
