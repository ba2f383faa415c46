/* SPDX-License-Identifier: BSD-2-Clause */
/* header_names.h - the well-known field names, with what must be known of each.
 *
 * X(ID, "Canonical-Name", flags), in alphabetical order. The flags are those of
 * header.h. Adding a name: put it in its place, run the unit test "header",
 * which prints the new look-up table for header.c. Names are letters, digits
 * and hyphens only, because header.c compares them that way.
 *
 * FIELD_KEEP_NOMINATED marks what every recipient relies on: who asks, from
 * where, what the content is and how it may be cached. Neither a Connection
 * field may take it away (RFC 9110 section 7.6.1) nor a trailer bring it in
 * (section 6.5.1). FIELD_SINGLETON is used sparingly: only where two readers
 * that pick different lines would disagree about framing, target or identity.
 */
#ifndef BASCULE_HEADER_NAMES_H
#define BASCULE_HEADER_NAMES_H

#define HEADER_NAMES(X) \
    X(ACCEPT, "Accept", 0) \
    X(ACCEPT_CHARSET, "Accept-Charset", 0) \
    X(ACCEPT_ENCODING, "Accept-Encoding", 0) \
    X(ACCEPT_LANGUAGE, "Accept-Language", 0) \
    X(ACCEPT_RANGES, "Accept-Ranges", 0) \
    X(ACCESS_CONTROL_ALLOW_CREDENTIALS, "Access-Control-Allow-Credentials", 0) \
    X(ACCESS_CONTROL_ALLOW_HEADERS, "Access-Control-Allow-Headers", 0) \
    X(ACCESS_CONTROL_ALLOW_METHODS, "Access-Control-Allow-Methods", 0) \
    X(ACCESS_CONTROL_ALLOW_ORIGIN, "Access-Control-Allow-Origin", 0) \
    X(ACCESS_CONTROL_EXPOSE_HEADERS, "Access-Control-Expose-Headers", 0) \
    X(ACCESS_CONTROL_MAX_AGE, "Access-Control-Max-Age", 0) \
    X(ACCESS_CONTROL_REQUEST_HEADERS, "Access-Control-Request-Headers", 0) \
    X(ACCESS_CONTROL_REQUEST_METHOD, "Access-Control-Request-Method", 0) \
    X(AGE, "Age", FIELD_KEEP_NOMINATED) \
    X(ALLOW, "Allow", 0) \
    X(ALT_SVC, "Alt-Svc", 0) \
    X(AUTHENTICATION_INFO, "Authentication-Info", 0) \
    X(AUTHORIZATION, "Authorization", FIELD_KEEP_NOMINATED | FIELD_SINGLETON) \
    X(CACHE_CONTROL, "Cache-Control", FIELD_KEEP_NOMINATED) \
    X(CACHE_STATUS, "Cache-Status", 0) \
    X(CACHE_TAG, "Cache-Tag", FIELD_KEEP_NOMINATED) \
    X(CDN_CACHE_CONTROL, "CDN-Cache-Control", FIELD_KEEP_NOMINATED) \
    X(CDN_LOOP, "CDN-Loop", FIELD_KEEP_NOMINATED) \
    X(CF_CONNECTING_IP, "CF-Connecting-IP", FIELD_KEEP_NOMINATED) \
    X(CLIENT_CERT, "Client-Cert", FIELD_KEEP_NOMINATED) \
    X(CLIENT_CERT_CHAIN, "Client-Cert-Chain", FIELD_KEEP_NOMINATED) \
    X(CLIENT_IP, "Client-IP", FIELD_KEEP_NOMINATED) \
    X(CONNECTION, "Connection", FIELD_HOP | FIELD_FRAMING) \
    X(CONTENT_DISPOSITION, "Content-Disposition", 0) \
    X(CONTENT_ENCODING, "Content-Encoding", FIELD_KEEP_NOMINATED) \
    X(CONTENT_LANGUAGE, "Content-Language", 0) \
    X(CONTENT_LENGTH, "Content-Length", FIELD_FRAMING | FIELD_SINGLETON) \
    X(CONTENT_LOCATION, "Content-Location", 0) \
    X(CONTENT_RANGE, "Content-Range", FIELD_KEEP_NOMINATED) \
    X(CONTENT_SECURITY_POLICY, "Content-Security-Policy", FIELD_KEEP_NOMINATED) \
    X(CONTENT_TYPE, "Content-Type", FIELD_KEEP_NOMINATED) \
    X(COOKIE, "Cookie", FIELD_KEEP_NOMINATED) \
    X(DATE, "Date", FIELD_KEEP_NOMINATED) \
    X(DNT, "DNT", 0) \
    X(EARLY_DATA, "Early-Data", FIELD_KEEP_NOMINATED) \
    X(ETAG, "ETag", 0) \
    X(EXPECT, "Expect", FIELD_KEEP_NOMINATED) \
    X(EXPIRES, "Expires", FIELD_KEEP_NOMINATED) \
    X(FORWARDED, "Forwarded", FIELD_KEEP_NOMINATED) \
    X(FROM, "From", 0) \
    X(HOST, "Host", FIELD_FRAMING | FIELD_SINGLETON) \
    X(HTTP2_SETTINGS, "HTTP2-Settings", FIELD_HOP) \
    X(IF_MATCH, "If-Match", FIELD_KEEP_NOMINATED) \
    X(IF_MODIFIED_SINCE, "If-Modified-Since", FIELD_KEEP_NOMINATED) \
    X(IF_NONE_MATCH, "If-None-Match", FIELD_KEEP_NOMINATED) \
    X(IF_RANGE, "If-Range", FIELD_KEEP_NOMINATED) \
    X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since", FIELD_KEEP_NOMINATED) \
    X(KEEP_ALIVE, "Keep-Alive", FIELD_HOP) \
    X(LAST_MODIFIED, "Last-Modified", 0) \
    X(LINK, "Link", 0) \
    X(LOCATION, "Location", FIELD_KEEP_NOMINATED) \
    X(MAX_FORWARDS, "Max-Forwards", FIELD_KEEP_NOMINATED | FIELD_SINGLETON) \
    X(ORIGIN, "Origin", FIELD_KEEP_NOMINATED) \
    X(PRAGMA, "Pragma", FIELD_KEEP_NOMINATED) \
    X(PRIORITY, "Priority", 0) \
    /* No HTTP field at all; CGI programs take it for HTTP_PROXY (CVE-2016-5385). */ \
    X(PROXY, "Proxy", FIELD_HOP) \
    X(PROXY_AUTHENTICATE, "Proxy-Authenticate", FIELD_HOP) \
    X(PROXY_AUTHENTICATION_INFO, "Proxy-Authentication-Info", FIELD_HOP) \
    X(PROXY_AUTHORIZATION, "Proxy-Authorization", FIELD_HOP | FIELD_SINGLETON) \
    X(PROXY_CONNECTION, "Proxy-Connection", FIELD_HOP) \
    X(PROXY_STATUS, "Proxy-Status", 0) \
    X(RANGE, "Range", FIELD_KEEP_NOMINATED) \
    X(REFERER, "Referer", 0) \
    X(REFERRER_POLICY, "Referrer-Policy", 0) \
    X(REFRESH, "Refresh", 0) \
    X(RETRY_AFTER, "Retry-After", FIELD_KEEP_NOMINATED) \
    X(SEC_CH_UA, "Sec-CH-UA", 0) \
    X(SEC_CH_UA_MOBILE, "Sec-CH-UA-Mobile", 0) \
    X(SEC_CH_UA_PLATFORM, "Sec-CH-UA-Platform", 0) \
    X(SEC_FETCH_DEST, "Sec-Fetch-Dest", 0) \
    X(SEC_FETCH_MODE, "Sec-Fetch-Mode", 0) \
    X(SEC_FETCH_SITE, "Sec-Fetch-Site", 0) \
    X(SEC_FETCH_USER, "Sec-Fetch-User", 0) \
    X(SEC_GPC, "Sec-GPC", 0) \
    X(SEC_WEBSOCKET_ACCEPT, "Sec-WebSocket-Accept", FIELD_KEEP_NOMINATED) \
    X(SEC_WEBSOCKET_EXTENSIONS, "Sec-WebSocket-Extensions", FIELD_KEEP_NOMINATED) \
    X(SEC_WEBSOCKET_KEY, "Sec-WebSocket-Key", FIELD_KEEP_NOMINATED) \
    X(SEC_WEBSOCKET_PROTOCOL, "Sec-WebSocket-Protocol", FIELD_KEEP_NOMINATED) \
    X(SEC_WEBSOCKET_VERSION, "Sec-WebSocket-Version", FIELD_KEEP_NOMINATED) \
    X(SERVER, "Server", 0) \
    X(SERVER_TIMING, "Server-Timing", 0) \
    X(SET_COOKIE, "Set-Cookie", FIELD_KEEP_NOMINATED) \
    X(STRICT_TRANSPORT_SECURITY, "Strict-Transport-Security", FIELD_KEEP_NOMINATED) \
    X(SURROGATE_CONTROL, "Surrogate-Control", FIELD_KEEP_NOMINATED) \
    X(SURROGATE_KEY, "Surrogate-Key", FIELD_KEEP_NOMINATED) \
    X(TE, "TE", FIELD_HOP) \
    X(TRACEPARENT, "Traceparent", 0) \
    X(TRACESTATE, "Tracestate", 0) \
    X(TRAILER, "Trailer", FIELD_KEEP_NOMINATED) \
    X(TRANSFER_ENCODING, "Transfer-Encoding", FIELD_HOP | FIELD_FRAMING | FIELD_SINGLETON) \
    X(TRUE_CLIENT_IP, "True-Client-IP", FIELD_KEEP_NOMINATED) \
    X(UPGRADE, "Upgrade", FIELD_HOP | FIELD_FRAMING) \
    X(UPGRADE_INSECURE_REQUESTS, "Upgrade-Insecure-Requests", 0) \
    X(USER_AGENT, "User-Agent", 0) \
    X(VARY, "Vary", FIELD_KEEP_NOMINATED) \
    X(VIA, "Via", FIELD_KEEP_NOMINATED) \
    X(WARNING, "Warning", 0) \
    X(WWW_AUTHENTICATE, "WWW-Authenticate", FIELD_KEEP_NOMINATED) \
    X(X_ASPNET_VERSION, "X-AspNet-Version", 0) \
    X(X_ASPNETMVC_VERSION, "X-AspNetMvc-Version", 0) \
    X(X_CLIENT_IP, "X-Client-IP", FIELD_KEEP_NOMINATED) \
    X(X_CLUSTER_CLIENT_IP, "X-Cluster-Client-IP", FIELD_KEEP_NOMINATED) \
    X(X_CONTENT_TYPE_OPTIONS, "X-Content-Type-Options", FIELD_KEEP_NOMINATED) \
    X(X_FORWARDED, "X-Forwarded", FIELD_KEEP_NOMINATED) \
    X(X_FORWARDED_FOR, "X-Forwarded-For", FIELD_KEEP_NOMINATED) \
    X(X_FORWARDED_HOST, "X-Forwarded-Host", FIELD_KEEP_NOMINATED) \
    X(X_FORWARDED_PORT, "X-Forwarded-Port", FIELD_KEEP_NOMINATED) \
    X(X_FORWARDED_PREFIX, "X-Forwarded-Prefix", FIELD_KEEP_NOMINATED) \
    X(X_FORWARDED_PROTO, "X-Forwarded-Proto", FIELD_KEEP_NOMINATED) \
    X(X_FORWARDED_SERVER, "X-Forwarded-Server", FIELD_KEEP_NOMINATED) \
    X(X_FRAME_OPTIONS, "X-Frame-Options", FIELD_KEEP_NOMINATED) \
    X(X_GENERATOR, "X-Generator", 0) \
    X(X_POWERED_BY, "X-Powered-By", 0) \
    X(X_REAL_IP, "X-Real-IP", FIELD_KEEP_NOMINATED) \
    X(X_REQUEST_ID, "X-Request-Id", 0) \
    X(X_REQUESTED_WITH, "X-Requested-With", 0) \
    X(X_RUNTIME, "X-Runtime", 0)

#endif
