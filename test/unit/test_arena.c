/* SPDX-License-Identifier: BSD-2-Clause */
/* test_arena.c - promises of base/arena.h. */
#include "config.h"

#include "server/base/arena.h"

#include <CUnit/CUnit.h>
#include <stdlib.h>

#include "test/unit/suites.h"

static void
a_spent_arena_says_no_and_remembers(void)
{
    struct arena arena;

    arena_init(&arena, NULL, 16384);
    CU_ASSERT_PTR_NOT_NULL(arena_alloc(&arena, 100));
    CU_ASSERT_FALSE(arena_is_spent(&arena));
    CU_ASSERT_PTR_NULL(arena_alloc(&arena, 1000000));
    CU_ASSERT_TRUE(arena_is_spent(&arena));
    CU_ASSERT_EQUAL(arena_copy(&arena, slice_make(NULL, 0)).bytes, 0);
    CU_ASSERT_PTR_NULL(arena_alloc(&arena, SIZE_MAX - 3)); /* no overflow */
    arena_fini(&arena);
}

static void
small_and_large_pieces_do_not_overlap(void)
{
    struct arena arena;
    char *pieces[200];

    arena_init(&arena, NULL, 1 << 20);
    for (int i = 0; i < 200; i++) {
        size_t bytes = i % 10 == 9 ? 5000 : (size_t)(i * 7 % 90 + 1);

        pieces[i] = arena_alloc(&arena, bytes);
        CU_ASSERT_PTR_NOT_NULL_FATAL(pieces[i]);
        memset(pieces[i], i, bytes);
    }
    for (int i = 0; i < 200; i++) {
        size_t bytes = i % 10 == 9 ? 5000 : (size_t)(i * 7 % 90 + 1);

        CU_ASSERT_EQUAL((unsigned char)pieces[i][0], i);
        CU_ASSERT_EQUAL((unsigned char)pieces[i][bytes - 1], i);
    }
    arena_fini(&arena);
}

static int order[3], order_count;

static void
note(void *object)
{
    order[order_count++] = *(int *)object;
}

static void
what_was_deferred_last_is_released_first(void)
{
    struct arena arena;
    int one = 1, two = 2, three = 3;

    order_count = 0;
    arena_init(&arena, NULL, 4096);
    CU_ASSERT_EQUAL(arena_defer(&arena, note, &one), 0);
    CU_ASSERT_EQUAL(arena_defer(&arena, note, &two), 0);
    CU_ASSERT_EQUAL(arena_defer(&arena, note, &three), 0);
    arena_fini(&arena);
    CU_ASSERT_EQUAL(order_count, 3);
    CU_ASSERT_TRUE(order[0] == 3 && order[1] == 2 && order[2] == 1);
}

#define MANY 1000

static void
what_a_busy_moment_took_goes_back(void)
{
    struct block_pool pool;
    struct arena *arenas = calloc(MANY, sizeof(*arenas));

    block_pool_init(&pool, 100);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            char *p;

            arena_init(&arenas[i], &pool, 8192);
            p = arena_alloc(&arenas[i], 3000);
            CU_ASSERT_PTR_NOT_NULL_FATAL(p);
            memset(p, i, 3000);
        }
        for (int i = 0; i < MANY; i++)
            arena_fini(&arenas[(i * 7) % MANY]); /* 7 and MANY have no common divisor */
        CU_ASSERT_TRUE(pool.free_count <= 200);
    }
    free(arenas);
    block_pool_fini(&pool);
}

struct object {
    int value;
    struct arena arena;
};

static void
an_object_can_hold_its_own_arena(void)
{
    struct object *object = arena_new_object(NULL, 65536, sizeof(*object),
                                             offsetof(struct object, arena));

    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    CU_ASSERT_EQUAL(object->value, 0);
    CU_ASSERT_PTR_NOT_NULL(arena_alloc(&object->arena, 10000));
    arena_free_object(object, offsetof(struct object, arena));
    CU_ASSERT_PTR_NULL(arena_new_object(NULL, 16, sizeof(*object), offsetof(struct object, arena)));
}

void
suite_arena(void)
{
    CU_pSuite s = CU_add_suite("arena", NULL, NULL);

    CU_add_test(s, "a spent arena says no and remembers", a_spent_arena_says_no_and_remembers);
    CU_add_test(s, "small and large pieces do not overlap", small_and_large_pieces_do_not_overlap);
    CU_add_test(s, "what was deferred last is released first",
                what_was_deferred_last_is_released_first);
    CU_add_test(s, "what a busy moment took goes back", what_a_busy_moment_took_goes_back);
    CU_add_test(s, "an object can hold its own arena", an_object_can_hold_its_own_arena);
}
