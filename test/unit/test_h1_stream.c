/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h1_stream.c - content through an h1_reader, a pump and an h1_writer,
 * between two pairs of sockets: what comes in one framing leaves in another,
 * whole, and what was cut short does not pass for whole.
 */
#include "config.h"

#include "server/http/h1_reader.h"
#include "server/http/h1_writer.h"
#include "server/http/h1_chunked.h"
#include "server/worker.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/unit/suites.h"

#define CONTENT_BYTES (600u * 1024)

struct bench {
    struct worker worker;
    struct conn from, to;
    struct h1_reader reader;
    struct h1_writer writer;
    struct pump pump;
    struct arena arena;
    int sender, receiver; /* our ends */
    int result;           /* enum pump_result, -1: not yet */
    char *input, *output;
    size_t input_bytes, input_sent, output_bytes;
    size_t step_bytes;    /* written at a time */
    bool closes;          /* after the input */
};

static struct bench *bench;

static void
from_ready(struct conn *conn)
{
    (void)conn;
    pump_source_ready(bench->reader.source.pump);
}

static void
to_ready(struct conn *conn)
{
    (void)conn;
    pump_sink_ready(bench->writer.sink.pump);
}

static void
on_done(struct pump *pump, enum pump_result result)
{
    (void)pump;
    bench->result = (int)result;
}

static const struct h1_limits limits = { 16384, 65536, 128 };

static void
set_up(bool is_narrow)
{
    struct err err;
    int pair[2];

    bench = calloc(1, sizeof(*bench));
    bench->worker.loop = loop_new(&err);
    bench->worker.in = malloc(SCRATCH_BYTES);
    bench->worker.out = malloc(SCRATCH_BYTES);
    pipe_pool_init(&bench->worker.pipes, 4, 4);
    block_pool_init(&bench->worker.blocks, 4);
    arena_init(&bench->arena, NULL, 1 << 20);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    bench->sender = pair[0];
    CU_ASSERT_EQUAL_FATAL(conn_open(&bench->from, bench->worker.loop, pair[1], from_ready, NULL),
                          0);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    bench->receiver = pair[0];
    if (is_narrow) {
        int small = 2048;

        setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    }
    CU_ASSERT_EQUAL_FATAL(conn_open(&bench->to, bench->worker.loop, pair[1], to_ready, NULL), 0);
    h1_reader_init(&bench->reader, &bench->from, &bench->worker);
    h1_writer_init(&bench->writer, &bench->to, &bench->worker);
    bench->input = malloc(CONTENT_BYTES * 3);
    bench->output = malloc(CONTENT_BYTES * 3);
    bench->result = -1;
}

static void
tear_down(void)
{
    pump_stop(&bench->pump);
    h1_reader_fini(&bench->reader);
    h1_writer_fini(&bench->writer);
    conn_close(&bench->from);
    conn_close(&bench->to);
    if (bench->sender >= 0)
        close(bench->sender);
    close(bench->receiver);
    pipe_pool_fini(&bench->worker.pipes);
    arena_fini(&bench->arena);
    block_pool_fini(&bench->worker.blocks);
    loop_free_all(bench->worker.loop);
    free(bench->worker.in);
    free(bench->worker.out);
    free(bench->input);
    free(bench->output);
    free(bench);
}

static char
content_byte(size_t i)
{
    return (char)('a' + (i * 7 + i / 251) % 26);
}

static void
add_input(const void *data, size_t bytes)
{
    memcpy(bench->input + bench->input_bytes, data, bytes);
    bench->input_bytes += bytes;
}

static void
add_content(size_t at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        bench->input[bench->input_bytes++] = content_byte(at + i);
}

static void
add_chunked(size_t bytes, size_t chunk, const char *end)
{
    char line[32];

    for (size_t at = 0; at < bytes; at += chunk) {
        size_t here = bytes - at < chunk ? bytes - at : chunk;

        add_input(line, (size_t)snprintf(line, sizeof(line), "%zx\r\n", here));
        add_content(at, here);
        add_input("\r\n", 2);
    }
    add_input(end, strlen(end));
}

