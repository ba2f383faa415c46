/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_transport.c - a connection's bytes through its session.
 *
 * A writer is told of bytes only once the kernel has them (as many as there are
 * in proportion, when it takes part of them). Until then it offers the same bytes
 * again, and what was encrypted already is passed over. So a connection that has
 * told all may be closed, as with a plain socket.
 *
 * Events are told once, so a read that leaves something behind, in the socket, on
 * the desk or in OpenSSL, leaves conn->may_read set. The end of the stream counts
 * only after the peer's close_notify: without it somebody else may have cut the
 * message short.
 */
#include "config.h"

#include "server/tls/tls_session.h"

#include "server/tls/tls_openssl.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Encrypted at once. */
#define SEND_BYTES (8 * TLS_RECORD_BYTES)
#define SEND_SLOW_BYTES TLS_RECORD_BYTES /* once the socket has not taken all */

/* Left over from before, this little is sent along with what follows. */
#define OWED_SMALL_BYTES TLS_RECORD_BYTES

/* What the network carries before the first acknowledgement comes is sent in small
 * records, as a record is of use only when all of it has arrived. */
#define BURST_BYTES (16u * 1024)
#define BURST_RECORD_BYTES 4096u
#define BURST_IDLE_MS 1000

/* ---- reading */

static struct tls_session *
session_of(const struct conn *conn)
{
    return conn->transport_state;
}

static ssize_t
failed(struct conn *conn)
{
    struct tls_session *session = session_of(conn);

    if (session->wire.error == 0)
        session->wire.error = EPROTO;
    conn->error = session->wire.error;
    return CONN_FAILED;
}

/* Early data of the client's first flight, while it lasts. */
static int
decrypt_early(struct tls_session *session, char *data, size_t room, size_t *got)
{
    size_t left = session->early_end - session->early_at;

    if (left > 0) {
        *got = left < room ? left : room;
        memcpy(data, session->early + session->early_at, *got);
        session->early_at += *got;
        return 1;
    }
    free(session->early);
    session->early = NULL;
    switch (SSL_read_early_data(session->ssl, data, room, got)) {
    case SSL_READ_EARLY_DATA_SUCCESS:
        return 1;
    case SSL_READ_EARLY_DATA_FINISH:
        session->is_early = false;
        return SSL_read_ex(session->ssl, data, room, got);
    default:
        return 0;
    }
}

static int
decrypt(struct tls_session *session, char *data, size_t room, size_t *got)
{
    *got = 0;
    if (unlikely(session->is_early))
        return decrypt_early(session, data, room, got);
    return SSL_read_ex(session->ssl, data, room, got);
}

/* Whether another look may find something without asking the socket in vain. */
static bool
may_have_more(const struct tls_session *session)
{
    return session->wire.in_bytes > 0 || SSL_pending(session->ssl) > 0 ||
           session->early_end > session->early_at || !tls_desk->is_drained;
}

