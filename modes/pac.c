/* SPDX-License-Identifier: BSD-2-Clause */
/* pac.c - checks what is configured of a PAC file, and serves it. */
#include "config.h"

#include "modes/pac.h"

#include "cache/validate.h"
#include "modes/pac_script.h"
#include "server/base/hash.h"
#include "server/generation.h"
#include "server/http/exchange.h"
#include "server/http/uri.h"
#include "server/policy/prefix_set.h"
#include "server/snapshot.h"
#include "server/tls/tls_session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- configuration */

static const char *const fallback_words[] = {
    [PAC_FALLBACK_NONE] = "none",
    [PAC_FALLBACK_DIRECT] = "direct",
    [PAC_FALLBACK_DIRECT + 1] = NULL,
};

static const char *const scheme_words[] = {
    [PAC_SCHEME_AUTO] = "auto",
    [PAC_SCHEME_PROXY] = "proxy",
    [PAC_SCHEME_HTTPS] = "https",
    [PAC_SCHEME_HTTPS + 1] = NULL,
};

const struct option pac_options[] = {
    OPTION_PLACE(struct pac_conf, place),
    { .name = "proxy", .type = OPTION_STRINGS, .offset = offsetof(struct pac_conf, proxies),
      .min = 1, .max = 16,
      .text = "The proxy as browsers reach it: \"proxy.example.com:3128\"; several: in this order. "
              "When not given, the host and port that the file was fetched from." },
    { .name = "direct", .type = OPTION_STRINGS, .offset = offsetof(struct pac_conf, direct),
      .min = 1, .max = 200,
      .text = "Where browsers go without the proxy: \"www.example.com\", \"*.example.com\", "
              "\"10.0.0.0/8\" (of URLs that have an address; names are not resolved), "
              "\"private\", \"loopback\", \"link-local\", \"plain\" (names without a dot). "
              "Besides, what rules with direct = true say of scheme, host, port, address and "
              "lists without files, with up to 500 values each, in 128 KiB: check tells of "
              "others." },
    { .name = "fallback", .type = OPTION_ENUM, .offset = offsetof(struct pac_conf, fallback),
      .fallback = "none", .words = fallback_words,
      .text = "What browsers do when no proxy answers: none (they say so) or direct." },
    { .name = "scheme", .type = OPTION_ENUM, .offset = offsetof(struct pac_conf, scheme),
      .fallback = "auto", .words = scheme_words,
      .text = "How browsers speak to the proxy: proxy (plainly), https (by TLS), or auto: as the "
              "listener does." },
    { .name = NULL },
};

static int
check_proxy(struct slice proxy, struct err *err)
{
    struct slice host;
    int port;

    if (uri_parse_authority(proxy, &host, &port) == 0 && port > 0)
        return 0;
    return err_set(err, "pac: proxy \"%.200s\": write HOST:PORT, such as "
                   "\"proxy.example.com:3128\"", proxy.data);
}

/* "10.0.0.0/8", an address, or the name of a group of networks. */
static bool
is_network(struct slice text)
{
    static const char *const groups[] = { "private", "loopback", "link-local" };
    ptrdiff_t slash = slice_find(text, '/');
    struct ip ip;

    for (size_t i = 0; i < ARRAY_COUNT(groups); i++)
        if (slice_equal(text, slice_of(groups[i])))
            return true;
    return ip_parse(slash >= 0 ? slice_make(text.data, (size_t)slash) : text, &ip);
}

static int
add_host(struct pac_conf *pac, struct slice text, struct err *err)
{
    bool is_wildcard = slice_starts_with(text, SLICE("*."));
    struct slice host;
    int port;

    if (uri_parse_authority(is_wildcard ? slice_skip(text, 2) : text, &host, &port) < 0 || port > 0)
        return err_set(err, "pac: direct \"%.200s\": write \"www.example.com\", \"*.example.com\", "
                       "\"10.0.0.0/8\", \"private\" or \"plain\"", text.data);
    pac->hosts.items[pac->hosts.count++] = text;
    return 0;
}

static int
add_direct(struct pac_conf *pac, struct slice text, struct err *err)
{
    if (slice_equal(text, SLICE("plain"))) {
        pac->has_plain = true;
        return 0;
    }
    if (!is_network(text))
        return add_host(pac, text, err);
    return prefix_set_add(pac->networks, text, err) == 0 ? 0 : err_prefix(err, "pac: direct: ");
}

