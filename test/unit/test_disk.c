/* SPDX-License-Identifier: BSD-2-Clause */
/* test_disk.c - promises of cache/disk.h. */
#include "config.h"

#include "test/unit/disk_fixture.h"

#include <pthread.h>
#include <string.h>
#include <sys/file.h>

#include "server/http/message.h"
#include "test/unit/suites.h"

#define ALL UINT64_MAX /* room for any content */

static const uint64_t sizes[] = { 0, 1, 63, 64, 1000, 65535, 65536, 65537, 200000, 900000 };

#define SIZES (unsigned)ARRAY_COUNT(sizes)

static void
put_all_sizes(struct disk_fixture *f)
{
    for (unsigned i = 0; i < SIZES; i++)
        CU_ASSERT_TRUE(canary_put(f, i, 1, sizes[i]));
    CU_ASSERT_TRUE(fixture_wait(f, has_written, SIZES));
}

static void
expect_all_sizes(struct disk_fixture *f)
{
    for (unsigned i = 0; i < SIZES; i++) {
        CU_ASSERT_TRUE(canary_is_there(f, i, 1, ALL));
        CU_ASSERT_TRUE(canary_is_there(f, i, 1, 100000));
        CU_ASSERT_TRUE(canary_is_there(f, i, 1, 0));
    }
}

static void
what_is_put_is_found_and_after_a_restart_as_well(void)
{
    struct disk_fixture f;

    fixture_init(&f);
    fixture_open(&f);
    put_all_sizes(&f);
    expect_all_sizes(&f);
    CU_ASSERT_PTR_NULL(fixture_find(&f, 99, ALL));
    fixture_close(&f);
    atomic_store(&f.next_seq, 1);
    fixture_open(&f);
    CU_ASSERT_EQUAL(f.next_seq, 2);
    expect_all_sizes(&f);
    CU_ASSERT_EQUAL(fixture_facts(&f).corrupt, 0);
    CU_ASSERT_EQUAL(fixture_facts(&f).objects, SIZES);
    fixture_fini(&f);
}

static void
the_latest_counts_and_what_was_forgotten_stays_so(void)
{
    struct disk_fixture f;

    fixture_init(&f);
    fixture_open(&f);
    for (unsigned version = 1; version <= 3; version++)
        for (unsigned i = 0; i < 30; i++)
            CU_ASSERT_TRUE(canary_put(&f, i, version, 1000 * version));
    for (unsigned i = 0; i < 10; i++)
        disk_forget(f.disk, canary_hash(&f, i), SLICE(""));
    for (unsigned i = 0; i < 5; i++) /* and there again */
        CU_ASSERT_TRUE(canary_put(&f, i, 4, 500));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 90));
    for (unsigned restarts = 0; restarts < 3; restarts++) {
        fixture_close(&f);
        fixture_open(&f);
        for (unsigned i = 0; i < 5; i++)
            CU_ASSERT_TRUE(canary_is_there(&f, i, 4, ALL));
        for (unsigned i = 5; i < 10; i++)
            CU_ASSERT_PTR_NULL(fixture_find(&f, i, ALL));
        for (unsigned i = 10; i < 30; i++)
            CU_ASSERT_TRUE(canary_is_there(&f, i, 3, ALL));
    }
    fixture_fini(&f);
}

/* A hash is 64 bits, the key is the truth. */
static void
another_key_with_the_same_hash_is_not_found(void)
{
    struct disk_fixture f;

    fixture_init(&f);
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 100));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    CU_ASSERT_PTR_NULL(fixture_find_key(&f, canary_hash(&f, 1), SLICE("object-2"), ALL));
    CU_ASSERT_TRUE(canary_is_there(&f, 1, 1, ALL));
    fixture_fini(&f);
}

/* ---- long content */

#define LONG_BYTES 3500001u

static bool
has_all(struct disk_fixture *f, uint64_t write)
{
    (void)f;
    return disk_write_written((struct disk_write *)(uintptr_t)write) >= LONG_BYTES;
}

