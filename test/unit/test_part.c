/* SPDX-License-Identifier: BSD-2-Clause */
/* test_part.c - only parts of one representation come together, and what comes of them
 * has each byte where it belongs (RFC 9111 sections 3.3 and 3.4).
 */
#include "config.h"

#include "cache/part.h"

#include "test/unit/field_fixture.h"

void suite_part(void);

static struct arena arena;
static const char text[] = "0123456789abcdefghij"; /* the whole, of 20 bytes */

static int
begin(void)
{
    arena_init(&arena, NULL, 1 << 20);
    return 0;
}

static int
end(void)
{
    arena_fini(&arena);
    return 0;
}

/* A stored part of text: bytes first to last. */
static struct object *
stored(unsigned first, unsigned last, const char *fields)
{
    struct object_head head = {
        .kind = OBJECT_PARTIAL,
        .status = 206,
        .key = SLICE("key"),
        .seq = 10 - first / 10,
        .fields = fields_of(&arena, fields),
        .first_byte = first,
        .whole_bytes = 20,
    };
    struct object *object = object_new(&head, last + 1 - first);

    memcpy(object->body, text + first, last + 1 - first);
    return object;
}

static void
expect_read(const char *fields, uint64_t length, bool expected)
{
    struct part part;

    CU_ASSERT_EQUAL(part_of_response(&part, fields_of(&arena, fields), length), expected);
}

static void
a_part_says_what_it_is(void)
{
    struct part part;

    CU_ASSERT_TRUE(part_of_response(
        &part, fields_of(&arena, "Content-Range: bytes 5-9/20\nETag: \"a\""), 5));
    CU_ASSERT_TRUE(part.range.first == 5 && part.range.last == 9 && part.whole_bytes == 20);
    CU_ASSERT_TRUE(slice_equal(part.etag, SLICE("\"a\"")));
    expect_read("Content-Range: bytes 5-9/20\nETag: \"a\"", 4, false);
    expect_read("Content-Range: bytes 5-9/20\nETag: \"a\"", LENGTH_UNKNOWN, false);
    expect_read("Content-Range: bytes 5-9/*\nETag: \"a\"", 5, false);
    expect_read("Content-Range: bytes */20\nETag: \"a\"", 5, false);
    expect_read("Content-Range: bytes 5-9/20\nContent-Range: bytes 5-9/20\nETag: \"a\"", 5, false);
    expect_read("ETag: \"a\"", 5, false);
}

/* RFC 9110 section 8.8.1: a weak validator says nothing of single bytes. */
static void
a_part_needs_a_strong_etag(void)
{
    expect_read("Content-Range: bytes 5-9/20\nETag: W/\"a\"", 5, false);
    expect_read("Content-Range: bytes 5-9/20\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT", 5,
                false);
    expect_read("Content-Range: bytes 5-9/20\nETag: a", 5, false);
}

static void
expect_missing(unsigned first, unsigned last, unsigned from, unsigned to)
{
    struct object *object = stored(first, last, "ETag: \"a\"");
    struct byte_range missing = { 99, 99 };
    struct part part;
    bool is_one;

    CU_ASSERT_TRUE_FATAL(part_of_object(&part, object));
    is_one = part_missing(&part, &missing);
    CU_ASSERT_EQUAL(is_one, from <= to);
    if (from <= to)
        CU_ASSERT_TRUE(missing.first == from && missing.last == to);
    object_unref(object);
}

static void
what_is_missing_is_one_range_or_not_asked_for(void)
{
    expect_missing(0, 4, 5, 19);
    expect_missing(5, 19, 0, 4);
    expect_missing(0, 18, 19, 19);
    expect_missing(5, 9, 1, 0);
    expect_missing(0, 19, 1, 0);
}

