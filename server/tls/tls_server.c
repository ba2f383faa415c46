/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_server.c - handshakes with clients, each in its turn.
 *
 *     ACCEPTED --(ClientHello)--> READY --> SHAKING --(its bytes)--> READY --> ... done
 *                                  |  ^         '--(no certificates yet)--> READY
 *                    (too many)    v  |
 *                                 WAITING
 *
 * A full handshake costs as much as dozens of requests. So none is made where its
 * bytes are noticed: who can go on is queued, and each turn of the loop takes so
 * many from the queue as fit into a short time; the others are served meanwhile.
 * Who has said nothing yet holds no memory of OpenSSL's and does not count. Nor
 * does, while others wait, who has kept us waiting for long: else a few that do so on
 * purpose would lock out everybody.
 */
#include "config.h"

#include "server/tls/tls_server.h"

#include "modes/mode.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/generation.h"
#include "server/log/log_thread.h"
#include "server/net/conn.h"
#include "server/net/listener.h"
#include "server/schema.h"
#include "server/tls/early_guard.h"
#include "server/tls/tls_choice.h"
#include "server/tls/client_trust.h"
#include "server/tls/tls_failure.h"
#include "server/tls/tls_memory.h"
#include "server/tls/tls_openssl.h"
#include "server/tls/tls_profile.h"
#include "server/worker.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Spent on handshakes before others get their turn. */
#define TURN_NS 1000000u

/* While others wait a handshake may take this part of its time; how often that is
 * looked at. */
#define STALL_PART 10u
#define STALL_LOOK_MS 100u

struct tls_accept {
    struct conn conn;
    struct list link; /* of those that are ready, or wait */
    struct list slot_link; /* profile->under_way */
    uint64_t began_ms;     /* with has_slot: when it was given */
    struct worker *worker;
    struct listener_conf *listener;
    struct generation *generation;
    struct tls_profile *profile;
    struct tls_session *session; /* NULL: it has said nothing yet, or waits */
    struct tls_choice choice;
    struct accepted accepted;
    char *head; /* accepted.head, copied */
    tls_accepted_fn *on_accepted;
    void *arg;
    bool is_over;    /* nobody wants it any more */
    bool has_slot;   /* counted as under way */
    bool is_waiting; /* counted as waiting for others */
};

/* ---- a configuration's part */

static void
let_go_of_tickets(void *keys)
{
    ticket_keys_unref(keys);
}

static void
let_go_of_trust(void *trust)
{
    client_trust_unref(trust);
}

static int
adopt_trust(struct client_certificate_conf *conf, struct arena *arena, struct err *err)
{
    if (conf->place.line == 0 || conf->mode == CLIENT_CERTIFICATE_OFF || conf->trust != NULL)
        return 0;
    if (client_trust_adopt(conf, err) < 0)
        return err_prefix(err, "%s:%u: client_certificates: ", conf->place.file, conf->place.line);
    if (arena_defer(arena, let_go_of_trust, conf->trust) < 0)
        return err_set(err, "out of memory");
    return 0;
}

static int
adopt_trusts(struct listener_conf *listener, const struct conf *conf, struct arena *arena,
             struct err *err)
{
    if (adopt_trust(&listener->tls.client, arena, err) < 0)
        return -1;
    for (size_t i = 0; listener->sites != NULL && i < conf->sites.count; i++) {
        struct site_conf *site = conf->sites.items[i];

        if (adopt_trust(&site->client, arena, err) < 0)
            return -1;
    }
    return 0;
}

static int
adopt_tickets(struct tls_server *server, const struct tls_conf *tls, struct arena *arena,
              struct err *err)
{
    if (!tls->tickets)
        return 0;
    server->tickets = ticket_keys_adopt(tls->ticket_keys, tls->session_ms, err);
    if (server->tickets == NULL)
        return err_prefix(err, "%s:%u: ticket_keys: ", tls->place.file, tls->place.line);
    return arena_defer(arena, let_go_of_tickets, server->tickets) == 0
               ? 0
               : err_set(err, "out of memory");
}

int
tls_server_new(struct listener_conf *listener, const struct conf *conf, struct arena *arena,
               struct err *err)
{
    struct tls_server *server = arena_zalloc(arena, sizeof(*server));

    if (server == NULL)
        return err_set(err, "out of memory");
    server->profile_id = tls_profile_id(listener);
    if (adopt_tickets(server, &listener->tls, arena, err) < 0 ||
        adopt_trusts(listener, conf, arena, err) < 0)
        return -1;
    if (listener->tls.early_data)
        early_guard_start();
    listener->tls.server = server;
    return 0;
}

/* ---- a thread's part */

static void on_turn(struct task *task);

