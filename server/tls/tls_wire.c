/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_wire.c - a source and sink (BIO) of OpenSSL's that is the desk.
 *
 * System calls are made directly, for the reason given in net/conn.c.
 */
#include "config.h"

#include "server/tls/tls_wire.h"

#include "server/base/must.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Answers to a peer that makes us answer without reading: more and it is closed. */
#define OWED_MAX_BYTES (512u * 1024)

/* What records add to the bytes in them, and then some. */
#define READ_MORE_BYTES 1024u

/* ---- the desk */

_Thread_local struct tls_desk *tls_desk;

bool
tls_desk_have(void)
{
    if (likely(tls_desk != NULL))
        return true;
    tls_desk = malloc(sizeof(*tls_desk));
    return tls_desk != NULL;
}

void
tls_desk_free(void)
{
    free(tls_desk);
    tls_desk = NULL;
}

void
tls_desk_begin(size_t bytes, bool saw_hangup)
{
    bytes += READ_MORE_BYTES;
    if (bytes < TLS_RECORD_ROOM)
        bytes = TLS_RECORD_ROOM;
    tls_desk->in_room = bytes < TLS_IN_BYTES ? bytes : TLS_IN_BYTES;
    tls_desk_go_on();
    tls_desk->is_drained = false;
    tls_desk->saw_hangup = saw_hangup;
    tls_desk->out_bytes = 0;
    errno = 0;
    ERR_clear_error();
}

/* ---- input */

/* Reads into the desk. False: there is nothing, and desk or wire say why. */
static bool
read_socket(struct tls_wire *wire)
{
    ssize_t got;

    if (tls_desk->is_drained || wire->saw_end || wire->error != 0)
        return false;
    if (tls_desk->in_left == 0) {
        wire->error = EPROTO;
        return false;
    }
    do {
        got = syscall(SYS_recvfrom, wire->fd, tls_desk->in, tls_desk->in_room, 0, NULL, NULL);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        tls_desk->in_left -= (size_t)got < tls_desk->in_left ? (size_t)got : tls_desk->in_left;
        tls_desk->is_drained = (size_t)got < tls_desk->in_room && !tls_desk->saw_hangup;
        wire->in = tls_desk->in;
        wire->in_bytes = (size_t)got;
        return true;
    }
    if (got == 0)
        wire->saw_end = true;
    else if (errno == EAGAIN)
        tls_desk->is_drained = true;
    else
        wire->error = errno;
    return false;
}

static int
bio_read(BIO *bio, char *data, int bytes)
{
    struct tls_wire *wire = BIO_get_data(bio);
    size_t n;

    BIO_clear_retry_flags(bio);
    if (wire->in_bytes == 0 && !read_socket(wire)) {
        if (tls_desk->is_drained)
            BIO_set_retry_read(bio);
        return wire->saw_end ? 0 : -1;
    }
    n = wire->in_bytes < (size_t)bytes ? wire->in_bytes : (size_t)bytes;
    memcpy(data, wire->in, n);
    wire->in += n;
    wire->in_bytes -= n;
    return (int)n;
}

void
tls_wire_keep_input(struct tls_wire *wire)
{
    char *own = NULL;

    if (wire->in_bytes > 0 && wire->in >= tls_desk->in && wire->in < tls_desk->in + TLS_IN_BYTES) {
        own = malloc(wire->in_bytes);
        if (own != NULL) {
            memcpy(own, wire->in, wire->in_bytes);
        } else {
            wire->in_bytes = 0;
            wire->error = ENOMEM; /* nothing may follow the gap */
        }
    } else if (wire->in_bytes > 0) {
        return;
    }
    free(wire->in_own);
    wire->in = wire->in_own = own;
}

/* ---- output */

