/* SPDX-License-Identifier: BSD-2-Clause */
/* icap_job.c - a message is shown to the server.
 *
 *   hold the start --> open --> (learn) --> ask --(204, 200, 206)-----> outcome
 *                       ^                    |100                          ^
 *                       |                    v                             |
 *                       |             hold the rest --> feed --(200, 204)--'
 *                       '--------------- retry <--------'
 *
 * The start of the content, as much as a preview has, is taken in first; the rest, if the
 * server wants to see it, up to max_hold. As long as all of it is held, or nothing more than
 * the preview was sent, the server may say that nothing changes, and another server may be
 * asked when this one fails. What is longer flows through: the answer comes back while it
 * is sent, and there is no second try.
 */
#include "config.h"

#include "filters/icap_inside.h"

#include <stdlib.h>

#define OPTIONS_PIECES_MAX 1024u /* of content */

/* A step has set another one. */
#define GO_ON ((enum icap_outcome)-1)

static icap_step hold_start_step, open_step, opening, learning, ask, asking, hold_rest, feed,
    feeding;

static enum icap_outcome
go(struct icap_job *job, icap_step *step)
{
    job->step = step;
    return GO_ON;
}

static uint64_t
now_ms(const struct icap_job *job)
{
    return loop_now_ms(job->ex->worker->loop);
}

/* ---- what there is to show */

static struct source **
body_of(struct icap_job *job)
{
    return job->side == ICAP_REQUEST ? &job->ex->request.body : &job->ex->response.body;
}

static uint64_t
length_of(const struct icap_job *job)
{
    return job->side == ICAP_REQUEST ? job->ex->request.length : job->ex->response.length;
}

static bool
take_in(struct icap_job *job, struct hold *hold, uint64_t most)
{
    return job->side == ICAP_REQUEST ? hold_request(hold, job->ex, (size_t)most)
                                     : hold_response(hold, job->ex, (size_t)most);
}

static enum icap_outcome
failed(struct icap_job *job, const char *why)
{
    job->why = why;
    icap_talk_end(job);
    return ICAP_FAILED;
}

/* The name extension of the URL's path: "exe". */
static struct slice
extension(const struct exchange *ex)
{
    struct slice path = ex->request.path;

    for (size_t at = path.bytes; at > 0 && path.data[at - 1] != '/'; at--)
        if (path.data[at - 1] == '.')
            return slice_skip(path, at);
    return slice_make("", 0);
}

/* What the service said before, at any of its addresses. */
static const struct icap_options *
find_options(const struct icap_job *job)
{
    const struct strings *to = &job->conf->service.to;
    const struct icap_options *options = NULL;

    for (size_t i = 0; i < to->count && options == NULL; i++)
        options = icap_options_find(job->to->uri, to->items[i].data, now_ms(job));
    return options;
}

void
icap_job_begin(struct icap_job *job, const struct icap_conf *conf, struct exchange *ex,
               enum icap_side side)
{
    job->conf = conf;
    job->ex = ex;
    job->side = side;
    job->to = &conf->to[side];
    job->step = hold_start_step;
}

static enum icap_outcome
hold_start_step(struct icap_job *job)
{
    struct source **body = body_of(job);
    const struct icap_options *options = find_options(job);

    if (options != NULL && job->start.state == HOLD_IDLE &&
        icap_options_transfer(options, extension(job->ex)) == ICAP_TRANSFER_IGNORE)
        return ICAP_IGNORED;
    if (*body == NULL)
        return go(job, open_step);
    if (!take_in(job, &job->start, job->conf->preview_bytes))
        return ICAP_WAIT;
    if (job->start.state == HOLD_FAILED)
        return ICAP_CUT;
    job->hold = &job->start;
    *body = hold_source(&job->start);
    return job->start.state == HOLD_REFUSED ? ICAP_NO_MEMORY : go(job, open_step);
}

/* ---- a connection */

static void
on_open(struct service_call *call, struct service_connection *connection, const char *why)
{
    struct icap_job *job = container_of(call, struct icap_job, call);

    job->connection = connection;
    job->why = why;
    job->ex->road->on_resume(job->ex);
}

static enum icap_outcome
open_as(struct icap_job *job, enum service_kind kind)
{
    job->step = opening;
    service_open(&job->call, job->ex->worker, &job->conf->service, kind, on_open);
    return ICAP_WAIT;
}

static enum icap_outcome
open_step(struct icap_job *job)
{
    return open_as(job, SERVICE_ANY);
}

/* The connection broke, or the server made no sense. One that had been idle may have been
 * closed before our question came; otherwise another address may do better. */
