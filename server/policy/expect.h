/* SPDX-License-Identifier: BSD-2-Clause */
/* expect.h - what an operator wants a configuration to do, written into it.
 *
 *     expect = ( { request = "GET http://ads.example/"; listener = "office";
 *                  from = "10.0.0.7"; verdict = "deny"; rule = "no-ads"; } );
 *
 * `bascule check` tries each one, and a reload that breaks one is refused. Trying is
 * the business of modes (modes/expectations.h).
 */
#ifndef BASCULE_EXPECT_H
#define BASCULE_EXPECT_H

#include "server/config/option.h"
#include "server/policy/question.h"

struct conf;

/* What becomes of a request. */
enum outcome {
    OUTCOME_UNSAID,    /* written "any" */
    OUTCOME_ALLOW,     /* it goes on: upstream, or to what a site answers itself */
    OUTCOME_DENY,      /* by a rule, or by what a mode never lets through */
    OUTCOME_CHALLENGE, /* who is it? 401, 407 */
    OUTCOME_DROP,
    OUTCOME_REDIRECT,  /* by a rule */
    OUTCOME_WAIT,      /* a rule asks for what is not known */
};

/* "any", "allow", "deny" ...; ends with NULL. */
extern const char *const outcome_words[];

struct expect_conf {
    struct place place;

    /* the question */
    const char *request;       /* "GET http://www.example.com/", "CONNECT host:443"; NULL: a
                                * connection without HTTP */
    const char *listener, *from, *user;
    struct strings user_groups, headers;
    const char *time, *destination, *server_name;
    int64_t response_status;   /* 0: none came yet */
    struct strings response_headers;

    /* the answer; what is not given is not looked at */
    int verdict;               /* enum outcome */
    int64_t status;            /* of Bascule's own answer; 0: any */
    const char *rule;          /* that decided, or waits: its name; "default" */
    const char *site, *route, *group; /* where it goes */
    struct strings set_request; /* "Name: value": fields that rules set; "Name:": taken away */
    struct strings matched;    /* names of rules that are true */
};

extern const struct option expect_options[];

/* Checks that what is asked makes sense, and that all names exist. 0, or -1 with err
 * naming file and line. After policies, sites and listeners are linked. */
int expects_finish(const struct conf *conf, struct err *err);

/* The question of conf. 0, or -1 with err. Borrows conf's texts. */
int expect_question(const struct expect_conf *conf, struct question *question, struct err *err);

#endif
