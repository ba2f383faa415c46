/* SPDX-License-Identifier: BSD-2-Clause */
/* icap_content.c - the content that comes back, while the original is still being sent.
 *
 *     original --(inner)--> talk --> server --> talk --> pending --> pump
 *         '--------------------- the rest (206) ------------------>'
 *
 * One source does both directions: whoever wakes its pump, the original or the server, all
 * that can move moves. When the receiver takes nothing, nothing moves.
 */
#include "config.h"

#include "filters/icap_inside.h"

static struct icap_job *
job_of(struct source *source)
{
    return container_of(source, struct icap_job, source);
}

struct pump *
icap_pump(struct icap_job *job)
{
    return job->side == ICAP_REQUEST ? &job->ex->request_pump : &job->ex->response_pump;
}

void
icap_give_up(struct source *original)
{
    if (original != NULL && original->ops->cancel != NULL)
        original->ops->cancel(original);
}

static void
give_up_feed(struct icap_job *job)
{
    if (job->feed == ICAP_FEED_STREAM)
        icap_give_up(job->source.inner);
    if (job->feed != ICAP_FEED_NOTHING)
        job->is_deaf = true; /* it has not been told of the end */
    job->feed = ICAP_FEED_NOTHING;
}

/* ---- from the original, behind what the server gave (use-original-body) */

static enum flow
offer_tail(struct icap_job *job, unsigned forms, struct piece *piece)
{
    struct source *tail = job->tail;
    enum flow flow;

    while ((flow = tail->ops->offer(tail, forms, piece)) == FLOW_MORE &&
           job->tail_skip_bytes > 0) {
        uint64_t skip = job->tail_skip_bytes;

        if (piece->form != FORM_SLICES) {
            forms = FORM_SLICES;
            continue;
        }
        if (skip > piece->bytes)
            skip = piece->bytes;
        tail->ops->take(tail, (size_t)skip);
        job->tail_skip_bytes -= skip;
    }
    job->source.trailers = tail->trailers;
    return flow;
}

/* ---- from the server */

static bool
has_pending(const struct icap_job *job)
{
    return job->pending_at < job->pending_count;
}

static enum flow
offer_pending(struct icap_job *job, struct piece *piece)
{
    *piece = (struct piece){ .form = FORM_SLICES };
    for (unsigned i = job->pending_at; i < job->pending_count; i++) {
        piece->iov[piece->count++] = job->pending[i];
        piece->bytes += job->pending[i].iov_len;
    }
    return FLOW_MORE;
}

static enum flow
fail(struct icap_job *job)
{
    if (job->reader.reply.body == ICAP_REQUEST_BODY && !job->is_cut)
        exchange_refuse(job->ex, 503, END_FILTER_FAILED, "The content could not be checked.");
    exchange_decide_filter(job->ex, DECISION_FAILURE, NULL, &job->conf->filter.place, "icap: %s",
                           job->is_cut ? "the content was cut short" : job->broken);
    give_up_feed(job);
    icap_talk_end(job);
    return FLOW_FAILED;
}

/* The answer is whole; what the server has not read of the original, it does not need. */
static enum flow
end_answer(struct icap_job *job, unsigned forms, struct piece *piece)
{
    bool has_tail = job->reader.original_at != ICAP_NO_ORIGINAL;

    if (has_tail && (job->source.inner == NULL || job->reader.original_at > job->sent_bytes)) {
        job->broken = "it wants original content where it has seen none";
        return fail(job);
    }
    give_up_feed(job);
    icap_talk_end(job);
    if (!has_tail) {
        if (job->reader.reply.status == 206)
            icap_give_up(job->source.inner);
        return FLOW_END;
    }
    job->tail = job->source.inner;
    job->tail_skip_bytes = job->reader.original_at;
    return offer_tail(job, forms, piece);
}

