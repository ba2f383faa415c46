/* SPDX-License-Identifier: BSD-2-Clause */
/* bans.h - the filter bans. */
#ifndef BASCULE_BANS_H
#define BASCULE_BANS_H

#include "filters/filter.h"

extern const struct filter_ops bans_filter;

#endif
