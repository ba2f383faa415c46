/* SPDX-License-Identifier: BSD-2-Clause */
/* test_purge.c - purges take effect at once and outlive a crash (cache/purge.h). */
#include "config.h"

#include "cache/purge.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/purge_log.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/must.h"

static const struct hash_key secret = { { 11, 22 } };

/* ---- a store's folder, numbers and purges */

struct place {
    char path[64], log[96];
    struct loop *loop;
    _Atomic uint64_t next_seq;
    struct purges *purges;
    unsigned answers;
    int error;
};

static void
open_purges(struct place *place)
{
    struct err err = { "" };

    place->purges = purges_open(place->path, &secret, &place->next_seq, 1000, 10, &err);
    if (place->purges == NULL)
        CU_FAIL_FATAL("purges_open");
}

static void
place_init(struct place *place)
{
    struct err err;

    *place = (struct place){ .path = "/tmp/bascule-purge-XXXXXX" };
    must(mkdtemp(place->path) != NULL);
    snprintf(place->log, sizeof(place->log), "%s/purges.log", place->path);
    place->loop = loop_new(&err);
    must(place->loop != NULL);
    open_purges(place);
}

/* The process ends as if it were killed; what was not written before is not now. */
static void
start_again(struct place *place)
{
    purges_close(place->purges);
    atomic_store(&place->next_seq, 0);
    open_purges(place);
}

static void
place_fini(struct place *place)
{
    char other[96];

    purges_close(place->purges);
    loop_free_all(place->loop);
    snprintf(other, sizeof(other), "%s/purges.log.new", place->path);
    unlink(other);
    unlink(place->log);
    rmdir(place->path);
}

struct order {
    struct purge purge;
    struct place *place;
};

static void
on_done(struct purge *purge)
{
    struct place *place = container_of(purge, struct order, purge)->place;

    place->answers++;
    place->error = purge->error;
    free(container_of(purge, struct order, purge));
}

/* 0, or -1 when it was refused. Does not wait. */
static int
order(struct place *place, enum purge_kind kind, bool is_soft, struct slice text)
{
    struct order *order = calloc(1, sizeof(*order));
    struct err err = { "" };

    must(order != NULL);
    order->place = place;
    order->purge = (struct purge){ .home = place->loop, .kind = kind, .is_soft = is_soft,
                                   .text = text, .on_done = on_done };
    if (purges_add(place->purges, &order->purge, &err) == 0)
        return 0;
    CU_ASSERT(err.text[0] != '\0');
    free(order);
    return -1;
}

static void
wait_answers(struct place *place, unsigned count)
{
    while (place->answers < count)
        loop_turn(place->loop, -1);
}

/* Waits until it is durable. Returns errno. */
static int
purge(struct place *place, enum purge_kind kind, bool is_soft, struct slice text)
{
    if (order(place, kind, is_soft, text) < 0)
        return -1;
    wait_answers(place, place->answers + 1);
    return place->error;
}

static struct purge_facts
facts_of(struct place *place)
{
    struct purge_facts facts;

    purges_facts(place->purges, &facts);
    return facts;
}

/* ---- objects */

/* As if its fetch had begun now. */
static struct object *
make(struct place *place, const char *url, struct slice tag)
{
    uint64_t tags[] = {
        purge_tag(&secret, PURGE_URL, slice_of(url)),
        purge_tag(&secret, PURGE_SITE, SLICE("site")),
        purge_tag(&secret, PURGE_TAG, tag),
    };
    struct object_head head = { .seq = place->next_seq, .url = slice_of(url), .tags = tags,
                                .tag_count = ARRAY_COUNT(tags) };
    struct object *object = object_new(&head, 0);

    must(object != NULL);
    return object;
}

#define JUDGE(place, object, verdict) \
    do { \
        CU_ASSERT_EQUAL(purges_judge((place)->purges, object), verdict); \
        CU_ASSERT_EQUAL(purges_judge_tags((place)->purges, (object)->seq, (object)->tags, \
                                          (object)->tag_count, (object)->url), verdict); \
    } while (0)

static const struct slice tag_one = SLICE_INIT("site\0one"), tag_two = SLICE_INIT("site\0two");

/* ---- what a purge concerns */

