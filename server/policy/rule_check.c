/* SPDX-License-Identifier: BSD-2-Clause */
/* rule_check.c - which options of a rule need, and which exclude each other. */
#include "config.h"

#include "server/policy/rule_check.h"

#include "server/schema.h"

bool
rule_is_decisive(const struct rule_conf *rule)
{
    return !rule->log_only && (rule->action == RULE_ALLOW || rule->action == RULE_DENY ||
                               rule->action == RULE_DROP || rule->action == RULE_REDIRECT);
}

bool
rule_refuses(const struct rule_conf *rule)
{
    return rule->action == RULE_DENY || rule->action == RULE_DROP ||
           rule->action == RULE_REDIRECT || rule->action == RULE_AUTHENTICATE;
}

/* Whether it is what comes of a request for whoever it matches. */
static bool
is_final(const struct rule_conf *rule)
{
    return rule->action == RULE_DENY || rule->action == RULE_DROP ||
           rule->action == RULE_REDIRECT;
}

/* What has a meaning only for a request that goes upstream; NULL: nothing of it is said. */
static const char *
upstream_effect(const struct rule_conf *rule)
{
    if (rule->set_request.count > 0)
        return "set_request";
    if (rule->group_name != NULL)
        return "group";
    if (rule->parent_url != NULL)
        return "upstream_proxy";
    if (rule->source.bytes > 0)
        return "source";
    if (rule->direct)
        return "direct";
    if (rule->scan != RULE_SCAN_AS_IS)
        return "scan";
    return rule->cache != RULE_CACHE_AS_IS ? "cache" : NULL;
}

static bool
has_effect(const struct rule_conf *rule)
{
    return upstream_effect(rule) != NULL || rule->tags.count > 0 ||
           rule->set_response.count > 0 || rule->limit_names.count > 0 || rule->bandwidth > 0;
}

static bool
is_redirect_status(int64_t status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int
check_status(const struct rule_conf *rule, struct err *err)
{
    if (rule->status == 0)
        return 0;
    if (rule->action == RULE_DENY && (rule->status < 400 || rule->status > 599))
        return err_set(err, "status %d with action \"deny\": expected 400..599",
                       (int)rule->status);
    if (rule->action == RULE_REDIRECT && !is_redirect_status(rule->status))
        return err_set(err, "status %d with action \"redirect\": expected 301, 302, 303, 307 or "
                            "308", (int)rule->status);
    if (rule->action != RULE_DENY && rule->action != RULE_REDIRECT)
        return err_set(err, "status means something with action \"deny\" or \"redirect\" only");
    return 0;
}

static int
check_page(const struct rule_conf *rule, struct err *err)
{
    bool has_page = rule->action == RULE_DENY || rule->action == RULE_AUTHENTICATE ||
                    rule->limit_names.count > 0;

    if (rule->why != NULL && !has_page)
        return err_set(err, "why is for pages: of action \"deny\", \"authenticate\", or limit");
    if (rule->redirect != NULL && rule->action != RULE_REDIRECT)
        return err_set(err, "redirect means something with action \"redirect\" only");
    if (rule->action == RULE_REDIRECT && (rule->redirect == NULL || rule->redirect[0] == '\0'))
        return err_set(err, "action \"redirect\" needs redirect = \"URL\"");
    return 0;
}

static int
check_effects(const struct rule_conf *rule, struct err *err)
{
    const char *effect = upstream_effect(rule);

    if (rule->action == RULE_CONTINUE && !has_effect(rule))
        return err_set(err, "does nothing: it needs an action, or something to be done");
    if (is_final(rule) && effect != NULL)
        return err_set(err, "%s means nothing for a request that goes nowhere", effect);
    if (is_final(rule) && rule->bandwidth > 0)
        return err_set(err, "bandwidth means nothing for a request that goes nowhere");
    if (rule->action == RULE_DROP && rule->set_response.count > 0)
        return err_set(err, "set_response means nothing with action \"drop\": there is no "
                            "response");
    if (rule->group_name != NULL && rule->parent_url != NULL)
        return err_set(err, "group and upstream_proxy exclude each other");
    if ((rule->cache == RULE_CACHE_FORCE) != (rule->cache_ms > 0))
        return err_set(err, rule->cache_ms > 0
                                ? "cache_time means something with cache = \"force\" only"
                                : "cache = \"force\" needs cache_time, as in \"10m\"");
    return 0;
}

/* What comes too late when the response is there. */
static int
check_stages(const struct rule_conf *rule, const struct group *when, struct err *err)
{
    const char *effect = upstream_effect(rule);

    if ((when->stages & STAGE_BIT(STAGE_RESPONSE)) == 0)
        return 0;
    if (rule->action == RULE_AUTHENTICATE)
        return err_set(err, "asks about the response: it is too late to ask who the user is");
    if (effect != NULL)
        return err_set(err, "asks about the response: it is too late for %s then", effect);
    return 0;
}

static int
link_limits(struct compiler *compiler, struct rule_conf *rule)
{
    size_t count = rule->limit_names.count;
    const struct limit_conf **limits = arena_zalloc(compiler->arena,
                                                    (count + 1) * sizeof(*limits));

    if (limits == NULL)
        return err_set(compiler->err, "out of memory: the configuration is too large");
    for (size_t i = 0; i < count; i++) {
        limits[i] = compiler_find(compiler, compiler->limits, &compiler->conf->limits, "limit",
                                  rule->limit_names.items[i]);
        if (limits[i] == NULL)
            return -1;
    }
    rule->limits = limits;
    return 0;
}

int
rule_check(struct compiler *compiler, struct rule_conf *rule, const struct group *when)
{
    struct err *err = compiler->err;

    if (check_status(rule, err) < 0 || check_page(rule, err) < 0 ||
        check_effects(rule, err) < 0 || check_stages(rule, when, err) < 0)
        return -1;
    if (rule->action == RULE_AUTHENTICATE && compiler->policy->users == NULL)
        return err_set(err, "action \"authenticate\" needs users = \"NAME\" in the policy");
    if (rule->group_name != NULL && conf_group(compiler->conf, rule->group_name, err) == NULL)
        return -1;
    return link_limits(compiler, rule);
}
