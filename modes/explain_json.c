/* SPDX-License-Identifier: BSD-2-Clause */
/* explain_json.c - the same for programs: one object, on one line. */
#include "config.h"

#include "modes/explain.h"

#include "cache/cache_conf.h"
#include "modes/mode.h"
#include "modes/trail.h"
#include "server/log/escape.h"
#include "server/snapshot.h"
#include "server/upstream/parent.h"

#include <inttypes.h>

/* ---- members */

static void
put_value(FILE *out, struct slice text)
{
    char buffer[ESCAPE_VALUE_MAX * 6 + 16];
    bool is_cut;
    char *end = escape_put(ESCAPE_JSON, buffer, buffer + sizeof(buffer), text, &is_cut);

    fprintf(out, "\"%.*s\"", (int)(end - buffer), buffer);
}

/* Left out when there is none. */
static void
put_text(FILE *out, const char *name, struct slice text)
{
    if (text.bytes == 0)
        return;
    fprintf(out, ",\"%s\":", name);
    put_value(out, text);
}

static void
put_place(FILE *out, struct slice file, unsigned line)
{
    if (line == 0)
        return;
    put_text(out, "file", file);
    fprintf(out, ",\"line\":%u", line);
}

static void
put_named(FILE *out, const char *what, const char *name, const struct place *place)
{
    fprintf(out, ",\"%s\":{\"name\":", what);
    put_value(out, name != NULL ? slice_of(name) : SLICE(""));
    put_place(out, slice_of(place->file), place->line);
    fputc('}', out);
}

static void
put_list(FILE *out, const char *name, const struct slice *items, unsigned count)
{
    if (count == 0)
        return;
    fprintf(out, ",\"%s\":[", name);
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            fputc(',', out);
        put_value(out, items[i]);
    }
    fputc(']', out);
}

/* ---- rules */

struct effects {
    FILE *out;
    bool has_any;
};

static void
put_effect(void *arg, const char *text)
{
    struct effects *effects = arg;

    fputs(effects->has_any ? "," : ",\"effects\":[", effects->out);
    put_value(effects->out, slice_of(text));
    effects->has_any = true;
}

static void
put_rule(FILE *out, const struct hypothesis_rule *tried)
{
    static const char *const words[] = {
        [TRUTH_FALSE] = "false", [TRUTH_TRUE] = "true", [TRUTH_UNKNOWN] = "null",
    };
    const struct rule_conf *rule = tried->rule;
    struct effects effects = { out, false };

    fprintf(out, "{\"number\":%u,\"is\":%s", rule->number + 1, words[tried->truth]);
    put_text(out, "name", slice_of(rule->name));
    put_place(out, slice_of(rule->place.file), rule->place.line);
    put_text(out, "why", tried->why);
    put_text(out, "action", slice_of(explain_action(rule)));
    explain_effects(rule, put_effect, &effects);
    fputs(effects.has_any ? "]}" : "}", out);
}

static void
put_policy(FILE *out, const struct hypothesis_policy *policy)
{
    fprintf(out, "{\"of\":\"%s\"", policy->whose);
    put_text(out, "owner", slice_of(policy->owner));
    put_text(out, "name", slice_of(policy->conf->name));
    put_place(out, slice_of(policy->conf->place.file), policy->conf->place.line);
    fprintf(out, ",\"default\":\"%s\",\"rules\":[",
            policy->conf->otherwise == POLICY_ALLOWS ? "allow" : "deny");
    for (unsigned i = 0; i < policy->count; i++) {
        if (i > 0)
            fputc(',', out);
        put_rule(out, &policy->rules[i]);
    }
    fprintf(out, "],\"not_reached\":%zu}", policy->conf->rules.count - policy->count);
}

/* ---- the answer */

static void
put_answer(FILE *out, const struct hypothesis *h)
{
    static const char *const stages[STAGE_COUNT] = {
        [STAGE_CONNECTION] = "connection",   [STAGE_HEAD] = "head", [STAGE_USER] = "user",
        [STAGE_DESTINATION] = "destination", [STAGE_SNI] = "sni",   [STAGE_RESPONSE] = "response",
    };
    const struct rule_conf *rule;
    const struct hypothesis_policy *decider = hypothesis_decider(h, &rule);
    char name[RULE_ID_BYTES];

    fprintf(out, "{\"verdict\":\"%s\"", outcome_words[h->outcome]);
    if (h->status > 0)
        fprintf(out, ",\"status\":%u", h->status);
    if (decider != NULL) {
        put_text(out, "policy", slice_of(decider->conf->name));
        put_text(out, "rule", rule != NULL ? slice_of(explain_rule_name(rule, name))
                                           : SLICE("default"));
    }
    if (decider != NULL && rule != NULL) {
        put_place(out, slice_of(rule->place.file), rule->place.line);
        put_text(out, "why", slice_of(rule->why));
    }
    put_text(out, "reason", h->reason);
    if (h->outcome == OUTCOME_WAIT)
        fprintf(out, ",\"waits_for\":\"%s\"", stages[h->decider->verdict.wanted]);
    put_text(out, "location", h->location);
}

