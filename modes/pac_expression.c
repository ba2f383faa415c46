/* SPDX-License-Identifier: BSD-2-Clause */
/* pac_expression.c - a table of translations, one for each condition that can be told.
 *
 * What has no translation is unknown: never surely true, always perhaps. So a condition
 * that is invented later is safe without a change here.
 */
#include "config.h"

#include "modes/pac_expression.h"

#include "modes/mode.h"
#include "server/base/hex.h"
#include "server/log/escape.h"
#include "server/policy/condition.h"
#include "server/policy/list.h"
#include "server/schema.h"

#include <ctype.h>

/* ---- truths */

static const struct pac_expression never = { PAC_NEVER, { NULL, 0 } };
static const struct pac_expression always = { PAC_ALWAYS, { NULL, 0 } };

static struct pac_expression
known(bool is_true)
{
    return is_true ? always : never;
}

static struct pac_expression
tested(struct slice text)
{
    return (struct pac_expression){ PAC_TESTED, text };
}

static struct pac_expression
unknown(struct pac_asker *asker, enum pac_certainty certainty)
{
    if (asker->obscure == NULL)
        asker->obscure = asker->field;
    return certainty == PAC_SURELY ? never : always;
}

struct pac_expression
pac_or(struct pac_asker *asker, struct pac_expression a, struct pac_expression b)
{
    if (a.truth == PAC_ALWAYS || b.truth == PAC_NEVER)
        return a;
    if (b.truth == PAC_ALWAYS || a.truth == PAC_NEVER)
        return b;
    return tested(arena_printf(asker->arena, "(%.*s || %.*s)", SLICE_ARG(a.text),
                               SLICE_ARG(b.text)));
}

static struct pac_expression
and(struct pac_asker *asker, struct pac_expression a, struct pac_expression b)
{
    if (a.truth == PAC_NEVER || b.truth == PAC_ALWAYS)
        return a;
    if (b.truth == PAC_NEVER || a.truth == PAC_ALWAYS)
        return b;
    return tested(arena_printf(asker->arena, "%.*s && %.*s", SLICE_ARG(a.text),
                               SLICE_ARG(b.text)));
}

static struct pac_expression
not(struct pac_asker *asker, struct pac_expression a)
{
    if (a.truth != PAC_TESTED)
        return known(a.truth == PAC_NEVER);
    return tested(arena_printf(asker->arena, "!(%.*s)", SLICE_ARG(a.text)));
}

/* ---- strings and arrays of them */

/* Letters, digits and what host names and proxies are written with; \xHH for the rest. */
static bool
is_plain(char c)
{
    return isascii((unsigned char)c) && (isalnum((unsigned char)c) || strchr(" -._:;", c) != NULL);
}

static char *
put_string(char *at, struct slice text)
{
    *at++ = '"';
    for (size_t i = 0; i < text.bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c != '\0' && is_plain((char)c)) {
            *at++ = (char)c;
            continue;
        }
        *at++ = '\\';
        *at++ = 'x';
        at = hex_put(at, c);
    }
    *at++ = '"';
    return at;
}

struct slice
pac_string(struct arena *arena, struct slice text)
{
    char *start = arena_alloc(arena, text.bytes * 4 + 2);

    if (start == NULL)
        return SLICE("\"\"");
    return slice_make(start, (size_t)(put_string(start, text) - start));
}

/* FUNCTION(VARIABLE, ["a", "b"]) of the names chosen. */
struct call {
    struct slice start; /* "is(host, [" */
    const struct strings *names;
    bool (*chosen)(struct slice name);
    size_t skip;        /* bytes at the beginning of a name that are left out */
};

static struct pac_expression
call(struct pac_asker *asker, const struct call *call)
{
    size_t bytes = call->start.bytes + 2, count = 0;
    char *start, *at;

    for (size_t i = 0; i < call->names->count; i++)
        bytes += call->names->items[i].bytes * 4 + 3;
    start = arena_alloc(asker->arena, bytes);
    if (start == NULL)
        return never; /* the arena remembers */
    at = mempcpy(start, call->start.data, call->start.bytes);
    for (size_t i = 0; i < call->names->count; i++) {
        struct slice name = call->names->items[i];

        if (!call->chosen(name))
            continue;
        if (count++ > 0)
            *at++ = ',';
        at = put_string(at, slice_skip(name, call->skip));
    }
    at = mempcpy(at, "])", 2);
    return count > 0 ? tested(slice_make(start, (size_t)(at - start))) : never;
}

/* ---- hosts, lists, schemes */

static bool
is_wildcard(struct slice name)
{
    return slice_starts_with(name, SLICE("*."));
}

static bool
is_exact(struct slice name)
{
    return !is_wildcard(name);
}

static bool
is_any_name(struct slice name)
{
    (void)name;
    return true;
}

