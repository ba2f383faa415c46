/* SPDX-License-Identifier: BSD-2-Clause */
/* channel.c - messages with descriptors over a SOCK_SEQPACKET pair.
 *
 * Every bound is checked on arrival, and no descriptor that came with a message
 * that is refused stays open.
 */
#include "config.h"

#include "server/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define CHANNEL_VERSION 0x42415331u /* "BAS1" */
#define SEND_SECONDS 10
#define FULL_PAUSE_MS 10

struct head {
    uint32_t version;
    uint32_t kind;
    uint64_t number;
};

union fd_control {
    struct cmsghdr align;
    char room[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
};

int
channel_open(int ends[2], struct err *err)
{
    struct timeval patience = { .tv_sec = SEND_SECONDS };

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return err_errno(err, "socket pair for the worker process");
    for (int i = 0; i < 2; i++)
        setsockopt(ends[i], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return 0;
}

static void
attach_fds(struct msghdr *message, union fd_control *control, const int *fds, unsigned count)
{
    struct cmsghdr *c;

    if (count == 0)
        return;
    memset(control, 0, sizeof(*control));
    message->msg_control = control->room;
    message->msg_controllen = CMSG_SPACE(count * sizeof(int));
    c = CMSG_FIRSTHDR(message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
}

int
channel_send(int fd, enum channel_kind kind, uint64_t number, const char *text, const int *fds,
             unsigned fd_count)
{
    struct head head = { .version = CHANNEL_VERSION, .kind = kind, .number = number };
    struct iovec iov[2] = { { &head, sizeof(head) }, { (void *)(text != NULL ? text : ""), 0 } };
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
    union fd_control control;

    must(fd_count <= CHANNEL_FDS_MAX);
    iov[1].iov_len = text != NULL ? strnlen(text, CHANNEL_TEXT_MAX) : 0;
    attach_fds(&message, &control, fds, fd_count);
    for (int tries = 0; sendmsg(fd, &message, MSG_NOSIGNAL) < 0; tries++) {
        /* ETOOMANYREFS: the peer has to take descriptors off the queue first. */
        if (errno == ETOOMANYREFS && tries < SEND_SECONDS * 1000 / FULL_PAUSE_MS)
            poll(NULL, 0, FULL_PAUSE_MS);
        else if (errno != EINTR)
            return -1;
    }
    return 0;
}

/* Collects what descriptors came, whatever else may be wrong. False when some
 * were lost on the way. */
static bool
take_fds(struct msghdr *message, struct channel_message *into)
{
    into->fd_count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        size_t count;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        must(into->fd_count + count <= CHANNEL_FDS_MAX); /* the room given for them */
        memcpy(into->fds + into->fd_count, CMSG_DATA(c), count * sizeof(int));
        into->fd_count += (unsigned)count;
    }
    return (message->msg_flags & MSG_CTRUNC) == 0;
}

enum channel_result
channel_receive(int fd, struct channel_message *message)
{
    struct head head;
    struct iovec iov[2] = { { &head, sizeof(head) }, { message->text, CHANNEL_TEXT_MAX } };
    union fd_control control;
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = control.room,
                          .msg_controllen = sizeof(control.room) };
    bool is_good;
    ssize_t got;

    do {
        got = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? CHANNEL_WAIT : CHANNEL_ENDED;
    if (got == 0)
        return CHANNEL_ENDED;
    is_good = take_fds(&msg, message);
    if (!is_good || (msg.msg_flags & MSG_TRUNC) || (size_t)got < sizeof(head) ||
        head.version != CHANNEL_VERSION || head.kind == 0 || head.kind >= CHANNEL_KIND_COUNT) {
        channel_close_fds(message, 0);
        return CHANNEL_BROKEN;
    }
    message->kind = (enum channel_kind)head.kind;
    message->number = head.number;
    message->text[(size_t)got - sizeof(head)] = '\0';
    return CHANNEL_GOT;
}

void
channel_close_fds(struct channel_message *message, unsigned keep)
{
    for (unsigned i = keep; i < message->fd_count; i++)
        close(message->fds[i]);
    if (message->fd_count > keep)
        message->fd_count = keep;
}
