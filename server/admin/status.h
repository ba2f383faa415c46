/* SPDX-License-Identifier: BSD-2-Clause */
/* status.h - what the daemon is doing, for people and for programs. */
#ifndef BASCULE_STATUS_H
#define BASCULE_STATUS_H

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "server/admin/counters.h"
#include "server/worker_thread.h"

struct snapshot;
struct topic;

/* A thread's counters on cache lines of their own. A slot is used again by the
 * next thread with that number, so sums never fall. */
struct counter_slot {
    alignas(64) struct counters counters;
};

/* One worker thread. */
struct worker_facts {
    unsigned id;
    bool is_retiring;
    bool has_answered;  /* report is from now; otherwise it did not answer in time */
    const struct counters *counters;
    struct worker_report report;
};

/* All that is shown. Everything is borrowed. */
struct status_facts {
    const struct snapshot *snapshot;
    uint64_t generation;
    uint64_t now_ms;      /* monotonic */
    uint64_t start_ms;    /* of the worker process */
    uint64_t serving_ms;  /* since when this generation is served */
    uint64_t max_connections;
    const struct list *sockets; /* of struct sockets */
    size_t worker_count;
    const struct worker_facts *workers;
    const struct counter_slot *slots; /* of all threads there ever were */
    unsigned slot_count;
    const struct topic *const *topics; /* what else there is to show; ends with NULL */
};

/* For reading: a page of text. */
void status_text(FILE *out, const struct status_facts *facts);

/* The same as one JSON object. */
void status_json(FILE *out, const struct status_facts *facts);

/* The value of each counter, and of what resolvers count, summed over all threads. */
void status_sum(const struct status_facts *facts, struct counters *sum);
void status_sum_dns(const struct status_facts *facts, struct resolver_counts *sum);

/* A JSON string with its quotes; very long text is cut. */
void status_json_string(FILE *out, const char *text);

#endif
