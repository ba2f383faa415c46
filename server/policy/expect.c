/* SPDX-License-Identifier: BSD-2-Clause */
/* expect.c - expectations as they are configured. */
#include "config.h"

#include "server/policy/expect.h"

#include "server/config/reader.h"
#include "server/policy/rule.h"
#include "server/schema.h"

#include <stdio.h>

const char *const outcome_words[] = {
    [OUTCOME_UNSAID] = "any", [OUTCOME_ALLOW] = "allow", [OUTCOME_DENY] = "deny",
    [OUTCOME_CHALLENGE] = "challenge", [OUTCOME_DROP] = "drop", [OUTCOME_REDIRECT] = "redirect",
    [OUTCOME_WAIT] = "wait", [OUTCOME_WAIT + 1] = NULL,
};

#define AT(member) .offset = offsetof(struct expect_conf, member)

const struct option expect_options[] = {
    OPTION_PLACE(struct expect_conf, place),
    { .name = "request", .type = OPTION_STRING, AT(request),
      .text = "Method and URL: \"GET http://www.example.com/\", \"CONNECT www.example.com:443\"; "
              "not given, a connection to a listener of mode port." },
    { .name = "listener", .type = OPTION_STRING, AT(listener),
      .text = "Name of the listener it comes to; when not given, the first that takes such a "
              "request." },
    { .name = "from", .type = OPTION_STRING, AT(from),
      .text = "Address of the client; when not given, 127.0.0.1." },
    { .name = "user", .type = OPTION_STRING, AT(user),
      .text = "Name of the user, who has proved to be it; when not given, nobody has." },
    { .name = "user_groups", .type = OPTION_STRINGS, AT(user_groups), .max = QUESTION_ITEMS_MAX,
      .text = "Groups of the user." },
    { .name = "header", .type = OPTION_STRINGS, AT(headers), .max = QUESTION_ITEMS_MAX,
      .text = "Header fields of the request: \"User-Agent: curl\"." },
    { .name = "time", .type = OPTION_STRING, AT(time),
      .text = "When it comes: \"2026-11-23 10:00\", by the system's clock, or with \"Z\" or "
              "\"+01:00\" behind it; when not given, now." },
    { .name = "destination", .type = OPTION_STRING, AT(destination),
      .text = "Address that the host name leads to." },
    { .name = "sni", .type = OPTION_STRING, AT(server_name),
      .text = "Server name in the TLS inside a tunnel, or that the client comes by; \"\" is "
              "none." },
    { .name = "response_status", .type = OPTION_INT, AT(response_status), .fallback = "0",
      .max = 599, .text = "Status of the origin's response. 0: none has come." },
    { .name = "response_header", .type = OPTION_STRINGS, AT(response_headers),
      .max = QUESTION_ITEMS_MAX, .text = "Header fields of the origin's response." },
    { .name = "verdict", .type = OPTION_ENUM, AT(verdict), .fallback = "any",
      .words = outcome_words,
      .text = "What becomes of it: allow, deny, challenge (the client is to say who it is), drop, "
              "redirect, or wait (a rule asks for what is not given here)." },
    { .name = "status", .type = OPTION_INT, AT(status), .fallback = "0", .max = 599,
      .text = "Status of Bascule's own answer. 0: any." },
    { .name = "rule", .type = OPTION_STRING, AT(rule),
      .text = "Name of the rule that decides; \"default\" when none does." },
    { .name = "matched", .type = OPTION_STRINGS, AT(matched), .max = QUESTION_ITEMS_MAX,
      .text = "Names of rules that must be true, decisive or not." },
    { .name = "site", .type = OPTION_STRING, AT(site), .text = "Name of the site it is for." },
    { .name = "route", .type = OPTION_STRING, AT(route), .text = "Name of the route it takes." },
    { .name = "group", .type = OPTION_STRING, AT(group),
      .text = "Name of the group whose servers answer." },
    { .name = "set_request", .type = OPTION_STRINGS, AT(set_request), .max = QUESTION_ITEMS_MAX,
      .text = "Header fields as rules set them for the origin: \"X-Team: red\"; \"X-Team:\" for "
              "one that they take away." },
    { .name = NULL },
};

/* ---- the question */

static int
say(struct question *question, const char *name, const char *value, struct err *err)
{
    return value == NULL ? 0 : question_set(question, slice_of(name), slice_of(value), err);
}

static int
say_all(struct question *question, const char *name, const struct strings *values,
        struct err *err)
{
    for (size_t i = 0; i < values->count; i++)
        if (question_set(question, slice_of(name), values->items[i], err) < 0)
            return -1;
    return 0;
}

static int
say_request(struct question *question, const char *request, struct err *err)
{
    struct slice text = slice_trim(slice_of(request));
    ptrdiff_t space = slice_find(text, ' ');

    if (space < 0)
        return err_set(err, "request: \"%s\" is not a method and a URL, as \"GET "
                            "http://www.example.com/\" is", request);
    question->method = slice_make(text.data, (size_t)space);
    question->url = slice_trim(slice_skip(text, (size_t)space));
    return 0;
}

