/* SPDX-License-Identifier: BSD-2-Clause */
/* anonymity_inside.h - what the parts of the filter anonymity share.
 *
 *     anonymity_options.c   what an operator writes, and the plan made of it
 *     anonymity.c           what is done to requests and answers
 */
#ifndef BASCULE_ANONYMITY_INSIDE_H
#define BASCULE_ANONYMITY_INSIDE_H

#include "filters/anonymity.h"
#include "filters/anonymity_cookies.h"

enum referer { REFERER_PROFILE, REFERER_PASS, REFERER_SAME, REFERER_ORIGIN, REFERER_NONE };

/* Of a field by which clients say something: Sec-GPC, DNT, Sec-CH-*. */
enum say { SAY_PROFILE, SAY_PASS, SAY_SEND, SAY_REMOVE };

enum language { LANGUAGE_PASS, LANGUAGE_FIRST, LANGUAGE_FIXED };

enum tracking { TRACKING_PROFILE, TRACKING_PASS, TRACKING_STRIP };

/* What is done, whatever said so. */
struct plan {
    struct slice agent;             /* empty: the client's own */
    struct slice fixed_language;
    const struct field_set *kept;   /* what passes; NULL: all but what is taken out */
    const struct field_set *taken;  /* what is taken out; NULL: nothing */
    enum language language;
    enum referer referer;
    enum cookie_policy cookies;
    bool strips_tracking, sends_gpc, sends_dnt, orders;
};

struct anonymity_conf {
    struct filter_conf filter;
    int profile;            /* enum anonymity_profile */
    const char *user_agent, *accept_language; /* as written */
    struct strings keep, cookie_hosts, parameters;
    int cookies;            /* enum cookie_policy */
    int referer;            /* enum referer */
    int gpc, dnt, hints;    /* enum say */
    int tracking;           /* enum tracking */
    struct plan plan;
};

/* The filter's table of options, and its finish. */
extern const struct option anonymity_options[];
int anonymity_finish(void *conf, struct conf *all, struct arena *arena, struct err *err);

#endif
