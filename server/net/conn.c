/* SPDX-License-Identifier: BSD-2-Clause */
/* conn.c - reading and writing one non-blocking socket.
 *
 * A short read from recv() means that the socket is drained, which saves the
 * call that would say EAGAIN, unless a hang-up was reported: then there is an
 * end to be read and no further edge will come for it. splice() may stop short
 * for reasons of the pipe, so it says nothing.
 *
 * recv() and send() of the C library are points where a thread may be
 * cancelled, which costs two locked instructions a call once there are threads.
 * Nobody cancels ours: the kernel is asked directly.
 */
#include "config.h"

#include "server/net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- plain sockets */

static ssize_t
give_up(struct conn *conn)
{
    conn->error = errno;
    return CONN_FAILED;
}

static ssize_t
plain_recv(struct conn *conn, void *data, size_t bytes)
{
    ssize_t got;

    do {
        got = syscall(SYS_recvfrom, conn->watch.fd, data, bytes, 0, NULL, NULL);
    } while (got < 0 && errno == EINTR);
    if (likely(got > 0)) {
        if ((size_t)got < bytes && !conn->saw_hangup)
            conn->may_read = false;
        return got;
    }
    if (got == 0)
        return 0;
    if (errno != EAGAIN)
        return give_up(conn);
    conn->may_read = false;
    return CONN_WAIT;
}

