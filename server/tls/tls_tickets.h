/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_tickets.h - the keys of session tickets (RFC 5077, RFC 8446 section 4.6.1),
 * the same on all threads.
 *
 * They are our own, and a new one takes over every hour; or they come from a file
 * that several nodes share. Each thread works with a copy, made again when the
 * keys have changed, so a handshake takes no lock.
 */
#ifndef BASCULE_TLS_TICKETS_H
#define BASCULE_TLS_TICKETS_H

#include <openssl/ssl.h>

#include <stdbool.h>

#include "server/base/err.h"

#define TICKET_KEYS_MAX 50 /* two days of hours */
#define TICKET_KEY_BYTES 80

struct ticket_keys;

/* A key as it is in a file. */
struct ticket_key {
    unsigned char name[16], hmac[32], aes[32];
};

/* A thread's copy. */
struct ticket_view {
    struct ticket_keys *source; /* has its reference; NULL: no tickets */
    uint64_t version;           /* of source, when it was copied */
    unsigned count;
    struct ticket_key keys[TICKET_KEYS_MAX]; /* new tickets are made with the first */
};

/* Keys of our own, kept as long as a session of session_ms may need them, or (path
 * not NULL) those in the file. NULL with err. Give back with ticket_keys_unref(). */
struct ticket_keys *ticket_keys_adopt(const char *path, uint32_t session_ms,
                                      struct err *err) MUST_USE;
struct ticket_keys *ticket_keys_ref(struct ticket_keys *keys);
void ticket_keys_unref(struct ticket_keys *keys);

/* Reads the file again: 1: new ones; 0: as before; -1 with err: it is no good, and
 * the old ones stay. From one thread at a time. */
int ticket_keys_reload(struct ticket_keys *keys, struct err *err);

/* Replaces our own keys' newest as an hour would. For tests. */
void ticket_keys_rotate(struct ticket_keys *keys);

/* Begins and ends a copy. Takes a reference. */
void ticket_view_init(struct ticket_view *view, struct ticket_keys *source);
void ticket_view_fini(struct ticket_view *view);

/* OpenSSL's question how to encrypt (is_new) or decrypt a ticket: see
 * SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
int ticket_view_answer(struct ticket_view *view, const EVP_CIPHER *cipher, unsigned char *name,
                       unsigned char *iv, EVP_CIPHER_CTX *context, EVP_MAC_CTX *mac,
                       bool is_new);

#endif
