/* SPDX-License-Identifier: BSD-2-Clause */
/* test_grace.c - what was replaced is freed only when nobody can be looking at it. */
#include "config.h"

#include "server/net/grace.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define THREADS 3
#define SWAPS 100u

static struct err err;

static void
a_round_is_over_when_each_thread_has_had_its_mail(void)
{
    struct loop *a = loop_new(&err), *b = loop_new(&err);
    struct grace_reader in_a, in_b;
    uint64_t round;

    grace_join(&in_a, a);
    grace_join(&in_b, b);
    round = grace_begin();
    CU_ASSERT_FALSE(grace_is_over(round));
    loop_turn(a, 0);
    CU_ASSERT_FALSE(grace_is_over(round));
    loop_turn(b, 0);
    CU_ASSERT(grace_is_over(round));
    grace_leave(&in_a);
    grace_leave(&in_b);
    loop_free_all(a);
    loop_free_all(b);
}

/* Mail that was on its way already says nothing about what came after it. */
static void
a_round_that_begins_with_mail_under_way_waits_for_the_next(void)
{
    struct loop *a = loop_new(&err);
    struct grace_reader in_a;
    uint64_t first, second;

    grace_join(&in_a, a);
    first = grace_begin();
    second = grace_begin();
    loop_turn(a, 0);
    CU_ASSERT(grace_is_over(first));
    CU_ASSERT_FALSE(grace_is_over(second));
    loop_turn(a, 0);
    CU_ASSERT(grace_is_over(second));
    grace_leave(&in_a);
    loop_free_all(a);
}

static void
nobody_is_waited_for_who_came_later_or_left(void)
{
    struct loop *a = loop_new(&err), *b = loop_new(&err);
    struct grace_reader in_a, in_b;
    uint64_t round;

    CU_ASSERT(grace_is_over(grace_begin()));
    grace_join(&in_a, a);
    round = grace_begin();
    grace_join(&in_b, b);
    CU_ASSERT_FALSE(grace_is_over(round));
    grace_leave(&in_a);
    CU_ASSERT(grace_is_over(round));
    grace_leave(&in_b);
    loop_free_all(a); /* with mail under way */
    loop_free_all(b);
}

/* ---- threads that read what another replaces */

struct thing {
    unsigned value, copy;
};

static _Atomic(struct thing *) current;
static atomic_bool is_over;
static atomic_uint torn;

struct reading {
    struct loop *loop;
    struct grace_reader reader;
    struct task task;
    pthread_t thread;
};

static void
read_it(struct task *task)
{
    struct reading *reading = container_of(task, struct reading, task);

    for (unsigned i = 0; i < 50; i++) {
        const struct thing *thing = atomic_load_explicit(&current, memory_order_acquire);

        if (thing->value != thing->copy)
            torn++;
    }
    if (!is_over)
        loop_ready(reading->loop, task);
}

static void *
run(void *arg)
{
    struct reading *reading = arg;

    loop_ready(reading->loop, &reading->task);
    while (!is_over)
        loop_turn(reading->loop, 10);
    task_cancel(&reading->task);
    return NULL;
}

static struct thing *
thing_new(unsigned value)
{
    struct thing *thing = malloc(sizeof(*thing));

    *thing = (struct thing){ value, value };
    return thing;
}

/* Under the sanitizers: a thing that is freed too early is seen by them. */
static void
threads_may_read_while_another_replaces_and_frees(void)
{
    struct reading readings[THREADS];

    is_over = false;
    current = thing_new(0);
    for (unsigned i = 0; i < THREADS; i++) {
        readings[i].loop = loop_new(&err);
        task_init(&readings[i].task, read_it);
        grace_join(&readings[i].reader, readings[i].loop);
        pthread_create(&readings[i].thread, NULL, run, &readings[i]);
    }
    for (unsigned i = 1; i <= SWAPS; i++) {
        struct thing *old = atomic_exchange(&current, thing_new(i));
        uint64_t round = grace_begin();

        while (!grace_is_over(round))
            sched_yield();
        old->value = UINT32_MAX;
        free(old);
    }
    is_over = true;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(readings[i].thread, NULL);
        grace_leave(&readings[i].reader);
        loop_free_all(readings[i].loop);
    }
    CU_ASSERT_EQUAL(torn, 0);
    free(current);
}

void
suite_grace(void)
{
    CU_pSuite s = CU_add_suite("grace", NULL, NULL);

    CU_add_test(s, "a round is over when each thread has had its mail",
                a_round_is_over_when_each_thread_has_had_its_mail);
    CU_add_test(s, "a round that begins with mail under way waits for the next",
                a_round_that_begins_with_mail_under_way_waits_for_the_next);
    CU_add_test(s, "nobody is waited for who came later or left",
                nobody_is_waited_for_who_came_later_or_left);
    CU_add_test(s, "threads may read while another replaces and frees",
                threads_may_read_while_another_replaces_and_frees);
}
