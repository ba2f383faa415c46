/* SPDX-License-Identifier: BSD-2-Clause */
/* body.h - how content flows: pulled by a sink from a source.
 *
 * A source gives what it has when asked: a connection, a cached object, a
 * made-up answer, a filter over another source. A sink takes what it has room
 * for. The pump between them asks, and whoever made it wait wakes it.
 *
 *     source --offer--> pump --put--> sink
 *            <--take---      (what the sink took)
 *
 * Back-pressure needs no bookkeeping: what is not taken is not read.
 */
#ifndef BASCULE_BODY_H
#define BASCULE_BODY_H

#include <sys/uio.h>

#include "server/base/must.h"
#include "server/net/loop.h"

struct conn;
struct fields;
struct pump;
struct sink;
struct source;

enum flow {
    FLOW_MORE,   /* went well; go on */
    FLOW_WAIT,   /* not now: pump_source_ready() or pump_sink_ready() will be called */
    FLOW_END,    /* that was all */
    FLOW_FAILED, /* the message was cut short, or its receiver is gone */
};

/* The forms in which bytes are offered; a sink says which it can take.
 * Every sink takes slices. */
enum {
    FORM_SLICES = 1, /* memory */
    FORM_FILE = 2,   /* a range of a file */
    FORM_SOCKET = 4, /* a plain connection with bytes to come */
};

#define PIECE_SLICES 16

struct piece {
    unsigned form;
    bool is_last;   /* the body ends with this piece, without trailers */
    size_t bytes;   /* in all; FORM_SOCKET: what may be read from it now or later, capped */
    unsigned count; /* of iov */
    struct iovec iov[PIECE_SLICES]; /* borrowed until the next call on the source */
    int fd;         /* FORM_FILE */
    off_t offset;
    struct conn *conn; /* FORM_SOCKET */
};

/* Leaves the first bytes of it, in its form; what is behind them is offered again later. */
void piece_shorten(struct piece *piece, size_t bytes);

struct source_ops {
    /* Offers the next piece in one of the forms. FLOW_MORE with *piece filled
     * (piece->bytes > 0), FLOW_WAIT, FLOW_END or FLOW_FAILED. Asking again
     * without taking offers the same bytes again, perhaps with more behind.
     * What is offered is borrowed: good until take() or the end of the turn; a
     * source keeps what was not taken. */
    enum flow (*offer)(struct source *source, unsigned forms, struct piece *piece);
    /* bytes of the last offer were taken. For FORM_SOCKET: were read from it. */
    void (*take)(struct source *source, size_t bytes);
    /* Nothing more will be asked for. */
    void (*cancel)(struct source *source);
};

struct source {
    const struct source_ops *ops;
    struct source *inner;          /* what a filter reads from */
    struct pump *pump;             /* set while attached */
    const struct fields *trailers; /* after FLOW_END; NULL when there are none */
};

/* Tells source that nothing more will be asked for, if it minds. */
static inline void
source_cancel(struct source *source)
{
    if (source->ops->cancel != NULL)
        source->ops->cancel(source);
}

/* The same of what source reads from: the cancel of filters that have no more to do. */
void source_cancel_inner(struct source *source);

struct sink_ops {
    /* Takes what there is room for: *taken of the piece's bytes. FLOW_MORE:
     * all; FLOW_WAIT: no more room now; FLOW_END: all, and the end (piece
     * is_last) is sent too; FLOW_FAILED: the receiver is gone. */
    enum flow (*put)(struct sink *sink, const struct piece *piece, size_t *taken);
    /* The body is whole: sends what is left and the end. FLOW_END, FLOW_WAIT
     * (then it is called again) or FLOW_FAILED. trailers may be NULL. */
    enum flow (*end)(struct sink *sink, const struct fields *trailers);
    /* The source has nothing for now: sends what is held back (a head). NULL:
     * nothing ever is. FLOW_MORE, FLOW_WAIT or FLOW_FAILED. */
    enum flow (*flush)(struct sink *sink);
};

struct sink {
    const struct sink_ops *ops;
    struct pump *pump;
    unsigned forms; /* besides FORM_SLICES */
};

enum pump_result {
    PUMP_DONE,          /* all of it, to the end */
    PUMP_SOURCE_FAILED, /* the message was cut short: the receiver must not take it for whole */
    PUMP_SINK_FAILED,   /* the receiver is gone; the source was cancelled */
};

struct pump {
    struct source *source; /* NULL: an empty body */
    struct sink *sink;
    struct loop *loop;
    struct task task;
    void (*on_done)(struct pump *pump, enum pump_result result);
    uint64_t moved_bytes;
    bool is_running;   /* started and not done */
    bool is_sink_full; /* waits for the sink, not for the source */
    bool is_ending;    /* the source has ended */
};

/* Starts moving from source to sink; may call on_done before it returns.
 * Borrows all. */
void pump_start(struct pump *pump, struct loop *loop, struct source *source, struct sink *sink,
                void (*on_done)(struct pump *, enum pump_result));

/* What a source, or a sink, calls when its FLOW_WAIT may be over. While the
 * pump waits for the other of the two, nothing happens. pump may be NULL. */
void pump_source_ready(struct pump *pump);
void pump_sink_ready(struct pump *pump);

/* Stops without calling on_done; the source is not cancelled. Idempotent. */
void pump_stop(struct pump *pump);

/* A source over memory that lives as long as it does: made-up answers. */
struct memory_source {
    struct source source;
    const char *data;
    size_t bytes;
};
void memory_source_init(struct memory_source *source, const void *data, size_t bytes);

#endif
