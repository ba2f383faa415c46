/* SPDX-License-Identifier: BSD-2-Clause */
/* uri.h - takes URIs apart and gives their parts one normal form.
 *
 * Nothing here decodes for its own sake: what goes upstream is what came. The
 * normal forms are what routes, rules and filters match, so that two spellings
 * of one thing meet one verdict.
 */
#ifndef BASCULE_URI_H
#define BASCULE_URI_H

#include <stdbool.h>

#include "server/base/arena.h"
#include "server/base/slice.h"

/* Takes host[:port] apart. *host comes without brackets of an IPv6 literal,
 * its case and a trailing dot kept; *port is -1 when there is none (an empty
 * one counts as none, RFC 3986 section 3.2.3). -1 unless the host is
 * - a name of at most 255 letters, digits, '-', '.' and '_' without empty
 *   labels (percent-escapes, legal in RFC 3986, name no host of DNS), or
 * - an IPv6 address in brackets, without a zone: zones mean something on the
 *   sender's machine only;
 * and the port 1..65535. User information is refused (RFC 9110 section 4.2.4). */
MUST_USE int uri_parse_authority(struct slice authority, struct slice *host, int *port);

/* Takes scheme://authority[path][?query] apart; the scheme is any, the
 * authority not looked into. Path is empty when there is none, query.data NULL.
 * -1 when it is not of this form, or has a fragment. */
MUST_USE int uri_parse_absolute(struct slice uri, struct slice *scheme, struct slice *authority,
                                struct slice *path, struct slice *query);

/* Splits at the first '?'; query->data is NULL when there is none. */
void uri_split_query(struct slice path_and_query, struct slice *path, struct slice *query);

/* A host (from uri_parse_authority) in lower case, without a trailing dot:
 * itself when it is so, otherwise a copy. { NULL, 0 } when the arena is spent. */
struct slice uri_normal_host(struct slice host, struct arena *arena);

/* Whether a host name is none, but would be read as an IPv4 address by some
 * (inet_aton, browsers) although it is not written as four decimal numbers:
 * 0x7f.1, 2130706433, 0177.0.0.1, 127.1, and anything else whose last label is
 * a number. */
bool uri_host_is_odd_ip(struct slice host);

/* The one normal form of a path for matching:
 * - escapes of visible ASCII are decoded, once, except %25, %2F, %3F and %23,
 *   whose bytes would mean something else unescaped;
 * - all other escapes are written in upper case;
 * - runs of slashes are one;
 * - then dot segments are removed (RFC 3986 section 5.2.4), ".." at the root too.
 * Never longer than path; path itself when nothing changes ("*" included); the
 * form of the form is the form. { NULL, 0 } for what has to be refused: an
 * escape that is none, or no slash in front. The same, with the arena
 * remembering, when the arena is spent. */
struct slice uri_normal_path(struct slice path, struct arena *arena);

/* What stands behind the first normal_bytes of a path's normal form, spelt as
 * it was received: for what goes on under another prefix. Only dot segments and
 * doubled slashes are removed, as they could lead out of that prefix. The path
 * must have a normal form; { NULL, 0 } when the arena is spent. */
struct slice uri_path_behind(struct slice path, size_t normal_bytes, struct arena *arena);

#endif
