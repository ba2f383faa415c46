/* SPDX-License-Identifier: BSD-2-Clause */
/* clamd_content.c - content that passes while it is scanned, but for its last block.
 *
 *     inner --> feed (clamd)
 *       '-----> ring: | what may pass | the last block | --> its reader
 *
 * No more is read than clamd takes, so that a slow clamd slows the origin, and the ring is
 * all the memory there is. While nothing passes for long, a byte does now and then, up to
 * half of what there is: the reader sees that something is under way.
 */
#include "config.h"

#include "filters/clamd_inside.h"

#include <stdlib.h>

#define SLACK_BYTES (64u * 1024)

static struct clamd_job *
job_of(struct source *source)
{
    return container_of(source, struct clamd_job, source);
}

/* ---- the ring */

/* Not before there is something to put in. */
static bool
ring_make(struct clamd_job *job)
{
    if (job->ring == NULL)
        job->ring = malloc(job->ring_bytes);
    if (job->ring != NULL)
        return true;
    job->feed.verdict = CLAMD_FAILED;
    job->feed.why = "out of memory";
    return false;
}

static void
ring_put(struct clamd_job *job, const char *data, size_t bytes)
{
    while (bytes > 0) {
        size_t to = (job->at + job->fill) % job->ring_bytes;
        size_t part = job->ring_bytes - to < bytes ? job->ring_bytes - to : bytes;

        memcpy(job->ring + to, data, part);
        job->fill += part;
        data += part;
        bytes -= part;
    }
}

static void
ring_offer(const struct clamd_job *job, size_t bytes, struct piece *piece)
{
    size_t first = job->ring_bytes - job->at < bytes ? job->ring_bytes - job->at : bytes;

    *piece = (struct piece){ .form = FORM_SLICES, .bytes = bytes, .count = 1 };
    piece->iov[0] = (struct iovec){ job->ring + job->at, first };
    if (first < bytes)
        piece->iov[piece->count++] = (struct iovec){ job->ring, bytes - first };
}

static void
ring_drop(struct clamd_job *job)
{
    free(job->ring);
    job->ring = NULL;
    job->fill = job->at = 0;
}

/* ---- the verdict */

static void
stop(struct clamd_job *job)
{
    enum end_reason reason;
    const char *why;
    unsigned status = clamd_job_answer(job, &reason, &why);

    job->stage = CLAMD_STAGE_STOP;
    if (job->side == CLAMD_UPLOAD)
        exchange_refuse(job->ex, status, reason, why);
    else if (job->ex->solo != NULL)
        job->ex->failure = (struct failure){ reason, (uint16_t)status, NULL, why };
    else if (job->ex->end == END_DONE)
        job->ex->end = reason;
}

static void
look_at_verdict(struct clamd_job *job)
{
    if (job->feed.verdict == CLAMD_PENDING || job->stage != CLAMD_STAGE_STREAM)
        return;
    if (clamd_job_settle(job))
        job->stage = CLAMD_STAGE_FREE;
    else
        stop(job);
}

/* ---- reading */

/* Of bytes at data: how many clamd has had before, or takes now. */
static size_t
show(struct clamd_job *job, const char *data, size_t bytes)
{
    uint64_t before = job->fed_bytes > job->pulled_bytes ? job->fed_bytes - job->pulled_bytes : 0;

    if (before > 0)
        return bytes < before ? bytes : (size_t)before;
    return clamd_feed_put(&job->feed, data, bytes);
}

/* False: no more now. */
static bool
take_in(struct clamd_job *job, const struct iovec *iov, size_t *taken)
{
    const char *data = iov->iov_base;
    size_t left = iov->iov_len;

    while (left > 0) {
        size_t room = job->ring_bytes - job->fill;
        size_t part = show(job, data, left < room ? left : room);

        if (part == 0 || !ring_make(job))
            return false;
        ring_put(job, data, part);
        job->pulled_bytes += part;
        *taken += part;
        data += part;
        left -= part;
    }
    return true;
}

