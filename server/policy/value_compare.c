/* SPDX-License-Identifier: BSD-2-Clause */
/* value_compare.c - "*.example.com" covers "www.example.com", "10.0.0.0/8" covers
 * "10.9.0.0/16"; two networks that share no address are apart.
 */
#include "config.h"

#include "server/policy/value_compare.h"

#include "server/base/pattern.h"

/* ---- single texts */

static bool
is_star(struct slice text)
{
    return slice_equal(text, SLICE("*"));
}

/* "*.example.com" and names below, or itself. */
static bool
host_covers(struct slice wide, struct slice narrow)
{
    struct slice end = slice_skip(wide, 1);

    if (wide.bytes < 2 || wide.data[0] != '*' || narrow.bytes <= end.bytes)
        return slice_equal_nocase(wide, narrow);
    return slice_equal_nocase(slice_skip(narrow, narrow.bytes - end.bytes), end);
}

/* "/admin/" and a "*", or itself. */
static bool
beginning_covers(struct slice wide, struct slice narrow)
{
    bool is_open = wide.bytes > 0 && wide.data[wide.bytes - 1] == '*';
    bool is_narrow_open = narrow.bytes > 0 && narrow.data[narrow.bytes - 1] == '*';

    if (!is_open)
        return !is_narrow_open && slice_equal(wide, narrow);
    wide.bytes--;
    narrow.bytes -= is_narrow_open;
    return slice_starts_with(narrow, wide);
}

static struct slice
without_as(struct slice text)
{
    return text.bytes > 2 && !ascii_is_digit(text.data[0]) ? slice_skip(text, 2) : text;
}

/* They have been read before, when they were compiled. */
static bool
read_statuses(struct slice a, struct port_range *x, struct slice b, struct port_range *y)
{
    return condition_read_statuses(a, x) && condition_read_statuses(b, y);
}

static bool
status_covers(struct slice wide, struct slice narrow)
{
    struct port_range x, y;

    return read_statuses(wide, &x, narrow, &y) && x.first <= y.first && y.last <= x.last;
}

static bool
statuses_overlap(struct slice a, struct slice b)
{
    struct port_range x, y;

    return !read_statuses(a, &x, b, &y) || (x.first <= y.last && y.first <= x.last);
}

static bool
text_covers(enum test_kind kind, struct slice wide, struct slice narrow)
{
    switch (kind) {
    case TEST_HOST:
    case TEST_SNI:
        return host_covers(wide, narrow);
    case TEST_PATH:
    case TEST_CONTENT_TYPE:
        return beginning_covers(wide, narrow);
    case TEST_STATUS:
        return status_covers(wide, narrow);
    case TEST_METHOD:
        return slice_equal(wide, narrow) ||
               (slice_equal(wide, SLICE("GET")) && slice_equal(narrow, SLICE("HEAD")));
    case TEST_USER:
    case TEST_CERTIFICATE:
        return is_star(wide) || slice_equal(wide, narrow);
    case TEST_COUNTRY:
    case TEST_DESTINATION_COUNTRY:
        return slice_equal_nocase(wide, narrow);
    case TEST_AS:
    case TEST_DESTINATION_AS:
        return slice_equal(without_as(wide), without_as(narrow));
    default:
        return slice_equal(wide, narrow);
    }
}

/* Whether the fact has one value at a time, so that no two values are true at once unless one
 * covers the other. */
static bool
is_single_valued(enum test_kind kind)
{
    switch (kind) {
    case TEST_LISTENER:
    case TEST_MODE:
    case TEST_METHOD:
    case TEST_SCHEME:
    case TEST_HOST:
    case TEST_PATH:
    case TEST_USER:
    case TEST_SNI:
    case TEST_STATUS:
    case TEST_COUNTRY:
    case TEST_AS:
    case TEST_DESTINATION_COUNTRY:
    case TEST_DESTINATION_AS:
    case TEST_CERTIFICATE_ISSUER:
        return true;
    default:
        return false;
    }
}

static bool
texts_overlap(enum test_kind kind, struct slice a, struct slice b)
{
    if (kind == TEST_STATUS)
        return statuses_overlap(a, b);
    return text_covers(kind, a, b) || text_covers(kind, b, a);
}

/* ---- many */

static bool
spend(uint64_t *work)
{
    if (*work == 0)
        return false;
    (*work)--;
    return true;
}

static bool
strings_cover(enum test_kind kind, const struct strings *wide, const struct strings *narrow,
              uint64_t *work)
{
    for (size_t i = 0; i < narrow->count; i++) {
        size_t at = 0;

        while (at < wide->count && spend(work) &&
               !text_covers(kind, wide->items[at], narrow->items[i]))
            at++;
        if (at == wide->count || *work == 0)
            return false;
    }
    return true;
}

static bool
strings_are_apart(enum test_kind kind, const struct strings *a, const struct strings *b,
                  uint64_t *work)
{
    if (!is_single_valued(kind))
        return false;
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            if (!spend(work) || texts_overlap(kind, a->items[i], b->items[j]))
                return false;
    return true;
}

