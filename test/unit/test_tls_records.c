/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tls_records.c - content and ends over a session, in records of all sizes. */
#include "config.h"

#include "test/unit/tls_server_fixture.h"

static char
pattern(size_t at)
{
    return (char)(at * 31 + at / 251);
}

static void
shrink_buffers(const struct pair *pair, int bytes)
{
    setsockopt(pair->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    setsockopt(pair->conn.watch.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/* Sends in pieces of all sizes, as far as the socket takes them. */
static size_t
send_some_pattern(struct pair *pair, size_t at, size_t total)
{
    static char data[200000];
    size_t here = total - at < sizeof(data) ? total - at : sizeof(data);
    struct iovec iov[3];
    ssize_t sent;

    for (size_t i = 0; i < here; i++)
        data[i] = pattern(at + i);
    iov[0] = (struct iovec){ data, here / 100 };
    iov[1] = (struct iovec){ data + here / 100, here / 3 };
    iov[2] = (struct iovec){ data + here / 100 + here / 3, here - here / 100 - here / 3 };
    sent = conn_send(&pair->conn, iov, 3, false);
    CU_ASSERT_TRUE_FATAL(sent > 0 || sent == CONN_WAIT);
    return sent > 0 ? (size_t)sent : 0;
}

static void
carries_much_to_a_client_that_takes_little(void)
{
    size_t total = 3 * MIB + 17, sent = 0, got = 0, bytes, waits = 0;
    char data[5000];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    shrink_buffers(&pair, 8192);
    for (uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
         got < total && clock_monotonic_ms() < stop;) {
        if (sent < total) {
            bytes = send_some_pattern(&pair, sent, total);
            sent += bytes;
            waits += !pair.conn.may_write;
        }
        while (SSL_read_ex(pair.ssl, data, sizeof(data), &bytes) == 1) {
            for (size_t i = 0; i < bytes; i++)
                if (data[i] != pattern(got + i))
                    CU_FAIL_FATAL("bytes changed");
            got += bytes;
        }
        loop_turn(pair.worker->loop, 0);
        if (sent >= total && got < total)
            loop_turn(pair.worker->loop, 1);
    }
    CU_ASSERT_EQUAL(sent, total);
    CU_ASSERT_EQUAL(pair.conn.sent_bytes, total);
    CU_ASSERT_TRUE(waits > 0);
    end(&pair);
    tear_down();
}

/* Whatever is read at a time, and however it arrives. */
static void
carries_much_from_a_client(size_t read_bytes)
{
    size_t total = MIB + 3, sent = 0, got = 0, bytes;
    uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
    char out[30000], *in = malloc(read_bytes);
    struct pair pair;
    ssize_t n;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_set_mode(pair.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    shrink_buffers(&pair, 40000);
    while (got < total && clock_monotonic_ms() < stop) {
        size_t here = total - sent < sizeof(out) ? total - sent : sizeof(out);

        for (size_t i = 0; i < here; i++)
            out[i] = pattern(sent + i);
        if (here > 0 && SSL_write_ex(pair.ssl, out, here, &bytes) == 1)
            sent += bytes;
        while ((n = conn_recv(&pair.conn, in, read_bytes)) > 0) {
            for (ssize_t i = 0; i < n; i++)
                if (in[i] != pattern(got + (size_t)i))
                    CU_FAIL_FATAL("bytes changed");
            got += (size_t)n;
        }
        CU_ASSERT_EQUAL(n, CONN_WAIT);
        CU_ASSERT_FALSE(tls_has_pending(pair.accepted.tls));
        loop_turn(pair.worker->loop, sent < total ? 0 : 1);
    }
    CU_ASSERT_EQUAL(got, total);
    free(in);
    end(&pair);
    tear_down();
}

static void
carries_much_in_small_reads(void)
{
    carries_much_from_a_client(700);
}

static void
carries_much_in_large_reads(void)
{
    carries_much_from_a_client(256 * 1024);
}

/* Events are told once: what is left in the session is told by may_read. */
static void
forgets_nothing_that_was_left_unread(void)
{
    char data[100];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "first record", 12);
    SSL_write(pair.ssl, "second", 6);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 5), 5);
    CU_ASSERT_TRUE(pair.conn.may_read);
    CU_ASSERT_TRUE(tls_has_pending(pair.accepted.tls));
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 7), 7);
    CU_ASSERT_TRUE(pair.conn.may_read);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 6);
    CU_ASSERT_FALSE(pair.conn.may_read);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), CONN_WAIT);
    end(&pair);
    tear_down();
}

/* One recv() for many records: they come in one piece. */
static void
reads_many_records_at_once(void)
{
    char data[1000];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    for (int i = 0; i < 50; i++)
        SSL_write(pair.ssl, "0123456789", 10);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, sizeof(data)), 500);
    end(&pair);
    tear_down();
}

/* RFC 8446 section 6.1. */
static void
tells_an_end_from_a_cut(void)
{
    char data[100];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "last words", 10);
    SSL_shutdown(pair.ssl);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 10);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 0);
    CU_ASSERT_TRUE(pair.conn.saw_end);
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "cut he", 6);
    shutdown(pair.fd, SHUT_WR);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 6);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), CONN_FAILED);
    CU_ASSERT_EQUAL(pair.conn.error, EPROTO);
    end(&pair);
    tear_down();
}

