/* SPDX-License-Identifier: BSD-2-Clause */
/* decompress_engine.h - one content coding taken off, step by step, by its library.
 *
 * What is under it is bounded by who calls (filters/coding.h). Memory is bounded here: 32 KB
 * for gzip and deflate, 8 MB for zstd (RFC 9659), 16 MB for brotli (RFC 7932 section 9.1;
 * its large windows are not for HTTP), and used only as far as content fills it.
 */
#ifndef BASCULE_DECOMPRESS_ENGINE_H
#define BASCULE_DECOMPRESS_ENGINE_H

#include "filters/coding.h"
#include "filters/transform.h"

#include <zlib.h>

#define ENGINE_HEAD_BYTES 4u

/* Private, but for coding. */
struct decompress_engine {
    enum coding coding;
    bool is_open;    /* the library's state is there */
    bool is_between; /* streams: where content may end */
    uint8_t head_bytes;
    unsigned char head[ENGINE_HEAD_BYTES]; /* of a stream: kept until it says what that is */
    size_t br_bytes; /* what the library has allocated; others tell it */
    union {
        z_stream zlib;
        void *state;
    };
};

enum decompress_result {
    DECOMPRESS_WELL,
    DECOMPRESS_BROKEN,
    DECOMPRESS_NO_MEMORY,
};

/* Zeroed memory becomes one that takes off coding, which this build can decode. */
void decompress_engine_init(struct decompress_engine *engine, enum coding coding);

/* Takes input and makes output, as transform.h has it; is_end and is_flush do not matter.
 * With room and input it takes or makes something, or is BROKEN. */
enum decompress_result decompress_engine_step(struct decompress_engine *engine,
                                              struct transform_step *step);

/* Whether content may end here: behind a stream, or without a byte. */
static inline bool
decompress_engine_is_whole(const struct decompress_engine *engine)
{
    return engine->is_between && engine->head_bytes == 0;
}

/* Memory that its library has for it now. */
size_t decompress_engine_bytes(const struct decompress_engine *engine);

/* May be said again. */
void decompress_engine_fini(struct decompress_engine *engine);

#endif
