/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange.h - one request and its response, whatever protocols carry them.
 *
 *      downstream (h1, h2) <--> exchange <--> upstream (h1, h2), cache, made-up answer
 *
 * Protocols meet here and nowhere above: modes, filters, cache and logs never
 * ask which one it is. The road (modes/road.c) takes the exchange from step to
 * step; each side reports what happened to it through struct road_ops.
 */
#ifndef BASCULE_EXCHANGE_H
#define BASCULE_EXCHANGE_H

#include "server/http/body.h"
#include "server/http/message.h"
#include "server/net/address.h"
#include "server/schema.h"
#include "server/worker.h"

struct accepted;
struct cached;
struct exchange;
struct filter_run;
struct generation;
struct judgement;
struct log_names;
struct parent_conf;
struct reach;
struct solo;
struct tls_context;
struct tls_session;
struct tunnel;
struct upstream;
struct user;

/* ---- decisions: logs, Proxy-Status, error pages and explain read the same records */

enum decision_kind {
    DECISION_ALLOW,
    DECISION_RULE, /* one that was true, and let the next one be tried */
    DECISION_DENY,
    DECISION_ROUTE,
    DECISION_ENDPOINT,
    DECISION_FILTER,
    DECISION_FAILURE,
};

struct decision {
    struct decision *next;
    enum decision_kind kind;
    struct slice what;         /* in a few words: "client 192.0.2.1 is not in allow_client" */
    const struct place *place; /* of the rule, route or filter; NULL: built in */
    const char *rule;          /* name of the rule; NULL: its place is its id */
    bool by_filter;            /* which the log's list of what filters did has */
};

/* ---- how it ended: one word in the access log */

enum end_reason {
    END_DONE,             /* done */
    END_BAD_REQUEST,      /* bad_request: malformed, or over a limit of the listener */
    END_DENIED,           /* denied: by policy */
    END_ANSWERED,         /* answered: by Bascule itself: a redirect, the welcome page */
    END_CLIENT_ABORT,     /* client_abort: gone before the end */
    END_CLIENT_TIMEOUT,   /* client_timeout: too slow */
    END_DNS_FAILED,       /* dns_failed */
    END_CONNECT_FAILED,   /* connect_failed */
    END_CONNECT_TIMEOUT,  /* connect_timeout */
    END_UPSTREAM_FAILED,  /* upstream_failed: reset, cut short */
    END_UPSTREAM_BAD,     /* upstream_bad: not HTTP, or not safe to pass on */
    END_UPSTREAM_TIMEOUT, /* upstream_timeout */
    END_NO_ENDPOINT,      /* no_endpoint: all are down, or at their limits */
    END_LIMIT,            /* limit: of memory, connections, time */
    END_FILTER_FAILED,    /* filter_failed: what a filter has to ask did not answer */
    END_STOPPED,          /* stopped: by the operator, or by new policy */
    END_REASON_COUNT
};

const char *end_reason_word(enum end_reason reason);

/* ---- what went wrong on the way to the next hop: RFC 9209 section 2.3 */

struct failure {
    enum end_reason reason;
    uint16_t status;          /* for the client: 502, 503, 504 ... */
    const char *proxy_error;  /* error type of RFC 9209: "connection_refused"; static */
    const char *detail;       /* a few words more; static or of the exchange's arena; may be NULL */
};

/* ---- the client's side */

/* What is known of a client's connection; shared by its exchanges. */
struct client {
    struct ip peer;  /* who connected, or whom a trusted PROXY header named */
    struct ip local;
    bool is_tls;
    struct tls_session *tls; /* with is_tls: its facts; the connection's own */
};

/* For the log: bytes from and to the client. */
struct traffic {
    uint64_t content_in, content_out;
    uint64_t total_in, total_out; /* with heads and framing */
    bool is_reused;               /* the connection had carried exchanges before */
};

struct downstream_ops {
    const char *protocol; /* "HTTP/1.1" */
    /* Sends an interim response (100, 103 ...). */
    void (*interim)(struct exchange *ex, unsigned status, const struct fields *fields);
    /* Puts ex->response's head in front of whatever down->sink takes next. The
     * caller then starts the response pump into down->sink. */
    void (*start)(struct exchange *ex);
    /* The exchange is over and about to be freed. is_whole: the response was
     * sent to its end, so the connection may go on; otherwise the client must
     * be able to tell that it was cut short. */
    void (*finish)(struct exchange *ex, bool is_whole);
    /* Whether reading the request's content failed because it is too long. */
    bool (*request_is_over_limit)(const struct exchange *ex);
    /* Fills in what the exchange exchanged with the client so far. */
    void (*count)(const struct exchange *ex, struct traffic *traffic);
    /* For CONNECT and Upgrade, after the response head was sent: detaches the
     * client's connection. Fills *accepted with descriptor and the bytes that
     * were read ahead (in ex's arena); the downstream is gone then, and the
     * exchange counts as the listener's connection until it is freed. */
    int (*detach)(struct exchange *ex, struct accepted *accepted);
};

