/* SPDX-License-Identifier: BSD-2-Clause */
/* condition_words.c - says why a group of conditions is true, false or unknown:
 * `host "a.example" is not in list "ads"`.
 *
 * For people who ask, one request at a time; nothing here is fast.
 */
#include "config.h"

#include "server/policy/condition.h"

#include <stdarg.h>
#include <stdio.h>

#include "server/base/pattern.h"
#include "server/log/escape.h"
#include "server/policy/limit.h"
#include "server/policy/time_window.h"

#define VALUE_BYTES 100 /* of a value, escaped */
#define VALUES_SAID 3   /* of many */

static void __attribute__((format(printf, 2, 3)))
put(struct words *words, const char *format, ...)
{
    size_t room = (size_t)(words->end - words->at);
    va_list args;
    int bytes;

    va_start(args, format);
    bytes = vsnprintf(words->at, room, format, args);
    va_end(args);
    if (bytes > 0)
        words->at += (size_t)bytes < room ? (size_t)bytes : room - 1;
}

/* Bytes of strangers, in quotes. */
static void
put_value(struct words *words, struct slice value)
{
    char text[VALUE_BYTES], *end;
    bool is_cut = false;

    end = escape_put(ESCAPE_QUOTED, text, text + sizeof(text), value, &is_cut);
    put(words, "\"%.*s\"", (int)(end - text), text);
}

static void
put_ip(struct words *words, const struct ip *ip)
{
    char text[IP_TEXT_BYTES];
    size_t bytes = ip_text(ip, text);

    put(words, "%.*s", (int)bytes, text);
}

/* ---- what is asked about */

static void
put_sni(struct words *words, const struct facts *facts)
{
    struct slice name = { NULL, 0 };

    (void)ask_sni(facts, &name);
    if (name.bytes == 0)
        put(words, "no SNI");
    else
        put(words, "SNI ");
    if (name.bytes > 0)
        put_value(words, name);
}

static void
put_user(struct words *words, const struct user *user)
{
    put(words, user != NULL ? "user " : "nobody");
    if (user != NULL)
        put_value(words, user->name);
}

static void
put_type(struct words *words, const struct response *response)
{
    put(words, "content type ");
    put_value(words, response != NULL ? fields_get(&response->fields, FIELD_CONTENT_TYPE)
                                      : SLICE(""));
}

static void
put_names(struct words *words, const struct config_list *matches)
{
    for (size_t i = 0; i < matches->count && i < VALUES_SAID; i++) {
        const struct named_match *match = matches->items[i];

        put(words, i > 0 ? ", " : " ");
        put_value(words, slice_of(match->name));
        if (match->value != NULL || match->pattern != NULL) {
            put(words, match->value != NULL ? " = " : " ~ ");
            put_value(words, slice_of(match->value != NULL ? match->value
                                                           : pattern_text(match->pattern)));
        }
    }
}

