/* SPDX-License-Identifier: BSD-2-Clause */
/* fill_fixture.h - threads with loops, objects, a disk, content that is known at
 * every byte, and visitors that read it: for the tests of fills and of object
 * sources.
 */
#ifndef BASCULE_FILL_FIXTURE_H
#define BASCULE_FILL_FIXTURE_H

#include "cache/disk.h"
#include "cache/object.h"
#include "cache/purge.h"
#include "server/base/clock.h"
#include "server/http/body.h"
#include "server/worker.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define UNUSED_OK __attribute__((unused))

UNUSED_OK static char
content_byte(uint64_t i)
{
    return (char)('!' + (i * 7 + i / 251 + i / 65521) % 90);
}

UNUSED_OK static bool
is_content(const char *data, size_t bytes, uint64_t at)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != content_byte(at + i))
            return false;
    return true;
}

UNUSED_OK static char *
make_content(uint64_t at, size_t bytes)
{
    char *data = malloc(bytes + 1);

    for (size_t i = 0; i < bytes; i++)
        data[i] = content_byte(at + i);
    return data;
}

/* ---- workers */

UNUSED_OK static void
worker_set_up(struct worker *worker)
{
    struct err err;

    memset(worker, 0, sizeof(*worker));
    worker->loop = loop_new(&err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker->loop);
}

UNUSED_OK static void
worker_tear_down(struct worker *worker)
{
    loop_free_all(worker->loop);
}

/* ---- objects */

UNUSED_OK static struct object *
make_object(uint64_t body_room)
{
    struct object_head head = {
        .kind = OBJECT_RESPONSE,
        .status = 200,
        .hash = 77,
        .key = SLICE("key"),
        .url = SLICE("http://a.example/"),
    };

    return object_new(&head, body_room);
}

/* ---- a disk */

struct disk_bench {
    char path[64];
    struct disk *disk;
    struct purges *purges;
    _Atomic uint64_t next_seq;
};

UNUSED_OK static void
disk_set_up(struct disk_bench *bench, uint64_t queue_bytes, enum disk_verify verify)
{
    struct disk_conf conf = {
        .path = bench->path,
        .max_bytes = 256u << 20,
        .segment_bytes = 64u << 20,
        .queue_bytes = queue_bytes,
        .threads = 2,
        .verify = verify,
    };
    const char *folder = getenv("TMPDIR");
    struct hash_key key;
    struct err err;

    *bench = (struct disk_bench){ .next_seq = 1 };
    snprintf(bench->path, sizeof(bench->path), "%.40s/bascule-fill-XXXXXX",
             folder != NULL ? folder : P_tmpdir);
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(bench->path));
    hash_key_random(&key);
    bench->purges = purges_open(NULL, &key, &bench->next_seq, 100, 100, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bench->purges);
    bench->disk = disk_open(&conf, &key, bench->purges, &bench->next_seq, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bench->disk);
    while (disk_state(bench->disk) == DISK_LOADING)
        usleep(1000);
}

static int
remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *walk)
{
    (void)facts;
    (void)kind;
    (void)walk;
    return remove(path);
}

UNUSED_OK static void
disk_tear_down(struct disk_bench *bench)
{
    disk_close(bench->disk);
    purges_close(bench->purges);
    nftw(bench->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- a visitor: a sink that looks at every byte */

struct visitor {
    struct sink sink;
    struct pump pump;
    uint64_t at;        /* of the content, next */
    uint64_t left;      /* until it takes no more for now */
    unsigned puts, files;
    bool is_wrong;      /* saw a byte that is not the content's */
    int result;         /* enum pump_result; -1: not yet */
    void (*on_result)(struct visitor *visitor); /* may be NULL */
};

static bool
is_file_content(const struct piece *piece, size_t bytes, uint64_t at)
{
    char *data = malloc(bytes);
    bool is = pread(piece->fd, data, bytes, piece->offset) == (ssize_t)bytes &&
              is_content(data, bytes, at);

    free(data);
    return is;
}

static enum flow
visitor_put(struct sink *sink, const struct piece *piece, size_t *taken)
{
    struct visitor *visitor = container_of(sink, struct visitor, sink);
    size_t bytes = piece->bytes < visitor->left ? piece->bytes : (size_t)visitor->left;
    size_t left = bytes;

    visitor->puts++;
    if (piece->form == FORM_FILE) {
        visitor->files++;
        visitor->is_wrong |= !is_file_content(piece, bytes, visitor->at);
    }
    for (unsigned i = 0; piece->form == FORM_SLICES && i < piece->count && left > 0; i++) {
        size_t here = piece->iov[i].iov_len < left ? piece->iov[i].iov_len : left;

        visitor->is_wrong |=
            !is_content(piece->iov[i].iov_base, here, visitor->at + (bytes - left));
        left -= here;
    }
    visitor->at += bytes;
    visitor->left -= bytes;
    *taken = bytes;
    if (bytes < piece->bytes)
        return FLOW_WAIT;
    return piece->is_last ? FLOW_END : FLOW_MORE;
}

static enum flow
visitor_end(struct sink *sink, const struct fields *trailers)
{
    (void)sink;
    (void)trailers;
    return FLOW_END;
}

static const struct sink_ops visitor_ops = { .put = visitor_put, .end = visitor_end };

static void
visitor_done(struct pump *pump, enum pump_result result)
{
    struct visitor *visitor = container_of(pump, struct visitor, pump);

    visitor->result = (int)result;
    if (visitor->on_result != NULL)
        visitor->on_result(visitor);
}

/* It reads source from at on; room: how much it takes before it stalls. */
UNUSED_OK static void
visitor_start(struct visitor *visitor, struct worker *worker, struct source *source, uint64_t at,
             uint64_t room, unsigned forms)
{
    *visitor = (struct visitor){
        .sink = { .ops = &visitor_ops, .forms = forms },
        .at = at,
        .left = room,
        .result = -1,
    };
    pump_start(&visitor->pump, worker->loop, source, &visitor->sink, visitor_done);
}

UNUSED_OK static void
visitor_go_on(struct visitor *visitor, uint64_t room)
{
    visitor->left = room;
    pump_sink_ready(&visitor->pump);
}

#endif