static void
concerns_what_was_fetched_before_it_and_nothing_later(void)
{
    struct place place;
    struct object *before, *other, *after;

    place_init(&place);
    before = make(&place, "http://a/1", tag_one);
    other = make(&place, "http://a/2", tag_two);
    JUDGE(&place, before, PURGE_NONE);
    CU_ASSERT_EQUAL(purge(&place, PURGE_TAG, false, tag_one), 0);
    after = make(&place, "http://a/1", tag_one);
    JUDGE(&place, before, PURGE_HARD);
    JUDGE(&place, before, PURGE_HARD);
    JUDGE(&place, other, PURGE_NONE);
    JUDGE(&place, after, PURGE_NONE);
    CU_ASSERT_EQUAL(purge(&place, PURGE_TAG, false, tag_two), 0);
    JUDGE(&place, other, PURGE_HARD); /* though it was found untouched earlier */
    JUDGE(&place, after, PURGE_NONE);
    object_unref(before);
    object_unref(other);
    object_unref(after);
    place_fini(&place);
}

static void
tells_kinds_apart(void)
{
    static const enum purge_kind kinds[] = { PURGE_URL, PURGE_TAG, PURGE_SITE };
    struct slice text = SLICE("same");

    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        for (size_t j = 0; j < i; j++)
            CU_ASSERT_NOT_EQUAL(purge_tag(&secret, kinds[i], text),
                                purge_tag(&secret, kinds[j], text));
}

static void
purges_a_url_and_a_site(void)
{
    struct place place;
    struct object *one, *two;

    place_init(&place);
    one = make(&place, "http://a/1", tag_one);
    two = make(&place, "http://a/2", tag_one);
    CU_ASSERT_EQUAL(purge(&place, PURGE_URL, false, SLICE("http://a/1")), 0);
    JUDGE(&place, one, PURGE_HARD);
    JUDGE(&place, two, PURGE_NONE);
    CU_ASSERT_EQUAL(purge(&place, PURGE_SITE, false, SLICE("site")), 0);
    JUDGE(&place, two, PURGE_HARD);
    object_unref(one);
    object_unref(two);
    place_fini(&place);
}

static void
lets_hard_win_over_soft(void)
{
    struct place place;
    struct object *first, *second, *third;

    place_init(&place);
    first = make(&place, "http://a/1", tag_one);
    CU_ASSERT_EQUAL(purge(&place, PURGE_TAG, true, tag_one), 0);
    JUDGE(&place, first, PURGE_SOFT);
    JUDGE(&place, first, PURGE_SOFT);
    CU_ASSERT_EQUAL(purge(&place, PURGE_TAG, false, tag_one), 0);
    second = make(&place, "http://a/1", tag_one);
    CU_ASSERT_EQUAL(purge(&place, PURGE_TAG, true, tag_one), 0);
    third = make(&place, "http://a/1", tag_one);
    JUDGE(&place, first, PURGE_HARD);
    JUDGE(&place, second, PURGE_SOFT);
    JUDGE(&place, third, PURGE_NONE);
    start_again(&place);
    JUDGE(&place, first, PURGE_HARD);
    JUDGE(&place, second, PURGE_SOFT);
    JUDGE(&place, third, PURGE_NONE);
    object_unref(first);
    object_unref(second);
    object_unref(third);
    place_fini(&place);
}

static void
purges_all_urls_that_begin_with_a_prefix(void)
{
    struct place place;
    struct object *inside, *outside, *after;

    place_init(&place);
    inside = make(&place, "http://a/dir/1", tag_one);
    outside = make(&place, "http://a/di", tag_one);
    CU_ASSERT_EQUAL(purge(&place, PURGE_PREFIX, true, SLICE("http://a/dir")), 0);
    JUDGE(&place, inside, PURGE_SOFT);
    JUDGE(&place, outside, PURGE_NONE);
    CU_ASSERT_EQUAL(purge(&place, PURGE_PREFIX, false, SLICE("http://a/dir/")), 0);
    JUDGE(&place, inside, PURGE_HARD);
    CU_ASSERT_EQUAL(facts_of(&place).prefixes, 2);
    CU_ASSERT_EQUAL(purge(&place, PURGE_PREFIX, false, SLICE("http://a/")), 0);
    CU_ASSERT_EQUAL(facts_of(&place).prefixes, 1); /* it covers the others */
    after = make(&place, "http://a/dir/2", tag_one);
    start_again(&place);
    JUDGE(&place, inside, PURGE_HARD);
    JUDGE(&place, outside, PURGE_HARD);
    JUDGE(&place, after, PURGE_NONE);
    object_unref(inside);
    object_unref(outside);
    object_unref(after);
    place_fini(&place);
}