/* The fact: `host "a.example"`. */
static void
put_subject(struct words *words, const struct test *test, const struct facts *facts)
{
    char text[TIME_WINDOW_TEXT_BYTES];

    switch ((enum test_kind)test->kind) {
    case TEST_LISTENER:
        put(words, "listener ");
        put_value(words, facts->listener);
        break;
    case TEST_MODE:
        put(words, "mode ");
        put_value(words, facts->mode);
        break;
    case TEST_CLIENT:
    case TEST_CLIENT_IN:
    case TEST_COUNTRY:
    case TEST_AS:
        put(words, "client ");
        put_ip(words, &facts->client);
        break;
    case TEST_DESTINATION:
    case TEST_DESTINATION_IN:
    case TEST_DESTINATION_COUNTRY:
    case TEST_DESTINATION_AS:
        put(words, "destination ");
        put_ip(words, &facts->destination);
        break;
    case TEST_CERTIFICATE:
    case TEST_CERTIFICATE_ISSUER:
        put(words, "the client's certificate");
        break;
    case TEST_TIME:
        put(words, "the time, %s,", time_windows_say(test->data, facts->now_s, text));
        break;
    case TEST_METHOD:
        put(words, "method ");
        put_value(words, facts->request != NULL ? facts->request->method_name : SLICE(""));
        break;
    case TEST_SCHEME:
        put(words, "scheme ");
        put_value(words, facts->request != NULL ? facts->request->scheme : SLICE(""));
        break;
    case TEST_HOST:
    case TEST_HOST_IS:
    case TEST_HOST_BELOW:
    case TEST_HOST_IN:
        put(words, "host ");
        put_value(words, facts->host);
        break;
    case TEST_URL_IN:
    case TEST_URL_REGEX:
        put(words, "the URL");
        break;
    case TEST_PORT:
        put(words, "port %u", facts->port);
        break;
    case TEST_PATH:
    case TEST_PATH_IS:
    case TEST_PATH_BEGINS:
    case TEST_PATH_REGEX:
        put(words, "path ");
        put_value(words, facts->path);
        break;
    case TEST_HEADER:
        put(words, "a header field");
        break;
    case TEST_COOKIE:
        put(words, "a cookie");
        break;
    case TEST_QUERY:
        put(words, "a query parameter");
        break;
    case TEST_USER:
    case TEST_USER_GROUP:
        put_user(words, facts->user);
        break;
    case TEST_SNI:
    case TEST_SNI_IN:
    case TEST_SNI_DIFFERS:
        put_sni(words, facts);
        break;
    case TEST_STATUS:
        put(words, "status %u", facts->response != NULL ? facts->response->status : 0);
        break;
    case TEST_CONTENT_TYPE:
        put_type(words, facts->response);
        break;
    case TEST_LONGER:
        put(words, "the content's length");
        break;
    case TEST_OVER:
        put(words, "the limit");
        break;
    case TEST_ANY:
    case TEST_NONE:
    case TEST_SET:
        break;
    }
}

/* ---- what it is compared with */

static void
put_strings(struct words *words, const struct strings *strings)
{
    for (size_t i = 0; i < strings->count && i < VALUES_SAID; i++) {
        put(words, i > 0 ? ", " : " ");
        put_value(words, strings->items[i]);
    }
    if (strings->count > VALUES_SAID)
        put(words, " or %zu others", strings->count - VALUES_SAID);
}

static void
put_ports(struct words *words, const struct port_set *ports)
{
    for (size_t i = 0; i < ports->count && i < VALUES_SAID; i++) {
        put(words, i > 0 ? ", %u" : " %u", ports->ranges[i].first);
        if (ports->ranges[i].last > ports->ranges[i].first)
            put(words, "-%u", ports->ranges[i].last);
    }
    if (ports->count > VALUES_SAID)
        put(words, " ...");
}

static void
put_networks(struct words *words, const struct prefix_set *set)
{
    struct ip first, last;
    size_t i = 0;

    for (; i < VALUES_SAID && prefix_set_range(set, i, &first, &last); i++) {
        put(words, i > 0 ? ", " : " ");
        put_ip(words, &first);
        if (!ip_equal_host(&first, &last)) {
            put(words, "-");
            put_ip(words, &last);
        }
    }
    if (prefix_set_range(set, i, &first, &last))
        put(words, " ...");
}

static void
put_values(struct words *words, const struct test *test, const struct condition_field *field)
{
    const void *value = condition_value(field, test->conf);

    switch ((enum field_form)field->form) {
    case FORM_STRINGS:
        put_strings(words, value);
        break;
    case FORM_LIST:
        put_names(words, value);
        break;
    case FORM_PORTS:
        put_ports(words, value);
        break;
    case FORM_POINTER:
        if (field->kind == TEST_CLIENT || field->kind == TEST_DESTINATION) {
            put_networks(words, test->data);
            break;
        }
        put(words, " ");
        put_value(words, slice_of(pattern_text(test->data)));
        break;
    case FORM_SIZE:
        put(words, " %llu", (unsigned long long)test->conf->longer_than);
        break;
    case FORM_MAYBE:
        break;
    }
}

