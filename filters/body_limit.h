/* SPDX-License-Identifier: BSD-2-Clause */
/* body_limit.h - the filter that bounds request content.
 *
 *     { filter = "body_limit"; max = "10M"; }
 */
#ifndef BASCULE_BODY_LIMIT_H
#define BASCULE_BODY_LIMIT_H

#include "filters/filter.h"

extern const struct filter_ops body_limit_filter;

#endif
