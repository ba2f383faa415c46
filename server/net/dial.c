/* SPDX-License-Identifier: BSD-2-Clause */
/* dial.c - resolves, judges, and races addresses (RFC 8305).
 *
 *   resolve --> judge and sort --> try --(pending)--> wait --> connected
 *                                   ^                  |
 *                                   '-(250 ms, failed)-'
 *
 * An attempt is a non-blocking connect() and, while that is pending, a watch
 * for output. Sockets that win are taken off the loop before they are handed
 * over: an edge-triggered registration reports what is true at its start, so
 * the receiver misses nothing.
 */
#include "config.h"

#include "server/net/dial.h"

#include "server/base/clock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <unistd.h>

/* RFC 8305 section 5: "Connection Attempt Delay". */
#define STAGGER_MS 250

/* How soon to try a unix socket again whose backlog is full: the kernel does
 * not tell when there is room. */
#define FULL_BACKLOG_MS 8

/* When connect_ms is 0: about as long as Linux itself tries. */
#define KERNEL_LIMIT_MS 131072

_Static_assert(sizeof(struct dial) <= 1024, "a dial is embedded: keep it small");

static uint64_t
now_us(void)
{
    return clock_monotonic_ns() / 1000;
}

/* ---- the end */

static void
close_attempts(struct dial *dial)
{
    for (unsigned i = 0; i < dial->next; i++) {
        struct watch *watch = &dial->attempts[i].watch;
        int fd = watch->fd;

        if (fd < 0)
            continue;
        loop_unwatch(dial->loop, watch);
        close(fd);
    }
    dial->next = dial->count = dial->pending = 0;
}

static void
release(struct dial *dial)
{
    resolve_cancel(&dial->resolve);
    timer_disarm(&dial->limit);
    timer_disarm(&dial->stagger);
    close_attempts(dial);
}

/* Before the first attempt, or after the last. */
static void
fail(struct dial *dial)
{
    struct dial_result result = {
        .status = dial->status,
        .error = dial->error,
        .dns_us = dial->dns_us,
        .was_cached = dial->was_cached,
        .is_stale = dial->is_stale,
        .detail = dial->detail,
    };

    if (dial->count > 0) {
        result.ip = dial->ips[dial->failed_index];
        result.connect_us = (uint32_t)(now_us() - dial->started_us);
    }
    release(dial);
    dial->on_done(dial, -1, &result);
}

static void
fail_early(struct dial *dial, enum dial_status status, const char *detail)
{
    dial->status = status;
    dial->detail = detail;
    fail(dial);
}

/* Next time begin with the family that won, if it was not the first. */
static void
remember_family(struct dial *dial, unsigned winner)
{
    uint8_t family = dial->ips[winner].family;

    if (dial->resolver != NULL && dial->target.address == NULL && family != dial->ips[0].family)
        resolver_prefer(dial->resolver, dial->target.host, family);
}

/* Attempt i is connected; fd is not watched any more. */
static void
succeed(struct dial *dial, unsigned i, int fd)
{
    struct dial_result result = {
        .status = DIAL_OK,
        .ip = dial->ips[i],
        .dns_us = dial->dns_us,
        .connect_us = (uint32_t)(now_us() - dial->started_us),
        .was_cached = dial->was_cached,
        .is_stale = dial->is_stale,
        .until_ms = dial->until_ms,
        .detail = dial_status_text(DIAL_OK),
    };

    remember_family(dial, i);
    release(dial);
    dial->on_done(dial, fd, &result);
}

/* ---- failures */

static enum dial_status
status_of(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOENT: /* no such unix socket */
        return DIAL_CONNECT_REFUSED;
    case ETIMEDOUT:
        return DIAL_CONNECT_TIMEOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EAFNOSUPPORT:
    case EACCES: /* a local firewall, or the mode of a unix socket */
    case EPERM:
        return DIAL_UNREACHABLE;
    default:
        return DIAL_FAILED;
    }
}

/* Keeps the most telling of the failures: that IPv6 has no route is no news
 * when IPv4 was refused. */
