/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_reader.c - spans of a file, blocks read of them, and windows to be warmed. */
#include "config.h"

#include "cache/disk_reader.h"

#include "server/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#define FILE_MIN_BYTES 16384u /* less is as cheap to read, and is sent along with the head */
#define RETRY_MS 20
#define TRIES_MAX 250     /* with RETRY_MS, five seconds of a disk too busy to be asked */
#define PATIENCE_MS 10000 /* with a disk that does not answer, in the middle of content */
#define STAYS_WARM_MS 500 /* so long after a disk thread read it, it is not looked for again */

/* Lives until the disk has answered, also when its reader is gone by then. */
struct warming {
    struct disk_warm warm; /* copy: to become the reader's block */
    struct disk_reader *reader; /* NULL: gone */
};

static _Thread_local unsigned asked; /* and not answered yet */

bool
disk_reader_is_idle(void)
{
    return asked == 0;
}

static void
on_retry(struct timer *timer)
{
    struct disk_reader *reader = container_of(timer, struct disk_reader, retry);

    if (reader->warming != NULL) { /* the disk has been asked for too long */
        reader->warming->reader = NULL;
        reader->warming = NULL;
        reader->is_lost = true;
    }
    pump_source_ready(reader->source->pump);
}

void
disk_reader_init(struct disk_reader *reader, struct source *source, struct disk *disk,
                 struct worker *worker)
{
    *reader = (struct disk_reader){ .source = source, .disk = disk, .worker = worker };
    timer_init(&reader->retry, on_retry);
}

static void
drop_block(struct disk_reader *reader)
{
    free(reader->block);
    reader->block = NULL;
    reader->block_bytes = 0;
}

void
disk_reader_fini(struct disk_reader *reader)
{
    if (reader->warming != NULL)
        reader->warming->reader = NULL;
    reader->warming = NULL;
    timer_disarm(&reader->retry);
    drop_block(reader);
}

/* ---- asking the disk */

static void
free_warming(struct warming *warming)
{
    disk_body_unref(warming->warm.body);
    free(warming->warm.copy);
    free(warming);
}

/* What was read counts as warm; a copy of it is the reader's now. */
static void
take_warm(struct disk_reader *reader, struct disk_warm *warm)
{
    reader->warm_at = warm->at;
    reader->warm_end = warm->at + warm->bytes;
    reader->warm_ms = loop_now_ms(reader->worker->loop);
    if (warm->copy == NULL)
        return;
    drop_block(reader);
    reader->block = warm->copy;
    reader->block_at = warm->at;
    reader->block_bytes = warm->copied_bytes;
    reader->is_lost = warm->copied_bytes == 0;
    warm->copy = NULL;
}

static void
on_warm(struct disk_warm *warm)
{
    struct warming *warming = container_of(warm, struct warming, warm);
    struct disk_reader *reader = warming->reader;

    asked--;
    if (reader != NULL) {
        reader->warming = NULL;
        timer_disarm(&reader->retry);
        take_warm(reader, warm);
    }
    free_warming(warming);
    if (reader != NULL)
        pump_source_ready(reader->source->pump);
}

static bool
ask(struct disk_reader *reader, struct disk_body *body, uint64_t at, size_t bytes)
{
    struct warming *warming = calloc(1, sizeof(*warming));
    struct disk_warm *warm = &warming->warm;

    if (warming == NULL)
        return false;
    warming->reader = reader;
    warm->home = reader->worker->loop;
    warm->body = disk_body_ref(body);
    warm->at = at;
    warm->bytes = bytes;
    warm->on_warm = on_warm;
    if (disk_body_is_read_through(body)) {
        warm->bytes = bytes < OBJECT_READ_BYTES ? bytes : OBJECT_READ_BYTES;
        warm->copy = malloc(warm->bytes);
        if (warm->copy == NULL)
            goto fail;
    }
    reader->warming = warming;
    if (disk_warm(reader->disk, warm)) {
        asked++; /* it is answered by mail: later */
        return true;
    }

fail:
    reader->warming = NULL;
    free_warming(warming);
    return false;
}

/* Pages may be gone again before they were sent: under pressure, not for ever. */
static enum flow
warm_up(struct disk_reader *reader, struct disk_body *body, uint64_t at, size_t bytes)
{
    if (++reader->tries > TRIES_MAX)
        return FLOW_FAILED;
    timer_arm(reader->worker->loop, &reader->retry,
              ask(reader, body, at, bytes) ? PATIENCE_MS : RETRY_MS);
    return FLOW_WAIT;
}

/* ---- what is there */

