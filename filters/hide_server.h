/* SPDX-License-Identifier: BSD-2-Clause */
/* hide_server.h - the filter that keeps from clients what stands behind us.
 *
 *     { filter = "hide_server"; server = "web"; remove = [ "X-Team-*" ]; errors = "5xx";
 *       addresses = true; bodies = true; }
 *
 * Sites have it by default: their option "hide_server".
 */
#ifndef BASCULE_HIDE_SERVER_H
#define BASCULE_HIDE_SERVER_H

#include "filters/filter.h"

struct field_set;
struct prefix_set;

enum hide_errors { HIDE_ERRORS_OFF, HIDE_ERRORS_5XX, HIDE_ERRORS_ALL };

struct hide_server_conf {
    struct filter_conf filter;
    const char *server;    /* value of Server; NULL: no such field */
    struct strings remove; /* besides what is always removed */
    int errors;            /* enum hide_errors */
    bool addresses, bodies;
    const struct field_set *hidden;
    const struct prefix_set *masked; /* with addresses; otherwise NULL */
};

/* What every option is by default. */
extern const struct hide_server_conf hide_server_default;

extern const struct filter_ops hide_server_filter;

#endif
