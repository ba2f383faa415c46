/* SPDX-License-Identifier: BSD-2-Clause */
/* dns.c - drives a c-ares channel from our loop.
 *
 * c-ares says which descriptors it wants watched (level-triggered: it does not
 * promise to read until EAGAIN) and keeps its own time. Asking it for its next
 * deadline walks every open query, so while any is open it is simply called
 * every TICK_MS; an idle channel costs nothing.
 *
 * c-ares finds and checks answers (id, question, server, truncation) and reads
 * addresses; the time that a "no" may be kept is read here, as it has no
 * function for that.
 */
#include "config.h"

#include "server/net/dns.h"

#include "server/base/log.h"

#include <ares.h>
#include <pthread.h>
#include <stdlib.h>

#define TICK_MS 64

/* RFC 1035 sections 3.2 and 4.1.1. */
#define CLASS_IN 1
#define TYPE_A 1
#define TYPE_SOA 6
#define TYPE_AAAA 28
#define HEADER_BYTES 12
#define SOA_MIN_BYTES 22 /* two names of a byte each, five numbers */

struct dns {
    ares_channel channel;
    struct loop *loop;
    struct timer tick;
    struct list sockets;
    unsigned open_count; /* queries without an answer */
};

/* A descriptor of the channel. */
struct dns_socket {
    struct watch watch;
    struct dns *dns;
    struct list link;
    struct grave grave;
};

/* ---- time and descriptors */

static void
keep_ticking(struct dns *dns)
{
    if (dns->open_count > 0 && !timer_is_armed(&dns->tick))
        timer_arm(dns->loop, &dns->tick, TICK_MS);
}

static void
on_tick(struct timer *timer)
{
    struct dns *dns = container_of(timer, struct dns, tick);

    ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    keep_ticking(dns);
}

static void
on_event(struct watch *watch, uint32_t events)
{
    struct dns_socket *socket = container_of(watch, struct dns_socket, watch);
    int fd = watch->fd;
    bool is_bad = events & (EPOLLHUP | EPOLLERR);

    ares_process_fd(socket->dns->channel, events & EPOLLIN || is_bad ? fd : ARES_SOCKET_BAD,
                    events & EPOLLOUT || is_bad ? fd : ARES_SOCKET_BAD);
}

static struct dns_socket *
find_socket(struct dns *dns, int fd)
{
    list_each(link, &dns->sockets) {
        struct dns_socket *socket = container_of(link, struct dns_socket, link);

        if (socket->watch.fd == fd)
            return socket;
    }
    return NULL;
}

static void
forget_socket(struct dns_socket *socket)
{
    list_remove(&socket->link);
    loop_unwatch(socket->dns->loop, &socket->watch);
    loop_free(socket->dns->loop, &socket->grave, free, socket);
}

/* An unwatched descriptor only makes its queries time out. */
static void
add_socket(struct dns *dns, int fd, uint32_t events)
{
    struct dns_socket *socket = calloc(1, sizeof(*socket));

    if (socket == NULL)
        return;
    socket->watch = (struct watch){ .fd = fd, .on_event = on_event };
    socket->dns = dns;
    list_init(&socket->grave.link);
    if (loop_watch(dns->loop, &socket->watch, events) < 0) {
        free(socket);
        return;
    }
    list_push_back(&dns->sockets, &socket->link);
}

/* c-ares wants to read, to write, or is about to close fd. */
static void
on_socket_state(void *arg, ares_socket_t fd, int is_readable, int is_writable)
{
    struct dns *dns = arg;
    struct dns_socket *socket = find_socket(dns, fd);
    uint32_t events = (is_readable ? EPOLLIN : 0) | (is_writable ? EPOLLOUT : 0);

    if (socket == NULL && events != 0)
        add_socket(dns, fd, events);
    else if (socket != NULL && events == 0)
        forget_socket(socket);
    else if (socket != NULL)
        (void)loop_rewatch(dns->loop, &socket->watch, events);
}

/* ---- reading answers */

static uint32_t
read_u16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t
read_u32(const uint8_t *p)
{
    return read_u16(p) << 16 | read_u16(p + 2);
}

/* What follows the name at p, or NULL when it does not end before end. A
 * compression pointer is the end of a name (RFC 1035 section 4.1.4). */
