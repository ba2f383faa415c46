/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tunnel.c - tunnels between real sockets, driven turn by turn.
 *
 *     client ===== [tunnel->client | tunnel->upstream] ===== origin
 */
#include "config.h"

#include "test/unit/tunnel_fixture.h"

#include "modes/mode.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void suite_tunnel(void);

static int client, origin;
static int descriptors_before;

static const struct tunnel_conf patient = { .idle_ms = 3600000, .life_ms = 3600000 };

/* ---- the stage */

static int
count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void
set_up(unsigned max_pipes)
{
    descriptors_before = count_descriptors();
    signal(SIGPIPE, SIG_IGN); /* as the daemon does: splice() knows no MSG_NOSIGNAL */
    begin_worker(max_pipes);
}

/* A tunnel between two pairs of sockets; client and origin are the far ends. */
static void
start_with(void (*pair)(int[2]), const struct tunnel_conf *conf, const char *from_client,
           const char *from_upstream)
{
    int down[2], up[2];

    tcp_pair(down);
    pair(up);
    client = down[0];
    origin = up[0];
    tunnel = tunnel_start(&worker,
                          &(struct accepted){ .fd = down[1], .head = slice_of(from_client) },
                          &(struct accepted){ .fd = up[1], .head = slice_of(from_upstream) },
                          conf, on_done, &worker);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tunnel);
}

static void
start(const struct tunnel_conf *conf)
{
    set_up(16);
    start_with(tcp_pair, conf, "", "");
}

static void
hang_up(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void
reset(int *fd)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };

    setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    hang_up(fd);
}

static void
tear_down(void)
{
    if (tunnel != NULL)
        tunnel_close(tunnel, TUNNEL_STOPPED);
    hang_up(&client);
    hang_up(&origin);
    end_worker();
    CU_ASSERT_EQUAL(count_descriptors(), descriptors_before);
}

/* recv() that turns the loop while nothing is there. */
static ssize_t
hear(int fd, void *data, size_t bytes)
{
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
    ssize_t got;

    while ((got = recv(fd, data, bytes, 0)) < 0 && errno == EAGAIN &&
           clock_monotonic_ms() < stop)
        loop_turn(worker.loop, 5);
    return got;
}

