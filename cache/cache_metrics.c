/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_metrics.c - stores and traffic as Prometheus reads them. */
#include "config.h"

#include "cache/cache_page.h"

#include "cache/cache_conf.h"
#include "cache/store_facts.h"
#include "cache/traffic.h"
#include "server/admin/metrics.h"
#include "server/admin/status.h"
#include "server/snapshot.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- stores: the place of a number in struct store_facts tells which it is */

#define IN_MEMORY(member) offsetof(struct store_facts, memory.member)
#define ON_DISK(member) offsetof(struct store_facts, disk.member)
#define OF_PURGES(member) offsetof(struct store_facts, purges.member)

static const struct store_metric {
    const char *name, *kind, *help;
    size_t offset;
    bool is_of_disk;
} store_metrics[] = {
    { "bascule_store_memory_objects", "gauge", "Objects in memory.", IN_MEMORY(objects), false },
    { "bascule_store_memory_bytes", "gauge", "Memory they take.", IN_MEMORY(bytes), false },
    { "bascule_store_memory_max_bytes", "gauge", "Memory they may take.", IN_MEMORY(max_bytes),
      false },
    { "bascule_store_memory_evicted_total", "counter", "Objects that made room for others.",
      IN_MEMORY(evicted), false },
    { "bascule_store_fetches_under_way", "gauge", "Objects that are being fetched.",
      offsetof(struct store_facts, fills), false },
    { "bascule_store_purges_total", "counter", "Purges since the start.", OF_PURGES(purges),
      false },
    { "bascule_store_purges_tags", "gauge", "Purged URLs, tags and sites remembered.",
      OF_PURGES(tags), false },
    { "bascule_store_purges_prefixes", "gauge", "Purged prefixes remembered.",
      OF_PURGES(prefixes), false },
    { "bascule_store_purges_log_errors_total", "counter", "Purges that could not be written down.",
      OF_PURGES(log_errors), false },
    { "bascule_store_disk_objects", "gauge", "Objects on disk.", ON_DISK(objects), true },
    { "bascule_store_disk_bytes", "gauge", "Room on disk that the segments take.", ON_DISK(bytes),
      true },
    { "bascule_store_disk_segments", "gauge", "Segment files.", ON_DISK(segments), true },
    { "bascule_store_disk_index_bytes", "gauge", "Memory that the index takes.",
      ON_DISK(index_bytes), true },
    { "bascule_store_disk_reads_total", "counter", "Reads from disk.", ON_DISK(reads), true },
    { "bascule_store_disk_read_bytes_total", "counter", "Bytes read from disk.",
      ON_DISK(read_bytes), true },
    { "bascule_store_disk_writes_total", "counter", "Objects written to disk.", ON_DISK(writes),
      true },
    { "bascule_store_disk_written_bytes_total", "counter", "Bytes written to disk.",
      ON_DISK(written_bytes), true },
    { "bascule_store_disk_reclaimed_segments_total", "counter",
      "Segment files removed to make room.", ON_DISK(reclaimed_segments), true },
    { "bascule_store_disk_readmitted_total", "counter",
      "Objects of those that were kept, being asked for.", ON_DISK(readmitted), true },
    { "bascule_store_disk_dropped_writes_total", "counter",
      "Objects not written because the disk was too busy or failed.", ON_DISK(dropped_writes),
      true },
    { "bascule_store_disk_dropped_reads_total", "counter",
      "Objects not read because the disk was too busy.", ON_DISK(dropped_reads), true },
    { "bascule_store_disk_corrupt_total", "counter", "Objects whose checksum was wrong.",
      ON_DISK(corrupt), true },
    { "bascule_store_disk_errors_total", "counter", "Errors of the disk.", ON_DISK(errors), true },
};

static void
store_sample(FILE *out, const char *name, const struct store_conf *conf, uint64_t value)
{
    fprintf(out, "%s{store=\"", name);
    metrics_label(out, conf->name);
    fprintf(out, "\"} %" PRIu64 "\n", value);
}

static void
write_store_metric(FILE *out, const struct store_metric *metric, const struct store_facts *facts,
                   size_t count)
{
    metrics_family(out, metric->name, metric->kind, metric->help);
    for (size_t i = 0; i < count; i++)
        if (!metric->is_of_disk || facts[i].conf->path != NULL)
            store_sample(out, metric->name, facts[i].conf,
                         *(const uint64_t *)(const void *)((const char *)&facts[i] +
                                                           metric->offset));
}

