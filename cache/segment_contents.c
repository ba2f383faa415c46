/* SPDX-License-Identifier: BSD-2-Clause */
/* segment_contents.c - what is in a segment: its list, and how to do without one.
 *
 *     ... records | entry | entry | ... | padding | footer
 *
 * Nothing of what is read is believed: the list has a checksum, and each of its
 * entries must lie before it.
 */
#include "config.h"

#include "cache/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#define FOOTER_MAGIC 0x746e6f43u
#define WINDOW_BYTES (256u * 1024) /* read at a time while scanning */

struct footer {
    uint64_t check;            /* of the rest, with that of the entries, and the salt */
    uint64_t entries_check;
    uint64_t count, offset;    /* of the entries */
    uint64_t min_seq, max_seq;
    uint32_t magic, unused;
    uint64_t unused_too;
};

_Static_assert(sizeof(struct footer) == SEGMENT_FOOTER_BYTES, "the footer is one unit");
_Static_assert(sizeof(struct segment_entry) == 32, "entries are in files");

/* ---- the list */

void
contents_init(struct contents *contents)
{
    *contents = (struct contents){ .min_seq = UINT64_MAX };
}

void
contents_fini(struct contents *contents)
{
    free(contents->items);
    contents_init(contents);
}

static bool
reserve(struct contents *contents, size_t room)
{
    struct segment_entry *items;

    if (room <= contents->room)
        return true;
    items = reallocarray(contents->items, room, sizeof(*items));
    if (items == NULL)
        return false;
    contents->items = items;
    contents->room = room;
    return true;
}

bool
contents_add(struct contents *contents, const struct segment_entry *entry)
{
    if (contents->count == contents->room &&
        !reserve(contents, contents->room + contents->room / 2 + 256))
        return false;
    contents->items[contents->count++] = *entry;
    if (entry->kind == RECORD_OBJECT && entry->seq < contents->min_seq)
        contents->min_seq = entry->seq;
    if (entry->kind == RECORD_OBJECT && entry->seq > contents->max_seq)
        contents->max_seq = entry->seq;
    return true;
}

uint64_t
contents_bytes(size_t count)
{
    return record_align(count * sizeof(struct segment_entry)) + SEGMENT_FOOTER_BYTES;
}

struct segment_entry
segment_entry_of(const struct record *record, uint64_t offset)
{
    uint64_t bytes = record_bytes(record);
    bool is_long = record->extent_count > 0;

    return (struct segment_entry){
        .hash = record->hash,
        .seq = record->seq,
        .unit = (uint32_t)(offset / RECORD_UNIT),
        .units = (uint32_t)(bytes / RECORD_UNIT),
        .site = record->site,
        .kind = (uint8_t)record->kind,
        .size_class = size_class_of(bytes + (is_long ? record->body_bytes : 0)),
        .is_long = is_long,
    };
}

/* ---- at the end of a file */

static uint64_t
footer_check(const struct footer *footer, uint64_t salt)
{
    return XXH3_64bits_withSeed((const char *)footer + sizeof(footer->check),
                                sizeof(*footer) - sizeof(footer->check), salt);
}

bool
segment_seal(struct segment *segment, uint64_t end, const struct contents *contents)
{
    static const char zeros[RECORD_UNIT];
    size_t bytes = contents->count * sizeof(struct segment_entry);
    struct footer footer = {
        .entries_check = XXH3_64bits(contents->items, bytes),
        .count = contents->count,
        .offset = end,
        .min_seq = contents->min_seq,
        .max_seq = contents->max_seq,
        .magic = FOOTER_MAGIC,
    };
    struct iovec iov[3] = {
        { contents->items, bytes },
        { (void *)zeros, record_align(bytes) - bytes },
        { &footer, sizeof(footer) },
    };

    footer.check = footer_check(&footer, segment->salt);
    if (!segment_write(segment, end, iov, 3))
        return false;
    atomic_store(&segment->bytes, end + contents_bytes(contents->count));
    return true;
}

static bool
is_within(const struct segment_entry *entry, uint64_t end)
{
    uint64_t from = (uint64_t)entry->unit * RECORD_UNIT;

    return from >= SEGMENT_HEADER_BYTES && entry->units > 0 && from <= end &&
           (uint64_t)entry->units * RECORD_UNIT <= end - from;
}

