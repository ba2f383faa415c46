/* SPDX-License-Identifier: BSD-2-Clause */
/* test_log.c - lines arrive whole or are counted, and nobody waits for them. */
#include "config.h"

#include "server/base/log.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/clock.h"
#include "server/log/access_log.h"
#include "server/log/log_format.h"
#include "server/log/log_thread.h"

void suite_log(void);

#define PRODUCERS 4

/* For what must come; nothing is judged by how soon it does. */
#define PATIENCE_MS 60000

/* ---- files in memory */

static int
memory_file(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    CU_ASSERT_FATAL(fd >= 0);
    return fd;
}

/* All of the file, with a NUL behind it. Free it. */
static char *
content(int fd)
{
    struct stat st;
    char *text;

    CU_ASSERT_FATAL(fstat(fd, &st) == 0);
    text = malloc((size_t)st.st_size + 1);
    CU_ASSERT_FATAL(text != NULL && pread(fd, text, (size_t)st.st_size, 0) == st.st_size);
    text[st.st_size] = '\0';
    return text;
}

static bool
holds(int fd, const char *expected)
{
    char *text = content(fd);
    bool is_equal = strcmp(text, expected) == 0;

    free(text);
    return is_equal;
}

static bool
matches(int fd, const char *expression)
{
    char *text = content(fd);
    regex_t regex;
    bool found;

    CU_ASSERT_FATAL(regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB) == 0);
    found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    free(text);
    return found;
}

/* ---- the log thread */

static void
start(void)
{
    struct err err;

    CU_ASSERT_FATAL(log_thread_start(LOG_RING_BYTES_MIN, &err) == 0);
}

/* A sink that writes to a duplicate of fd. */
static struct log_sink *
sink_to(const char *identity, int fd)
{
    struct log_sink *sink = log_sink_open(identity, fcntl(fd, F_DUPFD_CLOEXEC, 3), NULL);

    CU_ASSERT_PTR_NOT_NULL_FATAL(sink);
    return sink;
}

static void
put_line(struct log_sink *sink, const char *text)
{
    size_t room;
    char *at = log_begin(sink, LEVEL_INFO, 0, &room);

    if (at == NULL)
        return;
    if (room < strlen(text)) {
        log_abandon();
        return;
    }
    memcpy(at, text, strlen(text));
    log_commit(strlen(text));
}

/* Waits, by looking now and then, for what another thread does. */
static bool
comes_true(bool (*is_true)(void *), void *arg)
{
    for (uint64_t end_ms = clock_monotonic_ms() + PATIENCE_MS; clock_monotonic_ms() < end_ms;) {
        if (is_true(arg))
            return true;
        usleep(5000);
    }
    return false;
}

/* ---- producers */

struct producer {
    pthread_t thread;
    struct log_sink *sink;
    unsigned number, lines;
};

static void *
produce(void *arg)
{
    struct producer *p = arg;

    CU_ASSERT(log_thread_attach() == 0);
    for (unsigned i = 0; i < p->lines; i++) {
        char text[80];

        snprintf(text, sizeof(text), "<%u %u %.*s>", p->number, i, (int)(i % 40),
                 "........................................");
        put_line(p->sink, text);
    }
    log_thread_detach();
    return NULL;
}

/* Lets threads write lines each, to the end. */
static void
produce_all(struct log_sink *sink, unsigned lines)
{
    struct producer producers[PRODUCERS];

    for (unsigned i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){ .sink = sink, .number = i, .lines = lines };
        CU_ASSERT_FATAL(pthread_create(&producers[i].thread, NULL, produce, &producers[i]) == 0);
    }
    for (unsigned i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i].thread, NULL);
}

/* Checks that text consists of whole lines, in order for each producer. Returns
 * how many, or 0 when it does not. */