static bool
hears(int fd, const char *text)
{
    char data[256];
    size_t got = 0;
    size_t bytes = strlen(text);

    while (got < bytes) {
        ssize_t n = hear(fd, data + got, bytes - got);

        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return memcmp(data, text, bytes) == 0;
}

static bool
hears_the_end(int fd)
{
    char byte;

    return hear(fd, &byte, 1) == 0;
}

static bool
hears_a_reset(int fd)
{
    char data[4096];
    ssize_t got;

    do {
        got = hear(fd, data, sizeof(data));
    } while (got > 0);
    return got < 0 && (errno == ECONNRESET || errno == EPIPE);
}

static void
say(int fd, const char *text)
{
    CU_ASSERT_EQUAL(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* ---- long streams, in which is seen what is lost, doubled or moved */

#define PIECE 65536
#define PERIOD 1048583u /* a prime: nobody's buffers are so long */

struct stream {
    int from, to;
    uint64_t total, sent, received;
    uint32_t seed;
    bool is_wrong, has_ended, was_bulky;
};

/* A piece of it, from one place. Made once: under a sanitizer each byte is dear. */
static const uint8_t *
piece(const struct stream *s, uint64_t at)
{
    static uint8_t bytes[PERIOD + PIECE];
    static bool is_made;

    for (size_t i = 0; !is_made && i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)((uint64_t)(i % PERIOD) * 2654435761u >> 11);
    is_made = true;
    return bytes + (at + (uint64_t)s->seed * 4099) % PERIOD;
}

/* Sends what fits, and shuts down behind the last byte. */
static void
feed(struct stream *s)
{
    while (s->sent < s->total) {
        uint64_t left = s->total - s->sent;
        ssize_t n = send(s->from, piece(s, s->sent), left < PIECE ? (size_t)left : PIECE,
                         MSG_NOSIGNAL);

        if (n < 0)
            return;
        s->sent += (uint64_t)n;
        if (s->sent == s->total)
            shutdown(s->from, SHUT_WR);
    }
}

static void
drain(struct stream *s)
{
    uint8_t data[PIECE];
    ssize_t n;

    while ((n = recv(s->to, data, sizeof(data), 0)) > 0) {
        s->is_wrong |= memcmp(data, piece(s, s->received), (size_t)n) != 0;
        s->received += (uint64_t)n;
    }
    s->has_ended |= n == 0;
}

static void
carry(struct stream *a, struct stream *b)
{
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;

    while (!(a->has_ended && b->has_ended) && clock_monotonic_ms() < stop) {
        feed(a);
        feed(b);
        loop_turn(worker.loop, 1);
        if (tunnel != NULL) {
            a->was_bulky |= tunnel->up.is_bulky;
            b->was_bulky |= tunnel->down.is_bulky;
        }
        drain(a);
        drain(b);
    }
    CU_ASSERT_EQUAL(a->received, a->total);
    CU_ASSERT_EQUAL(b->received, b->total);
    CU_ASSERT_FALSE(a->is_wrong || b->is_wrong);
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_DONE);
    CU_ASSERT_EQUAL(up_bytes, a->total);
    CU_ASSERT_EQUAL(down_bytes, b->total);
}

/* ---- bytes */

static void
carries_small_messages_both_ways(void)
{
    start(&patient);
    say(client, "ping");
    CU_ASSERT_TRUE(hears(origin, "ping"));
    say(origin, "pong");
    CU_ASSERT_TRUE(hears(client, "pong"));
    say(client, "again");
    CU_ASSERT_TRUE(hears(origin, "again"));
    CU_ASSERT_PTR_NULL(tunnel->up.held);
    CU_ASSERT_PTR_NULL(tunnel->up.pipe);
    tear_down();
    CU_ASSERT_EQUAL(up_bytes, 9);
    CU_ASSERT_EQUAL(down_bytes, 4);
}

static void
sends_what_was_read_ahead_first(void)
{
    set_up(16);
    start_with(tcp_pair, &patient, "hello ", "220 ready ");
    say(client, "world");
    say(origin, "go on");
    CU_ASSERT_TRUE(hears(origin, "hello world"));
    CU_ASSERT_TRUE(hears(client, "220 ready go on"));
    tear_down();
}

static void
carries_bulk_both_ways_at_once_by_splice(void)
{
    struct stream up = { .total = 64 * MIB + 7, .seed = 1 };
    struct stream down = { .total = 64 * MIB + 13, .seed = 99 };

    start(&patient);
    up.from = down.to = client;
    up.to = down.from = origin;
    carry(&up, &down);
    CU_ASSERT_TRUE(up.was_bulky);
    CU_ASSERT_TRUE(down.was_bulky);
    tear_down();
    CU_ASSERT_EQUAL(counters.client_bytes_in, up.total);
    CU_ASSERT_EQUAL(counters.client_bytes_out, down.total);
    CU_ASSERT_EQUAL(counters.tunnel_bytes_up, up.total);
    CU_ASSERT_EQUAL(counters.tunnel_bytes_down, down.total);
}

static void
carries_bulk_without_pipes(void)
{
    struct stream up = { .total = 8 * MIB + 1, .seed = 5 };
    struct stream down = { .total = 8 * MIB, .seed = 6 };

    set_up(0);
    start_with(tcp_pair, &patient, "", "");
    up.from = down.to = client;
    up.to = down.from = origin;
    carry(&up, &down);
    tear_down();
}

static void
carries_bulk_to_and_from_unix_sockets(void)
{
    struct stream up = { .total = 8 * MIB + 1, .seed = 7 };
    struct stream down = { .total = 8 * MIB + 3, .seed = 8 };

    set_up(16);
    start_with(unix_pair, &patient, "", "");
    up.from = down.to = client;
    up.to = down.from = origin;
    carry(&up, &down);
    tear_down();
}

static void
takes_no_more_from_a_sender_than_the_receiver_can_have_soon(void)
{
    struct stream down = { .total = 512 * MIB, .seed = 3 };
    uint64_t before;

    start(&patient);
    down.from = origin;
    do { /* the client reads nothing: in the end the origin can send no more */
        before = down.sent;
        for (int i = 0; i < 20; i++) {
            feed(&down);
            loop_turn(worker.loop, 1);
        }
    } while (down.sent > before);
    CU_ASSERT_TRUE(down.sent < down.total);
    CU_ASSERT_TRUE(tunnel->down.held_end <= 64 * 1024);
    CU_ASSERT_TRUE(tunnel->down.pipe == NULL || tunnel->down.pipe->fill_bytes <= MIB);
    tear_down();
}

static void
gives_its_pipe_back_when_quiet(void)
{
    static char data[MIB];
    size_t got = 0;

    start(&patient);
    for (size_t sent = 0; sent < sizeof(data);) {
        ssize_t n = send(origin, data, sizeof(data) - sent, MSG_NOSIGNAL);

        if (n > 0)
            sent += (size_t)n;
        loop_turn(worker.loop, 1);
        while ((n = recv(client, data, sizeof(data), 0)) > 0)
            got += (size_t)n;
    }
    while (got < sizeof(data))
        got += (size_t)hear(client, data, sizeof(data));
    turn_until(tunnel->down.pipe == NULL);
    CU_ASSERT_EQUAL(worker.pipes.open_count, worker.pipes.free_count);
    CU_ASSERT_TRUE(sizeof(struct tunnel) < 1024);
    tear_down();
}

/* Waits for the kernel alone: the loop does not turn. */
static bool
has_come(int fd)
{
    return poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, PATIENCE_MS) == 1;
}

static void
lets_a_small_request_pass_a_big_stream(void)
{
    struct stream down = { .total = 256 * MIB, .seed = 4 };
    struct tunnel *big;
    int small[2], far[2];
    uint64_t before;

    start(&patient);
    big = tunnel;
    tcp_pair(small);
    tcp_pair(far);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tunnel_start(&worker, &(struct accepted){ .fd = small[1] },
                                              &(struct accepted){ .fd = far[1] }, &patient,
                                              on_done, &worker));
    down.from = origin;
    down.to = client;
    for (int i = 0; i < 200; i++) {
        feed(&down);
        drain(&down);
        before = big->down.bytes;
        loop_turn(worker.loop, 0);
        /* 1 MiB, and what one more splice may give on top */
        CU_ASSERT_TRUE(big->down.bytes - before <= 2 * MIB);
    }
    feed(&down);
    say(small[0], "quick");
    CU_ASSERT_TRUE(has_come(small[1]));
    loop_turn(worker.loop, 0);
    CU_ASSERT_TRUE(has_come(far[0]));
    close(small[0]);
    close(far[0]);
    turn_until(worker.tunnels.next->next == &worker.tunnels);
    tear_down();
}

