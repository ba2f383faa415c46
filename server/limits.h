/* SPDX-License-Identifier: BSD-2-Clause */
/* limits.h - how many threads, connections and pipes this machine lets us have. */
#ifndef BASCULE_LIMITS_H
#define BASCULE_LIMITS_H

#include <stdint.h>

struct conf;

/* How many worker threads the configuration means. */
unsigned limit_workers(const struct conf *conf);

/* How many descriptors the process may have open. */
uint64_t limit_descriptors(void);

/* Raises that as far as it goes. */
void limit_descriptors_raise(void);

/* How many client connections so many descriptors carry: two for each. */
uint64_t limit_connections(uint64_t descriptors);

/* How many pipes each of so many threads may have open at once. */
unsigned limit_pipes(uint64_t descriptors, unsigned workers);

#endif
