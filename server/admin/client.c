/* SPDX-License-Identifier: BSD-2-Clause */
/* client.c - asks a daemon, blocking. */
#include "config.h"

#include "server/admin/client.h"

#include "server/base/slice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int
connect_to(const char *path, unsigned wait_s, struct err *err)
{
    struct timeval patience = { .tv_sec = wait_s };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(address.sun_path))
        return err_set(err, "%s: too long for the path of a socket", path);
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(err, "%s", path);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    if (errno == ENOENT || errno == ECONNREFUSED)
        err_set(err, "no daemon answers at %s: is it running?", path);
    else
        err_errno(err, "%s", path);
    close(fd);
    return -1;
}

static int
read_all(int fd, FILE *into)
{
    char buffer[16384];
    ssize_t got;

    while ((got = recv(fd, buffer, sizeof(buffer), 0)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        fwrite(buffer, 1, (size_t)got, into);
    }
    return 0;
}

/* Takes the first line, "ok" or "failed", off the text. */
static int
take_status(struct control_reply *reply)
{
    char *end = memchr(reply->text, '\n', reply->bytes);
    struct slice line = slice_make(reply->text, end != NULL ? (size_t)(end - reply->text) : 0);

    reply->is_ok = slice_equal(line, SLICE("ok"));
    if (!reply->is_ok && !slice_equal(line, SLICE("failed")))
        return -1;
    reply->bytes -= line.bytes + 1;
    memmove(reply->text, end + 1, reply->bytes + 1);
    return 0;
}

static int
exchange(int fd, const char *path, const char *request, struct control_reply *reply,
         struct err *err)
{
    FILE *into = open_memstream(&reply->text, &reply->bytes);
    int failed;

    if (into == NULL)
        return err_errno(err, "%s", path);
    failed = dprintf(fd, "%s\n", request) < 0 || read_all(fd, into) < 0;
    if (fclose(into) != 0)
        return err_set(err, "%s: out of memory", path);
    if (failed && (errno == EAGAIN || errno == EWOULDBLOCK))
        return err_set(err, "the daemon at %s does not answer", path);
    if (failed || take_status(reply) < 0)
        return err_set(err, "the daemon at %s ended before it had answered", path);
    return 0;
}

int
control_ask(const char *path, const char *request, unsigned wait_s, struct control_reply *reply,
            struct err *err)
{
    int fd = connect_to(path, wait_s, err);
    int result;

    *reply = (struct control_reply){ .text = NULL };
    if (fd < 0)
        return -1;
    result = exchange(fd, path, request, reply, err);
    close(fd);
    if (result < 0) {
        free(reply->text);
        reply->text = NULL;
    }
    return result;
}
