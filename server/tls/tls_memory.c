/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_memory.c - lists of free pieces, one for each size, in front of the heap.
 *
 * Each piece has its size in front of it. A piece may be given back on another
 * thread than it was taken on: it then belongs to that one.
 *
 * Buffers of records and handshakes are large and short-lived, and a crowd of
 * clients makes many of them at once. They are pages of their own, so that they
 * leave no holes between what stays.
 */
#include "config.h"

#include "server/tls/tls_memory.h"

#include <openssl/crypto.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STEP_BYTES 16u
#define CLASSES 128u         /* up to 2 KiB */
#define BUFFER_CLASS CLASSES /* for records and handshakes: one size for all */
#define BUFFER_MIN_BYTES (16u * 1024)
#define BUFFER_PAGES_BYTES (24u * 1024)
#define BUFFER_BYTES (BUFFER_PAGES_BYTES - (uint32_t)offsetof(struct piece, data))
#define KEEP_BYTES (128u * 1024) /* of each class */
#define KEEP_BUFFERS_BYTES (1024u * 1024)
#define NO_CLASS UINT32_MAX

struct piece {
    uint32_t class;
    uint32_t bytes; /* of data */
    union {
        struct piece *next; /* while it is free */
        max_align_t data[1];
    };
};

struct shelf {
    struct piece *first;
    size_t kept_bytes;
};

static _Thread_local struct shelf *shelves; /* NULL: this thread keeps nothing */

static uint32_t
class_of(size_t bytes, size_t *rounded)
{
    if (bytes <= CLASSES * STEP_BYTES) {
        uint32_t class = bytes > 0 ? (uint32_t)((bytes - 1) / STEP_BYTES) : 0;

        *rounded = (class + 1) * STEP_BYTES;
        return class;
    }
    if (bytes > BUFFER_MIN_BYTES && bytes <= BUFFER_BYTES) {
        *rounded = BUFFER_BYTES;
        return BUFFER_CLASS;
    }
    *rounded = bytes;
    return NO_CLASS;
}

static struct piece *
piece_new(uint32_t class, size_t bytes)
{
    struct piece *piece;

    if (class != BUFFER_CLASS) {
        piece = malloc(offsetof(struct piece, data) + bytes);
    } else {
        piece = mmap(NULL, BUFFER_PAGES_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                     -1, 0);
        if (piece == MAP_FAILED)
            piece = NULL;
    }
    if (piece == NULL)
        return NULL;
    piece->class = class;
    piece->bytes = (uint32_t)bytes;
    return piece;
}

static void
piece_free(struct piece *piece)
{
    if (piece->class == BUFFER_CLASS)
        munmap(piece, BUFFER_PAGES_BYTES);
    else
        free(piece);
}

static struct piece *
piece_of(void *data)
{
    return (struct piece *)(void *)((char *)data - offsetof(struct piece, data));
}

static void *
take(size_t bytes, const char *file, int line)
{
    size_t rounded;
    uint32_t class = class_of(bytes, &rounded);
    struct piece *piece;

    (void)file, (void)line;
    if (rounded > UINT32_MAX)
        return NULL;
    if (class != NO_CLASS && shelves != NULL && shelves[class].first != NULL) {
        piece = shelves[class].first;
        shelves[class].first = piece->next;
        shelves[class].kept_bytes -= rounded;
        return piece->data;
    }
    piece = piece_new(class, rounded);
    return piece != NULL ? piece->data : NULL;
}

static size_t
most_kept(uint32_t class)
{
    return class == BUFFER_CLASS ? KEEP_BUFFERS_BYTES : KEEP_BYTES;
}

static void
give(void *data, const char *file, int line)
{
    struct piece *piece;
    struct shelf *shelf;

    (void)file, (void)line;
    if (data == NULL)
        return;
    piece = piece_of(data);
    if (piece->class == NO_CLASS || shelves == NULL ||
        shelves[piece->class].kept_bytes >= most_kept(piece->class)) {
        piece_free(piece);
        return;
    }
    shelf = &shelves[piece->class];
    piece->next = shelf->first;
    shelf->first = piece;
    shelf->kept_bytes += piece->bytes;
}

static void *
resize(void *data, size_t bytes, const char *file, int line)
{
    void *moved;

    if (data == NULL)
        return take(bytes, file, line);
    if (bytes > 0 && bytes <= piece_of(data)->bytes)
        return data;
    moved = bytes > 0 ? take(bytes, file, line) : NULL;
    if (moved == NULL && bytes > 0)
        return NULL;
    if (moved != NULL)
        memcpy(moved, data, piece_of(data)->bytes);
    give(data, file, line);
    return moved;
}

void
tls_memory_use(void)
{
#ifndef BASCULE_ASAN /* which would see no misuse of a piece */
    (void)CRYPTO_set_mem_functions(take, resize, give);
#endif
    (void)take, (void)resize, (void)give;
}

void
tls_memory_keep(void)
{
    if (shelves == NULL)
        shelves = calloc(CLASSES + 1, sizeof(*shelves));
}

void
tls_memory_let_go(void)
{
    for (unsigned i = 0; shelves != NULL && i <= CLASSES; i++) {
        while (shelves[i].first != NULL) {
            struct piece *piece = shelves[i].first;

            shelves[i].first = piece->next;
            piece_free(piece);
        }
    }
    free(shelves);
    shelves = NULL;
}
