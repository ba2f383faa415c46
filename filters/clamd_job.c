/* SPDX-License-Identifier: BSD-2-Clause */
/* clamd_job.c - one message's content, from the first byte to the verdict.
 *
 *     HOLD --(all of it, so much, or so long)--> JUDGE --(clean)--> FREE
 *                                                  | '--(no)-----> an answer of ours
 *                                                  '--(there is more, or it takes long)
 *                                                            v
 *                                                          STREAM --(clean)--> FREE
 *                                                             '-----(no)-----> STOP
 *
 * What is held whole gets its verdict before the head is sent, and another clamd is asked if
 * one fails. What is longer is sent to clamd as far as it is held before the head goes on,
 * so that no clamd means no head.
 */
#include "config.h"

#include "filters/clamd_inside.h"

#include "server/base/log.h"

#include <stdlib.h>

/* ---- what is said of it */

static void
count(struct clamd_job *job, enum clamd_event event)
{
    filter_count(job->ex, &clamd_counts, event, 1);
}

static const char *
side_word(const struct clamd_job *job)
{
    return job->side == CLAMD_UPLOAD ? "upload" : "download";
}

static void
decide(struct clamd_job *job, enum decision_kind kind, const char *what, const char *more)
{
    exchange_decide_filter(job->ex, kind, NULL, &job->conf->filter.place, "clamd: %s %s%s%s",
                           side_word(job), what, more != NULL ? ": " : "",
                           more != NULL ? more : "");
}

/* The rule that says no is named after what was found. */
static void
tell_infected(struct clamd_job *job)
{
    struct exchange *ex = job->ex;
    const struct place *place = &job->conf->filter.place;
    struct slice name = job->feed.name;
    struct slice rule = arena_printf(&ex->arena, "clamd:%.*s", SLICE_ARG(name));
    char client[IP_TEXT_BYTES];

    ip_text(&ex->client_ip, client);
    log_warn("%s:%u: clamd: %.*s found in the %s of %s%s for client %s%s",
             place->file != NULL ? place->file : "", place->line, SLICE_ARG(name), side_word(job),
             log_escape(ex->request.host), log_escape(ex->request.path), client,
             job->conf->is_trial ? " (log_only)" : "");
    if (job->conf->is_trial)
        exchange_decide(ex, DECISION_FILTER, place, "clamd: %s has %.*s in it: log_only",
                        side_word(job), SLICE_ARG(name));
    else
        exchange_decide_filter(ex, DECISION_DENY, rule.data, place, "clamd: %s has %.*s in it",
                               side_word(job), SLICE_ARG(name));
}

/* Longer than max_size, or than clamd takes, in which case nothing was scanned. */
static bool
settle_too_long(struct clamd_job *job)
{
    const struct clamd_conf *conf = job->conf;

    count(job, CLAMD_COUNT_TOO_LARGE);
    if (conf->larger == CLAMD_SCAN)
        count(job, CLAMD_COUNT_FAILED);
    decide(job, conf->larger == CLAMD_PASS ? DECISION_FILTER : DECISION_FAILURE,
           "is not scanned", job->feed.why);
    return conf->is_trial || conf->larger == CLAMD_PASS ||
           (conf->larger == CLAMD_SCAN && conf->on_failure == CLAMD_OPEN);
}

bool
clamd_job_settle(struct clamd_job *job)
{
    const struct clamd_conf *conf = job->conf;

    switch (job->feed.verdict) {
    case CLAMD_PENDING:
        break;
    case CLAMD_CLEAN:
        count(job, CLAMD_COUNT_CLEAN);
        decide(job, DECISION_FILTER, "is clean", NULL);
        return true;
    case CLAMD_INFECTED:
        count(job, CLAMD_COUNT_INFECTED);
        tell_infected(job);
        return conf->is_trial;
    case CLAMD_TOO_LONG:
        return settle_too_long(job);
    case CLAMD_UNREADABLE:
        count(job, CLAMD_COUNT_UNREADABLE);
        decide(job, DECISION_FILTER, "cannot be read", job->feed.why);
        return conf->is_trial || conf->unreadable == CLAMD_PASS;
    case CLAMD_FAILED:
        count(job, CLAMD_COUNT_FAILED);
        decide(job, DECISION_FAILURE, "has no verdict", job->feed.why);
        return conf->is_trial || conf->on_failure == CLAMD_OPEN;
    }
    return false;
}

