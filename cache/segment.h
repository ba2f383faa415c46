/* SPDX-License-Identifier: BSD-2-Clause */
/* segment.h - a file of records, written once from its beginning to its end.
 *
 *     header | record | record | ... | contents, footer       NNNNNNNNNNNN.seg
 *
 * Its name is its number; numbers only grow. When it is full it is sealed: what
 * is in it is listed at its end, so that it need not be read to be known. One
 * that was not (a crash) is read record by record, up to the first that is
 * torn; it is never written to again.
 *
 * A segment is counted by reference: reclaiming it unlinks the file, and
 * whoever still reads keeps it open.
 */
#ifndef BASCULE_CACHE_SEGMENT_H
#define BASCULE_CACHE_SEGMENT_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "cache/record.h"
#include "server/base/err.h"
#include "server/base/hash.h"

#define SEGMENT_HEADER_BYTES RECORD_UNIT
#define SEGMENT_FOOTER_BYTES RECORD_UNIT
#define SEGMENT_BYTES_MAX (2048ull * 1024 * 1024) /* 25 bits of units */
#define SEGMENT_NAME_MAX 32

struct segment {
    _Atomic unsigned references;
    int fd;
    uint16_t slot;             /* in the table of segments (segments.h) */
    uint64_t number;
    uint64_t salt;             /* of its records' checksums */
    _Atomic uint64_t bytes;    /* of the file; of the one that is written: allocated so far */
    _Atomic uint64_t min_seq;  /* of its objects; UINT64_MAX: none */
    _Atomic bool is_gone;      /* reclaimed */
    struct segment *next_gone; /* of those that are still read (disk_reclaim.c) */
};

/* What is known of a record without reading it; 32 bytes in the file, too. */
struct segment_entry {
    uint64_t hash, seq;
    uint32_t unit;             /* where it begins, in units */
    uint32_t units;            /* how long it is */
    uint32_t site;
    uint8_t kind;              /* enum record_kind */
    uint8_t size_class;        /* OBJECT: of the record and what it has in extents */
    uint8_t is_long;           /* its content is in extents */
    uint8_t unused;
};

/* A list of them, which grows. */
struct contents {
    struct segment_entry *items;
    size_t count, room;
    uint64_t min_seq, max_seq; /* of the objects */
};

void contents_init(struct contents *contents);
void contents_fini(struct contents *contents);
bool contents_add(struct contents *contents, const struct segment_entry *entry) MUST_USE;

/* Bytes that contents and footer take of a file. */
uint64_t contents_bytes(size_t count);

/* The entry of a record at offset. */
struct segment_entry segment_entry_of(const struct record *record, uint64_t offset);

/* Makes a new, empty file in folder and writes its header. One reference. NULL
 * with errno. */
struct segment *segment_create(int folder, uint64_t number, const struct hash_key *key);

/* Writes the header of a new segment into an empty file. False with errno. */
bool segment_write_header(int fd, uint64_t number, const struct hash_key *key);

/* Opens the file of this number. NULL with errno; EBADMSG: it is no segment of this
 * key's store. */
struct segment *segment_open(int folder, uint64_t number, const struct hash_key *key);

/* The same of a file that is open: takes fd, also on failure. */
struct segment *segment_adopt(int fd, uint64_t number, const struct hash_key *key);

struct segment *segment_ref(struct segment *segment);
void segment_unref(struct segment *segment); /* NULL is fine */

/* Removes the file's name. Readers go on. Returns 0, or -1 with errno. */
int segment_unlink(struct segment *segment, int folder);

/* Its name into name, or the number of a name; 0: it is none. */
void segment_name(uint64_t number, char name[SEGMENT_NAME_MAX]);
uint64_t segment_number_of(const char *name);

/* Reads exactly bytes at offset. False with errno; EBADMSG: the file ends before. */
bool segment_read(const struct segment *segment, uint64_t offset, void *into, size_t bytes);

/* The same, up to the file's end. Bytes read, or -1 with errno. */
ssize_t segment_read_some(const struct segment *segment, uint64_t offset, void *into,
                          size_t bytes);

/* Writes all of iov at offset; changes iov. False with errno. */
bool segment_write(const struct segment *segment, uint64_t offset, struct iovec *iov, int count);

/* Writes contents and footer at end. False with errno. */
bool segment_seal(struct segment *segment, uint64_t end, const struct contents *contents);

/* Reads what is in it: the list at its end, or, when that is missing or damaged,
 * all records up to the first torn one. Every entry lies within the file. Adds to
 * contents. False with errno, when reading failed or memory is short. */
bool segment_list(const struct segment *segment, struct contents *contents);

#endif
