/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_reader.h - reads content on disk for one source, without ever waiting for
 * the disk.
 *
 * What is in the page cache and verified is offered as a range of its file
 * where the sink takes that, else read into a block. What is not is asked of a
 * disk thread, a window at a time; the source's pump goes on when it is there.
 * Content whose every byte is verified each time comes as blocks that a disk
 * thread has read.
 */
#ifndef BASCULE_CACHE_DISK_READER_H
#define BASCULE_CACHE_DISK_READER_H

#include "cache/disk.h"
#include "server/http/body.h"

#define OBJECT_WINDOW_BYTES (512u * 1024) /* asked of the disk at a time */
#define OBJECT_READ_BYTES (64u * 1024)    /* of a block */

struct warming;
struct worker;

struct disk_reader {
    struct source *source;   /* whose pump it wakes */
    struct disk *disk;
    struct worker *worker;
    struct warming *warming; /* under way; frees itself */
    struct timer retry;      /* the disk was too busy to be asked, or does not answer */
    uint64_t warm_at, warm_end, warm_ms; /* what was warmed last, and when */
    char *block;             /* OBJECT_READ_BYTES; NULL mostly */
    uint64_t block_at;       /* of the content, at the block's start */
    size_t block_bytes;
    uint16_t tries;          /* since something was last there */
    bool is_lost;
};

/* Borrows all. */
void disk_reader_init(struct disk_reader *reader, struct source *source, struct disk *disk,
                      struct worker *worker);

/* Offers bytes [at, end) of body's content, or the first of them, as a source
 * does: FLOW_MORE, FLOW_WAIT or FLOW_FAILED (they cannot be had any more). Does
 * not set is_last. body is referenced by the caller while it may be asked. */
enum flow disk_reader_offer(struct disk_reader *reader, struct disk_body *body, uint64_t at,
                            uint64_t end, unsigned forms, struct piece *piece);

/* Gives everything back. Idempotent. */
void disk_reader_fini(struct disk_reader *reader);

/* Whether the disk owes this thread no answer: only then may its loop end, also
 * when the readers are gone. */
bool disk_reader_is_idle(void);

#endif