int
pac_conf_finish(struct pac_conf *pac, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < pac->proxies.count; i++)
        if (check_proxy(pac->proxies.items[i], err) < 0)
            return -1;
    if (pac->direct.count == 0)
        return 0;
    pac->networks = prefix_set_new(arena);
    pac->hosts.items = arena_alloc(arena, pac->direct.count * sizeof(*pac->hosts.items));
    if (pac->networks == NULL || pac->hosts.items == NULL)
        return err_set(err, "pac: no memory");
    for (size_t i = 0; i < pac->direct.count; i++)
        if (add_direct(pac, pac->direct.items[i], err) < 0)
            return -1;
    prefix_set_seal(pac->networks);
    return 0;
}

/* ---- whether it is asked for */

static bool
is_pac_path(struct slice path)
{
    return slice_equal(path, SLICE("/proxy.pac")) || slice_equal(path, SLICE("/wpad.dat"));
}

static bool
is_authority(struct slice text, const struct request *request)
{
    struct slice host;
    int port;

    return uri_parse_authority(text, &host, &port) == 0 && port == (int)request->port &&
           slice_equal_nocase(host, request->host);
}

/* HTTP/2 gives no sign of whether a request is for the proxy itself, and a browser that
 * has a proxy asks it for everything: then the authority has to be ours. */
static bool
is_for_us(const struct exchange *ex, const struct pac_conf *pac)
{
    const struct client *client = ex->down->client;
    struct ip ip;

    for (size_t i = 0; i < pac->proxies.count; i++)
        if (is_authority(pac->proxies.items[i], &ex->request))
            return true;
    if (ex->request.port != client->local.port ||
        !slice_equal(ex->request.scheme, client->is_tls ? SLICE("https") : SLICE("http")))
        return false;
    if (ip_parse(ex->request.host, &ip))
        return ip_equal_host(&ip, &client->local);
    return client->tls != NULL &&
           slice_equal_nocase(tls_session_facts(client->tls)->server_name, ex->request.host);
}

static bool
is_asked(const struct exchange *ex, const struct pac_conf *pac)
{
    const struct request *request = &ex->request;

    if (pac->place.line == 0 ||
        (request->method != METHOD_GET && request->method != METHOD_HEAD) ||
        !is_pac_path(request->path))
        return false;
    return request->form == TARGET_ORIGIN ||
           (request->form == TARGET_ABSOLUTE && is_for_us(ex, pac));
}

/* ---- the answer */

/* "proxy.example.com:3128", as the client called us; where it did not, by address. */
static struct slice
own_authority(struct exchange *ex)
{
    const struct request *request = &ex->request;
    bool is_ipv6 = slice_find(request->host, ':') >= 0;
    char text[IP_TEXT_BYTES];

    if (slice_is_empty(request->host))
        return arena_copy(&ex->arena,
                          slice_make(text, ip_port_text(&ex->down->client->local, text)));
    return arena_printf(&ex->arena, "%s%.*s%s:%u", is_ipv6 ? "[" : "", SLICE_ARG(request->host),
                        is_ipv6 ? "]" : "", request->port);
}

/* "HTTPS a.example:3128; HTTPS b.example:3128; DIRECT". */
static struct slice
proxy_text(struct exchange *ex, const struct pac_conf *pac)
{
    bool is_tls = pac->scheme == PAC_SCHEME_HTTPS ||
                  (pac->scheme == PAC_SCHEME_AUTO && ex->listener->tls.place.line > 0);
    const char *word = is_tls ? "HTTPS" : "PROXY";
    struct slice text = SLICE("");

    for (size_t i = 0; i < pac->proxies.count; i++)
        text = arena_printf(&ex->arena, "%.*s%s%s %.*s", SLICE_ARG(text), i > 0 ? "; " : "", word,
                            SLICE_ARG(pac->proxies.items[i]));
    if (pac->proxies.count == 0)
        text = arena_printf(&ex->arena, "%s %.*s", word, SLICE_ARG(own_authority(ex)));
    if (pac->fallback == PAC_FALLBACK_DIRECT)
        text = arena_printf(&ex->arena, "%.*s; DIRECT", SLICE_ARG(text));
    return text;
}

