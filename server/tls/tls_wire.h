/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_wire.h - between OpenSSL and the socket of a session.
 *
 *     socket --recv()--> desk.in --> SSL
 *     socket <--send()-- desk.out <-- SSL
 *
 * OpenSSL reads and writes memory: the desk, buffers that all sessions of a
 * thread share while they are at work. One recv() brings several records, and
 * all records of one send leave with one send(). An idle session holds neither.
 * What is left over when a call ends moves to memory of its own: input that
 * nobody had room for yet, output that the socket did not take.
 */
#ifndef BASCULE_TLS_WIRE_H
#define BASCULE_TLS_WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>

#define TLS_RECORD_BYTES 16384u
#define TLS_RECORD_ROOM (TLS_RECORD_BYTES + 512u) /* with header, padding and tag */
#define TLS_IN_BYTES (5 * TLS_RECORD_ROOM)
#define TLS_OUT_BYTES (10 * TLS_RECORD_ROOM)

/* More than any handshake needs. OpenSSL reads on while there are only records
 * about TLS itself (KeyUpdate), and would do so for ever. */
#define TLS_FRUITLESS_BYTES (6 * TLS_RECORD_ROOM)

struct tls_wire {
    int fd;
    int error; /* errno of the socket; 0: none */

    const char *in; /* read and not decrypted yet: on the desk or in in_own */
    size_t in_bytes;
    char *in_own;

    char *owed; /* encrypted and not taken by the socket */
    size_t owed_at, owed_end;
    bool is_patient;      /* what is owed has time until there is more: a ticket */
    bool ends_after_owed; /* then we send no more */
    bool saw_end;         /* of the socket's stream */
};

struct tls_desk {
    size_t in_room;  /* to read at once */
    size_t in_left;  /* to read until somebody gets something of it */
    bool is_drained; /* the socket has no more */
    bool saw_hangup; /* so a short read does not say so */
    size_t out_bytes;
    char in[TLS_IN_BYTES];
    char out[TLS_OUT_BYTES];
    char record[TLS_RECORD_BYTES]; /* to be encrypted: small pieces put together */
};

/* Of the calling thread. */
extern _Thread_local struct tls_desk *tls_desk;

/* False when memory is short. */
bool tls_desk_have(void);
void tls_desk_free(void);

/* A call begins that is to read about so many bytes; saw_hangup: the kernel has
 * told of the end, which is to be read. Ends with tls_wire_keep_input() and
 * tls_wire_flush(). */
void tls_desk_begin(size_t bytes, bool saw_hangup);

/* What was read was of use: there may be as much again. */
static inline void
tls_desk_go_on(void)
{
    tls_desk->in_left = TLS_FRUITLESS_BYTES;
}

/* Has ssl read and write through wire, which lives as long. False when memory is short. */
bool tls_wire_join(struct tls_wire *wire, SSL *ssl);

/* Frees what it holds. */
void tls_wire_fini(struct tls_wire *wire);

/* What is left on the desk moves out. */
void tls_wire_keep_input(struct tls_wire *wire);

/* Sends what is on the desk, behind what is owed. What the socket does not take is
 * owed then. False: the wire is broken. */
bool tls_wire_flush(struct tls_wire *wire);

/* The parts of that: sends these bytes as far as the socket takes them; puts them
 * behind what is owed; sends what is owed. False: the wire is broken. */
bool tls_wire_send(struct tls_wire *wire, const char *data, size_t bytes, size_t *sent);
bool tls_wire_owe(struct tls_wire *wire, const char *data, size_t bytes);
bool tls_wire_flush_owed(struct tls_wire *wire);

/* Puts what is owed on the empty desk, to go with what follows. There must be room. */
void tls_wire_take_owed(struct tls_wire *wire);

static inline size_t
tls_wire_owed(const struct tls_wire *wire)
{
    return wire->owed_end - wire->owed_at;
}

#endif
