/* SPDX-License-Identifier: BSD-2-Clause */
/* control.h - the control socket: commands talk to the running daemon.
 *
 * One line asks ("status", "status json", "metrics", "reload", "stop"), its
 * words separated by tabs where they are free text ("purge"); the answer is a line
 * "ok" or "failed", then text up to the end of the stream.
 * Served by the main thread of the worker process, so it answers however busy
 * the workers are. The socket is 0600, and the peer's user id is checked besides.
 */
#ifndef BASCULE_CONTROL_H
#define BASCULE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/base/slice.h"
#include "server/net/loop.h"

#define CONTROL_REQUEST_MAX 20480u /* the longest URL, and some words */

struct control;

struct control_conf {
    struct loop *loop;
    uid_t owner; /* he and root may ask */
    /* A request came: answered with control_answer() under its ticket, now or later. */
    void (*on_request)(void *arg, uint64_t ticket, struct slice request);
    void *arg;
};

/* Serves the listening socket. Takes fd. NULL when memory is short. */
struct control *control_new(const struct control_conf *conf, int fd);

/* Another socket instead, for new clients. Takes fd. */
void control_replace(struct control *control, int fd);

/* Answers and closes, unless the client has gone meanwhile. Takes text, from
 * malloc(); NULL is no text. */
void control_answer(struct control *control, uint64_t ticket, bool is_ok, char *text,
                    size_t bytes);

/* Closes everything. NULL is fine. */
void control_free(struct control *control);

#endif
