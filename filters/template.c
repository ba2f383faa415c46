/* SPDX-License-Identifier: BSD-2-Clause */
/* template.c - texts, each followed by a variable but the last.
 *
 * What comes from the request went through the parser: it has no CR, LF or NUL,
 * so a value stays one line.
 */
#include "config.h"

#include "filters/template.h"

#include "filters/field_set.h"
#include "server/config/variable_text.h"
#include "server/log/escape.h"
#include "server/tls/tls_session.h"

#define TEXT_MAX 4096
#define PARTS_MAX 32

enum variable {
    CLIENT_IP,
    HOST,
    AUTHORITY,
    SCHEME,
    METHOD,
    TARGET,
    PATH,
    QUERY,
    ID,
    LISTENER,
    SITE,
    ROUTE,
    TLS_VERSION,
    TLS_CIPHER,
    TLS_NAME,
    CLIENT_CERT_SUBJECT,
    CLIENT_CERT_ISSUER,
    CLIENT_CERT_SERIAL,
    CLIENT_CERT_FINGERPRINT,
    CLIENT_CERT_NAMES,
    VARIABLE_COUNT,
    NONE = VARIABLE_COUNT, /* the end */
};

static const char *const names[] = {
    [CLIENT_IP] = "client_ip",
    [HOST] = "host",
    [AUTHORITY] = "authority",
    [SCHEME] = "scheme",
    [METHOD] = "method",
    [TARGET] = "target",
    [PATH] = "path",
    [QUERY] = "query",
    [ID] = "id",
    [LISTENER] = "listener",
    [SITE] = "site",
    [ROUTE] = "route",
    [TLS_VERSION] = "tls_version",
    [TLS_CIPHER] = "tls_cipher",
    [TLS_NAME] = "tls_name",
    [CLIENT_CERT_SUBJECT] = "client_cert_subject",
    [CLIENT_CERT_ISSUER] = "client_cert_issuer",
    [CLIENT_CERT_SERIAL] = "client_cert_serial",
    [CLIENT_CERT_FINGERPRINT] = "client_cert_fingerprint",
    [CLIENT_CERT_NAMES] = "client_cert_names",
    [NONE] = NULL,
};

struct template {
    struct slice whole; /* when there is no variable; data NULL otherwise */
    size_t count;
    struct variable_part parts[];
};

const char *
template_name(size_t i)
{
    return i < VARIABLE_COUNT ? names[i] : NULL;
}

/* ---- compiling */

/* Parts without any variable are one text. */
static struct slice
join(struct arena *arena, const struct variable_part *parts, size_t count)
{
    char text[TEXT_MAX], *at = text;

    for (size_t i = 0; i < count; i++)
        at = mempcpy(at, parts[i].text.data, parts[i].text.bytes);
    return arena_copy(arena, slice_make(text, (size_t)(at - text)));
}

struct template *
template_new(struct arena *arena, struct slice text, struct err *err)
{
    struct variable_part parts[PARTS_MAX];
    struct template *template;
    bool is_plain = true;
    size_t count = 0;

    if (text.bytes > TEXT_MAX) {
        err_set(err, "longer than %d bytes", TEXT_MAX);
        return NULL;
    }
    if (field_check_value(text, err) < 0)
        return NULL;
    for (struct slice rest = text; rest.bytes > 0; count++) {
        if (count == PARTS_MAX) {
            err_set(err, "more than %d variables and percent signs", PARTS_MAX);
            return NULL;
        }
        if (variable_part_take(&rest, names, &parts[count], err) < 0)
            return NULL;
        is_plain &= parts[count].variable == NONE;
    }
    template = arena_zalloc(arena, sizeof(*template) + count * sizeof(*parts));
    if (template == NULL) {
        err_set(err, "no memory");
        return NULL;
    }
    if (is_plain) {
        template->whole = join(arena, parts, count);
        return template;
    }
    template->count = count;
    memcpy(template->parts, parts, count * sizeof(*parts));
    return template;
}

/* ---- values */

struct slice
template_scheme(const struct exchange *ex)
{
    struct slice told;

    if (ex->site == NULL)
        return ex->request.scheme;
    /* On the way to a site only a trusted proxy's word is left of this field
     * (modes/site_route.c), besides our own. */
    told = fields_get(&ex->request.fields, FIELD_X_FORWARDED_PROTO);
    if (slice_equal_nocase(told, SLICE("https")))
        return SLICE("https");
    if (slice_equal_nocase(told, SLICE("http")))
        return SLICE("http");
    return ex->down->client->is_tls ? SLICE("https") : SLICE("http");
}

