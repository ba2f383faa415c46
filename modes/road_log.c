/* SPDX-License-Identifier: BSD-2-Clause */
/* road_log.c - an exchange as an access record. */
#include "config.h"

#include "modes/road_log.h"

#include "modes/cached.h"
#include "modes/judge.h"
#include "modes/mode.h"
#include "server/base/clock.h"
#include "server/log/access_log.h"
#include "server/tls/tls_session.h"
#include "server/users/user.h"

#include <stdio.h>

#define RULE_BYTES 256

struct log_names {
    struct slice site, route, group, endpoint, version, rule, filters;
    const char *hierarchy; /* squid's word for how the next hop was found; NULL: the usual */
    struct slice tls_version, tls_cipher, tls_name;
    struct slice client_subject, client_serial, client_fingerprint;
};

static struct slice
name_of(const char *name)
{
    return slice_of(name);
}

/* Of the client's TLS session. */
static void
find_tls(struct exchange *ex, struct log_names *names)
{
    const struct tls_session *session = ex->down->client->tls;
    const struct tls_facts *facts = tls_session_facts(session);
    struct client_certificate certificate;

    names->tls_version = slice_of(facts->version);
    names->tls_cipher = slice_of(facts->cipher);
    names->tls_name = facts->server_name;
    if (!facts->has_client_certificate || !tls_session_client(session, &ex->arena, &certificate))
        return;
    names->client_subject = certificate.subject;
    names->client_serial = certificate.serial;
    names->client_fingerprint = certificate.fingerprint;
}

static struct slice
version_of(const struct exchange *ex)
{
    if (ex->request.minor_version == 0)
        return SLICE("HTTP/1.0");
    return ex->down != NULL ? slice_of(ex->down->ops->protocol) : SLICE("HTTP/1.1");
}

/* What filters did, in their own words. */
static struct slice
filters_text(struct exchange *ex)
{
    struct slice text = { NULL, 0 };

    for (const struct decision *decision = ex->decisions; decision != NULL;
         decision = decision->next) {
        struct slice parts[] = { text, SLICE(", "), decision->what };

        if (decision->by_filter)
            text = text.bytes == 0 ? decision->what : arena_join(&ex->arena, parts, 3);
    }
    return text;
}

static void
find_names(struct exchange *ex, struct log_names *names)
{
    *names = (struct log_names){
        .site = name_of(ex->site != NULL ? ex->site->name : NULL),
        .route = name_of(ex->route != NULL ? ex->route->name : NULL),
        .group = name_of(ex->to.group != NULL ? ex->to.group->name : NULL),
        .endpoint = name_of(ex->endpoint != NULL ? ex->endpoint->to : NULL),
        .version = version_of(ex),
        .filters = filters_text(ex),
        .hierarchy = ex->to.parent != NULL && ex->upstream_ip.family != 0 ? "FIRSTUP_PARENT" : NULL,
    };
    if (ex->down != NULL && ex->down->client->tls != NULL)
        find_tls(ex, names);
}

/* Id of the rule that decided: its name, or "file:line"; empty: none did. */
static struct slice
deciding_rule(const struct exchange *ex, char *text)
{
    const struct decision *verdict = exchange_verdict(ex);

    if (verdict == NULL)
        return slice_make(NULL, 0);
    if (verdict->rule != NULL)
        return slice_of(verdict->rule);
    snprintf(text, RULE_BYTES, "%s:%u", verdict->place->file, verdict->place->line);
    return slice_of(text);
}

void
road_log_keep_names(struct exchange *ex)
{
    struct log_names *names = arena_zalloc(&ex->arena, sizeof(*names));
    char rule[RULE_BYTES];

    if (names == NULL)
        return;
    find_names(ex, names);
    names->rule = arena_copy(&ex->arena, deciding_rule(ex, rule));
    names->site = arena_copy(&ex->arena, names->site);
    names->route = arena_copy(&ex->arena, names->route);
    names->group = arena_copy(&ex->arena, names->group);
    names->endpoint = arena_copy(&ex->arena, names->endpoint);
    names->tls_name = arena_copy(&ex->arena, names->tls_name);
    ex->log_names = names;
}

static const char *
cached_word(const struct cached *cached)
{
    switch (cached->outcome.forward) {
    case CACHE_FORWARD_NONE:
        return cached->is_stale ? "TCP_STALE_HIT" : "TCP_HIT";
    case CACHE_FORWARD_STALE:
    case CACHE_FORWARD_REQUEST:
        if (cached->is_stale)
            return "TCP_REFRESH_FAIL_OLD";
        return cached->outcome.forward_status == 304 ? "TCP_REFRESH_UNMODIFIED"
                                                     : "TCP_REFRESH_MODIFIED";
    case CACHE_FORWARD_BYPASS:
    case CACHE_FORWARD_METHOD:
    case CACHE_FORWARD_URI_MISS:
    case CACHE_FORWARD_VARY_MISS:
    case CACHE_FORWARD_MISS:
    case CACHE_FORWARD_PARTIAL:
        break;
    }
    return "TCP_MISS";
}

