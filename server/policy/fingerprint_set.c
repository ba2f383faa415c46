/* SPDX-License-Identifier: BSD-2-Clause */
/* fingerprint_set.c - 256 sorted arrays with gaps.
 *
 * Part of a fingerprint says which array, and its mark, as a fraction of all marks,
 * says where in it: its home. It stands there or behind it, with no gap between,
 * and all marks of a part stand in their order. So a search ends at the first
 * slot that is free or has a greater mark, mostly in the same cache line; and
 * growing is copying from left to right.
 *
 *     homes  0     1     2     3     4  ...            slack
 *          |     | 2a.. | 31.. | 33.. | 60.. |     |     |  0 |
 *                           ^ 33.. had its home at 31..'s place
 *
 * The last slot of a part stays free and ends every search.
 */
#include "config.h"

#include "server/policy/fingerprint_set.h"

#include <stdlib.h>
#include <sys/mman.h>

#define PARTS 256u
#define SLACK 16u      /* behind the last home */
#define HOMES_MIN 4u
#define MAP_BYTES_MIN ((size_t)128 << 10) /* larger ones come from the kernel and go back there */
#define HUGE_BYTES_MIN ((size_t)8 << 20)
#define RELEASE_PARTS 16u      /* of these, those that were copied are given back at a time */
#define PAGE_BYTES 4096u

/* ---- memory */

static size_t
bytes_of(size_t stride)
{
    return PARTS * stride * sizeof(uint64_t);
}

size_t
fingerprint_set_bytes(const struct fingerprint_set *set)
{
    return bytes_of(set->stride);
}

static uint64_t *
allocate(size_t bytes)
{
    void *slots;

    if (bytes < MAP_BYTES_MIN)
        return calloc(1, bytes);
    slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED)
        return NULL;
    if (bytes >= HUGE_BYTES_MIN)
        (void)madvise(slots, bytes, MADV_HUGEPAGE); /* every question is for another page */
    return slots;
}

static void
release(uint64_t *slots, size_t bytes)
{
    if (bytes < MAP_BYTES_MIN)
        free(slots);
    else
        munmap(slots, bytes);
}

void
fingerprint_set_fini(struct fingerprint_set *set)
{
    if (set->slots != NULL)
        release(set->slots, fingerprint_set_bytes(set));
    *set = (struct fingerprint_set){ .count = 0 };
}

/* ---- growing */

static size_t
home_of(uint64_t mark, size_t homes)
{
    return (size_t)((unsigned __int128)mark * homes >> 64);
}

/* Puts the marks of one part where they belong in to (NULL: only looks whether they
 * can be). False: the slack does not suffice. */
static bool
copy_part(const uint64_t *from, size_t from_stride, uint64_t *to, size_t homes)
{
    size_t next = 0;

    for (size_t i = 0; i < from_stride; i++) {
        size_t home;

        if (from[i] == 0)
            continue;
        home = home_of(from[i], homes);
        if (home > next)
            next = home;
        if (next >= homes + SLACK - 1)
            return false;
        if (to != NULL)
            to[next] = from[i];
        next++;
    }
    return true;
}

static bool
would_fit(const struct fingerprint_set *set, size_t homes)
{
    for (unsigned part = 0; set->slots != NULL && part < PARTS; part++)
        if (!copy_part(set->slots + part * set->stride, set->stride, NULL, homes))
            return false;
    return true;
}

/* What was copied already need not be there twice. */
static void
let_go_of_copied(const struct fingerprint_set *set, unsigned part)
{
    char *begin = (char *)(set->slots + part * set->stride);
    size_t bytes = RELEASE_PARTS * set->stride * sizeof(*set->slots);

    if (fingerprint_set_bytes(set) >= HUGE_BYTES_MIN && part % RELEASE_PARTS == 0)
        (void)madvise((void *)((uintptr_t)begin & ~(uintptr_t)(PAGE_BYTES - 1)),
                      bytes & ~(size_t)(PAGE_BYTES - 1), MADV_DONTNEED);
}

/* 1: done; 0: too many would stand at the end of a part; -1: memory is short. */
static int
resize(struct fingerprint_set *set, size_t homes)
{
    struct fingerprint_set fresh = { .homes = homes, .stride = homes + SLACK,
                                     .count = set->count };

    if (!would_fit(set, homes))
        return 0;
    fresh.slots = allocate(bytes_of(fresh.stride));
    if (fresh.slots == NULL)
        return -1;
    for (unsigned part = 0; set->slots != NULL && part < PARTS; part++) {
        (void)copy_part(set->slots + part * set->stride, set->stride,
                        fresh.slots + part * fresh.stride, homes);
        if (part >= RELEASE_PARTS)
            let_go_of_copied(set, part - RELEASE_PARTS);
    }
    fingerprint_set_fini(set);
    *set = fresh;
    return 1;
}

static int
grow(struct fingerprint_set *set)
{
    size_t homes = set->homes;
    int result;

    do {
        homes += homes / 2 + HOMES_MIN;
        result = resize(set, homes);
    } while (result == 0);
    return result;
}

static bool
is_full(const struct fingerprint_set *set)
{
    return set->count >= PARTS * set->homes / 4 * 3;
}

/* Where the mark is or belongs: *end is the free slot behind. False: that would be
 * the last one. */
static bool
find_place(const struct fingerprint_set *set, struct fingerprint fingerprint, uint64_t **place,
           uint64_t **end)
{
    const uint64_t *last = set->slots + (fingerprint.part + 1u) * set->stride - 1;
    uint64_t *at = set->slots + fingerprint.part * set->stride +
                   home_of(fingerprint.mark, set->homes);

    while (*at - 1 < fingerprint.mark - 1)
        at++;
    *place = *end = at;
    if (*at == fingerprint.mark)
        return true;
    while (*at != 0)
        at++;
    *end = at;
    return at != last;
}

int
fingerprint_set_add(struct fingerprint_set *set, struct fingerprint fingerprint)
{
    uint64_t *place, *end;

    if (is_full(set) && grow(set) < 0)
        return -1;
    while (!find_place(set, fingerprint, &place, &end))
        if (grow(set) < 0)
            return -1;
    if (*place == fingerprint.mark)
        return 0;
    memmove(place + 1, place, (size_t)(end - place) * sizeof(*place));
    *place = fingerprint.mark;
    set->count++;
    return 1;
}
