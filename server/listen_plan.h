/* SPDX-License-Identifier: BSD-2-Clause */
/* listen_plan.h - makes the plan of who listens where (struct listen_plan in
 * net/acceptor.h) from a configuration and the sockets that came for it.
 */
#ifndef BASCULE_LISTEN_PLAN_H
#define BASCULE_LISTEN_PLAN_H

#include "server/base/err.h"
#include "server/crew.h"

struct conf;

/* A plan for threads 0 .. workers - 1 of the crew, with every address of conf.
 * Borrows all of it. NULL when an address has no sockets, or memory is short. */
struct listen_plan *listen_plan_new(const struct conf *conf, struct list *sockets,
                                    const struct crew *crew, unsigned workers, struct err *err);

/* A plan to listen nowhere. NULL when memory is short. */
struct listen_plan *listen_plan_new_empty(void);

/* NULL is fine. */
void listen_plan_free(struct listen_plan *plan);

#endif
