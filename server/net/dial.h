/* SPDX-License-Identifier: BSD-2-Clause */
/* dial.h - makes one connected socket, whatever it takes.
 *
 * A name is resolved, its addresses are judged, and what is left is raced as
 * RFC 8305 has it: IPv6 and IPv4 in turn, the next one after 250 ms or as soon
 * as one has failed; the first to connect wins and the others are closed. The
 * address that was judged is the address that is connected: nothing is looked
 * up in between.
 *
 * Every dial ends within the resolver's limit and connect_ms.
 */
#ifndef BASCULE_DIAL_H
#define BASCULE_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/slice.h"
#include "server/net/address.h"
#include "server/net/loop.h"
#include "server/net/resolve.h"

#define DIAL_ADDRESSES_MAX RESOLVE_ADDRESSES_MAX

struct dial_target {
    struct slice host;  /* a name or a literal; borrowed until on_done */
    uint16_t port;
    bool is_ipv4_first; /* rather than IPv6 */
    const struct address *address; /* instead of host and port; borrowed until on_done */
    const struct address *source;  /* connect from here (port 0: any); borrowed; may be NULL */
    uint32_t connect_ms; /* for all attempts together, without the look-up; 0: the kernel's 2 min */
    /* Whether this address and port may be connected; NULL: all of them. Not
     * asked about unix sockets. Called at once for each address; must not end
     * the dial. */
    bool (*may_connect)(const struct ip *ip, void *arg);
    void *arg;
};

/* From DIAL_FAILED on, the later says more when several addresses failed in
 * different ways. */
enum dial_status {
    DIAL_OK,
    DIAL_NO_SUCH_HOST,
    DIAL_DNS_TIMEOUT,
    DIAL_DNS_ERROR,
    DIAL_REFUSED_BY_POLICY, /* may_connect said no to every address */
    DIAL_FAILED,            /* our own: no descriptors, ports, memory, look-ups */
    DIAL_UNREACHABLE,       /* no route, or a firewall says so */
    DIAL_CONNECT_TIMEOUT,
    DIAL_CONNECT_REFUSED,   /* nobody listens there */
};

struct dial_result {
    enum dial_status status;
    int error;     /* errno of the failure that status tells, or 0 */
    struct ip ip;  /* what was connected, or what failed so; family 0: neither, or unix */
    uint32_t dns_us, connect_us;
    bool was_cached; /* the name needed no question */
    bool is_stale;   /* by an answer past its time (RFC 8767) */
    uint64_t until_ms; /* how long the name's answer counts; UINT64_MAX: for good */
    const char *detail; /* static words for a log */
};

struct dial;

/* One address being connected. */
struct dial_attempt {
    struct watch watch;
    uint8_t index; /* its place, so that the watch leads to the dial */
};

/* Embedded by who connects, for as long as that takes. All private. */
struct dial {
    struct resolve resolve;
    struct resolver *resolver;
    struct loop *loop;
    struct dial_target target;
    void (*on_done)(struct dial *dial, int fd, const struct dial_result *result);
    struct timer limit, stagger;
    uint64_t started_us; /* the look-up, then the first attempt */
    uint64_t until_ms;
    uint32_t dns_us;
    int error; /* the most telling failure so far */
    enum dial_status status;
    const char *detail;
    uint8_t failed_index;
    uint8_t count, next; /* addresses; the next one to try */
    uint8_t pending;
    bool was_cached, is_stale;
    struct ip ips[DIAL_ADDRESSES_MAX];
    struct dial_attempt attempts[DIAL_ADDRESSES_MAX];
};

/* on_done is called once after each dial_start() that is not cancelled. fd is
 * -1, or a connected, non-blocking socket that no loop watches and that is the
 * receiver's from then on. dial may be started again or its memory released
 * then, but not before the end of the loop's turn. */
void dial_init(struct dial *dial, void (*on_done)(struct dial *, int, const struct dial_result *));

/* Begins to connect. May call on_done before returning. Borrows resolver
 * (which may be NULL when target has an address) and loop; copies target. */
void dial_start(struct dial *dial, struct resolver *resolver, struct loop *loop,
                const struct dial_target *target);

/* on_done will not be called any more. Fine at any time after dial_init(). */
void dial_cancel(struct dial *dial);

/* "connection refused" and so on: static words for a log or an error page. */
const char *dial_status_text(enum dial_status status);

#endif