static bool
footer_is_sane(const struct footer *footer, const struct segment *segment, uint64_t bytes)
{
    return footer->magic == FOOTER_MAGIC && footer->check == footer_check(footer, segment->salt) &&
           footer->count <= bytes / RECORD_UNIT && footer->offset <= bytes &&
           footer->offset + contents_bytes(footer->count) == bytes;
}

/* 1: read; 0: there is none to be believed; -1 with errno. */
static int
read_list(const struct segment *segment, uint64_t bytes, struct contents *contents)
{
    struct footer footer;
    size_t list_bytes;

    if (bytes < SEGMENT_HEADER_BYTES + SEGMENT_FOOTER_BYTES)
        return 0;
    if (!segment_read(segment, bytes - sizeof(footer), &footer, sizeof(footer)))
        return errno == EBADMSG ? 0 : -1;
    if (!footer_is_sane(&footer, segment, bytes))
        return 0;
    if (footer.count == 0)
        return 1;
    if (!reserve(contents, footer.count)) {
        errno = ENOMEM;
        return -1;
    }
    list_bytes = footer.count * sizeof(struct segment_entry);
    if (!segment_read(segment, footer.offset, contents->items, list_bytes))
        return errno == EBADMSG ? 0 : -1;
    if (footer.entries_check != XXH3_64bits(contents->items, list_bytes))
        return 0;
    for (size_t i = 0; i < footer.count; i++)
        if (!is_within(&contents->items[i], footer.offset))
            return 0;
    contents->count = footer.count;
    contents->min_seq = footer.min_seq;
    contents->max_seq = footer.max_seq;
    return 1;
}

/* ---- without a list: record by record */

struct window {
    const struct segment *segment;
    uint64_t file_bytes, at;
    char *data;
    size_t bytes, room;
};

/* The bytes at an offset, within the file. NULL with errno. */
static const char *
look(struct window *window, uint64_t at, size_t bytes)
{
    size_t want = bytes > WINDOW_BYTES ? bytes : WINDOW_BYTES;

    if (window->bytes > 0 && at >= window->at && at - window->at <= window->bytes &&
        window->bytes - (at - window->at) >= bytes)
        return window->data + (at - window->at);
    if (want > window->room) {
        char *data = realloc(window->data, want);

        if (data == NULL)
            return NULL;
        window->data = data;
        window->room = want;
    }
    if (want > window->file_bytes - at)
        want = (size_t)(window->file_bytes - at);
    window->bytes = 0;
    if (!segment_read(window->segment, at, window->data, want))
        return NULL;
    window->at = at;
    window->bytes = want;
    return window->data;
}

/* 1: the record at an offset; 0: none, or a torn one; -1 with errno. */
static int
look_at_record(struct window *window, uint64_t at, struct record *record)
{
    uint64_t room = window->file_bytes - at;
    const char *bytes;

    if (room < sizeof(*record))
        return 0;
    bytes = look(window, at, sizeof(*record));
    if (bytes == NULL)
        return -1;
    if (!record_parse(bytes, room, record))
        return 0;
    bytes = look(window, at, (size_t)record_prefix_bytes(record));
    if (bytes == NULL)
        return -1;
    return record_verify(bytes, record, window->segment->salt, at);
}

static bool
scan(const struct segment *segment, uint64_t bytes, struct contents *contents)
{
    struct window window = { .segment = segment, .file_bytes = bytes };
    uint64_t at = SEGMENT_HEADER_BYTES;
    struct record record;
    int result = 1;

    while (at < bytes && (result = look_at_record(&window, at, &record)) > 0) {
        struct segment_entry entry = segment_entry_of(&record, at);

        if (!contents_add(contents, &entry)) {
            result = -1;
            break;
        }
        at += record_bytes(&record);
    }
    free(window.data);
    return result >= 0 || errno == EBADMSG; /* a file that got shorter ends here */
}

bool
segment_list(const struct segment *segment, struct contents *contents)
{
    uint64_t bytes = atomic_load(&segment->bytes);
    int result = read_list(segment, bytes, contents);

    if (result == 0) {
        contents->count = 0;
        return scan(segment, bytes, contents);
    }
    return result > 0;
}
