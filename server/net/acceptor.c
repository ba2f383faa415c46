/* SPDX-License-Identifier: BSD-2-Clause */
/* acceptor.c - accepts, limits and spreads.
 *
 *     ACCEPTED --> limits --> ours or a neighbour's? --> arrival --> mode
 *
 * SO_REUSEPORT spreads connections by a hash, which is fair to new connections
 * but not to long-lived ones. So a thread that has far more than the average
 * hands new ones to whoever has least.
 */
#include "config.h"

#include "server/net/acceptor.h"

#include "modes/mode.h"
#include "server/base/log.h"
#include "server/log/log_thread.h"
#include "server/net/listener.h"
#include "server/net/sockets.h"
#include "server/schema.h"
#include "server/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_MAX 64 /* in one turn */
#define FULL_TURNS 4   /* so many in a row that did not empty the queue: accept more at once */
#define PAUSE_MS 100

/* Above average by a quarter and a few is far above. */
#define FAIR_SHARE(average) ((average) + (average) / 4 + 16)

struct acceptor {
    struct list link;
    struct acceptors *all;
    struct sockets *sockets;
    struct listener_conf *conf;
    uint64_t serial;      /* of sockets: how neighbours name this acceptor */
    struct list watches;  /* of struct socket_watch */
    struct timer pause;
    struct ip local;      /* family 0: differs between connections */
    bool has_fixed_local;
    bool is_wanted;       /* by the plan that is being followed */
};

struct socket_watch {
    struct watch watch;
    struct list link;
    struct grave grave;
    struct acceptor *acceptor;
    int fd;
    unsigned at_once;    /* how many to accept in the next turn */
    unsigned full_turns; /* in a row */
    bool is_wanted;
};

/* A connection on its way to another thread. */
struct handover {
    struct mail mail;
    struct acceptors *to;
    uint64_t serial;
    struct ip peer;
    int fd;
};

/* ---- onwards */

static void
refuse(struct acceptor *acceptor, int fd)
{
    listener_refuse(acceptor->all->worker, acceptor->conf->listener, fd);
}

static void
ask_local(const struct acceptor *acceptor, int fd, struct ip *local)
{
    struct address address = { .bytes = sizeof(address.to) };

    if (acceptor->has_fixed_local)
        *local = acceptor->local;
    else if (getsockname(fd, &address.to.any, &address.bytes) == 0)
        ip_from_sockaddr(local, &address.to.any);
    else
        *local = (struct ip){ .family = 0 };
}

static void
begin(struct acceptor *acceptor, int fd, const struct ip *peer)
{
    struct accepted accepted = { .fd = fd, .peer = *peer };

    ask_local(acceptor, fd, &accepted.local);
    counter_up(acceptor->all->worker->counters, connections_accepted);
    arrival_start(&acceptor->all->arrivals, acceptor->conf, &accepted);
}

/* ---- limits and spreading */

/* How many connections there are, looked at once for all that is accepted in
 * one go, and kept up to date by what this thread does meanwhile. */
struct view {
    uint64_t total, mine, least;
    const struct listen_peer *idlest;
};

static void
look_around(const struct acceptors *all, struct view *view)
{
    const struct listen_plan *plan = all->plan;

    *view = (struct view){ .mine = all->worker->connections, .least = UINT64_MAX };
    for (unsigned i = 0; i < plan->peer_count; i++) {
        const struct listen_peer *peer = &plan->peers[i];
        uint64_t open =
            atomic_load_explicit(&peer->counters->connections_open, memory_order_relaxed);

        view->total += open;
        if (open < view->least && peer->acceptors != all) {
            view->least = open;
            view->idlest = peer;
        }
    }
}

static bool
is_over_limit(struct acceptor *acceptor, const struct view *view)
{
    static struct log_limit process_full = LOG_LIMIT(1), listener_full = LOG_LIMIT(1);
    const struct listener_conf *conf = acceptor->conf;
    uint64_t max = acceptor->all->plan->max_connections;

    if (max > 0 && view->total >= max) {
        log_limited(&process_full, LEVEL_WARN,
                    "listener \"%s\": %ju connections are open, which is the limit: "
                    "a new one is closed",
                    conf->name, (uintmax_t)max);
        return true;
    }
    if (conf->max_connections > 0 &&
        atomic_load_explicit(&conf->listener->connections, memory_order_relaxed) >=
            conf->max_connections) {
        log_limited(&listener_full, LEVEL_WARN,
                    "listener \"%s\": its max_connections (%jd) are open: a new one is closed",
                    conf->name, (intmax_t)conf->max_connections);
        return true;
    }
    return false;
}

static bool
has_too_many(const struct acceptor *acceptor, const struct view *view)
{
    /* While the last ones are accepted the neighbours may have let go already. */
    return acceptor->is_wanted && view->idlest != NULL && view->least < view->mine &&
           view->mine > FAIR_SHARE(view->total / acceptor->all->plan->peer_count);
}