/* Embedded in the protocol's own struct: a connection (h1) or a stream (h2). */
struct downstream {
    const struct downstream_ops *ops;
    const struct client *client;
    struct sink *sink; /* for the response's content */
};

/* ---- the origin's side */

struct upstream_ops {
    const char *protocol;
    /* Sends ex->out and starts the request pump. Reports through ex->road. */
    void (*send)(struct upstream *up, struct exchange *ex);
    /* The exchange needs it no more: back to its pool when both messages were
     * finished, closed otherwise. */
    void (*release)(struct upstream *up);
    /* After a 2xx to CONNECT or a 101: detaches the connection as above. */
    int (*detach)(struct upstream *up, struct exchange *ex, struct accepted *accepted);
};

struct upstream {
    const struct upstream_ops *ops;
    struct endpoint *endpoint; /* NULL: a destination of forward mode */
    struct ip ip;              /* whom it is connected to */
    bool was_reused;
};

/* What goes upstream, decided by routing; the filters may change it. */
struct upstream_request {
    struct slice target;    /* as sent: "/path?query", or absolute for a parent proxy */
    struct slice authority; /* of the Host field; data NULL: the endpoint's name */
    struct slice proxy_authorization; /* for a parent proxy; empty: none */
};

/* Where it goes. Exactly one of group and host decides. */
struct destination {
    struct group_conf *group; /* the balancer picks an endpoint of it */
    struct slice host;        /* "the internet": resolved, judged, connected */
    uint16_t port;
    bool is_tls;
    struct tls_context *tls;                     /* with is_tls: whom to trust */
    const struct parent_conf *parent;            /* by way of this proxy; NULL: directly */
    const struct upstream_timeouts *timeouts;    /* with host; a group has its own */
    /* Whether policy lets us connect to this address, asked for each one before
     * it is connected and again before a connection to it is used once more.
     * With host only; NULL: any. */
    bool (*may_connect)(const struct ip *ip, void *ex);
    const struct ip *only;        /* with host: just these addresses, as judged; NULL: any */
    unsigned only_count;
    const struct address *source; /* with host: connect from here; NULL: from anywhere */
};

/* ---- what the sides report */

struct road_ops {
    /* A final response head is in ex->response, its content in response.body. */
    void (*on_response)(struct exchange *ex);
    /* 1xx other than 101. */
    void (*on_interim)(struct exchange *ex, unsigned status, const struct fields *fields);
    /* No response will come from this connection. can_retry: nothing of an
     * answer was seen and the connection had been idle before. */
    void (*on_upstream_failed)(struct exchange *ex, const struct failure *failure, bool can_retry);
    /* The request's content was cut short, broke a limit (END_CLIENT_ABORT) or
     * came too slowly (END_CLIENT_TIMEOUT): the origin must not take what it has
     * for the whole. The client may still be told. */
    void (*on_request_cut)(struct exchange *ex, enum end_reason reason);
    /* The client is gone or takes nothing; downstream is still attached. */
    void (*on_client_gone)(struct exchange *ex, enum end_reason reason);
    /* What a filter or step that said wait calls to go on. */
    void (*on_resume)(struct exchange *ex);
};

/* Points of time in nanoseconds (CLOCK_MONOTONIC); 0: not reached. */
struct phases {
    uint64_t start_ns;      /* head of the request read */
    uint64_t dns_ns;        /* spent in look-up */
    uint64_t connect_ns;    /* spent connecting */
    uint64_t first_byte_ns; /* response head received */
};

struct exchange {
    struct arena arena;
    struct worker *worker;
    struct generation *generation; /* with the snapshot it began with */
    struct listener_conf *listener;
    const struct road_ops *road;
    struct downstream *down;
    struct upstream *up;
    uint64_t id;

    struct request request;
    struct response response;
    uint64_t body_limit_bytes; /* of request content; 0: none. Filters may lower it. */

    struct slice referer, user_agent; /* as the client sent them, for the log */
    struct slice normal_path;  /* the one normal form, once a site's routes were looked at */
    const struct user *user;   /* who has proved who it is; NULL: nobody */
    struct site_conf *site;
    struct route_conf *route;
    struct destination to;
    struct upstream_request out;
    struct endpoint_conf *endpoint; /* the group's choice */
    struct endpoint *slot;     /* of which a slot is held; NULL: none */
    struct ip upstream_ip;     /* whom it is or was connected to */

