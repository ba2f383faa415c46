/* SPDX-License-Identifier: BSD-2-Clause */
/* icap.h - shows requests and responses to an ICAP server (RFC 3507). */
#ifndef BASCULE_ICAP_H
#define BASCULE_ICAP_H

#include "filters/filter.h"

extern const struct filter_ops icap_filter;

/* A worker thread ends: forgets what it knows of services. */
void icap_on_end(struct worker *worker);

#endif
