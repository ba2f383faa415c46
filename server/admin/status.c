/* SPDX-License-Identifier: BSD-2-Clause */
/* status.c - one page about the running daemon, as text and as JSON. */
#include "config.h"

#include "server/admin/status.h"

#include "modes/mode.h"
#include "server/admin/topic.h"
#include "server/certificates/certificates.h"
#include "server/log/escape.h"
#include "server/log/log_thread.h"
#include "server/net/listener.h"
#include "server/net/sockets.h"
#include "server/policy/limit_page.h"
#include "server/snapshot.h"
#include "server/upstream/endpoint.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- sums */

void
status_sum(const struct status_facts *facts, struct counters *sum)
{
    memset(sum, 0, sizeof(*sum));
    for (unsigned i = 0; i < facts->slot_count; i++) {
        const struct counters *counters = &facts->slots[i].counters;

#define X(member, name, kind, help) \
    counter_add(sum, member, atomic_load_explicit(&counters->member, memory_order_relaxed));
        COUNTERS(X)
#undef X
    }
}

void
status_sum_dns(const struct status_facts *facts, struct resolver_counts *sum)
{
    *sum = (struct resolver_counts){ 0 };
    for (size_t i = 0; i < facts->worker_count; i++) {
        const struct resolver_counts *dns = &facts->workers[i].report.dns;

        sum->hits += dns->hits;
        sum->joined += dns->joined;
        sum->lookups += dns->lookups;
        sum->failures += dns->failures;
        sum->timeouts += dns->timeouts;
        sum->stale += dns->stale;
        sum->refused += dns->refused;
        sum->entries += dns->entries;
        sum->under_way += dns->under_way;
    }
}

static uint64_t
connections_of(const struct listener_conf *conf)
{
    int64_t open = atomic_load_explicit(&conf->listener->connections, memory_order_relaxed);

    return open > 0 ? (uint64_t)open : 0;
}

/* The address with the port that the kernel chose. */
static const char *
actual_address(const struct status_facts *facts, const struct listener_conf *conf, size_t index,
               char text[ADDRESS_TEXT_BYTES])
{
    char key[SOCKETS_KEY_BYTES];
    const struct sockets *sockets =
        sockets_find((struct list *)facts->sockets, sockets_key(key, conf, index));

    return address_text(sockets != NULL ? &sockets->address : &conf->listen.items[index], text);
}

/* ---- text */

/* "2 d 3 h", "5 m 10 s": the two largest units say enough. */
static const char *
duration_text(uint64_t ms, char text[48])
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = { { "d", 86400 }, { "h", 3600 }, { "m", 60 }, { "s", 1 } };
    uint64_t seconds = ms / 1000;

    for (size_t i = 0; i + 1 < ARRAY_COUNT(units); i++) {
        uint64_t rest = seconds % units[i].seconds / units[i + 1].seconds;

        if (seconds < units[i].seconds)
            continue;
        snprintf(text, 48, "%" PRIu64 " %s %" PRIu64 " %s", seconds / units[i].seconds,
                 units[i].name, rest, units[i + 1].name);
        return text;
    }
    snprintf(text, 48, "%" PRIu64 " s", seconds);
    return text;
}

static int
wider(int width, const char *text)
{
    size_t bytes = strlen(text);

    return bytes > (size_t)width && bytes <= 40 ? (int)bytes : width;
}

static void
write_workers(FILE *out, const struct status_facts *facts)
{
    fprintf(out, "\nworkers   connections   exchanges        turns\n");
    for (size_t i = 0; i < facts->worker_count; i++) {
        const struct worker_facts *worker = &facts->workers[i];
        const struct counters *counters = worker->counters;

        fprintf(out, "  %-5u %13" PRIu64 " %11" PRIu64 " %12" PRIu64 "%s%s\n", worker->id,
                atomic_load_explicit(&counters->connections_open, memory_order_relaxed),
                atomic_load_explicit(&counters->exchanges_open, memory_order_relaxed),
                worker->report.turns, worker->is_retiring ? "   retiring" : "",
                worker->has_answered ? "" : "   does not answer");
    }
}

static void
write_listeners(FILE *out, const struct status_facts *facts)
{
    const struct config_list *listeners = &facts->snapshot->conf.listeners;
    char text[ADDRESS_TEXT_BYTES];
    int width = 8;

    for (size_t i = 0; i < listeners->count; i++)
        width = wider(width, ((const struct listener_conf *)listeners->items[i])->name);
    fprintf(out, "\nlisteners\n");
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listener_conf *listener = listeners->items[i];

        fprintf(out, "  %-*s  %-8s %7" PRIu64 " connections  ", width, listener->name,
                listener->mode->name, connections_of(listener));
        for (size_t j = 0; j < listener->listen.count; j++)
            fprintf(out, "%s%s", j > 0 ? ", " : "", actual_address(facts, listener, j, text));
        fprintf(out, "\n");
    }
}

