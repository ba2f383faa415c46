/* SPDX-License-Identifier: BSD-2-Clause */
/* test_disk_crash.c - what cache/disk.h promises when things end badly: a process that is
 * killed, bytes that change, files that are cut, a full disk, a second process. Whatever
 * is found must be right.
 */
#include "config.h"

#include "test/unit/disk_fixture.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "server/http/message.h"
#include "test/unit/suites.h"

#define ALL UINT64_MAX
#define NAMES 400u
#define ENOUGH 30u /* writes before a process is killed */
#define PATIENCE_MS 60000u

static unsigned random_state = 12345;

static unsigned
random_number(void)
{
    random_state = random_state * 1103515245u + 12345u;
    return random_state >> 8;
}

/* Looks for all canaries; returns how many are there. */
static unsigned
count_good(struct disk_fixture *f, unsigned *wrong)
{
    unsigned good = 0;

    for (unsigned i = 0; i < NAMES; i++) {
        struct object *object = fixture_find(f, i, i % 2 ? ALL : 0);
        enum canary_state state;

        if (object == NULL)
            continue;
        state = canary_judge(f, object);
        good += state == CANARY_GOOD;
        *wrong += state == CANARY_WRONG || object->slice_bytes != i;
        object_unref(object);
    }
    return good;
}

/* ---- killed */

/* Stores until it is killed, and tells how many objects are written. */
static _Noreturn void
store_for_ever(struct disk_fixture *f, _Atomic uint64_t *writes)
{
    struct err err;

    f->loop = loop_new(&err);
    f->disk = disk_open(&f->conf, &f->key, NULL, &f->next_seq, &err);
    if (f->disk == NULL)
        _exit(3);
    for (unsigned version = 1;; version++) {
        unsigned number = random_number() % NAMES;
        struct disk_write *write;
        uint64_t at = 0;

        atomic_store(writes, fixture_facts(f).writes);
        (void)canary_put(f, number, version, random_number() % 30000);
        if (version % 16 == 0)
            disk_forget(f->disk, canary_hash(f, random_number() % NAMES), SLICE(""));
        if (version % 32 != 0)
            continue;
        write = canary_begin(f, number, version % 64 == 0 ? 300000 : LENGTH_UNKNOWN);
        while (write != NULL && at < 300000)
            at = canary_append(write, number, 300000, at, CHUNK_BYTES);
        if (write != NULL)
            canary_commit(f, write, number, 300000);
    }
}

/* What a child does is seen by us. */
static _Atomic uint64_t *
shared_number(void)
{
    void *page = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                      -1, 0);

    CU_ASSERT_NOT_EQUAL_FATAL(page, MAP_FAILED);
    return page;
}

/* Issue 4: kill -9 under load; an object that was cut is never served. */
static void
after_kill_what_is_found_is_whole(void)
{
    _Atomic uint64_t *writes = shared_number();
    struct disk_fixture f;
    unsigned good = 0, wrong = 0;

    fixture_init(&f);
    f.conf.max_bytes = 16u << 20;
    f.conf.segment_bytes = 1u << 20;
    for (unsigned round = 0; round < 20; round++) {
        pid_t child;
        int status;

        random_state += round;
        atomic_store(writes, 0);
        child = fork();
        if (child == 0)
            store_for_ever(&f, writes);
        CU_ASSERT_FATAL(child > 0);
        for (unsigned i = 0; i < PATIENCE_MS && atomic_load(writes) < ENOUGH; i++)
            usleep(1000);
        usleep(random_number() % 20000); /* any moment will do */
        kill(child, SIGKILL);
        CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
        CU_ASSERT_TRUE(WIFSIGNALED(status));
        fixture_open(&f);
        good += count_good(&f, &wrong);
        CU_ASSERT_EQUAL(fixture_facts(&f).corrupt, 0);
        fixture_close(&f);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_TRUE(good > NAMES);
    printf("# disk: %u objects found in 20 rounds\n", good);
    fixture_fini(&f);
    munmap((void *)writes, sizeof(*writes));
}

/* ---- damaged */

static void
fill(struct disk_fixture *f)
{
    struct disk_write *write;
    uint64_t at = 0;

    fixture_open(f);
    for (unsigned i = 1; i < NAMES; i++)
        CU_ASSERT_TRUE(canary_put(f, i, 1, random_number() % 20000));
    write = canary_begin(f, 0, LENGTH_UNKNOWN);
    CU_ASSERT_PTR_NOT_NULL_FATAL(write);
    while (at < 500000)
        at = canary_append(write, 0, 500000, at, CHUNK_BYTES);
    canary_commit(f, write, 0, 500000);
    fixture_close(f);
}

static void
flip_a_byte(const char *path, void *arg)
{
    int fd = open(path, O_RDWR);
    struct stat st;
    char byte;
    off_t at;

    (void)arg;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        at = (off_t)(random_number() % (unsigned)st.st_size);
        CU_ASSERT_EQUAL(pread(fd, &byte, 1, at), 1);
        byte ^= (char)(1 << random_number() % 8);
        CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
}

static void
bytes_that_changed_are_never_served(void)
{
    struct disk_fixture f;
    unsigned good, wrong = 0;

    fixture_init(&f);
    f.conf.segment_bytes = 1u << 20;
    fill(&f);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 5; i++)
            fixture_each_file(&f, flip_a_byte, NULL);
        fixture_open(&f);
        good = count_good(&f, &wrong);
        if (round == 0)
            CU_ASSERT_TRUE(good > NAMES / 2 && good < NAMES);
        fixture_close(&f);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    fixture_fini(&f);
}