static unsigned
count_whole_lines(const char *text)
{
    long last[PRODUCERS] = { -1, -1, -1, -1 };
    unsigned count = 0;

    for (; *text != '\0'; count++) {
        const char *line_end = strchr(text, '\n');
        char *number_end, *i_end;
        unsigned long number = strtoul(text + 1, &number_end, 10);
        unsigned long i = strtoul(number_end, &i_end, 10);

        if (line_end == NULL || *text != '<' || *number_end != ' ' || *i_end != ' ' ||
            number >= PRODUCERS || (long)i <= last[number])
            return 0;
        if ((size_t)(line_end - i_end) != i % 40 + 2 || line_end[-1] != '>')
            return 0;
        last[number] = (long)i;
        text = line_end + 1;
    }
    return count;
}

/* ---- promises: the error log */

/* Redirects stderr while run() runs, and returns where to. */
static int
stderr_of(void (*run)(void))
{
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), fd = memory_file();

    fflush(stderr);
    dup2(fd, STDERR_FILENO);
    run();
    dup2(saved, STDERR_FILENO);
    close(saved);
    return fd;
}

static void
write_before_start(void)
{
    log_warn("no %s\n\x1b[2J", "such file");
    log_debug("unseen");
}

static void
before_start_lines_go_to_stderr(void)
{
    int fd = stderr_of(write_before_start);

    CU_ASSERT(holds(fd, "bascule: no such file??[2J\n"));
    close(fd);
}

static void
messages_have_time_and_level(void)
{
    int fd = memory_file();

    start();
    log_set_sink(sink_to("file:/error", fd));
    log_flush();
    log_warn("message %d", 1);
    log_error("two\nlines");
    log_level = LEVEL_DEBUG;
    log_debug("seen");
    log_level = LEVEL_INFO;
    log_debug("unseen");
    log_thread_stop();
    CU_ASSERT(matches(fd, "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z warn  message 1\n"
                          "[-0-9T:.]{23}Z error two\\?lines\n[-0-9T:.]{23}Z debug seen\n$"));
    close(fd);
}

static void
peer_bytes_are_escaped(void)
{
    char text[400];
    const char *first = log_escape(SLICE("a\"\\\r\n\xff"));

    CU_ASSERT_STRING_EQUAL(log_escape(SLICE("GET /")), "GET /");
    CU_ASSERT_STRING_EQUAL(first, "a\\x22\\x5C\\x0D\\x0A\\xFF");
    memset(text, 'x', sizeof(text));
    CU_ASSERT(strlen(log_escape(slice_make(text, sizeof(text)))) < 210);
    CU_ASSERT_PTR_NOT_NULL(strstr(log_escape(slice_make(text, sizeof(text))), "xxx..."));
}

static bool
has_told_more(void *fd)
{
    return matches(*(int *)fd, "warn  \\.\\.\\. and [0-9]+ more like: "
                               "refused \\.\\.\\. \\(100%\\): \\.\\.\\. of \\.\\.\\.\n");
}

static void
repeated_lines_are_limited_and_counted(void)
{
    static struct log_limit limit = LOG_LIMIT(5);
    int fd = memory_file();
    uint64_t lines = 0, seconds;
    char *text;

    start();
    log_set_sink(sink_to("file:/error", fd));
    seconds = clock_monotonic_ms() / 1000;
    for (int i = 0; i < 1000; i++)
        log_limited(&limit, LEVEL_WARN, "refused %s%.*s (100%%): %" PRIu64 " of %5.1zu",
                    "it", 1, "!", UINT64_MAX, (size_t)i);
    seconds = clock_monotonic_ms() / 1000 - seconds + 1; /* one or two, if nothing held us up */
    CU_ASSERT(comes_true(has_told_more, &fd));
    log_thread_stop();
    text = content(fd);
    for (const char *at = text; (at = strstr(at, "refused it")) != NULL; at++)
        lines++;
    CU_ASSERT(lines >= 5 && lines <= 5 * seconds);
    free(text);
    close(fd);
}

/* ---- promises: rings */

