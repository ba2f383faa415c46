/* SPDX-License-Identifier: BSD-2-Clause */
/* message.c - what the methods promise (RFC 9110 section 9.2). */
#include "config.h"

#include "server/http/message.h"

#include "server/http/h1_parse.h"

bool
method_is_safe(enum method method)
{
    switch (method) {
    case METHOD_GET:
    case METHOD_HEAD:
    case METHOD_OPTIONS:
    case METHOD_TRACE:
        return true;
    case METHOD_OTHER:
    case METHOD_POST:
    case METHOD_PUT:
    case METHOD_DELETE:
    case METHOD_CONNECT:
    case METHOD_PATCH:
        return false;
    }
    return false;
}

bool
method_is_idempotent(enum method method)
{
    return method == METHOD_PUT || method == METHOD_DELETE || method_is_safe(method);
}

/* Names are compared exactly: methods are case-sensitive (section 9.1). */
static enum method
match(struct slice name, const char *text, enum method method)
{
    return memcmp(name.data, text, name.bytes) == 0 ? method : METHOD_OTHER;
}

enum method
method_of(struct slice name)
{
    switch (name.bytes) {
    case 3:
        return name.data[0] == 'G' ? match(name, "GET", METHOD_GET)
                                   : match(name, "PUT", METHOD_PUT);
    case 4:
        return name.data[0] == 'P' ? match(name, "POST", METHOD_POST)
                                   : match(name, "HEAD", METHOD_HEAD);
    case 5:
        return name.data[0] == 'P' ? match(name, "PATCH", METHOD_PATCH)
                                   : match(name, "TRACE", METHOD_TRACE);
    case 6:
        return match(name, "DELETE", METHOD_DELETE);
    case 7:
        return name.data[0] == 'C' ? match(name, "CONNECT", METHOD_CONNECT)
                                   : match(name, "OPTIONS", METHOD_OPTIONS);
    default:
        return METHOD_OTHER;
    }
}
