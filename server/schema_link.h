/* SPDX-License-Identifier: BSD-2-Clause */
/* schema_link.h - what the parts of schema_finish() share. */
#ifndef BASCULE_SCHEMA_LINK_H
#define BASCULE_SCHEMA_LINK_H

#include "server/schema.h"

/* What is being linked. */
struct linker {
    struct conf *conf;
    struct arena *arena;  /* of the snapshot */
    struct arena scratch; /* until the end of schema_finish() */
    const struct filter_chain *hide_chain; /* of hide_server alone; NULL: not needed yet */
    struct err *err;
};

/* Each checks and links its part. 0, or -1 with err naming file and line. */
int link_groups(struct linker *linker);
int link_sites(struct linker *linker); /* after groups */
int link_filters(struct linker *linker, const struct config_list *list);
/* What runs together, once all of it is linked: the filters of the listener, or of site, route
 * (which may be site->all), and hide_server where the site wants it. */
int link_listener_chain(struct linker *linker, struct listener_conf *listener);
int link_route_chain(struct linker *linker, const struct site_conf *site,
                     struct route_conf *route);
/* name may be NULL: no policy. err has no place. */
int link_policy(struct linker *linker, const char *name, struct policy_conf **policy);

/* Names go into logs, metrics and identities: checks their syntax. That no other
 * of the same list has it was checked when it was read. */
int link_check_name(const char *what, const char *name, const struct place *place,
                    struct err *err);

/* Puts file, line and name in front of what a called function found. Returns -1. */
int link_fail(struct err *err, const struct place *place, const char *what, const char *name);

#endif
