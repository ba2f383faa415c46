/* SPDX-License-Identifier: BSD-2-Clause */
/* test_transform.c - promises of filters/transform.h. */
#include "config.h"

#include "filters/transform.h"

#include "test/unit/content_fixture.h"
#include "test/unit/suites.h"

#define OUT_BYTES 64u

/* Writes every byte twice, but holds the last one back until more comes, or a flush. At the
 * end it adds a full stop. */
struct doubler {
    struct transform transform;
    int held; /* -1: nothing */
    char stop_at; /* done with this byte, whatever follows; 0: none */
    char fail_at;
    bool has_stopped;
    unsigned releases;
};

static enum transform_result
put_held(struct doubler *d, struct transform_step *step)
{
    if (step->out_bytes - step->made < 2)
        return TRANSFORM_MORE;
    step->out[step->made++] = (char)d->held;
    step->out[step->made++] = (char)d->held;
    d->held = -1;
    return TRANSFORM_DONE;
}

static enum transform_result
double_all(struct transform *transform, struct transform_step *step)
{
    struct doubler *d = container_of(transform, struct doubler, transform);

    while (step->taken < step->in_bytes) {
        char c = step->in[step->taken];

        if (d->held >= 0 && put_held(d, step) == TRANSFORM_MORE)
            return TRANSFORM_MORE;
        if (d->fail_at != '\0' && c == d->fail_at)
            return TRANSFORM_FAILED;
        d->held = (unsigned char)c;
        step->taken++;
        if (d->stop_at != '\0' && c == d->stop_at)
            return put_held(d, step);
    }
    if (!step->is_end && !step->is_flush)
        return TRANSFORM_MORE;
    if (d->held >= 0 && put_held(d, step) == TRANSFORM_MORE)
        return TRANSFORM_MORE;
    if (step->is_flush)
        return TRANSFORM_DONE;
    if (step->made == step->out_bytes)
        return TRANSFORM_MORE;
    step->out[step->made++] = '.';
    return TRANSFORM_DONE;
}

static void
count_release(struct transform *transform)
{
    container_of(transform, struct doubler, transform)->releases++;
}

static const struct transform_ops doubler_ops = { double_all, count_release };

static struct doubler doubler;

static struct source *
doubled(uint32_t flush_ms)
{
    struct source *source;

    doubler = (struct doubler){ .held = -1 };
    source = transform_begin(&doubler.transform, &content.ex, &content.source, &doubler_ops,
                             OUT_BYTES, flush_ms);
    CU_ASSERT_PTR_NOT_NULL_FATAL(source);
    return source;
}

static bool
is_doubled(const char *in, size_t bytes, bool has_stop)
{
    if (content.out_bytes != bytes * 2 + has_stop)
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (content.out[2 * i] != in[i] || content.out[2 * i + 1] != in[i])
            return false;
    return !has_stop || content.out[bytes * 2] == '.';
}

static void
all_content_comes_out_however_it_is_cut(void)
{
    static const size_t steps[] = { 1, 2, 3, 7, 31, 64, 1000 }, rooms[] = { 0, 1, 3, 64 };
    char in[1000];

    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (char)('a' + i % 26);
    for (size_t s = 0; s < ARRAY_COUNT(steps); s++)
        for (size_t r = 0; r < ARRAY_COUNT(rooms); r++)
            for (unsigned says_last = 0; says_last < 2; says_last++) {
                content_begin();
                content.says_last = says_last;
                content.waits = r % 2 == 0;
                content_script(in, sizeof(in), steps[s]);
                content_run(doubled(TRANSFORM_NO_FLUSH), rooms[r]);
                CU_ASSERT_EQUAL(content.result, PUMP_DONE);
                CU_ASSERT_TRUE(is_doubled(in, sizeof(in), true));
                CU_ASSERT(content.most_offered <= OUT_BYTES);
                content_finish();
                CU_ASSERT_EQUAL(doubler.releases, 1);
            }
}

static void
empty_content_has_what_the_end_adds(void)
{
    content_begin();
    content_script("", 0, 1);
    content_run(doubled(0), 0);
    CU_ASSERT_EQUAL(content.result, PUMP_DONE);
    CU_ASSERT_TRUE(content_is(".", 1));
    content_finish();
}

