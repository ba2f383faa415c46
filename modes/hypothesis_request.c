/* SPDX-License-Identifier: BSD-2-Clause */
/* hypothesis_request.c - the request of a question, as its listener would have read it.
 *
 * It is written as a client would write it and then read by the parser, so that what
 * the parser refuses is refused here too, with the same words.
 */
#include "config.h"

#include "modes/hypothesis_inside.h"

#include "modes/mode.h"
#include "server/host_map.h"
#include "server/http/uri.h"
#include "server/snapshot.h"

/* What the URL of a question says before its path. */
struct url_head {
    struct slice scheme, authority, resource;
    struct slice host; /* lower case */
};

/* ---- the URL */

static int
split_url(struct hypothesis *h, struct slice url, struct url_head *head, struct err *err)
{
    struct slice path, query;
    int port;

    *head = (struct url_head){ 0 };
    if (url.bytes > 0 && url.data[0] == '/') {
        head->resource = url;
        return 0;
    }
    if (uri_parse_absolute(url, &head->scheme, &head->authority, &path, &query) < 0 ||
        uri_parse_authority(head->authority, &head->host, &port) < 0)
        return err_set(err, "\"%.*s\" is no URL: \"http://www.example.com/path\" would be one",
                       SLICE_ARG(url));
    head->host = uri_normal_host(head->host, &h->ex.arena);
    head->resource = path.bytes > 0 || query.data == NULL
                         ? slice_make(path.data, (size_t)(url.data + url.bytes - path.data))
                         : arena_printf(&h->ex.arena, "/?%.*s", SLICE_ARG(query));
    if (path.bytes == 0 && query.data == NULL)
        head->resource = SLICE("/");
    return 0;
}

/* ---- the listener */

static struct listener_conf *
listener_named(const struct conf *conf, struct slice name, struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, name);
    for (size_t i = 0; i < conf->listeners.count; i++) {
        struct listener_conf *listener = conf->listeners.items[i];

        if (slice_equal(slice_of(listener->name), name))
            return listener;
        nearest_offer(&nearest, listener->name);
    }
    err_set(err, "there is no listener \"%.*s\"", SLICE_ARG(name));
    nearest_hint(&nearest, err);
    return NULL;
}

static bool
is_for_url(const struct listener_conf *listener, const struct url_head *head)
{
    bool is_tls = listener->tls.place.line > 0;

    return listener->sites != NULL && is_tls == slice_equal(head->scheme, SLICE("https")) &&
           host_map_find_named(listener->sites, head->host) != NULL;
}

static bool
is_any_proxy(const struct listener_conf *listener, const struct url_head *head)
{
    (void)head;
    return listener->mode->is_proxy;
}

static bool
is_for_any_host(const struct listener_conf *listener, const struct url_head *head)
{
    return listener->sites != NULL && host_map_find(listener->sites, head->host) != NULL;
}

static bool
is_any_http(const struct listener_conf *listener, const struct url_head *head)
{
    (void)head;
    return listener->mode->on_request != NULL;
}

/* The first that takes such a request: that serves the host by its name, then proxies. */
static struct listener_conf *
find_listener(const struct conf *conf, const struct url_head *head, bool is_connect,
              struct err *err)
{
    static bool (*const tests[])(const struct listener_conf *, const struct url_head *) = {
        is_for_url, is_any_proxy, is_for_any_host, is_any_http,
    };

    for (size_t test = is_connect ? 1 : 0; test < ARRAY_COUNT(tests); test++)
        for (size_t i = 0; i < conf->listeners.count; i++)
            if (tests[test](conf->listeners.items[i], head))
                return conf->listeners.items[i];
    err_set(err, "no listener takes HTTP: name one of mode port, and no URL");
    return NULL;
}

/* ---- the request */

static bool
has_field(const struct question *question, struct slice name)
{
    for (unsigned i = 0; i < question->field_count; i++) {
        struct slice line = question->fields[i];

        if (line.bytes > name.bytes && line.data[name.bytes] == ':' &&
            slice_equal_nocase(slice_make(line.data, name.bytes), name))
            return true;
    }
    return false;
}

static struct slice
write_head(struct hypothesis *h, const struct url_head *head, struct slice target)
{
    const struct question *q = h->question;
    struct arena *arena = &h->ex.arena;
    struct slice text = arena_printf(arena, "%.*s %.*s HTTP/1.1\r\n", SLICE_ARG(q->method),
                                     SLICE_ARG(target));

    if (!has_field(q, SLICE("Host")))
        text = arena_printf(arena, "%.*sHost: %.*s\r\n", SLICE_ARG(text),
                            SLICE_ARG(head->authority));
    for (unsigned i = 0; i < q->field_count; i++)
        text = arena_printf(arena, "%.*s%.*s\r\n", SLICE_ARG(text), SLICE_ARG(q->fields[i]));
    return arena_printf(arena, "%.*s\r\n", SLICE_ARG(text));
}

