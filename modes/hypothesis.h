/* SPDX-License-Identifier: BSD-2-Clause */
/* hypothesis.h - what would become of a request, found out without sending it.
 *
 *   question --> stand-in exchange --> the mode's own guards --> listener's policy
 *      --> route --> site's policy --> destination, SNI, response, as far as known
 *      --> which endpoint, under which key of the cache
 *
 * The same code decides as for a real one: modes, policies, routes. Nothing is taken
 * from limits, counted, looked up, connected or logged; whoever thinks has a worker
 * without a thread. For the main thread, or a command without a daemon.
 */
#ifndef BASCULE_HYPOTHESIS_H
#define BASCULE_HYPOTHESIS_H

#include "server/generation.h"
#include "server/http/exchange.h"
#include "server/policy/expect.h"
#include "server/policy/policy.h"
#include "server/upstream/endpoint.h"

struct cache_conf;

/* A rule that was tried. */
struct hypothesis_rule {
    const struct rule_conf *rule;
    enum truth truth;
    struct slice why;
};

/* A policy that had a say. */
struct hypothesis_policy {
    const struct policy_conf *conf;
    const char *whose;    /* "listener" or "site"; static */
    const char *owner;    /* its name */
    struct hypothesis_rule *rules;
    unsigned count;
    struct verdict verdict;
    bool is_waiting;      /* for verdict.wanted, of which the question says nothing */
};

/* An endpoint that the balancer has to choose from. */
struct hypothesis_endpoint {
    const struct endpoint_conf *conf;
    bool is_known;        /* how it is: the daemon serves it */
    bool is_next;         /* it would be chosen now */
    bool is_full;
    struct endpoint_numbers numbers;
};

#define HYPOTHESIS_NOTES_MAX 8u

struct hypothesis {
    const struct question *question;
    struct snapshot *snapshot;
    bool is_served;       /* the snapshot is what a daemon serves */
    int64_t now_s;
    struct facts facts;
    struct ip destination; /* family 0: not known */
    struct exchange ex;   /* arena: that of all this */
    bool is_flow;         /* a connection without HTTP */
    bool is_listener_found; /* it was not named */

    struct hypothesis_policy policies[2];
    unsigned policy_count;

    enum outcome outcome;
    uint16_t status;      /* of our own answer; 0: upstream answers */
    const struct hypothesis_policy *decider; /* NULL: no policy refused it */
    const struct rule_conf *rule; /* of decider; NULL: its default */
    struct slice reason;  /* in words; empty: none but the rule */
    struct slice location; /* of a redirect */

    struct hypothesis_endpoint *endpoints;
    unsigned endpoint_count;
    const struct cache_conf *cache; /* NULL: nothing is kept */
    struct slice key;     /* of the cache */

    struct slice notes[HYPOTHESIS_NOTES_MAX]; /* what should be known besides */
    unsigned note_count;

    /* who thinks */
    struct worker worker;
    struct counters counters;
    struct generation generation;
    struct client client;
    struct downstream down;
};

/* Finds out. Borrows question and what it borrows; counts a reference of snapshot, whose
 * lists are loaded. is_served: endpoints are in the registry. NULL with err: the
 * question makes no sense here. */
struct hypothesis *hypothesis_new(struct snapshot *snapshot, const struct question *question,
                                  bool is_served, struct err *err);
void hypothesis_free(struct hypothesis *hypothesis);

/* Whether the rule was tried and true. */
bool hypothesis_has(const struct hypothesis *hypothesis, const struct rule_conf *rule);

/* The policy that decided, also where it allowed, and its rule (NULL: the default). NULL:
 * no policy did. */
const struct hypothesis_policy *hypothesis_decider(const struct hypothesis *hypothesis,
                                                   const struct rule_conf **rule);

/* "allow by default", "deny by rule no-ads": the outcome in a few words. Returns text. */
#define HYPOTHESIS_TEXT_BYTES 256
const char *hypothesis_text(const struct hypothesis *hypothesis, char *text);

/* "the address of the destination": what rules of the stage ask about. Static. */
const char *hypothesis_stage(enum stage stage);

#endif