/* Another piece of inner. False: nothing more goes now. */
static bool
pull(struct clamd_job *job)
{
    struct source *inner = job->source.inner;
    struct piece piece;
    size_t taken = 0;

    switch (inner->ops->offer(inner, FORM_SLICES, &piece)) {
    case FLOW_MORE:
        break;
    case FLOW_WAIT:
        return false;
    case FLOW_END:
        job->is_inner_ended = true;
        return false;
    case FLOW_FAILED:
        job->is_cut = true;
        return false;
    }
    for (unsigned i = 0; i < piece.count && take_in(job, &piece.iov[i], &taken); i++)
        ;
    if (taken > 0)
        inner->ops->take(inner, taken);
    job->is_inner_ended = piece.is_last && taken == piece.bytes;
    return taken == piece.bytes && !job->is_inner_ended;
}

static void
advance(struct clamd_job *job)
{
    while (job->feed.verdict == CLAMD_PENDING && !job->is_inner_ended && !job->is_cut &&
           job->fill < job->ring_bytes && pull(job))
        ;
    if (job->is_inner_ended && job->feed.verdict == CLAMD_PENDING)
        clamd_feed_end(&job->feed);
    if (!job->is_cut)
        look_at_verdict(job);
}

/* ---- passing on */

/* Of the ring, how much may pass now. */
static size_t
passing(const struct clamd_job *job)
{
    size_t block = (size_t)job->conf->block_bytes;

    if (job->stage == CLAMD_STAGE_FREE)
        return job->fill;
    if (job->fill > block)
        return job->fill - block;
    return job->drip < job->fill ? job->drip : 0;
}

/* Nothing passes: not for ever. */
static enum flow
wait(struct clamd_job *job)
{
    if (job->conf->patience_ms > 0 && !timer_is_armed(&job->patience))
        timer_arm(job->ex->worker->loop, &job->patience, job->conf->patience_ms);
    return FLOW_WAIT;
}

static enum flow
offer_inner(struct clamd_job *job, unsigned forms, struct piece *piece)
{
    struct source *inner = job->source.inner;
    enum flow flow;

    ring_drop(job);
    if (job->is_inner_ended) {
        job->source.trailers = inner->trailers;
        return FLOW_END;
    }
    flow = inner->ops->offer(inner, forms, piece);
    job->source.trailers = inner->trailers;
    return flow;
}

static enum flow
offer(struct source *source, unsigned forms, struct piece *piece)
{
    struct clamd_job *job = job_of(source);
    size_t bytes;

    if (job->stage == CLAMD_STAGE_STREAM)
        advance(job);
    if (job->stage == CLAMD_STAGE_STOP || job->is_cut)
        return FLOW_FAILED;
    bytes = passing(job);
    if (bytes == 0)
        return job->stage == CLAMD_STAGE_FREE ? offer_inner(job, forms, piece) : wait(job);
    timer_disarm(&job->patience);
    ring_offer(job, bytes, piece);
    piece->is_last = job->stage == CLAMD_STAGE_FREE && job->is_inner_ended &&
                     source->inner->trailers == NULL;
    return FLOW_MORE;
}

static void
take(struct source *source, size_t bytes)
{
    struct clamd_job *job = job_of(source);

    if (job->fill == 0) {
        source->inner->ops->take(source->inner, bytes);
        return;
    }
    must(bytes <= job->fill);
    job->at = (job->at + bytes) % job->ring_bytes;
    job->fill -= bytes;
    job->drip -= bytes < job->drip ? bytes : job->drip;
}

static void
cancel(struct source *source)
{
    struct clamd_job *job = job_of(source);

    job->stage = CLAMD_STAGE_STOP;
    clamd_job_end(job);
    if (!job->is_inner_ended)
        source_cancel_inner(source);
}

static const struct source_ops source_ops = { .offer = offer, .take = take, .cancel = cancel };

struct source *
clamd_content_begin(struct clamd_job *job)
{
    job->ring_bytes = (size_t)job->conf->block_bytes + SLACK_BYTES;
    job->source = (struct source){ .ops = &source_ops, .inner = hold_source(&job->hold) };
    return &job->source;
}

void
clamd_content_go_on(struct clamd_job *job)
{
    if (job->is_impatient) {
        job->is_impatient = false;
        if (job->drip_floor < job->fill / 2 + 1)
            job->drip_floor = job->fill / 2 + 1;
        job->drip = job->fill > job->drip_floor ? 1 : 0;
    }
    pump_source_ready(job->source.pump);
}

void
clamd_content_end(struct clamd_job *job)
{
    ring_drop(job);
}