/* The end came along with the last bytes, and no event will tell of it. */
static void
does_not_miss_an_end_behind_bytes(void)
{
    char data[100];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "over", 4);
    SSL_shutdown(pair.ssl); /* a record, but no FIN */
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 4);
    CU_ASSERT_TRUE(pair.conn.may_read);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 0);
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "and", 3);
    CU_ASSERT_EQUAL(write(pair.fd, "\x17\x03\x03\0\x14this is not a record", 25), 25);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 3);
    CU_ASSERT_TRUE(pair.conn.may_read);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), CONN_FAILED);
    ERR_clear_error(); /* the server's */
    CU_ASSERT_EQUAL(alert_of(&pair), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
    end(&pair);
    tear_down();
}

/* Half-close: we send no more, and still read. */
static void
says_its_end_and_reads_on(void)
{
    struct iovec words = { (void *)"bye", 3 };
    char data[100];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    CU_ASSERT_EQUAL(conn_send(&pair.conn, &words, 1, false), 3);
    CU_ASSERT_EQUAL(conn_shutdown(&pair.conn), 0);
    CU_ASSERT_EQUAL(SSL_read(pair.ssl, data, 100), 3);
    CU_ASSERT_EQUAL(SSL_read(pair.ssl, data, 100), 0);
    CU_ASSERT_EQUAL(SSL_get_error(pair.ssl, 0), SSL_ERROR_ZERO_RETURN);
    CU_ASSERT_EQUAL(SSL_write(pair.ssl, "not yet", 7), 7);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 7);
    end(&pair);
    tear_down();
}

static void
closing_is_an_end_and_aborting_is_not(void)
{
    char data[10];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    conn_close(&pair.conn);
    CU_ASSERT_EQUAL(SSL_read(pair.ssl, data, 10), 0);
    CU_ASSERT_EQUAL(SSL_get_error(pair.ssl, 0), SSL_ERROR_ZERO_RETURN);
    end(&pair);
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    conn_abort(&pair.conn);
    ERR_clear_error();
    CU_ASSERT_NOT_EQUAL(SSL_get_error(pair.ssl, SSL_read(pair.ssl, data, 10)),
                        SSL_ERROR_ZERO_RETURN);
    end(&pair);
    tear_down();
}

/* A session goes with its descriptor, and with what was read too early. */
static void
travels_with_the_descriptor(void)
{
    struct tls_session *session;
    char data[100];
    struct pair pair;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    SSL_write(pair.ssl, "one", 3);
    SSL_write(pair.ssl, "two", 3);
    loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 3), 3);
    session = tls_detach(&pair.conn);
    CU_ASSERT_PTR_EQUAL(session, pair.accepted.tls);
    CU_ASSERT_PTR_NULL(tls_of(&pair.conn));
    pair.accepted.fd = conn_detach(&pair.conn);
    open_conn(&pair);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 3);
    CU_ASSERT_EQUAL(memcmp(data, "two", 3), 0);
    end(&pair);
    tear_down();
}

/* RFC 8446 section 4.6.3 sets no limit; OpenSSL would go on as long as they come. */
static void
takes_no_endless_row_of_new_keys(void)
{
    struct pair pair;
    char data[100], *updates;
    ssize_t got = CONN_WAIT;
    long bytes;
    BIO *bio;

    set_up();
    serve();
    CU_ASSERT_TRUE(connect_to(&pair, 0, "a.test"));
    bio = BIO_new(BIO_s_mem());
    BIO_up_ref(bio);
    SSL_set0_wbio(pair.ssl, bio);
    for (unsigned i = 0; i < 5000; i++) {
        SSL_key_update(pair.ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
        SSL_do_handshake(pair.ssl);
    }
    bytes = BIO_get_mem_data(bio, &updates);
    CU_ASSERT_EQUAL(write(pair.fd, updates, (size_t)bytes), bytes);
    for (unsigned i = 0; i < 10 && got == CONN_WAIT; i++) {
        loop_turn(pair.worker->loop, 1);
        got = conn_recv(&pair.conn, data, sizeof(data));
    }
    CU_ASSERT_EQUAL(got, CONN_FAILED);
    CU_ASSERT_EQUAL(pair.conn.error, EPROTO);
    BIO_free(bio);
    end(&pair);
    tear_down();
}

void
suite_tls_records(void)
{
    CU_pSuite s = CU_add_suite("tls_records", NULL, NULL);

#define ADD(function) CU_add_test(s, #function, function)
    ADD(carries_much_to_a_client_that_takes_little);
    ADD(carries_much_in_small_reads);
    ADD(carries_much_in_large_reads);
    ADD(forgets_nothing_that_was_left_unread);
    ADD(reads_many_records_at_once);
    ADD(tells_an_end_from_a_cut);
    ADD(does_not_miss_an_end_behind_bytes);
    ADD(says_its_end_and_reads_on);
    ADD(closing_is_an_end_and_aborting_is_not);
    ADD(travels_with_the_descriptor);
    ADD(takes_no_endless_row_of_new_keys);
#undef ADD
}
