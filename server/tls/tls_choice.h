/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_choice.h - what a handshake is done with, once the client has said whom it
 * wants: the site's certificates, and what is demanded of the client.
 */
#ifndef BASCULE_TLS_CHOICE_H
#define BASCULE_TLS_CHOICE_H

#include "server/tls/tls_thread.h"

struct tls_session;

/* A handshake's part in the choice. Zeroed at first, but for the first three. */
struct tls_choice {
    struct tls_thread *thread;
    const struct listener_conf *listener;
    struct tls_session *session;
    struct certificate_set *set;      /* whose certificates are shown; borrowed */
    uint64_t bundle_id;
    const char *why;                  /* we refused; static words for the log; NULL: we did not */
    struct certificate_waiter waiter; /* loop and on_bundle are set by whoever waits */
    struct bundle *bundle;            /* came in answer; a reference */
    bool is_waiting;                  /* the waiter is lent */
    bool has_failed;                  /* the answer was that there is none */
};

/* For SSL_CTX_set_client_hello_cb(): asks thread->choice, arg is the thread. */
int tls_choose(SSL *ssl, int *alert, void *arg);

/* For SSL_CTX_set_tlsext_status_cb(): the OCSP response, arg is the thread. */
int tls_staple(SSL *ssl, void *arg);

/* Stops waiting, as far as possible: see certificate_set_cancel(). True: choice
 * may be freed. */
bool tls_choice_end(struct tls_choice *choice);

#endif
