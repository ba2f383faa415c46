/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_log.c - records that prove themselves, and a file that is only appended
 * to or replaced as a whole.
 *
 * After a failed write or sync the kernel may have dropped what was dirty, so
 * the file is not trusted any more: the next try writes all of it anew.
 */
#include "config.h"

#include "cache/purge_log.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/base/log.h"

#define FILE_NAME "purges.log"
#define NEW_NAME "purges.log.new"
#define MAGIC 0x47525550u /* "PURG" */
#define BLOCK_ROOM (256u * 1024)

/* As in the file, little-endian. */
struct packed {
    uint64_t check; /* keyed hash of what follows, padding included */
    uint32_t magic, bytes;
    uint64_t seq, durable;
    uint8_t kind, is_soft;
    uint16_t zero;
    uint32_t text_bytes;
    uint64_t tag;
};

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "records are little-endian");
_Static_assert(sizeof(struct packed) == 48, "no padding");
_Static_assert(PURGE_RECORD_MAX <= BLOCK_ROOM, "a block takes a record");

/* ---- records */

size_t
purge_record_bytes(const struct purge_record *record)
{
    return sizeof(struct packed) + ((record->text.bytes + 7) & ~(size_t)7);
}

static uint64_t
checksum(const char *record, size_t bytes, const struct hash_key *key)
{
    return hash_bytes(slice_make(record + sizeof(uint64_t), bytes - sizeof(uint64_t)), key);
}

size_t
purge_record_write(const struct purge_record *record, const struct hash_key *key, char *out)
{
    size_t bytes = purge_record_bytes(record);
    struct packed packed = {
        .magic = MAGIC,
        .bytes = (uint32_t)bytes,
        .seq = record->seq,
        .durable = record->durable,
        .kind = (uint8_t)record->kind,
        .is_soft = record->is_soft,
        .text_bytes = (uint32_t)record->text.bytes,
        .tag = record->tag,
    };

    must(record->text.bytes <= PURGE_TEXT_MAX);
    memset(out, 0, bytes);
    memcpy(out, &packed, sizeof(packed));
    if (record->text.bytes > 0)
        memcpy(out + sizeof(packed), record->text.data, record->text.bytes);
    packed.check = checksum(out, bytes, key);
    memcpy(out, &packed.check, sizeof(packed.check));
    return bytes;
}

/* Bytes of the record at the front of rest; 0: there is none. */
static size_t
read_record(struct slice rest, const struct hash_key *key, struct purge_record *record)
{
    struct packed packed;

    if (rest.bytes < sizeof(packed))
        return 0;
    memcpy(&packed, rest.data, sizeof(packed));
    if (packed.magic != MAGIC || packed.bytes > rest.bytes || packed.text_bytes > PURGE_TEXT_MAX ||
        packed.kind > PURGE_PREFIX || packed.is_soft > 1)
        return 0;
    *record = (struct purge_record){
        .seq = packed.seq,
        .durable = packed.durable,
        .kind = (enum purge_kind)packed.kind,
        .is_soft = packed.is_soft,
        .tag = packed.tag,
        .text = slice_make(rest.data + sizeof(packed), packed.text_bytes),
    };
    if (packed.bytes != purge_record_bytes(record) ||
        packed.check != checksum(rest.data, packed.bytes, key))
        return 0;
    return packed.bytes;
}

static void
pass_over(struct purge_reader *reader, size_t bytes)
{
    if (reader->damaged_bytes == 0)
        reader->damaged_at = reader->at;
    reader->damaged_bytes += bytes;
}

bool
purge_reader_next(struct purge_reader *reader, struct purge_record *record)
{
    while (reader->rest.bytes >= PURGE_RECORD_MAX || (reader->is_last && reader->rest.bytes > 0)) {
        size_t bytes = read_record(reader->rest, reader->key, record);
        size_t step = bytes;

        if (bytes == 0) {
            step = reader->rest.bytes < 8 ? reader->rest.bytes : 8; /* records begin at multiples */
            pass_over(reader, step);
        }
        reader->rest = slice_skip(reader->rest, step);
        reader->at += step;
        if (bytes == 0)
            continue;
        if (reader->durable < record->durable)
            reader->durable = record->durable;
        return true;
    }
    return false;
}

bool
purge_reader_lost(const struct purge_reader *reader)
{
    return reader->damaged_bytes > 0 && reader->damaged_at < reader->durable;
}

/* ---- reading the file */

