/* SPDX-License-Identifier: BSD-2-Clause */
/* segment.c - a segment's file: making, opening, reading, writing, sealing. */
#include "config.h"

#include "cache/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "bascule segment"
#define FORMAT 1u
#define NAME_DIGITS 12u

struct header {
    char magic[16];
    uint32_t version, unused;
    uint64_t number;
    uint64_t random;  /* makes this file's salt another than any other's */
    uint64_t check;   /* of the above, by the store's key */
    uint64_t unused_too[2];
};

_Static_assert(sizeof(struct header) == SEGMENT_HEADER_BYTES, "the header is one unit");

/* ---- names */

void
segment_name(uint64_t number, char name[SEGMENT_NAME_MAX])
{
    snprintf(name, SEGMENT_NAME_MAX, "%0*llu.seg", (int)NAME_DIGITS, (unsigned long long)number);
}

uint64_t
segment_number_of(const char *name)
{
    uint64_t number;

    if (strlen(name) != NAME_DIGITS + 4 || strcmp(name + NAME_DIGITS, ".seg") != 0 ||
        !slice_to_u64(slice_make(name, NAME_DIGITS), UINT64_MAX, &number))
        return 0;
    return number;
}

/* ---- making and opening */

static uint64_t
header_check(const struct header *header, const struct hash_key *key)
{
    return hash_bytes(slice_make((const char *)header, offsetof(struct header, check)), key);
}

static struct segment *
new_segment(int fd, const struct header *header, const struct hash_key *key, uint64_t bytes)
{
    struct segment *segment = calloc(1, sizeof(*segment));

    if (segment == NULL)
        return NULL;
    atomic_init(&segment->references, 1);
    atomic_init(&segment->bytes, bytes);
    atomic_init(&segment->min_seq, UINT64_MAX);
    segment->fd = fd;
    segment->number = header->number;
    segment->salt = hash_bytes(slice_make((const char *)header, sizeof(*header)), key);
    return segment;
}

bool
segment_write_header(int fd, uint64_t number, const struct hash_key *key)
{
    struct header header = { .magic = MAGIC, .version = FORMAT, .number = number };
    struct hash_key random;
    ssize_t put;

    hash_key_random(&random);
    header.random = random.half[0];
    header.check = header_check(&header, key);
    put = pwrite(fd, &header, sizeof(header), 0);
    if (put >= 0 && put < (ssize_t)sizeof(header))
        errno = ENOSPC;
    return put == (ssize_t)sizeof(header);
}

static ssize_t
read_some(int fd, uint64_t offset, char *into, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t got = pread(fd, into + done, bytes - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static bool
read_fully(int fd, uint64_t offset, char *into, size_t bytes)
{
    ssize_t got = read_some(fd, offset, into, bytes);

    if (got >= 0 && (size_t)got < bytes)
        errno = EBADMSG;
    return got == (ssize_t)bytes;
}

struct segment *
segment_adopt(int fd, uint64_t number, const struct hash_key *key)
{
    struct segment *segment = NULL;
    struct header header;
    struct stat st;
    int error;

    if (fstat(fd, &st) == 0 && read_fully(fd, 0, (char *)&header, sizeof(header))) {
        if (S_ISREG(st.st_mode) && (uint64_t)st.st_size <= SEGMENT_BYTES_MAX &&
            memcmp(header.magic, MAGIC, sizeof(header.magic)) == 0 &&
            header.version == FORMAT && header.number == number &&
            header.check == header_check(&header, key)) {
            segment = new_segment(fd, &header, key, (uint64_t)st.st_size);
            errno = ENOMEM;
        } else {
            errno = EBADMSG;
        }
    }
    if (segment == NULL) {
        error = errno;
        close(fd);
        errno = error;
    }
    return segment;
}

struct segment *
segment_create(int folder, uint64_t number, const struct hash_key *key)
{
    char name[SEGMENT_NAME_MAX];
    struct segment *segment;
    int fd, error;

    segment_name(number, name);
    fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return NULL;
    if (segment_write_header(fd, number, key)) {
        segment = segment_adopt(fd, number, key);
    } else {
        error = errno;
        segment = NULL;
        close(fd);
        errno = error;
    }
    if (segment == NULL) {
        error = errno;
        unlinkat(folder, name, 0);
        errno = error;
    }
    return segment;
}

struct segment *
segment_open(int folder, uint64_t number, const struct hash_key *key)
{
    char name[SEGMENT_NAME_MAX];
    int fd;

    segment_name(number, name);
    fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    return segment_adopt(fd, number, key);
}

struct segment *
segment_ref(struct segment *segment)
{
    atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
    return segment;
}

void
segment_unref(struct segment *segment)
{
    if (segment == NULL ||
        atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) > 1)
        return;
    close(segment->fd);
    free(segment);
}

int
segment_unlink(struct segment *segment, int folder)
{
    char name[SEGMENT_NAME_MAX];

    atomic_store(&segment->is_gone, true);
    segment_name(segment->number, name);
    return unlinkat(folder, name, 0);
}

/* ---- reading and writing */

bool
segment_read(const struct segment *segment, uint64_t offset, void *into, size_t bytes)
{
    return read_fully(segment->fd, offset, into, bytes);
}

ssize_t
segment_read_some(const struct segment *segment, uint64_t offset, void *into, size_t bytes)
{
    return read_some(segment->fd, offset, into, bytes);
}

static int
skip(struct iovec **iov, int count, size_t bytes)
{
    while (count > 0 && bytes >= (*iov)->iov_len) {
        bytes -= (*iov)->iov_len;
        (*iov)++;
        count--;
    }
    if (bytes > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + bytes;
        (*iov)->iov_len -= bytes;
    }
    return count;
}

bool
segment_write(const struct segment *segment, uint64_t offset, struct iovec *iov, int count)
{
    while (count > 0) {
        ssize_t put = pwritev(segment->fd, iov, count, (off_t)offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put == 0)
            errno = ENOSPC;
        if (put <= 0)
            return false;
        offset += (uint64_t)put;
        count = skip(&iov, count, (size_t)put);
    }
    return true;
}
