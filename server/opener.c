/* SPDX-License-Identifier: BSD-2-Clause */
/* opener.c - asking the supervisor to open a file, and its answers.
 *
 * The socket between them is apart from the channel, so that any thread of the
 * worker process can wait for its answer; one asks at a time. Messages are those
 * of the channel.
 */
#include "config.h"

#include "server/opener.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_MS 5000
#define LINKS_MAX 40         /* as the kernel follows */
#define REQUESTS_PER_TURN 64 /* the supervisor has other things to do, too */
#define WATCH_EVENTS \
    (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

/* lock guards it: who holds it asks. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int socket_to_supervisor = -1;
static int shared_inotify = -1;
static uint64_t last_ticket;

void
opener_use(int socket_fd, int inotify_fd)
{
    pthread_mutex_lock(&lock);
    if (socket_to_supervisor >= 0)
        close(socket_to_supervisor);
    if (shared_inotify >= 0)
        close(shared_inotify);
    socket_to_supervisor = socket_fd;
    shared_inotify = inotify_fd;
    pthread_mutex_unlock(&lock);
}

int
opener_inotify(void)
{
    return shared_inotify;
}

/* ---- what both processes do */

/* Never waits for the other end of a FIFO, and never becomes somebody's terminal. */
static int
open_regular(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    return -1;
}

/* A way through folders and links, as far as it was followed. */
struct way {
    char done[PATH_MAX]; /* real folders only; ends with a slash, or is empty: here */
    char rest[PATH_MAX];
    unsigned links;
    int inotify_fd;
    opener_name_fn *on_name;
    void *arg;
};

static int
watch_name(struct way *way, const char *name)
{
    const char *folder = way->done[0] != '\0' ? way->done : ".";
    int wd = inotify_add_watch(way->inotify_fd, folder, WATCH_EVENTS);

    if (wd < 0)
        return -1;
    way->on_name(way->arg, wd, slice_of(name));
    return 0;
}

/* Puts where the link at path leads in front of the rest. */
static int
follow_link(struct way *way, const char *path)
{
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t bytes = readlink(path, target, sizeof(target) - 1);

    if (bytes < 0)
        return -1;
    target[bytes] = '\0';
    memcpy(rest, way->rest, sizeof(rest));
    if (++way->links > LINKS_MAX ||
        (size_t)snprintf(way->rest, sizeof(way->rest), "%s/%s", target, rest) >=
            sizeof(way->rest)) {
        errno = ELOOP;
        return -1;
    }
    if (target[0] == '/')
        strcpy(way->done, "/");
    return 0;
}

/* Since done has no links, the folder above is its text without the last name. */
static int
go_up(struct way *way)
{
    size_t bytes = strlen(way->done);

    if (bytes == 0 || (bytes >= 3 && strcmp(way->done + bytes - 3, "../") == 0)) {
        if (bytes + sizeof("../") > sizeof(way->done)) {
            errno = ENAMETOOLONG;
            return -1;
        }
        strcpy(way->done + bytes, "../");
        return 0;
    }
    for (bytes--; bytes > 0 && way->done[bytes - 1] != '/'; bytes--)
        ;
    way->done[bytes > 0 || way->done[0] != '/' ? bytes : 1] = '\0'; /* / is above itself */
    return 0;
}

/* Takes one name off the rest. 1: more to come, 0: that was the end, -1 errno. */
static int
step(struct way *way)
{
    char name[NAME_MAX + 1], path[2 * PATH_MAX];
    const char *from = way->rest + strspn(way->rest, "/");
    size_t bytes = strcspn(from, "/");
    bool is_last = from[bytes + strspn(from + bytes, "/")] == '\0';
    struct stat st;

    if (bytes == 0)
        return 0;
    if (bytes > NAME_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(name, from, bytes);
    name[bytes] = '\0';
    memmove(way->rest, from + bytes, strlen(from + bytes) + 1);
    if (strcmp(name, ".") == 0)
        return !is_last;
    if (strcmp(name, "..") == 0)
        return go_up(way) < 0 ? -1 : !is_last;
    snprintf(path, sizeof(path), "%s%s", way->done, name);
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? watch_name(way, name) : -1; /* it may come yet */
    if (S_ISLNK(st.st_mode))
        return watch_name(way, name) < 0 || follow_link(way, path) < 0 ? -1 : 1;
    if (is_last)
        return watch_name(way, name);
    if ((size_t)snprintf(way->done, sizeof(way->done), "%s/", path) >= sizeof(way->done)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 1;
}

static int
watch_path(int inotify_fd, const char *path, opener_name_fn *on_name, void *arg)
{
    struct way way = { .inotify_fd = inotify_fd, .on_name = on_name, .arg = arg };
    int result;

    if ((size_t)snprintf(way.rest, sizeof(way.rest), "%s", path) >= sizeof(way.rest)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(way.done, path[0] == '/' ? "/" : "");
    do {
        result = step(&way);
    } while (result > 0);
    return result;
}

/* ---- the worker process */

/* Waits for the answer to the ticket; late ones to earlier tickets are dropped. */
static int
receive_answer(uint64_t ticket, struct channel_message *answer)
{
    uint64_t until_ms = clock_monotonic_ms() + ANSWER_MS;

    for (;;) {
        uint64_t now_ms = clock_monotonic_ms();
        struct pollfd poller = { .fd = socket_to_supervisor, .events = POLLIN };
        enum channel_result result = channel_receive(socket_to_supervisor, answer);

        if (result == CHANNEL_GOT && answer->kind == CHANNEL_OPENED && answer->number == ticket)
            return 0;
        if (result == CHANNEL_GOT) {
            channel_close_fds(answer, 0);
            continue;
        }
        errno = result == CHANNEL_WAIT ? ETIMEDOUT : EPIPE;
        if (result != CHANNEL_WAIT || now_ms >= until_ms)
            return -1;
        poll(&poller, 1, (int)(until_ms - now_ms));
    }
}

/* Asks the supervisor. On success answer is filled, with its descriptors the
 * caller's. -1: nobody is there to be asked, errno as it was; or no answer. */
static int
ask(enum channel_kind kind, const char *path, struct channel_message *answer)
{
    int result = -1, before = errno;

    pthread_mutex_lock(&lock);
    if (socket_to_supervisor < 0) {
        errno = before;
    } else if (strlen(path) > CHANNEL_TEXT_MAX) {
        errno = ENAMETOOLONG;
    } else if (channel_send(socket_to_supervisor, kind, ++last_ticket, path, NULL, 0) == 0) {
        result = receive_answer(last_ticket, answer);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static struct channel_message *
answer_new(void)
{
    return malloc(sizeof(struct channel_message)); /* large for a thread's stack */
}

static int
ask_to_open(const char *path)
{
    struct channel_message *answer = answer_new();
    int fd = -1, error;

    if (answer == NULL || ask(CHANNEL_OPEN, path, answer) < 0) {
        free(answer);
        return -1;
    }
    error = atoi(answer->text);
    if (answer->fd_count > 0)
        fd = answer->fds[0];
    channel_close_fds(answer, fd >= 0 ? 1 : 0);
    free(answer);
    errno = fd >= 0 ? 0 : error > 0 ? error : EACCES;
    return fd;
}

static int
open_error(struct err *err, const char *path)
{
    if (errno == EINVAL || errno == EISDIR)
        return err_set(err, "%s: is not a file", path);
    return err_errno(err, "%s", path);
}

int
opener_open(const char *path, struct err *err)
{
    int fd = open_regular(path);

    if (fd < 0 && errno == EACCES)
        fd = ask_to_open(path);
    return fd >= 0 ? fd : open_error(err, path);
}

/* The supervisor's answer: "12/fullchain.pem/15/fullchain3.pem/", numbers and names
 * in turn, since no name has a slash. */
static int
read_names(const char *text, opener_name_fn *on_name, void *arg)
{
    while (*text != '\0') {
        char *end;
        long wd = strtol(text, &end, 10);
        size_t bytes;

        if (*end != '/' || wd <= 0 || wd > INT_MAX)
            return -1;
        text = end + 1;
        bytes = strcspn(text, "/");
        if (text[bytes] != '/')
            return -1;
        on_name(arg, (int)wd, slice_make(text, bytes));
        text += bytes + 1;
    }
    return 0;
}

static int
ask_to_watch(const char *path, opener_name_fn *on_name, void *arg)
{
    struct channel_message *answer = answer_new();
    int result;

    if (answer == NULL || ask(CHANNEL_WATCH, path, answer) < 0) {
        free(answer);
        return -1;
    }
    result = read_names(answer->text, on_name, arg);
    channel_close_fds(answer, 0);
    if (answer->text[0] == '\0')
        result = -1;
    free(answer);
    errno = result == 0 ? 0 : EACCES;
    return result;
}

int
opener_watch(int inotify_fd, const char *path, opener_name_fn *on_name, void *arg)
{
    if (watch_path(inotify_fd, path, on_name, arg) == 0)
        return 0;
    if (errno != EACCES || inotify_fd != shared_inotify)
        return -1;
    return ask_to_watch(path, on_name, arg);
}

/* ---- the supervisor */

void
opener_desk_init(struct opener_desk *desk, opener_may_fn *may_open, void *arg)
{
    *desk = (struct opener_desk){ .watch.fd = -1, .inotify_fd = -1, .may_open = may_open,
                                  .arg = arg };
}

struct names {
    char text[CHANNEL_TEXT_MAX + 1];
    size_t bytes;
    bool is_too_long;
};

static void
put_name(void *arg, int wd, struct slice name)
{
    struct names *names = arg;
    size_t room = sizeof(names->text) - names->bytes;
    int bytes = snprintf(names->text + names->bytes, room, "%d/%.*s/", wd, SLICE_ARG(name));

    if (bytes < 0 || (size_t)bytes >= room)
        names->is_too_long = true;
    else
        names->bytes += (size_t)bytes;
}

/* Without names: it has to look for itself from time to time. */
static int
answer_watch(struct opener_desk *desk, const struct channel_message *request)
{
    static struct names names;
    bool is_good;

    names = (struct names){ .bytes = 0 };
    is_good = desk->may_open(desk->arg, request->text) &&
              watch_path(desk->inotify_fd, request->text, put_name, &names) == 0 &&
              !names.is_too_long;
    return channel_send(desk->watch.fd, CHANNEL_OPENED, request->number,
                        is_good ? names.text : NULL, NULL, 0);
}

/* One descriptor, or errno as text. */
static int
answer_open(struct opener_desk *desk, const struct channel_message *request)
{
    char why[16];
    int fd = -1, result;

    if (desk->may_open(desk->arg, request->text))
        fd = open_regular(request->text);
    else
        errno = EACCES;
    snprintf(why, sizeof(why), "%d", errno);
    result = channel_send(desk->watch.fd, CHANNEL_OPENED, request->number, fd < 0 ? why : NULL,
                          &fd, fd >= 0);
    if (fd >= 0)
        close(fd);
    return result;
}

static int
answer(struct opener_desk *desk, struct channel_message *request)
{
    channel_close_fds(request, 0);
    if (request->kind == CHANNEL_OPEN)
        return answer_open(desk, request);
    if (request->kind == CHANNEL_WATCH)
        return answer_watch(desk, request);
    return -1;
}

/* What makes no sense ends the desk: the worker process then has what it may open
 * by itself. */
static void
on_request(struct watch *watch, uint32_t events)
{
    static struct channel_message request;
    struct opener_desk *desk = container_of(watch, struct opener_desk, watch);

    (void)events;
    for (unsigned i = 0; i < REQUESTS_PER_TURN; i++) {
        enum channel_result result = channel_receive(watch->fd, &request);

        if (result == CHANNEL_WAIT)
            return;
        if (result == CHANNEL_GOT && answer(desk, &request) == 0)
            continue;
        if (result != CHANNEL_ENDED)
            log_error("worker process: its way of asking for files is not understood");
        opener_desk_close(desk);
        return;
    }
}

int
opener_desk_open(struct opener_desk *desk, struct loop *loop, int channel_fd, struct err *err)
{
    int ends[2], given[2], result;

    opener_desk_close(desk);
    if (channel_open(ends, err) < 0)
        return -1;
    desk->loop = loop;
    desk->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK); /* -1: they poll */
    desk->watch = (struct watch){ .fd = ends[0], .on_event = on_request };
    given[0] = ends[1];
    given[1] = desk->inotify_fd;
    result = channel_send(channel_fd, CHANNEL_OPENER, 0, NULL, given,
                          desk->inotify_fd >= 0 ? 2 : 1);
    close(ends[1]);
    if (result == 0 && loop_watch(loop, &desk->watch, EPOLLIN) == 0)
        return 0;
    err_errno(err, "worker process: cannot be given files");
    close(ends[0]);
    desk->watch.fd = -1;
    opener_desk_close(desk);
    return -1;
}

void
opener_desk_close(struct opener_desk *desk)
{
    int fd = desk->watch.fd;

    if (fd >= 0) {
        loop_unwatch(desk->loop, &desk->watch);
        close(fd);
    }
    if (desk->inotify_fd >= 0)
        close(desk->inotify_fd);
    desk->inotify_fd = -1;
}
