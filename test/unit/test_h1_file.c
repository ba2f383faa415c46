/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h1_file.c - ranges of a file through an h1_writer onto a socket, behind
 * the head and between slices.
 */
#include "config.h"

#include "server/http/h1_writer.h"
#include "server/worker.h"

#include <CUnit/CUnit.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/unit/suites.h"

#define FILE_BYTES (3u << 20)

/* A source of pieces [0, end) of the file: files and slices by turns, or as the
 * sink takes them. */
struct range {
    struct source source;
    size_t at, end, piece_bytes;
    bool mixes;
    bool failed;
    unsigned offers;
};

static struct worker worker;
static struct conn conn;
static struct h1_writer writer;
static struct pump pump;
static struct range range;
static int receiver, file, result;
static char *content, *output;
static size_t output_bytes;
static size_t real_bytes; /* of the file */

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct range *r = container_of(source, struct range, source);
    size_t left = r->end - r->at;

    if (left == 0)
        return FLOW_END;
    r->offers++;
    piece->bytes = left < r->piece_bytes ? left : r->piece_bytes;
    piece->is_last = piece->bytes == left;
    if ((forms & FORM_FILE) && !(r->mixes && r->offers % 2)) {
        piece->form = FORM_FILE;
        piece->count = 0;
        piece->fd = file;
        piece->offset = (off_t)r->at;
        return FLOW_MORE;
    }
    if (r->at + piece->bytes > real_bytes) {
        r->failed = true;
        return FLOW_FAILED;
    }
    piece->form = FORM_SLICES;
    piece->count = 1;
    piece->iov[0] = (struct iovec){ content + r->at, piece->bytes };
    return FLOW_MORE;
}

static void
take(struct source *source, size_t bytes)
{
    container_of(source, struct range, source)->at += bytes;
}

static const struct source_ops range_ops = { .offer = offer, .take = take };

static void
on_ready(struct conn *ready)
{
    (void)ready;
    pump_sink_ready(writer.sink.pump);
}

static void
on_done(struct pump *done, enum pump_result how)
{
    (void)done;
    result = (int)how;
}