/* Nothing was read, because: */
static ssize_t
nothing_read(struct conn *conn)
{
    struct tls_session *session = session_of(conn);

    switch (SSL_get_error(session->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        conn->may_read = false;
        return CONN_WAIT;
    case SSL_ERROR_WANT_WRITE: /* of its own: reading goes on when there is room */
        conn->may_write = false;
        return CONN_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return failed(conn);
    }
}

/* Decrypts what is there, as far as there is room. *is_over: what follows is an
 * end or an error, of which no event will tell. */
static size_t
read_records(struct tls_session *session, char *data, size_t room, bool *is_over)
{
    size_t total = 0, got;

    *is_over = false;
    while (total < room && may_have_more(session)) {
        if (decrypt(session, data + total, room - total, &got) != 1) {
            *is_over = total > 0 && SSL_get_error(session->ssl, 0) != SSL_ERROR_WANT_READ;
            break;
        }
        tls_desk_go_on();
        total += got;
    }
    return total;
}

static ssize_t
tls_recv(struct conn *conn, void *data, size_t bytes)
{
    struct tls_session *session = session_of(conn);
    struct tls_wire *wire = &session->wire;
    ssize_t result;
    size_t total;
    bool is_over;

    if (wire->error != 0)
        return failed(conn);
    tls_desk_begin(bytes, conn->saw_hangup);
    total = read_records(session, data, bytes, &is_over);
    if (total > 0) {
        result = (ssize_t)total;
        conn->may_read = is_over || may_have_more(session);
    } else {
        result = nothing_read(conn);
    }
    tls_wire_keep_input(wire);
    if (wire->is_patient && tls_desk->out_bytes == 0)
        return result;
    if (!tls_wire_flush(wire) && total == 0)
        return failed(conn);
    /* What is owed has nobody else to send it: the next event is ours, too. */
    if (tls_wire_owed(wire) > 0 && session->owed_plain == 0 && !conn->may_write)
        conn->may_read = true;
    if (is_over && (SSL_get_shutdown(session->ssl) & SSL_RECEIVED_SHUTDOWN) == 0 &&
        wire->error == 0)
        wire->error = EPROTO; /* OpenSSL would not say it again */
    return result;
}

/* ---- writing */

/* What a writer offers, as far as it was passed over or encrypted. */
struct offer {
    const struct iovec *iov;
    int count;
    size_t at; /* in the first of them */
    size_t left;
};

static struct offer
offer_of(const struct iovec *iov, int count)
{
    struct offer offer = { iov, count, 0, 0 };

    for (int i = 0; i < count; i++)
        offer.left += iov[i].iov_len;
    return offer;
}

static void
pass_over(struct offer *offer, size_t bytes)
{
    offer->left -= bytes;
    while (bytes > 0 || (offer->count > 0 && offer->at == offer->iov->iov_len)) {
        size_t here = offer->iov->iov_len - offer->at;

        if (bytes < here) {
            offer->at += bytes;
            return;
        }
        bytes -= here;
        offer->iov++;
        offer->count--;
        offer->at = 0;
    }
}

/* The next bytes of the offer in one piece: small ones share a record, as each
 * costs a header, a tag and work of its own. */
static const char *
next_record(const struct offer *offer, size_t bytes)
{
    struct offer rest = *offer;
    size_t filled = 0;

    pass_over(&rest, 0);
    if (rest.iov->iov_len - rest.at >= bytes)
        return (const char *)rest.iov->iov_base + rest.at;
    while (filled < bytes) {
        size_t here = rest.iov->iov_len - rest.at;

        if (here > bytes - filled)
            here = bytes - filled;
        memcpy(tls_desk->record + filled, (const char *)rest.iov->iov_base + rest.at, here);
        filled += here;
        pass_over(&rest, here);
    }
    return tls_desk->record;
}

static size_t
record_bytes(const struct tls_session *session)
{
    return session->burst_bytes < BURST_BYTES ? BURST_RECORD_BYTES : TLS_RECORD_BYTES;
}

static int
encrypt(struct tls_session *session, const char *data, size_t bytes, size_t *done)
{
    *done = 0;
    if (unlikely(session->took_early)) {
        session->took_early = tls_session_is_early(session);
        if (session->took_early)
            return SSL_write_early_data(session->ssl, data, bytes, done);
    }
    return SSL_write_ex(session->ssl, data, bytes, done);
}

/* Encrypts what is offered, up to max bytes. -1 when OpenSSL will not. */
static ssize_t
fill_desk(struct tls_session *session, struct offer *offer, size_t max)
{
    size_t total = 0;

    while (offer->left > 0 && total < max) {
        size_t room = record_bytes(session), done;
        size_t bytes = offer->left < room ? offer->left : room;

        if (encrypt(session, next_record(offer, bytes), bytes, &done) != 1)
            return total > 0 && session->by_kernel ? (ssize_t)total : -1;
        pass_over(offer, done);
        total += done;
        if (session->burst_bytes < BURST_BYTES)
            session->burst_bytes += (uint32_t)done;
    }
    return (ssize_t)total;
}

/* How many bytes a writer may be told of, when so much of the output that its
 * bytes became is gone. Not told before all is gone: the last one. */
static size_t
share(size_t plain, size_t sent, size_t all)
{
    return sent == all ? plain : (size_t)((uint64_t)plain * sent / all);
}

static size_t
told(struct tls_session *session, size_t bytes, size_t offered)
{
    if (bytes > offered)
        bytes = offered;
    session->owed_plain -= bytes;
    return bytes;
}

static ssize_t
told_or_wait(struct conn *conn, size_t bytes, size_t offered)
{
    struct tls_session *session = session_of(conn);

    conn->may_write = false;
    session->is_slow = true;
    bytes = told(session, bytes, offered);
    return bytes > 0 ? (ssize_t)bytes : CONN_WAIT;
}

/* Sends what was owed when it is much. True when nothing is owed any more, or
 * so little that it goes with the rest. */
static bool
send_owed(struct tls_session *session, size_t *ready)
{
    size_t before = tls_wire_owed(&session->wire);

    if (before <= OWED_SMALL_BYTES)
        return true;
    if (!tls_wire_flush_owed(&session->wire))
        return false;
    *ready = share(session->owed_plain, before - tls_wire_owed(&session->wire), before);
    return tls_wire_owed(&session->wire) == 0;
}

static ssize_t
send_by_kernel(struct conn *conn, struct offer *offer)
{
    struct tls_session *session = session_of(conn);
    ssize_t total = fill_desk(session, offer, SEND_BYTES);

    if (total >= 0)
        return total;
    switch (SSL_get_error(session->ssl, 0)) {
    case SSL_ERROR_WANT_WRITE:
        conn->may_write = false;
        return CONN_WAIT;
    case SSL_ERROR_WANT_READ:
        conn->may_read = false;
        return CONN_WAIT;
    default:
        return failed(conn);
    }
}

static void
begin_burst(struct tls_session *session, uint64_t now_ms)
{
    if (now_ms - session->sent_ms > BURST_IDLE_MS)
        session->burst_bytes = 0;
    session->sent_ms = now_ms;
}

static ssize_t
tls_send(struct conn *conn, const struct iovec *iov, int count, bool more)
{
    struct tls_session *session = session_of(conn);
    struct offer offer = offer_of(iov, count);
    size_t offered = offer.left, ready = 0, sent, all;
    ssize_t fresh;

    (void)more;
    if (session->wire.error != 0)
        return failed(conn);
    if (offered == 0)
        return 0;
    tls_desk_begin(0, conn->saw_hangup);
    begin_burst(session, loop_now_ms(conn->loop));
    if (session->by_kernel)
        return send_by_kernel(conn, &offer);
    if (!send_owed(session, &ready))
        return session->wire.error != 0 ? failed(conn) : told_or_wait(conn, ready, offered);
    tls_wire_take_owed(&session->wire); /* the small rest goes first */
    pass_over(&offer, session->owed_plain < offered ? session->owed_plain : offered);
    fresh = fill_desk(session, &offer, session->is_slow ? SEND_SLOW_BYTES : SEND_BYTES);
    if (fresh < 0)
        return failed(conn);
    session->owed_plain += (size_t)fresh;
    all = tls_desk->out_bytes;
    if (all == 0)
        sent = 0;
    else if (!tls_wire_send(&session->wire, tls_desk->out, all, &sent))
        return failed(conn);
    if (sent == all) {
        session->is_slow = false;
        return (ssize_t)told(session, session->owed_plain, offered);
    }
    if (!tls_wire_owe(&session->wire, tls_desk->out + sent, all - sent))
        return failed(conn);
    return told_or_wait(conn, share(session->owed_plain, sent, all), offered);
}

/* ---- ends */

/* Says that we send no more. Everything told to the writer is on its way. */
static void
say_goodbye(struct tls_session *session)
{
    if (session->wire.error != 0 || SSL_in_init(session->ssl) || tls_session_is_early(session))
        return;
    tls_desk_begin(0, false);
    SSL_shutdown(session->ssl);
    (void)tls_wire_flush(&session->wire);
    ERR_clear_error();
}

static int
tls_shutdown(struct conn *conn)
{
    struct tls_session *session = session_of(conn);

    say_goodbye(session);
    if (tls_wire_owed(&session->wire) == 0)
        return shutdown(session->wire.fd, SHUT_WR);
    session->wire.ends_after_owed = true;
    conn->may_read = true;
    return 0;
}

bool
tls_flush(struct conn *conn)
{
    struct tls_session *session = tls_of(conn);

    if (session == NULL || !tls_wire_flush_owed(&session->wire) ||
        tls_wire_owed(&session->wire) == 0)
        return true;
    conn->may_write = false;
    return false;
}

static void
tls_close(struct conn *conn)
{
    if (conn->error == 0 && !conn->is_shut && !conn->is_broken)
        say_goodbye(session_of(conn));
    tls_session_free(session_of(conn));
    conn->transport_state = NULL;
}

static const struct transport tls_transport = {
    .name = "tls",
    .recv = tls_recv,
    .send = tls_send,
    .shutdown = tls_shutdown,
    .close = tls_close,
};

void
tls_attach(struct conn *conn, struct tls_session *session)
{
    if (session == NULL)
        return;
    conn->transport = &tls_transport;
    conn->transport_state = session;
}

struct tls_session *
tls_of(const struct conn *conn)
{
    return conn->transport == &tls_transport ? conn->transport_state : NULL;
}

struct tls_session *
tls_detach(struct conn *conn)
{
    struct tls_session *session = tls_of(conn);

    conn->transport = &plain_transport;
    conn->transport_state = NULL;
    return session;
}

bool
tls_has_pending(const struct tls_session *session)
{
    return session->wire.in_bytes > 0 || session->early_end > session->early_at ||
           SSL_pending(session->ssl) > 0;
}
