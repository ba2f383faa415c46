/* SPDX-License-Identifier: BSD-2-Clause */
/* list_topic.c - how large each list is, how old, and whether its files are good. */
#include "config.h"

#include "server/policy/list_topic.h"

#include "server/admin/metrics.h"
#include "server/admin/status.h"
#include "server/base/calendar.h"
#include "server/policy/list.h"
#include "server/snapshot.h"

#include <inttypes.h>

static void
write_text(FILE *out, const struct status_facts *facts)
{
    const struct config_list *lists = &facts->snapshot->conf.lists;

    for (size_t i = 0; i < lists->count; i++) {
        const struct list_conf *conf = lists->items[i];
        struct list_facts numbers;
        char loaded[CALENDAR_TEXT_BYTES];

        list_facts(conf->list, &numbers);
        fprintf(out, "%-12s %s: %" PRIu64 " entries, %" PRIu64 " KB, of %s", i == 0 ? "lists" : "",
                conf->name, numbers.entries, (numbers.bytes + 1023) / 1024,
                calendar_text(numbers.loaded_s, loaded));
        if (numbers.failures > 0)
            fprintf(out, "; newer files are no good, %" PRIu64 " times", numbers.failures);
        fprintf(out, "\n");
    }
}

static void
write_json(FILE *out, const struct status_facts *facts)
{
    const struct config_list *lists = &facts->snapshot->conf.lists;

    fprintf(out, ",\"lists\":[");
    for (size_t i = 0; i < lists->count; i++) {
        const struct list_conf *conf = lists->items[i];
        struct list_facts numbers;

        list_facts(conf->list, &numbers);
        fprintf(out, "%s{\"name\":", i > 0 ? "," : "");
        status_json_string(out, conf->name);
        fprintf(out, ",\"entries\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"loaded_s\":%" PRId64
                ",\"failures\":%" PRIu64 "}", numbers.entries, numbers.bytes, numbers.loaded_s,
                numbers.failures);
    }
    fprintf(out, "]");
}

/* ---- metrics */

static const struct {
    const char *name, *help;
    size_t offset;
} gauges[] = {
    { "bascule_list_entries", "Entries of a list.", offsetof(struct list_facts, entries) },
    { "bascule_list_bytes", "Memory of a list.", offsetof(struct list_facts, bytes) },
    { "bascule_list_loaded_timestamp_seconds", "When what a list holds was loaded.",
      offsetof(struct list_facts, loaded_s) },
    { "bascule_list_load_failures",
      "Times that newer files of a list were no good since it was loaded.",
      offsetof(struct list_facts, failures) },
};

static void
write_metrics(FILE *out, const struct status_facts *facts)
{
    const struct config_list *lists = &facts->snapshot->conf.lists;

    for (size_t gauge = 0; lists->count > 0 && gauge < ARRAY_COUNT(gauges); gauge++) {
        metrics_family(out, gauges[gauge].name, "gauge", gauges[gauge].help);
        for (size_t i = 0; i < lists->count; i++) {
            const struct list_conf *conf = lists->items[i];
            struct list_facts numbers;
            uint64_t value;

            list_facts(conf->list, &numbers);
            memcpy(&value, (const char *)&numbers + gauges[gauge].offset, sizeof(value));
            fprintf(out, "%s{list=\"", gauges[gauge].name);
            metrics_label(out, conf->name);
            fprintf(out, "\"} %" PRIu64 "\n", value);
        }
    }
}

/* ---- requests */

static render_fn *
page(struct slice request)
{
    return slice_equal(request, SLICE("lists")) ? write_text : NULL;
}

const struct topic list_topic = {
    .word = "lists",
    .page = page,
    .status_text = write_text,
    .status_json = write_json,
    .metrics = write_metrics,
};
