/* SPDX-License-Identifier: BSD-2-Clause */
/* test_tls_sessions.c - sessions of clients that come again, and their early data. */
#include "config.h"

#include "test/unit/tls_server_fixture.h"

/* ---- resumption */

/* RFC 8446 section 4.6.1, RFC 5077: keys are shared by all threads. */
static void
resumes_on_another_thread(void)
{
    struct pair pair;

    set_up();
    serve();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_SESSION *session = session_for("a.test", version);

        CU_ASSERT_TRUE(resume(&pair, 1, "a.test", session));
        talk(&pair);
        end(&pair);
        SSL_SESSION_free(session);
    }
    CU_ASSERT_EQUAL(counters.tls_handshakes_resumed, 2);
    tear_down();
}

static void
resumes_across_a_change_of_keys(void)
{
    struct ticket_keys *keys;
    SSL_SESSION *session;
    struct pair pair;
    struct err err;

    set_up();
    serve();
    session = session_for("a.test", TLS1_3_VERSION);
    keys = ticket_keys_adopt(NULL, 0, &err);
    ticket_keys_rotate(keys);
    ticket_keys_rotate(keys);
    CU_ASSERT_TRUE(resume(&pair, 1, "a.test", session));
    end(&pair);
    ticket_keys_unref(keys);
    SSL_SESSION_free(session);
    tear_down();
}

static void
write_ticket_keys(const char *path, char first, unsigned count)
{
    FILE *file = fopen(path, "w");

    for (unsigned i = 0; i < count; i++)
        for (int n = 0; n < TICKET_KEY_BYTES; n++)
            fputc(first + (int)i, file);
    fclose(file);
}

static void
reads_ticket_keys_from_a_file(void)
{
    const char *path = NULL;
    struct ticket_keys *keys;
    SSL_SESSION *session;
    struct pair pair;
    struct err err;

    set_up();
    path = strdup(path_of("keys"));
    listener.tls.ticket_keys = path;
    write_ticket_keys(path, 'a', 1);
    serve();
    session = session_for("a.test", TLS1_3_VERSION);
    keys = ticket_keys_adopt(path, 0, &err);
    write_ticket_keys(path, 'Z', 2); /* Z is new, [ is, a is not known any more */
    CU_ASSERT_EQUAL(ticket_keys_reload(keys, &err), 1);
    CU_ASSERT_FALSE(resume(&pair, 0, "a.test", session));
    end(&pair);
    write_ticket_keys(path, '`', 2); /* then comes a */
    CU_ASSERT_EQUAL(ticket_keys_reload(keys, &err), 1);
    CU_ASSERT_EQUAL(ticket_keys_reload(keys, &err), 0);
    CU_ASSERT_TRUE(resume(&pair, 0, "a.test", session));
    end(&pair);
    CU_ASSERT_EQUAL(truncate(path, 81), 0);
    CU_ASSERT_EQUAL(ticket_keys_reload(keys, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "keys: holds 81 bytes"));
    CU_ASSERT_TRUE(resume(&pair, 1, "a.test", session));
    end(&pair);
    ticket_keys_unref(keys);
    SSL_SESSION_free(session);
    tear_down();
    free((char *)path);
}

/* RFC 5246 section 7.3: the cache of those who know no tickets. */
static void
remembers_sessions_without_tickets(void)
{
    SSL_SESSION *session;
    struct pair pair;

    set_up();
    serve();
    SSL_CTX_set_options(world.client, SSL_OP_NO_TICKET);
    session = session_for("a.test", TLS1_2_VERSION);
    CU_ASSERT_TRUE(resume(&pair, 0, "a.test", session));
    end(&pair);
    SSL_SESSION_free(session);
    tear_down();
}

static void
never_resumes_for_another_site(void)
{
    SSL_SESSION *session;
    struct pair pair;

    set_up();
    serve();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        session = session_for("a.test", version);
        CU_ASSERT_FALSE(resume(&pair, 0, "b.test", session));
        CU_ASSERT_TRUE(is_shown(&pair, "b.test"));
        end(&pair);
        SSL_SESSION_free(session);
    }
    tear_down();
}

/* ---- early data (RFC 8446 section 2.3) */

static bool
connect_early(struct pair *pair, unsigned worker, SSL_SESSION *session)
{
    size_t done;

    begin(pair, worker, "a.test");
    set_session(pair, session);
    CU_ASSERT_EQUAL(SSL_write_early_data(pair->ssl, "GET /early", 10, &done), 1);
    start(pair);
    for (uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
         !pair->is_accepted && clock_monotonic_ms() < stop;) {
        loop_turn(pair->worker->loop, 1);
        if (!pair->is_accepted && SSL_in_init(pair->ssl))
            SSL_connect(pair->ssl);
    }
    CU_ASSERT_TRUE_FATAL(pair->accepted.fd >= 0);
    open_conn(pair);
    return tls_session_is_early(pair->accepted.tls);
}

