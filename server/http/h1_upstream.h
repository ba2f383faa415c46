/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_upstream.h - an HTTP/1.1 connection to an origin. */
#ifndef BASCULE_H1_UPSTREAM_H
#define BASCULE_H1_UPSTREAM_H

#include "server/http/upstream_conf.h"

/* An upstream over a connected descriptor. Takes fd; NULL (fd closed) when
 * memory is short. */
struct upstream *h1_upstream_new(struct worker *worker, int fd, const struct upstream_conf *conf);

/* Takes an idle connection of the pool that conf->trust would have made; NULL
 * when there is none. */
struct upstream *h1_upstream_reuse(struct pool *pool, const struct upstream_conf *conf);

#endif
