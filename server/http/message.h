/* SPDX-License-Identifier: BSD-2-Clause */
/* message.h - requests and responses, whatever protocol carried them. */
#ifndef BASCULE_MESSAGE_H
#define BASCULE_MESSAGE_H

#include "server/http/header.h"

struct source;

enum method {
    METHOD_OTHER,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_CONNECT,
    METHOD_OPTIONS,
    METHOD_TRACE,
    METHOD_PATCH,
};

/* RFC 9110 section 9.2.2 (and PUT, DELETE); METHOD_OTHER is neither. */
bool method_is_idempotent(enum method method);
bool method_is_safe(enum method method);

/* RFC 9112 section 3.2. */
enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_AUTHORITY, TARGET_ASTERISK };

/* Lengths that are not a number of bytes. */
#define LENGTH_UNKNOWN UINT64_MAX /* chunked, or until the connection closes */

struct request {
    enum method method;
    enum target_form form;
    uint8_t minor_version;  /* of HTTP/1: 0 or 1; 1 for later protocols */
    bool has_body;          /* framing says that content follows, perhaps of length 0 */
    bool is_chunked;        /* HTTP/1.1: how it arrived */
    bool expects_continue;  /* RFC 9110 section 10.1.1 */
    bool wants_close;       /* HTTP/1: the connection ends after this exchange */
    bool wants_upgrade;     /* Connection: upgrade with an Upgrade field */
    uint16_t port;          /* of the authority, or the scheme's default */
    uint64_t length;        /* of the body: bytes, or LENGTH_UNKNOWN; 0 when there is none */
    struct slice method_name;
    struct slice target;    /* as received */
    struct slice scheme;    /* "http", "https"; empty for authority form */
    struct slice authority; /* host[:port] of the target or Host, as received */
    struct slice host;      /* lower case, brackets of IPv6 kept off; what is judged */
    struct slice path;      /* absolute path as received, at least "/"; "*" for asterisk form */
    struct slice query;     /* without "?"; data NULL when there is none */
    struct slice upgrade;   /* value of Upgrade while wants_upgrade */
    struct fields fields;
    struct source *body;    /* NULL when there is none */
};

struct response {
    uint16_t status;
    uint8_t minor_version;
    bool has_body;      /* status, method and framing say that content follows */
    bool is_chunked;
    bool ends_by_close; /* length unknown and not chunked: RFC 9112 section 6.3 */
    bool wants_close;   /* the sender ends the connection after this message */
    uint64_t length;    /* as above */
    struct slice reason;
    struct slice upgrade;   /* of a 101 */
    struct fields fields;
    struct source *body;
};

#endif
