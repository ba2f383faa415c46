/* SPDX-License-Identifier: BSD-2-Clause */
/* sd_notify.c - the notification datagram and LISTEN_FDS, as sd_notify(3) and
 * sd_listen_fds(3) describe them.
 */
#include "config.h"

#include "server/sd_notify.h"

#include "server/base/slice.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD 3
#define FDS_MAX 256

static struct sockaddr_un notify_to;
static socklen_t notify_bytes; /* 0: nobody listens */
static int listen_fds[FDS_MAX];
static unsigned listen_count;

static void
find_notify_socket(void)
{
    const char *path = getenv("NOTIFY_SOCKET");

    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof(notify_to.sun_path))
        return;
    notify_to.sun_family = AF_UNIX;
    memcpy(notify_to.sun_path, path, strlen(path) + 1);
    notify_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@') /* in the abstract name space */
        notify_to.sun_path[0] = '\0';
}

/* A number in the environment; 0 when it is not there or no number. */
static uint64_t
number_of(const char *name, uint64_t max)
{
    const char *text = getenv(name);
    uint64_t value = 0;

    if (text == NULL || !slice_to_u64(slice_of(text), max, &value))
        return 0;
    return value;
}

static void
find_listen_fds(void)
{
    unsigned count = (unsigned)number_of("LISTEN_FDS", FDS_MAX);

    if (number_of("LISTEN_PID", INT32_MAX) != (uint64_t)getpid())
        return;
    for (unsigned i = 0; i < count; i++) {
        int fd = FIRST_FD + (int)i;

        if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
            listen_fds[listen_count++] = fd;
    }
}

void
sd_init(void)
{
    find_notify_socket();
    find_listen_fds();
    unsetenv("NOTIFY_SOCKET");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
}

void
sd_notify(const char *format, ...)
{
    char text[1024];
    va_list args;
    int fd;

    if (notify_bytes == 0)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                  (const struct sockaddr *)&notify_to, notify_bytes);
    close(fd);
}

unsigned
sd_listen_fds(const int **fds)
{
    *fds = listen_fds;
    return listen_count;
}