static enum flow
offer_content(struct icap_job *job, unsigned forms, struct piece *piece)
{
    if (job->tail != NULL)
        return offer_tail(job, forms, piece);
    if (has_pending(job))
        return offer_pending(job, piece);
    if (!job->is_done)
        icap_talk(job);
    if (has_pending(job))
        return offer_pending(job, piece);
    if (job->broken != NULL || job->is_cut)
        return fail(job);
    return job->is_done ? end_answer(job, forms, piece) : FLOW_WAIT;
}

/* ---- the source */

/* While the heads are awaited, its end says that there is something to look at. */
static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct icap_job *job = job_of(source);

    if (job->is_content)
        return offer_content(job, forms, piece);
    icap_talk(job);
    if (job->is_cut)
        return FLOW_FAILED;
    return job->has_head || job->broken != NULL ? FLOW_END : FLOW_WAIT;
}

static void
take(struct source *source, size_t bytes)
{
    struct icap_job *job = job_of(source);

    if (job->tail != NULL) {
        job->tail->ops->take(job->tail, bytes);
        return;
    }
    while (bytes > 0) {
        struct iovec *iov = &job->pending[job->pending_at];
        size_t part = bytes < iov->iov_len ? bytes : iov->iov_len;

        iov->iov_base = (char *)iov->iov_base + part;
        iov->iov_len -= part;
        bytes -= part;
        if (iov->iov_len == 0)
            job->pending_at++;
    }
    if (job->pending_at == job->pending_count)
        job->pending_at = job->pending_count = 0;
}

static void
cancel(struct source *source)
{
    struct icap_job *job = job_of(source);

    give_up_feed(job);
    icap_give_up(job->tail);
    icap_talk_end(job);
    job->broken = "its content was given up"; /* if it is asked for again: a request's may be */
}

static const struct source_ops source_ops = { .offer = offer, .take = take, .cancel = cancel };

/* ---- while the heads are awaited */

static enum flow
put_nothing(struct sink *sink, const struct piece *piece, size_t *taken)
{
    (void)sink;
    (void)piece;
    (void)taken;
    return FLOW_FAILED;
}

static enum flow
end_waiting(struct sink *sink, const struct fields *trailers)
{
    (void)sink;
    (void)trailers;
    return FLOW_END;
}

static const struct sink_ops sink_ops = { .put = put_nothing, .end = end_waiting };

static void
on_awaited(struct pump *pump, enum pump_result result)
{
    struct icap_job *job = container_of(pump->sink, struct icap_job, sink);
    struct exchange *ex = job->ex;

    (void)result; /* job tells more */
    if (job->side == ICAP_REQUEST && job->is_cut)
        ex->road->on_request_cut(ex, END_CLIENT_ABORT);
    else
        ex->road->on_resume(ex);
}

void
icap_content_await(struct icap_job *job)
{
    job->source.ops = &source_ops;
    job->sink = (struct sink){ .ops = &sink_ops };
    pump_start(icap_pump(job), job->ex->worker->loop, &job->source, &job->sink, on_awaited);
}

/* Which original content is still of use: to be sent on while the answer comes, or to follow
 * behind it. An answer to a request, in place of the origin's, needs none. */
static void
choose_original(struct icap_job *job, bool is_answer)
{
    bool is_partial = job->reader.reply.status == 206 && !is_answer;

    if (is_answer || is_partial)
        give_up_feed(job);
    if (is_answer)
        job->source.inner = NULL;
    else if (is_partial)
        job->source.inner = hold_source(job->hold);
    else if (job->hold != NULL && job->feed != ICAP_FEED_STREAM &&
             job->hold->state == HOLD_PART)
        icap_give_up(hold_source(job->hold));
}

struct source *
icap_content(struct icap_job *job)
{
    enum icap_body own = job->side == ICAP_REQUEST ? ICAP_REQUEST_BODY : ICAP_RESPONSE_BODY;

    choose_original(job, job->reader.reply.body != own);
    job->source.ops = &source_ops;
    job->is_content = job->reads_on = true;
    return &job->source;
}
