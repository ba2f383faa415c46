/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_profile.c - presets, protocols (ALPN), tickets and the cache of sessions, as
 * settings of an SSL_CTX.
 */
#include "config.h"

#include "server/tls/tls_profile.h"

#include "modes/mode.h"
#include "server/base/hash.h"
#include "server/schema.h"
#include "server/snapshot.h"
#include "server/tls/early_guard.h"
#include "server/tls/tls_choice.h"
#include "server/tls/client_trust.h"
#include "server/worker.h"

#include <openssl/err.h>
#include <stdlib.h>

/* Forward secrecy and authenticated encryption only. AES first, as most have it in
 * hardware; clients that have not say so by naming ChaCha20 first, and get it. */
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_12 \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"
#define SIGNATURES \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:" \
    "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512"

/* A chain of a client's certificates, in all. */
#define CLIENT_CHAIN_BYTES_MAX (64 * 1024)

static bool
is_http(const struct listener_conf *listener)
{
    return listener->mode->on_request != NULL;
}

uint64_t
tls_profile_id(const struct listener_conf *listener)
{
    const struct tls_conf *tls = &listener->tls;
    struct {
        uint64_t session_cache, ticket_keys;
        uint32_t session_ms;
        uint8_t preset, http2, http, tickets, early_data, ktls, spare[2];
    } all = {
        .session_cache = (uint64_t)tls->session_cache,
        .session_ms = tls->session_ms,
        .preset = (uint8_t)tls->preset,
        .http2 = tls->http2,
        .http = is_http(listener),
        .tickets = tls->tickets,
        .early_data = tls->early_data,
        .ktls = tls->ktls,
    };
    const struct hash_key key = { { 1, 2 } };

    if (tls->ticket_keys != NULL)
        all.ticket_keys = hash_bytes(slice_of(tls->ticket_keys), &key);
    return hash_bytes(slice_of(listener->name), &key) ^
           hash_bytes(slice_make((const char *)&all, sizeof(all)), &key);
}

/* ---- ALPN (RFC 7301) */

static bool
offers(const unsigned char *list, unsigned bytes, struct slice protocol)
{
    for (unsigned at = 0; at < bytes; at += 1u + list[at])
        if (at + 1u + list[at] <= bytes &&
            slice_equal(slice_make((const char *)list + at + 1, list[at]), protocol))
            return true;
    return false;
}

static int
on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_bytes,
        const unsigned char *list, unsigned bytes, void *arg)
{
    const struct tls_profile *profile = arg;
    static const struct slice ours[] = { SLICE_INIT("h2"), SLICE_INIT("http/1.1") };

    (void)ssl;
    if (!profile->is_http)
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = profile->offers_h2 ? 0 : 1; i < ARRAY_COUNT(ours); i++) {
        if (!offers(list, bytes, ours[i]))
            continue;
        *chosen = (const unsigned char *)ours[i].data;
        *chosen_bytes = (unsigned char)ours[i].bytes;
        return SSL_TLSEXT_ERR_OK;
    }
    profile->thread->choice->why = "it speaks none of our protocols (ALPN)";
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- sessions */

static int profile_index = -1; /* where an SSL_CTX has its profile */

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *context,
          EVP_MAC_CTX *mac, int is_new)
{
    struct tls_profile *profile = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), profile_index);

    return ticket_view_answer(&profile->tickets, profile->thread->ticket_cipher, name, iv,
                              context, mac, is_new != 0);
}

/* OpenSSL remembers by itself sessions that clients have no tickets for. */
static void
set_sessions(SSL_CTX *openssl, const struct tls_conf *tls)
{
    bool has_cache = tls->session_cache > 0;

    SSL_CTX_set_timeout(openssl, tls->session_ms / 1000);
    SSL_CTX_set_session_cache_mode(openssl, has_cache ? SSL_SESS_CACHE_SERVER
                                                      : SSL_SESS_CACHE_OFF);
    if (has_cache)
        SSL_CTX_sess_set_cache_size(openssl, tls->session_cache);
    if (!tls->tickets)
        SSL_CTX_set_options(openssl, SSL_OP_NO_TICKET);
    /* One is enough: a client that comes again gets the next. */
    SSL_CTX_set_num_tickets(openssl, tls->tickets || has_cache ? 1 : 0);
}

/* Early data is taken once, wherever it comes: early_guard.h. OpenSSL's own guard
 * needs sessions that are remembered, and other threads would not know them. Bytes
 * of which nobody knows whether they may be replayed are never taken early. */