static void
every_line_is_written_or_counted(void)
{
    int fd = memory_file();
    struct log_counts counts;
    struct log_sink *sink;
    unsigned found;
    char *text;

    start();
    sink = sink_to("file:/access", fd);
    produce_all(sink, 20000);
    log_flush();
    put_line(sink, "<0 20000 >"); /* not attached: by the shared ring */
    log_thread_stop();
    counts = log_sink_counts(sink);
    text = content(fd);
    found = count_whole_lines(text);
    CU_ASSERT(found > 0);
    CU_ASSERT_EQUAL(found, counts.lines);
    CU_ASSERT_EQUAL(found + counts.dropped, PRODUCERS * 20000 + 1);
    free(text);
    log_sink_unref(sink);
    close(fd);
}

struct pipe_reader {
    int fd;
    char *text;
    size_t bytes;
    _Atomic uint64_t lines;
    uint64_t dropped; /* before */
};

static void *
read_pipe(void *arg)
{
    struct pipe_reader *reader = arg;
    ssize_t n;

    while ((n = read(reader->fd, reader->text + reader->bytes, 65536)) > 0) {
        uint64_t lines = 0;

        for (ssize_t i = 0; i < n; i++)
            lines += reader->text[reader->bytes + (size_t)i] == '\n';
        reader->bytes += (size_t)n;
        reader->lines += lines;
    }
    reader->text[reader->bytes] = '\0';
    return NULL;
}

/* log_thread_stop() does not wait for long. */
static bool
is_complete(void *arg)
{
    const struct pipe_reader *reader = arg;

    return reader->lines + log_counts().dropped - reader->dropped == PRODUCERS * 50000;
}

/* A pipe nobody reads takes some lines and then none; is_shared: without
 * O_NONBLOCK, as the standard streams come. */
static void
block_a_pipe(bool is_shared)
{
    struct pipe_reader reader = { .text = malloc(16 * 1024 * 1024),
                                  .dropped = log_counts().dropped };
    int pipe_fds[2];
    struct log_sink *sink;
    pthread_t thread;

    CU_ASSERT_FATAL(pipe2(pipe_fds, O_CLOEXEC | (is_shared ? 0 : O_NONBLOCK)) == 0);
    reader.fd = pipe_fds[0];
    fcntl(reader.fd, F_SETFL, 0);
    start();
    sink = log_sink_open("file:/pipe", pipe_fds[1], NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sink);
    produce_all(sink, 50000); /* ends, although nobody reads */
    CU_ASSERT(log_counts().dropped > reader.dropped);
    CU_ASSERT_FATAL(pthread_create(&thread, NULL, read_pipe, &reader) == 0);
    CU_ASSERT(comes_true(is_complete, &reader));
    log_thread_stop();
    log_sink_unref(sink);
    pthread_join(thread, NULL);
    CU_ASSERT(is_complete(&reader));
    CU_ASSERT_EQUAL(count_whole_lines(reader.text), reader.lines);
    CU_ASSERT(reader.lines > 0);
    free(reader.text);
    close(pipe_fds[0]);
}

static void
a_blocked_pipe_blocks_no_producer(void)
{
    block_a_pipe(false);
    block_a_pipe(true);
}

static bool
has_other_line(void *fd)
{
    return holds(*(int *)fd, "other\n");
}

static void
a_stuck_sink_holds_up_no_other(void)
{
    int pipe_fds[2], fd = memory_file();
    struct log_sink *stuck, *other;

    CU_ASSERT_FATAL(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) == 0);
    start();
    stuck = log_sink_open("file:/pipe", pipe_fds[1], NULL);
    other = sink_to("file:/other", fd);
    CU_ASSERT(log_thread_attach() == 0);
    for (int i = 0; i < 8; i++) { /* more than pipe and buffer hold */
        for (int j = 0; j < 1000; j++)
            put_line(stuck, "................................................................");
        log_flush();
    }
    put_line(other, "other");
    CU_ASSERT(comes_true(has_other_line, &fd));
    log_thread_detach();
    log_thread_stop();
    log_sink_unref(stuck);
    log_sink_unref(other);
    close(pipe_fds[0]);
    close(fd);
}

static bool
has_dropped(void *sink)
{
    put_line(sink, "................................................................");
    return log_sink_counts(sink).dropped > 0;
}