/* RFC 9110 section 13.1.5. */
static void
a_part_is_asked_for_on_condition_that_nothing_changed(void)
{
    struct fields *fields = fields_of(&arena, "Host: a");

    part_ask(fields, &arena, (struct byte_range){ 5, 9 }, 20, SLICE("\"a\""));
    CU_ASSERT_TRUE(slice_equal(fields_get(fields, FIELD_RANGE), SLICE("bytes=5-9")));
    CU_ASSERT_TRUE(slice_equal(fields_get(fields, FIELD_IF_RANGE), SLICE("\"a\"")));
    fields = fields_of(&arena, "Host: a");
    part_ask(fields, &arena, (struct byte_range){ 5, 19 }, 20, slice_make(NULL, 0));
    CU_ASSERT_TRUE(slice_equal(fields_get(fields, FIELD_RANGE), SLICE("bytes=5-")));
    CU_ASSERT_FALSE(fields_has(fields, FIELD_IF_RANGE));
}

/* What comes from disk is not believed. */
static void
a_part_beyond_its_whole_is_none(void)
{
    static const uint64_t firsts[] = { 16, 20, 21, UINT64_MAX, UINT64_MAX - 4 };
    struct object *object = stored(0, 4, "ETag: \"a\"");
    struct byte_range range;
    struct part part;

    for (size_t i = 0; i < ARRAY_COUNT(firsts); i++) {
        object->first_byte = firsts[i];
        CU_ASSERT_FALSE(part_range(object, &range));
        CU_ASSERT_FALSE(part_of_object(&part, object));
    }
    object->first_byte = 15;
    CU_ASSERT_TRUE(part_range(object, &range));
    CU_ASSERT_TRUE(range.first == 15 && range.last == 19);
    object->whole_bytes = 4;
    object->first_byte = 0;
    CU_ASSERT_FALSE(part_range(object, &range));
    object_unref(object);
}

/* ---- joining */

static struct object *
join(unsigned first, unsigned last, unsigned from, unsigned to, uint64_t max)
{
    struct object *a = stored(first, last, "ETag: \"a\"\nX: old\nY: old\nContent-Range: bytes x");
    struct object *b = stored(from, to, "ETag: \"a\"\nX: new\nContent-Range: bytes y");
    struct object *joined = part_joined(a, b, max, &arena);

    object_unref(a);
    object_unref(b);
    return joined;
}

static void
expect_joined(unsigned first, unsigned last, unsigned from, unsigned to)
{
    struct object *joined = join(first, last, from, to, 20);
    unsigned low = first < from ? first : from, high = last > to ? last : to;

    CU_ASSERT_PTR_NOT_NULL_FATAL(joined);
    CU_ASSERT_EQUAL(joined->first_byte, low);
    CU_ASSERT_EQUAL(joined->body_bytes, high + 1 - low);
    CU_ASSERT_EQUAL(memcmp(joined->body, text + low, high + 1 - low), 0);
    CU_ASSERT_EQUAL(joined->kind, high + 1 - low == 20 ? OBJECT_RESPONSE : OBJECT_PARTIAL);
    CU_ASSERT_EQUAL(joined->status, high + 1 - low == 20 ? 200 : 206);
    object_unref(joined);
}

static void
parts_that_touch_or_overlap_are_one(void)
{
    expect_joined(0, 4, 5, 9);
    expect_joined(5, 9, 0, 4);
    expect_joined(0, 8, 5, 9);
    expect_joined(5, 9, 0, 19);
    expect_joined(0, 9, 10, 19);
    expect_joined(12, 19, 0, 12);
    expect_joined(3, 3, 3, 3);
}

static void
parts_with_a_gap_or_too_long_stay_apart(void)
{
    CU_ASSERT_PTR_NULL(join(0, 4, 6, 9, 20));
    CU_ASSERT_PTR_NULL(join(10, 19, 0, 8, 20));
    CU_ASSERT_PTR_NULL(join(0, 4, 5, 9, 9));
}

