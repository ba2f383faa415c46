/* SPDX-License-Identifier: BSD-2-Clause */
/* list_content.c - takes entries apart and puts them where their like are kept. */
#include "config.h"

#include "server/policy/list_content.h"

#include "server/base/log.h"
#include "server/base/must.h"
#include "server/http/uri.h"

#include <inttypes.h>
#include <stdlib.h>

#define ARENA_BYTES ((size_t)1 << 36) /* entries are counted, bytes need not be */
#define SHOWN_BYTES 100u              /* of an entry, in messages */

struct list_content *
list_content_new(const struct list_conf *conf)
{
    struct list_content *content = calloc(1, sizeof(*content));

    if (content == NULL)
        return NULL;
    content->kind = (enum list_kind)conf->kind;
    content->max_entries = (uint64_t)conf->max_entries;
    content->max_expressions = (uint64_t)conf->max_expressions;
    domain_set_init(&content->domains);
    domain_set_init(&content->spared);
    domain_set_init(&content->spared_above);
    url_set_init(&content->urls);
    arena_init(&content->arena, NULL, ARENA_BYTES);
    list_init(&content->link);
    return content;
}

void
list_content_free(struct list_content *content)
{
    if (content == NULL)
        return;
    domain_set_fini(&content->domains);
    domain_set_fini(&content->spared);
    domain_set_fini(&content->spared_above);
    url_set_fini(&content->urls);
    arena_fini(&content->arena);
    free(content);
}

uint64_t
list_content_bytes(const struct list_content *content)
{
    return sizeof(*content) + domain_set_bytes(&content->domains) +
           domain_set_bytes(&content->spared) + domain_set_bytes(&content->spared_above) +
           url_set_bytes(&content->urls) + ARENA_BYTES - content->arena.left_bytes;
}

/* ---- what is wrong with an entry */

static const char *
shown(struct slice text)
{
    if (text.bytes > SHOWN_BYTES)
        text.bytes = SHOWN_BYTES;
    return log_escape(text);
}

static int
end_here(struct list_content *content, const char *why, struct err *err)
{
    content->is_over = true;
    return err_set(err, "%s", why);
}

/* An entry was added, or was there. result as of the sets. */
static int
note(struct list_content *content, int result, struct err *err)
{
    if (result < 0)
        return end_here(content, "memory is short", err);
    if (result == 0)
        return 0;
    if (++content->entries <= content->max_entries)
        return 0;
    content->is_over = true;
    return err_set(err, "the list has more entries than its max_entries, %" PRIu64,
                   content->max_entries);
}

/* ---- domains */

/* In lower case, without what stands for "and below": "*.", "." in front, and a dot at
 * the end. to has room for one byte more than a name may have. */
static struct slice
plain_name(struct slice text, char to[DOMAIN_BYTES_MAX + 1])
{
    if (slice_starts_with(text, SLICE("*.")))
        text = slice_skip(text, 2);
    else if (slice_starts_with(text, SLICE(".")))
        text = slice_skip(text, 1);
    if (text.bytes > 0 && text.data[text.bytes - 1] == '.')
        text.bytes--;
    if (text.bytes > DOMAIN_BYTES_MAX + 1)
        text.bytes = DOMAIN_BYTES_MAX + 1;
    for (size_t i = 0; i < text.bytes; i++)
        to[i] = ascii_lower(text.data[i]);
    return slice_make(to, text.bytes);
}

static bool
is_ascii(struct slice text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if ((unsigned char)text.data[i] >= 0x80)
            return false;
    return true;
}

static int
refuse_domain(struct slice text, struct err *err)
{
    if (!is_ascii(text))
        return err_set(err, "\"%s\" is not ASCII: write the name as DNS has it, with \"xn--\"",
                       shown(text));
    if (slice_find(text, '/') >= 0)
        return err_set(err, "\"%s\" is a URL and no domain: kind \"urls\" takes it", shown(text));
    if (slice_find(text, '*') >= 0)
        return err_set(err, "\"%s\" has a \"*\" elsewhere than in front: a domain covers all "
                       "below it anyway", shown(text));
    return err_set(err, "\"%s\" is not a domain", shown(text));
}

