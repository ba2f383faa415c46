/* SPDX-License-Identifier: BSD-2-Clause */
/* judge_tunnel.c - policies and tunnels: the name in the TLS inside, and the rules of a
 * configuration that came later.
 */
#include "config.h"

#include "modes/judge_inside.h"

uint32_t
judge_sni_wait_ms(const struct exchange *ex)
{
    uint32_t wait_ms = 0;

    if (!judge_waits_for(ex->judgement, STAGE_SNI))
        return 0;
    for (unsigned i = 0; i < ex->judgement->run_count; i++)
        if (ex->judgement->runs[i].conf->sni_wait_ms > wait_ms)
            wait_ms = ex->judgement->runs[i].conf->sni_wait_ms;
    return wait_ms > 0 ? wait_ms : 1;
}

bool
judge_sni(struct exchange *ex, struct slice name)
{
    struct response sent = ex->response;
    bool is_allowed;

    judge_use_connected(ex);
    ex->judgement->is_dry = false; /* as it is after a reload */
    ex->judgement->facts.tunnel_name = arena_copy(&ex->arena, name);
    is_allowed = judge_go_on_all(ex, STAGE_SNI) == STEP_NEXT && judge_connected(ex) == STEP_NEXT;
    ex->response = sent; /* it is too late for another one */
    ex->is_tunnel = true;
    return is_allowed;
}

/* What was learned of it stays, and is used again. */
static void
copy_user(const struct judgement *from, struct judge_run *run)
{
    struct slice wanted = slice_of(run->conf->users_name);

    run->is_user_known = true;
    for (unsigned i = 0; from != NULL && i < from->run_count; i++) {
        const struct judge_run *old = &from->runs[i];

        if (old->users_name != NULL && slice_equal(slice_of(old->users_name), wanted)) {
            run->login.user = old->login.user;
            run->users_name = old->users_name;
        }
    }
}

static bool
judge_run_again(struct exchange *ex, const struct judgement *before,
                const struct policy_conf *conf, bool *waits)
{
    struct judge_run *run;

    if (conf == NULL)
        return true;
    run = judge_add_run(ex, conf);
    if (run == NULL)
        return false;
    copy_user(before, run);
    if (judge_go_on(ex, run) != STEP_NEXT)
        return false;
    *waits = *waits || judge_waits_for(ex->judgement, STAGE_SNI);
    return true;
}

/* What is known of the tunnel already, and what it holds: to be given back, whichever of
 * the two is there. */
static void
keep(struct judgement *judgement, const struct judgement *before)
{
    judgement->tags = before->tags;
    judgement->holds = before->holds;
    if ((before->facts.known & STAGE_BIT(STAGE_SNI)) == 0)
        return;
    judgement->facts.known |= STAGE_BIT(STAGE_SNI);
    judgement->facts.tunnel_name = before->facts.tunnel_name;
}

bool
judge_again(struct exchange *ex, const struct tls_session *tls, bool *waits)
{
    const struct judgement *before = ex->judgement;
    struct judgement *judgement;

    *waits = false;
    ex->judgement = NULL;
    if (ex->listener->policy == NULL && (ex->site == NULL || ex->site->policy == NULL)) {
        ex->judgement = (struct judgement *)before;
        return true;
    }
    judgement = judge_begin(ex, tls);
    if (judgement == NULL) {
        ex->judgement = (struct judgement *)before;
        return false;
    }
    judgement->is_dry = true;
    if (ex->is_direct)
        judgement->facts.destination = ex->upstream_ip;
    judgement->facts.known |= STAGE_BIT(STAGE_DESTINATION);
    judgement->facts.to_come &= ~STAGE_BIT(STAGE_RESPONSE);
    if (before != NULL)
        keep(judgement, before);
    return judge_run_again(ex, before, ex->listener->policy, waits) &&
           judge_run_again(ex, before, ex->site != NULL ? ex->site->policy : NULL, waits);
}