static void
long_contents_that_arrive_side_by_side_are_kept_apart(void)
{
    enum { WRITES = 4 };
    struct disk_write *writes[WRITES];
    uint64_t at[WRITES] = { 0 };
    struct disk_fixture f;

    fixture_init(&f);
    fixture_open(&f);
    for (unsigned i = 0; i < WRITES; i++) {
        writes[i] = canary_begin(&f, i, i % 2 ? LONG_BYTES : LENGTH_UNKNOWN);
        CU_ASSERT_PTR_NOT_NULL_FATAL(writes[i]);
    }
    for (unsigned turn = 0; at[0] < LONG_BYTES; turn++) {
        for (unsigned i = 0; i < WRITES; i++)
            at[i] = canary_append(writes[i], i, LONG_BYTES, at[i], CHUNK_BYTES);
        if (turn % 8 == 0)
            CU_ASSERT_TRUE(canary_put(&f, 100 + turn, 1, 5000)); /* others in between */
    }
    for (unsigned i = 0; i < WRITES; i++) {
        CU_ASSERT_FALSE(disk_write_failed(writes[i]));
        if (i == 3)
            disk_write_abort(writes[i]);
        else
            canary_commit(&f, writes[i], i, LONG_BYTES);
    }
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 3 + 7));
    for (unsigned restarts = 0; restarts < 2; restarts++) {
        for (unsigned i = 0; i < 3; i++) {
            CU_ASSERT_TRUE(canary_is_there(&f, i, 1, 1000));
            CU_ASSERT_TRUE(canary_is_there(&f, i, 1, ALL));
        }
        CU_ASSERT_PTR_NULL(fixture_find(&f, 3, ALL));
        fixture_close(&f);
        fixture_open(&f);
    }
    fixture_fini(&f);
}

static unsigned news;

static void
on_written(void *arg)
{
    (void)arg;
    news++;
}

static bool
is_written(struct disk_fixture *f, uint64_t write)
{
    return news > 0 && has_all(f, write);
}

static void
content_can_be_read_while_it_grows_and_its_maker_gets_news(void)
{
    char part[10000];
    struct disk_write *write;
    struct disk_body *body;
    struct disk_fixture f;
    uint64_t at = 0;

    fixture_init(&f);
    fixture_open(&f);
    news = 0;
    write = disk_write_begin(f.disk, canary_hash(&f, 1), LENGTH_UNKNOWN, f.loop, on_written,
                             NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(write);
    body = disk_write_body(write);
    while (at < LONG_BYTES) {
        uint64_t written = disk_write_written(write);

        if (written > sizeof(part)) {
            CU_ASSERT_TRUE(fixture_read(&f, body, written - sizeof(part), part, sizeof(part)));
            CU_ASSERT_TRUE(canary_fits(1, 1, LONG_BYTES, written - sizeof(part), part,
                                       sizeof(part)));
        }
        at = canary_append(write, 1, LONG_BYTES, at, 30000);
        loop_turn(f.loop, 0);
    }
    CU_ASSERT_TRUE(fixture_wait(&f, is_written, (uintptr_t)write));
    canary_commit(&f, write, 1, LONG_BYTES);
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    CU_ASSERT_TRUE(fixture_read(&f, body, LONG_BYTES - 5000, part, 5000));
    CU_ASSERT_TRUE(canary_is_there(&f, 1, 1, 0));
    disk_body_unref(body);
    fixture_fini(&f);
}

/* Issue 4: a 304 appends a new head, never the body. */
static void
the_same_content_is_not_written_again(void)
{
    struct disk_fixture f;
    uint64_t before;

    fixture_init(&f);
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 900000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    before = fixture_facts(&f).written_bytes;
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 900000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 2));
    CU_ASSERT_TRUE(fixture_facts(&f).written_bytes - before < 4096);
    CU_ASSERT_TRUE(canary_is_there(&f, 1, 1, 0));
    CU_ASSERT_TRUE(canary_put(&f, 1, 2, 900000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 3));
    CU_ASSERT_TRUE(fixture_facts(&f).written_bytes - before > 900000);
    CU_ASSERT_TRUE(canary_is_there(&f, 1, 2, 0));
    fixture_fini(&f);
}

