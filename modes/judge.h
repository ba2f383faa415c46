/* SPDX-License-Identifier: BSD-2-Clause */
/* judge.h - policies on the way of an exchange.
 *
 *   judge (listener's policy) -> route -> judge (site's policy) -> ... -> destination
 *      -> look up, reach, send -> response -> deliver;  a tunnel: its SNI
 *
 * Each policy is evaluated as far as its facts are known; what a rule waits for is
 * learned, and nothing else. Listener's and site's policies stand side by side:
 * either may refuse. Effects of rules that are true take place at the next of
 * these steps that can carry them out.
 */
#ifndef BASCULE_JUDGE_H
#define BASCULE_JUDGE_H

#include "modes/mode.h"
#include "server/http/exchange.h"
#include "server/policy/policy.h"

struct cache_conf;
struct judge_hold;

/* ---- configuration */

/* Compiles the effects of the rules of all policies, for finish hooks of modes: any
 * number of times. 0, or -1 with err, which names the place. */
int judge_finish(struct conf *conf, struct arena *arena, struct err *err);

/* ---- steps of the road */

enum step judge_listener(struct exchange *ex);
enum step judge_site(struct exchange *ex);        /* after the route is known */
enum step judge_tell(struct exchange *ex);        /* the request's fields, for the origin */
enum step judge_destination(struct exchange *ex); /* before anybody is asked, or the cache */

/* A response from upstream or the cache is about to be delivered: STEP_ANSWER: another one
 * takes its place. */
enum step judge_response(struct exchange *ex);

/* Whatever is delivered: fields that rules set, the pace. */
void judge_deliver(struct exchange *ex);

/* Another answer takes the place of whatever it waits for. */
void judge_stop(struct exchange *ex);

/* The exchange ends: gives back what it held. */
void judge_end(struct exchange *ex);

/* ---- on the way */

/* What rules change of the request, or of the way it goes, for the key of a cache: other
 * answers may come of it. Empty: nothing. */
struct slice judge_key(struct exchange *ex);

/* The configuration of the cache for this exchange; NULL: it is passed by. */
const struct cache_conf *judge_cache(struct exchange *ex, const struct cache_conf *conf);

/* ---- tunnels */

/* For how long the client's first bytes are to be looked at; 0: no rule asks. */
uint32_t judge_sni_wait_ms(const struct exchange *ex);

/* The name is known (empty: there is none). False: the tunnel is to be closed, and the
 * last decision says why. */
bool judge_sni(struct exchange *ex, struct slice name);

/* Judges a running tunnel's request once more, by ex->listener's policy and that of the
 * site that ex->site is now: what is known of it, is. Has no side effects but decisions
 * on ex, whose judgement is another one then, which has what the one before it held.
 * *waits: it is allowed so far, and the tunnel's SNI decides. */
bool judge_again(struct exchange *ex, const struct tls_session *tls, bool *waits);

/* ---- TCP flows */

/* A connection that carries no HTTP: what is known of it when it comes. */
struct judge_flow {
    struct worker *worker;
    const struct listener_conf *listener;
    const struct site_conf *site;    /* that it is passed through to; NULL */
    struct ip client;
    const struct tls_session *tls;
    struct slice name;               /* SNI; empty: none, or not looked at */
    int64_t now_s;

    /* what came of it */
    const struct policy_conf *policy; /* that was asked last; NULL: none */
    const struct rule_conf *rule;    /* of it, that decided; NULL: none, or the default */
    const struct group_conf *group;  /* that a rule chose; NULL */
    const char *why;                 /* static words when refused */
    char *tags;                      /* of the rules that were true; from malloc(); NULL: none */
    struct judge_hold *holds;        /* from malloc(); for judge_flow_end() */
};

/* is_dry: nothing is taken from limits. False: refused. */
bool judge_flow(struct judge_flow *flow, bool is_dry);
void judge_flow_end(struct judge_hold *holds, uint64_t bytes, uint64_t now_ms);

/* ---- for those who only ask (explain, expect) */

/* "video,office": tags of rules that were true. */
struct slice judge_tags(const struct exchange *ex);

/* The origin is told who asks: what it says is for nobody else. */
bool judge_is_personal(const struct exchange *ex);

#endif
