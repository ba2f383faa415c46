/* SPDX-License-Identifier: BSD-2-Clause */
/* test_bans.c - which answers the filter bans counts, and whom it keeps out. */
#include "config.h"

#include "filters/bans.h"
#include "modes/mode.h"
#include "server/net/loop.h"
#include "server/policy/ban_table.h"
#include "server/schema.h"
#include "test/unit/filter_fixture.h"
#include "test/unit/suites.h"

#define CLIENT "192.0.2.7" /* of the fixture */
#define BANS(text) "filter = \"bans\"; table = \"bad\"; " text

static struct slice client_part[] = { SLICE_INIT("client") };
static struct conf all;
static struct ban_conf table;
static void *tables[] = { &table };

static struct counters counters;

/* Of the filter. */
static void *state;

static int
set_up(void)
{
    struct err err;

    fixture_conf = &all;
    fixture_worker.loop = loop_new(&err);
    fixture_worker.counters = &counters;
    return fixture_worker.loop != NULL ? fixture_set_up() : -1;
}

static int
tear_down(void)
{
    fixture_conf = NULL;
    loop_free_all(fixture_worker.loop);
    fixture_worker = (struct worker){ .loop = NULL };
    return fixture_tear_down();
}

static struct exchange *
begin(int64_t threshold)
{
    static const struct mode_ops mode = { .name = "reverse" };
    struct exchange *ex = exchange_begin();
    struct err err;

    fixture_listener.mode = &mode;
    table = (struct ban_conf){
        .place = { .file = "test.conf", .line = 1 }, .name = "bad",
        .key = { .key = { client_part, 1 }, .ipv4_bits = 32, .ipv6_bits = 64 },
        .threshold = threshold, .window_ms = 60000, .time_ms = 60000, .max_time_ms = 60000,
        .factor = 1, .max_keys = 100,
    };
    all.bans = (struct config_list){ tables, 1 };
    CU_ASSERT_EQUAL_FATAL(ban_conf_finish(&table, &all, &err), 0);
    CU_ASSERT_EQUAL_FATAL(bans_adopt(&all, &err), 0);
    state = arena_zalloc(&ex->arena, bans_filter.state_bytes);
    return ex;
}

static void
end(struct exchange *ex)
{
    exchange_end(ex);
    bans_release(&all);
}

static bool
is_banned(void)
{
    struct ban_key key;
    struct err err;

    CU_ASSERT_EQUAL_FATAL(ban_key_parse(&table, SLICE(CLIENT), &key, &err), 0);
    return ban_until(table.table, key.hash, loop_wall_ms(fixture_worker.loop)) > 0;
}

/* Whether an answer like that, of which one is enough, is counted. */
static bool
counts(const char *text, unsigned status, enum end_reason reason)
{
    struct exchange *ex = begin(1);
    const struct filter_conf *conf = filter_made(text);
    bool is_counted;

    CU_ASSERT_EQUAL(conf->ops->request_head(conf, state, ex), FILTER_NEXT);
    ex->response.status = (uint16_t)status;
    ex->end = reason;
    ex->is_answered = true;
    conf->ops->end(conf, state, ex);
    is_counted = is_banned();
    end(ex);
    return is_counted;
}

static void
the_named_answers_count(void)
{
    const char *text = BANS("count = [ \"401\", \"5xx\" ];");

    CU_ASSERT(counts(text, 401, END_DONE) && counts(text, 500, END_DONE) &&
              counts(text, 599, END_DONE));
    CU_ASSERT(!counts(text, 200, END_DONE) && !counts(text, 400, END_BAD_REQUEST) &&
              !counts(text, 404, END_DONE) && !counts(text, 429, END_LIMIT));
    CU_ASSERT(counts(BANS("count = \"4xx\";"), 499, END_DONE));
    CU_ASSERT(!counts(BANS("count = \"4xx\";"), 500, END_DONE));
    CU_ASSERT(!counts(BANS(""), 401, END_DONE));
    CU_ASSERT(counts(BANS("count = \"bad_request\";"), 400, END_BAD_REQUEST));
    CU_ASSERT(!counts(BANS("count = \"bad_request\";"), 400, END_DONE)); /* of the server */
}