static ssize_t
plain_send(struct conn *conn, const struct iovec *iov, int count, bool more)
{
    struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
    int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    size_t bytes = 0;
    ssize_t sent;

    do {
        sent = count == 1 ? syscall(SYS_sendto, conn->watch.fd, iov->iov_base, iov->iov_len, flags,
                                    NULL, 0)
                          : syscall(SYS_sendmsg, conn->watch.fd, &message, flags);
    } while (sent < 0 && errno == EINTR);
    if (unlikely(sent < 0)) {
        if (errno != EAGAIN)
            return give_up(conn);
        conn->may_write = false;
        return CONN_WAIT;
    }
    for (int i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    if ((size_t)sent < bytes)
        conn->may_write = false;
    return sent;
}

static int
plain_shutdown(struct conn *conn)
{
    return shutdown(conn->watch.fd, SHUT_WR);
}

const struct transport plain_transport = {
    .name = "plain",
    .is_plain = true,
    .recv = plain_recv,
    .send = plain_send,
    .shutdown = plain_shutdown,
};

/* ---- connections */

static void
on_event(struct watch *watch, uint32_t events)
{
    struct conn *conn = container_of(watch, struct conn, watch);

    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->may_read = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        conn->may_write = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->saw_hangup = true;
    if (events & (EPOLLHUP | EPOLLERR))
        conn->is_broken = true;
    conn->on_ready(conn);
}

void
conn_open_unwatched(struct conn *conn, struct loop *loop, int fd, void (*on_ready)(struct conn *),
                    void (*on_timeout)(struct timer *))
{
    *conn = (struct conn){
        .watch = { .fd = fd, .on_event = on_event },
        .loop = loop,
        .transport = &plain_transport,
        .on_ready = on_ready,
        .may_read = true,
        .may_write = true,
    };
    timer_init(&conn->timer, on_timeout);
    list_init(&conn->grave.link);
}

int
conn_open(struct conn *conn, struct loop *loop, int fd, void (*on_ready)(struct conn *),
          void (*on_timeout)(struct timer *))
{
    conn_open_unwatched(conn, loop, fd, on_ready, on_timeout);
    if (loop_watch(loop, &conn->watch, LOOP_STREAM) < 0) {
        conn->watch.fd = -1;
        return -1;
    }
    conn->is_watched = true;
    return 0;
}

void
conn_watch(struct conn *conn)
{
    if (conn->is_watched || !conn_is_open(conn))
        return;
    conn->is_watched = true;
    if (loop_watch(conn->loop, &conn->watch, LOOP_STREAM) == 0)
        return;
    /* No more watches are to be had (fs.epoll.max_user_watches). Without one it
     * would wait for ever: its timer, which ends it, is due at once. */
    conn->is_broken = true;
    timer_arm(conn->loop, &conn->timer, 1);
}

/* What both directions say when there is nothing to be done. */
static ssize_t
wait_for_event(struct conn *conn)
{
    if (unlikely(!conn->is_watched))
        conn_watch(conn);
    return CONN_WAIT;
}

int
conn_detach(struct conn *conn)
{
    int fd = conn->watch.fd;

    timer_disarm(&conn->timer);
    if (conn->is_watched)
        loop_unwatch(conn->loop, &conn->watch);
    conn->watch.fd = -1;
    return fd;
}

void
conn_close(struct conn *conn)
{
    int fd = conn->watch.fd;

    if (fd < 0)
        return;
    timer_disarm(&conn->timer);
    if (conn->transport->close != NULL)
        conn->transport->close(conn);
    loop_forget(&conn->watch);
    close(fd);
}

void
conn_abort(struct conn *conn)
{
    struct linger reset = { .l_onoff = 1, .l_linger = 0 };

    if (!conn_is_open(conn))
        return;
    setsockopt(conn->watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    conn->is_shut = true; /* TLS would say in earnest that this is the end */
    conn_close(conn);
}

void
conn_free_later(struct conn *conn, void (*release)(void *), void *object)
{
    loop_free(conn->loop, &conn->grave, release, object);
}

ssize_t
conn_recv(struct conn *conn, void *data, size_t bytes)
{
    ssize_t got;

    if (!conn->may_read)
        return wait_for_event(conn);
    if (conn->saw_end)
        return 0;
    got = conn->transport->recv(conn, data, bytes);
    if (likely(got > 0))
        conn->received_bytes += (uint64_t)got;
    else if (got == 0)
        conn->saw_end = true;
    else if (got == CONN_WAIT)
        return wait_for_event(conn);
    return got;
}

ssize_t
conn_send(struct conn *conn, const struct iovec *iov, int count, bool more)
{
    ssize_t sent;

    if (!conn->may_write)
        return wait_for_event(conn);
    sent = conn->transport->send(conn, iov, count, more);
    if (likely(sent > 0))
        conn->sent_bytes += (uint64_t)sent;
    else if (sent == CONN_WAIT)
        return wait_for_event(conn);
    return sent;
}

/* What sendfile() says of the file rather than of the socket. */
static bool
is_of_file(int error)
{
    return error == EINVAL || error == EIO || error == ENOMEM || error == ENOSYS ||
           error == EOVERFLOW || error == ESPIPE;
}

ssize_t
conn_sendfile(struct conn *conn, int file_fd, off_t offset, size_t bytes)
{
    ssize_t sent;

    if (!conn->may_write)
        return wait_for_event(conn);
    do {
        sent = sendfile(conn->watch.fd, file_fd, &offset, bytes);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        if (is_of_file(errno))
            return 0;
        if (errno != EAGAIN)
            return give_up(conn);
        conn->may_write = false;
        return wait_for_event(conn);
    }
    conn->sent_bytes += (uint64_t)sent;
    return sent;
}

uint64_t
conn_taken_bytes(const struct conn *conn)
{
    int queued = 0;

    if (ioctl(conn->watch.fd, SIOCOUTQ, &queued) < 0 || (uint64_t)queued > conn->sent_bytes)
        return conn->sent_bytes;
    return conn->sent_bytes - (uint64_t)queued;
}

int
conn_shutdown(struct conn *conn)
{
    if (conn->is_shut)
        return 0;
    conn->is_shut = true;
    return conn->transport->shutdown(conn);
}

/* ---- pipes */

ssize_t
conn_splice_in(struct conn *conn, struct pipe *pipe, size_t bytes)
{
    ssize_t got;

    if (!conn->may_read)
        return wait_for_event(conn);
    if (conn->saw_end)
        return 0;
    do {
        got = splice(conn->watch.fd, NULL, pipe->fds[1], NULL, bytes,
                     SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        pipe->fill_bytes += (size_t)got;
        conn->received_bytes += (uint64_t)got;
        return got;
    }
    if (got == 0) {
        conn->saw_end = true;
        return 0;
    }
    if (errno != EAGAIN)
        return give_up(conn);
    /* EAGAIN with bytes in the pipe may mean a full pipe as well as a drained
     * socket; the caller empties the pipe before it asks again. */
    if (pipe->fill_bytes == 0)
        conn->may_read = false;
    return wait_for_event(conn);
}

ssize_t
conn_splice_out(struct conn *conn, struct pipe *pipe, size_t bytes, bool more)
{
    ssize_t sent;

    if (!conn->may_write)
        return wait_for_event(conn);
    do {
        sent = splice(pipe->fds[0], NULL, conn->watch.fd, NULL, bytes,
                      SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0));
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        if (errno != EAGAIN)
            return give_up(conn);
        conn->may_write = false;
        return wait_for_event(conn);
    }
    must((size_t)sent <= pipe->fill_bytes);
    pipe->fill_bytes -= (size_t)sent;
    conn->sent_bytes += (uint64_t)sent;
    return sent;
}

void
pipe_pool_init(struct pipe_pool *pool, unsigned max_free, unsigned max_open)
{
    *pool = (struct pipe_pool){ .max_free = max_free, .max_open = max_open };
    list_init(&pool->free);
}

static void
close_pipe(struct pipe_pool *pool, struct pipe *pipe)
{
    close(pipe->fds[0]);
    close(pipe->fds[1]);
    free(pipe);
    pool->open_count--;
}

void
pipe_pool_fini(struct pipe_pool *pool)
{
    list_each(link, &pool->free) {
        list_remove(link);
        close_pipe(pool, container_of(link, struct pipe, link));
    }
    pool->free_count = 0;
}

/* The kernel may refuse a larger pipe (fs.pipe-user-pages-soft); any size works. */
static void
enlarge(struct pipe *pipe, size_t room_bytes)
{
    int room;

    if (pipe->room_bytes >= room_bytes)
        return;
    room = fcntl(pipe->fds[1], F_SETPIPE_SZ, (int)room_bytes);
    if (room > 0)
        pipe->room_bytes = (size_t)room;
}

struct pipe *
pipe_take(struct pipe_pool *pool, size_t room_bytes)
{
    struct pipe *pipe;

    if (!list_is_empty(&pool->free)) {
        pipe = container_of(pool->free.next, struct pipe, link);
        list_remove(&pipe->link);
        pool->free_count--;
        enlarge(pipe, room_bytes);
        return pipe;
    }
    if (pool->open_count >= pool->max_open)
        return NULL;
    pipe = calloc(1, sizeof(*pipe));
    if (pipe == NULL)
        return NULL;
    if (pipe2(pipe->fds, O_NONBLOCK | O_CLOEXEC) < 0) {
        free(pipe);
        return NULL;
    }
    list_init(&pipe->link);
    pipe->room_bytes = 65536;
    pool->open_count++;
    enlarge(pipe, room_bytes);
    return pipe;
}

void
pipe_give(struct pipe_pool *pool, struct pipe *pipe)
{
    if (pipe == NULL)
        return;
    if (pipe->fill_bytes > 0 || pool->free_count >= pool->max_free) {
        close_pipe(pool, pipe);
        return;
    }
    list_push_front(&pool->free, &pipe->link);
    pool->free_count++;
}