static struct acceptor *
find(const struct acceptors *all, uint64_t serial)
{
    list_each(link, &all->all) {
        struct acceptor *acceptor = container_of(link, struct acceptor, link);

        if (acceptor->serial == serial)
            return acceptor;
    }
    return NULL;
}

/* On the receiving thread. Its acceptor may be gone by now, with its listener. */
static void
on_handover(struct mail *mail)
{
    struct handover *handover = container_of(mail, struct handover, mail);
    struct acceptor *acceptor = find(handover->to, handover->serial);

    if (acceptor != NULL) {
        begin(acceptor, handover->fd, &handover->peer);
    } else {
        close(handover->fd);
        counter_up(handover->to->worker->counters, connections_refused);
    }
    free(handover);
}

static bool
hand_over(struct acceptor *acceptor, int fd, const struct ip *peer, struct view *view)
{
    struct handover *handover = malloc(sizeof(*handover));

    if (handover == NULL)
        return false;
    *handover = (struct handover){
        .mail.deliver = on_handover,
        .to = view->idlest->acceptors,
        .serial = acceptor->serial,
        .peer = *peer,
        .fd = fd,
    };
    loop_post(view->idlest->loop, &handover->mail);
    counter_up(acceptor->all->worker->counters, connections_handed_over);
    view->least++;
    return true;
}

static void
welcome(struct acceptor *acceptor, int fd, const struct ip *peer, struct view *view)
{
    if (is_over_limit(acceptor, view)) {
        counter_up(acceptor->all->worker->counters, limits_hit);
        refuse(acceptor, fd);
        return;
    }
    view->total++;
    if (has_too_many(acceptor, view) && hand_over(acceptor, fd, peer, view))
        return;
    view->mine++;
    begin(acceptor, fd, peer);
}

/* ---- accepting */

static void
ignore_events(struct acceptor *acceptor)
{
    list_each(link, &acceptor->watches)
        loop_unwatch(acceptor->all->worker->loop,
                     &container_of(link, struct socket_watch, link)->watch);
}

/* Out of descriptors or memory: connections wait in the kernel for a moment. */
static void
pause_accepting(struct acceptor *acceptor)
{
    static struct log_limit short_of = LOG_LIMIT(1);

    log_limited(&short_of, LEVEL_ERROR,
                "listener \"%s\": cannot accept: %s: trying again in %d ms", acceptor->conf->name,
                strerrordesc_np(errno), PAUSE_MS);
    ignore_events(acceptor);
    timer_arm(acceptor->all->worker->loop, &acceptor->pause, PAUSE_MS);
}

