/* SPDX-License-Identifier: BSD-2-Clause */
/* site_tls.c - redirects to https://, 421, Client-Cert, HSTS, early data. */
#include "config.h"

#include "modes/site_tls.h"

#include <stdio.h>

#include "filters/template.h"
#include "modes/site_route.h"
#include "server/base/base64.h"
#include "server/tls/tls_demands.h"
#include "server/tls/tls_session.h"

bool
site_is_secure(const struct exchange *ex)
{
    struct slice told;

    if (ex->down->client->is_tls)
        return true;
    if (!site_trusts_peer(ex))
        return false;
    told = fields_get(&ex->request.fields, FIELD_X_FORWARDED_PROTO);
    return slice_equal_nocase(told, SLICE("https"));
}

/* 308 keeps the method, so that nothing has to be sent twice in another form. */
static enum step
redirect_to_https(struct exchange *ex)
{
    uint16_t port = ex->site->https_port;
    bool is_v6 = slice_find(ex->request.host, ':') >= 0;
    struct slice target = ex->request.form == TARGET_ASTERISK ? SLICE("/") : site_origin_form(ex);
    char text[8] = "";
    struct slice url;

    if (port != 443)
        snprintf(text, sizeof(text), ":%u", port);
    url = arena_printf(&ex->arena, "https://%s%.*s%s%s%.*s", is_v6 ? "[" : "",
                       SLICE_ARG(ex->request.host), is_v6 ? "]" : "", text, SLICE_ARG(target));
    exchange_answer_with(ex, 308, END_ANSWERED, NULL, slice_make(NULL, 0));
    fields_add(&ex->response.fields, &ex->arena, FIELD_LOCATION, url);
    return STEP_ANSWER;
}

/* Why the site's requests may not come by this connection; NULL: they may. */
static const char *
objection(const struct exchange *ex)
{
    const struct tls_session *session = ex->down->client->tls;

    if (ex->site->pass_through != NULL)
        return "the site is for TLS that is passed through";
    if (session == NULL)
        return tls_demands_tls(ex->site) ? "the site is for clients with a certificate" : NULL;
    return tls_facts_suit(tls_session_facts(session), ex->listener, ex->site)
               ? NULL
               : "the connection was made for a site with other certificates";
}

enum step
site_check_tls(struct exchange *ex)
{
    const char *why;

    if (ex->down == NULL)
        return STEP_NEXT; /* a tunnel, after a reload: it was let in by what it is */
    if (ex->site->https && !site_is_secure(ex))
        return redirect_to_https(ex);
    why = objection(ex);
    if (why == NULL)
        return STEP_NEXT;
    exchange_decide(ex, DECISION_DENY, &ex->site->place, "%s", why);
    exchange_answer(ex, 421, END_DENIED, "This connection was made for another site.");
    return STEP_ANSWER;
}

void
site_add_client_certificate(struct exchange *ex)
{
    struct tls_session *session = ex->down->client->tls;
    struct client_certificate certificate;
    struct arena *arena = &ex->arena;

    if (session == NULL || !tls_session_client(session, arena, &certificate))
        return;
    fields_set(&ex->request.fields, arena, FIELD_CLIENT_CERT, /* RFC 8941 section 3.3.5 */
               arena_printf(arena, ":%.*s:", SLICE_ARG(base64_encode(arena, certificate.der))));
}

void
site_add_hsts(struct exchange *ex)
{
    struct slice value;

    if (!site_is_secure(ex) || fields_has(&ex->response.fields, FIELD_STRICT_TRANSPORT_SECURITY))
        return;
    value = arena_printf(&ex->arena, "max-age=%u", ex->site->hsts_s);
    fields_add(&ex->response.fields, &ex->arena, FIELD_STRICT_TRANSPORT_SECURITY, value);
}

enum step
site_check_early(struct exchange *ex)
{
    const struct tls_session *session = ex->down->client->tls;

    if (session == NULL || !tls_session_is_early(session))
        return STEP_NEXT;
    if (method_is_safe(ex->request.method)) {
        fields_set(&ex->request.fields, &ex->arena, FIELD_EARLY_DATA, SLICE("1"));
        return STEP_NEXT;
    }
    exchange_answer(ex, 425, END_DENIED,
                    "The request came before the TLS handshake was finished: please send it "
                    "again.");
    return STEP_ANSWER;
}
