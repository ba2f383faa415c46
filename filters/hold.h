/* SPDX-License-Identifier: BSD-2-Clause */
/* hold.h - content that is taken in before it goes on, to be looked at.
 *
 *     head hook:  if (!hold_response(&state->hold, ex, 4096)) return FILTER_WAIT;
 *                 ... hold_start(), hold_next(): what there is ...
 *     body hook:  return hold_source(&state->hold);   the same bytes, and the rest
 *
 * A filter looks at the beginning (types by their first bytes, a preview) or at all of it
 * (a verdict before anything is passed on). What all holds of the process hold is bounded
 * by the option held_content.
 */
#ifndef BASCULE_HOLD_H
#define BASCULE_HOLD_H

#include "server/http/exchange.h"

enum hold_state {
    HOLD_IDLE,    /* zeroed memory: nothing was asked for */
    HOLD_READING,
    HOLD_WHOLE,   /* that is all of the content; it may be empty */
    HOLD_PART,    /* there is more than max_bytes; what is held is max_bytes and some more */
    HOLD_FAILED,  /* the content was cut short */
    HOLD_REFUSED, /* there is no memory for it now: of the process, by held_content */
};

struct hold_chunk {
    struct hold_chunk *next;
    size_t bytes, room;
    char data[];
};

/* In the filter's state, zeroed. All but state, bytes and trailers is private. */
struct hold {
    enum hold_state state;
    size_t bytes;                  /* held now */
    const struct fields *trailers; /* of HOLD_WHOLE; NULL: none */
    struct source source;
    struct sink sink;
    struct exchange *ex;
    struct hold_chunk *first, *last;
    size_t max_bytes;
    size_t at;                     /* taken of the first chunk */
    bool is_starting;
};

/* Of the request's content: begins at the first call. False: it is not there yet, so
 * FILTER_WAIT; the head hook is called again when it is. True: look at state. A client that
 * waits for 100 is told to go on. Content that is cut short ends the exchange by itself, so
 * HOLD_FAILED is never seen here. There must be content: ex->request.body. */
bool hold_request(struct hold *hold, struct exchange *ex, size_t max_bytes);

/* The same of the response's content, on either side. After HOLD_FAILED the filter answers:
 * hold_answer(). When another response took the place of the one that was being held, which is
 * seen in deliver_head only, it begins anew. */
bool hold_response(struct hold *hold, struct exchange *ex, size_t max_bytes);

/* While HOLD_READING, from anywhere but a source: what came so far is enough. It is HOLD_PART,
 * perhaps with nothing held. */
void hold_stop(struct hold *hold);

/* The answer to a hold that failed or was refused: 502 or 503. */
void hold_answer(struct exchange *ex, const struct hold *hold);

/* The first bytes, as many as lie side by side: all of them up to 4 KB. */
struct slice hold_start(const struct hold *hold);

/* Chunk after chunk: hold_next(hold, NULL) is the first one; NULL: that was the last. */
static inline const struct hold_chunk *
hold_next(const struct hold *hold, const struct hold_chunk *chunk)
{
    return chunk == NULL ? hold->first : chunk->next;
}

/* What was held and then, unless that is all, what follows. */
struct source *hold_source(struct hold *hold);

/* Gives up what is held. Happens by itself at the end of the exchange. */
void hold_drop(struct hold *hold);

/* What all holds of the process have now. */
uint64_t hold_total_bytes(void);

#endif
