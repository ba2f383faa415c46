/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tunnel_tls.c - tunnels of which one side or both speak TLS, between real
 * sockets; OpenSSL is client and origin.
 *
 *     client ===== [tunnel->client | tunnel->upstream] ===== origin
 */
#include "config.h"

#include "test/unit/tunnel_fixture.h"

#include "test/unit/suites.h"

#include "modes/mode.h"
#include "server/tls/tls_openssl.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define DAY_S 86400

static SSL_CTX *server_context, *client_context;
static const struct tunnel_conf patient = { .idle_ms = 600000 };

/* A far end: of the client or the origin. */
struct far {
    int fd;
    SSL *ssl; /* NULL: plain */
};

static struct far client, origin;

/* ---- contexts */

static void
give_certificate(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();

    X509_gmtime_adj(X509_getm_notBefore(x509), -DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(x509), DAY_S);
    X509_set_pubkey(x509, key);
    must(X509_sign(x509, key, EVP_sha256()) != 0);
    must(SSL_CTX_use_certificate(context, x509) == 1);
    must(SSL_CTX_use_PrivateKey(context, key) == 1);
    X509_free(x509);
    EVP_PKEY_free(key);
}

static int
begin_suite(void)
{
    signal(SIGPIPE, SIG_IGN);
    server_context = SSL_CTX_new(TLS_server_method());
    client_context = SSL_CTX_new(TLS_client_method());
    give_certificate(server_context);
    SSL_CTX_set_mode(client_context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                         SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_mode(server_context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                         SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return 0;
}

static int
end_suite(void)
{
    SSL_CTX_free(server_context);
    SSL_CTX_free(client_context);
    return 0;
}

/* ---- the stage */

/* The near end is the server where the far one is the client, and the other way
 * round. */
static SSL *
shake_hands(struct far *far, int near_fd, SSL_CTX *near_context, SSL_CTX *far_context)
{
    SSL *near = SSL_new(near_context);
    bool is_near_done = false, is_far_done = false;

    far->ssl = SSL_new(far_context);
    SSL_set_fd(near, near_fd);
    SSL_set_fd(far->ssl, far->fd);
    if (near_context == server_context) {
        SSL_set_accept_state(near);
        SSL_set_connect_state(far->ssl);
    } else {
        SSL_set_connect_state(near);
        SSL_set_accept_state(far->ssl);
    }
    for (int i = 0; i < 1000 && !(is_near_done && is_far_done); i++) {
        is_near_done = SSL_do_handshake(near) == 1;
        is_far_done = SSL_do_handshake(far->ssl) == 1;
    }
    CU_ASSERT_FATAL(is_near_done && is_far_done);
    return near;
}

static struct accepted
side(struct far *far, void (*pair)(int[2]), SSL_CTX *near_context, SSL_CTX *far_context)
{
    struct accepted near = { .fd = -1 };
    int fds[2];

    pair(fds);
    *far = (struct far){ .fd = fds[0] };
    near.fd = fds[1];
    if (near_context != NULL) {
        near.tls = tls_session_new(shake_hands(far, near.fd, near_context, far_context));
        CU_ASSERT_PTR_NOT_NULL_FATAL(near.tls);
    }
    return near;
}

static struct accepted
client_side(bool is_tls)
{
    return side(&client, tcp_pair, is_tls ? server_context : NULL, client_context);
}

static struct accepted
origin_side(bool is_tls)
{
    return side(&origin, tcp_pair, is_tls ? client_context : NULL, server_context);
}

static void
join(const struct accepted *down, const struct accepted *up)
{
    tunnel = tunnel_start(&worker, down, up, &patient, on_done, &worker);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tunnel);
}

static void
start(bool client_is_tls, bool origin_is_tls)
{
    struct accepted down, up;

    begin_worker(16);
    down = client_side(client_is_tls);
    up = origin_side(origin_is_tls);
    join(&down, &up);
}

static void
hang_up(struct far *far)
{
    SSL_free(far->ssl);
    far->ssl = NULL;
    if (far->fd >= 0)
        close(far->fd);
    far->fd = -1;
}

static void
reset(struct far *far)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };

    setsockopt(far->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    hang_up(far);
}

