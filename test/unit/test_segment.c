/* SPDX-License-Identifier: BSD-2-Clause */
/* test_segment.c - promises of cache/record.h and cache/segment.h. */
#include "config.h"

#include "cache/segment.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test/unit/suites.h"

static const struct hash_key key = { { 5, 6 } };

static char folder_path[64];

static int
make_folder(void)
{
    snprintf(folder_path, sizeof(folder_path), "/tmp/bascule-segment-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder_path));
    return open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
remove_folder(int folder)
{
    for (uint64_t number = 1; number < 4; number++) {
        char name[SEGMENT_NAME_MAX];

        segment_name(number, name);
        unlinkat(folder, name, 0);
    }
    close(folder);
    CU_ASSERT_EQUAL(rmdir(folder_path), 0);
}

/* Writes an object record with this much content at a place; returns where the next begins. */
static uint64_t
write_record(struct segment *segment, uint64_t at, uint64_t hash, size_t body_bytes,
             struct contents *contents)
{
    struct record record = record_make(RECORD_OBJECT, hash, hash + 100);
    struct segment_entry entry;
    struct iovec iov;
    char *bytes;

    record.head_bytes = 10;
    record.body_bytes = body_bytes;
    bytes = calloc(1, record_bytes(&record));
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    memcpy(bytes, &record, sizeof(record));
    record_seal(bytes, &record, segment->salt, at);
    iov = (struct iovec){ bytes, record_bytes(&record) };
    CU_ASSERT_TRUE(segment_write(segment, at, &iov, 1));
    free(bytes);
    entry = segment_entry_of(&record, at);
    CU_ASSERT_TRUE(contents_add(contents, &entry));
    return at + record_bytes(&record);
}

static struct segment *
reopen(struct segment *segment, int folder)
{
    uint64_t number = segment->number;

    segment_unref(segment);
    return segment_open(folder, number, &key);
}

static bool
lists_the_same(struct segment *segment, const struct contents *expected, size_t count)
{
    struct contents found;
    bool is_same;

    contents_init(&found);
    is_same = segment != NULL && segment_list(segment, &found) && found.count == count &&
              memcmp(found.items, expected->items, count * sizeof(*found.items)) == 0;
    contents_fini(&found);
    return is_same;
}

static void
flip(struct segment *segment, uint64_t at)
{
    char byte;

    CU_ASSERT_EQUAL(pread(segment->fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x10;
    CU_ASSERT_EQUAL(pwrite(segment->fd, &byte, 1, (off_t)at), 1);
}

static void
a_list_that_is_missing_or_damaged_is_made_from_the_records(void)
{
    int folder = make_folder();
    struct segment *segment = segment_create(folder, 1, &key);
    struct contents contents;
    uint64_t at = SEGMENT_HEADER_BYTES;

    contents_init(&contents);
    for (uint64_t i = 0; i < 500; i++)
        at = write_record(segment, at, i, i * 37, &contents);
    segment = reopen(segment, folder);
    CU_ASSERT_TRUE(lists_the_same(segment, &contents, 500));
    CU_ASSERT_TRUE(segment_seal(segment, at, &contents));
    segment = reopen(segment, folder);
    CU_ASSERT_TRUE(lists_the_same(segment, &contents, 500));
    flip(segment, at + 32 * 77); /* an entry */
    CU_ASSERT_TRUE(lists_the_same(segment, &contents, 500));
    flip(segment, atomic_load(&segment->bytes) - 3); /* the footer */
    CU_ASSERT_TRUE(lists_the_same(segment, &contents, 500));
    contents_fini(&contents);
    segment_unref(segment);
    remove_folder(folder);
}

static void
what_follows_a_torn_record_is_not_there(void)
{
    int folder = make_folder();
    struct segment *segment = segment_create(folder, 1, &key);
    struct contents contents;
    uint64_t at = SEGMENT_HEADER_BYTES, ends[20];

    contents_init(&contents);
    for (unsigned i = 0; i < 20; i++)
        at = ends[i] = write_record(segment, at, i, 1000, &contents);
    for (size_t i = 20; i-- > 10;) { /* shorter and shorter */
        CU_ASSERT_EQUAL(ftruncate(segment->fd, (off_t)ends[i] - 1), 0);
        segment = reopen(segment, folder);
        CU_ASSERT_TRUE(lists_the_same(segment, &contents, i));
    }
    flip(segment, ends[4] + 20); /* the head of the sixth */
    CU_ASSERT_TRUE(lists_the_same(segment, &contents, 5));
    contents_fini(&contents);
    segment_unref(segment);
    remove_folder(folder);
}

static void
a_record_counts_only_in_its_place(void)
{
    struct record record = record_make(RECORD_FORGET, 1, 2), again;
    char bytes[sizeof(record)];

    memcpy(bytes, &record, sizeof(record));
    record_seal(bytes, &record, 77, 640);
    CU_ASSERT_TRUE(record_parse(bytes, sizeof(bytes), &again));
    CU_ASSERT_TRUE(record_verify(bytes, &again, 77, 640));
    CU_ASSERT_FALSE(record_verify(bytes, &again, 77, 704));
    CU_ASSERT_FALSE(record_verify(bytes, &again, 78, 640));
    CU_ASSERT_FALSE(record_parse(bytes, sizeof(bytes) - 1, &again));
}

static void
lengths_that_cannot_be_are_refused(void)
{
    struct record record = record_make(RECORD_OBJECT, 1, 2), again;

    record.body_bytes = UINT64_MAX - 10;
    CU_ASSERT_FALSE(record_parse((const char *)&record, UINT64_MAX, &again));
    record.body_bytes = (uint64_t)1 << 50; /* more checksums than there may be */
    CU_ASSERT_FALSE(record_parse((const char *)&record, UINT64_MAX, &again));
    record.body_bytes = 0;
    record.extent_count = UINT32_MAX;
    CU_ASSERT_FALSE(record_parse((const char *)&record, UINT64_MAX, &again));
    record.extent_count = 0;
    record.head_bytes = UINT32_MAX;
    CU_ASSERT_FALSE(record_parse((const char *)&record, UINT64_MAX, &again));
    record.head_bytes = 0;
    record.kind = 9;
    CU_ASSERT_FALSE(record_parse((const char *)&record, UINT64_MAX, &again));
    record.kind = RECORD_OBJECT;
    CU_ASSERT_TRUE(record_parse((const char *)&record, UINT64_MAX, &again));
}

static void
a_segment_of_another_store_or_number_is_refused(void)
{
    const struct hash_key other = { { 5, 7 } };
    int folder = make_folder();
    char first[SEGMENT_NAME_MAX], second[SEGMENT_NAME_MAX];

    segment_unref(segment_create(folder, 1, &key));
    CU_ASSERT_PTR_NULL(segment_open(folder, 1, &other));
    CU_ASSERT_EQUAL(errno, EBADMSG);
    segment_name(1, first);
    segment_name(2, second);
    CU_ASSERT_EQUAL(renameat(folder, first, folder, second), 0);
    CU_ASSERT_PTR_NULL(segment_open(folder, 2, &key));
    CU_ASSERT_EQUAL(errno, EBADMSG);
    remove_folder(folder);
}

static void
names_and_numbers_agree(void)
{
    char name[SEGMENT_NAME_MAX];

    segment_name(123, name);
    CU_ASSERT_STRING_EQUAL(name, "000000000123.seg");
    CU_ASSERT_EQUAL(segment_number_of(name), 123);
    CU_ASSERT_EQUAL(segment_number_of("123.seg"), 0);
    CU_ASSERT_EQUAL(segment_number_of("00000000012x.seg"), 0);
    CU_ASSERT_EQUAL(segment_number_of("000000000123.tmp"), 0);
    CU_ASSERT_EQUAL(segment_number_of("lock"), 0);
}

static void
size_classes_are_never_too_small_and_at_most_an_eighth_too_large(void)
{
    for (uint64_t bytes = 0; bytes < (uint64_t)1 << 38; bytes += 1 + bytes / 50) {
        uint64_t rounded = size_class_bytes(size_class_of(bytes));

        if (rounded < bytes || rounded > bytes + bytes / 8 + RECORD_UNIT)
            CU_FAIL("a size class is off");
    }
    CU_ASSERT_EQUAL(size_class_of(UINT64_MAX), 255);
}

void
suite_segment(void)
{
    CU_pSuite s = CU_add_suite("segment", NULL, NULL);

    CU_add_test(s, "a list that is missing or damaged is made from the records",
                a_list_that_is_missing_or_damaged_is_made_from_the_records);
    CU_add_test(s, "what follows a torn record is not there",
                what_follows_a_torn_record_is_not_there);
    CU_add_test(s, "a record counts only in its place", a_record_counts_only_in_its_place);
    CU_add_test(s, "lengths that cannot be are refused", lengths_that_cannot_be_are_refused);
    CU_add_test(s, "a segment of another store or number is refused",
                a_segment_of_another_store_or_number_is_refused);
    CU_add_test(s, "names and numbers agree", names_and_numbers_agree);
    CU_add_test(s, "size classes are never too small and at most an eighth too large",
                size_classes_are_never_too_small_and_at_most_an_eighth_too_large);
}
