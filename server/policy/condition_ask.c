/* SPDX-License-Identifier: BSD-2-Clause */
/* condition_ask.c - asks a compiled group of conditions about facts.
 *
 * What is not known yet makes a group unknown, unless another test in it is false.
 * Limits are asked when nothing but them is left to decide, so that the answer
 * does not depend on the order in which facts arrive.
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
#include "server/policy/text_set.h"
#include "server/policy/time_window.h"

#define MEDIA_TYPE_BYTES_MAX 255 /* RFC 6838 section 4.2: 127 on either side of "/" */

unsigned
facts_missing(const struct facts *facts, unsigned needs)
{
    unsigned missing = needs & ~facts->known;

    if ((missing & ~facts->to_come) != 0)
        return ANSWER_FALSE;
    return ANSWER_WAITS + (unsigned)__builtin_ctz(missing);
}

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
has_method(const struct test *test, const struct request *request)
{
    if (request == NULL || (test->mask >> request->method & 1) == 0)
        return false;
    return request->method != METHOD_OTHER || text_set_has(test->data, request->method_name);
}

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

static inline bool
ends_with(struct slice text, struct slice end)
{
    return text.bytes > end.bytes &&
           memcmp(text.data + (text.bytes - end.bytes), end.data, end.bytes) == 0;
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

/* One line of that name is enough. */
static bool
has_field(const struct named_test *named, const struct fields *fields, const struct ask *ask)
{
    const struct field *field = fields->items, *end = field + fields->count;

    if (!fields_has(fields, named->id))
        return false;
    for (; field < end; field++)
        if (field->id == named->id &&
            (named->id != FIELD_OTHER || slice_equal_nocase(field->name, named->name)) &&
            has_value(named, field->value, ask))
            return true;
    return false;
}

static bool
has_header(const struct test *test, const struct ask *ask)
{
    const struct named_test *named = test->data, *end = named + test->mask;
    const struct request *request = ask->facts->request;

    for (; named < end && request != NULL; named++)
        if (has_field(named, &request->fields, ask))
            return true;
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

/* ---- state */

static bool
is_over(const struct over_test *over, struct ask *ask)
{
    struct evaluation *evaluation = ask->evaluation;

    if ((evaluation->asked & over->bit) != 0)
        return (evaluation->over & over->bit) != 0;
    if (ask->hooks == NULL || ask->hooks->is_over == NULL)
        return false;
    evaluation->asked |= over->bit;
    if (!ask->hooks->is_over(over->limit, ask->facts, ask->arg))
        return false;
    evaluation->over |= over->bit;
    return true;
}

/* Keys that are never known are not limited. */
static unsigned
is_over_any(const struct test *test, struct ask *ask)
{
    const struct over_test *over = test->data, *end = over + test->mask;
    unsigned waits_for = 0;

    for (const struct over_test *each = over; each < end; each++) {
        unsigned missing = each->needs & ~ask->facts->known;

        if ((missing & ~ask->facts->to_come) == 0)
            waits_for |= missing;
    }
    if (waits_for != 0)
        return facts_missing(ask->facts, waits_for);
    for (; over < end; over++)
        if ((over->needs & ~ask->facts->known) == 0 && is_over(over, ask))
            return ANSWER_TRUE;
    return ANSWER_FALSE;
}

/* ---- groups */

static unsigned
first_waiting(unsigned before, unsigned waits)
{
    return before >= ANSWER_WAITS && before < waits ? before : waits;
}

static unsigned
any_of(const struct groups *groups, struct ask *ask)
{
    unsigned sum = ANSWER_FALSE;

    for (size_t i = 0; i < groups->count; i++) {
        unsigned answer;

        if (groups->items[i].has_limits && sum != ANSWER_FALSE)
            return sum;
        answer = group_ask(&groups->items[i], ask);
        if (answer == ANSWER_TRUE)
            return ANSWER_TRUE;
        if (answer >= ANSWER_WAITS)
            sum = first_waiting(sum, answer);
    }
    return sum;
}

static unsigned
none_of(const struct groups *groups, struct ask *ask)
{
    unsigned answer;

    ask->doubt = !ask->doubt;
    answer = any_of(groups, ask);
    ask->doubt = !ask->doubt;
    return answer < ANSWER_WAITS ? ANSWER_TRUE - answer : answer;
}

/* A test that is worth a call. */
static __attribute__((noinline)) unsigned
ask_more(const struct test *test, struct ask *ask)
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
        return prefix_set_has(test->data, &facts->destination);
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
    case TEST_ANY:
    case TEST_SET:
        return any_of(test->data, ask);
    case TEST_NONE:
        return none_of(test->data, ask);
    case TEST_PATH_REGEX:
        return facts->path.bytes > 0 && matches(test->data, facts->path, ask);
    case TEST_URL_REGEX:
        return url_matches(test, ask);
    case TEST_CERTIFICATE:
        return has_certificate(test, ask);
    case TEST_CERTIFICATE_ISSUER:
        return has_issuer(test, ask);
    case TEST_OVER:
        return is_over_any(test, ask);
    case TEST_METHOD:
    case TEST_PORT:
    case TEST_HOST_IS:
    case TEST_HOST_BELOW:
    case TEST_PATH_IS:
    case TEST_PATH_BEGINS:
    case TEST_CLIENT:
    case TEST_HEADER:
        break;
    }
    must(false); /* those are in ask_one() */
    return ANSWER_FALSE;
}

/* What most rules ask is decided on the spot. */
static inline __attribute__((always_inline)) unsigned
ask_one(const struct test *test, struct ask *ask)
{
    const struct facts *facts = ask->facts;

    if ((test->needs & ~facts->known) != 0)
        return facts_missing(facts, test->needs);
    switch (test->kind) {
    case TEST_METHOD:
        return has_method(test, facts->request);
    case TEST_PORT:
        return port_set_has(test->data, facts->port);
    case TEST_HOST_IS:
        return slice_equal(facts->host, test->text);
    case TEST_HOST_BELOW:
        return ends_with(facts->host, test->text);
    case TEST_PATH_IS:
        return slice_equal(facts->path, test->text);
    case TEST_PATH_BEGINS:
        return facts->path.bytes > 0 && slice_starts_with(facts->path, test->text);
    case TEST_CLIENT:
        return prefix_set_has(test->data, &facts->client);
    case TEST_HEADER:
        return has_header(test, ask);
    default:
        return ask_more(test, ask);
    }
}

unsigned
test_ask(const struct test *test, struct ask *ask)
{
    return ask_one(test, ask);
}

unsigned
group_ask(const struct group *group, struct ask *ask)
{
    const struct test *test = group->tests, *end = test + group->count;
    unsigned sum = ANSWER_TRUE;

    for (; test < end; test++) {
        unsigned answer;

        if (unlikely(test->has_limits) && sum != ANSWER_TRUE)
            return sum;
        answer = ask_one(test, ask);
        if (answer == ANSWER_FALSE)
            return ANSWER_FALSE;
        if (unlikely(answer >= ANSWER_WAITS))
            sum = first_waiting(sum, answer);
    }
    return sum;
}
