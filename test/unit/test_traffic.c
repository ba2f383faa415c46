/* SPDX-License-Identifier: BSD-2-Clause */
/* test_traffic.c - numbers of sites by name, whatever becomes of configurations. */
#include "config.h"

#include "cache/traffic.h"

#include "server/schema.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>

/* A configuration with two cached sites, one that is not, and a forward listener. */
struct world {
    struct arena arena;
    struct conf conf;
    struct store_conf store;
    struct site_conf sites[3];
    struct listener_conf listener;
    void *site_items[3], *listener_items[1];
};

static void
world_init(struct world *world, const char *first, const char *second)
{
    struct err err = { "" };

    *world = (struct world){ .store = { .name = "main" } };
    arena_init(&world->arena, NULL, 1 << 16);
    for (unsigned i = 0; i < 3; i++)
        world->site_items[i] = &world->sites[i];
    world->sites[0].name = first;
    world->sites[0].all.cache.store = &world->store;
    world->sites[1].name = second;
    world->sites[1].all.cache.store = &world->store;
    world->sites[2].name = "not cached";
    world->listener.name = first; /* of the same name, yet with numbers of its own */
    world->listener.cache.store = &world->store;
    world->listener_items[0] = &world->listener;
    world->conf.sites = (struct config_list){ world->site_items, 3 };
    world->conf.listeners = (struct config_list){ world->listener_items, 1 };
    CU_ASSERT_EQUAL_FATAL(traffic_adopt(&world->conf, &world->arena, &err), 0);
}

static void
world_fini(struct world *world)
{
    arena_fini(&world->arena);
}

static uint64_t
requests(const struct traffic_account *account, enum traffic_mode mode)
{
    struct traffic_sum sum;

    traffic_read(account, mode, &sum);
    return traffic_requests(&sum);
}

static uint64_t
all_requests(enum traffic_mode mode)
{
    struct traffic_sum sum;

    traffic_read_all(mode, &sum);
    return traffic_requests(&sum);
}

static void
each_account_counts_for_itself(void)
{
    struct world world;
    struct traffic_sum sum;

    world_init(&world, "a", "b");
    CU_ASSERT_PTR_NULL(world.sites[2].all.cache.account);
    traffic_count(world.sites[0].all.cache.account, 0, TRAFFIC_REVERSE, TRAFFIC_HIT, 100);
    traffic_count(world.sites[0].all.cache.account, 7, TRAFFIC_REVERSE, TRAFFIC_HIT, 10);
    traffic_count(world.sites[0].all.cache.account, 7, TRAFFIC_FORWARD, TRAFFIC_MISS, 1);
    traffic_read(world.sites[0].all.cache.account, TRAFFIC_REVERSE, &sum);
    CU_ASSERT_EQUAL(sum.requests[TRAFFIC_HIT], 2);
    CU_ASSERT_EQUAL(sum.bytes[TRAFFIC_HIT], 110);
    CU_ASSERT_EQUAL(traffic_requests(&sum), 2);
    CU_ASSERT_EQUAL(requests(world.sites[0].all.cache.account, TRAFFIC_FORWARD), 1);
    CU_ASSERT_EQUAL(requests(world.sites[1].all.cache.account, TRAFFIC_REVERSE), 0);
    CU_ASSERT_EQUAL(requests(world.listener.cache.account, TRAFFIC_REVERSE), 0);
    world_fini(&world);
}

static void
a_reload_keeps_the_numbers_of_a_name(void)
{
    struct world old, new;

    world_init(&old, "a", "b");
    traffic_count(old.sites[1].all.cache.account, 0, TRAFFIC_REVERSE, TRAFFIC_MISS, 5);
    world_init(&new, "b", "c");
    world_fini(&old);
    CU_ASSERT_EQUAL(requests(new.sites[0].all.cache.account, TRAFFIC_REVERSE), 1);
    CU_ASSERT_EQUAL(requests(new.sites[1].all.cache.account, TRAFFIC_REVERSE), 0);
    world_fini(&new);
}

static void
what_goes_stays_in_the_sum_and_leaves_nothing_to_the_next(void)
{
    uint64_t before = all_requests(TRAFFIC_FORWARD);

    for (unsigned i = 0; i < 100; i++) {
        struct world world;

        world_init(&world, "first", "second");
        CU_ASSERT_EQUAL(requests(world.sites[1].all.cache.account, TRAFFIC_FORWARD), 0);
        traffic_count(world.sites[1].all.cache.account, i % 3, TRAFFIC_FORWARD, TRAFFIC_STALE, 1);
        world_fini(&world);
    }
    CU_ASSERT_EQUAL(all_requests(TRAFFIC_FORWARD), before + 100);
}

static void
routes_of_a_site_share_its_account(void)
{
    struct route_conf route = { .name = "r" };
    struct site_conf site = { .name = "s" };
    struct store_conf store = { .name = "main" };
    void *routes[] = { &route }, *sites[] = { &site };
    struct conf conf = { .sites = { sites, 1 } };
    struct arena arena;
    struct err err;

    arena_init(&arena, NULL, 1 << 16);
    route.cache.store = &store;
    site.routes = (struct config_list){ routes, 1 };
    CU_ASSERT_EQUAL_FATAL(traffic_adopt(&conf, &arena, &err), 0);
    CU_ASSERT_PTR_NOT_NULL(route.cache.account);
    CU_ASSERT_PTR_EQUAL(route.cache.account, site.all.cache.account);
    arena_fini(&arena);
}

/* Bytes of what was validated came from the store, though the origin was asked. */
static void
ratios_count_what_was_stored(void)
{
    struct traffic_sum none = { 0 }, sum = { 0 };

    sum.requests[TRAFFIC_HIT] = 2;
    sum.requests[TRAFFIC_STALE] = 1;
    sum.requests[TRAFFIC_VALIDATED] = 1;
    sum.requests[TRAFFIC_MISS] = 4;
    sum.bytes[TRAFFIC_HIT] = 10;
    sum.bytes[TRAFFIC_VALIDATED] = 20;
    sum.bytes[TRAFFIC_PASS] = 10;
    CU_ASSERT_EQUAL(traffic_hit_ratio(&sum), 0.375);
    CU_ASSERT_EQUAL(traffic_byte_ratio(&sum), 0.75);
    CU_ASSERT_EQUAL(traffic_hit_ratio(&none), 0);
    CU_ASSERT_EQUAL(traffic_byte_ratio(&none), 0);
}

void
suite_traffic(void)
{
    CU_pSuite s = CU_add_suite("traffic", NULL, NULL);

    CU_add_test(s, "each account counts for itself", each_account_counts_for_itself);
    CU_add_test(s, "a reload keeps the numbers of a name", a_reload_keeps_the_numbers_of_a_name);
    CU_add_test(s, "what goes stays in the sum and leaves nothing to the next",
                what_goes_stays_in_the_sum_and_leaves_nothing_to_the_next);
    CU_add_test(s, "routes of a site share its account", routes_of_a_site_share_its_account);
    CU_add_test(s, "ratios count what was stored", ratios_count_what_was_stored);
}
