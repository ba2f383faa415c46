/* SPDX-License-Identifier: BSD-2-Clause */
/* mode.h - what a listener is for.
 *
 * A listener hands an accepted connection to its mode. HTTP modes give it to
 * the protocol (http/h1_downstream.c), which reads a request head and hands the
 * exchange back through on_request; the port mode forwards the bytes.
 */
#ifndef BASCULE_MODE_H
#define BASCULE_MODE_H

#include "server/base/err.h"
#include "server/config/option.h"
#include "server/net/address.h"

struct arena;
struct conf;
struct exchange;
struct listener_conf;
struct parent_conf;
struct tls_session;
struct worker;

/* What a step of the road says. */
enum step {
    STEP_NEXT,   /* on to the next one */
    STEP_WAIT,   /* road_resume() will be called; then the same step is asked again */
    STEP_ANSWER, /* a response is there: exchange_answer() was called */
    STEP_DONE,   /* what follows comes from upstream, or the exchange is over */
};

/* An accepted client connection, before any protocol. */
struct accepted {
    int fd;
    struct ip peer;    /* who connected, or whom a trusted PROXY header named */
    struct ip local;   /* where it connected to */
    struct slice head; /* bytes read already, of the protocol; copied by who keeps them */
    struct tls_session *tls; /* it speaks TLS through this, which goes with fd; NULL: plain */
};

struct mode_ops {
    const char *name;             /* as written in the configuration */
    const char *text;             /* one sentence */
    const struct option *options; /* besides those of every listener */
    size_t conf_bytes;            /* of its struct, which begins with struct listener_conf */
    /* Checks and links its part of the configuration once all is read. */
    int (*finish)(struct listener_conf *listener, struct conf *conf, struct arena *arena,
                  struct err *err);
    /* Takes the connection. listener lives as long as the worker's snapshot. */
    void (*on_connection)(struct worker *worker, struct listener_conf *listener,
                          const struct accepted *accepted);
    /* The same for a TLS connection whose ClientHello, still unread, asks for name:
     * that of a site which passes it on as it is (tls_passes_through()). NULL: the
     * mode passes nothing on. name is borrowed. */
    void (*on_pass_through)(struct worker *worker, struct listener_conf *listener,
                            struct slice name, const struct accepted *accepted);
    /* HTTP modes: takes the exchange along the road (modes/road.c). */
    void (*on_request)(struct exchange *ex);
    /* HTTP modes, steps of the road. May this client ask for this at all? */
    enum step (*judge)(struct exchange *ex);
    /* Where does it go: ex->to, ex->site, ex->route. These two change nothing
     * else: after a reload a running tunnel is taken through them again. */
    enum step (*route)(struct exchange *ex);
    /* Makes of the request what goes upstream: ex->out, forwarding fields. */
    enum step (*prepare)(struct exchange *ex);
    /* The proxy by way of which a listener's exchanges go to the internet; NULL: directly.
     * NULL: they never do. */
    const struct parent_conf *(*parent)(const struct listener_conf *listener);
    /* What `check` should tell besides errors: "FILE:LINE: warning: ...". NULL: nothing. */
    void (*review)(const struct listener_conf *listener, const struct conf *conf,
                   void (*say)(void *arg, const char *sentence), void *arg);
    bool is_proxy; /* clients name any origin: HTTP/2 gives absolute targets too */
    bool adds_via; /* to responses (RFC 9110 section 7.6.3: proxies must) */
};

/* All modes, in the order of the manual; ends with NULL. */
extern const struct mode_ops *const modes[];

#endif
