/* SPDX-License-Identifier: BSD-2-Clause */
/* condition_ask.c - asks a compiled group of conditions about facts.
 *
 * What is not known yet makes a group unknown, unless another test in it is false.
 * Limits are asked when nothing but them is left to decide, so that the answer
 * does not depend on the order in which facts arrive.
 */
#include "config.h"

#include "server/policy/condition.h"

unsigned
facts_missing(const struct facts *facts, unsigned needs)
{
    unsigned missing = needs & ~facts->known;

    if ((missing & ~facts->to_come) != 0)
        return ANSWER_FALSE;
    return ANSWER_WAITS + (unsigned)__builtin_ctz(missing);
}

static bool
has_method(const struct test *test, const struct request *request)
{
    if (request == NULL || (test->mask >> request->method & 1) == 0)
        return false;
    return request->method != METHOD_OTHER || text_set_has(test->data, request->method_name);
}

static inline bool
ends_with(struct slice text, struct slice end)
{
    return text.bytes > end.bytes &&
           memcmp(text.data + (text.bytes - end.bytes), end.data, end.bytes) == 0;
}

/* ---- state */

static bool
is_over(const struct over_test *over, struct ask *ask)
{
    struct evaluation *evaluation = ask->evaluation;

    if ((evaluation->asked & over->bit) != 0)
        return (evaluation->over & over->bit) != 0;
    if (ask->hooks == NULL || ask->hooks->is_over == NULL)
        return false;
    evaluation->asked |= over->bit;
    if (!ask->hooks->is_over(over->limit, ask->facts, ask->arg))
        return false;
    evaluation->over |= over->bit;
    return true;
}

/* Keys that are never known are not limited. */
static unsigned
is_over_any(const struct test *test, struct ask *ask)
{
    const struct over_test *over = test->data, *end = over + test->mask;
    unsigned waits_for = 0;

    for (const struct over_test *each = over; each < end; each++) {
        unsigned missing = each->needs & ~ask->facts->known;

        if ((missing & ~ask->facts->to_come) == 0)
            waits_for |= missing;
    }
    if (waits_for != 0)
        return facts_missing(ask->facts, waits_for);
    for (; over < end; over++)
        if ((over->needs & ~ask->facts->known) == 0 && is_over(over, ask))
            return ANSWER_TRUE;
    return ANSWER_FALSE;
}

/* ---- groups */

static unsigned
first_waiting(unsigned before, unsigned waits)
{
    return before >= ANSWER_WAITS && before < waits ? before : waits;
}

static unsigned
any_of(const struct groups *groups, struct ask *ask)
{
    unsigned sum = ANSWER_FALSE;

    for (size_t i = 0; i < groups->count; i++) {
        unsigned answer;

        if (groups->items[i].has_limits && sum != ANSWER_FALSE)
            return sum;
        answer = group_ask(&groups->items[i], ask);
        if (answer == ANSWER_TRUE)
            return ANSWER_TRUE;
        if (answer >= ANSWER_WAITS)
            sum = first_waiting(sum, answer);
    }
    return sum;
}

static unsigned
none_of(const struct groups *groups, struct ask *ask)
{
    unsigned answer;

    ask->doubt = !ask->doubt;
    answer = any_of(groups, ask);
    ask->doubt = !ask->doubt;
    return answer < ANSWER_WAITS ? ANSWER_TRUE - answer : answer;
}

/* A test that is worth a call. */
static __attribute__((noinline)) unsigned
ask_more(const struct test *test, struct ask *ask)
{
    if (test->kind == TEST_ANY || test->kind == TEST_SET)
        return any_of(test->data, ask);
    if (test->kind == TEST_NONE)
        return none_of(test->data, ask);
    return test->kind == TEST_OVER ? is_over_any(test, ask) : fact_ask(test, ask);
}

/* What most rules ask is decided on the spot. */
static inline __attribute__((always_inline)) unsigned
ask_one(const struct test *test, struct ask *ask)
{
    const struct facts *facts = ask->facts;

    if ((test->needs & ~facts->known) != 0)
        return facts_missing(facts, test->needs);
    switch (test->kind) {
    case TEST_METHOD:
        return has_method(test, facts->request);
    case TEST_PORT:
        return port_set_has(test->data, facts->port);
    case TEST_HOST_IS:
        return slice_equal(facts->host, test->text);
    case TEST_HOST_BELOW:
        return ends_with(facts->host, test->text);
    case TEST_PATH_IS:
        return slice_equal(facts->path, test->text);
    case TEST_PATH_BEGINS:
        return facts->path.bytes > 0 && slice_starts_with(facts->path, test->text);
    case TEST_CLIENT:
        return prefix_set_has(test->data, &facts->client);
    default:
        return ask_more(test, ask);
    }
}

unsigned
test_ask(const struct test *test, struct ask *ask)
{
    return ask_one(test, ask);
}

unsigned
group_ask(const struct group *group, struct ask *ask)
{
    const struct test *test = group->tests, *end = test + group->count;
    unsigned sum = ANSWER_TRUE;

    for (; test < end; test++) {
        unsigned answer;

        if (unlikely(test->has_limits) && sum != ANSWER_TRUE)
            return sum;
        answer = ask_one(test, ask);
        if (answer == ANSWER_FALSE)
            return ANSWER_FALSE;
        if (unlikely(answer >= ANSWER_WAITS))
            sum = first_waiting(sum, answer);
    }
    return sum;
}
