/* SPDX-License-Identifier: BSD-2-Clause */
/* rate_limit.h - the filter rate_limit. */
#ifndef BASCULE_RATE_LIMIT_H
#define BASCULE_RATE_LIMIT_H

#include "filters/filter.h"

extern const struct filter_ops rate_limit_filter;

#endif
