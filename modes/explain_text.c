/* SPDX-License-Identifier: BSD-2-Clause */
/* explain_text.c - for people in a hurry: the answer in the first line, then why.
 *
 *     DENIED with 403 by rule no-ads (bascule.conf:14)
 *
 *     request    GET http://ads.example/x
 *     ...
 *     policy acceptable-use of listener office (bascule.conf:12)
 *          1  false    local      bascule.conf:13  client 10.0.0.7 is not in 10.9.0.0/16
 *       => 2  TRUE     no-ads     bascule.conf:14  host "ads.example" is in list "ads"
 *                                                  deny
 *     route ...
 */
#include "config.h"

#include "modes/explain.h"

#include "cache/cache_conf.h"
#include "filters/filter.h"
#include "modes/mode.h"
#include "modes/reach.h"
#include "server/http/status.h"
#include "server/snapshot.h"
#include "server/upstream/balance.h"
#include "server/upstream/parent.h"

#include <inttypes.h>
#include <stdarg.h>
#include <time.h>

/* ---- lines "name       value" */

static void
name_line(FILE *out, const char *name)
{
    fprintf(out, "%-10s ", name);
}

static void PRINTF_LIKE(3, 4)
line(FILE *out, const char *name, const char *format, ...)
{
    va_list args;

    name_line(out, name);
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fputc('\n', out);
}

static void
put_place(FILE *out, const struct place *place)
{
    fprintf(out, " (%s:%u)", place->file, place->line);
}

/* ---- the answer */

static const char *
answer_word(const struct hypothesis *h)
{
    switch (h->outcome) {
    case OUTCOME_UNSAID:
        break;
    case OUTCOME_ALLOW:
        return "ALLOWED";
    case OUTCOME_DENY:
        return "DENIED";
    case OUTCOME_CHALLENGE:
        return "ASKED TO LOG IN";
    case OUTCOME_DROP:
        return "DROPPED without an answer";
    case OUTCOME_REDIRECT:
        return "REDIRECTED";
    case OUTCOME_WAIT:
        return "NOT DECIDED";
    }
    return "";
}

static void
put_decider(FILE *out, const struct hypothesis *h)
{
    const struct rule_conf *rule;
    const struct hypothesis_policy *policy = hypothesis_decider(h, &rule);
    char id[RULE_ID_BYTES];

    if (policy == NULL && h->outcome == OUTCOME_ALLOW)
        fprintf(out, ": no policy has a say");
    if (policy == NULL)
        return;
    if (rule != NULL)
        fprintf(out, " by rule %s", rule_id(rule, id));
    else
        fprintf(out, " by default: no rule of policy %s decides", policy->conf->name);
    if (rule == NULL)
        put_place(out, &policy->conf->place);
}

static void
put_reason(FILE *out, const struct hypothesis *h)
{
    static const char *const flags[STAGE_COUNT] = {
        [STAGE_DESTINATION] = "--destination IP", [STAGE_SNI] = "--sni NAME",
        [STAGE_RESPONSE] = "--status N",
    };
    enum stage wanted = h->decider != NULL ? h->decider->verdict.wanted : STAGE_HEAD;

    if (h->reason.bytes > 0)
        fprintf(out, ": %.*s", SLICE_ARG(h->reason));
    if (h->outcome == OUTCOME_WAIT && flags[wanted] != NULL)
        fprintf(out, ", which %s would say", flags[wanted]);
    if (h->outcome == OUTCOME_CHALLENGE)
        fprintf(out, "; --user NAME would say it");
}

static void
put_answer(FILE *out, const struct hypothesis *h)
{
    fputs(answer_word(h), out);
    if (h->status > 0)
        fprintf(out, " with %u %.*s", h->status, SLICE_ARG(status_reason(h->status)));
    put_decider(out, h);
    put_reason(out, h);
    fputc('\n', out);
    if (h->rule != NULL && h->rule->why != NULL)
        line(out, "why", "%s", h->rule->why);
    if (h->location.bytes > 0)
        line(out, "to", "%.*s", SLICE_ARG(h->location));
    fputc('\n', out);
}

/* ---- the question */

static void
put_client(FILE *out, const struct hypothesis *h)
{
    char text[IP_TEXT_BYTES], peer[IP_TEXT_BYTES];

    ip_text(&h->ex.client_ip, text);
    ip_text(&h->client.peer, peer);
    line(out, "client", "%s%s%s%s", text,
         ip_equal_host(&h->ex.client_ip, &h->client.peer) ? "" : ", by trusted proxy ",
         ip_equal_host(&h->ex.client_ip, &h->client.peer) ? "" : peer,
         h->question->has_client ? "" : "  (assumed: --from says another)");
}