int
expect_question(const struct expect_conf *conf, struct question *question, struct err *err)
{
    char status[8];

    *question = (struct question){ 0 };
    if (conf->request != NULL && say_request(question, conf->request, err) < 0)
        return -1;
    if (say(question, "listener", conf->listener, err) < 0 ||
        say(question, "from", conf->from, err) < 0 || say(question, "user", conf->user, err) < 0 ||
        say_all(question, "group", &conf->user_groups, err) < 0 ||
        say_all(question, "header", &conf->headers, err) < 0 ||
        say(question, "time", conf->time, err) < 0 ||
        say(question, "destination", conf->destination, err) < 0 ||
        say(question, "sni", conf->server_name, err) < 0 ||
        say_all(question, "response-header", &conf->response_headers, err) < 0)
        return -1;
    snprintf(status, sizeof(status), "%d", (int)conf->response_status);
    return say(question, "status", conf->response_status > 0 ? status : NULL, err);
}

/* ---- names */

/* Names of one kind, of which one is looked for. */
struct names {
    const char *wanted;
    struct nearest nearest;
    bool is_found;
};

static void
offer(struct names *names, const char *name)
{
    if (name == NULL)
        return;
    names->is_found = names->is_found || strcmp(name, names->wanted) == 0;
    nearest_offer(&names->nearest, name);
}

static void
offer_listeners(struct names *names, const struct conf *conf)
{
    for (size_t i = 0; i < conf->listeners.count; i++)
        offer(names, ((const struct listener_conf *)conf->listeners.items[i])->name);
}

static void
offer_rules(struct names *names, const struct conf *conf)
{
    offer(names, "default");
    for (size_t i = 0; i < conf->policies.count; i++) {
        const struct policy_conf *policy = conf->policies.items[i];

        for (size_t j = 0; j < policy->rules.count; j++)
            offer(names, ((const struct rule_conf *)policy->rules.items[j])->name);
    }
}

static void
offer_sites(struct names *names, const struct conf *conf)
{
    for (size_t i = 0; i < conf->sites.count; i++)
        offer(names, ((const struct site_conf *)conf->sites.items[i])->name);
}

static void
offer_routes(struct names *names, const struct conf *conf)
{
    for (size_t i = 0; i < conf->sites.count; i++) {
        const struct site_conf *site = conf->sites.items[i];

        for (size_t j = 0; j < site->routes.count; j++)
            offer(names, ((const struct route_conf *)site->routes.items[j])->name);
    }
}

static void
offer_groups(struct names *names, const struct conf *conf)
{
    for (size_t i = 0; i < conf->groups.count; i++)
        offer(names, ((const struct group_conf *)conf->groups.items[i])->name);
}

static int
check_name(const struct conf *conf, const char *what, const char *name,
           void (*offer_all)(struct names *, const struct conf *), struct err *err)
{
    struct names names = { .wanted = name };

    if (name == NULL)
        return 0;
    nearest_init(&names.nearest, slice_of(name));
    offer_all(&names, conf);
    if (names.is_found)
        return 0;
    err_set(err, "%s: there is no %s \"%s\"", what, strcmp(what, "matched") == 0 ? "rule" : what,
            name);
    return nearest_hint(&names.nearest, err);
}

static int
check_names(const struct conf *conf, const struct expect_conf *expect, struct err *err)
{
    for (size_t i = 0; i < expect->matched.count; i++)
        if (check_name(conf, "matched", expect->matched.items[i].data, offer_rules, err) < 0)
            return -1;
    if (check_name(conf, "listener", expect->listener, offer_listeners, err) < 0 ||
        check_name(conf, "rule", expect->rule, offer_rules, err) < 0 ||
        check_name(conf, "site", expect->site, offer_sites, err) < 0 ||
        check_name(conf, "route", expect->route, offer_routes, err) < 0)
        return -1;
    return check_name(conf, "group", expect->group, offer_groups, err);
}

static bool
expects_something(const struct expect_conf *expect)
{
    return expect->verdict != OUTCOME_UNSAID || expect->status != 0 || expect->rule != NULL ||
           expect->site != NULL || expect->route != NULL || expect->group != NULL ||
           expect->set_request.count > 0 || expect->matched.count > 0;
}

static int
check(const struct conf *conf, const struct expect_conf *expect, struct err *err)
{
    struct question question;

    if (expect_question(expect, &question, err) < 0 || check_names(conf, expect, err) < 0)
        return -1;
    if (expect->request == NULL && expect->listener == NULL)
        return err_set(err, "needs a request, or the listener that a connection comes to");
    for (size_t i = 0; i < expect->set_request.count; i++)
        if (slice_find(expect->set_request.items[i], ':') <= 0)
            return err_set(err, "set_request: \"%s\" is no field: \"X-Team: red\" would be one",
                           expect->set_request.items[i].data);
    if (!expects_something(expect))
        return err_set(err, "expects nothing: verdict, status, rule, matched, site, route, group "
                            "or set_request would say what");
    return 0;
}

int
expects_finish(const struct conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf->expects.count; i++) {
        const struct expect_conf *expect = conf->expects.items[i];
        struct err found;

        if (check(conf, expect, &found) < 0)
            return config_place_fail(err, &expect->place, "expect: %s", found.text);
    }
    return 0;
}
