/* SPDX-License-Identifier: BSD-2-Clause */
/* client_conn.h - what a worker can ask of any client connection, whatever it speaks. */
#ifndef BASCULE_CLIENT_CONN_H
#define BASCULE_CLIENT_CONN_H

#include "server/base/list.h"

struct client_conn;

struct client_conn_ops {
    /* worker->snapshot is new: finds its listener there, or ends when it has gone. */
    void (*republish)(struct client_conn *client);
    /* Ends as soon as nothing is in progress, telling the client so. */
    void (*drain)(struct client_conn *client);
    /* Ends now. */
    void (*kill)(struct client_conn *client);
};

struct client_conn {
    struct list link; /* worker->clients */
    const struct client_conn_ops *ops;
};

#endif
