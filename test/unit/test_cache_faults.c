/* SPDX-License-Identifier: BSD-2-Clause */
/* test_cache_faults.c - what the cache promises when something fails, or goes at the worst
 * moment: stores, segments, threads and objects that are gone while others still use them.
 */
#include "config.h"

#include "test/unit/disk_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "cache/cache_conf.h"
#include "cache/fill.h"
#include "cache/store.h"
#include "modes/cached.h"
#include "modes/finding.h"
#include "server/http/exchange.h"
#include "server/http/message.h"
#include "server/worker.h"
#include "test/unit/suites.h"

#define ALL UINT64_MAX /* room for any content */

/* ---- what was to be replaced */

static void
expect_no_older(struct disk_fixture *f, unsigned number, unsigned version)
{
    struct object *object = fixture_find(f, number, ALL);

    CU_ASSERT_TRUE(object == NULL || object->generation >= version);
    object_unref(object);
}

/* Marks are counted by a part of the hash: another object's mark may keep one out of the
 * index. */
static void
what_is_not_entered_takes_what_it_replaces_with_it(void)
{
    enum { OBJECTS = 50 };
    struct disk_fixture f;

    fixture_init(&f);
    fixture_open(&f);
    for (unsigned i = 0; i < OBJECTS; i++)
        CU_ASSERT_TRUE(canary_put(&f, i, 1, 100));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, OBJECTS));
    for (unsigned i = 0; i < OBJECTS; i++) {
        CU_ASSERT_TRUE(canary_put(&f, i, 2, 100));
        disk_forget(f.disk, canary_hash(&f, i) ^ 1ull << 40, SLICE(""));
    }
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 2 * OBJECTS));
    for (unsigned i = 0; i < OBJECTS; i++)
        expect_no_older(&f, i, 2);
    fixture_fini(&f);
}

static void
set_file_limit(rlim_t bytes)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void
what_could_not_be_written_takes_what_it_replaces_with_it(void)
{
    struct disk_fixture f;

    fixture_init(&f);
    signal(SIGXFSZ, SIG_IGN);
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 10000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    set_file_limit(20000);
    CU_ASSERT_TRUE(canary_put(&f, 1, 2, 50000));
    CU_ASSERT_TRUE(fixture_wait(&f, is_in_state, DISK_FAILED));
    set_file_limit(RLIM_INFINITY);
    CU_ASSERT_TRUE(fixture_wait(&f, is_in_state, DISK_READY));
    expect_no_older(&f, 1, 2);
    fixture_fini(&f);
}

/* ---- reclaiming */

static bool
is_always_hot(void *arg, uint64_t hash)
{
    (void)arg;
    (void)hash;
    return true;
}

static bool
has_room_for_a_segment(struct disk_fixture *f, uint64_t bytes)
{
    return fixture_facts(f).bytes + bytes <= f->conf.max_bytes + bytes / 4;
}

static bool
writes_no_more(struct disk_fixture *f, uint64_t unused)
{
    uint64_t before = fixture_facts(f).written_bytes;

    (void)unused;
    for (unsigned i = 0; i < 20; i++)
        loop_turn(f->loop, 10);
    return fixture_facts(f).written_bytes == before;
}

static void
reclaiming_ends_when_all_is_in_use_and_segments_get_longer(void)
{
    struct disk_fixture f;

    fixture_init(&f);
    f.conf.max_bytes = 8u << 20;
    f.conf.segment_bytes = 256u << 10;
    f.conf.is_hot = is_always_hot;
    fixture_open(&f);
    for (unsigned i = 0; i < 700; i++)
        CU_ASSERT_TRUE(canary_put(&f, i, 1, 10000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 700));
    f.conf.segment_bytes = 2u << 20;
    disk_set_conf(f.disk, &f.conf);
    CU_ASSERT_TRUE(canary_put(&f, 700, 1, 10000)); /* has the writer look */
    CU_ASSERT_TRUE(fixture_wait(&f, has_room_for_a_segment, 2u << 20));
    CU_ASSERT_TRUE(writes_no_more(&f, 0) || writes_no_more(&f, 0));
    CU_ASSERT_TRUE(fixture_facts(&f).written_bytes < 60u << 20);
    fixture_fini(&f);
}

static _Atomic uint64_t lost_hash;

static void
on_lost(void *arg, uint64_t hash)
{
    struct disk_fixture *f = arg;

    if (hash == canary_hash(f, 1))
        lost_hash = hash;
}

static bool
is_told(struct disk_fixture *f, uint64_t unused)
{
    static unsigned number = 1000;

    (void)unused;
    (void)canary_put(f, number++, 1, 100000);
    return lost_hash != 0;
}