static void
put_user(FILE *out, const struct question *q)
{
    if (q->user.bytes == 0)
        return;
    name_line(out, "user");
    fprintf(out, "%.*s", SLICE_ARG(q->user));
    for (unsigned i = 0; i < q->group_count; i++)
        fprintf(out, "%s%.*s", i == 0 ? ", of groups " : ", ", SLICE_ARG(q->groups[i]));
    fputc('\n', out);
}

static void
put_time(FILE *out, const struct hypothesis *h)
{
    time_t now = (time_t)h->now_s;
    char text[64];
    struct tm tm;

    if (localtime_r(&now, &tm) != NULL && strftime(text, sizeof(text), "%a %F %T %Z", &tm) > 0)
        line(out, "time", "%s", text);
}

static void
put_question(FILE *out, const struct hypothesis *h)
{
    const struct listener_conf *listener = h->ex.listener;
    const struct question *q = h->question;

    if (h->is_flow)
        line(out, "request", "none: a connection");
    else
        line(out, "request", "%.*s %.*s", SLICE_ARG(q->method), SLICE_ARG(q->url));
    for (unsigned i = 0; i < q->field_count; i++)
        line(out, "", "%.*s", SLICE_ARG(q->fields[i]));
    name_line(out, "listener");
    fprintf(out, "%s, %s", listener->name, listener->mode->name);
    put_place(out, &listener->place);
    fprintf(out, "%s\n", h->is_listener_found ? "  (chosen: --listener names another)" : "");
    put_client(out, h);
    put_user(out, q);
    put_time(out, h);
    if (q->has_server_name)
        line(out, "sni", "%.*s", SLICE_ARG(q->server_name));
}

/* ---- rules */

struct widths {
    int name, place;
};

static void
wider(int *width, int bytes)
{
    if (bytes > *width)
        *width = bytes;
}

static struct widths
measure(const struct hypothesis_policy *policy)
{
    struct widths widths = { 4, 4 };
    char id[RULE_ID_BYTES];

    for (unsigned i = 0; i < policy->count; i++) {
        const struct rule_conf *rule = policy->rules[i].rule;

        wider(&widths.name, (int)strlen(rule->name != NULL ? rule->name : "-"));
        wider(&widths.place, snprintf(id, sizeof(id), "%s:%u", rule->place.file,
                                      rule->place.line));
    }
    return widths;
}

static const char *
truth_word(enum truth truth)
{
    switch (truth) {
    case TRUTH_FALSE:
        return "false";
    case TRUTH_TRUE:
        return "TRUE";
    case TRUTH_UNKNOWN:
        return "unknown";
    }
    return "";
}

struct effect_lines {
    FILE *out;
    int indent;
};

static void
put_effect(void *arg, const char *text)
{
    struct effect_lines *lines = arg;

    fprintf(lines->out, "%*s-> %s\n", lines->indent, "", text);
}

static void
put_rule(FILE *out, const struct hypothesis_policy *policy, const struct hypothesis_rule *tried,
         const struct widths *widths)
{
    const struct rule_conf *rule = tried->rule;
    bool decides = policy->verdict.rule == rule;
    char place[RULE_ID_BYTES];
    struct effect_lines lines = { out, 23 + widths->name + widths->place };

    snprintf(place, sizeof(place), "%s:%u", rule->place.file, rule->place.line);
    fprintf(out, "  %s %3u  %-7s  %-*s  %-*s  %.*s\n", decides ? "=>" : "  ", rule->number + 1,
            truth_word(tried->truth), widths->name, rule->name != NULL ? rule->name : "-",
            widths->place, place, SLICE_ARG(tried->why));
    if (tried->truth == TRUTH_FALSE)
        return;
    if (rule->action != RULE_CONTINUE || rule->log_only)
        put_effect(&lines, explain_action(rule));
    if (!rule->log_only)
        explain_effects(rule, put_effect, &lines);
}

static void
put_policy(FILE *out, const struct hypothesis_policy *policy)
{
    struct widths widths = measure(policy);
    size_t left = policy->conf->rules.count - policy->count;

    fprintf(out, "\npolicy %s of %s %s", policy->conf->name, policy->whose, policy->owner);
    put_place(out, &policy->conf->place);
    fputc('\n', out);
    for (unsigned i = 0; i < policy->count; i++)
        put_rule(out, policy, &policy->rules[i], &widths);
    if (left > 0)
        fprintf(out, "          %zu more rule%s not reached\n", left,
                left == 1 ? " was" : "s were");
    if (policy->verdict.rule == NULL)
        fprintf(out, "  =>      default: %s\n",
                policy->conf->otherwise == POLICY_ALLOWS ? "allow" : "deny");
}

/* ---- where it goes */

static void
put_site(FILE *out, const struct hypothesis *h)
{
    const struct exchange *ex = &h->ex;

    if (ex->site == NULL)
        return;
    name_line(out, "site");
    fprintf(out, "%s", ex->site->name);
    put_place(out, &ex->site->place);
    if (ex->route != NULL && ex->route != &ex->site->all) {
        fprintf(out, ", route %s", ex->route->name != NULL ? ex->route->name : "without name");
        put_place(out, &ex->route->place);
    }
    fputc('\n', out);
}

