/* SPDX-License-Identifier: BSD-2-Clause */
/* test_rate_limit.c - what clients are told of limits is what the limits say. */
#include "config.h"

#include "filters/rate_limit_fields.h"

#include "test/unit/limit_fixture.h"
#include "test/unit/suites.h"

#include <stdio.h>

static struct arena arena;
static struct fields fields;

static void
say(const struct rate_limit_said *said, unsigned count)
{
    arena_init(&arena, NULL, 1 << 16);
    fields = (struct fields){ .items = NULL };
    rate_limit_add_fields(&fields, &arena, said, count);
}

static bool
is_told(const char *name, const char *value)
{
    const struct field *field = fields_find_name(&fields, slice_of(name));

    if (field == NULL || value == NULL)
        return field == NULL && value == NULL;
    if (!slice_equal(field->value, slice_of(value)))
        printf("%.*s\n", SLICE_ARG(field->value));
    return slice_equal(field->value, slice_of(value));
}

/* draft-ietf-httpapi-ratelimit-headers-10 sections 4 and 5: q and w, r and t. */
static void
a_rate_is_told_request_by_request(void)
{
    struct limit_conf conf = limit_of(10, 60000, 0);
    struct rate_limit_said said = { .conf = &conf };
    struct limit_state state;
    struct table table;
    struct limit *limit = begin(&table, &conf);

    for (unsigned i = 0; i < 100; i++) {
        char wanted[64];
        unsigned taken = i < 10 ? i + 1 : 10;

        limit_take(limit, 7, NOW, &said.state);
        say(&said, 1);
        CU_ASSERT_TRUE(is_told("RateLimit-Policy", "\"test\";q=10;w=60"));
        snprintf(wanted, sizeof(wanted), "\"test\";r=%u;t=%u", 10 - taken, taken * 6);
        CU_ASSERT_TRUE(is_told("RateLimit", wanted));
        limit_look(limit, 7, NOW, &state);
        CU_ASSERT_EQUAL(state.remaining, 10 - taken);
        arena_fini(&arena);
    }
    end(&table);
}

static void
a_burst_is_told_with_the_time_in_which_it_comes_back(void)
{
    struct limit_conf conf = limit_of(2, 1000, 5);
    struct rate_limit_said said = { &conf, { .limit = 5, .remaining = 4, .reset_ms = 500 } };

    say(&said, 1);
    CU_ASSERT_TRUE(is_told("RateLimit-Policy", "\"test\";q=5;w=3"));
    CU_ASSERT_TRUE(is_told("RateLimit", "\"test\";r=4;t=1"));
    arena_fini(&arena);
}

static void
quotas_and_concurrency_have_their_units(void)
{
    struct limit_conf bytes = limit_of(0, 0, 0), busy = bytes;
    struct rate_limit_said said[3] = {
        { &bytes, { .limit = 1000, .remaining = 0, .reset_ms = 7000 } },
        { .conf = NULL }, /* of which the exchange has no key */
        { &busy, { .limit = 3, .remaining = 2 } },
    };

    bytes.quota_bytes = 1000;
    bytes.quota_ms = 3600000;
    busy.name = "busy";
    busy.concurrency = 3;
    say(said, 3);
    CU_ASSERT_TRUE(is_told("RateLimit-Policy", "\"test\";q=1000;qu=\"content-bytes\";w=3600, "
                           "\"busy\";q=3;qu=\"concurrent-requests\""));
    CU_ASSERT_TRUE(is_told("RateLimit", "\"test\";r=0;t=7, \"busy\";r=2"));
    arena_fini(&arena);
    say(said + 1, 1);
    CU_ASSERT_TRUE(is_told("RateLimit", NULL) && is_told("RateLimit-Policy", NULL));
    arena_fini(&arena);
}

void
suite_rate_limit(void)
{
    CU_pSuite s = CU_add_suite("rate_limit", NULL, NULL);

    CU_add_test(s, "a rate is told, request by request", a_rate_is_told_request_by_request);
    CU_add_test(s, "a burst is told with the time in which it comes back",
                a_burst_is_told_with_the_time_in_which_it_comes_back);
    CU_add_test(s, "quotas and concurrency have their units",
                quotas_and_concurrency_have_their_units);
}
