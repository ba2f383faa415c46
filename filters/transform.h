/* SPDX-License-Identifier: BSD-2-Clause */
/* transform.h - a source that makes other content of its inner one: compression, rewriting.
 *
 *     inner --input--> work() --output--> buffer --offer--> pump
 *
 * Who transforms only says what becomes of some bytes. Buffering, waiting, partial takes,
 * flushing and the end are seen to here. While it waits with nothing to give it has no
 * buffer. A turn works through so much input at most, whatever becomes of it.
 */
#ifndef BASCULE_TRANSFORM_H
#define BASCULE_TRANSFORM_H

#include "server/http/exchange.h"

struct transform;

/* One call of work(). */
struct transform_step {
    const char *in;   /* may be empty: at the end, or to flush */
    size_t in_bytes;
    char *out;        /* room, of at least half the buffer */
    size_t out_bytes;
    bool is_end;      /* no input comes behind this */
    bool is_flush;    /* what can be made of all the input so far is wanted now; until that is
                       * DONE, no more input comes */
    size_t taken;     /* result: of in */
    size_t made;      /* result: of out */
};

/* Output of text, as much of it as there is room for: returns that. */
static inline size_t
transform_put(struct transform_step *step, struct slice text)
{
    size_t room = step->out_bytes - step->made;
    size_t bytes = text.bytes < room ? text.bytes : room;

    if (bytes > 0)
        memcpy(step->out + step->made, text.data, bytes);
    step->made += bytes;
    return bytes;
}

enum transform_result {
    TRANSFORM_MORE,   /* went well. With is_end or is_flush: more output is to come, call again */
    TRANSFORM_DONE,   /* all output is made: for this flush, otherwise for good: what is left of
                       * inner is not read */
    TRANSFORM_FAILED, /* the content cannot go on: it is cut short for its reader */
};

struct transform_ops {
    /* Takes input, makes output: one of them at least unless it is done, or needs more room
     * than is left now; with an empty buffer it has to get on. */
    enum transform_result (*work)(struct transform *transform, struct transform_step *step);
    /* At the end of the exchange. NULL: nothing to release. */
    void (*release)(struct transform *transform);
};

#define TRANSFORM_NO_FLUSH UINT32_MAX

/* Embedded in what the filter keeps. All private. */
struct transform {
    struct source source;
    const struct transform_ops *ops;
    struct loop *loop;
    struct task task;       /* input is left for another turn */
    struct timer timer;     /* armed: what work() holds back goes out then */
    char *out;
    size_t at, end;         /* of out: what is to be offered */
    size_t out_bytes;
    uint32_t flush_ms;
    bool is_dirty : 1;      /* work() has taken input since it was last flushed */
    bool is_flush_due : 1;
    bool is_flushing : 1;   /* it has begun: no input before it is done */
    bool is_inner_ended : 1;
    bool is_done : 1;
    bool is_failed : 1;
};

/* Makes transform, zeroed before, a source over inner. out_bytes: of the buffer, also the
 * longest piece. flush_ms: when inner waits, what work() holds back goes out after so long;
 * 0: at once; TRANSFORM_NO_FLUSH: it waits for more. Returns the source, or NULL when memory
 * is short: release is called then. */
struct source *transform_begin(struct transform *transform, struct exchange *ex,
                               struct source *inner, const struct transform_ops *ops,
                               size_t out_bytes, uint32_t flush_ms);

#endif
