/* SPDX-License-Identifier: BSD-2-Clause */
/* storable.c - RFC 9111 section 3 as a list of reasons, asked one by one. */
#include "config.h"

#include "cache/storable.h"

#include "server/base/must.h"

static const struct slice texts[] = {
    [STORABLE] = SLICE_INIT("storable"),
    [NOT_STORABLE_METHOD] = SLICE_INIT("method"),
    [NOT_STORABLE_CONTENT] = SLICE_INIT("request-content"),
    [NOT_STORABLE_STATUS] = SLICE_INIT("status"),
    [NOT_STORABLE_NOT_UNDERSTOOD] = SLICE_INIT("must-understand"),
    [NOT_STORABLE_REQUEST_NO_STORE] = SLICE_INIT("request-no-store"),
    [NOT_STORABLE_NO_STORE] = SLICE_INIT("no-store"),
    [NOT_STORABLE_PRIVATE] = SLICE_INIT("private"),
    [NOT_STORABLE_AUTHORIZATION] = SLICE_INIT("authorization"),
    [NOT_STORABLE_SET_COOKIE] = SLICE_INIT("set-cookie"),
    [NOT_STORABLE_VARY] = SLICE_INIT("vary"),
    [NOT_STORABLE_PARTIAL] = SLICE_INIT("partial"),
    [NOT_STORABLE_NO_LIFETIME] = SLICE_INIT("no-lifetime"),
    [NOT_STORABLE_USELESS] = SLICE_INIT("no-use"),
};

_Static_assert(ARRAY_COUNT(texts) == STORABLE_VERDICTS, "every verdict has its word");

/* ---- what the request and the status allow */

/* A stored POST answers later GETs: RFC 9110 section 9.3.3. */
static bool
is_method_allowed(const struct storable_question *q)
{
    if (q->method == METHOD_GET)
        return true;
    return q->method == METHOD_POST && q->lifetime->is_explicit && q->is_of_target &&
           q->status >= 200 && q->status <= 299 && q->status != 206;
}

/* Statuses that answer what the key does not hold: conditions, ranges,
 * credentials, expectations, this connection or this moment's rate. Of some the
 * RFCs say so themselves: 304 (RFC 9111 section 4.3.3 uses it otherwise), 425
 * (RFC 8470 section 5.2), 428, 429, 431 and 511 (RFC 6585 sections 3 to 6). */
static bool
is_about_this_request(unsigned status)
{
    switch (status) {
    case 304:
    case 401: case 407: case 408: case 412: case 416: case 417: case 421: case 425:
    case 428: case 429: case 431:
    case 511:
        return true;
    }
    return false;
}

static bool
is_status_allowed(unsigned status)
{
    return status >= 200 && status <= 599 && !is_about_this_request(status);
}

/* Those of RFC 9110 section 15: this cache does with them what is said there. */
static bool
is_understood(unsigned status)
{
    return (status >= 200 && status <= 206) || (status >= 300 && status <= 303) ||
           status == 307 || status == 308 || (status >= 400 && status <= 417) || status == 422 ||
           status == 426 || (status >= 500 && status <= 505);
}

/* ---- what the response allows */

/* RFC 9111 section 3.5. */
static bool
is_credential_shared(const struct storable_question *q)
{
    return fields_find(q->request_fields, FIELD_AUTHORIZATION) == NULL ||
           directives_has(q->response, DIRECTIVE_PUBLIC | DIRECTIVE_MUST_REVALIDATE |
                                           DIRECTIVE_S_MAXAGE);
}

/* RFC 9111 section 7.3 leaves it to the origin; few think of it, so they have to
 * say that the response is for all. */
static bool
is_cookie_shared(const struct storable_question *q)
{
    return fields_find(q->response_fields, FIELD_SET_COOKIE) == NULL || q->stores_cookies ||
           directives_has(q->response, DIRECTIVE_PUBLIC | DIRECTIVE_S_MAXAGE);
}

/* RFC 9111 section 4.1: "*" never matches. */
static bool
varies_by_anything(const struct storable_question *q)
{
    const struct field *field = fields_find(q->response_fields, FIELD_VARY);

    for (; field != NULL; field = fields_next(q->response_fields, FIELD_VARY, field))
        if (slice_list_has(field->value, SLICE("*")))
            return true;
    return false;
}

/* The last item of RFC 9111 section 3; private has been ruled out. */
static bool
has_lifetime(const struct storable_question *q)
{
    return q->lifetime->is_explicit || directives_has(q->response, DIRECTIVE_PUBLIC) ||
           status_is_heuristic(q->status);
}

static bool
is_window(uint32_t seconds)
{
    return seconds > 0 && seconds != WINDOW_UNSAID;
}

/* Whether it can ever be served: fresh, after validation, or in a window that
 * the response itself gives. */
static bool
is_useful(const struct storable_question *q)
{
    const struct lifetime *lifetime = q->lifetime;

    if (fields_get(q->response_fields, FIELD_ETAG).bytes > 0 ||
        fields_get(q->response_fields, FIELD_LAST_MODIFIED).bytes > 0)
        return true;
    if (lifetime->always_validate)
        return false;
    return lifetime->fresh_s > lifetime->initial_age_s ||
           is_window(lifetime->stale_while_revalidate_s) || is_window(lifetime->stale_if_error_s);
}

/* ---- both */

/* RFC 9111 sections 5.2.2.3 and 5.2.2.5: must-understand takes no-store's place
 * where the status is understood. */
static enum storable_verdict
judge_no_store(const struct storable_question *q)
{
    bool must_understand = directives_has(q->response, DIRECTIVE_MUST_UNDERSTAND);

    if (must_understand && !is_understood(q->status))
        return NOT_STORABLE_NOT_UNDERSTOOD;
    if (directives_has(q->request, DIRECTIVE_NO_STORE))
        return NOT_STORABLE_REQUEST_NO_STORE;
    if (directives_has(q->response, DIRECTIVE_NO_STORE) && !must_understand)
        return NOT_STORABLE_NO_STORE;
    return STORABLE;
}

static enum storable_verdict
judge_response(const struct storable_question *q)
{
    if (directives_has(q->response, DIRECTIVE_PRIVATE))
        return NOT_STORABLE_PRIVATE;
    if (!is_credential_shared(q))
        return NOT_STORABLE_AUTHORIZATION;
    if (!is_cookie_shared(q))
        return NOT_STORABLE_SET_COOKIE;
    if (varies_by_anything(q))
        return NOT_STORABLE_VARY;
    if (q->status == 206 && !q->has_valid_range)
        return NOT_STORABLE_PARTIAL; /* section 3.3 */
    if (!has_lifetime(q))
        return NOT_STORABLE_NO_LIFETIME;
    return is_useful(q) ? STORABLE : NOT_STORABLE_USELESS;
}

enum storable_verdict
storable_judge(const struct storable_question *question)
{
    enum storable_verdict verdict;

    if (!is_method_allowed(question))
        return NOT_STORABLE_METHOD;
    if (question->method == METHOD_GET && question->has_content)
        return NOT_STORABLE_CONTENT;
    if (!is_status_allowed(question->status))
        return NOT_STORABLE_STATUS;
    verdict = judge_no_store(question);
    return verdict != STORABLE ? verdict : judge_response(question);
}

struct slice
storable_text(enum storable_verdict verdict)
{
    must((unsigned)verdict < STORABLE_VERDICTS);
    return texts[verdict];
}
