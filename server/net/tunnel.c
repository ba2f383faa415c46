/* SPDX-License-Identifier: BSD-2-Clause */
/* tunnel.c - two ways, each pulled by the room at its far end.
 *
 *   client ---- up ----> upstream        copy:   recv, send; the rest is held
 *          <--- down ---                 splice: socket, pipe, socket
 *
 * A way reads nothing while it holds bytes that were not sent, so at most
 * COPY_BYTES of memory or one pipe wait in it and back-pressure reaches the
 * sender. Small and interactive traffic is copied; two full reads in a row make
 * a way bulky, and bulk is spliced. The pipe goes back to the pool whenever it
 * is empty at the end of a run, so a quiet tunnel holds neither buffers nor
 * pipes.
 *
 * TLS is always copied, as many records at a time as the buffer has room for.
 * Bytes that a session holds, of which no event tells, are asked for when the
 * tunnel begins; later on a way reads until its session has none left.
 *
 * However many events come, a tunnel runs once a turn and moves TURN_BYTES
 * each way; what is left waits on the ready list behind everyone else.
 */
#include "config.h"

#include "server/net/tunnel.h"

#include "modes/mode.h"
#include "server/tls/tls_session.h"
#include "server/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COPY_BYTES (64u * 1024)
#define BULKY_READS 2           /* full ones, in a row */
#define BULKY_BYTES (16u * 1024) /* a run that moves less ends the bulk */
#define PIPE_BYTES (1024u * 1024)
#define TURN_BYTES (1024u * 1024)

/* What became of a way that was run. */
enum push {
    PUSH_ON,     /* there may be more */
    PUSH_WAIT,   /* for input or for room */
    PUSH_FAILED, /* one of the connections is broken; its error is set */
    PUSH_NO_MEMORY,
    PUSH_DENIED, /* by who looked at the first bytes */
};

const char *
tunnel_end_word(enum tunnel_end end)
{
    static const char *const words[] = {
        [TUNNEL_DONE] = "done",
        [TUNNEL_CLIENT_RESET] = "client_reset",
        [TUNNEL_UPSTREAM_RESET] = "upstream_reset",
        [TUNNEL_IDLE] = "idle",
        [TUNNEL_LIFE] = "lifetime",
        [TUNNEL_DENIED] = "denied",
        [TUNNEL_STOPPED] = "stopped",
        [TUNNEL_NO_MEMORY] = "no_memory",
    };

    return words[end];
}

/* ---- one way */

/* The result of a call on a connection that gave no bytes. */
static enum push
result_of(ssize_t result)
{
    return result == CONN_WAIT ? PUSH_WAIT : PUSH_FAILED;
}

static void
drop_held(struct tunnel_way *way)
{
    free(way->held);
    way->held = NULL;
    way->held_at = way->held_end = 0;
}

/* Copies what could not be sent; it is at most what one read gave. */
static enum push
hold(struct tunnel_way *way, const char *data, size_t bytes)
{
    if (bytes == 0)
        return PUSH_ON;
    way->held = malloc(bytes);
    if (way->held == NULL)
        return PUSH_NO_MEMORY;
    memcpy(way->held, data, bytes);
    way->held_end = (uint32_t)bytes;
    return PUSH_ON;
}

static bool
has_rest(const struct tunnel_way *way)
{
    return way->held != NULL || (way->pipe != NULL && way->pipe->fill_bytes > 0);
}

static enum push
send_rest(struct tunnel_way *way)
{
    struct iovec piece;
    ssize_t sent;

    if (way->held != NULL) {
        piece.iov_base = way->held + way->held_at;
        piece.iov_len = way->held_end - way->held_at;
        sent = conn_send(way->to, &piece, 1, false);
        if (sent < 0)
            return result_of(sent);
        way->held_at += (uint32_t)sent;
        if (way->held_at == way->held_end)
            drop_held(way);
    } else {
        sent = conn_splice_out(way->to, way->pipe, way->pipe->fill_bytes, false);
        if (sent < 0)
            return result_of(sent);
    }
    way->bytes += (uint64_t)sent;
    return PUSH_ON;
}

/* from has ended and all of it was sent: to hears the same, once there is room
 * for it where that takes bytes. Until then from is asked, and says so, again. */
static enum push
pass_end(struct tunnel_way *way)
{
    if (conn_shutdown(way->to) < 0) {
        way->to->error = errno;
        return PUSH_FAILED;
    }
    way->is_done = tls_flush(way->to);
    return PUSH_WAIT;
}

