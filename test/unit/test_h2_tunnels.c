/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h2_tunnels.c - CONNECT and WebSockets on a client's HTTP/2 connection. */
#include "config.h"

#include "server/http/h2_downstream.h"

#include "test/unit/h2_fixture.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>

static bool
comes(int fd, const char *text)
{
    char got[64];
    size_t bytes = strlen(text);

    return recv(fd, got, sizeof(got), MSG_DONTWAIT) == (ssize_t)bytes && memcmp(got, text,
                                                                                bytes) == 0;
}

static void
connect_tunnel(struct h2_fixture *f)
{
    send_head(f, 1, false, ":method: CONNECT\n:authority: a.test:443\n");
    send_frame(f, NGHTTP2_DATA, 0, 1, "early", 5);
    turn(f);
}

/* Section 8.5. */
static void
carries_a_tunnel(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);

    connect_tunnel(f);
    CU_ASSERT_FATAL(f->tunnel_fd >= 0);
    CU_ASSERT(seen->status == 200 && !seen->is_ended);
    CU_ASSERT_PTR_NULL(strstr(seen->fields, "content-length"));
    CU_ASSERT(comes(f->tunnel_fd, "early"));
    CU_ASSERT(send(f->tunnel_fd, "down", 4, 0) == 4);
    send_frame(f, NGHTTP2_DATA, 0, 1, "up", 2);
    turn(f);
    CU_ASSERT(comes(f->tunnel_fd, "up"));
    CU_ASSERT(seen->body_bytes == 4 && memcmp(seen->body, "down", 4) == 0);
    shutdown(f->tunnel_fd, SHUT_WR);
    turn(f);
    CU_ASSERT(seen->is_ended && !seen->is_reset);
    send_frame(f, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "end", 3);
    turn(f);
    CU_ASSERT(comes(f->tunnel_fd, "end"));
    CU_ASSERT(comes(f->tunnel_fd, ""));
    get(f, 3, "/");
    turn(f);
    CU_ASSERT(seen_of(f, 3)->is_ended);
    fixture_free(f);
}

static void
resets_the_stream_of_a_tunnel_that_broke(void)
{
    struct h2_fixture *f = fixture_open();

    connect_tunnel(f);
    CU_ASSERT_FATAL(f->tunnel_fd >= 0);
    close(f->tunnel_fd);
    f->tunnel_fd = -1;
    turn(f);
    CU_ASSERT(seen_of(f, 1)->is_reset && seen_of(f, 1)->error == NGHTTP2_CONNECT_ERROR);
    fixture_free(f);
}

static void
closes_the_tunnel_of_a_stream_that_was_reset(void)
{
    struct h2_fixture *f = fixture_open();
    char cancel[4] = { 0, 0, 0, NGHTTP2_CANCEL };

    connect_tunnel(f);
    CU_ASSERT_FATAL(f->tunnel_fd >= 0);
    send_frame(f, NGHTTP2_RST_STREAM, 0, 1, cancel, 4);
    turn(f);
    CU_ASSERT(send(f->tunnel_fd, "x", 1, MSG_NOSIGNAL) < 0);
    fixture_free(f);
}

static void
presses_back_on_a_tunnel(void)
{
    struct h2_fixture *f = fixture_open();
    static char data[16384];
    size_t sent = 0;
    ssize_t n;

    connect_tunnel(f);
    CU_ASSERT_FATAL(f->tunnel_fd >= 0);
    for (int i = 0; i < 200; i++) {
        while ((n = send(f->tunnel_fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
            sent += (size_t)n;
        turn(f);
    }
    CU_ASSERT(sent > 65535 && sent < (4u << 20));
    CU_ASSERT_EQUAL(seen_of(f, 1)->body_bytes, 65535);
    fixture_free(f);
}

#define WEBSOCKET(path) \
    ":method: CONNECT\n:protocol: websocket\n:scheme: http\n:authority: a.test\n:path: " path "\n"

/* RFC 8441. */
static void
upgrades_websockets(void)
{
    struct h2_fixture *f = fixture_open();
    struct seen *seen = seen_of(f, 1);

    send_head(f, 1, false, WEBSOCKET("/chat") "sec-websocket-version: 13\n");
    turn(f);
    CU_ASSERT_PTR_NOT_NULL(strstr(f->last_request, "GET http a.test /chat\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(f->last_request, "\nUpgrade: websocket\n"));
    CU_ASSERT(seen->status == 200 && !seen->is_ended);
    CU_ASSERT_PTR_NULL(strstr(seen->fields, "sec-websocket-accept"));
    CU_ASSERT_FATAL(f->tunnel_fd >= 0);
    send_frame(f, NGHTTP2_DATA, 0, 1, "frame", 5);
    turn(f);
    CU_ASSERT(comes(f->tunnel_fd, "frame"));
    send_head(f, 3, false, WEBSOCKET("/wrong"));
    turn(f);
    CU_ASSERT(seen_of(f, 3)->status == 502 && seen_of(f, 3)->is_ended);
    fixture_free(f);
}

void
suite_h2_tunnels(void)
{
    CU_pSuite s = CU_add_suite("h2_tunnels", NULL, NULL);

    CU_add_test(s, "carries a tunnel", carries_a_tunnel);
    CU_add_test(s, "resets the stream of a tunnel that broke",
                resets_the_stream_of_a_tunnel_that_broke);
    CU_add_test(s, "closes the tunnel of a stream that was reset",
                closes_the_tunnel_of_a_stream_that_was_reset);
    CU_add_test(s, "presses back on a tunnel", presses_back_on_a_tunnel);
    CU_add_test(s, "upgrades WebSockets", upgrades_websockets);
}
