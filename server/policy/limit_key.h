/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_key.h - the parts of a limit's key: what they are called, where they are. */
#ifndef BASCULE_LIMIT_KEY_H
#define BASCULE_LIMIT_KEY_H

#include "server/policy/limit.h"

/* Reads "client", "header:NAME" ...; the part borrows text. 0, or -1 with err. */
int limit_part_parse(struct limit_part *part, struct slice text, struct err *err);

bool limit_part_is_client(const struct limit_part *part);
bool limit_part_equal(const struct limit_part *a, const struct limit_part *b);

/* What the facts say of a part; data NULL, or nothing in it: it is not there. Borrowed from
 * facts, or in room: a client is its family and the bits of its address that conf counts,
 * with those behind them zero. */
#define LIMIT_PART_ROOM 17
struct slice limit_part_fact(const struct limit_conf *conf, const struct limit_part *part,
                             const struct facts *facts, char room[LIMIT_PART_ROOM]);
struct slice limit_client_fact(const struct limit_conf *conf, const struct ip *ip,
                               char room[LIMIT_PART_ROOM]);

#endif
