/* SPDX-License-Identifier: BSD-2-Clause */
/* http_url.h - a URL of the configuration that we ask ourselves: whom, and for what. */
#ifndef BASCULE_HTTP_URL_H
#define BASCULE_HTTP_URL_H

#include "server/base/err.h"
#include "server/base/slice.h"

/* All borrowed from the text. */
struct http_url {
    bool is_tls;
    struct slice authority; /* host[:port], for Host */
    struct slice host;      /* without brackets */
    uint16_t port;
    struct slice target;    /* "/path?query" */
};

/* Takes "http://host[:port]/path[?query]" or https:// apart. -1 with err, which says what is
 * wrong with it and what would be right. */
int http_url_parse(struct http_url *url, const char *text, struct err *err) MUST_USE;

/* Whether text can stand in a request as "/path[?query]". */
bool http_url_is_target(struct slice text);

#endif