unsigned
clamd_job_answer(const struct clamd_job *job, enum end_reason *reason, const char **why)
{
    bool is_upload = job->side == CLAMD_UPLOAD;
    struct slice text;

    *reason = END_DENIED;
    switch (job->feed.verdict) {
    case CLAMD_INFECTED:
        text = arena_printf(&job->ex->arena, "Malware was found in it: %.*s.",
                            SLICE_ARG(job->feed.name));
        *why = text.data;
        return 403;
    case CLAMD_UNREADABLE:
        text = arena_printf(&job->ex->arena, "It cannot be checked for malware: %s.",
                            job->feed.why);
        *why = text.data;
        return 403;
    case CLAMD_TOO_LONG:
        if (job->conf->larger == CLAMD_SCAN)
            break;
        *why = "It is too long to be checked for malware.";
        return is_upload ? 413 : 403;
    case CLAMD_PENDING:
    case CLAMD_CLEAN:
    case CLAMD_FAILED:
        break;
    }
    *reason = END_FILTER_FAILED;
    *why = "It could not be checked for malware. Please try again later.";
    return 503;
}

/* What is asked for by the cache has no client: who waits for it is told of a failure. */
void
clamd_answer_instead(struct exchange *ex, unsigned status, enum end_reason reason,
                     const char *why)
{
    if (ex->solo != NULL)
        ex->failure = (struct failure){ reason, (uint16_t)status, NULL, why };
    exchange_answer(ex, status, reason, why);
}

/* ---- what is held is sent to clamd */

static void
on_feed_change(struct clamd_feed *feed)
{
    struct clamd_job *job = container_of(feed, struct clamd_job, feed);

    switch (job->stage) {
    case CLAMD_STAGE_JUDGE:
        job->ex->road->on_resume(job->ex);
        return;
    case CLAMD_STAGE_STREAM:
        clamd_content_go_on(job);
        return;
    case CLAMD_STAGE_HOLD:
    case CLAMD_STAGE_FREE:
    case CLAMD_STAGE_PASS:
    case CLAMD_STAGE_STOP:
        return;
    }
}

/* From the first byte that is held. Of a form that is held whole, first as it is: receivers
 * may read it in another way than we do. */
static void
begin_feed(struct clamd_job *job)
{
    struct clamd_shape shape = job->shape;

    if (job->is_first_look)
        shape.is_form = false;
    clamd_feed_drop(&job->feed);
    clamd_feed_begin(&job->feed, job->conf, job->ex, &shape, on_feed_change);
    job->chunk = hold_next(&job->hold, NULL);
    job->chunk_at = 0;
    job->fed_bytes = 0;
}

/* As far as there is room. True: clamd has all that is held. */
static bool
feed_held(struct clamd_job *job)
{
    while (job->chunk != NULL && job->feed.verdict == CLAMD_PENDING) {
        size_t left = job->chunk->bytes - job->chunk_at;
        size_t taken = clamd_feed_put(&job->feed, job->chunk->data + job->chunk_at, left);

        job->chunk_at += taken;
        job->fed_bytes += taken;
        if (taken < left)
            return false;
        job->chunk = hold_next(&job->hold, job->chunk);
        job->chunk_at = 0;
    }
    return job->chunk == NULL;
}

static void
on_impatient(struct timer *timer)
{
    struct clamd_job *job = container_of(timer, struct clamd_job, patience);

    job->is_impatient = true;
    if (job->stage == CLAMD_STAGE_HOLD)
        hold_stop(&job->hold);
    if (job->stage == CLAMD_STAGE_HOLD || job->stage == CLAMD_STAGE_JUDGE)
        job->ex->road->on_resume(job->ex);
    else
        clamd_content_go_on(job);
}

/* What becomes of content with a verdict; passing: the stage if it may pass. */
static enum filter_verdict
conclude(struct clamd_job *job, enum clamd_stage passing)
{
    enum end_reason reason;
    const char *why;
    unsigned status;

    timer_disarm(&job->patience);
    if (clamd_job_settle(job)) {
        job->stage = passing;
        return FILTER_NEXT;
    }
    job->stage = CLAMD_STAGE_STOP;
    status = clamd_job_answer(job, &reason, &why);
    clamd_answer_instead(job->ex, status, reason, why);
    return FILTER_ANSWER;
}

static enum filter_verdict
settle(struct clamd_job *job)
{
    if (job->feed.verdict != CLAMD_CLEAN || !job->is_first_look)
        return conclude(job, CLAMD_STAGE_FREE);
    job->is_first_look = false;
    begin_feed(job);
    return clamd_job_ask(job);
}

