/* SPDX-License-Identifier: BSD-2-Clause */
/* loop.c - epoll, deadlines in FIFO queues, a ready list, a mailbox.
 *
 * One turn:   wait -> events -> mail -> due timers -> tasks -> graves
 *
 * Timers of one length form one queue in order of their deadlines, so arming
 * is O(1): the next deadline of the loop is the least of the queues' heads, and
 * there are as many queues as different lengths in the configuration.
 *
 * Mail is a lock-free stack that senders push on and the loop takes whole and
 * reverses; the eventfd is written only by the sender that finds it empty.
 */
#include "config.h"

#include "server/net/loop.h"

#include "server/base/clock.h"
#include "server/base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_PER_TURN 512

struct timer_queue {
    struct list link;   /* on active while it has timers */
    struct list timers; /* the first is due first */
    uint32_t ms;
    struct timer_queue *next; /* in its bucket */
};

#define QUEUE_BUCKETS 64

struct loop {
    int epoll_fd;
    bool is_stopping;
    uint64_t now_ns, now_ms, wall_ms;
    struct list active_queues;
    struct timer_queue *queues[QUEUE_BUCKETS];
    struct list ready;
    struct list graves;
    struct watch mail_watch;
    _Atomic(struct mail *) mail;
    uint64_t turns, events_seen;
    struct epoll_event *current, *current_end; /* events of this turn still to come */
    struct epoll_event events[EVENTS_PER_TURN];
};

/* ---- descriptors */

static int
control(struct loop *loop, int operation, struct watch *watch, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };

    return epoll_ctl(loop->epoll_fd, operation, watch->fd, &event);
}

int
loop_watch(struct loop *loop, struct watch *watch, uint32_t events)
{
    return control(loop, EPOLL_CTL_ADD, watch, events);
}

int
loop_rewatch(struct loop *loop, struct watch *watch, uint32_t events)
{
    return control(loop, EPOLL_CTL_MOD, watch, events);
}

void
loop_unwatch(struct loop *loop, struct watch *watch)
{
    if (watch->fd < 0)
        return;
    control(loop, EPOLL_CTL_DEL, watch, 0);
    watch->fd = -1;
    /* The watch may come back to life in this turn: drop what was fetched. */
    for (struct epoll_event *event = loop->current; event < loop->current_end; event++)
        if (event->data.ptr == watch)
            event->data.ptr = NULL;
}

/* ---- deadlines */

static struct timer_queue *
queue_of(struct loop *loop, uint32_t ms)
{
    struct timer_queue **bucket = &loop->queues[(ms ^ ms >> 6 ^ ms >> 12) % QUEUE_BUCKETS];
    struct timer_queue *queue;

    for (queue = *bucket; queue != NULL; queue = queue->next)
        if (queue->ms == ms)
            return queue;
    queue = calloc(1, sizeof(*queue));
    must(queue != NULL); /* one per length ever used: a few dozen, at the start */
    list_init(&queue->link);
    list_init(&queue->timers);
    queue->ms = ms;
    queue->next = *bucket;
    *bucket = queue;
    return queue;
}

void
timer_arm(struct loop *loop, struct timer *timer, uint32_t ms)
{
    struct timer_queue *queue;

    list_remove(&timer->link);
    if (ms == 0)
        return;
    queue = queue_of(loop, ms);
    timer->due_ms = loop->now_ms + ms;
    list_push_back(&queue->timers, &timer->link);
    if (!list_is_linked(&queue->link))
        list_push_back(&loop->active_queues, &queue->link);
}

void
timer_disarm(struct timer *timer)
{
    list_remove(&timer->link);
}

/* Milliseconds until the next deadline; -1: none. Queues found empty rest. */
static int
until_next_deadline(struct loop *loop)
{
    uint64_t next = UINT64_MAX;

    list_each(link, &loop->active_queues) {
        struct timer_queue *queue = container_of(link, struct timer_queue, link);
        struct timer *first;

        if (list_is_empty(&queue->timers)) {
            list_remove(&queue->link);
            continue;
        }
        first = container_of(queue->timers.next, struct timer, link);
        if (first->due_ms < next)
            next = first->due_ms;
    }
    if (next == UINT64_MAX)
        return -1;
    if (next <= loop->now_ms)
        return 0;
    return next - loop->now_ms > 3600000 ? 3600000 : (int)(next - loop->now_ms);
}

static void
run_due_timers(struct loop *loop)
{
    list_each(link, &loop->active_queues) {
        struct timer_queue *queue = container_of(link, struct timer_queue, link);

        while (!list_is_empty(&queue->timers)) {
            struct timer *first = container_of(queue->timers.next, struct timer, link);

            if (first->due_ms > loop->now_ms)
                break;
            list_remove(&first->link);
            first->on_due(first);
        }
    }
}

/* ---- tasks and graves */

void
loop_ready(struct loop *loop, struct task *task)
{
    if (!list_is_linked(&task->link))
        list_push_back(&loop->ready, &task->link);
}

void
task_cancel(struct task *task)
{
    list_remove(&task->link);
}

