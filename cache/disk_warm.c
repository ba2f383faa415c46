/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_warm.c - reads content ahead of those who send it, because a worker must
 * not wait for a disk.
 *
 * Reading through this thread's memory does three things at once: the pages are in
 * the page cache, the blocks are verified, and who wants a copy has one.
 */
#include "config.h"

#include "cache/disk_inside.h"

#include <errno.h>

static void
deliver(struct mail *mail)
{
    struct disk_warm *warm = container_of(mail, struct disk_warm, mail);

    warm->on_warm(warm);
}

void
disk_warm_answer(struct disk_warm *warm)
{
    warm->mail.deliver = deliver;
    loop_post(warm->home, &warm->mail);
}

/* Copies what of [at, at + bytes), read into data, lies in the window. */
static void
copy_part(struct disk_warm *warm, uint64_t at, const char *data, size_t bytes)
{
    uint64_t from = at > warm->at ? at : warm->at;
    uint64_t end = at + bytes < warm->at + warm->bytes ? at + bytes : warm->at + warm->bytes;

    if (warm->copy == NULL || from >= end)
        return;
    memcpy(warm->copy + (from - warm->at), data + (from - at), (size_t)(end - from));
    warm->copied_bytes = (size_t)(end - warm->at);
}

static void
lose(struct disk *disk, struct disk_body *body)
{
    int error = errno;

    if (error == ENOMEM || atomic_exchange(&body->is_lost, true))
        return;
    errno = error;
    disk_drop_unreadable(disk, body->hash, body->place.slot != 0 ? &body->place : NULL);
    disk_tell_lost(disk, body->hash);
}

void
disk_warm_now(struct disk *disk, struct disk_warm *warm, struct disk_scratch *scratch)
{
    struct disk_body *body = warm->body;
    uint64_t there = atomic_load(&body->bytes);
    uint64_t at = warm->at / RECORD_BLOCK * RECORD_BLOCK;
    uint64_t end = warm->at >= there || warm->bytes > there - warm->at ? there
                                                                       : warm->at + warm->bytes;

    end = record_blocks(end) * RECORD_BLOCK < there ? record_blocks(end) * RECORD_BLOCK : there;
    count(&disk->counts.reads, 1);
    while (at < end && scratch->data != NULL && !atomic_load(&body->is_lost)) {
        size_t bytes = end - at < DISK_SCRATCH_BYTES ? (size_t)(end - at) : DISK_SCRATCH_BYTES;

        if (!body_read(body, at, scratch->data, bytes)) {
            lose(disk, body);
            warm->copied_bytes = 0;
            break;
        }
        count(&disk->counts.read_bytes, bytes);
        copy_part(warm, at, scratch->data, bytes);
        at += bytes;
    }
    disk_warm_answer(warm);
}