/* The issue: a tag on 100,000 objects under 50 ms; it is one row, and a pass over
 * the objects is not even part of it. */
static void
purges_a_hundred_thousand_objects_with_one_row(void)
{
    static struct object *objects[100000];
    struct place place;
    uint64_t start_ns;
    unsigned hard = 0;

    place_init(&place);
    for (size_t i = 0; i < ARRAY_COUNT(objects); i++)
        objects[i] = make(&place, "http://a/", tag_one);
    start_ns = clock_monotonic_ns();
    CU_ASSERT_EQUAL(order(&place, PURGE_TAG, false, tag_one), 0);
    CU_ASSERT(clock_monotonic_ns() - start_ns < 50000000);
    CU_ASSERT_EQUAL(facts_of(&place).tags, 1);
    for (size_t i = 0; i < ARRAY_COUNT(objects); i++) {
        hard += purges_judge(place.purges, objects[i]) == PURGE_HARD;
        object_unref(objects[i]);
    }
    CU_ASSERT_EQUAL(hard, ARRAY_COUNT(objects)); /* in effect before it is durable */
    wait_answers(&place, 1);
    CU_ASSERT_EQUAL(place.error, 0);
    place_fini(&place);
}

/* ---- limits */

static void
says_when_a_limit_is_reached(void)
{
    static char long_text[PURGE_TEXT_MAX + 1];
    struct place place;
    struct object *object;

    place_init(&place);
    purges_set_limits(place.purges, 1, 1);
    object = make(&place, "http://a/1", tag_two);
    CU_ASSERT_EQUAL(purge(&place, PURGE_TAG, false, tag_one), 0);
    CU_ASSERT_EQUAL(purge(&place, PURGE_TAG, false, tag_one), 0); /* the same row */
    CU_ASSERT_EQUAL(order(&place, PURGE_TAG, false, tag_two), -1);
    CU_ASSERT_EQUAL(purge(&place, PURGE_PREFIX, false, SLICE("http://b/c")), 0);
    CU_ASSERT_EQUAL(order(&place, PURGE_PREFIX, false, SLICE("http://c/")), -1);
    JUDGE(&place, object, PURGE_NONE); /* what is refused has no effect */
    CU_ASSERT_EQUAL(purge(&place, PURGE_PREFIX, false, SLICE("http://b/")), 0); /* covers it */
    memset(long_text, 'x', sizeof(long_text));
    CU_ASSERT_EQUAL(order(&place, PURGE_PREFIX, false,
                          slice_make(long_text, sizeof(long_text))), -1);
    object_unref(object);
    place_fini(&place);
}

static void
forgets_what_concerns_nobody_and_shortens_the_log(void)
{
    char texts[600][16];
    struct place place;
    struct object *object;
    uint64_t long_bytes;

    place_init(&place);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < ARRAY_COUNT(texts); j++) {
            int bytes = snprintf(texts[j], sizeof(texts[j]), "site_%u", j);

            CU_ASSERT_EQUAL(order(&place, PURGE_TAG, false,
                                  slice_make(texts[j], (size_t)bytes)), 0);
        }
        wait_answers(&place, (i + 1) * (unsigned)ARRAY_COUNT(texts));
    }
    long_bytes = facts_of(&place).log_bytes;
    CU_ASSERT(long_bytes > 65536);
    CU_ASSERT_EQUAL(facts_of(&place).tags, ARRAY_COUNT(texts));
    object = make(&place, "http://a/1", tag_one);
    purges_forget_before(place.purges, place.next_seq);
    CU_ASSERT_EQUAL(facts_of(&place).tags, 0);
    CU_ASSERT_EQUAL(purge(&place, PURGE_TAG, false, tag_one), 0);
    CU_ASSERT_EQUAL(facts_of(&place).tags, 1);
    CU_ASSERT(facts_of(&place).log_bytes < 1024);
    start_again(&place);
    CU_ASSERT_EQUAL(facts_of(&place).tags, 1);
    JUDGE(&place, object, PURGE_HARD);
    purges_forget_before(place.purges, object->seq); /* there may still be one like it */
    JUDGE(&place, object, PURGE_HARD);
    object_unref(object);
    place_fini(&place);
}

/* ---- durability */

