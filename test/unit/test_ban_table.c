/* SPDX-License-Identifier: BSD-2-Clause */
/* test_ban_table.c - who fails too often is banned, for a time that grows; and nothing else. */
#include "config.h"

#include "server/policy/ban_inside.h"

#include "server/base/clock.h"
#include "server/policy/prefix_set.h"
#include "server/schema.h"
#include "test/unit/folder_fixture.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOW_MS UINT64_C(1790000000000)
#define MINUTE_MS 60000u
#define PATIENCE_MS 20000u /* for what must come */

static struct slice client_part[] = { SLICE_INIT("client") };
static struct slice user_part[] = { SLICE_INIT("user") };

/* The tables of one snapshot, with one in it. */
static struct conf conf;
static struct ban_conf bans;
static void *items[1];

static void
adopt(void)
{
    struct err err;

    items[0] = &bans;
    conf.bans = (struct config_list){ items, 1 };
    CU_ASSERT_EQUAL_FATAL(ban_conf_finish(&bans, &conf, &err), 0);
    CU_ASSERT_EQUAL_FATAL(bans_adopt(&conf, &err), 0);
}

static void
begin(int64_t max_keys)
{
    memset(&conf, 0, sizeof(conf));
    bans = (struct ban_conf){
        .place = { .file = "test.conf", .line = 1 }, .name = "bad",
        .key = { .key = { client_part, 1 }, .ipv4_bits = 32, .ipv6_bits = 64 },
        .threshold = 3, .window_ms = MINUTE_MS, .time_ms = 10 * MINUTE_MS,
        .max_time_ms = 60 * MINUTE_MS, .factor = 2, .max_keys = max_keys,
    };
    adopt();
}

static void
end(void)
{
    bans_release(&conf);
    CU_ASSERT_PTR_NULL(bans.table);
}

static struct ban_key
key_of(const char *text)
{
    static struct ban_key key;
    struct err err;

    CU_ASSERT_EQUAL_FATAL(ban_key_parse(&bans, slice_of(text), &key, &err), 0);
    return key;
}

static bool
fail(const char *text, uint64_t now_ms)
{
    struct ban_key key;
    struct err err;

    CU_ASSERT_EQUAL_FATAL(ban_key_parse(&bans, slice_of(text), &key, &err), 0);
    return ban_count(&bans, &key, now_ms, "status 404");
}

static uint64_t
until(const char *text, uint64_t now_ms)
{
    return ban_until(bans.table, key_of(text).hash, now_ms);
}

/* ---- promises */

static void
a_threshold_of_failures_within_the_window_is_a_ban(void)
{
    begin(1000);
    CU_ASSERT_FALSE(fail("192.0.2.1", NOW_MS));
    CU_ASSERT_FALSE(fail("192.0.2.1", NOW_MS + 1));
    CU_ASSERT_FALSE(fail("192.0.2.2", NOW_MS + 1));
    CU_ASSERT_EQUAL(until("192.0.2.1", NOW_MS + 1), 0);
    CU_ASSERT_TRUE(fail("192.0.2.1", NOW_MS + 2));
    CU_ASSERT_EQUAL(until("192.0.2.1", NOW_MS + 2), NOW_MS + 2 + 10 * MINUTE_MS);
    CU_ASSERT_EQUAL(until("192.0.2.2", NOW_MS + 2), 0);
    CU_ASSERT_EQUAL(until("192.0.2.1", NOW_MS + 2 + 10 * MINUTE_MS), 0);
    end();
}

static void
failures_of_different_windows_do_not_add_up(void)
{
    begin(1000);
    CU_ASSERT_FALSE(fail("192.0.2.1", NOW_MS));
    CU_ASSERT_FALSE(fail("192.0.2.1", NOW_MS + 1));
    CU_ASSERT_FALSE(fail("192.0.2.1", NOW_MS + MINUTE_MS));
    CU_ASSERT_FALSE(fail("192.0.2.1", NOW_MS + MINUTE_MS + 1));
    CU_ASSERT_TRUE(fail("192.0.2.1", NOW_MS + MINUTE_MS + 2));
    end();
}

static void
a_clock_that_is_set_back_makes_no_window_longer(void)
{
    begin(1000);
    CU_ASSERT_FALSE(fail("192.0.2.1", NOW_MS + 600 * MINUTE_MS));
    CU_ASSERT_FALSE(fail("192.0.2.1", NOW_MS));
    CU_ASSERT_FALSE(fail("192.0.2.1", NOW_MS + 5 * MINUTE_MS));
    CU_ASSERT_EQUAL(until("192.0.2.1", NOW_MS + 5 * MINUTE_MS), 0);
    end();
}

