/* SPDX-License-Identifier: BSD-2-Clause */
/* sockets.h - the listening sockets of one address.
 *
 * The supervisor makes them and keeps them open as long as the configuration
 * names the address; worker processes hold copies, so one that dies loses
 * nothing that is queued. TCP has one SO_REUSEPORT socket per worker thread,
 * and never fewer than before: closing one would reset what is queued on it. A
 * unix socket, or one that systemd made, is shared by all threads.
 */
#ifndef BASCULE_SOCKETS_H
#define BASCULE_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/err.h"
#include "server/base/list.h"
#include "server/net/address.h"
#include "server/worker.h"

struct listener_conf;

#define SOCKETS_KEY_BYTES 512

struct sockets {
    struct list link;
    char key[SOCKETS_KEY_BYTES]; /* identity: the address; port 0 is each listener's own */
    struct address address;      /* with the port that the kernel chose */
    uint64_t serial;             /* never used again in this process */
    uint64_t first_generation;   /* supervisor: that named them, */
    uint64_t generation;         /* ... and the newest */
    unsigned sent;               /* supervisor: what the worker process has of them */
    bool is_wanted;              /* worker process: by the plan that is looked at */
    bool is_shared;              /* every thread watches all of them */
    bool is_announced;           /* the log has told of them */
    bool is_foreign;             /* made by systemd: its path is not ours to remove */
    unsigned count;
    int fds[WORKERS_MAX];
};

/* Who may connect to a unix socket, besides its mode. -1: leave it. */
struct socket_owner {
    uid_t uid;
    gid_t gid;
};

/* The identity of the listener's address number index. Returns key. */
const char *sockets_key(char key[SOCKETS_KEY_BYTES], const struct listener_conf *conf,
                        size_t index);

/* Without any socket yet. Copies key. NULL when memory is short. */
struct sockets *sockets_new(const char *key);

/* Closes them all. NULL is fine. */
void sockets_free(struct sockets *sockets);

/* The one with this key on a list, or NULL. */
struct sockets *sockets_find(struct list *all, const char *key);

/* Binds until there are count sockets for the address (one, if they are
 * shared), and listens with this backlog on all. is_alone: refuse an address on which anyone
 * listens already; not wanted while an older address of ours overlaps. On
 * failure nothing has changed, and err names the address. */
int sockets_open(struct sockets *sockets, const struct address *address, int64_t backlog,
                 unsigned count, bool is_alone, const struct socket_owner *owner,
                 struct err *err);

/* Adds sockets that listen already. Takes the descriptors; closes what finds no
 * room. Address and is_shared are asked of the kernel. 0, or -1 when one is
 * not a listening socket. */
int sockets_take(struct sockets *sockets, const int *fds, unsigned count, struct err *err);

/* Whether fd listens at this address. */
bool socket_listens_at(int fd, const struct address *address);

/* Removes the path of a unix socket of ours. Harmless otherwise. */
void sockets_unlink(const struct sockets *sockets);

/* A listening unix socket at path. A stale one there is replaced; one that
 * somebody serves is not. Returns the descriptor or -1. */
int socket_open_unix(const struct address *address, int backlog, mode_t mode,
                     const struct socket_owner *owner, struct err *err);

#endif