static void
write_endpoint(FILE *out, const struct endpoint_conf *conf, int width, uint64_t now_ms)
{
    struct endpoint_numbers numbers;
    char state[64];

    endpoint_read(conf->endpoint, now_ms, &numbers);
    if (numbers.is_up)
        snprintf(state, sizeof(state), "up");
    else if (numbers.down_ms > 0)
        snprintf(state, sizeof(state), "down for %" PRIu32 " s", (numbers.down_ms + 999) / 1000);
    else
        snprintf(state, sizeof(state), "down, to be tried");
    fprintf(out, "    %-*s  %-17s %7" PRIu64 " in flight %9" PRIu64 " picked %6" PRIu64 " failed\n",
            width, conf->to, state, numbers.in_flight, numbers.picked, numbers.failed);
}

static void
write_groups(FILE *out, const struct status_facts *facts)
{
    const struct config_list *groups = &facts->snapshot->conf.groups;

    if (groups->count > 0)
        fprintf(out, "\ngroups\n");
    for (size_t i = 0; i < groups->count; i++) {
        const struct group_conf *group = groups->items[i];
        int width = 8;

        for (size_t j = 0; j < group->endpoints.count; j++)
            width = wider(width, ((const struct endpoint_conf *)group->endpoints.items[j])->to);
        fprintf(out, "  %s\n", group->name);
        for (size_t j = 0; j < group->endpoints.count; j++)
            write_endpoint(out, group->endpoints.items[j], width, facts->now_ms);
    }
}

static void
write_certificates(FILE *out)
{
    struct certificates_facts facts = certificates_facts();
    char left[48];

    if (facts.sets == 0)
        return;
    fprintf(out, "certificates %zu, %zu in use, %zu bad, %zu expired, %zu OCSP answers", facts.sets,
            facts.loaded, facts.bad, facts.expired, facts.staples);
    if (facts.nearest_s > 0)
        fprintf(out, "; the next one expires in %s",
                duration_text((uint64_t)facts.nearest_s * 1000, left));
    fprintf(out, "\n");
}

static void
write_tls(FILE *out, const struct counters *sum)
{
    if (sum->tls_handshakes + sum->tls_handshake_failures + sum->tls_handshakes_open == 0)
        return;
    fprintf(out, "TLS          %" PRIu64 " handshakes, %" PRIu64 " resumed, %" PRIu64
            " failed, %" PRIu64 " under way\n", sum->tls_handshakes, sum->tls_handshakes_resumed,
            sum->tls_handshake_failures, sum->tls_handshakes_open);
}

static void
write_totals(FILE *out, const struct status_facts *facts)
{
    struct log_counts logs = log_counts();
    struct resolver_counts dns;
    struct counters sum;

    status_sum(facts, &sum);
    status_sum_dns(facts, &dns);
    fprintf(out, "\nconnections  %" PRIu64 " open of at most %" PRIu64 ", %" PRIu64
            " accepted, %" PRIu64 " refused\n",
            sum.connections_open, facts->max_connections, sum.connections_accepted,
            sum.connections_refused);
    write_tls(out, &sum);
    fprintf(out, "requests     %" PRIu64 " read, %" PRIu64 " bad, %" PRIu64
            " denied; answers %" PRIu64 " 2xx, %" PRIu64 " 3xx, %" PRIu64 " 4xx, %" PRIu64 " 5xx\n",
            sum.requests, sum.requests_bad, sum.requests_denied, sum.responses_2xx,
            sum.responses_3xx, sum.responses_4xx, sum.responses_5xx);
    fprintf(out, "tunnels      %" PRIu64 " open, %" PRIu64 " opened\n", sum.tunnels_open,
            sum.tunnels_opened);
    fprintf(out, "names        %" PRIu64 " looked up, %" PRIu64 " from cache, %" PRIu64
            " failed, %u known\n", dns.lookups, dns.hits, dns.failures, dns.entries);
    write_certificates(out);
    for (size_t i = 0; facts->topics[i] != NULL; i++)
        facts->topics[i]->status_text(out, facts);
    fprintf(out, "logs         %" PRIu64 " lines, %" PRIu64 " dropped\n", logs.lines, logs.dropped);
}

void
status_text(FILE *out, const struct status_facts *facts)
{
    char since[48], up[48];

    fprintf(out, "bascule %s serves generation %" PRIu64 " since %s, up %s\n", PACKAGE_VERSION,
            facts->generation, duration_text(facts->now_ms - facts->serving_ms, since),
            duration_text(facts->now_ms - facts->start_ms, up));
    write_workers(out, facts);
    write_listeners(out, facts);
    write_groups(out, facts);
    limit_page_text(out, &facts->snapshot->conf.limits);
    write_totals(out, facts);
}

/* ---- JSON */

void
status_json_string(FILE *out, const char *text)
{
    char buffer[2048];
    bool is_cut;
    char *end = escape_put(ESCAPE_JSON, buffer, buffer + sizeof(buffer), slice_of(text), &is_cut);

    fprintf(out, "\"%.*s\"", (int)(end - buffer), buffer);
}