static void
bans_grow_by_the_factor_up_to_the_longest(void)
{
    static const unsigned minutes[] = { 10, 20, 40, 60, 60 };
    uint64_t now_ms = NOW_MS;

    begin(1000);
    bans.threshold = 1;
    for (unsigned i = 0; i < 5; i++) {
        CU_ASSERT_TRUE(fail("192.0.2.1", now_ms));
        CU_ASSERT_FALSE(fail("192.0.2.1", now_ms + 1)); /* is banned already */
        CU_ASSERT_EQUAL(until("192.0.2.1", now_ms), now_ms + minutes[i] * MINUTE_MS);
        now_ms += minutes[i] * MINUTE_MS;
    }
    now_ms += 60 * MINUTE_MS; /* who kept quiet for so long begins anew */
    CU_ASSERT_TRUE(fail("192.0.2.1", now_ms));
    CU_ASSERT_EQUAL(until("192.0.2.1", now_ms), now_ms + 10 * MINUTE_MS);
    end();
}

/* RFC 4291 section 2.5.4: a site has 64 bits for itself. */
static void
ipv6_clients_are_banned_by_their_network(void)
{
    char text[BAN_KEY_BYTES];
    struct ban_key key;
    struct err err;

    begin(1000);
    bans.threshold = 1;
    CU_ASSERT_TRUE(fail("2001:db8::1", NOW_MS));
    CU_ASSERT_TRUE(until("2001:db8::ffff:1", NOW_MS) > 0);
    CU_ASSERT_EQUAL(until("2001:db8:0:1::1", NOW_MS), 0);
    key = key_of("2001:db8::77/64");
    CU_ASSERT_TRUE(slice_equal(slice_make(text, ban_key_text(&bans, &key, text)),
                               SLICE("2001:db8::/64")));
    CU_ASSERT_EQUAL(ban_key_parse(&bans, SLICE("10.0.0.0/8"), &key, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/32"));
    CU_ASSERT_EQUAL(ban_key_parse(&bans, SLICE("bob"), &key, &err), -1);
    end();
}

static void
a_ban_that_is_lifted_is_forgotten(void)
{
    struct ban_key key;

    begin(1000);
    bans.threshold = 1;
    CU_ASSERT_TRUE(fail("192.0.2.1", NOW_MS));
    key = key_of("192.0.2.1");
    CU_ASSERT_TRUE(ban_lift(&bans, &key, NOW_MS));
    CU_ASSERT_FALSE(ban_lift(&bans, &key, NOW_MS));
    CU_ASSERT_EQUAL(until("192.0.2.1", NOW_MS), 0);
    CU_ASSERT_TRUE(fail("192.0.2.1", NOW_MS + 1));
    CU_ASSERT_EQUAL(until("192.0.2.1", NOW_MS + 1), NOW_MS + 1 + 10 * MINUTE_MS);
    end();
}

static void
exempt_clients_are_not_banned_by_hand(void)
{
    struct arena arena;
    struct ban_key key;
    struct err err;
    struct ip ip;

    arena_init(&arena, NULL, 1 << 16);
    begin(1000);
    bans.never = prefix_set_new(&arena);
    CU_ASSERT_EQUAL_FATAL(prefix_set_add(bans.never, SLICE("loopback"), &err), 0);
    prefix_set_seal(bans.never);
    CU_ASSERT_EQUAL(ban_key_parse(&bans, SLICE("127.0.0.1"), &key, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "never"));
    CU_ASSERT_TRUE(ip_parse(SLICE("::1"), &ip) && ban_is_exempt(&bans, &ip));
    CU_ASSERT_TRUE(ip_parse(SLICE("192.0.2.1"), &ip) && !ban_is_exempt(&bans, &ip));
    end();
    arena_fini(&arena);
}

/* In a full bucket who only failed goes first. */
static void
memory_is_bounded_and_bans_stay_longest(void)
{
    struct ban_facts facts;
    char text[32];

    begin(6); /* one bucket, of eight */
    bans.threshold = 1;
    for (unsigned i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "192.0.2.%u", i);
        CU_ASSERT_TRUE(fail(text, NOW_MS));
    }
    bans.threshold = 3;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "10.0.%u.%u", i / 250, i % 250);
        CU_ASSERT_FALSE(fail(text, NOW_MS + i));
    }
    for (unsigned i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "192.0.2.%u", i);
        CU_ASSERT_TRUE(until(text, NOW_MS + 1000) > 0);
    }
    bans.threshold = 1;
    for (unsigned i = 0; i < 8; i++) {
        snprintf(text, sizeof(text), "10.9.0.%u", i);
        CU_ASSERT_TRUE(fail(text, NOW_MS + 2000));
    }
    ban_facts(bans.table, NOW_MS + 2000, &facts);
    CU_ASSERT_EQUAL(facts.banned, 8);
    CU_ASSERT_EQUAL(facts.evicted, 4);
    CU_ASSERT_EQUAL(facts.bans, 12);
    end();
}

