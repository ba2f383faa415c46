/* SPDX-License-Identifier: BSD-2-Clause */
/* expectations.h - tries whether a configuration does what it is expected to do
 * (server/policy/expect.h).
 */
#ifndef BASCULE_EXPECTATIONS_H
#define BASCULE_EXPECTATIONS_H

struct snapshot;

/* Tries all of them, on a snapshot whose lists are loaded. say is told of each one that
 * comes out otherwise: the place of the expectation, what was expected, what came, and
 * the place of the rule that decided. Limits count as not reached, so that the same
 * configuration always gives the same answer. Returns how many came out otherwise. */
unsigned expectations_try(struct snapshot *snapshot,
                          void (*say)(void *arg, const char *sentence), void *arg);

#endif
