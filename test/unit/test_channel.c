/* SPDX-License-Identifier: BSD-2-Clause */
/* test_channel.c - messages between supervisor and worker process. */
#include "config.h"

#include "server/channel.h"

#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int ends[2];

static void
open_ends(void)
{
    CU_ASSERT_EQUAL_FATAL(channel_open(ends, NULL), 0);
}

static void
close_ends(void)
{
    close(ends[0]);
    close(ends[1]);
}

static bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static bool
is_same_file(int a, int b)
{
    struct stat first, second;

    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_ino == second.st_ino &&
           first.st_dev == second.st_dev;
}

/* The lowest free descriptor: the same before and after when nothing leaks. */
static int
next_fd(void)
{
    int fd = dup(ends[0]);

    close(fd);
    return fd;
}

static void
a_message_arrives_as_it_was_sent(void)
{
    struct channel_message message;

    open_ends();
    CU_ASSERT_EQUAL(channel_send(ends[0], CHANNEL_REFUSED, 77, "line 3: no", NULL, 0), 0);
    CU_ASSERT_EQUAL(channel_receive(ends[1], &message), CHANNEL_GOT);
    CU_ASSERT_EQUAL(message.kind, CHANNEL_REFUSED);
    CU_ASSERT_EQUAL(message.number, 77);
    CU_ASSERT_STRING_EQUAL(message.text, "line 3: no");
    CU_ASSERT_EQUAL(message.fd_count, 0);
    CU_ASSERT_EQUAL(channel_receive(ends[1], &message), CHANNEL_WAIT);
    close_ends();
}

static void
messages_keep_their_order_and_borders(void)
{
    struct channel_message message;

    open_ends();
    for (uint64_t i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(channel_send(ends[0], CHANNEL_READY, i, i % 2 ? "odd" : NULL, NULL, 0), 0);
    for (uint64_t i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(channel_receive(ends[1], &message), CHANNEL_GOT);
        CU_ASSERT_EQUAL(message.number, i);
        CU_ASSERT_STRING_EQUAL(message.text, i % 2 ? "odd" : "");
    }
    close_ends();
}

static void
descriptors_come_along_and_close_on_exec(void)
{
    struct channel_message message;
    int fds[CHANNEL_FDS_MAX];

    open_ends();
    for (unsigned i = 0; i < CHANNEL_FDS_MAX; i++)
        fds[i] = ends[0];
    CU_ASSERT_EQUAL(
        channel_send(ends[0], CHANNEL_LISTENER, 1, "*:80", fds, CHANNEL_FDS_MAX), 0);
    CU_ASSERT_EQUAL(channel_receive(ends[1], &message), CHANNEL_GOT);
    CU_ASSERT_EQUAL_FATAL(message.fd_count, CHANNEL_FDS_MAX);
    for (unsigned i = 0; i < CHANNEL_FDS_MAX; i++) {
        CU_ASSERT_TRUE(is_same_file(message.fds[i], ends[0]));
        CU_ASSERT_EQUAL(fcntl(message.fds[i], F_GETFD), FD_CLOEXEC);
    }
    channel_close_fds(&message, 1);
    CU_ASSERT_EQUAL(message.fd_count, 1);
    CU_ASSERT_TRUE(is_open(message.fds[0]));
    CU_ASSERT_FALSE(is_open(message.fds[1]));
    channel_close_fds(&message, 0);
    close_ends();
}

static void
a_long_text_is_cut_and_ends_with_nul(void)
{
    struct channel_message message;
    char *text = calloc(1, 2 * CHANNEL_TEXT_MAX);

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'x', 2 * CHANNEL_TEXT_MAX - 1);
    open_ends();
    CU_ASSERT_EQUAL(channel_send(ends[0], CHANNEL_FAILED, 1, text, NULL, 0), 0);
    CU_ASSERT_EQUAL(channel_receive(ends[1], &message), CHANNEL_GOT);
    CU_ASSERT_EQUAL(strlen(message.text), CHANNEL_TEXT_MAX);
    close_ends();
    free(text);
}

static void
the_end_of_the_peer_is_noticed_after_its_last_message(void)
{
    struct channel_message message;

    open_ends();
    CU_ASSERT_EQUAL(channel_send(ends[0], CHANNEL_FAILED, 1, "bye", NULL, 0), 0);
    close(ends[0]);
    CU_ASSERT_EQUAL(channel_receive(ends[1], &message), CHANNEL_GOT);
    CU_ASSERT_EQUAL(channel_receive(ends[1], &message), CHANNEL_ENDED);
    CU_ASSERT_EQUAL(channel_send(ends[1], CHANNEL_STOP, 0, NULL, NULL, 0), -1);
    close(ends[1]);
}

/* Sends bytes of a stranger's making, with a descriptor. */
static void
send_raw(const void *bytes, size_t count)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { .room = { 0 } };
    struct iovec iov = { (void *)bytes, count };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
                              .msg_controllen = sizeof(control.room) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &ends[0], sizeof(int));
    CU_ASSERT_EQUAL(sendmsg(ends[0], &message, 0), (ssize_t)count);
}

/* What is no message of ours is refused, and its descriptors are not kept. */
static void
a_malformed_message_is_refused_without_a_leak(void)
{
    struct channel_message message;
    char huge[CHANNEL_TEXT_MAX + 64];
    uint32_t words[4] = { 0, 0, 0, 0 };
    int fd;

    open_ends();
    fd = next_fd();
    send_raw("x", 1);
    CU_ASSERT_EQUAL(channel_receive(ends[1], &message), CHANNEL_BROKEN);
    send_raw(words, sizeof(words)); /* no version */
    CU_ASSERT_EQUAL(channel_receive(ends[1], &message), CHANNEL_BROKEN);

    CU_ASSERT_EQUAL(channel_send(ends[0], CHANNEL_READY, 1, NULL, NULL, 0), 0);
    CU_ASSERT_EQUAL(recv(ends[1], words, sizeof(words), 0), (ssize_t)sizeof(words));
    words[1] = CHANNEL_KIND_COUNT;
    send_raw(words, sizeof(words)); /* the right version, an unknown kind */
    CU_ASSERT_EQUAL(channel_receive(ends[1], &message), CHANNEL_BROKEN);

    words[1] = CHANNEL_READY;
    memset(huge, 'x', sizeof(huge));
    memcpy(huge, words, sizeof(words));
    send_raw(huge, sizeof(huge)); /* more text than there is room */
    CU_ASSERT_EQUAL(channel_receive(ends[1], &message), CHANNEL_BROKEN);
    CU_ASSERT_EQUAL(next_fd(), fd);
    close_ends();
}

void
suite_channel(void)
{
    CU_pSuite s = CU_add_suite("channel", NULL, NULL);

    CU_add_test(s, "a message arrives as it was sent", a_message_arrives_as_it_was_sent);
    CU_add_test(s, "messages keep their order and borders", messages_keep_their_order_and_borders);
    CU_add_test(s, "descriptors come along and close on exec",
                descriptors_come_along_and_close_on_exec);
    CU_add_test(s, "a long text is cut and ends with NUL", a_long_text_is_cut_and_ends_with_nul);
    CU_add_test(s, "the end of the peer is noticed after its last message",
                the_end_of_the_peer_is_noticed_after_its_last_message);
    CU_add_test(s, "a malformed message is refused without a leak",
                a_malformed_message_is_refused_without_a_leak);
}