static enum icap_outcome
retry(struct icap_job *job)
{
    const char *why = job->broken;
    struct service_connection *connection = job->connection;
    bool was_stale = connection->was_reused && !job->was_heard;

    job->connection = NULL;
    task_cancel(&job->task);
    if (was_stale)
        service_drop(connection);
    else
        service_fail(connection, &job->conf->service);
    if (job->is_consumed || (!was_stale && ++job->tries > job->conf->service.to.count))
        return failed(job, why);
    return open_as(job, was_stale ? SERVICE_FRESH : SERVICE_ANY);
}

static enum icap_outcome
opening(struct icap_job *job)
{
    const struct icap_options *options;

    if (service_is_opening(&job->call))
        return ICAP_WAIT;
    if (job->connection == NULL)
        return failed(job, job->why);
    icap_talk_begin(job);
    if (job->knows_options)
        return go(job, ask);
    options = icap_options_find(job->to->uri, job->connection->address, now_ms(job));
    if (options != NULL) {
        job->options = *options;
        job->transfer = icap_options_transfer(options, extension(job->ex));
        return go(job, ask);
    }
    job->reads_on = true;
    icap_write_options(&job->out, job->to);
    return go(job, learning);
}

static enum icap_outcome
learning(struct icap_job *job)
{
    const struct icap_options *options;

    icap_talk(job);
    while (job->pending_count > 0) { /* what it says in content is of no interest */
        if (++job->options_pieces > OPTIONS_PIECES_MAX)
            job->broken = "it says too much about the service";
        job->pending_count = 0;
        icap_talk(job);
    }
    if (job->broken != NULL)
        return retry(job);
    if (!job->is_done)
        return ICAP_WAIT;
    if (job->in_at < job->in_end) {
        job->broken = "it speaks before it is asked";
        return retry(job);
    }
    if (job->reader.reply.status == 404)
        return failed(job, "it has no such service");
    options = icap_options_learn(job->to->uri, job->connection->address, &job->reader.reply,
                                 now_ms(job));
    if (options == NULL)
        return failed(job, "out of memory");
    job->options = *options;
    job->knows_options = true;
    job->transfer = icap_options_transfer(options, extension(job->ex));
    service_bound(job->connection, options->max_connections);
    if (job->reader.reply.is_last) {
        icap_talk_end(job);
        return open_as(job, SERVICE_FRESH);
    }
    icap_talk_next(job);
    return go(job, ask);
}

/* ---- the question */

/* Whether all of the content can be had once more after it was sent. */
static bool
can_keep(const struct icap_job *job)
{
    uint64_t length = length_of(job);

    return job->hold == NULL || job->hold->state == HOLD_WHOLE ||
           (job->hold == &job->start && length != LENGTH_UNKNOWN &&
            length <= job->conf->max_hold_bytes);
}

static bool
wants_preview(const struct icap_job *job)
{
    return job->hold != NULL && job->hold == &job->start &&
           job->options.preview_bytes != ICAP_NO_PREVIEW &&
           job->transfer == ICAP_TRANSFER_PREVIEW;
}

/* Nothing was asked: the connection is clean. */
static void
give_back(struct icap_job *job)
{
    job->is_done = true;
    icap_talk_end(job);
}

static enum icap_outcome
ask(struct icap_job *job)
{
    uint64_t preview_bytes = ICAP_NO_PREVIEW;

    if (job->transfer == ICAP_TRANSFER_IGNORE) {
        give_back(job);
        return ICAP_IGNORED;
    }
    if (job->side == ICAP_REQUEST ? !job->options.does_request : !job->options.does_response)
        return failed(job, job->side == ICAP_REQUEST ? "the service does not do REQMOD"
                                                     : "the service does not do RESPMOD");
    if (wants_preview(job))
        preview_bytes = job->options.preview_bytes < job->conf->preview_bytes
                            ? job->options.preview_bytes : job->conf->preview_bytes;
    else if (job->hold == &job->start && job->hold->state != HOLD_WHOLE) {
        give_back(job); /* others need not wait for who is slow to send the rest */
        return go(job, hold_rest);
    }
    job->allows_204 = can_keep(job);
    job->allows_206 = job->options.allows_206 && job->hold != NULL &&
                      (job->allows_204 || preview_bytes != ICAP_NO_PREVIEW);
    icap_write_question(&job->out, job, preview_bytes);
    job->was_asked = true;
    if (preview_bytes != ICAP_NO_PREVIEW) {
        icap_talk_preview(job, preview_bytes);
        return go(job, asking);
    }
    return job->hold != NULL ? go(job, feed) : go(job, asking);
}

/* ---- the answer */

