/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_page.c - `bascule cache`, and its part of `bascule status`. */
#include "config.h"

#include "cache/cache_page.h"

#include "cache/cache_conf.h"
#include "cache/store_facts.h"
#include "cache/traffic.h"
#include "server/admin/status.h"
#include "server/snapshot.h"

#include <inttypes.h>

#define SITES_SHOWN 100u /* in the text; programs are told of all */

/* ---- stores as text */

/* "512 B", "1.5 KB", "12.0 GB": units of 1024, as options have them. */
static const char *
bytes_text(uint64_t bytes, char text[24])
{
    static const char *const units[] = { "KB", "MB", "GB", "TB", "PB", "EB" };
    double value = (double)bytes / 1024;
    unsigned unit = 0;

    if (bytes < 1024) {
        snprintf(text, 24, "%" PRIu64 " B", bytes);
        return text;
    }
    for (; value >= 999.95 && unit + 1 < ARRAY_COUNT(units); unit++)
        value /= 1024;
    snprintf(text, 24, "%.1f %s", value, units[unit]);
    return text;
}

static void
write_disk(FILE *out, const struct store_facts *facts)
{
    const struct disk_facts *disk = &facts->disk;
    char used[24], max[24], index[24];

    fprintf(out, "    disk    %10" PRIu64 " objects %10s of %9s   %" PRIu64
            " segments, index %s\n",
            disk->objects, bytes_text(disk->bytes, used),
            bytes_text(facts->conf->disk_bytes, max), disk->segments,
            bytes_text(disk->index_bytes, index));
    fprintf(out, "            %10" PRIu64 " reads  %11" PRIu64 " writes   %" PRIu64
            " segments reclaimed, %" PRIu64 " objects kept from them\n",
            disk->reads, disk->writes, disk->reclaimed_segments, disk->readmitted);
    if (disk->dropped_writes + disk->dropped_reads + disk->corrupt + disk->errors > 0)
        fprintf(out, "            %10" PRIu64 " errors %11" PRIu64 " corrupt, too busy for %" PRIu64
                " writes and %" PRIu64 " reads\n",
                disk->errors, disk->corrupt, disk->dropped_writes, disk->dropped_reads);
}

static void
write_store(FILE *out, const struct store_conf *conf)
{
    struct store_facts facts;
    char used[24], max[24];

    store_facts(conf, &facts);
    if (conf->path == NULL)
        fprintf(out, "  %s: in memory only\n", conf->name);
    else
        fprintf(out, "  %s: %s, %s\n", conf->name, conf->path,
                slice_equal(slice_of(facts.state), SLICE("loading")) ? "loading its index"
                                                                     : facts.state);
    fprintf(out, "    memory  %10" PRIu64 " objects %10s of %9s   %" PRIu64 " evicted\n",
            facts.memory.objects, bytes_text(facts.memory.bytes, used),
            bytes_text(facts.memory.max_bytes, max), facts.memory.evicted);
    if (conf->path != NULL)
        write_disk(out, &facts);
    fprintf(out, "    fetches %10" PRIu64 " under way\n", facts.fills);
    fprintf(out, "    purges  %10" PRIu64 " since the start; remembered: %" PRIu64
            " URLs, tags and sites, %" PRIu64 " prefixes\n",
            facts.purges.purges, facts.purges.tags, facts.purges.prefixes);
}

/* ---- traffic as text */

struct rows {
    FILE *out;
    int width;
    unsigned count;
    struct traffic_sum others;
};

static void
add_sum(struct traffic_sum *to, const struct traffic_sum *sum)
{
    for (unsigned kind = 0; kind < TRAFFIC_KINDS; kind++) {
        to->requests[kind] += sum->requests[kind];
        to->bytes[kind] += sum->bytes[kind];
    }
}

/* Of both modes. */
static void
read_account(const struct traffic_account *account, struct traffic_sum *sum)
{
    struct traffic_sum forward;

    traffic_read(account, TRAFFIC_REVERSE, sum);
    traffic_read(account, TRAFFIC_FORWARD, &forward);
    add_sum(sum, &forward);
}