/* As h1_downstream does: but where clients name any origin, the connection says which
 * scheme it is. */
static void
set_scheme(struct request *request, const struct listener_conf *listener)
{
    bool is_tls = listener->tls.place.line > 0;
    struct slice host;
    int port;

    if (request->form == TARGET_AUTHORITY ||
        (request->form == TARGET_ABSOLUTE && listener->mode->is_proxy))
        return;
    request->scheme = is_tls ? SLICE("https") : SLICE("http");
    if (uri_parse_authority(request->authority, &host, &port) < 0 || port < 0)
        request->port = is_tls ? 443 : 80;
}

static int
read_request(struct hypothesis *h, const struct url_head *head, struct slice target,
             struct err *err)
{
    const struct listener_conf *listener = h->ex.listener;
    struct h1_refusal refusal = { 0, "" };
    struct slice text = write_head(h, head, target);

    if (arena_is_spent(&h->ex.arena) || text.bytes > listener->limits.h1.head_bytes)
        return err_set(err, "the request is longer than listener \"%s\" takes", listener->name);
    if (h1_parse_request(text, &h->ex.arena, &listener->limits.h1, &h->ex.request, &refusal) < 0)
        return err_set(err, "such a request is answered with %u: %s", refusal.status,
                       refusal.reason);
    set_scheme(&h->ex.request, listener);
    return 0;
}

/* Of "CONNECT www.example.com:443": the request's target is its authority. */
static int
ask_connect(struct hypothesis *h, struct err *err)
{
    struct url_head head = { 0 };
    struct slice url = h->question->url, host;
    int port;

    if (uri_parse_authority(url, &host, &port) == 0 && port > 0) {
        head.authority = url;
        return read_request(h, &head, url, err);
    }
    return err_set(err, "CONNECT wants a host and a port, not \"%.*s\": "
                        "\"www.example.com:443\" would do", SLICE_ARG(url));
}

static int
ask_http(struct hypothesis *h, struct url_head *head, struct err *err)
{
    const struct listener_conf *listener = h->ex.listener;
    bool is_tls = listener->tls.place.line > 0;

    if (head->authority.bytes == 0 && !has_field(h->question, SLICE("Host")))
        return err_set(err, "\"%.*s\" names no host: \"http://www.example.com%.*s\" would",
                       SLICE_ARG(h->question->url), SLICE_ARG(head->resource));
    if (listener->mode->is_proxy && head->authority.bytes > 0) {
        if (slice_equal(head->scheme, SLICE("https")))
            hypothesis_note(h, "browsers ask a proxy for https:// by CONNECT: try CONNECT %.*s%s",
                            SLICE_ARG(head->authority),
                            slice_find(head->authority, ':') < 0 ? ":443" : "");
        return read_request(h, head, h->question->url, err);
    }
    if (head->scheme.bytes > 0 && is_tls != slice_equal(head->scheme, SLICE("https")))
        hypothesis_note(h, "listener %s speaks %s: it takes this for %s://", listener->name,
                        is_tls ? "TLS" : "no TLS", is_tls ? "https" : "http");
    return read_request(h, head, head->resource, err);
}

/* ---- all of it */

static int
ask_flow(struct hypothesis *h, struct err *err)
{
    const struct question *q = h->question;

    if (q->listener.bytes == 0)
        return err_set(err, "what is asked? METHOD URL, or --listener NAME for one of mode port");
    h->ex.listener = listener_named(&h->snapshot->conf, q->listener, err);
    if (h->ex.listener == NULL)
        return -1;
    if (h->ex.listener->mode->on_request != NULL)
        return err_set(err, "listener \"%s\" is of mode %s: METHOD and URL are wanted",
                       h->ex.listener->name, h->ex.listener->mode->name);
    h->is_flow = true;
    return 0;
}

int
hypothesis_ask(struct hypothesis *h, struct err *err)
{
    const struct question *q = h->question;
    const struct conf *conf = &h->snapshot->conf;
    bool is_connect = slice_equal(q->method, SLICE("CONNECT"));
    struct url_head head = { 0 };

    if (q->method.bytes == 0)
        return ask_flow(h, err);
    if (q->url.bytes == 0)
        return err_set(err, "%.*s of what? a URL is missing", SLICE_ARG(q->method));
    if (!is_connect && split_url(h, q->url, &head, err) < 0)
        return -1;
    h->is_listener_found = q->listener.bytes == 0;
    h->ex.listener = h->is_listener_found ? find_listener(conf, &head, is_connect, err)
                                          : listener_named(conf, q->listener, err);
    if (h->ex.listener == NULL)
        return -1;
    if (h->ex.listener->mode->on_request == NULL)
        return err_set(err, "listener \"%s\" is of mode %s: it takes connections, not requests",
                       h->ex.listener->name, h->ex.listener->mode->name);
    return is_connect ? ask_connect(h, err) : ask_http(h, &head, err);
}
