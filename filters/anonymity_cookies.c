/* SPDX-License-Identifier: BSD-2-Clause */
/* anonymity_cookies.c - third parties, and cookies that last.
 *
 * Who follows a link from one site to another opens a page: its cookies are those of a
 * first party. An image, a script or a frame that a page of another site wants is a
 * third party's. Browsers tell the two apart by Sec-Fetch-* where connections are
 * encrypted, elsewhere Upgrade-Insecure-Requests says that a page is to be opened.
 */
#include "config.h"

#include "filters/anonymity_cookies.h"

#include "server/base/calendar.h"
#include "server/http/uri.h"

#ifdef HAVE_LIBPSL
#include <libpsl.h>
#endif

#define HOST_BYTES_MAX 255

/* ---- sites */

struct host {
    char text[HOST_BYTES_MAX + 1];
    size_t bytes;
};

/* In lower case, without a dot at the end; empty when it is no host. */
static void
fold(struct host *host, struct slice name)
{
    host->bytes = 0;
    if (name.bytes > HOST_BYTES_MAX)
        name.bytes = 0;
    while (host->bytes < name.bytes) {
        host->text[host->bytes] = ascii_lower(name.data[host->bytes]);
        host->bytes++;
    }
    if (host->bytes > 0 && host->text[host->bytes - 1] == '.')
        host->bytes--;
    host->text[host->bytes] = '\0';
}

#ifndef HAVE_LIBPSL
static const char *
last_two_labels(const struct host *host)
{
    unsigned dots = 0;

    for (size_t i = host->bytes; i > 0; i--)
        if (host->text[i - 1] == '.' && ++dots == 2)
            return host->text + i;
    return dots == 1 ? host->text : NULL;
}
#endif

/* NULL: the host is of no such domain: a public suffix itself, one label, an address. */
static const char *
registrable(const struct host *host)
{
    struct ip ip;

    if (host->bytes == 0 || ip_parse(slice_make(host->text, host->bytes), &ip))
        return NULL;
#ifdef HAVE_LIBPSL
    return psl_registrable_domain(psl_builtin(), host->text);
#else
    return last_two_labels(host);
#endif
}

bool
cookies_is_same_site(struct slice one, struct slice other)
{
    struct host hosts[2];
    const char *domain, *other_domain;

    fold(&hosts[0], one);
    fold(&hosts[1], other);
    if (hosts[0].bytes > 0 && strcmp(hosts[0].text, hosts[1].text) == 0)
        return true;
    domain = registrable(&hosts[0]);
    other_domain = domain != NULL ? registrable(&hosts[1]) : NULL;
    return other_domain != NULL && strcmp(domain, other_domain) == 0;
}

/* ---- third parties */

/* "https://host[:port]..." of Origin or Referer; what cannot be read is of nobody. */
static bool
is_url_of_site(struct slice url, struct slice host)
{
    struct slice scheme, authority, path, query, its;
    ptrdiff_t fragment = slice_find(url, '#');
    int port;

    if (fragment >= 0)
        url.bytes = (size_t)fragment;
    return uri_parse_absolute(url, &scheme, &authority, &path, &query) == 0 &&
           uri_parse_authority(authority, &its, &port) == 0 && cookies_is_same_site(its, host);
}

static bool
opens_page(const struct fields *fields)
{
    if (fields_has(fields, FIELD_SEC_FETCH_DEST))
        return slice_equal(fields_get(fields, FIELD_SEC_FETCH_DEST), SLICE("document"));
    return fields_has(fields, FIELD_UPGRADE_INSECURE_REQUESTS);
}

bool
cookies_is_third_party(const struct request *request)
{
    const struct fields *fields = &request->fields;

    if (opens_page(fields))
        return false;
    if (fields_has(fields, FIELD_SEC_FETCH_SITE))
        return slice_equal(fields_get(fields, FIELD_SEC_FETCH_SITE), SLICE("cross-site"));
    if (fields_has(fields, FIELD_ORIGIN))
        return !is_url_of_site(fields_get(fields, FIELD_ORIGIN), request->host);
    return fields_has(fields, FIELD_REFERER) &&
           !is_url_of_site(fields_get(fields, FIELD_REFERER), request->host);
}

/* ---- lifetimes */