static bool
is_warm(const struct disk_reader *reader, uint64_t at)
{
    return at >= reader->warm_at && at < reader->warm_end &&
           loop_now_ms(reader->worker->loop) - reader->warm_ms <= STAYS_WARM_MS;
}

static enum disk_span_state
find_span(const struct disk_reader *reader, struct disk_body *body, uint64_t at, size_t bytes,
          struct disk_span *span)
{
    if (!is_warm(reader, at))
        return disk_body_span(body, at, bytes, span);
    if (bytes > reader->warm_end - at)
        bytes = (size_t)(reader->warm_end - at);
    return disk_body_span_warm(body, at, bytes, span);
}

/* flags: RWF_NOWAIT unless it was read just now. */
static ssize_t
read_span(const struct disk_span *span, char *to, size_t bytes, int flags)
{
    struct iovec iov = { to, bytes };
    ssize_t got = preadv2(span->fd, &iov, 1, span->offset, flags);

    if (got < 0 && errno == EOPNOTSUPP)
        got = preadv2(span->fd, &iov, 1, span->offset, 0);
    return got;
}

/* As much of the span as a block takes. FLOW_MORE, FLOW_WAIT (not resident after
 * all) or FLOW_FAILED. */
static enum flow
read_block(struct disk_reader *reader, const struct disk_span *span, uint64_t at)
{
    size_t bytes = span->bytes < OBJECT_READ_BYTES ? span->bytes : OBJECT_READ_BYTES;
    ssize_t got;

    if (reader->block == NULL)
        reader->block = malloc(OBJECT_READ_BYTES);
    if (reader->block == NULL)
        return FLOW_FAILED;
    got = read_span(span, reader->block, bytes, is_warm(reader, at) ? 0 : RWF_NOWAIT);
    reader->block_at = at;
    reader->block_bytes = got > 0 ? (size_t)got : 0;
    if (got > 0)
        return FLOW_MORE;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? FLOW_WAIT : FLOW_FAILED;
}

static bool
has_in_block(const struct disk_reader *reader, uint64_t at)
{
    return at >= reader->block_at && at < reader->block_at + reader->block_bytes;
}

/* What of [at, end) is in the block. */
static enum flow
offer_block(const struct disk_reader *reader, uint64_t at, uint64_t end, struct piece *piece)
{
    uint64_t block_end = reader->block_at + reader->block_bytes;

    piece->form = FORM_SLICES;
    piece->bytes = (size_t)((end < block_end ? end : block_end) - at);
    piece->count = 1;
    piece->iov[0] = (struct iovec){ reader->block + (at - reader->block_at), piece->bytes };
    return FLOW_MORE;
}

static enum flow
offer_span(struct disk_reader *reader, struct disk_body *body, const struct disk_span *span,
           uint64_t at, unsigned forms, struct piece *piece)
{
    enum flow flow;

    if ((forms & FORM_FILE) && span->bytes >= FILE_MIN_BYTES) {
        piece->form = FORM_FILE;
        piece->bytes = span->bytes;
        piece->count = 0;
        piece->fd = span->fd;
        piece->offset = span->offset;
        return FLOW_MORE;
    }
    flow = read_block(reader, span, at);
    if (flow == FLOW_WAIT)
        return warm_up(reader, body, at, span->bytes);
    return flow == FLOW_MORE ? offer_block(reader, at, at + span->bytes, piece) : flow;
}

enum flow
disk_reader_offer(struct disk_reader *reader, struct disk_body *body, uint64_t at, uint64_t end,
                  unsigned forms, struct piece *piece)
{
    size_t bytes = end - at < OBJECT_WINDOW_BYTES ? (size_t)(end - at) : OBJECT_WINDOW_BYTES;
    struct disk_span span;
    enum flow flow = FLOW_FAILED;

    piece->is_last = false;
    if (reader->warming != NULL || timer_is_armed(&reader->retry))
        return FLOW_WAIT;
    if (reader->is_lost)
        return FLOW_FAILED;
    if (has_in_block(reader, at)) {
        reader->tries = 0;
        return offer_block(reader, at, end, piece);
    }
    switch (find_span(reader, body, at, bytes, &span)) {
    case DISK_SPAN_READY:
        flow = offer_span(reader, body, &span, at, forms, piece);
        break;
    case DISK_SPAN_COLD:
        flow = warm_up(reader, body, at, bytes);
        break;
    case DISK_SPAN_AWAITED:
        timer_arm(reader->worker->loop, &reader->retry, RETRY_MS);
        flow = FLOW_WAIT;
        break;
    case DISK_SPAN_LOST:
        break;
    }
    if (flow == FLOW_MORE)
        reader->tries = 0;
    return flow;
}