static void
feed(void)
{
    size_t left = bench->input_bytes - bench->input_sent;
    size_t here = bench->step_bytes > 0 && bench->step_bytes < left ? bench->step_bytes : left;
    ssize_t sent = left > 0 ? send(bench->sender, bench->input + bench->input_sent, here, 0) : 0;

    if (sent > 0)
        bench->input_sent += (size_t)sent;
    if (bench->closes && bench->input_sent == bench->input_bytes && bench->sender >= 0) {
        close(bench->sender);
        bench->sender = -1;
    }
}

static void
drink(void)
{
    ssize_t got = recv(bench->receiver, bench->output + bench->output_bytes, 3000, 0);

    if (got > 0)
        bench->output_bytes += (size_t)got;
}

/* Runs until the pump is done and nothing more comes out. */
static void
run(enum h1_framing in, uint64_t in_bytes, enum h1_framing out, uint64_t out_bytes)
{
    static const char head[] = "HEAD\r\n\r\n";
    size_t before;

    CU_ASSERT_EQUAL_FATAL(h1_reader_begin(&bench->reader, in, in_bytes, &limits), 0);
    memcpy(h1_writer_out(&bench->writer), head, sizeof(head) - 1);
    CU_ASSERT_EQUAL_FATAL(h1_writer_begin(&bench->writer, sizeof(head) - 1, out, out_bytes), 0);
    pump_start(&bench->pump, bench->worker.loop, &bench->reader.source, &bench->writer.sink,
               on_done);
    for (int idle = 0; idle < 50;) {
        before = bench->output_bytes + bench->input_sent;
        feed();
        loop_turn(bench->worker.loop, 0);
        drink();
        idle = before == bench->output_bytes + bench->input_sent ? idle + 1 : 0;
    }
}

/* Undoes the output's framing and compares with the content. */
static bool
output_is(enum h1_framing framing, size_t bytes, const char *end)
{
    struct h1_chunked chunked;
    struct fields trailers = { 0 };
    struct iovec iov[16];
    struct slice rest = slice_make(bench->output, bench->output_bytes);
    size_t at = 0, consumed;
    unsigned count;
    enum chunked_progress progress;

    if (!slice_starts_with(rest, SLICE("HEAD\r\n\r\n")))
        return false;
    rest = slice_skip(rest, 8);
    if (framing != H1_CHUNKED) {
        for (at = 0; at < rest.bytes; at++)
            if (rest.data[at] != content_byte(at))
                return false;
        return at == bytes;
    }
    if (rest.bytes < strlen(end) ||
        memcmp(rest.data + rest.bytes - strlen(end), end, strlen(end)) != 0)
        return false;
    h1_chunked_init(&chunked, &bench->arena, &limits, &trailers);
    do {
        progress = h1_chunked_decode(&chunked, rest, iov, 16, &count, &consumed);
        for (unsigned i = 0; i < count; i++)
            for (size_t j = 0; j < iov[i].iov_len; j++)
                if (((char *)iov[i].iov_base)[j] != content_byte(at++))
                    return false;
        rest = slice_skip(rest, consumed);
    } while (progress == CHUNKED_ROOM);
    return progress == CHUNKED_DONE && rest.bytes == 0 && at == bytes;
}

static void
content_of_known_length_passes_whole(void)
{
    for (int narrow = 0; narrow < 2; narrow++) {
        set_up(narrow);
        add_content(0, CONTENT_BYTES);
        bench->step_bytes = narrow ? 5000 : 0;
        run(H1_LENGTH, CONTENT_BYTES, H1_LENGTH, CONTENT_BYTES);
        CU_ASSERT_EQUAL(bench->result, PUMP_DONE);
        CU_ASSERT_TRUE(output_is(H1_LENGTH, CONTENT_BYTES, ""));
        CU_ASSERT_TRUE(bench->reader.is_done);
        tear_down();
    }
}

/* What was read along with the head leaves with it, in front of what goes
 * through the pipe, also where the socket was full before. */
static void
a_full_socket_changes_no_order(void)
{
    static char before[4096];
    size_t filled = 0;
    ssize_t sent;

    set_up(true);
    while ((sent = send(bench->to.watch.fd, before, sizeof(before), 0)) > 0)
        filled += (size_t)sent;
    CU_ASSERT_TRUE_FATAL(filled > 0 && filled < CONTENT_BYTES);
    add_content(0, CONTENT_BYTES);
    feed();
    CU_ASSERT_EQUAL(h1_reader_fill(&bench->reader, 1000), 1000);
    run(H1_LENGTH, CONTENT_BYTES, H1_LENGTH, CONTENT_BYTES);
    CU_ASSERT_EQUAL(bench->result, PUMP_DONE);
    CU_ASSERT_EQUAL_FATAL(bench->output_bytes, filled + 8 + CONTENT_BYTES);
    memmove(bench->output, bench->output + filled, bench->output_bytes -= filled);
    CU_ASSERT_TRUE(output_is(H1_LENGTH, CONTENT_BYTES, ""));
    tear_down();
}