/* ---- ends */

/* A client that shuts down its sending side still gets the whole answer. */
static void
passes_on_the_end_of_the_client_alone(void)
{
    struct stream down = { .total = 4 * MIB, .seed = 2 };
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;

    start(&patient);
    say(client, "all of it");
    shutdown(client, SHUT_WR);
    CU_ASSERT_TRUE(hears(origin, "all of it"));
    CU_ASSERT_TRUE(hears_the_end(origin));
    CU_ASSERT_PTR_NOT_NULL(tunnel);
    down.from = origin;
    down.to = client;
    while (!down.has_ended && clock_monotonic_ms() < stop) {
        feed(&down);
        loop_turn(worker.loop, 1);
        drain(&down);
    }
    CU_ASSERT_EQUAL(down.received, down.total);
    CU_ASSERT_FALSE(down.is_wrong);
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_DONE);
    tear_down();
}

static void
passes_on_the_end_of_the_upstream_alone(void)
{
    start(&patient);
    say(origin, "farewell");
    shutdown(origin, SHUT_WR);
    CU_ASSERT_TRUE(hears(client, "farewell"));
    CU_ASSERT_TRUE(hears_the_end(client));
    CU_ASSERT_PTR_NOT_NULL(tunnel);
    say(client, "still here");
    CU_ASSERT_TRUE(hears(origin, "still here"));
    shutdown(client, SHUT_WR);
    CU_ASSERT_TRUE(hears_the_end(origin));
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_DONE);
    tear_down();
}

/* No edge follows for an end that came together with the bytes before it. */
static void
notices_an_end_that_came_with_the_last_bytes(void)
{
    set_up(16);
    start_with(tcp_pair, &patient, "", "");
    say(origin, "bye");
    shutdown(origin, SHUT_WR);
    say(client, "bye");
    shutdown(client, SHUT_WR);
    CU_ASSERT_TRUE(hears(client, "bye"));
    CU_ASSERT_TRUE(hears_the_end(client));
    CU_ASSERT_TRUE(hears(origin, "bye"));
    CU_ASSERT_TRUE(hears_the_end(origin));
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_DONE);
    tear_down();
}

/* A unix socket whose peer is gone reports a hang-up, but what the peer sent
 * before is still there. */
static void
delivers_what_a_closed_unix_upstream_had_said(void)
{
    set_up(16);
    start_with(unix_pair, &patient, "", "");
    say(client, "ask");
    CU_ASSERT_TRUE(hears(origin, "ask"));
    say(origin, "answer");
    hang_up(&origin);
    CU_ASSERT_TRUE(hears(client, "answer"));
    CU_ASSERT_TRUE(hears_the_end(client));
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_DONE);
    tear_down();
}