static void
write_ready(FILE *out, const struct store_facts *facts, size_t count)
{
    static const char name[] = "bascule_store_disk_ready";

    metrics_family(out, name, "gauge", "1: the disk is in use, 0: it is loading or has failed.");
    for (size_t i = 0; i < count; i++)
        if (facts[i].conf->path != NULL)
            store_sample(out, name, facts[i].conf, facts[i].disk.state == DISK_READY);
}

static void
write_stores(FILE *out, const struct config_list *stores)
{
    struct store_facts *facts = calloc(stores->count + 1, sizeof(*facts));

    if (facts == NULL)
        return;
    for (size_t i = 0; i < stores->count; i++)
        store_facts(stores->items[i], &facts[i]);
    for (size_t i = 0; i < ARRAY_COUNT(store_metrics); i++)
        write_store_metric(out, &store_metrics[i], facts, stores->count);
    write_ready(out, facts, stores->count);
    free(facts);
}

/* ---- traffic */

struct samples {
    FILE *out;
    const char *name;
    bool is_bytes;
    unsigned count;
    uint64_t others[TRAFFIC_MODES][TRAFFIC_KINDS];
};

/* What there was none of is not told: most sites have one mode and a few kinds. */
static void
write_sample(const struct samples *samples, const char *site, unsigned mode, unsigned kind,
             uint64_t value)
{
    if (value == 0)
        return;
    fprintf(samples->out, "%s{site=\"", samples->name);
    metrics_label(samples->out, site);
    fprintf(samples->out, "\",mode=\"%s\",result=\"%s\"} %" PRIu64 "\n",
            traffic_mode_word((enum traffic_mode)mode), traffic_kind_word((enum traffic_kind)kind),
            value);
}

static void
write_account(void *arg, const char *name, const struct traffic_account *account)
{
    struct samples *samples = arg;
    bool is_one_of_many = ++samples->count > CACHE_METRICS_SITES;

    for (unsigned mode = 0; mode < TRAFFIC_MODES; mode++) {
        struct traffic_sum sum;
        const uint64_t *values = samples->is_bytes ? sum.bytes : sum.requests;

        traffic_read(account, (enum traffic_mode)mode, &sum);
        for (unsigned kind = 0; kind < TRAFFIC_KINDS; kind++) {
            if (is_one_of_many)
                samples->others[mode][kind] += values[kind];
            else
                write_sample(samples, name, mode, kind, values[kind]);
        }
    }
}

static void
write_sites(FILE *out, const struct conf *conf, const char *name, const char *help, bool is_bytes)
{
    struct samples samples = { .out = out, .name = name, .is_bytes = is_bytes };

    metrics_family(out, name, "counter", help);
    store_each_account(conf, write_account, &samples);
    for (unsigned mode = 0; mode < TRAFFIC_MODES; mode++)
        for (unsigned kind = 0; kind < TRAFFIC_KINDS; kind++)
            write_sample(&samples, "(others)", mode, kind, samples.others[mode][kind]);
}

/* All modes and results are told of, from 0 on, as rates need. */
static void
write_modes(FILE *out, const char *name, const char *help, bool is_bytes)
{
    metrics_family(out, name, "counter", help);
    for (unsigned mode = 0; mode < TRAFFIC_MODES; mode++) {
        struct traffic_sum sum;

        traffic_read_all((enum traffic_mode)mode, &sum);
        for (unsigned kind = 0; kind < TRAFFIC_KINDS; kind++)
            fprintf(out, "%s{mode=\"%s\",result=\"%s\"} %" PRIu64 "\n", name,
                    traffic_mode_word((enum traffic_mode)mode),
                    traffic_kind_word((enum traffic_kind)kind),
                    is_bytes ? sum.bytes[kind] : sum.requests[kind]);
    }
}

void
cache_page_metrics(FILE *out, const struct status_facts *facts)
{
    const struct conf *conf = &facts->snapshot->conf;

    if (conf->stores.count == 0)
        return;
    write_stores(out, &conf->stores);
    write_modes(out, "bascule_cache_requests_total",
                "Requests to what is cached, by how they were answered.", false);
    write_modes(out, "bascule_cache_bytes_total", "Bytes of content in answers to them.", true);
    write_sites(out, conf, "bascule_cache_site_requests_total", "The same by site.", false);
    write_sites(out, conf, "bascule_cache_site_bytes_total", "The same by site.", true);
}