/* As the script has the host: lower case, without a dot at the end. */
static bool
normalise(struct pac_asker *asker, const struct strings *names, struct strings *normal)
{
    normal->items = arena_alloc(asker->arena, names->count * sizeof(*normal->items));
    normal->count = 0;
    if (normal->items == NULL)
        return false;
    for (size_t i = 0; i < names->count; i++) {
        struct slice name = arena_copy(asker->arena, names->items[i]);
        char *text = (char *)name.data;

        for (size_t j = 0; j < name.bytes; j++)
            text[j] = ascii_lower(text[j]);
        if (name.bytes > 1 && text[name.bytes - 1] == '.')
            name.bytes--;
        normal->items[normal->count++] = name;
    }
    return true;
}

struct pac_expression
pac_hosts(struct pac_asker *asker, const struct strings *hosts, bool is_below)
{
    struct strings names;
    struct call exact = { SLICE("is(host, ["), &names, is_exact, 0 };
    struct call below = { SLICE("under(host, ["), &names, is_wildcard, 1 };
    struct call both = { SLICE("within(host, ["), &names, is_any_name, 0 };

    if (!normalise(asker, hosts, &names))
        return never;
    if (is_below)
        return call(asker, &both);
    return pac_or(asker, call(asker, &exact), call(asker, &below));
}

static const void *
named(const struct config_list *list, struct slice name)
{
    const struct {
        struct place place;
        const char *name;
    } *item;

    for (size_t i = 0; i < list->count; i++) {
        item = list->items[i];
        if (slice_equal(slice_of(item->name), name))
            return item;
    }
    return NULL;
}

/* Whether all that is in the list stands in the configuration, as plain names: then a
 * browser can have it. */
static bool
is_small(const struct list_conf *list)
{
    if (list == NULL || list->kind != LIST_DOMAINS || list->files.count > 0 ||
        (list->format != LIST_AUTO && list->format != LIST_PLAIN) ||
        list->items.count > PAC_VALUES_MAX)
        return false;
    for (size_t i = 0; i < list->items.count; i++) {
        struct slice item = list->items.items[i];

        if (slice_starts_with(item, SLICE(".")))
            return false;
        for (size_t j = 0; j < item.bytes; j++)
            if (!isalnum((unsigned char)item.data[j]) && strchr("-._", item.data[j]) == NULL)
                return false;
    }
    return true;
}

static struct pac_expression
of_host_in(struct pac_asker *asker, const void *value, enum pac_certainty certainty)
{
    const struct strings *names = value;
    struct pac_expression any = never;

    for (size_t i = 0; i < names->count; i++) {
        const struct list_conf *list = named(&asker->conf->lists, names->items[i]);

        any = pac_or(asker, any, is_small(list) ? pac_hosts(asker, &list->items, true)
                                                : unknown(asker, certainty));
    }
    return any;
}

static struct pac_expression
of_host(struct pac_asker *asker, const void *value, enum pac_certainty certainty)
{
    const struct strings *hosts = value;

    if (hosts->count > PAC_VALUES_MAX)
        return unknown(asker, certainty);
    return pac_hosts(asker, hosts, false);
}

static struct pac_expression
of_scheme(struct pac_asker *asker, const void *value, enum pac_certainty certainty)
{
    const struct strings *schemes = value;
    struct call is = { SLICE("is(scheme(url), ["), schemes, is_any_name, 0 };

    return schemes->count <= PAC_VALUES_MAX ? call(asker, &is) : unknown(asker, certainty);
}

/* ---- ports and networks: among(VALUE, [FIRST,LAST, ...]) */

/* Of a range, with commas: text_u64() wants no more room than it fills. */
#define PORTS_BYTES 12
#define RANGE_BYTES 72 /* two IPv6 addresses in quotes */

static struct pac_expression
of_port(struct pac_asker *asker, const void *value, enum pac_certainty certainty)
{
    const struct port_set *ports = value;
    char *start, *at;

    if (ports->count > PAC_VALUES_MAX)
        return unknown(asker, certainty);
    start = at = arena_alloc(asker->arena, ports->count * PORTS_BYTES + 1);
    if (start == NULL)
        return never;
    for (size_t i = 0; i < ports->count; i++) {
        if (i > 0)
            *at++ = ',';
        at = text_u64(at, ports->ranges[i].first);
        *at++ = ',';
        at = text_u64(at, ports->ranges[i].last);
    }
    return tested(arena_printf(asker->arena, "among(port(url), [%.*s])", (int)(at - start), start));
}

/* A number, or 32 hexadecimal digits in quotes, which compare as numbers do. */
static char *
put_address(char *at, const struct ip *ip)
{
    uint32_t number;

    if (ip->family == 4) {
        memcpy(&number, ip->bytes, sizeof(number));
        return text_u64(at, ntohl(number));
    }
    *at++ = '"';
    for (size_t i = 0; i < sizeof(ip->bytes); i++)
        at = hex_put(at, ip->bytes[i]);
    *at++ = '"';
    return at;
}

static struct pac_expression
ranges(struct pac_asker *asker, const struct prefix_set *networks, unsigned family)
{
    struct ip first, last;
    size_t count = 0;
    char *start, *at;

    while (prefix_set_range(networks, count, &first, &last))
        count++;
    start = at = arena_alloc(asker->arena, count * RANGE_BYTES + 1);
    if (start == NULL)
        return never;
    for (size_t i = 0; prefix_set_range(networks, i, &first, &last); i++) {
        if (first.family != family)
            continue;
        if (at > start)
            *at++ = ',';
        at = put_address(at, &first);
        *at++ = ',';
        at = put_address(at, &last);
    }
    if (at == start)
        return never;
    return tested(arena_printf(asker->arena, "among(address%u(host), [%.*s])", family,
                               (int)(at - start), start));
}