/* What ends with a digit, or has a colon, may be an address. */
static bool
is_address(struct slice name, struct ip *ip)
{
    if (name.bytes >= 2 && name.data[0] == '[' && name.data[name.bytes - 1] == ']')
        name = slice_make(name.data + 1, name.bytes - 2);
    if (name.bytes == 0 || (!ascii_is_digit(name.data[name.bytes - 1]) &&
                            slice_find(name, ':') < 0))
        return false;
    return ip_parse(name, ip);
}

static int
add_address(struct list_content *content, const struct ip *ip, enum list_effect effect,
            struct err *err)
{
    struct prefix_set **set = effect == LIST_PUT ? &content->networks : &content->spared_networks;
    char text[IP_TEXT_BYTES];

    if (*set == NULL)
        *set = prefix_set_new(&content->arena);
    if (*set == NULL || prefix_set_add(*set, slice_make(text, ip_text(ip, text)), err) < 0)
        return end_here(content, "memory is short", err);
    return note(content, 1, err);
}

static int
add_name(struct list_content *content, struct slice name, enum list_effect effect,
         struct err *err)
{
    int result = -1;

    switch (effect) {
    case LIST_PUT:
        result = domain_set_add(&content->domains, name, !content->may_except_above);
        break;
    case LIST_SPARE:
        result = domain_set_add(&content->spared, name, true);
        break;
    case LIST_SPARE_ABOVE:
        result = domain_set_add(&content->spared_above, name, false);
        break;
    }
    return note(content, result, err);
}

int
list_content_add_domain(struct list_content *content, struct slice text, enum list_effect effect,
                        struct err *err)
{
    char lower[DOMAIN_BYTES_MAX + 1];
    struct slice name = plain_name(text, lower);
    struct ip ip;

    if (is_address(name, &ip))
        return add_address(content, &ip, effect, err);
    if (!domain_is_good(name))
        return refuse_domain(text, err);
    if (ascii_is_digit(name.data[name.bytes - 1]) && uri_host_is_odd_ip(name))
        return err_set(err, "\"%s\" is neither an address nor a domain: its last label is a "
                       "number", shown(text));
    return add_name(content, name, effect, err);
}

/* ---- networks */

int
list_content_add_network(struct list_content *content, struct slice text, struct err *err)
{
    if (content->networks == NULL)
        content->networks = prefix_set_new(&content->arena);
    if (text.bytes > SHOWN_BYTES)
        return err_set(err, "\"%s\" is not a network", shown(text));
    if (content->networks == NULL || prefix_set_add(content->networks, text, err) < 0) {
        content->is_over = arena_is_spent(&content->arena);
        return -1;
    }
    return note(content, 1, err);
}

/* ---- URLs */

int
list_content_add_expression(struct list_content *content, struct slice text, struct err *err)
{
    char *copy;
    int result;

    if (memchr(text.data, '\0', text.bytes) != NULL)
        return err_set(err, "the expression has a byte 0 in it");
    if (content->urls.pattern_count >= content->max_expressions) {
        content->is_over = true;
        return err_set(err, "the list has more expressions than its max_expressions, %" PRIu64,
                       content->max_expressions);
    }
    copy = strndup(text.data, text.bytes);
    if (copy == NULL)
        return end_here(content, "memory is short", err);
    result = url_set_add_pattern(&content->urls, copy, err);
    free(copy);
    return result < 0 ? -1 : note(content, 1, err);
}

static struct slice
without_scheme(struct slice text)
{
    static const struct slice schemes[] = { SLICE_INIT("http://"), SLICE_INIT("https://") };

    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        struct slice begin = slice_make(text.data, schemes[i].bytes);

        if (text.bytes >= schemes[i].bytes && slice_equal_nocase(begin, schemes[i]))
            return slice_skip(text, schemes[i].bytes);
    }
    return text;
}

static int
add_beginning(struct list_content *content, struct slice host, struct slice path,
              struct slice query, struct err *err)
{
    struct arena scratch;
    struct slice form;
    int result;

