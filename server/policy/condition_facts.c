/* SPDX-License-Identifier: BSD-2-Clause */
/* condition_facts.c - compares single facts with what a condition says of them.
 *
 * An expression that gives up (PATTERN_LIMIT) says what refuses the request: true
 * in a rule that refuses, false in one that allows, turned round by each "not".
 */
#include "config.h"

#include "server/policy/condition.h"

#include <stdio.h>

#include "server/base/pattern.h"
#include "server/policy/certificate_names.h"
#include "server/policy/geo.h"
#include "server/policy/list.h"
#include "server/policy/named_field.h"
#include "server/policy/time_window.h"

#define MEDIA_TYPE_BYTES_MAX 255 /* RFC 6838 section 4.2: 127 on either side of "/" */

static bool
matches(const struct pattern *pattern, struct slice subject, const struct ask *ask)
{
    enum pattern_result result = pattern_match(pattern, subject, NULL);

    return result == PATTERN_LIMIT ? ask->doubt : result == PATTERN_HIT;
}

/* ---- connection */

static bool
is_in_networks(const struct test *test, const struct ip *ip)
{
    const struct list_conf *const *lists = test->data;

    for (uint32_t i = 0; i < test->mask; i++)
        if (list_has_ip(lists[i]->list, ip))
            return true;
    return false;
}

static bool
is_in_country(const struct geo_test *test, const struct ip *ip)
{
    unsigned first, second;
    char code[3];

    if (test->geo->country == NULL || !geo_country(test->geo->country, ip, code))
        return false;
    first = (unsigned)ascii_lower(code[0]) - 'a';
    second = (unsigned)ascii_lower(code[1]) - 'a';
    return first < 26 && second < 26 && (test->letters[first] >> second & 1) != 0;
}

