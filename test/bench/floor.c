/* SPDX-License-Identifier: BSD-2-Clause */
/* floor.c - a relay without HTTP logic: what the kernel alone costs.
 *
 *     floor reverse|connect PORT ORIGIN_PORT WORKERS
 *
 * reverse: passes each request on over an idle origin connection and one answer back, then closes
 * the client's connection if the request asked for that. connect: answers 200 at once, joins the
 * client with a fresh origin connection, and closes both when either ends.
 *
 * A worker is a process with its own listening socket: nothing is shared. Descriptors are
 * registered once, edge-triggered, and close() alone takes them out. A side is not read while
 * bytes from it wait for the other. For the benchmark alone: it takes what it first reads for a
 * whole head, spelt as there.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS (1 << 20) /* no process has more: fs.nr_open as Linux sets it */
#define BYTES 65536

/* One end of a connection, found by its descriptor. */
struct end {
    unsigned generation; /* counts the uses of the descriptor, so that stale events are known */
    int fd, peer; /* descriptors; no peer: -1, and an origin connection is idle */
    bool is_client;
    bool closes;     /* a client that wants no further answer */
    long left_bytes; /* of the answer; 0: its head comes next */
    char *waiting;   /* what the socket did not take yet; NULL: nothing */
    size_t waiting_bytes;
};

static bool is_connect;
static struct sockaddr_in here = { .sin_family = AF_INET }, origin_address;
static int epoll_fd, listen_fd;
static struct end ends[FDS];
static int idle[FDS], idle_count;
static char data[BYTES];

static void
watch(int operation, int fd, unsigned events)
{
    struct epoll_event event = { .events = events };

    event.data.u64 = (uint64_t)ends[fd].generation << 32 | (unsigned)fd;
    epoll_ctl(epoll_fd, operation, fd, &event);
}

static struct end *
end_open(int fd, bool is_client)
{
    ends[fd] = (struct end){ .generation = ends[fd].generation, .fd = fd, .peer = -1,
                             .is_client = is_client };
    watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    return &ends[fd];
}

static void
end_close(struct end *e)
{
    close(e->fd);
    free(e->waiting);
    e->waiting = NULL;
    e->generation++;
}

/* Closes the end and the one it is joined with; an origin with none leaves the idle ones. */
static void
hang_up(struct end *e)
{
    if (e->peer >= 0)
        end_close(&ends[e->peer]);
    for (int i = 0; i < idle_count; i++)
        if (idle[i] == e->fd)
            idle[i] = idle[--idle_count];
    end_close(e);
}

/* Connects to the origin; a failure to connect comes as an event. */
static struct end *
dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

    if (fd < 0)
        err(1, "socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)connect(fd, (struct sockaddr *)&origin_address, sizeof(origin_address));
    return end_open(fd, false);
}