static void
free_thread(struct tls_thread *thread)
{
    list_each(link, &thread->profiles)
        tls_profile_free(container_of(link, struct tls_profile, link));
    client_trust_fini(thread);
    certificate_cache_free(thread->certificates);
    EVP_CIPHER_free(thread->ticket_cipher);
    OSSL_LIB_CTX_free(thread->library);
    free(thread);
}

static struct tls_thread *
thread_of(struct worker *worker)
{
    struct tls_thread *thread = worker->tls;

    if (likely(thread != NULL))
        return thread;
    thread = calloc(1, sizeof(*thread));
    if (thread == NULL)
        return NULL;
    tls_memory_keep();
    thread->worker = worker;
    list_init(&thread->profiles);
    list_init(&thread->ready);
    list_init(&thread->trusts);
    task_init(&thread->task, on_turn);
    thread->library = OSSL_LIB_CTX_new();
    if (thread->library != NULL) {
        thread->ticket_cipher = EVP_CIPHER_fetch(thread->library, "AES-256-CBC", NULL);
        thread->certificates = certificate_cache_new(thread->library);
    }
    if (thread->ticket_cipher == NULL || thread->certificates == NULL) {
        ERR_clear_error();
        free_thread(thread);
        return NULL;
    }
    worker->tls = thread;
    return thread;
}

void
tls_server_thread_fini(struct worker *worker)
{
    if (worker->tls != NULL) {
        must(list_is_empty(&worker->tls->ready));
        free_thread(worker->tls);
    }
    worker->tls = NULL;
    tls_session_thread_fini();
    tls_memory_let_go();
}

/* ---- queues */

static void
make_ready(struct tls_accept *accept)
{
    struct tls_thread *thread = accept->worker->tls;

    if (!list_is_linked(&accept->link))
        list_push_back(&thread->ready, &accept->link);
    loop_ready(accept->worker->loop, &thread->task);
}

/* Takes the accept off whatever queue it is on. */
static void
leave_queue(struct tls_accept *accept)
{
    list_remove(&accept->link);
    if (accept->is_waiting)
        counter_down(accept->worker->counters, tls_handshakes_waiting);
    accept->is_waiting = false;
}

static bool
is_full(const struct tls_accept *accept)
{
    return accept->profile->shaking >= (uint64_t)accept->listener->tls.max_handshakes;
}

static void
take_slot(struct tls_accept *accept)
{
    accept->has_slot = true;
    accept->began_ms = loop_now_ms(accept->worker->loop);
    list_push_back(&accept->profile->under_way, &accept->slot_link);
    accept->profile->shaking++;
    counter_up(accept->worker->counters, tls_handshakes_open);
}

/* It goes to whoever has waited longest: while somebody waits none is free. */
static void
give_slot(struct tls_accept *accept)
{
    struct tls_profile *profile = accept->profile;
    struct tls_accept *next;

    if (!accept->has_slot)
        return;
    accept->has_slot = false;
    list_remove(&accept->slot_link);
    profile->shaking--;
    counter_down(accept->worker->counters, tls_handshakes_open);
    if (list_is_empty(&profile->waiting))
        return;
    next = container_of(profile->waiting.next, struct tls_accept, link);
    leave_queue(next);
    take_slot(next);
    make_ready(next);
}

static void
wait_for_others(struct tls_accept *accept)
{
    list_push_back(&accept->profile->waiting, &accept->link);
    accept->is_waiting = true;
    counter_up(accept->worker->counters, tls_handshakes_waiting);
    if (!timer_is_armed(&accept->profile->stall_timer))
        timer_arm(accept->worker->loop, &accept->profile->stall_timer, STALL_LOOK_MS);
}

/* ---- the end */

static void
release(void *object)
{
    struct tls_accept *accept = object;

    free(accept->head);
    free(accept);
}

static void
bury(struct tls_accept *accept)
{
    generation_release(accept->generation);
    conn_free_later(&accept->conn, release, accept);
}

/* Ends it, but for a waiter that is lent: all that it needs waits for its call. */
static void
retire(struct tls_accept *accept)
{
    leave_queue(accept);
    give_slot(accept);
    accept->profile->accepts--;
    accept->is_over = true;
    if (tls_choice_end(&accept->choice))
        bury(accept);
}

static void
drop_connection(struct tls_accept *accept)
{
    tls_session_free(accept->session);
    accept->session = NULL;
    conn_close(&accept->conn);
}

void
tls_accept_cancel(struct tls_accept *accept)
{
    drop_connection(accept);
    retire(accept);
}

