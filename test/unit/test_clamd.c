/* SPDX-License-Identifier: BSD-2-Clause */
/* test_clamd.c - promises of the filter clamd about content that passes while it is scanned.
 *
 * A clamd of our own, in a thread, answers when it is told to.
 */
#include "config.h"

#include "filters/clamd_inside.h"

#include "test/unit/content_fixture.h"
#include "test/unit/suites.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK 1000u
#define SCANS_MAX 8

static struct {
    int fd;
    pthread_t thread;
    struct slice to;
    char address[ADDRESS_TEXT_BYTES];
    const char *answer;
    char *content[SCANS_MAX];
    size_t bytes[SCANS_MAX];
    unsigned scans;
    _Atomic bool has_all, may_answer;
    bool is_stopped;
} server;

static struct arena arena;
static struct clamd_conf conf;
static struct clamd_job *job;
static char text[200000];
static unsigned resumes;

/* ---- the server */

static bool
read_all(int fd, void *to, size_t bytes)
{
    return bytes == 0 || recv(fd, to, bytes, MSG_WAITALL) == (ssize_t)bytes;
}

/* False: the client has given it up. */
static bool
read_content(int fd, unsigned scan)
{
    uint8_t head[10];

    if (!read_all(fd, head, 10) || memcmp(head, "zINSTREAM", 10) != 0)
        return false;
    while (read_all(fd, head, 4)) {
        size_t bytes = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 |
                       head[3];
        char *grown;

        if (bytes == 0)
            return true;
        grown = realloc(server.content[scan], server.bytes[scan] + bytes);
        if (grown == NULL)
            return false;
        server.content[scan] = grown;
        if (!read_all(fd, grown + server.bytes[scan], bytes))
            return false;
        server.bytes[scan] += bytes;
    }
    return false;
}

static void *
serve(void *arg)
{
    int fd;

    (void)arg;
    while (server.scans < SCANS_MAX && (fd = accept(server.fd, NULL, NULL)) >= 0) {
        if (read_content(fd, server.scans)) {
            server.has_all = true;
            while (!server.may_answer)
                usleep(500);
            send(fd, server.answer, strlen(server.answer) + 1, MSG_NOSIGNAL);
        }
        server.scans++;
        close(fd);
    }
    return NULL;
}

static void
begin_server(const char *answer)
{
    struct address address;
    struct err err;

    memset(&server, 0, sizeof(server));
    server.answer = answer;
    CU_ASSERT_EQUAL_FATAL(address_parse(&address, SLICE("127.0.0.1:0"), -1, &err), 0);
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(server.fd, &address.to.any, address.bytes), 0);
    CU_ASSERT_EQUAL_FATAL(listen(server.fd, 16), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(server.fd, &address.to.any, &address.bytes), 0);
    address_text(&address, server.address);
    server.to = slice_of(server.address);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

/* Before anybody looks at what it got. */
static void
stop_server(void)
{
    if (server.is_stopped)
        return;
    server.is_stopped = server.may_answer = true;
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
}

static void
end_server(void)
{
    stop_server();
    close(server.fd);
    for (unsigned i = 0; i < SCANS_MAX; i++)
        free(server.content[i]);
}

/* ---- content on its way */

static void
on_resume(struct exchange *ex)
{
    (void)ex;
    resumes++;
}

static const struct road_ops road = { .on_resume = on_resume };

static void
begin(const char *answer, enum clamd_side side, const struct clamd_shape *shape, size_t bytes,
      size_t step)
{
    struct err err;

    begin_server(answer);
    for (size_t i = 0; i < sizeof(text) && shape->boundary_bytes == 0; i++)
        text[i] = (char)('a' + i * 7 % 26);
    arena_init(&arena, NULL, 64 * 1024);
    conf = (struct clamd_conf){
        .service = { .to = { &server.to, 1 }, .connect_ms = CONTENT_WAIT_MS,
                     .idle_ms = CONTENT_WAIT_MS, .retry_ms = 1, .wait_ms = CONTENT_WAIT_MS,
                     .max_connections = 4 },
        .max_bytes = 1 << 20, .block_bytes = BLOCK, .timeout_ms = CONTENT_WAIT_MS,
        .larger = CLAMD_SCAN, .is_trial = false,
    };
    CU_ASSERT_EQUAL_FATAL(service_finish(&conf.service, -1, &arena, &err), 0);
    content_begin();
    content.ex.road = &road;
    content.ex.response.body = content.ex.request.body = &content.source;
    content_script(text, bytes, step);
    job = clamd_job_new(&conf, &content.ex, side, shape);
    CU_ASSERT_PTR_NOT_NULL_FATAL(job);
}