static void
tear_down(void)
{
    if (tunnel != NULL)
        tunnel_close(tunnel, TUNNEL_STOPPED);
    hang_up(&client);
    hang_up(&origin);
    end_worker();
}

/* ---- what the far ends say and hear */

enum { HEARD_NOTHING = -1, HEARD_TROUBLE = -2 };

/* Bytes sent, or HEARD_NOTHING. */
static ssize_t
try_say(struct far *far, const void *data, size_t bytes)
{
    size_t sent;

    if (far->ssl == NULL)
        return send(far->fd, data, bytes, MSG_NOSIGNAL);
    ERR_clear_error();
    return SSL_write_ex(far->ssl, data, bytes, &sent) == 1 ? (ssize_t)sent : HEARD_NOTHING;
}

/* Bytes, 0 at the proper end of the stream, HEARD_NOTHING, or HEARD_TROUBLE. */
static ssize_t
try_hear(struct far *far, void *data, size_t bytes)
{
    size_t got;
    ssize_t n;

    if (far->ssl == NULL) {
        n = recv(far->fd, data, bytes, 0);
        return n >= 0 ? n : errno == EAGAIN ? HEARD_NOTHING : HEARD_TROUBLE;
    }
    ERR_clear_error();
    if (SSL_read_ex(far->ssl, data, bytes, &got) == 1)
        return (ssize_t)got;
    switch (SSL_get_error(far->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return HEARD_NOTHING;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return HEARD_TROUBLE;
    }
}

static ssize_t
hear(struct far *far, void *data, size_t bytes)
{
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
    ssize_t got;

    while ((got = try_hear(far, data, bytes)) == HEARD_NOTHING && clock_monotonic_ms() < stop)
        loop_turn(worker.loop, 5);
    return got;
}

static bool
hears(struct far *far, const char *text)
{
    size_t bytes = strlen(text), got = 0;
    char data[256];

    while (got < bytes) {
        ssize_t n = hear(far, data + got, bytes - got);

        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return memcmp(data, text, bytes) == 0;
}

static bool
hears_the_end(struct far *far)
{
    char byte;

    return hear(far, &byte, 1) == 0;
}

/* It ends, and not as if that were all. */
static bool
hears_trouble(struct far *far)
{
    char data[4096];
    ssize_t got;

    do {
        got = hear(far, data, sizeof(data));
    } while (got > 0);
    return got == HEARD_TROUBLE;
}

static void
say(struct far *far, const char *text)
{
    CU_ASSERT_EQUAL(try_say(far, text, strlen(text)), (ssize_t)strlen(text));
}

static void
say_the_end(struct far *far)
{
    if (far->ssl != NULL)
        SSL_shutdown(far->ssl);
    else
        shutdown(far->fd, SHUT_WR);
}

/* ---- long streams, every byte of which can be told from its place */

struct stream {
    struct far *from, *to;
    uint64_t total, sent, received;
    uint32_t seed;
    bool is_wrong, has_ended;
};

static void
fill(const struct stream *s, uint64_t at, uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(((at + i) * 2654435761u + s->seed) >> 11);
}

static void
feed(struct stream *s)
{
    uint8_t data[65536];

    while (s->sent < s->total) {
        uint64_t left = s->total - s->sent;
        size_t bytes = left < sizeof(data) ? (size_t)left : sizeof(data);
        ssize_t n;

        fill(s, s->sent, data, bytes);
        n = try_say(s->from, data, bytes);
        if (n < 0)
            return;
        s->sent += (uint64_t)n;
        if (s->sent == s->total)
            say_the_end(s->from);
    }
}

static void
drain(struct stream *s)
{
    uint8_t data[65536], wanted[65536];
    ssize_t n;

    while ((n = try_hear(s->to, data, sizeof(data))) > 0) {
        fill(s, s->received, wanted, (size_t)n);
        s->is_wrong |= memcmp(data, wanted, (size_t)n) != 0;
        s->received += (uint64_t)n;
    }
    s->has_ended |= n == 0;
}

static void
carry(struct stream *a, struct stream *b)
{
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;

    while (!(a->has_ended && b->has_ended) && clock_monotonic_ms() < stop) {
        feed(a);
        feed(b);
        loop_turn(worker.loop, 1);
        if (tunnel != NULL)
            CU_ASSERT_FALSE(tunnel->up.is_bulky || tunnel->down.is_bulky);
        drain(a);
        drain(b);
    }
    CU_ASSERT_EQUAL(a->received, a->total);
    CU_ASSERT_EQUAL(b->received, b->total);
    CU_ASSERT_TRUE(a->has_ended && b->has_ended);
    CU_ASSERT_FALSE(a->is_wrong || b->is_wrong);
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_DONE);
}

/* ---- bytes */

static const bool ways[][2] = { { true, false }, { false, true }, { true, true } };

#define each_way(i) for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)

static void
carries_small_messages_both_ways(void)
{
    each_way(i) {
        start(ways[i][0], ways[i][1]);
        say(&client, "ping");
        CU_ASSERT_TRUE(hears(&origin, "ping"));
        say(&origin, "pong");
        CU_ASSERT_TRUE(hears(&client, "pong"));
        say(&client, "again");
        CU_ASSERT_TRUE(hears(&origin, "again"));
        CU_ASSERT_PTR_NULL(tunnel->up.held);
        CU_ASSERT_EQUAL(tunnel->up.bytes, 9);
        tear_down();
    }
}

static void
carries_bulk_both_ways_at_once(void)
{
    each_way(i) {
        struct stream up = { &client, &origin, .total = 10 * MIB + 7, .seed = 1 };
        struct stream down = { &origin, &client, .total = 10 * MIB + 13, .seed = 99 };

        start(ways[i][0], ways[i][1]);
        carry(&up, &down);
        tear_down();
        CU_ASSERT_EQUAL(counters.tunnel_bytes_up, up.total);
        CU_ASSERT_EQUAL(counters.tunnel_bytes_down, down.total);
    }
}

static void
sends_what_was_read_ahead_first(void)
{
    struct accepted down, up;

    begin_worker(16);
    down = client_side(true);
    up = origin_side(true);
    down.head = SLICE("hello ");
    up.head = SLICE("220 ready ");
    join(&down, &up);
    say(&client, "world");
    say(&origin, "go on");
    CU_ASSERT_TRUE(hears(&origin, "hello world"));
    CU_ASSERT_TRUE(hears(&client, "220 ready go on"));
    tear_down();
}

static void
ignore(struct conn *conn)
{
    (void)conn;
}

/* Reads one byte, as who had the connection before; the others stay decrypted in
 * the session, where epoll sees nothing of them. */
static void
read_a_byte(struct accepted *accepted, char *byte)
{
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
    struct conn conn;

    CU_ASSERT_FATAL(conn_open(&conn, worker.loop, accepted->fd, ignore, NULL) == 0);
    tls_attach(&conn, accepted->tls);
    while (conn_recv(&conn, byte, 1) != 1 && clock_monotonic_ms() < stop)
        loop_turn(worker.loop, 5);
    CU_ASSERT_PTR_EQUAL(tls_detach(&conn), accepted->tls);
    CU_ASSERT_EQUAL(conn_detach(&conn), accepted->fd);
    CU_ASSERT_TRUE(tls_has_pending(accepted->tls));
}

static void
finds_what_the_session_holds_already(void)
{
    struct accepted down, up;
    char from_client, from_origin;

    begin_worker(16);
    down = client_side(true);
    up = origin_side(true);
    say(&client, "held up");
    say(&origin, "held down");
    read_a_byte(&down, &from_client);
    read_a_byte(&up, &from_origin);
    down.head = slice_make(&from_client, 1);
    up.head = slice_make(&from_origin, 1);
    join(&down, &up);
    CU_ASSERT_TRUE(hears(&origin, "held up"));
    CU_ASSERT_TRUE(hears(&client, "held down"));
    tear_down();
}

static void
takes_no_more_from_a_sender_than_the_receiver_can_have_soon(void)
{
    struct stream down = { &origin, &client, .total = 64 * MIB, .seed = 3 };
    uint64_t before;

    start(true, true);
    do { /* the client reads nothing: in the end the origin can send no more */
        before = down.sent;
        for (int i = 0; i < 20; i++) {
            feed(&down);
            loop_turn(worker.loop, 1);
        }
    } while (down.sent > before);
    CU_ASSERT_TRUE(down.sent < down.total);
    CU_ASSERT_TRUE(tunnel->down.held_end <= 64 * 1024);
    tear_down();
}

/* ---- ends */

/* RFC 8446 section 6.1: close_notify ends one way, the other goes on. */
static void
an_end_is_passed_on_and_the_other_way_goes_on(void)
{
    each_way(i) {
        start(ways[i][0], ways[i][1]);
        say(&client, "question");
        say_the_end(&client);
        CU_ASSERT_TRUE(hears(&origin, "question"));
        CU_ASSERT_TRUE(hears_the_end(&origin));
        CU_ASSERT_PTR_NOT_NULL(tunnel);
        say(&origin, "answer");
        CU_ASSERT_TRUE(hears(&client, "answer"));
        say_the_end(&origin);
        CU_ASSERT_TRUE(hears_the_end(&client));
        turn_until(tunnel == NULL);
        CU_ASSERT_EQUAL(end, TUNNEL_DONE);
        tear_down();
    }
}

static void
the_origin_may_end_first(void)
{
    each_way(i) {
        start(ways[i][0], ways[i][1]);
        say(&origin, "that was all");
        say_the_end(&origin);
        CU_ASSERT_TRUE(hears(&client, "that was all"));
        CU_ASSERT_TRUE(hears_the_end(&client));
        say(&client, "thanks");
        CU_ASSERT_TRUE(hears(&origin, "thanks"));
        say_the_end(&client);
        CU_ASSERT_TRUE(hears_the_end(&origin));
        turn_until(tunnel == NULL);
        CU_ASSERT_EQUAL(end, TUNNEL_DONE);
        tear_down();
    }
}

static void
start_with_little_room(void)
{
    struct accepted down, up;
    int room = 16384;

    begin_worker(16);
    down = side(&client, unix_pair, server_context, client_context);
    setsockopt(down.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    up = origin_side(false);
    join(&down, &up);
}

/* Sends messages to a client that reads nothing, until one finds no room or so
 * many did. Returns how many did. */
static unsigned
stuff(unsigned at_most)
{
    static const char message[200] = "m";
    unsigned count = 0;

    while (count < at_most) {
        uint64_t before = tunnel->down.bytes;

        CU_ASSERT_EQUAL(try_say(&origin, message, sizeof(message)), sizeof(message));
        turn_until(tunnel->down.bytes > before || tunnel->down.held != NULL);
        if (tunnel->down.held != NULL)
            break;
        count++;
    }
    return count;
}

/* The last bytes fill the socket of a client that reads nothing for a while: the
 * close_notify behind them has to wait for room, and the tunnel for it. */
static void
an_end_for_which_there_is_no_room_is_passed_on_later(void)
{
    char data[200];
    unsigned count;

    start_with_little_room();
    count = stuff(10000);
    CU_ASSERT_TRUE(count > 0 && count < 10000);
    tear_down();

    start_with_little_room();
    say_the_end(&client);
    CU_ASSERT_TRUE(hears_the_end(&origin));
    CU_ASSERT_EQUAL(stuff(count), count);
    say_the_end(&origin);
    for (int i = 0; i < 10; i++)
        loop_turn(worker.loop, 1);
    CU_ASSERT_PTR_NOT_NULL(tunnel);
    while (count-- > 0)
        CU_ASSERT_EQUAL(hear(&client, data, sizeof(data)), sizeof(data));
    CU_ASSERT_TRUE(hears_the_end(&client));
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_DONE);
    tear_down();
}

/* RFC 8446 section 6.1: without close_notify somebody may have cut it short. */
static void
an_end_without_close_notify_is_a_reset(void)
{
    start(true, false);
    say(&client, "PUT half");
    shutdown(client.fd, SHUT_WR);
    CU_ASSERT_TRUE(hears_trouble(&origin));
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_CLIENT_RESET);
    tear_down();

    start(true, true);
    say(&origin, "half of");
    CU_ASSERT_TRUE(hears(&client, "half of"));
    shutdown(origin.fd, SHUT_WR);
    CU_ASSERT_TRUE(hears_trouble(&client));
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_UPSTREAM_RESET);
    tear_down();
}

