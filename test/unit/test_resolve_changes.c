/* SPDX-License-Identifier: BSD-2-Clause */
/* test_resolve_changes.c - a resolver whose askers, settings or files change meanwhile. */
#include "config.h"

#include "test/unit/resolve_fixture.h"

/* ---- changing one's mind */

static void
cancelled_lookups_are_not_told(void)
{
    struct asker askers[3];

    begin();
    start();
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_FALSE(ask(&askers[i], "name.test"));
    resolve_cancel(&askers[0].resolve);
    resolve_cancel(&askers[0].resolve);
    askers[1].cancels = &askers[2]; /* while being told */
    wait_for(&askers[1]);
    turn_for(20);
    CU_ASSERT_EQUAL(askers[0].told, 0);
    CU_ASSERT_EQUAL(askers[2].told, 0);
    CU_ASSERT_EQUAL(resolve("name.test").count, 4); /* the answer was kept */
    CU_ASSERT_EQUAL(server.asked, 2);
    finish();
}

static void
a_resolver_may_go_while_questions_are_open(void)
{
    struct asker asker;

    begin();
    start();
    CU_ASSERT_FALSE(ask(&asker, "silent.test"));
    turn_for(10);
    resolve_cancel(&asker.resolve);
    finish();
    CU_ASSERT_EQUAL(asker.told, 0);
}

static void
bad_servers_are_refused_in_words(void)
{
    static const char *const texts[] = { "example.org", "127.0.0.1:99999", "unix:/run/x" };
    struct err err;

    begin();
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        server_slice = slice_of(texts[i]);
        CU_ASSERT_PTR_NULL(resolver_new(loop, &conf, &err));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "name server"));
    }
    finish();
}

/* A reload: what is open is asked again, what is known stays known. */
static void
new_settings_take_over_open_questions(void)
{
    struct asker asker;
    struct err err;

    begin();
    start();
    CU_ASSERT_EQUAL(resolve("known.test").count, 4);
    server.is_silent = true;
    CU_ASSERT_FALSE(ask(&asker, "moved.test"));
    turn_for(10);
    server_slice = SLICE("nonsense");
    CU_ASSERT_EQUAL(resolver_configure(resolver, &conf, &err), -1);
    close_server();
    CU_ASSERT_EQUAL_FATAL(open_server(INADDR_LOOPBACK, 0), 0);
    write_hosts("10.1.1.1 listed.test\n");
    set_conf();
    CU_ASSERT_EQUAL(resolver_configure(resolver, &conf, &err), 0);
    memset(server_text, 'x', sizeof(server_text)); /* conf was copied */
    wait_for(&asker);
    CU_ASSERT_EQUAL(asker.answer.count, 4);
    CU_ASSERT_EQUAL(server.asked, 2);
    CU_ASSERT_EQUAL(resolve("known.test").count, 4);
    CU_ASSERT_EQUAL(server.asked, 2);
    CU_ASSERT_STRING_EQUAL(text_of(resolve("listed.test")), "10.1.1.1");
    finish();
}

static void
write_resolv_conf(int fd, uint32_t ip)
{
    char text[64];
    int bytes = snprintf(text, sizeof(text), "nameserver 127.%u.%u.%u\n", ip >> 16 & 0xff,
                         ip >> 8 & 0xff, ip & 0xff);

    CU_ASSERT_EQUAL(ftruncate(fd, 0), 0);
    CU_ASSERT_EQUAL(pwrite(fd, text, (size_t)bytes, 0), bytes);
}

/* Port 53 is the only one resolv.conf knows: needs the right to bind it. The addresses are
 * this process's own. */
static void
a_changed_resolv_conf_takes_over_open_questions(void)
{
    char resolv_path[] = "test_resolve.XXXXXX";
    uint32_t ip = 0x7f350000u | ((uint32_t)getpid() & 0x7fff) << 1;
    int fd = mkstemp(resolv_path);
    struct asker asker;

    CU_ASSERT_TRUE_FATAL(fd >= 0);
    write_resolv_conf(fd, ip);
    begin();
    close_server();
    if (open_server(ip, 53) == 0) {
        conf.servers.count = 0;
        conf.resolv_conf = resolv_path;
        start();
        server.is_silent = true;
        CU_ASSERT_FALSE(ask(&asker, "moved.test"));
        for (unsigned i = 0; i < 1000 && server.asked < 2; i++)
            turn_for(5);
        CU_ASSERT_EQUAL(server.asked, 2);
        close_server();
        CU_ASSERT_EQUAL_FATAL(open_server(ip + 1, 53), 0);
        write_resolv_conf(fd, ip + 1);
        turn_for(2050);
        CU_ASSERT_EQUAL(resolve("other.test").count, 4); /* somebody asks: it is noticed */
        wait_for(&asker);
        CU_ASSERT_EQUAL(asker.answer.count, 4);
    } else {
        CU_ASSERT_EQUAL_FATAL(open_server(INADDR_LOOPBACK, 0), 0);
    }
    finish();
    close(fd);
    unlink(resolv_path);
}

void
suite_resolve_changes(void)
{
    CU_pSuite s = CU_add_suite("resolve_changes", note_descriptors, NULL);

    CU_add_test(s, "cancelled look-ups are not told", cancelled_lookups_are_not_told);
    CU_add_test(s, "a resolver may go while questions are open",
                a_resolver_may_go_while_questions_are_open);
    CU_add_test(s, "bad servers are refused in words", bad_servers_are_refused_in_words);
    CU_add_test(s, "new settings take over open questions", new_settings_take_over_open_questions);
    CU_add_test(s, "a changed resolv.conf takes over open questions",
                a_changed_resolv_conf_takes_over_open_questions);
    CU_add_test(s, "no descriptor is left open", no_descriptor_is_left_open);
}
