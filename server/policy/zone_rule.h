/* SPDX-License-Identifier: BSD-2-Clause */
/* zone_rule.h - how daylight saving goes on for ever: "CET-1CEST,M3.5.0,M10.5.0/3"
 * (POSIX, TZ; with the hours of RFC 8536 section 3.3.1).
 */
#ifndef BASCULE_ZONE_RULE_H
#define BASCULE_ZONE_RULE_H

#include "server/policy/time_zone.h"

enum turn_kind {
    TURN_MONTH,     /* Mm.w.d: a weekday of a month; week 5: the last */
    TURN_DAY,       /* n: a day of the year from 0 */
    TURN_DAY_NO_29, /* Jn: from 1, never 29 February */
};

/* When clocks are turned, by what they show before it. */
struct turn {
    enum turn_kind kind;
    int month, week, day;
    int32_t seconds; /* since midnight, from a week before to a week after */
};

struct zone_rule {
    bool has_saving;
    struct zone_offset standard, saving;
    struct turn start, end; /* of saving */
};

/* False: it is not one. */
bool zone_rule_read(struct zone_rule *rule, struct slice text);

const struct zone_offset *zone_rule_at(const struct zone_rule *rule, int64_t now_s);

#endif
