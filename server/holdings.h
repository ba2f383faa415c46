/* SPDX-License-Identifier: BSD-2-Clause */
/* holdings.h - what the supervisor holds open for the worker process: listening
 * sockets, the control socket, log files.
 *
 * A generation is prepared, sent, and then either committed or rolled back, so
 * a configuration that cannot be carried out changes nothing.
 */
#ifndef BASCULE_HOLDINGS_H
#define BASCULE_HOLDINGS_H

#include "server/net/sockets.h"

struct conf;

struct control_socket {
    int fd; /* -1: none */
    struct address address;
};

struct holdings {
    struct list sockets; /* of struct sockets */
    struct list files;   /* of struct held_file */
    struct control_socket control, next_control;
    bool drops_control;        /* the prepared generation wants none */
    struct socket_owner owner; /* who the worker process runs as */
};

void holdings_init(struct holdings *holdings, const struct socket_owner *owner);

/* Opens and binds what conf names. On failure nothing has changed, and err
 * says which address or file. */
int holdings_prepare(struct holdings *holdings, const struct conf *conf, uint64_t generation,
                     struct err *err);

/* Sends over the channel what the worker process does not have yet. 0 or -1. */
int holdings_send(struct holdings *holdings, int channel_fd, uint64_t generation);

/* The generation is served: what it does not name is closed, and its control
 * socket is sent. */
void holdings_commit(struct holdings *holdings, int channel_fd, uint64_t generation);

/* The generation is not served: what only it names is closed. */
void holdings_rollback(struct holdings *holdings, uint64_t generation);

/* Another worker process has nothing yet. */
void holdings_forget_sent(struct holdings *holdings);

/* Sends the control socket (again). */
void holdings_send_control(struct holdings *holdings, int channel_fd);

/* Opens log files anew and sends them. */
void holdings_reopen_files(struct holdings *holdings, int channel_fd);

/* Closes the listening sockets: nobody new comes when the worker process
 * closes its own. */
void holdings_close_sockets(struct holdings *holdings);

/* Closes everything and removes the paths of unix sockets. */
void holdings_fini(struct holdings *holdings);

#endif
