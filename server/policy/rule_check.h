/* SPDX-License-Identifier: BSD-2-Clause */
/* rule_check.h - rules that make no sense are mistakes. */
#ifndef BASCULE_RULE_CHECK_H
#define BASCULE_RULE_CHECK_H

#include "server/policy/condition.h"

/* Whether the rule ends the evaluation for everything that it matches. */
bool rule_is_decisive(const struct rule_conf *rule);

/* Whether it keeps requests from going on: deny, drop, redirect and authenticate. */
bool rule_refuses(const struct rule_conf *rule);

/* Checks options that need or exclude each other, with the conditions compiled; fills in
 * rule->limits. 0, or -1 with err, without place. */
int rule_check(struct compiler *compiler, struct rule_conf *rule, const struct group *when);

#endif
