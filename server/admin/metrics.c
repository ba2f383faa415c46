/* SPDX-License-Identifier: BSD-2-Clause */
/* metrics.c - counters as Prometheus reads them: families one after the other,
 * each with its help and type, then its samples.
 */
#include "config.h"

#include "server/admin/metrics.h"

#include "server/admin/status.h"
#include "server/admin/topic.h"
#include "server/certificates/certificates.h"
#include "server/log/log_thread.h"
#include "server/net/listener.h"
#include "server/policy/limit_page.h"
#include "server/snapshot.h"
#include "server/upstream/endpoint.h"
#include "server/users/users.h"

#include <inttypes.h>

void
metrics_family(FILE *out, const char *name, const char *kind, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static void
single(FILE *out, const char *name, const char *kind, const char *help, uint64_t value)
{
    metrics_family(out, name, kind, help);
    fprintf(out, "%s %" PRIu64 "\n", name, value);
}

void
metrics_label(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            fputs("\\n", out);
        else if (*text == '\\' || *text == '"')
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

/* ---- listeners */

static void
listener_sample(FILE *out, const char *name, const struct listener_conf *conf, uint64_t value)
{
    fprintf(out, "%s{listener=\"", name);
    metrics_label(out, conf->name);
    fprintf(out, "\"} %" PRIu64 "\n", value);
}

static void
write_listeners(FILE *out, const struct config_list *listeners)
{
    static const char open[] = "bascule_listener_connections_open";
    static const char refused[] = "bascule_listener_connections_refused_total";

    metrics_family(out, open, "gauge", "Client connections of the listener open now.");
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listener_conf *conf = listeners->items[i];

        listener_sample(out, open, conf,
                        (uint64_t)atomic_load_explicit(&conf->listener->connections,
                                                       memory_order_relaxed));
    }
    metrics_family(out, refused, "counter", "Client connections of the listener closed at once.");
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listener_conf *conf = listeners->items[i];

        listener_sample(out, refused, conf,
                        atomic_load_explicit(&conf->listener->refused, memory_order_relaxed));
    }
}

/* ---- endpoints */

static uint64_t
is_up(const struct endpoint_numbers *numbers)
{
    return numbers->is_up;
}

static uint64_t
in_flight(const struct endpoint_numbers *numbers)
{
    return numbers->in_flight;
}

static uint64_t
picked(const struct endpoint_numbers *numbers)
{
    return numbers->picked;
}

static uint64_t
failed(const struct endpoint_numbers *numbers)
{
    return numbers->failed;
}

static const struct endpoint_metric {
    const char *name, *kind, *help;
    uint64_t (*value)(const struct endpoint_numbers *numbers);
} endpoint_metrics[] = {
    { "bascule_endpoint_up", "gauge", "1: the endpoint is up, 0: it is skipped.", is_up },
    { "bascule_endpoint_in_flight", "gauge", "Exchanges and tunnels of the endpoint now.",
      in_flight },
    { "bascule_endpoint_picked_total", "counter", "Times the endpoint was chosen.", picked },
    { "bascule_endpoint_failures_total", "counter", "Failures of the endpoint.", failed },
};

static void
write_group(FILE *out, const struct endpoint_metric *metric, const struct group_conf *group,
            uint64_t now_ms)
{
    for (size_t i = 0; i < group->endpoints.count; i++) {
        const struct endpoint_conf *conf = group->endpoints.items[i];
        struct endpoint_numbers numbers;

        endpoint_read(conf->endpoint, now_ms, &numbers);
        fprintf(out, "%s{group=\"", metric->name);
        metrics_label(out, group->name);
        fputs("\",endpoint=\"", out);
        metrics_label(out, conf->to);
        fprintf(out, "\"} %" PRIu64 "\n", metric->value(&numbers));
    }
}

static void
write_endpoints(FILE *out, const struct config_list *groups, uint64_t now_ms)
{
    for (size_t m = 0; m < ARRAY_COUNT(endpoint_metrics); m++) {
        const struct endpoint_metric *metric = &endpoint_metrics[m];

        metrics_family(out, metric->name, metric->kind, metric->help);
        for (size_t i = 0; i < groups->count; i++)
            write_group(out, metric, groups->items[i], now_ms);
    }
}

/* ---- the process */