static void
note_failure(struct dial *dial, unsigned i, int error)
{
    enum dial_status status = status_of(error);

    if (dial->status >= status)
        return;
    dial->status = status;
    dial->error = error;
    dial->failed_index = (uint8_t)i;
    dial->detail = strerrordesc_np(error);
}

static bool
is_loopback(const struct ip *ip)
{
    static const uint8_t one[16] = { [15] = 1 };

    return ip->family == 4 ? ip->bytes[0] == 127
                           : ip->family == 6 && memcmp(ip->bytes, one, sizeof(one)) == 0;
}

/* Whether the socket is connected to itself: where nobody listens on a local
 * port, the kernel may choose that very port for us, and TCP calls this a
 * simultaneous open (RFC 9293 section 3.5). */
static bool
is_self(const struct ip *peer, int fd)
{
    struct address own;
    struct ip ip;

    if (!is_loopback(peer))
        return false;
    own.bytes = sizeof(own.to);
    if (getsockname(fd, &own.to.any, &own.bytes) < 0)
        return false;
    ip_from_sockaddr(&ip, &own.to.any);
    return ip_equal(peer, &ip);
}

/* ---- one attempt */

static int
bind_source(const struct dial *dial, int fd)
{
    const struct address *source = dial->target.source;
    int on = 1;

    if (source == NULL)
        return 0;
    /* Else a port is taken before the destination is known, and one source
     * address allows only as many connections as it has ports. */
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(fd, &source->to.any, source->bytes);
}

/* The new socket's descriptor and *to, or -1 with errno. */
static int
open_socket(const struct dial *dial, unsigned i, struct address *to)
{
    int fd, on = 1;

    if (dial->ips[i].family != 0)
        address_from_ip(to, &dial->ips[i]);
    else
        *to = *dial->target.address;
    fd = socket(to->to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || to->to.any.sa_family == AF_UNIX)
        return fd;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind_source(dial, fd) == 0)
        return fd;
    on = errno;
    close(fd);
    errno = on;
    return -1;
}

/* 0 when connected, else an errno. Loopback answers while connect() still
 * holds the socket, so that it says "in progress" of what is done when it
 * returns: asking once more spares the loop a turn and three system calls. */
static int
connect_socket(int fd, const struct address *to, bool is_local)
{
    int error = connect(fd, &to->to.any, to->bytes) == 0 ? 0 : errno;

    if (error == EINTR)
        error = EINPROGRESS;
    if (error != EINPROGRESS || !is_local)
        return error;
    error = connect(fd, &to->to.any, to->bytes) == 0 ? 0 : errno;
    if (error == EISCONN)
        return 0;
    return error == EALREADY || error == EINTR ? EINPROGRESS : error;
}

static void on_event(struct watch *watch, uint32_t events);

enum attempt { ATTEMPT_CONNECTED, ATTEMPT_PENDING, ATTEMPT_FAILED, ATTEMPT_LATER };

/* Connected: *fd is the caller's. */
static enum attempt
start_attempt(struct dial *dial, unsigned i, int *fd)
{
    struct dial_attempt *attempt = &dial->attempts[i];
    bool is_unix = dial->ips[i].family == 0;
    struct address to;
    int error;

    attempt->watch = (struct watch){ .fd = -1, .on_event = on_event };
    attempt->index = (uint8_t)i;
    *fd = open_socket(dial, i, &to);
    if (*fd < 0) {
        note_failure(dial, i, errno);
        return ATTEMPT_FAILED;
    }
    error = connect_socket(*fd, &to, is_loopback(&dial->ips[i]));
    if (error == 0 && is_self(&dial->ips[i], *fd))
        error = ECONNREFUSED;
    if (error == 0)
        return ATTEMPT_CONNECTED;
    if (error == EINPROGRESS) {
        attempt->watch.fd = *fd;
        if (loop_watch(dial->loop, &attempt->watch, EPOLLOUT) == 0) {
            dial->pending++;
            return ATTEMPT_PENDING;
        }
        error = errno;
        attempt->watch.fd = -1;
    }
    close(*fd);
    if (error == EAGAIN && is_unix)
        return ATTEMPT_LATER;
    note_failure(dial, i, error);
    return ATTEMPT_FAILED;
}