    arena_init(&scratch, NULL, path.bytes + (1u << 16));
    form = path.bytes > 0 ? uri_normal_path(path, &scratch) : SLICE("/");
    if (form.data == NULL)
        result = err_set(err, "\"%s\" is not the path of a URL", shown(path));
    else
        result = note(content, url_set_add(&content->urls, host, form, query), err);
    arena_fini(&scratch);
    return result;
}

static int
add_url(struct list_content *content, struct slice text, struct slice host, struct slice rest,
        struct err *err)
{
    char lower[DOMAIN_BYTES_MAX + 1];
    struct slice name = plain_name(host, lower), path, query;

    uri_split_query(rest, &path, &query);
    if (query.data == NULL && path.bytes > 0 && path.data[path.bytes - 1] == '*')
        path.bytes--; /* all that begins so, which is meant anyway */
    if (path.bytes <= 1 && query.bytes == 0)
        return list_content_add_domain(content, host, LIST_PUT, err);
    if (slice_find(host, ':') >= 0)
        return err_set(err, "\"%s\" names a port or an IPv6 address: lists know hosts and paths",
                       shown(text));
    if (!domain_is_good(name))
        return refuse_domain(host, err);
    if (slice_find(rest, '#') >= 0)
        return err_set(err, "\"%s\" has a fragment, which no request has", shown(text));
    return add_beginning(content, name, path, query, err);
}

int
list_content_add_url(struct list_content *content, struct slice text, struct err *err)
{
    struct slice url = without_scheme(text);
    size_t host = 0;

    if (text.bytes > 2 && text.data[0] == '/' && text.data[text.bytes - 1] == '/')
        return list_content_add_expression(content, slice_make(text.data + 1, text.bytes - 2),
                                           err);
    while (host < url.bytes && url.data[host] != '/' && url.data[host] != '?')
        host++;
    return add_url(content, text, slice_make(url.data, host), slice_skip(url, host), err);
}

/* ---- any */

int
list_content_add(struct list_content *content, struct slice text, struct err *err)
{
    switch (content->kind) {
    case LIST_DOMAINS:
        return list_content_add_domain(content, text, LIST_PUT, err);
    case LIST_NETWORKS:
        return list_content_add_network(content, text, err);
    case LIST_URLS:
        return list_content_add_url(content, text, err);
    }
    return -1;
}

/* Into an arena that holds nothing but what they are sealed to. */
int
list_content_seal(struct list_content *content)
{
    struct arena grown = content->arena;

    arena_init(&content->arena, NULL, ARENA_BYTES);
    if (content->networks != NULL)
        content->networks = prefix_set_pack(content->networks, &content->arena);
    if (content->spared_networks != NULL)
        content->spared_networks = prefix_set_pack(content->spared_networks, &content->arena);
    arena_fini(&grown);
    return arena_is_spent(&content->arena) ? -1 : 0;
}

/* ---- asking */

static bool
has_literal(const struct list_content *content, struct slice host)
{
    struct ip ip;

    return content->networks != NULL && is_address(host, &ip) && list_content_has_ip(content, &ip);
}

bool
list_content_has_host(const struct list_content *content, struct slice host, struct slice *entry)
{
    unsigned labels = domain_set_find(&content->domains, host, entry);

    if (labels > 0)
        return domain_set_find(&content->spared, host, NULL) == 0 &&
               domain_set_find(&content->spared_above, host, NULL) < labels;
    if (!has_literal(content, host))
        return false;
    if (entry != NULL)
        *entry = host;
    return true;
}

bool
list_content_has_ip(const struct list_content *content, const struct ip *ip)
{
    return prefix_set_has(content->networks, ip) && !prefix_set_has(content->spared_networks, ip);
}

bool
list_content_has_url(const struct list_content *content, struct slice host, struct slice path,
                     struct slice query)
{
    if (list_content_has_host(content, host, NULL))
        return true;
    return url_set_count(&content->urls) > 0 &&
           domain_set_find(&content->spared, host, NULL) == 0 &&
           url_set_has(&content->urls, host, path, query);
}