static void
log_failure(const struct tls_accept *accept, const char *why)
{
    static struct log_limit failed = LOG_LIMIT(5);
    struct slice name = { 0 };
    char text[IP_TEXT_BYTES];

    if (accept->session != NULL)
        name = tls_session_facts(accept->session)->server_name;
    listener_client_text(accept->listener, &accept->accepted.peer, text);
    log_limited(&failed, LEVEL_INFO, "listener \"%s\": client %s%s%.*s: TLS handshake: %s: closed",
                accept->listener->name, text, name.bytes > 0 ? " for " : "", SLICE_ARG(name), why);
}

/* What the client sent and nobody read would make the kernel reset the
 * connection, and our alert would never arrive. */
static void
read_away(int fd)
{
    char bytes[4096];

    shutdown(fd, SHUT_WR);
    (void)!recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
}

static void
fail(struct tls_accept *accept, const char *why)
{
    struct accepted accepted = accept->accepted;

    counter_up(accept->worker->counters, tls_handshake_failures);
    log_failure(accept, why);
    if (accept->session != NULL)
        read_away(accept->conn.watch.fd);
    drop_connection(accept);
    retire(accept);
    accepted.fd = -1;
    accept->on_accepted(accept->arg, &accepted);
}

/* Takes the place of the oldest one that waits for its client, if it has done so
 * for long. */
static bool
pass_slot_on(struct tls_profile *profile, uint64_t now_ms)
{
    list_each(link, &profile->under_way) {
        struct tls_accept *accept = container_of(link, struct tls_accept, slot_link);

        if (now_ms - accept->began_ms < accept->listener->tls.handshake_ms / STALL_PART)
            return false; /* nor have those behind it */
        if (list_is_linked(&accept->link) || accept->choice.is_waiting)
            continue; /* it is our turn */
        give_slot(accept);
        return true;
    }
    return false;
}

void
tls_server_on_stall(struct timer *timer)
{
    struct tls_profile *profile = container_of(timer, struct tls_profile, stall_timer);
    struct loop *loop = profile->thread->worker->loop;

    while (!list_is_empty(&profile->waiting) && pass_slot_on(profile, loop_now_ms(loop)))
        ;
    if (!list_is_empty(&profile->waiting))
        timer_arm(loop, timer, STALL_LOOK_MS);
}

/* A browser that was given http:// with this port shows its user what is wrong. */
static void
answer_plainly(int fd)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n"
                                 "Connection: close\r\n"
                                 "Content-Type: text/plain; charset=utf-8\r\n"
                                 "\r\n"
                                 "This port speaks HTTPS: its addresses begin with https://\n";

    (void)!send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
fail_by_library(struct tls_accept *accept)
{
    SSL *ssl = tls_session_ssl(accept->session);
    const char *why = accept->choice.why;

    if (accept->profile->is_http && tls_failure_is_http())
        answer_plainly(accept->conn.watch.fd);
    if (why == NULL)
        why = tls_failure_of_client(ssl);
    ERR_clear_error();
    fail(accept, why);
}

static void
succeed(struct tls_accept *accept)
{
    struct accepted accepted = accept->accepted;
    SSL *ssl = tls_session_ssl(accept->session);
    struct tls_facts *facts = tls_session_learn(accept->session);

    counter_up(accept->worker->counters, tls_handshakes);
    if (facts->is_resumed)
        counter_up(accept->worker->counters, tls_handshakes_resumed);
    facts->has_client_certificate = facts->client_demands != 0 &&
                                    SSL_get0_peer_certificate(ssl) != NULL &&
                                    SSL_get_verify_result(ssl) == X509_V_OK;
    SSL_set_tlsext_status_ocsp_resp(ssl, NULL, 0); /* it was sent: no need to hold it */
    accepted.fd = conn_detach(&accept->conn);
    accepted.tls = accept->session;
    accepted.head = slice_make(NULL, 0); /* it was TLS */
    accept->session = NULL;
    retire(accept);
    accept->on_accepted(accept->arg, &accepted);
}

/* ---- steps */

static void
shake(struct tls_accept *accept)
{
    struct tls_thread *thread = accept->worker->tls;
    enum tls_step step;

    thread->choice = &accept->choice;
    step = tls_session_shake(accept->session, accept->listener->tls.early_data);
    thread->choice = NULL;
    switch (step) {
    case TLS_DONE:
        succeed(accept);
        return;
    case TLS_WAIT:
    case TLS_SUSPENDED:
        accept->conn.may_read = false;
        return;
    case TLS_ENDED:
        fail(accept, errno == 0 ? "it hung up" : strerrordesc_np(errno));
        return;
    case TLS_FAILED:
        fail_by_library(accept);
        return;
    }
}