static void
parts_of_other_representations_stay_apart(void)
{
    static const char *const others[] = { "ETag: \"b\"", "ETag: W/\"a\"", "X: no ETag" };
    struct object *a = stored(0, 4, "ETag: \"a\""), *b;

    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        b = stored(5, 9, others[i]);
        CU_ASSERT_PTR_NULL(part_joined(a, b, 20, &arena));
        CU_ASSERT_PTR_NULL(part_joined(b, a, 20, &arena));
        object_unref(b);
    }
    b = stored(5, 9, "ETag: \"a\"");
    b->whole_bytes = 21;
    CU_ASSERT_PTR_NULL(part_joined(a, b, 20, &arena));
    object_unref(b);
    object_unref(a);
}

/* RFC 9111 section 3.4: the newer fields count. A purge of the older concerns both. */
static void
a_joined_part_is_as_new_as_its_fields_and_as_old_as_its_content(void)
{
    struct object *joined = join(10, 14, 5, 9, 20);

    CU_ASSERT_PTR_NOT_NULL_FATAL(joined);
    CU_ASSERT_TRUE(slice_equal(fields_find_name(&joined->fields, SLICE("X"))->value, SLICE("new")));
    CU_ASSERT_TRUE(slice_equal(fields_find_name(&joined->fields, SLICE("Y"))->value, SLICE("old")));
    CU_ASSERT_FALSE(fields_has(&joined->fields, FIELD_CONTENT_RANGE));
    CU_ASSERT_EQUAL(joined->seq, 9);
    object_unref(joined);
}

/* ---- slices */

static struct object *
slices_head(uint64_t generation)
{
    struct object_head head = {
        .kind = OBJECT_SLICES,
        .status = 200,
        .key = SLICE("key"),
        .generation = generation,
        .fields = fields_of(&arena, "ETag: \"a\""),
        .whole_bytes = 20,
        .slice_bytes = 8,
    };

    return object_new(&head, 0);
}

static void
slices_of_another_head_or_number_are_elsewhere(void)
{
    struct object *a = slices_head(1), *b = slices_head(2);
    char *first = arena_alloc(&arena, part_slice_key_bytes(a));
    char *other = arena_alloc(&arena, part_slice_key_bytes(b));
    struct slice key = part_slice_key(first, a, 1);

    CU_ASSERT_FALSE(slice_equal(key, part_slice_key(other, b, 1)));
    CU_ASSERT_FALSE(slice_equal(key, part_slice_key(other, a, 2)));
    CU_ASSERT_TRUE(slice_equal(key, part_slice_key(other, a, 1)));
    object_unref(a);
    object_unref(b);
}

static void
only_a_head_that_divides_its_content_is_one(void)
{
    struct object *head = slices_head(1);

    CU_ASSERT_TRUE(part_is_head(head));
    head->slice_bytes = 0;
    CU_ASSERT_FALSE(part_is_head(head));
    head->slice_bytes = 8;
    head->whole_bytes = LENGTH_UNKNOWN;
    CU_ASSERT_FALSE(part_is_head(head));
    head->whole_bytes = 0;
    CU_ASSERT_FALSE(part_is_head(head));
    head->whole_bytes = 20;
    head->kind = OBJECT_RESPONSE;
    CU_ASSERT_FALSE(part_is_head(head));
    object_unref(head);
}

/* What comes from disk is not believed. */
static void
only_a_slice_is_taken_for_it(void)
{
    struct object *head = slices_head(1), *other = slices_head(2);
    struct object *last = part_new_slice(head, 2, SLICE("k"), 3, 4);

    CU_ASSERT_PTR_NOT_NULL_FATAL(last);
    CU_ASSERT_EQUAL(last->body_bytes, 4);
    CU_ASSERT_EQUAL(last->first_byte, 16);
    CU_ASSERT_TRUE(part_is_slice(last, head, 2));
    CU_ASSERT_FALSE(part_is_slice(last, head, 1));
    CU_ASSERT_FALSE(part_is_slice(last, other, 2));
    last->body_bytes = 3;
    CU_ASSERT_FALSE(part_is_slice(last, head, 2));
    object_unref(last);
    object_unref(head);
    object_unref(other);
}

