/* SPDX-License-Identifier: BSD-2-Clause */
/* dns.h - asks name servers, without blocking: one c-ares channel on one loop.
 *
 * Knows no cache and no policy: a question goes out, an answer comes back.
 * Belongs to one worker thread. See resolve.h for what callers want.
 */
#ifndef BASCULE_DNS_H
#define BASCULE_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/err.h"
#include "server/net/address.h"
#include "server/net/hosts.h"
#include "server/net/loop.h"

#define DNS_ADDRESSES_MAX 16

enum dns_status {
    DNS_OK,      /* at least one address */
    DNS_NO_DATA, /* the name exists, without addresses of this family */
    DNS_NO_NAME, /* NXDOMAIN */
    DNS_TIMEOUT, /* no server answered */
    DNS_FAILED,  /* SERVFAIL, REFUSED, an answer that makes no sense */
    DNS_CLOSED,  /* dns_free() came first */
};

struct dns_answer {
    enum dns_status status;
    unsigned count;
    struct ip ips[DNS_ADDRESSES_MAX]; /* port 0 */
    /* How long it may be kept: the least of the address and its aliases, or
     * what the SOA record says for "no" (RFC 2308 section 5; 0 without one). */
    uint32_t ttl_s;
    const char *detail; /* static words for a log */
};

/* Embedded by who asks. */
struct dns_query {
    struct dns *dns;
    uint8_t family; /* 4 or 6 */
    void (*on_answer)(struct dns_query *query, const struct dns_answer *answer);
};

struct dns;

/* A channel that asks the given servers in turn, each up to tries times; a
 * first try lasts timeout_ms and each further round twice as long. NULL with
 * err when memory is short. */
struct dns *dns_new(struct loop *loop, const struct name_servers *servers, uint32_t timeout_ms,
                    unsigned tries, struct err *err);

/* Asks for the addresses of name, exactly as it is (no search domains).
 * on_answer is called once, perhaps before this returns; until then query must
 * stay where it is: c-ares cannot take a question back. */
void dns_ask(struct dns *dns, struct dns_query *query, const char *name, uint8_t family);

/* Answers what is still open with DNS_CLOSED and frees the channel. Must not
 * be called from on_answer. NULL is fine. */
void dns_free(struct dns *dns);

#endif
