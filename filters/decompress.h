/* SPDX-License-Identifier: BSD-2-Clause */
/* decompress.h - coded content decoded, for clients and for filters. */
#ifndef BASCULE_DECOMPRESS_H
#define BASCULE_DECOMPRESS_H

#include "filters/filter.h"

extern const struct filter_ops decompress_filter;

#endif
