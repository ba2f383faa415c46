/* SPDX-License-Identifier: BSD-2-Clause */
/* trail.h - what was decided about exchanges of late: for `bascule explain ID`.
 *
 * Each worker thread writes its own ring of records, which outlives snapshots and
 * even the thread; the main thread reads while they write. A record is text and
 * numbers only: nothing in it leads anywhere.
 */
#ifndef BASCULE_TRAIL_H
#define BASCULE_TRAIL_H

#include "server/http/exchange.h"

/* Longer values are cut. */
#define TRAIL_URL_MAX 1024u
#define TRAIL_TEXT_MAX 255u
#define TRAIL_DECISIONS_MAX 32u
#define TRAIL_RECORD_MAX 4096u /* bytes: what is beyond is left out, and is_cut says so */

/* Gives the calling worker thread a ring of that many bytes; what fits of the last one
 * is kept. 0: nothing is recorded. When memory is short the old one stays. */
void trail_resize(unsigned worker_id, uint64_t bytes);

/* Notes an exchange that ends, or a tunnel that begins: a later record of the same id
 * takes the place of an earlier one. On the exchange's own thread; never waits, never
 * allocates. */
void trail_record(const struct exchange *ex);

/* One record. Slices point into bytes. */
struct trail_entry {
    uint64_t id;
    uint64_t wall_ms;      /* when it ended, since 1970 */
    uint64_t duration_ms;
    uint16_t status, upstream_status; /* 0: none */
    enum end_reason end;
    bool is_tunnel, is_cut;
    struct ip upstream;    /* family 0: none */
    /* Client, user and URL as the access log of the listener may tell them. */
    struct slice client, listener, method, url, user, site, route, group, endpoint, cache, tags;
    unsigned decision_count;
    struct trail_decision {
        enum decision_kind kind;
        struct slice what;
        struct slice rule; /* its name; empty: none, or no rule */
        struct slice file; /* empty: built in */
        unsigned line;
    } decisions[TRAIL_DECISIONS_MAX];
    char client_text[IP_TEXT_BYTES];
    char bytes[TRAIL_RECORD_MAX];
};

/* The newest record of this id. Any thread, at any time; false: it is not, or no
 * longer, there. */
bool trail_find(uint64_t id, struct trail_entry *entry);

/* "allow", "deny" ...; static. */
const char *trail_kind_word(enum decision_kind kind);

/* Whether any thread has a ring; and how long ago the oldest record that is still
 * there was made, in seconds: 0 when there is none. */
bool trail_is_kept(uint64_t now_wall_ms, uint64_t *oldest_s);

#endif