static bool
has_reported(void *fd)
{
    return matches(*(int *)fd, "error log to file:/full: ([0-9]+ lines lost: )?No space left");
}

static void
a_full_disk_loses_lines_and_is_reported(void)
{
    int fd = memory_file(), error_fd = memory_file();
    struct log_sink *sink;

    start();
    log_set_sink(sink_to("file:/error", error_fd));
    sink = log_sink_open("file:/full", open("/dev/full", O_WRONLY | O_CLOEXEC), NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sink);
    CU_ASSERT(log_thread_attach() == 0);
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 1000; j++)
            put_line(sink, "................................................................");
        log_flush();
    }
    CU_ASSERT(comes_true(has_dropped, sink));
    CU_ASSERT(comes_true(has_reported, &error_fd));
    CU_ASSERT_EQUAL(log_sink_reopen("file:/full", fcntl(fd, F_DUPFD_CLOEXEC, 3)), 0);
    log_flush();
    put_line(sink, "after");
    log_thread_detach();
    log_thread_stop();
    CU_ASSERT(matches(fd, "^[.]{64}\n.*\nafter\n$"));
    log_sink_unref(sink);
    close(fd);
    close(error_fd);
}

/* ---- promises: sinks */

static void
a_new_descriptor_takes_over_between_lines(void)
{
    int before_fd = memory_file(), after_fd = memory_file();
    struct log_sink *sink;

    start();
    sink = sink_to("file:/rotated", before_fd);
    put_line(sink, "before");
    log_flush();
    log_sink_set_fd(sink, fcntl(after_fd, F_DUPFD_CLOEXEC, 3));
    log_flush();
    put_line(sink, "after");
    log_thread_stop();
    CU_ASSERT(holds(before_fd, "before\n"));
    CU_ASSERT(holds(after_fd, "after\n"));
    CU_ASSERT_EQUAL(log_sink_reopen("file:/unknown", before_fd), -1); /* closes it */
    CU_ASSERT(fcntl(before_fd, F_GETFD) < 0 && errno == EBADF);
    log_sink_unref(sink);
    close(after_fd);
}

/* A pipe takes part of a line, then its place is taken by a file. */
static void
a_line_cut_by_a_swap_is_written_whole(void)
{
    int pipe_fds[2], fd = memory_file();
    struct log_sink *sink;
    unsigned lines = 0;
    char *text;

    CU_ASSERT_FATAL(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) == 0);
    start();
    sink = log_sink_open("file:/cut", pipe_fds[1], NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sink);
    for (int i = 0; i < 1100; i++)
        put_line(sink, "[0123456789012345678901234567890123456789012345678901234567890123456789]");
    log_flush();
    log_sink_set_fd(sink, fcntl(fd, F_DUPFD_CLOEXEC, 3));
    log_thread_stop();
    text = content(fd);
    for (char *at = strtok(text, "\n"); at != NULL; at = strtok(NULL, "\n"), lines++)
        CU_ASSERT(strlen(at) == 72 && *at == '[');
    CU_ASSERT(lines > 0 && lines < 1100);
    free(text);
    log_sink_unref(sink);
    close(pipe_fds[0]);
    close(fd);
}

static void
count_sink(struct log_sink *sink, void *arg)
{
    (void)sink;
    ++*(unsigned *)arg;
}

static void
sinks_are_shared_by_identity(void)
{
    int fd = memory_file();
    struct log_sink *first = sink_to("file:/shared", fd);
    struct log_sink *second = log_sink_open("file:/shared", -1, NULL);
    unsigned count = 0;

    CU_ASSERT_PTR_EQUAL(first, second);
    log_sinks_each(count_sink, &count);
    CU_ASSERT_EQUAL(count, 1);
    log_sink_unref(first);
    start();
    put_line(second, "line");
    log_sink_unref(second); /* its line is still written */
    log_thread_stop();
    CU_ASSERT(holds(fd, "line\n"));
    count = 0;
    log_sinks_each(count_sink, &count);
    CU_ASSERT_EQUAL(count, 0);
    close(fd);
}