static void
finish(void)
{
    clamd_job_end(job);
    service_on_end(&content.worker);
    content_finish();
    end_server();
    arena_fini(&arena);
}

/* Up to where the head would go on; starts moving the content. */
static void
start_passing(size_t room)
{
    enum filter_verdict verdict;
    struct source *source;

    while ((verdict = clamd_job_ask(job)) == FILTER_WAIT)
        loop_turn(content.worker.loop, 1);
    CU_ASSERT_EQUAL_FATAL(verdict, FILTER_NEXT);
    CU_ASSERT_EQUAL(job->stage, CLAMD_STAGE_STREAM);
    source = clamd_job_content(job, &content.source);
    content.room = room;
    pump_start(&content.pump, content.worker.loop, source, &content.sink, content_on_done);
}

/* Until clamd has all of it, so much came out, and for a while longer. */
static void
pass_to_the_verdict(size_t bytes)
{
    uint64_t until = clock_monotonic_ms() + CONTENT_WAIT_MS;

    while (!server.has_all && !content.is_done && clock_monotonic_ms() < until)
        loop_turn(content.worker.loop, 1);
    content_turn_until(bytes);
}

static const struct clamd_shape plain = { .is_form = false };

static const struct { size_t bytes, step, room; } ways[] = {
    { 1500, 1, 0 },      { 1500, 1, 1 },      { 2, 1, 0 },            { BLOCK, 100, 0 },
    { BLOCK + 1, 7, 3 }, { 9000, 100, 0 },    { 200000, 16384, 0 },   { 200000, 200000, 0 },
    { 200000, 65536, 999 }, { 66000, 777, 50 },
};

static void
all_but_the_last_block_passes_before_the_verdict(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(ways); i++)
        for (unsigned says_last = 0; says_last < 2; says_last++) {
            size_t bytes = ways[i].bytes, early = bytes > BLOCK ? bytes - BLOCK : 0;

            begin("stream: OK", CLAMD_DOWNLOAD, &plain, bytes, ways[i].step);
            content.says_last = says_last;
            start_passing(ways[i].room);
            pass_to_the_verdict(early);
            CU_ASSERT_FALSE(content.is_done);
            CU_ASSERT_EQUAL(content.out_bytes, early);
            server.may_answer = true;
            content_turn(CONTENT_WAIT_MS);
            CU_ASSERT_TRUE(content.is_done);
            CU_ASSERT_EQUAL(content.result, PUMP_DONE);
            CU_ASSERT_TRUE(content_is(text, bytes));
            stop_server();
            CU_ASSERT_EQUAL(server.bytes[0], bytes);
            CU_ASSERT_EQUAL(memcmp(server.content[0], text, bytes), 0);
            finish();
        }
}

static void
what_is_infected_is_cut_short(void)
{
    begin("stream: X FOUND", CLAMD_DOWNLOAD, &plain, 50000, 1000);
    server.may_answer = true;
    start_passing(0);
    content_turn(CONTENT_WAIT_MS);
    CU_ASSERT_EQUAL(content.result, PUMP_SOURCE_FAILED);
    CU_ASSERT(content.out_bytes <= 50000 - BLOCK);
    CU_ASSERT_EQUAL(content.ex.end, END_DENIED);
    finish();
}