/* Descriptors of files that have no name any more, in this process. */
static unsigned
count_nameless(const struct disk_fixture *f)
{
    char path[64], target[512];
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++) {
        ssize_t bytes;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        bytes = readlink(path, target, sizeof(target) - 1);
        target[bytes > 0 ? bytes : 0] = '\0';
        count += strstr(target, f->path) != NULL && strstr(target, "(deleted)") != NULL;
    }
    return count;
}

static bool
has_no_nameless(struct disk_fixture *f, uint64_t unused)
{
    (void)unused;
    return count_nameless(f) == 0;
}

static void
space_is_given_back_by_a_disk_thread_when_nobody_reads_it_any_more(void)
{
    struct object *object;
    struct disk_fixture f;

    fixture_init(&f);
    f.conf.max_bytes = 8u << 20;
    f.conf.segment_bytes = 1u << 20;
    f.conf.on_lost = on_lost;
    f.conf.arg = &f;
    lost_hash = 0;
    fixture_open(&f);
    CU_ASSERT_TRUE(canary_put(&f, 1, 1, 700000));
    CU_ASSERT_TRUE(fixture_wait(&f, has_written, 1));
    object = fixture_find(&f, 1, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    disk_forget(f.disk, canary_hash(&f, 1), SLICE("")); /* read, but not to be kept */
    CU_ASSERT_TRUE(fixture_wait(&f, is_told, 0));
    CU_ASSERT_EQUAL(canary_judge(&f, object), CANARY_GOOD);
    CU_ASSERT_TRUE(count_nameless(&f) >= 1);
    object_unref(object);
    CU_ASSERT_TRUE(count_nameless(&f) >= 1); /* not by us */
    CU_ASSERT_TRUE(fixture_wait(&f, has_no_nameless, 0));
    fixture_fini(&f);
}

/* ---- threads that ended */

static void
on_news(void *arg)
{
    (void)arg;
}

/* Whoever ended a write may end his loop: news of it that were on their way are not sent. */
static void
no_news_of_a_write_come_after_its_end(void)
{
    struct disk_fixture f;
    struct err err;

    fixture_init(&f);
    fixture_open(&f);
    for (unsigned i = 0; i < 400; i++) {
        struct loop *home = loop_new(&err);
        struct disk_write *write;

        CU_ASSERT_PTR_NOT_NULL_FATAL(home);
        write = disk_write_begin(f.disk, canary_hash(&f, i), LENGTH_UNKNOWN, home, on_news, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(write);
        (void)canary_append(write, i, CHUNK_BYTES, 0, CHUNK_BYTES);
        for (unsigned spin = 0; spin < i % 40 * 100; spin++)
            sched_yield();
        disk_write_abort(write);
        loop_free_all(home);
    }
    fixture_fini(&f);
}

/* ---- fills */

static struct fills *fills;
static _Atomic bool is_over;

static void *
forget(void *unused)
{
    (void)unused;
    while (!is_over)
        fill_forget(fills, 77, SLICE("key"));
    return NULL;
}

static void
a_fill_that_is_forgotten_as_it_is_made_is_made(void)
{
    static const struct fill_events events;
    struct fill_conf conf = { .memory_bytes = 1000, .object_bytes = 1000, .window_bytes = 1000 };
    struct worker worker = { .id = 0 };
    unsigned refused = 0;
    pthread_t thread;
    struct err err;

    worker.loop = loop_new(&err);
    fills = fills_new();
    is_over = false;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, forget, NULL), 0);
    for (unsigned i = 0; i < 100000; i++) {
        struct fill *fill = fill_new(fills, &conf, 77, SLICE("key"), 1, &worker, &events, NULL);

        refused += fill == NULL;
        if (fill != NULL)
            fill_unref(fill);
        if (i % 64 == 0)
            loop_turn(worker.loop, 0);
    }
    is_over = true;
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(refused, 0);
    loop_turn(worker.loop, 0);
    fills_free(fills);
    loop_free_all(worker.loop);
}

/* ---- stores */

struct store_fixture {
    char path[64];
    struct store_conf conf;
    struct store *store;
    struct loop *loop;
    struct slice key;
    uint64_t hash;
};

static void
store_open(struct store_fixture *f)
{
    struct err err = { "" };

    *f = (struct store_fixture){ .path = "/tmp/bascule-store-XXXXXX", .key = SLICE("the key") };
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(f->path));
    f->conf = (struct store_conf){
        .name = "test", .path = f->path, .memory_bytes = 1u << 20, .disk_bytes = 16u << 20,
        .segment_bytes = 1u << 20, .object_bytes = 1u << 20, .memory_object_bytes = 1u << 16,
        .queue_bytes = 1u << 20, .window_bytes = 1u << 18, .threads = 1, .tags = 100,
        .prefixes = 100,
    };
    f->loop = loop_new(&err);
    f->store = store_adopt(&f->conf, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->store);
    f->hash = store_hash(f->store, f->key);
}

