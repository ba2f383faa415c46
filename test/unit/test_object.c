/* SPDX-License-Identifier: BSD-2-Clause */
/* test_object.c - an object is what it was made from, and what was packed of it
 * comes back; anything else is refused.
 */
#include "config.h"

#include "cache/object.h"

#include "test/unit/field_fixture.h"

#include <stdlib.h>

void suite_object(void);

static struct arena arena;

static int
begin(void)
{
    arena_init(&arena, NULL, 16 << 20);
    return 0;
}

static int
end(void)
{
    arena_fini(&arena);
    return 0;
}

static const uint64_t tags[] = { 7, UINT64_MAX, 1 };

static struct object_head
some_head(void)
{
    return (struct object_head){
        .kind = OBJECT_PARTIAL,
        .status = 206,
        .site = 9,
        .hash = 0x1122334455667788,
        .seq = 3,
        .generation = 4,
        .key = SLICE("internet\0http://a.example/b"),
        .life = { .response_s = 1700000000, .initial_age_s = 1, .fresh_s = 60,
                  .stale_while_revalidate_s = 2, .stale_if_error_s = WINDOW_UNSAID,
                  .is_explicit = true, .is_immutable = true, .must_revalidate = true },
        .fields = fields_of(&arena, "ETag: \"x\"\nContent-Type: text/plain\nX-Empty:\nETag: \"y\""),
        .vary = SLICE("accept-language"),
        .url = SLICE("http://a.example/b"),
        .tags = tags,
        .tag_count = ARRAY_COUNT(tags),
        .first_byte = 100,
        .whole_bytes = 1000,
        .slice_bytes = 0,
    };
}

static void
expect_same_fields(const struct fields *found, const struct fields *expected)
{
    CU_ASSERT_EQUAL_FATAL(found->count, expected->count);
    for (uint32_t i = 0; i < expected->count; i++) {
        CU_ASSERT_TRUE(slice_equal(found->items[i].name, expected->items[i].name));
        CU_ASSERT_TRUE(slice_equal(found->items[i].value, expected->items[i].value));
        CU_ASSERT_EQUAL(found->items[i].id, expected->items[i].id);
        CU_ASSERT_EQUAL(found->items[i].flags, expected->items[i].flags);
        CU_ASSERT_TRUE(fields_has(found, (enum field_id)expected->items[i].id) ||
                       expected->items[i].id == FIELD_OTHER);
    }
}

static void
expect_head(const struct object *object, const struct object_head *head)
{
    CU_ASSERT_EQUAL(object->kind, head->kind);
    CU_ASSERT_EQUAL(object->status, head->status);
    CU_ASSERT_EQUAL(object->site, head->site);
    CU_ASSERT_EQUAL(object->hash, head->hash);
    CU_ASSERT_EQUAL(object->seq, head->seq);
    CU_ASSERT_EQUAL(object->generation, head->generation);
    CU_ASSERT_EQUAL(object->first_byte, head->first_byte);
    CU_ASSERT_EQUAL(object->whole_bytes, head->whole_bytes);
    CU_ASSERT_TRUE(slice_equal(object->key, head->key));
    CU_ASSERT_TRUE(slice_equal(object->url, head->url));
    CU_ASSERT_TRUE(slice_equal(object->vary, head->vary));
    CU_ASSERT_EQUAL_FATAL(object->tag_count, head->tag_count);
    CU_ASSERT_TRUE(memcmp(object->tags, head->tags, head->tag_count * sizeof(uint64_t)) == 0);
    CU_ASSERT_EQUAL(object->life.response_s, head->life.response_s);
    CU_ASSERT_EQUAL(object->life.initial_age_s, head->life.initial_age_s);
    CU_ASSERT_EQUAL(object->life.fresh_s, head->life.fresh_s);
    CU_ASSERT_EQUAL(object->life.stale_while_revalidate_s, head->life.stale_while_revalidate_s);
    CU_ASSERT_EQUAL(object->life.stale_if_error_s, head->life.stale_if_error_s);
    CU_ASSERT_EQUAL(object->life.is_explicit, head->life.is_explicit);
    CU_ASSERT_EQUAL(object->life.is_heuristic, head->life.is_heuristic);
    CU_ASSERT_EQUAL(object->life.is_immutable, head->life.is_immutable);
    CU_ASSERT_EQUAL(object->life.must_revalidate, head->life.must_revalidate);
    CU_ASSERT_EQUAL(object->life.always_validate, head->life.always_validate);
    expect_same_fields(&object->fields, head->fields);
}

