/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_segment.c - a whole segment file of any bytes.
 *
 * The input follows a good header: records, perhaps a list of them. It is read
 * twice, as it is and with the checksums of its records made right, so that what
 * lies behind them is reached. Whatever is listed must lie within the file, and
 * content counts only if its checksums are right.
 */
#include "config.h"

#include "cache/object.h"
#include "cache/segment.h"
#include "server/base/must.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define NUMBER 1u
#define SALT 7u /* so that inputs can have checksums that are right */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct hash_key key = { { 1, 2 } };

/* A file in memory that begins as segment_create() has it. */
static struct segment *
make_segment(const uint8_t *data, size_t bytes)
{
    struct iovec iov = { (void *)(uintptr_t)data, bytes };
    int fd = memfd_create("segment", MFD_CLOEXEC);
    struct segment *segment;

    must(fd >= 0);
    must(segment_write_header(fd, NUMBER, &key));
    segment = segment_adopt(fd, NUMBER, &key);
    must(segment != NULL);
    segment->salt = SALT;
    must(bytes == 0 || segment_write(segment, SEGMENT_HEADER_BYTES, &iov, 1));
    atomic_store(&segment->bytes, SEGMENT_HEADER_BYTES + bytes);
    return segment;
}

/* Content behind the head, as far as its checksums are right. */
static void
read_content(const char *bytes, const struct record *record, struct object *object)
{
    const char *body = bytes + record_prefix_bytes(record);
    const uint64_t *checks = record_checks(bytes, record);

    for (uint64_t at = 0; at < record->body_bytes; at += RECORD_BLOCK) {
        uint64_t left = record->body_bytes - at;
        uint64_t block = left < RECORD_BLOCK ? left : RECORD_BLOCK;

        if (record_check(body + at, block) != checks[at / RECORD_BLOCK])
            return;
        memcpy(object->body + at, body + at, block);
    }
}

static void
read_record(const struct segment *segment, const struct segment_entry *entry)
{
    uint64_t offset = (uint64_t)entry->unit * RECORD_UNIT;
    uint64_t bytes = (uint64_t)entry->units * RECORD_UNIT;
    char *data = malloc(bytes);
    struct record record;
    struct object *object;
    bool is_inline;

    must(data != NULL && segment_read(segment, offset, data, bytes));
    if (record_parse(data, bytes, &record) &&
        record_verify(data, &record, segment->salt, offset) && record.kind == RECORD_OBJECT) {
        is_inline = record.extent_count == 0;
        object = object_unpack(record_head(data, &record), is_inline ? record.body_bytes : 0);
        if (object != NULL && is_inline)
            read_content(data, &record, object);
        object_unref(object);
    }
    free(data);
}

static void
read_all(const struct segment *segment)
{
    struct contents contents;

    contents_init(&contents);
    must(segment_list(segment, &contents));
    for (size_t i = 0; i < contents.count; i++) {
        const struct segment_entry *entry = &contents.items[i];

        must(entry->units > 0 && entry->unit >= 1);
        must(((uint64_t)entry->unit + entry->units) * RECORD_UNIT <=
             atomic_load(&segment->bytes));
        read_record(segment, entry);
    }
    contents_fini(&contents);
}

/* Seals every record that can be parsed. */
static void
mend(const struct segment *segment, uint8_t *data, size_t bytes)
{
    size_t at = 0;
    struct record record;

    while (at < bytes && record_parse((const char *)data + at, bytes - at, &record)) {
        record_seal((char *)data + at, &record, segment->salt, at + SEGMENT_HEADER_BYTES);
        at += record_bytes(&record);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct segment *segment = make_segment(data, bytes);
    uint8_t *copy = malloc(bytes + 1);
    struct iovec iov = { copy, bytes };

    must(copy != NULL);
    read_all(segment);
    if (bytes > 0) {
        memcpy(copy, data, bytes);
        mend(segment, copy, bytes);
        must(segment_write(segment, SEGMENT_HEADER_BYTES, &iov, 1));
        read_all(segment);
    }
    free(copy);
    segment_unref(segment);
    return 0;
}
