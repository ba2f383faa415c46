/* SPDX-License-Identifier: BSD-2-Clause */
/* process_requests.c - what commands ask of the worker process over its control socket. */
#include "config.h"

#include "server/process_inside.h"

#include "server/admin/metrics.h"
#include "server/admin/status.h"
#include "server/admin/topic.h"
#include "server/base/clock.h"

#include <stdlib.h>

static void
ask_threads(void *arg)
{
    struct process *p = arg;

    crew_report(&p->crew);
}

static void
gather_facts(void *arg, struct status_facts *facts)
{
    static struct worker_facts workers[WORKERS_MAX];
    struct process *p = arg;

    *facts = (struct status_facts){
        .snapshot = p->snapshot,
        .generation = p->generation,
        .now_ms = clock_monotonic_ms(),
        .start_ms = p->start_ms,
        .serving_ms = p->serving_ms,
        .max_connections = p->max_connections,
        .sockets = &p->sockets,
        .worker_count = crew_facts(&p->crew, workers),
        .workers = workers,
        .slots = crew_counters(),
        .slot_count = p->crew.count,
        .topics = p->crew.setting.hooks->topics,
    };
}

static void
give_answer(void *arg, uint64_t ticket, char *text, size_t bytes)
{
    struct process *p = arg;

    control_answer(p->control, ticket, true, text, bytes);
}

static const struct inquiry_ops inquiry_ops = {
    .ask_threads = ask_threads,
    .gather = gather_facts,
    .answer = give_answer,
};

static void
turn_down(struct process *p, uint64_t ticket, const char *why)
{
    control_answer(p->control, ticket, false, strdup(why), strlen(why));
}

static void
inquire(struct process *p, uint64_t ticket, render_fn *render)
{
    if (p->snapshot == NULL || !inquiry_ask(&p->inquiry, ticket, render))
        turn_down(p, ticket, "busy: ask again\n");
}

static void
give_topic_answer(void *arg, uint64_t ticket, bool is_ok, char *text, size_t bytes)
{
    struct process *p = arg;

    if (p->control != NULL)
        control_answer(p->control, ticket, is_ok, text, bytes);
    else
        free(text);
}

/* The topic that a request begins with; NULL: none. */
static const struct topic *
find_topic(struct process *p, struct slice request)
{
    const struct topic *const *topics = p->crew.setting.hooks->topics;
    size_t bytes = 0;

    while (bytes < request.bytes && request.data[bytes] != ' ' && request.data[bytes] != '\t')
        bytes++;
    for (; *topics != NULL; topics++)
        if (slice_equal(slice_make(request.data, bytes), slice_of((*topics)->word)))
            return *topics;
    return NULL;
}

static void
ask_topic(struct process *p, uint64_t ticket, struct slice request)
{
    const struct topic *topic = find_topic(p, request);
    struct topic_home home = { p->loop, p->snapshot, p, give_topic_answer };
    render_fn *page = topic != NULL ? topic->page(request) : NULL;

    if (page != NULL)
        inquire(p, ticket, page);
    else if (p->snapshot == NULL)
        turn_down(p, ticket, "nothing is served yet\n");
    else if (topic == NULL || topic->ask == NULL || !topic->ask(&home, ticket, request))
        turn_down(p, ticket, "unknown request\n");
}

static void
on_stop_request(struct process *p, uint64_t ticket)
{
    if (p->stop_ticket_count < STOP_TICKETS_MAX)
        p->stop_tickets[p->stop_ticket_count++] = ticket;
    process_tell(p, CHANNEL_STOP, 0, NULL);
}

void
process_on_request(void *arg, uint64_t ticket, struct slice request)
{
    struct process *p = arg;

    if (slice_equal(request, SLICE("status")))
        inquire(p, ticket, status_text);
    else if (slice_equal(request, SLICE("status json")))
        inquire(p, ticket, status_json);
    else if (slice_equal(request, SLICE("metrics")))
        inquire(p, ticket, metrics_text);
    else if (slice_equal(request, SLICE("reload")))
        process_tell(p, CHANNEL_RELOAD, ticket, NULL);
    else if (slice_equal(request, SLICE("stop")))
        on_stop_request(p, ticket);
    else
        ask_topic(p, ticket, request);
}

/* ---- begin and end */

void
process_requests_init(struct process *p)
{
    inquiry_init(&p->inquiry, p->loop, &inquiry_ops, p);
}

void
process_requests_wait(struct process *p)
{
    const struct topic *const *topics = p->crew.setting.hooks->topics;

    for (; *topics != NULL; topics++)
        while ((*topics)->is_busy != NULL && (*topics)->is_busy())
            loop_turn(p->loop, 100);
}