static void
judge_bulk(struct tunnel_way *way, size_t got)
{
    if (got < COPY_BYTES || !way->from->transport->is_plain || !way->to->transport->is_plain)
        way->full_reads = 0;
    else if (++way->full_reads >= BULKY_READS)
        way->is_bulky = true;
}

/* Returns how many bytes were taken, or CONN_FAILED. */
static ssize_t
write_some(struct conn *to, const char *data, size_t bytes)
{
    struct iovec piece = { .iov_base = (char *)data, .iov_len = bytes };
    ssize_t sent;

    while (piece.iov_len > 0 && to->may_write) {
        sent = conn_send(to, &piece, 1, false);
        if (sent == CONN_FAILED)
            return CONN_FAILED;
        if (sent == CONN_WAIT)
            break;
        piece.iov_base = (char *)piece.iov_base + sent;
        piece.iov_len -= (size_t)sent;
    }
    return (ssize_t)(bytes - piece.iov_len);
}

/* By way of the stack: worker->in may hold unread bytes of a request. */
static enum push
copy_some(struct tunnel_way *way)
{
    char scratch[COPY_BYTES];
    ssize_t got = conn_recv(way->from, scratch, sizeof(scratch));
    ssize_t sent;

    if (got < 0)
        return result_of(got);
    if (got == 0)
        return pass_end(way);
    judge_bulk(way, (size_t)got);
    sent = write_some(way->to, scratch, (size_t)got);
    if (sent < 0)
        return PUSH_FAILED;
    way->bytes += (uint64_t)sent;
    return hold(way, scratch + sent, (size_t)(got - sent));
}

static enum push
splice_some(struct tunnel_way *way)
{
    ssize_t got = conn_splice_in(way->from, way->pipe, way->pipe->room_bytes);

    if (got < 0)
        return result_of(got);
    return got == 0 ? pass_end(way) : PUSH_ON;
}

/* Makes sure of a pipe for a bulky way. Without one it goes on copying. */
static bool
has_pipe(struct tunnel_way *way, struct pipe_pool *pool)
{
    if (way->pipe == NULL)
        way->pipe = pipe_take(pool, PIPE_BYTES);
    if (way->pipe == NULL) {
        way->is_bulky = false;
        way->full_reads = 0;
    }
    return way->pipe != NULL;
}

static enum push
step(struct tunnel_way *way, struct worker *worker)
{
    if (has_rest(way))
        return send_rest(way);
    if (way->is_done || !way->to->may_write)
        return PUSH_WAIT;
    if (way->is_bulky && has_pipe(way, &worker->pipes))
        return splice_some(way);
    return copy_some(way);
}

static enum push
run_way(struct tunnel_way *way, struct worker *worker)
{
    uint64_t before = way->bytes;
    enum push push;

    do {
        push = step(way, worker);
    } while (push == PUSH_ON && way->bytes - before < TURN_BYTES);
    if (way->pipe != NULL && way->pipe->fill_bytes == 0) {
        pipe_give(&worker->pipes, way->pipe);
        way->pipe = NULL;
        if (push == PUSH_WAIT && way->bytes - before < BULKY_BYTES) {
            way->is_bulky = false;
            way->full_reads = 0;
        }
    }
    return push;
}

static void
release_way(struct tunnel_way *way, struct worker *worker)
{
    drop_held(way);
    pipe_give(&worker->pipes, way->pipe);
    way->pipe = NULL;
}

/* ---- a look at the first bytes */

/* Reads behind what is held. Returns as conn_recv(). */
static ssize_t
read_more(struct tunnel *tunnel)
{
    struct tunnel_way *way = &tunnel->up;
    char *more = realloc(way->held, tunnel->conf.look_bytes);
    ssize_t got;

    if (more == NULL)
        return CONN_FAILED;
    way->held = more;
    got = conn_recv(way->from, more + way->held_end, tunnel->conf.look_bytes - way->held_end);
    if (got > 0)
        way->held_end += (uint32_t)got;
    return got;
}

/* From now on bytes flow as they come. */
static void
end_look(struct tunnel *tunnel)
{
    tunnel->is_looking = false;
    timer_disarm(&tunnel->look_timer);
    if (tunnel->up.held_end == 0)
        drop_held(&tunnel->up);
}

/* PUSH_ON: it is over, or nothing is looked at. */
static enum push
look(struct tunnel *tunnel)
{
    struct tunnel_way *way = &tunnel->up;
    bool is_last = tunnel->is_look_late;

    while (tunnel->is_looking) {
        ssize_t got = 1;

        is_last = is_last || way->held_end >= tunnel->conf.look_bytes;
        switch (tunnel->conf.look(tunnel, slice_make(way->held, way->held_end), is_last)) {
        case TUNNEL_LOOK_ON:
            end_look(tunnel);
            return PUSH_ON;
        case TUNNEL_LOOK_DENY:
            return PUSH_DENIED;
        case TUNNEL_LOOK_MORE:
            break;
        }
        if (is_last) {
            end_look(tunnel);
            return PUSH_ON;
        }
        got = read_more(tunnel);
        if (got < 0)
            return result_of(got);
        is_last = got == 0;
    }
    return PUSH_ON;
}

