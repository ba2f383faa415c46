/* SPDX-License-Identifier: BSD-2-Clause */
/* policy_unused.h - what was configured for policies, and no rule ever asks. */
#ifndef BASCULE_POLICY_UNUSED_H
#define BASCULE_POLICY_UNUSED_H

struct conf;

/* Tells of lists, sets, limits and users that nothing names: no rule, no set, no
 * policy. A policy that nobody uses uses them all the same: it is told of by itself.
 * say is called for each sentence, which begins with FILE:LINE. */
void policy_unused_review(const struct conf *conf, void (*say)(void *arg, const char *sentence),
                          void *arg);

#endif
