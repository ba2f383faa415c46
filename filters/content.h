/* SPDX-License-Identifier: BSD-2-Clause */
/* content.h - the filter that refuses content by what it is.
 *
 *     { filter = "content"; deny_true_types = [ "executable" ]; on_mismatch = "deny"; }
 */
#ifndef BASCULE_CONTENT_H
#define BASCULE_CONTENT_H

#include "filters/filter.h"

extern const struct filter_ops content_filter;

#endif
