/* SPDX-License-Identifier: BSD-2-Clause */
/* policy_parts.h - what policies ask, for commands that evaluate them without a daemon. */
#ifndef BASCULE_POLICY_PARTS_H
#define BASCULE_POLICY_PARTS_H

#include "server/base/err.h"

struct conf;
struct snapshot;
struct worker_hooks;

/* Loads the lists and the databases of countries. 0, or -1 with err. Give back what was
 * loaded with policy_parts_release(), in either case. */
int policy_parts_adopt(struct conf *conf, struct err *err);
void policy_parts_release(struct conf *conf);

/* Looks through the policies of the snapshot, and tries what they are expected to do.
 * Tells on stderr what is wrong, with warnings. How many things are no good. */
unsigned policy_parts_check(struct snapshot *snapshot, const struct worker_hooks *hooks);

#endif