static const uint8_t *
skip_name(const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        if (*p == 0)
            return p + 1;
        if ((*p & 0xc0) == 0xc0)
            return end - p >= 2 ? p + 2 : NULL;
        if ((*p & 0xc0) != 0 || end - p <= *p)
            return NULL;
        p += *p + 1;
    }
    return NULL;
}

struct record {
    uint32_t type, ttl_s;
    const uint8_t *data;
    size_t bytes;
};

/* Reads the record at p. Returns what follows it, or NULL. */
static const uint8_t *
read_record(const uint8_t *p, const uint8_t *end, struct record *record)
{
    p = skip_name(p, end);
    if (p == NULL || end - p < 10)
        return NULL;
    record->type = read_u16(p);
    record->ttl_s = read_u32(p + 4);
    record->bytes = read_u16(p + 8);
    record->data = p + 10;
    if ((size_t)(end - record->data) < record->bytes)
        return NULL;
    return record->data + record->bytes;
}

/* How long "no" may be kept: the lesser of the SOA record's own TTL and its
 * last field (RFC 2308 section 5). */
static uint32_t
read_negative_ttl(const uint8_t *message, size_t bytes)
{
    const uint8_t *p = message + HEADER_BYTES, *end = message + bytes;
    struct record record;
    uint32_t questions, records;

    if (message == NULL || bytes < HEADER_BYTES)
        return 0;
    questions = read_u16(message + 4);
    records = read_u16(message + 6) + read_u16(message + 8); /* answer and authority */
    for (; questions > 0; questions--) {
        p = skip_name(p, end);
        if (p == NULL || end - p < 4)
            return 0;
        p += 4;
    }
    for (; records > 0; records--) {
        p = read_record(p, end, &record);
        if (p == NULL)
            return 0;
        if (record.type == TYPE_SOA && record.bytes >= SOA_MIN_BYTES) {
            uint32_t minimum = read_u32(record.data + record.bytes - 4);

            return minimum < record.ttl_s ? minimum : record.ttl_s;
        }
    }
    return 0;
}

/* Adds one address; 0.0.0.0 and "::" are ways to say no, and must never be
 * connected to: they lead to this machine. */
static void
add_address(struct dns_answer *answer, const struct sockaddr *sa, int ttl_s)
{
    struct ip *ip = &answer->ips[answer->count];
    uint32_t kept_s = ttl_s > 0 ? (uint32_t)ttl_s : 0; /* RFC 2181 section 8 */

    ip_from_sockaddr(ip, sa);
    if (ip_is_unspecified(ip))
        return;
    if (answer->count == 0 || kept_s < answer->ttl_s)
        answer->ttl_s = kept_s;
    answer->count++;
}

static int
read_ipv4(struct dns_answer *answer, const uint8_t *message, int bytes)
{
    struct ares_addrttl records[DNS_ADDRESSES_MAX];
    struct sockaddr_in sa = { .sin_family = AF_INET };
    int count = DNS_ADDRESSES_MAX;
    int status = ares_parse_a_reply(message, bytes, NULL, records, &count);

    for (int i = 0; status == ARES_SUCCESS && i < count; i++) {
        sa.sin_addr = records[i].ipaddr;
        add_address(answer, (struct sockaddr *)&sa, records[i].ttl);
    }
    return status;
}

static int
read_ipv6(struct dns_answer *answer, const uint8_t *message, int bytes)
{
    struct ares_addr6ttl records[DNS_ADDRESSES_MAX];
    struct sockaddr_in6 sa = { .sin6_family = AF_INET6 };
    int count = DNS_ADDRESSES_MAX;
    int status = ares_parse_aaaa_reply(message, bytes, NULL, records, &count);

    for (int i = 0; status == ARES_SUCCESS && i < count; i++) {
        memcpy(&sa.sin6_addr, &records[i].ip6addr, sizeof(sa.sin6_addr));
        add_address(answer, (struct sockaddr *)&sa, records[i].ttl);
    }
    return status;
}