static void
write_row(FILE *out, int width, const char *name, const struct traffic_sum *sum)
{
    char bytes[24];

    fprintf(out, "  %-*s %10" PRIu64 " %7.1f%% %9s %7.1f%%", width, name, traffic_requests(sum),
            100 * traffic_hit_ratio(sum), bytes_text(traffic_bytes(sum), bytes),
            100 * traffic_byte_ratio(sum));
    for (unsigned kind = 0; kind < TRAFFIC_KINDS; kind++)
        fprintf(out, " %9" PRIu64, sum->requests[kind]);
    fprintf(out, "\n");
}

static void
write_heading(FILE *out, int width, const char *what)
{
    fprintf(out, "\n%-*s   requests     hits     bytes     hits", width + 2, what);
    for (unsigned kind = 0; kind < TRAFFIC_KINDS; kind++)
        fprintf(out, " %9s", traffic_kind_word((enum traffic_kind)kind));
    fprintf(out, "\n");
}

static void
widen(void *arg, const char *name, const struct traffic_account *account)
{
    struct rows *rows = arg;
    size_t bytes = strlen(name);

    (void)account;
    if (bytes > (size_t)rows->width && bytes <= 40)
        rows->width = (int)bytes;
}

static void
write_account(void *arg, const char *name, const struct traffic_account *account)
{
    struct rows *rows = arg;
    struct traffic_sum sum;

    read_account(account, &sum);
    if (++rows->count <= SITES_SHOWN)
        write_row(rows->out, rows->width, name, &sum);
    else
        add_sum(&rows->others, &sum);
}

static void
write_traffic(FILE *out, const struct conf *conf)
{
    struct rows rows = { .out = out, .width = 8 };

    store_each_account(conf, widen, &rows);
    write_heading(out, rows.width, "modes");
    for (unsigned mode = 0; mode < TRAFFIC_MODES; mode++) {
        struct traffic_sum sum;

        traffic_read_all((enum traffic_mode)mode, &sum);
        write_row(out, rows.width, traffic_mode_word((enum traffic_mode)mode), &sum);
    }
    write_heading(out, rows.width, "sites");
    store_each_account(conf, write_account, &rows);
    if (rows.count > SITES_SHOWN)
        write_row(out, rows.width, "(others)", &rows.others);
}

void
cache_page_text(FILE *out, const struct status_facts *facts)
{
    const struct conf *conf = &facts->snapshot->conf;

    if (conf->stores.count == 0) {
        fprintf(out, "no store is configured: nothing is cached\n");
        return;
    }
    fprintf(out, "stores\n");
    for (size_t i = 0; i < conf->stores.count; i++)
        write_store(out, conf->stores.items[i]);
    write_traffic(out, conf);
}

void
cache_page_status(FILE *out, const struct status_facts *facts)
{
    struct traffic_sum sum, forward;
    struct counters counters;

    if (facts->snapshot->conf.stores.count == 0)
        return;
    status_sum(facts, &counters);
    traffic_read_all(TRAFFIC_REVERSE, &sum);
    traffic_read_all(TRAFFIC_FORWARD, &forward);
    add_sum(&sum, &forward);
    fprintf(out, "cache        %" PRIu64 " requests, %.1f %% of them and %.1f %% of their bytes "
            "hits, %" PRIu64 " stale, %" PRIu64 " joined; %" PRIu64 " fetches, %" PRIu64
            " validated\n",
            traffic_requests(&sum), 100 * traffic_hit_ratio(&sum), 100 * traffic_byte_ratio(&sum),
            sum.requests[TRAFFIC_STALE], counters.cache_collapsed, counters.cache_fetches,
            counters.cache_validated);
}

/* ---- JSON */

static void
json_sum(FILE *out, const struct traffic_sum *sum)
{
    fprintf(out, "{\"requests\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"hit_ratio\":%.4f"
            ",\"byte_hit_ratio\":%.4f", traffic_requests(sum), traffic_bytes(sum),
            traffic_hit_ratio(sum), traffic_byte_ratio(sum));
    for (unsigned kind = 0; kind < TRAFFIC_KINDS; kind++)
        fprintf(out, ",\"%s\":{\"requests\":%" PRIu64 ",\"bytes\":%" PRIu64 "}",
                traffic_kind_word((enum traffic_kind)kind), sum->requests[kind],
                sum->bytes[kind]);
    fprintf(out, "}");
}