static void
put_question(FILE *out, const struct hypothesis *h)
{
    const struct question *q = h->question;
    char client[IP_TEXT_BYTES];

    put_text(out, "method", q->method);
    put_text(out, "url", q->url);
    put_named(out, "listener", h->ex.listener->name, &h->ex.listener->place);
    ip_text(&h->ex.client_ip, client);
    put_text(out, "client", slice_of(client));
    put_text(out, "user", q->user);
    put_list(out, "groups", q->groups, q->group_count);
    fprintf(out, ",\"time\":%" PRId64, h->now_s);
}

/* ---- where it goes */

static void
put_endpoints(FILE *out, const struct hypothesis *h)
{
    fprintf(out, ",\"endpoints\":[");
    for (unsigned i = 0; i < h->endpoint_count; i++) {
        const struct hypothesis_endpoint *endpoint = &h->endpoints[i];

        fprintf(out, "%s{\"to\":", i > 0 ? "," : "");
        put_value(out, slice_of(endpoint->conf->to));
        if (endpoint->is_known)
            fprintf(out, ",\"up\":%s,\"full\":%s,\"in_flight\":%" PRIu64 ",\"next\":%s",
                    endpoint->numbers.is_up ? "true" : "false",
                    endpoint->is_full ? "true" : "false", endpoint->numbers.in_flight,
                    endpoint->is_next ? "true" : "false");
        fputc('}', out);
    }
    fputc(']', out);
}

static void
put_way(FILE *out, const struct hypothesis *h)
{
    const struct exchange *ex = &h->ex;

    if (ex->site != NULL)
        put_named(out, "site", ex->site->name, &ex->site->place);
    if (ex->route != NULL && ex->route != &ex->site->all)
        put_named(out, "route", ex->route->name, &ex->route->place);
    if (ex->to.group != NULL) {
        put_named(out, "group", ex->to.group->name, &ex->to.group->place);
        put_endpoints(out, h);
    } else if (ex->to.host.bytes > 0) {
        put_text(out, "host", ex->to.host);
        fprintf(out, ",\"port\":%u", ex->to.port);
    }
    if (ex->to.parent != NULL) {
        put_text(out, "parent", slice_of(ex->to.parent->host));
        fprintf(out, ",\"parent_port\":%d", (int)ex->to.parent->port);
    }
    put_text(out, "target", ex->out.target);
    put_text(out, "authority", ex->out.authority);
    if (h->cache == NULL)
        return;
    put_text(out, "store", slice_of(h->cache->store->name));
    put_text(out, "key", h->key);
}

void
explain_json(FILE *out, const struct hypothesis *h)
{
    put_answer(out, h);
    put_question(out, h);
    fprintf(out, ",\"policies\":[");
    for (unsigned i = 0; i < h->policy_count; i++) {
        if (i > 0)
            fputc(',', out);
        put_policy(out, &h->policies[i]);
    }
    fputc(']', out);
    put_way(out, h);
    put_list(out, "notes", h->notes, h->note_count);
    fprintf(out, "}\n");
}

/* ---- one that was */

static void
put_decision(FILE *out, const struct trail_decision *decision)
{
    fputs("{\"kind\":", out);
    put_value(out, slice_of(trail_kind_word(decision->kind)));
    put_text(out, "rule", decision->rule);
    put_text(out, "what", decision->what);
    put_place(out, decision->file, decision->line);
    fputc('}', out);
}

void
explain_entry_json(FILE *out, const struct trail_entry *entry)
{
    char text[IP_TEXT_BYTES] = "";

    fprintf(out, "{\"id\":\"%016" PRIx64 "\",\"ended_ms\":%" PRIu64 ",\"duration_ms\":%" PRIu64
            ",\"status\":%u,\"upstream_status\":%u,\"end\":\"%s\",\"tunnel\":%s,\"cut\":%s",
            entry->id, entry->wall_ms, entry->duration_ms, entry->status, entry->upstream_status,
            end_reason_word(entry->end), entry->is_tunnel ? "true" : "false",
            entry->is_cut ? "true" : "false");
    put_text(out, "listener", entry->listener);
    put_text(out, "client", entry->client);
    put_text(out, "user", entry->user);
    put_text(out, "method", entry->method);
    put_text(out, "url", entry->url);
    put_text(out, "site", entry->site);
    put_text(out, "route", entry->route);
    put_text(out, "group", entry->group);
    put_text(out, "endpoint", entry->endpoint);
    put_text(out, "cache", entry->cache);
    put_text(out, "tags", entry->tags);
    if (entry->upstream.family != 0)
        ip_port_text(&entry->upstream, text);
    put_text(out, "upstream", slice_of(text));
    fprintf(out, ",\"decisions\":[");
    for (unsigned i = 0; i < entry->decision_count; i++) {
        if (i > 0)
            fputc(',', out);
        put_decision(out, &entry->decisions[i]);
    }
    fprintf(out, "]}\n");
}
