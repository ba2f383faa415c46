/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_page.h - all stores, and what the cache did for each site, in numbers. */
#ifndef BASCULE_CACHE_PAGE_H
#define BASCULE_CACHE_PAGE_H

#include <stdio.h>

struct status_facts;

/* `bascule cache`, for people and for programs. */
void cache_page_text(FILE *out, const struct status_facts *facts);
void cache_page_json(FILE *out, const struct status_facts *facts);

/* What of it is in `bascule status`: two lines; a member of its JSON object. */
void cache_page_status(FILE *out, const struct status_facts *facts);
void cache_page_status_json(FILE *out, const struct status_facts *facts);

/* The same numbers as metrics (cache_metrics.c). Sites beyond the first
 * CACHE_METRICS_SITES are one. */
#define CACHE_METRICS_SITES 1000u
void cache_page_metrics(FILE *out, const struct status_facts *facts);

#endif
