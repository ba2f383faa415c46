/* SPDX-License-Identifier: BSD-2-Clause */
/* http_url.c - see http_url.h. */
#include "config.h"

#include "server/http/http_url.h"

#include "server/http/uri.h"

bool
http_url_is_target(struct slice text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '#')
            return false;
    return text.bytes > 0 && text.data[0] == '/';
}

int
http_url_parse(struct http_url *url, const char *text, struct err *err)
{
    struct slice whole = slice_of(text), scheme, path, query;
    int port;

    if (uri_parse_absolute(whole, &scheme, &url->authority, &path, &query) < 0 ||
        uri_parse_authority(url->authority, &url->host, &port) < 0)
        return err_set(err, "\"%s\" is no URL such as \"https://auth.example:9091/verify\"", text);
    url->is_tls = slice_equal_nocase(scheme, SLICE("https"));
    if (!url->is_tls && !slice_equal_nocase(scheme, SLICE("http")))
        return err_set(err, "\"%s\" begins neither with http:// nor with https://", text);
    url->port = (uint16_t)(port > 0 ? port : url->is_tls ? 443 : 80);
    url->target = slice_skip(whole, (size_t)(url->authority.data - text) + url->authority.bytes);
    if (url->target.bytes == 0)
        url->target = SLICE("/");
    if (!http_url_is_target(url->target))
        return err_set(err, "\"%s\": \"%.*s\" is not a path as URLs have them", text,
                       SLICE_ARG(url->target));
    return 0;
}