static void
users_and_long_keys_are_keys(void)
{
    struct facts facts = { .known = 0 };
    struct user user = { .name = SLICE("bob") };
    char text[BAN_KEY_BYTES], many[200];
    struct ban_key key, other;
    struct err err;

    begin(1000);
    bans_release(&conf);
    bans.key.key.items = user_part;
    adopt();
    CU_ASSERT_FALSE(ban_key_of(&bans, &facts, &key)); /* nobody */
    facts.user = &user;
    CU_ASSERT_TRUE(ban_key_of(&bans, &facts, &key));
    CU_ASSERT_EQUAL(ban_key_parse(&bans, SLICE("bob"), &other, &err), 0);
    CU_ASSERT_EQUAL(key.hash, other.hash);
    memset(many, 'x', sizeof(many));
    user.name = slice_make(many, sizeof(many));
    CU_ASSERT_TRUE(ban_key_of(&bans, &facts, &key));
    CU_ASSERT_EQUAL(ban_key_text(&bans, &key, text), BAN_KEY_BYTES);
    CU_ASSERT_EQUAL(ban_key_parse(&bans, slice_make(many, sizeof(many)), &other, &err), -1);
    end();
}

static void
see(void *arg, const struct ban_record *record)
{
    ban_record_write(arg, "bad", record);
}

static void
a_ban_is_written_and_read_as_a_line(void)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    struct ban_key key;
    struct err err;
    bool is_set;

    begin(1000);
    bans.threshold = 1;
    CU_ASSERT_TRUE(fail("192.0.2.1", NOW_MS));
    ban_each(bans.table, NOW_MS, see, out);
    fclose(out);
    CU_ASSERT_STRING_EQUAL(text, "{\"table\":\"bad\",\"key\":\"192.0.2.1\",\"since\":1790000000,"
                                 "\"until\":1790000600,\"times\":1,\"cause\":\"status 404\"}\n");
    key = key_of("192.0.2.1");
    CU_ASSERT_TRUE(ban_lift(&bans, &key, NOW_MS));
    CU_ASSERT_EQUAL(ban_record_read(slice_make(text, bytes - 1), &bans, NOW_MS, &is_set, &err), 0);
    CU_ASSERT_TRUE(is_set && until("192.0.2.1", NOW_MS) == NOW_MS + 10 * MINUTE_MS);
    CU_ASSERT_EQUAL(ban_record_read(slice_make(text, bytes - 1), &bans, NOW_MS + 60 * MINUTE_MS,
                                    &is_set, &err), 0);
    CU_ASSERT_FALSE(is_set); /* it is over */
    free(text);
    end();
}

static void
lines_that_say_nothing_sensible_are_refused(void)
{
    static const char *const lines[] = {
        "", "{}", "[]", "{\"key\":\"192.0.2.1\"}", "{\"key\":\"bob\",\"until\":1}",
        "{\"key\":\"192.0.2.1\",\"until\":-1}", "{\"key\":\"192.0.2.1\",\"until\":\"1\"}",
        "{\"key\":7,\"until\":1}", "{\"key\":\"192.0.2.1\",\"until\":9223372036854775807}",
        "{\"key\":\"192.0.2.1\",\"until\":1,\"until\":2}", "{\"key\":\"192.0.2.1\",\"until\":1} x",
    };
    struct err err;
    bool is_set;

    begin(1000);
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++)
        CU_ASSERT_EQUAL(ban_record_read(slice_of(lines[i]), &bans, NOW_MS, &is_set, &err), -1);
    end();
}

static void
bans_outlive_the_table_in_a_file(void)
{
    struct ban_key key;
    const char *path = in("bans.json");

    begin(1000);
    bans_release(&conf);
    bans.save = path;
    adopt();
    key = key_of("192.0.2.1");
    ban_set(&bans, &key, clock_wall_ms(), clock_wall_ms() + MINUTE_MS, 4, SLICE("by hand"));
    bans_release(&conf);
    adopt();
    CU_ASSERT_TRUE(until("192.0.2.1", clock_wall_ms()) > 0);
    CU_ASSERT_EQUAL(until("192.0.2.2", clock_wall_ms()), 0);
    end();
}