/* Starts attempts until one may succeed; ends the dial when none is left. */
static void
try_next(struct dial *dial)
{
    int fd;

    while (dial->next < dial->count) {
        unsigned i = dial->next++;

        switch (start_attempt(dial, i, &fd)) {
        case ATTEMPT_CONNECTED:
            succeed(dial, i, fd);
            return;
        case ATTEMPT_PENDING:
            if (dial->next < dial->count)
                timer_arm(dial->loop, &dial->stagger, STAGGER_MS);
            return;
        case ATTEMPT_LATER:
            dial->next--;
            timer_arm(dial->loop, &dial->stagger, FULL_BACKLOG_MS);
            return;
        case ATTEMPT_FAILED:
            break;
        }
    }
    if (dial->pending == 0)
        fail(dial);
}

static void
on_event(struct watch *watch, uint32_t events)
{
    struct dial_attempt *attempt = container_of(watch, struct dial_attempt, watch);
    unsigned i = attempt->index;
    struct dial *dial = container_of(attempt - i, struct dial, attempts[0]);
    int fd = watch->fd, error = 0;
    socklen_t bytes = sizeof(error);

    if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
        return;
    loop_unwatch(dial->loop, watch);
    dial->pending--;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0)
        error = errno;
    if (error == 0 && is_self(&dial->ips[i], fd))
        error = ECONNREFUSED;
    if (error == 0) {
        succeed(dial, i, fd);
        return;
    }
    close(fd);
    note_failure(dial, i, error);
    timer_disarm(&dial->stagger);
    try_next(dial);
}

static void
on_stagger(struct timer *timer)
{
    try_next(container_of(timer, struct dial, stagger));
}

/* Whatever failed before, it was this silence that took the time; the address
 * tried last is named. */
static void
on_limit(struct timer *timer)
{
    struct dial *dial = container_of(timer, struct dial, limit);

    dial->status = DIAL_CONNECT_TIMEOUT;
    dial->error = ETIMEDOUT;
    dial->detail = dial_status_text(DIAL_CONNECT_TIMEOUT);
    dial->failed_index = dial->next > 0 ? dial->next - 1 : 0;
    fail(dial);
}

/* ---- addresses */

static bool
may_connect(const struct dial *dial, const struct ip *ip)
{
    return dial->target.may_connect == NULL || dial->target.may_connect(ip, dial->target.arg);
}

/* Whether the source address, if one is asked for, can reach this family. */
static bool
suits_source(const struct dial *dial, const struct ip *ip)
{
    const struct address *source = dial->target.source;

    return source == NULL || (source->to.any.sa_family == AF_INET) == (ip->family == 4);
}

/* Writes the n-th address of the family to the place of its turn. */
static void
interleave(struct dial *dial, const struct ip *ips, unsigned count, uint8_t first_family)
{
    unsigned of_first = 0, taken[2] = { 0, 0 }, of[2];

    for (unsigned i = 0; i < count; i++)
        of_first += ips[i].family == first_family;
    of[0] = of_first;
    of[1] = count - of_first;
    for (unsigned i = 0; i < count; i++) {
        unsigned group = ips[i].family != first_family;
        unsigned mine = taken[group]++;
        /* as many of the other group come before as there are, up to mine
         * (the first family's) or one more (the second's) */
        unsigned others = mine + group < of[!group] ? mine + group : of[!group];

        dial->ips[mine + others] = ips[i];
    }
    dial->count = (uint8_t)count;
}

static uint8_t
first_family(const struct dial *dial, const struct resolve_answer *answer)
{
    if (answer->first_family != 0)
        return answer->first_family;
    return dial->target.is_ipv4_first ? 4 : 6;
}

static void
connect_any(struct dial *dial)
{
    uint32_t limit_ms = dial->target.connect_ms;

    dial->started_us = now_us();
    timer_arm(dial->loop, &dial->limit, limit_ms > 0 ? limit_ms : KERNEL_LIMIT_MS);
    try_next(dial);
}