static void
an_infected_upload_is_refused(void)
{
    begin("stream: X FOUND", CLAMD_UPLOAD, &plain, 50000, 1000);
    server.may_answer = true;
    start_passing(0);
    content_turn(CONTENT_WAIT_MS);
    CU_ASSERT_EQUAL(content.result, PUMP_SOURCE_FAILED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(content.ex.refusal);
    CU_ASSERT_EQUAL(content.ex.refusal->status, 403);
    finish();
}

static void
content_that_is_cut_short_fails_without_a_verdict(void)
{
    begin("stream: OK", CLAMD_DOWNLOAD, &plain, 50000, 1000);
    content.cuts = server.may_answer = true;
    start_passing(0);
    content_turn(CONTENT_WAIT_MS);
    CU_ASSERT_EQUAL(content.result, PUMP_SOURCE_FAILED);
    CU_ASSERT(content.out_bytes <= 50000 - BLOCK);
    finish();
}

static void
trailers_pass(void)
{
    static const struct fields trailers;

    begin("stream: OK", CLAMD_DOWNLOAD, &plain, 5000, 1000);
    content.trailers = &trailers;
    server.may_answer = true;
    start_passing(0);
    content_turn(CONTENT_WAIT_MS);
    CU_ASSERT_TRUE(content_is(text, 5000));
    CU_ASSERT_PTR_EQUAL(content.out_trailers, &trailers);
    finish();
}

static void
only_the_beginning_of_what_is_longer_is_scanned(void)
{
    begin("stream: OK", CLAMD_DOWNLOAD, &plain, 100000, 3000);
    conf.max_bytes = 7000;
    server.may_answer = true;
    start_passing(0);
    content_turn(CONTENT_WAIT_MS);
    CU_ASSERT_TRUE(content_is(text, 100000));
    stop_server();
    CU_ASSERT_EQUAL(server.bytes[0], 7000);
    finish();
}

static void
who_waits_for_a_verdict_gets_a_byte_now_and_then(void)
{
    begin("stream: OK", CLAMD_DOWNLOAD, &plain, 10000, 1000);
    conf.patience_ms = 1;
    start_passing(0);
    content_turn_until(10000 - BLOCK / 2 - 1);
    content_turn(20);
    CU_ASSERT_FALSE(content.is_done);
    CU_ASSERT_EQUAL(content.out_bytes, 10000 - BLOCK / 2 - 1); /* more than half is left */
    server.may_answer = true;
    content_turn(CONTENT_WAIT_MS);
    CU_ASSERT_TRUE(content_is(text, 10000));
    finish();
}

static void
the_files_of_a_form_are_scanned_one_by_one(void)
{
    static const struct clamd_shape form = { .is_form = true, .boundary_bytes = 3,
                                             .boundary = "xyz" };
    static const char start[] =
        "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ntext\r\n"
        "--xyz\r\nContent-Disposition: form-data; name=\"b\"; filename=\"b\"\r\n\r\nfirst\r\n--x"
        "\r\n--xyz\r\nContent-Disposition: form-data; name=\"c\"; filename=\"c\"\r\n\r\n";
    static const char rest[] = "\r\n--xyz--\r\n";
    size_t file_bytes = 100000, bytes = sizeof(start) - 1;

    memcpy(text, start, bytes);
    memset(text + bytes, '\r', file_bytes);
    memcpy(text + bytes + file_bytes, rest, sizeof(rest) - 1);
    for (size_t step = 1; step < 200000; step = step * 50 + 7) {
        begin("stream: OK", CLAMD_UPLOAD, &form, bytes + file_bytes + sizeof(rest) - 1, step);
        server.may_answer = true;
        start_passing(0);
        content_turn(CONTENT_WAIT_MS);
        CU_ASSERT_EQUAL(content.result, PUMP_DONE);
        CU_ASSERT_TRUE(content_is(text, content.in_bytes));
        stop_server();
        CU_ASSERT_EQUAL(server.bytes[0], 10);
        CU_ASSERT_EQUAL(memcmp(server.content[0], "first\r\n--x", 10), 0);
        CU_ASSERT_EQUAL(server.bytes[1], file_bytes);
        finish();
        CU_ASSERT_EQUAL(server.scans, 2);
    }
}

static void
it_may_be_given_up_at_any_time(void)
{
    for (unsigned turns = 0; turns < 40; turns++) {
        begin("stream: OK", CLAMD_DOWNLOAD, &plain, 150000, 5000);
        for (unsigned i = 0; i < turns && clamd_job_ask(job) == FILTER_WAIT; i++)
            loop_turn(content.worker.loop, 0);
        if (job->stage == CLAMD_STAGE_STREAM) {
            start_passing(0);
            content_turn(turns / 4);
            if (!content.is_done)
                content.pump.source->ops->cancel(content.pump.source);
        } else {
            pump_stop(&content.ex.response_pump);
        }
        finish();
    }
}

void
suite_clamd(void)
{
    CU_pSuite s = CU_add_suite("clamd", NULL, NULL);

    CU_add_test(s, "all but the last block passes before the verdict",
                all_but_the_last_block_passes_before_the_verdict);
    CU_add_test(s, "what is infected is cut short", what_is_infected_is_cut_short);
    CU_add_test(s, "an infected upload is refused", an_infected_upload_is_refused);
    CU_add_test(s, "content that is cut short fails without a verdict",
                content_that_is_cut_short_fails_without_a_verdict);
    CU_add_test(s, "trailers pass", trailers_pass);
    CU_add_test(s, "only the beginning of what is longer is scanned",
                only_the_beginning_of_what_is_longer_is_scanned);
    CU_add_test(s, "who waits for a verdict gets a byte now and then",
                who_waits_for_a_verdict_gets_a_byte_now_and_then);
    CU_add_test(s, "the files of a form are scanned one by one",
                the_files_of_a_form_are_scanned_one_by_one);
    CU_add_test(s, "it may be given up at any time", it_may_be_given_up_at_any_time);
}