static void
json_workers(FILE *out, const struct status_facts *facts)
{
    for (size_t i = 0; i < facts->worker_count; i++) {
        const struct worker_facts *worker = &facts->workers[i];
        const struct counters *counters = worker->counters;

        fprintf(out, "%s{\"id\":%u,\"connections\":%" PRIu64 ",\"exchanges\":%" PRIu64
                ",\"turns\":%" PRIu64 ",\"events\":%" PRIu64 ",\"retiring\":%s,\"answers\":%s}",
                i > 0 ? "," : "", worker->id,
                atomic_load_explicit(&counters->connections_open, memory_order_relaxed),
                atomic_load_explicit(&counters->exchanges_open, memory_order_relaxed),
                worker->report.turns, worker->report.events,
                worker->is_retiring ? "true" : "false", worker->has_answered ? "true" : "false");
    }
}

static void
json_listener(FILE *out, const struct status_facts *facts, const struct listener_conf *listener)
{
    char text[ADDRESS_TEXT_BYTES];

    fprintf(out, "{\"name\":");
    status_json_string(out, listener->name);
    fprintf(out, ",\"mode\":");
    status_json_string(out, listener->mode->name);
    fprintf(out, ",\"addresses\":[");
    for (size_t i = 0; i < listener->listen.count; i++) {
        if (i > 0)
            fputc(',', out);
        status_json_string(out, actual_address(facts, listener, i, text));
    }
    fprintf(out, "],\"connections\":%" PRIu64 ",\"refused\":%" PRIu64 "}", connections_of(listener),
            atomic_load_explicit(&listener->listener->refused, memory_order_relaxed));
}

static void
json_endpoint(FILE *out, const struct endpoint_conf *conf, uint64_t now_ms)
{
    struct endpoint_numbers numbers;

    endpoint_read(conf->endpoint, now_ms, &numbers);
    fprintf(out, "{\"to\":");
    status_json_string(out, conf->to);
    fprintf(out, ",\"up\":%s,\"down_ms\":%" PRIu32 ",\"in_flight\":%" PRIu64
            ",\"picked\":%" PRIu64 ",\"failed\":%" PRIu64 "}",
            numbers.is_up ? "true" : "false", numbers.down_ms, numbers.in_flight, numbers.picked,
            numbers.failed);
}

static void
json_group(FILE *out, const struct group_conf *group, uint64_t now_ms)
{
    fprintf(out, "{\"name\":");
    status_json_string(out, group->name);
    fprintf(out, ",\"endpoints\":[");
    for (size_t i = 0; i < group->endpoints.count; i++) {
        if (i > 0)
            fputc(',', out);
        json_endpoint(out, group->endpoints.items[i], now_ms);
    }
    fprintf(out, "]}");
}

static void
json_totals(FILE *out, const struct status_facts *facts)
{
    struct certificates_facts certificates = certificates_facts();
    struct log_counts logs = log_counts();
    struct resolver_counts dns;

    status_sum_dns(facts, &dns);
    fprintf(out, ",\"certificates\":{\"sets\":%zu,\"loaded\":%zu,\"bad\":%zu,\"expired\":%zu"
            ",\"staples\":%zu,\"nearest_expiry_s\":%" PRId64 "}",
            certificates.sets, certificates.loaded, certificates.bad, certificates.expired,
            certificates.staples, certificates.nearest_s);
    fprintf(out, ",\"max_connections\":%" PRIu64 ",\"logs\":{\"lines\":%" PRIu64
            ",\"dropped\":%" PRIu64 "}", facts->max_connections, logs.lines, logs.dropped);
    fprintf(out, ",\"names\":{\"looked_up\":%" PRIu64 ",\"from_cache\":%" PRIu64
            ",\"failed\":%" PRIu64 ",\"timeouts\":%" PRIu64 ",\"known\":%u,\"under_way\":%u}",
            dns.lookups, dns.hits, dns.failures, dns.timeouts, dns.entries, dns.under_way);
}

void
status_json(FILE *out, const struct status_facts *facts)
{
    const struct conf *conf = &facts->snapshot->conf;

    fprintf(out, "{\"version\":\"%s\",\"generation\":%" PRIu64 ",\"serving_ms\":%" PRIu64
            ",\"up_ms\":%" PRIu64 ",\"workers\":[", PACKAGE_VERSION, facts->generation,
            facts->now_ms - facts->serving_ms, facts->now_ms - facts->start_ms);
    json_workers(out, facts);
    fprintf(out, "],\"listeners\":[");
    for (size_t i = 0; i < conf->listeners.count; i++) {
        if (i > 0)
            fputc(',', out);
        json_listener(out, facts, conf->listeners.items[i]);
    }
    fprintf(out, "],\"groups\":[");
    for (size_t i = 0; i < conf->groups.count; i++) {
        if (i > 0)
            fputc(',', out);
        json_group(out, conf->groups.items[i], facts->now_ms);
    }
    fprintf(out, "]");
    limit_page_json(out, &conf->limits);
    json_totals(out, facts);
    for (size_t i = 0; facts->topics[i] != NULL; i++)
        facts->topics[i]->status_json(out, facts);
    fprintf(out, "}\n");
}