static void
put_endpoint(FILE *out, const struct hypothesis_endpoint *endpoint, int width)
{
    const struct endpoint_numbers *numbers = &endpoint->numbers;

    fprintf(out, "%*s%s %-*s", 11, "", endpoint->is_next ? "->" : "  ", width, endpoint->conf->to);
    if (!endpoint->is_known)
        fprintf(out, "  weight %" PRId64 "\n", endpoint->conf->weight);
    else if (!numbers->is_up)
        fprintf(out, "  DOWN, tried again in %u s\n", (numbers->down_ms + 999) / 1000);
    else
        fprintf(out, "  up, %" PRIu64 " in flight%s\n", numbers->in_flight,
                endpoint->is_full ? ": FULL" : "");
}

static void
put_group(FILE *out, const struct hypothesis *h)
{
    const struct group_conf *group = h->ex.to.group;
    int width = 0;

    name_line(out, "goes to");
    fprintf(out, "group %s", group->name);
    put_place(out, &group->place);
    fprintf(out, ", %s%s\n", balancers[group->balance]->name,
            group->maintenance      ? ": in maintenance, nobody is asked"
            : h->endpoint_count > 1 ? ", which would choose now:"
                                    : ":");
    for (unsigned i = 0; i < h->endpoint_count; i++)
        wider(&width, (int)strlen(h->endpoints[i].conf->to));
    for (unsigned i = 0; i < h->endpoint_count; i++)
        put_endpoint(out, &h->endpoints[i], width);
}

static void
put_internet(FILE *out, const struct hypothesis *h)
{
    const struct destination *to = &h->ex.to;
    char text[IP_TEXT_BYTES];

    name_line(out, "goes to");
    fprintf(out, "%.*s port %u", SLICE_ARG(to->host), to->port);
    if (to->parent != NULL)
        fprintf(out, " by parent proxy %s:%d", to->parent->host, (int)to->parent->port);
    else if (h->destination.family != 0)
        fprintf(out, ", which is %s", (ip_text(&h->destination, text), text));
    fputc('\n', out);
}

static void
put_upstream(FILE *out, const struct hypothesis *h)
{
    const struct exchange *ex = &h->ex;

    if (ex->to.group != NULL)
        put_group(out, h);
    else if (ex->to.host.bytes > 0)
        put_internet(out, h);
    if (ex->out.target.bytes > 0)
        line(out, "sent as", "%.*s %.*s, Host: %.*s", SLICE_ARG(ex->request.method_name),
             SLICE_ARG(ex->out.target),
             SLICE_ARG(ex->out.authority.data != NULL ? ex->out.authority
                                                      : SLICE("as the endpoint's")));
}

/* A key has bytes that no terminal shows. */
static void
put_key(FILE *out, const struct hypothesis *h)
{
    if (h->cache == NULL) {
        line(out, "cache", "none");
        return;
    }
    name_line(out, "cache");
    fprintf(out, "store %s, key ", h->cache->store->name);
    for (size_t i = 0; i < h->key.bytes; i++)
        fputc((unsigned char)h->key.data[i] < ' ' ? '|' : h->key.data[i], out);
    fputc('\n', out);
}

static void
put_filters(FILE *out, const struct config_list *list, const char **before)
{
    for (size_t i = 0; i < list->count; i++) {
        fprintf(out, "%s%s", *before, ((const struct filter_conf *)list->items[i])->ops->name);
        *before = ", ";
    }
}

static void
put_all_filters(FILE *out, const struct hypothesis *h)
{
    const struct exchange *ex = &h->ex;
    const char *before = "filters    ";

    put_filters(out, &ex->listener->filters, &before);
    if (ex->site != NULL)
        put_filters(out, &ex->site->all.filters, &before);
    if (ex->route != NULL && ex->route != &ex->site->all)
        put_filters(out, &ex->route->filters, &before);
    if (before[0] == ',')
        fprintf(out, "  (what they do is not tried here)\n");
}

static bool
goes_on(const struct hypothesis *h)
{
    return (h->outcome == OUTCOME_ALLOW && h->status == 0) || h->outcome == OUTCOME_WAIT;
}

void
explain_text(FILE *out, const struct hypothesis *h)
{
    put_answer(out, h);
    put_question(out, h);
    for (unsigned i = 0; i < h->policy_count; i++)
        put_policy(out, &h->policies[i]);
    fputc('\n', out);
    put_site(out, h);
    if (goes_on(h)) {
        put_upstream(out, h);
        if (!h->is_flow && h->ex.request.method != METHOD_CONNECT)
            put_key(out, h);
        if (!h->is_flow)
            put_all_filters(out, h);
    }
    for (unsigned i = 0; i < h->note_count; i++)
        line(out, "note", "%.*s", SLICE_ARG(h->notes[i]));
}