/* Equal scripts have equal tags, on every node and after every start. */
static struct slice
tag_of(struct arena *arena, struct slice script)
{
    static const struct hash_key no_secret;

    return arena_printf(arena, "\"%016" PRIx64 "\"", hash_bytes(script, &no_secret));
}

/* RFC 9110 section 13.1.2. */
static bool
has_tag(struct exchange *ex, struct slice tag)
{
    struct slice list = fields_joined(&ex->request.fields, FIELD_IF_NONE_MATCH, &ex->arena);
    struct slice element;

    while (slice_next_element(&list, &element))
        if (slice_equal(element, SLICE("*")) || validate_etag_weak_equal(element, tag))
            return true;
    return false;
}

bool
pac_answers(struct exchange *ex, const struct pac_conf *pac)
{
    struct pac_reader reader = {
        .conf = &ex->generation->snapshot->conf,
        .listener = ex->listener,
        .pac = pac,
        .client = &ex->client_ip,
    };
    const struct rule_conf *left_out;
    struct slice script, tag;

    if (!is_asked(ex, pac))
        return false;
    reader.proxy = proxy_text(ex, pac);
    script = pac_script(&ex->arena, &reader, &left_out);
    tag = tag_of(&ex->arena, script);
    if (slice_is_empty(script) || arena_is_spent(&ex->arena)) {
        exchange_answer(ex, 503, END_LIMIT, NULL);
        return true;
    }
    if (has_tag(ex, tag))
        exchange_answer_with(ex, 304, END_ANSWERED, NULL, slice_make(NULL, 0));
    else
        exchange_answer_with(ex, 200, END_ANSWERED, "application/x-ns-proxy-autoconfig", script);
    fields_add(&ex->response.fields, &ex->arena, FIELD_CACHE_CONTROL,
               SLICE("private, max-age=300"));
    fields_add(&ex->response.fields, &ex->arena, FIELD_ETAG, tag);
    return true;
}

/* ---- check */

struct review {
    const struct pac_reader *reader;
    void (*say)(void *arg, const char *sentence);
    void *arg;
};

static void PRINTF_LIKE(3, 4)
say_of(const struct review *review, const struct rule_conf *rule, const char *format, ...)
{
    char text[512];
    int bytes = snprintf(text, sizeof(text), "%s:%u: warning: listener \"%s\": pac: ",
                         rule->place.file, rule->place.line, review->reader->listener->name);
    va_list args;

    if (bytes < 0 || (size_t)bytes >= sizeof(text))
        return;
    va_start(args, format);
    vsnprintf(text + bytes, sizeof(text) - (size_t)bytes, format, args);
    va_end(args);
    review->say(review->arg, text);
}

static void
review_rule(const struct review *review, const struct rule_conf *rule)
{
    const char *obscure;

    if (!rule->direct || pac_rule_is_told(review->reader, rule, &obscure) || obscure == NULL)
        return;
    say_of(review, rule, "the rule says direct, but browsers ask the proxy: its %s is nothing that "
           "they can evaluate, or has more than %u values", obscure, PAC_VALUES_MAX);
}

/* Whoever asks. */
static void
review_length(const struct review *review)
{
    const struct rule_conf *left_out;
    struct arena scratch;

    arena_init(&scratch, NULL, 2 * PAC_SCRIPT_BYTES_MAX);
    pac_script(&scratch, review->reader, &left_out);
    arena_fini(&scratch);
    if (left_out != NULL)
        say_of(review, left_out, "this rule and those behind it do not fit into a file of %u KiB: "
               "for what they send elsewhere, browsers ask the proxy", PAC_SCRIPT_BYTES_MAX / 1024);
}

void
pac_review(const struct pac_conf *pac, const struct listener_conf *listener,
           const struct conf *conf, void (*say)(void *arg, const char *sentence), void *arg)
{
    const struct pac_reader reader = { .conf = conf, .listener = listener, .pac = pac };
    const struct review review = { &reader, say, arg };

    if (pac->place.line == 0 || listener->policy == NULL)
        return;
    for (size_t i = 0; i < listener->policy->rules.count; i++)
        review_rule(&review, listener->policy->rules.items[i]);
    review_length(&review);
}