/* An object whose content stayed on disk, with another head. */
static void
a_freshened_head_shares_the_content_on_disk(void)
{
    struct object *object, *fresh;
    struct object_head head;
    struct disk_fixture f;

    fixture_init(&f);
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 900000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    object = fixture_find(&f, 1, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    object_head_of(object, &head);
    head.status = 203;
    fresh = object_freshened(object, &head);
    CU_ASSERT_TRUE(disk_put(f.disk, fresh));
    object_unref(fresh);
    object_unref(object);
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 2));
    fixture_close(&f);
    fixture_open(&f);
    object = fixture_find(&f, 1, ALL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    CU_ASSERT_EQUAL(object->status, 203);
    CU_ASSERT_EQUAL(canary_judge(&f, object), CANARY_GOOD);
    object_unref(object);
    fixture_fini(&f);
}

static void
with_verify_always_content_comes_as_a_copy_only(void)
{
    struct disk_span span;
    struct object *object;
    struct disk_fixture f;
    char part[1000];

    fixture_init(&f);
    f.conf.verify = DISK_VERIFY_ALWAYS;
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 300000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    object = fixture_find(&f, 1, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    CU_ASSERT_TRUE(disk_body_is_read_through(object->on_disk));
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(fixture_warm(&f, object->on_disk, 131000, 1000, part), 1000);
        CU_ASSERT_TRUE(canary_fits(1, 1, 300000, 131000, part, 1000));
        CU_ASSERT_EQUAL(disk_body_span(object->on_disk, 131000, 1000, &span), DISK_SPAN_COLD);
    }
    CU_ASSERT_EQUAL(fixture_warm(&f, object->on_disk, 299500, 1000, part), 500);
    object_unref(object);
    fixture_fini(&f);
}

/* ---- room */

static bool
is_within(struct disk_fixture *f, uint64_t bytes)
{
    return fixture_facts(f).bytes <= bytes;
}

static void
reclaiming_keeps_the_limit_and_what_was_read(void)
{
    enum { OBJECTS = 600, HOT = 8 };
    struct disk_fixture f;
    unsigned hot = 0, cold = 0;

    fixture_init(&f);
    f.conf.max_bytes = 8u << 20;
    f.conf.segment_bytes = 1u << 20;
    fixture_open(&f);
    for (unsigned i = 0; i < OBJECTS; i++) {
        for (unsigned j = 0; i % 20 == 0 && j < HOT && j < i; j++)
            hot += canary_is_there(&f, j, 1, j % 2 ? ALL : 0);
        while (!canary_put(&f, i, 1, 50000)) /* 30 MB in all */
            loop_turn(f.loop, 1);
        CU_ASSERT_TRUE(fixture_wait(&f, has_written, i + 1));
        CU_ASSERT_TRUE(fixture_wait(&f, is_within, (8u << 20) + (1u << 20)));
    }
    for (unsigned i = OBJECTS; i-- > HOT;)
        cold += canary_is_there(&f, i, 1, ALL);
    CU_ASSERT_EQUAL(hot, (OBJECTS / 20 - 1) * HOT);
    CU_ASSERT_TRUE(cold > 30 && cold < 180); /* which 9 MB have room for */
    CU_ASSERT_TRUE(fixture_facts(&f).readmitted >= HOT);
    CU_ASSERT_TRUE(fixture_facts(&f).reclaimed_segments > 10);
    CU_ASSERT_EQUAL(fixture_facts(&f).corrupt, 0);
    fixture_fini(&f);
}

static bool
is_not_current(struct disk_fixture *f, uint64_t body)
{
    static unsigned number = 1000;

    (void)canary_put(f, number++, 1, 100000);
    return !disk_body_is_current((struct disk_body *)(uintptr_t)body);
}