/* RFC 9110 section 15.6: of a 5xx the client is not the cause, but may be the victim. */
static void
limits_count_when_the_client_asked_too_much(void)
{
    const char *text = BANS("count = \"limit\";");

    CU_ASSERT(counts(text, 429, END_LIMIT) && counts(text, 429, END_DONE));
    CU_ASSERT(counts(text, 413, END_LIMIT) && counts(text, 431, END_LIMIT));
    CU_ASSERT(!counts(text, 503, END_LIMIT) && !counts(text, 502, END_LIMIT));
    CU_ASSERT(!counts(text, 413, END_DONE) && !counts(text, 200, END_DONE));
}

static void
failures_count_up_to_the_threshold(void)
{
    struct exchange *ex = begin(3);
    const struct filter_conf *conf = filter_made(BANS("count = \"404\";"));

    ex->response.status = 404;
    ex->is_answered = true;
    for (unsigned i = 1; i <= 3; i++) {
        CU_ASSERT_FALSE(is_banned());
        conf->ops->end(conf, state, ex); /* of three exchanges, for all it knows */
    }
    CU_ASSERT_TRUE(is_banned());
    end(ex);
}

static void
what_has_no_answer_does_not_count(void)
{
    struct exchange *ex = begin(1);
    const struct filter_conf *conf = filter_made(BANS("count = \"4xx\";"));

    ex->response.status = 404;
    conf->ops->end(conf, state, ex); /* the client went before */
    CU_ASSERT_FALSE(is_banned());
    ex->is_answered = true;
    ex->down = NULL; /* a tunnel */
    conf->ops->end(conf, state, ex);
    CU_ASSERT_FALSE(is_banned());
    end(ex);
}

static void
ban_client(void)
{
    uint64_t now_ms = loop_wall_ms(fixture_worker.loop);
    struct ban_key key;
    struct err err;

    CU_ASSERT_EQUAL_FATAL(ban_key_parse(&table, SLICE(CLIENT), &key, &err), 0);
    ban_set(&table, &key, now_ms, now_ms + 60000, 1, SLICE("by hand"));
}

/* Otherwise each try would tell whether the password was right. */
static void
who_is_banned_is_not_asked_for_credentials(void)
{
    static const uint16_t statuses[] = { 401, 407 };

    for (size_t i = 0; i < ARRAY_COUNT(statuses); i++) {
        struct exchange *ex = begin(10);
        const struct filter_conf *conf = filter_made(BANS("count = \"401\";"));

        ex->response.status = statuses[i]; /* a policy's, from before the filters' turn */
        CU_ASSERT_EQUAL(conf->ops->deliver_head(conf, state, ex), FILTER_NEXT);
        conf->ops->end(conf, state, ex);
        ban_client();
        memset(state, 0, bans_filter.state_bytes);
        CU_ASSERT_EQUAL(conf->ops->deliver_head(conf, state, ex), FILTER_ANSWER);
        CU_ASSERT_EQUAL(ex->response.status, 403);
        conf->ops->end(conf, state, ex);
        end(ex);
    }
}

void
suite_bans(void)
{
    CU_pSuite s = CU_add_suite("bans", set_up, tear_down);

    CU_add_test(s, "the named answers count", the_named_answers_count);
    CU_add_test(s, "limits count when the client asked too much",
                limits_count_when_the_client_asked_too_much);
    CU_add_test(s, "failures count up to the threshold", failures_count_up_to_the_threshold);
    CU_add_test(s, "what has no answer does not count", what_has_no_answer_does_not_count);
    CU_add_test(s, "who is banned is not asked for credentials",
                who_is_banned_is_not_asked_for_credentials);
}
