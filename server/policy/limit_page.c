/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_page.c - a line, an object or a sample for each limit. */
#include "config.h"

#include "server/policy/limit_page.h"

#include "server/admin/metrics.h"
#include "server/admin/status.h"
#include "server/policy/limit.h"

#include <inttypes.h>

void
limit_page_text(FILE *out, const struct config_list *limits)
{
    if (limits->count > 0)
        fprintf(out, "\nlimits\n");
    for (size_t i = 0; i < limits->count; i++) {
        const struct limit_conf *conf = limits->items[i];
        struct limit_facts facts;

        limit_facts(conf->limit, &facts);
        fprintf(out, "  %-16s %9" PRIu64 " keys %11" PRIu64 " taken %9" PRIu64 " refused %6" PRIu64
                " evicted\n", conf->name, facts.keys, facts.taken, facts.refused, facts.evicted);
    }
}

void
limit_page_json(FILE *out, const struct config_list *limits)
{
    fprintf(out, ",\"limits\":[");
    for (size_t i = 0; i < limits->count; i++) {
        const struct limit_conf *conf = limits->items[i];
        struct limit_facts facts;

        limit_facts(conf->limit, &facts);
        fprintf(out, "%s{\"name\":", i > 0 ? "," : "");
        status_json_string(out, conf->name);
        fprintf(out, ",\"keys\":%" PRIu64 ",\"taken\":%" PRIu64 ",\"refused\":%" PRIu64
                ",\"evicted\":%" PRIu64 "}", facts.keys, facts.taken, facts.refused,
                facts.evicted);
    }
    fprintf(out, "]");
}

static const struct metric {
    const char *name, *kind, *help;
    size_t offset; /* in struct limit_facts */
} metrics[] = {
    { "bascule_limit_keys", "gauge", "Keys that the limit remembers.",
      offsetof(struct limit_facts, keys) },
    { "bascule_limit_taken_total", "counter", "Times the limit let something through.",
      offsetof(struct limit_facts, taken) },
    { "bascule_limit_refused_total", "counter", "Times something was over the limit.",
      offsetof(struct limit_facts, refused) },
    { "bascule_limit_evicted_total", "counter",
      "Keys forgotten for others while something still counted.",
      offsetof(struct limit_facts, evicted) },
};

void
limit_page_metrics(FILE *out, const struct config_list *limits)
{
    for (size_t m = 0; limits->count > 0 && m < ARRAY_COUNT(metrics); m++) {
        metrics_family(out, metrics[m].name, metrics[m].kind, metrics[m].help);
        for (size_t i = 0; i < limits->count; i++) {
            const struct limit_conf *conf = limits->items[i];
            struct limit_facts facts;

            limit_facts(conf->limit, &facts);
            fprintf(out, "%s{limit=\"", metrics[m].name);
            metrics_label(out, conf->name);
            fprintf(out, "\"} %" PRIu64 "\n",
                    *(const uint64_t *)(const void *)((const char *)&facts + metrics[m].offset));
        }
    }
}