/* Issue 4: a stalled client gets correct bytes while its segment is reclaimed. */
static void
a_stalled_reader_gets_its_bytes_when_the_segment_is_reclaimed(void)
{
    struct object *object;
    struct disk_fixture f;

    fixture_init(&f);
    f.conf.max_bytes = 8u << 20;
    f.conf.segment_bytes = 1u << 20;
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 700000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    object = fixture_find(&f, 1, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    CU_ASSERT_TRUE(disk_body_is_current(object->on_disk));
    CU_ASSERT_TRUE(fixture_wait(&f, is_not_current, (uintptr_t)object->on_disk));
    CU_ASSERT_EQUAL(canary_judge(&f, object), CANARY_GOOD);
    CU_ASSERT_FALSE(disk_put(f.disk, object) && canary_is_there(&f, 1, 9, 0));
    object_unref(object);
    fixture_fini(&f);
}

static bool
is_under_quota(struct disk_fixture *f, uint64_t bytes)
{
    return disk_site_bytes(f->disk, 1) <= bytes;
}

static void
a_site_over_its_quota_loses_its_oldest_objects(void)
{
    struct disk_fixture f;
    unsigned others = 0;

    fixture_init(&f);
    f.conf.segment_bytes = 1u << 20;
    fixture_open(&f);
    for (unsigned i = 0; i < 300; i++) /* three sites in turn */
        CU_ASSERT_TRUE(canary_put(&f, i, 1, 20000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 300));
    CU_ASSERT_TRUE(disk_site_bytes(f.disk, 1) >= 100 * 20000);
    disk_set_quota(f.disk, 1, 1000000);
    CU_ASSERT_TRUE(canary_put(&f, 300, 1, 20000)); /* has the writer look */
    CU_ASSERT_TRUE(fixture_wait(&f, is_under_quota, 1000000));
    CU_ASSERT_TRUE(disk_site_bytes(f.disk, 1) > 800000);
    CU_ASSERT_PTR_NULL(fixture_find(&f, 0, ALL));
    CU_ASSERT_TRUE(canary_is_there(&f, 297, 1, ALL));
    for (unsigned i = 0; i < 300; i++)
        others += i % 3 != 0 && canary_is_there(&f, i, 1, ALL);
    CU_ASSERT_EQUAL(others, 200);
    fixture_close(&f);
    fixture_open(&f);
    CU_ASSERT_PTR_NULL(fixture_find(&f, 0, ALL));
    fixture_fini(&f);
}

/* ---- purges and limits */

static bool is_purge_done;

static void
on_purged(struct purge *purge)
{
    (void)purge;
    is_purge_done = true;
}

static bool
purge_is_done(struct disk_fixture *f, uint64_t unused)
{
    (void)f;
    (void)unused;
    return is_purge_done;
}

static void
what_was_purged_is_not_found(void)
{
    struct purge purge = { .kind = PURGE_PREFIX, .text = SLICE("http://example.org/"),
                           .on_done = on_purged };
    struct disk_fixture f;
    struct err err;

    fixture_init(&f);
    f.purges = purges_open(NULL, &f.key, &f.next_seq, 100, 10, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f.purges);
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 100));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    CU_ASSERT_TRUE(canary_is_there(&f, 1, 1, ALL));
    is_purge_done = false;
    purge.home = f.loop;
    CU_ASSERT_EQUAL(purges_add(f.purges, &purge, &err), 0);
    CU_ASSERT_TRUE(fixture_wait(&f, purge_is_done, 0));
    CU_ASSERT_PTR_NULL(fixture_find(&f, 1, ALL));
    CU_ASSERT_EQUAL(fixture_facts(&f).objects, 0);
    CU_ASSERT_TRUE(canary_put(&f, 1, 2, 100)); /* fetched since */
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 2));
    CU_ASSERT_TRUE(canary_is_there(&f, 1, 2, ALL));
    fixture_close(&f);
    purges_close(f.purges);
    fixture_fini(&f);
}

static void
a_full_queue_refuses_and_drops_what_is_out_of_date(void)
{
    struct disk_fixture f;

    fixture_init(&f);
    f.conf.queue_bytes = 10000;
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 100));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    CU_ASSERT_FALSE(canary_put(&f, 1, 2, 100000));
    CU_ASSERT_EQUAL(fixture_facts(&f).dropped_writes, 1);
    CU_ASSERT_PTR_NULL(fixture_find(&f, 1, ALL)); /* nor what is out of date */
    fixture_fini(&f);
}

