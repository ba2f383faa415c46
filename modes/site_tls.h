/* SPDX-License-Identifier: BSD-2-Clause */
/* site_tls.h - what TLS means to a site's requests: who came without it, by the
 * wrong connection, or with a certificate.
 */
#ifndef BASCULE_SITE_TLS_H
#define BASCULE_SITE_TLS_H

#include "modes/mode.h"
#include "server/http/exchange.h"

/* Whether the client came by TLS: to us, or to a trusted proxy that says so. */
bool site_is_secure(const struct exchange *ex);

/* Sends who came without TLS to a site that wants it to https://, and answers
 * 421 to requests by a connection that was made for a site with other
 * certificates or other demands on clients' (RFC 9110 section 15.5.20), which
 * includes one without TLS when the site demands a client's certificate, and any
 * when the site's TLS is passed through. Part of a mode's route step, once
 * ex->site is known. */
enum step site_check_tls(struct exchange *ex);

/* Adds Client-Cert (RFC 9440) to what goes upstream, when the client showed a
 * certificate. */
void site_add_client_certificate(struct exchange *ex);

/* Adds Strict-Transport-Security (RFC 6797) to the response, where the site
 * wants it and the client came by TLS. */
void site_add_hsts(struct exchange *ex);

/* RFC 8470: a request of the first flight may be a replay; only safe methods are
 * taken then. STEP_ANSWER: 425. */
enum step site_check_early(struct exchange *ex);

#endif