static void
set_early_data(SSL_CTX *openssl, const struct listener_conf *listener)
{
    const struct tls_conf *tls = &listener->tls;

    if (!tls->early_data || !tls->tickets || !is_http(listener))
        return;
    SSL_CTX_set_max_early_data(openssl, EARLY_DATA_BYTES);
    SSL_CTX_set_recv_max_early_data(openssl, EARLY_DATA_BYTES);
    SSL_CTX_set_options(openssl, SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set_allow_early_data_cb(openssl, early_guard_allow,
                                    (void *)tls->ticket_keys);
}

/* ---- the context */

static bool
set_protocol(SSL_CTX *openssl, const struct tls_conf *tls)
{
    int lowest = tls->preset == TLS_MODERN ? TLS1_3_VERSION : TLS1_2_VERSION;

    SSL_CTX_set_options(openssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    if (tls->ktls)
        SSL_CTX_set_options(openssl, SSL_OP_ENABLE_KTLS);
    /* Chains are complete as they are: nothing is looked for with each handshake. */
    SSL_CTX_set_mode(openssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN |
                                  SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_max_cert_list(openssl, CLIENT_CHAIN_BYTES_MAX);
    return SSL_CTX_set_min_proto_version(openssl, lowest) == 1 &&
           SSL_CTX_set_ciphersuites(openssl, CIPHERS_13) == 1 &&
           SSL_CTX_set_cipher_list(openssl, CIPHERS_12) == 1 &&
           SSL_CTX_set1_groups_list(openssl, GROUPS) == 1 &&
           SSL_CTX_set1_sigalgs_list(openssl, SIGNATURES) == 1;
}

static bool
set_up(struct tls_profile *profile, const struct listener_conf *listener)
{
    SSL_CTX *openssl = profile->openssl;

    SSL_CTX_set_client_hello_cb(openssl, tls_choose, profile->thread);
    SSL_CTX_set_alpn_select_cb(openssl, on_alpn, profile);
    SSL_CTX_set_tlsext_status_cb(openssl, tls_staple);
    SSL_CTX_set_tlsext_status_arg(openssl, profile->thread);
    set_sessions(openssl, &listener->tls);
    set_early_data(openssl, listener);
    if (profile->tickets.source != NULL)
        SSL_CTX_set_tlsext_ticket_key_evp_cb(openssl, on_ticket);
    return set_protocol(openssl, &listener->tls);
}

/* ---- life */

/* The SSL_CTX takes its profile with it, as connections may still give tickets
 * when the thread has let go of both. */
static void
on_free(void *parent, void *object, CRYPTO_EX_DATA *data, int index, long number, void *pointer)
{
    struct tls_profile *profile = object;

    (void)parent, (void)data, (void)index, (void)number, (void)pointer;
    if (profile == NULL)
        return;
    ticket_view_fini(&profile->tickets);
    free(profile);
}

static void
make_index(void)
{
    profile_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_free);
}

void
tls_profile_free(struct tls_profile *profile)
{
    list_remove(&profile->link);
    timer_disarm(&profile->stall_timer);
    SSL_CTX_free(profile->openssl);
}

static SSL_CTX *
new_openssl(struct tls_profile *profile)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    SSL_CTX *openssl = SSL_CTX_new_ex(profile->thread->library, NULL, TLS_server_method());

    if (openssl != NULL && CRYPTO_THREAD_run_once(&once, make_index) &&
        SSL_CTX_set_ex_data(openssl, profile_index, profile) == 1)
        return openssl;
    SSL_CTX_free(openssl);
    ticket_view_fini(&profile->tickets);
    free(profile);
    return NULL;
}

static struct tls_profile *
make(struct tls_thread *thread, const struct listener_conf *listener)
{
    struct tls_profile *profile = calloc(1, sizeof(*profile));
    SSL_CTX *openssl;

    if (profile == NULL)
        return NULL;
    list_init(&profile->link);
    list_init(&profile->under_way);
    list_init(&profile->waiting);
    timer_init(&profile->stall_timer, tls_server_on_stall);
    profile->id = listener->tls.server->profile_id;
    profile->thread = thread;
    profile->is_http = is_http(listener);
    profile->offers_h2 = listener->tls.http2;
    ticket_view_init(&profile->tickets, listener->tls.server->tickets);
    openssl = new_openssl(profile);
    ERR_clear_error();
    if (openssl == NULL)
        return NULL;
    profile->openssl = openssl;
    if (!set_up(profile, listener)) {
        ERR_clear_error();
        tls_profile_free(profile);
        return NULL;
    }
    list_push_front(&thread->profiles, &profile->link);
    return profile;
}

static bool
is_current(const struct tls_profile *profile)
{
    const struct snapshot *snapshot = profile->thread->worker->snapshot;

    for (size_t i = 0; snapshot != NULL && i < snapshot->conf.listeners.count; i++) {
        const struct listener_conf *listener = snapshot->conf.listeners.items[i];

        if (listener->tls.server != NULL && listener->tls.server->profile_id == profile->id)
            return true;
    }
    return false;
}

/* Those of configurations that have gone. */
static void
sweep(struct tls_thread *thread)
{
    list_each(link, &thread->profiles) {
        struct tls_profile *profile = container_of(link, struct tls_profile, link);

        if (profile->accepts == 0 && !is_current(profile))
            tls_profile_free(profile);
    }
    client_trust_sweep(thread);
}

struct tls_profile *
tls_profile_get(struct tls_thread *thread, const struct listener_conf *listener)
{
    list_each(link, &thread->profiles) {
        struct tls_profile *profile = container_of(link, struct tls_profile, link);

        if (profile->id == listener->tls.server->profile_id)
            return profile;
    }
    sweep(thread);
    return make(thread, listener);
}