/* Each address may be tried, and the first one again, unless clamd took all its time:
 * content that is too much for one is not for the others. */
static bool
may_try_again(struct clamd_job *job)
{
    uint64_t spent_ms = loop_now_ms(job->ex->worker->loop) - job->begun_ms;

    return spent_ms < job->conf->timeout_ms && job->tries++ < job->conf->service.to.count;
}

static enum filter_verdict
judge(struct clamd_job *job)
{
    bool has_all = feed_held(job);

    if (job->feed.was_begun && !job->was_counted) {
        job->was_counted = true;
        count(job, CLAMD_COUNT_SCANNED);
    }
    if (has_all && job->hold.state == HOLD_WHOLE)
        clamd_feed_end(&job->feed);
    if (job->feed.verdict == CLAMD_FAILED && may_try_again(job)) {
        begin_feed(job);
        return clamd_job_ask(job);
    }
    if (job->feed.verdict != CLAMD_PENDING)
        return settle(job);
    if ((has_all && job->hold.state != HOLD_WHOLE) || job->is_impatient) {
        job->stage = CLAMD_STAGE_STREAM;
        timer_disarm(&job->patience);
        return FILTER_NEXT;
    }
    return FILTER_WAIT;
}

static enum filter_verdict
hold(struct clamd_job *job)
{
    struct exchange *ex = job->ex;
    size_t most = (size_t)job->conf->whole_bytes;
    bool is_there = job->side == CLAMD_UPLOAD ? hold_request(&job->hold, ex, most)
                                              : hold_response(&job->hold, ex, most);

    if (!is_there)
        return FILTER_WAIT;
    if (job->hold.state == HOLD_FAILED) {
        hold_answer(ex, &job->hold);
        return FILTER_ANSWER;
    }
    if (job->hold.state == HOLD_WHOLE && job->hold.bytes == 0) {
        timer_disarm(&job->patience);
        job->stage = CLAMD_STAGE_FREE;
        return FILTER_NEXT;
    }
    job->is_first_look = job->shape.is_form && job->hold.state == HOLD_WHOLE;
    job->stage = CLAMD_STAGE_JUDGE;
    job->begun_ms = loop_now_ms(ex->worker->loop);
    begin_feed(job);
    return judge(job);
}

enum filter_verdict
clamd_job_ask(struct clamd_job *job)
{
    switch (job->stage) {
    case CLAMD_STAGE_HOLD:
        return hold(job);
    case CLAMD_STAGE_JUDGE:
        return judge(job);
    case CLAMD_STAGE_STREAM:
    case CLAMD_STAGE_FREE:
    case CLAMD_STAGE_PASS:
    case CLAMD_STAGE_STOP:
        break;
    }
    return FILTER_NEXT;
}

enum filter_verdict
clamd_job_say(struct clamd_job *job, enum clamd_verdict verdict, const char *why)
{
    job->feed.verdict = verdict;
    job->feed.why = why;
    return conclude(job, CLAMD_STAGE_PASS);
}

/* ---- life */

struct clamd_job *
clamd_job_new(const struct clamd_conf *conf, struct exchange *ex, enum clamd_side side,
              const struct clamd_shape *shape)
{
    struct clamd_job *job = arena_zalloc(&ex->arena, sizeof(*job));

    if (job == NULL)
        return NULL;
    job->conf = conf;
    job->ex = ex;
    job->side = side;
    job->shape = *shape;
    timer_init(&job->patience, on_impatient);
    /* Who uploads waits for the answer anyway. */
    if (side == CLAMD_DOWNLOAD && conf->patience_ms > 0)
        timer_arm(ex->worker->loop, &job->patience, conf->patience_ms);
    return job;
}

struct source *
clamd_job_content(struct clamd_job *job, struct source *inner)
{
    switch (job->stage) {
    case CLAMD_STAGE_FREE:
        return hold_source(&job->hold);
    case CLAMD_STAGE_STREAM:
        return clamd_content_begin(job);
    case CLAMD_STAGE_HOLD:
    case CLAMD_STAGE_JUDGE:
    case CLAMD_STAGE_PASS:
    case CLAMD_STAGE_STOP:
        break;
    }
    return inner;
}

void
clamd_job_end(struct clamd_job *job)
{
    timer_disarm(&job->patience);
    clamd_feed_drop(&job->feed);
    clamd_content_end(job);
}
