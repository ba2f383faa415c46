/* SPDX-License-Identifier: BSD-2-Clause */
/* bandwidth.h - the filter bandwidth. */
#ifndef BASCULE_BANDWIDTH_H
#define BASCULE_BANDWIDTH_H

#include "filters/filter.h"

extern const struct filter_ops bandwidth_filter;

#endif