static void
what_waits_is_written_before_it_closes(void)
{
    struct disk_fixture f;
    unsigned found = 0;

    fixture_init(&f);
    f.conf.threads = 1;
    fixture_open(&f);
    for (unsigned i = 0; i < 500; i++)
        CU_ASSERT_TRUE(canary_put(&f, i, 1, 3000));
    fixture_close(&f);
    fixture_open(&f);
    for (unsigned i = 0; i < 500; i++)
        found += canary_is_there(&f, i, 1, ALL);
    CU_ASSERT_EQUAL(found, 500);
    fixture_fini(&f);
}

/* Whoever holds the folder ends a moment later, as killed processes do. */
static void *
let_go_soon(void *fd)
{
    usleep(50 * 1000);
    close(*(int *)fd);
    return NULL;
}

static int
hold_folder(const struct disk_fixture *f)
{
    char path[80];
    int fd;

    snprintf(path, sizeof(path), "%s/lock", f->path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CU_ASSERT_EQUAL_FATAL(flock(fd, LOCK_EX | LOCK_NB), 0);
    return fd;
}

/* That it is not waited for too long is tested in test_disk_crash.c. */
static void
a_folder_is_waited_for_until_its_last_owner_has_ended(void)
{
    struct disk_fixture f;
    struct err err;

    fixture_init(&f);
    for (unsigned i = 0; i < 5 && f.disk == NULL; i++) { /* again when it let go too late */
        int fd = hold_folder(&f);
        pthread_t thread;

        CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, let_go_soon, &fd), 0);
        f.disk = disk_open(&f.conf, &f.key, f.purges, &f.next_seq, &err);
        pthread_join(thread, NULL);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(f.disk);
    CU_ASSERT_TRUE(fixture_wait(&f, is_in_state, DISK_READY));
    fixture_fini(&f);
}

void
suite_disk(void)
{
    CU_pSuite s = CU_add_suite("disk", NULL, NULL);

    CU_add_test(s, "what is put is found, and after a restart as well",
                what_is_put_is_found_and_after_a_restart_as_well);
    CU_add_test(s, "the latest counts, and what was forgotten stays so",
                the_latest_counts_and_what_was_forgotten_stays_so);
    CU_add_test(s, "another key with the same hash is not found",
                another_key_with_the_same_hash_is_not_found);
    CU_add_test(s, "long contents that arrive side by side are kept apart",
                long_contents_that_arrive_side_by_side_are_kept_apart);
    CU_add_test(s, "content can be read while it grows, and its maker gets news",
                content_can_be_read_while_it_grows_and_its_maker_gets_news);
    CU_add_test(s, "the same content is not written again",
                the_same_content_is_not_written_again);
    CU_add_test(s, "a freshened head shares the content on disk",
                a_freshened_head_shares_the_content_on_disk);
    CU_add_test(s, "with verify always content comes as a copy only",
                with_verify_always_content_comes_as_a_copy_only);
    CU_add_test(s, "reclaiming keeps the limit and what was read",
                reclaiming_keeps_the_limit_and_what_was_read);
    CU_add_test(s, "a stalled reader gets its bytes when the segment is reclaimed",
                a_stalled_reader_gets_its_bytes_when_the_segment_is_reclaimed);
    CU_add_test(s, "a site over its quota loses its oldest objects",
                a_site_over_its_quota_loses_its_oldest_objects);
    CU_add_test(s, "what was purged is not found", what_was_purged_is_not_found);
    CU_add_test(s, "a full queue refuses, and drops what is out of date",
                a_full_queue_refuses_and_drops_what_is_out_of_date);
    CU_add_test(s, "what waits is written before it closes",
                what_waits_is_written_before_it_closes);
    CU_add_test(s, "a folder is waited for until its last owner has ended",
                a_folder_is_waited_for_until_its_last_owner_has_ended);
}