static void
json_disk(FILE *out, const struct store_facts *facts)
{
    const struct disk_facts *disk = &facts->disk;

    fprintf(out, ",\"disk\":{\"path\":");
    status_json_string(out, facts->conf->path);
    fprintf(out, ",\"objects\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"max_bytes\":%" PRIu64
            ",\"index_bytes\":%" PRIu64 ",\"segments\":%" PRIu64 ",\"reads\":%" PRIu64
            ",\"writes\":%" PRIu64 ",\"read_bytes\":%" PRIu64 ",\"written_bytes\":%" PRIu64,
            disk->objects, disk->bytes, facts->conf->disk_bytes, disk->index_bytes, disk->segments,
            disk->reads, disk->writes, disk->read_bytes, disk->written_bytes);
    fprintf(out, ",\"reclaimed_segments\":%" PRIu64 ",\"readmitted\":%" PRIu64
            ",\"dropped_writes\":%" PRIu64 ",\"dropped_reads\":%" PRIu64 ",\"corrupt\":%" PRIu64
            ",\"errors\":%" PRIu64 "}", disk->reclaimed_segments, disk->readmitted,
            disk->dropped_writes, disk->dropped_reads, disk->corrupt, disk->errors);
}

static void
json_store(FILE *out, const struct store_conf *conf)
{
    struct store_facts facts;

    store_facts(conf, &facts);
    fprintf(out, "{\"name\":");
    status_json_string(out, conf->name);
    fprintf(out, ",\"state\":\"%s\",\"memory\":{\"objects\":%" PRIu64 ",\"bytes\":%" PRIu64
            ",\"max_bytes\":%" PRIu64 ",\"evicted\":%" PRIu64 ",\"refused\":%" PRIu64 "}",
            facts.state, facts.memory.objects, facts.memory.bytes, facts.memory.max_bytes,
            facts.memory.evicted, facts.memory.refused);
    if (conf->path != NULL)
        json_disk(out, &facts);
    fprintf(out, ",\"fetches_under_way\":%" PRIu64 ",\"purges\":{\"total\":%" PRIu64
            ",\"tags\":%" PRIu64 ",\"prefixes\":%" PRIu64 ",\"log_bytes\":%" PRIu64
            ",\"log_errors\":%" PRIu64 "}}", facts.fills, facts.purges.purges, facts.purges.tags,
            facts.purges.prefixes, facts.purges.log_bytes, facts.purges.log_errors);
}

static void
json_account(void *arg, const char *name, const struct traffic_account *account)
{
    struct rows *rows = arg;
    struct traffic_sum sum;

    read_account(account, &sum);
    fprintf(rows->out, "%s{\"name\":", rows->count++ > 0 ? "," : "");
    status_json_string(rows->out, name);
    fprintf(rows->out, ",\"traffic\":");
    json_sum(rows->out, &sum);
    fprintf(rows->out, "}");
}

static void
json_modes(FILE *out)
{
    for (unsigned mode = 0; mode < TRAFFIC_MODES; mode++) {
        struct traffic_sum sum;

        traffic_read_all((enum traffic_mode)mode, &sum);
        fprintf(out, "%s\"%s\":", mode > 0 ? "," : "", traffic_mode_word((enum traffic_mode)mode));
        json_sum(out, &sum);
    }
}

void
cache_page_json(FILE *out, const struct status_facts *facts)
{
    const struct conf *conf = &facts->snapshot->conf;
    struct rows rows = { .out = out };
    struct counters counters;

    status_sum(facts, &counters);
    fprintf(out, "{\"stores\":[");
    for (size_t i = 0; i < conf->stores.count; i++) {
        if (i > 0)
            fputc(',', out);
        json_store(out, conf->stores.items[i]);
    }
    fprintf(out, "],\"modes\":{");
    json_modes(out);
    fprintf(out, "},\"sites\":[");
    store_each_account(conf, json_account, &rows);
    fprintf(out, "],\"fetches\":%" PRIu64 ",\"validated\":%" PRIu64 ",\"collapsed\":%" PRIu64
            "}\n", counters.cache_fetches, counters.cache_validated, counters.cache_collapsed);
}

void
cache_page_status_json(FILE *out, const struct status_facts *facts)
{
    (void)facts;
    fprintf(out, ",\"cache\":{");
    json_modes(out);
    fprintf(out, "}");
}
