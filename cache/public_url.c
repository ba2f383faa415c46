/* SPDX-License-Identifier: BSD-2-Clause */
/* public_url.c - written by the same hand as keys, so that both agree on what
 * counts.
 */
#include "config.h"

#include "cache/public_url.h"

#include "server/http/uri.h"

/* "http" or "https", whatever the case; data NULL otherwise. */
static struct slice
known_scheme(struct slice scheme)
{
    if (slice_equal_nocase(scheme, SLICE("https")))
        return SLICE("https");
    if (slice_equal_nocase(scheme, SLICE("http")))
        return SLICE("http");
    return slice_make(NULL, 0);
}

/* Spaces and control characters are in no request's target. */
static bool
is_clean(struct slice text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if ((unsigned char)text.data[i] <= ' ' || text.data[i] == 0x7f)
            return false;
    return true;
}

int
public_url_parse(struct public_url *url, struct arena *arena, struct slice text, struct err *err)
{
    struct slice scheme, authority, path, query;
    int port;

    if (!is_clean(text) || uri_parse_absolute(text, &scheme, &authority, &path, &query) < 0)
        return err_set(err, "\"%.*s\" is not a URL: https://www.example.com/path is one",
                       SLICE_ARG(text));
    url->scheme = known_scheme(scheme);
    if (url->scheme.data == NULL)
        return err_set(err, "\"%.*s\": only http:// and https:// are stored", SLICE_ARG(text));
    if (uri_parse_authority(authority, &url->host, &port) < 0)
        return err_set(err, "\"%.*s\": \"%.*s\" is not a host, with or without a port",
                       SLICE_ARG(text), SLICE_ARG(authority));
    url->host = uri_normal_host(url->host, arena);
    url->port = port > 0 ? (uint16_t)port : slice_equal(url->scheme, SLICE("https")) ? 443 : 80;
    url->resource = arena_printf(arena, "%s%.*s%s%.*s", path.bytes > 0 ? "" : "/",
                                 SLICE_ARG(path), query.data != NULL ? "?" : "",
                                 SLICE_ARG(query));
    return arena_is_spent(arena) ? err_set(err, "the URL is too long") : 0;
}

struct slice
public_url_counting(struct arena *arena, const struct key_conf *conf,
                    const struct public_url *url)
{
    struct key_conf query_only = *conf;
    struct key_parts parts = {
        .source = slice_make("", 0),
        .scheme = url->scheme,
        .host = url->host,
        .port = url->port,
        .url = url->resource,
    };
    struct slice key;

    query_only.header_count = 0;
    query_only.adds_device = false;
    key = cache_key_make(arena, &query_only, &parts);
    return key.data != NULL ? cache_key_url(key) : key;
}

struct slice
public_url_text(struct arena *arena, const struct public_url *url)
{
    static const struct key_conf no_rules;

    return public_url_counting(arena, &no_rules, url);
}