static void
write_workers(FILE *out, const struct status_facts *facts)
{
    static const char open[] = "bascule_worker_connections_open";
    static const char turns[] = "bascule_worker_turns_total";

    metrics_family(out, open, "gauge", "Client connections open now on the thread.");
    for (size_t i = 0; i < facts->worker_count; i++)
        fprintf(out, "%s{worker=\"%u\"} %" PRIu64 "\n", open, facts->workers[i].id,
                atomic_load_explicit(&facts->workers[i].counters->connections_open,
                                     memory_order_relaxed));
    metrics_family(out, turns, "counter", "Turns of the thread's event loop.");
    for (size_t i = 0; i < facts->worker_count; i++)
        if (facts->workers[i].has_answered)
            fprintf(out, "%s{worker=\"%u\"} %" PRIu64 "\n", turns, facts->workers[i].id,
                    facts->workers[i].report.turns);
}

static void
write_names(FILE *out, const struct status_facts *facts)
{
    struct resolver_counts dns;

    status_sum_dns(facts, &dns);
    single(out, "bascule_dns_lookups_total", "counter", "Names asked of name servers.",
           dns.lookups);
    single(out, "bascule_dns_cache_hits_total", "counter", "Names answered from the cache.",
           dns.hits);
    single(out, "bascule_dns_failures_total", "counter", "Look-ups that failed.", dns.failures);
    single(out, "bascule_dns_timeouts_total", "counter", "Look-ups no name server answered.",
           dns.timeouts);
    single(out, "bascule_dns_stale_total", "counter", "Look-ups that an old answer served.",
           dns.stale);
    single(out, "bascule_dns_refused_total", "counter", "Look-ups over the limit.", dns.refused);
    single(out, "bascule_dns_cache_entries", "gauge", "Names in the caches.", dns.entries);
    single(out, "bascule_dns_lookups_under_way", "gauge", "Look-ups under way.", dns.under_way);
}

static void
write_certificates(FILE *out)
{
    struct certificates_facts facts = certificates_facts();

    single(out, "bascule_certificates", "gauge", "Certificates (sets of files) configured.",
           facts.sets);
    single(out, "bascule_certificates_loaded", "gauge", "Those in memory.", facts.loaded);
    single(out, "bascule_certificates_bad", "gauge",
           "Those whose files are no good now; the last good ones serve on.", facts.bad);
    single(out, "bascule_certificates_expired", "gauge", "Those that have expired.", facts.expired);
    single(out, "bascule_certificates_ocsp_responses", "gauge", "OCSP responses to be shown.",
           facts.staples);
    if (facts.nearest_s >= 0)
        single(out, "bascule_certificates_nearest_expiry_seconds", "gauge",
               "Time until the next certificate expires; 0: one has.", (uint64_t)facts.nearest_s);
}

static void
write_users(FILE *out)
{
    struct users_facts facts = users_facts();

    single(out, "bascule_login_failures_total", "counter", "Logins with a wrong proof.",
           facts.failures);
    single(out, "bascule_login_locks_total", "counter",
           "Times that a user and client were locked after too many failures.", facts.locks);
    single(out, "bascule_login_busy_total", "counter",
           "Logins refused because too many waited to be checked.", facts.busy);
    single(out, "bascule_login_hashes_total", "counter", "Passwords that were hashed.",
           facts.hashes);
    single(out, "bascule_login_hashes_waiting", "gauge", "Passwords that wait to be hashed.",
           facts.waiting);
}

static void
write_process(FILE *out, const struct status_facts *facts)
{
    struct log_counts logs = log_counts();

    single(out, "bascule_generation", "gauge", "Generation of the configuration that is served.",
           facts->generation);
    single(out, "bascule_up_seconds", "gauge", "Time since the worker process was started.",
           (facts->now_ms - facts->start_ms) / 1000);
    single(out, "bascule_workers", "gauge", "Worker threads.", facts->worker_count);
    single(out, "bascule_connections_max", "gauge", "Client connections that may be open.",
           facts->max_connections);
    single(out, "bascule_log_lines_total", "counter", "Lines of all logs.", logs.lines);
    single(out, "bascule_log_lines_dropped_total", "counter",
           "Lines of all logs that were lost because a log was full or slow.", logs.dropped);
}

void
metrics_text(FILE *out, const struct status_facts *facts)
{
    struct counters sum;

    metrics_family(out, "bascule_info", "gauge", "The version, as a label.");
    fprintf(out, "bascule_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
    status_sum(facts, &sum);
#define X(member, name, kind, help) single(out, name, #kind, help, sum.member);
    COUNTERS(X)
#undef X
    write_process(out, facts);
    write_workers(out, facts);
    write_names(out, facts);
    write_certificates(out);
    write_users(out);
    write_listeners(out, &facts->snapshot->conf.listeners);
    write_endpoints(out, &facts->snapshot->conf.groups, facts->now_ms);
    limit_page_metrics(out, &facts->snapshot->conf.limits);
    for (size_t i = 0; facts->topics[i] != NULL; i++)
        facts->topics[i]->metrics(out, facts);
}