static void
on_look_late(struct timer *timer)
{
    struct tunnel *tunnel = container_of(timer, struct tunnel, look_timer);

    tunnel->is_look_late = true;
    loop_ready(tunnel->worker->loop, &tunnel->task);
}

/* ---- the tunnel */

/* Hang-up without an error is no reset: the peer has closed both ways (a unix
 * socket), or both have ended. What it sent before is still to be read, but
 * nothing more can be sent to it. */
static bool
was_reset(struct conn *conn, struct tunnel_way *towards, struct worker *worker)
{
    socklen_t bytes = sizeof(conn->error);

    if (likely(!conn->is_broken))
        return false;
    if (getsockopt(conn->watch.fd, SOL_SOCKET, SO_ERROR, &conn->error, &bytes) < 0)
        conn->error = errno;
    if (conn->error != 0)
        return true;
    towards->is_done = true;
    release_way(towards, worker);
    return false;
}

static void
arm_idle(struct tunnel *tunnel)
{
    const struct tunnel_conf *conf = &tunnel->conf;
    bool is_half_closed = tunnel->up.is_done || tunnel->down.is_done;

    timer_arm(tunnel->worker->loop, &tunnel->client.timer,
              is_half_closed && conf->half_close_idle_ms > 0 ? conf->half_close_idle_ms
                                                             : conf->idle_ms);
}

/* Both ways as far as they go; TUNNEL_END_COUNT: it lives on. */
static enum tunnel_end
run_ways(struct tunnel *tunnel)
{
    struct worker *worker = tunnel->worker;
    enum push up, down;

    if (was_reset(&tunnel->client, &tunnel->down, worker))
        return TUNNEL_CLIENT_RESET;
    if (was_reset(&tunnel->upstream, &tunnel->up, worker))
        return TUNNEL_UPSTREAM_RESET;
    up = look(tunnel);
    if (up == PUSH_DENIED)
        return TUNNEL_DENIED;
    if (up == PUSH_ON)
        up = run_way(&tunnel->up, worker);
    down = up == PUSH_FAILED ? up : run_way(&tunnel->down, worker);
    if (up == PUSH_FAILED || down == PUSH_FAILED)
        return tunnel->client.error != 0 ? TUNNEL_CLIENT_RESET : TUNNEL_UPSTREAM_RESET;
    if (up == PUSH_NO_MEMORY || down == PUSH_NO_MEMORY)
        return TUNNEL_NO_MEMORY;
    if (tunnel->up.is_done && tunnel->down.is_done)
        return TUNNEL_DONE;
    if (up == PUSH_ON || down == PUSH_ON)
        loop_ready(worker->loop, &tunnel->task);
    return TUNNEL_END_COUNT;
}

/* Bytes and ends passed on so far: what the idle deadline looks at. */
static uint64_t
progress_of(const struct tunnel *tunnel)
{
    return tunnel->up.bytes + tunnel->down.bytes + tunnel->up.is_done + tunnel->down.is_done;
}

static void
run(struct task *task)
{
    struct tunnel *tunnel = container_of(task, struct tunnel, task);
    uint64_t before = progress_of(tunnel);
    enum tunnel_end end = run_ways(tunnel);

    if (end != TUNNEL_END_COUNT)
        tunnel_close(tunnel, end);
    else if (progress_of(tunnel) != before)
        arm_idle(tunnel);
}

static void
on_client_ready(struct conn *conn)
{
    struct tunnel *tunnel = container_of(conn, struct tunnel, client);

    loop_ready(conn->loop, &tunnel->task);
}

static void
on_upstream_ready(struct conn *conn)
{
    struct tunnel *tunnel = container_of(conn, struct tunnel, upstream);

    loop_ready(conn->loop, &tunnel->task);
}

/* The client's timer is the idle deadline, the upstream's the lifetime. */
static void
on_idle(struct timer *timer)
{
    tunnel_close(container_of(timer, struct tunnel, client.timer), TUNNEL_IDLE);
}

static void
on_life_over(struct timer *timer)
{
    tunnel_close(container_of(timer, struct tunnel, upstream.timer), TUNNEL_LIFE);
}

/* Neither side is read before the loop reports it, which it does at once where
 * there is something: that saves a call that would say EAGAIN. Of what a session
 * holds already, nobody reports. */
