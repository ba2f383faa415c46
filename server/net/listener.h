/* SPDX-License-Identifier: BSD-2-Clause */
/* listener.h - what outlives a snapshot of a listener: how busy it is. */
#ifndef BASCULE_LISTENER_H
#define BASCULE_LISTENER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "server/registry.h"

struct ip;
struct listener_conf;
struct worker;

struct listener {
    struct registered registered; /* identity: its name */
    _Atomic int64_t connections;  /* open now, on all threads */
    _Atomic uint64_t refused;     /* closed at once: not allowed, or over a limit */
};

extern const struct registry_kind listener_kind;

/* Finds or makes the listener; conf->listener leads to it then. 0 or -1.
 * Give back with listener_unref(). */
int listener_adopt(struct listener_conf *conf, struct err *err);
void listener_unref(struct listener *listener);

/* A connection begins: counted until listener_leave(). It holds a reference, so
 * its end finds the listener whatever became of the snapshot. */
void listener_enter(struct worker *worker, struct listener *listener);

/* A connection that mode->on_connection() took is over: called exactly once
 * for each, on the worker's thread, with what conf->listener was then. */
void listener_leave(struct worker *worker, struct listener *listener);

/* Whether allow_client lets the client in. Who reaches a unix socket (family 0)
 * was let in by its owner and mode. */
bool listener_allows(const struct listener_conf *conf, const struct ip *client);

/* The client's address as the error log may tell it: no more than the listener's access
 * log does. Into text[IP_TEXT_BYTES], which is returned. */
const char *listener_client_text(const struct listener_conf *conf, const struct ip *client,
                                 char *text);

/* The same for those whose PROXY headers are believed. */
bool listener_believes(const struct listener_conf *conf, const struct ip *peer);

/* Closes a connection that cannot be served, and counts it. */
void listener_refuse(struct worker *worker, struct listener *listener, int fd);

#endif
