/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_session.h - a TLS session whose handshake is done, and the transport that
 * carries a connection's bytes through it. The same for both sides: what a
 * client connected with, and what we connected to an origin with.
 *
 * A session travels with its descriptor: handshake --> struct accepted -->
 * connection --> (struct accepted --> tunnel). Who holds the descriptor holds
 * the session.
 */
#ifndef BASCULE_TLS_SESSION_H
#define BASCULE_TLS_SESSION_H

#include "server/base/arena.h"
#include "server/net/conn.h"

struct tls_session;

/* What was agreed on for the application (RFC 7301). */
enum alpn { ALPN_NONE, ALPN_HTTP1, ALPN_H2 };

/* What is known of a session; lives as long as it does. Facts for policy,
 * headers and logs. */
struct tls_facts {
    const char *version;      /* "TLSv1.3"; static */
    const char *cipher;       /* "TLS_AES_128_GCM_SHA256"; static */
    struct slice server_name; /* asked for by the client (SNI), in lower case; empty: none */
    enum alpn alpn;
    bool is_resumed;
    bool has_client_certificate; /* and it was verified: see tls_session_client() */
    /* What the handshake was done with, for 421: numbers for the set of certificates
     * shown and for the demands on client certificates; 0 on our side of an
     * upstream connection. */
    uint64_t set_id;
    uint64_t client_demands;
};

const struct tls_facts *tls_session_facts(const struct tls_session *session);

/* Whether what was read so far came as early data (0-RTT) and the handshake is
 * not finished yet: it may be a replay (RFC 8470). */
bool tls_session_is_early(const struct tls_session *session);

/* A client's certificate, as text and DER made when first asked for, in arena. */
struct client_certificate {
    struct slice subject, issuer;    /* RFC 4514: "CN=alice,O=Example" */
    struct slice serial;             /* hexadecimal, upper case */
    struct slice fingerprint;        /* SHA-256, hexadecimal, lower case */
    struct slice names;              /* subjectAltName, separated by ", ": "DNS:a, email:b" */
    struct slice der;
    int64_t not_before_s, not_after_s; /* since 1970 */
};

/* False when there is none. */
bool tls_session_client(const struct tls_session *session, struct arena *arena,
                        struct client_certificate *certificate);

/* Whom a client's certificate names, of those that can be told (UTF-8 without control
 * characters, user_name_is_good()); in arena. */
struct client_names {
    struct slice common_name; /* the most specific; empty: none, and so below */
    struct slice email, dns;  /* the first subjectAltName of each kind */
    struct slice *units;      /* organizational units of the subject */
    unsigned unit_count;
};

/* False when there is no certificate, or no memory. Cheaper than tls_session_client(). */
bool tls_session_client_names(const struct tls_session *session, struct arena *arena,
                              struct client_names *names);

/* A connection opened on the session's descriptor speaks through it from now
 * on. conn takes the session; NULL changes nothing (plain). */
void tls_attach(struct conn *conn, struct tls_session *session);

/* Takes it back, before conn_detach(); NULL when conn is plain. Nothing decrypted
 * is left behind in it only if the caller has read until CONN_WAIT or hands the
 * session on with the descriptor. */
struct tls_session *tls_detach(struct conn *conn);

/* The session a connection speaks through; NULL: plain. */
struct tls_session *tls_of(const struct conn *conn);

/* Whether bytes wait in the session that no event of the descriptor will tell
 * of: decrypted, or read and not decrypted yet. */
bool tls_has_pending(const struct tls_session *session);

/* Sends what the connection's socket had no room for, to be asked again when there
 * is: after conn_shutdown(), that may be the close_notify. True: nothing is left (or
 * it is plain, or broken). */
bool tls_flush(struct conn *conn);

/* For a session that no connection took. NULL is fine. */
void tls_session_free(struct tls_session *session);

#endif
