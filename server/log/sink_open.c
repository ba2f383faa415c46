/* SPDX-License-Identifier: BSD-2-Clause */
/* sink_open.c - from what an operator writes to a descriptor. */
#include "config.h"

#include "server/log/sink_open.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/log/sink.h"

/* ---- identities */

static bool
has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

int
log_sink_identify(char identity[SINK_IDENTITY_BYTES], const char *text, struct err *err)
{
    const char *prefix = text[0] == '/' ? "file:" : "";
    const char *name = strcmp(text, "syslog") == 0 ? "syslog:" : text;
    bool is_known = text[0] == '/' || has_prefix(name, "file:/") || strcmp(name, "stdout") == 0 ||
                    strcmp(name, "stderr") == 0 || strcmp(name, "syslog:") == 0 ||
                    has_prefix(name, "syslog:/") || has_prefix(name, "syslog:udp:");

    if (!is_known)
        return err_set(err, "log to \"%s\": use an absolute path, stdout, stderr, syslog, "
                       "syslog:/PATH or syslog:udp:HOST:PORT", text);
    if (snprintf(identity, SINK_IDENTITY_BYTES, "%s%s", prefix, name) >= SINK_IDENTITY_BYTES)
        return err_set(err, "log to \"%.40s...\": longer than %d bytes", text,
                       SINK_IDENTITY_BYTES - 6);
    return 0;
}

const char *
log_sink_path(const char *identity)
{
    return has_prefix(identity, "file:") ? identity + 5 : NULL;
}

/* ---- opening */

int
log_file_open(const char *path, struct err *err)
{
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = open(path, flags, 0640);
    struct stat st;

    if (fd < 0 && errno == ELOOP)
        return err_set(err, "log file \"%s\" is a symbolic link, which is not followed: "
                       "name the file itself", path);
    if (fd < 0)
        return err_errno(err, "cannot open log file \"%s\"", path);
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) &&
        !S_ISCHR(st.st_mode)) {
        close(fd);
        return err_set(err, "log file \"%s\" is neither a file nor a FIFO", path);
    }
    return fd;
}

/* The standard streams are shared with whoever started us, so O_NONBLOCK must
 * not be set on them; pipes and terminals can be opened anew instead. */
static int
open_standard(int standard, struct err *err)
{
    char path[32];
    struct stat st;
    int fd = -1;

    if (fstat(standard, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", standard);
        fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    if (fd < 0)
        fd = fcntl(standard, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return err_errno(err, "cannot log to \"%s\"",
                         standard == STDOUT_FILENO ? "stdout" : "stderr");
    return fd;
}

int
sink_connect_unix(const struct sockaddr_un *to)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int
open_unix(const struct sockaddr_un *to, struct err *err)
{
    int fd = sink_connect_unix(to);

    if (fd < 0)
        return err_errno(err, "syslog socket \"%s\"", to->sun_path);
    return fd;
}

static int
connect_any(const struct addrinfo *list)
{
    for (; list != NULL; list = list->ai_next) {
        int fd = socket(list->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0)
            continue;
        if (connect(fd, list->ai_addr, list->ai_addrlen) == 0)
            return fd;
        close(fd);
    }
    return -1;
}

/* HOST:PORT, the host perhaps a literal IPv6 address in brackets. */
static int
open_udp(const char *text, struct err *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *found;
    char host[256];
    const char *colon = strrchr(text, ':');
    size_t bytes = colon != NULL ? (size_t)(colon - text) : 0;
    int fd, failure;

    if (bytes > 1 && text[0] == '[' && text[bytes - 1] == ']') {
        text++;
        bytes -= 2;
    }
    if (bytes == 0 || bytes >= sizeof(host) || colon[1] == '\0')
        return err_set(err, "syslog over UDP to \"%s\": write HOST:PORT", text);
    memcpy(host, text, bytes);
    host[bytes] = '\0';
    failure = getaddrinfo(host, colon + 1, &hints, &found);
    if (failure != 0)
        return err_set(err, "syslog over UDP to \"%s\": %s", text, gai_strerror(failure));
    fd = connect_any(found);
    freeaddrinfo(found);
    if (fd < 0)
        return err_errno(err, "syslog over UDP to \"%s\"", text);
    return fd;
}

int
sink_unix_address(struct sockaddr_un *to, const char *identity, struct err *err)
{
    const char *path = identity + strlen("syslog:");

    *to = (struct sockaddr_un){ .sun_family = AF_UNSPEC };
    if (!has_prefix(identity, "syslog:") || (*path != '/' && *path != '\0'))
        return 0;
    if (*path == '\0')
        path = "/dev/log";
    if (strlen(path) >= sizeof(to->sun_path))
        return err_set(err, "syslog socket \"%s\": longer than %zu bytes", path,
                       sizeof(to->sun_path) - 1);
    to->sun_family = AF_UNIX;
    strcpy(to->sun_path, path);
    return 0;
}

int
sink_descriptor_open(const char *identity, struct err *err)
{
    const char *path = log_sink_path(identity);
    struct sockaddr_un to;

    if (path != NULL)
        return log_file_open(path, err);
    if (strcmp(identity, "stdout") == 0)
        return open_standard(STDOUT_FILENO, err);
    if (strcmp(identity, "stderr") == 0)
        return open_standard(STDERR_FILENO, err);
    if (has_prefix(identity, "syslog:udp:"))
        return open_udp(identity + strlen("syslog:udp:"), err);
    if (sink_unix_address(&to, identity, err) < 0)
        return -1;
    if (to.sun_family == AF_UNIX)
        return open_unix(&to, err);
    return err_set(err, "log to \"%s\": no such kind of log", identity);
}