    struct judgement *judgement; /* by policies (modes/judge.h); NULL: there are none */
    struct filter_run *filters;
    struct cached *cached;     /* dealings with the cache (modes/cached.h); NULL: none */
    struct solo *solo;         /* it has no client (modes/solo.h); NULL: it has one */
    struct pump request_pump, response_pump;
    struct memory_source made_up;
    struct timer deadline;
    struct reach *reach;       /* state of getting to the next hop (modes/reach.c) */

    struct decision *decisions, **last_decision;
    struct failure failure;    /* reason END_DONE: none */
    const struct failure *refusal; /* of the request's content, by a filter; NULL: none */
    enum end_reason end;
    struct phases phases;
    struct tunnel *tunnel;     /* while it is one */
    struct fields *asked;      /* of what may become one: the request's as they came */
    struct listener *counted_by; /* and whose connection it is then; NULL: down's */
    struct log_names *log_names; /* kept for a tunnel's log line */
    uint64_t tunnel_bytes_up, tunnel_bytes_down;
    struct ip client_ip;       /* the true client: peer, or named by a trusted proxy */
    uint16_t upstream_status;  /* as it came; 0: none did */
    uint8_t step;              /* of the road */
    uint8_t scan;              /* enum rule_scan (policy/rule.h): what a rule says of scanning */
    bool is_on_road : 1;       /* the road's loop is on the stack */
    bool is_resumed : 1;       /* a note to that loop: go on with ex->step */
    bool is_answered : 1;      /* a response was chosen: upstream's or ours */
    bool is_started : 1;       /* its head is on its way to the client */
    bool is_ended : 1;
    bool is_whole : 1;         /* ... and the client has all of the response */
    bool is_head_only : 1;     /* the response has no content on the wire */
    bool is_tunnel : 1;
    bool is_direct : 1;        /* ... and upstream_ip is whom the client asked for: neither an
                                 endpoint nor a parent proxy */
    bool is_judging : 1;      /* policies have something to do at later steps */
    bool was_refused : 1;     /* the origin did nothing with the request: it may be sent again,
                                 whatever it is (RFC 9113 section 8.7) */
    bool is_purge : 1;        /* of the cache, by somebody who may: it does not go upstream */
    bool was_dialed : 1;      /* callbacks of this turn may still stand on its memory */
    struct grave grave;
};

/* A new exchange with its own arena; NULL when memory is short. Holds a
 * reference to the worker's snapshot until it is freed. */
struct exchange *exchange_new(struct worker *worker, struct listener_conf *listener,
                              struct downstream *down);

/* Releases everything that hangs on it. Pumps must be stopped, up released. */
void exchange_free(struct exchange *ex);

/* Appends a decision record; silently not when the arena is spent. Borrows place. */
void exchange_decide(struct exchange *ex, enum decision_kind kind, const struct place *place,
                     const char *format, ...) PRINTF_LIKE(4, 5);

/* The same for a rule that may have a name, which is its id then. Borrows it. */
void exchange_decide_rule(struct exchange *ex, enum decision_kind kind, const char *name,
                          const struct place *place, const char *format, ...) PRINTF_LIKE(5, 6);

/* The same for a filter that denies, or fails. rule is borrowed, and may be NULL. What is of
 * kind DECISION_FILTER is a filter's anyway. */
void exchange_decide_filter(struct exchange *ex, enum decision_kind kind, const char *rule,
                            const struct place *place, const char *format, ...) PRINTF_LIKE(5, 6);

/* Appends a copy of what was decided for another exchange. Borrows its place. */
void exchange_decide_again(struct exchange *ex, const struct decision *decision);

/* The decision that let the exchange pass or ended it, the last of them; NULL: nothing
 * but what is built in did. */
const struct decision *exchange_verdict(const struct exchange *ex);

/* Replaces whatever response there was by one of our own, with a page that
 * suits the client: HTML for browsers, by the template of the site or listener if it
 * has one, problem+json (RFC 9457) for API clients.
 * reason becomes ex->end. why is shown to the client: plain words, or NULL.
 * The caller then lets the road deliver it. */
void exchange_answer(struct exchange *ex, unsigned status, enum end_reason reason, const char *why);

/* What a source of the request's content calls before it says FLOW_FAILED because of what it
 * found: the client gets this answer, unless another one is on its way already, and the
 * origin never takes what it has for the whole. why is borrowed. */
void exchange_refuse(struct exchange *ex, unsigned status, enum end_reason reason,
                     const char *why);

/* exchange_answer() with a body of one's own, borrowed; type may be NULL (then no body). */
void exchange_answer_with(struct exchange *ex, unsigned status, enum end_reason reason,
                          const char *type, struct slice body);

#endif