/* Takes the next run of letters, digits and colons: RFC 6265 section 5.1.1 takes dates
 * apart so, whatever stands between. */
static bool
next_word(struct slice *text, struct slice *word)
{
    size_t bytes = 0;

    while (text->bytes > 0 && strchr(" ,-./\t\"", text->data[0]) != NULL)
        *text = slice_skip(*text, 1);
    while (bytes < text->bytes && strchr(" ,-./\t\"", text->data[bytes]) == NULL)
        bytes++;
    *word = slice_make(text->data, bytes);
    *text = slice_skip(*text, bytes);
    return bytes > 0;
}

static int
month_of(struct slice word)
{
    static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";

    for (int i = 0; word.bytes >= 3 && i < 12; i++)
        if (slice_equal_nocase(slice_make(word.data, 3), slice_make(months + 3 * i, 3)))
            return i + 1;
    return 0;
}

/* Whether a cookie with this Expires is gone: to the day, which is enough to tell the
 * deletion of a cookie from one that lasts. What is no date counts as none. */
static bool
is_past(struct slice text, int64_t now)
{
    struct date date = { -1, 0, 0 };
    struct slice word;

    while (next_word(&text, &word)) {
        uint64_t number = 0;
        bool is_number = slice_to_u64(word, 9999, &number);

        if (is_number && date.day == 0 && word.bytes <= 2)
            date.day = (int)number;
        else if (is_number && date.year < 0 && (word.bytes == 2 || word.bytes == 4))
            date.year = (int)(word.bytes == 4 ? number : number + (number < 70 ? 2000 : 1900));
        else if (date.month == 0)
            date.month = month_of(word);
    }
    return date.year >= 1601 && date.month > 0 && calendar_has(date) &&
           calendar_days(date) * DAY_SECONDS + DAY_SECONDS <= now;
}

/* Takes "; name=value" off *rest. */
static bool
next_attribute(struct slice *rest, struct slice *part, struct slice *name, struct slice *value)
{
    ptrdiff_t end = slice_find(slice_skip(*rest, 1), ';'), equals;

    if (rest->bytes == 0)
        return false;
    *part = end >= 0 ? slice_make(rest->data, (size_t)end + 1) : *rest;
    *rest = slice_skip(*rest, part->bytes);
    equals = slice_find(*part, '=');
    *name = slice_trim(slice_make(part->data + 1, (equals > 0 ? (size_t)equals : part->bytes) - 1));
    *value = equals > 0 ? slice_trim(slice_skip(*part, (size_t)equals + 1)) : slice_make("", 0);
    return true;
}

/* 0: lasts for the session; 1: longer; -1: is deleted. Max-Age goes before Expires, and
 * the last of each counts (RFC 6265 section 5.3). */
static int
lifetime(struct slice rest, int64_t now)
{
    struct slice part, name, value;
    int by_age = 0, by_date = 0;
    uint64_t age;

    while (next_attribute(&rest, &part, &name, &value))
        if (slice_equal_nocase(name, SLICE("Max-Age")))
            by_age = slice_starts_with(value, SLICE("-")) ||
                             (slice_to_u64(value, UINT64_MAX, &age) && age == 0)
                         ? -1
                         : 1;
        else if (slice_equal_nocase(name, SLICE("Expires")))
            by_date = is_past(value, now) ? -1 : 1;
    return by_age != 0 ? by_age : by_date;
}

struct slice
cookies_for_session(struct slice cookie, int64_t now, struct arena *arena)
{
    ptrdiff_t end = slice_find(cookie, ';');
    struct slice rest = slice_skip(cookie, end >= 0 ? (size_t)end : cookie.bytes);
    struct slice part, name, value;
    char *start, *at;

    if (lifetime(rest, now) <= 0)
        return cookie;
    start = arena_alloc(arena, cookie.bytes);
    if (start == NULL)
        return slice_make("", 0);
    at = mempcpy(start, cookie.data, cookie.bytes - rest.bytes);
    while (next_attribute(&rest, &part, &name, &value))
        if (!slice_equal_nocase(name, SLICE("Max-Age")) &&
            !slice_equal_nocase(name, SLICE("Expires")))
            at = mempcpy(at, part.data, part.bytes);
    return slice_make(start, (size_t)(at - start));
}