/* No close_notify: the client must not take what it has for the whole. */
static void
a_reset_is_no_end(void)
{
    each_way(i) {
        start(ways[i][0], ways[i][1]);
        say(&origin, "half of");
        CU_ASSERT_TRUE(hears(&client, "half of"));
        reset(&origin);
        CU_ASSERT_TRUE(hears_trouble(&client));
        turn_until(tunnel == NULL);
        CU_ASSERT_EQUAL(end, TUNNEL_UPSTREAM_RESET);
        tear_down();

        start(ways[i][0], ways[i][1]);
        say(&client, "half of");
        CU_ASSERT_TRUE(hears(&origin, "half of"));
        reset(&client);
        CU_ASSERT_TRUE(hears_trouble(&origin));
        turn_until(tunnel == NULL);
        CU_ASSERT_EQUAL(end, TUNNEL_CLIENT_RESET);
        tear_down();
    }
}

static void
who_is_stopped_hears_no_end(void)
{
    start(true, true);
    say(&client, "ping");
    CU_ASSERT_TRUE(hears(&origin, "ping"));
    tunnel_close(tunnel, TUNNEL_STOPPED);
    CU_ASSERT_TRUE(hears_trouble(&client));
    CU_ASSERT_TRUE(hears_trouble(&origin));
    tear_down();
}

