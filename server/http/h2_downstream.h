/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_downstream.h - a client's HTTP/2 connection (RFC 9113). */
#ifndef BASCULE_H2_DOWNSTREAM_H
#define BASCULE_H2_DOWNSTREAM_H

#include "server/base/slice.h"

struct accepted;
struct listener_conf;
struct worker;

/* What every HTTP/2 connection begins with, up to where it could be a request
 * head of HTTP/1 (section 3.4). */
#define H2_PREFACE_HEAD SLICE("PRI * HTTP/2.0\r\n\r\n")

/* Serves HTTP/2 on an accepted connection; every request head goes to
 * listener->mode->on_request(). Takes descriptor and session. */
void h2_downstream_open(struct worker *worker, struct listener_conf *listener,
                        const struct accepted *accepted);

#endif