static void
outlives_a_restart_and_goes_on_with_higher_numbers(void)
{
    struct place place;
    struct object *object;
    uint64_t seq;

    place_init(&place);
    object = make(&place, "http://a/1", tag_one);
    CU_ASSERT_EQUAL(purge(&place, PURGE_TAG, false, tag_one), 0);
    CU_ASSERT_EQUAL(purge(&place, PURGE_PREFIX, true, SLICE("http://b/")), 0);
    seq = place.next_seq;
    start_again(&place);
    CU_ASSERT(place.next_seq >= seq);
    CU_ASSERT_EQUAL(facts_of(&place).tags, 1);
    CU_ASSERT_EQUAL(facts_of(&place).prefixes, 1);
    JUDGE(&place, object, PURGE_HARD);
    object_unref(object);
    place_fini(&place);
}

/* Longer than what is read at a time, so that records lie across. */
static void
reads_a_long_log(void)
{
    static char texts[7000][96];
    struct place place;
    struct purge_facts before;

    place_init(&place);
    purges_set_limits(place.purges, ARRAY_COUNT(texts), ARRAY_COUNT(texts));
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        int bytes = snprintf(texts[i], sizeof(texts[i]), "%zu%*s", i, (int)(i % 80), "");

        CU_ASSERT_EQUAL(order(&place, i % 7 == 0 ? PURGE_PREFIX : PURGE_TAG, i % 2 == 0,
                              slice_make(texts[i], (size_t)bytes)), 0);
    }
    wait_answers(&place, ARRAY_COUNT(texts));
    before = facts_of(&place);
    CU_ASSERT(before.log_bytes > 256 * 1024);
    CU_ASSERT_EQUAL(before.tags, 6000);
    start_again(&place);
    CU_ASSERT_EQUAL(facts_of(&place).tags, before.tags);
    CU_ASSERT_EQUAL(facts_of(&place).prefixes, before.prefixes);
    place_fini(&place);
}

static void
kill_at_once(struct purge *done)
{
    if (done->error == 0)
        kill(getpid(), SIGKILL);
    _exit(1);
}

/* The issue: durable before it is acknowledged, tested by kill -9 right after. */
static void
outlives_kill_9_right_after_the_answer(void)
{
    struct place place;
    struct object *object;

    place_init(&place);
    object = make(&place, "http://a/1", tag_one);
    for (unsigned i = 0; i < 3; i++) { /* the first makes the file, the others append */
        char text[16];
        int bytes = snprintf(text, sizeof(text), "http://a/%u", 3 - i), status;
        struct purge last = { .home = place.loop, .kind = PURGE_URL, .on_done = kill_at_once,
                              .text = slice_make(text, (size_t)bytes) };
        struct err err;
        pid_t child;

        purges_close(place.purges);
        place.purges = NULL;
        child = fork();
        must(child >= 0);
        if (child == 0) {
            open_purges(&place);
            must(purges_add(place.purges, &last, &err) == 0);
            for (;;)
                loop_turn(place.loop, -1);
        }
        must(waitpid(child, &status, 0) == child);
        CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        open_purges(&place);
        CU_ASSERT_EQUAL(facts_of(&place).tags, i + 1);
        JUDGE(&place, object, i == 2 ? PURGE_HARD : PURGE_NONE);
    }
    object_unref(object);
    place_fini(&place);
}

