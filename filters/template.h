/* SPDX-License-Identifier: BSD-2-Clause */
/* template.h - values with variables: "https://%{host}%{target}".
 *
 * Compiled when the configuration is read, so that a name that does not exist
 * is found then. "%%" is a percent sign, and so is one that neither "{" nor
 * "%" follows.
 *
 *     client_ip  address of the client, or whom a trusted proxy named
 *     host       host name asked for: in lower case, without port, IPv6 in brackets
 *     authority  host and port as the client wrote them
 *     scheme     "http" or "https", as the client sees it
 *     method     "GET"
 *     target     path and query: "/path?query"
 *     path       "/path"
 *     query      "query", without the "?"
 *     id         number of the exchange, as in the access log
 *     listener, site, route   their names; empty when there is none
 *     tls_version, tls_cipher, tls_name   of the client's TLS session; empty: none.
 *                tls_name is what it asked for (SNI)
 *     client_cert_subject, client_cert_issuer, client_cert_serial,
 *     client_cert_fingerprint, client_cert_names   of the certificate it showed,
 *                verified; empty: none
 */
#ifndef BASCULE_TEMPLATE_H
#define BASCULE_TEMPLATE_H

#include "server/base/err.h"
#include "server/http/exchange.h"

struct template;

/* Borrows text. NULL with err when a name is unknown, text has a control
 * character, or is too long to be a header field. */
struct template *template_new(struct arena *arena, struct slice text, struct err *err);

/* The value for this exchange, in its arena; without variables the compiled
 * text itself. { NULL, 0 } when the arena is spent. */
struct slice template_text(const struct template *template, struct exchange *ex);

/* The i-th name of a variable; NULL behind the last. */
const char *template_name(size_t i);

/* The scheme of the URL as the client has it: behind a trusted proxy that
 * proxy's word counts, if there is one. Empty for CONNECT. */
struct slice template_scheme(const struct exchange *ex);

#endif
