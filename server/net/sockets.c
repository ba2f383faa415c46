/* SPDX-License-Identifier: BSD-2-Clause */
/* sockets.c - binds addresses and keeps what is bound together.
 *
 * SO_REUSEPORT lets any process of the same user join an address without a
 * word. To notice a second Bascule, a new address is first bound without it.
 */
#include "config.h"

#include "server/net/sockets.h"

#include "server/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIX_MODE 0660 /* owner and group may connect */

/* ---- the object */

static uint16_t
port_of(const struct address *address)
{
    switch (address->to.any.sa_family) {
    case AF_INET:
        return ntohs(address->to.in.sin_port);
    case AF_INET6:
        return ntohs(address->to.in6.sin6_port);
    }
    return 0;
}

const char *
sockets_key(char key[SOCKETS_KEY_BYTES], const struct listener_conf *conf, size_t index)
{
    const struct address *address = &conf->listen.items[index];
    char text[ADDRESS_TEXT_BYTES];

    address_text(address, text);
    if (address->to.any.sa_family == AF_UNIX || port_of(address) != 0)
        snprintf(key, SOCKETS_KEY_BYTES, "%s", text);
    else /* the kernel chooses: nobody else can mean the same address */
        snprintf(key, SOCKETS_KEY_BYTES, "%s number %zu of %s", text, index, conf->name);
    return key;
}

struct sockets *
sockets_new(const char *key)
{
    static uint64_t serial;
    struct sockets *sockets = calloc(1, sizeof(*sockets));

    if (sockets == NULL)
        return NULL;
    list_init(&sockets->link);
    snprintf(sockets->key, sizeof(sockets->key), "%s", key);
    sockets->serial = ++serial;
    return sockets;
}

static void
close_from(struct sockets *sockets, unsigned keep)
{
    while (sockets->count > keep)
        close(sockets->fds[--sockets->count]);
}

void
sockets_free(struct sockets *sockets)
{
    if (sockets == NULL)
        return;
    list_remove(&sockets->link);
    close_from(sockets, 0);
    free(sockets);
}

struct sockets *
sockets_find(struct list *all, const char *key)
{
    list_each(link, all) {
        struct sockets *sockets = container_of(link, struct sockets, link);

        if (strcmp(sockets->key, key) == 0)
            return sockets;
    }
    return NULL;
}

/* ---- TCP */

static bool
is_any_address(const struct address *address)
{
    return address->to.any.sa_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&address->to.in6.sin6_addr);
}

