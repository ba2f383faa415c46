/* SPDX-License-Identifier: BSD-2-Clause */
/* test_loop.c - promises of net/loop.h. */
#include "config.h"

#include "server/net/loop.h"

#include <CUnit/CUnit.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/unit/suites.h"

static struct loop *
new_loop(void)
{
    struct err err;
    struct loop *loop = loop_new(&err);

    CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
    return loop;
}

/* ---- timers */

struct alarm {
    struct timer timer;
    struct loop *loop;
    int rings, again;
};

static int last_rung, rung_in_order;

static void
ring(struct timer *timer)
{
    struct alarm *alarm = container_of(timer, struct alarm, timer);

    alarm->rings++;
    if (alarm->again-- > 0)
        timer_arm(alarm->loop, timer, 2);
}

static void
timers_ring_once_unless_armed_again(void)
{
    struct alarm alarm = { .loop = new_loop(), .again = 2 };
    struct alarm never = { .loop = alarm.loop };

    timer_init(&alarm.timer, ring);
    timer_init(&never.timer, ring);
    timer_arm(alarm.loop, &alarm.timer, 1);
    timer_arm(alarm.loop, &never.timer, 3);
    timer_disarm(&never.timer);
    timer_arm(alarm.loop, &never.timer, 5);
    timer_arm(alarm.loop, &never.timer, 0); /* no limit */
    while (alarm.rings < 3)
        loop_turn(alarm.loop, 1000);
    CU_ASSERT_FALSE(timer_is_armed(&alarm.timer));
    CU_ASSERT_EQUAL(never.rings, 0);
    loop_free_all(alarm.loop);
}

struct numbered {
    struct timer timer;
    int number;
};

static void
ring_in_order(struct timer *timer)
{
    struct numbered *numbered = container_of(timer, struct numbered, timer);

    rung_in_order += numbered->number == last_rung + 1;
    last_rung = numbered->number;
}

static void
timers_of_one_length_ring_in_the_order_of_arming(void)
{
    struct loop *loop = new_loop();
    struct numbered many[50];

    last_rung = rung_in_order = 0;
    for (int i = 0; i < 50; i++) {
        many[i].number = i + 1;
        timer_init(&many[i].timer, ring_in_order);
        timer_arm(loop, &many[i].timer, 5);
    }
    while (last_rung < 50)
        loop_turn(loop, 1000);
    CU_ASSERT_EQUAL(rung_in_order, 50);
    loop_free_all(loop);
}

/* ---- tasks */

struct counted {
    struct task task;
    struct loop *loop;
    int runs;
};

static void
run_again(struct task *task)
{
    struct counted *counted = container_of(task, struct counted, task);

    counted->runs++;
    loop_ready(counted->loop, task);
}

static void
a_task_that_readies_itself_runs_once_a_turn(void)
{
    struct counted counted = { .loop = new_loop() };

    task_init(&counted.task, run_again);
    loop_ready(counted.loop, &counted.task);
    loop_ready(counted.loop, &counted.task);
    loop_turn(counted.loop, 1000);
    CU_ASSERT_EQUAL(counted.runs, 1);
    loop_turn(counted.loop, 1000);
    CU_ASSERT_EQUAL(counted.runs, 2);
    task_cancel(&counted.task);
    loop_turn(counted.loop, 0);
    CU_ASSERT_EQUAL(counted.runs, 2);
    loop_free_all(counted.loop);
}

/* ---- descriptors */

struct pair {
    struct watch watch;
    struct loop *loop;
    struct pair *other;
    int events;
};

/* Whichever is first takes the other away, whose event was fetched already. */
static void
drop_other(struct watch *watch, uint32_t events)
{
    struct pair *pair = container_of(watch, struct pair, watch);

    (void)events;
    pair->events++;
    loop_unwatch(pair->loop, &pair->other->watch);
}

static void
an_event_of_a_descriptor_unwatched_in_the_same_turn_is_dropped(void)
{
    struct loop *loop = new_loop();
    struct pair a = { .loop = loop }, b = { .loop = loop };
    int fds[4];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds + 2), 0);
    a.watch = (struct watch){ fds[0], drop_other };
    b.watch = (struct watch){ fds[2], drop_other };
    a.other = &b;
    b.other = &a;
    CU_ASSERT_EQUAL(loop_watch(loop, &a.watch, LOOP_STREAM), 0);
    CU_ASSERT_EQUAL(loop_watch(loop, &b.watch, LOOP_STREAM), 0);
    loop_turn(loop, 1000); /* both are writable */
    CU_ASSERT_EQUAL(a.events + b.events, 1);
    loop_unwatch(loop, &a.watch);
    loop_unwatch(loop, &b.watch);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    loop_free_all(loop);
}

/* ---- mail */

#define SENDERS 4
#define LETTERS 5000

struct letter {
    struct mail mail;
    int sender, number;
};

static struct loop *mail_loop;
static int delivered, last_number[SENDERS], out_of_order;

static void
deliver(struct mail *mail)
{
    struct letter *letter = container_of(mail, struct letter, mail);

    out_of_order += letter->number != last_number[letter->sender] + 1;
    last_number[letter->sender] = letter->number;
    delivered++;
    free(letter);
}

static void *
send_letters(void *arg)
{
    for (int i = 1; i <= LETTERS; i++) {
        struct letter *letter = calloc(1, sizeof(*letter));

        letter->mail.deliver = deliver;
        letter->sender = (int)(intptr_t)arg;
        letter->number = i;
        loop_post(mail_loop, &letter->mail);
    }
    return NULL;
}

static void
mail_of_many_senders_arrives_whole_and_in_each_ones_order(void)
{
    pthread_t threads[SENDERS];

    mail_loop = new_loop();
    delivered = out_of_order = 0;
    for (intptr_t i = 0; i < SENDERS; i++) {
        last_number[i] = 0;
        pthread_create(&threads[i], NULL, send_letters, (void *)i);
    }
    while (delivered < SENDERS * LETTERS)
        loop_turn(mail_loop, 1000);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(out_of_order, 0);
    loop_free_all(mail_loop);
}

void
suite_loop(void)
{
    CU_pSuite s = CU_add_suite("loop", NULL, NULL);

    CU_add_test(s, "timers ring once unless armed again", timers_ring_once_unless_armed_again);
    CU_add_test(s, "timers of one length ring in the order of arming",
                timers_of_one_length_ring_in_the_order_of_arming);
    CU_add_test(s, "a task that readies itself runs once a turn",
                a_task_that_readies_itself_runs_once_a_turn);
    CU_add_test(s, "an event of a descriptor unwatched in the same turn is dropped",
                an_event_of_a_descriptor_unwatched_in_the_same_turn_is_dropped);
    CU_add_test(s, "mail of many senders arrives whole and in each one's order",
                mail_of_many_senders_arrives_whole_and_in_each_ones_order);
}
