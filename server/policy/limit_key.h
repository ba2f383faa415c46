/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_key.h - the parts of a limit's key: what they are called, where they are. */
#ifndef BASCULE_LIMIT_KEY_H
#define BASCULE_LIMIT_KEY_H

#include "server/policy/limit.h"

/* Reads "client", "header:NAME" ...; the part borrows text. 0, or -1 with err. */
int limit_part_parse(struct limit_part *part, struct slice text, struct err *err);

bool limit_part_equal(const struct limit_part *a, const struct limit_part *b);

#endif
