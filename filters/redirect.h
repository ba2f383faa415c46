/* SPDX-License-Identifier: BSD-2-Clause */
/* redirect.h - the filter that sends clients elsewhere.
 *
 *     { filter = "redirect"; to = "https://%{host}%{target}"; if_scheme = "http"; }
 */
#ifndef BASCULE_REDIRECT_H
#define BASCULE_REDIRECT_H

#include "filters/filter.h"

extern const struct filter_ops redirect_filter;

#endif
