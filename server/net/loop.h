/* SPDX-License-Identifier: BSD-2-Clause */
/* loop.h - one thread's event loop: descriptors, deadlines, ready tasks, mail.
 *
 * Everything here but loop_post() may be called only by the loop's own thread.
 * Descriptors are registered once, edge-triggered, for input and output; who
 * owns one remembers readable and writable until EAGAIN. What did not finish
 * within its share of a turn puts itself on the ready list.
 */
#ifndef BASCULE_LOOP_H
#define BASCULE_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

#include "server/base/err.h"
#include "server/base/list.h"
#include "server/base/must.h"

struct loop;

/* ---- descriptors */

struct watch {
    int fd; /* -1: not watched */
    /* events as epoll reports them (EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR) */
    void (*on_event)(struct watch *watch, uint32_t events);
};

/* What a connection registers for. */
#define LOOP_STREAM (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* Watches watch->fd for events (LOOP_STREAM, or EPOLLIN for a level-triggered
 * listening socket, EPOLLEXCLUSIVE and so on). Borrows watch until
 * loop_unwatch(). Returns 0, or -1 with errno. */
int loop_watch(struct loop *loop, struct watch *watch, uint32_t events);
int loop_rewatch(struct loop *loop, struct watch *watch, uint32_t events);

/* Stops watching and sets fd to -1 without closing it. Events already
 * fetched for it are dropped; its memory must live until the end of the turn:
 * see loop_free(). */
void loop_unwatch(struct loop *loop, struct watch *watch);

/* The same for a descriptor that is closed next, which makes the kernel forget
 * it: cheaper by a system call. The watch's memory must live until the end of
 * the turn and not be watched again before. */
static inline void
loop_forget(struct watch *watch)
{
    watch->fd = -1;
}

/* ---- deadlines: timers of one length form a queue, so arming is moving to its tail */

struct timer {
    struct list link;
    uint64_t due_ms;
    void (*on_due)(struct timer *timer);
};

static inline void
timer_init(struct timer *timer, void (*on_due)(struct timer *))
{
    list_init(&timer->link);
    timer->due_ms = 0;
    timer->on_due = on_due;
}

/* Calls on_due after ms milliseconds (granularity 1 ms; 0 disarms: an option
 * of 0 means no limit). Arming again moves the deadline. Lengths should come
 * from a small set (options); round computed ones up to a power of two. */
void timer_arm(struct loop *loop, struct timer *timer, uint32_t ms);
void timer_disarm(struct timer *timer);

static inline int
timer_is_armed(const struct timer *timer)
{
    return list_is_linked(&timer->link);
}

/* ---- tasks */

struct task {
    struct list link;
    void (*run)(struct task *task);
};

static inline void
task_init(struct task *task, void (*run)(struct task *))
{
    list_init(&task->link);
    task->run = run;
}

/* Runs task once in the next turn, after the events that are waiting then.
 * Putting it there twice is the same as once. */
void loop_ready(struct loop *loop, struct task *task);
void task_cancel(struct task *task);

/* Calls release(object) when no callback of this turn can still stand on it.
 * Uses link (a member of object that is on no list) as its place in the queue. */
struct grave {
    struct list link;
    void (*release)(void *object);
    void *object;
};
void loop_free(struct loop *loop, struct grave *grave, void (*release)(void *), void *object);

/* ---- mail: the one way in for other threads */

struct mail {
    struct mail *next;
    void (*deliver)(struct mail *mail); /* on the loop's thread; owns mail from then on */
};

/* Posts mail to the loop, from any thread; it is delivered in the order sent
 * by one sender. Takes mail. Never blocks, never fails. */
void loop_post(struct loop *loop, struct mail *mail);

/* ---- the loop */

/* NULL on failure, err filled. */
struct loop *loop_new(struct err *err);

/* Every watch, timer and task must be gone; undelivered mail is delivered first. */
void loop_free_all(struct loop *loop);

/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* One turn, waiting at most wait_ms (-1: as long as needed). For tests. */
void loop_turn(struct loop *loop, int wait_ms);

/* Time at the start of this turn: cheap, good to a turn. */
uint64_t loop_now_ms(const struct loop *loop);

/* The same in nanoseconds. */
uint64_t loop_now_ns(const struct loop *loop);

/* Wall clock (milliseconds since 1970) at the start of this turn. */
uint64_t loop_wall_ms(const struct loop *loop);

/* Turns and events so far, for `status`. */
struct loop_counts {
    uint64_t turns, events;
};
struct loop_counts loop_counts(const struct loop *loop);

#endif
