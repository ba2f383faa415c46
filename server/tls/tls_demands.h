/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_demands.h - what a site demands of a connection before it may carry its
 * requests: which certificates were shown, and what the client had to prove.
 *
 * A connection was made for one name; HTTP lets it ask for others. Who did not
 * show a certificate for the first must not reach what the second keeps for those
 * who did (RFC 9110 section 7.4): that gets 421.
 */
#ifndef BASCULE_TLS_DEMANDS_H
#define BASCULE_TLS_DEMANDS_H

#include <stdbool.h>
#include <stdint.h>

struct client_certificate_conf;
struct listener_conf;
struct site_conf;
struct tls_facts;
struct tls_session;

/* What is asked of clients: the site's own word, or else the listener's. site
 * may be NULL. */
const struct client_certificate_conf *tls_demands_of(const struct listener_conf *listener,
                                                     const struct site_conf *site);

/* A number that is the same for the same demands only, also after a reload; 0:
 * nothing is asked. */
uint64_t tls_demands_id(const struct client_certificate_conf *conf);

/* The certificates to show: the site's own, or else the listener's; may be NULL. */
const struct certificate_set *tls_set_of(const struct listener_conf *listener,
                                         const struct site_conf *site);

/* Whether a connection with these facts may carry requests for the site. */
bool tls_facts_suit(const struct tls_facts *facts, const struct listener_conf *listener,
                    const struct site_conf *site);

/* The same where there are no sites: only what was proved counts. After a reload
 * the listener may demand what it did not before. */
bool tls_facts_prove(const struct tls_facts *facts, const struct listener_conf *listener);

/* Whether a client's connection is still as one for the same name would be now,
 * after a reload; without a session (plain) it is. Otherwise its requests are about
 * to get 421, and the client does better to come again. */
bool tls_is_current(const struct tls_session *session, const struct listener_conf *listener);

/* Whether a connection without TLS cannot be enough: the site is only for clients
 * with a certificate. */
bool tls_demands_tls(const struct site_conf *site);

#endif
