/* SPDX-License-Identifier: BSD-2-Clause */
/* explain_words.c - what rules are called and what they do. */
#include "config.h"

#include "modes/explain.h"

#include "server/policy/limit.h"

#include <stdarg.h>

const char *
explain_rule_name(const struct rule_conf *rule, char text[RULE_ID_BYTES])
{
    if (rule->name != NULL)
        return rule->name;
    snprintf(text, RULE_ID_BYTES, "%s:%u", rule->place.file, rule->place.line);
    return text;
}

const char *
explain_action(const struct rule_conf *rule)
{
    static const char *const words[][2] = {
        [RULE_CONTINUE] = { "go on", "go on, log only" },
        [RULE_ALLOW] = { "allow", "allow, log only" },
        [RULE_DENY] = { "deny", "deny, log only" },
        [RULE_DROP] = { "drop", "drop, log only" },
        [RULE_REDIRECT] = { "redirect", "redirect, log only" },
        [RULE_AUTHENTICATE] = { "authenticate", "authenticate, log only" },
    };

    return words[rule->action][rule->log_only];
}

struct effects {
    void (*say)(void *arg, const char *text);
    void *arg;
};

static void PRINTF_LIKE(2, 3)
say(const struct effects *effects, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    effects->say(effects->arg, text);
}

static void
say_each(const struct effects *effects, const char *what, const struct strings *values)
{
    for (size_t i = 0; i < values->count; i++)
        say(effects, "%s %.*s", what, SLICE_ARG(values->items[i]));
}

static void
say_cache(const struct effects *effects, const struct rule_conf *rule)
{
    switch ((enum rule_cache)rule->cache) {
    case RULE_CACHE_AS_IS:
        return;
    case RULE_CACHE_BYPASS:
        say(effects, "past the cache");
        return;
    case RULE_CACHE_FORCE:
        say(effects, "cached for %u s", rule->cache_ms / 1000);
        return;
    }
}

static void
say_scan(const struct effects *effects, const struct rule_conf *rule)
{
    switch ((enum rule_scan)rule->scan) {
    case RULE_SCAN_AS_IS:
        return;
    case RULE_SCAN_ALWAYS:
        say(effects, "scanned for malware");
        return;
    case RULE_SCAN_NEVER:
        say(effects, "not scanned for malware");
        return;
    }
}

/* A parent proxy's credentials are nobody's business. */
static void
say_parent(const struct effects *effects, const char *url)
{
    const char *at = strrchr(url, '@');
    const char *scheme = strstr(url, "://");

    if (at != NULL && scheme != NULL)
        say(effects, "by parent proxy %.*s%s", (int)(scheme + 3 - url), url, at + 1);
    else
        say(effects, "by parent proxy %s", url);
}

static void
say_way(const struct effects *effects, const struct rule_conf *rule)
{
    char address[ADDRESS_TEXT_BYTES];

    if (rule->group_name != NULL)
        say(effects, "to group %s", rule->group_name);
    if (rule->parent_url != NULL && strcmp(rule->parent_url, "direct") == 0)
        say(effects, "by no parent proxy");
    else if (rule->parent_url != NULL)
        say_parent(effects, rule->parent_url);
    if (rule->source.bytes > 0)
        say(effects, "connected from %s", address_text(&rule->source, address));
}

void
explain_effects(const struct rule_conf *rule, void (*each)(void *arg, const char *text),
                void *arg)
{
    struct effects effects = { each, arg };

    say_each(&effects, "tag", &rule->tags);
    say_each(&effects, "the origin is told", &rule->set_request);
    say_each(&effects, "the client is told", &rule->set_response);
    say_way(&effects, rule);
    say_each(&effects, "limit", &rule->limit_names);
    if (rule->bandwidth > 0)
        say(&effects, "at %llu bytes a second", (unsigned long long)rule->bandwidth);
    say_cache(&effects, rule);
    say_scan(&effects, rule);
}
