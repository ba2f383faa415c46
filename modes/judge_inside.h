/* SPDX-License-Identifier: BSD-2-Clause */
/* judge_inside.h - what the files of judge share. */
#ifndef BASCULE_JUDGE_INSIDE_H
#define BASCULE_JUDGE_INSIDE_H

#include "modes/judge.h"
#include "server/net/resolve.h"
#include "server/policy/limit_hold.h"
#include "server/users/users.h"

/* One policy's way through an exchange. */
struct judge_run {
    const struct policy_conf *conf;
    struct evaluation at;
    struct verdict verdict; /* so far */
    struct login login;
    const char *users_name; /* of the source of login.user, in the exchange's arena */
    bool is_logging_in;
    bool is_user_known;  /* login came to an end */
    bool is_decided;     /* for good: allowed */
};

/* A rule whose effects are due. */
struct judge_match {
    struct judge_match *next;
    const struct rule_conf *rule;
    bool is_routed, is_told;
};

/* A limit that the exchange counts for until its end. */
struct judge_hold {
    struct judge_hold *next;
    struct limit_hold held;
};

struct judgement {
    struct exchange *ex;
    struct facts facts;
    struct judge_run runs[2]; /* of the listener, of the site; from run_count on unset */
    unsigned run_count;
    struct judge_match *matches, **last_match;
    struct judge_hold *holds;
    const struct rule_conf *over;    /* one of its limits is: it is to be refused */
    struct limit_state over_state;
    const struct rule_conf *cache_rule; /* the last that says something of it; NULL: none */
    struct resolve resolve;
    struct slice tags;               /* "video,office" */
    uint64_t bandwidth;              /* 0: any */
    bool is_personal;                /* the origin is told who asks */
    bool is_destination_known;
    bool is_dry;                     /* nothing is taken, nothing carried out */
};

/* What the effects of a rule are compiled to: struct rule_conf.effects. */
struct judge_effects {
    struct template *redirect;           /* NULL: none */
    struct judge_field *request, *response;
    unsigned request_count, response_count;
    struct group_conf *group;
    const struct parent_conf *parent;
    bool is_direct;                      /* by no parent proxy */
    bool routes, tells, delivers;        /* at which of the steps it has something to do */
    bool is_personal;                    /* what it tells the origin is another thing for others */
};

/* ---- judge.c */

/* A judgement for ex, with the facts that there are. NULL: memory is short. */
struct judgement *judge_begin(struct exchange *ex, const struct tls_session *tls);

/* The run of a policy, made when there is none yet. NULL: memory is short. */
struct judge_run *judge_add_run(struct exchange *ex, const struct policy_conf *conf);

/* Puts into facts who the run knows to be asking. */
void judge_use_user(struct facts *facts, const struct judge_run *run);

/* Evaluates as far as it goes, and carries out what comes of it. */
enum step judge_go_on(struct exchange *ex, struct judge_run *run);

/* stage is known now: the same for all runs that are not decided. */
enum step judge_go_on_all(struct exchange *ex, enum stage stage);

/* Whether some run waits for stage. judgement may be NULL. */
bool judge_waits_for(const struct judgement *judgement, enum stage stage);

/* Of several addresses the one that was connected. */
void judge_use_connected(struct exchange *ex);

/* Rules behind one that waited for longer ask for the destination now, when it is
 * connected, or was answered from the cache. */
enum step judge_connected(struct exchange *ex);

/* ---- judge_match.c */

/* Of live exchanges: arg is the exchange. */
extern const struct policy_hooks judge_hooks;

/* Effects that later steps carry out. */
void judge_note_effects(struct exchange *ex, const struct rule_conf *rule);

/* tags with those of the rule; or with a mark that it was true, but only logs. */
struct slice judge_join_tags(struct arena *arena, struct slice tags, const struct rule_conf *rule);
struct slice judge_join_trial(struct arena *arena, struct slice tags, const struct rule_conf *rule);

/* ---- judge_destination.c */

/* Whom it would be connected to; behind a group or a parent proxy that is not ours to
 * know. False: it is being looked up, and the road resumed then. */
bool judge_find_destination(struct exchange *ex);

/* ---- judge_learn.c */

/* Finds out who asks. STEP_NEXT: that is known now. */
enum step judge_log_in(struct exchange *ex, struct judge_run *run);

/* The credentials are about to be taken out of the request, and rules that ask for the
 * user are still to come: takes what there is of them, and challenges nobody. */
enum step judge_log_in_early(struct exchange *ex, struct judge_run *run);

/* Asks the client who it is. */
enum step judge_challenge(struct exchange *ex, struct judge_run *run);

/* ---- judge_effects.c */

/* Where the exchange goes, as rules say. */
enum step judge_route(struct exchange *ex);

struct slice judge_redirect(struct exchange *ex, const struct rule_conf *rule);

/* ---- judge_limits.c */

/* Takes one from each limit of the rule, until one is exceeded: that one, with *state;
 * NULL: none is. What has to be given back at the end is put in front of *holds: memory
 * from arena, or from malloc() when that is NULL. */
const struct limit_conf *judge_take_all(const struct rule_conf *rule, const struct facts *facts,
                                        uint64_t now_ms, struct arena *arena,
                                        struct judge_hold **holds, struct limit_state *state);

/* Gives it back; bytes have passed meanwhile. */
void judge_give_back(struct judge_hold *hold, uint64_t bytes, uint64_t now_ms);

#endif