static void
take_session(struct conn *conn, struct tls_session *session)
{
    tls_attach(conn, session);
    conn->may_read = session != NULL && tls_has_pending(session);
}

/* Takes over both descriptors, or none. */
static int
open_both(struct tunnel *tunnel, const struct accepted *client, const struct accepted *upstream)
{
    struct loop *loop = tunnel->worker->loop;

    if (conn_open(&tunnel->client, loop, client->fd, on_client_ready, on_idle) < 0)
        return -1;
    if (conn_open(&tunnel->upstream, loop, upstream->fd, on_upstream_ready, on_life_over) < 0) {
        conn_detach(&tunnel->client);
        return -1;
    }
    take_session(&tunnel->client, client->tls);
    take_session(&tunnel->upstream, upstream->tls);
    return 0;
}

static void
refuse(const struct accepted *side)
{
    tls_session_free(side->tls);
    close(side->fd);
}

static struct tunnel *
tunnel_new(struct worker *worker, const struct accepted *client, const struct accepted *upstream)
{
    struct tunnel *tunnel = calloc(1, sizeof(*tunnel));

    if (tunnel == NULL)
        return NULL;
    tunnel->worker = worker;
    tunnel->up.from = tunnel->down.to = &tunnel->client;
    tunnel->up.to = tunnel->down.from = &tunnel->upstream;
    task_init(&tunnel->task, run);
    if (hold(&tunnel->up, client->head.data, client->head.bytes) == PUSH_ON &&
        hold(&tunnel->down, upstream->head.data, upstream->head.bytes) == PUSH_ON &&
        open_both(tunnel, client, upstream) == 0)
        return tunnel;
    drop_held(&tunnel->up);
    drop_held(&tunnel->down);
    free(tunnel);
    return NULL;
}

struct tunnel *
tunnel_start(struct worker *worker, const struct accepted *client, const struct accepted *upstream,
             const struct tunnel_conf *conf, tunnel_done_fn *on_done, void *arg)
{
    struct tunnel *tunnel = tunnel_new(worker, client, upstream);

    if (tunnel == NULL) {
        refuse(client);
        refuse(upstream);
        return NULL;
    }
    tunnel->conf = *conf;
    tunnel->on_done = on_done;
    tunnel->arg = arg;
    timer_init(&tunnel->look_timer, on_look_late);
    tunnel->is_looking = conf->look != NULL;
    if (tunnel->is_looking)
        timer_arm(worker->loop, &tunnel->look_timer, conf->look_ms);
    list_push_back(&worker->tunnels, &tunnel->link);
    counter_up(worker->counters, tunnels_opened);
    counter_up(worker->counters, tunnels_open);
    arm_idle(tunnel);
    timer_arm(worker->loop, &tunnel->upstream.timer, conf->life_ms);
    if (has_rest(&tunnel->up) || has_rest(&tunnel->down) || tunnel->client.may_read ||
        tunnel->upstream.may_read)
        loop_ready(worker->loop, &tunnel->task);
    return tunnel;
}

static void
count(struct tunnel *tunnel)
{
    struct counters *counters = tunnel->worker->counters;

    counter_down(counters, tunnels_open);
    counter_add(counters, tunnel_bytes_up, tunnel->up.bytes);
    counter_add(counters, tunnel_bytes_down, tunnel->down.bytes);
    counter_add(counters, client_bytes_in, tunnel->client.received_bytes);
    counter_add(counters, client_bytes_out, tunnel->client.sent_bytes);
}

void
tunnel_close(struct tunnel *tunnel, enum tunnel_end end)
{
    void (*close_conn)(struct conn *) = end == TUNNEL_DONE ? conn_close : conn_abort;

    if (tunnel->is_closed)
        return;
    tunnel->is_closed = true;
    list_remove(&tunnel->link);
    task_cancel(&tunnel->task);
    timer_disarm(&tunnel->look_timer);
    release_way(&tunnel->up, tunnel->worker);
    release_way(&tunnel->down, tunnel->worker);
    count(tunnel);
    tunnel->on_done(tunnel, end);
    close_conn(&tunnel->client);
    close_conn(&tunnel->upstream);
    conn_free_later(&tunnel->client, free, tunnel);
}

void
tunnel_stop_looking(struct tunnel *tunnel)
{
    end_look(tunnel);
    loop_ready(tunnel->worker->loop, &tunnel->task);
}

void
tunnel_each(struct worker *worker, void (*visit)(struct tunnel *tunnel, void *arg), void *arg)
{
    list_each(link, &worker->tunnels)
        visit(container_of(link, struct tunnel, link), arg);
}