/* " is in list", " is not in list". */
static const char *
verb(const struct condition_field *field, bool is_true)
{
    switch ((enum test_kind)field->kind) {
    case TEST_CLIENT_IN:
    case TEST_DESTINATION_IN:
    case TEST_HOST_IN:
    case TEST_SNI_IN:
    case TEST_URL_IN:
        return is_true ? " is in list" : " is not in list";
    case TEST_USER_GROUP:
        return is_true ? " is in group" : " is not in group";
    case TEST_COUNTRY:
    case TEST_DESTINATION_COUNTRY:
        return is_true ? " is in country" : " is not in country";
    case TEST_AS:
    case TEST_DESTINATION_AS:
        return is_true ? " is in network" : " is not in network";
    case TEST_CERTIFICATE:
        return is_true ? " names" : " is not there, or does not name";
    case TEST_CERTIFICATE_ISSUER:
        return is_true ? " is from" : " is not there, or not from";
    case TEST_PATH_REGEX:
    case TEST_URL_REGEX:
    case TEST_HEADER:
    case TEST_COOKIE:
    case TEST_QUERY:
        return is_true ? " matches" : " does not match";
    case TEST_LONGER:
        return is_true ? " is more than" : " is not known to be more than";
    case TEST_OVER:
        return is_true ? " is over:" : " is not over:";
    case TEST_SNI_DIFFERS:
        return is_true ? " differs as asked from the host" : " does not differ as asked from the "
                                                             "host";
    case TEST_TIME:
    case TEST_CLIENT:
    case TEST_DESTINATION:
        return is_true ? " is in" : " is not in";
    case TEST_METHOD:
    case TEST_SCHEME:
    case TEST_PORT:
    case TEST_HOST_IS:
    case TEST_HOST_BELOW:
    case TEST_PATH_IS:
    case TEST_PATH_BEGINS:
    case TEST_STATUS:
    case TEST_LISTENER:
    case TEST_MODE:
    case TEST_USER:
    case TEST_HOST:
    case TEST_SNI:
    case TEST_PATH:
    case TEST_CONTENT_TYPE:
    case TEST_ANY:
    case TEST_NONE:
    case TEST_SET:
        break;
    }
    return is_true ? " is" : " is not";
}

/* ---- tests and groups */

static const char *
stage_name(unsigned stage)
{
    static const char *const names[STAGE_COUNT] = {
        [STAGE_CONNECTION] = "connection", [STAGE_HEAD] = "request", [STAGE_USER] = "user",
        [STAGE_DESTINATION] = "destination", [STAGE_SNI] = "SNI", [STAGE_RESPONSE] = "response",
    };

    return names[stage];
}

static void
say_groups(const struct test *test, unsigned answer, struct ask *ask, struct words *words);

static void
say_test(const struct test *test, unsigned answer, struct ask *ask, struct words *words)
{
    const struct condition_field *field = condition_field_of(test->kind);
    unsigned missing = test->needs & ~ask->facts->known;

    if (field == NULL) {
        say_groups(test, answer, ask, words);
    } else if (answer >= ANSWER_WAITS) {
        put(words, "%s: the %s is not known yet", field->name, stage_name(answer - ANSWER_WAITS));
    } else if (missing != 0) {
        put(words, "%s: there is no %s here", field->name,
            stage_name((unsigned)__builtin_ctz(missing)));
    } else {
        put_subject(words, test, ask->facts);
        put(words, "%s", verb(field, answer == ANSWER_TRUE));
        put_values(words, test, field);
    }
}

/* The group of several that decided, or all of them when each had to be false. */
static void
say_groups(const struct test *test, unsigned answer, struct ask *ask, struct words *words)
{
    const struct groups *groups = test->data;
    bool is_none = test->kind == TEST_NONE;
    unsigned wanted = is_none && answer < ANSWER_WAITS ? ANSWER_TRUE - answer : answer;
    const char *separator = "";

    if (test->kind == TEST_SET) {
        put(words, "set");
        put_strings(words, &test->conf->sets);
        put(words, ": ");
    }
    ask->doubt ^= is_none;
    for (size_t i = 0; i < groups->count; i++) {
        const struct group *group = &groups->items[i];
        unsigned each;

        if (group->has_limits && wanted >= ANSWER_WAITS)
            break;
        each = group_ask(group, ask);
        if (each != wanted)
            continue;
        put(words, "%s", separator);
        group_say(group, each, ask, words);
        separator = ", ";
        if (wanted != ANSWER_FALSE)
            break;
    }
    ask->doubt ^= is_none;
}

void
group_say(const struct group *group, unsigned answer, struct ask *ask, struct words *words)
{
    const char *separator = "";

    for (uint32_t i = 0; i < group->count; i++) {
        const struct test *test = &group->tests[i];
        unsigned each = test_ask(test, ask);

        if (each != answer)
            continue;
        put(words, "%s", separator);
        say_test(test, each, ask, words);
        separator = ", ";
        if (answer != ANSWER_TRUE)
            return;
    }
}
