/* SPDX-License-Identifier: BSD-2-Clause */
/* test_pace.c - content passes at a rate, whole, and nothing is left of it afterwards. */
#include "config.h"

#include "server/http/pace.h"

#include "server/http/exchange.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <stdlib.h>

#define TOTAL (300 * 1024)
#define RATE (1024 * 1024) /* so that a tenth of it passes at once */
#define BURST (RATE / 10)
#define TURNS_MAX 100000

/* A source that offers everything in the form it is told, three slices at a time. */
struct maker {
    struct source source;
    unsigned form;
    size_t left;
    bool is_cancelled;
};

/* A sink that checks what comes; its bytes are their own positions. */
struct checker {
    struct sink sink;
    struct loop *loop;
    uint64_t start_ms;
    size_t seen, most_early; /* bytes beyond what the time so far allows */
    bool is_wrong, is_ended;
};

static struct exchange ex;
static struct worker worker;
static char content[TOTAL];
static struct pump pump;
static enum pump_result result;

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct maker *maker = container_of(source, struct maker, source);
    size_t at = TOTAL - maker->left, third = maker->left / 3;

    if (maker->left == 0)
        return FLOW_END;
    *piece = (struct piece){ .form = forms & maker->form ? maker->form : FORM_SLICES,
                             .is_last = true, .bytes = maker->left };
    if (piece->form == FORM_FILE)
        piece->offset = (off_t)at;
    if (piece->form != FORM_SLICES)
        return FLOW_MORE;
    piece->count = 3;
    piece->iov[0] = (struct iovec){ content + at, third };
    piece->iov[1] = (struct iovec){ content + at + third, third };
    piece->iov[2] = (struct iovec){ content + at + 2 * third, maker->left - 2 * third };
    return FLOW_MORE;
}

static void
take(struct source *source, size_t bytes)
{
    struct maker *maker = container_of(source, struct maker, source);

    CU_ASSERT_FATAL(bytes <= maker->left);
    maker->left -= bytes;
}

static void
cancel(struct source *source)
{
    container_of(source, struct maker, source)->is_cancelled = true;
}

static const struct source_ops maker_ops = { offer, take, cancel };

static bool
is_as_expected(const struct checker *checker, const struct piece *piece)
{
    size_t at = checker->seen, sum = 0;

    if (piece->form == FORM_FILE)
        return (size_t)piece->offset == at;
    for (unsigned i = 0; i < piece->count; i++) {
        if (memcmp(piece->iov[i].iov_base, content + at + sum, piece->iov[i].iov_len) != 0)
            return false;
        sum += piece->iov[i].iov_len;
    }
    return piece->form == FORM_SOCKET || sum == piece->bytes;
}

static enum flow
put(struct sink *sink, const struct piece *piece, size_t *taken)
{
    struct checker *checker = container_of(sink, struct checker, sink);
    size_t allowed;

    checker->is_wrong |= !is_as_expected(checker, piece) ||
                         piece->is_last != (checker->seen + piece->bytes == TOTAL);
    checker->seen += piece->bytes;
    *taken = piece->bytes;
    allowed = BURST + (size_t)((loop_now_ms(checker->loop) - checker->start_ms) * RATE / 1000);
    if (checker->seen > allowed && checker->seen - allowed > checker->most_early)
        checker->most_early = checker->seen - allowed;
    checker->is_ended |= piece->is_last;
    return piece->is_last ? FLOW_END : FLOW_MORE;
}

static enum flow
finish(struct sink *sink, const struct fields *trailers)
{
    (void)trailers;
    container_of(sink, struct checker, sink)->is_ended = true;
    return FLOW_END;
}

static const struct sink_ops checker_ops = { .put = put, .end = finish };

static void
on_done(struct pump *done, enum pump_result how)
{
    (void)done;
    result = how;
}

static void
begin(void)
{
    struct err err;

    memset(&ex, 0, sizeof(ex));
    worker.loop = loop_new(&err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker.loop);
    arena_init(&ex.arena, NULL, 1 << 16);
    ex.worker = &worker;
    for (size_t i = 0; i < TOTAL; i++)
        content[i] = (char)(i * 31 >> 3);
}

/* The loop demands that no timer is armed any more. */
static void
end(void)
{
    arena_fini(&ex.arena);
    loop_free_all(worker.loop);
}