/* A TCP connection over loopback: Unix sockets take sendfile() in another way. */
static void
connect_pair(int pair[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    pair[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(listener, (struct sockaddr *)&address, bytes), 0);
    CU_ASSERT_EQUAL_FATAL(listen(listener, 1), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    CU_ASSERT_EQUAL_FATAL(connect(pair[1], (struct sockaddr *)&address, bytes), 0);
    pair[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CU_ASSERT_TRUE_FATAL(pair[0] >= 0);
    CU_ASSERT_EQUAL_FATAL(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    close(listener);
}

static void
make_file(void)
{
    char path[] = P_tmpdir "/bascule-file-XXXXXX";

    file = mkstemp(path);
    CU_ASSERT_TRUE_FATAL(file >= 0);
    unlink(path);
    content = malloc(FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES; i++)
        content[i] = (char)('a' + (i * 7 + i / 251) % 26);
    CU_ASSERT_EQUAL_FATAL(write(file, content, FILE_BYTES), FILE_BYTES);
    real_bytes = FILE_BYTES;
}

static void
set_up(bool is_narrow)
{
    struct err err;
    int pair[2];

    signal(SIGPIPE, SIG_IGN); /* as the daemon does: sendfile() knows no MSG_NOSIGNAL */
    worker = (struct worker){ .loop = loop_new(&err), .in = malloc(SCRATCH_BYTES),
                              .out = malloc(SCRATCH_BYTES) };
    pipe_pool_init(&worker.pipes, 4, 4);
    block_pool_init(&worker.blocks, 4);
    connect_pair(pair);
    if (is_narrow) {
        int small = 16384;

        setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    }
    receiver = pair[0];
    CU_ASSERT_EQUAL_FATAL(conn_open(&conn, worker.loop, pair[1], on_ready, NULL), 0);
    memset(&writer, 0, sizeof(writer));
    h1_writer_init(&writer, &conn, &worker);
    make_file();
    output = malloc(2 * FILE_BYTES);
    output_bytes = 0;
    result = -1;
}

static void
tear_down(void)
{
    pump_stop(&pump);
    h1_writer_fini(&writer);
    conn_close(&conn);
    if (receiver >= 0)
        close(receiver);
    close(file);
    pipe_pool_fini(&worker.pipes);
    block_pool_fini(&worker.blocks);
    loop_free_all(worker.loop);
    free(worker.in);
    free(worker.out);
    free(content);
    free(output);
}

static void
drink(void)
{
    ssize_t got = recv(receiver, output + output_bytes, 70000, 0);

    if (got > 0)
        output_bytes += (size_t)got;
}

static const char head[] = "HEAD\r\n\r\n";
#define HEAD_BYTES (sizeof(head) - 1)

static void
start(enum h1_framing framing, size_t promised, size_t end, size_t piece_bytes, bool mixes)
{
    range = (struct range){ .source = { .ops = &range_ops }, .end = end,
                            .piece_bytes = piece_bytes, .mixes = mixes };
    memcpy(h1_writer_out(&writer), head, HEAD_BYTES);
    CU_ASSERT_EQUAL_FATAL(h1_writer_begin(&writer, HEAD_BYTES, framing, promised), 0);
    pump_start(&pump, worker.loop, &range.source, &writer.sink, on_done);
}

/* Until all that was sent has come out, and nothing more does. */
static void
run(void)
{
    for (int idle = 0; idle < 5;) {
        loop_turn(worker.loop, 1);
        drink();
        idle = result >= 0 && output_bytes == conn.sent_bytes ? idle + 1 : 0;
    }
}

static bool
output_is_content(size_t bytes)
{
    return output_bytes == HEAD_BYTES + bytes && memcmp(output, head, HEAD_BYTES) == 0 &&
           memcmp(output + HEAD_BYTES, content, bytes) == 0;
}

static void
files_pass_whole_behind_the_head(void)
{
    static const size_t lengths[] = { 1, 100, 4096, 70000, FILE_BYTES };

    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        for (int narrow = 0; narrow < 2; narrow++) {
            set_up(narrow);
            start(H1_LENGTH, lengths[i], lengths[i], 512 << 10, false);
            run();
            CU_ASSERT_EQUAL(result, PUMP_DONE);
            CU_ASSERT_TRUE(output_is_content(lengths[i]));
            CU_ASSERT_EQUAL(writer.content_bytes, lengths[i]);
            CU_ASSERT_EQUAL(conn.sent_bytes, HEAD_BYTES + lengths[i]);
            tear_down();
        }
    }
}

static void
files_and_slices_may_alternate(void)
{
    for (int narrow = 0; narrow < 2; narrow++) {
        set_up(narrow);
        start(H1_LENGTH, FILE_BYTES, FILE_BYTES, 50001, true);
        run();
        CU_ASSERT_EQUAL(result, PUMP_DONE);
        CU_ASSERT_TRUE(output_is_content(FILE_BYTES));
        tear_down();
    }
}

static void
only_plain_content_of_known_length_takes_files(void)
{
    struct transport sealed = plain_transport;

    set_up(false);
    CU_ASSERT_EQUAL(h1_writer_begin(&writer, 0, H1_CHUNKED, 0), 0);
    CU_ASSERT_FALSE(writer.sink.forms & FORM_FILE);
    CU_ASSERT_EQUAL(h1_writer_begin(&writer, 0, H1_UNTIL_CLOSE, 0), 0);
    CU_ASSERT_FALSE(writer.sink.forms & FORM_FILE);
    sealed.is_plain = false;
    conn.transport = &sealed;
    CU_ASSERT_EQUAL(h1_writer_begin(&writer, 0, H1_LENGTH, 10), 0);
    CU_ASSERT_FALSE(writer.sink.forms & FORM_FILE);
    conn.transport = &plain_transport;
    CU_ASSERT_EQUAL(h1_writer_begin(&writer, 0, H1_LENGTH, 10), 0);
    CU_ASSERT_TRUE(writer.sink.forms & FORM_FILE);
    tear_down();
}

/* One fast stream does not hold the thread. */
static void
a_turn_has_its_budget(void)
{
    int wide = 8 << 20;

    set_up(false);
    setsockopt(conn.watch.fd, SOL_SOCKET, SO_SNDBUF, &wide, sizeof(wide));
    start(H1_LENGTH, FILE_BYTES, FILE_BYTES, FILE_BYTES, false);
    CU_ASSERT_TRUE(writer.content_bytes > 0);
    CU_ASSERT_TRUE(writer.content_bytes < 2 * (512 << 10));
    run();
    CU_ASSERT_EQUAL(result, PUMP_DONE);
    CU_ASSERT_TRUE(output_is_content(FILE_BYTES));
    tear_down();
}

/* RFC 9112 section 8: the client must be able to tell. The source finds out. */
static void
a_file_that_is_too_short_is_not_padded(void)
{
    set_up(false);
    CU_ASSERT_EQUAL_FATAL(ftruncate(file, 100000), 0);
    real_bytes = 100000;
    start(H1_LENGTH, 200000, 200000, 512 << 10, false);
    run();
    CU_ASSERT_EQUAL(result, PUMP_SOURCE_FAILED);
    CU_ASSERT_TRUE(range.failed);
    CU_ASSERT_TRUE(output_is_content(100000));
    tear_down();
}

/* A pipe, for one: its source reads it then. */
static void
what_cannot_be_sent_from_is_read_instead(void)
{
    int fds[2], real;

    set_up(false);
    CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    real = file;
    file = fds[0];
    start(H1_LENGTH, 100000, 100000, 512 << 10, false);
    run();
    CU_ASSERT_EQUAL(result, PUMP_DONE);
    CU_ASSERT_TRUE(output_is_content(100000));
    close(fds[0]);
    close(fds[1]);
    file = real;
    tear_down();
}

static void
more_than_was_announced_is_refused(void)
{
    set_up(false);
    start(H1_LENGTH, 1000, 1001, 512 << 10, false);
    CU_ASSERT_EQUAL(result, PUMP_SINK_FAILED);
    CU_ASSERT_EQUAL(conn.sent_bytes, 0);
    tear_down();
}

static void
a_receiver_that_is_gone_ends_it(void)
{
    set_up(false);
    close(receiver);
    receiver = -1;
    start(H1_LENGTH, FILE_BYTES, FILE_BYTES, 512 << 10, false);
    for (int i = 0; i < 100 && result < 0; i++)
        loop_turn(worker.loop, 10);
    CU_ASSERT_EQUAL(result, PUMP_SINK_FAILED);
    CU_ASSERT_TRUE(conn.error == EPIPE || conn.error == ECONNRESET);
    tear_down();
}

static bool was_late;

static void
on_due(struct timer *timer)
{
    struct rate_guard *guard = container_of(timer, struct rate_guard, timer);

    was_late = rate_guard_is_too_slow(guard, worker.loop, conn_taken_bytes(&conn));
}

static void
a_receiver_that_takes_nothing_is_late(void)
{
    struct rate_guard guard;

    set_up(true);
    rate_guard_init(&guard, (struct min_rate){ 1 << 20, 20 }, on_due);
    was_late = false;
    memcpy(h1_writer_out(&writer), head, HEAD_BYTES);
    CU_ASSERT_EQUAL_FATAL(h1_writer_begin(&writer, HEAD_BYTES, H1_LENGTH, FILE_BYTES), 0);
    writer.guard = &guard;
    range = (struct range){ .source = { .ops = &range_ops }, .end = FILE_BYTES,
                            .piece_bytes = 512 << 10 };
    pump_start(&pump, worker.loop, &range.source, &writer.sink, on_done);
    CU_ASSERT_TRUE(timer_is_armed(&guard.timer));
    for (int i = 0; i < 100 && timer_is_armed(&guard.timer); i++)
        loop_turn(worker.loop, 10);
    CU_ASSERT_TRUE(was_late);
    tear_down();
}

void
suite_h1_file(void)
{
    CU_pSuite s = CU_add_suite("h1_file", NULL, NULL);

    CU_add_test(s, "files pass whole behind the head", files_pass_whole_behind_the_head);
    CU_add_test(s, "files and slices may alternate", files_and_slices_may_alternate);
    CU_add_test(s, "only plain content of known length takes files",
                only_plain_content_of_known_length_takes_files);
    CU_add_test(s, "a turn has its budget", a_turn_has_its_budget);
    CU_add_test(s, "a file that is too short is not padded",
                a_file_that_is_too_short_is_not_padded);
    CU_add_test(s, "what cannot be sent from is read instead",
                what_cannot_be_sent_from_is_read_instead);
    CU_add_test(s, "more than was announced is refused", more_than_was_announced_is_refused);
    CU_add_test(s, "a receiver that is gone ends it", a_receiver_that_is_gone_ends_it);
    CU_add_test(s, "a receiver that takes nothing is late", a_receiver_that_takes_nothing_is_late);
}