bool
tls_wire_send(struct tls_wire *wire, const char *data, size_t bytes, size_t *sent)
{
    ssize_t n;

    *sent = 0;
    if (wire->error != 0)
        return false;
    do {
        n = syscall(SYS_sendto, wire->fd, data, bytes, MSG_NOSIGNAL, NULL, 0);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        *sent = (size_t)n;
        return true;
    }
    if (errno == EAGAIN)
        return true;
    wire->error = errno;
    return false;
}

static void
forget_owed(struct tls_wire *wire)
{
    wire->is_patient = false;
    free(wire->owed);
    wire->owed = NULL;
    wire->owed_at = wire->owed_end = 0;
}

bool
tls_wire_owe(struct tls_wire *wire, const char *data, size_t bytes)
{
    size_t before = tls_wire_owed(wire);
    char *owed;

    if (before + bytes > OWED_MAX_BYTES || (owed = malloc(before + bytes)) == NULL) {
        wire->error = ENOBUFS;
        return false;
    }
    if (before > 0)
        memcpy(owed, wire->owed + wire->owed_at, before);
    memcpy(owed + before, data, bytes);
    free(wire->owed);
    wire->owed = owed;
    wire->owed_at = 0;
    wire->owed_end = before + bytes;
    return true;
}

bool
tls_wire_flush_owed(struct tls_wire *wire)
{
    size_t sent;

    if (tls_wire_owed(wire) == 0)
        return true;
    if (!tls_wire_send(wire, wire->owed + wire->owed_at, tls_wire_owed(wire), &sent))
        return false;
    wire->owed_at += sent;
    if (tls_wire_owed(wire) > 0)
        return true;
    forget_owed(wire);
    if (wire->ends_after_owed)
        shutdown(wire->fd, SHUT_WR);
    return true;
}

bool
tls_wire_flush(struct tls_wire *wire)
{
    size_t sent = 0;

    if (!tls_wire_flush_owed(wire))
        return false;
    if (tls_desk->out_bytes == 0)
        return true;
    if (tls_wire_owed(wire) == 0 &&
        !tls_wire_send(wire, tls_desk->out, tls_desk->out_bytes, &sent))
        return false;
    if (sent < tls_desk->out_bytes &&
        !tls_wire_owe(wire, tls_desk->out + sent, tls_desk->out_bytes - sent))
        return false;
    tls_desk->out_bytes = 0;
    return true;
}

void
tls_wire_take_owed(struct tls_wire *wire)
{
    if (wire->owed == NULL)
        return;
    memcpy(tls_desk->out, wire->owed + wire->owed_at, tls_wire_owed(wire));
    tls_desk->out_bytes = tls_wire_owed(wire);
    forget_owed(wire);
}

/* Never has to wait: what does not fit on the desk is sent, or owed. */
static int
bio_write(BIO *bio, const char *data, int bytes)
{
    struct tls_wire *wire = BIO_get_data(bio);
    size_t n = (size_t)bytes;

    BIO_clear_retry_flags(bio);
    if (n > TLS_OUT_BYTES - tls_desk->out_bytes && !tls_wire_flush(wire))
        return -1;
    if (n > TLS_OUT_BYTES)
        n = TLS_OUT_BYTES;
    memcpy(tls_desk->out + tls_desk->out_bytes, data, n);
    tls_desk->out_bytes += n;
    return (int)n;
}

/* ---- what OpenSSL takes for the socket */

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
    const struct tls_wire *wire = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_EOF:
        return wire->saw_end;
    case BIO_CTRL_FLUSH:
        return 1;
    default:
        return 0;
    }
}

static BIO_METHOD *method;

static void
make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bascule");
    must(method != NULL);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
}

bool
tls_wire_join(struct tls_wire *wire, SSL *ssl)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    BIO *bio;

    if (!CRYPTO_THREAD_run_once(&once, make_method) || (bio = BIO_new(method)) == NULL)
        return false;
    BIO_set_data(bio, wire);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return true;
}

void
tls_wire_fini(struct tls_wire *wire)
{
    free(wire->in_own);
    forget_owed(wire);
}