static void
identities_are_what_operators_write(void)
{
    char identity[SINK_IDENTITY_BYTES], text[600];
    struct err err;

    CU_ASSERT(log_sink_identify(identity, "/var/log/x", &err) == 0);
    CU_ASSERT_STRING_EQUAL(identity, "file:/var/log/x");
    CU_ASSERT_STRING_EQUAL(log_sink_path(identity), "/var/log/x");
    CU_ASSERT(log_sink_identify(identity, "syslog", &err) == 0);
    CU_ASSERT_STRING_EQUAL(identity, "syslog:");
    CU_ASSERT(log_sink_identify(identity, "stderr", &err) == 0);
    CU_ASSERT_PTR_NULL(log_sink_path(identity));
    CU_ASSERT(log_sink_identify(identity, "access.log", &err) == -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "absolute path"));
    memset(text, '/', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    CU_ASSERT(log_sink_identify(identity, text, &err) == -1);
    CU_ASSERT_PTR_NULL(log_sink_open("syslog:udp:127.0.0.1", -1, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "HOST:PORT"));
}

/* ---- promises: files and syslog */

static char directory[] = P_tmpdir "/bascule-test-log-XXXXXX";

static void
files_are_created_and_links_not_followed(void)
{
    char path[sizeof(directory) + 8], link_path[sizeof(path)], moved[sizeof(path)];
    char identity[SINK_IDENTITY_BYTES];
    mode_t mask = umask(022);
    struct log_sink *sink;
    struct err err;
    struct stat st;

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/log", directory);
    snprintf(moved, sizeof(moved), "%s/log.1", directory);
    snprintf(link_path, sizeof(link_path), "%s/link", directory);
    CU_ASSERT(symlink(path, link_path) == 0);
    CU_ASSERT(log_file_open(link_path, &err) == -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "symbolic link"));
    CU_ASSERT(log_file_open(directory, &err) == -1);
    CU_ASSERT(log_sink_identify(identity, path, &err) == 0);
    start();
    sink = log_sink_open(identity, -1, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sink);
    CU_ASSERT(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640);
    CU_ASSERT(rename(path, moved) == 0);
    CU_ASSERT_EQUAL(log_reopen(), 0);
    put_line(sink, "line");
    log_flush();
    log_thread_stop();
    CU_ASSERT(stat(path, &st) == 0 && st.st_size == 5);
    CU_ASSERT(stat(moved, &st) == 0 && st.st_size == 0);
    log_sink_unref(sink);
    umask(mask);
    unlink(path);
    unlink(moved);
    unlink(link_path);
    rmdir(directory);
    strcpy(directory + strlen(directory) - 6, "XXXXXX");
}

static bool
datagram_matches(int fd, const char *expression)
{
    char text[1024];
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    regex_t regex;
    bool found;

    if (n < 0)
        return false;
    text[n] = '\0';
    CU_ASSERT_FATAL(regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB) == 0);
    found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

#define STAMP "1 [-0-9T:.]{23}Z [!-~]+ bascule [0-9]+ "

static void
check_syslog(struct log_sink *sink, int fd)
{
    struct timeval limit = { .tv_sec = PATIENCE_MS / 1000 };

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    log_set_sink(log_sink_ref(sink));
    put_line(sink, "GET /");
    log_error("trouble");
    for (int i = 0; i < 100; i++) /* more than a batch, and than a socket may queue */
        put_line(sink, "more");
    CU_ASSERT(datagram_matches(fd, "^<30>" STAMP "access - GET /$"));
    CU_ASSERT(datagram_matches(fd, "^<27>" STAMP "error - trouble$"));
    for (int i = 0; i < 100; i++)
        CU_ASSERT(datagram_matches(fd, "^<30>" STAMP "access - more$"));
    log_thread_stop();
    log_sink_unref(sink);
}