static void
pass(unsigned form)
{
    struct maker maker = { .source.ops = &maker_ops, .form = form, .left = TOTAL };
    struct checker checker = { .sink = { .ops = &checker_ops, .forms = form } };

    begin();
    checker.loop = worker.loop;
    checker.start_ms = loop_now_ms(worker.loop);
    pump_start(&pump, worker.loop, pace_wrap(&ex, &maker.source, RATE), &checker.sink, on_done);
    CU_ASSERT_EQUAL(checker.seen, BURST);
    for (unsigned i = 0; i < TURNS_MAX && pump.is_running; i++)
        loop_turn(worker.loop, -1);
    CU_ASSERT_TRUE(checker.is_ended && !checker.is_wrong);
    CU_ASSERT_EQUAL(result, PUMP_DONE);
    CU_ASSERT_EQUAL(checker.seen, TOTAL);
    CU_ASSERT_EQUAL(checker.most_early, 0);
    end();
}

static void
slices_pass_at_the_rate(void)
{
    pass(FORM_SLICES);
}

static void
file_ranges_pass_at_the_rate(void)
{
    pass(FORM_FILE);
}

static void
sockets_pass_at_the_rate(void)
{
    pass(FORM_SOCKET);
}

static void
an_exchange_that_ends_meanwhile_leaves_no_timer(void)
{
    struct maker maker = { .source.ops = &maker_ops, .form = FORM_SLICES, .left = TOTAL };
    struct checker checker = { .sink.ops = &checker_ops };

    begin();
    checker.loop = worker.loop;
    pump_start(&pump, worker.loop, pace_wrap(&ex, &maker.source, 1), &checker.sink, on_done);
    CU_ASSERT_EQUAL(checker.seen, 16384);
    CU_ASSERT_TRUE(pump.is_running);
    pump_stop(&pump);
    end();
    CU_ASSERT_FALSE(maker.is_cancelled);
}

static void
cancelling_reaches_the_source_behind(void)
{
    struct maker maker = { .source.ops = &maker_ops, .form = FORM_SLICES, .left = TOTAL };
    struct source *source;

    begin();
    source = pace_wrap(&ex, &maker.source, RATE);
    CU_ASSERT_PTR_EQUAL(source->inner, &maker.source);
    source->ops->cancel(source);
    CU_ASSERT_TRUE(maker.is_cancelled);
    end();
}

/* Trailers come after the last piece. */
static void
trailers_follow(void)
{
    static const struct fields trailers;
    struct maker maker = { .source = { .ops = &maker_ops, .trailers = &trailers } };
    struct piece piece;
    struct source *source;

    begin();
    source = pace_wrap(&ex, &maker.source, RATE);
    CU_ASSERT_EQUAL(source->ops->offer(source, FORM_SLICES, &piece), FLOW_END);
    CU_ASSERT_PTR_EQUAL(source->trailers, &trailers);
    end();
}

static void
without_a_rate_nothing_is_in_the_way(void)
{
    struct maker maker = { .source.ops = &maker_ops };

    begin();
    CU_ASSERT_PTR_NULL(pace_wrap(&ex, NULL, RATE));
    CU_ASSERT_PTR_EQUAL(pace_wrap(&ex, &maker.source, 0), &maker.source);
    CU_ASSERT_PTR_EQUAL(pace_wrap(&ex, &maker.source, UINT64_MAX), &maker.source);
    end();
}

void
suite_pace(void)
{
    CU_pSuite s = CU_add_suite("pace", NULL, NULL);

    CU_add_test(s, "slices pass at the rate", slices_pass_at_the_rate);
    CU_add_test(s, "file ranges pass at the rate", file_ranges_pass_at_the_rate);
    CU_add_test(s, "sockets pass at the rate", sockets_pass_at_the_rate);
    CU_add_test(s, "an exchange that ends meanwhile leaves no timer",
                an_exchange_that_ends_meanwhile_leaves_no_timer);
    CU_add_test(s, "cancelling reaches the source behind", cancelling_reaches_the_source_behind);
    CU_add_test(s, "trailers follow", trailers_follow);
    CU_add_test(s, "without a rate nothing is in the way", without_a_rate_nothing_is_in_the_way);
}
