/* SPDX-License-Identifier: BSD-2-Clause */
/* waf.h - the filter waf: a web application firewall. */
#ifndef BASCULE_WAF_H
#define BASCULE_WAF_H

#include "filters/filter.h"

extern const struct filter_ops waf_filter;

#endif
