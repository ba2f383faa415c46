/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_tunnel.h - an HTTP/2 stream as a descriptor: CONNECT (RFC 9113 section 8.5)
 * and upgrades (RFC 8441).
 *
 *     tunnel (net/tunnel.c) <--socket pair--> h2_tunnel <--DATA--> client
 *
 * So whoever joins connections to tunnels need not know of streams. An end of
 * one side is passed on as such (FIN, END_STREAM), a reset by the far side as one of
 * the stream. The other way a pair of local sockets knows none: a reset of the stream
 * closes the pair, which the far side sees as an end unless bytes of its own were
 * still on their way.
 */
#ifndef BASCULE_H2_TUNNEL_H
#define BASCULE_H2_TUNNEL_H

#include "server/http/h2_session.h"

struct h2_tunnel {
    struct list link; /* the owner's */
    struct h2_stream stream;
    struct conn conn; /* our end of the pair */
    struct source source; /* what comes from there */
    struct sink sink;
    struct pump up, down; /* from the client, to it */
    struct task start;
    char *held;       /* read, and not taken yet; NULL mostly */
    uint32_t held_at, held_end;
    void (*on_done)(struct h2_tunnel *tunnel);
    void *arg;
    bool is_over;
    bool up_done, down_done;
};

/* Puts a tunnel into the place of the stream, which must have sent its head
 * without ending and is the tunnel's from then on. *fd: the other end of the
 * pair, for the caller. on_done is called when it is over: on its own, not by
 * h2_tunnel_close(); the stream is gone then, and the tunnel's memory goes at
 * the end of the turn. Nothing moves before the turn's end. NULL when
 * descriptors or memory are short: the stream is as it was. */
struct h2_tunnel *h2_tunnel_open(struct h2_stream *stream,
                                 void (*on_done)(struct h2_tunnel *tunnel), void *arg,
                                 int *fd) MUST_USE;

/* News of its stream. */
void h2_tunnel_news(struct h2_stream *stream, unsigned news);

/* Ends it: both sides are reset. */
void h2_tunnel_close(struct h2_tunnel *tunnel);

#endif
