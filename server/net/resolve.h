/* SPDX-License-Identifier: BSD-2-Clause */
/* resolve.h - names to addresses, without blocking.
 *
 * One resolver per worker thread, so it needs no lock. Asked in this order:
 * IP literals; names with a fixed meaning (RFC 6761: "localhost" and below is
 * loopback, "invalid" does not exist; RFC 7686: "onion" is never asked for);
 * the hosts file; the cache; the name servers, A and AAAA at once, equal
 * look-ups joined. Search domains are never applied: a proxy that appended one
 * would connect somewhere else than its client asked for.
 *
 * Every look-up ends within the configured limit. Nothing is unbounded: the
 * cache, the look-ups under way, the addresses of a name.
 */
#ifndef BASCULE_RESOLVE_H
#define BASCULE_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/err.h"
#include "server/base/list.h"
#include "server/base/slice.h"
#include "server/config/option.h"
#include "server/net/address.h"
#include "server/net/dns.h"
#include "server/net/loop.h"

/* As configured: see resolver_options for the meaning of each. */
struct resolver_conf {
    struct strings servers;  /* empty: from resolv_conf */
    const char *hosts_file;
    const char *resolv_conf;
    uint32_t timeout_ms;     /* of a first try */
    int64_t tries;
    uint32_t limit_ms;       /* of a whole look-up */
    uint32_t min_ttl_ms, max_ttl_ms;
    uint32_t negative_ms;    /* longest time "no such host" is kept */
    uint32_t stale_ms;       /* how long past its time an answer may still serve */
    int64_t max_entries;     /* in the cache */
    int64_t max_lookups;     /* under way */
};

extern const struct option resolver_options[];

struct resolver;

#define RESOLVE_ADDRESSES_MAX DNS_ADDRESSES_MAX

enum resolve_status {
    RESOLVE_OK,           /* at least one address */
    RESOLVE_NO_SUCH_HOST, /* no such name, no address, or not a host name at all */
    RESOLVE_TIMEOUT,      /* no name server answered in time */
    RESOLVE_FAILED,       /* a name server failed, refused, or made no sense */
    RESOLVE_TOO_MANY,     /* our own limit of look-ups is reached, or memory short */
};

struct resolve_answer {
    enum resolve_status status;
    unsigned count;
    struct ip ips[RESOLVE_ADDRESSES_MAX]; /* port 0; families take turns when from DNS */
    uint8_t first_family; /* 4 or 6: what worked lately (resolver_prefer()); 0: no news */
    bool is_stale;        /* past its time, as no name server answered (RFC 8767) */
    uint64_t until_ms;    /* by loop_now_ms(): how long it counts; UINT64_MAX: for good */
    const char *detail;   /* static words for a log */
};

/* A wish for an answer, embedded by who has it. */
struct resolve {
    struct list link;
    void (*on_done)(struct resolve *resolve, const struct resolve_answer *answer);
};

static inline void
resolve_init(struct resolve *resolve,
             void (*on_done)(struct resolve *, const struct resolve_answer *))
{
    list_init(&resolve->link);
    resolve->on_done = on_done;
}

/* Reads the files and opens a channel. Borrows loop, copies conf. NULL with err
 * when conf makes no sense or memory is short. */
struct resolver *resolver_new(struct loop *loop, const struct resolver_conf *conf,
                              struct err *err);

/* Changes the settings, for a reload. What is cached stays; what is under way
 * is asked again of the new name servers. Copies conf. Not from on_done.
 * Returns 0, or -1 with err and nothing changed. */
int resolver_configure(struct resolver *resolver, const struct resolver_conf *conf,
                       struct err *err) MUST_USE;

/* Every look-up should be done or cancelled: what is left ends with
 * RESOLVE_TIMEOUT. Not from on_done. NULL is fine. */
void resolver_free(struct resolver *resolver);

/* Asks for the addresses of host, in any case, with or without a dot at its
 * end; an IPv6 literal with or without brackets. True: *answer is there
 * already. False: on_done is called later, never before this returns; *answer
 * means nothing. host need not outlive the call. */
bool resolve_start(struct resolver *resolver, struct resolve *resolve, struct slice host,
                   struct resolve_answer *answer);

/* on_done will not be called any more. Fine at any time after resolve_init(). */
void resolve_cancel(struct resolve *resolve);

/* Remembers for ten minutes that host was reached over family (4 or 6) after
 * the other one had been tried first: see first_family. */
void resolver_prefer(struct resolver *resolver, struct slice host, uint8_t family);

struct resolver_counts {
    uint64_t hits;     /* answered from the cache */
    uint64_t joined;   /* waited with an equal look-up */
    uint64_t lookups;  /* asked of name servers */
    uint64_t failures; /* look-ups that ended so */
    uint64_t timeouts;
    uint64_t stale;    /* look-ups that failed and were answered from an old answer */
    uint64_t refused;  /* over max_lookups, or memory short */
    unsigned entries;  /* in the cache now */
    unsigned under_way;
};

struct resolver_counts resolver_counts(const struct resolver *resolver);

#endif