static bool
is_saved(const char *path, const char *text)
{
    char whole[4096] = "";
    FILE *file = fopen(path, "r");

    if (file != NULL) {
        whole[fread(whole, 1, sizeof(whole) - 1, file)] = '\0';
        fclose(file);
    }
    return strstr(whole, text) != NULL;
}

static void
ban_for_a_minute(const struct ban_conf *in, const char *text)
{
    struct ban_key key = key_of(text);

    ban_set(in, &key, clock_wall_ms(), clock_wall_ms() + MINUTE_MS, 1, SLICE("by hand"));
}

/* A reload that changes max_keys makes another table while exchanges still use the old one. */
static void
a_table_in_place_of_another_has_its_bans_and_its_file(void)
{
    const char *path = in("taken-over.json");
    struct ban_conf old;

    begin(1000);
    bans_release(&conf);
    bans.save = path;
    adopt();
    ban_for_a_minute(&bans, "192.0.2.1");
    old = bans;
    bans.max_keys = 2000;
    adopt();
    CU_ASSERT_PTR_NOT_EQUAL(bans.table, old.table);
    CU_ASSERT_TRUE(until("192.0.2.1", clock_wall_ms()) > 0);
    ban_for_a_minute(&bans, "192.0.2.2");
    ban_for_a_minute(&old, "192.0.2.3");
    for (uint64_t stop = clock_monotonic_ms() + PATIENCE_MS;
         !is_saved(path, "192.0.2.2") && clock_monotonic_ms() < stop;)
        usleep(10000);
    ban_table_unref(old.table);
    CU_ASSERT_TRUE(is_saved(path, "192.0.2.1") && is_saved(path, "192.0.2.2"));
    end();
}

/* When a reload fails, the new table goes, and the old one saves again. */
static void
a_table_that_is_given_up_gives_the_file_back(void)
{
    const char *path = in("given-back.json");
    struct ban_conf given_up;

    begin(1000);
    bans_release(&conf);
    bans.save = path;
    adopt();
    given_up = bans;
    given_up.max_keys = 2000;
    items[0] = &given_up;
    CU_ASSERT_EQUAL_FATAL(bans_adopt(&conf, &(struct err){ 0 }), 0);
    ban_for_a_minute(&bans, "192.0.2.4");
    bans_release(&conf);
    items[0] = &bans;
    end();
    CU_ASSERT_TRUE(is_saved(path, "192.0.2.4"));
}

void
suite_ban_table(void)
{
    CU_pSuite s = CU_add_suite("ban_table", make_folder, remove_folder);

    CU_add_test(s, "a threshold of failures within the window is a ban",
                a_threshold_of_failures_within_the_window_is_a_ban);
    CU_add_test(s, "failures of different windows do not add up",
                failures_of_different_windows_do_not_add_up);
    CU_add_test(s, "a clock that is set back makes no window longer",
                a_clock_that_is_set_back_makes_no_window_longer);
    CU_add_test(s, "bans grow by the factor, up to the longest",
                bans_grow_by_the_factor_up_to_the_longest);
    CU_add_test(s, "IPv6 clients are banned by their network",
                ipv6_clients_are_banned_by_their_network);
    CU_add_test(s, "a ban that is lifted is forgotten", a_ban_that_is_lifted_is_forgotten);
    CU_add_test(s, "exempt clients are not banned by hand",
                exempt_clients_are_not_banned_by_hand);
    CU_add_test(s, "memory is bounded, and bans stay longest",
                memory_is_bounded_and_bans_stay_longest);
    CU_add_test(s, "users and long keys are keys", users_and_long_keys_are_keys);
    CU_add_test(s, "a ban is written and read as a line", a_ban_is_written_and_read_as_a_line);
    CU_add_test(s, "lines that say nothing sensible are refused",
                lines_that_say_nothing_sensible_are_refused);
    CU_add_test(s, "bans outlive the table in a file", bans_outlive_the_table_in_a_file);
    CU_add_test(s, "a table in place of another has its bans, and its file",
                a_table_in_place_of_another_has_its_bans_and_its_file);
    CU_add_test(s, "a table that is given up gives the file back",
                a_table_that_is_given_up_gives_the_file_back);
}
