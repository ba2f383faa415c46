/* SPDX-License-Identifier: BSD-2-Clause */
/* condition_compare.h - what can be proved of groups of conditions without facts.
 *
 * What cannot be proved counts as not so: the answers are sure, but not all that
 * is true is found.
 */
#ifndef BASCULE_CONDITION_COMPARE_H
#define BASCULE_CONDITION_COMPARE_H

#include "server/policy/condition.h"

/* A group of conditions taken apart: groups of "all" and single sets melted in. */
struct claims;

/* The work that comparing may still take; shared by many comparisons. */
struct comparison {
    struct arena *arena;
    const struct conf *conf;
    uint64_t work_left; /* values looked at */
};

/* NULL when the arena is spent. Borrows conditions. */
const struct claims *claims_new(struct comparison *comparison, const struct condition_conf *conf);

/* Whether nothing is claimed: it is always true. */
bool claims_are_empty(const struct claims *claims);

/* Whether wide is true whenever narrow is. */
bool claims_imply(struct comparison *comparison, const struct claims *narrow,
                  const struct claims *wide);

/* Whether both are never true of the same facts. */
bool claims_exclude(struct comparison *comparison, const struct claims *a,
                    const struct claims *b);

/* Whether they can never be true. */
bool claims_are_contradictory(struct comparison *comparison, const struct claims *claims);

/* STAGE_BITs of what is asked. */
unsigned claims_stages(const struct claims *claims);

/* Where a policy is used: what can be known there. */
struct claims_place {
    unsigned stages;         /* STAGE_BITs */
    struct strings listeners, modes; /* none: any of them */
};

/* A condition that can never be true, by which the claims cannot. */
struct hindrance {
    const struct condition_field *field; /* NULL: they can */
    bool is_of_connect;                  /* they ask for CONNECT, of which it is not true */
};

struct hindrance claims_hindrance(const struct claims *claims, const struct claims_place *place);

/* The same of a "not", which therefore is always true. What is another listener or mode does
 * not count: that is how it is meant. */
struct hindrance claims_vain_denial(const struct claims *claims, const struct claims_place *place);

#endif