/* ---- the whole, while the rest arrives */

/* Reads all of the source, so many bytes at a time. */
static size_t
drain(struct source *source, char *to, size_t step, enum flow *flow)
{
    struct piece piece;
    size_t bytes = 0;

    while ((*flow = source->ops->offer(source, FORM_SLICES, &piece)) == FLOW_MORE) {
        size_t n = piece.iov[0].iov_len < step ? piece.iov[0].iov_len : step;

        CU_ASSERT_EQUAL(piece.is_last, bytes + piece.bytes == 20);
        memcpy(to + bytes, piece.iov[0].iov_base, n);
        source->ops->take(source, n);
        bytes += n;
    }
    return bytes;
}

static void
expect_whole(unsigned first, unsigned last, const char *rest, size_t step)
{
    struct object *part = stored(first, last, "ETag: \"a\"");
    struct memory_source memory;
    struct part_source source;
    char found[sizeof(text)];
    enum flow flow;

    memory_source_init(&memory, rest, strlen(rest));
    part_source_init(&source, part, &memory.source);
    CU_ASSERT_EQUAL(drain(&source.source, found, step, &flow), 20);
    CU_ASSERT_EQUAL(flow, FLOW_END);
    CU_ASSERT_EQUAL(memcmp(found, text, 20), 0);
    object_unref(part);
}

static void
the_rest_comes_before_or_behind_the_part(void)
{
    for (size_t step = 1; step <= 20; step++) {
        expect_whole(0, 4, text + 5, step);
        expect_whole(5, 19, "01234", step);
    }
}

static void
a_rest_that_is_too_short_is_no_whole(void)
{
    struct object *part = stored(0, 4, "ETag: \"a\"");
    struct memory_source memory;
    struct part_source source;
    struct piece piece;
    enum flow flow;

    memory_source_init(&memory, text + 5, 14);
    part_source_init(&source, part, &memory.source);
    while ((flow = source.source.ops->offer(&source.source, FORM_SLICES, &piece)) == FLOW_MORE) {
        CU_ASSERT_TRUE(!piece.is_last);
        source.source.ops->take(&source.source, piece.bytes);
    }
    CU_ASSERT_EQUAL(flow, FLOW_FAILED);
    object_unref(part);
}

void
suite_part(void)
{
    CU_pSuite s = CU_add_suite("part", begin, end);

    CU_add_test(s, "a part says what it is", a_part_says_what_it_is);
    CU_add_test(s, "a part needs a strong ETag", a_part_needs_a_strong_etag);
    CU_add_test(s, "what is missing is one range, or is not asked for",
                what_is_missing_is_one_range_or_not_asked_for);
    CU_add_test(s, "a part is asked for on condition that nothing changed",
                a_part_is_asked_for_on_condition_that_nothing_changed);
    CU_add_test(s, "a part beyond its whole is none", a_part_beyond_its_whole_is_none);
    CU_add_test(s, "parts that touch or overlap are one", parts_that_touch_or_overlap_are_one);
    CU_add_test(s, "parts with a gap between them, or too long, stay apart",
                parts_with_a_gap_or_too_long_stay_apart);
    CU_add_test(s, "parts of other representations stay apart",
                parts_of_other_representations_stay_apart);
    CU_add_test(s, "a joined part is as new as its fields and as old as its content",
                a_joined_part_is_as_new_as_its_fields_and_as_old_as_its_content);
    CU_add_test(s, "slices of another head, or number, are elsewhere",
                slices_of_another_head_or_number_are_elsewhere);
    CU_add_test(s, "only a head that divides its content is one",
                only_a_head_that_divides_its_content_is_one);
    CU_add_test(s, "only a slice is taken for it", only_a_slice_is_taken_for_it);
    CU_add_test(s, "the rest comes before or behind the part",
                the_rest_comes_before_or_behind_the_part);
    CU_add_test(s, "a rest that is too short is no whole", a_rest_that_is_too_short_is_no_whole);
}
