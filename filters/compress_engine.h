/* SPDX-License-Identifier: BSD-2-Clause */
/* compress_engine.h - what makes coded content, whatever library does it.
 *
 *     compress_isal.c    gzip at levels 1 to 3, as it comes (ISA-L)
 *     compress_zlib.c    gzip at any level, as it comes
 *     compress_whole.c   gzip of content that is gathered first (libdeflate); where it is too
 *                        long for that, or does not come, it goes on by zlib
 *     compress_br.c      brotli
 *     compress_zstd.c    zstd
 *
 * Engines are large: they are taken when content begins to come, given back when its last
 * byte is made, and kept by each thread for the next content (compress_pool.c).
 */
#ifndef BASCULE_COMPRESS_ENGINE_H
#define BASCULE_COMPRESS_ENGINE_H

#include "filters/coding.h"
#include "filters/transform.h"

/* What is wanted. */
struct compress_plan {
    enum coding coding;
    int level;          /* of that coding */
    uint64_t length;    /* of the content, or LENGTH_UNKNOWN */
    size_t whole_bytes; /* so much may be gathered; 0: nothing, it is wanted as it comes */
};

struct compress_engine;

struct compress_engine_ops {
    /* Memory for one, by its plan. An estimate. */
    size_t (*cost)(const struct compress_plan *plan);
    /* NULL: memory is short. */
    struct compress_engine *(*make)(const struct compress_plan *plan);
    /* Makes it ready for new content, whatever it did before. False: memory is short. */
    bool (*begin)(struct compress_engine *engine, const struct compress_plan *plan);
    /* As transform.h has it. DONE with is_end: all is made. */
    enum transform_result (*work)(struct compress_engine *engine, struct transform_step *step);
    void (*destroy)(struct compress_engine *engine);
    bool is_single_use; /* its library cannot begin again */
};

/* Every engine begins with this. */
struct compress_engine {
    const struct compress_engine_ops *ops;
    struct compress_engine *next; /* of those kept */
    int level;
    size_t bytes;                 /* what it cost */
};

/* Which one is best for a plan. coding_can_encode() its coding, which is not identity. */
const struct compress_engine_ops *compress_engine_for(const struct compress_plan *plan);

/* One that has begun: of those this thread keeps, or a new one. NULL: memory is short. */
struct compress_engine *compress_engine_take(const struct compress_engine_ops *ops,
                                             const struct compress_plan *plan);

/* Done with, wherever it was. NULL is fine. */
void compress_engine_give(struct compress_engine *engine);

extern const struct compress_engine_ops compress_zlib;
#ifdef HAVE_ISAL
extern const struct compress_engine_ops compress_isal;
#endif
#ifdef HAVE_LIBDEFLATE
extern const struct compress_engine_ops compress_whole;
#endif
#ifdef HAVE_BROTLI
extern const struct compress_engine_ops compress_br;
#endif
#ifdef HAVE_ZSTD
extern const struct compress_engine_ops compress_zstd;
#endif

/* Base-2 logarithm of the window for brotli and zstd: as long as the content, at least 1 KB,
 * at most 1 MB; 256 KB when nobody knows how long that is. */
unsigned compress_window_log(uint64_t length);

#endif
