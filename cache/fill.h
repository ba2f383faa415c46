/* SPDX-License-Identifier: BSD-2-Clause */
/* fill.h - an object that grows while many read it.
 *
 *     upstream --> fetch (an exchange without a client) --sink--> fill --> reader, reader ...
 *                                                                  '----> disk
 *
 * The first who asks for a missing object makes a fill under its key and starts
 * the fetch; whoever asks meanwhile joins. None of them leads: each reads what
 * has arrived, on its own thread, at its own speed, and the fetch belongs to
 * nobody. If the answer may not be shared (FILL_PRIVATE), the first goes on with
 * it alone and the others go their own ways.
 *
 * Content of known, moderate length goes straight to where the object will
 * have it. Longer content, or content whose length nobody said, is held in
 * chunks: all of them up to memory_bytes. Beyond that, with a disk, those are
 * written as they come, only a window of them stays in memory, and who lags
 * behind it reads from the file. What cannot be stored (there is no disk, or it
 * takes no more, or it is longer than object_bytes) leaves the table, and the
 * slowest reader holds back the fetch.
 *
 * Threads: the fetch side (everything until "readers") is called on the thread
 * that made the fill only. A lock per fill guards its chunks and who reads them;
 * what is published is read without it: an atomic length. All readers of a
 * thread that wait are woken by one mail a turn. A thread may end when its
 * readers have left and the disk owes it nothing (disk_reader_is_idle()).
 */
#ifndef BASCULE_CACHE_FILL_H
#define BASCULE_CACHE_FILL_H

#include "cache/disk_reader.h"
#include "cache/object.h"
#include "server/http/body.h"
#include "server/http/exchange.h"

struct audience;
struct fill;
struct fills;

enum fill_state {
    FILL_ASKING,  /* no response head yet */
    FILL_FLOWING, /* the head is there; content arrives */
    FILL_WHOLE,   /* and all of it has */
    FILL_FAILED,  /* before the head: fill_failure() says why; after it: the content is cut short */
    FILL_PRIVATE, /* the answer is the first reader's alone: the others go their own ways */
};

struct fill_conf {
    struct disk *disk;        /* NULL: memory only */
    uint64_t memory_bytes;    /* longest content that the memory tier takes */
    uint64_t object_bytes;    /* longest that is stored at all */
    uint64_t window_bytes;    /* of chunks held in memory for readers, and how far the fetch may
                                 be ahead of the fastest of them */
    bool outlives_readers;    /* the fetch goes on when nobody reads any more */
};

/* ---- the table of a store: fills under way, by key; for any thread */

struct fills *fills_new(void);
void fills_free(struct fills *fills); /* must be empty */
uint64_t fills_count(const struct fills *fills);

/* ---- the fetch side */

/* On the fetch's thread, from its loop. */
struct fill_events {
    /* No reader is left, and it does not outlive them, or nothing is stored of it. Once;
     * nobody joins any more. */
    void (*on_abandoned)(struct fill *fill, void *arg);
};

/* A fill under key, with one reference for the fetch; NULL when there is one
 * already (fill_join() it) or memory is short. Copies key. */
struct fill *fill_new(struct fills *fills, const struct fill_conf *conf, uint64_t hash,
                      struct slice key, uint64_t seq, struct worker *worker,
                      const struct fill_events *events, void *arg);

/* The head has come. object: with body room of length bytes if that is at most
 * conf->memory_bytes; without if it is longer or unknown. Counts a reference.
 * State FLOWING; content is put into fill_sink(). length: LENGTH_UNKNOWN if nobody said.
 * object->body_bytes is set to LENGTH_UNKNOWN when it has no such room. */
void fill_set_object(struct fill *fill, struct object *object, uint64_t length);

/* The answer is not to be shared: the first reader reads it (head in object as
 * above, without body room; the same sink), the others are told. Nothing is
 * stored; takes it from the table. */
void fill_set_private(struct fill *fill, struct object *object, uint64_t length);

/* The answer is object, which is complete already: what a 304 made of a stored
 * one. State WHOLE; readers take it from fill_object() and read it as a stored
 * one (object_source.h), not through the fill. Counts a reference. */
void fill_set_whole(struct fill *fill, struct object *object);

/* The same with a head that has just come, whose content is in slices. */
void fill_set_head(struct fill *fill, struct object *object);

/* No head will come, or no more content. */
void fill_fail(struct fill *fill, const struct failure *failure);

/* Where the content goes: takes slices. FLOW_WAIT at the high-water mark; it
 * wakes the pump when there is room. Its end makes it WHOLE; trailers are dropped. */
struct sink *fill_sink(struct fill *fill);

/* Takes it from the table: nobody joins any more, and what comes of it is not
 * stored (its URL was invalidated). */
void fill_forget(struct fills *fills, uint64_t hash, struct slice key);

/* When WHOLE: the object with all of its content (in memory, or on disk and
 * committed), for the store to put; NULL: it is not to be stored (private,
 * forgotten, too long, disk failed). Once; counted. The object of content that
 * came in chunks is another one than its readers have. Until fill_unref(), which
 * should come after it was put, fill_forget() makes it is_gone. */
struct object *fill_take_object(struct fill *fill);

/* The fetch has ended: gives its reference back. */
void fill_unref(struct fill *fill);

/* ---- readers: on any thread, each on its own */

struct fill_reader {
    struct source source;    /* of the content, once state is FLOWING or later */
    struct fill *fill;       /* counted; NULL: not reading */
    struct audience *audience; /* of its thread */
    struct list link;        /* of those in it that wait */
    uint64_t at, end;        /* of the content: taken so far, and where it stops */
    uint64_t place;          /* the chunk it is counted at */
    struct chunk *held;      /* that chunk, counted, while its bytes are offered */
    struct disk_reader disk; /* for what has left memory */
    bool is_first;
    bool wants_news;         /* between two looks nothing is sent */
    enum fill_state seen;
    void (*on_news)(struct fill_reader *reader); /* asked for by fill_reader_wait() */
};

/* Reads the fill under key, if there is one. With only_flowing: only when its
 * head is there. False: none. */
bool fill_join(struct fills *fills, uint64_t hash, struct slice key, bool only_flowing,
               struct worker *worker, struct fill_reader *reader);

/* The first reader, of a fill just made: on the fetch's thread. */
void fill_join_first(struct fill *fill, struct worker *worker, struct fill_reader *reader);

enum fill_state fill_state(const struct fill *fill);

/* Calls on_news, once, when the state is another than seen. On the reader's
 * thread, from its loop. Not while its source is in use. */
void fill_reader_wait(struct fill_reader *reader, enum fill_state seen,
                      void (*on_news)(struct fill_reader *));

/* Reads content [first, end) only. Before its source is first used, from FLOWING on,
 * when the length is known: end is at most that. Bytes that have not come yet are
 * waited for. */
void fill_reader_set_range(struct fill_reader *reader, uint64_t first, uint64_t end);

/* From FLOWING on: the head, borrowed while reading, and the content's length. */
const struct object *fill_object(const struct fill *fill);
uint64_t fill_length(const struct fill *fill);

/* From then on: whether it was stored before, and is good still (fill_set_whole()). */
bool fill_is_validated(const struct fill *fill);

/* How much of it has come. */
uint64_t fill_published(const struct fill *fill);

/* Its place in the sequence of purges, as fill_new() was told. */
uint64_t fill_seq(const struct fill *fill);

/* Of FAILED; borrowed while reading. */
const struct failure *fill_failure(const struct fill *fill);

/* Reads no more. Idempotent. The source must not be in use. */
void fill_reader_leave(struct fill_reader *reader);

#endif
