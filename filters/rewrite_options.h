/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_options.h - what an operator says to the filter rewrite. */
#ifndef BASCULE_REWRITE_OPTIONS_H
#define BASCULE_REWRITE_OPTIONS_H

#include "filters/rewrite_inside.h"

enum { SIDE_FETCH, SIDE_DELIVER };
enum { ON_LIMIT_PASS, ON_LIMIT_REFUSE };

struct rewrite_conf {
    struct filter_conf filter;
    struct config_list replace, insert;
    struct strings types, fields;
    uint64_t max_bytes, max_match;
    int side, on_limit;
    bool requests;
    struct rewrite_rules *rules;      /* NULL: nothing is replaced */
    struct slice texts[HTML_PLACES];  /* inserted there; empty: nothing */
    bool inserts;
};

extern const struct option rewrite_options[];

int rewrite_finish(void *conf, struct conf *all, struct arena *arena, struct err *err);

#endif
