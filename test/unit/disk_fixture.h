/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_fixture.h - a disk tier in a temporary folder, and objects that tell what they must be.
 *
 * A canary's content follows from its number, version and length, so whatever is
 * found can be judged by itself.
 */
#ifndef BASCULE_DISK_FIXTURE_H
#define BASCULE_DISK_FIXTURE_H

#include <CUnit/CUnit.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cache/disk.h"
#include "cache/purge.h"
#include "server/base/clock.h"
#include "server/base/hash.h"

#define FIXTURE_WAIT_MS 60000u

struct disk_fixture {
    char path[64];
    struct disk *disk;
    struct purges *purges; /* NULL: nothing is ever purged */
    struct loop *loop;
    _Atomic uint64_t next_seq;
    struct hash_key key;
    struct disk_conf conf;
};

static inline void
fixture_init(struct disk_fixture *f)
{
    struct err err;

    *f = (struct disk_fixture){ .path = "/tmp/bascule-disk-XXXXXX", .next_seq = 1,
                                .key = { { 1, 2 } } };
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(f->path));
    f->conf = (struct disk_conf){ .path = f->path, .max_bytes = 64u << 20,
                                  .segment_bytes = 4u << 20, .queue_bytes = 16u << 20,
                                  .threads = 2 };
    f->loop = loop_new(&err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->loop);
}

static inline bool
fixture_wait(struct disk_fixture *f, bool (*is_done)(struct disk_fixture *, uint64_t),
             uint64_t arg)
{
    uint64_t until = clock_monotonic_ms() + FIXTURE_WAIT_MS;

    while (!is_done(f, arg)) {
        if (clock_monotonic_ms() > until)
            return false;
        loop_turn(f->loop, 1);
    }
    return true;
}

static inline bool
is_in_state(struct disk_fixture *f, uint64_t state)
{
    return disk_state(f->disk) == (enum disk_state)state;
}

static inline void
fixture_open(struct disk_fixture *f)
{
    struct err err = { "" };

    f->disk = disk_open(&f->conf, &f->key, f->purges, &f->next_seq, &err);
    if (f->disk == NULL)
        printf("# %s\n", err.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->disk);
    CU_ASSERT_TRUE(fixture_wait(f, is_in_state, DISK_READY));
}

static inline void
fixture_close(struct disk_fixture *f)
{
    disk_close(f->disk);
    f->disk = NULL;
}

/* Calls each for every segment file. */
static inline void
fixture_each_file(const struct disk_fixture *f, void (*each)(const char *path, void *arg),
                  void *arg)
{
    DIR *dir = opendir(f->path);
    struct dirent *entry;
    char path[512];

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", f->path, entry->d_name);
        if (entry->d_name[0] != '.')
            each(path, arg);
    }
    closedir(dir);
}

static inline void
fixture_remove_file(const char *path, void *arg)
{
    (void)arg;
    unlink(path);
}

static inline void
fixture_fini(struct disk_fixture *f)
{
    if (f->disk != NULL)
        fixture_close(f);
    loop_free_all(f->loop);
    fixture_each_file(f, fixture_remove_file, NULL);
    rmdir(f->path);
}

static inline struct disk_facts
fixture_facts(const struct disk_fixture *f)
{
    struct disk_facts facts;

    disk_facts(f->disk, &facts);
    return facts;
}

static inline bool
has_written(struct disk_fixture *f, uint64_t objects)
{
    return fixture_facts(f).writes >= objects;
}

/* ---- canaries */

static inline uint8_t
canary_byte(unsigned number, unsigned version, uint64_t bytes, uint64_t at)
{
    uint64_t x = ((uint64_t)number << 32 | version) * 0x9e3779b97f4a7c15u + bytes + at / 8;

    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    return (uint8_t)(x >> (8 * (at % 8)));
}

static inline void
canary_fill(unsigned number, unsigned version, uint64_t bytes, uint64_t at, char *into, size_t n)
{
    for (size_t i = 0; i < n; i++)
        into[i] = (char)canary_byte(number, version, bytes, at + i);
}

static inline bool
canary_fits(unsigned number, unsigned version, uint64_t bytes, uint64_t at, const char *data,
            size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)data[i] != canary_byte(number, version, bytes, at + i))
            return false;
    return true;
}

static inline uint64_t
canary_hash(const struct disk_fixture *f, unsigned number)
{
    char key[32];
    int bytes = snprintf(key, sizeof(key), "object-%u", number);

    return hash_bytes(slice_make(key, (size_t)bytes), &f->key);
}

/* Its head says which it is: number in slice_bytes, version in generation, length in
 * whole_bytes. Without body its content is to be on disk. */
static inline struct object *
canary_new(struct disk_fixture *f, unsigned number, unsigned version, uint64_t bytes,
           bool has_body)
{
    struct fields fields = { .count = 0 };
    char key[32];
    int key_bytes = snprintf(key, sizeof(key), "object-%u", number);
    struct object_head head = {
        .status = 200, .site = 1 + number % 3, .hash = canary_hash(f, number),
        .seq = f->next_seq, .generation = version, .slice_bytes = number, .whole_bytes = bytes,
        .key = slice_make(key, (size_t)key_bytes), .url = SLICE("http://example.org/"),
        .fields = &fields,
    };
    struct object *object = object_new(&head, has_body ? bytes : 0);

    CU_ASSERT_PTR_NOT_NULL_FATAL(object);
    object->body_bytes = bytes;
    if (has_body)
        canary_fill(number, version, bytes, 0, object->body, bytes);
    return object;
}

static inline bool
canary_put(struct disk_fixture *f, unsigned number, unsigned version, uint64_t bytes)
{
    struct object *object = canary_new(f, number, version, bytes, true);
    bool is_taken = disk_put(f->disk, object);

    object_unref(object);
    return is_taken;
}