/* The rest of long content may be a while. */
static void
what_is_there_does_not_wait_for_the_rest(void)
{
    set_up(false);
    add_content(0, 1000);
    feed();
    CU_ASSERT_EQUAL(h1_reader_fill(&bench->reader, 4096), 1000);
    run(H1_LENGTH, CONTENT_BYTES, H1_LENGTH, CONTENT_BYTES);
    CU_ASSERT_EQUAL(bench->result, -1);
    CU_ASSERT_TRUE(output_is(H1_LENGTH, 1000, ""));
    tear_down();
}

static void
chunks_pass_whole_however_they_arrive(void)
{
    static const size_t chunks[] = { 1, 3, 17, 4000, 70000, CONTENT_BYTES };
    static const size_t steps[] = { 1, 7, 4096, 0 };

    for (size_t c = 0; c < ARRAY_COUNT(chunks); c++) {
        for (size_t s = 0; s < ARRAY_COUNT(steps); s++) {
            size_t bytes = steps[s] == 1 ? 900 : chunks[c] < 20 ? 9000 : CONTENT_BYTES;

            set_up(s % 2);
            add_chunked(bytes, chunks[c], "0\r\n\r\n");
            bench->step_bytes = steps[s];
            run(H1_CHUNKED, 0, H1_CHUNKED, 0);
            CU_ASSERT_EQUAL(bench->result, PUMP_DONE);
            CU_ASSERT_TRUE(output_is(H1_CHUNKED, bytes, "0\r\n\r\n"));
            tear_down();
        }
    }
}

static void
trailers_pass_behind_the_last_chunk(void)
{
    set_up(true);
    add_chunked(20000, 1000, "0\r\nGrpc-Status: 0\r\nX-Sum: abc\r\n\r\n");
    bench->step_bytes = 999;
    run(H1_CHUNKED, 0, H1_CHUNKED, 0);
    CU_ASSERT_EQUAL(bench->result, PUMP_DONE);
    CU_ASSERT_TRUE(output_is(H1_CHUNKED, 20000, "0\r\nGrpc-Status: 0\r\nX-Sum: abc\r\n\r\n"));
    tear_down();
}

static void
content_until_the_close_becomes_chunks(void)
{
    set_up(true);
    add_content(0, 100000);
    bench->closes = true;
    run(H1_UNTIL_CLOSE, 0, H1_CHUNKED, 0);
    CU_ASSERT_EQUAL(bench->result, PUMP_DONE);
    CU_ASSERT_TRUE(output_is(H1_CHUNKED, 100000, "0\r\n\r\n"));
    tear_down();
}

/* RFC 9112 section 8. */
static void
what_was_cut_short_is_not_completed(void)
{
    for (int chunked = 0; chunked < 2; chunked++) {
        set_up(false);
        if (chunked)
            add_chunked(50000, 1000, "3e8\r\nabc");
        else
            add_content(0, 50000);
        bench->closes = true;
        run(chunked ? H1_CHUNKED : H1_LENGTH, 60000, chunked ? H1_CHUNKED : H1_LENGTH, 60000);
        CU_ASSERT_EQUAL(bench->result, PUMP_SOURCE_FAILED);
        CU_ASSERT_FALSE(output_is(chunked ? H1_CHUNKED : H1_LENGTH, 60000, "0\r\n\r\n"));
        tear_down();
    }
}

static void
bytes_behind_the_content_stay_unread(void)
{
    set_up(false);
    add_chunked(300, 100, "0\r\n\r\nGET /next");
    run(H1_CHUNKED, 0, H1_LENGTH, 300);
    CU_ASSERT_EQUAL(bench->result, PUMP_DONE);
    CU_ASSERT_TRUE(slice_equal(h1_reader_bytes(&bench->reader), SLICE("GET /next")));
    /* and survive another reader's use of the scratch buffer */
    CU_ASSERT_TRUE(h1_reader_keep(&bench->reader));
    memset(bench->worker.in, 'x', SCRATCH_BYTES);
    CU_ASSERT_TRUE(slice_equal(h1_reader_bytes(&bench->reader), SLICE("GET /next")));
    tear_down();
}