/* Everything in one piece, so that head and content go out together. */
static void
short_content_is_one_last_piece(void)
{
    content_begin();
    content.waits = false;
    content_script("abc", 3, 3);
    content_run(doubled(0), 0);
    CU_ASSERT_EQUAL(content.pieces, 1);
    CU_ASSERT_TRUE(content_is("aabbcc.", 7));
    content_finish();
}

static void
what_is_held_back_goes_out_when_inner_waits(void)
{
    content_begin();
    content.stalls = true;
    content_script("ab", 2, 1);
    content_run(doubled(0), 0);
    content_turn_until(4);
    CU_ASSERT_TRUE(content_is("aabb", 4));
    CU_ASSERT_PTR_NULL(doubler.transform.out); /* no buffer while it waits */
    content_finish();

    content_begin();
    content.stalls = true;
    content_script("ab", 2, 1);
    content_run(doubled(30), 0);
    content_turn_until(4);
    CU_ASSERT_TRUE(content_is("aabb", 4));
    content_finish();

    content_begin();
    content.stalls = true;
    content_script("ab", 2, 1);
    content_run(doubled(TRANSFORM_NO_FLUSH), 0);
    for (unsigned i = 0; i < 50; i++)
        loop_turn(content.worker.loop, 1);
    CU_ASSERT_TRUE(content_is("aa", 2)); /* the second one waits for more */
    content_finish();
}

static void
content_cut_short_is_cut_short_behind_it(void)
{
    content_begin();
    content.cuts = true;
    content_script("abcdef", 6, 2);
    content_run(doubled(0), 0);
    CU_ASSERT_EQUAL(content.result, PUMP_SOURCE_FAILED);
    CU_ASSERT_TRUE(content.out_bytes <= 12);
    content_finish();
    CU_ASSERT_EQUAL(doubler.releases, 1);
}

static void
a_transformation_that_fails_is_asked_no_more(void)
{
    struct source *source;
    struct piece piece;

    content_begin();
    content_script("abXcd", 5, 5);
    source = doubled(0);
    doubler.fail_at = 'X';
    content_run(source, 0);
    CU_ASSERT_EQUAL(content.result, PUMP_SOURCE_FAILED);
    CU_ASSERT_EQUAL(source->ops->offer(source, FORM_SLICES, &piece), FLOW_FAILED);
    content_finish();
}

static void
it_may_be_done_before_inner_is(void)
{
    struct source *source;

    content_begin();
    content_script("abcd", 4, 4);
    source = doubled(0);
    doubler.stop_at = 'b';
    content_run(source, 0);
    CU_ASSERT_EQUAL(content.result, PUMP_DONE);
    CU_ASSERT_TRUE(content_is("aabb", 4));
    content_finish();
}

static void
trailers_pass(void)
{
    static const struct fields trailers;

    content_begin();
    content.trailers = &trailers;
    content_script("ab", 2, 2);
    content_run(doubled(0), 0);
    CU_ASSERT_PTR_EQUAL(content.out_trailers, &trailers);
    CU_ASSERT_TRUE(content_is("aabb.", 5));
    content_finish();
}

void
suite_transform(void)
{
    CU_pSuite s = CU_add_suite("transform", NULL, NULL);

    CU_add_test(s, "all content comes out, however it is cut",
                all_content_comes_out_however_it_is_cut);
    CU_add_test(s, "empty content has what the end adds", empty_content_has_what_the_end_adds);
    CU_add_test(s, "short content is one last piece", short_content_is_one_last_piece);
    CU_add_test(s, "what is held back goes out when inner waits",
                what_is_held_back_goes_out_when_inner_waits);
    CU_add_test(s, "content cut short is cut short behind it",
                content_cut_short_is_cut_short_behind_it);
    CU_add_test(s, "a transformation that fails is asked no more",
                a_transformation_that_fails_is_asked_no_more);
    CU_add_test(s, "it may be done before inner is", it_may_be_done_before_inner_is);
    CU_add_test(s, "trailers pass", trailers_pass);
}