/* RFC 5424 section 6; RFC 5426 section 3.1: one message in a datagram. */
static void
syslog_gets_one_datagram_a_line(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof(address);
    char identity[SINK_IDENTITY_BYTES];
    int pair[2], fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&address, bytes) == 0);
    CU_ASSERT_FATAL(getsockname(fd, (struct sockaddr *)&address, &bytes) == 0);
    snprintf(identity, sizeof(identity), "syslog:udp:127.0.0.1:%d", ntohs(address.sin_port));
    start();
    check_syslog(log_sink_open(identity, -1, NULL), fd);
    close(fd);
    CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0);
    start();
    check_syslog(log_sink_open("syslog:", pair[0], NULL), pair[1]);
    close(pair[1]);
}

/* ---- promises: access logs */

static void
access_logs_write_records_and_drop_when_full(void)
{
    struct access_record record = { .client = { .family = 4, .bytes = { 192, 0, 2, 1 } },
                                    .status = 200, .method = SLICE("GET"), .target = SLICE("/"),
                                    .version = SLICE("HTTP/1.1") };
    static char big[20000];
    struct log_counts counts;
    int pipe_fds[2], fd = memory_file();
    struct log_sink *sink = sink_to("file:/access", fd);
    struct arena arena;
    struct access_log *log;
    struct log_format *format;

    arena_init(&arena, NULL, 65536);
    format = log_format_new(&arena, "%{client_ip} \"%{request}\" %{status} %{user_agent}", NULL);
    start();
    log = access_log_new(&arena, sink, format, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(log);
    CU_ASSERT(log_thread_attach() == 0);
    access_log_write(log, &record);
    log_flush();
    CU_ASSERT(holds(fd, "192.0.2.1 \"GET / HTTP/1.1\" 200 -\n"));
    CU_ASSERT_FATAL(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) == 0);
    log_sink_set_fd(sink, pipe_fds[1]); /* which takes 64 KiB */
    memset(big, 1, sizeof(big));        /* four bytes each when escaped */
    record.user_agent = slice_make(big, sizeof(big));
    for (int i = 0; i < 1000; i++)
        access_log_write(log, &record);
    log_sink_set_fd(sink, fcntl(fd, F_DUPFD_CLOEXEC, 3));
    log_thread_detach();
    log_thread_stop();
    counts = log_sink_counts(sink);
    CU_ASSERT(counts.dropped > 0);
    CU_ASSERT_EQUAL(counts.lines + counts.dropped, 1001);
    CU_ASSERT(matches(fd, "^192.*\n(192.0.2.1 \"GET / HTTP/1.1\" 200 (\\\\x01)+\\.\\.\\.\n)+$"));
    arena_fini(&arena);
    close(pipe_fds[0]);
    close(fd);
}

void
suite_log(void)
{
    CU_pSuite s = CU_add_suite("log", NULL, NULL);

    CU_add_test(s, "before start lines go to stderr", before_start_lines_go_to_stderr);
    CU_add_test(s, "messages have time and level", messages_have_time_and_level);
    CU_add_test(s, "peer bytes are escaped", peer_bytes_are_escaped);
    CU_add_test(s, "repeated lines are limited and counted",
                repeated_lines_are_limited_and_counted);
    CU_add_test(s, "every line is written or counted", every_line_is_written_or_counted);
    CU_add_test(s, "a blocked pipe blocks no producer", a_blocked_pipe_blocks_no_producer);
    CU_add_test(s, "a stuck sink holds up no other", a_stuck_sink_holds_up_no_other);
    CU_add_test(s, "a full disk loses lines and is reported",
                a_full_disk_loses_lines_and_is_reported);
    CU_add_test(s, "a new descriptor takes over between lines",
                a_new_descriptor_takes_over_between_lines);
    CU_add_test(s, "a line cut by a swap is written whole", a_line_cut_by_a_swap_is_written_whole);
    CU_add_test(s, "sinks are shared by identity", sinks_are_shared_by_identity);
    CU_add_test(s, "identities are what operators write", identities_are_what_operators_write);
    CU_add_test(s, "files are created and links not followed",
                files_are_created_and_links_not_followed);
    CU_add_test(s, "syslog gets one datagram a line", syslog_gets_one_datagram_a_line);
    CU_add_test(s, "access logs write records and drop when full",
                access_logs_write_records_and_drop_when_full);
}
