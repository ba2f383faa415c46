/* SPDX-License-Identifier: BSD-2-Clause */
/* downstream.h - a client's HTTP connection, whatever version it speaks. */
#ifndef BASCULE_DOWNSTREAM_H
#define BASCULE_DOWNSTREAM_H

struct accepted;
struct listener_conf;
struct worker;

/* Serves HTTP on an accepted connection: HTTP/2 where ALPN agreed on it, or where
 * a plain connection begins with its preface (RFC 9113 section 3.3), HTTP/1
 * otherwise. Every request goes to listener->mode->on_request(). Takes descriptor
 * and session. */
void http_downstream_open(struct worker *worker, struct listener_conf *listener,
                          const struct accepted *accepted);

#endif
