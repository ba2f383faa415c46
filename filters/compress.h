/* SPDX-License-Identifier: BSD-2-Clause */
/* compress.h - content coded for clients that accept it. */
#ifndef BASCULE_COMPRESS_H
#define BASCULE_COMPRESS_H

#include "filters/filter.h"

extern const struct filter_ops compress_filter;

#endif
