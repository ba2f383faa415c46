/* SPDX-License-Identifier: BSD-2-Clause */
/* policy_unused.c - gathers the names that rules, sets and policies say, and looks
 * which of the configured ones are not among them.
 */
#include "config.h"

#include "server/policy/policy_unused.h"

#include <stdio.h>

#include "server/policy/ban_table.h"
#include "server/policy/condition.h"
#include "server/policy/limit.h"
#include "server/policy/list.h"
#include "server/schema.h"

#define GATHER_BYTES ((size_t)1 << 30)

struct used {
    struct name_set *lists, *sets, *limits, *users;
};

/* ---- gathering */

/* All names are there, as linking made sure: the set has room. */
static void
use(struct name_set *used, const char *name)
{
    *name_set_find(used, name) = (struct name){ name, NULL };
}

static void
use_all(struct name_set *used, const struct strings *names)
{
    for (size_t i = 0; i < names->count; i++)
        use(used, names->items[i].data);
}

static struct name_set *
set_of(const struct used *used, enum test_kind kind)
{
    switch (kind) {
    case TEST_CLIENT_IN:
    case TEST_DESTINATION_IN:
    case TEST_HOST_IN:
    case TEST_SNI_IN:
    case TEST_URL_IN:
        return used->lists;
    case TEST_OVER:
        return used->limits;
    default: /* values are no names */
        return NULL;
    }
}

/* Compiling has bounded how deep groups are nested. */
static void
gather(struct used *used, const struct condition_conf *conf)
{
    const struct config_list *const inner[] = { &conf->all, &conf->any, &conf->none };

    for (const struct condition_field *field = condition_fields; field->name != NULL; field++)
        if (set_of(used, field->kind) != NULL)
            use_all(set_of(used, field->kind), condition_value(field, conf));
    use_all(used->sets, &conf->sets);
    for (size_t i = 0; i < ARRAY_COUNT(inner); i++)
        for (size_t j = 0; j < inner[i]->count; j++)
            gather(used, inner[i]->items[j]);
}

static void
gather_policy(struct used *used, const struct policy_conf *policy)
{
    if (policy->users_name != NULL)
        use(used->users, policy->users_name);
    for (size_t i = 0; i < policy->rules.count; i++) {
        const struct rule_conf *rule = policy->rules.items[i];

        use_all(used->limits, &rule->limit_names);
        gather(used, &rule->when);
    }
}

/* What filters name. */
static void
gather_filters(struct used *used, const struct config_list *limits)
{
    for (size_t i = 0; i < limits->count; i++) {
        const struct limit_conf *limit = limits->items[i];

        if (limit->is_used)
            use(used->limits, limit->name);
    }
}

/* ---- telling */

static const char *
list_condition(const struct list_conf *list)
{
    switch ((enum list_kind)list->kind) {
    case LIST_DOMAINS:
        return "host_in";
    case LIST_NETWORKS:
        return "client_in";
    case LIST_URLS:
        return "url_in";
    }
    return "";
}

struct telling {
    void (*say)(void *arg, const char *sentence);
    void *arg;
};

/* help: where "= NAME" would use it, as in `when = { host_in`. */
static void
tell(const struct telling *telling, const struct named *named, const char *what, const char *help,
     const char *end)
{
    char text[1024];

    snprintf(text, sizeof(text), "%.400s:%u: warning: %s \"%.64s\": nothing uses it; %s = "
                                 "\"%.64s\"%s would",
             named->place.file, named->place.line, what, named->name, help, named->name, end);
    telling->say(telling->arg, text);
}

static void
tell_unused(const struct telling *telling, const struct config_list *list,
            const struct name_set *used, const char *what, const char *help, const char *end)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct named *named = list->items[i];

        if (name_set_find(used, named->name)->text == NULL)
            tell(telling, named, what, help, end);
    }
}

static void
tell_bans(const struct telling *telling, const struct config_list *bans)
{
    for (size_t i = 0; i < bans->count; i++)
        if (!((const struct ban_conf *)bans->items[i])->is_used)
            tell(telling, bans->items[i], "ban", "table", " in a filter bans");
}

static void
tell_logs(const struct telling *telling, const struct config_list *logs)
{
    for (size_t i = 0; i < logs->count; i++)
        if (!((const struct access_log_conf *)logs->items[i])->is_used)
            tell(telling, logs->items[i], "access log", "access_log", " in a listener");
}

static void
tell_groups(const struct telling *telling, const struct config_list *groups)
{
    for (size_t i = 0; i < groups->count; i++)
        if (!((const struct group_conf *)groups->items[i])->is_used)
            tell(telling, groups->items[i], "group", "group", " in a site, listener or rule");
}

static void
tell_stores(const struct telling *telling, const struct config_list *stores)
{
    for (size_t i = 0; i < stores->count; i++)
        if (!((const struct store_conf *)stores->items[i])->is_used)
            tell(telling, stores->items[i], "store", "cache", " in a site or forward listener");
}

static void
tell_lists(const struct telling *telling, const struct config_list *lists,
           const struct name_set *used)
{
    for (size_t i = 0; i < lists->count; i++) {
        const struct list_conf *list = lists->items[i];
        char help[40];

        snprintf(help, sizeof(help), "when = { %s", list_condition(list));
        if (name_set_find(used, list->name)->text == NULL)
            tell(telling, lists->items[i], "list", help, "; } of a rule");
    }
}

/* ---- all */

/* False when memory is short. */
static bool
make_sets(struct used *used, const struct conf *conf, struct arena *arena)
{
    used->lists = name_set_new(arena, conf->lists.count);
    used->sets = name_set_new(arena, conf->sets.count);
    used->limits = name_set_new(arena, conf->limits.count);
    used->users = name_set_new(arena, conf->users.count);
    return used->lists != NULL && used->sets != NULL && used->limits != NULL &&
           used->users != NULL;
}

void
policy_unused_review(const struct conf *conf, void (*say)(void *arg, const char *sentence),
                     void *arg)
{
    const struct telling telling = { say, arg };
    struct arena arena;
    struct used used;

    arena_init(&arena, NULL, GATHER_BYTES);
    if (make_sets(&used, conf, &arena)) {
        for (size_t i = 0; i < conf->policies.count; i++)
            gather_policy(&used, conf->policies.items[i]);
        for (size_t i = 0; i < conf->sets.count; i++)
            gather(&used, &((const struct condition_set_conf *)conf->sets.items[i])->when);
        gather_filters(&used, &conf->limits);
        tell_lists(&telling, &conf->lists, used.lists);
        tell_unused(&telling, &conf->sets, used.sets, "set", "when = { set", "; } of a rule");
        tell_unused(&telling, &conf->limits, used.limits, "limit", "limit", " in a rule");
        tell_bans(&telling, &conf->bans);
        tell_unused(&telling, &conf->users, used.users, "users", "users", " in a policy");
        tell_logs(&telling, &conf->access_logs);
        tell_stores(&telling, &conf->stores);
        tell_groups(&telling, &conf->groups);
    }
    arena_fini(&arena);
}
