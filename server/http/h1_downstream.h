/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_downstream.h - a client's HTTP/1.1 connection. */
#ifndef BASCULE_H1_DOWNSTREAM_H
#define BASCULE_H1_DOWNSTREAM_H

struct accepted;
struct listener_conf;
struct worker;

/* Serves HTTP/1.1 on an accepted connection; every request head goes to
 * listener->mode->on_request(). Takes the descriptor. */
void h1_downstream_open(struct worker *worker, struct listener_conf *listener,
                        const struct accepted *accepted);

#endif