/* Sends, and keeps what does not go yet. False: both ends are closed. */
static bool
put(struct end *e, const char *from, size_t bytes)
{
    ssize_t n = send(e->fd, from, bytes, MSG_NOSIGNAL);

    if (n == (ssize_t)bytes)
        return true;
    if (n < 0 && errno != EAGAIN) {
        hang_up(e);
        return false;
    }
    n = n < 0 ? 0 : n;
    e->waiting_bytes = bytes - (size_t)n;
    e->waiting = memcpy(malloc(e->waiting_bytes), from + n, e->waiting_bytes);
    /* Rare, so asked only now: asking from the start is an event for each new connection. */
    watch(EPOLL_CTL_MOD, e->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    return true;
}

/* Joins the client with an origin connection. False: the client is closed. */
static bool
begin(struct end *client, size_t bytes)
{
    struct end *origin = !is_connect && idle_count > 0 ? &ends[idle[--idle_count]] : dial();
    char *close_field;

    client->peer = origin->fd;
    origin->peer = client->fd;
    if (is_connect)
        return put(client, "HTTP/1.1 200 OK\r\n\r\n", 19);
    close_field = memmem(data, bytes, "\r\nConnection: close\r\n", 21);
    client->closes = close_field != NULL;
    if (close_field != NULL)
        close_field[2] = 'X'; /* a field the origin does not know: its connection is kept */
    return put(origin, data, bytes);
}

/* Head and body together, by the head at the front of data. */
static long
answer_bytes(size_t bytes)
{
    char *length = memmem(data, bytes, "\r\nContent-Length: ", 18);
    char *body = memmem(data, bytes, "\r\n\r\n", 4);

    if (body == NULL || length == NULL)
        errx(1, "an answer without length");
    return body + 4 - data + atol(length + 18);
}

/* Passes on a part of the answer; after the last the origin is idle. False: it is closed. */
static bool
pass_answer(struct end *origin, size_t bytes)
{
    struct end *client = &ends[origin->peer];

    if (origin->left_bytes == 0)
        origin->left_bytes = answer_bytes(bytes);
    origin->left_bytes -= (long)bytes;
    if (!put(client, data, bytes))
        return false;
    if (origin->left_bytes > 0)
        return true;
    client->peer = origin->peer = -1;
    idle[idle_count++] = origin->fd;
    if (client->closes && client->waiting == NULL)
        end_close(client);
    return true;
}

/* False: the end is closed. */
static bool
take(struct end *e, size_t bytes)
{
    if (is_connect && e->peer >= 0)
        return put(&ends[e->peer], data, bytes);
    if (e->is_client && e->peer < 0)
        return begin(e, bytes);
    if (!e->is_client && e->peer >= 0)
        return pass_answer(e, bytes);
    hang_up(e); /* out of turn: pipelined, or from an idle origin connection */
    return false;
}

/* Reads what there is. A short read was the last, unless the end of the stream may follow. */
static void
on_readable(struct end *e, bool may_end)
{
    ssize_t n;

    do {
        if (e->peer >= 0 && ends[e->peer].waiting != NULL)
            return; /* on_writable() of the peer comes back here */
        n = recv(e->fd, data, BYTES, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            hang_up(e);
            return;
        }
    } while (take(e, (size_t)n) && (n == BYTES || may_end));
}

static void
on_writable(struct end *e)
{
    char *bytes = e->waiting;
    bool is_done;

    e->waiting = NULL;
    is_done = put(e, bytes, e->waiting_bytes) && e->waiting == NULL;
    free(bytes);
    if (is_done && e->peer >= 0)
        on_readable(&ends[e->peer], true);
    else if (is_done && e->closes)
        end_close(e);
}

static void
on_event(struct end *e, unsigned events)
{
    unsigned generation = e->generation;

    if (events & (EPOLLERR | EPOLLHUP))
        hang_up(e);
    else if (e->waiting != NULL && (events & EPOLLOUT))
        on_writable(e);
    if (e->generation == generation && (events & (EPOLLIN | EPOLLRDHUP)))
        on_readable(e, events & EPOLLRDHUP);
}

/* Reads before it registers, so that a request which is there already raises no event. */
static void
on_client(void)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK);
    ssize_t n = recv(fd, data, BYTES, 0);

    if (n > 0)
        take(end_open(fd, true), (size_t)n);
    else if (n < 0 && errno == EAGAIN)
        end_open(fd, true);
    else
        close(fd); /* or there was none */
}

static void
listen_here(void)
{
    int on = 1;

    epoll_fd = epoll_create1(0);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* inherited */
    if (bind(listen_fd, (struct sockaddr *)&here, sizeof(here)) < 0 || listen(listen_fd, 4096) < 0)
        err(1, "listen");
    watch(EPOLL_CTL_ADD, listen_fd, EPOLLIN); /* level: an accept4() in vain is dear */
}

_Noreturn static void
serve(void)
{
    struct epoll_event events[512];

    for (;;) {
        int count = epoll_wait(epoll_fd, events, 512, -1);

        for (int i = 0; i < count; i++) {
            struct end *e = &ends[(uint32_t)events[i].data.u64];

            if (e == &ends[listen_fd])
                on_client();
            else if (e->generation == events[i].data.u64 >> 32)
                on_event(e, events[i].events);
        }
    }
}

int
main(int argc, char **argv)
{
    if (argc != 5)
        errx(2, "usage: floor reverse|connect PORT ORIGIN_PORT WORKERS");
    is_connect = strcmp(argv[1], "connect") == 0;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    origin_address = here;
    here.sin_port = htons((uint16_t)atoi(argv[2]));
    origin_address.sin_port = htons((uint16_t)atoi(argv[3]));
    for (int i = 1; i < atoi(argv[4]); i++) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            break;
        }
    }
    listen_here();
    serve();
}
