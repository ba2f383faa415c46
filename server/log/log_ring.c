/* SPDX-License-Identifier: BSD-2-Clause */
/* log_ring.c - memory in which nothing wraps. */
#include "config.h"

#include "server/log/log_ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Maps a memory file twice in a row. */
static char *
map_twice(size_t bytes)
{
    int fd = memfd_create("bascule-log", MFD_CLOEXEC);
    char *data;

    if (fd < 0)
        return NULL;
    data = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data != MAP_FAILED && ftruncate(fd, (off_t)bytes) == 0 &&
        mmap(data, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED &&
        mmap(data + bytes, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) !=
            MAP_FAILED) {
        close(fd);
        return data;
    }
    if (data != MAP_FAILED)
        munmap(data, 2 * bytes);
    close(fd);
    return NULL;
}

struct log_ring *
log_ring_new(size_t bytes)
{
    struct log_ring *ring = aligned_alloc(LOG_CACHE_LINE, sizeof(*ring));

    if (ring == NULL)
        return NULL;
    memset(ring, 0, sizeof(*ring));
    ring->bytes = bytes;
    ring->data = map_twice(bytes);
    if (ring->data == NULL) {
        free(ring);
        return NULL;
    }
    return ring;
}

void
log_ring_free(struct log_ring *ring)
{
    munmap(ring->data, 2 * ring->bytes);
    free(ring);
}