/* ---- finding */

struct fixture_query {
    struct disk_query query;
    bool is_done;
};

static inline void
on_fixture_found(struct disk_query *query)
{
    container_of(query, struct fixture_query, query)->is_done = true;
}

static inline bool
fixture_query_is_done(struct disk_fixture *f, uint64_t query)
{
    (void)f;
    return ((struct fixture_query *)(uintptr_t)query)->is_done;
}

/* Counted, or NULL. */
static inline struct object *
fixture_find_key(struct disk_fixture *f, uint64_t hash, struct slice key, uint64_t room)
{
    struct fixture_query q = { .query = { .home = f->loop, .hash = hash, .key = key,
                                          .body_room = room, .on_found = on_fixture_found } };

    if (!disk_find(f->disk, &q.query))
        return NULL;
    CU_ASSERT_TRUE_FATAL(fixture_wait(f, fixture_query_is_done, (uintptr_t)&q));
    return q.query.found;
}

static inline struct object *
fixture_find(struct disk_fixture *f, unsigned number, uint64_t room)
{
    char key[32];
    int bytes = snprintf(key, sizeof(key), "object-%u", number);

    return fixture_find_key(f, canary_hash(f, number), slice_make(key, (size_t)bytes), room);
}

/* ---- content on disk */

struct fixture_warm {
    struct disk_warm warm;
    bool is_done;
};

static inline void
on_fixture_warm(struct disk_warm *warm)
{
    container_of(warm, struct fixture_warm, warm)->is_done = true;
}

static inline bool
fixture_warm_is_done(struct disk_fixture *f, uint64_t warm)
{
    (void)f;
    return ((struct fixture_warm *)(uintptr_t)warm)->is_done;
}

static inline size_t
fixture_warm(struct disk_fixture *f, struct disk_body *body, uint64_t at, size_t bytes, char *copy)
{
    struct fixture_warm w = { .warm = { .home = f->loop, .body = body, .at = at, .bytes = bytes,
                                        .copy = copy, .on_warm = on_fixture_warm } };

    CU_ASSERT_TRUE_FATAL(disk_warm(f->disk, &w.warm));
    CU_ASSERT_TRUE_FATAL(fixture_wait(f, fixture_warm_is_done, (uintptr_t)&w));
    return w.warm.copied_bytes;
}

/* Reads a window as a worker does. False: lost. */
static inline bool
fixture_read(struct disk_fixture *f, struct disk_body *body, uint64_t at, char *into, size_t bytes)
{
    while (bytes > 0) {
        struct disk_span span;
        enum disk_span_state state = disk_body_span(body, at, bytes, &span);

        if (state == DISK_SPAN_COLD) {
            size_t copied = fixture_warm(f, body, at, bytes, into);

            if (disk_body_is_read_through(body))
                return copied == bytes;
            state = disk_body_span_warm(body, at, bytes, &span);
        }
        if (state != DISK_SPAN_READY ||
            pread(span.fd, into, span.bytes, span.offset) != (ssize_t)span.bytes)
            return false;
        at += span.bytes;
        into += span.bytes;
        bytes -= span.bytes;
    }
    return true;
}

enum canary_state { CANARY_GOOD, CANARY_LOST, CANARY_WRONG };

/* Whether an object is what it says of itself, wherever its content is. */
static inline enum canary_state
canary_judge(struct disk_fixture *f, const struct object *object)
{
    unsigned number = object->slice_bytes, version = (unsigned)object->generation;
    uint64_t bytes = object->whole_bytes;
    char *content = malloc(bytes + 1);
    bool is_there = content != NULL, is_good = false;

    if (is_there && object->body == NULL && bytes > 0)
        is_there = object->on_disk != NULL &&
                   fixture_read(f, object->on_disk, 0, content, bytes);
    if (is_there)
        is_good = object->body_bytes == bytes &&
                  canary_fits(number, version, bytes, 0,
                              object->body != NULL ? object->body : content, bytes);
    free(content);
    return !is_there ? CANARY_LOST : is_good ? CANARY_GOOD : CANARY_WRONG;
}

/* Whether object number is found in this version, and is good. */
static inline bool
canary_is_there(struct disk_fixture *f, unsigned number, unsigned version, uint64_t room)
{
    struct object *object = fixture_find(f, number, room);
    bool is_good = object != NULL && object->slice_bytes == number &&
                   object->generation == version && canary_judge(f, object) == CANARY_GOOD;

    object_unref(object);
    return is_good;
}

/* ---- long content */

static inline struct disk_write *
canary_begin(struct disk_fixture *f, unsigned number, uint64_t expected)
{
    return disk_write_begin(f->disk, canary_hash(f, number), expected, NULL, NULL, NULL);
}

/* Appends up to n bytes of a canary from at on; returns where it is then. */
static inline uint64_t
canary_append(struct disk_write *write, unsigned number, uint64_t bytes, uint64_t at, size_t n)
{
    struct chunk *chunk = chunk_new();

    CU_ASSERT_PTR_NOT_NULL_FATAL(chunk);
    n = n > CHUNK_BYTES ? CHUNK_BYTES : n;
    chunk->bytes = (uint32_t)(bytes - at < n ? bytes - at : n);
    canary_fill(number, 1, bytes, at, chunk->data, chunk->bytes);
    at += chunk->bytes;
    disk_write_append(write, chunk);
    chunk_unref(chunk);
    return at;
}

static inline void
canary_commit(struct disk_fixture *f, struct disk_write *write, unsigned number, uint64_t bytes)
{
    struct object *object = canary_new(f, number, 1, bytes, false);

    disk_write_commit(write, object);
    object_unref(object);
}

#endif
