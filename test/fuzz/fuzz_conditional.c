/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_conditional.c - any bytes as Range, Content-Range, entity tags, and where
 * Location points.
 *
 * The first byte is the length of the representation. Ranges lie within it, what
 * is written is read again as the same, comparison is symmetric, and what is
 * resolved is a path without dot segments.
 */
#include "config.h"

#include "cache/byte_range.h"
#include "cache/invalidate.h"
#include "cache/validate.h"
#include "cache/vary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void
check_range(struct slice value, uint64_t length)
{
    struct byte_range range, again;
    char text[CONTENT_RANGE_BYTES];
    uint64_t told;

    if (byte_range_parse(value, length, &range) != RANGE_ONE)
        return;
    must(range.first <= range.last && range.last < length);
    must(byte_range_parse(byte_range_format(text, range, length), length, &again) == RANGE_ONE);
    must(again.first == range.first && again.last == range.last);
    must(content_range_parse(content_range_format(text, range, length), &again, &told) ==
         CONTENT_RANGE_PART);
    must(again.first == range.first && again.last == range.last && told == length);
}

static void
check_content_range(struct slice value)
{
    struct byte_range range, again;
    char text[CONTENT_RANGE_BYTES];
    uint64_t length, told;

    switch (content_range_parse(value, &range, &length)) {
    case CONTENT_RANGE_BAD:
        return;
    case CONTENT_RANGE_UNSATISFIED:
        must(content_range_parse(content_range_unsatisfied(text, length), &again, &told) ==
             CONTENT_RANGE_UNSATISFIED);
        must(told == length && length != RANGE_LENGTH_UNKNOWN);
        return;
    case CONTENT_RANGE_PART:
        must(range.first <= range.last && range.last < length);
        must(content_range_parse(content_range_format(text, range, length), &again, &told) ==
             CONTENT_RANGE_PART);
        must(again.first == range.first && again.last == range.last && told == length);
        must(byte_range_bytes(range) > 0);
    }
}

static void
check_etags(struct slice value, struct arena *arena)
{
    ptrdiff_t comma = slice_find(value, ',');
    struct slice a = comma >= 0 ? slice_make(value.data, (size_t)comma) : value;
    struct slice b = comma >= 0 ? slice_skip(value, (size_t)comma + 1) : value;
    struct fields request = { 0 }, response = { 0 };
    struct validate_stored stored = { &response, 200, 0 };
    bool is_weakly_equal = validate_etag_weak_equal(a, b);

    must(is_weakly_equal == validate_etag_weak_equal(b, a));
    must(validate_etag_strong_equal(a, b) == validate_etag_strong_equal(b, a));
    must(!validate_etag_strong_equal(a, b) || is_weakly_equal);
    fields_add(&request, arena, FIELD_IF_NONE_MATCH, b);
    fields_add(&response, arena, FIELD_ETAG, a);
    must(!is_weakly_equal || validate_request(&request, &stored, 0) == VALIDATE_NOT_MODIFIED);
}

static void
check_reference(struct slice value, struct arena *arena)
{
    struct invalidate_target target = { SLICE_INIT("http"), SLICE_INIT("a"), 80,
                                        SLICE_INIT("/b/c?d") };
    struct slice url = invalidate_resolve(arena, &target, value);

    if (url.data == NULL)
        return;
    must(url.bytes > 0 && url.data[0] == '/' && slice_find(url, '#') < 0);
    if (slice_find(url, '?') >= 0)
        url.bytes = (size_t)slice_find(url, '?');
    must(memmem(url.data, url.bytes, "/./", 3) == NULL);
    must(memmem(url.data, url.bytes, "/../", 4) == NULL);
}

/* Keys of weighted lists and of Vary stay within the room that was reckoned: a
 * sanitizer sees to that. */
static void
check_vary(struct slice value, struct arena *arena)
{
    static const struct slice languages[] = { SLICE_INIT("en"), SLICE_INIT("pt-br") };
    struct vary_conf conf = { .languages = languages, .language_count = 2 };
    struct fields request = { 0 }, response = { 0 };
    struct slice names;

    fields_add(&response, arena, FIELD_VARY, value);
    fields_add(&response, arena, FIELD_VARY, SLICE("accept-language, accept-encoding, x"));
    fields_add(&request, arena, FIELD_ACCEPT_LANGUAGE, value);
    fields_add(&request, arena, FIELD_ACCEPT_ENCODING, value);
    fields_add_name(&request, arena, SLICE("x"), value);
    fields_add_name(&request, arena, SLICE("X"), value);
    names = vary_names(&response, arena);
    if (vary_is_star(names))
        names = SLICE("accept-encoding,accept-language,x");
    must(vary_key(names, &request, &conf, arena).bytes > 0);
    conf = (struct vary_conf){ .narrows_encoding = true };
    must(vary_key(names, &request, &conf, arena).bytes > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice value = { (const char *)data, bytes };
    struct arena arena;
    uint64_t length;

    if (bytes == 0)
        return 0;
    arena_init(&arena, NULL, bytes * 16 + 64 * BLOCK_BYTES);
    length = data[0];
    value = slice_skip(value, 1);
    check_range(value, length);
    check_range(value, RANGE_LENGTH_UNKNOWN - 1);
    check_content_range(value);
    check_etags(value, &arena);
    check_reference(value, &arena);
    check_vary(value, &arena);
    arena_fini(&arena);
    return 0;
}
