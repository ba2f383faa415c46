/* SPDX-License-Identifier: BSD-2-Clause */
/* access_log.h - one line for every exchange.
 *
 * Who ends an exchange fills a record and hands it over; the line is formatted
 * straight into the worker's ring, within about 200 ns, and written by the log thread.
 */
#ifndef BASCULE_ACCESS_LOG_H
#define BASCULE_ACCESS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/arena.h"
#include "server/base/slice.h"
#include "server/net/address.h"

struct fields;
struct log_format;
struct log_privacy;
struct log_sink;

/* What can be logged of an exchange. Zeroed it is a record of which nothing is
 * known: empty slices, NULL and 0 are shown as "-" or left out, but for times
 * in microseconds, for which -1 says so. Borrows everything. Bytes of peers
 * stand here as they came: formats escape them. */
struct access_record {
    uint64_t wall_ms; /* when the exchange began, since 1970 */
    uint64_t id;      /* of the exchange */

    /* From the beginning to the end, and of its phases. */
    int64_t duration_us;
    int64_t dns_us;
    int64_t connect_us;
    int64_t first_byte_us;

    /* Content alone, and with heads and framing; as sent to and received from the client. */
    uint64_t body_out_bytes, body_in_bytes;
    uint64_t total_out_bytes, total_in_bytes;

    struct ip client;
    struct slice client_alias; /* instead of its address: a pseudonym; empty: none */
    struct ip upstream_ip; /* family 0: none, or a unix socket */
    uint16_t status;       /* of the response; 0: none was sent */
    uint16_t upstream_status;
    bool is_reused;          /* not the first exchange of the client's connection */
    bool is_upstream_reused; /* the upstream connection came from a pool */

    struct slice listener;
    struct slice mode;
    struct slice method;
    struct slice target;  /* as received */
    struct slice scheme;
    struct slice host;    /* authority as received: host[:port] */
    struct slice version; /* "HTTP/1.1" */
    struct slice referer;
    struct slice user_agent;
    struct slice user;
    struct slice site;
    struct slice route;
    struct slice group;
    struct slice endpoint; /* "10.1.2.3:80", or where forward mode connected to */
    struct slice rule;     /* id of the one that decided: its name, or "file:line" */
    struct slice tags;     /* that rules gave: "video,slow" */
    struct slice filters;  /* what they did: "clamd: clean, compress: gzip" */
    struct slice tls_version, tls_cipher, tls_name; /* of the client's connection; SNI */
    struct slice client_subject, client_serial, client_fingerprint; /* of its certificate */

    /* Static words. */
    const char *end;       /* how it ended: "done", "client_abort" ... */
    const char *cache;     /* "TCP_MISS", "TCP_HIT", "TCP_TUNNEL", "TCP_DENIED" ... */
    const char *hierarchy; /* "HIER_DIRECT", "FIRSTUP_PARENT"; NULL: by upstream_ip and endpoint */

    const struct fields *request;  /* header fields; NULL: none */
    const struct fields *response; /* ... as sent to the client */
};

struct access_log;

/* An access log to sink, in arena. Takes the reference to sink, which is given
 * back with the arena; borrows format and privacy, which may be NULL: all is told.
 * NULL when the arena is spent. */
struct access_log *access_log_new(struct arena *arena, struct log_sink *sink,
                                  const struct log_format *format,
                                  const struct log_privacy *privacy);

/* Never waits: a line for which there is no room is dropped and counted. The
 * caller's thread should be attached to the log thread. */
void access_log_write(const struct access_log *log, const struct access_record *record);

#endif