/* Room for values that exist nowhere else. */
struct scratch {
    char ip[IP_TEXT_BYTES];
    char id[16];
};

/* A target in absolute form may have no path but a query: then "/" is. */
static struct slice
path_of(const struct exchange *ex)
{
    return ex->request.method == METHOD_CONNECT ? slice_make("", 0) : ex->request.path;
}

/* What is known of the client's TLS session; empty where it has none. */
static struct slice
tls_value(enum variable variable, struct exchange *ex)
{
    const struct tls_session *session = ex->down->client->tls;
    struct client_certificate certificate = { .subject = SLICE("") };
    const struct tls_facts *facts;

    if (session == NULL)
        return SLICE("");
    facts = tls_session_facts(session);
    if (variable == TLS_VERSION)
        return slice_of(facts->version);
    if (variable == TLS_CIPHER)
        return slice_of(facts->cipher);
    if (variable == TLS_NAME)
        return facts->server_name;
    if (!tls_session_client(session, &ex->arena, &certificate))
        return SLICE("");
    if (variable == CLIENT_CERT_SUBJECT)
        return certificate.subject;
    if (variable == CLIENT_CERT_ISSUER)
        return certificate.issuer;
    if (variable == CLIENT_CERT_SERIAL)
        return certificate.serial;
    return variable == CLIENT_CERT_NAMES ? certificate.names : certificate.fingerprint;
}

/* One or, of what is put together, up to three slices. Returns how many. */
static size_t
value_of(enum variable variable, struct exchange *ex, struct scratch *scratch,
         struct slice values[static 3])
{
    const struct request *request = &ex->request;

    switch (variable) {
    case NONE:
        return 0;
    case CLIENT_IP:
        values[0] = slice_make(scratch->ip, ip_text(&ex->client_ip, scratch->ip));
        return 1;
    case HOST:
        values[0] = values[2] = slice_make("", 0);
        values[1] = request->host;
        if (slice_find(request->host, ':') >= 0) {
            values[0] = SLICE("[");
            values[2] = SLICE("]");
        }
        return 3;
    case AUTHORITY:
        values[0] = request->authority;
        return 1;
    case SCHEME:
        values[0] = template_scheme(ex);
        return 1;
    case METHOD:
        values[0] = request->method_name;
        return 1;
    case TARGET:
        values[0] = path_of(ex);
        values[1] = SLICE("?");
        values[2] = request->query;
        return request->query.data != NULL ? 3 : 1;
    case PATH:
        values[0] = path_of(ex);
        return 1;
    case QUERY:
        values[0] = request->query;
        return 1;
    case ID:
        text_hex64(scratch->id, ex->id);
        values[0] = slice_make(scratch->id, sizeof(scratch->id));
        return 1;
    case LISTENER:
        values[0] = slice_of(ex->listener->name);
        return 1;
    case SITE:
        values[0] = slice_of(ex->site != NULL ? ex->site->name : NULL);
        return 1;
    case ROUTE:
        values[0] = slice_of(ex->route != NULL ? ex->route->name : NULL);
        return 1;
    case TLS_VERSION:
    case TLS_CIPHER:
    case TLS_NAME:
    case CLIENT_CERT_SUBJECT:
    case CLIENT_CERT_ISSUER:
    case CLIENT_CERT_SERIAL:
    case CLIENT_CERT_FINGERPRINT:
    case CLIENT_CERT_NAMES:
        values[0] = tls_value(variable, ex);
        return 1;
    }
    return 0;
}

struct slice
template_text(const struct template *template, struct exchange *ex)
{
    struct slice pieces[PARTS_MAX * 4];
    struct scratch scratch;
    size_t count = 0, bytes = 0;
    char *start, *at;

    if (template->whole.data != NULL)
        return template->whole;
    for (size_t i = 0; i < template->count; i++) {
        pieces[count++] = template->parts[i].text;
        count += value_of((enum variable)template->parts[i].variable, ex, &scratch, &pieces[count]);
    }
    for (size_t i = 0; i < count; i++)
        bytes += pieces[i].bytes;
    start = at = arena_alloc(&ex->arena, bytes + 1); /* never a pointer to nothing */
    if (start == NULL)
        return slice_make(NULL, 0);
    for (size_t i = 0; i < count; i++)
        if (pieces[i].bytes > 0)
            at = mempcpy(at, pieces[i].data, pieces[i].bytes);
    return slice_make(start, bytes);
}
