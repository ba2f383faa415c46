/* SPDX-License-Identifier: BSD-2-Clause */
/* tunnel_fixture.h - a worker with one tunnel between real sockets, driven turn by turn. */
#ifndef BASCULE_TEST_TUNNEL_FIXTURE_H
#define BASCULE_TEST_TUNNEL_FIXTURE_H

#include "server/base/clock.h"
#include "server/net/tunnel.h"
#include "server/worker.h"

#include <CUnit/CUnit.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 120000
#define MIB (1024u * 1024)

static struct worker worker;
static struct counters counters;

/* The tunnel under test, and what became of it. */
static struct tunnel *tunnel;
static unsigned done_calls;
static enum tunnel_end end;
static uint64_t up_bytes, down_bytes;

/* Of another tunnel than the one under test nothing is noted. */
static void
on_done(struct tunnel *t, enum tunnel_end how)
{
    CU_ASSERT_PTR_EQUAL(t->arg, &worker);
    if (t != tunnel)
        return;
    done_calls++;
    end = how;
    up_bytes = t->up.bytes;
    down_bytes = t->down.bytes;
    tunnel = NULL;
}

/* ---- pairs of connected sockets, none of which blocks */

static void
make_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void
tcp_pair(int fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    CU_ASSERT_FATAL(bind(listener, (struct sockaddr *)&address, bytes) == 0);
    CU_ASSERT_FATAL(listen(listener, 1) == 0);
    CU_ASSERT_FATAL(getsockname(listener, (struct sockaddr *)&address, &bytes) == 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    CU_ASSERT_FATAL(connect(fds[0], (struct sockaddr *)&address, bytes) == 0);
    fds[1] = accept(listener, NULL, NULL);
    CU_ASSERT_FATAL(fds[1] >= 0);
    close(listener);
    make_nonblocking(fds[0]);
    make_nonblocking(fds[1]);
}

static void
unix_pair(int fds[2])
{
    CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
}

/* ---- the worker */

static void
begin_worker(unsigned max_pipes)
{
    memset(&counters, 0, sizeof(counters));
    worker = (struct worker){ .counters = &counters, .loop = loop_new(NULL) };
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker.loop);
    pipe_pool_init(&worker.pipes, 4, max_pipes);
    list_init(&worker.tunnels);
    done_calls = 0;
    end = TUNNEL_END_COUNT;
}

/* The far ends have hung up. Everything is given back; memory is the sanitizer's part. */
static void
end_worker(void)
{
    loop_turn(worker.loop, 0);
    CU_ASSERT_TRUE(list_is_empty(&worker.tunnels));
    CU_ASSERT_EQUAL(counters.tunnels_open, 0);
    CU_ASSERT_EQUAL(done_calls, 1);
    CU_ASSERT_EQUAL(worker.pipes.open_count, worker.pipes.free_count);
    pipe_pool_fini(&worker.pipes);
    loop_free_all(worker.loop);
}

#define turn_until(condition) \
    do { \
        uint64_t stop_ = clock_monotonic_ms() + PATIENCE_MS; \
        while (!(condition) && clock_monotonic_ms() < stop_) \
            loop_turn(worker.loop, 5); \
        CU_ASSERT_TRUE(condition); \
    } while (0)

#endif
