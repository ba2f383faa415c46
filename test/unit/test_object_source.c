/* SPDX-License-Identifier: BSD-2-Clause */
/* test_object_source.c - stored content and ranges of it, from memory and from
 * disk, in the forms that the sink takes. */
#include "config.h"

#include "cache/object_source.h"

#include "test/unit/fill_fixture.h"
#include "test/unit/suites.h"

#include <fcntl.h>

#define CONTENT_BYTES (2000 * 1000u)

static struct worker worker;
static struct disk_bench disk;
static struct object_source source;
static struct visitor visitor;

static void
turn_until(int *result)
{
    for (int i = 0; i < 1000 && *result < 0; i++)
        loop_turn(worker.loop, 10);
}

/* Reads [first, end), and says how that ended. */
static int
read_range(struct object *object, uint64_t first, uint64_t end, unsigned forms)
{
    object_source_init(&source, object, disk.disk, &worker, first, end);
    visitor_start(&visitor, &worker, &source.source, first, UINT64_MAX, forms);
    turn_until(&visitor.result);
    pump_stop(&visitor.pump);
    object_source_fini(&source);
    object_source_fini(&source); /* twice is fine */
    return visitor.result;
}

static bool
comes_right(struct object *object, uint64_t first, uint64_t end, unsigned forms)
{
    return read_range(object, first, end, forms) == PUMP_DONE && visitor.at == end &&
           !visitor.is_wrong;
}

static void
content_in_memory_comes_as_one_slice(void)
{
    struct object *object = make_object(10000);

    for (size_t i = 0; i < 10000; i++)
        object->body[i] = content_byte(i);
    worker_set_up(&worker);
    disk.disk = NULL;
    CU_ASSERT_TRUE(comes_right(object, 0, 10000, FORM_FILE));
    CU_ASSERT_EQUAL(visitor.puts, 1);
    CU_ASSERT_TRUE(comes_right(object, 17, 9000, 0));
    CU_ASSERT_TRUE(comes_right(object, 9999, 10000, 0));
    CU_ASSERT_TRUE(comes_right(object, 5000, 5000, 0));
    CU_ASSERT_EQUAL(visitor.puts, 0);
    CU_ASSERT_EQUAL(atomic_load(&object->references), 1);
    object_unref(object);
    worker_tear_down(&worker);
}

/* ---- on disk */

static bool is_written;

static void
on_written(void *arg)
{
    (void)arg;
    is_written = true;
}

/* An object whose content is on disk only. */
static struct object *
store_content(void)
{
    struct disk_write *write =
        disk_write_begin(disk.disk, 77, CONTENT_BYTES, worker.loop, on_written, NULL);
    struct object *object = make_object(0);

    CU_ASSERT_PTR_NOT_NULL_FATAL(write);
    for (uint64_t at = 0; at < CONTENT_BYTES; at += CHUNK_BYTES) {
        struct chunk *chunk = chunk_new();
        uint64_t left = CONTENT_BYTES - at;

        CU_ASSERT_PTR_NOT_NULL_FATAL(chunk);
        chunk->bytes = left < CHUNK_BYTES ? (uint32_t)left : CHUNK_BYTES;
        for (uint32_t i = 0; i < chunk->bytes; i++)
            chunk->data[i] = content_byte(at + i);
        disk_write_append(write, chunk);
        chunk_unref(chunk);
    }
    for (int i = 0; i < 1000 && disk_write_written(write) < CONTENT_BYTES; i++)
        loop_turn(worker.loop, 10);
    CU_ASSERT_EQUAL_FATAL(disk_write_written(write), CONTENT_BYTES);
    object->body_bytes = CONTENT_BYTES;
    disk_write_commit(write, object);
    return object;
}

static struct object *
set_up(enum disk_verify verify)
{
    worker_set_up(&worker);
    disk_set_up(&disk, 64u << 20, verify);
    return store_content();
}

static void
tear_down(struct object *object)
{
    for (int i = 0; i < 1000 && !disk_reader_is_idle(); i++)
        loop_turn(worker.loop, 10);
    CU_ASSERT_TRUE(disk_reader_is_idle());
    object_unref(object);
    disk_tear_down(&disk);
    worker_tear_down(&worker);
}

static void
content_on_disk_comes_as_the_sink_likes_it(void)
{
    struct object *object = set_up(DISK_VERIFY_ONCE);

    CU_ASSERT_TRUE(comes_right(object, 0, CONTENT_BYTES, FORM_FILE));
    CU_ASSERT_TRUE(visitor.files > 0 && visitor.files == visitor.puts);
    CU_ASSERT_TRUE(comes_right(object, 0, CONTENT_BYTES, FORM_SOCKET));
    CU_ASSERT_EQUAL(visitor.files, 0);
    CU_ASSERT_TRUE(visitor.puts >= CONTENT_BYTES / OBJECT_READ_BYTES);
    tear_down(object);
}