static bool
is_in_as(const struct geo_test *test, const struct ip *ip)
{
    size_t low = 0, high = test->number_count;
    uint32_t number;

    if (test->geo->as == NULL || !geo_as(test->geo->as, ip, &number))
        return false;
    while (low < high) {
        size_t middle = (low + high) / 2;

        if (test->numbers[middle] == number)
            return true;
        if (test->numbers[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* The names in the client's certificate, read once in an evaluation. */
static const struct certificate_names *
client_of(struct ask *ask)
{
    if (!ask->has_client)
        ask->client = certificate_names_of(ask->facts->tls, ask->facts->arena);
    ask->has_client = true;
    return ask->client;
}

static bool
has_certificate(const struct test *test, struct ask *ask)
{
    const struct certificate_names *client = client_of(ask);

    if (client == NULL || test->mask != 0)
        return client != NULL;
    for (size_t i = 0; i < client->count; i++)
        if (text_set_has(test->data, client->names[i]))
            return true;
    return false;
}

static bool
has_issuer(const struct test *test, struct ask *ask)
{
    const struct certificate_names *client = client_of(ask);

    return client != NULL && text_set_has(test->data, client->issuer);
}

/* ---- request */

static bool
has_scheme(const struct test *test, const struct request *request)
{
    unsigned bit = 0;

    if (request != NULL && slice_equal_nocase(request->scheme, SLICE("http")))
        bit = 1;
    else if (request != NULL && slice_equal_nocase(request->scheme, SLICE("https")))
        bit = 2;
    return (test->mask & bit) != 0;
}

static bool
is_in_domains(const struct test *test, struct slice host)
{
    const struct list_conf *const *lists = test->data;

    for (uint32_t i = 0; i < test->mask && host.bytes > 0; i++)
        if (list_has_host(lists[i]->list, host, NULL))
            return true;
    return false;
}

static bool
is_in_urls(const struct test *test, const struct facts *facts)
{
    const struct list_conf *const *lists = test->data;

    for (uint32_t i = 0; i < test->mask && facts->request != NULL; i++)
        if (list_has_url(lists[i]->list, facts->host, facts->path, facts->query))
            return true;
    return false;
}

/* Of CONNECT, which has no path: HOST:PORT. */
static struct slice
make_url(const struct facts *facts)
{
    const struct request *request = facts->request;
    bool has_brackets = slice_find(facts->host, ':') >= 0, is_default;
    const char *open = has_brackets ? "[" : "", *close = has_brackets ? "]" : "";
    char port[8] = "";

    is_default = facts->port == (slice_equal(request->scheme, SLICE("https")) ? 443 : 80);
    if (facts->path.bytes == 0 || !is_default)
        snprintf(port, sizeof(port), ":%u", facts->port);
    if (facts->path.bytes == 0)
        return arena_printf(facts->arena, "%s%.*s%s%s", open, SLICE_ARG(facts->host), close,
                            port);
    return arena_printf(facts->arena, "%.*s://%s%.*s%s%s%.*s%s%.*s", SLICE_ARG(request->scheme),
                        open, SLICE_ARG(facts->host), close, port, SLICE_ARG(facts->path),
                        facts->query.data != NULL ? "?" : "", SLICE_ARG(facts->query));
}

static bool
url_matches(const struct test *test, struct ask *ask)
{
    if (ask->facts->request == NULL)
        return false;
    if (!ask->has_url)
        ask->url = make_url(ask->facts);
    ask->has_url = true;
    return ask->url.data != NULL ? matches(test->data, ask->url, ask) : ask->doubt;
}

static bool
has_value(const struct named_test *named, struct slice value, const struct ask *ask)
{
    if (named->pattern != NULL)
        return matches(named->pattern, value, ask);
    return !named->has_value || slice_equal(value, named->value);
}

static bool
has_header(const struct test *test, const struct ask *ask)
{
    const struct named_test *named = test->data, *end = named + test->mask;
    const struct request *request = ask->facts->request;
    struct slice value;

    for (; named < end && request != NULL; named++) {
        struct named_at at = { .field = NULL };

        while (header_next(&request->fields, named->id, named->name, &at, &value))
            if (has_value(named, value, ask)) /* one line of that name is enough */
                return true;
    }
    return false;
}

static bool
has_cookie(const struct test *test, const struct ask *ask)
{
    const struct named_test *named = test->data, *end = named + test->mask;
    const struct request *request = ask->facts->request;
    struct slice value;

    for (; named < end && request != NULL; named++) {
        struct named_at at = { .field = NULL };

        while (cookie_next(&request->fields, named->name, &at, &value))
            if (has_value(named, value, ask))
                return true;
    }
    return false;
}

static bool
has_parameter(const struct test *test, const struct ask *ask)
{
    const struct named_test *named = test->data, *end = named + test->mask;
    struct slice value;

    for (; named < end; named++) {
        struct named_at at = { .field = NULL };

        while (query_next(ask->facts->query, named->name, &at, &value)) {
            if (!named->has_value && named->pattern == NULL)
                return true;
            value = query_decode(value, ask->facts->arena);
            if (value.data == NULL ? ask->doubt : has_value(named, value, ask))
                return true;
        }
    }
    return false;
}

/* ---- user */

static bool
is_user(const struct test *test, const struct user *user)
{
    return user != NULL && (test->mask != 0 || text_set_has(test->data, user->name));
}

static bool
is_in_group(const struct test *test, const struct user *user)
{
    for (unsigned i = 0; user != NULL && i < user->group_count; i++)
        if (text_set_has(test->data, user->groups[i]))
            return true;
    return false;
}

/* ---- SNI */

/* Whether there is a tunnel in which TLS may begin, or bytes that are passed on as they come:
 * not a request for which the client's own TLS has ended here. */
static bool
is_tunnel(const struct facts *facts)
{
    return facts->request == NULL || facts->request->method == METHOD_CONNECT;
}

unsigned
ask_sni(const struct facts *facts, struct slice *name)
{
    unsigned stages = facts->known | facts->to_come;
    bool is_ours = !is_tunnel(facts) || (stages & STAGE_BIT(STAGE_SNI)) == 0;
    unsigned stage = STAGE_BIT(is_ours ? STAGE_CONNECTION : STAGE_SNI);

    if ((facts->known & stage) == 0)
        return facts_missing(facts, stage);
    *name = is_ours ? facts->server_name : facts->tunnel_name;
    return !is_ours || facts->tls != NULL || name->bytes > 0 ? ANSWER_TRUE : ANSWER_FALSE;
}

static unsigned
has_sni(const struct test *test, const struct ask *ask)
{
    struct slice name;
    unsigned answer = ask_sni(ask->facts, &name);

    if (answer != ANSWER_TRUE)
        return answer;
    if (test->kind == TEST_SNI_IN)
        return is_in_domains(test, name);
    return name.bytes > 0 ? text_set_has(test->data, name) : test->mask != 0;
}

static bool
sni_differs(const struct test *test, const struct facts *facts)
{
    bool differs = !slice_equal(facts->tunnel_name, facts->host);

    return facts->request != NULL && is_tunnel(facts) && facts->tunnel_name.bytes > 0 &&
           differs == (test->mask != 0);
}

/* ---- response */

static bool
has_status(const uint64_t *bits, const struct response *response)
{
    unsigned status = response != NULL ? response->status : 0;

    return status < 600 && (bits[status / 64] >> (status % 64) & 1) != 0;
}

/* The media type of a Content-Type line, without its parameters. */
static bool
is_of_type(const struct test *test, struct slice line)
{
    char lower[MEDIA_TYPE_BYTES_MAX];
    ptrdiff_t end = slice_find(line, ';');
    struct slice type = line;

    if (end >= 0)
        type.bytes = (size_t)end;
    type = slice_trim(type);
    if (type.bytes == 0 || type.bytes > sizeof(lower))
        return false;
    for (size_t i = 0; i < type.bytes; i++)
        lower[i] = ascii_lower(type.data[i]);
    return text_set_has(test->data, slice_make(lower, type.bytes));
}

static bool
has_type(const struct test *test, const struct response *response)
{
    const struct field *field = NULL;

    if (response == NULL)
        return false;
    while ((field = fields_next(&response->fields, FIELD_CONTENT_TYPE, field)) != NULL)
        if (is_of_type(test, field->value))
            return true;
    return false;
}

static bool
is_longer(const uint64_t *limit, const struct response *response)
{
    uint64_t length;

    if (response == NULL)
        return false;
    if (response->has_body)
        return response->length != LENGTH_UNKNOWN && response->length > *limit;
    /* An answer to HEAD says how long the content would be. */
    return slice_to_u64(fields_get(&response->fields, FIELD_CONTENT_LENGTH), INT64_MAX,
                        &length) && length > *limit;
}

/* ---- all */

/* What refuses also means addresses that lead to those by a translator (NAT64, 6to4). */
static bool
is_destination(const struct test *test, const struct ask *ask)
{
    const struct ip *ip = &ask->facts->destination;

    return ask->doubt ? prefix_set_has_embedded(test->data, ip) : prefix_set_has(test->data, ip);
}

unsigned
fact_ask(const struct test *test, struct ask *ask)
{
    const struct facts *facts = ask->facts;

    switch ((enum test_kind)test->kind) {
    case TEST_SCHEME:
        return has_scheme(test, facts->request);
    case TEST_HOST:
        return facts->host.bytes > 0 && text_set_has(test->data, facts->host);
    case TEST_PATH:
        return facts->path.bytes > 0 && text_set_has(test->data, facts->path);
    case TEST_STATUS:
        return has_status(test->data, facts->response);
    case TEST_LONGER:
        return is_longer(test->data, facts->response);
    case TEST_LISTENER:
        return text_set_has(test->data, facts->listener);
    case TEST_MODE:
        return text_set_has(test->data, facts->mode);
    case TEST_USER:
        return is_user(test, facts->user);
    case TEST_USER_GROUP:
        return is_in_group(test, facts->user);
    case TEST_DESTINATION:
        return is_destination(test, ask);
    case TEST_SNI:
    case TEST_SNI_IN:
        return has_sni(test, ask);
    case TEST_SNI_DIFFERS:
        return sni_differs(test, facts);
    case TEST_CONTENT_TYPE:
        return has_type(test, facts->response);
    case TEST_TIME:
        return time_windows_has(test->data, facts->now_s);
    case TEST_CLIENT_IN:
        return is_in_networks(test, &facts->client);
    case TEST_DESTINATION_IN:
        return is_in_networks(test, &facts->destination);
    case TEST_HOST_IN:
        return is_in_domains(test, facts->host);
    case TEST_URL_IN:
        return is_in_urls(test, facts);
    case TEST_COOKIE:
        return has_cookie(test, ask);
    case TEST_QUERY:
        return has_parameter(test, ask);
    case TEST_COUNTRY:
        return is_in_country(test->data, &facts->client);
    case TEST_AS:
        return is_in_as(test->data, &facts->client);
    case TEST_DESTINATION_COUNTRY:
        return is_in_country(test->data, &facts->destination);
    case TEST_DESTINATION_AS:
        return is_in_as(test->data, &facts->destination);
    case TEST_PATH_REGEX:
        return facts->path.bytes > 0 && matches(test->data, facts->path, ask);
    case TEST_URL_REGEX:
        return url_matches(test, ask);
    case TEST_CERTIFICATE:
        return has_certificate(test, ask);
    case TEST_CERTIFICATE_ISSUER:
        return has_issuer(test, ask);
    case TEST_HEADER:
        return has_header(test, ask);
    case TEST_METHOD:
    case TEST_PORT:
    case TEST_HOST_IS:
    case TEST_HOST_BELOW:
    case TEST_PATH_IS:
    case TEST_PATH_BEGINS:
    case TEST_CLIENT:
    case TEST_ANY:
    case TEST_NONE:
    case TEST_SET:
    case TEST_OVER:
        break;
    }
    must(false); /* those are in condition_ask.c */
    return ANSWER_FALSE;
}