static void
keeps_what_it_was_made_from(void)
{
    struct object_head head = some_head();
    struct object *object = object_new(&head, 10);

    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    memcpy(object->body, "0123456789", 10);
    expect_head(object, &head);
    CU_ASSERT_PTR_NOT_EQUAL(object->key.data, head.key.data);
    CU_ASSERT_EQUAL(object->body_bytes, 10);
    CU_ASSERT_EQUAL(object_memory(object), object->head_bytes + 10u);
    object_unref(object);
}

static char *
pack(const struct object *object, size_t *bytes)
{
    char *packed;

    *bytes = object_packed_bytes(object);
    packed = malloc(*bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packed);
    object_pack(object, packed);
    return packed;
}

static void
comes_back_from_disk(void)
{
    struct object_head head = some_head();
    struct object *object = object_new(&head, 0);
    struct object *back;
    size_t bytes;
    char *packed = pack(object, &bytes);

    back = object_unpack(slice_make(packed, bytes), 5);
    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    expect_head(back, &head);
    CU_ASSERT_EQUAL(back->body_bytes, 5);
    object_unref(back);
    object_unref(object);
    free(packed);
}

/* Bytes from disk are nobody's word: cut anywhere, with any byte changed. */
static void
refuses_what_is_cut(void)
{
    struct object_head head = some_head();
    struct object *object = object_new(&head, 0);
    size_t bytes;
    char *packed = pack(object, &bytes);

    for (size_t n = 0; n < bytes; n++) {
        char *exact = malloc(n + 1); /* for the sanitizer: not a byte more */

        memcpy(exact, packed, n);
        CU_ASSERT_PTR_NULL(object_unpack(slice_make(exact, n), 0));
        free(exact);
    }
    object_unref(object);
    free(packed);
}

static void
survives_any_byte(void)
{
    struct object_head head = some_head();
    struct object *object = object_new(&head, 0);
    size_t bytes;
    char *packed = pack(object, &bytes);

    for (size_t i = 0; i < bytes; i++) {
        char was = packed[i];

        for (int change = 1; change < 256; change <<= 1) {
            packed[i] = (char)(was ^ change);
            object_unref(object_unpack(slice_make(packed, bytes), 0));
        }
        packed[i] = was;
    }
    CU_ASSERT_PTR_NOT_NULL(object); /* the sanitizers judge the rest */
    object_unref(object);
    free(packed);
}

static void
refuses_too_much(void)
{
    struct object_head head = some_head();
    uint64_t many[OBJECT_TAGS_MAX + 1] = { 0 };
    char *text = calloc(1, OBJECT_HEAD_MAX + 1);

    head.tags = many;
    head.tag_count = ARRAY_COUNT(many);
    CU_ASSERT_PTR_NULL(object_new(&head, 0));
    head = some_head();
    head.key = slice_make(text, OBJECT_HEAD_MAX + 1);
    CU_ASSERT_PTR_NULL(object_new(&head, 0));
    free(text);
}

/* RFC 9111 section 4.3.4: a 304 makes another head for the same content. */
static void
is_freshened_with_its_content(void)
{
    struct object_head head = some_head();
    struct object *old = object_new(&head, 4);
    struct object *new;

    memcpy(old->body, "abcd", 4);
    head.life.fresh_s = 999;
    new = object_freshened(old, &head);
    CU_ASSERT_PTR_NOT_NULL_FATAL(new);
    object_unref(old);
    CU_ASSERT_EQUAL(new->life.fresh_s, 999);
    CU_ASSERT_EQUAL(new->body_bytes, 4);
    CU_ASSERT_TRUE(memcmp(new->body, "abcd", 4) == 0);
    object_unref(new);
}

/* Quotas on disk are by this id: it may never change, nor be 0. */
static void
has_a_lasting_site_id(void)
{
    CU_ASSERT_EQUAL(object_site_id(SLICE("www")), 0x12aca1ac);
    CU_ASSERT_NOT_EQUAL(object_site_id(SLICE("")), 0);
    CU_ASSERT_NOT_EQUAL(object_site_id(SLICE("a")), object_site_id(SLICE("b")));
}

void
suite_object(void)
{
    CU_pSuite s = CU_add_suite("object", begin, end);

    CU_add_test(s, "keeps what it was made from", keeps_what_it_was_made_from);
    CU_add_test(s, "comes back from disk", comes_back_from_disk);
    CU_add_test(s, "is refused when it is cut", refuses_what_is_cut);
    CU_add_test(s, "survives any change of a bit", survives_any_byte);
    CU_add_test(s, "is refused when it is too much", refuses_too_much);
    CU_add_test(s, "is freshened with its content", is_freshened_with_its_content);
    CU_add_test(s, "has a lasting id of its site", has_a_lasting_site_id);
}
