/* SPDX-License-Identifier: BSD-2-Clause */
/* parent.h - going through another proxy: what to say once it is connected.
 *
 * HTTP CONNECT (RFC 9110 section 9.3.6) and SOCKS5 (RFC 1928, RFC 1929), both
 * with or without user and password. The parent resolves the name.
 */
#ifndef BASCULE_PARENT_H
#define BASCULE_PARENT_H

#include "server/config/option.h"
#include "server/net/loop.h"

enum parent_kind { PARENT_HTTP, PARENT_SOCKS5 };

struct parent_conf {
    struct place place;
    int kind; /* enum parent_kind */
    const char *host;
    int64_t port;
    const char *user;     /* NULL: no credentials */
    const char *password; /* NULL with a user: empty */
    struct slice authorization; /* for requests to an HTTP one: "Basic ..."; empty: none */
};

extern const struct option parent_options[];

/* Reads "http://user:password@host:port" or "socks5://host:port" (port 1080
 * unless given; user and password percent-encoded where need be). Strings come
 * from arena. Returns 0, or -1 with err, which never shows the credentials. */
int parent_parse_url(struct parent_conf *parent, struct arena *arena, struct slice url,
                     struct err *err) MUST_USE;

/* Whether what the options or the URL gave can be said in the protocol: 0, or
 * -1 with err. parent_parse_url() asks it itself. */
int parent_check(const struct parent_conf *parent, struct err *err) MUST_USE;

enum parent_status {
    PARENT_OK,
    PARENT_REFUSED,   /* it answered, and not with success */
    PARENT_BAD,       /* it does not speak the protocol */
    PARENT_GONE,      /* it closed or reset the connection */
    PARENT_TIMEOUT,
};

struct parent_result {
    enum parent_status status;
    uint16_t http_status;    /* of a PARENT_HTTP that refused; 0: none */
    const char *proxy_error; /* error type of RFC 9209 section 2.3; static */
    const char *detail;      /* static words for logs and error pages */
    struct slice ahead;      /* PARENT_OK: bytes of the destination behind the handshake;
                              * lent until on_done returns */
};

struct parent_handshake;

/* fd is -1, or the descriptor, which no loop watches and is the receiver's. */
typedef void parent_done_fn(void *arg, int fd, const struct parent_result *result);

/* Asks the parent that fd is connected to for a tunnel to host (a name, or a
 * literal without brackets) and port. Takes fd; borrows parent until on_done;
 * copies host. timeout_ms is for all of the handshake; 0: no limit. on_done is
 * called once, never from here. NULL, with fd closed, when memory is short or
 * host cannot be said in the protocol. */
struct parent_handshake *parent_handshake_start(struct loop *loop, int fd,
                                                const struct parent_conf *parent,
                                                struct slice host, uint16_t port,
                                                uint32_t timeout_ms, parent_done_fn *on_done,
                                                void *arg) MUST_USE;

/* Closes the connection; on_done will not be called. */
void parent_handshake_cancel(struct parent_handshake *handshake);

#endif