static void
passes_on_a_reset_of_the_client(void)
{
    start(&patient);
    say(client, "begin");
    CU_ASSERT_TRUE(hears(origin, "begin"));
    reset(&client);
    CU_ASSERT_TRUE(hears_a_reset(origin));
    CU_ASSERT_EQUAL(end, TUNNEL_CLIENT_RESET);
    tear_down();
}

static void
passes_on_a_reset_of_the_upstream(void)
{
    start(&patient);
    say(client, "begin");
    CU_ASSERT_TRUE(hears(origin, "begin"));
    reset(&origin);
    CU_ASSERT_TRUE(hears_a_reset(client));
    CU_ASSERT_EQUAL(end, TUNNEL_UPSTREAM_RESET);
    tear_down();
}

static void
passes_on_a_reset_after_a_half_close(void)
{
    start(&patient);
    shutdown(client, SHUT_WR);
    CU_ASSERT_TRUE(hears_the_end(origin));
    reset(&client);
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_CLIENT_RESET);
    CU_ASSERT_EQUAL(send(origin, "x", 1, MSG_NOSIGNAL), -1);
    tear_down();
}

static void
notices_a_reset_while_the_other_side_reads_nothing(void)
{
    struct stream down = { .total = 512 * MIB, .seed = 3 };
    uint64_t before;

    start(&patient);
    down.from = origin;
    do {
        before = down.sent;
        for (int i = 0; i < 20; i++) {
            feed(&down);
            loop_turn(worker.loop, 1);
        }
    } while (down.sent > before);
    reset(&origin);
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_UPSTREAM_RESET);
    CU_ASSERT_TRUE(hears_a_reset(client));
    tear_down();
}

/* ---- limits */

/* How often what must be in time is tried: it is not when the machine holds us up. */
#define ROUNDS 100

/* Speaks for longer than the limit in all, and is quiet for a fifth of it at a time. False: it
 * ended, which it may only when the machine held us up for longer than the limit. */
static bool
stays_while_somebody_speaks(const struct tunnel_conf *conf)
{
    uint64_t spoke_ms = clock_monotonic_ms();

    start(conf);
    for (int i = 0; i < 7 && tunnel != NULL; i++) {
        uint64_t now_ms = clock_monotonic_ms();

        (void)send(i & 1 ? origin : client, "tick", 4, MSG_NOSIGNAL);
        if (hears(i & 1 ? client : origin, "tick"))
            spoke_ms = now_ms;
        while (tunnel != NULL && clock_monotonic_ms() < now_ms + conf->idle_ms / 5)
            loop_turn(worker.loop, 5);
    }
    CU_ASSERT_TRUE(tunnel != NULL || clock_monotonic_ms() - spoke_ms >= conf->idle_ms);
    return tunnel != NULL;
}

static void
ends_when_no_byte_came_for_too_long(void)
{
    struct tunnel_conf hasty = { .idle_ms = 50, .life_ms = 3600000 };
    bool stayed = false;

    for (uint32_t round = 0; round < ROUNDS && !stayed; round++) {
        hasty.idle_ms = round % 2 ? 50 + 10 * round : 50; /* for slow machines, and for fitful */
        stayed = stays_while_somebody_speaks(&hasty);
        turn_until(tunnel == NULL);
        CU_ASSERT_EQUAL(end, TUNNEL_IDLE);
        CU_ASSERT_TRUE(!stayed || hears_a_reset(client)); /* else it may have been heard */
        CU_ASSERT_TRUE(!stayed || hears_a_reset(origin));
        tear_down();
    }
    CU_ASSERT_TRUE(stayed);
}

static void
has_less_patience_after_a_half_close(void)
{
    struct tunnel_conf conf = { .idle_ms = 3600000, .half_close_idle_ms = 20 };
    bool was_heard = false;

    for (int round = 0; round < ROUNDS && !was_heard; round++, conf.half_close_idle_ms += 10) {
        start(&conf);
        shutdown(client, SHUT_WR);
        was_heard = hears_the_end(origin); /* unless the reset came before we looked */
        turn_until(tunnel == NULL);
        CU_ASSERT_EQUAL(end, TUNNEL_IDLE);
        tear_down();
    }
    CU_ASSERT_TRUE(was_heard);
}