struct pac_expression
pac_networks(struct pac_asker *asker, const struct prefix_set *networks)
{
    return pac_or(asker, ranges(asker, networks, 4), ranges(asker, networks, 6));
}

/* Of hosts that are addresses; what is behind a name is not known. */
static struct pac_expression
of_destination(struct pac_asker *asker, const void *value, enum pac_certainty certainty)
{
    const struct prefix_set *networks = *(struct prefix_set *const *)value;
    struct ip first, last;

    if (certainty == PAC_PERHAPS || prefix_set_range(networks, PAC_VALUES_MAX, &first, &last))
        return unknown(asker, certainty);
    return pac_networks(asker, networks);
}

/* ---- who asks */

static struct pac_expression
of_client(struct pac_asker *asker, const void *value, enum pac_certainty certainty)
{
    (void)certainty;
    return known(asker->client == NULL ||
                 prefix_set_has(*(struct prefix_set *const *)value, asker->client));
}

static struct pac_expression
of_client_in(struct pac_asker *asker, const void *value, enum pac_certainty certainty)
{
    const struct strings *names = value;
    bool has_any = asker->client == NULL;

    for (size_t i = 0; !has_any && i < names->count; i++) {
        const struct list_conf *list = named(&asker->conf->lists, names->items[i]);

        if (list == NULL || list->list == NULL)
            return unknown(asker, certainty);
        has_any = list_has_ip(list->list, asker->client);
    }
    return known(has_any);
}

static bool
has_name(const struct strings *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (slice_equal(names->items[i], slice_of(name)))
            return true;
    return false;
}

static struct pac_expression
of_listener(struct pac_asker *asker, const void *value, enum pac_certainty certainty)
{
    (void)certainty;
    return known(has_name(value, asker->listener->name));
}

static struct pac_expression
of_mode(struct pac_asker *asker, const void *value, enum pac_certainty certainty)
{
    (void)certainty;
    return known(has_name(value, asker->listener->mode->name));
}

/* ---- groups of conditions */

typedef struct pac_expression translate_fn(struct pac_asker *asker, const void *value,
                                           enum pac_certainty certainty);

static translate_fn *const translations[TEST_OVER + 1] = {
    [TEST_LISTENER] = of_listener,
    [TEST_MODE] = of_mode,
    [TEST_CLIENT] = of_client,
    [TEST_CLIENT_IN] = of_client_in,
    [TEST_SCHEME] = of_scheme,
    [TEST_HOST] = of_host,
    [TEST_HOST_IN] = of_host_in,
    [TEST_PORT] = of_port,
    [TEST_DESTINATION] = of_destination,
};

static struct pac_expression
field_expression(struct pac_asker *asker, const struct condition_field *field, const void *value,
                 enum pac_certainty certainty)
{
    translate_fn *translate = translations[field->kind];

    asker->field = field->name;
    return translate != NULL ? translate(asker, value, certainty) : unknown(asker, certainty);
}

static struct pac_expression
any_of(struct pac_asker *asker, const struct config_list *groups, enum pac_certainty certainty)
{
    struct pac_expression any = never;

    for (size_t i = 0; i < groups->count; i++)
        any = pac_or(asker, any, pac_condition(asker, groups->items[i], certainty));
    return any;
}

static struct pac_expression
any_set(struct pac_asker *asker, const struct strings *names, enum pac_certainty certainty)
{
    struct pac_expression any = never;

    for (size_t i = 0; i < names->count; i++) {
        const struct condition_set_conf *set = named(&asker->conf->sets, names->items[i]);

        any = pac_or(asker, any, set != NULL ? pac_condition(asker, &set->when, certainty)
                                             : unknown(asker, certainty));
    }
    return any;
}

/* Sets in sets end: policies_finish() refuses what is in itself, and much depth. */
struct pac_expression
pac_condition(struct pac_asker *asker, const struct condition_conf *conf,
              enum pac_certainty certainty)
{
    enum pac_certainty opposite = certainty == PAC_SURELY ? PAC_PERHAPS : PAC_SURELY;
    struct pac_expression all = always;

    for (const struct condition_field *field = condition_fields; field->name != NULL; field++)
        if (condition_is_said(field, conf))
            all = and(asker, all, field_expression(asker, field, condition_value(field, conf),
                                                   certainty));
    for (size_t i = 0; i < conf->all.count; i++)
        all = and(asker, all, pac_condition(asker, conf->all.items[i], certainty));
    if (conf->any.count > 0)
        all = and(asker, all, any_of(asker, &conf->any, certainty));
    if (conf->sets.count > 0)
        all = and(asker, all, any_set(asker, &conf->sets, certainty));
    return and(asker, all, not(asker, any_of(asker, &conf->none, opposite)));
}