/* Accepts at most so many. Returns how many; fewer: the queue is empty. */
static unsigned
accept_some(struct acceptor *acceptor, int fd, unsigned at_most)
{
    struct view view;
    unsigned count;

    look_around(acceptor->all, &view);
    for (count = 0; count < at_most; count++) {
        struct address address = { .bytes = sizeof(address.to) };
        struct ip peer;
        int client = accept4(fd, &address.to.any, &address.bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (client >= 0) {
            ip_from_sockaddr(&peer, &address.to.any);
            welcome(acceptor, client, &peer, &view);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(acceptor);
            break;
        } /* else that connection died in the queue: see accept(2) */
    }
    return count;
}

/* The watch is level-triggered, so what stays in the queue is told of in the next
 * turn. Accepting no more than usually come at once saves the call that would
 * only say that there is none. */
static void
on_socket(struct watch *watch, uint32_t events)
{
    struct socket_watch *socket = container_of(watch, struct socket_watch, watch);

    unsigned count = accept_some(socket->acceptor, socket->fd, socket->at_once);

    (void)events;
    if (count < socket->at_once) {
        socket->at_once = count > 0 ? count : 1;
        socket->full_turns = 0;
    } else if (++socket->full_turns >= FULL_TURNS && socket->at_once < ACCEPTS_MAX) {
        socket->at_once *= 2;
        socket->full_turns = 0;
    }
}

static void
listen_to(struct socket_watch *socket)
{
    struct acceptor *acceptor = socket->acceptor;
    uint32_t events = EPOLLIN | (acceptor->sockets->is_shared ? EPOLLEXCLUSIVE : 0);

    if (socket->watch.fd >= 0)
        return;
    socket->watch.fd = socket->fd;
    if (loop_watch(acceptor->all->worker->loop, &socket->watch, events) < 0) {
        socket->watch.fd = -1;
        log_error("listener \"%s\": cannot watch %s: %s: trying again in %d ms",
                  acceptor->conf->name, acceptor->sockets->key, strerrordesc_np(errno), PAUSE_MS);
        timer_arm(acceptor->all->worker->loop, &acceptor->pause, PAUSE_MS);
    }
}

static void
on_pause_over(struct timer *timer)
{
    struct acceptor *acceptor = container_of(timer, struct acceptor, pause);

    list_each(link, &acceptor->watches)
        listen_to(container_of(link, struct socket_watch, link));
}

/* ---- following a plan */

static void
free_socket(void *object)
{
    free(object);
}

static void
drop_socket(struct socket_watch *socket)
{
    struct loop *loop = socket->acceptor->all->worker->loop;

    list_remove(&socket->link);
    loop_unwatch(loop, &socket->watch);
    loop_free(loop, &socket->grave, free_socket, socket);
}

static struct socket_watch *
socket_of(struct acceptor *acceptor, int fd)
{
    struct socket_watch *socket;

    list_each(link, &acceptor->watches) {
        socket = container_of(link, struct socket_watch, link);
        if (socket->fd == fd)
            return socket;
    }
    socket = calloc(1, sizeof(*socket));
    must(socket != NULL); /* a few per address, on start and reload only */
    socket->acceptor = acceptor;
    socket->fd = fd;
    socket->at_once = 1;
    socket->watch = (struct watch){ .fd = -1, .on_event = on_socket };
    list_init(&socket->grave.link);
    list_push_back(&acceptor->watches, &socket->link);
    return socket;
}

/* Watches this thread's share of the sockets and no others. A socket that goes
 * to another thread is not drained: that thread finds what is queued on it. */
static void
share(struct acceptor *acceptor, const struct listen_plan *plan)
{
    unsigned me = acceptor->all->worker->id;

    list_each(link, &acceptor->watches)
        container_of(link, struct socket_watch, link)->is_wanted = false;
    for (unsigned i = 0; me < plan->peer_count && i < acceptor->sockets->count; i++)
        if (acceptor->sockets->is_shared || i % plan->peer_count == me)
            socket_of(acceptor, acceptor->sockets->fds[i])->is_wanted = true;
    list_each(link, &acceptor->watches) {
        struct socket_watch *socket = container_of(link, struct socket_watch, link);

        if (!socket->is_wanted)
            drop_socket(socket);
        else if (!timer_is_armed(&acceptor->pause))
            listen_to(socket);
    }
}

static bool
is_fixed(const struct address *address)
{
    if (address->to.any.sa_family == AF_INET)
        return address->to.in.sin_addr.s_addr != htonl(INADDR_ANY);
    if (address->to.any.sa_family == AF_INET6)
        return !IN6_IS_ADDR_UNSPECIFIED(&address->to.in6.sin6_addr);
    return true;
}

static struct acceptor *
acceptor_of(struct acceptors *all, struct sockets *sockets)
{
    struct acceptor *acceptor = find(all, sockets->serial);

    if (acceptor != NULL)
        return acceptor;
    acceptor = calloc(1, sizeof(*acceptor));
    must(acceptor != NULL); /* one per address, on start and reload only */
    acceptor->all = all;
    acceptor->sockets = sockets;
    acceptor->serial = sockets->serial;
    list_init(&acceptor->watches);
    timer_init(&acceptor->pause, on_pause_over);
    ip_from_sockaddr(&acceptor->local, &sockets->address.to.any);
    acceptor->has_fixed_local = is_fixed(&sockets->address);
    list_push_back(&all->all, &acceptor->link);
    return acceptor;
}

static void
free_acceptor(struct acceptor *acceptor)
{
    timer_disarm(&acceptor->pause);
    list_each(link, &acceptor->watches)
        drop_socket(container_of(link, struct socket_watch, link));
    list_remove(&acceptor->link);
    free(acceptor);
}

/* Everyone who was queued when the listener went is still served. The backlog
 * bounds it: who comes faster than we accept would keep us here. */
static void
accept_last(struct acceptor *acceptor)
{
    list_each(link, &acceptor->watches) {
        struct socket_watch *socket = container_of(link, struct socket_watch, link);

        accept_some(acceptor, socket->fd, (unsigned)acceptor->conf->backlog + 1);
    }
}

void
acceptors_init(struct acceptors *acceptors, struct worker *worker)
{
    *acceptors = (struct acceptors){ .worker = worker };
    list_init(&acceptors->all);
    arrivals_init(&acceptors->arrivals, worker);
}

void
acceptors_follow(struct acceptors *acceptors, const struct listen_plan *plan)
{
    list_each(link, &acceptors->all)
        container_of(link, struct acceptor, link)->is_wanted = false;
    for (size_t i = 0; i < plan->count; i++) {
        struct acceptor *acceptor = acceptor_of(acceptors, plan->items[i].sockets);

        acceptor->is_wanted = true;
    }
    list_each(link, &acceptors->all) {
        struct acceptor *acceptor = container_of(link, struct acceptor, link);

        if (acceptor->is_wanted)
            continue;
        accept_last(acceptor);
        free_acceptor(acceptor);
    }
    arrivals_follow(&acceptors->arrivals, plan);
    acceptors->plan = plan;
    for (size_t i = 0; i < plan->count; i++) {
        struct acceptor *acceptor = acceptor_of(acceptors, plan->items[i].sockets);

        acceptor->conf = plan->items[i].conf;
        share(acceptor, plan);
    }
}

void
acceptors_kill(struct acceptors *acceptors)
{
    arrivals_kill(&acceptors->arrivals);
}

void
acceptors_fini(struct acceptors *acceptors)
{
    arrivals_kill(&acceptors->arrivals);
    list_each(link, &acceptors->all)
        free_acceptor(container_of(link, struct acceptor, link));
}