static enum dns_status
status_of(int status, unsigned count)
{
    if (status == ARES_SUCCESS)
        return count > 0 ? DNS_OK : DNS_NO_DATA;
    if (status == ARES_ENODATA)
        return DNS_NO_DATA;
    if (status == ARES_ENOTFOUND)
        return DNS_NO_NAME;
    if (status == ARES_ETIMEOUT)
        return DNS_TIMEOUT;
    if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED)
        return DNS_CLOSED;
    return DNS_FAILED;
}

static void
on_reply(void *arg, int status, int timeouts, unsigned char *message, int bytes)
{
    struct dns_query *query = arg;
    struct dns_answer answer = { 0 };

    (void)timeouts;
    query->dns->open_count--;
    if (status == ARES_SUCCESS)
        status = query->family == 4 ? read_ipv4(&answer, message, bytes)
                                    : read_ipv6(&answer, message, bytes);
    answer.status = status_of(status, answer.count);
    /* c-ares says this, too, when every server said SERVFAIL or REFUSED */
    answer.detail = status == ARES_ECONNREFUSED ? "name servers failed or cannot be reached"
                                                : ares_strerror(status);
    if (answer.status == DNS_NO_DATA || answer.status == DNS_NO_NAME)
        answer.ttl_s = read_negative_ttl(message, bytes > 0 ? (size_t)bytes : 0);
    query->on_answer(query, &answer);
}

/* ---- the channel */

static void
init_library(void)
{
    ares_library_init(ARES_LIB_INIT_ALL);
}

static int
set_servers(struct dns *dns, const struct name_servers *servers)
{
    struct ares_addr_port_node nodes[NAME_SERVERS_MAX] = { 0 };

    for (unsigned i = 0; i < servers->count; i++) {
        const struct ip *ip = &servers->ips[i];

        nodes[i].next = i + 1 < servers->count ? &nodes[i + 1] : NULL;
        nodes[i].family = ip->family == 4 ? AF_INET : AF_INET6;
        nodes[i].udp_port = nodes[i].tcp_port = ip->port;
        memcpy(&nodes[i].addr, ip->bytes, ip->family == 4 ? 4 : 16);
    }
    return ares_set_servers_ports(dns->channel, nodes);
}

/* Every setting is given, so that c-ares reads no file and no environment. */
static int
open_channel(struct dns *dns, const struct name_servers *servers, uint32_t timeout_ms,
             unsigned tries)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct in_addr placeholder = { htonl(INADDR_LOOPBACK) };
    char lookups[] = "b";
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = (int)timeout_ms,
        .tries = (int)tries,
        .ndots = 1,
        .lookups = lookups,
        .servers = &placeholder,
        .nservers = 1,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = dns,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
               ARES_OPT_LOOKUPS | ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_SOCK_STATE_CB |
               ARES_OPT_NOROTATE;
    int status;

    pthread_once(&once, init_library);
    status = ares_init_options(&dns->channel, &options, mask);
    if (status != ARES_SUCCESS)
        return status;
    status = set_servers(dns, servers);
    if (status != ARES_SUCCESS)
        ares_destroy(dns->channel);
    return status;
}

struct dns *
dns_new(struct loop *loop, const struct name_servers *servers, uint32_t timeout_ms,
        unsigned tries, struct err *err)
{
    struct dns *dns = calloc(1, sizeof(*dns));
    int status;

    if (dns == NULL) {
        err_set(err, "resolver: no memory");
        return NULL;
    }
    dns->loop = loop;
    timer_init(&dns->tick, on_tick);
    list_init(&dns->sockets);
    status = open_channel(dns, servers, timeout_ms, tries);
    if (status != ARES_SUCCESS) {
        err_set(err, "resolver: %s", ares_strerror(status));
        free(dns);
        return NULL;
    }
    return dns;
}

void
dns_ask(struct dns *dns, struct dns_query *query, const char *name, uint8_t family)
{
    query->dns = dns;
    query->family = family;
    dns->open_count++;
    keep_ticking(dns);
    ares_query(dns->channel, name, CLASS_IN, family == 4 ? TYPE_A : TYPE_AAAA, on_reply, query);
}

void
dns_free(struct dns *dns)
{
    if (dns == NULL)
        return;
    ares_destroy(dns->channel);
    timer_disarm(&dns->tick);
    must(list_is_empty(&dns->sockets) && dns->open_count == 0);
    free(dns);
}
