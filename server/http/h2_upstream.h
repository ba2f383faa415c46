/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_upstream.h - exchanges on HTTP/2 connections to an origin (RFC 9113). */
#ifndef BASCULE_H2_UPSTREAM_H
#define BASCULE_H2_UPSTREAM_H

#include "server/http/upstream_conf.h"

/* The first exchange of a new connection over a connected descriptor, which
 * others find in the pool of conf->endpoint, if there is one. Takes fd; NULL (fd
 * closed) when memory is short. */
struct upstream *h2_upstream_new(struct worker *worker, int fd, const struct upstream_conf *conf);

/* One more on a connection of the pool that conf->trust would have made; NULL when
 * none has room. */
struct upstream *h2_upstream_join(struct pool *pool, const struct upstream_conf *conf);

#endif