static struct disk_facts
facts_of(struct store_fixture *f)
{
    struct disk_facts facts;

    disk_facts(store_disk(f->store), &facts);
    return facts;
}

/* On disk, and not in memory. */
static void
store_fill(struct store_fixture *f)
{
    struct fields fields = { .count = 0 };
    struct object_head head = { .status = 200, .site = 1, .hash = f->hash, .seq = 1,
                                .key = f->key, .url = SLICE("http://example.org/"),
                                .fields = &fields };
    struct object *object = object_new(&head, 1000);

    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    memset(object->body, 'x', 1000);
    while (facts_of(f).state != DISK_READY)
        usleep(1000);
    store_put(f->store, object);
    while (facts_of(f).writes == 0)
        usleep(1000);
    memory_remove(store_memory(f->store), object);
    object_unref(object);
}

static void
store_close(struct store_fixture *f)
{
    char command[128];

    store_unref(f->store);
    stores_wait_closed();
    loop_free_all(f->loop);
    snprintf(command, sizeof(command), "rm -r %s", f->path);
    CU_ASSERT_EQUAL(system(command), 0);
}

struct asked {
    struct disk_query query;
    struct store *store;
    bool is_answered;
};

static void
on_asked(struct disk_query *query)
{
    struct asked *asked = container_of(query, struct asked, query);

    asked->is_answered = true;
    if (query->found != NULL)
        store_found(asked->store, query->found);
    object_unref(query->found);
}

/* RFC 9111 section 4.4: what an unsafe request has invalidated is not used again. */
static void
what_is_forgotten_while_the_disk_answers_does_not_come_back(void)
{
    struct store_fixture f;
    struct object *object;
    struct asked asked;

    store_open(&f);
    store_fill(&f);
    asked = (struct asked){ .query = { .home = f.loop, .hash = f.hash, .key = f.key,
                                       .body_room = 10000, .on_found = on_asked },
                            .store = f.store };
    CU_ASSERT_TRUE_FATAL(store_ask(f.store, &asked.query));
    while (facts_of(&f).reads == 0)
        usleep(1000);
    usleep(50000); /* the answer is in the mail */
    store_forget(f.store, f.hash, f.key);
    while (!asked.is_answered)
        loop_turn(f.loop, 10);
    object = store_find(f.store, f.hash, f.key);
    CU_ASSERT_PTR_NULL(object);
    object_unref(object);
    store_close(&f);
}

static void
never_found(void *arg)
{
    (void)arg;
    CU_FAIL("an exchange that is gone was told");
}

/* A reload takes the store away, whose last exchange ends while the disk is asked. */
static void
a_question_to_the_disk_outlives_exchange_and_snapshot(void)
{
    struct store_fixture f;
    struct cache_conf conf = { .store = &f.conf };
    struct worker worker = { .id = 0 };
    struct exchange ex = { .worker = &worker };
    struct cached cached = { .ex = &ex, .conf = &conf };
    struct finding *finding;
    struct object *object;

    store_open(&f);
    store_fill(&f);
    worker.loop = f.loop;
    cached.store = f.store;
    finding = finding_start(&cached, f.hash, f.key, never_found, NULL, &object);
    CU_ASSERT_PTR_NOT_NULL_FATAL(finding);
    CU_ASSERT_EQUAL(worker.errands, 1);
    finding_forget(finding);
    while (facts_of(&f).reads == 0)
        usleep(1000);
    usleep(50000);
    store_unref(f.store);
    stores_wait_closed();
    while (worker.errands > 0)
        loop_turn(f.loop, 10);
    f.store = NULL;
    store_close(&f);
}

void
suite_cache_faults(void)
{
    CU_pSuite s = CU_add_suite("cache_faults", NULL, NULL);

    CU_add_test(s, "what is not entered takes what it replaces with it",
                what_is_not_entered_takes_what_it_replaces_with_it);
    CU_add_test(s, "what could not be written takes what it replaces with it",
                what_could_not_be_written_takes_what_it_replaces_with_it);
    CU_add_test(s, "reclaiming ends when all is in use and segments get longer",
                reclaiming_ends_when_all_is_in_use_and_segments_get_longer);
    CU_add_test(s, "space is given back by a disk thread when nobody reads it any more",
                space_is_given_back_by_a_disk_thread_when_nobody_reads_it_any_more);
    CU_add_test(s, "no news of a write come after its end", no_news_of_a_write_come_after_its_end);
    CU_add_test(s, "a fill that is forgotten as it is made is made",
                a_fill_that_is_forgotten_as_it_is_made_is_made);
    CU_add_test(s, "what is forgotten while the disk answers does not come back",
                what_is_forgotten_while_the_disk_answers_does_not_come_back);
    CU_add_test(s, "a question to the disk outlives exchange and snapshot",
                a_question_to_the_disk_outlives_exchange_and_snapshot);
}
