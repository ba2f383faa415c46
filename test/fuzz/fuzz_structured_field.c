/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_structured_field.c - any bytes as an item, a list and a dictionary.
 *
 * What was handed out can be walked to its end, lies within the field, and says
 * no more bytes than it has.
 */
#include "config.h"

#include "cache/structured_field.h"

#include "server/base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct slice whole;

static void
check_within(struct slice part)
{
    must(part.bytes == 0 || (part.data >= whole.data && part.bytes <= whole.bytes &&
                             (size_t)(part.data - whole.data) <= whole.bytes - part.bytes));
}

static void
check_bare(const struct sf_item *item, struct arena *arena)
{
    struct slice text = sf_item_text(item, arena);

    check_within(item->text);
    must(text.bytes <= item->text.bytes);
    must(item->number <= INT64_C(999999999999999) && item->number >= -INT64_C(999999999999999));
}

static void
check_item(const struct sf_item *item, struct arena *arena)
{
    struct slice parameters = item->parameters, inner = item->text, key;
    struct sf_item part;

    check_bare(item, arena);
    check_within(item->parameters);
    while (sf_next_parameter(&parameters, &key, &part)) {
        must(key.bytes > 0 && part.type != SF_INNER_LIST);
        check_bare(&part, arena);
    }
    must(parameters.bytes == 0);
    if (item->type != SF_INNER_LIST)
        return;
    while (sf_next_inner(&inner, &part)) {
        must(part.type != SF_INNER_LIST);
        check_item(&part, arena);
    }
    must(inner.bytes == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct sf_reader reader;
    struct sf_item item;
    struct arena arena;
    struct slice key;

    whole = slice_make((const char *)data, bytes);
    arena_init(&arena, NULL, bytes * 64 + 64 * BLOCK_BYTES);
    sf_reader_init(&reader, whole);
    if (sf_only_item(&reader, &item))
        check_item(&item, &arena);
    sf_reader_init(&reader, whole);
    while (sf_next_element(&reader, &item))
        check_item(&item, &arena);
    must(sf_reader_is_done(&reader) || !sf_next_element(&reader, &item));
    sf_reader_init(&reader, whole);
    while (sf_next_member(&reader, &key, &item)) {
        must(key.bytes > 0);
        check_within(key);
        check_item(&item, &arena);
    }
    must(reader.members <= SF_MEMBERS_MAX);
    arena_fini(&arena);
    return 0;
}