static void
ends_when_it_lived_too_long_however_busy(void)
{
    static const struct tunnel_conf short_lived = { .idle_ms = 3600000, .life_ms = 60 };
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;

    start(&short_lived);
    while (tunnel != NULL && clock_monotonic_ms() < stop) {
        send(client, "tick", 4, MSG_NOSIGNAL);
        loop_turn(worker.loop, 5);
    }
    CU_ASSERT_EQUAL(end, TUNNEL_LIFE);
    CU_ASSERT_TRUE(hears_a_reset(origin));
    tear_down();
}

static void
close_one(struct tunnel *t, void *arg)
{
    (*(unsigned *)arg)++;
    tunnel_close(t, TUNNEL_DENIED);
    tunnel_close(t, TUNNEL_STOPPED); /* harmless */
}

static void
can_be_visited_and_closed(void)
{
    unsigned visited = 0;

    start(&patient);
    say(client, "half a sen");
    CU_ASSERT_TRUE(hears(origin, "half a sen"));
    tunnel_each(&worker, close_one, &visited);
    CU_ASSERT_EQUAL(visited, 1);
    CU_ASSERT_EQUAL(end, TUNNEL_DENIED);
    CU_ASSERT_STRING_EQUAL(tunnel_end_word(end), "denied");
    CU_ASSERT_TRUE(hears_a_reset(client));
    CU_ASSERT_TRUE(hears_a_reset(origin));
    tear_down();
}

static void
closes_both_when_it_cannot_start(void)
{
    int down[2], pipe_fds[2];

    set_up(16);
    tcp_pair(down);
    client = down[0];
    origin = -1;
    CU_ASSERT_FATAL(pipe(pipe_fds) == 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]); /* a descriptor that epoll refuses */
    CU_ASSERT_PTR_NULL(tunnel_start(
        &worker, &(struct accepted){ .fd = down[1], .head = SLICE("ahead") },
        &(struct accepted){ .fd = pipe_fds[1] }, &patient, on_done, &worker));
    CU_ASSERT_TRUE(hears_the_end(client));
    CU_ASSERT_EQUAL(done_calls, 0);
    done_calls = 1; /* what tear_down() asks of the others */
    tear_down();
}

void
suite_tunnel(void)
{
    CU_pSuite s = CU_add_suite("tunnel", NULL, NULL);

    CU_add_test(s, "carries small messages both ways", carries_small_messages_both_ways);
    CU_add_test(s, "sends what was read ahead first", sends_what_was_read_ahead_first);
    CU_add_test(s, "carries bulk both ways at once by splice",
                carries_bulk_both_ways_at_once_by_splice);
    CU_add_test(s, "carries bulk without pipes", carries_bulk_without_pipes);
    CU_add_test(s, "carries bulk to and from unix sockets", carries_bulk_to_and_from_unix_sockets);
    CU_add_test(s, "takes no more from a sender than the receiver can have soon",
                takes_no_more_from_a_sender_than_the_receiver_can_have_soon);
    CU_add_test(s, "gives its pipe back when quiet", gives_its_pipe_back_when_quiet);
    CU_add_test(s, "lets a small request pass a big stream",
                lets_a_small_request_pass_a_big_stream);
    CU_add_test(s, "passes on the end of the client alone", passes_on_the_end_of_the_client_alone);
    CU_add_test(s, "passes on the end of the upstream alone",
                passes_on_the_end_of_the_upstream_alone);
    CU_add_test(s, "notices an end that came with the last bytes",
                notices_an_end_that_came_with_the_last_bytes);
    CU_add_test(s, "delivers what a closed unix upstream had said",
                delivers_what_a_closed_unix_upstream_had_said);
    CU_add_test(s, "passes on a reset of the client", passes_on_a_reset_of_the_client);
    CU_add_test(s, "passes on a reset of the upstream", passes_on_a_reset_of_the_upstream);
    CU_add_test(s, "passes on a reset after a half-close", passes_on_a_reset_after_a_half_close);
    CU_add_test(s, "notices a reset while the other side reads nothing",
                notices_a_reset_while_the_other_side_reads_nothing);
    CU_add_test(s, "ends when no byte came for too long", ends_when_no_byte_came_for_too_long);
    CU_add_test(s, "has less patience after a half-close", has_less_patience_after_a_half_close);
    CU_add_test(s, "ends when it lived too long, however busy",
                ends_when_it_lived_too_long_however_busy);
    CU_add_test(s, "can be visited and closed", can_be_visited_and_closed);
    CU_add_test(s, "closes both when it cannot start", closes_both_when_it_cannot_start);
}
