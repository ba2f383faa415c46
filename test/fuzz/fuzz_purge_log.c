/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_purge_log.c - any bytes as a log of purges, and logs with any damage.
 *
 * Records that are read lie within the bytes. Of a log that was written, a
 * changed byte loses the record it is in and nothing else.
 */
#include "config.h"

#include "cache/purge_log.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define RECORDS_MAX 8u
#define TEXT_MAX 40u
#define LOG_ROOM (RECORDS_MAX * (64 + TEXT_MAX))

static const struct hash_key key = { { 11, 22 } };

static void
read_any(const uint8_t *data, size_t bytes)
{
    struct slice whole = slice_make((const char *)data, bytes);
    struct purge_reader reader = { .key = &key, .rest = whole, .is_last = true };
    struct purge_record record;
    uint64_t before = 0;

    while (purge_reader_next(&reader, &record)) {
        must(record.text.data >= whole.data &&
             record.text.data + record.text.bytes <= whole.data + whole.bytes);
        must(record.text.bytes <= PURGE_TEXT_MAX && record.kind <= PURGE_PREFIX);
        must(reader.at >= before + purge_record_bytes(&record));
        before = reader.at;
    }
    must(reader.at == bytes && reader.damaged_bytes <= bytes);
}

struct written {
    struct purge_record records[RECORDS_MAX];
    size_t begins[RECORDS_MAX + 1];
    unsigned count;
    char log[LOG_ROOM];
};

/* Writes records as the bytes say, each with a text of those that follow. */
static void
write_some(struct written *written, struct slice *from)
{
    size_t at = 0;

    while (written->count < RECORDS_MAX && from->bytes >= 2) {
        struct purge_record *record = &written->records[written->count];
        size_t text = (unsigned char)from->data[1] % TEXT_MAX;

        *record = (struct purge_record){ .seq = written->count + 1,
                                         .kind = (enum purge_kind)(from->data[0] & 3),
                                         .is_soft = from->data[0] & 4,
                                         .tag = (unsigned char)from->data[0] };
        *from = slice_skip(*from, 2);
        record->text = slice_make(from->data, text < from->bytes ? text : from->bytes);
        *from = slice_skip(*from, record->text.bytes);
        written->begins[written->count++] = at;
        at += purge_record_write(record, &key, written->log + at);
    }
    written->begins[written->count] = at;
}

/* Reads the log back; all records must be there but the one that is damaged. */
static void
read_back(const struct written *written, unsigned damaged)
{
    size_t bytes = written->begins[written->count];
    struct purge_reader reader = { .key = &key, .rest = slice_make(written->log, bytes),
                                   .is_last = true };
    struct purge_record record;

    for (unsigned i = 0; i < written->count; i++) {
        const struct purge_record *expected = &written->records[i];

        if (i == damaged)
            continue;
        must(purge_reader_next(&reader, &record));
        must(record.seq == expected->seq && record.kind == expected->kind &&
             record.is_soft == expected->is_soft && record.tag == expected->tag &&
             slice_equal(record.text, expected->text));
    }
    must(!purge_reader_next(&reader, &record));
    must((reader.damaged_bytes > 0) == (damaged < written->count));
}

static unsigned
record_at(const struct written *written, size_t at)
{
    unsigned i = 0;

    while (written->begins[i + 1] <= at)
        i++;
    return i;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice from = slice_make((const char *)data, bytes);
    struct written written = { .count = 0 };
    size_t total, at;

    read_any(data, bytes);
    write_some(&written, &from);
    read_back(&written, RECORDS_MAX);
    total = written.begins[written.count];
    if (total == 0)
        return 0;
    at = (bytes * 31 + data[0]) % total;
    written.log[at] ^= (char)(data[bytes - 1] | 1);
    read_back(&written, record_at(&written, at));
    return 0;
}
