/* SPDX-License-Identifier: BSD-2-Clause */
/* crew.c - starts, directs and ends worker threads. */
#include "config.h"

#include "server/crew.h"

static struct counter_slot counter_slots[WORKERS_MAX];

const struct counter_slot *
crew_counters(void)
{
    return counter_slots;
}

static struct crew *
crew_of(struct worker_thread *thread)
{
    return container_of(thread->setting, struct crew, setting);
}

static struct crew_member *
member_of(struct worker_thread *thread)
{
    return &crew_of(thread)->members[thread->worker.id];
}

/* ---- what threads answer */

/* While somebody follows an older plan, connections may be handed to a thread
 * that this plan has: its loop has to be there. */
static void
end_idle(struct crew *crew)
{
    for (unsigned i = 0; i < crew->count && crew->unfollowed == 0; i++) {
        struct crew_member *member = &crew->members[i];

        if (!member->is_idle)
            continue;
        member->is_idle = false;
        member->state = CREW_ENDING;
        worker_thread_end(member->thread);
    }
}

static void
on_followed(struct worker_thread *thread)
{
    struct crew *crew = crew_of(thread);

    must(crew->unfollowed > 0);
    if (--crew->unfollowed > 0)
        return;
    crew->events->on_all_followed(crew);
    end_idle(crew);
}

static void
on_idle(struct worker_thread *thread)
{
    struct crew_member *member = member_of(thread);

    if (member->state != CREW_RETIRING)
        return; /* it was called back meanwhile */
    member->is_idle = true;
    end_idle(crew_of(thread));
}

static void
on_end(struct worker_thread *thread, bool is_over)
{
    struct crew *crew = crew_of(thread);
    struct crew_member *member = member_of(thread);

    member->state = is_over ? CREW_EMPTY : CREW_RETIRING;
    if (is_over) {
        worker_thread_free(thread);
        member->thread = NULL;
    } else if (crew->is_killed) {
        worker_thread_kill(thread);
    }
    crew->events->on_thread_gone(crew);
}

static void
on_reported(struct worker_thread *thread)
{
    struct crew *crew = crew_of(thread);

    if (crew->unreported > 0 && --crew->unreported == 0)
        crew->events->on_all_reported(crew);
}

static const struct worker_answers answers = {
    .on_followed = on_followed,
    .on_idle = on_idle,
    .on_end = on_end,
    .on_reported = on_reported,
};

/* ---- orders */

void
crew_init(struct crew *crew, struct loop *home, const struct worker_hooks *hooks,
          const struct crew_events *events)
{
    *crew = (struct crew){
        .setting = { .home = home, .hooks = hooks, .answers = &answers },
        .events = events,
    };
}

int
crew_start(struct crew *crew, unsigned count, const struct resolver_conf *resolver,
           unsigned pipes_max, struct err *err)
{
    crew->setting.pipes_max = pipes_max;
    for (unsigned i = 0; i < count; i++) {
        struct crew_member *member = &crew->members[i];

        if (member->state != CREW_EMPTY)
            continue;
        member->thread = worker_thread_start(i, &crew->setting, &counter_slots[i].counters,
                                             resolver, err);
        if (member->thread == NULL)
            return -1;
        member->state = CREW_RETIRING; /* until it is given something to do */
        if (crew->count <= i)
            crew->count = i + 1;
    }
    return 0;
}

void
crew_publish(struct crew *crew, struct snapshot *snapshot, const struct listen_plan *plan,
             unsigned workers, bool drains)
{
    for (unsigned i = 0; i < crew->count; i++) {
        struct crew_member *member = &crew->members[i];
        bool stays = i < workers && !drains;

        if (member->state == CREW_EMPTY)
            continue;
        must(member->state != CREW_ENDING);
        member->state = stays ? CREW_SERVING : CREW_RETIRING;
        if (stays)
            member->is_idle = false;
        worker_thread_publish(member->thread, snapshot, plan,
                              stays    ? WORKER_SERVE
                              : drains ? WORKER_DRAIN
                                       : WORKER_RETIRE);
        crew->unfollowed++;
    }
}

bool
crew_is_following(const struct crew *crew)
{
    return crew->unfollowed > 0;
}

bool
crew_is_ending(const struct crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++)
        if (crew->members[i].state == CREW_ENDING)
            return true;
    return false;
}

bool
crew_is_empty(const struct crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++)
        if (crew->members[i].state != CREW_EMPTY)
            return false;
    return true;
}

static bool
takes_orders(const struct crew_member *member)
{
    return member->state == CREW_SERVING || member->state == CREW_RETIRING;
}

void
crew_kill(struct crew *crew)
{
    must(!crew->is_killed);
    crew->is_killed = true;
    for (unsigned i = 0; i < crew->count; i++)
        if (takes_orders(&crew->members[i]))
            worker_thread_kill(crew->members[i].thread);
}

void
crew_report(struct crew *crew)
{
    crew->unreported = 0;
    for (unsigned i = 0; i < crew->count; i++) {
        struct crew_member *member = &crew->members[i];

        if (!takes_orders(member))
            continue;
        worker_thread_report(member->thread);
        crew->unreported++; /* also who still owes the answer to an earlier question */
    }
    if (crew->unreported == 0)
        crew->events->on_all_reported(crew);
}

size_t
crew_facts(const struct crew *crew, struct worker_facts *workers)
{
    size_t count = 0;

    for (unsigned i = 0; i < crew->count; i++) {
        const struct crew_member *member = &crew->members[i];

        if (member->state == CREW_EMPTY)
            continue;
        workers[count] = (struct worker_facts){
            .id = i,
            .is_retiring = member->state != CREW_SERVING,
            .has_answered = !member->thread->is_reporting,
            .counters = &counter_slots[i].counters,
        };
        if (workers[count].has_answered) /* else its thread may be writing them */
            workers[count].report = member->thread->numbers;
        count++;
    }
    return count;
}
