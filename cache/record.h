/* SPDX-License-Identifier: BSD-2-Clause */
/* record.h - what lies one after the other in a segment file.
 *
 *     OBJECT   record | extents | checks | packed head | content, or not
 *     EXTENT   record | room for a part of long content
 *     FORGET   record                                           each padded to 64 bytes
 *
 * An object's content follows its head, or lies in extents: those listed, each
 * a place in this segment or an earlier one. There is a checksum for every block
 * of content. The record's own checksum covers all up to the packed head's end,
 * so the checksums of the content as well, and depends on the place in the file: it is
 * the commit mark. It is written after the content where that lies elsewhere, and with
 * it in one write where not; that write torn shows as a record that
 * reaches beyond the file's end or as a block with a wrong checksum.
 *
 * Bytes in, meaning out: nothing here reads files. Numbers are little-endian.
 */
#ifndef BASCULE_CACHE_RECORD_H
#define BASCULE_CACHE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/slice.h"

#define RECORD_UNIT 64u                           /* records begin at multiples of this */
#define RECORD_BLOCK (64u * 1024)                 /* of content, with a checksum each */
#define RECORD_HEAD_MAX (1024u * 1024)            /* packed head */
#define RECORD_TABLE_MAX (32u * 1024 * 1024)      /* extents and checks: 256 GB of content */

enum record_kind { RECORD_OBJECT = 1, RECORD_EXTENT, RECORD_FORGET };

struct record {
    uint64_t check;        /* of what follows, to the end of the packed head */
    uint32_t magic;
    uint32_t kind;
    uint64_t hash;         /* of the key, by the store's secret */
    uint64_t seq;
    uint64_t body_bytes;   /* of the content; EXTENT: of the room */
    uint32_t site;
    uint32_t head_bytes;   /* packed head */
    uint32_t extent_count; /* 0: the content follows the packed head */
    uint32_t unused;
    uint64_t unused_too;
};

/* A part of an object's content. All but the last are whole blocks. */
struct record_extent {
    uint64_t segment;      /* its number */
    uint64_t offset;       /* in the file */
    uint64_t bytes;
};

/* A record's fixed part for these contents, without its checksum. */
struct record record_make(enum record_kind kind, uint64_t hash, uint64_t seq);

static inline uint64_t
record_blocks(uint64_t body_bytes)
{
    return body_bytes / RECORD_BLOCK + (body_bytes % RECORD_BLOCK != 0);
}

static inline uint64_t
record_align(uint64_t bytes)
{
    return (bytes + RECORD_UNIT - 1) & ~(uint64_t)(RECORD_UNIT - 1);
}

/* Bytes before inline content: what the record's checksum covers, and the checksum. */
uint64_t record_prefix_bytes(const struct record *record);

/* Bytes in the file, with padding. */
uint64_t record_bytes(const struct record *record);

/* Reads the fixed part; room: from its start to the end of the file. False when
 * that is no record, or one that reaches beyond room. */
bool record_parse(const char *bytes, uint64_t room, struct record *record);

/* Where things are within the prefix. */
const struct record_extent *record_extents(const char *prefix);
const uint64_t *record_checks(const char *prefix, const struct record *record);
struct slice record_head(const char *prefix, const struct record *record);

/* Writes the checksum into a prefix that is complete but for it, to be put at
 * offset in the segment with this salt. */
void record_seal(char *prefix, const struct record *record, uint64_t salt, uint64_t offset);

/* Whether a prefix is what was sealed there, and its extents make sense. */
bool record_verify(const char *prefix, const struct record *record, uint64_t salt,
                   uint64_t offset);

/* The checksum of a block of content. */
uint64_t record_check(const char *block, size_t bytes);

/* Sizes in eight bits, rounded up by at most an eighth: 3 bits and an exponent, in units. */
uint8_t size_class_of(uint64_t bytes);
uint64_t size_class_bytes(uint8_t size_class);

#endif
