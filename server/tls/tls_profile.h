/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_profile.h - how a listener speaks TLS, as one SSL_CTX on each thread. */
#ifndef BASCULE_TLS_PROFILE_H
#define BASCULE_TLS_PROFILE_H

#include "server/tls/tls_thread.h"

/* What all threads share of a listener's TLS. */
struct tls_server {
    uint64_t profile_id;          /* the same for listeners that speak in the same way */
    struct ticket_keys *tickets;  /* NULL: none */
};

/* Longest early data that is taken: what a client may have sent twice. */
#define EARLY_DATA_BYTES 16384u

/* The number of how the listener speaks. */
uint64_t tls_profile_id(const struct listener_conf *listener);

/* The thread's profile for the listener, made with its first handshake. NULL when
 * memory is short. */
struct tls_profile *tls_profile_get(struct tls_thread *thread,
                                    const struct listener_conf *listener);

void tls_profile_free(struct tls_profile *profile);

#endif
