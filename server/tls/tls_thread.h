/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_thread.h - what a worker thread has of its own to speak TLS with clients:
 * a library context, so that no lock of OpenSSL's is shared, one SSL_CTX for each
 * way in which listeners speak, certificates, and the handshakes under way.
 */
#ifndef BASCULE_TLS_THREAD_H
#define BASCULE_TLS_THREAD_H

#include "server/net/loop.h"
#include "server/tls/certificate_cache.h"
#include "server/tls/tls_tickets.h"

struct tls_choice;
struct worker;

/* How one listener speaks TLS, on one thread. It outlives the configuration that
 * it was made for as long as another one says the same, and with it the
 * sessions that it remembers. */
struct tls_profile {
    struct list link; /* tls_thread.profiles */
    uint64_t id;      /* the same for listeners that speak in the same way */
    SSL_CTX *openssl;
    struct tls_thread *thread;
    struct ticket_view tickets;
    bool offers_h2, is_http;
    unsigned accepts;    /* that have this profile */
    unsigned shaking;    /* of them, under way */
    struct list under_way; /* of struct tls_accept, in the order they began */
    struct list waiting;   /* of struct tls_accept: until there are fewer */
    struct timer stall_timer; /* while some wait */
};

/* on_due of stall_timer. */
void tls_server_on_stall(struct timer *timer);

struct tls_thread {
    struct worker *worker;
    OSSL_LIB_CTX *library;
    EVP_CIPHER *ticket_cipher;
    struct certificate_cache *certificates;
    struct list profiles;
    struct list ready; /* of struct tls_accept: to go on in this turn or the next */
    struct list trusts; /* of struct thread_trust (client_trust.c) */
    struct task task;
    struct tls_choice *choice; /* of the handshake that OpenSSL is at work on */
};

#endif
