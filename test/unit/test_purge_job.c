/* SPDX-License-Identifier: BSD-2-Clause */
/* test_purge_job.c - purges that are done together. */
#include "config.h"

#include "cache/purge_job.h"

#include "cache/cache_conf.h"
#include "cache/store.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>

#define TAGS_MAX 3

/* A store in memory that remembers few purges. */
struct world {
    struct loop *loop;
    struct store *store;
    unsigned done;
};

static void
world_init(struct world *world)
{
    const struct store_conf conf = { .name = "few", .memory_bytes = 1 << 20, .tags = TAGS_MAX,
                                     .prefixes = 1 };
    struct err err = { "" };

    *world = (struct world){ .loop = loop_new(&err), .store = store_adopt(&conf, &err) };
    CU_ASSERT_PTR_NOT_NULL_FATAL(world->loop);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world->store);
}

static void
world_fini(struct world *world)
{
    store_unref(world->store);
    stores_wait_closed();
    loop_free_all(world->loop);
}

static void
on_done(struct purge_job *job)
{
    ((struct world *)job->arg)->done++;
}

static struct purge_job *
new_job(struct world *world)
{
    struct purge_job *job = purge_job_new(world->loop, on_done, world);

    CU_ASSERT_PTR_NOT_NULL_FATAL(job);
    return job;
}

static void
wait_done(struct world *world, unsigned count)
{
    while (world->done < count)
        loop_turn(world->loop, -1);
}

static uint64_t
purges_of(const struct world *world)
{
    struct purge_facts facts;

    purges_facts(store_purges(world->store), &facts);
    return facts.purges;
}

static void
add(struct purge_job *job, struct world *world, const char *url)
{
    purge_job_add(job, world->store, PURGE_URL, false, slice_of(url));
}

static void
it_is_done_once_when_all_are(void)
{
    struct world world;
    struct purge_job *job;

    world_init(&world);
    job = new_job(&world);
    add(job, &world, "http://a.test/1");
    add(job, &world, "http://a.test/2");
    purge_job_add(job, world.store, PURGE_SITE, true, SLICE("www"));
    CU_ASSERT_TRUE(purge_job_start(job));
    CU_ASSERT_EQUAL(world.done, 0);
    CU_ASSERT_EQUAL(purges_of(&world), 3);
    wait_done(&world, 1);
    CU_ASSERT_EQUAL(job->waiting, 0);
    CU_ASSERT_TRUE(purge_job_is_good(job));
    purge_job_free(job);
    world_fini(&world);
}

static void
what_comes_twice_is_purged_once(void)
{
    struct world world;
    struct purge_job *job;

    world_init(&world);
    job = new_job(&world);
    add(job, &world, "http://a.test/1");
    add(job, &world, "http://a.test/1");
    purge_job_add(job, world.store, PURGE_PREFIX, false, SLICE("http://a.test/1"));
    CU_ASSERT_EQUAL(job->count, 2);
    CU_ASSERT_TRUE(purge_job_start(job));
    wait_done(&world, 1);
    CU_ASSERT_EQUAL(purges_of(&world), 2);
    purge_job_free(job);
    world_fini(&world);
}

static void
text_is_copied(void)
{
    char text[] = "http://a.test/1";
    struct world world;
    struct purge_job *job;
    uint64_t tag;

    world_init(&world);
    tag = purge_tag(store_key(world.store), PURGE_URL, slice_of(text));
    job = new_job(&world);
    add(job, &world, text);
    memset(text, 'x', sizeof(text) - 1);
    CU_ASSERT_TRUE(purge_job_start(job));
    wait_done(&world, 1);
    CU_ASSERT_EQUAL(purges_judge_tags(store_purges(world.store), 1, &tag, 1, SLICE("")),
                    PURGE_HARD);
    purge_job_free(job);
    world_fini(&world);
}

/* What was taken is in effect, but success is not told. */
static void
a_limit_that_is_reached_is_told(void)
{
    static const char *const urls[] = { "http://a/1", "http://a/2", "http://a/3", "http://a/4" };
    struct world world;
    struct purge_job *job;

    world_init(&world);
    job = new_job(&world);
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++)
        add(job, &world, urls[i]);
    CU_ASSERT_TRUE(purge_job_start(job));
    wait_done(&world, 1);
    CU_ASSERT_FALSE(purge_job_is_good(job));
    CU_ASSERT_PTR_NOT_NULL(strstr(job->err.text, "store \"few\": "));
    CU_ASSERT_EQUAL(purges_of(&world), TAGS_MAX);
    purge_job_free(job);

    job = new_job(&world);
    add(job, &world, "http://a/5");
    CU_ASSERT_FALSE(purge_job_start(job));
    CU_ASSERT_FALSE(purge_job_is_good(job));
    purge_job_free(job);
    CU_ASSERT_EQUAL(world.done, 1);
    world_fini(&world);
}

void
suite_purge_job(void)
{
    CU_pSuite s = CU_add_suite("purge_job", NULL, NULL);

    CU_add_test(s, "it is done once, when all of its purges are", it_is_done_once_when_all_are);
    CU_add_test(s, "what comes twice is purged once", what_comes_twice_is_purged_once);
    CU_add_test(s, "text is copied", text_is_copied);
    CU_add_test(s, "a limit that is reached is told", a_limit_that_is_reached_is_told);
}