static void
run_ready(struct loop *loop)
{
    struct list now;

    list_move_all(&now, &loop->ready);
    while (!list_is_empty(&now)) {
        struct task *task = container_of(now.next, struct task, link);

        list_remove(&task->link);
        task->run(task);
    }
}

void
loop_free(struct loop *loop, struct grave *grave, void (*release)(void *), void *object)
{
    grave->release = release;
    grave->object = object;
    list_push_back(&loop->graves, &grave->link);
}

static void
run_graves(struct loop *loop)
{
    while (!list_is_empty(&loop->graves)) {
        struct grave *grave = container_of(loop->graves.next, struct grave, link);

        list_remove(&grave->link);
        grave->release(grave->object);
    }
}

/* ---- mail */

void
loop_post(struct loop *loop, struct mail *mail)
{
    struct mail *first = atomic_load_explicit(&loop->mail, memory_order_relaxed);
    uint64_t one = 1;

    do {
        mail->next = first;
    } while (!atomic_compare_exchange_weak_explicit(&loop->mail, &first, mail, memory_order_release,
                                                    memory_order_relaxed));
    if (first == NULL)
        (void)!write(loop->mail_watch.fd, &one, sizeof(one)); /* cannot be full: we were first */
}

static void
deliver_mail(struct loop *loop)
{
    struct mail *mail = atomic_exchange_explicit(&loop->mail, NULL, memory_order_acquire);
    struct mail *in_order = NULL;

    while (mail != NULL) {
        struct mail *next = mail->next;

        mail->next = in_order;
        in_order = mail;
        mail = next;
    }
    while (in_order != NULL) {
        struct mail *next = in_order->next;

        in_order->deliver(in_order);
        in_order = next;
    }
}

static void
on_mail(struct watch *watch, uint32_t events)
{
    struct loop *loop = container_of(watch, struct loop, mail_watch);
    uint64_t count;

    (void)events;
    (void)!read(watch->fd, &count, sizeof(count));
    deliver_mail(loop);
}

/* ---- the loop */

static void
look_at_clock(struct loop *loop)
{
    loop->now_ns = clock_monotonic_ns();
    loop->now_ms = loop->now_ns / 1000000;
    loop->wall_ms = clock_wall_coarse_ms();
}

struct loop *
loop_new(struct err *err)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL) {
        err_set(err, "event loop: no memory");
        return NULL;
    }
    list_init(&loop->active_queues);
    list_init(&loop->ready);
    list_init(&loop->graves);
    loop->mail_watch = (struct watch){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
                                       .on_event = on_mail };
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0 || loop->mail_watch.fd < 0 ||
        loop_watch(loop, &loop->mail_watch, EPOLLIN) < 0) {
        err_errno(err, "event loop");
        if (loop->epoll_fd >= 0)
            close(loop->epoll_fd);
        if (loop->mail_watch.fd >= 0)
            close(loop->mail_watch.fd);
        free(loop);
        return NULL;
    }
    look_at_clock(loop);
    return loop;
}

void
loop_free_all(struct loop *loop)
{
    deliver_mail(loop);
    run_graves(loop);
    must(list_is_empty(&loop->ready));
    for (size_t i = 0; i < QUEUE_BUCKETS; i++) {
        while (loop->queues[i] != NULL) {
            struct timer_queue *queue = loop->queues[i];

            must(list_is_empty(&queue->timers));
            loop->queues[i] = queue->next;
            free(queue);
        }
    }
    close(loop->mail_watch.fd);
    close(loop->epoll_fd);
    free(loop);
}

static int
wait_ms(struct loop *loop, int at_most)
{
    int deadline;

    if (!list_is_empty(&loop->ready))
        return 0;
    deadline = until_next_deadline(loop);
    return at_most < 0 || (deadline >= 0 && deadline < at_most) ? deadline : at_most;
}

void
loop_turn(struct loop *loop, int at_most)
{
    int count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_TURN, wait_ms(loop, at_most));

    look_at_clock(loop);
    loop->turns++;
    if (count < 0)
        must(errno == EINTR);
    else
        loop->events_seen += (uint64_t)count;
    loop->current = loop->events;
    loop->current_end = loop->events + (count > 0 ? count : 0);
    while (loop->current < loop->current_end) {
        struct epoll_event *event = loop->current++;
        struct watch *watch = event->data.ptr;

        if (watch != NULL && watch->fd >= 0)
            watch->on_event(watch, event->events);
    }
    run_due_timers(loop);
    run_ready(loop);
    run_graves(loop);
}

void
loop_run(struct loop *loop)
{
    loop->is_stopping = false;
    while (!loop->is_stopping)
        loop_turn(loop, -1);
}

void
loop_stop(struct loop *loop)
{
    loop->is_stopping = true;
}

uint64_t
loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

uint64_t
loop_now_ns(const struct loop *loop)
{
    return loop->now_ns;
}

uint64_t
loop_wall_ms(const struct loop *loop)
{
    return loop->wall_ms;
}

struct loop_counts
loop_counts(const struct loop *loop)
{
    return (struct loop_counts){ loop->turns, loop->events_seen };
}