/* RFC 8446 section 5.2: what is not encrypted as agreed ends it. */
static void
a_broken_record_is_a_reset(void)
{
    start(true, false);
    CU_ASSERT_EQUAL(send(client.fd, "\x17\x03\x03\x00\x10" "0123456789abcdef", 21, 0), 21);
    CU_ASSERT_TRUE(hears_trouble(&origin));
    turn_until(tunnel == NULL);
    CU_ASSERT_EQUAL(end, TUNNEL_CLIENT_RESET);
    tear_down();
}

/* RFC 8446 section 4.6.3. */
static void
keys_may_change_on_the_way(void)
{
    start(true, true);
    say(&client, "old");
    CU_ASSERT_EQUAL(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    say(&client, " new");
    CU_ASSERT_TRUE(hears(&origin, "old new"));
    say(&origin, "answer");
    CU_ASSERT_TRUE(hears(&client, "answer"));
    say(&client, "!");
    CU_ASSERT_TRUE(hears(&origin, "!"));
    tear_down();
}

void
suite_tunnel_tls(void)
{
    CU_pSuite s = CU_add_suite("tunnel_tls", begin_suite, end_suite);

    CU_add_test(s, "carries small messages both ways", carries_small_messages_both_ways);
    CU_add_test(s, "carries bulk both ways at once", carries_bulk_both_ways_at_once);
    CU_add_test(s, "sends what was read ahead first", sends_what_was_read_ahead_first);
    CU_add_test(s, "finds what the session holds already", finds_what_the_session_holds_already);
    CU_add_test(s, "takes no more from a sender than the receiver can have soon",
                takes_no_more_from_a_sender_than_the_receiver_can_have_soon);
    CU_add_test(s, "an end is passed on and the other way goes on",
                an_end_is_passed_on_and_the_other_way_goes_on);
    CU_add_test(s, "the origin may end first", the_origin_may_end_first);
    CU_add_test(s, "an end for which there is no room is passed on later",
                an_end_for_which_there_is_no_room_is_passed_on_later);
    CU_add_test(s, "an end without close_notify is a reset",
                an_end_without_close_notify_is_a_reset);
    CU_add_test(s, "a reset is no end", a_reset_is_no_end);
    CU_add_test(s, "who is stopped hears no end", who_is_stopped_hears_no_end);
    CU_add_test(s, "a broken record is a reset", a_broken_record_is_a_reset);
    CU_add_test(s, "keys may change on the way", keys_may_change_on_the_way);
}
