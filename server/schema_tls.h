/* SPDX-License-Identifier: BSD-2-Clause */
/* schema_tls.h - the tables of what is configured about TLS, and what must fit
 * together in it.
 */
#ifndef BASCULE_SCHEMA_TLS_H
#define BASCULE_SCHEMA_TLS_H

#include "server/schema.h"

struct linker;

extern const struct option certificate_options[];
extern const struct option client_certificate_options[];
extern const struct option tls_options[];
extern const struct option upstream_tls_options[];

/* One chain alone, or several with their keys. */
#define CERTIFICATES_FORM \
    "\"CHAIN-AND-KEY\", \"local\" or ( { chain = \"FILE\"; key = \"FILE\"; }, ... )"

/* For OPTION_CUSTOM rows of struct site_conf. */
int tls_parse_hsts(struct config_reader *reader, const struct config_node *node, void *target,
                   struct err *err);
int tls_parse_site_certificates(struct config_reader *reader, const struct config_node *node,
                                void *target, struct err *err);

/* What the tables alone cannot tell. 0, or -1 with err without the place. */
int link_site_tls(struct linker *linker, struct site_conf *site);
int link_group_tls(struct linker *linker, struct group_conf *group);
int link_listener_tls(struct linker *linker, struct listener_conf *listener); /* after the mode */

/* The site whose group gets TLS connections for this name as they are; NULL: TLS
 * ends here. name is in lower case; empty: none that could be a site's. */
const struct site_conf *tls_passes_through(const struct listener_conf *listener,
                                           struct slice name);

/* Finds where sites with https = true send their clients; after the listeners. */
void link_https_ports(struct conf *conf);

#endif
