/* SPDX-License-Identifier: BSD-2-Clause */
/* filter_topic.c - the events that filters counted, added up over all threads. */
#include "config.h"

#include "filters/filter_topic.h"

#include "filters/coding.h"
#include "filters/filter.h"
#include "filters/hold.h"
#include "server/admin/metrics.h"
#include "server/admin/status.h"

#include <inttypes.h>

static uint64_t
sum(const struct filter_counts *counts, unsigned event)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < WORKERS_MAX; i++)
        n += atomic_load_explicit(&counts->rows[i].n[event], memory_order_relaxed);
    return n;
}

/* Calls put for each event of each filter, those that never happened among them. */
static void
each_event(FILE *out, void (*put)(FILE *, const struct filter_ops *, unsigned event, uint64_t n))
{
    for (size_t i = 0; filters[i] != NULL; i++) {
        const struct filter_counts *counts = filters[i]->counts;

        if (counts == NULL)
            continue;
        for (unsigned event = 0; event < FILTER_EVENTS_MAX; event++) {
            if (counts->events[event] == NULL)
                break;
            put(out, filters[i], event, sum(counts, event));
        }
    }
}

/* ---- for people: what did something */

static void
write_filter(FILE *out, const struct filter_ops *ops, bool *is_first)
{
    const char *before = ": ";

    for (unsigned event = 0; event < FILTER_EVENTS_MAX; event++) {
        const char *word = ops->counts->events[event];
        uint64_t n = word != NULL ? sum(ops->counts, event) : 0;

        if (word == NULL)
            break;
        if (n == 0)
            continue;
        if (before[0] == ':')
            fprintf(out, "%-12s %s", *is_first ? "filters" : "", ops->name);
        fprintf(out, "%s%" PRIu64 " %s", before, n, word);
        before = ", ";
    }
    if (before[0] == ',') {
        fprintf(out, "\n");
        *is_first = false;
    }
}

static void
write_text(FILE *out, const struct status_facts *facts)
{
    bool is_first = true;

    (void)facts;
    for (size_t i = 0; filters[i] != NULL; i++)
        if (filters[i]->counts != NULL)
            write_filter(out, filters[i], &is_first);
}

/* ---- for programs */

static void
put_json(FILE *out, const struct filter_ops *ops, unsigned event, uint64_t n)
{
    if (event == 0)
        fprintf(out, ",\"%s\":{", ops->name);
    fprintf(out, "%s\"%s\":%" PRIu64, event > 0 ? "," : "", ops->counts->events[event], n);
    if (event + 1 == FILTER_EVENTS_MAX || ops->counts->events[event + 1] == NULL)
        fprintf(out, "}");
}

static void
write_json(FILE *out, const struct status_facts *facts)
{
    (void)facts;
    fprintf(out, ",\"filters\":{\"held_bytes\":%" PRIu64, hold_total_bytes());
    each_event(out, put_json);
    fprintf(out, "}");
}

static void
put_sample(FILE *out, const struct filter_ops *ops, unsigned event, uint64_t n)
{
    fprintf(out, "bascule_filter_events_total{filter=\"%s\",event=\"%s\"} %" PRIu64 "\n",
            ops->name, ops->counts->events[event], n);
}

static void
write_metrics(FILE *out, const struct status_facts *facts)
{
    (void)facts;
    metrics_family(out, "bascule_filter_events_total", "counter", "What filters did.");
    each_event(out, put_sample);
    metrics_family(out, "bascule_held_content_bytes", "gauge",
                   "Content that filters hold back now.");
    fprintf(out, "bascule_held_content_bytes %" PRIu64 "\n", hold_total_bytes());
    metrics_family(out, "bascule_decoders_bytes", "gauge",
                   "Memory of the decoders of coded content now.");
    fprintf(out, "bascule_decoders_bytes %" PRIu64 "\n", decode_total_bytes());
}

/* ---- requests */

static render_fn *
page(struct slice request)
{
    return slice_equal(request, SLICE("filters")) ? write_text : NULL;
}

const struct topic filter_topic = {
    .word = "filters",
    .page = page,
    .status_text = write_text,
    .status_json = write_json,
    .metrics = write_metrics,
};
