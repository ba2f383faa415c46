/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_count.h - what became of an exchange's dealings with the cache, in numbers. */
#ifndef BASCULE_CACHE_COUNT_H
#define BASCULE_CACHE_COUNT_H

struct exchange;

/* Counts an exchange that is over, for its site and its thread. */
void cache_count(struct exchange *ex);

#endif