static void
takes_early_data_before_the_handshake_ends(void)
{
    struct iovec answer = { (void *)"early answer", 12 };
    SSL_SESSION *session;
    struct pair pair;
    char data[100];
    ssize_t got;

    set_up();
    listener.tls.early_data = true;
    serve();
    session = session_for("a.test", TLS1_3_VERSION);
    CU_ASSERT_TRUE(SSL_SESSION_get_max_early_data(session) > 0);
    CU_ASSERT_TRUE(connect_early(&pair, 1, session));
    CU_ASSERT_TRUE(facts_of(&pair)->is_resumed);
    CU_ASSERT_EQUAL(conn_recv(&pair.conn, data, 100), 10);
    CU_ASSERT_EQUAL(memcmp(data, "GET /early", 10), 0);
    CU_ASSERT_TRUE(tls_session_is_early(pair.accepted.tls));
    CU_ASSERT_EQUAL(conn_send(&pair.conn, &answer, 1, false), 12);
    CU_ASSERT_EQUAL(SSL_connect(pair.ssl), 1);
    CU_ASSERT_EQUAL(SSL_get_early_data_status(pair.ssl), SSL_EARLY_DATA_ACCEPTED);
    CU_ASSERT_EQUAL(SSL_read(pair.ssl, data, 100), 12);
    CU_ASSERT_EQUAL(SSL_write(pair.ssl, "late", 4), 4);
    loop_turn(pair.worker->loop, 1);
    while ((got = conn_recv(&pair.conn, data, 100)) == CONN_WAIT)
        loop_turn(pair.worker->loop, 1);
    CU_ASSERT_EQUAL(got, 4);
    CU_ASSERT_FALSE(tls_session_is_early(pair.accepted.tls));
    CU_ASSERT_EQUAL(conn_send(&pair.conn, &answer, 1, false), 12);
    CU_ASSERT_EQUAL(SSL_read(pair.ssl, data, 100), 12);
    end(&pair);
    SSL_SESSION_free(session);
    tear_down();
}

/* RFC 8446 section 8.2: the same flight, sent again by somebody else. */
static void
takes_early_data_once(void)
{
    char flight[8192];
    SSL_SESSION *session;
    struct pair pair;
    ssize_t bytes;
    size_t done;

    set_up();
    listener.tls.early_data = true;
    serve();
    session = session_for("a.test", TLS1_3_VERSION);
    begin(&pair, 0, "a.test");
    set_session(&pair, session);
    CU_ASSERT_EQUAL(SSL_write_early_data(pair.ssl, "PAY /bill", 9, &done), 1);
    bytes = recv(pair.accepted.fd, flight, sizeof(flight), MSG_PEEK);
    CU_ASSERT_TRUE_FATAL(bytes > 100);
    start(&pair);
    for (uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
         !pair.is_accepted && clock_monotonic_ms() < stop;)
        loop_turn(pair.worker->loop, 1);
    CU_ASSERT_TRUE_FATAL(pair.is_accepted && pair.accepted.fd >= 0);
    CU_ASSERT_TRUE(tls_session_is_early(pair.accepted.tls));
    open_conn(&pair);
    end(&pair);
    begin(&pair, 1, "a.test");
    CU_ASSERT_EQUAL(write(pair.fd, flight, (size_t)bytes), bytes);
    start(&pair);
    for (int i = 0; i < 20; i++)
        loop_turn(pair.worker->loop, 1);
    CU_ASSERT_FALSE(pair.is_accepted); /* it waits for the rest of the handshake */
    end(&pair);
    SSL_SESSION_free(session);
    tear_down();
}

/* There nobody can tell what may be done twice. */
static void
takes_no_early_data_where_bytes_are_forwarded(void)
{
    SSL_SESSION *session;

    set_up();
    listener.mode = &port_mode;
    listener.tls.early_data = true;
    serve();
    session = session_for("a.test", TLS1_3_VERSION);
    CU_ASSERT_EQUAL(SSL_SESSION_get_max_early_data(session), 0);
    SSL_SESSION_free(session);
    tear_down();
}

void
suite_tls_sessions(void)
{
    CU_pSuite s = CU_add_suite("tls_sessions", NULL, NULL);

#define ADD(function) CU_add_test(s, #function, function)
    ADD(resumes_on_another_thread);
    ADD(resumes_across_a_change_of_keys);
    ADD(reads_ticket_keys_from_a_file);
    ADD(remembers_sessions_without_tickets);
    ADD(never_resumes_for_another_site);
    ADD(takes_early_data_before_the_handshake_ends);
    ADD(takes_early_data_once);
    ADD(takes_no_early_data_where_bytes_are_forwarded);
#undef ADD
}
