/* SPDX-License-Identifier: BSD-2-Clause */
/* fill_inside.h - what a fill is made of, for fill.c, fill_content.c,
 * fill_reader.c and fills.c.
 *
 *     fetch --(content)--> published bytes --> reader, reader     audience of thread A
 *       ^ bell                                 reader, reader     audience of thread B
 *       '---- room, abandoned ----'            ^ bell each
 *
 * The readers of one thread are an audience, whose lists only that thread
 * touches; it has one bell, which is rung at most once a turn and wakes all of
 * them. No mail points at a reader: a bell that rings holds its fill.
 *
 * A bell may be rung only while somebody is there to hear it (a reader of that
 * audience, the fetch), which is looked at under the fill's lock: so no mail
 * goes to the loop of a thread that has ended.
 *
 * Locks: that of a shard of the table before the fill's.
 */
#ifndef BASCULE_CACHE_FILL_INSIDE_H
#define BASCULE_CACHE_FILL_INSIDE_H

#include <pthread.h>

#include "cache/chunk_window.h"
#include "cache/fill.h"

enum bell_state {
    BELL_IDLE,
    BELL_WANTED, /* an audience's: somebody waits to be woken */
    BELL_RUNG,   /* its mail or task is on the way */
};

struct bell {
    struct mail mail;
    struct task task;        /* where who rings is on the same thread: no system call */
    struct fill *fill;       /* counted while it is rung */
    struct worker *worker;
    _Atomic uint8_t state;   /* enum bell_state */
    void (*on_heard)(struct bell *bell);
};

struct audience {
    struct bell bell;
    struct list link;        /* in the fill's */
    struct list waiting;     /* readers to be woken; its thread's only */
    unsigned readers;
};

enum fill_end { FILL_OPEN, FILL_ENDED, FILL_CUT };

/* Where the content is kept. */
enum fill_keep {
    FILL_IN_OBJECT, /* in the object's own room */
    FILL_IN_CHUNKS, /* in chunks, all of it */
    FILL_ON_DISK,   /* in chunks until they are written */
    FILL_PASSING,   /* nowhere: in chunks until all have read them */
};

struct fill {
    _Atomic unsigned references;
    _Atomic uint8_t state;       /* enum fill_state */
    _Atomic uint8_t end;         /* enum fill_end, of the content: a PRIVATE one's state stays */
    _Atomic bool is_awaited;     /* some audience wants its bell */
    _Atomic uint64_t published;  /* bytes of content to be read */

    /* Set before the state says so, then constant. */
    struct object *object;
    bool is_validated;           /* object was there before */
    uint64_t length;
    struct failure failure;
    char detail[120];

    /* The table's, under the lock of its shard. */
    struct fills *fills;
    struct list link;
    bool is_listed;
    uint64_t hash, seq;
    struct slice key;

    /* The fetch's thread's only. */
    struct fill_conf conf;
    const struct fill_events *events;
    void *arg;
    struct sink sink;
    struct chunk *last;          /* being filled; the window's */
    bool was_taken, was_abandoned;

    pthread_mutex_t lock;        /* guards what follows */
    enum fill_keep keep;
    struct chunk_window window;
    struct disk_write *write;
    struct disk_body *body;      /* counted; of write, or the object's; set once */
    uint64_t written;            /* bytes on disk when last looked at */
    struct list audiences;
    struct audience home;        /* of the fetch's own thread */
    struct bell fetch;
    unsigned readers;
    bool is_attached;            /* the fetch goes on */
    bool is_full;                /* and waits for room */
    bool is_closed;              /* nobody joins any more, nothing is kept for who might */
    bool is_forgotten;
    struct object *taken;        /* counted: what the fetch is putting into the store */
};

/* ---- fill.c */

struct fill *fill_ref(struct fill *fill);
void fill_release(struct fill *fill);

void bell_init(struct bell *bell, struct fill *fill, struct worker *worker,
               void (*on_heard)(struct bell *));

/* from: the worker on whose thread this is; NULL: some thread. */
void bell_ring(struct bell *bell, const struct worker *from);

/* Under the lock: rings the fetch if nobody reads any more and that ends it. */
void fill_check_read(struct fill *fill, const struct worker *from);
bool fill_is_unread(const struct fill *fill);

/* Wakes every reader that waits. On the fetch's thread, after publishing. */
void fill_wake_readers(struct fill *fill);

/* The content is whole: says so. */
void fill_content_ended(struct fill *fill);

/* ---- fill_content.c */

void fill_content_init(struct fill *fill);
void fill_content_fini(struct fill *fill);

/* Object and length are known: chooses where the content is kept. */
void fill_content_begin(struct fill *fill);

/* The content is not to be stored, or not any more: takes the fill from the
 * table, and readers alone decide what is kept for them. */
void fill_content_pass(struct fill *fill);

/* Under the lock: lets go of chunks that nobody needs. True: the fetch, which
 * waited, has room now: somebody rings its bell. */
bool fill_content_trim(struct fill *fill);

/* ---- fills.c */

/* False: there is one under its key already. */
bool fills_list(struct fill *fill);
void fills_unlist(struct fill *fill);

/* fills_unlist() if nobody reads. True: nobody does. */
bool fills_unlist_unread(struct fill *fill);

/* ---- fill_reader.c */

/* False when memory is short. */
bool fill_enter(struct fill *fill, struct worker *worker, struct fill_reader *reader);
void audience_init(struct audience *audience, struct fill *fill, struct worker *worker);

#endif