/* Moves what is left to the front of the block and reads on behind it. */
static int
refill(struct purge_reader *reader, int fd, char *block)
{
    size_t kept = reader->rest.bytes;
    ssize_t got;

    if (kept > 0)
        memmove(block, reader->rest.data, kept);
    do {
        got = read(fd, block + kept, BLOCK_ROOM - kept);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -1;
    reader->rest = slice_make(block, kept + (size_t)got);
    reader->is_last = got == 0;
    return 0;
}

static int
read_all(struct purge_reader *reader, int fd, char *block,
         void (*each)(void *, const struct purge_record *), void *arg)
{
    struct purge_record record;

    reader->rest = slice_make(block, 0);
    do {
        if (refill(reader, fd, block) < 0)
            return -1;
        while (purge_reader_next(reader, &record))
            each(arg, &record);
    } while (!reader->is_last);
    return 0;
}

static void
tell_damage(const struct purge_reader *reader, const char *folder)
{
    if (purge_reader_lost(reader))
        log_error("%s/%s is damaged from byte %llu on: all that was stored before is taken as "
                  "purged", folder, FILE_NAME, (unsigned long long)reader->damaged_at);
    else if (reader->damaged_bytes > 0)
        log_warn("%s/%s ends with %llu bytes that were not written completely; ignored", folder,
                 FILE_NAME, (unsigned long long)reader->damaged_bytes);
}

/* ---- the file */

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void
purge_log_close(struct purge_log *log)
{
    close_fd(&log->new_fd);
    close_fd(&log->fd);
    close_fd(&log->folder_fd);
    free(log->block);
    log->block = NULL;
}

/* Reads the file; it is appended to only if all of it is whole. */
static int
load(struct purge_log *log, const char *folder,
     void (*each)(void *, const struct purge_record *), void *arg, bool *lost, struct err *err)
{
    struct purge_reader reader = { .key = log->key };

    log->fd = openat(log->folder_fd, FILE_NAME, O_RDWR | O_APPEND | O_CLOEXEC);
    if (log->fd < 0 && errno == ENOENT)
        return 0;
    if (log->fd < 0 || read_all(&reader, log->fd, log->block, each, arg) < 0)
        return err_errno(err, "cannot read \"%s/%s\"", folder, FILE_NAME);
    tell_damage(&reader, folder);
    *lost = purge_reader_lost(&reader);
    log->bytes = log->durable = reader.at;
    /* What another process wrote may not be on disk yet, though it was read. */
    if (reader.damaged_bytes > 0 || fdatasync(log->fd) < 0)
        close_fd(&log->fd);
    return 0;
}

int
purge_log_open(struct purge_log *log, const char *folder, const struct hash_key *key,
               void (*each)(void *, const struct purge_record *), void *arg, bool *lost,
               struct err *err)
{
    *log = (struct purge_log){ .key = key, .folder_fd = -1, .fd = -1, .new_fd = -1 };
    *lost = false;
    log->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log->folder_fd < 0)
        return err_errno(err, "cannot open the folder \"%s\"", folder);
    log->block = malloc(BLOCK_ROOM);
    if (log->block == NULL)
        err_set(err, "out of memory");
    else if (load(log, folder, each, arg, lost, err) == 0)
        return 0;
    purge_log_close(log);
    return -1;
}

void
purge_log_begin_anew(struct purge_log *log)
{
    close_fd(&log->new_fd);
    log->error = 0;
    log->block_used = 0;
    log->bytes = log->durable = 0;
    log->new_fd = openat(log->folder_fd, NEW_NAME,
                         O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (log->new_fd < 0)
        log->error = errno;
}

static void
flush(struct purge_log *log)
{
    int fd = log->new_fd >= 0 ? log->new_fd : log->fd;
    size_t done = 0;

    while (log->error == 0 && done < log->block_used) {
        ssize_t put = write(fd, log->block + done, log->block_used - done);

        if (put < 0 && errno != EINTR)
            log->error = errno;
        done += put > 0 ? (size_t)put : 0;
    }
    log->block_used = 0;
}

void
purge_log_put(struct purge_log *log, const struct purge_record *record)
{
    struct purge_record placed = *record;
    size_t bytes;

    placed.durable = log->durable;
    if (log->block_used + purge_record_bytes(record) > BLOCK_ROOM)
        flush(log);
    bytes = purge_record_write(&placed, log->key, log->block + log->block_used);
    log->block_used += bytes;
    log->bytes += bytes;
}

/* The new file takes the place of the old one. */
static int
take_place(struct purge_log *log)
{
    if (renameat(log->folder_fd, NEW_NAME, log->folder_fd, FILE_NAME) < 0 ||
        fsync(log->folder_fd) < 0)
        return errno;
    close_fd(&log->fd);
    log->fd = log->new_fd;
    log->new_fd = -1;
    return 0;
}

int
purge_log_sync(struct purge_log *log)
{
    int error;

    flush(log);
    if (log->error == 0 && fdatasync(log->new_fd >= 0 ? log->new_fd : log->fd) < 0)
        log->error = errno;
    if (log->error == 0 && log->new_fd >= 0)
        log->error = take_place(log);
    error = log->error;
    if (error == 0) {
        log->durable = log->bytes;
        return 0;
    }
    close_fd(&log->new_fd);
    close_fd(&log->fd);
    return error;
}