static bool
ports_cover(const struct port_set *wide, const struct port_set *narrow)
{
    size_t at = 0;

    for (size_t i = 0; i < narrow->count; i++) {
        while (at < wide->count && wide->ranges[at].last < narrow->ranges[i].last)
            at++;
        if (at == wide->count || wide->ranges[at].first > narrow->ranges[i].first)
            return false;
    }
    return true;
}

static bool
ports_are_apart(const struct port_set *a, const struct port_set *b)
{
    for (size_t i = 0, j = 0; i < a->count && j < b->count;) {
        if (a->ranges[i].last < b->ranges[j].first)
            i++;
        else if (b->ranges[j].last < a->ranges[i].first)
            j++;
        else
            return false;
    }
    return true;
}

/* ---- networks: ranges that are sorted, IPv4 before IPv6 */

static int
compare_ips(const struct ip *a, const struct ip *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16);
}

static bool
networks_cover(const struct prefix_set *wide, const struct prefix_set *narrow, uint64_t *work)
{
    struct ip first, last, from, to;
    size_t at = 0;

    for (size_t i = 0; prefix_set_range(narrow, i, &from, &to); i++) {
        for (;; at++) {
            if (!spend(work) || !prefix_set_range(wide, at, &first, &last))
                return false;
            if (compare_ips(&last, &to) >= 0)
                break;
        }
        if (compare_ips(&first, &from) > 0)
            return false;
    }
    return true;
}

static bool
networks_are_apart(const struct prefix_set *a, const struct prefix_set *b, uint64_t *work)
{
    struct ip first, last, from, to;

    for (size_t i = 0, j = 0;
         prefix_set_range(a, i, &first, &last) && prefix_set_range(b, j, &from, &to);) {
        if (!spend(work))
            return false;
        if (compare_ips(&last, &from) < 0)
            i++;
        else if (compare_ips(&to, &first) < 0)
            j++;
        else
            return false;
    }
    return true;
}

/* ---- header fields, cookies, parameters */

static bool
match_covers(enum test_kind kind, const struct named_match *wide,
             const struct named_match *narrow)
{
    struct slice a = slice_of(wide->name), b = slice_of(narrow->name);

    if (kind == TEST_HEADER ? !slice_equal_nocase(a, b) : !slice_equal(a, b))
        return false;
    if (wide->pattern != NULL)
        return narrow->pattern != NULL &&
               strcmp(pattern_text(wide->pattern), pattern_text(narrow->pattern)) == 0;
    return wide->value == NULL ||
           (narrow->value != NULL && strcmp(wide->value, narrow->value) == 0);
}

static bool
matches_cover(enum test_kind kind, const struct config_list *wide,
              const struct config_list *narrow, uint64_t *work)
{
    for (size_t i = 0; i < narrow->count; i++) {
        size_t at = 0;

        while (at < wide->count && spend(work) &&
               !match_covers(kind, wide->items[at], narrow->items[i]))
            at++;
        if (at == wide->count || *work == 0)
            return false;
    }
    return true;
}

/* ---- all */

static bool
is_same_zone(const struct condition_conf *a, const struct condition_conf *b)
{
    return slice_equal(slice_of(a->time_zone), slice_of(b->time_zone));
}

static bool
pointers_cover(enum test_kind kind, const void *wide, const void *narrow, uint64_t *work)
{
    if (kind == TEST_CLIENT || kind == TEST_DESTINATION)
        return networks_cover(*(struct prefix_set *const *)wide,
                              *(struct prefix_set *const *)narrow, work);
    return strcmp(pattern_text(*(struct pattern *const *)wide),
                  pattern_text(*(struct pattern *const *)narrow)) == 0;
}

bool
values_cover(const struct condition_field *field, const struct condition_conf *wide,
             const struct condition_conf *narrow, uint64_t *work)
{
    const void *a = condition_value(field, wide), *b = condition_value(field, narrow);
    enum test_kind kind = field->kind;

    switch ((enum field_form)field->form) {
    case FORM_STRINGS:
        return (kind != TEST_TIME || is_same_zone(wide, narrow)) &&
               strings_cover(kind, a, b, work);
    case FORM_LIST:
        return matches_cover(kind, a, b, work);
    case FORM_POINTER:
        return pointers_cover(kind, a, b, work);
    case FORM_PORTS:
        return ports_cover(a, b);
    case FORM_SIZE:
        return wide->longer_than <= narrow->longer_than;
    case FORM_MAYBE:
        return wide->server_name_differs == narrow->server_name_differs;
    }
    return false;
}

bool
values_are_apart(const struct condition_field *field, const struct condition_conf *a,
                 const struct condition_conf *b, uint64_t *work)
{
    const void *x = condition_value(field, a), *y = condition_value(field, b);

    switch ((enum field_form)field->form) {
    case FORM_STRINGS:
        return strings_are_apart(field->kind, x, y, work);
    case FORM_POINTER:
        return (field->kind == TEST_CLIENT || field->kind == TEST_DESTINATION) &&
               networks_are_apart(*(struct prefix_set *const *)x,
                                  *(struct prefix_set *const *)y, work);
    case FORM_PORTS:
        return ports_are_apart(x, y);
    case FORM_MAYBE:
        return a->server_name_differs != b->server_name_differs;
    case FORM_LIST:
    case FORM_SIZE:
        break;
    }
    return false;
}