/* Where the content is sent from the file: the checksum is compared before. */
static void
a_block_that_changed_is_lost_and_its_object_forgotten(void)
{
    struct disk_fixture f;
    struct object *object;
    struct disk_span span;
    char byte = 0, part[1000];

    fixture_init(&f);
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 400000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    object = fixture_find(&f, 1, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    fixture_warm(&f, object->on_disk, 200000, 10, NULL);
    CU_ASSERT_EQUAL(disk_body_span_warm(object->on_disk, 200000, 10, &span), DISK_SPAN_READY);
    object_unref(object);
    object = fixture_find(&f, 1, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    CU_ASSERT_EQUAL(pread(span.fd, &byte, 1, span.offset), 1);
    byte ^= 1;
    CU_ASSERT_EQUAL(pwrite(span.fd, &byte, 1, span.offset), 1);
    CU_ASSERT_EQUAL(disk_body_span(object->on_disk, 200000, 10, &span), DISK_SPAN_COLD);
    CU_ASSERT_TRUE(fixture_read(&f, object->on_disk, 0, part, sizeof(part)));
    CU_ASSERT_FALSE(fixture_read(&f, object->on_disk, 200500, part, sizeof(part)));
    CU_ASSERT_EQUAL(disk_body_span(object->on_disk, 0, 10, &span), DISK_SPAN_LOST);
    CU_ASSERT_EQUAL(fixture_facts(&f).corrupt, 1);
    CU_ASSERT_PTR_NULL(fixture_find(&f, 1, 0));
    object_unref(object);
    fixture_fini(&f);
}

static void
cut(const char *path, void *arg)
{
    struct stat st;

    (void)arg;
    if (stat(path, &st) == 0 && st.st_size > 100)
        CU_ASSERT_EQUAL(truncate(path, st.st_size - 1 - random_number() % (st.st_size / 4)), 0);
}

static void
files_that_were_cut_serve_what_is_left(void)
{
    struct disk_fixture f;
    unsigned good, before = NAMES, wrong = 0;

    fixture_init(&f);
    f.conf.segment_bytes = 1u << 20;
    fill(&f);
    for (unsigned round = 0; round < 5; round++) {
        fixture_each_file(&f, cut, NULL);
        fixture_open(&f);
        good = count_good(&f, &wrong);
        CU_ASSERT_TRUE(good <= before && (round > 0 || good > NAMES / 2));
        before = good;
        fixture_close(&f);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    fixture_fini(&f);
}

/* ---- full */

static void
set_file_limit(rlim_t bytes)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static bool
is_failed_by_a_put(struct disk_fixture *f, uint64_t number)
{
    (void)canary_put(f, (unsigned)number, 1, 10000);
    return disk_state(f->disk) == DISK_FAILED;
}

/* Writes fail as they do on a full disk: pass-through, and back when it has room. */
static void
a_disk_that_cannot_be_written_is_passed_by_and_tried_again(void)
{
    struct disk_write *write;
    struct disk_fixture f;

    fixture_init(&f);
    signal(SIGXFSZ, SIG_IGN);
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 10000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    write = canary_begin(&f, 2, LENGTH_UNKNOWN);
    CU_ASSERT_PTR_NOT_NULL_FATAL(write);
    set_file_limit(30000);
    CU_ASSERT_TRUE(fixture_wait(&f, is_failed_by_a_put, 3));
    CU_ASSERT_FALSE(canary_put(&f, 4, 1, 10));
    CU_ASSERT_PTR_NULL(fixture_find(&f, 1, ALL));
    canary_append(write, 2, 50000, 0, 50000);
    canary_commit(&f, write, 2, 50000);
    CU_ASSERT_PTR_NULL(canary_begin(&f, 5, LENGTH_UNKNOWN));
    set_file_limit(RLIM_INFINITY);
    CU_ASSERT_TRUE(fixture_wait(&f, is_in_state, DISK_READY));
    CU_ASSERT_TRUE(canary_is_there(&f, 1, 1, ALL));
    CU_ASSERT_PTR_NULL(fixture_find(&f, 2, ALL));
    CU_ASSERT_TRUE(canary_put(&f, 5, 1, 10000));
    fixture_close(&f);
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_is_there(&f, 1, 1, ALL));
    CU_ASSERT_TRUE(canary_is_there(&f, 5, 1, ALL));
    fixture_fini(&f);
}

static void
a_folder_is_one_stores_alone(void)
{
    struct disk_fixture f;
    struct err err;

    fixture_init(&f);
    fixture_open(&f);
    CU_ASSERT_PTR_NULL(disk_open(&f.conf, &f.key, NULL, &f.next_seq, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is in use by another store or process"));
    fixture_fini(&f);
}

void
suite_disk_crash(void)
{
    CU_pSuite s = CU_add_suite("disk_crash", NULL, NULL);

    CU_add_test(s, "after kill -9 what is found is whole", after_kill_what_is_found_is_whole);
    CU_add_test(s, "bytes that changed are never served", bytes_that_changed_are_never_served);
    CU_add_test(s, "a block that changed is lost and its object forgotten",
                a_block_that_changed_is_lost_and_its_object_forgotten);
    CU_add_test(s, "a disk that cannot be written is passed by and tried again",
                a_disk_that_cannot_be_written_is_passed_by_and_tried_again);
    CU_add_test(s, "a folder is one store's alone", a_folder_is_one_stores_alone);
    CU_add_test(s, "files that were cut serve what is left",
                files_that_were_cut_serve_what_is_left);
}