/* Accepted sockets inherit TCP_NODELAY, which saves a call for each. */
static int
set_options(int fd, const struct address *address, bool is_alone)
{
    int on = 1, v6_only = !is_any_address(address);

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        return -1;
    if (!is_alone && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
        return -1;
    if (address->to.any.sa_family == AF_INET6)
        return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
    return 0;
}

/* A bound socket, or -1 with errno. */
static int
bind_tcp(const struct address *address, bool is_alone)
{
    int fd = socket(address->to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return -1;
    if (set_options(fd, address, is_alone) == 0 && bind(fd, &address->to.any, address->bytes) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Fails when somebody listens there already. */
static int
check_free(const struct address *address)
{
    int fd = bind_tcp(address, true);

    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

/* Where IPv6 is switched off, "any address" is any IPv4 address. */
static void
use_ipv4(struct address *address)
{
    struct ip ip = { .family = 4, .port = port_of(address) };

    address_from_ip(address, &ip);
}

static bool
lacks_ipv6(int error)
{
    return error == EAFNOSUPPORT || error == EADDRNOTAVAIL;
}

static int
add_tcp(struct sockets *sockets, struct address *address)
{
    int fd = bind_tcp(address, false);

    if (fd < 0 && lacks_ipv6(errno) && is_any_address(address)) {
        use_ipv4(address);
        fd = bind_tcp(address, false);
    }
    if (fd < 0)
        return -1;
    sockets->fds[sockets->count++] = fd;
    /* The others join the port that the kernel may have chosen. */
    address->bytes = sizeof(address->to);
    return getsockname(fd, &address->to.any, &address->bytes);
}

static int
listen_on_all(const struct sockets *sockets, int backlog)
{
    for (unsigned i = 0; i < sockets->count; i++)
        if (listen(sockets->fds[i], backlog) < 0)
            return -1;
    return 0;
}

static int
open_tcp(struct sockets *sockets, struct address *address, int backlog, unsigned count,
         bool is_alone)
{
    if (is_alone && port_of(address) != 0 && check_free(address) < 0 && !lacks_ipv6(errno))
        return -1;
    while (sockets->count < count)
        if (add_tcp(sockets, address) < 0)
            return -1;
    if (listen_on_all(sockets, backlog) < 0)
        return -1;
    sockets->address = *address;
    return 0;
}

/* ---- unix sockets */

/* A socket that refuses connections was left behind by a process that died. */
static bool
is_stale(const struct address *address)
{
    struct stat st;
    int fd, failed;

    if (lstat(address->to.un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    failed = connect(fd, &address->to.any, address->bytes) < 0 && errno == ECONNREFUSED;
    close(fd);
    return failed;
}

static int
bind_unix(int fd, const struct address *address, mode_t mode, const struct socket_owner *owner)
{
    const char *path = address->to.un.sun_path;
    mode_t old_mask = umask(0777 & ~mode); /* never open wider than asked for */
    int failed = bind(fd, &address->to.any, address->bytes);

    umask(old_mask);
    if (failed < 0)
        return -1;
    if (owner->uid != (uid_t)-1 || owner->gid != (gid_t)-1)
        return lchown(path, owner->uid, owner->gid);
    return 0;
}

int
socket_open_unix(const struct address *address, int backlog, mode_t mode,
                 const struct socket_owner *owner, struct err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_errno(err, "cannot listen on unix:%s", address->to.un.sun_path);
    if (is_stale(address))
        unlink(address->to.un.sun_path);
    if (bind_unix(fd, address, mode, owner) == 0 && listen(fd, backlog) == 0)
        return fd;
    err_errno(err, "cannot listen on unix:%s", address->to.un.sun_path);
    close(fd);
    return -1;
}

static int
open_unix(struct sockets *sockets, const struct address *address, int backlog,
          const struct socket_owner *owner, struct err *err)
{
    if (sockets->count == 0) {
        sockets->fds[0] = socket_open_unix(address, backlog, UNIX_MODE, owner, err);
        if (sockets->fds[0] < 0)
            return -1;
        sockets->count = 1;
        sockets->is_shared = true;
        sockets->address = *address;
    }
    if (listen_on_all(sockets, backlog) < 0)
        return err_errno(err, "cannot listen on %s", sockets->key);
    return 0;
}

/* ---- either */

/* What the message of errno leaves out. */
static const char *
explanation(int error)
{
    if (error == EACCES)
        return ", a port for root and who has CAP_NET_BIND_SERVICE";
    return error == EADDRNOTAVAIL ? ", which is no address of this machine" : "";
}

int
sockets_open(struct sockets *sockets, const struct address *address, int64_t backlog,
             unsigned count, bool is_alone, const struct socket_owner *owner, struct err *err)
{
    struct address copy = sockets->count > 0 ? sockets->address : *address;
    char text[ADDRESS_TEXT_BYTES];
    unsigned had = sockets->count;

    if (address->to.any.sa_family == AF_UNIX)
        return open_unix(sockets, address, (int)backlog, owner, err);
    if (sockets->is_shared)
        count = had;
    if (count > WORKERS_MAX)
        count = WORKERS_MAX;
    if (open_tcp(sockets, &copy, (int)backlog, count, is_alone && had == 0) == 0)
        return 0;
    err_errno(err, "cannot listen on %s%s", address_text(address, text), explanation(errno));
    close_from(sockets, had);
    return -1;
}

static bool
ask(int fd, int level, int option, int *value)
{
    socklen_t bytes = sizeof(*value);

    return getsockopt(fd, level, option, value, &bytes) == 0;
}

static int
take_one(struct sockets *sockets, int fd)
{
    int listens = 0, reuses_port = 0, on = 1;

    sockets->address.bytes = sizeof(sockets->address.to);
    if (!ask(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens) || !listens ||
        getsockname(fd, &sockets->address.to.any, &sockets->address.bytes) < 0)
        return -1;
    if (sockets->count == WORKERS_MAX) {
        close(fd);
        return 0;
    }
    /* systemd may not have done this. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        return -1;
    if (sockets->address.to.any.sa_family == AF_UNIX ||
        !ask(fd, SOL_SOCKET, SO_REUSEPORT, &reuses_port) || !reuses_port)
        sockets->is_shared = true;
    sockets->fds[sockets->count++] = fd;
    return 0;
}

int
sockets_take(struct sockets *sockets, const int *fds, unsigned count, struct err *err)
{
    for (unsigned i = 0; i < count; i++) {
        if (take_one(sockets, fds[i]) == 0)
            continue;
        for (; i < count; i++)
            close(fds[i]);
        return err_set(err, "%s: not a listening socket", sockets->key);
    }
    return 0;
}

bool
socket_listens_at(int fd, const struct address *address)
{
    struct address found = { .bytes = sizeof(found.to) };
    int listens = 0;

    return ask(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens) && listens &&
           getsockname(fd, &found.to.any, &found.bytes) == 0 &&
           (found.to.any.sa_family == AF_INET || found.to.any.sa_family == AF_INET6 ||
            found.to.any.sa_family == AF_UNIX) &&
           address_equal(&found, address);
}

void
sockets_unlink(const struct sockets *sockets)
{
    if (sockets->address.to.any.sa_family == AF_UNIX && !sockets->is_foreign)
        unlink(sockets->address.to.un.sun_path);
}
