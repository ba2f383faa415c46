/* SPDX-License-Identifier: BSD-2-Clause */
/* proxy_status.c - one member of a structured list (RFC 8941) for a failure. */
#include "config.h"

#include "server/http/proxy_status.h"

#include "server/http/exchange.h"
#include "server/http/scan.h"
#include "server/http/via.h"

/* RFC 9209 section 2.3: the type that says most for the reason, where whoever
 * failed named none. */
static const char *
error_of(enum end_reason reason)
{
    switch (reason) {
    case END_DNS_FAILED:
        return "dns_error";
    case END_CONNECT_FAILED:
    case END_NO_ENDPOINT:
        return "destination_unavailable";
    case END_CONNECT_TIMEOUT:
        return "connection_timeout";
    case END_UPSTREAM_FAILED:
        return "connection_terminated";
    case END_UPSTREAM_BAD:
        return "http_protocol_error";
    case END_UPSTREAM_TIMEOUT:
        return "http_response_timeout";
    case END_BAD_REQUEST:
    case END_CLIENT_ABORT:
    case END_CLIENT_TIMEOUT:
        return "http_request_error";
    case END_DENIED:
        return "http_request_denied";
    case END_LIMIT:
        return "connection_limit_reached";
    case END_DONE:
    case END_ANSWERED:
    case END_FILTER_FAILED:
    case END_STOPPED:
    case END_REASON_COUNT:
        return "proxy_internal_response";
    }
    return "proxy_internal_response";
}

/* Quoted (RFC 8941 section 3.3.3); what a string cannot hold becomes "?". */
static struct slice
quote(struct arena *arena, struct slice s)
{
    char *text = arena_alloc(arena, 2 * s.bytes + 2);
    char *at = text;

    if (text == NULL)
        return slice_make("", 0);
    *at++ = '"';
    for (size_t i = 0; i < s.bytes; i++) {
        char c = s.data[i];

        if (c == '"' || c == '\\')
            *at++ = '\\';
        *at++ = c < ' ' || c >= 0x7f ? '?' : c;
    }
    *at++ = '"';
    return slice_make(text, (size_t)(at - text));
}

struct slice
proxy_status_named(struct arena *arena, struct slice name, const struct failure *failure)
{
    const char *error = failure->proxy_error != NULL ? failure->proxy_error
                                                     : error_of(failure->reason);
    struct slice shown = scan_is_structured_token(name) ? name : quote(arena, name);
    struct slice parts[] = { shown, SLICE("; error="), slice_of(error), SLICE("; details="),
                             SLICE("") };

    if (failure->detail == NULL)
        return arena_join(arena, parts, 3);
    parts[4] = quote(arena, slice_of(failure->detail));
    return arena_join(arena, parts, ARRAY_COUNT(parts));
}

struct slice
proxy_status_text(struct arena *arena, const struct failure *failure)
{
    return proxy_status_named(arena, via_name(), failure);
}