/* The words of squid's native format. */
static const char *
squid_word(const struct exchange *ex)
{
    if (ex->is_tunnel)
        return "TCP_TUNNEL";
    if (ex->cached != NULL && ex->end == END_DONE)
        return cached_word(ex->cached);
    switch (ex->end) {
    case END_DENIED:
        return "TCP_DENIED";
    case END_BAD_REQUEST:
    case END_CLIENT_ABORT:
    case END_CLIENT_TIMEOUT:
        return ex->upstream_status != 0 ? "TCP_MISS_ABORTED" : "NONE";
    case END_ANSWERED:
        return "NONE";
    case END_DONE:
    case END_DNS_FAILED:
    case END_CONNECT_FAILED:
    case END_CONNECT_TIMEOUT:
    case END_UPSTREAM_FAILED:
    case END_UPSTREAM_BAD:
    case END_UPSTREAM_TIMEOUT:
    case END_NO_ENDPOINT:
    case END_LIMIT:
    case END_FILTER_FAILED:
    case END_STOPPED:
    case END_REASON_COUNT:
        break;
    }
    return "TCP_MISS";
}

static int64_t
micros(uint64_t ns)
{
    return ns == 0 ? -1 : (int64_t)(ns / 1000);
}

static void
fill(const struct exchange *ex, struct access_record *record)
{
    const struct phases *phases = &ex->phases;
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t duration_ms = (now_ns - phases->start_ns) / 1000000;
    struct traffic traffic = { 0 };

    record->wall_ms = clock_wall_coarse_ms() - duration_ms;
    record->id = ex->id;
    record->duration_us = (int64_t)((now_ns - phases->start_ns) / 1000);
    record->dns_us = micros(phases->dns_ns);
    record->connect_us = micros(phases->connect_ns);
    record->first_byte_us =
        phases->first_byte_ns == 0 ? -1 : micros(phases->first_byte_ns - phases->start_ns);
    if (ex->down != NULL)
        ex->down->ops->count(ex, &traffic);
    record->body_in_bytes = traffic.content_in + ex->tunnel_bytes_up;
    record->body_out_bytes = traffic.content_out + ex->tunnel_bytes_down;
    record->total_in_bytes = traffic.total_in + ex->tunnel_bytes_up;
    record->total_out_bytes = traffic.total_out + ex->tunnel_bytes_down;
    record->is_reused = traffic.is_reused;
    record->client = ex->client_ip;
    record->upstream_ip = ex->upstream_ip;
    record->status = ex->is_started ? ex->response.status : 0;
    record->upstream_status = ex->upstream_status;
    record->is_upstream_reused = ex->up != NULL && ex->up->was_reused;
}

static void
fill_text(const struct exchange *ex, struct access_record *record, const struct log_names *names)
{
    const struct request *request = &ex->request;

    record->listener = slice_of(ex->listener->name);
    record->mode = slice_of(ex->listener->mode->name);
    record->method = request->method_name;
    record->target = request->target;
    record->scheme = request->scheme;
    record->host = request->authority;
    record->version = names->version;
    record->referer = ex->referer;
    record->user_agent = ex->user_agent;
    record->site = names->site;
    record->route = names->route;
    record->group = names->group;
    record->endpoint = names->endpoint;
    record->rule = names->rule;
    record->tags = judge_tags(ex);
    record->filters = names->filters;
    record->user = ex->user != NULL ? ex->user->name : slice_make(NULL, 0);
    record->hierarchy = names->hierarchy;
    record->tls_version = names->tls_version;
    record->tls_cipher = names->tls_cipher;
    record->tls_name = names->tls_name;
    record->client_subject = names->client_subject;
    record->client_serial = names->client_serial;
    record->client_fingerprint = names->client_fingerprint;
    record->end = end_reason_word(ex->end);
    record->cache = squid_word(ex);
    record->request = &request->fields;
    record->response = &ex->response.fields;
}

void
road_log(struct exchange *ex)
{
    const struct access_log_conf *conf = ex->listener->access_log;
    struct access_record record = { 0 };
    struct log_names names;
    char rule[RULE_BYTES], address[IP_TEXT_BYTES];

    if (conf == NULL || conf->log == NULL)
        return;
    if (ex->log_names != NULL) {
        names = *ex->log_names;
    } else {
        find_names(ex, &names);
        names.rule = deciding_rule(ex, rule);
    }
    if (names.endpoint.bytes == 0 && ex->upstream_ip.family != 0)
        names.endpoint = slice_make(address, ip_port_text(&ex->upstream_ip, address));
    fill(ex, &record);
    fill_text(ex, &record, &names);
    access_log_write(conf->log, &record);
}
