/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_hold.h - what one exchange or flow took from a limit, until it gives it back. */
#ifndef BASCULE_LIMIT_HOLD_H
#define BASCULE_LIMIT_HOLD_H

#include "server/policy/limit.h"

struct limit_hold {
    struct limit *limit; /* counted; NULL: nothing has to be given back */
    uint64_t key;
    bool is_inside;      /* of those at a time */
    bool has_quota;
};

/* Takes one for the key from conf's limit: of its rate, of those at a time. False, with
 * nothing in hold: that was one too many. state: never NULL, set in either case. */
bool limit_hold_take(struct limit_hold *hold, const struct limit_conf *conf, uint64_t key,
                     uint64_t now_ms, struct limit_state *state);

/* Gives back what has to be, and hold is empty then; bytes of content have passed meanwhile.
 * From any thread. */
void limit_hold_give_back(struct limit_hold *hold, uint64_t bytes, uint64_t now_ms);

#endif
