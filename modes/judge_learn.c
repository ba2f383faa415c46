/* SPDX-License-Identifier: BSD-2-Clause */
/* judge_learn.c - who asks. */
#include "config.h"

#include "modes/judge_inside.h"

#include "server/base/log.h"
#include "server/log/access_log.h"
#include "server/log/log_privacy.h"
#include "server/log/log_thread.h"
#include "server/net/listener.h"

static enum step
refuse(struct exchange *ex, const struct judge_run *run, unsigned status, const char *what,
       const char *why)
{
    exchange_decide(ex, DECISION_DENY, &run->conf->users->place, "%s", what);
    exchange_answer(ex, status, END_DENIED, why);
    return STEP_ANSWER;
}

enum step
judge_challenge(struct exchange *ex, struct judge_run *run)
{
    const struct users_conf *users = run->conf->users;
    const struct rule_conf *rule = run->verdict.rule;
    const char *detail = run->login.detail != NULL ? run->login.detail : "no credentials";

    if (rule != NULL)
        exchange_decide_rule(ex, DECISION_DENY, rule->name, &rule->place, "who asks? %s", detail);
    if (ex->judgement->is_dry)
        return STEP_ANSWER;
    if (users->ops->challenge == NULL)
        return refuse(ex, run, 403, "nobody has said who asks",
                      "This is for users who have shown who they are.");
    exchange_answer(ex, run->login.is_proxy ? 407 : 401, END_DENIED, "Please log in.");
    users->ops->challenge(users, &run->login, ex);
    return STEP_ANSWER;
}

static enum step
lock_out(struct exchange *ex, struct judge_run *run)
{
    enum step step = refuse(ex, run, 429, "locked after too many wrong passwords",
                            "Too many wrong passwords: please wait a while.");

    fields_add(&ex->response.fields, &ex->arena, FIELD_RETRY_AFTER,
               arena_printf(&ex->arena, "%u", run->login.retry_s));
    return step;
}

/* For those who watch the log for guessing (fail2ban): the client stands before what it chose
 * itself, and no more is told than the listener's access log may tell. */
static void
tell_failure(const struct exchange *ex, const struct judge_run *run)
{
    static struct log_limit failed = LOG_LIMIT(100);
    const struct access_log_conf *log = ex->listener->access_log;
    struct access_record shown = { .user = run->login.claimed };
    struct log_concealed room;
    char client[IP_TEXT_BYTES];

    if (log != NULL)
        log_privacy_apply(&log->privacy, &shown, &room);
    log_limited(&failed, LEVEL_INFO,
                "listener \"%s\": client %s: login failed: %s: users \"%s\", user \"%s\"",
                ex->listener->name, listener_client_text(ex->listener, &ex->client_ip, client),
                run->login.detail != NULL ? run->login.detail : "wrong",
                run->conf->users->name, shown.user.bytes > 0 ? log_escape(shown.user) : "-");
}

/* It is known now: somebody, or nobody. */
static enum step
know(struct exchange *ex, struct judge_run *run)
{
    run->is_user_known = true;
    if (run->login.user.name.bytes > 0) {
        run->users_name = arena_strdup(&ex->arena, run->conf->users_name);
        ex->user = &run->login.user;
    }
    return STEP_NEXT;
}

/* The rule that asks does nothing but log: nobody is challenged for it. */
static bool
is_only_logged(const struct judge_run *run)
{
    const struct rule_conf *rule = run->verdict.kind == VERDICT_LEARN ? run->verdict.rule : NULL;

    return rule != NULL && rule->log_only;
}

static enum login_state
log_in(struct exchange *ex, struct judge_run *run)
{
    const struct users_conf *users = run->conf->users;
    enum login_state state = users->ops->login(users, &run->login, ex);

    run->is_logging_in = state == LOGIN_WAIT;
    return state;
}

/* What came of it. */
static enum step
act_on(struct exchange *ex, struct judge_run *run, enum login_state state)
{
    const struct users_conf *users = run->conf->users;

    if (state == LOGIN_LOCKED || (state == LOGIN_WRONG && !run->login.is_stale))
        tell_failure(ex, run);
    switch (state) {
    case LOGIN_OK:
        return know(ex, run);
    case LOGIN_NONE:
        return users->ops->challenge != NULL && !is_only_logged(run) ? judge_challenge(ex, run)
                                                                     : know(ex, run);
    case LOGIN_WRONG:
        return is_only_logged(run) ? know(ex, run) : judge_challenge(ex, run);
    case LOGIN_LOCKED:
        return lock_out(ex, run);
    case LOGIN_BUSY:
        return refuse(ex, run, 503, run->login.detail != NULL ? run->login.detail : "busy",
                      "Who you are cannot be checked right now: please try again.");
    case LOGIN_ANSWER:
        exchange_decide(ex, DECISION_DENY, &users->place, "answered by %s",
                        users->ops->name);
        return STEP_ANSWER;
    case LOGIN_WAIT:
        break;
    }
    return STEP_WAIT;
}

enum step
judge_log_in(struct exchange *ex, struct judge_run *run)
{
    if (ex->judgement->is_dry)
        return know(ex, run);
    return act_on(ex, run, log_in(ex, run));
}

enum step
judge_log_in_early(struct exchange *ex, struct judge_run *run)
{
    enum login_state state;

    if (run->is_decided || run->is_user_known || run->conf->users == NULL ||
        !(policy_stages(run->conf->policy) & STAGE_BIT(STAGE_USER)))
        return STEP_NEXT;
    state = log_in(ex, run);
    return state == LOGIN_NONE ? STEP_NEXT : act_on(ex, run, state);
}