/* Judges the addresses and connects what is left. */
static void
use_addresses(struct dial *dial, const struct resolve_answer *answer)
{
    struct ip ips[DIAL_ADDRESSES_MAX];
    unsigned count = 0, suiting = 0;

    for (unsigned i = 0; i < answer->count; i++) {
        struct ip ip = answer->ips[i];

        ip.port = dial->target.port;
        if (!suits_source(dial, &ip))
            continue;
        suiting++;
        if (may_connect(dial, &ip))
            ips[count++] = ip;
    }
    if (suiting == 0) {
        fail_early(dial, DIAL_UNREACHABLE, "no address of the source address's family");
    } else if (count == 0) {
        fail_early(dial, DIAL_REFUSED_BY_POLICY, dial_status_text(DIAL_REFUSED_BY_POLICY));
    } else {
        interleave(dial, ips, count, first_family(dial, answer));
        connect_any(dial);
    }
}

static void
use_answer(struct dial *dial, const struct resolve_answer *answer)
{
    dial->is_stale = answer->is_stale;
    dial->until_ms = answer->until_ms;
    switch (answer->status) {
    case RESOLVE_OK:
        use_addresses(dial, answer);
        return;
    case RESOLVE_NO_SUCH_HOST:
        fail_early(dial, DIAL_NO_SUCH_HOST, answer->detail);
        return;
    case RESOLVE_TIMEOUT:
        fail_early(dial, DIAL_DNS_TIMEOUT, answer->detail);
        return;
    case RESOLVE_FAILED:
        fail_early(dial, DIAL_DNS_ERROR, answer->detail);
        return;
    case RESOLVE_TOO_MANY:
        fail_early(dial, DIAL_FAILED, answer->detail);
        return;
    }
}

static void
on_resolved(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct dial *dial = container_of(resolve, struct dial, resolve);

    dial->dns_us = (uint32_t)(now_us() - dial->started_us);
    use_answer(dial, answer);
}

/* ---- from outside */

void
dial_init(struct dial *dial, void (*on_done)(struct dial *, int, const struct dial_result *))
{
    resolve_init(&dial->resolve, on_resolved);
    timer_init(&dial->limit, on_limit);
    timer_init(&dial->stagger, on_stagger);
    dial->on_done = on_done;
    dial->next = dial->count = dial->pending = 0;
}

static void
use_known_address(struct dial *dial)
{
    const struct address *address = dial->target.address;

    ip_from_sockaddr(&dial->ips[0], &address->to.any);
    dial->was_cached = true;
    if (dial->ips[0].family != 0 && !may_connect(dial, &dial->ips[0])) {
        fail_early(dial, DIAL_REFUSED_BY_POLICY, dial_status_text(DIAL_REFUSED_BY_POLICY));
        return;
    }
    dial->count = 1;
    connect_any(dial);
}

void
dial_start(struct dial *dial, struct resolver *resolver, struct loop *loop,
           const struct dial_target *target)
{
    struct resolve_answer answer;

    dial->resolver = resolver;
    dial->loop = loop;
    dial->target = *target;
    dial->status = DIAL_OK;
    dial->error = 0;
    dial->dns_us = 0;
    dial->failed_index = 0;
    dial->is_stale = dial->was_cached = false;
    dial->until_ms = UINT64_MAX;
    if (target->address != NULL) {
        use_known_address(dial);
        return;
    }
    dial->started_us = now_us();
    if (!resolve_start(resolver, &dial->resolve, target->host, &answer))
        return;
    dial->was_cached = true;
    use_answer(dial, &answer);
}

void
dial_cancel(struct dial *dial)
{
    release(dial);
}

const char *
dial_status_text(enum dial_status status)
{
    switch (status) {
    case DIAL_OK:
        return "connected";
    case DIAL_NO_SUCH_HOST:
        return "no such host";
    case DIAL_DNS_TIMEOUT:
        return "name servers do not answer";
    case DIAL_DNS_ERROR:
        return "name servers cannot tell";
    case DIAL_REFUSED_BY_POLICY:
        return "none of its addresses may be connected to from here";
    case DIAL_FAILED:
        return "no resources to connect";
    case DIAL_UNREACHABLE:
        return "unreachable";
    case DIAL_CONNECT_TIMEOUT:
        return "no answer to the connection request";
    case DIAL_CONNECT_REFUSED:
        return "connection refused";
    }
    return "unknown";
}