static size_t
read_log(struct place *place, char *out, size_t room)
{
    int fd = open(place->log, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    must(fd >= 0);
    got = read(fd, out, room);
    must(got >= 0 && (size_t)got < room);
    close(fd);
    return (size_t)got;
}

static void
write_log(struct place *place, const char *data, size_t bytes)
{
    int fd = open(place->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    must(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
    close(fd);
}

/* Starts with another log than the one that was there. */
static void
start_with(struct place *place, const char *data, size_t bytes)
{
    purges_close(place->purges);
    write_log(place, data, bytes);
    open_purges(place);
}

/* Cut anywhere, or followed by anything: the records before it are in effect, and
 * the next purge is as durable as ever. */
static void
ignores_a_torn_end(void)
{
    static const char *const urls[] = { "http://a/1", "http://a/2", "http://a/3" };
    struct place place;
    char log[4096], torn[4096];
    size_t bytes, record;

    place_init(&place);
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        CU_ASSERT_EQUAL(order(&place, PURGE_URL, false, slice_of(urls[i])), 0);
        wait_answers(&place, i + 1); /* one that comes while the file is made is in it twice */
    }
    purges_close(place.purges);
    place.purges = NULL;
    bytes = read_log(&place, log, sizeof(log));
    record = bytes / ARRAY_COUNT(urls);
    log_level = LEVEL_ERROR; /* each is told as a warning */
    for (size_t cut = 0; cut <= bytes; cut++) {
        start_with(&place, log, cut);
        CU_ASSERT_EQUAL(facts_of(&place).tags, cut / record);
        if (cut % 7 != 0)
            continue;
        CU_ASSERT_EQUAL(purge(&place, PURGE_SITE, false, SLICE("site")), 0);
        start_again(&place);
        CU_ASSERT_EQUAL(facts_of(&place).tags, cut / record + 1);
    }
    memcpy(torn, log, bytes);
    memset(torn + bytes, 0, 1000); /* a file system may have made it longer already */
    start_with(&place, torn, bytes + 1000);
    CU_ASSERT_EQUAL(facts_of(&place).tags, 3);
    CU_ASSERT_EQUAL(facts_of(&place).prefixes, 0);
    log_level = LEVEL_INFO;
    place_fini(&place);
}

/* A record written later says that what is unreadable now was durable. */
static void
takes_all_as_purged_when_what_was_durable_is_damaged(void)
{
    struct place place;
    struct object *before, *after;
    char log[4096];
    size_t bytes;

    place_init(&place);
    CU_ASSERT_EQUAL(purge(&place, PURGE_URL, false, SLICE("http://a/1")), 0);
    CU_ASSERT_EQUAL(purge(&place, PURGE_URL, false, SLICE("http://a/2")), 0);
    before = make(&place, "http://a/3", tag_one);
    bytes = read_log(&place, log, sizeof(log));
    log[20] ^= 1;
    start_with(&place, log, bytes);
    CU_ASSERT_EQUAL(facts_of(&place).tags, 1);
    JUDGE(&place, before, PURGE_HARD);
    after = make(&place, "http://a/3", tag_one);
    JUDGE(&place, after, PURGE_NONE);
    CU_ASSERT_EQUAL(purge(&place, PURGE_URL, false, SLICE("http://a/4")), 0);
    start_again(&place); /* the log is whole again, and still says so */
    JUDGE(&place, before, PURGE_HARD);
    JUDGE(&place, after, PURGE_NONE);
    CU_ASSERT_EQUAL(facts_of(&place).prefixes, 1);
    object_unref(before);
    object_unref(after);
    place_fini(&place);
}

static void
does_not_believe_a_log_with_another_key(void)
{
    static const struct hash_key other = { { 1, 2 } };
    struct purges *purges;
    struct purge_facts facts;
    struct place place;
    struct err err;

    place_init(&place);
    CU_ASSERT_EQUAL(purge(&place, PURGE_URL, false, SLICE("http://a/1")), 0);
    purges_close(place.purges);
    purges = purges_open(place.path, &other, &place.next_seq, 10, 10, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(purges);
    purges_facts(purges, &facts);
    CU_ASSERT_EQUAL(facts.tags, 0);
    purges_close(purges);
    place.purges = NULL;
    place_fini(&place);
}

/* The folder is gone, as a disk may be. */
static void
says_when_a_purge_is_not_durable(void)
{
    struct place place;
    struct object *object;

    place_init(&place);
    object = make(&place, "http://a/1", tag_one);
    must(rmdir(place.path) == 0);
    CU_ASSERT_EQUAL(purge(&place, PURGE_TAG, false, tag_one), ENOENT);
    JUDGE(&place, object, PURGE_HARD);
    CU_ASSERT_EQUAL(facts_of(&place).log_errors, 1);
    object_unref(object);
    place_fini(&place);
}

static void
says_when_a_log_cannot_be_opened(void)
{
    _Atomic uint64_t next_seq = 0;
    struct err err = { "" };

    CU_ASSERT_PTR_NULL(purges_open("/nonexistent/bascule", &secret, &next_seq, 10, 10, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nonexistent/bascule"));
}

static void
answers_without_a_folder_too(void)
{
    struct place place;
    struct object *object;
    struct err err;

    place_init(&place);
    purges_close(place.purges);
    place.purges = purges_open(NULL, &secret, &place.next_seq, 10, 10, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(place.purges);
    object = make(&place, "http://a/1", tag_one);
    CU_ASSERT_EQUAL(purge(&place, PURGE_TAG, false, tag_one), 0);
    JUDGE(&place, object, PURGE_HARD);
    object_unref(object);
    place_fini(&place);
}

/* ---- threads */

struct judges {
    struct place *place;
    struct object *purged, *kept;
    _Atomic bool is_purged; /* after purges_add() */
    _Atomic bool is_over;
    _Atomic unsigned late, wrong;
};

static void *
judge_all_the_time(void *arg)
{
    struct judges *judges = arg;
    struct purges *purges = judges->place->purges;

    while (!atomic_load(&judges->is_over)) {
        bool is_purged = atomic_load(&judges->is_purged);

        if (purges_judge(purges, judges->purged) == PURGE_NONE && is_purged)
            judges->late++;
        if (purges_judge(purges, judges->kept) != PURGE_NONE)
            judges->wrong++;
    }
    return NULL;
}

static void
judges_while_others_purge(void)
{
    static char texts[3000][16];
    struct place place;
    struct judges judges = { .place = &place };
    pthread_t threads[3];

    place_init(&place);
    purges_set_limits(place.purges, ARRAY_COUNT(texts) + 1, 10);
    judges.purged = make(&place, "http://a/1", tag_one);
    judges.kept = make(&place, "http://b/1", tag_two);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        must(pthread_create(&threads[i], NULL, judge_all_the_time, &judges) == 0);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        int bytes = snprintf(texts[i], sizeof(texts[i]), "tag_%zu", i);

        CU_ASSERT_EQUAL(order(&place, i % 500 == 0 ? PURGE_PREFIX : PURGE_TAG, false,
                              slice_make(texts[i], (size_t)bytes)), 0);
        if (i == 100)
            CU_ASSERT_EQUAL(order(&place, PURGE_TAG, false, tag_one), 0);
        if (i == 100)
            atomic_store(&judges.is_purged, true);
        if (i % 200 == 0)
            purges_forget_before(place.purges, judges.purged->seq);
    }
    wait_answers(&place, ARRAY_COUNT(texts) + 1);
    atomic_store(&judges.is_over, true);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(judges.late, 0);
    CU_ASSERT_EQUAL(judges.wrong, 0);
    CU_ASSERT_EQUAL(place.error, 0);
    object_unref(judges.purged);
    object_unref(judges.kept);
    place_fini(&place);
}

void
suite_purge(void)
{
    CU_pSuite s = CU_add_suite("purge", NULL, NULL);

    CU_add_test(s, "concerns what was fetched before it and nothing later",
                concerns_what_was_fetched_before_it_and_nothing_later);
    CU_add_test(s, "tells kinds apart", tells_kinds_apart);
    CU_add_test(s, "purges a URL and a site", purges_a_url_and_a_site);
    CU_add_test(s, "lets hard win over soft", lets_hard_win_over_soft);
    CU_add_test(s, "purges all URLs that begin with a prefix",
                purges_all_urls_that_begin_with_a_prefix);
    CU_add_test(s, "purges a hundred thousand objects with one row",
                purges_a_hundred_thousand_objects_with_one_row);
    CU_add_test(s, "says when a limit is reached", says_when_a_limit_is_reached);
    CU_add_test(s, "forgets what concerns nobody and shortens the log",
                forgets_what_concerns_nobody_and_shortens_the_log);
    CU_add_test(s, "outlives a restart and goes on with higher numbers",
                outlives_a_restart_and_goes_on_with_higher_numbers);
    CU_add_test(s, "reads a long log", reads_a_long_log);
    CU_add_test(s, "outlives kill -9 right after the answer",
                outlives_kill_9_right_after_the_answer);
    CU_add_test(s, "ignores a torn end", ignores_a_torn_end);
    CU_add_test(s, "takes all as purged when what was durable is damaged",
                takes_all_as_purged_when_what_was_durable_is_damaged);
    CU_add_test(s, "does not believe a log with another key",
                does_not_believe_a_log_with_another_key);
    CU_add_test(s, "says when a purge is not durable", says_when_a_purge_is_not_durable);
    CU_add_test(s, "says when a log cannot be opened", says_when_a_log_cannot_be_opened);
    CU_add_test(s, "answers without a folder too", answers_without_a_folder_too);
    CU_add_test(s, "judges while others purge", judges_while_others_purge);
}