static void
content_over_its_limit_stops(void)
{
    uint64_t limit = 5000;

    set_up(false);
    add_chunked(6000, 500, "0\r\n\r\n");
    CU_ASSERT_EQUAL_FATAL(h1_reader_begin(&bench->reader, H1_CHUNKED, 0, &limits), 0);
    bench->reader.limit_bytes = &limit;
    h1_writer_out(&bench->writer);
    CU_ASSERT_EQUAL(h1_writer_begin(&bench->writer, 0, H1_CHUNKED, 0), 0);
    feed();
    pump_start(&bench->pump, bench->worker.loop, &bench->reader.source, &bench->writer.sink,
               on_done);
    for (int i = 0; i < 20 && bench->result < 0; i++)
        loop_turn(bench->worker.loop, 10);
    CU_ASSERT_EQUAL(bench->result, PUMP_SOURCE_FAILED);
    CU_ASSERT_TRUE(bench->reader.is_over_limit);
    tear_down();
}

static void
a_sink_that_is_promised_more_than_comes_says_so(void)
{
    set_up(false);
    add_content(0, 100);
    run(H1_LENGTH, 100, H1_LENGTH, 200);
    CU_ASSERT_EQUAL(bench->result, PUMP_SINK_FAILED);
    tear_down();
}

static bool was_late;

static void
on_due(struct timer *timer)
{
    struct rate_guard *guard = container_of(timer, struct rate_guard, timer);

    was_late = rate_guard_is_too_slow(guard, bench->worker.loop, bench->reader.content_bytes);
}

/* A deadline runs only while we wait for that peer. */
static void
a_sender_is_late_only_while_nothing_is_there(void)
{
    for (int sends = 0; sends < 2; sends++) {
        struct rate_guard guard;
        struct piece piece;
        struct source *source;

        set_up(false);
        source = &bench->reader.source;
        rate_guard_init(&guard, (struct min_rate){ 1, 10 }, on_due);
        was_late = false;
        CU_ASSERT_EQUAL_FATAL(h1_reader_begin(&bench->reader, H1_LENGTH, 100, &limits), 0);
        bench->reader.guard = &guard;
        CU_ASSERT_EQUAL(source->ops->offer(source, FORM_SLICES, &piece), FLOW_WAIT);
        if (sends) {
            add_content(0, 50);
            feed();
            loop_turn(bench->worker.loop, 0);
            /* It is offered, and a full sink takes nothing of it. */
            CU_ASSERT_EQUAL(source->ops->offer(source, FORM_SLICES, &piece), FLOW_MORE);
        }
        for (int i = 0; i < 100 && timer_is_armed(&guard.timer); i++)
            loop_turn(bench->worker.loop, 10);
        CU_ASSERT_EQUAL(was_late, !sends);
        tear_down();
    }
}

void
suite_h1_stream(void)
{
    CU_pSuite s = CU_add_suite("h1_stream", NULL, NULL);

    CU_add_test(s, "content of known length passes whole", content_of_known_length_passes_whole);
    CU_add_test(s, "a full socket changes no order", a_full_socket_changes_no_order);
    CU_add_test(s, "what is there does not wait for the rest",
                what_is_there_does_not_wait_for_the_rest);
    CU_add_test(s, "chunks pass whole however they arrive", chunks_pass_whole_however_they_arrive);
    CU_add_test(s, "trailers pass behind the last chunk", trailers_pass_behind_the_last_chunk);
    CU_add_test(s, "content until the close becomes chunks",
                content_until_the_close_becomes_chunks);
    CU_add_test(s, "what was cut short is not completed", what_was_cut_short_is_not_completed);
    CU_add_test(s, "bytes behind the content stay unread", bytes_behind_the_content_stay_unread);
    CU_add_test(s, "content over its limit stops", content_over_its_limit_stops);
    CU_add_test(s, "a sink that is promised more than comes says so",
                a_sink_that_is_promised_more_than_comes_says_so);
    CU_add_test(s, "a sender is late only while nothing is there",
                a_sender_is_late_only_while_nothing_is_there);
}