static const char *
words_of(unsigned status)
{
    switch (status) {
    case 403:
        return "it refuses us";
    case 404:
        return "it has no such service";
    case 405:
        return "the service does not do this";
    case 408:
        return "it says that we took too long";
    default:
        return status >= 500 ? "it says that it has failed" : "it refuses the question";
    }
}

static bool
has_heads(const struct icap_job *job)
{
    const struct icap_reply *reply = &job->reader.reply;

    return reply->response_head.data != NULL ||
           (job->side == ICAP_REQUEST && reply->request_head.data != NULL);
}

static void
check_tag(struct icap_job *job)
{
    const struct field *tag = fields_find_name(&job->reader.reply.fields, SLICE("ISTag"));

    if (tag != NULL)
        icap_options_check_tag(job->to->uri, job->connection->address, tag->value);
}

/* Original content that is asked for must still be here. */
static bool
may_answer_so(const struct icap_job *job, unsigned status)
{
    if (status == 204)
        return !job->is_consumed && (job->allows_204 || job->has_preview);
    return status == 200 || (status == 206 && job->allows_206 && !job->is_consumed);
}

/* An answer without content: all of it is there. Content that is still being sent nobody needs. */
static void
end_answer(struct icap_job *job)
{
    if (job->feed == ICAP_FEED_NOTHING) {
        job->reads_on = true;
        icap_talk(job);
    }
    icap_talk_end(job);
}

static enum icap_outcome
judge(struct icap_job *job)
{
    unsigned status = job->reader.reply.status;

    check_tag(job);
    switch (status) {
    case 200:
    case 206:
        if (!may_answer_so(job, status) || !has_heads(job)) {
            job->broken = "its answer is not one to the question";
            return retry(job);
        }
        if (job->reader.reply.body == ICAP_NULL_BODY)
            end_answer(job);
        return ICAP_ANSWERED;
    case 204:
        if (!may_answer_so(job, status)) {
            job->broken = "it leaves as it is what was sent away";
            return retry(job);
        }
        end_answer(job);
        return ICAP_UNCHANGED;
    default:
        if (status < 500 && status != 408)
            return failed(job, words_of(status));
        job->broken = words_of(status);
        return retry(job);
    }
}

/* Past a 100, which has no content. */
static bool
goes_on(struct icap_job *job)
{
    if (job->reader.reply.status != 100 || !job->has_preview)
        return false;
    job->reads_on = true;
    icap_talk(job);
    if (!job->is_done)
        return false;
    icap_talk_next(job);
    job->has_preview = false;
    return true;
}

static enum icap_outcome
asking(struct icap_job *job)
{
    icap_talk(job);
    if (!job->has_head)
        return job->broken != NULL ? retry(job) : ICAP_WAIT;
    if (goes_on(job))
        return go(job, hold_rest);
    return judge(job);
}

/* ---- the rest */

/* With a question already sent, or before one that announces no preview. */
static enum icap_outcome
hold_rest(struct icap_job *job)
{
    if (job->hold == &job->start && job->hold->state != HOLD_WHOLE) {
        if (!take_in(job, &job->rest, job->conf->max_hold_bytes))
            return ICAP_WAIT;
        if (job->rest.state == HOLD_FAILED)
            return ICAP_CUT;
        job->hold = &job->rest;
        *body_of(job) = hold_source(&job->rest);
        if (job->rest.state == HOLD_REFUSED)
            return ICAP_NO_MEMORY;
    }
    return go(job, job->was_asked ? feed : open_step);
}

static enum icap_outcome
feed(struct icap_job *job)
{
    icap_talk_feed(job);
    job->step = feeding;
    if (job->feed == ICAP_FEED_STREAM) {
        icap_content_await(job);
        return ICAP_WAIT;
    }
    return GO_ON;
}

static enum icap_outcome
feeding(struct icap_job *job)
{
    if (job->is_cut)
        return ICAP_CUT;
    if (job->source.inner == NULL)
        icap_talk(job);
    if (job->has_head)
        return judge(job);
    return job->broken != NULL ? retry(job) : ICAP_WAIT;
}

/* ---- the whole */

enum icap_outcome
icap_job_ask(struct icap_job *job)
{
    enum icap_outcome outcome;

    do {
        outcome = job->step(job);
    } while (outcome == GO_ON);
    return outcome;
}

void
icap_job_end(struct icap_job *job)
{
    service_cancel(&job->call);
    job->is_done = false; /* whatever is under way is given up */
    icap_talk_end(job);
    icap_reader_fini(&job->reader);
    icap_text_free(&job->out);
    free(job->in);
    job->in = NULL;
}
