/* SPDX-License-Identifier: BSD-2-Clause */
/* record.c - lengths are judged before anything is read by them, and nothing is
 * believed before its checksum was compared.
 *
 * XXH3 because it costs about as much as reading the bytes. It finds what disks
 * and crashes do; whoever can write to the folder can do as he likes anyway. A
 * record planted in content is never looked at, and the salt, which nobody
 * outside knows, would not fit it.
 */
#include "config.h"

#include "cache/record.h"

#include <endian.h>
#include <xxhash.h>

#define MAGIC 0x31726362u /* "bcr1" */

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "records are little-endian");
_Static_assert(sizeof(struct record) == RECORD_UNIT, "a record begins with one unit");

struct record
record_make(enum record_kind kind, uint64_t hash, uint64_t seq)
{
    return (struct record){ .magic = MAGIC, .kind = kind, .hash = hash, .seq = seq };
}

static uint64_t
table_bytes(const struct record *record)
{
    if (record->kind != RECORD_OBJECT)
        return 0;
    return record->extent_count * sizeof(struct record_extent) +
           record_blocks(record->body_bytes) * sizeof(uint64_t);
}

uint64_t
record_prefix_bytes(const struct record *record)
{
    return sizeof(*record) + table_bytes(record) + record->head_bytes;
}

uint64_t
record_bytes(const struct record *record)
{
    bool has_body = record->kind == RECORD_EXTENT || record->extent_count == 0;

    return record_align(record_prefix_bytes(record) + (has_body ? record->body_bytes : 0));
}

static bool
is_sane(const struct record *record)
{
    bool has_tables = record->head_bytes != 0 || record->extent_count != 0;

    switch ((enum record_kind)record->kind) {
    case RECORD_OBJECT:
        return record->head_bytes <= RECORD_HEAD_MAX &&
               record->extent_count <= RECORD_TABLE_MAX / sizeof(struct record_extent) &&
               table_bytes(record) <= RECORD_TABLE_MAX;
    case RECORD_EXTENT:
        return !has_tables;
    case RECORD_FORGET:
        return !has_tables && record->body_bytes == 0;
    }
    return false;
}

bool
record_parse(const char *bytes, uint64_t room, struct record *record)
{
    if (room < sizeof(*record))
        return false;
    memcpy(record, bytes, sizeof(*record));
    return record->magic == MAGIC && record->body_bytes <= UINT64_MAX / 4 && is_sane(record) &&
           record_bytes(record) <= room;
}

const struct record_extent *
record_extents(const char *prefix)
{
    return (const struct record_extent *)(const void *)(prefix + sizeof(struct record));
}

const uint64_t *
record_checks(const char *prefix, const struct record *record)
{
    return (const uint64_t *)(const void *)(record_extents(prefix) + record->extent_count);
}

struct slice
record_head(const char *prefix, const struct record *record)
{
    return slice_make(prefix + sizeof(*record) + table_bytes(record), record->head_bytes);
}

static uint64_t
check(const char *prefix, const struct record *record, uint64_t salt, uint64_t offset)
{
    return XXH3_64bits_withSeed(prefix + sizeof(record->check),
                                record_prefix_bytes(record) - sizeof(record->check),
                                salt ^ offset * 0x9e3779b97f4a7c15u);
}

void
record_seal(char *prefix, const struct record *record, uint64_t salt, uint64_t offset)
{
    uint64_t sum = check(prefix, record, salt, offset);

    memcpy(prefix, &sum, sizeof(sum));
}

/* All of the content, in whole blocks but for the end. */
static bool
extents_cover(const struct record_extent *extents, const struct record *record)
{
    uint64_t left = record->body_bytes;

    for (uint32_t i = 0; i < record->extent_count; i++) {
        uint64_t bytes = extents[i].bytes;

        if (bytes == 0 || bytes > left || extents[i].offset > INT64_MAX - bytes ||
            (bytes < left && bytes % RECORD_BLOCK != 0))
            return false;
        left -= bytes;
    }
    return left == 0 || record->extent_count == 0;
}

bool
record_verify(const char *prefix, const struct record *record, uint64_t salt, uint64_t offset)
{
    return record->check == check(prefix, record, salt, offset) &&
           (record->kind != RECORD_OBJECT || extents_cover(record_extents(prefix), record));
}

uint64_t
record_check(const char *block, size_t bytes)
{
    return XXH3_64bits(block, bytes);
}

/* ---- sizes */

uint8_t
size_class_of(uint64_t bytes)
{
    uint64_t units = bytes / RECORD_UNIT + (bytes % RECORD_UNIT != 0);
    unsigned exponent = 0;

    while (units >= 16 && exponent < 31) {
        units = (units + 1) / 2;
        exponent++;
    }
    if (units >= 16)
        return 255;
    return units < 8 ? (uint8_t)units : (uint8_t)((exponent << 3 | (units - 8)) + 8);
}

uint64_t
size_class_bytes(uint8_t size_class)
{
    unsigned above = size_class - 8u;

    if (size_class < 8)
        return (uint64_t)size_class * RECORD_UNIT;
    return (uint64_t)(8 + above % 8) << (above / 8) << 6;
}