/* It has said something: from now on it costs. False: it cannot. */
static bool
begin(struct tls_accept *accept)
{
    SSL *ssl = SSL_new(accept->profile->openssl);

    if (ssl != NULL) {
        SSL_set_accept_state(ssl);
        accept->session = tls_session_begin(ssl, accept->conn.watch.fd, accept->accepted.head,
                                            accept->listener->tls.ktls);
    }
    if (accept->session == NULL) {
        SSL_free(ssl);
        return false;
    }
    accept->choice.session = accept->session;
    return true;
}

static void
go_on(struct tls_accept *accept)
{
    if (accept->session == NULL && !accept->has_slot) {
        if (is_full(accept)) {
            wait_for_others(accept);
            return;
        }
        take_slot(accept);
    }
    if (accept->session != NULL || begin(accept))
        shake(accept);
    else
        fail(accept, "out of memory");
}

static void
on_turn(struct task *task)
{
    struct tls_thread *thread = container_of(task, struct tls_thread, task);
    uint64_t stop_ns = clock_monotonic_ns() + TURN_NS;

    while (!list_is_empty(&thread->ready)) {
        struct tls_accept *accept = container_of(thread->ready.next, struct tls_accept, link);

        list_remove(&accept->link);
        go_on(accept);
        if (clock_monotonic_ns() >= stop_ns && !list_is_empty(&thread->ready)) {
            loop_ready(thread->worker->loop, &thread->task);
            return;
        }
    }
}

/* ---- events */

/* While it waits, be it for others or for certificates, there is nothing to do. */
static void
on_ready(struct conn *conn)
{
    struct tls_accept *accept = container_of(conn, struct tls_accept, conn);

    if (accept->is_waiting || accept->choice.is_waiting)
        return;
    if (conn->may_read || accept->session != NULL)
        make_ready(accept);
}

static void
on_timeout(struct timer *timer)
{
    struct tls_accept *accept = container_of(timer, struct tls_accept, conn.timer);

    counter_up(accept->worker->counters, client_timeouts);
    if (accept->is_waiting)
        fail(accept, "too many others were busy for all of its time");
    else if (accept->choice.is_waiting)
        fail(accept, "our certificate could not be loaded in time");
    else
        fail(accept, accept->session == NULL ? "it said nothing in time"
                                             : "it took too long");
}

static void
on_bundle(struct certificate_waiter *waiter, struct bundle *bundle)
{
    struct tls_choice *choice = container_of(waiter, struct tls_choice, waiter);
    struct tls_accept *accept = container_of(choice, struct tls_accept, choice);

    choice->is_waiting = false;
    if (accept->is_over) {
        if (bundle != NULL)
            bundle_unref(bundle);
        bury(accept);
        return;
    }
    choice->bundle = bundle;
    choice->has_failed = bundle == NULL;
    make_ready(accept);
}

/* ---- the beginning */

static struct tls_accept *
make(struct worker *worker, struct listener_conf *listener, const struct accepted *accepted)
{
    struct tls_thread *thread = thread_of(worker);
    struct tls_profile *profile = thread != NULL ? tls_profile_get(thread, listener) : NULL;
    struct tls_accept *accept = profile != NULL ? calloc(1, sizeof(*accept)) : NULL;
    size_t head_bytes = accepted->head.bytes;

    if (accept == NULL)
        return NULL;
    list_init(&accept->link);
    list_init(&accept->slot_link);
    accept->worker = worker;
    accept->listener = listener;
    accept->profile = profile;
    accept->accepted = *accepted;
    accept->choice.thread = thread;
    accept->choice.listener = listener;
    accept->choice.waiter.loop = worker->loop;
    accept->choice.waiter.on_bundle = on_bundle;
    if (head_bytes == 0)
        return accept;
    accept->head = malloc(head_bytes);
    if (accept->head == NULL) {
        free(accept);
        return NULL;
    }
    memcpy(accept->head, accepted->head.data, head_bytes);
    accept->accepted.head.data = accept->head;
    return accept;
}

struct tls_accept *
tls_accept_start(struct worker *worker, struct listener_conf *listener,
                 const struct accepted *accepted, tls_accepted_fn *on_accepted, void *arg)
{
    struct tls_accept *accept = make(worker, listener, accepted);

    if (accept == NULL || conn_open(&accept->conn, worker->loop, accepted->fd, on_ready,
                                    on_timeout) < 0) {
        if (accept != NULL)
            release(accept);
        close(accepted->fd);
        return NULL;
    }
    accept->conn.may_read = false; /* an event says so */
    accept->on_accepted = on_accepted;
    accept->arg = arg;
    accept->generation = generation_hold(worker);
    accept->profile->accepts++;
    timer_arm(worker->loop, &accept->conn.timer, listener->tls.handshake_ms);
    if (accept->head != NULL)
        make_ready(accept);
    return accept;
}
