/* SPDX-License-Identifier: BSD-2-Clause */
/* conn.h - one stream connection: a non-blocking socket and what it said last.
 *
 * Whoever owns a connection embeds it, sets on_ready, and reads and writes
 * until CONN_WAIT. The descriptor is registered once, edge-triggered; may_read
 * and may_write are true until the kernel says EAGAIN. Plain sockets and TLS
 * differ only in their transport.
 */
#ifndef BASCULE_CONN_H
#define BASCULE_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "server/base/must.h"
#include "server/net/loop.h"

struct conn;
struct pipe;

/* Results below zero. */
#define CONN_WAIT (-1)   /* nothing now: on_ready will be called */
#define CONN_FAILED (-2) /* reset or broken: conn->error says why; only conn_close() is left */

/* How bytes travel: plain or TLS. Results as conn_recv() and conn_send(). */
struct transport {
    const char *name;
    bool is_plain; /* splice() and sendfile() work on the descriptor */
    ssize_t (*recv)(struct conn *conn, void *data, size_t bytes);
    ssize_t (*send)(struct conn *conn, const struct iovec *iov, int count, bool more);
    int (*shutdown)(struct conn *conn);
    void (*close)(struct conn *conn); /* frees the transport's own state */
};

extern const struct transport plain_transport;

struct conn {
    struct watch watch; /* fd */
    struct loop *loop;
    const struct transport *transport;
    void *transport_state;
    /* Input or room may be there, or the peer is gone: try again. */
    void (*on_ready)(struct conn *conn);
    struct timer timer; /* the owner's: what it waits for now */
    struct grave grave;
    uint64_t received_bytes, sent_bytes;
    int error; /* errno of CONN_FAILED */
    bool may_read : 1;
    bool may_write : 1;
    bool saw_hangup : 1; /* RDHUP, HUP or ERR was reported: read until 0 */
    bool saw_end : 1;    /* recv() returned 0: the peer sends no more */
    bool is_shut : 1;    /* we send no more */
    bool is_broken : 1;  /* HUP or ERR: a write would fail */
    bool is_watched : 1;
};

/* Starts watching fd, which must be non-blocking. Takes fd: closed by
 * conn_close(). on_timeout may be NULL. Returns 0, or -1 with errno and fd
 * still the caller's. */
int conn_open(struct conn *conn, struct loop *loop, int fd, void (*on_ready)(struct conn *),
              void (*on_timeout)(struct timer *)) MUST_USE;

/* The same, but events come only after conn_watch(), which the first CONN_WAIT
 * calls too: a short connection may be over before the kernel had to be told
 * of it. A hang-up is not noticed until then. */
void conn_open_unwatched(struct conn *conn, struct loop *loop, int fd,
                         void (*on_ready)(struct conn *), void (*on_timeout)(struct timer *));

/* Watches it if it is not watched yet. When the kernel refuses, the connection
 * is broken and on_timeout is called soon. */
void conn_watch(struct conn *conn);

/* Hands the descriptor over: stops watching and returns it, open. */
int conn_detach(struct conn *conn);

/* Stops the timer and the watch, closes the descriptor. The memory that holds
 * conn must stay until the end of the turn: conn_free_later(). Twice is fine. */
void conn_close(struct conn *conn);

/* Resets the connection (RST) rather than ending it: the peer must not take
 * what it has for the whole. */
void conn_abort(struct conn *conn);

/* release(object) at the end of this turn. */
void conn_free_later(struct conn *conn, void (*release)(void *), void *object);

static inline bool
conn_is_open(const struct conn *conn)
{
    return conn->watch.fd >= 0;
}

/* Reads up to bytes. Returns how many, 0 at the end of the stream, CONN_WAIT
 * or CONN_FAILED. */
ssize_t conn_recv(struct conn *conn, void *data, size_t bytes);

/* Writes what the socket takes now; more: further bytes follow at once
 * (MSG_MORE). Returns how many, CONN_WAIT or CONN_FAILED. Never SIGPIPE. */
ssize_t conn_send(struct conn *conn, const struct iovec *iov, int count, bool more);

/* How many of the bytes sent the peer has acknowledged. The kernel holds
 * megabytes for a slow one, and asks for more only when a third of it is gone:
 * what it took from us says little of how fast the peer is. */
uint64_t conn_taken_bytes(const struct conn *conn);

/* Moves bytes from the socket into the pipe, or out of it. Plain transports
 * only. Results as above. */
ssize_t conn_splice_in(struct conn *conn, struct pipe *pipe, size_t bytes);
ssize_t conn_splice_out(struct conn *conn, struct pipe *pipe, size_t bytes, bool more);

/* Sends bytes of the file file_fd from offset on; their pages stay in the socket's queue,
 * so the file must not change. Plain transports only. Results as conn_send(), and
 * 0: the file gives nothing there: it is shorter, broken, or of a kind that cannot
 * be sent. */
ssize_t conn_sendfile(struct conn *conn, int file_fd, off_t offset, size_t bytes);

/* Says that we send no more (FIN); the peer may still send. */
int conn_shutdown(struct conn *conn);

/* ---- pipes, pooled by worker: taken when bulk starts */

struct pipe {
    struct list link;
    int fds[2]; /* read end, write end */
    size_t room_bytes;
    size_t fill_bytes;
};

struct pipe_pool {
    struct list free;
    unsigned free_count, open_count;
    unsigned max_free, max_open;
};

void pipe_pool_init(struct pipe_pool *pool, unsigned max_free, unsigned max_open);
void pipe_pool_fini(struct pipe_pool *pool);

/* An empty pipe of at least room_bytes where the kernel allows it, or NULL
 * when descriptors are short: then copy instead. */
struct pipe *pipe_take(struct pipe_pool *pool, size_t room_bytes);

/* Gives the pipe back; closes it when it still holds bytes. NULL is fine. */
void pipe_give(struct pipe_pool *pool, struct pipe *pipe);

#endif
