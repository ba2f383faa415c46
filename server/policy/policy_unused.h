/* SPDX-License-Identifier: BSD-2-Clause */
/* policy_unused.h - what was configured, and no rule or listener ever asks. */
#ifndef BASCULE_POLICY_UNUSED_H
#define BASCULE_POLICY_UNUSED_H

struct conf;

/* Tells of lists, sets, limits and users that nothing names: no rule, no set, no
 * policy. A policy that nobody uses uses them all the same: it is told of by itself.
 * Tells of access logs, stores and groups, too, that no listener, site or rule names.
 * say is called for each sentence: "FILE:LINE: warning: ...". */
void policy_unused_review(const struct conf *conf, void (*say)(void *arg, const char *sentence),
                          void *arg);

#endif