static void
ranges_come_from_where_they_are(void)
{
    static const uint64_t ranges[][2] = {
        { 0, 1 },           { 1, 100 },          { 65471, 65473 },
        { 65536, 131072 },  { 524287, 1048577 }, { 1000000, 1000000 },
        { 1234567, CONTENT_BYTES }, { CONTENT_BYTES - 1, CONTENT_BYTES },
    };
    struct object *object = set_up(DISK_VERIFY_ONCE);

    for (size_t i = 0; i < ARRAY_COUNT(ranges); i++) {
        CU_ASSERT_TRUE(comes_right(object, ranges[i][0], ranges[i][1], FORM_FILE));
        CU_ASSERT_TRUE(comes_right(object, ranges[i][0], ranges[i][1], 0));
    }
    /* So little is better sent along with the head. */
    CU_ASSERT_TRUE(comes_right(object, 10, 1000, FORM_FILE));
    CU_ASSERT_TRUE(visitor.files == 0 && visitor.puts == 1);
    tear_down(object);
}

static void
what_is_always_verified_is_never_sent_from_the_file(void)
{
    struct object *object = set_up(DISK_VERIFY_ALWAYS);

    CU_ASSERT_TRUE(comes_right(object, 0, CONTENT_BYTES, FORM_FILE));
    CU_ASSERT_EQUAL(visitor.files, 0);
    CU_ASSERT_TRUE(comes_right(object, 99999, 1000001, 0));
    tear_down(object);
}

static void
a_slow_sink_gets_the_same(void)
{
    struct object *object = set_up(DISK_VERIFY_ONCE);
    unsigned forms[] = { 0, FORM_FILE };

    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        object_source_init(&source, object, disk.disk, &worker, 0, CONTENT_BYTES);
        visitor_start(&visitor, &worker, &source.source, 0, 1, forms[i]);
        for (int turns = 0; turns < 2000 && visitor.result < 0; turns++) {
            if (visitor.pump.is_sink_full)
                visitor_go_on(&visitor, 13001);
            loop_turn(worker.loop, 1);
        }
        CU_ASSERT_EQUAL(visitor.result, PUMP_DONE);
        CU_ASSERT_TRUE(visitor.at == CONTENT_BYTES && !visitor.is_wrong);
        object_source_fini(&source);
    }
    tear_down(object);
}

/* The disk answers to nobody then. */
static void
who_waits_for_the_disk_may_leave(void)
{
    struct object *object = set_up(DISK_VERIFY_ALWAYS);

    object_source_init(&source, object, disk.disk, &worker, 0, CONTENT_BYTES);
    visitor_start(&visitor, &worker, &source.source, 0, UINT64_MAX, 0);
    CU_ASSERT_EQUAL(visitor.at, 0);
    CU_ASSERT_FALSE(disk_reader_is_idle() && !timer_is_armed(&source.disk.retry));
    pump_stop(&visitor.pump);
    object_source_fini(&source);
    memset(&source, 0xff, sizeof(source));
    tear_down(object);
    CU_ASSERT_EQUAL(visitor.at, 0);
}

/* In all segments. */
static int
flip_a_byte_in_the_middle(const char *path, const struct stat *facts, int kind, struct FTW *walk)
{
    int fd;
    char byte;

    (void)walk;
    if (kind != FTW_F || facts->st_size < CONTENT_BYTES)
        return 0;
    fd = open(path, O_RDWR | O_CLOEXEC);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    for (off_t at = CONTENT_BYTES / 2; at < CONTENT_BYTES; at += 100000) {
        CU_ASSERT_EQUAL(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    return 0;
}

static void
content_that_was_damaged_is_cut_short(void)
{
    struct object *object = set_up(DISK_VERIFY_ALWAYS);

    nftw(disk.path, flip_a_byte_in_the_middle, 8, FTW_PHYS);
    CU_ASSERT_EQUAL(read_range(object, 0, CONTENT_BYTES, 0), PUMP_SOURCE_FAILED);
    CU_ASSERT_TRUE(visitor.at < CONTENT_BYTES);
    CU_ASSERT_FALSE(visitor.is_wrong);
    tear_down(object);
}

void
suite_object_source(void)
{
    CU_pSuite s = CU_add_suite("object_source", NULL, NULL);

    CU_add_test(s, "content in memory comes as one slice", content_in_memory_comes_as_one_slice);
    CU_add_test(s, "content on disk comes as the sink likes it",
                content_on_disk_comes_as_the_sink_likes_it);
    CU_add_test(s, "ranges come from where they are", ranges_come_from_where_they_are);
    CU_add_test(s, "what is always verified is never sent from the file",
                what_is_always_verified_is_never_sent_from_the_file);
    CU_add_test(s, "a slow sink gets the same", a_slow_sink_gets_the_same);
    CU_add_test(s, "who waits for the disk may leave", who_waits_for_the_disk_may_leave);
    CU_add_test(s, "content that was damaged is cut short", content_that_was_damaged_is_cut_short);
}
